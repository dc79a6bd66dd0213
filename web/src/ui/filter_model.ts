// filter_model: a filter that somebody types: read by the server once per edit (POST /api/filters), asked of rows here (lib/filter.ts). What is in
// force is the last one that was right.
import { signal } from "@preact/signals";
import { ApiError, call } from "../lib/api";
import type { Filter } from "../lib/filter";

type Answer = (Filter | { ok: false; error: string; at: number }) & { words?: string[]; from?: number };

export interface Mistake {
	error: string;
	/** where, in UTF-16 units from 0; absent: it could not be asked */
	at?: number;
}

const EDIT_MS = 140;

export class FilterModel {
	/** what stands in the box */
	readonly text = signal("");
	/** what is in force; null: everything is shown */
	readonly filter = signal<Filter | null>(null);
	readonly mistake = signal<Mistake | null>(null);
	/** what may stand at the cursor, in the place of all from `from` on */
	readonly words = signal<readonly string[]>([]);
	readonly from = signal(0);
	/** an edit is being read */
	readonly isAsking = signal(false);
	private timer: ReturnType<typeof setTimeout> | undefined;
	private current: AbortController | undefined;

	/** onTaken: a filter that is right was taken; its text as it was typed. */
	constructor(private readonly kind: string, private readonly onTaken: (text: string) => void) {}

	/** Somebody typed, or moved the cursor. */
	edit(text: string, cursor: number): void {
		this.text.value = text;
		clearTimeout(this.timer);
		this.isAsking.value = true;
		this.timer = setTimeout(() => void this.read(cursor), EDIT_MS);
	}

	/** At once: a link, a chip. */
	set(text: string): void {
		this.text.value = text;
		clearTimeout(this.timer);
		if (text.trim() === "") {
			this.current?.abort();
			this.isAsking.value = false;
			this.take({ ok: true, text: "", tree: null, reads: [], facts: [] }, "");
		} else void this.read(text.length);
	}

	close(): void {
		clearTimeout(this.timer);
		this.current?.abort();
	}

	private take(answer: Answer, text: string): void {
		this.words.value = answer.words ?? [];
		this.from.value = answer.from ?? text.length;
		if (!answer.ok) {
			this.mistake.value = { error: answer.error, at: answer.at };
			return;
		}
		this.mistake.value = null;
		this.filter.value = answer.tree === null ? null : answer;
		this.onTaken(text);
	}

	private async read(cursor: number): Promise<void> {
		const text = this.text.value;
		this.current?.abort();
		const abort = new AbortController();
		this.current = abort;
		this.isAsking.value = true;
		try {
			const answer = await call<Answer>("/api/filters", { method: "POST", body: { kind: this.kind, text, cursor }, signal: abort.signal });
			if (!abort.signal.aborted) this.take(answer, text);
		} catch (e) {
			if (abort.signal.aborted) return;
			this.words.value = [];
			this.mistake.value = { error: e instanceof ApiError ? e.message : String(e) };
		} finally {
			if (this.current === abort) this.isAsking.value = false;
		}
	}
}

/** The parts of a filter that are joined by "and" at the top; one part where an "or" stands there. */
export function conjuncts(text: string): string[] {
	const parts: string[] = [];
	let depth = 0;
	let quote = "";
	let from = 0;
	for (let i = 0; i < text.length; i++) {
		const c = text[i]!;
		if (quote) {
			if (c === "\\") i++;
			else if (c === quote) quote = "";
		} else if (c === '"' || c === "'") quote = c;
		else if (c === "(") depth++;
		else if (c === ")") depth--;
		else if (depth === 0 && (i === 0 || /[\s)]/.test(text[i - 1]!))) {
			if (/^or[\s(]/.test(text.slice(i, i + 3))) return [text.trim()];
			if (/^and[\s(]/.test(text.slice(i, i + 4))) {
				parts.push(text.slice(from, i).trim());
				from = i + 3;
			}
		}
	}
	return [...parts, text.slice(from).trim()].filter(Boolean);
}

const isOr = (text: string) => {
	const parts = conjuncts(text);
	return parts.length === 1 && /\sor[\s(]/.test(parts[0]!);
};

export const hasConjunct = (text: string, part: string): boolean => conjuncts(text).includes(part);

/** With that part where it was not there, without it where it was. */
export function toggleConjunct(text: string, part: string): string {
	const parts = conjuncts(text);
	if (parts.includes(part)) return parts.filter((p) => p !== part).join(" and ");
	if (!parts.length) return part;
	return `${isOr(text) ? `(${text.trim()})` : text.trim()} and ${part}`;
}
