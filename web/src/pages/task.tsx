// task: one thing that runs, waits or has ended: what it is, why it is as it is, its memory and CPU, its processes, its log.
import "../style/task.css";
import { useEffect, useRef, useState } from "preact/hooks";
import { get, seg } from "../lib/api";
import { plain } from "../lib/format";
import { href, place } from "../lib/router";
import { onFact, rows, tick } from "../state/board";
import { useLoad } from "../state/load";
import type { Row } from "../stream/protocol";
import { Empty, Failed, Loading, State, Text } from "../ui/basics";
import { Log } from "../ui/log";
import { Act } from "../ui/confirm";
import { EndDialog } from "../ui/ends";
import { verbs, wayOf } from "../ui/ends_do";
import { KernelEnds, useKernelEnds } from "../ui/kernel_ends";
import { currentTab, Tabs, type Tab } from "../ui/tabs";
import { Usage } from "./task/usage";
import { EndNote, RunAgain, type Task } from "./task/end";
import { Facts, Timeline } from "./task/facts";
import { Processes } from "./task/processes";
import { Why } from "./task/why";

/** Where a kind's own log is; null: it has none. */
function logOf(kind: string, ref: string, task: Task | undefined): string | null {
	const [project = "", second = ""] = ref.split("/");
	if (kind === "future") return task?.hasLog ? `/api/tasks/${seg(ref)}/log` : null;
	if (kind === "training") return `/api/tasks/${seg(ref)}/log`;
	if (kind === "recipe" || kind === "job") return `/api/jobs/${seg(project)}/${seg(second)}/log`;
	if (kind === "webapp") return `/api/webapps/${seg(project)}/${seg(second)}/log`;
	return null;
}

const noLog: Record<string, string> = {
	future: "What a task of this type prints stands in run/backend.log, in the lines of its kernel.",
	kernel: "What a kernel prints stands in run/backend.log, in its lines.",
	notebook: "What a notebook's kernel prints stands in the notebook, and in run/ipython.log.",
	service: "A service's log is a file of the instance: run/NAME.log.",
};

export default function TaskPage() {
	const id = place.value.path[1] ?? "";
	const at = id.indexOf(":");
	const kind = id.slice(0, at);
	const ref = id.slice(at + 1);
	const [ends, setEnds] = useState(false);
	tick.value;
	const live = rows.get(id);
	const last = useRef<Row>();
	if (live) last.current = live;
	if (last.current && last.current.id !== id) last.current = undefined;
	const row = live ?? last.current;

	const isFuture = kind === "future" || kind === "training";
	const loaded = useLoad<Task | undefined>((signal) => (isFuture ? get<Task>(`/api/tasks/${seg(ref)}`, {}, signal) : Promise.resolve(undefined)), [], [id]);
	useEffect(() => onFact((f) => f.subject === ref && isFuture && loaded.reload()), [id]);
	const task = loaded.value;
	const kernelEnds = useKernelEnds(kind === "notebook" ? ref : "");

	useEffect(() => {
		const what = row?.what ?? task?.payload?.displayName;
		if (what) document.title = `${plain(what)} · dssd`;
	}, [row?.what, task]);

	if (at < 0)
		return (
			<Empty title="No task is named.">
				<a href={href("tasks")}>Background tasks</a>
			</Empty>
		);
	if (!row && loaded.isLoading) return <Loading lines={8} />;
	if (!row && !task && loaded.error) return <div class="page"><Failed error={loaded.error} retry={loaded.reload} /></div>;
	if (!row && !task) {
		if (tick.value === 0 || (kernelEnds.isLoading && !kernelEnds.value)) return <Loading lines={8} />;
		const known = kernelEnds.value?.[0];
		if (!known)
			return (
				<Empty title="It is not here any more.">
					It has ended, or is not yours to see. <a href={href("tasks")}>Background tasks</a>
				</Empty>
			);
		return (
			<div class="page task">
				<nav class="crumbs" aria-label="Where this is">
					<a href={href("tasks")}>Background tasks</a> <span aria-hidden="true">/</span> {kind}
				</nav>
				<h1 class="cut">
					<Text text={known.notebook ?? ref} />
				</h1>
				<p>It is not here any more.</p>
				<KernelEnds ends={kernelEnds.value} isOpen={false} />
				<Why kind={kind} refName={ref} processId={undefined} />
			</div>
		);
	}
	const state = live?.state ?? task?.state ?? "ended";
	const log = logOf(kind, ref, task);
	const processId = row?.processId ?? task?.kernel;
	const logTab: Tab[] = log || noLog[kind] ? [{ id: "log", title: "Log" }] : [];
	const others: Tab[] = [{ id: "why", title: "Why" }, ...(live?.processId ? [{ id: "processes", title: "Processes" }] : [])];
	const isUnsure = isFuture && !task && loaded.isLoading; // whether it has a log
	const tabs = log || isUnsure ? [...logTab, ...others] : [...others, ...logTab]; // what has something to say first
	const tab = currentTab(tabs);
	const way = live && wayOf(live);
	return (
		<div class="page task">
			<nav class="crumbs" aria-label="Where this is">
				<a href={href("tasks")}>Background tasks</a> <span aria-hidden="true">/</span> {kind}
				{row?.parent && (
					<>
						{" of "}
						<a href={row.parent.startsWith("job:") ? href("job", ...row.parent.slice(4).split("/")) : href("task", row.parent)}>{row.parent.slice(row.parent.indexOf(":") + 1)}</a>
					</>
				)}
			</nav>
			<div class="head">
				<h1 class="cut">
					<Text text={row?.what ?? task?.payload?.displayName ?? ref} />
				</h1>
				<State state={state} />
				<span class="push" />
				{isFuture && task?.again && !task.alive && <RunAgain task={task} />}
				{way && (
					<Act look="bad" onClick={() => setEnds(true)}>
						{verbs[way]}…
					</Act>
				)}
			</div>
			{task && !task.alive && <EndNote task={task} />}
			<KernelEnds ends={kernelEnds.value} isOpen={!!live && live.state !== "dead" && live.state !== "starting"} />
			{live?.reason && <p class="note" data-tone="warn"><Text text={live.reason} cut={false} /></p>}
			<div class="task-top">
				<section class="card" aria-label="Facts">
					<div class="body">
						<Facts row={row} live={!!live} task={task} kind={kind} refName={ref} />
					</div>
				</section>
				<section class="card" aria-label="Memory and CPU">
					<div class="body">
						<Usage id={id} processId={processId} row={row} task={task} />
					</div>
				</section>
			</div>
			<Timeline row={row} task={task} />
			<Tabs tabs={tabs} label="More about it" />
			<div id="tabpanel" role="tabpanel" aria-labelledby={`tab-${tab}`} class="task-panel">
				{tab === "log" && (isUnsure ? <Loading /> : log ? <Log path={log} key={log} /> : <Empty title="It has no log of its own.">{noLog[kind]}</Empty>)}
				{tab === "why" && <Why kind={kind} refName={ref} processId={processId} />}
				{tab === "processes" && processId && <Processes processId={processId} />}
			</div>
			{ends && live && <EndDialog of={[live]} onClose={() => setEnds(false)} />}
		</div>
	);
}
