// api: requests with the key as a header. What goes wrong comes as ApiError, in the server's own words.
import { key, logOut } from "./session";

/** status 0: no answer at all. body: the answer's JSON, where it was some (a policy's errors, a task's detail). */
export class ApiError extends Error {
	constructor(readonly status: number, readonly type: string, message: string, readonly body?: unknown) {
		super(message);
	}
}

export interface Ask {
	method?: "GET" | "POST" | "PUT" | "DELETE";
	body?: unknown;
	/** another key than that of the session: for logging in */
	as?: string;
	signal?: AbortSignal;
	query?: Record<string, string | number | boolean | undefined>;
}

function url(path: string, query: Ask["query"]): string {
	const q = new URLSearchParams();
	for (const [k, v] of Object.entries(query ?? {})) if (v !== undefined && v !== "") q.set(k, String(v));
	const text = q.toString();
	return text ? `${path}?${text}` : path;
}

/** One path segment of a free text. */
export const seg = (s: string): string => encodeURIComponent(s);

/** The answer itself; throws ApiError. */
export async function ask(path: string, a: Ask = {}): Promise<Response> {
	const headers: Record<string, string> = { Accept: "application/json" };
	const k = a.as ?? key.value;
	if (k) headers["Authorization"] = `Bearer ${k}`;
	if (a.body !== undefined) headers["Content-Type"] = "application/json";
	let r: Response;
	try {
		r = await fetch(url(path, a.query), {
			method: a.method ?? "GET",
			headers,
			body: a.body === undefined ? undefined : JSON.stringify(a.body),
			signal: a.signal,
			cache: "no-store",
			credentials: "omit",
			redirect: "error",
		});
	} catch (e) {
		if (a.signal?.aborted) throw e;
		throw new ApiError(0, "Unreachable", "The server does not answer. It may be restarting; nothing was lost.");
	}
	if (r.ok) return r;
	let body: { errorType?: string; message?: string } | undefined;
	try {
		body = await r.json();
	} catch {
		// a proxy's page, or nothing
	}
	if (r.status === 401 && a.as === undefined) logOut("The key is no longer accepted: it was revoked, or this is another instance.");
	throw new ApiError(r.status, body?.errorType ?? "", body?.message ?? `The server answered ${r.status} ${r.statusText}`.trim(), body);
}

/** The answer's JSON; undefined where it has none. */
export async function call<T>(path: string, a: Ask = {}): Promise<T> {
	const r = await ask(path, a);
	const text = await r.text();
	return (text ? JSON.parse(text) : undefined) as T;
}

export const get = <T>(path: string, query?: Ask["query"], signal?: AbortSignal) => call<T>(path, { query, signal });
export const post = <T>(path: string, body: unknown = {}, query?: Ask["query"]) => call<T>(path, { method: "POST", body, query });
export const put = <T>(path: string, body: unknown, query?: Ask["query"]) => call<T>(path, { method: "PUT", body, query });
export const del = <T>(path: string, query?: Ask["query"]) => call<T>(path, { method: "DELETE", query });

/** A piece of a log: bytes from `offset` (negative: so many from the end). `at` is where the piece begins, `size` what there is in all. */
export interface Piece {
	bytes: Uint8Array;
	at: number;
	size: number;
	/** nothing more will come */
	whole: boolean;
}

const numberOf = (r: Response, name: string, otherwise: number): number => {
	const n = Number(r.headers.get(name) ?? NaN);
	return Number.isFinite(n) ? n : otherwise;
};

export async function logPiece(path: string, offset: number, wait?: number, signal?: AbortSignal): Promise<Piece> {
	const r = await ask(path, { query: { offset, wait }, signal });
	const bytes = new Uint8Array(await r.arrayBuffer());
	const at = numberOf(r, "Log-Offset", Math.max(0, offset));
	return { bytes, at, size: numberOf(r, "Log-Size", at + bytes.length), whole: r.headers.get("Log-Whole") === "true" };
}

/** Lines of one activity in its job's log; `next` is where to go on in that log, `size` what it has in all. */
export interface Said {
	text: string;
	next: number;
	size: number;
	whole: boolean;
}

/** All that it has said so far. */
export async function said(project: string, job: string, activity: string, signal?: AbortSignal): Promise<Said> {
	return saidOf(await ask(`/public/api/projects/${seg(project)}/jobs/${seg(job)}/log`, { query: { activity }, signal }));
}

/** What it said from there on; waits for up to `wait` seconds for it. */
export async function saidFrom(project: string, job: string, activity: string, offset: number, wait: number, signal?: AbortSignal): Promise<Said> {
	return saidOf(await ask(`/api/jobs/${seg(project)}/${seg(job)}/log`, { query: { activity, offset, wait }, signal }));
}

async function saidOf(r: Response): Promise<Said> {
	const next = numberOf(r, "Log-Next", 0);
	return { text: await r.text(), next, size: numberOf(r, "Log-Size", next), whole: r.headers.get("Log-Whole") === "true" };
}
