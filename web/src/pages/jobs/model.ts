// model: jobs as the server tells them, and what the board knows of those that are open.
import { get, post, seg } from "../../lib/api";
import { rows } from "../../state/board";
import type { Row } from "../../stream/protocol";

export type JobState = "WAITING" | "RUNNING" | "DONE" | "FAILED" | "ABORTED";
export type Mode = "RECURSIVE_BUILD" | "NON_RECURSIVE_FORCED_BUILD" | "RECURSIVE_FORCED_BUILD" | "RECURSIVE_MISSING_ONLY_BUILD";

export const modes: readonly { value: Mode; label: string; short: string; says: string }[] = [
	{ value: "RECURSIVE_BUILD", label: "What is out of date", short: "stale", says: "Runs the recipes, back to the sources, whose inputs or definition are newer than what they made." },
	{ value: "NON_RECURSIVE_FORCED_BUILD", label: "These alone, in any case", short: "only these", says: "Forced: runs the recipes of the chosen datasets, up to date or not; what they are made of stays as it is." },
	{ value: "RECURSIVE_FORCED_BUILD", label: "These and all that they are made of", short: "all", says: "Forced: runs every recipe back to the sources, up to date or not." },
	{ value: "RECURSIVE_MISSING_ONLY_BUILD", label: "These, and what is missing", short: "missing", says: "Runs the recipes of the chosen datasets, and those before them whose outputs are not there." },
];

export const modeOf = (type: string | undefined) => modes.find((m) => m.value === type);

export interface Definition {
	id: string;
	name?: string;
	type?: string;
	initiator?: string;
	initiationTimestamp?: number;
	projectKey?: string;
	outputs?: { id?: string; targetDataset?: string }[];
}

export interface Job {
	def: Definition;
	jobId: string;
	state: JobState;
	stableState: boolean;
	startTime: number;
	endTime: number;
	reason?: string;
	errorMessage?: string;
}

export interface Activity {
	activityId: string;
	recipeName: string;
	recipeType: string;
	state: JobState | "NOT_STARTED" | "SKIPPED";
	startTime: number;
	endTime: number;
	partialExecutionOrder: number;
	why?: string;
	after?: string[];
	reason?: string;
	position?: number;
	processId?: string;
	cause?: string;
	exitCode?: number;
	signal?: number;
	peakBytes?: number;
	messages?: { messages?: { message?: string }[] };
}

export interface Status {
	baseStatus: {
		def: Definition;
		state: JobState;
		stableState: boolean;
		startTime: number;
		endTime: number;
		kernelId?: string;
		kernelPid?: number;
		taskId: string;
		reason?: string;
		activities: Record<string, Activity>;
		/** what was left out, and why */
		skipped?: { recipe?: string; dataset?: string; why: string }[];
		unexpectedFailure?: { message?: string; cause?: string };
	};
	globalState: { done: number; failed: number; running: number; aborted: number; skipped: number; total: number };
	errorMessage?: string;
}

export const outputsOf = (def: Definition): string[] => (def.outputs ?? []).map((o) => o.id ?? o.targetDataset ?? "").filter(Boolean);

export const rowId = (project: string, job: string): string => `job:${project}/${job}`;
export const boardOf = (project: string, job: string): Row | undefined => rows.get(rowId(project, job));
export const recipeRow = (project: string, job: string, activity: string): Row | undefined => rows.get(`recipe:${project}/${job}/${activity}`);

/** Recipes of a job that are on the board now. */
export function recipesOf(project: string, job: string): Row[] {
	const out: Row[] = [];
	const parent = rowId(project, job);
	for (const r of rows.values()) if (r.parent === parent && r.kind === "recipe") out.push(r);
	return out;
}

export async function build(project: string, type: string, outputs: readonly string[]): Promise<string> {
	const { id } = await post<{ id: string }>(`/public/api/projects/${seg(project)}/jobs`, { type, outputs: outputs.map((id) => ({ type: "DATASET", id })) });
	return id;
}

export const abort = (project: string, job: string) => post(`/public/api/projects/${seg(project)}/jobs/${seg(job)}/abort`);
export const status = (project: string, job: string, signal?: AbortSignal) => get<Status>(`/public/api/projects/${seg(project)}/jobs/${seg(job)}`, undefined, signal);

/** Times that are 0 are none. */
export const when = (ms: number | undefined): number | undefined => (ms ? ms : undefined);
