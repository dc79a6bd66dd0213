// table: a grid of any number of rows of which only those in sight are drawn. Sorting and choosing are its owner's: it shows and tells.
// Keyboard: arrows, Page, Home, End move; Enter opens; Space chooses; Shift with an arrow chooses on; Escape gives the choice up; / goes to the filter.
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

export interface Column<T> {
	id: string;
	title: string;
	/** a grid track: "minmax(160px, 2fr)", "90px" */
	width: string;
	right?: boolean;
	/** not shown where the table is narrower than this (px) */
	from?: number;
	/** can be sorted by; what by is the owner's */
	sortable?: boolean;
	help?: string;
	render: (row: T) => ComponentChildren;
}

export interface Sort {
	by: string;
	down: boolean;
}

/** A row of the table: a thing, or the head of a group. */
export type Item<T> = { row: T; depth?: number } | { group: string; head: ComponentChildren };

export interface TableProps<T> {
	label: string;
	items: Item<T>[];
	columns: Column<T>[];
	keyOf: (row: T) => string;
	sort?: Sort;
	onSort?: (sort: Sort) => void;
	/** keys of the chosen ones; absent: nothing can be chosen */
	chosen?: ReadonlySet<string>;
	onChoose?: (chosen: Set<string>) => void;
	onOpen?: (row: T) => void;
	rowHeight?: number;
	/** what stands there without any row */
	empty?: ComponentChildren;
}

const HEAD = 30;
const BEYOND = 8; // rows drawn above and below what is in sight

export function Table<T>(p: TableProps<T>) {
	const box = useRef<HTMLDivElement>(null);
	const [view, setView] = useState({ top: 0, height: 600, width: 1200 });
	const [current, setCurrent] = useState<string | null>(null);
	const anchor = useRef<string | null>(null);
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

	const columns = p.columns.filter((c) => !c.from || view.width >= c.from);
	const tracks = `${p.chosen ? "18px " : ""}${columns.map((c) => c.width).join(" ")}`;
	const keys = p.items.map((i) => ("row" in i ? p.keyOf(i.row) : `group:${i.group}`));
	const at = current === null ? -1 : keys.indexOf(current);
	const first = Math.max(0, Math.floor(view.top / h) - BEYOND);
	const last = Math.min(p.items.length, Math.ceil((view.top + view.height) / h) + BEYOND);

	useEffect(() => {
		if (current !== null && at < 0) setCurrent(null); // its row is gone
	}, [at, current]);

	const show = (i: number) => {
		const el = box.current!;
		if (i * h < el.scrollTop) el.scrollTop = i * h;
		else if ((i + 1) * h + HEAD > el.scrollTop + el.clientHeight) el.scrollTop = (i + 1) * h + HEAD - el.clientHeight;
	};
	const toggle = (key: string) => {
		const next = new Set(p.chosen);
		if (!next.delete(key)) next.add(key);
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
		setCurrent(keys[to]!);
		show(to);
	};
	const onKey = (e: KeyboardEvent) => {
		if (e.target !== box.current || e.ctrlKey || e.metaKey || e.altKey) return;
		const rowsInSight = Math.max(1, Math.floor((view.height - HEAD) / h) - 1);
		const steps: Record<string, number> = { ArrowDown: at + 1, j: at + 1, ArrowUp: at - 1, k: at - 1, PageDown: at + rowsInSight, PageUp: at - rowsInSight, Home: 0, End: p.items.length - 1 };
		const item = at >= 0 ? p.items[at] : undefined;
		if (e.key in steps) moveTo(steps[e.key]!, e.shiftKey);
		else if (e.key === "Enter" && item && "row" in item) p.onOpen?.(item.row);
		else if (e.key === " " && item && "row" in item && p.chosen) toggle(keys[at]!);
		else if (e.key === "Escape" && p.chosen?.size) p.onChoose?.(new Set());
		else return;
		e.preventDefault();
		e.stopPropagation();
	};
	const onClick = (e: MouseEvent, row: T, i: number) => {
		if ((e.target as HTMLElement).closest("a, button, input")) return;
		setCurrent(keys[i]!);
		if (p.chosen && e.shiftKey) return chooseTo(i);
		if (p.chosen && (e.ctrlKey || e.metaKey)) return toggle(keys[i]!);
		anchor.current = keys[i]!;
		if (getSelection()?.toString()) return; // somebody marks text to copy it
		p.onOpen?.(row);
	};
	const onHeadClick = (c: Column<T>) => p.onSort?.({ by: c.id, down: p.sort?.by === c.id ? !p.sort.down : !!c.right });

	return (
		<div
			ref={box}
			class="grid"
			role="grid"
			tabIndex={0}
			aria-label={p.label}
			aria-rowcount={p.items.length + 1}
			aria-colcount={columns.length}
			aria-multiselectable={p.chosen ? true : undefined}
			aria-activedescendant={at >= first && at < last ? `row-${at}` : undefined}
			onKeyDown={onKey}
			data-table
		>
			<div class="inner" style={{ height: `${p.items.length * h + HEAD}px` }}>
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
							{c.sortable ? (
								<button type="button" onClick={() => onHeadClick(c)}>
									{c.title}
									<span aria-hidden="true">{p.sort?.by === c.id ? (p.sort.down ? "↓" : "↑") : ""}</span>
								</button>
							) : (
								c.title
							)}
						</span>
					))}
				</div>
				{p.items.slice(first, last).map((item, n) => {
					const i = first + n;
					const style = { top: `${HEAD + i * h}px`, height: `${h}px`, gridTemplateColumns: tracks };
					if (!("row" in item))
						return (
							<div key={keys[i]} id={`row-${i}`} class="gr at group" role="row" aria-rowindex={i + 2} style={{ ...style, gridTemplateColumns: "1fr" }}>
								<span role="gridcell" aria-colspan={columns.length} class="c">
									{item.head}
								</span>
							</div>
						);
					const key = keys[i]!;
					return (
						<div
							key={key}
							id={`row-${i}`}
							class={`gr at item${current === key ? " current" : ""}`}
							role="row"
							aria-rowindex={i + 2}
							aria-selected={p.chosen ? p.chosen.has(key) : undefined}
							style={style}
							onClick={(e) => onClick(e, item.row, i)}
						>
							{p.chosen && (
								<span role="gridcell">
									<input type="checkbox" tabIndex={-1} aria-label="Choose this row" checked={p.chosen.has(key)} onChange={() => toggle(key)} />
								</span>
							)}
							{columns.map((c, ci) => (
								<span key={c.id} role="gridcell" class={`c${c.right ? " right" : ""}`} style={ci === 0 && item.depth ? { paddingLeft: `${item.depth * 18}px` } : undefined}>
									{c.render(item.row)}
								</span>
							))}
						</div>
					);
				})}
			</div>
			{p.items.length === 0 && p.empty}
		</div>
	);
}
