// ends: the question before something is ended: exactly what ends and what is lost, one button, what became of each.
import "../style/ends.css";
import { useComputed, useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { ApiError } from "../lib/api";
import { bytes, plain } from "../lib/format";
import { memoryOf, rows, tick } from "../state/board";
import { useLoad } from "../state/load";
import type { Row } from "../stream/protocol";
import { Button, Bytes, Failed, Loading, Since, Text } from "./basics";
import { Act } from "./confirm";
import { Dialog } from "./dialog";
import { endAll, endingOf, preview, subjectOf, verbs, wayOf, type Consequence, type Ending, type Preview } from "./ends_do";

const count = (n: number, one: string, many = `${one}s`): string => `${n} ${n === 1 ? one : many}`;

/** "Unload 2 notebooks", "End 3 tasks". */
export function verbFor(list: Row[]): string {
	const ways = new Set(list.map(wayOf));
	const kinds = new Set(list.map((r) => r.kind));
	const verb = ways.size === 1 ? (verbs[[...ways][0] ?? ""] ?? "End") : "End";
	const [kind] = kinds;
	const noun = kinds.size === 1 && (kind === "notebook" || kind === "webapp" || kind === "job" || kind === "training" || kind === "kernel") ? kind : "task";
	return `${verb === "Abort" ? "End" : verb} ${count(list.length, noun)}`;
}

const steps: Record<string, string> = { asked: "ending…", ended: "ended", failed: "not ended" };

function Result({ e }: { e: Ending }) {
	const step = e.step.value;
	if (!step) return null;
	const tone = step === "ended" ? "good" : step === "failed" ? "bad" : "warn";
	return (
		<span class="state" data-tone={tone} data-step={step}>
			<i aria-hidden="true" />
			{steps[step]}
		</span>
	);
}

const MEMBERS_SHOWN = 6;

/** Those that end, each with who else lives in its box. */
function Processes({ list }: { list: NonNullable<Consequence["processes"]> }) {
	return (
		<ul class="ends-processes">
			{list.map((p) => {
				const others = (p.members ?? []).filter((m) => m.pid !== p.pid);
				const all = Math.max(others.length, (p.membersCount ?? 0) - 1);
				return (
					<li key={p.id}>
						<Text text={p.what ?? p.id ?? "process"} /> {p.pid !== undefined && <span class="num">pid {p.pid}</span>} {p.memoryBytes !== undefined && <Bytes n={p.memoryBytes} />}
						{all > 0 && (
							<span class="cut">
								with {others.slice(0, MEMBERS_SHOWN).map((m) => `${plain(m.name ?? "?")} (pid ${m.pid})`).join(", ")}
								{all > MEMBERS_SHOWN ? ` and ${all - MEMBERS_SHOWN} more` : ""}
							</span>
						)}
					</li>
				);
			})}
		</ul>
	);
}

function One({ e, told }: { e: Ending; told: Consequence | undefined }) {
	const { row } = e;
	const memory = told?.memoryBytes ?? memoryOf(row.id);
	return (
		<li data-row={row.id}>
			<div class="ends-head">
				<Text text={row.what} class="ends-what" />
				<span class="dim">
					{row.kind}
					{row.user ? " of " : ""}
					{row.user && <Text text={row.user} cut={false} />}, <Since at={row.startedAt ?? row.submittedAt} />
				</span>
				<span class="ends-right">{e.step.value ? <Result e={e} /> : memory !== null && <Bytes n={memory} />}</span>
			</div>
			{e.why.value && <div class="wrong">{plain(e.why.value)}</div>}
			{!e.step.value && told?.loses?.map((text, i) => <div class="dim">{i === 0 && <strong>Lost: </strong>}{plain(text)}</div>)}
			{!e.step.value && told?.also && told.also.length > 0 && (
				<div class="dim">
					Ends with it: {told.also.map((a, i) => (
						<>
							{i ? ", " : ""}
							<Text text={a.what ?? a.id} cut={false} />
						</>
					))}
				</div>
			)}
			{!e.step.value && told?.processes && told.processes.length > 0 && <Processes list={told.processes} />}
		</li>
	);
}

/** Rows that were gone before they were asked about, and those that may not be ended. */
function Not({ list, told }: { list: Row[]; told: Map<string, Consequence> }) {
	if (!list.length) return null;
	return (
		<section>
			<h3>{count(list.length, "stays", "stay")}</h3>
			<ul class="ends">
				{list.map((r) => (
					<li data-stays={r.id}>
						<div class="ends-head">
							<Text text={r.what} class="ends-what" />
							<span class="dim">{r.kind}</span>
						</div>
						<div class="dim">{plain(told.get(r.id)?.reason ?? (rows.has(r.id) ? "You may not end it." : "It has ended by itself."))}</div>
					</li>
				))}
			</ul>
		</section>
	);
}

export function EndDialog({ of, onClose }: { of: Row[]; onClose: () => void }) {
	// An activity ends with its job; each once.
	const list = useMemo(() => [...new Map(of.map((r) => subjectOf(r)).map((r) => [r.id, r])).values()], []);
	const asked = useLoad<Preview>((signal) => preview(list.map((r) => r.id), signal), []);
	const isBusy = useSignal(false);
	const isOver = useSignal(false);
	const told = useMemo(() => new Map((asked.value?.rows ?? []).map((c) => [c.id, c])), [asked.value]);
	const ends = useMemo(() => list.filter((r) => asked.value && told.get(r.id)?.may).map(endingOf), [asked.value]);
	const stays = list.filter((r) => !ends.some((e) => e.row.id === r.id));
	const failed = useComputed(() => ends.filter((e) => e.step.value === "failed").length);
	const ended = useComputed(() => ends.filter((e) => e.step.value === "ended").length);

	// What was asked to end has ended once the board has it no more.
	const seen = tick.value;
	useEffect(() => {
		for (const e of ends) if (e.step.value === "asked" && !isBusy.value && !rows.has(e.row.id)) e.step.value = "ended";
	}, [seen, ends, isBusy.value]);

	// Once it is said what ends the focus goes to the button that does it, unless somebody moved it.
	const footer = useRef<HTMLSpanElement>(null);
	useEffect(() => {
		const dialog = footer.current?.closest("dialog");
		if (asked.value && dialog && (document.activeElement === dialog || document.activeElement === dialog.querySelector("header button"))) dialog.querySelector<HTMLElement>("footer [data-look='bad']")?.focus();
	}, [asked.value]);

	const go = async () => {
		isBusy.value = true;
		isOver.value = true;
		await endAll(ends);
		isBusy.value = false;
		// The button that had it may be gone.
		if (!ends.some((e) => e.step.value === "failed")) footer.current?.closest("dialog")?.querySelector<HTMLElement>("footer .button")?.focus();
	};
	const memory = asked.value?.memoryBytes ?? ends.reduce((sum, e) => sum + (told.get(e.row.id)?.memoryBytes ?? 0), 0);
	const verb = verbFor(ends.map((e) => e.row));
	const all = ends.length;
	const names = (l: Ending[]) => l.map((e) => plain(e.row.what)).join(", ");
	return (
		<Dialog
			title={`${verbFor(list)}?`}
			onClose={onClose}
			footer={
				<>
					<span ref={footer} class="ends-sum" role="status">
						{isOver.value && (ended.value === all ? `All ${all} ended.` : failed.value && !isBusy.value ? `${ended.value} of ${all} ended; not ended: ${names(ends.filter((e) => e.step.value === "failed"))}.` : `${ended.value} of ${all} ended.`)}
					</span>
					<Button onClick={onClose}>{isOver.value && !isBusy.value ? "Close" : "Cancel"}</Button>
					{(!isOver.value || (failed.value > 0 && !isBusy.value)) && (
						<Act look="bad" disabled={!asked.value || !all || isBusy.value} onClick={() => void go()}>
							{isOver.value ? `Try ${failed.value} again` : all ? verb : "Nothing can be ended"}
						</Act>
					)}
				</>
			}
		>
			{asked.isLoading && !asked.value && <Loading lines={3} />}
			{asked.error && !asked.value && <Failed error={asked.error instanceof ApiError ? asked.error : new Error(String(asked.error))} retry={asked.reload} />}
			{asked.value && (
				<>
					{all > 0 && (
						<p>
							{isOver.value ? "" : memory > 0 ? `${bytes(memory)} of memory are given back. ` : ""}
							{!isOver.value && "What runs is asked to end first, then killed. It cannot be undone."}
						</p>
					)}
					<ul class="ends">
						{ends.map((e) => (
							<One key={e.row.id} e={e} told={told.get(e.row.id)} />
						))}
					</ul>
					<Not list={stays} told={told} />
				</>
			)}
		</Dialog>
	);
}
