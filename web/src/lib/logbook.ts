// logbook: the part of a log that is here, as lines with their places in the file. A log may be of any size: only a window of it is kept, which
// moves by pieces; it begins at the beginning of a line.
import type { Piece } from "./api";
import { bare } from "./ansi";

export interface Line {
	/** of its first byte in the log */
	at: number;
	text: string;
}

export type Read = (offset: number, wait?: number, signal?: AbortSignal) => Promise<Piece>;

const KEEP_LINES = 40_000;
const KEEP_BYTES = 16 << 20;
const LINE_MOST = 64 << 10; // bytes; what is longer is broken
const BACK = 192 << 10;
const NEWLINE = 10;

export class Logbook {
	lines: Line[] = [];
	/** bytes [from, to) of the log are here; the last line may go on */
	from = 0;
	to = 0;
	size = 0;
	isWhole = false;
	/** lines that went out at the beginning, and that came in there, since it was made: who shows lines keeps its place by them */
	shift = 0;
	/** moves when the window goes to another place: an answer for the one before is of no use */
	private turn = 0;
	private rest: Uint8Array = new Uint8Array(0);

	constructor(private readonly read: Read) {}

	/** The last part of it. */
	async openEnd(signal?: AbortSignal): Promise<void> {
		this.reset(await this.read(-BACK, 0, signal));
	}

	/** From a byte on; it need not be the first of a line. */
	async openAt(offset: number, signal?: AbortSignal): Promise<void> {
		this.reset(await this.read(Math.max(0, offset), 0, signal));
	}

	/** More behind what is here; waits for up to `wait` seconds for it. Returns whether something came. */
	async forward(wait: number, signal?: AbortSignal): Promise<boolean> {
		const { turn, to } = this;
		const p = await this.read(to, wait, signal);
		if (turn !== this.turn || to !== this.to) return false; // the window has moved meanwhile
		if (p.size < to || p.at !== to) {
			// the log was cut in its middle, or begun anew
			await this.openEnd(signal);
			return true;
		}
		this.size = p.size;
		this.isWhole = p.whole;
		if (!p.bytes.length) return false;
		this.append(p.bytes);
		this.dropHead();
		return true;
	}

	/** More before what is here. Returns how many lines. */
	async back(signal?: AbortSignal): Promise<number> {
		if (this.from === 0) return 0;
		const { turn, from } = this;
		const at = Math.max(0, from - BACK);
		const p = await this.read(at, 0, signal);
		if (turn !== this.turn || from !== this.from) return 0;
		const bytes = p.bytes.subarray(0, from - at);
		if (p.at !== at || bytes.length < from - at) return this.openEnd(signal).then(() => 0);
		const begin = at === 0 ? 0 : bytes.indexOf(NEWLINE) + 1 || Math.max(0, bytes.length - LINE_MOST);
		const lines = cut(bytes.subarray(begin), at + begin).lines;
		this.lines = lines.concat(this.lines);
		this.from = at + begin;
		this.shift += lines.length;
		this.dropTail();
		return lines.length;
	}

	/** Looks for a text, not minding case, from a line of the window on, up (-1) or down (1), through the whole log. Returns the line's index in the
	 * window, which has moved there; null: it is nowhere in that direction. */
	async find(what: string, line: number, by: 1 | -1, tell: (at: number) => void, signal: AbortSignal): Promise<number | null> {
		const needle = what.toLowerCase();
		const fits = (l: Line) => bare(l.text).toLowerCase().includes(needle);
		for (let i = line; i >= 0 && i < this.lines.length; i += by) if (fits(this.lines[i]!)) return i;
		let edge = by < 0 ? this.from : this.rest.length ? this.lines.at(-1)!.at : this.to;
		while (by < 0 ? edge > 0 : edge < this.size) {
			if (signal.aborted) return null;
			tell(edge);
			// a byte before the line that comes next: it is not the piece's first, half one, then
			const p = await this.read(Math.max(0, by < 0 ? edge - BACK : edge - 1), 0, signal);
			if (!p.bytes.length) return null; // it was cut meanwhile
			const { bytes, from, to } = whole(p);
			const hit = mayHave(bytes, needle) ? pick(cut(bytes, from).lines, by, edge, fits) : undefined;
			if (hit) return this.goTo(hit.at, signal);
			if (by > 0 && to <= edge) return null;
			edge = by > 0 ? to : p.at === 0 ? 0 : Math.min(from, edge - 1);
		}
		return null;
	}

