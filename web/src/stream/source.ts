// source: holds one stream to the server for one key, over losses and restarts, and the board as it is now, so that a tab that comes later
// gets it whole. Runs in the shared worker, or in the tab itself where there is none.
import { SseParser, type SseEvent } from "./sse";
import type { BoardMessage, Fact, Hello, Link, NodeNow, Numbers, Pool, Row, Told, Topic } from "./protocol";

const BACK_OFF_MS = [300, 500, 1000, 2000, 4000, 8000];
const SILENCE_MS = 40_000; // the server says something each 15 s

/** What came at once is told at once: who draws it draws one time. */
export type Hear = (told: Told[]) => void;

export class Source {
	private readonly hears = new Set<Hear>();
	/** what the piece of the stream that is read now told */
	private gathered: Told[] | undefined;
	private link: Link = { state: "connecting", since: Date.now() };
	private hello?: Hello;
	private readonly rows = new Map<string, Row>();
	private readonly numbers = new Map<string, Numbers>();
	/** numbers of the server before this one, of rows that this one has not measured */
	private before = new Map<string, Numbers>();
	private node?: NodeNow;
	private pools?: Pool[];
	private rev?: string;
	private lastId?: string;
	private misses = 0;
	private running?: AbortController;
	private timer?: ReturnType<typeof setTimeout>;
	private watchdog?: ReturnType<typeof setTimeout>;

	constructor(private readonly key: string, private readonly base: string) {}

	/** Tells `fn` all that is known, then what happens. */
	add(fn: Hear): void {
		this.hears.add(fn);
		const told: Told[] = [{ t: "link", link: this.link }];
		if (this.hello) told.push({ t: "hello", hello: this.hello });
		if (this.rev) told.push({ t: "board", board: { rev: this.rev, whole: true, rows: [...this.rows.values()], numbers: [...this.numbers.values()] } });
		if (this.node) told.push({ t: "node", node: this.node });
		if (this.pools) told.push({ t: "pools", pools: this.pools });
		fn(told);
		if (!this.running && !this.timer && this.link.state !== "refused") void this.run();
	}

	/** The last one that leaves ends the stream. */
	remove(fn: Hear): void {
		this.hears.delete(fn);
		if (this.hears.size === 0) this.stop();
	}

	get isUnheard(): boolean {
		return this.hears.size === 0;
	}

	/** Now, not when the pause is over. */
	retry(): void {
		if (this.running || this.link.state === "refused") return;
		clearTimeout(this.timer);
		this.timer = undefined;
		void this.run();
	}

	private stop(): void {
		clearTimeout(this.timer);
		clearTimeout(this.watchdog);
		this.timer = undefined;
		this.running?.abort();
		this.running = undefined;
	}

	private tell(m: Told): void {
		if (this.gathered) this.gathered.push(m);
		else for (const fn of this.hears) fn([m]);
	}

	/** Takes a piece of the stream; what it tells goes out in one. */
	private feed(parser: SseParser, text: string): void {
		const told: Told[] = (this.gathered = []);
		try {
			parser.feed(text);
		} finally {
			this.gathered = undefined;
			if (told.length) for (const fn of this.hears) fn(told);
		}
	}

	private setLink(link: Link): void {
		this.link = link;
		this.tell({ t: "link", link });
	}

