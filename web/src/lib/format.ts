// format: how numbers and times are told. Sizes in binary units as dssctl tells them; times in the viewer's zone.
const UNITS = ["B", "KB", "MB", "GB", "TB", "PB"];

/** 3221225472 → "3.0 GB"; as dssctl: one decimal under 10, none above. */
export function bytes(n: number | null | undefined): string {
	if (n === null || n === undefined || !Number.isFinite(n)) return "";
	let u = 0;
	let v = Math.abs(n);
	while (v >= 1024 && u < UNITS.length - 1) {
		v /= 1024;
		u++;
	}
	const text = u === 0 ? String(Math.round(v)) : v < 9.95 ? v.toFixed(1) : String(Math.round(v));
	return `${n < 0 ? "-" : ""}${text} ${UNITS[u]}`;
}

/** 4320000 → "1 h 12 min"; two units at most. */
export function duration(ms: number | null | undefined): string {
	if (ms === null || ms === undefined || !Number.isFinite(ms)) return "";
	if (ms < 0) ms = 0;
	if (ms < 1000) return `${Math.round(ms)} ms`;
	if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
	return elapsed(ms);
}

/** The same in whole seconds, of what counts on: "9 s", then "10 s". */
export function elapsed(ms: number): string {
	const s = Math.max(0, Math.floor(ms / 1000));
	if (s < 60) return `${s} s`;
	if (s < 3600) return two(s, 60, "min", "s");
	if (s < 86_400) return two(s / 60, 60, "h", "min");
	return two(s / 3600, 24, "d", "h");
}

function two(n: number, base: number, big: string, small: string): string {
	const whole = Math.floor(n / base);
	const rest = Math.floor(n % base);
	return rest ? `${whole} ${big} ${rest} ${small}` : `${whole} ${big}`;
}

/** A share of one core: 0.42 → "42 %", 3.5 → "350 %". */
export function cpu(share: number | null | undefined): string {
	if (share === null || share === undefined || !Number.isFinite(share)) return "";
	const percent = share * 100;
	if (percent > 0 && percent < 0.1) return "<0.1 %";
	return `${percent < 10 ? percent.toFixed(1) : Math.round(percent)} %`;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
const dayAndYear = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric" });

/** Today "14:02:11", else "Nov 21, 14:02:11". */
export function time(ms: number | null | undefined, now = Date.now()): string {
	if (ms === null || ms === undefined) return "";
	const d = new Date(ms);
	const n = new Date(now);
	if (d.toDateString() === n.toDateString()) return clock.format(d);
	return `${(d.getFullYear() === n.getFullYear() ? day : dayAndYear).format(d)}, ${clock.format(d)}`;
}

/** With zone and milliseconds: "2026-11-21 14:02:11.080 GMT+1 (1795298627059)"; for the hover. */
export function exact(ms: number): string {
	const d = new Date(ms);
	const pad = (n: number, w = 2) => String(n).padStart(w, "0");
	const zone = /GMT[^)\s]*|UTC/.exec(d.toTimeString())?.[0] ?? "";
	return `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())} ${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}.${pad(d.getMilliseconds(), 3)} ${zone} (${ms})`;
}

/** Control and bidirectional characters of a text from outside as what they are: a name cannot draw over its neighbours. */
export function plain(text: string): string {
	return text.replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g, (c) =>
		c === "\n" || c === "\t" ? " " : `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
	);
}
