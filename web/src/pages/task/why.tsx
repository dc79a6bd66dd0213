// why: the decisions about it, newest first: which word of which policy, what it saw, what it answered, what came of it.
import { useEffect } from "preact/hooks";
import { get } from "../../lib/api";
import { onFact } from "../../state/board";
import { useLoad } from "../../state/load";
import { Button, Empty, Failed, Loading } from "../../ui/basics";
import { Decisions, type Decision } from "../../ui/decisions";
import { kernelEnds } from "../../ui/kernel_ends";

const MOST = 100;
const SESSIONS_MOST = 8;

/** Kinds of the ledger's subjects, by kinds of rows. */
const subjectKinds: Record<string, string> = { future: "task", training: "task", recipe: "recipe", job: "job", webapp: "webapp", notebook: "notebook", kernel: "kernel", service: "process" };

type Subject = [string | undefined, string];

/** Decisions about a notebook are about its sessions: those that are open on the kernel, then those that it had. */
async function sessionsOf(kernel: string, signal: AbortSignal): Promise<Subject[]> {
	const [open, ended] = await Promise.all([get<{ id: string; kernelId: string }[]>("/api/notebooks", {}, signal), kernelEnds(kernel, signal)]);
	const ids = [...open.filter((s) => s.kernelId === kernel).map((s) => s.id), ...ended.map((e) => e.session)];
	return [...new Set(ids)].filter((id) => !!id && id !== kernel).slice(0, SESSIONS_MOST).map((id) => ["notebook", id!]);
}

async function load(kind: string, refName: string, known: Subject[], signal: AbortSignal): Promise<Decision[]> {
	const subjects = kind === "notebook" ? [...known, ...(await sessionsOf(refName, signal))] : known;
	const lists = await Promise.all(subjects.map(([kind, subject]) => get<Decision[]>("/api/decisions", { kind, subject, limit: MOST }, signal)));
	const bySeq = new Map<number, Decision>();
	for (const d of lists.flat()) bySeq.set(d.seq, d);
	return [...bySeq.values()].sort((a, b) => b.at - a.at || b.seq - a.seq).slice(0, MOST);
}

export function Why({ kind, refName, processId }: { kind: string; refName: string; processId: string | undefined }) {
	const subjects: Subject[] = [[subjectKinds[kind], refName.includes("/") && kind !== "webapp" && kind !== "notebook" ? refName.split("/").at(-1)! : refName]];
	if (processId && processId !== refName) subjects.push([undefined, processId]);
	const loaded = useLoad<Decision[]>((signal) => load(kind, refName, subjects, signal), [], [kind, refName, processId]);
	useEffect(() => onFact((f) => (f.subject === refName || f.subject === processId || f.detail?.["kernelId"] === refName) && loaded.reload()), [refName, processId]);
	if (loaded.error && !loaded.value) return <Failed error={loaded.error} retry={loaded.reload} />;
	if (!loaded.value) return <Loading />;
	return (
		<section aria-label="Decisions about it">
			{loaded.value.length === 0 ? (
				<Empty title="No policy has decided anything about it yet.">Each decision stands here with what it saw, also the one not to act.</Empty>
			) : (
				<Decisions list={loaded.value} />
			)}
			<Button small look="quiet" disabled={loaded.isLoading} onClick={loaded.reload}>
				Look again
			</Button>
		</section>
	);
}
