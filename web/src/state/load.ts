// load: a list that is fetched once and again when its topic changes: useLoad(() => get("/api/jobs"), ["jobs"]). What was there stays shown while
// the next is on its way, and when it fails.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { ApiError } from "../lib/api";
import type { Topic } from "../stream/protocol";
import { onTopic } from "./board";

export interface Loaded<T> {
	value: T | undefined;
	error: ApiError | undefined;
	isLoading: boolean;
	reload: () => void;
	/** the same in a moment: many calls, one question */
	soon: () => void;
}

const GATHER_MS = 250; // many changes, one question

/** `deps`: what the question depends on; a change of them asks anew and forgets what was there. */
export function useLoad<T>(fn: (signal: AbortSignal) => Promise<T>, topics: Topic[], deps: unknown[] = []): Loaded<T> {
	const [state, setState] = useState<{ value?: T; error?: ApiError; isLoading: boolean }>({ isLoading: true });
	const current = useRef<AbortController>();
	const timer = useRef<ReturnType<typeof setTimeout>>();
	const asked = useRef(fn);
	asked.current = fn;
	const reload = useCallback(() => {
		current.current?.abort();
		const abort = new AbortController();
		current.current = abort;
		setState((s) => ({ ...s, isLoading: true }));
		asked.current(abort.signal).then(
			(value) => abort.signal.aborted || setState({ value, isLoading: false }),
			(e: unknown) => {
				if (abort.signal.aborted) return;
				const error = e instanceof ApiError ? e : new ApiError(0, "", e instanceof Error ? e.message : String(e));
				setState((s) => ({ value: s.value, error, isLoading: false }));
			},
		);
	}, []);
	const soon = useCallback(() => {
		clearTimeout(timer.current);
		timer.current = setTimeout(reload, GATHER_MS);
	}, []);
	useEffect(() => {
		setState({ isLoading: true });
		reload();
		return () => {
			clearTimeout(timer.current);
			current.current?.abort();
		};
	}, deps);
	useEffect(() => {
		const ends = topics.map((t) => onTopic(t, soon));
		return () => ends.forEach((end) => end());
	}, [topics.join()]);
	return { value: state.value, error: state.error, isLoading: state.isLoading, reload, soon };
}
