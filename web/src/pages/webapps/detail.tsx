// detail: one webapp: what it is wanted to be, what it does, how it crashed last, its log.
import type { ComponentChildren } from "preact";
import { seg } from "../../lib/api";
import { plain } from "../../lib/format";
import { cpuSecondsOf, memoryOf, peakOf, tick } from "../../state/board";
import { useLoad } from "../../state/load";
import { Bytes, Meter, Since, Text, Time } from "../../ui/basics";
import { DetailCard } from "../../ui/detail_card";
import { Log } from "../../ui/log";
import { backend, boardOf, isUp, keyOf, type Crash, type Webapp } from "./model";

function LastCrash({ crash }: { crash: Crash }) {
	return (
		<details class="card webapp-crash">
			<summary>
				Last crash <Time at={crash.at} />: {plain(crash.message ?? crash.cause ?? "")}
			</summary>
			<div class="body">
				<p class="dim">
					{[crash.cause, crash.code !== undefined ? `status ${crash.code}` : "", crash.signal ? `signal ${crash.signal}` : ""].filter(Boolean).map((t) => plain(t!)).join(", ")}
					{crash.peakBytes ? (
						<>
							, peak <Bytes n={crash.peakBytes} />
						</>
					) : null}
					{crash.limitBytes ? (
						<>
							{" "}
							of <Bytes n={crash.limitBytes} />
						</>
					) : null}
				</p>
				{crash.lines?.length ? (
					<pre class="said" tabIndex={0} aria-label="Its last lines before the crash">
						{crash.lines.map((l) => plain(l)).join("\n")}
					</pre>
				) : (
					<p class="dim">It had printed nothing.</p>
				)}
			</div>
		</details>
	);
}

export function Detail({ w, children }: { w: Webapp; children: ComponentChildren }) {
	tick.value;
	const row = boardOf(w);
	const more = useLoad((signal) => backend(w, signal), ["webapps"], [keyOf(w)]);
	const crash = more.value?.backend?.lastCrash;
	const up = isUp(w);
	const seconds = (row ? cpuSecondsOf(row.id) : null) ?? w.cpuSeconds;
	return (
		<DetailCard
			class="webapp-detail"
			label={`Webapp ${plain(w.id)}`}
			title={
				<>
					<Text text={w.id} /> <span class="dim">of {plain(w.project)}</span>
				</>
			}
			state={w.state}
			buttons={children}
		>
			{w.reason && (
				<div class="note" data-tone={w.state === "failed" ? "bad" : "warn"}>
					{plain(w.reason)}
				</div>
			)}
			<div class="facts-columns bare">
				<dl class="facts">
					<dt>Wanted</dt>
					<dd>{w.wanted}</dd>
					<dt>Starts by itself</dt>
					<dd>{w.autostart ? "yes, with the instance" : "no"}</dd>
					<dt>Crashes</dt>
					<dd class="num">{w.crashes}</dd>
					{w.unhealthySince && (
						<>
							<dt>Unhealthy</dt>
							<dd>
								for <Since at={w.unhealthySince} />
							</dd>
						</>
					)}
					{w.waitingSince && (
						<>
							<dt>Waits</dt>
							<dd>
								for <Since at={w.waitingSince} />
							</dd>
						</>
					)}
				</dl>
				<dl class="facts">
					<dt>Started</dt>
					<dd>
						<Time at={w.startedAt} />
					</dd>
					<dt>Ready</dt>
					<dd>{w.readyAt ? <Time at={w.readyAt} /> : <span class="dim">{up ? "not yet" : "–"}</span>}</dd>
					<dt>{w.socket ? "Socket" : "Port"}</dt>
					<dd class="mono">{w.socket ? plain(w.socket) : w.port ? `127.0.0.1:${w.port}` : "–"}</dd>
				</dl>
				<dl class="facts">
					{up ? (
						<>
							<dt>Memory</dt>
							<dd class="fact-meter">
								<Meter used={(row ? memoryOf(row.id) : null) ?? w.memoryBytes ?? null} limit={w.limitBytes}>
									<span>
										<Bytes n={(row ? memoryOf(row.id) : null) ?? w.memoryBytes} />
										{w.limitBytes ? (
											<span class="dim">
												{" "}
												of <Bytes n={w.limitBytes} />
											</span>
										) : null}
									</span>
								</Meter>
							</dd>
							<dt>Peak</dt>
							<dd>
								<Bytes n={(row && peakOf(row.id)) ?? w.peakBytes} />
							</dd>
							<dt>Processor time</dt>
							<dd class="num">{seconds === undefined ? <span class="dim">–</span> : `${seconds.toFixed(1)} s`}</dd>
						</>
					) : (
						<>
							<dt>Memory</dt>
							<dd class="dim">it does not run</dd>
						</>
					)}
					{row?.pid && (
						<>
							<dt>Pid</dt>
							<dd class="num">{row.pid}</dd>
						</>
					)}
				</dl>
			</div>
			{crash && <LastCrash crash={crash} />}
			<div class="webapp-log">
				<Log key={keyOf(w)} path={`/api/webapps/${seg(w.project)}/${seg(w.id)}/log`} label={`Log of ${plain(w.id)}`} />
			</div>
		</DetailCard>
	);
}
