// ended: tasks that ended lately, newest first: whose they were, how they ended, why. Each leads to its page, which tells the whole.
import "../style/work.css";
import { useEffect } from "preact/hooks";
import { get } from "../lib/api";
import { plain } from "../lib/format";
import { go, href, place } from "../lib/router";
import { isAdmin, onFact } from "../state/board";
import { useLoad } from "../state/load";
import { titleOf, whyOf, type EndedTask } from "../ui/activity_ended";
import { Empty, State, Text, Time } from "../ui/basics";
import { Choice } from "../ui/filters";
import { counted, ListPage } from "../ui/list";
import { TWO_LINES } from "../ui/narrow";
import type { Column } from "../ui/table";
import { Took } from "../ui/took";

interface Ended extends EndedTask {
	alive: boolean;
	kernel?: string;
	startTime?: number;
}

const MOST = 500;
const GATHER_MS = 1000; // many ends, one question
const STATES = ["killed", "failed", "aborted", "done"];

const at = (t: Ended) => href("task", `future:${t.jobId}`);
// What was aborted while it waited had no kernel; macros never have one.
const hasRun = (t: Ended) => t.kernel !== undefined || t.type === "macro" || t.state === "done";
const why = (t: Ended) => (t.state === "done" ? "" : whyOf(t));

const columns: Column<Ended>[] = [
	{
		id: "what",
		title: "What",
		width: "minmax(130px, 1.8fr)",
		from: TWO_LINES,
		render: (t) => (
			<a class="plain-link" href={at(t)} tabIndex={-1}>
				<Text text={titleOf(t)} />
			</a>
		),
	},
	{
		id: "what",
		title: "What",
		width: "minmax(0, 1fr)",
		until: TWO_LINES - 1,
		render: (t) => (
			<span class="two-lines">
				<Text text={titleOf(t)} />
				<span class="dim">
					<State state={t.state} /> <span class="cut">{plain(why(t) || t.owner || "")}</span>
				</span>
			</span>
		),
	},
	{ id: "project", title: "Project", width: "minmax(70px, 0.6fr)", from: 1000, render: (t) => <Text text={t.project} /> },
	{ id: "owner", title: "Owner", width: "minmax(70px, 0.6fr)", from: TWO_LINES, render: (t) => <Text text={t.owner} /> },
	{ id: "state", title: "State", width: "90px", from: TWO_LINES, render: (t) => <State state={t.state} /> },
	{ id: "ended", title: "Ended", width: "130px", right: true, render: (t) => <Time at={t.endTime} /> },
	{ id: "ran", title: "Ran", width: "90px", right: true, from: 760, render: (t) => (hasRun(t) ? <Took from={t.startTime} until={t.endTime} isOver /> : <span class="dim">never</span>) },
	{ id: "why", title: "Why", width: "minmax(160px, 5fr)", from: 640, render: (t) => <Text text={why(t)} class={t.state === "aborted" ? "dim" : "bad-text"} /> },
];

export default function EndedTasks() {
	const list = useLoad((signal) => get<Ended[]>("/api/tasks", { ended: MOST }, signal), []);
	useEffect(() => {
		let timer: ReturnType<typeof setTimeout> | undefined;
		const stop = onFact((f) => {
			if (f.what === "task.ended") timer ??= setTimeout(() => ((timer = undefined), list.reload()), GATHER_MS);
		});
		return () => (stop(), clearTimeout(timer));
	}, []);
	const q = place.value.query;
	const all = (list.value ?? []).filter((t) => !t.alive && t.endTime !== undefined);
	const find = (q["find"] ?? "").toLowerCase();
	const left = all.filter(
		(t) => (!q["state"] || t.state === q["state"]) && (!find || [titleOf(t), t.project, t.owner, t.jobId, whyOf(t)].some((x) => x?.toLowerCase().includes(find))),
	);
	return (
		<ListPage
			title="Ended tasks"
			beside={<span class="dim">how each ended and why, newest first</span>}
			loaded={list}
			lines={8}
			which="Which tasks"
			find="by title, owner, id, reason"
			choices={<Choice label="State" name="state" all="all states" options={STATES} />}
			said={counted(left.length, all.length, "ended", "ended", MOST)}
			rows={left}
			all={all.length}
			columns={columns}
			keyOf={(t) => t.jobId}
			onOpen={(t) => go(at(t))}
			none={{ title: "No ended task is like that.", showAll: "Show all", forget: ["state"] }}
			nothing={
				<Empty title="Nothing has ended yet.">
					Each task that ended stands here with the reason, until the policies' <code>retention</code> removes it.{!isAdmin.value && " You see your own."}
				</Empty>
			}
		/>
	);
}
