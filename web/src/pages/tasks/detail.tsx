// detail: one row beside the table: whose it is, its limit and who set it, why it is as it is, what can be done; and how it ended, once it has.
import { useEffect, useRef } from "preact/hooks";
import { get } from "../../lib/api";
import { bytes, cpu, duration, plain } from "../../lib/format";
import { href, setQuery } from "../../lib/router";
import { childrenOf, cpuOf, cpuSecondsOf, memoryOf, peakOf, rows, tick } from "../../state/board";
import { useLoad } from "../../state/load";
import type { Row } from "../../stream/protocol";
import { Button, Bytes, Meter, Since, State, Text, Time } from "../../ui/basics";
import { Keep } from "../../ui/activity";
import { Act } from "../../ui/confirm";
import { subjectOf, verbs, wayOf } from "../../ui/ends_do";
import { Trend } from "../../ui/history";
import { Kind } from "./columns";
import { overOf, pageOf, type Over } from "./over";

interface Decision {
	seq: number;
	at: number;
	word: string;
	name?: string;
	source?: string;
	answer?: string;
	reason?: string;
	outcome?: string;
	count?: number;
}

const DECISIONS = 3;

/** How the ledger calls it. */
function ledgerSubject(r: Row): { kind?: string; subject: string } {
	if (r.kind === "future" || r.kind === "training") return { kind: "task", subject: r.ref };
	if (r.kind === "kernel" && r.processId) return { kind: "kernel", subject: r.processId };
	return { subject: r.kind === "recipe" && r.processId ? r.processId : r.ref };
}

function Decisions({ row }: { row: Row }) {
	const { kind, subject } = ledgerSubject(row);
	const list = useLoad<Decision[]>((signal) => get("/api/decisions", { kind, subject, limit: DECISIONS }, signal), [], [row.id, row.state]);
	if (!list.value?.length) return null;
	return (
		<section>
			<h3>Last decided</h3>
			<ul class="decisions">
				{list.value.map((d) => (
					<li key={d.seq}>
						<div>
							<strong>{plain(d.answer ?? d.outcome ?? d.word)}</strong>
							{d.name ? ` by ${plain(d.word)} “${plain(d.name)}”` : ` by ${plain(d.word)}`}
							{d.reason && `: ${plain(d.reason)}`}
						</div>
						<div class="dim">
							<Time at={d.at} />
							{d.source && `, ${plain(d.source)}`}
							{d.count && d.count > 1 ? `, ${d.count} times` : ""}
						</div>
					</li>
				))}
			</ul>
			<a href={href("task", row.id, { tab: "why" })}>All of them</a>
		</section>
	);
}

/** What its memory is measured against, and what that means for it. */
function LimitText({ row }: { row: Row }) {
	const used = memoryOf(row.id);
	if (!row.limitBytes) return <span class="dim">none of its own</span>;
	const share = used === null ? null : used / row.limitBytes;
	return (
		<>
			<Bytes n={row.limitBytes} />
			{row.limitOwner && <span>, by {plain(row.limitOwner)}</span>}
			{share !== null && share > 0.8 && <div class="near">{share > 0.95 ? "It is about to be killed by its limit." : `${bytes(row.limitBytes - used!)} are left until it is killed.`}</div>}
		</>
	);
}

/** `over`: how it ended, where that is known. What has ended has no clock that goes on. */
function facts(r: Row, isLive: boolean, over: Over | undefined): [string, preact.ComponentChildren][] {
	const list: [string, preact.ComponentChildren | false | undefined | ""][] = [
		["Owner", r.user ? <a href={href("tasks", { where: `user = "${r.user.replace(/["\\]/g, "\\$&")}"` })}><Text text={r.user} cut={false} /></a> : <span class="dim">nobody's: the node's own</span>],
		["Project", r.project && <Text text={r.project} cut={false} />],
		["Pool", r.pool && <Text text={r.pool} cut={false} />],
		["Memory", isLive && <Bytes n={memoryOf(r.id)} />],
		["Limit", <LimitText row={r} />],
		["Peak", peakOf(r.id) !== null && <Bytes n={peakOf(r.id)} />],
		["CPU", cpuOf(r.id) !== null && <span class="num">{cpu(cpuOf(r.id))}{cpuSecondsOf(r.id) !== null && <span class="dim">, {duration(cpuSecondsOf(r.id)! * 1000)} in all</span>}</span>],
		["Submitted", r.submittedAt && <Time at={r.submittedAt} />],
		["Started", (over ? over.startedAt : r.startedAt) && <Time at={over ? over.startedAt : r.startedAt} />],
		["Ended", over?.endedAt && <Time at={over.endedAt} />],
		["Ran", over?.endedAt && over.startedAt && <Since at={over.startedAt} until={over.endedAt} />],
		["In this state for", isLive && r.sinceAt && <Since at={r.sinceAt} />],
		["Process", r.processId && <><Text text={r.processId} cut={false} />{r.pid !== undefined && <span class="dim num">, pid {r.pid}</span>}</>],
		["Attempt", r.attempt !== undefined && r.attempt > 1 && String(r.attempt)],
		["Quiet for", isLive && r.quietAt && <Since at={r.quietAt} />],
		["Silent for", isLive && r.silentAt && <Since at={r.silentAt} />],
		["Open in", isLive && r.connections !== undefined && `${r.connections} ${r.connections === 1 ? "window" : "windows"}`],
		["Kept until", isLive && r.leasedUntil && <Time at={r.leasedUntil} />],
		["Tags", r.tags && r.tags.length > 0 && r.tags.map((t) => <><span class="tag">{plain(t)}</span> </>)],
	];
	return list.filter((f): f is [string, preact.ComponentChildren] => f[1] !== undefined && f[1] !== false && f[1] !== "" && f[1] !== 0);
}

