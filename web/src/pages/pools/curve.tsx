// curve: a pool's warm and busy kernels and waiting tasks over the last hour against the target; starts that somebody had to wait for are marked.
import { useEffect, useRef } from "preact/hooks";
import { get, seg } from "../../lib/api";
import { now, pools } from "../../state/board";
import { useLoad } from "../../state/load";
import { Failed, Loading } from "../../ui/basics";
import { Chart } from "../../ui/chart";
import type { Pool } from "../pools";

interface PoolHistory {
	stepMs: number;
	fromAt: number;
	warm: number[];
	busy: number[];
	waiting: number[];
	target: number[];
	coldStarts: number[];
}

const count = (v: number) => (Number.isInteger(v) ? String(v) : v.toFixed(1));
const AGAIN_MS = 60_000; // what is drawn between is of the stream; the server's own steps come now and then

export function PoolCurve({ pool }: { pool: Pool }) {
	const loaded = useLoad<PoolHistory>((s) => get(`/api/pools/${seg(pool.name)}/curve`, {}, s), [], [pool.name]);
	const at = useRef(0);
	const seen = pools.value;
	useEffect(() => {
		// a minute's worth of the stream is behind: the history is read anew, once
		if (loaded.value && at.current && Date.now() - at.current > AGAIN_MS) {
			at.current = Date.now();
			loaded.reload();
		} else if (!at.current) at.current = Date.now();
	}, [seen]);
	if (loaded.error && !loaded.value) return <Failed error={loaded.error} retry={loaded.reload} />;
	const h = loaded.value;
	if (!h) return <Loading lines={4} />;
	const times = h.warm.map((_, i) => h.fromAt + i * h.stepMs);
	const add = (list: number[], v: number) => [...list, v];
	times.push(now());
	const marks = h.coldStarts.flatMap((n, i) => (n > 0 ? [{ at: times[i]!, color: "--warn", text: `${n} cold` }] : []));
	const cold = h.coldStarts.reduce((n, v) => n + v, 0);
	return (
		<figure class="pool-curve">
			<Chart
				label={`Pool ${pool.name} over the last hour`}
				times={times}
				format={count}
				steps="count"
				most={Math.max(2, pool.target)}
				height={170}
				marks={marks}
				curves={[
					{ label: "Busy", color: "--k-busy", values: add(h.busy, pool.busy), steps: true, fill: true },
					{ label: "Warm", color: "--k-cpu", values: add(h.warm, pool.idle), steps: true },
					{ label: "Waiting", color: "--bad", values: add(h.waiting, pool.waiting), steps: true },
					{ label: "Target", color: "--ink-3", values: add(h.target, pool.target), steps: true, dash: true },
				]}
			/>
			<figcaption class="dim">{cold ? `${cold} cold ${cold === 1 ? "start" : "starts"} in the last hour, marked above: somebody waited for a kernel.` : "No cold start in the last hour."}</figcaption>
		</figure>
	);
}
