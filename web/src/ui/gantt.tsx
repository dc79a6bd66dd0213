// gantt: what ran when: a line for each thing, hatched while it waited, filled while it ran. Each line is a button that says the same in words, so
// the picture is a list for those who do not see it.
import { duration, exact, plain, time } from "../lib/format";
import { now } from "../state/board";
import { clock, State } from "./basics";
import "../style/gantt.css";

export interface Bar {
	id: string;
	label: string;
	/** small, beside the label */
	kind?: string;
	state: string;
	/** why it waits now, or what is to be said of it */
	note?: string;
	waitedFrom?: number;
	startedAt?: number;
	endedAt?: number;
}

export interface GanttProps {
	label: string;
	bars: Bar[];
	from: number;
	/** absent: it goes on */
	until?: number;
	chosen?: string;
	onChoose?: (id: string) => void;
}

const STEPS_S = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400];
const TICKS_MOST = 7;
const LEAST_MS = 200;
const SCROLLS_FROM = 14; // lines

/** Where lines of the scale stand, ms after its beginning. */
export function ticks(span: number): number[] {
	const step = (STEPS_S.find((s) => span / (s * 1000) <= TICKS_MOST) ?? Math.ceil(span / TICKS_MOST / 86_400_000) * 86_400) * 1000;
	const out: number[] = [];
	for (let at = 0; at <= span; at += step) out.push(at);
	return out;
}

function said(b: Bar, until: number): string {
	const parts = [plain(b.label), b.kind ?? "", b.state];
	if (b.startedAt) {
		parts.push(`started ${time(b.startedAt)}`);
		parts.push(b.endedAt ? `ended ${time(b.endedAt)} after ${duration(b.endedAt - b.startedAt)}` : `for ${duration(Math.max(0, until - b.startedAt))}`);
	}
	if (b.waitedFrom && b.startedAt && b.startedAt > b.waitedFrom) parts.push(`waited ${duration(b.startedAt - b.waitedFrom)}`);
	if (b.note) parts.push(plain(b.note));
	return parts.filter(Boolean).join(", ");
}

function hover(b: Bar): string {
	const lines = [said(b, now())];
	if (b.waitedFrom) lines.push(`could begin: ${exact(b.waitedFrom)}`);
	if (b.startedAt) lines.push(`started: ${exact(b.startedAt)}`);
	if (b.endedAt) lines.push(`ended: ${exact(b.endedAt)}`);
	return lines.join("\n");
}

export function Gantt(p: GanttProps) {
	if (!p.until) clock.value; // it grows
	const end = Math.max(p.until ?? now(), p.from + LEAST_MS, ...p.bars.map((b) => b.endedAt ?? b.startedAt ?? 0));
	const span = (end - p.from) * (p.until ? 1.01 : 1.04); // room for what stands at the end
	const at = (ms: number) => `${(Math.max(0, Math.min(1, (ms - p.from) / span)) * 100).toFixed(3)}%`;
	const width = (a: number, b: number) => `${(Math.max(0, Math.min(1, (b - a) / span)) * 100).toFixed(3)}%`;
	const scale = ticks(span);
	const move = (e: KeyboardEvent, i: number) => {
		const to = e.key === "ArrowDown" ? i + 1 : e.key === "ArrowUp" ? i - 1 : e.key === "Home" ? 0 : e.key === "End" ? p.bars.length - 1 : -1;
		if (to < 0 || to >= p.bars.length) return;
		e.preventDefault();
		(e.currentTarget as HTMLElement).closest("ol")?.querySelectorAll<HTMLElement>("button")[to]?.focus();
	};
	return (
		<div class={`gantt${p.bars.length > SCROLLS_FROM ? " scrolls" : ""}`}>
			<div class="gantt-scale" aria-hidden="true">
				<span class="gantt-name">from {time(p.from)}</span>
				<span class="gantt-track">
					{scale.map((ms) => (
						<span key={ms} class="gantt-tick" style={{ left: at(p.from + ms) }}>
							{ms === 0 ? "0" : duration(ms).replace(/\.0 s$/, " s")}
						</span>
					))}
				</span>
			</div>
			<ol aria-label={p.label}>
				{p.bars.map((b, i) => {
					const until = b.endedAt ?? end;
					const tone = b.state.toLowerCase();
					return (
						<li key={b.id}>
							<button type="button" aria-label={said(b, end)} aria-pressed={p.chosen === b.id} title={hover(b)} onClick={() => p.onChoose?.(b.id)} onKeyDown={(e) => move(e, i)}>
								<span class="gantt-name" aria-hidden="true">
									<State state={b.state.replaceAll("_", " ")} />
									<bdi class="cut">{plain(b.label)}</bdi>
									{b.kind && <span class="dim only-wide">{b.kind}</span>}
								</span>
								<span class="gantt-track" aria-hidden="true">
									{scale.map((ms) => (
										<i key={ms} class="gantt-line" style={{ left: at(p.from + ms) }} />
									))}
									{b.waitedFrom && (b.startedAt ?? until) > b.waitedFrom && (
										<i class="gantt-bar waits" style={{ left: at(b.waitedFrom), width: width(b.waitedFrom, b.startedAt ?? until) }} />
									)}
									{b.startedAt && <i class="gantt-bar" data-state={tone} style={{ left: at(b.startedAt), width: width(b.startedAt, until) }} />}
									{!p.until && <i class="gantt-now" style={{ left: at(end) }} />}
								</span>
								<span class="gantt-took num" aria-hidden="true">
									{b.startedAt ? duration(Math.max(0, until - b.startedAt)) : ""}
								</span>
							</button>
						</li>
					);
				})}
			</ol>
		</div>
	);
}
