// tools: the line above the table: filter and its quick chips, groups, what is hidden; or, while rows are chosen, what can be done with them.
import { bytes } from "../../lib/format";
import { setQuery } from "../../lib/router";
import { me, memoryOf } from "../../state/board";
import type { Row } from "../../stream/protocol";
import { Keep } from "../../ui/activity";
import { Button, Kbd } from "../../ui/basics";
import { Act } from "../../ui/confirm";
import { verbFor } from "../../ui/ends";
import { subjectOf, wayOf } from "../../ui/ends_do";
import { FilterBox } from "../../ui/filter";
import { hasConjunct, toggleConjunct, type FilterModel } from "../../ui/filter_model";
import { groups } from "./view";
import type { GroupBy, Shown } from "./order";

function chips(): { text: string; where: string; help: string }[] {
	return [
		{ text: "Mine", where: `user = ${/^[A-Za-z0-9_.:@/-]+$/.test(me.value) ? me.value : `"${me.value.replace(/["\\]/g, "\\$&")}"`}`, help: "what is mine" },
		{ text: "Waiting", where: "state = waiting", help: "what waits" },
		{ text: "Over 1 GB", where: "memory > 1g", help: "uses more than 1 GB now" },
		{ text: "Near its limit", where: "memory > 80% of limit", help: "uses more than 80 % of its limit: it may be killed soon" },
	];
}

export function Tools({ model, group, hidesIdle, isFlat }: { model: FilterModel; group: GroupBy; hidesIdle: boolean; isFlat: boolean }) {
	const text = model.text.value;
	return (
		<div class="tools">
			<FilterBox model={model} label="Filter" placeholder="Filter, such as memory > 1g and kind = notebook" />
			<div class="chips" role="group" aria-label="Quick filters">
				{chips().map((c) => (
					<button type="button" class="chip" key={c.text} aria-pressed={hasConjunct(text, c.where)} title={`${c.help}: ${c.where}`} onClick={() => model.set(toggleConjunct(text, c.where))}>
						{c.text}
					</button>
				))}
			</div>
			<span class="push" />
			<select class="field" aria-label="Groups" value={group} onChange={(e) => setQuery({ group: e.currentTarget.value === "none" ? undefined : e.currentTarget.value, fold: undefined })}>
				{groups.map((g) => (
					<option value={g.id}>{g.title}</option>
				))}
			</select>
			<label class="check" title="an activity below its job, or each row by itself">
				<input type="checkbox" checked={!isFlat} onChange={(e) => setQuery({ flat: e.currentTarget.checked ? undefined : "yes" })} /> Tree
			</label>
			<label class="check" title="kernels without a task, and services">
				<input type="checkbox" checked={hidesIdle} onChange={(e) => setQuery({ hide: e.currentTarget.checked ? "idle" : undefined })} /> Hide idle
			</label>
		</div>
	);
}

/** What of the chosen ones may be ended: an activity means its job. */
export const endable = (list: Row[]): Row[] => [...new Map(list.map((r) => subjectOf(r)).map((r) => [r.id, r])).values()].filter((r) => wayOf(r) !== undefined);

export function Chosen({ list, onEnd, onClear }: { list: Row[]; onEnd: (r: Row[]) => void; onClear: () => void }) {
	const ends = endable(list);
	const notebooks = list.filter((r) => r.kind === "notebook" && r.ends.length > 0);
	const memory = list.reduce((sum, r) => sum + (memoryOf(r.id) ?? 0), 0);
	const onlyNotebooks = notebooks.length > 0 && notebooks.length === ends.length;
	return (
		<div class="tools chosen" role="toolbar" aria-label="What to do with the chosen rows">
			<strong>{list.length} chosen</strong>
			<span class="dim num">{bytes(memory)}</span>
			<Act look="bad" disabled={!ends.length} title={ends.length ? "shows first what will end (e)" : "You may end none of these."} onClick={() => onEnd(ends)}>
				{ends.length ? `${verbFor(ends)}…` : "End"}
			</Act>
			{notebooks.length > 0 && !onlyNotebooks && <Act onClick={() => onEnd(notebooks)}>{`${verbFor(notebooks)}…`}</Act>}
			{notebooks.length > 0 && <Keep list={notebooks} />}
			{ends.length > 0 && ends.length < list.length && <span class="dim">{list.length - ends.length} of them cannot be ended by you.</span>}
			<span class="push" />
			<Button look="quiet" onClick={onClear}>
				Clear <Kbd>Esc</Kbd>
			</Button>
		</div>
	);
}

/** How many of how many, and what they use. */
export function Count({ shown }: { shown: Shown }) {
	const { sum, all } = shown;
	return (
		<span class="dim num count-line" role="status">
			{sum.count === all ? `${all} ${all === 1 ? "row" : "rows"}` : `${sum.count} of ${all} rows`} · {bytes(sum.memory)}
		</span>
	);
}