	private async run(): Promise<void> {
		const abort = new AbortController();
		this.running = abort;
		this.timer = undefined;
		let text = "The server does not answer.";
		try {
			const query = new URLSearchParams({ board: "true" });
			if (this.rev) query.set("rev", this.rev);
			const headers: Record<string, string> = { Authorization: `Bearer ${this.key}`, Accept: "text/event-stream" };
			if (this.lastId) headers["Last-Event-ID"] = this.lastId;
			this.guard(abort);
			const r = await fetch(`${this.base}/api/events?${query}`, { headers, signal: abort.signal, cache: "no-store", credentials: "omit" });
			if (r.status === 401 || r.status === 403) {
				this.running = undefined;
				clearTimeout(this.watchdog);
				return this.setLink({ state: "refused", since: Date.now(), text: "The key is not accepted." });
			}
			if (!r.ok || !r.body) throw new Error(`The server answered ${r.status}.`);
			await this.read(r.body, abort);
			text = "The server ended the connection.";
		} catch (e) {
			if (this.running !== abort) return; // stopped
			if (e instanceof Error && e.message.startsWith("The server")) text = e.message;
		}
		if (this.running !== abort) return;
		clearTimeout(this.watchdog);
		this.running = undefined;
		abort.abort();
		this.again(text);
	}

	private async read(body: ReadableStream<Uint8Array>, abort: AbortController): Promise<void> {
		const parser = new SseParser((e) => this.take(e));
		const decoder = new TextDecoder();
		const reader = body.getReader();
		for (;;) {
			const { value, done } = await reader.read();
			if (done || abort.signal.aborted) return;
			this.guard(abort);
			this.feed(parser, decoder.decode(value, { stream: true }));
		}
	}

	/** A connection that says nothing for long is taken for dead. */
	private guard(abort: AbortController): void {
		clearTimeout(this.watchdog);
		this.watchdog = setTimeout(() => abort.abort(), SILENCE_MS);
	}

	private again(text: string): void {
		const pause = BACK_OFF_MS[Math.min(this.misses++, BACK_OFF_MS.length - 1)]! * (0.8 + 0.4 * Math.random());
		const since = this.link.state === "live" ? Date.now() : this.link.since;
		this.setLink({ state: this.hello ? "lost" : "connecting", since, retryAt: Date.now() + pause, text });
		this.timer = setTimeout(() => void this.run(), pause);
	}

	private take(e: SseEvent): void {
		let data: unknown;
		try {
			data = JSON.parse(e.data);
		} catch {
			throw new Error("The server sent what is no JSON.");
		}
		if (e.event === "hello") return this.takeHello(data as Hello);
		if (e.event === "board") return this.takeBoard(data as BoardMessage);
		if (e.event === "node") return this.tell({ t: "node", node: (this.node = data as NodeNow) });
		if (e.event === "pools") return this.tell({ t: "pools", pools: (this.pools = (data as { pools: Pool[] }).pools) });
		if (e.event === "topics") return this.tell({ t: "topics", topics: (data as { topics: Topic[] }).topics });
		if (e.event === "gap") return this.tell({ t: "gap" });
		if (e.id) this.lastId = e.id;
		this.tell({ t: "fact", fact: data as Fact });
	}

	private takeHello(hello: Hello): void {
		this.misses = 0;
		this.hello = hello;
		this.setLink({ state: "live", since: Date.now() });
		this.tell({ t: "hello", hello });
	}

	/** A backend that has just begun has not measured yet: what was known before it stays shown until it has. */
	private known(n: Numbers): Numbers {
		const was = this.before.get(n[0]);
		if (!was || n[1] !== null) {
			this.before.delete(n[0]);
			return n;
		}
		return [n[0], was[1], n[2] ?? was[2], n[3], n[4] ?? was[4]];
	}

	private takeBoard(board: BoardMessage): void {
		const isGap = board.whole && this.rev !== undefined; // the server does not know what changed meanwhile, or is another one
		if (board.whole) {
			this.before = new Map(this.numbers);
			this.rows.clear();
			this.numbers.clear();
		}
		this.rev = board.rev;
		for (const id of board.gone ?? []) {
			this.rows.delete(id);
			this.numbers.delete(id);
		}
		for (const row of board.rows ?? []) this.rows.set(row.id, row);
		if (board.numbers) board = { ...board, numbers: board.numbers.map((n) => this.known(n)) };
		for (const n of board.numbers ?? []) this.numbers.set(n[0], n);
		this.tell({ t: "board", board });
		if (isGap) this.tell({ t: "gap" });
	}
}
