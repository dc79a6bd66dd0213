// model: sessions of notebooks, and how idle they are, in words (docs/notebooks.md, *Idleness*).
import { ask, get } from "../../lib/api";
import { duration, plain } from "../../lib/format";
import { now, rows } from "../../state/board";
import type { Row } from "../../stream/protocol";

export interface Session {
	id: string;
	kernelId: string;
	notebook: string;
	name: string;
	project: string;
	user: string;
	kernelSpec?: string;
	processId?: string;
	pid?: number;
	state: "starting" | "idle" | "busy" | "dead" | "unknown";
	connections?: number;
	sessions: number;
	memoryBytes?: number;
	peakBytes?: number;
	limitBytes?: number;
	cpuSeconds?: number;
	cpuShare?: number;
	startedAt?: number;
	lastActivity?: number;
	quietTime?: number;
	silentTime?: number;
	leased: boolean;
	leasedUntil?: number;
	leasedBy?: string;
}

export interface List {
	sessions: Session[];
	/** why the notebook server cannot be asked */
	unknown?: string;
	/** when it was told, by the server's clock */
	at: number;
}

export async function list(signal: AbortSignal): Promise<List> {
	const r = await ask("/api/notebooks", { signal });
	return { sessions: (await r.json()) as Session[], unknown: r.headers.get("Notebooks-Unknown") ?? undefined, at: now() };
}

export interface Decision {
	seq: number;
	at: number;
	word: string;
	name: string;
	source: string;
	subject: string;
	answer: string;
	reason?: string;
	threshold?: string;
	mode: string;
	outcome: string;
	inputsText?: string[];
}

const DECISIONS_MOST = 1000;

/** What rules said last of each notebook, by session: one of each rule, newest first. */
export async function decisions(subject?: string, signal?: AbortSignal): Promise<Map<string, Decision[]>> {
	const all = await get<Decision[]>("/api/decisions", { kind: "notebook", word: "rule", subject, limit: DECISIONS_MOST }, signal);
	const out = new Map<string, Decision[]>();
	for (const d of all) {
		const of = out.get(d.subject) ?? [];
		if (!of.some((o) => o.name === d.name)) of.push(d);
		out.set(d.subject, of);
	}
	return out;
}

/** Its kernel's row on the board; the board's numbers are newer than the list's. */
export function boardOf(s: Session): Row | undefined {
	for (const id of [s.kernelId, s.processId, s.id]) {
		const r = id ? rows.get(`notebook:${id}`) : undefined;
		if (r) return r;
	}
	return undefined;
}

export interface Idle {
	/** since when nothing was done and nobody was connected; absent: not known, or it is busy */
	quietAt?: number;
	silentAt?: number;
	connections?: number;
	isBusy: boolean;
	isUnknown: boolean;
}

export function idleOf(s: Session, at: number): Idle {
	const row = boardOf(s);
	const isBusy = s.state === "busy" || row?.state === "running" || row?.state === "busy";
	return {
		quietAt: s.quietTime === undefined ? undefined : (row?.quietAt ?? at - s.quietTime),
		silentAt: s.silentTime === undefined ? undefined : (row?.silentAt ?? at - s.silentTime),
		connections: row?.connections ?? s.connections,
		isBusy,
		isUnknown: s.state === "unknown" || (s.silentTime === undefined && s.state === "idle"),
	};
}

const LITTLE_MS = 60_000; // below that nobody calls it idle

const clients = (n: number | undefined) => (n === undefined ? "" : n === 0 ? "nobody is connected" : n === 1 ? "one client is connected" : `${n} clients are connected`);

/** How idle it is, in a sentence or two. */
export function idleness(s: Session, i: Idle, at: number): string {
	if (s.state === "dead") return "Its process is gone; the server still shows it.";
	if (i.isUnknown) return "Not known: the notebook server cannot be asked, so nobody calls it idle.";
	if (s.state === "starting") return "Starts; nothing is known of it yet.";
	if (i.isBusy) return `Busy: a cell runs${i.connections === undefined ? "" : `; ${clients(i.connections)}`}.`;
	const silent = i.silentAt === undefined ? undefined : Math.max(0, at - i.silentAt);
	const quiet = i.quietAt === undefined ? undefined : Math.max(0, at - i.quietAt);
	if (silent === undefined) return "Not known: it was not measured yet.";
	const still = silent < LITTLE_MS ? "Worked within the last minute" : `Idle for ${roughly(silent)}`;
	if (i.connections) return `${still}; ${clients(i.connections)}, as by a tab left open.`;
	if (quiet !== undefined && silent - quiet > LITTLE_MS) return `${still}; nobody connected for ${roughly(quiet)}.`;
	return `${still}; ${clients(i.connections ?? 0)}.`;
}

/** As coarse as people say it. */
function roughly(ms: number): string {
	return duration(ms < 3_600_000 ? Math.floor(ms / 60_000) * 60_000 || ms : ms);
}

/** What the rule that looks at idleness said last: `Policy "idle notebooks" keeps it: not quiet > 12h (simulated).` */
export function policyOf(of: readonly Decision[] | undefined): string {
	const d = of?.find((x) => x.answer === "unload" || x.answer === "kill") ?? of?.find((x) => /\b(quiet|silent)\b/.test(`${x.threshold ?? ""} ${(x.inputsText ?? []).join()}`));
	if (!d) return "";
	const isSimulated = d.mode === "simulate" ? " (simulated)" : "";
	const name = `Policy "${plain(d.name)}"`;
	if (d.answer === "unload" || d.answer === "kill") {
		if (d.outcome === "would") return `${name} would have unloaded it${isSimulated}: ${plain(d.reason ?? "")}`;
		if (d.outcome === "warned") return `${name} is about to unload it: ${plain(d.reason ?? "")}`;
		return `${name}: ${d.answer}, ${plain(d.reason ?? "")}${isSimulated}`;
	}
	const isLimit = /^(quiet|silent) > /.test(d.threshold ?? "");
	return `${name} keeps it: ${isLimit ? "not " : ""}${plain(d.threshold ?? d.reason ?? "")}${isSimulated}.`;
}
