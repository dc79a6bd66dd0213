// toast: what came of an action, in words; errors stay until they are closed, or what they lead to is opened.
import { effect, signal } from "@preact/signals";
import { plain } from "../lib/format";
import { parse, place } from "../lib/router";
import { Button } from "./basics";

interface Toast {
	id: number;
	tone: "good" | "bad" | "";
	text: string;
	link?: Link;
}

/** Where to read more. */
interface Link {
	href: string;
	text: string;
}

const STAYS_MS = 6000;
const SHOWN_MOST = 3; // older ones are told as a number, and come when newer ones go
const MOST = 100;
const toasts = signal<Toast[]>([]);
let last = 0;

export function tell(text: string, tone: Toast["tone"] = "good", link?: Link): void {
	const id = ++last;
	toasts.value = [...toasts.value.slice(-(MOST - 1)), { id, tone, text: plain(text), link }];
	if (tone !== "bad") setTimeout(() => close(id), STAYS_MS);
}

export const tellError = (e: unknown): void => tell(e instanceof Error ? e.message : String(e), "bad");

function close(id: number): void {
	toasts.value = toasts.value.filter((t) => t.id !== id);
}

/** Does it lead to the page of one thing, and does one stand there, whatever the view? A list shows nobody what the message tells of. */
function isRead(link: Link): boolean {
	const to = parse(link.href).path;
	return to.length > 1 && to.join("/") === place.value.path.join("/");
}

// Who has come to the page that a message leads to has seen what it tells of, whichever way was taken.
effect(() => {
	place.value;
	const list = toasts.peek();
	const left = list.filter((t) => !t.link || !isRead(t.link));
	if (left.length < list.length) toasts.value = left;
});

export function Toasts() {
	const shown = toasts.value.slice(-SHOWN_MOST);
	const older = toasts.value.length - shown.length;
	return (
		<div class="toasts" role="status" aria-live="polite">
			{older > 0 && (
				<div class="toast">
					<span style={{ flex: 1 }}>and {older} more</span>
					<Button look="quiet" small onClick={() => (toasts.value = [])}>
						Close all
					</Button>
				</div>
			)}
			{shown.map((t) => (
				<div class="toast" data-tone={t.tone} key={t.id}>
					<span style={{ flex: 1 }}>
						{t.text}{" "}
						{t.link && (
							<a href={t.link.href} onClick={() => close(t.id)}>
								{t.link.text}
							</a>
						)}
					</span>
					<Button look="quiet" small aria-label="Close this message" onClick={() => close(t.id)}>
						✕
					</Button>
				</div>
			))}
		</div>
	);
}
