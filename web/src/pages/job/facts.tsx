// facts: who started a job, what it was asked for, where it runs.
import { plain } from "../../lib/format";
import { href } from "../../lib/router";
import { memoryOf, tick } from "../../state/board";
import { Bytes, Meter, Text, Time } from "../../ui/basics";
import { Took } from "../../ui/took";
import { boardOf, modeOf, outputsOf, recipesOf, when, type Status } from "../jobs/model";

function Memory({ project, job }: { project: string; job: string }) {
	tick.value;
	const row = boardOf(project, job);
	const recipes = recipesOf(project, job);
	const sum = recipes.reduce<number | null>((n, r) => (memoryOf(r.id) === null ? n : (n ?? 0) + memoryOf(r.id)!), null);
	return (
		<>
			{row && (
				<>
					<dt>Its kernel's memory</dt>
					<dd class="fact-meter">
						<Meter used={memoryOf(row.id)} limit={row.limitBytes}>
							<span>
								<Bytes n={memoryOf(row.id)} />
								{row.limitBytes ? (
									<span class="dim">
										{" "}
										of <Bytes n={row.limitBytes} />
									</span>
								) : null}
							</span>
						</Meter>
					</dd>
				</>
			)}
			{sum !== null && (
				<>
					<dt>Its recipes' memory</dt>
					<dd>
						<Bytes n={sum} /> <span class="dim">in {recipes.filter((r) => r.state === "running").length} at work</span>
					</dd>
				</>
			)}
		</>
	);
}

export function JobFacts({ s, project, job }: { s: Status; project: string; job: string }) {
	const base = s.baseStatus;
	const isOpen = !base.stableState;
	const outputs = outputsOf(base.def);
	const mode = modeOf(base.def.type);
	return (
		<section class="card facts-columns" aria-label="Facts">
			<dl class="facts">
				<dt>Builds</dt>
				<dd>{plain(outputs.join(", "))}</dd>
				<dt>What is run</dt>
				<dd title={mode?.says}>{mode?.label ?? plain(base.def.type ?? "")}</dd>
				<dt>Started by</dt>
				<dd>
					<Text text={base.def.initiator} />
				</dd>
			</dl>
			<dl class="facts">
				<dt>Submitted</dt>
				<dd>
					<Time at={base.def.initiationTimestamp} />
				</dd>
				<dt>Began</dt>
				<dd>
					<Time at={when(base.startTime)} />
				</dd>
				<dt>{isOpen ? "Runs for" : "Took"}</dt>
				<dd>
					<Took from={when(base.startTime)} until={when(base.endTime)} isOver={!isOpen} />
				</dd>
			</dl>
			<dl class="facts">
				<dt>Kernel</dt>
				<dd>
					{base.kernelId ? (
						<>
							<Text text={base.kernelId} /> {base.kernelPid ? <span class="dim num">pid {base.kernelPid}</span> : null}
						</>
					) : (
						<span class="dim">none yet</span>
					)}
				</dd>
				{isOpen && <Memory project={project} job={job} />}
				<dt>Task</dt>
				<dd>
					<a class="mono" href={href("task", base.taskId)} title={`Job ${plain(job)} as a task: its decisions, its kernel`}>
						{base.taskId}
					</a>
				</dd>
			</dl>
		</section>
	);
}
