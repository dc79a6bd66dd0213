// activity: what of one's own runs and waits, from the title bar: abort, unload, keep; and what of it ended lately. Key "m".
import "../style/activity.css";
import { useComputed, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { get } from "../lib/api";
import { plain, time } from "../lib/format";
import { href } from "../lib/router";
import { me, memoryOf, onFact, rows, tick } from "../state/board";
import { useLoad } from "../state/load";
import type { Row } from "../stream/protocol";
import { Bytes, Button, Failed, Since, State, Text, Time } from "./basics";
import { startNotices, titleOf, whyOf, type EndedTask } from "./activity_ended";
import { Act } from "./confirm";
import { EndDialog } from "./ends";
import { keep, leases, verbs, wayOf } from "./ends_do";
import { useShortcuts } from "./keys";
import { tell, tellError } from "./toast";

const KINDS = new Set(["future", "job", "training", "notebook", "webapp", "macro"]);
const ENDED = 8;

/** Own ones, what waits and runs before what is idle, the greediest first. */
function own(): Row[] {
	const out: Row[] = [];
	for (const r of rows.values()) if (KINDS.has(r.kind) && r.user === me.value) out.push(r);
	const rank = (r: Row) => (r.state === "idle" || r.state === "ready" ? 1 : 0);
	return out.sort((a, b) => rank(a) - rank(b) || (memoryOf(b.id) ?? -1) - (memoryOf(a.id) ?? -1) || (a.position ?? 0) - (b.position ?? 0) || (a.id < b.id ? -1 : 1));
}

export async function keepFor(list: Row[], lease: string): Promise<void> {
	for (const r of list) {
		try {
			const a = await keep(r, lease);
			tell(a.leasedUntil ? `${plain(r.what)} is kept until ${time(a.leasedUntil)}.` : `${plain(r.what)} is no longer kept.`);
		} catch (e) {
			tellError(e);
		}
	}
}

/** How long to keep notebooks: a button each, folded until asked for. */
export function Keep({ list, small }: { list: Row[]; small?: boolean }) {
	const isOpen = useSignal(false);
	const isKept = list.some((r) => r.leasedUntil !== undefined);
	if (!list.length) return null;
	if (!isOpen.value)
		return (
			<Act small={small} title="For that time no policy unloads it" onClick={() => (isOpen.value = true)} aria-expanded={false}>
				Keep
			</Act>
		);
	const choose = (text: string) => {
		isOpen.value = false;
		void keepFor(list, text);
	};
	return (
		<span class="keep" role="group" aria-label="Keep for">
			{leases.map((l, i) => (
				<Act small={small} key={l.text} aria-label={`Keep for ${l.title}`} autoFocus={i === 0} onClick={() => choose(l.text)}>
					{l.title}
				</Act>
			))}
			{isKept && (
				<Act small={small} onClick={() => choose("0s")}>
					No longer
				</Act>
			)}
			<Button small={small} look="quiet" aria-label="Do not keep" onClick={() => (isOpen.value = false)}>
				✕
			</Button>
		</span>
	);
}

function Line({ row, onEnd }: { row: Row; onEnd: (r: Row) => void }) {
	const way = wayOf(row);
	return (
		<li>
			<div class="line">
				<a href={href("task", row.id)} class="activity-what">
					<Text text={row.what} />
				</a>
				<Bytes n={memoryOf(row.id)} />
			</div>
			<div class="line">
				<span class="dim activity-state">
					<State state={row.state} /> {row.kind}, <Since at={row.startedAt ?? row.submittedAt} />
					{row.leasedUntil !== undefined && (
						<>
							{" "}
							kept until <Time at={row.leasedUntil} />
						</>
					)}
				</span>
				{row.kind === "notebook" && <Keep list={[row]} small />}
				{way && (
					<Act small onClick={() => onEnd(row)} aria-label={`${verbs[way]} ${plain(row.what)}…`}>
						{verbs[way]}…
					</Act>
				)}
			</div>
			{row.reason && <div class="dim activity-reason">{plain(row.reason)}</div>}
		</li>
	);
}

function Ended() {
	const list = useLoad<EndedTask[]>((signal) => get("/api/tasks", { ended: ENDED, where: `user = "${me.value.replace(/["\\]/g, "\\$&")}" and not alive` }, signal), []);
	useEffect(() => onFact((f) => f.what === "task.ended" && f.owner === me.value && list.reload()), []);
	if (list.error && !list.value) return <Failed error={list.error} retry={list.reload} />;
	if (!list.value?.length) return <p class="dim">{list.isLoading ? "Reading…" : "Nothing of yours has ended lately."}</p>;
	return (
		<ul>
			{list.value.slice(0, ENDED).map((t) => (
				<li key={t.jobId}>
					<div class="line">
						<a href={href("task", `future:${t.jobId}`)} class="activity-what">
							<Text text={titleOf(t)} />
						</a>
						<span class="dim">
							<State state={t.state} /> <Time at={t.endTime} />
						</span>
					</div>
					{t.state !== "done" && whyOf(t) && (
						<div class="dim activity-reason" title={plain(whyOf(t))}>
							{plain(whyOf(t))}
						</div>
					)}
				</li>
			))}
		</ul>
	);
}

function Panel({ onClose, onEnd }: { onClose: () => void; onEnd: (r: Row) => void }) {
	tick.value;
	const panel = useRef<HTMLDivElement>(null);
	const list = own();
	useEffect(() => {
		const before = document.activeElement;
		panel.current!.focus();
		const outside = (e: MouseEvent) => {
			const t = e.target as HTMLElement;
			if (!panel.current?.contains(t) && !t.closest(".activity-button, dialog, .toasts")) onClose();
		};
		// Wherever the focus went: the button that had it may have gone with its row.
		const leave = (e: KeyboardEvent) => e.key === "Escape" && !document.querySelector("dialog[open]") && onClose();
		addEventListener("mousedown", outside);
		addEventListener("keydown", leave);
		return () => {
			removeEventListener("mousedown", outside);
			removeEventListener("keydown", leave);
			if (before instanceof HTMLElement && (document.activeElement === document.body || panel.current?.contains(document.activeElement))) before.focus();
		};
	}, []);
	return (
		<div
			ref={panel}
			class="activity"
			role="dialog"
			aria-label="My activity"
			tabIndex={-1}
			onClick={(e) => (e.target as HTMLElement).closest("a") && onClose()}
		>
			<header>
				<h2>My activity</h2>
				<a href={href("tasks", { where: `user = "${me.value.replace(/["\\]/g, "\\$&")}"` })}>All as a table</a>
				<Button look="quiet" small aria-label="Close" onClick={onClose}>
					✕
				</Button>
			</header>
			{list.length ? (
				<ul>
					{list.map((r) => (
						<Line key={r.id} row={r} onEnd={onEnd} />
					))}
				</ul>
			) : (
				<p class="dim">Nothing of yours runs or waits. Tasks come from dssctl submit or your programs, jobs from projects.</p>
			)}
			<h3>Ended lately</h3>
			<Ended />
		</div>
	);
}

export function Activity() {
	const isOpen = useSignal(false);
	const ends = useSignal<Row | null>(null);
	// The bar is drawn anew when the number is another one, not with each message.
	const n = useComputed(() => (tick.value, me.value, own().filter((r) => r.state !== "idle" && r.state !== "ready").length));
	useEffect(startNotices, []);
	useShortcuts([{ keys: "m", does: "my activity", run: () => (isOpen.value = !isOpen.value) }]);
	return (
		<>
			<Button class="activity-button" look="quiet" aria-haspopup="dialog" aria-expanded={isOpen.value} title="What of yours runs and waits (m)" onClick={() => (isOpen.value = !isOpen.value)}>
				<span class="only-wide">My activity</span>
				<span class="only-narrow">Mine</span>
				<span class="activity-count num" data-some={n.value > 0}>
					{n.value}
				</span>
			</Button>
			{isOpen.value && <Panel onClose={() => (isOpen.value = false)} onEnd={(r) => (ends.value = r)} />}
			{ends.value && <EndDialog of={[ends.value]} onClose={() => (ends.value = null)} />}
		</>
	);
}
