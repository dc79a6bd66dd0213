// table: a grid of any number of rows of which only those in sight are drawn. Sorting, choosing and folding are its owner's: it shows and tells.
// Keyboard: arrows, Page, Home, End move; right and left unfold and fold; Enter opens; Space chooses; Shift with an arrow chooses on; Escape gives
// the choice up; / goes to the filter. A row is drawn anew only where it, its stamp or its place changed.
import "../style/table.css";
import { Component, type ComponentChildren, type VNode } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";

export interface Column<T> {
	id: string;
	title: string;
	/** a grid track: "minmax(160px, 2fr)", "90px" */
	width: string;
	right?: boolean;
	/** not shown where the table is narrower than this (px) */
	from?: number;
	/** not shown where the table is wider than this (px) */
	until?: number;
	/** can be sorted by; what by is the owner's */
	sortable?: boolean;
	help?: string;
	/** what else than the row the cell shows; it is drawn anew when that is another one, others with another row alone */
	live?: (row: T) => unknown;
	render: (row: T) => ComponentChildren;
}

export interface Sort {
	by: string;
	down: boolean;
}

/** A row of the table: a thing, or the head of a group. `fold`: something stands below it; true: it is unfolded. `cells` of a head stand in their columns. */
export type Item<T> = { row: T; depth?: number; fold?: boolean } | { group: string; head: ComponentChildren; fold?: boolean; cells?: Record<string, ComponentChildren> };

export interface TableProps<T> {
	label: string;
	items: Item<T>[];
	columns: Column<T>[];
	keyOf: (row: T) => string;
	/** what else the row's cells show: they are drawn anew when it is another one. Absent: each time */
	stampOf?: (row: T) => unknown;
	sort?: Sort;
	onSort?: (sort: Sort) => void;
	/** keys of the chosen ones; absent: nothing can be chosen */
	chosen?: ReadonlySet<string>;
	onChoose?: (chosen: Set<string>) => void;
	onOpen?: (row: T) => void;
	/** the row at which the keyboard is; isMoved: somebody went there, else the row before is gone and it stands in its place */
	onCurrent?: (row: T | null, isMoved: boolean) => void;
	/** key of a row, or "group:NAME" */
	onFold?: (key: string, open: boolean) => void;
	/** somebody moves over the rows */
	onPoint?: () => void;
	rowHeight?: number;
	/** what stands there without any row */
	empty?: ComponentChildren;
}

const HEAD = 30;
const BEYOND = 4; // rows drawn above and below what is in sight
const STEP = 18; // px a level is moved in
const GAP = 14; // between columns, and 12 at each side (ui.css)
const BOX = 18; // the column of boxes

export const groupKey = (name: string): string => `group:${name}`;

interface RowProps<T> {
	item: Item<T>;
	id: string;
	index: number;
	top: number;
	height: number;
	tracks: string;
	columns: Column<T>[];
	/** undefined: nothing can be chosen */
	isChosen: boolean | undefined;
	isCurrent: boolean;
	stamp: unknown;
	does: { toggle(key: string): void; fold(key: string, open: boolean): void; click(e: MouseEvent, index: number): void };
	name: string;
}

function Fold({ open, onClick }: { open: boolean; onClick: () => void }) {
	return (
		<button type="button" class="fold" tabIndex={-1} aria-label={open ? "Fold" : "Unfold"} onClick={onClick}>
			<svg viewBox="0 0 10 10" width="10" height="10" aria-hidden="true" data-open={open}>
				<path d="M3 1.5 7 5 3 8.5" fill="none" stroke="currentColor" stroke-width="1.5" />
			</svg>
		</button>
	);
}

class GridRow<T> extends Component<RowProps<T>> {
	// Cells: what is the same is not looked at again.
	private kept: { item: Item<T>; columns: Column<T>[]; cells: VNode[]; live: unknown[] } | undefined;

