// steps: a pool's last hour in steps: read from the server once, continued from what the stream tells.
import type { Pool } from "../pools";

/** GET /api/pools/NAME/curve: lists of the same length; the last step goes on. */
export interface Steps {
	stepMs: number;
	fromAt: number;
	warm: number[];
	busy: number[];
	waiting: number[];
	target: number[];
	coldStarts: number[];
}

const HOUR_MS = 3_600_000;

/** The hour with the pool as it is at `at`. Of each step the most is told, of warm kernels the least, as the server does. `cold`: further cold starts. */
export function noted(h: Steps, p: Pool, at: number, cold: number): Steps {
	const out: Steps = { ...h, warm: [...h.warm], busy: [...h.busy], waiting: [...h.waiting], target: [...h.target], coldStarts: [...h.coldStarts] };
	const step = Math.max(0, Math.floor((at - h.fromAt) / h.stepMs));
	const held = (list: number[], otherwise: number) => list.at(-1) ?? otherwise;
	// nothing was told in a step: nothing changed in it
	while (out.warm.length < step) push(out, held(out.warm, p.idle), held(out.busy, p.busy), held(out.waiting, p.waiting), held(out.target, p.target));
	if (out.warm.length === step) push(out, p.idle, p.busy, p.waiting, p.target);
	const i = out.warm.length - 1;
	out.warm[i] = Math.min(out.warm[i]!, p.idle);
	out.busy[i] = Math.max(out.busy[i]!, p.busy);
	out.waiting[i] = Math.max(out.waiting[i]!, p.waiting);
	out.target[i] = Math.max(out.target[i]!, p.target);
	out.coldStarts[i]! += cold;
	const over = out.warm.length - Math.ceil(HOUR_MS / h.stepMs);
	if (over > 0) {
		for (const list of [out.warm, out.busy, out.waiting, out.target, out.coldStarts]) list.splice(0, over);
		out.fromAt += over * h.stepMs;
	}
	return out;
}

function push(s: Steps, warm: number, busy: number, waiting: number, target: number): void {
	s.warm.push(warm);
	s.busy.push(busy);
	s.waiting.push(waiting);
	s.target.push(target);
	s.coldStarts.push(0);
}
