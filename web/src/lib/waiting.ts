// waiting: follows what grows by requests that wait on the server until there is more, one after the other, while somebody looks.
import { ApiError } from "./api";

const PAUSE_MS = 1000; // where the server did not wait, and nothing came

export interface Followed {
	/** reads what is there */
	open: (signal: AbortSignal) => Promise<void>;
	/** asks for more and waits for it; returns whether something came */
	more: (signal: AbortSignal) => Promise<boolean>;
	/** nothing is to be asked for, until `wake` is called */
	rests: () => boolean;
	/** undefined: it is over, and opened anew */
	fail: (error: Error | undefined) => void;
}

export interface Waiting {
	wake: () => void;
	end: () => void;
}

export function waiting(of: Followed): Waiting {
	const abort = new AbortController();
	let wake = () => {};
	const seen = () => wake();
	const pause = (ms: number) => new Promise((done) => setTimeout(done, ms));
	const run = async () => {
		await of.open(abort.signal);
		for (;;) {
			while (!abort.signal.aborted && (document.hidden || of.rests())) await new Promise<void>((done) => (wake = done));
			if (abort.signal.aborted) return;
			const began = Date.now();
			const came = await of.more(abort.signal);
			if (!came && !of.rests() && Date.now() - began < PAUSE_MS) await pause(PAUSE_MS);
		}
	};
	const start = () =>
		run().catch(async (e: Error) => {
			if (abort.signal.aborted) return;
			of.fail(e);
			if (e instanceof ApiError && e.status > 0 && ![502, 503, 504].includes(e.status)) return;
			await pause(3 * PAUSE_MS); // the server restarts, or what stands before it lost it
			if (abort.signal.aborted) return;
			of.fail(undefined);
			void start();
		});
	document.addEventListener("visibilitychange", seen);
	void start();
	return {
		wake: seen,
		end() {
			document.removeEventListener("visibilitychange", seen);
			abort.abort();
			wake();
		},
	};
}
