// basics: the small pieces that every page uses.
import type { ComponentChildren, JSX } from "preact";
import { effect, signal } from "@preact/signals";
import { ApiError } from "../lib/api";
import { bytes, duration, elapsed, exact, plain, time } from "../lib/format";
import { heardAt, now } from "../state/board";

/** One clock for all that counts seconds: it moves with what the stream tells, so that both are drawn at once, and by itself where that is silent. It stands still
 * while nobody looks. */
export const clock = signal(Date.now());
function tickAfter(ms: number): void {
	if (!document.hidden && Date.now() - clock.peek() >= ms) clock.value = Date.now();
}
effect(() => {
	if (heardAt.value) tickAfter(600);
});
setInterval(() => tickAfter(950), 1000);
document.addEventListener("visibilitychange", () => tickAfter(0));

export function Button(p: JSX.HTMLAttributes<HTMLButtonElement> & { look?: "main" | "bad" | "quiet"; small?: boolean; icon?: boolean; disabled?: boolean; type?: "button" | "submit" }) {
	const { look, small, icon, class: cls, type = "button", ...rest } = p;
	return <button type={type} {...rest} data-look={look} class={`button${small ? " small" : ""}${icon ? " icon" : ""}${cls ? ` ${String(cls)}` : ""}`} />;
}

/** A text from outside: control characters are shown, not obeyed. */
export function Text({ text, cut = true, class: cls }: { text: string | undefined; cut?: boolean; class?: string }) {
	const t = plain(text ?? "");
	return (
		<bdi class={`${cut ? "cut " : ""}${cls ?? ""}`} title={cut && t.length > 24 ? t : undefined}>
			{t}
		</bdi>
	);
}

export function Bytes({ n, title }: { n: number | null | undefined; title?: string }) {
	if (n === null || n === undefined) return <span class="dim" title="not known">–</span>;
	return (
		<span class="num" title={title ?? `${n.toLocaleString()} bytes`}>
			{bytes(n)}
		</span>
	);
}

/** A moment; the exact one on hover. */
export function Time({ at }: { at: number | undefined | null }) {
	if (!at) return <span class="dim">–</span>;
	return (
		<time class="num" dateTime={new Date(at).toISOString()} title={exact(at)}>
			{time(at)}
		</time>
	);
}

/** How long ago, or how long it took; the moment on hover. */
export function Since({ at, until }: { at: number | undefined | null; until?: number | null }) {
	if (!at) return <span class="dim">–</span>;
	if (!until) clock.value; // counts on
	return (
		<time class="num" dateTime={new Date(at).toISOString()} title={exact(at)}>
			{until ? duration(until - at) : elapsed(now() - at)}
		</time>
	);
}

const TONES: Record<string, string> = {
	running: "run",
	busy: "run",
	ready: "good",
	up: "good",
	done: "good",
	success: "good",
	idle: "",
	starting: "warn",
	waiting: "warn",
	queued: "warn",
	assigned: "warn",
	stopping: "warn",
	draining: "warn",
	unknown: "warn",
	failed: "bad",
	killed: "bad",
	aborted: "bad",
	crashed: "bad",
	dead: "bad",
};

export function State({ state, title }: { state: string; title?: string }) {
	return (
		<span class="state" data-tone={TONES[state.toLowerCase()] ?? ""} title={title}>
			<i aria-hidden="true" />
			{state.toLowerCase()}
		</span>
	);
}

/** Memory of its limit. */
export function Meter({ used, limit, children }: { used: number | null; limit: number | undefined; children?: ComponentChildren }) {
	const share = used !== null && limit ? Math.min(1, used / limit) : null;
	const tone = share === null ? "" : share > 0.95 ? "bad" : share > 0.8 ? "warn" : "";
	return (
		<span class="meter" title={used === null ? "not known" : limit ? `${bytes(used)} of ${bytes(limit)} (${Math.round((used / limit) * 100)} %)` : `${bytes(used)}, no limit of its own`}>
			{children}
			<span class="track" aria-hidden="true">
				{share !== null && <span class="fill" data-tone={tone} style={{ width: `${Math.round(share * 100)}%` }} />}
			</span>
		</span>
	);
}

/** A small line of values, oldest first; gaps where null. */
export function Spark({ values, most, color = "var(--k-memory)", label }: { values: readonly (number | null)[]; most?: number; color?: string; label?: string }) {
	const w = 60;
	const h = 20;
	const top = Math.max(most ?? 0, ...values.map((v) => v ?? 0), 1);
	let path = "";
	let pen = "M";
	values.forEach((v, i) => {
		if (v === null) return void (pen = "M");
		path += `${pen}${((i / Math.max(1, values.length - 1)) * w).toFixed(1)} ${(h - 1 - (v / top) * (h - 2)).toFixed(1)}`;
		pen = "L";
	});
	return (
		<svg class="spark" viewBox={`0 0 ${w} ${h}`} preserveAspectRatio="none" role={label ? "img" : undefined} aria-label={label} aria-hidden={label ? undefined : true}>
			<path d={path} fill="none" stroke={color} stroke-width="1.2" vector-effect="non-scaling-stroke" />
		</svg>
	);
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
	return (
		<div class="empty">
			<strong>{title}</strong>
			<div>{children}</div>
		</div>
	);
}

export function Loading({ lines = 4 }: { lines?: number }) {
	return (
		<div role="status" aria-label="loading" style={{ display: "grid", gap: "12px", padding: "16px" }}>
			{Array.from({ length: lines }, (_, i) => (
				<span class="skeleton" style={{ width: `${90 - ((i * 17) % 45)}%` }} />
			))}
		</div>
	);
}

export function Failed({ error, retry }: { error: Error; retry?: () => void }) {
	const status = error instanceof ApiError ? error.status : 0;
	return (
		<div class="note" data-tone="bad" role="alert">
			<div style={{ flex: 1 }}>
				<strong>{status === 404 ? "It does not exist, or is not yours to see." : status === 403 ? "You may not." : "That did not work."}</strong>
				<div>{plain(error.message)}</div>
			</div>
			{retry && <Button onClick={retry}>Try again</Button>}
		</div>
	);
}

export function Kbd({ children }: { children: ComponentChildren }) {
	return <kbd class="kbd">{children}</kbd>;
}
