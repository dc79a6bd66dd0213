// detail: one session: how idle it is and why one says so, what rules said of it, and its process.
import { plain } from "../../lib/format";
import { cpuSecondsOf, peakOf } from "../../state/board";
import { useLoad } from "../../state/load";
import { Bytes, clock, Failed, Since, Text, Time } from "../../ui/basics";
import { DetailCard } from "../../ui/detail_card";
import { KernelEnds, useKernelEnds } from "../../ui/kernel_ends";
import { boardOf, decisions, idleness, idleOf, policyOf, type Session } from "./model";
import { memoryNow } from "./acts";
import { now } from "../../state/board";

export function Detail({ s, at, children }: { s: Session; at: number; children: preact.ComponentChildren }) {
	clock.value;
	const said = useLoad((signal) => decisions(s.id, signal), ["notebooks"], [s.id]);
	const ends = useKernelEnds(s.kernelId);
	const i = idleOf(s, at);
	const row = boardOf(s);
	const seconds = (row ? cpuSecondsOf(row.id) : null) ?? s.cpuSeconds;
	const rules = said.value?.get(s.id) ?? [];
	return (
		<DetailCard
			class="notebook-detail"
			label={`Notebook ${plain(s.notebook)}`}
			title={
				<Text text={s.notebook} />
			}
			state={s.state}
			buttons={children}
		>
			<KernelEnds ends={ends.value} isOpen={s.state !== "dead" && s.state !== "starting"} />
			<p class="notebook-sentence">
				{idleness(s, i, now())} {policyOf(rules)}
				{s.leased && ` Kept by ${plain(s.leasedBy ?? "its user")}: no policy ends it.`}
			</p>
			<div class="facts-columns bare">
				<dl class="facts">
					<dt>Last work</dt>
					<dd>
						<Time at={s.lastActivity} />
					</dd>
					<dt>Silent</dt>
					<dd title="Since the last cell, request about code or processor time, whoever is connected">{i.isBusy ? "no, it works" : <Since at={i.silentAt} />}</dd>
					<dt>Quiet</dt>
					<dd title="Silent, and nobody connected who had stayed for 2 minutes">{i.connections ? "no, somebody is connected" : i.isBusy ? "no, it works" : <Since at={i.quietAt} />}</dd>
					<dt>Clients</dt>
					<dd class="num">{i.connections ?? "not known"}</dd>
					{s.leased && (
						<>
							<dt>Kept until</dt>
							<dd>
								<Time at={s.leasedUntil} />
							</dd>
						</>
					)}
				</dl>
				<dl class="facts">
					<dt>Kernel</dt>
					<dd>
						<Text text={s.kernelSpec} /> {s.pid ? <span class="dim num">pid {s.pid}</span> : null}
					</dd>
					<dt>Started</dt>
					<dd>
						<Time at={s.startedAt} />
					</dd>
					<dt>Memory</dt>
					<dd>
						<Bytes n={memoryNow(s)} /> {s.limitBytes ? <span class="dim">of <Bytes n={s.limitBytes} /></span> : null}
					</dd>
					<dt>Peak</dt>
					<dd>
						<Bytes n={(row && peakOf(row.id)) ?? s.peakBytes} />
					</dd>
					<dt>Processor time</dt>
					<dd class="num">{seconds === undefined ? <span class="dim">–</span> : `${seconds.toFixed(1)} s`}</dd>
					<dt>Session</dt>
					<dd class="mono">{plain(s.id)}</dd>
				</dl>
			</div>
			{said.error && !said.value ? (
				<Failed error={said.error} retry={said.reload} />
			) : rules.length > 0 ? (
				<details>
					<summary>What {rules.length} {rules.length === 1 ? "rule" : "rules"} said last</summary>
					<ul class="notebook-rules">
						{rules.map((d) => (
							<li key={d.name}>
								<strong>{plain(d.name)}</strong> <span class="tag">{d.mode}</span> {plain(d.answer)}
								{d.outcome === "would" ? " (it would have)" : ""}: <code>{plain(d.threshold ?? "")}</code>{" "}
								<span class="dim">
									{plain((d.inputsText ?? []).join(", "))}; {plain(d.source)}; <Time at={d.at} />
								</span>
							</li>
						))}
					</ul>
				</details>
			) : (
				said.value && <p class="dim">No rule looked at it yet.</p>
			)}
		</DetailCard>
	);
}
