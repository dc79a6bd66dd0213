// chart: curves over time by uPlot: memory with its limit, CPU, a pool's stock. Values of a moment are read off at the cursor.
import "uplot/dist/uPlot.min.css";
import "../style/chart.css";
import uPlot from "uplot";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { exact } from "../lib/format";
import { shownTheme } from "../lib/theme";

export interface Curve {
	label: string;
	/** a custom property of tokens.css: "--k-memory" */
	color: string;
	values: (number | null)[];
	fill?: boolean;
	dash?: boolean;
	/** constant from one time to the next, not a slope */
	steps?: boolean;
}

export interface ChartProps {
	label: string;
	/** ms since 1970, ascending */
	times: number[];
	curves: Curve[];
	format: (v: number) => string;
	height?: number;
	/** the axis reaches this at least */
	most?: number;
	/** what its ticks are multiples of: bytes go by powers of two, counts are whole */
	steps?: "bytes" | "count";
	/** a marked moment each: cold starts */
	marks?: { at: number; color: string; text: string }[];
}

const color = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function drawMarks(u: uPlot, marks: ChartProps["marks"]): void {
	for (const m of marks ?? []) {
		const x = u.valToPos(m.at / 1000, "x", true);
		u.ctx.save();
		u.ctx.strokeStyle = u.ctx.fillStyle = color(m.color);
		u.ctx.beginPath();
		u.ctx.moveTo(x, u.bbox.top);
		u.ctx.lineTo(x, u.bbox.top + u.bbox.height);
		u.ctx.globalAlpha = 0.35;
		u.ctx.stroke();
		u.ctx.globalAlpha = 1;
		u.ctx.fillRect(x - 2, u.bbox.top, 4, 6);
		u.ctx.restore();
	}
}

const BYTE_STEPS = Array.from({ length: 40 }, (_, i) => 2 ** (i + 10));
const COUNT_STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000];
const seconds = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const minutes = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const days = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

/** Ticks of time in the viewer's zone, as exact as their distance asks for. */
function moments(u: uPlot, ticks: number[], _axis: number, _space: number, step: number): string[] {
	const span = (u.scales["x"]!.max ?? 0) - (u.scales["x"]!.min ?? 0);
	const form = step < 60 ? seconds : span > 86_400 ? days : minutes;
	return ticks.map((t) => form.format(new Date(t * 1000)));
}

/** While nobody points at a moment the legend tells the last one. */
function showLast(u: uPlot): void {
	if ((u.cursor.left ?? -1) < 0 && u.data[0].length) u.setLegend({ idx: u.data[0].length - 1 }, false);
}

function options(p: ChartProps, width: number, marks: { current: ChartProps["marks"] }): uPlot.Options {
	const ink = color("--ink-2");
	const grid = { stroke: color("--line"), width: 1 };
	const font = `11px ${color("--font")}`;
	const stepped = uPlot.paths.stepped!({ align: 1 });
	return {
		width,
		height: p.height ?? 160,
		cursor: { y: false, points: { size: 6 } },
		legend: { live: true },
		scales: { y: { range: (_u, _min, max) => [0, Math.max(p.most ?? 0, max ?? 0, 1e-9) * 1.06] } },
		axes: [
			{ stroke: ink, grid, ticks: grid, font, size: 30, space: 76, values: moments },
			{ stroke: ink, grid, ticks: grid, font, size: 62, space: 26, incrs: p.steps === "bytes" ? BYTE_STEPS : p.steps === "count" ? COUNT_STEPS : undefined, values: (_u, ticks) => ticks.map((v) => p.format(v)) },
		],
		series: [
			{ label: "Time", value: (_u, v) => (v === null || v === undefined ? "–" : exact(v * 1000).slice(0, 19)) },
			...p.curves.map((c) => ({
				label: c.label,
				stroke: color(c.color),
				width: 1.5,
				fill: c.fill ? `color-mix(in srgb, ${color(c.color)} 14%, transparent)` : undefined,
				dash: c.dash ? [5, 4] : undefined,
				paths: c.steps ? stepped : undefined,
				points: { show: false },
				value: (_u: uPlot, v: number | null) => (v === null || v === undefined ? "–" : p.format(v)),
			})),
		],
		hooks: { draw: [(u) => drawMarks(u, marks.current)], setCursor: [showLast], setData: [showLast], ready: [showLast] },
	};
}

const data = (p: ChartProps): uPlot.AlignedData => [p.times.map((t) => t / 1000), ...p.curves.map((c) => c.values)];

export function Chart(p: ChartProps) {
	const box = useRef<HTMLDivElement>(null);
	const plot = useRef<uPlot>();
	const marks = useRef(p.marks);
	marks.current = p.marks;
	const shape = `${shownTheme.value}|${p.height}|${p.most}|${p.curves.map((c) => `${c.label}${c.color}${c.dash}${c.fill}`).join()}`;

	useLayoutEffect(() => {
		const el = box.current!;
		const u = (plot.current = new uPlot(options(p, el.clientWidth || 300, marks), data(p), el));
		const watch = new ResizeObserver(() => el.clientWidth && u.setSize({ width: el.clientWidth, height: p.height ?? 160 }));
		watch.observe(el);
		return () => {
			watch.disconnect();
			u.destroy();
			plot.current = undefined;
		};
	}, [shape]);
	useEffect(() => {
		plot.current?.setData(data(p));
	});
	const last = p.curves.map((c) => {
		const v = c.values.findLast((x) => x !== null);
		return v === undefined || v === null ? "" : `${c.label} ${p.format(v)}`;
	});
	return <div ref={box} class="chart" role="img" aria-label={`${p.label}; last: ${last.filter(Boolean).join(", ") || "nothing yet"}`} />;
}
