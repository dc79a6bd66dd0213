// order: which rows are shown and in which order: filtered, grouped, folded, sorted by a value that stands still while somebody points at them.
import type { Filter } from "../../lib/filter";
import { means } from "../../lib/filter";
import type { Numbers, Row } from "../../stream/protocol";
import type { Item, Sort } from "../../ui/table";

export type GroupBy = "none" | "kind" | "user" | "project";

export type Value = string | number | null;

export interface Sum {
	count: number;
	memory: number;
	cpu: number;
}

/** A row with what stands below it. */
export interface Node {
	row: Row;
	children: Node[];
	/** of it and all below; null: not known */
	memory: number | null;
	cpu: number | null;
	/** how many below */
	below: number;
	/** what it is sorted by */
	value: Value;
	/** when it was arranged last */
	round: number;
	isTop: boolean;
	/** the table's own of it, kept while it stays the same */
	item?: Extract<Item<Row>, { row: Row }>;
}

export interface Group {
	name: string;
	sum: Sum;
	nodes: Node[];
}

/** What is shown: groups (one without a name where there are none), and of all rows how many. */
export interface Shown {
	groups: Group[];
	sum: Sum;
	all: number;
}

export interface View {
	filter: Filter | null;
	sort: Sort;
	group: GroupBy;
	hidesIdle: boolean;
	isFlat: boolean;
}

/** Sizes as they are told: what reads the same stands still. */
function asTold(n: number | null): number | null {
	if (n === null || n < 1024) return n === null ? null : Math.round(n);
	let unit = 1024;
	while (n / unit >= 1024) unit *= 1024;
	const v = n / unit;
	return (v < 9.95 ? Math.round(v * 10) / 10 : Math.round(v)) * unit;
}

const text = (s: string | undefined): Value => (s ? s.toLowerCase() : null);

/** Kernels without a task and services: what is there whether somebody works or not. */
export const isIdle = (r: Row): boolean => r.kind === "service" || (r.kind === "kernel" && r.state !== "stopping");

const values: Record<string, (n: Node) => Value> = {
	what: (n) => text(n.row.what),
	kind: (n) => n.row.kind,
	project: (n) => text(n.row.project),
	user: (n) => text(n.row.user),
	state: (n) => text(n.row.state),
	elapsed: (n) => {
		const at = n.row.startedAt ?? n.row.submittedAt;
		return at === undefined ? null : -at;
	},
	pid: (n) => n.row.pid ?? null,
	memory: (n) => asTold(n.memory),
	cpu: (n) => (n.cpu === null ? null : Math.round(n.cpu * 100)),
};

export const sortable = (by: string): boolean => by in values;

/** Values by which rows are sorted, kept while `holds`: rows do not move under a pointer. */
export class Held {
	private readonly kept = new Map<string, Value>();
	private by = "";

	begin(by: string, holds: boolean): void {
		if (!holds || by !== this.by) this.kept.clear();
		this.by = by;
	}

	of(n: Node): Value {
		let v = this.kept.get(n.row.id);
		if (v === undefined) {
			v = values[this.by]!(n);
			this.kept.set(n.row.id, v);
		}
		return v;
	}
}

function sortNodes(list: Node[], held: Held, down: boolean): void {
	for (const n of list) n.value = held.of(n);
	const sign = down ? -1 : 1;
	list.sort((a, b) => {
		if (a.value !== b.value) {
			if (a.value === null) return 1; // what is not known comes last, either way round
			if (b.value === null) return -1;
			return a.value < b.value ? -sign : sign;
		}
		// Of equal ones: in the order of the queue, else always the same one first.
		return (a.row.position ?? 0) - (b.row.position ?? 0) || (a.row.id < b.row.id ? -1 : 1);
	});
	for (const n of list) if (n.children.length > 1) sortNodes(n.children, held, down);
}

const plus = (a: number | null, b: number | null): number | null => (a === null ? b : b === null ? a : a + b);

/** Rows with their numbers as members: what filters are asked of. Made anew only where one of them changed. */
const asked = new Map<string, { row: Row; numbers: Numbers | undefined; whole: { [member: string]: unknown } }>();

function wholeOf(row: Row, n: Numbers | undefined): { [member: string]: unknown } {
	const was = asked.get(row.id);
	if (was && was.row === row && was.numbers === n) return was.whole;
	const whole = { ...row, memoryBytes: n?.[1] ?? undefined, peakBytes: n?.[2] ?? undefined, cpuShare: n?.[3] ?? undefined, cpuSeconds: n?.[4] ?? undefined };
	asked.set(row.id, { row, numbers: n, whole });
	return whole;
}

