// history: the last ten minutes of memory of the processes in sight. Asked of the server once (GET /api/curves), for many at a time, and continued
// from the stream's numbers: one value each 10 s. Who draws one says want(), and reads it after `moved` moved.
import { effect, signal } from "@preact/signals";
import { get } from "../lib/api";
import type { Row } from "../stream/protocol";
import { memoryOf, now, rows, tick } from "./board";

export const STEP_MS = 10_000;
export const POINTS = 60;
const ASK_MOST = 200; // processes in one question
const GATHER_MS = 120;

interface Curve {
	id: string;
	stepMs: number;
	fromAt: number;
	memoryBytes: (number | null)[];
}

/** Moves when lines got longer, or came. */
export const moved = signal(0);

/** By process: values, oldest first, the last one of now; a list is replaced, never changed. */
const lines = new Map<string, (number | null)[]>();
const asked = new Set<string>();
const wanted = new Set<string>();
let timer: ReturnType<typeof setTimeout> | undefined;
let steppedAt = 0;

export const historyOf = (process: string | undefined): readonly (number | null)[] | undefined => (process === undefined ? undefined : lines.get(process));

/** This process is being looked at. */
export function want(process: string): void {
	if (asked.has(process)) return;
	asked.add(process);
	wanted.add(process);
	timer ??= setTimeout(() => void ask(), GATHER_MS);
}

async function ask(): Promise<void> {
	timer = undefined;
	const ids = [...wanted].slice(0, ASK_MOST);
	for (const id of ids) wanted.delete(id);
	if (wanted.size) timer = setTimeout(() => void ask(), GATHER_MS);
	let curves: Curve[] = [];
	try {
		curves = await get<Curve[]>("/api/curves", { ids: ids.join(","), points: POINTS });
	} catch {
		// it begins here, then
	}
	const before = new Map(curves.map((c) => [c.id, c.memoryBytes]));
	for (const id of ids) lines.set(id, [...(before.get(id) ?? []), ...(lines.get(id) ?? [])].slice(-POINTS));
	moved.value++;
}

/** A value more for each line; steps that were missed are gaps. Lines of what is gone go. */
function step(at: number): void {
	const missed = steppedAt ? Math.min(POINTS, Math.round((at - steppedAt) / STEP_MS) - 1) : 0;
	steppedAt = at;
	if (!lines.size && !asked.size) return;
	const byProcess = new Map<string, Row>();
	for (const r of rows.values()) if (r.processId) byProcess.set(r.processId, r);
	for (const id of asked) if (!byProcess.has(id)) asked.delete(id);
	for (const [id, values] of lines) {
		const row = byProcess.get(id);
		if (!row) lines.delete(id);
		else lines.set(id, [...values, ...Array<null>(Math.max(0, missed)).fill(null), memoryOf(row.id)].slice(-POINTS));
	}
	moved.value++;
}

effect(() => {
	if (tick.value && now() - steppedAt >= STEP_MS) step(now());
});
