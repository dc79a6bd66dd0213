// router: where one is, in the URL's hash: #/task/abc?tab=log. Every view can be linked; a view's own state (filter, sort, tab) stands in the query.
import { computed, signal } from "@preact/signals";

export interface Place {
	/** decoded segments: ["task", "abc"] */
	path: string[];
	query: Record<string, string>;
}

function decode(s: string): string {
	try {
		return decodeURIComponent(s);
	} catch {
		return s; // somebody typed a lone %
	}
}

export function parse(hash: string): Place {
	const [path = "", query = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
	return {
		path: path.split("/").filter(Boolean).map(decode),
		query: Object.fromEntries(new URLSearchParams(query)),
	};
}

/** A link: href("task", id), href("tasks", { where: "kind = job" }). */
export function href(...parts: (string | Record<string, string | undefined>)[]): string {
	const path: string[] = [];
	const query = new URLSearchParams();
	for (const p of parts) {
		if (typeof p === "string") path.push(encodeURIComponent(p));
		else for (const [k, v] of Object.entries(p)) if (v !== undefined && v !== "") query.set(k, v);
	}
	const q = query.toString();
	return `#/${path.join("/")}${q ? `?${q}` : ""}`;
}

export const place = signal<Place>(parse(location.hash));
addEventListener("hashchange", () => (place.value = parse(location.hash)));

/** The first segment: which page. */
export const page = computed(() => place.value.path[0] ?? "tasks");

export function go(to: string, replace = false): void {
	if (replace) history.replaceState(null, "", to);
	else history.pushState(null, "", to);
	place.value = parse(location.hash);
}

/** Changes some of the view's query and leaves the rest; no step of the history unless `push`. */
export function setQuery(change: Record<string, string | undefined>, push = false): void {
	const { path, query } = place.value;
	go(href(...path, { ...query, ...change } as Record<string, string | undefined>), !push);
}