const NONE: Node[] = []; // one for all that have nothing below them

/** By row. They live on from one message to the next: with thousands of rows new ones each second are work for the garbage collector alone. */
export const nodes = new Map<string, Node>();
let round = 0;
let before: Node[] = []; // the tops as they were sorted last: sorting what is sorted costs next to nothing

/** Filtered ones as trees: an activity stands below its job, which comes along where only the activity fits. */
function forest(rows: ReadonlyMap<string, Row>, numbers: ReadonlyMap<string, Numbers>, view: View, nowMs: number): { tops: Node[]; fits: number } {
	round++;
	if (asked.size > 2 * rows.size + 100) asked.clear();
	if (nodes.size > 2 * rows.size + 100) for (const id of nodes.keys()) if (!rows.has(id)) nodes.delete(id);
	const fresh: Node[] = [];
	const put = (row: Row): Node => {
		let node = nodes.get(row.id);
		if (node?.round === round) return node;
		if (!node) nodes.set(row.id, (node = { row, children: NONE, memory: null, cpu: null, below: 0, value: null, round: 0, isTop: false }));
		const n = numbers.get(row.id);
		const above = row.parent && !view.isFlat ? rows.get(row.parent) : undefined;
		if (!above && (node.round !== round - 1 || !node.isTop)) fresh.push(node);
		node.row = row;
		node.children = NONE;
		node.memory = n?.[1] ?? null;
		node.cpu = n?.[3] ?? null;
		node.below = 0;
		node.round = round;
		node.isTop = !above;
		if (above) {
			const top = put(above);
			if (top.children === NONE) top.children = [node];
			else top.children.push(node);
		}
		return node;
	};
	let fits = 0;
	for (const row of rows.values()) {
		if (view.hidesIdle && isIdle(row)) continue;
		if (view.filter && !means(view.filter, wholeOf(row, numbers.get(row.id)), nowMs / 1000)) continue;
		put(row);
		fits++;
	}
	const tops = before.filter((n) => n.round === round && n.isTop);
	tops.push(...fresh);
	const add = (n: Node): void => {
		for (const c of n.children) {
			add(c);
			n.memory = plus(n.memory, c.memory);
			n.cpu = plus(n.cpu, c.cpu);
			n.below += 1 + c.below;
		}
	};
	for (const n of tops) if (n.children.length) add(n);
	return { tops, fits };
}

function sumOf(nodes: Node[]): Sum {
	const sum = { count: 0, memory: 0, cpu: 0 };
	for (const n of nodes) {
		sum.count += 1 + n.below;
		sum.memory += n.memory ?? 0;
		sum.cpu += n.cpu ?? 0;
	}
	return sum;
}

const groupName: Record<Exclude<GroupBy, "none">, (r: Row) => string> = {
	kind: (r) => r.kind,
	user: (r) => r.user ?? "",
	project: (r) => r.project ?? "",
};

function grouped(tops: Node[], view: View): Group[] {
	if (view.group === "none") return [{ name: "", sum: sumOf(tops), nodes: tops }];
	const nameOf = groupName[view.group];
	const by = new Map<string, Node[]>();
	for (const n of tops) {
		const name = nameOf(n.row);
		const list = by.get(name);
		if (list) list.push(n);
		else by.set(name, [n]);
	}
	const groups = [...by].map(([name, nodes]) => ({ name, nodes, sum: sumOf(nodes) }));
	const { by: column, down } = view.sort;
	groups.sort((a, b) => {
		if (column === "memory" || column === "cpu") {
			const d = (asTold(a.sum[column]) ?? 0) - (asTold(b.sum[column]) ?? 0);
			if (d) return down ? -d : d;
		}
		if (!a.name !== !b.name) return a.name ? -1 : 1; // nobody's come last
		return a.name < b.name ? -1 : 1;
	});
	return groups;
}

export function arrange(rows: ReadonlyMap<string, Row>, numbers: ReadonlyMap<string, Numbers>, view: View, held: Held, holds: boolean, nowMs: number): Shown {
	const { tops, fits } = forest(rows, numbers, view, nowMs);
	held.begin(view.sort.by, holds);
	const groups = grouped(tops, view);
	for (const g of groups) sortNodes(g.nodes, held, view.sort.down);
	before = view.group === "none" ? tops : groups.flatMap((g) => g.nodes);
	const sum = sumOf(tops);
	return { groups, sum: { ...sum, count: fits }, all: rows.size };
}
