// jobs: jobs of all projects, newest first, those that are open live.
import "../style/jobs.css";
import "../style/work.css";
import { useCallback, useMemo, useState } from "preact/hooks";
import { get } from "../lib/api";
import { plain } from "../lib/format";
import { go, href, place } from "../lib/router";
import { isAdmin, memoryOf, tick } from "../state/board";
import { useFollow } from "../state/follow";
import { useLoad } from "../state/load";
import { Bytes, Empty, Meter, State, Text, Time } from "../ui/basics";
import { Act } from "../ui/confirm";
import { Choice } from "../ui/filters";
import { counted, ListPage, ordered, sortFrom } from "../ui/list";
import { TWO_LINES } from "../ui/narrow";
import type { Column } from "../ui/table";
import { Took } from "../ui/took";
import { Build } from "./jobs/build";
import { boardOf, modeOf, outputsOf, rowId, when, type Job } from "./jobs/model";

const MOST = 500;

interface Shown {
	job: Job;
	project: string;
	outputs: string;
	state: string;
	/** why it waits, or why it did not end well */
	reason: string;
	startedAt?: number;
	endedAt?: number;
	memory: number | null;
	limit?: number;
}

function shown(job: Job): Shown {
	const project = job.def.projectKey ?? "";
	const row = job.stableState ? undefined : boardOf(project, job.jobId);
	const reason = job.stableState ? job.errorMessage : (row?.reason ?? job.reason);
	return {
		job,
		project,
		outputs: outputsOf(job.def).join(", ") || job.jobId,
		state: (job.stableState ? job.state : (row?.state ?? job.state)).toLowerCase(),
		reason: reason ?? "",
		startedAt: when(job.startTime) ?? when(job.def.initiationTimestamp),
		endedAt: when(job.endTime),
		memory: row ? memoryOf(row.id) : null,
		limit: row?.limitBytes,
	};
}

const columns: Column<Shown>[] = [
	{
		id: "outputs",
		title: "Builds",
		width: "minmax(130px, 1.6fr)",
		sortable: true,
		from: TWO_LINES,
		render: (s) => (
			<a class="plain-link" href={href("job", s.project, s.job.jobId)} tabIndex={-1}>
				<Text text={s.outputs} />
			</a>
		),
	},
	{
		id: "outputs",
		title: "Builds",
		width: "minmax(0, 1fr)",
		sortable: true,
		until: TWO_LINES - 1,
		render: (s) => (
			<span class="two-lines">
				<Text text={s.outputs} />
				<span class="dim">
					<State state={s.state} /> <span class="cut">{plain(s.reason || `${s.project} · ${s.job.def.initiator ?? ""}`)}</span>
				</span>
			</span>
		),
	},
	{ id: "mode", title: "What is run", width: "90px", from: 1100, render: (s) => <span title={modeOf(s.job.def.type)?.says}>{modeOf(s.job.def.type)?.short ?? ""}</span> },
	{ id: "project", title: "Project", width: "minmax(70px, 0.7fr)", sortable: true, from: TWO_LINES, render: (s) => <Text text={s.project} /> },
	{ id: "owner", title: "Owner", width: "minmax(70px, 0.7fr)", sortable: true, from: 760, render: (s) => <Text text={s.job.def.initiator} /> },
	{ id: "state", title: "State", width: "90px", sortable: true, from: TWO_LINES, render: (s) => <State state={s.state} title={plain(s.reason) || undefined} /> },
	{ id: "started", title: "Started", width: "120px", sortable: true, right: true, from: 900, render: (s) => <Time at={s.startedAt} /> },
	{ id: "elapsed", title: "Took", width: "90px", sortable: true, right: true, render: (s) => <Took from={s.startedAt} until={s.endedAt} isOver={s.job.stableState} /> },
	{
		id: "memory",
		title: "Memory",
		width: "100px",
		sortable: true,
		right: true,
		from: 1000,
		help: "Of its kernel, now. Its recipes have their own; the job's page has all of them.",
		render: (s) => (s.job.stableState ? "" : <Meter used={s.memory} limit={s.limit}><Bytes n={s.memory} /></Meter>),
	},
	{ id: "reason", title: "Why", width: "minmax(120px, 5fr)", from: 640, render: (s) => <Text text={s.reason} class={s.state === "failed" ? "bad-text" : "dim"} /> },
];

const values: Record<string, (s: Shown) => string | number> = {
	outputs: (s) => s.outputs,
	project: (s) => s.project,
	owner: (s) => s.job.def.initiator ?? "",
	state: (s) => s.state,
	started: (s) => s.startedAt ?? 0,
	elapsed: (s) => (s.startedAt ? (s.job.stableState ? (s.endedAt ?? s.startedAt) : Date.now()) - s.startedAt : -1),
	memory: (s) => s.memory ?? -1,
};

const STATES = ["waiting", "running", "done", "failed", "aborted"];

export default function Jobs() {
	const list = useLoad((signal) => get<Job[]>("/api/jobs", { limit: MOST }, signal), ["jobs"]);
	const [builds, setBuilds] = useState(false);
	const q = place.value.query;
	const sort = sortFrom("-started");
	const jobs = list.value ?? [];
	useFollow(
		jobs.filter((j) => !j.stableState).map((j) => rowId(j.def.projectKey ?? "", j.jobId)),
		list.soon,
	);
	const isOpen = jobs.some((j) => !j.stableState);
	const seen = isOpen ? tick.value : 0; // what has ended does not change
	const all = useMemo(() => jobs.map(shown), [jobs, seen]);
	const projects = useMemo(() => [...new Set(jobs.map((j) => j.def.projectKey ?? ""))].sort(), [jobs]);
	const find = (q["find"] ?? "").toLowerCase();
	const left = all.filter(
		(s) =>
			(!q["project"] || s.project === q["project"]) &&
			(!q["state"] || s.state === q["state"]) &&
			(!find || [s.outputs, s.project, s.job.def.initiator, s.job.jobId, s.reason].some((t) => t?.toLowerCase().includes(find))),
	);
	const rows = ordered(left, sort, values[sort.by] ?? values["started"]!, (s) => s.job.jobId);
	const close = useCallback(() => setBuilds(false), []);
	return (
		<ListPage
			title="Jobs"
			beside={
				<>
					<span class="push" />
					<Act look="main" onClick={() => setBuilds(true)}>
						Build…
					</Act>
				</>
			}
			loaded={list}
			lines={8}
			which="Which jobs"
			find="by dataset, owner, id, reason"
			choices={
				<>
					<Choice label="Project" name="project" all="all projects" options={projects} />
					<Choice label="State" name="state" all="all states" options={STATES} />
				</>
			}
			said={counted(left.length, jobs.length, "job", "jobs", MOST)}
			rows={rows}
			all={jobs.length}
			columns={columns}
			keyOf={(s) => `${s.project}/${s.job.jobId}`}
			sort={sort}
			onOpen={(s) => go(href("job", s.project, s.job.jobId))}
			none={{ title: "No job is like that.", showAll: "Show all jobs", forget: ["project", "state"] }}
			nothing={
				<Empty title="No job yet.">
					Jobs build datasets of a project. <strong>Build…</strong> starts one, so does <code>dssctl job run PROJECT DATASET</code>.
					{!isAdmin.value && " You see your own here."}
				</Empty>
			}
		>
			{builds && <Build project={q["project"]} onClose={close} />}
		</ListPage>
	);
}
