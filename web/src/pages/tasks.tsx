// tasks: everything that runs or waits, live: the node's memory on top, one table of all kinds, a row's detail beside it.
import "../style/tasks.css";
import { useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { bytes, cpu } from "../lib/format";
import { place, setQuery } from "../lib/router";
import { link, now, numbers, rows, tick } from "../state/board";
import type { Row } from "../stream/protocol";
import { Button, Empty, Loading, Text } from "../ui/basics";
import { EndDialog } from "../ui/ends";
import { FilterModel, hasConjunct, toggleConjunct } from "../ui/filter_model";
import { useShortcuts } from "../ui/keys";
import { Strip } from "../ui/strip";
import { groupKey, Table, type Item } from "../ui/table";
import { columns, stampOf } from "./tasks/columns";
import { Detail } from "./tasks/detail";
import { arrange, Held, type Group, type Node, type Shown, type View } from "./tasks/order";
import { Chosen, Count, endable, Tools } from "./tasks/tools";
import { foldedOf, foldGroup, groupOf, setSort, sortOf } from "./tasks/view";

const HOLD_MS = 4000; // rows stand still so long after somebody pointed at them
const ORDER_MS = 2500; // and change places no more often than this
const NARROW = matchMedia("(max-width: 700px)");

const keyOf = (r: Row): string => r.id;

function itemsOf(shown: Shown, isGrouped: boolean, folded: Set<string>, unfolded: ReadonlySet<string>, isFiltered: boolean): Item<Row>[] {
	const items: Item<Row>[] = [];
	const put = (n: Node, depth: number): void => {
		// With a filter that is what was looked for: it is not hidden in its job.
		const open = unfolded.has(n.row.id) !== isFiltered;
		const fold = n.children.length ? open : undefined;
		if (n.item?.row !== n.row || n.item.depth !== depth || n.item.fold !== fold) n.item = { row: n.row, depth, fold };
		items.push(n.item);
		if (open) for (const c of n.children) put(c, depth + 1);
	};
	for (const g of shown.groups) {
		const open = !folded.has(g.name || "-");
		if (isGrouped) items.push(headOf(g, open));
		if (open) for (const n of g.nodes) put(n, isGrouped ? 1 : 0);
	}
	return items;
}

function headOf(g: Group, open: boolean): Item<Row> {
	return {
		group: g.name,
		fold: open,
		head: (
			<>
				{g.name ? <Text text={g.name} /> : <span class="dim">none</span>} <span class="dim num">{g.sum.count}</span>
			</>
		),
		cells: { memory: <span class="num">{bytes(g.sum.memory)}</span>, cpu: <span class="num">{cpu(g.sum.cpu)}</span> },
	};
}

function Nothing({ view, clear }: { view: View; clear: () => void }) {
	if (view.filter || view.hidesIdle)
		return (
			<Empty title="Nothing here fits.">
				<Button onClick={clear}>Show all {rows.size} rows</Button>
			</Empty>
		);
	return (
		<Empty title="Nothing of yours runs or waits.">
			Hand in a task with <code>dssctl submit</code>, start a job with <code>dssctl job</code>, or open a notebook: it stands here at once.
		</Empty>
	);
}

export default function Tasks() {
	const { query } = place.value;
	const seen = tick.value;
	const chosen = useSignal<ReadonlySet<string>>(new Set());
	const unfolded = useSignal<ReadonlySet<string>>(new Set());
	const ends = useSignal<Row[] | null>(null);
	const current = useSignal<Row | null>(null);
	const byKey = useSignal(false); // the detail was opened from the keyboard
	const isNarrow = useSignal(NARROW.matches);
	const held = useMemo(() => new Held(), []);
	const pointedAt = useRef(-HOLD_MS);
	const orderedAt = useRef(0);
	const model = useMemo(() => new FilterModel("board", (text) => (place.value.query["where"] ?? "") !== text.trim() && setQuery({ where: text.trim() || undefined })), []);

	useEffect(() => {
		const look = () => (isNarrow.value = NARROW.matches);
		NARROW.addEventListener("change", look);
		return () => {
			NARROW.removeEventListener("change", look);
			model.close();
		};
	}, []);
	// A link, or a step back: the box follows the URL.
	const where = query["where"] ?? "";
	useEffect(() => {
		if (where !== model.text.value.trim()) model.set(where);
	}, [where]);
	// What could not be read while the connection was lost is read now.
	const isLive = link.value.state === "live";
	useEffect(() => {
		if (isLive && model.mistake.value && model.mistake.value.at === undefined) model.set(model.text.value);
	}, [isLive]);

	const sort = sortOf(query);
	const group = groupOf(query);
	const view: View = { filter: model.filter.value, sort, group, hidesIdle: query["hide"] === "idle", isFlat: query["flat"] === "yes" };
	const isFiltered = view.filter !== null;
	const shown = useMemo(
		() => {
			const at = performance.now();
			const holds = at - pointedAt.current < HOLD_MS || at - orderedAt.current < ORDER_MS;
			if (!holds) orderedAt.current = at;
			return arrange(rows, numbers, view, held, holds, now());
		},
		[seen, view.filter, sort.by, sort.down, group, view.hidesIdle, view.isFlat],
	);
	const items = useMemo(() => itemsOf(shown, group !== "none", foldedOf(query), unfolded.value, isFiltered), [shown, query["fold"], unfolded.value]);

	const list = [...chosen.value].map((id) => rows.get(id)).filter((r): r is Row => r !== undefined);
	useEffect(() => {
		if (list.length !== chosen.value.size) chosen.value = new Set(list.map(keyOf));
	}, [seen]);

	const open = query["open"];
	const focusTable = () => document.querySelector<HTMLElement>("[data-table]")?.focus();
	const close = () => {
		setQuery({ open: undefined });
		focusTable();
	};
	// What had the focus before may have ended with its row.
	const hadDialog = useRef(false);
	useEffect(() => {
		if (hadDialog.current && !ends.value && document.activeElement === document.body) focusTable();
		hadDialog.current = ends.value !== null;
	}, [ends.value]);
	const endThese = (of: Row[]) => of.length && (ends.value = of);
	useShortcuts([
		{ keys: "e", does: "end the chosen rows, or the one at hand; shows first what will end", run: () => endThese(endable(list.length ? list : current.value ? [rows.get(current.value.id) ?? current.value] : [])) },
		{ keys: "h", does: "hide idle kernels and services, or show them", run: () => setQuery({ hide: view.hidesIdle ? undefined : "idle" }) },
	]);

	const text = model.text.value;
	// These look at what changes by themselves; they are not drawn anew with each message.
	const strip = useMemo(() => <Strip isOn={(part) => hasConjunct(text, part)} onFilter={(part) => model.set(toggleConjunct(model.text.value, part))} />, [text]);
	const tools = useMemo(() => <Tools model={model} group={group} hidesIdle={view.hidesIdle} isFlat={view.isFlat} />, [group, view.hidesIdle, view.isFlat]);
	return (
		<div class="page fill tasks">
			<div class="head">
				<h1>Background tasks</h1>
				<Count shown={shown} />
			</div>
			{strip}
			{list.length ? (
				<Chosen list={list} onEnd={endThese} onClear={() => (chosen.value = new Set())} />
			) : (
				tools
			)}
			<div class={`with-detail${open ? " open" : ""}`}>
				{seen === 0 ? (
					<div class="grid" aria-busy="true">
						<Loading lines={10} />
					</div>
				) : (
					<Table
						label="Background tasks"
						items={items}
						columns={columns}
						keyOf={keyOf}
						stampOf={stampOf}
						sort={sort}
						onSort={setSort}
						chosen={chosen.value}
						onChoose={(c) => (chosen.value = c)}
						onOpen={(r) => {
							byKey.value = document.querySelector("[data-table]:focus-visible") !== null;
							setQuery({ open: open === r.id && !byKey.value ? undefined : r.id });
						}}
						onCurrent={(r, isMoved) => {
							current.value = r;
							byKey.value = false;
							if (open && r && isMoved) setQuery({ open: r.id }); // what is read stays there once it has ended
						}}
						onFold={(key, isOpen) => {
							if (key.startsWith(groupKey(""))) return foldGroup(key.slice(groupKey("").length), isOpen);
							const next = new Set(unfolded.value);
							if (isOpen !== isFiltered) next.add(key);
							else next.delete(key);
							unfolded.value = next;
						}}
						onPoint={() => (pointedAt.current = performance.now())}
						rowHeight={isNarrow.value ? 48 : 34}
						empty={
							<Nothing
								view={view}
								clear={() => {
									model.set("");
									setQuery({ hide: undefined });
								}}
							/>
						}
					/>
				)}
				{open && <Detail id={open} onEnd={endThese} onClose={close} takesFocus={byKey.value} />}
			</div>
			{ends.value && <EndDialog of={ends.value} onClose={() => (ends.value = null)} />}
		</div>
	);
}
