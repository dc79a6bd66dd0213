// sse: reads server-sent events from a fetch (EventSource cannot send a header). One event at a time, bounded.
// https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation

export interface SseEvent {
	event: string;
	data: string;
	id?: string;
}

const EVENT_MAX = 32 << 20; // characters; one that is longer is no event of ours

/** Feed it decoded text; it calls `fn` for each whole event. Throws on an event without end. */
export class SseParser {
	private rest = "";
	private event = "";
	private data: string[] = [];
	private size = 0;
	private id: string | undefined;
	constructor(private readonly fn: (e: SseEvent) => void) {}

	feed(text: string): void {
		let from = 0;
		this.rest += text;
		for (;;) {
			const end = this.rest.indexOf("\n", from);
			if (end < 0) break;
			this.line(this.rest.slice(from, this.rest[end - 1] === "\r" && end > from ? end - 1 : end));
			from = end + 1;
		}
		this.rest = this.rest.slice(from);
		if (this.rest.length + this.size > EVENT_MAX) throw new Error("an event of the server has no end");
	}

	private line(line: string): void {
		if (line === "") {
			if (this.data.length) this.fn({ event: this.event || "message", data: this.data.join("\n"), id: this.id });
			this.event = "";
			this.data = [];
			this.size = 0;
			return;
		}
		if (line[0] === ":") return;
		const colon = line.indexOf(":");
		const name = colon < 0 ? line : line.slice(0, colon);
		let value = colon < 0 ? "" : line.slice(colon + 1);
		if (value[0] === " ") value = value.slice(1);
		if (name === "event") this.event = value;
		else if (name === "data") {
			this.data.push(value);
			this.size += value.length;
		} else if (name === "id" && !value.includes("\0")) this.id = value;
	}
}
