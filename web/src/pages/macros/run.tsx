// run: one run of a macro: how far it is, its end, and its result. What it would do can be done for real from here, with the same params.
import { useEffect, useState } from "preact/hooks";
import { plain } from "../../lib/format";
import { setQuery } from "../../lib/router";
import { isAdmin, me } from "../../state/board";
import { useFollow } from "../../state/follow";
import { useLoad } from "../../state/load";
import { Failed, Loading, Since, State, Time } from "../../ui/basics";
import { Act, Confirm } from "../../ui/confirm";
import { tell, tellError } from "../../ui/toast";
import { Took } from "../../ui/took";
import { abort, download, fetched, fetchResult, hasSimulate, isTable, run as load, start, type Fetched, type Macro, type Run, type Table } from "./model";
import { Result, ResultTable, summaryOf, wouldBe } from "./result";

const SHOWN = 50; // of what would be done, in the question

function Progress({ run }: { run: Run }) {
	const f = run.progress?.fraction;
	const s = run.progress?.states?.[0];
	const many = s?.target && s.target > 0 ? `, ${(s.cur ?? 0).toLocaleString()} of ${s.target.toLocaleString()}` : "";
	return (
		<div class="macro-progress">
			<progress aria-label="Progress" max={1} value={f} />
			<span role="status">
				{plain(s?.name ?? "runs")}
				{many} · <Since at={run.startTime} />
			</span>
		</div>
	);
}

/** What stands above the result; doing it for real where it was only looked. */
function Told({ macro, run, table, got }: { macro: Macro; run: Run; table: Table; got: Fetched }) {
	const [asks, setAsks] = useState(false);
	const n = table.summary?.would ?? 0;
	const { things, past, verb } = wouldBe(table);
	const asked = got.asked;
	return (
		<>
			<div class="macro-told">
				<span class="tag" data-tone={table.simulated ? "warn" : "good"}>
					{table.simulated ? "simulated: nothing was changed" : "done"}
				</span>
				<span>{summaryOf(table)}</span>
				<span class="push" />
				{table.simulated && n > 0 && hasSimulate(macro) && asked && (
					<Act look="bad" onClick={() => setAsks(true)}>
						{verb} {n}…
					</Act>
				)}
			</div>
			{table.summary?.note && (
				<p class="note" data-tone="warn">
					{plain(table.summary.note)}
				</p>
			)}
			{(table.summary?.cut || (table.summary?.left_out ?? 0) > 0) && (
				<p class="hint">
					{table.summary?.cut ? "There is more than it looked at. " : ""}
					{table.summary?.left_out ? `${table.summary.left_out} rows are left out of the table.` : ""}
				</p>
			)}
			{asks && asked && (
				<Confirm
					title={`${plain(macro.meta.label ?? macro.name)}: ${verb.toLowerCase()} ${n}?`}
					verb={`${verb} ${n}`}
					onClose={() => setAsks(false)}
					onDo={async () => {
						const id = await start(macro, asked, false);
						setTimeout(() => setQuery({ run: id }, true));
					}}
				>
					<p>
						It looks once more with the same params, and these are {plain(past)} unless they have changed meanwhile. What became so since <Time at={run.endTime} /> goes as well.
					</p>
					<ul class="going">
						{things.slice(0, SHOWN).map((t, i) => (
							<li key={i}>
								<bdi>{plain(t)}</bdi>
							</li>
						))}
						{(n > things.length || things.length > SHOWN) && <li class="dim">and {(n - Math.min(things.length, SHOWN)).toLocaleString()} more</li>}
					</ul>
				</Confirm>
			)}
		</>
	);
}

