// over: how something that has left the board ended: one request, to where its kind's ended ones are told.
import { get, seg } from "../../lib/api";
import { href } from "../../lib/router";
import type { Row } from "../../stream/protocol";
import { whyOf } from "../../ui/activity_ended";
import { status, when } from "../jobs/model";
import type { Run } from "../macros/model";
import type { Task } from "../task/end";

export interface Over {
	state: string;
	endedAt?: number;
	/** absent: it never began */
	startedAt?: number;
	/** why it ended as it did, in the server's words; "" where it went well */
	why: string;
	/** where more is told, where only the answer knows it */
	page?: string;
}

/** Where its story is told once it has ended; undefined: nowhere, or see Over. */
export function pageOf(r: Row): string | undefined {
	if (r.kind === "future" || r.kind === "training") return href("task", r.id);
	const [project = "", job = ""] = r.ref.split("/");
	if (r.kind === "job" || r.kind === "recipe") return href("job", project, job);
	return undefined;
}

async function ofTask(id: string, signal: AbortSignal): Promise<Over | undefined> {
	const t = await get<Task>(`/api/tasks/${seg(id)}`, {}, signal);
	if (t.alive) return undefined;
	// What never began has the time it was submitted there.
	const began = t.timeline?.some((m) => m.what === "started") ?? true;
	return { state: t.state, endedAt: t.endTime, startedAt: began ? t.startTime : undefined, why: t.state === "done" ? "" : whyOf(t) };
}

async function ofJob(ref: string, signal: AbortSignal): Promise<Over | undefined> {
	const [project = "", job = "", ...rest] = ref.split("/");
	const s = await status(project, job, signal);
	const base = s.baseStatus;
	const a = rest.length > 0 ? base.activities[rest.join("/")] : undefined;
	if (rest.length > 0 ? !a || a.state === "RUNNING" || a.state === "WAITING" || a.state === "NOT_STARTED" : !base.stableState) return undefined;
	const it = a ?? base;
	const state = it.state.toLowerCase();
	const why = a ? (a.messages?.messages?.[0]?.message ?? a.reason) : s.errorMessage || base.unexpectedFailure?.message;
	return { state, endedAt: when(it.endTime), startedAt: when(it.startTime), why: state === "done" ? "" : (why ?? "") };
}

async function ofMacro(id: string, signal: AbortSignal): Promise<Over | undefined> {
	const r = await get<Run>(`/api/macro-runs/${seg(id)}`, undefined, signal);
	return r.running || !r.state ? undefined : { state: r.state, endedAt: when(r.endTime), startedAt: when(r.startTime), why: r.resultError?.message ?? "", page: href("macros", r.macro ?? "", { run: id }) };
}

/** How it ended; undefined: nothing tells, or it has not. */
export async function overOf(r: Row, signal: AbortSignal): Promise<Over | undefined> {
	if (r.kind === "future" || r.kind === "training") return ofTask(r.ref, signal);
	if (r.kind === "job" || r.kind === "recipe") return ofJob(r.ref, signal);
	if (r.kind === "macro") return ofMacro(r.ref, signal);
	return undefined;
}
