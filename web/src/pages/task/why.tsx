// why: the decisions about it, newest first: which word of which policy, what it saw, what it answered, what came of it.
import { useEffect } from "preact/hooks";
import { get } from "../../lib/api";
import { href } from "../../lib/router";
import { isAdmin, onFact } from "../../state/board";
import { useLoad } from "../../state/load";
import { Empty, Failed, Loading, Text, Time } from "../../ui/basics";
import { Button } from "../../ui/basics";

export interface Decision {
	seq: number;
	at: number;
	firstAt: number;
	count: number;
	word: string;
	name: string;
	source?: string;
	subjectKind: string;
	subject: string;
	answer: string;
	reason?: string;
	threshold?: string;
	mode?: string;
	outcome: string;
	outcomeText?: string;
	inputsText?: string[];
	version?: number;
}

const MOST = 100;

/** Kinds of the ledger's subjects, by kinds of rows. */
const subjectKinds: Record<string, string> = { future: "task", training: "task", recipe: "recipe", job: "job", webapp: "webapp", notebook: "notebook", kernel: "kernel", service: "process" };

async function load(subjects: [string | undefined, string][], signal: AbortSignal): Promise<Decision[]> {
	const lists = await Promise.all(subjects.map(([kind, subject]) => get<Decision[]>("/api/decisions", { kind, subject, limit: MOST }, signal)));
	const bySeq = new Map<number, Decision>();
	for (const d of lists.flat()) bySeq.set(d.seq, d);
	return [...bySeq.values()].sort((a, b) => b.at - a.at || b.seq - a.seq);
}

/** "policies/30-rules.lua:7" as a link to the policies' page. */
export function Source({ at }: { at: string | undefined }) {
	if (!at) return null;
	const [, file, line] = /^(?:policies\/)?(.+):(\d+)$/.exec(at) ?? [];
	return isAdmin.value && file ? <a href={href("policies", { file, line })}>{at}</a> : <code>{at}</code>;
}

export function DecisionRow({ d }: { d: Decision }) {
	const isWould = d.mode && d.mode !== "act" && d.outcome === "would";
	return (
		<li class="decision">
			<div class="decision-head">
				<Time at={d.at} />
				<strong>
					{isWould ? "would " : ""}
					{d.answer}
				</strong>
				<span>
					{d.word} “<Text text={d.name} cut={false} />”
				</span>
				<Source at={d.source} />
				{d.count > 1 && (
					<span class="dim">
						{d.count} times since <Time at={d.firstAt} />
					</span>
				)}
			</div>
			<div class="dim">
				{d.reason && <Text text={`${d.reason}. `} cut={false} />}
				{d.inputsText && d.inputsText.length > 0 && <>saw {d.inputsText.map((t) => <code>{t}</code>)} </>}
				{d.threshold && (
					<>
						asked <code>{d.threshold}</code>{" "}
					</>
				)}
				{d.outcome && d.outcome !== "nothing" && `→ ${d.outcome}${d.outcomeText ? `: ${d.outcomeText}` : ""}`}
			</div>
		</li>
	);
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
				<ol class="decisions">
					{loaded.value.map((d) => (
						<DecisionRow d={d} key={d.seq} />
					))}
				</ol>
			)}
			<Button small look="quiet" disabled={loaded.isLoading} onClick={loaded.reload}>
				Look again
			</Button>
		</section>
	);
}
