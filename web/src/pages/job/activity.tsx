// activity: one activity of a job: why it was run, what became of it, and its lines of the log.
import { useEffect, useMemo } from "preact/hooks";
import { ask, seg } from "../../lib/api";
import { bytes, plain } from "../../lib/format";
import { memoryOf, tick } from "../../state/board";
import { useLoad } from "../../state/load";
import { Bytes, Failed, Loading, Meter, State, Time } from "../../ui/basics";
import { Took } from "../../ui/took";
import { recipeRow, when, type Activity } from "../jobs/model";

const SHOWN = 2000; // lines
const FOLLOW_MS = 3000; // its lines come out of the job's log, which tells pieces of the whole alone
const FOLLOWED_MOST = 1 << 20; // characters; what is longer is read anew when somebody asks

function Memory({ project, job, a }: { project: string; job: string; a: Activity }) {
	tick.value;
	const row = recipeRow(project, job, a.activityId);
	if (!row) return null;
	return (
		<>
			<dt>Memory</dt>
			<dd class="fact-meter">
				<Meter used={memoryOf(row.id)} limit={row.limitBytes}>
					<span>
						<Bytes n={memoryOf(row.id)} />
						{row.limitBytes ? <span class="dim"> of {bytes(row.limitBytes)}</span> : null}
					</span>
				</Meter>
			</dd>
		</>
	);
}

function Lines({ project, job, a }: { project: string; job: string; a: Activity }) {
	const runs = a.state === "RUNNING";
	const text = useLoad(
		async (signal) => (await ask(`/public/api/projects/${seg(project)}/jobs/${seg(job)}/log`, { query: { activity: a.activityId }, signal })).text(),
		[],
		[a.activityId, a.state],
	);
	useEffect(() => {
		if (!runs) return;
		const timer = setTimeout(() => {
			if (!document.hidden && (text.value?.length ?? 0) < FOLLOWED_MOST) text.reload();
		}, FOLLOW_MS);
		return () => clearTimeout(timer);
	}, [runs, text.value]);
	const lines = useMemo(() => (text.value ?? "").split("\n").filter(Boolean), [text.value]);
	if (text.error && !text.value) return <Failed error={text.error} retry={text.reload} />;
	if (text.value === undefined) return <Loading lines={3} />;
	if (!lines.length) return <p class="dim">{a.startTime ? "It has printed nothing." : "It has not begun."}</p>;
	return (
		<>
			{lines.length > SHOWN && (
				<p class="hint">
					The last {SHOWN.toLocaleString()} of {lines.length.toLocaleString()} lines; all of them are in the log of the job.
				</p>
			)}
			<pre class="said" tabIndex={0} aria-label={`Lines of ${plain(a.recipeName)}`}>
				{lines
					.slice(-SHOWN)
					.map((l) => plain(l))
					.join("\n")}
			</pre>
		</>
	);
}

export function ActivityView({ project, job, activity: a }: { project: string; job: string; activity: Activity }) {
	const message = a.messages?.messages?.[0]?.message;
	const isOpen = a.state === "RUNNING";
	const reason = a.state === "WAITING" ? (recipeRow(project, job, a.activityId)?.reason ?? a.reason) : undefined;
	return (
		<div class="job-activity">
			{message && (
				<div class="note" data-tone={a.state === "FAILED" ? "bad" : ""}>
					{plain(message)}
				</div>
			)}
			{reason && (
				<div class="note" data-tone="warn">
					<div>
						<strong>Waits{a.position ? `, position ${a.position}` : ""}.</strong> {plain(reason)}
					</div>
				</div>
			)}
			<div class="facts-columns card">
				<dl class="facts">
					<dt>State</dt>
					<dd>
						<State state={a.state.toLowerCase().replaceAll("_", " ")} />
					</dd>
					<dt>Run because</dt>
					<dd>{plain(a.why ?? "") || <span class="dim">not told</span>}</dd>
					{a.after?.length ? (
						<>
							<dt>After</dt>
							<dd>{plain(a.after.join(", "))}</dd>
						</>
					) : null}
				</dl>
				<dl class="facts">
					<dt>Started</dt>
					<dd>
						<Time at={when(a.startTime)} />
					</dd>
					<dt>Ended</dt>
					<dd>
						<Time at={when(a.endTime)} />
					</dd>
					<dt>{isOpen ? "Runs for" : "Took"}</dt>
					<dd>
						<Took from={when(a.startTime)} until={when(a.endTime)} isOver={!isOpen} />
					</dd>
				</dl>
				<dl class="facts">
					{a.processId && (
						<>
							<dt>Process</dt>
							<dd class="mono">{plain(a.processId)}</dd>
						</>
					)}
					{a.cause && (
						<>
							<dt>End</dt>
							<dd>
								{plain(a.cause)}
								{a.exitCode !== undefined && a.exitCode >= 0 ? `, status ${a.exitCode}` : ""}
								{a.signal !== undefined && a.signal > 0 ? `, signal ${a.signal}` : ""}
							</dd>
						</>
					)}
					{isOpen && <Memory project={project} job={job} a={a} />}
					{a.peakBytes !== undefined && (
						<>
							<dt>Peak</dt>
							<dd>
								<Bytes n={a.peakBytes} />
							</dd>
						</>
					)}
				</dl>
			</div>
			<Lines project={project} job={job} a={a} />
		</div>
	);
}
