// job: one job: what became of it and why, its activities over time, its log, and the log of each activity.
import "../style/jobs.css";
import "../style/work.css";
import { useMemo, useState } from "preact/hooks";
import { seg } from "../lib/api";
import { plain } from "../lib/format";
import { go, href, place, setQuery } from "../lib/router";
import { now, tick } from "../state/board";
import { useFollow } from "../state/follow";
import { useLoad } from "../state/load";
import type { Row } from "../stream/protocol";
import { Empty, Failed, Loading, State, Text } from "../ui/basics";
import { Act } from "../ui/confirm";
import { EndDialog } from "../ui/ends";
import { Gantt, type Bar } from "../ui/gantt";
import { Log } from "../ui/log";
import { currentTab, Tabs, type Tab } from "../ui/tabs";
import { tell, tellError } from "../ui/toast";
import { AbortJob } from "./job/abort";
import { ActivityView } from "./job/activity";
import { JobFacts } from "./job/facts";
import { boardOf, build, outputsOf, recipeRow, rowId, status, when, type Activity, type Status } from "./jobs/model";

/** When nothing but a place was wanting: what it needs had ended. */
function couldBegin(a: Activity, all: Record<string, Activity>, jobStart: number | undefined): number | undefined {
	const ends = (a.after ?? []).map((id) => when(all[id]?.endTime));
	if (!jobStart || ends.some((e) => e === undefined)) return undefined;
	return Math.max(jobStart, ...(ends as number[]));
}

function barsOf(s: Status, project: string, job: string): Bar[] {
	const base = s.baseStatus;
	return Object.values(base.activities)
		.sort((a, b) => a.partialExecutionOrder - b.partialExecutionOrder)
		.map((a) => {
			const row = a.state === "WAITING" ? recipeRow(project, job, a.activityId) : undefined;
			const endedAt = when(a.endTime);
			const startedAt = when(a.startTime);
			const isOver = base.stableState || (a.state !== "WAITING" && a.state !== "RUNNING" && a.state !== "NOT_STARTED");
			return {
				id: a.activityId,
				label: a.recipeName,
				kind: a.recipeType,
				state: a.state.toLowerCase(),
				note: a.messages?.messages?.[0]?.message ?? row?.reason ?? a.reason ?? (a.why ? `run because: ${a.why}` : undefined),
				waitedFrom: isOver && !startedAt ? undefined : couldBegin(a, base.activities, when(base.startTime)),
				startedAt,
				endedAt: endedAt ?? (isOver && startedAt ? (when(base.endTime) ?? startedAt) : undefined),
			};
		});
}

/** Why it is as it is, in whole sentences. */
function Why({ s, project, job }: { s: Status; project: string; job: string }) {
	const base = s.baseStatus;
	const g = s.globalState;
	const reason = (base.stableState ? "" : boardOf(project, job)?.reason) || base.reason;
	if (base.state === "FAILED") {
		const cause = base.unexpectedFailure?.cause;
		const more = [g.failed ? `${g.failed} of ${g.total} activities failed` : "", g.skipped ? `${g.skipped} that needed them were skipped` : ""].filter(Boolean).join(", ");
		return (
			<div class="note" data-tone="bad">
				<div>
					<strong>Failed{cause ? ` (${cause})` : ""}.</strong> {plain(s.errorMessage || base.unexpectedFailure?.message || "")}
					{more && <div class="dim">{more}.</div>}
				</div>
			</div>
		);
	}
	if (base.state === "ABORTED")
		return (
			<div class="note" data-tone="warn">
				<div>
					<strong>Aborted.</strong> {plain(s.errorMessage ?? "")}
				</div>
			</div>
		);
	if (!base.stableState && reason)
		return (
			<div class="note" data-tone="warn" role="status">
				<div>
					<strong>Waits.</strong> {plain(reason)}
				</div>
			</div>
		);
	return null;
}

function NotBuilt({ s }: { s: Status }) {
	const skipped = s.baseStatus.skipped ?? [];
	if (!skipped.length) return null;
	return (
		<details class="card job-skipped" open={!Object.keys(s.baseStatus.activities).length}>
			<summary>Not run: {skipped.length}, and why</summary>
			<dl class="facts body">
				{skipped.map((x, i) => (
					<>
						<dt key={i}>
							<Text text={x.recipe ?? x.dataset} />
						</dt>
						<dd>{plain(x.why)}</dd>
					</>
				))}
			</dl>
		</details>
	);
}

