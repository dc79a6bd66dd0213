// usage: memory and CPU over its life, with its limit. The past comes from the server, the rest from the stream; of one that ended the last minute
// stands in its error even where the curve is gone.
import { useEffect, useMemo, useRef } from "preact/hooks";
import { get, seg } from "../../lib/api";
import { bytes, cpu } from "../../lib/format";
import { cpuOf, memoryOf, now, peakOf, tick } from "../../state/board";
import { useLoad } from "../../state/load";
import type { Row } from "../../stream/protocol";
import { Bytes, Loading, Meter } from "../../ui/basics";
import { Chart } from "../../ui/chart";
import type { Task } from "./end";

interface LifeCurve {
	id: string;
	stepMs: number;
	fromAt: number;
	memoryBytes: (number | null)[];
	cpuShare: (number | null)[];
	limitBytes?: number;
	peakBytes?: number;
}

const TAIL_MOST = 900;
const BEFORE_MS = 2000;
const CPU_LEAST = 0.1; // the axis reaches 10 % of a core at least

interface Tail {
	times: number[];
	memory: (number | null)[];
	cpu: (number | null)[];
}

export function Usage({ id, processId, row, task }: { id: string; processId: string | undefined; row: Row | undefined; task: Task | undefined }) {
	const loaded = useLoad<LifeCurve | undefined>((signal) => (processId ? get<LifeCurve>(`/api/curves/${seg(processId)}`, {}, signal).catch(() => undefined) : Promise.resolve(undefined)), [], [processId]);
	const tail = useRef<Tail>({ times: [], memory: [], cpu: [] });
	useEffect(() => {
		tail.current = { times: [], memory: [], cpu: [] };
	}, [processId]);
	const seen = tick.value;
	const memory = memoryOf(id);
	useEffect(() => {
		const t = tail.current;
		if (memory === null || loaded.isLoading) return;
		t.times.push(now());
		t.memory.push(memory);
		t.cpu.push(cpuOf(id));
		if (t.times.length > TAIL_MOST) for (const list of [t.times, t.memory, t.cpu]) list.splice(0, list.length - TAIL_MOST);
	}, [seen]);

	const detail = task?.error?.detail;
	const limit = row?.limitBytes ?? loaded.value?.limitBytes ?? detail?.limitBytes;
	const peak = peakOf(id) ?? loaded.value?.peakBytes ?? detail?.peakBytes;
	// a kernel lived before its task: that is not the task's
	const from = (row?.startedAt ?? task?.startTime ?? 0) - BEFORE_MS;
	const isLive = !task || task.alive;
	const data = useMemo(() => join(loaded.value, tail.current, task, from), [loaded.value, seen, task, from]);

	if (!processId && !detail) return <p class="dim">It has no process yet: it uses nothing.</p>;
	if (loaded.isLoading && !data.times.length) return <Loading lines={3} />;
	return (
		<div class="usage">
			<div class="usage-now">
				{isLive && (
					<div>
						<span class="dim">Memory</span>
						<Meter used={memory} limit={limit}>
							<span>
								<strong>
									<Bytes n={memory} />
								</strong>
								{limit ? <span class="dim"> of {bytes(limit)}</span> : null}
							</span>
						</Meter>
					</div>
				)}
				<div>
					<span class="dim">Peak</span>
					<strong>
						<Bytes n={peak} />
					</strong>
				</div>
				{isLive ? (
					<div>
						<span class="dim">CPU</span>
						<strong class="num">{cpu(cpuOf(id)) || "–"}</strong>
					</div>
				) : (
					<div>
						<span class="dim">Limit</span>
						<strong>
							<Bytes n={limit} />
						</strong>
					</div>
				)}
			</div>
			{data.times.length > 1 ? (
				<>
					<Chart
						label="Memory"
						times={data.times}
						format={bytes}
						steps="bytes"
						most={limit ?? undefined}
						height={140}
						curves={[
							{ label: "Memory", color: "--k-memory", values: data.memory, fill: true },
							...(limit ? [{ label: "Limit", color: "--k-limit", values: data.times.map(() => limit), dash: true }] : []),
						]}
					/>
					{data.cpu.some((v) => v !== null) && <Chart label="CPU" times={data.times} format={cpu} most={CPU_LEAST} height={84} curves={[{ label: "CPU", color: "--k-cpu", values: data.cpu, fill: true }]} />}
				</>
			) : (
				<p class="dim">{task && !task.alive ? loaded.value ? "It ended before it was measured twice." : "Its curve is no longer kept." : "A curve is drawn once it was measured twice."}</p>
			)}
		</div>
	);
}

/** The server's curve, then what the stream told since. */
function join(life: LifeCurve | undefined, tail: Tail, task: Task | undefined, from: number): Tail {
	const out: Tail = { times: [], memory: [], cpu: [] };
	life?.memoryBytes.forEach((v, i) => {
		const at = life.fromAt + i * life.stepMs;
		if (at < from) return;
		out.times.push(at);
		out.memory.push(v);
		out.cpu.push(life.cpuShare[i] ?? null);
	});
	const minute = task?.error?.detail?.lastMinute ?? [];
	if (out.times.length < 2 && minute.length > out.times.length) {
		out.times = [];
		out.memory = [];
		out.cpu = [];
		for (const p of minute) {
			out.times.push(p.t);
			out.memory.push(p.memoryBytes);
			out.cpu.push(null);
		}
	}
	const last = out.times.at(-1) ?? 0;
	tail.times.forEach((t, i) => {
		if (t <= last) return;
		out.times.push(t);
		out.memory.push(tail.memory[i]!);
		out.cpu.push(tail.cpu[i]!);
	});
	return out;
}
