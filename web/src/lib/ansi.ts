// ansi: a line of a log as spans: colours by SGR (ECMA-48, 8.3.117) are kept, every other control sequence is left out.

export interface Span {
	text: string;
	/** classes of style/log.css: "fg1 bold"; "" = plain */
	look: string;
}

// CSI … final byte; OSC … BEL or ST; two-character escapes
const SEQUENCE = /\u001b(?:\[([0-9;:]*)([ -/]*[@-~])|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[ -/]*[0-~])/g;
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g;

interface Pen {
	fg: number | null;
	isBold: boolean;
	isDim: boolean;
}

function apply(pen: Pen, codes: string): void {
	const list = codes.split(/[;:]/).map((c) => (c === "" ? 0 : Number(c)));
	for (let i = 0; i < list.length; i++) {
		const c = list[i]!;
		if (c === 0) Object.assign(pen, { fg: null, isBold: false, isDim: false });
		else if (c === 1) pen.isBold = true;
		else if (c === 2) pen.isDim = true;
		else if (c === 22) pen.isBold = pen.isDim = false;
		else if (c >= 30 && c <= 37) pen.fg = c - 30;
		else if (c >= 90 && c <= 97) pen.fg = c - 90;
		else if (c === 39) pen.fg = null;
		else if (c === 38 || c === 48) i += list[i + 1] === 5 ? 2 : 4; // colours of 256 and of 16 million: left out
	}
}

const look = (pen: Pen): string => [pen.fg === null ? "" : `fg${pen.fg}`, pen.isBold ? "bold" : "", pen.isDim ? "dim" : ""].filter(Boolean).join(" ");

/** What stands after the last carriage return is what a terminal would show. */
function lastOver(text: string): string {
	const end = text.replace(/\r+$/, "");
	const at = end.lastIndexOf("\r");
	return at < 0 ? end : end.slice(at + 1);
}

export function spans(line: string): Span[] {
	const text = lastOver(line);
	if (!text.includes("\u001b")) return [{ text: text.replace(CONTROL, "\ufffd"), look: "" }];
	const out: Span[] = [];
	const pen: Pen = { fg: null, isBold: false, isDim: false };
	let from = 0;
	const put = (to: number) => {
		if (to > from) out.push({ text: text.slice(from, to).replace(CONTROL, "\ufffd"), look: look(pen) });
	};
	for (const m of text.matchAll(SEQUENCE)) {
		put(m.index);
		from = m.index + m[0].length;
		if (m[2] === "m") apply(pen, m[1] ?? "");
	}
	put(text.length);
	return out;
}

/** The text alone, as it is searched. */
export const bare = (line: string): string => lastOver(line).replace(SEQUENCE, "");