export function Detail({ id, onEnd, onClose, takesFocus }: { id: string; onEnd: (r: Row[]) => void; onClose: () => void; takesFocus: boolean }) {
	tick.value;
	const last = useRef<Row>();
	const panel = useRef<HTMLElement>(null);
	const live = rows.get(id);
	if (live) last.current = live;
	else if (last.current?.id !== id) last.current = undefined;
	const row = live ?? last.current;
	const isOver = !!row && !live;
	const loaded = useLoad<Over | undefined>((signal) => (isOver ? overOf(row, signal) : Promise.resolve(undefined)), [], [row?.id, isOver]);
	const over = isOver ? loaded.value : undefined;
	const page = row && (live ? href("task", row.id) : (over?.page ?? pageOf(row)));
	useEffect(() => {
		if (takesFocus) panel.current?.focus();
	}, [id, takesFocus]);
	const below = row ? childrenOf(id) : [];
	const way = row && wayOf(row);
	const subject = row && subjectOf(row);
	return (
		<aside
			ref={panel}
			class="detail"
			aria-label="Detail"
			tabIndex={-1}
			onKeyDown={(e) => {
				if (e.key !== "Escape") return;
				e.stopPropagation();
				onClose();
			}}
		>
			<header>
				{row && <Kind kind={row.kind} />}
				<Button look="quiet" small aria-label="Close the detail" onClick={onClose}>
					✕
				</Button>
			</header>
			{!row ? (
				<p class="dim">It is not here any more: it has ended, or is not yours to see.</p>
			) : (
				<>
					<h2 class="detail-what">
						{page ? (
							<a href={page}>
								<Text text={row.what} cut={false} />
							</a>
						) : (
							<Text text={row.what} cut={false} />
						)}
					</h2>
					<div class="detail-state">
						<State state={live ? row.state : (over?.state ?? "ended")} />
						{live && (
							<span class="dim">
								<Since at={row.startedAt ?? row.submittedAt} />
							</span>
						)}
						{over?.endedAt && <span class="dim">{over.startedAt ? <>after <Since at={over.startedAt} until={over.endedAt} /></> : "before it began"}</span>}
						{live && row.progress !== undefined && <span class="num">{Math.round(row.progress * 100)} %</span>}
					</div>
					{over?.why && <p class="detail-why">{plain(over.why)}</p>}
					{isOver && page && (
						<p>
							<a href={page}>The whole story: its page</a>
						</p>
					)}
					{row.reason && live && <p class="detail-why">{plain(row.reason)}</p>}
					{row.message && live && <p class="dim">{plain(row.message)}</p>}
					{live && (
						<>
							<div class="detail-memory">
								<Trend row={row} label />
								<Meter used={memoryOf(row.id)} limit={row.limitBytes} />
							</div>
							<div class="detail-acts">
								{way && subject && (
									<Act look="bad" onClick={() => onEnd([subject])}>
										{row.kind === "recipe" ? "End its job…" : `${verbs[way] === "Abort" ? "End" : verbs[way]}…`}
									</Act>
								)}
								{row.kind === "notebook" && <Keep list={[row]} />}
								<a class="button" href={href("task", row.id)}>
									Open
								</a>
							</div>
						</>
					)}
					<dl class="facts">
						{facts(row, !!live, over).map(([name, value]) => (
							<>
								<dt>{name}</dt>
								<dd>{value}</dd>
							</>
						))}
					</dl>
					{row.parent && rows.has(row.parent) && (
						<p>
							Part of{" "}
							<a href="#" onClick={(e) => (e.preventDefault(), setQuery({ open: row.parent }))}>
								<Text text={rows.get(row.parent)!.what} cut={false} />
							</a>
						</p>
					)}
					{below.length > 0 && (
						<section>
							<h3>Below it</h3>
							<ul class="below-list">
								{below.map((c) => (
									<li key={c.id}>
										<a href="#" onClick={(e) => (e.preventDefault(), setQuery({ open: c.id }))}>
											<Text text={c.what} />
										</a>
										<State state={c.state} />
										<Bytes n={memoryOf(c.id)} />
									</li>
								))}
							</ul>
						</section>
					)}
					{live && <Decisions row={row} key={row.id} />}
				</>
			)}
		</aside>
	);
}
