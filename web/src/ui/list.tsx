// list: a page that is one list: its title, the line above it, its loading, its table (in two lines on a phone), what stands there without a row.
//
//     const sort = sortFrom("-started");
//     const rows = ordered(left, sort, values[sort.by] ?? values["started"]!, (j) => j.id);
//     <ListPage title="Jobs" which="Which jobs" loaded={list} rows={rows} all={list.value?.length ?? 0} … />
import type { ComponentChildren } from "preact";
import { useMemo } from "preact/hooks";
import { place, setQuery } from "../lib/router";
import type { Loaded } from "../state/load";
import { Button, Empty, Failed, Loading } from "./basics";
import { Filters } from "./filters";
import { isNarrow, TWO_LINES_HEIGHT } from "./narrow";
import { Table, type Sort, type TableProps } from "./table";

/** The order that the URL asks for, else that one: "started", "-started". */
export function sortFrom(usual: string): Sort {
	const by = place.value.query["sort"] ?? usual;
	return { by: by.replace(/^-/, ""), down: by.startsWith("-") };
}

/** The rows in the order of their values, those of the same value in that of their names. */
export function ordered<T>(list: T[], { down }: Sort, valueOf: (row: T) => string | number, nameOf: (row: T) => string): T[] {
	const by = list.map((row) => ({ row, v: valueOf(row) }));
	by.sort((a, b) => (a.v < b.v ? -1 : a.v > b.v ? 1 : nameOf(a.row) < nameOf(b.row) ? -1 : 1));
	if (down) by.reverse();
	return by.map((x) => x.row);
}

/** "3 of 7 jobs"; `most`: of how many the list was asked for at the most. */
export function counted(left: number, all: number, one: string, many = one, most = Infinity): string {
	const what = left === all ? `${all} ${all === 1 ? one : many}` : `${left} of ${all} ${many}`;
	return all >= most ? `${what}, the newest ${most}` : what;
}

interface ListPageProps<T> extends Pick<TableProps<T>, "columns" | "keyOf" | "sort" | "chosen" | "onChoose" | "onOpen"> {
	/** of the page and of its table */
	title: string;
	/** in the title's line, behind it */
	beside?: ComponentChildren;
	loaded: Loaded<unknown>;
	/** how many lines stand for the list until it is there */
	lines: number;
	/** names the line above the list */
	which: string;
	/** by what one finds: "by title, owner" */
	find: string;
	/** in that line: choices, how many rows are shown, what may be done to the chosen ones */
	choices?: ComponentChildren;
	said: ComponentChildren;
	actions?: ComponentChildren;
	/** what is to be known of the whole list */
	note?: ComponentChildren;
	rows: T[];
	/** how many there are, shown or not */
	all: number;
	/** what to say when there is none, */
	nothing: ComponentChildren;
	/** and when none of them is shown: what the button that shows all says, which words of the URL beside "find" it takes away */
	none: { title: string; showAll: string; forget?: string[] };
	/** below the list */
	children?: ComponentChildren;
}

export function ListPage<T>(p: ListPageProps<T>) {
	const { title, loaded, rows, none } = p;
	const items = useMemo(() => rows.map((row) => ({ row })), [rows]);
	const isThere = loaded.value !== undefined;
	const showAll = () => setQuery(Object.fromEntries(["find", ...(none.forget ?? [])].map((word) => [word, ""])));
	return (
		<div class="page fill">
			<div class="head">
				<h1>{title}</h1>
				{p.beside}
			</div>
			<Filters label={p.which} find={p.find} said={isThere && p.said} actions={p.actions}>
				{p.choices}
			</Filters>
			{p.note}
			{loaded.error && <Failed error={loaded.error} retry={loaded.reload} />}
			{isThere ? (
				<Table
					label={title}
					rowHeight={isNarrow.value ? TWO_LINES_HEIGHT : undefined}
					items={items}
					columns={p.columns}
					keyOf={p.keyOf}
					sort={p.sort}
					onSort={p.sort && ((s) => setQuery({ sort: `${s.down ? "-" : ""}${s.by}` }))}
					chosen={p.chosen}
					onChoose={p.onChoose}
					onOpen={p.onOpen}
					empty={
						p.all ? (
							<Empty title={none.title}>
								<Button onClick={showAll}>{none.showAll}</Button>
							</Empty>
						) : (
							p.nothing
						)
					}
				/>
			) : (
				!loaded.error && <Loading lines={p.lines} />
			)}
			{p.children}
		</div>
	);
}
