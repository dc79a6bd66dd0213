// end: how a task ended, in the server's words, with what may be done about it.
import { useState } from "preact/hooks";
import { post, seg } from "../../lib/api";
import { bytes, plain } from "../../lib/format";
import { go, href } from "../../lib/router";
import { Bytes, Button, Text } from "../../ui/basics";
import { Act } from "../../ui/confirm";
import { Dialog } from "../../ui/dialog";
import { tell } from "../../ui/toast";

export interface Moment {
	at: number;
	what: string;
	attempt?: number;
	kernel?: string;
	state?: string;
	cause?: string;
	text?: string;
}

/** GET /api/tasks/ID. */
export interface Task {
	jobId: string;
	state: string;
	type: string;
	pool?: string;
	project?: string;
	owner?: string;
	alive: boolean;
	attempt?: number;
	kernel?: string;
	tags?: string[];
	submitTime?: number;
	startTime?: number;
	endTime?: number;
	cause?: string;
	reason?: string;
	payload?: { displayName?: string };
	limits?: { memoryBytes?: number };
	/** it printed into a log of its own */
	hasLog?: boolean;
	/** it can be submitted once more: its payload is still there */
	again?: boolean;
	/** what happened, oldest first */
	timeline?: Moment[];
	error?: {
		errorType?: string;
		message?: string;
		cause?: string;
		stackTraceStr?: string;
		detail?: { limitBytes?: number; peakBytes?: number; peakSource?: string; cgroup?: string; limitOwner?: string | null; victimOf?: unknown; lastMinute?: { t: number; memoryBytes: number }[] } | null;
	};
}

const higherHelps = new Set(["oom_limit"]);

const titles: Record<string, string> = {
	oom_limit: "Out of memory: its limit",
	oom_heap: "Out of memory: the Java heap",
	oom_host: "Out of memory: the machine",
	limit_threads: "Too many threads",
	deadline: "It took longer than it may",
	admin: "Ended by an admin",
	user: "Ended by its owner",
	policy: "Ended by a policy",
	shutdown: "Ended with the node",
	start_failed: "It could not be started",
	crash: "It crashed",
	signal: "Ended by a signal",
	lost: "Lost",
	unknown: "It ended, and nobody knows why",
};

export function EndNote({ task }: { task: Task }) {
	if (task.state === "done") return null;
	const cause = task.cause ?? task.error?.cause ?? "";
	const detail = task.error?.detail;
	return (
		<div class="note death" data-tone={task.state === "aborted" ? "warn" : "bad"} role="status">
			<div>
				<strong>{titles[cause] ?? (task.state === "failed" ? "It failed" : "It ended")}</strong>
				<p>
					{task.error?.errorType && !task.error.errorType.startsWith("DSS.") && (
						<code>
							<Text text={task.error.errorType} cut={false} />:{" "}
						</code>
					)}
					<Text text={task.error?.message ?? `It ended as ${task.state}.`} cut={false} />
				</p>
				{detail && (detail.limitBytes || detail.peakBytes) ? (
					<p class="dim">
						{detail.limitBytes ? (
							<>
								limit <Bytes n={detail.limitBytes} />
								{detail.limitOwner && (
									<>
										{" of "}
										<code><Text text={detail.limitOwner} /></code>
									</>
								)}
								,{" "}
							</>
						) : null}
						peak <Bytes n={detail.peakBytes} />
						{detail.peakSource && ` (measured by ${detail.peakSource})`}
					</p>
				) : null}
				{task.error?.stackTraceStr && (
					<details>
						<summary>Where in its code</summary>
						<pre class="trace">{task.error.stackTraceStr.split("\n").map(plain).join("\n")}</pre>
					</details>
				)}
			</div>
		</div>
	);
}

/** Twice the limit, in whole megabytes, as it is typed: "400m". */
function doubled(limit: number): string {
	const mb = Math.ceil((limit * 2) / (1 << 20));
	return mb % 1024 === 0 ? `${mb / 1024}g` : `${mb}m`;
}

export function RunAgain({ task }: { task: Task }) {
	const limit = task.error?.detail?.limitBytes ?? task.limits?.memoryBytes;
	const helps = higherHelps.has(task.cause ?? "") && limit;
	const [isOpen, setOpen] = useState(false);
	const [memory, setMemory] = useState("");
	const [wrong, setWrong] = useState("");
	const [isBusy, setBusy] = useState(false);
	const open = () => {
		setMemory(helps ? doubled(limit) : "");
		setWrong("");
		setOpen(true);
	};
	const submit = async () => {
		setBusy(true);
		try {
			const { jobId } = await post<{ jobId: string }>(`/api/tasks/${seg(task.jobId)}/again`, memory.trim() ? { limits: { memory: memory.trim() } } : {});
			tell("It was submitted again.");
			setOpen(false);
			go(href("task", `future:${jobId}`));
		} catch (e) {
			setWrong(e instanceof Error ? e.message : String(e));
		} finally {
			setBusy(false);
		}
	};
	return (
		<>
			<Act look={helps ? "main" : undefined} onClick={open}>
				{helps ? "Run again with a higher limit…" : "Run again…"}
			</Act>
			{isOpen && (
				<Dialog
					title="Run it again"
					onClose={() => setOpen(false)}
					footer={
						<>
							<Button onClick={() => setOpen(false)}>Cancel</Button>
							<Act look="main" disabled={isBusy} onClick={submit}>
								Run again
							</Act>
						</>
					}
				>
					<p>The same work as a new task of yours: same payload, pool and project.</p>
					<label class="label">
						Memory limit
						<input class="field" value={memory} placeholder="as the pool says" aria-invalid={wrong ? true : undefined} onInput={(e) => setMemory(e.currentTarget.value)} onKeyDown={(e) => e.key === "Enter" && submit()} />
					</label>
					<p class="hint">{limit ? `It had ${bytes(limit)}. ` : ""}Such as 512m or 4g; empty: the pool's own.</p>
					{wrong && (
						<p class="wrong" role="alert">
							{wrong}
						</p>
					)}
				</Dialog>
			)}
		</>
	);
}
