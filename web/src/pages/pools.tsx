// pools: each pool's stock of kernels now and over the last hour against its target, and what its policy decided.
import "../style/pools.css";
import { useState } from "preact/hooks";
import { get, seg } from "../lib/api";
import { bytes, duration } from "../lib/format";
import { href, place } from "../lib/router";
import { pools, tick } from "../state/board";
import { useLoad } from "../state/load";
import { Bytes, Button, Empty, Failed, Loading, Text } from "../ui/basics";
import { Decisions, type Decision } from "../ui/decisions";
import { Source } from "../ui/source";
import { PoolCurve } from "./pools/curve";

export interface Pool {
	name: string;
	about?: string;
	source?: string;
	kind: string;
	warm: { min: number; max: number };
	target: number;
	demand?: number;
	leadSeconds?: number;
	max: number;
	alive: number;
	starting: number;
	idle: number;
	busy: number;
	stopping: number;
	waiting: number;
	/** since the backend's start: kernels started because a task waited */
	coldStarts?: number;
	memoryLimitBytes?: number;
	memoryMaxBytes?: number;
	heapBytes?: number;
	failedStarts?: number;
	failure?: string;
	waitsForBytes?: number;
	retired?: boolean;
}

/** Tasks a second, as one says it. */
function demand(perSecond: number | undefined): string {
	if (!perSecond || perSecond < 1 / 86_400) return "none lately";
	if (perSecond >= 0.95) return `${perSecond.toFixed(1)} a second`;
	if (perSecond * 60 >= 0.95) return `${(perSecond * 60).toFixed(1)} a minute`;
	return `${(perSecond * 3600).toFixed(1)} an hour`;
}

/** Why it is as it is, in a sentence. */
function sentence(p: Pool): string {
	if (p.failure) return `The last start failed (${p.failedStarts ?? 1} in a row): ${p.failure}`;
	if (p.waitsForBytes) return `No further kernel starts: ${bytes(p.waitsForBytes)} of the node's memory are not free.`;
	const wait = `${p.waiting} ${p.waiting === 1 ? "task waits" : "tasks wait"}`;
	if (p.waiting && p.idle) return `${wait}, though ${p.idle === 1 ? "a kernel is" : `${p.idle} kernels are`} free: each task tells which rule holds it back.`;
	if (p.waiting && p.alive >= p.max) return `${wait}: all ${p.max} kernels that it may have are busy.`;
	if (p.waiting) return `${wait} for a kernel.`;
	if (p.idle < p.target) return `${p.idle} of ${p.target} ${p.idle === 1 ? "waits" : "wait"} warm; ${p.starting} ${p.starting === 1 ? "starts" : "start"}.`;
	return p.target ? (p.idle === 1 ? "1 waits warm, as it should." : `${p.idle} wait warm, as they should.`) : "None is kept warm: each task starts one.";
}

function Stock({ p }: { p: Pool }) {
	const parts: [string, number, string][] = [
		["busy", p.busy, "--k-busy"],
		["warm", p.idle, "--k-warm"],
		["starting", p.starting, "--k-notebooks"],
		["stopping", p.stopping, "--k-other"],
	];
	return (
		<div class="stock">
			<div class="stock-bar" role="img" aria-label={parts.map(([n, v]) => `${v} ${n}`).join(", ") + ` of at most ${p.max}`}>
				{parts.map(([n, v, c]) => v > 0 && <span key={n} style={{ flexGrow: v, background: `var(${c})` }} />)}
				<span style={{ flexGrow: Math.max(0, p.max - p.alive), background: "var(--k-free)" }} />
			</div>
			<div class="stock-words">
				{parts.map(([n, v, c]) => (
					<span key={n} class={v ? "" : "dim"}>
						<i style={{ background: `var(${c})` }} aria-hidden="true" />
						<strong class="num">{v}</strong> {n}
					</span>
				))}
				<span class={p.waiting ? "wrong" : "dim"}>
					<strong class="num">{p.waiting}</strong> waiting
				</span>
				<span class="dim">
					at most <span class="num">{p.max}</span>
				</span>
			</div>
		</div>
	);
}

function Section({ p }: { p: Pool }) {
	const [shows, setShows] = useState(place.value.query["pool"] === p.name);
	const why = useLoad((s) => (shows ? get<Decision[]>("/api/decisions", { kind: "pool", subject: p.name, limit: 20 }, s) : Promise.resolve([])), [], [shows]);
	return (
		<section class="card pool" aria-label={`Pool ${p.name}`} id={`pool-${seg(p.name)}`}>
			<header>
				<h2>
					<Text text={p.name} />
				</h2>
				<span class="tag">{p.kind}</span>
				{p.retired && <span class="tag">retired</span>}
				<span class="dim cut">
					<Text text={p.about} />
				</span>
				<span class="head push">
					<Source at={p.source} />
				</span>
			</header>
			<div class="body pool-body">
				<div class="pool-now">
					<Stock p={p} />
					<p class={p.failure || p.waiting ? "" : "dim"}>
						<Text text={sentence(p)} cut={false} />
					</p>
					<dl class="facts">
						<dt>Warm</dt>
						<dd>
							{p.warm.min} to {p.warm.max}, now {p.target}
						</dd>
						<dt>Demand</dt>
						<dd>{demand(p.demand)}</dd>
						{p.leadSeconds !== undefined && (
							<>
								<dt>A start takes</dt>
								<dd>{duration(p.leadSeconds * 1000)}</dd>
							</>
						)}
						{p.memoryLimitBytes !== undefined && (
							<>
								<dt>Memory each</dt>
								<dd>
									<Bytes n={p.memoryLimitBytes} />
									{p.memoryMaxBytes ? <span class="dim"> up to {bytes(p.memoryMaxBytes)} for a task that asks</span> : null}
									{p.heapBytes ? <span class="dim">, heap {bytes(p.heapBytes)}</span> : null}
								</dd>
							</>
						)}
					</dl>
					<div class="head">
						<a class="button small" href={href("tasks", { where: `pool = "${p.name.replace(/["\\]/g, "\\$&")}"` })}>
							Its kernels and tasks
						</a>
						<Button small look="quiet" aria-expanded={shows} onClick={() => setShows(!shows)}>
							{shows ? "Hide decisions" : "What its policy decided"}
						</Button>
					</div>
				</div>
				<PoolCurve pool={p} />
			</div>
			{shows && <div class="body">{why.error ? <Failed error={why.error} retry={why.reload} /> : !why.value ? <Loading lines={2} /> : <Decisions list={why.value} />}</div>}
		</section>
	);
}

export default function Pools() {
	tick.value;
	const list = pools.value as Pool[] | null;
	if (!list) return <Loading lines={8} />;
	return (
		<div class="page">
			<div class="head">
				<h1>Pools</h1>
				<span class="dim">kernels that start ahead of time, so that tasks begin at once</span>
			</div>
			{list.length === 0 ? (
				<Empty title="No policy makes a pool.">
					A pool is made by the word <code>pool</code> in a policy.
				</Empty>
			) : (
				list.map((p) => <Section key={p.name} p={p} />)
			)}
		</div>
	);
}
