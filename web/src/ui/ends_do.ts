// ends_do: what ends a row, by its own route, and what would end with it (POST /api/ends). One end at a time is told of: asked, ended, refused.
import { signal, type Signal } from "@preact/signals";
import { call, del, post, put, seg } from "../lib/api";
import { rows } from "../state/board";
import type { Row } from "../stream/protocol";

/** What people call it. */
export const verbs: Record<string, string> = { abort: "Abort", stop: "Stop", unload: "Unload", kill: "End" };

/** What this viewer may do to it: the first of what the server says; undefined: nothing. */
export const wayOf = (row: Row): string | undefined => row.ends[0];

/** An activity ends with its job alone. */
export function subjectOf(row: Row): Row {
	return (row.kind === "recipe" && row.parent && rows.get(row.parent)) || row;
}

export async function end(row: Row): Promise<void> {
	const parts = row.ref.split("/");
	const [first = "", second = ""] = parts;
	switch (row.kind) {
		case "future":
		case "training":
			return void (await del(`/api/futures/${seg(row.ref)}`));
		case "job":
		case "recipe":
			return void (await post(`/public/api/projects/${seg(first)}/jobs/${seg(second)}/abort`));
		case "webapp":
			return void (await put(`/public/api/projects/${seg(first)}/webapps/${seg(parts.slice(1).join("/"))}/backend/actions/stop`, {}));
		case "notebook":
			return void (await del(`/api/notebooks/${seg(row.ref)}`));
		case "macro":
			return void (await del(`/api/macro-runs/${seg(row.ref)}`));
		case "kernel":
			return void (await del(`/api/processes/${seg(row.ref)}`));
		default:
			throw new Error(`There is no way to end a ${row.kind} by hand: policies do.`);
	}
}

export const leases = [
	{ text: "2h", title: "2 hours" },
	{ text: "8h", title: "8 hours" },
	{ text: "1d", title: "1 day" },
] as const;

/** Until then no policy ends a notebook; "0s": no longer. */
export const keep = (row: Row, lease: string) => post<{ notebook?: string; leasedUntil?: number }>(`/api/notebooks/${seg(row.ref)}/keep`, { for: lease });

// --- what would end ---

export interface Process {
	id?: string;
	pid?: number;
	what?: string;
	memoryBytes?: number;
	/** who else lives in its box, the first ones; how many in all */
	members?: { pid: number; name?: string }[];
	membersCount?: number;
}

/** What ending one row means. */
export interface Consequence {
	id: string;
	/** may it be ended by this viewer? */
	may: boolean;
	/** why not */
	reason?: string;
	processes?: Process[];
	memoryBytes?: number;
	/** sentences: what is lost with it */
	loses?: string[];
	/** what else ends: rows below it */
	also?: { id: string; what?: string; kind?: string }[];
}

export interface Preview {
	rows: Consequence[];
	memoryBytes?: number;
}

const ASK_MOST = 200; // rows of one question

export async function preview(ids: string[], signal: AbortSignal): Promise<Preview> {
	const all: Preview = { rows: [], memoryBytes: 0 };
	for (let i = 0; i < ids.length; i += ASK_MOST) {
		const part = await call<Preview>("/api/ends", { method: "POST", body: { ids: ids.slice(i, i + ASK_MOST) }, signal });
		all.rows.push(...part.rows);
		all.memoryBytes = (all.memoryBytes ?? 0) + (part.memoryBytes ?? 0);
	}
	return all;
}

// --- ending many ---

export type Step = "" | "asked" | "ended" | "failed";

export interface Ending {
	row: Row;
	step: Signal<Step>;
	why: Signal<string>;
}

const AT_ONCE = 4;

export const endingOf = (row: Row): Ending => ({ row, step: signal<Step>(""), why: signal("") });

/** Asks for the end of each; one that fails holds up no other. */
export async function endAll(list: Ending[]): Promise<void> {
	const left = list.filter((e) => e.step.value !== "ended");
	const work = async (): Promise<void> => {
		for (let e = left.shift(); e; e = left.shift()) {
			e.step.value = "asked";
			e.why.value = "";
			try {
				await end(e.row);
				// It is gone once the board says so; what the server took is on its way.
				if (!rows.has(e.row.id)) e.step.value = "ended";
			} catch (error) {
				e.step.value = "failed";
				e.why.value = error instanceof Error ? error.message : String(error);
			}
		}
	};
	await Promise.all(Array.from({ length: AT_ONCE }, work));
}
