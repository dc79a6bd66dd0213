// abort: what ends with a job, before it does.
import { elapsed, plain } from "../../lib/format";
import { memoryOf, now, tick } from "../../state/board";
import { Bytes } from "../../ui/basics";
import { Confirm } from "../../ui/confirm";
import { tell } from "../../ui/toast";
import { abort, outputsOf, recipeRow, type Status } from "../jobs/model";

export function AbortJob({ s, project, job, onClose }: { s: Status; project: string; job: string; onClose: () => void }) {
	tick.value;
	const all = Object.values(s.baseStatus.activities);
	const at = all.filter((a) => a.state === "RUNNING");
	const notYet = all.filter((a) => a.state === "WAITING" || a.state === "NOT_STARTED");
	const done = all.filter((a) => a.state === "DONE");
	return (
		<Confirm
			title={`Abort the job that builds ${plain(outputsOf(s.baseStatus.def).join(", "))}?`}
			verb={at.length ? `Abort it and end ${at.length} ${at.length === 1 ? "recipe" : "recipes"}` : "Abort it"}
			onClose={onClose}
			onDo={async () => {
				await abort(project, job);
				tell("The job is being aborted.");
			}}
		>
			{at.length > 0 ? (
				<>
					<p>These end now, with all that they started. What they were making counts as not built.</p>
					<ul class="going">
						{at.map((a) => {
							const row = recipeRow(project, job, a.activityId);
							return (
								<li key={a.activityId}>
									<bdi>{plain(a.recipeName)}</bdi>
									<span class="dim">
										{a.recipeType}
										{a.startTime ? `, for ${elapsed(now() - a.startTime)}` : ""}
										{row?.pid ? `, pid ${row.pid}` : ""}
									</span>
									<Bytes n={row ? memoryOf(row.id) : null} />
								</li>
							);
						})}
					</ul>
				</>
			) : (
				<p>Nothing of it runs right now.</p>
			)}
			{notYet.length > 0 && (
				<p>
					Not run at all: <bdi>{plain(notYet.map((a) => a.recipeName).join(", "))}</bdi>.
				</p>
			)}
			{done.length > 0 && (
				<p class="dim">
					Stays built: <bdi>{plain(done.map((a) => a.recipeName).join(", "))}</bdi>.
				</p>
			)}
		</Confirm>
	);
}
