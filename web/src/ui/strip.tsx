// strip: the node's memory as one stacked strip, what is ours beside what the rest of the machine uses, with the marks of budget and reserve; its
// legend says how much each is, and filters.
import "../style/strip.css";
import { effect, signal } from "@preact/signals";
import { bytes } from "../lib/format";
import { node } from "../state/board";
import type { NodeNow } from "../stream/protocol";
import { Spark } from "./basics";

interface Part {
	name: string;
	title: string;
	color: string;
	bytes: number;
	help: string;
	/** the rows that it is made of */
	where?: string;
}

const CPU_POINTS = 60;
/** processor time of the machine, one value a message */
const busyCores = signal<(number | null)[]>([]);
// Not once it is drawn: it would be drawn twice.
effect(() => {
	const n = node.value;
	busyCores.value = n ? [...busyCores.peek(), n.cpuShare ?? null].slice(-CPU_POINTS) : [];
});

export function partsOf(n: NodeNow): Part[] {
	const ours = n.services + n.warm + n.busy + n.notebooks + n.webapps;
	const other = n.usedBytes === undefined ? 0 : Math.max(0, n.usedBytes - ours);
	const free = n.totalBytes === undefined ? 0 : Math.max(0, n.totalBytes - ours - other);
	return [
		{ name: "busy", title: "Busy", color: "var(--k-busy)", bytes: n.busy, help: "kernels with futures, jobs, recipes and trainings", where: "kind in (future, job, recipe, training, macro)" },
		{ name: "notebooks", title: "Notebooks", color: "var(--k-notebooks)", bytes: n.notebooks, help: "kernels of notebooks", where: "kind = notebook" },
		{ name: "webapps", title: "Webapps", color: "var(--k-webapps)", bytes: n.webapps, help: "processes of webapps", where: "kind = webapp" },
		{ name: "warm", title: "Warm", color: "var(--k-warm)", bytes: n.warm, help: "kernels that start, stop, or stand ready without a task", where: "kind = kernel" },
		{ name: "services", title: "Services", color: "var(--k-services)", bytes: n.services, help: "dssd itself and the services beside it", where: "kind = service" },
		{ name: "other", title: "Other use", color: "var(--k-other)", bytes: other, help: "used on this machine by what is not dssd's" },
		{ name: "free", title: "Free", color: "var(--k-free)", bytes: free, help: "not used, or can be given back at once" },
	];
}

const cores = (share: number | null | undefined): string => (share === undefined || share === null ? "–" : share < 9.95 ? share.toFixed(1) : String(Math.round(share)));

const percent = (n: number, of: number) => `${((100 * n) / of).toFixed(2)}%`;

function Bar({ n, parts, total }: { n: NodeNow; parts: Part[]; total: number }) {
	const limit = n.reserveBytes !== undefined ? total - n.reserveBytes : undefined;
	const text = parts.filter((p) => p.bytes > 0).map((p) => `${p.title} ${bytes(p.bytes)}`);
	return (
		<div class="strip-bar" role="img" aria-label={`Memory of the node, ${bytes(total)}: ${text.join(", ")}${n.budgetBytes !== undefined ? `; budget ${bytes(n.budgetBytes)}` : ""}`}>
			<div class="strip-parts">
				{parts.map((p) => (
					<i key={p.name} data-part={p.name} style={{ width: percent(p.bytes, total), background: p.color }} title={`${p.title}: ${bytes(p.bytes)}, ${p.help}`} />
				))}
			</div>
			{n.budgetBytes !== undefined && n.budgetBytes < total && <b class="mark" data-mark="budget" style={{ left: percent(n.budgetBytes, total) }} title={`Budget: dssd's own processes together may be promised ${bytes(n.budgetBytes)}`} />}
			{limit !== undefined && n.reserveBytes! > 0 && limit > 0 && limit !== n.budgetBytes && (
				<b class="mark" data-mark="reserve" style={{ left: percent(limit, total) }} title={`Reserve: the last ${bytes(n.reserveBytes)} of the machine are kept free`} />
			)}
		</div>
	);
}

export function Strip({ isOn, onFilter }: { isOn: (where: string) => boolean; onFilter: (where: string) => void }) {
	const n = node.value;
	if (!n) return <div class="strip" aria-busy="true" />;
	const parts = partsOf(n);
	const total = n.totalBytes ?? parts.reduce((sum, p) => sum + p.bytes, 0);
	const busy = busyCores.value;
	const padded = busy.length < CPU_POINTS ? [...Array<null>(CPU_POINTS - busy.length).fill(null), ...busy] : busy;
	return (
		<section class="strip" aria-label="The node now">
			<div class="strip-memory">
				<div class="strip-head">
					<span>
						Memory{" "}
						<strong class="num">{n.usedBytes === undefined ? "not known" : bytes(n.usedBytes)}</strong>
						{n.totalBytes !== undefined && <span class="dim"> of {bytes(n.totalBytes)}</span>}
					</span>
					<span class="dim only-wide num strip-marks">
						{n.promisedBytes !== undefined && n.budgetBytes !== undefined && <span title="Limits of all that runs and stands ready, together: what does not fit into the budget waits, however much is free">promised {bytes(n.promisedBytes)}</span>}
						{n.budgetBytes !== undefined && <span data-mark="budget">budget {bytes(n.budgetBytes)}</span>}
						{n.reserveBytes !== undefined && <span data-mark="reserve">reserve {bytes(n.reserveBytes)}</span>}
					</span>
				</div>
				{total > 0 && <Bar n={n} parts={parts} total={total} />}
				<ul class="legend">
					{parts.map((p) => (
						<li key={p.name} class={p.where ? "" : "only-wide"}>
							{p.where ? (
								<button type="button" aria-pressed={isOn(p.where)} title={`${p.help}; show these alone`} onClick={() => onFilter(p.where!)}>
									<i style={{ background: p.color }} />
									{p.title} <span class="num dim">{bytes(p.bytes)}</span>
								</button>
							) : (
								<span title={p.help}>
									<i style={{ background: p.color }} />
									{p.title} <span class="num dim">{bytes(p.bytes)}</span>
								</span>
							)}
						</li>
					))}
				</ul>
			</div>
			<dl class="strip-numbers">
				<div title="processor time of the whole machine, in cores">
					<dt>CPU</dt>
					<dd>
						<strong class="num">{cores(n.cpuShare)}</strong>
						<span class="dim">
							of {n.cores} {n.cores === 1 ? "core" : "cores"}
						</span>
						<span class="only-wide strip-cpu">
							<Spark values={padded} most={n.cores} color="var(--k-cpu)" />
						</span>
					</dd>
				</div>
				<div>
					<dt>Running</dt>
					<dd>
						<strong class="num">{n.running}</strong>
					</dd>
				</div>
				<div>
					<dt>Waiting</dt>
					<dd>
						{n.waiting ? (
							<button type="button" aria-pressed={isOn("state = waiting")} title="show these alone" onClick={() => onFilter("state = waiting")}>
								<strong class="num">{n.waiting}</strong>
							</button>
						) : (
							<strong class="num">0</strong>
						)}
					</dd>
				</div>
			</dl>
		</section>
	);
}