export function RunView({ id, macro, reloadRuns }: { id: string; macro: Macro; reloadRuns: () => void }) {
	const loaded = useLoad((signal) => load(id, signal), ["macros"], [id]);
	const [got, setGot] = useState<Fetched>(() => fetched(id) ?? {});
	const [error, setError] = useState<Error>();
	const r = loaded.value;
	useFollow(r?.running ? [`macro:${id}`] : [], loaded.soon);
	const isFile = macro.resultType === "FILE";
	const mine = r?.owner === me.value;
	// The result is told once: of one's own runs it is fetched as soon as it is there.
	const fetch_ = () =>
		fetchResult(id).then(
			() => {
				setGot(fetched(id) ?? {});
				reloadRuns();
			},
			(e: Error) => setError(e),
		);
	const ready = !!r && !r.running && r.state === "done" && !r.empty && !isFile && got.value === undefined;
	useEffect(() => {
		if (ready && mine && !error) void fetch_();
	}, [ready, mine]);
	useEffect(() => {
		if (r && !r.running) reloadRuns();
	}, [r?.running]);
	const save = async () => {
		try {
			tell(`${await download(id, `${macro.name}-${id}.${macro.extension ?? "bin"}`)} is saved.`);
			loaded.reload();
			reloadRuns();
		} catch (e) {
			tellError(e);
		}
	};
	const isOver = r && !r.running;
	return (
		<section class="macro-run" aria-label={`Run ${id}`}>
			<div class="macro-told">
				<h2>Run</h2>
				<span class="mono dim">{plain(id)}</span>
				{r?.state && <State state={r.state} />}
				{r?.owner && <span class="dim">by {plain(r.owner)}</span>}
				{r?.startTime ? (
					<span class="dim">
						<Time at={r.startTime} />
						{isOver && r.endTime ? (
							<>
								, took <Took from={r.startTime} until={r.endTime} isOver />
							</>
						) : null}
					</span>
				) : null}
				<span class="push" />
				{r?.running && (
					<Act look="bad" small onClick={() => void abort(id).then(loaded.reload, tellError)} title="It stops before its next piece; what it has done stays done.">
						Abort the run
					</Act>
				)}
			</div>
			{loaded.error && !r ? <Failed error={loaded.error} retry={loaded.reload} /> : null}
			{!r && !loaded.error && <Loading lines={3} />}
			{r?.running && <Progress run={r} />}
			{r?.resultError && (
				<div class="note" data-tone={r.state === "aborted" ? "warn" : "bad"} role="alert">
					<div>
						<strong>{r.state === "aborted" ? "Aborted." : "It failed."}</strong> {plain(r.resultError.message)}
					</div>
				</div>
			)}
			{error && <Failed error={error} />}
			{got.value === undefined && isOver && !r.resultError && !error && !isFile && (
				<>
					{r.exists && !r.empty ? (
						!mine && (
							<div class="note">
								<span>Its result is told once, and it is {plain(r.owner ?? "somebody")}'s: who fetches it has it.</span>
								<Act small onClick={() => void fetch_()}>
									Fetch it
								</Act>
							</div>
						)
					) : (
						<p class="note">Its result is gone: it was fetched already, or is older than a day. Run it again.</p>
					)}
				</>
			)}
			{isFile && isOver && !r.resultError && (
				<div class="note" data-tone={r.empty ? "" : "good"}>
					{r.empty || !r.exists ? (
						<span>The file was fetched already, or is older than a day. Run it again.</span>
					) : (
						<>
							<span style={{ flex: 1 }}>The file is there. It is handed out once.{isAdmin.value ? " Look through it before it leaves the house." : ""}</span>
							<Act look="main" small onClick={() => void save()}>
								Download
							</Act>
						</>
					)}
				</div>
			)}
			{got.value !== undefined &&
				(isTable(got.value) ? (
					<>
						{r && <Told macro={macro} run={r} table={got.value} got={got} />}
						<ResultTable table={got.value} label={macro.resultLabel ?? "Result"} />
					</>
				) : (
					<Result value={got.value} label={macro.resultLabel ?? "Result"} />
				))}
		</section>
	);
}