	private cells(item: Extract<Item<T>, { row: T }>): VNode[] {
		const { columns, stamp, does, name } = this.props;
		const kept = this.kept;
		const isSame = kept && "row" in kept.item && stamp !== undefined && kept.item.row === item.row && kept.item.depth === item.depth && kept.item.fold === item.fold && kept.columns === columns;
		const depth = item.depth ?? 0;
		const live = columns.map((c) => c.live?.(item.row));
		const cells = columns.map((c, i) =>
			isSame && live[i] === kept.live[i] ? (
				kept.cells[i]!
			) : (
				<span key={c.id} role="gridcell" class={`c${c.right ? " right" : ""}${i === 0 ? " first" : ""}`} style={i === 0 && depth ? { paddingLeft: `${depth * STEP}px` } : undefined}>
					{i === 0 && item.fold !== undefined && <Fold open={item.fold} onClick={() => does.fold(name, !item.fold)} />}
					{c.render(item.row)}
				</span>
			),
		);
		this.kept = { item, columns, cells, live };
		return cells;
	}

	override shouldComponentUpdate(next: RowProps<T>): boolean {
		const p = this.props;
		if (!("row" in next.item) || !("row" in p.item) || next.stamp === undefined) return true;
		return !(
			p.item.row === next.item.row && p.stamp === next.stamp && p.item.depth === next.item.depth && p.item.fold === next.item.fold && p.index === next.index && p.top === next.top &&
			p.height === next.height && p.tracks === next.tracks && p.columns === next.columns && p.isChosen === next.isChosen && p.isCurrent === next.isCurrent && p.name === next.name
		);
	}

	override render(p: RowProps<T>): VNode {
		const { item, does } = p;
		const style = { top: `${p.top}px`, height: `${p.height}px`, gridTemplateColumns: p.tracks };
		if (!("row" in item)) return this.head(item, style);
		const depth = item.depth ?? 0;
		return (
			<div
				id={p.id}
				class={`gr at item${p.isCurrent ? " current" : ""}`}
				role="row"
				aria-rowindex={p.index + 2}
				aria-selected={p.isChosen}
				aria-expanded={item.fold}
				aria-level={item.fold !== undefined || depth ? depth + 1 : undefined}
				style={style}
				onClick={(e) => does.click(e, p.index)}
			>
				{p.isChosen !== undefined && this.box()}
				{this.cells(item)}
			</div>
		);
	}

	private keptBox: { isChosen: boolean | undefined; node: VNode } | undefined;

	private box(): VNode {
		const { isChosen, does, name } = this.props;
		if (this.keptBox?.isChosen === isChosen) return this.keptBox!.node;
		const node = (
			<span role="gridcell" class="choose">
				<input type="checkbox" tabIndex={-1} aria-label="Choose this row" checked={isChosen} onChange={() => does.toggle(name)} />
			</span>
		);
		this.keptBox = { isChosen, node };
		return node;
	}

	private head(item: Extract<Item<T>, { group: string }>, style: { top: string; height: string; gridTemplateColumns: string }): VNode {
		const p = this.props;
		const before = p.isChosen === undefined ? 0 : 1; // the column of boxes
		const own = p.columns.findIndex((c) => item.cells?.[c.id] !== undefined);
		const span = own < 0 ? p.columns.length : own;
		return (
			<div
				id={p.id}
				class={`gr at group${p.isCurrent ? " current" : ""}`}
				role="row"
				aria-rowindex={p.index + 2}
				aria-expanded={item.fold}
				aria-level={1}
				style={style}
				onClick={(e) => p.does.click(e, p.index)}
			>
				<span role="gridcell" aria-colspan={span + before} class="c first" style={{ gridColumn: `1 / span ${span + before}` }}>
					{item.fold !== undefined && <Fold open={item.fold} onClick={() => p.does.fold(p.name, !item.fold)} />}
					{item.head}
				</span>
				{p.columns.slice(span).map((c) => (
					<span key={c.id} role="gridcell" class={`c${c.right ? " right" : ""}`}>
						{item.cells?.[c.id]}
					</span>
				))}
			</div>
		);
	}
}

