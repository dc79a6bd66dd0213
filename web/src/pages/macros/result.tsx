// result: what a macro answered: a table of what it did, or would do, and why; or an object, or a text.
import { useMemo, useState } from "preact/hooks";
import { get } from "../../lib/api";
import { bytes, duration, plain, time } from "../../lib/format";
import { useLoad } from "../../state/load";
import { Bytes, Empty, Text } from "../../ui/basics";
import { Table as Grid, type Column, type Sort } from "../../ui/table";
import type { Cell, Table } from "./model";

type Kind = "size" | "duration" | "time" | "number" | "text" | "flag";

/** Facts that the server does not list: of things that macros alone go over (docs/policies.md). */
const KNOWN: Record<string, Kind> = { size: "size", age: "duration", bytes: "size" };

/** Kinds of columns are those of the facts that they are named after. */
function useKinds(): Record<string, Kind> {
	const facts = useLoad((signal) => get<Record<string, { name: string; type: string }[]>>("/api/facts", undefined, signal), []);
	return useMemo(() => {
		const out: Record<string, Kind> = { ...KNOWN };
		for (const list of Object.values(facts.value ?? {}))
			for (const f of list) {
				if (f.type === "size" || f.type === "duration" || f.type === "time" || f.type === "flag") out[f.name] ??= f.type;
				else if (f.type === "count" || f.type === "number") out[f.name] ??= "number";
			}
		return out;
	}, [facts.value]);
}

function shown(v: Cell | undefined, kind: Kind): string {
	if (v === null || v === undefined) return "";
	if (typeof v === "number") {
		if (kind === "size") return bytes(v);
		if (kind === "duration") return duration(v * 1000);
		if (kind === "time") return time(v * 1000);
		return v.toLocaleString();
	}
	if (typeof v === "boolean") return v ? "yes" : "no";
	return typeof v === "string" ? v : JSON.stringify(v);
}

const isNumeric = (kind: Kind) => kind !== "text" && kind !== "flag";

const SHORT = 6;
const LONG = 40;

/** A share of the width for a column of texts: as long as they are, within bounds. */
function share(table: Table, i: number): number {
	let most = SHORT;
	for (const r of table.records) most = Math.max(most, typeof r[i] === "string" ? (r[i] as string).length : SHORT);
	return Math.min(LONG, most);
}

/** Colours what became of a thing. */
function What({ text }: { text: string }) {
	const tone = /^(not |failed)/.test(text) ? "bad" : /^would be /.test(text) ? "warn" : /^(kept|skipped)/.test(text) ? "" : "good";
	return (
		<span class="result-what" data-tone={tone}>
			<Text text={text} />
		</span>
	);
}

interface Record_ {
	n: number;
	cells: Cell[];
}

function compare(a: Cell | undefined, b: Cell | undefined): number {
	if (typeof a === "number" && typeof b === "number") return a - b;
	if (a === null || a === undefined) return b === null || b === undefined ? 0 : -1;
	if (b === null || b === undefined) return 1;
	const x = typeof a === "string" ? a : JSON.stringify(a);
	const y = typeof b === "string" ? b : JSON.stringify(b);
	return x < y ? -1 : x > y ? 1 : 0;
}

export function ResultTable({ table, label }: { table: Table; label: string }) {
	const kinds = useKinds();
	const [sort, setSort] = useState<Sort | undefined>();
	const columns = useMemo<Column<Record_>[]>(
		() =>
			table.columns.map((name, i) => {
				const isNumber = table.records.every((r) => typeof r[i] === "number" || r[i] === null);
				const kind: Kind = isNumber && table.records.length ? (kinds[name] ?? "number") : "text";
				const right = isNumeric(kind);
				return {
					id: String(i),
					title: plain(name),
					right,
					sortable: true,
					width: right ? "100px" : `minmax(${i === 0 || name === "what" ? 120 : 70}px, ${share(table, i)}fr)`,
					// the first and what became of it stay where there is little room
					from: i === 0 || name === "what" ? undefined : right ? 520 : 680,
					render: (r: Record_) => {
						const v = r.cells[i];
						if (name === "what" && typeof v === "string") return <What text={v} />;
						if (kind === "size" && typeof v === "number") return <Bytes n={v} />;
						if (right) return <span class="num" title={typeof v === "number" ? String(v) : undefined}>{shown(v, kind)}</span>;
						return <Text text={shown(v, kind)} class={name === "why" ? "dim" : undefined} />;
					},
				};
			}),
		[table, kinds],
	);
	const items = useMemo(() => {
		const list = table.records.map((cells, n) => ({ n, cells }));
		if (sort) {
			const i = Number(sort.by);
			list.sort((a, b) => compare(a.cells[i], b.cells[i]) || a.n - b.n);
			if (sort.down) list.reverse();
		}
		return list.map((row) => ({ row }));
	}, [table, sort]);
	return <Grid label={label} items={items} columns={columns} keyOf={(r) => String(r.n)} sort={sort} onSort={setSort} empty={<Empty title="Nothing to tell of.">Nothing it went over was like its params say.</Empty>} />;
}

const VERBS: Record<string, string> = { deleted: "Delete", unloaded: "Unload", killed: "Kill", retired: "Retire", aborted: "Abort", interrupted: "Interrupt" };

/** Things of which something would be done, as people call them, and what: "deleted", "Delete". */
export function wouldBe(t: Table): { things: string[]; past: string; verb: string } {
	const what = t.columns.indexOf("what");
	const rows = t.records.filter((r) => String(r[what] ?? "").startsWith("would be "));
	const past = String(rows[0]?.[what] ?? "would be changed").replace("would be ", "");
	const names = t.columns.filter((c) => /^(notebook|name|id|project|title|user)$/.test(c)).slice(0, 3);
	const at = (names.length ? names : t.columns.slice(0, 1)).map((c) => t.columns.indexOf(c));
	return { things: rows.map((r) => at.map((i) => r[i]).filter((v) => v !== null && v !== undefined).join(" · ")), past, verb: VERBS[past] ?? "Do it for" };
}

/** "3 would be deleted, 1 kept; 12 looked at". */
export function summaryOf(t: Table): string {
	const s = t.summary;
	if (!s) return `${t.records.length} rows`;
	const parts = [];
	if (t.simulated) parts.push(`${s.would ?? 0} would be ${wouldBe(t).past}`);
	else parts.push(`${s.done ?? 0} done${s.bytes ? ` (${bytes(s.bytes)})` : ""}`);
	if (s.kept) parts.push(`${s.kept} kept`);
	if (s.failed) parts.push(`${s.failed} failed`);
	return `${parts.join(", ")}; ${s.looked ?? 0} looked at`;
}

export function Result({ value, label }: { value: unknown; label: string }) {
	if (typeof value === "string")
		return (
			<>
				<p class="hint">It is HTML, shown as its text: what others wrote is not run here.</p>
				<pre class="said" tabIndex={0} aria-label={label}>
					{value.split("\n").map((l) => plain(l)).join("\n")}
				</pre>
			</>
		);
	return (
		<pre class="said" tabIndex={0} aria-label={label}>
			{JSON.stringify(value, null, 2).split("\n").map((l) => plain(l)).join("\n")}
		</pre>
	);
}
