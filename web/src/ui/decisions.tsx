// decisions: what policies decided, newest first: which word of which policy, what it saw, what it answered, what came of it.
import "../style/decisions.css";
import { plain } from "../lib/format";
import { Text, Time } from "./basics";
import { Source } from "./source";

/** A row of GET /api/decisions: equal repeated decisions are one. */
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

function DecisionRow({ d }: { d: Decision }) {
	const isWould = d.mode && d.mode !== "act" && d.outcome === "would";
	return (
		<li class="decision">
			<div class="decision-head">
				<Time at={d.at} />
				<strong>
					{isWould ? "would " : ""}
					{plain(d.answer)}
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
				{d.inputsText && d.inputsText.length > 0 && <>saw {d.inputsText.map((t) => <code>{plain(t)}</code>)} </>}
				{d.threshold && (
					<>
						asked <code>{plain(d.threshold)}</code>{" "}
					</>
				)}
				{d.outcome && d.outcome !== "nothing" && `→ ${plain(d.outcome)}${d.outcomeText ? `: ${plain(d.outcomeText)}` : ""}`}
			</div>
		</li>
	);
}

export function Decisions({ list }: { list: Decision[] }) {
	if (!list.length) return <p class="dim">Nothing was decided yet.</p>;
	return (
		<ol class="decisions">
			{list.map((d) => (
				<DecisionRow d={d} key={d.seq} />
			))}
		</ol>
	);
}