	/** Moves the window to a byte; returns the index of its line. */
	async goTo(at: number, signal?: AbortSignal): Promise<number> {
		await this.openAt(Math.max(0, at - (BACK >> 1)), signal);
		let i = this.lines.findIndex((l) => l.at > at);
		if (i < 0) i = this.lines.length;
		return Math.max(0, i - 1);
	}

	private reset(p: Piece): void {
		const begin = p.at === 0 ? 0 : p.bytes.indexOf(NEWLINE) + 1;
		this.turn++;
		this.lines = [];
		this.rest = new Uint8Array(0);
		this.from = this.to = p.at + begin;
		this.size = p.size;
		this.isWhole = p.whole;
		this.append(p.bytes.subarray(begin));
	}

	private append(bytes: Uint8Array): void {
		let all = bytes;
		if (this.rest.length) {
			all = new Uint8Array(this.rest.length + bytes.length);
			all.set(this.rest);
			all.set(bytes, this.rest.length);
			this.lines.pop(); // it goes on
		}
		const { lines, rest } = cut(all, this.to - this.rest.length);
		for (const l of lines) this.lines.push(l);
		this.rest = rest.slice();
		this.to += bytes.length;
	}

	private dropHead(): void {
		let n = Math.max(0, this.lines.length - KEEP_LINES);
		while (n < this.lines.length - 1 && this.to - this.lines[n]!.at > KEEP_BYTES) n++;
		if (n === 0) return;
		this.lines.splice(0, n);
		this.from = this.lines[0]?.at ?? this.to;
		this.shift -= n;
	}

	private dropTail(): void {
		let keep = Math.min(this.lines.length, KEEP_LINES);
		while (keep > 1 && keep < this.lines.length + 1 && (this.lines[keep]?.at ?? this.to) - this.from > KEEP_BYTES) keep--;
		const out = this.lines[keep];
		if (!out) return;
		this.lines.length = keep;
		this.to = out.at;
		this.rest = new Uint8Array(0);
		this.isWhole = false;
	}
}

const decoder = new TextDecoder();

/** A look at a whole piece, before it is taken apart: most have nothing of what is looked for. */
function mayHave(bytes: Uint8Array, needle: string): boolean {
	const text = decoder.decode(bytes);
	return text.includes("\u001b") || text.toLowerCase().includes(needle);
}

/** The one nearest to byte `edge` above it (-1), or below it (1). */
function pick(lines: Line[], by: 1 | -1, edge: number, fits: (l: Line) => boolean): Line | undefined {
	return by < 0 ? lines.findLast((l) => l.at < edge && fits(l)) : lines.find((l) => l.at >= edge && fits(l));
}

/** Lines of bytes; the last one is among them though it has no end yet, and its bytes are `rest`. */
function cut(bytes: Uint8Array, at: number): { lines: Line[]; rest: Uint8Array } {
	const lines: Line[] = [];
	let from = 0;
	while (from < bytes.length) {
		let end = bytes.indexOf(NEWLINE, from);
		const hasEnd = end >= 0;
		if (!hasEnd) end = bytes.length;
		if (end - from > LINE_MOST) end = from + LINE_MOST;
		lines.push({ at: at + from, text: decoder.decode(bytes.subarray(from, end)) });
		if (!hasEnd && end === bytes.length) return { lines, rest: bytes.subarray(from) };
		from = bytes[end] === NEWLINE ? end + 1 : end;
	}
	return { lines, rest: new Uint8Array(0) };
}

/** The whole lines of a piece: bytes [from, to) of the log. A line that is longer than the piece counts as one. */
function whole(p: Piece): { bytes: Uint8Array; from: number; to: number } {
	const begin = p.at === 0 ? 0 : p.bytes.indexOf(NEWLINE) + 1;
	const last = p.at + p.bytes.length < p.size ? p.bytes.lastIndexOf(NEWLINE) + 1 : 0;
	const end = last > begin ? last : p.bytes.length;
	return { bytes: p.bytes.subarray(begin, end), from: p.at + begin, to: p.at + end };
}
