// curve: a pool's warm and busy kernels and waiting tasks over the last hour against the target; starts that somebody had to wait for are marked.
import { useEffect, useRef, useState } from "preact/hooks";
import { get, seg } from "../../lib/api";
import { hello, node, now } from "../../state/board";
import { useLoad } from "../../state/load";
import { Failed, Loading } from "../../ui/basics";
import { Chart } from "../../ui/chart";
import type { Pool } from "../pools";
import { noted, type Steps } from "./steps";

const count = (v: number) => (Number.isInteger(v) ? String(v) : v.toFixed(1));

/** The hour, kept up to date by the stream; after a restart of the backend it is read anew. */
function useHour(pool: Pool) {
	const loaded = useLoad<Steps>((s) => get(`/api/pools/${seg(pool.name)}/curve`, {}, s), [], [pool.name, hello.value?.epoch]);
	const [hour, setHour] = useState<Steps>();
	const cold = useRef(pool.coldStarts ?? 0);
	useEffect(() => {
		if (loaded.value) setHour(loaded.value);
		cold.current = pool.coldStarts ?? 0;
	}, [loaded.value]);
	useEffect(() => {
		const more = Math.max(0, (pool.coldStarts ?? 0) - cold.current);
		cold.current = pool.coldStarts ?? 0;
		setHour((h) => h && noted(h, pool, now(), more));
	}, [pool, node.value]);
	return { hour, error: loaded.error, reload: loaded.reload };
}

export function PoolCurve({ pool }: { pool: Pool }) {
	const { hour: h, error, reload } = useHour(pool);
	if (error && !h) return <Failed error={error} retry={reload} />;
	if (!h) return <Loading lines={4} />;
	const times = h.warm.map((_, i) => h.fromAt + i * h.stepMs);
	const add = (list: number[], v: number) => [...list, v];
	times.push(Math.max(now(), times.at(-1) ?? 0));
	const marks = h.coldStarts.flatMap((n, i) => (n > 0 ? [{ at: times[i]!, color: "--warn", text: `${n} cold` }] : []));
	const waited = pool.waiting > 0 || h.waiting.some((n) => n > 0);
	const cold = h.coldStarts.reduce((n, v) => n + v, 0);
	return (
		<figure class="pool-curve">
			<Chart
				label={`Pool ${pool.name} over the last hour`}
				times={times}
				format={count}
				steps="count"
				most={Math.max(2, pool.target)}
				height={150}
				marks={marks}
				curves={[
					{ label: "Busy", color: "--k-busy", values: add(h.busy, pool.busy), steps: true, fill: true },
					{ label: "Warm", color: "--k-cpu", values: add(h.warm, pool.idle), steps: true },
					...(waited ? [{ label: "Waiting", color: "--bad", values: add(h.waiting, pool.waiting), steps: true }] : []),
					{ label: "Target", color: "--ink-3", values: add(h.target, pool.target), steps: true, dash: true },
				]}
			/>
			<figcaption class="dim">{cold ? `${cold} cold ${cold === 1 ? "start" : "starts"} in the last hour, marked above: somebody waited for a kernel.` : "No cold start in the last hour."}</figcaption>
		</figure>
	);
}
