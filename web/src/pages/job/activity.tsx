// activity: one activity of a job: why it was run, what became of it, and its lines of the log.
import { useEffect, useMemo, useState } from "preact/hooks";
import { said, saidFrom, type Said } from "../../lib/api";
import { bytes, plain } from "../../lib/format";
import { waiting } from "../../lib/waiting";
import { memoryOf, tick } from "../../state/board";
import { Bytes, Failed, Loading, Meter, State, Time } from "../../ui/basics";
import { Took } from "../../ui/took";
import { recipeRow, when, type Activity } from "../jobs/model";

const SHOWN = 2000; // lines
const WAIT_S = 25;

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

interface Book {
	last: string[];
	/** how many there are, of which the last are kept */
	count: number;
}

function added(book: Book, text: string): Book {
	const lines = text.split("\n").filter(Boolean);
	return { last: [...book.last, ...lines].slice(-SHOWN), count: book.count + lines.length };
}

/** Its lines, and what comes while it runs. `again` opens them anew after an error. */
function useLines(project: string, job: string, activity: string, runs: boolean) {
	const [book, setBook] = useState<Book>();
	const [error, setError] = useState<Error>();
	const [turn, setTurn] = useState(0);
	useEffect(() => {
		let at: Said | undefined;
		const open = async (signal: AbortSignal) => {
			at = await said(project, job, activity, signal);
			setBook(added({ last: [], count: 0 }, at.text));
			setError(undefined);
		};
		const more = async (signal: AbortSignal) => {
			const next = await saidFrom(project, job, activity, at!.next, WAIT_S, signal);
			if (next.size < at!.next) return open(signal).then(() => true); // the log was cut in its middle
			at = next;
			if (next.text) setBook((b) => added(b!, next.text));
			return next.text !== "";
		};
		return waiting({ open, more, rests: () => !runs || at!.whole, fail: setError }).end;
	}, [project, job, activity, runs, turn]);
	return { book, error, again: () => setTurn((n) => n + 1) };
}

function Lines({ project, job, a }: { project: string; job: string; a: Activity }) {
	const { book, error, again } = useLines(project, job, a.activityId, a.state === "RUNNING");
	const lines = useMemo(() => (book?.last ?? []).map((l) => plain(l)).join("\n"), [book]);
	if (error && !book) return <Failed error={error} retry={again} />;
	if (!book) return <Loading lines={3} />;
	if (!book.count) return <p class="dim">{a.startTime ? "It has printed nothing." : "It has not begun."}</p>;
	return (
		<>
			{error && <Failed error={error} retry={again} />}
			{book.count > SHOWN && (
				<p class="hint">
					The last {SHOWN.toLocaleString()} of {book.count.toLocaleString()} lines; all of them are in the log of the job.
				</p>
			)}
			<pre class="said" tabIndex={0} aria-label={`Lines of ${plain(a.recipeName)}`}>
				{lines}
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