export function Table<T>(p: TableProps<T>) {
	const box = useRef<HTMLDivElement>(null);
	const [view, setView] = useState({ top: 0, height: 600, width: 1200 });
	const [current, setCurrent] = useState<string | null>(null);
	const anchor = useRef<string | null>(null);
	const place = useRef(0);
	const h = p.rowHeight ?? 34;

	useLayoutEffect(() => {
		const el = box.current!;
		const look = () => setView((v) => (v.top === el.scrollTop && v.height === el.clientHeight && v.width === el.clientWidth ? v : { top: el.scrollTop, height: el.clientHeight, width: el.clientWidth }));
		look();
		const watch = new ResizeObserver(look);
		watch.observe(el);
		el.addEventListener("scroll", look, { passive: true });
		return () => {
			watch.disconnect();
			el.removeEventListener("scroll", look);
		};
	}, []);

	const columns = useMemo(() => p.columns.filter((c) => (!c.from || view.width >= c.from) && (!c.until || view.width <= c.until)), [p.columns, view.width]);
	const tracks = `${p.chosen ? `${BOX}px ` : ""}${columns.map((c) => c.width).join(" ")}`;
	// What is narrower than this is scrolled sideways.
	const least = columns.reduce((sum, c) => sum + Number(/\d+/.exec(c.width)?.[0] ?? 0) + GAP, 10 + (p.chosen ? BOX + GAP : 0));
	const keys = useMemo(() => p.items.map((i) => ("row" in i ? p.keyOf(i.row) : groupKey(i.group))), [p.items, p.keyOf]);
	const at = current === null ? -1 : keys.indexOf(current);
	if (at >= 0) place.current = at;
	const first = Math.max(0, Math.floor(view.top / h) - BEYOND);
	const last = Math.min(p.items.length, Math.ceil((view.top + view.height) / h) + BEYOND);

	const goTo = (key: string | null, isMoved = true) => {
		setCurrent(key);
		const i = key === null ? -1 : keys.indexOf(key);
		const item = i >= 0 ? p.items[i]! : undefined;
		p.onCurrent?.(item && "row" in item ? item.row : null, isMoved);
	};
	useEffect(() => {
		// Its row is gone: the one in its place.
		if (current !== null && at < 0) goTo(keys[Math.min(place.current, keys.length - 1)] ?? null, false);
	}, [at, current]);

	const show = (i: number) => {
		const el = box.current!;
		if (i * h < el.scrollTop) el.scrollTop = i * h;
		else if ((i + 1) * h + HEAD > el.scrollTop + el.clientHeight) el.scrollTop = (i + 1) * h + HEAD - el.clientHeight;
	};
	const toggle = (key: string) => {
		const next = new Set(p.chosen);
		if (!next.delete(key)) next.add(key);
		anchor.current = key;
		p.onChoose?.(next);
	};
	const chooseTo = (i: number) => {
		const from = anchor.current ? keys.indexOf(anchor.current) : i;
		const next = new Set<string>();
		for (let n = Math.min(from, i); n <= Math.max(from, i); n++) if (n >= 0 && "row" in p.items[n]!) next.add(keys[n]!);
		p.onChoose?.(next);
	};
	const moveTo = (i: number, shift: boolean) => {
		if (!p.items.length) return;
		const to = Math.max(0, Math.min(p.items.length - 1, i));
		if (shift && p.chosen) {
			anchor.current ??= keys[Math.max(0, at)]!;
			chooseTo(to);
		} else anchor.current = keys[to]!;
		goTo(keys[to]!);
		show(to);
	};
	const onKey = (e: KeyboardEvent) => {
		if (e.target !== box.current || e.ctrlKey || e.metaKey || e.altKey) return;
		p.onPoint?.();
		const rowsInSight = Math.max(1, Math.floor((view.height - HEAD) / h) - 1);
		const steps: Record<string, number> = { ArrowDown: at + 1, j: at + 1, ArrowUp: at - 1, k: at - 1, PageDown: at + rowsInSight, PageUp: at - rowsInSight, Home: 0, End: p.items.length - 1 };
		const item = at >= 0 ? p.items[at] : undefined;
		const folds = item?.fold;
		if (e.key in steps) moveTo(steps[e.key]!, e.shiftKey);
		else if (e.key === "ArrowRight" && folds === false) p.onFold?.(keys[at]!, true);
		else if (e.key === "ArrowLeft" && folds === true) p.onFold?.(keys[at]!, false);
		else if (e.key === "Enter" && item && "row" in item) p.onOpen?.(item.row);
		else if (e.key === "Enter" && folds !== undefined) p.onFold?.(keys[at]!, !folds);
		else if (e.key === " " && item && "row" in item && p.chosen) toggle(keys[at]!);
		else if (e.key === " " && folds !== undefined) p.onFold?.(keys[at]!, !folds);
		else if (e.key === "Escape" && p.chosen?.size) p.onChoose?.(new Set());
		else return;
		e.preventDefault();
		e.stopPropagation();
	};
	const onClick = (e: MouseEvent, i: number) => {
		if ((e.target as HTMLElement).closest("a, button, input")) return;
		const item = p.items[i];
		if (!item) return;
		goTo(keys[i]!);
		if (!("row" in item)) return item.fold !== undefined && p.onFold?.(keys[i]!, !item.fold);
		if (p.chosen && (e.target as HTMLElement).closest(".choose")) return toggle(keys[i]!); // beside the box
		if (p.chosen && e.shiftKey) return chooseTo(i);
		if (p.chosen && (e.ctrlKey || e.metaKey)) return toggle(keys[i]!);
		anchor.current = keys[i]!;
		if (getSelection()?.toString()) return; // somebody marks text to copy it
		p.onOpen?.(item.row);
	};
	// Rows are not drawn anew because these are: they call what is here now.
	const now = useRef({ toggle, click: onClick, fold: p.onFold });
	now.current = { toggle, click: onClick, fold: p.onFold };
	const does = useMemo<RowProps<T>["does"]>(() => ({ toggle: (key) => now.current.toggle(key), fold: (key, open) => now.current.fold?.(key, open), click: (e, i) => now.current.click(e, i) }), []);

	const onHeadClick = (c: Column<T>) => p.onSort?.({ by: c.id, down: p.sort?.by === c.id ? !p.sort.down : !!c.right });
	const folds = !!p.onFold;

	return (
		<div
			ref={box}
			class="grid"
			role={folds ? "treegrid" : "grid"}
			tabIndex={0}
			aria-label={p.label}
			aria-rowcount={p.items.length + 1}
			aria-colcount={columns.length + (p.chosen ? 1 : 0)}
			aria-multiselectable={p.chosen ? true : undefined}
			aria-activedescendant={at >= first && at < last ? `row-${at}` : undefined}
			onKeyDown={onKey}
			onPointerMove={p.onPoint}
			onFocus={(e) => e.target === box.current && current === null && keys.length > 0 && box.current!.matches(":focus-visible") && goTo(keys[Math.min(keys.length - 1, Math.ceil(view.top / h))]!)}
			data-table
		>
			<div class="inner" style={{ height: `${p.items.length * h + HEAD}px`, minWidth: `${least}px` }}>
				<div class="gr head-row" role="row" aria-rowindex={1} style={{ gridTemplateColumns: tracks }}>
					{p.chosen && (
						<span role="columnheader">
							<input
								type="checkbox"
								aria-label="Choose all"
								checked={p.chosen.size > 0 && p.items.every((i, n) => !("row" in i) || p.chosen!.has(keys[n]!))}
								onChange={(e) => p.onChoose?.(new Set(e.currentTarget.checked ? keys.filter((_, n) => "row" in p.items[n]!) : []))}
							/>
						</span>
					)}
					{columns.map((c) => (
						<span key={c.id} role="columnheader" class={`c head${c.right ? " right" : ""}`} title={c.help} aria-sort={p.sort?.by === c.id ? (p.sort.down ? "descending" : "ascending") : undefined}>
							{c.sortable && p.onSort ? (
								<button type="button" onClick={() => onHeadClick(c)}>
									{c.title}
									{p.sort?.by === c.id && <span aria-hidden="true">{p.sort.down ? "↓" : "↑"}</span>}
								</button>
							) : (
								c.title
							)}
						</span>
					))}
				</div>
				{p.items.slice(first, last).map((item, n) => {
					const i = first + n;
					const key = keys[i]!;
					return (
						<GridRow<T>
							key={key}
							item={item}
							id={`row-${i}`}
							index={i}
							name={key}
							top={HEAD + i * h}
							height={h}
							tracks={tracks}
							columns={columns}
							isChosen={p.chosen ? p.chosen.has(key) : undefined}
							isCurrent={current === key}
							stamp={"row" in item ? p.stampOf?.(item.row) : undefined}
							does={does}
						/>
					);
				})}
			</div>
			{p.items.length === 0 && (
				<div role="row">
					<div role="gridcell">{p.empty}</div>
				</div>
			)}
		</div>
	);
}
