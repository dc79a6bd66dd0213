// why: the decisions about it, newest first: which word of which policy, what it saw, what it answered, what came of it.
import { useEffect } from "preact/hooks";
import { get } from "../../lib/api";
import { onFact } from "../../state/board";
import { useLoad } from "../../state/load";
import { Button, Empty, Failed, Loading } from "../../ui/basics";
import { Decisions, type Decision } from "../../ui/decisions";

const MOST = 100;

/** Kinds of the ledger's subjects, by kinds of rows. */
const subjectKinds: Record<string, string> = { future: "task", training: "task", recipe: "recipe", job: "job", webapp: "webapp", notebook: "notebook", kernel: "kernel", service: "process" };

async function load(subjects: [string | undefined, string][], signal: AbortSignal): Promise<Decision[]> {
	const lists = await Promise.all(subjects.map(([kind, subject]) => get<Decision[]>("/api/decisions", { kind, subject, limit: MOST }, signal)));
	const bySeq = new Map<number, Decision>();
	for (const d of lists.flat()) bySeq.set(d.seq, d);
	return [...bySeq.values()].sort((a, b) => b.at - a.at || b.seq - a.seq);
}

export function Why({ kind, refName, processId }: { kind: string; refName: string; processId: string | undefined }) {
	const subjects: [string | undefined, string][] = [[subjectKinds[kind], refName.includes("/") && kind !== "webapp" && kind !== "notebook" ? refName.split("/").at(-1)! : refName]];
	if (processId && processId !== refName) subjects.push([undefined, processId]);
	const loaded = useLoad<Decision[]>((signal) => load(subjects, signal), [], [kind, refName, processId]);
	useEffect(() => onFact((f) => (f.subject === refName || f.subject === processId) && loaded.reload()), [refName, processId]);
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
