// drafts: what was typed and is not in force: in this tab's session storage, so that neither a reload nor a lost connection loses it.
import { effect, signal } from "@preact/signals";
import { hello } from "../../state/board";

export interface PolicyFile {
	name: string;
	text: string;
	version?: number;
}

/** name → text; null: the file is to be removed */
export type Drafts = Record<string, string | null>;

export interface Change {
	name: string;
	before: string;
	/** null: removed */
	after: string | null;
	isNew: boolean;
}

export const drafts = signal<Drafts>({});

let place = "";
effect(() => {
	const instance = hello.value?.instance;
	if (!instance || place) return;
	place = `dss.drafts.${instance}`;
	try {
		const kept: unknown = JSON.parse(sessionStorage.getItem(place) ?? "{}");
		if (kept && typeof kept === "object") drafts.value = { ...(kept as Drafts), ...drafts.value };
	} catch {
		// nothing that can be read
	}
});
effect(() => {
	const text = JSON.stringify(drafts.value);
	if (!place) return;
	try {
		sessionStorage.setItem(place, text);
	} catch {
		// too large or forbidden: they live as long as the page
	}
});

/** text null: to be removed. A text like the one in force is no draft. */
export function keepDraft(name: string, text: string | null, inForce: string): void {
	const next = { ...drafts.value };
	if (text === inForce && inForce !== "") delete next[name];
	else if (text === null && inForce === "") delete next[name];
	else next[name] = text;
	drafts.value = next;
}

export function dropDrafts(): void {
	drafts.value = {};
}

export function changesOf(files: PolicyFile[], list: Drafts): Change[] {
	const inForce = new Map(files.map((f) => [f.name.replace(/^policies\//, ""), f.text]));
	return Object.entries(list)
		.filter(([name, text]) => text !== inForce.get(name))
		.map(([name, after]) => ({ name, before: inForce.get(name) ?? "", after, isNew: !inForce.has(name) }))
		.sort((a, b) => (a.name < b.name ? -1 : 1));
}