function View({ s, project, job }: { s: Status; project: string; job: string }) {
	const [aborts, setAborts] = useState<{ row?: Row } | null>(null);
	const [isBusy, setBusy] = useState(false);
	const base = s.baseStatus;
	const outputs = outputsOf(base.def);
	const isOpen = !base.stableState;
	const seen = isOpen ? tick.value : 0;
	const bars = useMemo(() => barsOf(s, project, job), [s, seen]);
	const chosen = base.activities[place.value.query["activity"] ?? ""];
	const tabs: Tab[] = [{ id: "log", title: "Log of the job" }];
	if (chosen) tabs.push({ id: "activity", title: plain(chosen.recipeName) });
	const tab = currentTab(tabs);
	const again = async () => {
		setBusy(true);
		try {
			const id = await build(project, base.def.type ?? "RECURSIVE_BUILD", outputs);
			tell(`Job ${id} was started.`);
			go(href("job", project, id));
		} catch (e) {
			tellError(e);
		} finally {
			setBusy(false);
		}
	};
	return (
		<>
			<div class="head">
				<a href={href("jobs", { project })}>Jobs of {plain(project)}</a>
				<h1 class="job-title">
					<Text text={outputs.join(", ") || job} />
				</h1>
				<State state={(boardOf(project, job)?.state ?? base.state).toLowerCase()} />
				<span class="push" />
				<div class="actions">
					{isOpen && (
						<Act look="bad" onClick={() => setAborts({ row: boardOf(project, job) })}>
							Abort…
						</Act>
					)}
					<Act onClick={again} disabled={isBusy || !outputs.length} title="A new job with the same outputs, in the same way">
						Build again
					</Act>
				</div>
			</div>
			<Why s={s} project={project} job={job} />
			<JobFacts s={s} project={project} job={job} />
			{bars.length > 0 ? (
				<section class="card" aria-label="Activities">
					<Gantt
						label="Activities"
						bars={bars}
						from={when(base.startTime) ?? base.def.initiationTimestamp ?? now()}
						until={isOpen ? undefined : (when(base.endTime) ?? now())}
						chosen={chosen?.activityId}
						onChoose={(id) => setQuery({ activity: id === chosen?.activityId ? "" : id, tab: id === chosen?.activityId ? "" : "activity" })}
					/>
				</section>
			) : (
				<p class="note">{base.state === "DONE" ? "There was nothing to build." : isOpen ? "Its activities are shown once it has begun." : "None of its activities began."}</p>
			)}
			<NotBuilt s={s} />
			<section class="job-below">
				<Tabs tabs={tabs} label="Logs" />
				<div class="job-panel" role="tabpanel" id="tabpanel" aria-labelledby={`tab-${tab}`}>
					{tab === "activity" && chosen ? (
						<ActivityView key={chosen.activityId} project={project} job={job} activity={chosen} />
					) : (
						<Log key={job} path={`/api/jobs/${seg(project)}/${seg(job)}/log`} label={`Log of job ${job}`} />
					)}
				</div>
			</section>
			{aborts &&
				(aborts.row?.ends.length ? (
					<EndDialog of={[aborts.row]} onClose={() => setAborts(null)} />
				) : (
					// somebody else's, in a project where one may run: one's own board has no row of it
					<AbortJob s={s} project={project} job={job} onClose={() => setAborts(null)} />
				))}
		</>
	);
}

export default function Job() {
	const [, project = "", job = ""] = place.value.path;
	const loaded = useLoad((signal) => status(project, job, signal), ["jobs"], [project, job]);
	const s = loaded.value;
	useFollow(s && !s.baseStatus.stableState ? [rowId(project, job)] : [], loaded.soon);
	if (!project || !job)
		return (
			<Empty title="Which job?">
				<a href={href("jobs")}>All jobs</a>
			</Empty>
		);
	return (
		<div class="page">
			{loaded.error && (
				<>
					<Failed error={loaded.error} retry={loaded.reload} />
					{!s && <a href={href("jobs")}>All jobs</a>}
				</>
			)}
			{s ? <View s={s} project={project} job={job} /> : !loaded.error && <Loading lines={8} />}
		</div>
	);
}
