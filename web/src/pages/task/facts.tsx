// facts: what is known of it, and its moments one after the other.
import type { ComponentChildren } from "preact";
import { duration, elapsed } from "../../lib/format";
import { href } from "../../lib/router";
import { now } from "../../state/board";
import type { Row } from "../../stream/protocol";
import { Bytes, clock, Since, Text, Time } from "../../ui/basics";
import type { Moment, Task } from "./end";

type Fact = [string, ComponentChildren];

export function Facts({ row, live, task, kind, refName }: { row: Row | undefined; live: boolean; task: Task | undefined; kind: string; refName: string }) {
	const project = row?.project ?? task?.project;
	const user = row?.user ?? task?.owner;
	const pool = row?.pool ?? task?.pool;
	// What still waits has the time it was submitted there.
	const began = task?.timeline ? task.timeline.some((m) => m.what === "started") : row?.state !== "waiting";
	const started = began ? (row?.startedAt ?? task?.startTime) : undefined;
	const submitted = row?.submittedAt ?? task?.submitTime;
	const tags = row?.tags ?? task?.tags ?? [];
	const list: (Fact | false | undefined | null | "" | 0)[] = [
		["Id", <code>{refName}</code>],
		user !== undefined && ["Owner", <a href={href("tasks", { where: `user = "${user.replace(/["\\]/g, "\\$&")}"` })}><Text text={user} /></a>],
		project && ["Project", <Text text={project} />],
		pool && ["Pool", <a href={href("pools", { pool })}><Text text={pool} /></a>],
		task?.type && ["Type", <Text text={task.type} />],
		(row?.processId || task?.kernel) && kind !== "service" && ["Process", <code>{row?.processId ?? task?.kernel}</code>],
		live && row?.pid && ["Pid", <span class="num">{row.pid}</span>],
		submitted && ["Submitted", <Time at={submitted} />],
		started && ["Started", <Time at={started} />],
		task?.endTime && ["Ended", <Time at={task.endTime} />],
		started && ["Ran", <Since at={started} until={task?.endTime} />],
		row?.limitBytes && [
			"Memory limit",
			<>
				<Bytes n={row.limitBytes} />
				{row.limitOwner && <span class="dim"> of <Text text={row.limitOwner} /></span>}
			</>,
		],
		(row?.attempt ?? task?.attempt ?? 1) > 1 && ["Attempt", String(row?.attempt ?? task?.attempt)],
		tags.length > 0 && ["Tags", tags.map((t) => <span class="tag"><Text text={t} /></span>)],
		row?.connections !== undefined && ["Clients", String(row.connections)],
		row?.leasedUntil && ["Kept until", <Time at={row.leasedUntil} />],
		row?.quietAt && ["Idle since", <Time at={row.quietAt} />],
	];
	return (
		<dl class="facts">
			{list.map(
				(f) =>
					f && (
						<>
							<dt>{f[0]}</dt>
							<dd>{f[1]}</dd>
						</>
					),
			)}
		</dl>
	);
}

interface Step {
	at: number;
	what: string;
	tone?: string;
}

const tones: Record<string, string> = { done: "good", failed: "bad", killed: "bad", aborted: "bad" };

function word(m: Moment, attempts: number): string {
	if (m.what === "started") return `started${m.kernel ? ` on ${m.kernel}` : ""}${m.attempt && attempts > 1 ? `, attempt ${m.attempt}` : ""}`;
	if (m.what === "ended") return m.state ?? "ended";
	return m.what;
}

function steps(row: Row | undefined, task: Task | undefined): Step[] {
	if (task?.timeline?.length) return task.timeline.map((m) => ({ at: m.at, what: word(m, task.attempt ?? 1), tone: tones[m.state ?? ""] }));
	const out: Step[] = [];
	if (row?.submittedAt) out.push({ at: row.submittedAt, what: "submitted" });
	if (row?.startedAt) out.push({ at: row.startedAt, what: "started" });
	return out;
}

export function Timeline({ row, task }: { row: Row | undefined; task: Task | undefined }) {
	const moments = steps(row, task);
	if (moments.length === 0) return null;
	const isOver = !!task?.endTime;
	if (!isOver) clock.value;
	const verb = (i: number) => (moments[i]!.what === "submitted" ? (moments[i + 1] ? "waited" : "waits for") : moments[i + 1] ? "ran for" : "runs for");
	return (
		<ol class="timeline" aria-label="Timeline">
			{moments.map((m, i) => (
				<>
					<li>
						<span class="state" data-tone={m.tone ?? "run"}>
							<i aria-hidden="true" />
							{m.what}
						</span>{" "}
						<Time at={m.at} />
					</li>
					{(moments[i + 1] || !isOver) && (
						<li class="between">
							{verb(i)} {moments[i + 1] ? duration(moments[i + 1]!.at - m.at) : elapsed(now() - m.at)}
						</li>
					)}
				</>
			))}
		</ol>
	);
}
