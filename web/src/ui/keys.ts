// keys: shortcuts that work wherever nobody types: one list, which the help shows.
import { useEffect } from "preact/hooks";

export interface Shortcut {
	/** as KeyboardEvent.key; two in a row: "g t" */
	keys: string;
	does: string;
	run: () => void;
}

const active = new Map<string, Shortcut>();
let first = "";
let firstAt = 0;

export const shortcuts = (): Shortcut[] => [...active.values()];

function types(e: Event): boolean {
	const t = e.target;
	return t instanceof HTMLElement && (t.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(t.tagName)) && !(t instanceof HTMLInputElement && t.type === "checkbox");
}

addEventListener("keydown", (e) => {
	if (e.ctrlKey || e.metaKey || e.altKey || types(e) || document.querySelector("dialog[open]")) return;
	const two = first && e.timeStamp - firstAt < 1200 ? active.get(`${first} ${e.key}`) : undefined;
	first = e.key;
	firstAt = e.timeStamp;
	const hit = two ?? active.get(e.key);
	if (!hit) return;
	first = "";
	e.preventDefault();
	hit.run();
});

/** While the component is there. */
export function useShortcuts(list: Shortcut[]): void {
	useEffect(() => {
		for (const s of list) active.set(s.keys, s);
		return () => {
			for (const s of list) if (active.get(s.keys) === s) active.delete(s.keys);
		};
	});
}
