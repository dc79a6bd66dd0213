// model: macros as the policies declare them, their runs, and results that were fetched: the server tells each once.
import { effect } from "@preact/signals";
import { ask, del, get, post, seg } from "../../lib/api";
import { key } from "../../lib/session";
import type { Param, Values } from "../../ui/form";
import { sent } from "../../ui/form";

export interface Macro {
	name: string;
	runnableType: string;
	who: "admin" | "project";
	source?: string;
	params: Param[];
	adminParams: Param[];
	resultType: "RESULT_TABLE" | "JSON_OBJECT" | "HTML" | "FILE";
	resultLabel?: string;
	extension?: string;
	longDescription?: string;
	requiresGlobalAdmin?: boolean;
	meta: { label?: string; description?: string };
}

export interface Run {
	runId: string;
	macro?: string;
	owner?: string;
	running: boolean;
	exists: boolean;
	empty: boolean;
	state?: string;
	startTime?: number;
	endTime?: number;
	progress?: { fraction?: number; states?: { name?: string; cur?: number; target?: number }[] };
	resultError?: { message: string };
}

export type Cell = string | number | boolean | null | Cell[] | { [k: string]: Cell };

export interface Table {
	columns: string[];
	records: Cell[][];
	simulated?: boolean;
	summary?: { looked?: number; kept?: number; would?: number; done?: number; failed?: number; bytes?: number; left_out?: number; cut?: boolean; note?: string };
}

export const isTable = (v: unknown): v is Table => typeof v === "object" && v !== null && Array.isArray((v as Table).columns) && Array.isArray((v as Table).records);

/** What a run was asked for here: with the same params it can be done for real. */
export interface Asked {
	macro: string;
	project?: string;
	values: Values;
}

export interface Fetched {
	asked?: Asked;
	/** a table, an object, or a text */
	value?: unknown;
}

const KEPT = "dss.runs";
const KEPT_MOST = 8;
const KEPT_CHARACTERS = 2 << 20;

/** Of this tab, so that a reload does not lose what the server has told once; gone with the session. */
function kept(): Record<string, Fetched> {
	try {
		return JSON.parse(sessionStorage.getItem(KEPT) ?? "{}") as Record<string, Fetched>;
	} catch {
		return {};
	}
}
let store = kept();
effect(() => {
	if (key.value !== null) return; // nobody is logged in: what was theirs goes
	store = {};
	try {
		sessionStorage.removeItem(KEPT);
	} catch {
		// nothing was kept
	}
});

export const fetched = (run: string): Fetched | undefined => store[run];

export function keep(run: string, change: Fetched): void {
	const next = { ...store, [run]: { ...store[run], ...change } };
	for (const old of Object.keys(next).slice(0, -KEPT_MOST)) delete next[old];
	store = next;
	try {
		const text = JSON.stringify(next);
		if (text.length <= KEPT_CHARACTERS) sessionStorage.setItem(KEPT, text);
	} catch {
		// it lives as long as the page, then
	}
}

export const hasSimulate = (m: Macro): boolean => m.params.some((p) => p.name === "simulate" && p.kind === "flag");
/** Those that are asked for in fields. */
export const fieldsOf = (m: Macro): Param[] => [...m.params.filter((p) => p.name !== "simulate" || p.kind !== "flag"), ...m.adminParams.map((p) => ({ ...p, isAdmin: true }))];

export async function start(m: Macro, asked: Asked, simulate?: boolean): Promise<string> {
	const admin = new Set(m.adminParams.map((p) => p.name));
	const all = sent(fieldsOf(m), asked.values);
	const params: Record<string, unknown> = {};
	const adminParams: Record<string, unknown> = {};
	for (const [k, v] of Object.entries(all)) (admin.has(k) ? adminParams : params)[k] = v;
	if (simulate !== undefined) params["simulate"] = simulate;
	const body = { params, adminParams };
	const path = asked.project ? `/public/api/projects/${seg(asked.project)}/runnables/${seg(m.name)}` : `/api/macros/${seg(m.name)}`;
	const { runId } = await post<{ runId: string }>(path, body);
	keep(runId, { asked });
	return runId;
}

export const runs = (signal: AbortSignal) => get<Run[]>("/api/macro-runs", undefined, signal);
export const run = (id: string, signal: AbortSignal) => get<Run>(`/api/macro-runs/${seg(id)}`, undefined, signal);
export const abort = (id: string) => del(`/api/macro-runs/${seg(id)}`);

export async function fetchResult(id: string): Promise<unknown> {
	const r = await ask(`/api/macro-runs/${seg(id)}/result`);
	const text = await r.text();
	const value: unknown = r.headers.get("Content-Type")?.includes("json") ? JSON.parse(text) : text;
	keep(id, { value });
	return value;
}

/** Saves a result that is a file: the key is a header, so a link cannot. */
export async function download(id: string, otherwise: string): Promise<string> {
	const r = await ask(`/api/macro-runs/${seg(id)}/result`);
	const name = /filename="([^"/\\]+)"/.exec(r.headers.get("Content-Disposition") ?? "")?.[1] ?? otherwise;
	const url = URL.createObjectURL(await r.blob());
	const a = document.createElement("a");
	a.href = url;
	a.download = name;
	a.click();
	setTimeout(() => URL.revokeObjectURL(url), 60_000);
	return name;
}
