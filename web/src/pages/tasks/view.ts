// view: what is shown of all rows stands in the URL: ?where=&sort=&group=&hide=&flat=&fold=&open=, each absent where it is as usual.
import { place, setQuery } from "../../lib/router";
import type { Sort } from "../../ui/table";
import { sortable, type GroupBy } from "./order";

export const groups: { id: GroupBy; title: string }[] = [
	{ id: "none", title: "No groups" },
	{ id: "kind", title: "By kind" },
	{ id: "user", title: "By owner" },
	{ id: "project", title: "By project" },
];

const USUAL: Sort = { by: "memory", down: true };

/** "memory" up, "-memory" down */
export function sortOf(query: Record<string, string>): Sort {
	const text = query["sort"] ?? "";
	const down = text.startsWith("-");
	const by = down ? text.slice(1) : text;
	return sortable(by) ? { by, down } : USUAL;
}

export const setSort = (s: Sort): void => setQuery({ sort: s.by === USUAL.by && s.down === USUAL.down ? undefined : `${s.down ? "-" : ""}${s.by}` });

export const groupOf = (query: Record<string, string>): GroupBy => groups.find((g) => g.id === query["group"])?.id ?? "none";

/** Names of folded groups; a name may have a comma. */
export const foldedOf = (query: Record<string, string>): Set<string> => new Set((query["fold"] ?? "").split(",").filter(Boolean).map(decode));

function decode(s: string): string {
	try {
		return decodeURIComponent(s);
	} catch {
		return s;
	}
}

export function foldGroup(name: string, open: boolean): void {
	const folded = foldedOf(place.value.query);
	const key = name || "-";
	if (open) folded.delete(key);
	else folded.add(key);
	setQuery({ fold: [...folded].map(encodeURIComponent).join(",") || undefined });
}
