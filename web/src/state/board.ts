// board: what the stream told, as signals. Rows are replaced, never changed; numbers have a map of their own, since they change each second.
// `tick` moves once per message of the board: who draws many rows watches it and reads the maps.
import { batch, computed, effect, signal } from "@preact/signals";
import { key, logOut } from "../lib/session";
import { connect, type Client } from "../stream/client";
import type { BoardMessage, Fact, Hello, Kind, Link, NodeNow, Numbers, Pool, Row, Told, Topic } from "../stream/protocol";

export const link = signal<Link>({ state: "connecting", since: Date.now() });
export const hello = signal<Hello | null>(null);
export const node = signal<NodeNow | null>(null);
export const pools = signal<Pool[] | null>(null);
/** Moves with each change of rows or numbers. 0: nothing came yet. */
export const tick = signal(0);
/** When the last message came (ms). */
export const heardAt = signal(0);

/** How often the board came whole: what was told before it is not known to be all. */
export const wholes = signal(0);

export const rows = new Map<string, Row>();
export const numbers = new Map<string, Numbers>();

export const isAdmin = computed(() => hello.value?.isAdmin ?? false);
export const me = computed(() => hello.value?.user ?? "");

/** Differs from the server's clock (ms to add to ours): elapsed times are counted by the server's. */
export const skew = signal(0);
export const now = (): number => Date.now() + skew.value;

export const memoryOf = (id: string): number | null => numbers.get(id)?.[1] ?? null;
export const peakOf = (id: string): number | null => numbers.get(id)?.[2] ?? null;
export const cpuOf = (id: string): number | null => numbers.get(id)?.[3] ?? null;
export const cpuSecondsOf = (id: string): number | null => numbers.get(id)?.[4] ?? null;

/** Rows in the order in which they came. */
export function rowsOf(kind?: Kind): Row[] {
	const out: Row[] = [];
	for (const r of rows.values()) if (!kind || r.kind === kind) out.push(r);
	return out;
}

export function childrenOf(id: string): Row[] {
	const out: Row[] = [];
	for (const r of rows.values()) if (r.parent === id) out.push(r);
	return out;
}

type TopicFn = () => void;
const topicFns = new Map<Topic, Set<TopicFn>>();
const rowFns = new Set<(ids: string[]) => void>();
const factFns = new Set<(f: Fact) => void>();

/** Calls fn when something of that topic changed, and when facts were missed. Returns what ends it. */
export function onTopic(topic: Topic, fn: TopicFn): () => void {
	let set = topicFns.get(topic);
	if (!set) topicFns.set(topic, (set = new Set()));
	set.add(fn);
	return () => void set.delete(fn);
}

/** Calls fn with the ids of rows that changed or went, after each message of the board. Returns what ends it. */
export function onRows(fn: (ids: string[]) => void): () => void {
	rowFns.add(fn);
	return () => void rowFns.delete(fn);
}

export function onFact(fn: (f: Fact) => void): () => void {
	factFns.add(fn);
	return () => void factFns.delete(fn);
}

function tellRows(board: BoardMessage): void {
	const ids = [...(board.gone ?? []), ...(board.rows ?? []).map((r) => r.id)];
	if (ids.length || board.whole) rowFns.forEach((fn) => fn(ids));
}

/** What came at once changes at once. */
function hear(told: Told[]): void {
	batch(() => {
		heardAt.value = Date.now();
		told.forEach(take);
	});
}

function take(m: Told): void {
	switch (m.t) {
		case "link":
			link.value = m.link;
			if (m.link.state === "refused") logOut(m.link.text);
			break;
		case "hello":
			hello.value = m.hello;
			if (m.hello.now) skew.value = m.hello.now - Date.now();
			break;
		case "board":
			if (m.board.whole) {
				rows.clear();
				numbers.clear();
				wholes.value++;
			}
			for (const id of m.board.gone ?? []) {
				rows.delete(id);
				numbers.delete(id);
			}
			for (const r of m.board.rows ?? []) rows.set(r.id, r);
			for (const n of m.board.numbers ?? []) numbers.set(n[0], n);
			tick.value++;
			tellRows(m.board);
			break;
		case "node":
			node.value = m.node;
			break;
		case "pools":
			pools.value = m.pools;
			break;
		case "topics":
			for (const t of m.topics) topicFns.get(t)?.forEach((fn) => fn());
			break;
		case "gap":
			for (const set of topicFns.values()) set.forEach((fn) => fn());
			break;
		case "fact":
			factFns.forEach((fn) => fn(m.fact));
			break;
	}
}

let client: Client | undefined;
export const retry = (): void => client?.retry();

/** Follows the stream while somebody is logged in. */
export function startBoard(): void {
	effect(() => {
		const k = key.value;
		client?.close();
		client = undefined;
		hello.value = null;
		node.value = null;
		pools.value = null;
		rows.clear();
		numbers.clear();
		tick.value = 0;
		link.value = { state: "connecting", since: Date.now() };
		if (k) client = connect(k, hear);
	});
}
