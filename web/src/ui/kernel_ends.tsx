// kernel_ends: how kernels of a notebook ended, newest first, in the server's words: told while it is open again, and once it is gone.
import { useEffect } from "preact/hooks";
import { get } from "../lib/api";
import { onFact } from "../state/board";
import { useLoad, type Loaded } from "../state/load";
import { Text, Time } from "./basics";

/** A row of GET /api/notebooks/ends. */
export interface KernelEnd {
	at: number;
	notebook?: string;
	kernelId: string;
	session?: string;
	cause: string;
	text: string;
}

const SHOWN = 3;
const wished = new Set(["user", "admin", "policy", "shutdown"]); // somebody or a rule asked for it

/** `of`: a kernel's id. */
export const kernelEnds = (of: string, signal?: AbortSignal) => get<KernelEnd[]>("/api/notebooks/ends", { of }, signal);

/** Of that kernel, also of what ends from now on; of "" none. */
export function useKernelEnds(of: string): Loaded<KernelEnd[]> {
	const loaded = useLoad<KernelEnd[]>((signal) => (of ? kernelEnds(of, signal) : Promise.resolve([])), of ? ["notebooks"] : [], [of]);
	useEffect(() => onFact((f) => of !== "" && (f.subject === of || f.detail?.["kernelId"] === of) && loaded.soon()), [of]);
	return loaded;
}

function Sentence({ end }: { end: KernelEnd }) {
	return (
		<>
			<strong>
				Its kernel ended <Time at={end.at} />:
			</strong>{" "}
			<Text text={end.text} cut={false} />
			{/variables/.test(end.text) ? "" : " Its variables are gone."}
		</>
	);
}

export function KernelEnds({ ends, isOpen }: { ends: KernelEnd[] | undefined; isOpen: boolean }) {
	const [last, ...before] = ends ?? [];
	if (!last) return null;
	return (
		<div class="note" data-tone={wished.has(last.cause) ? undefined : isOpen ? "warn" : "bad"} role="status" aria-label="How its kernel ended">
			<div>
				<p>
					<Sentence end={last} />
					{isOpen && " It is open again."}
				</p>
				{before.length > 0 && (
					<details>
						<summary>{before.length} before</summary>
						{before.slice(0, SHOWN).map((e) => (
							<p>
								<Sentence end={e} />
							</p>
						))}
						{before.length > SHOWN && <p class="dim">and {before.length - SHOWN} more</p>}
					</details>
				)}
			</div>
		</div>
	);
}
