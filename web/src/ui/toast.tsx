// toast: what came of an action, in words; errors stay until they are closed.
import { signal } from "@preact/signals";
import { plain } from "../lib/format";
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
const MOST = 4;
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

export function Toasts() {
	return (
		<div class="toasts" role="status" aria-live="polite">
			{toasts.value.map((t) => (
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
