// follow: reads a list anew when the stream tells of something that is open in it: its row changed, or it ended, also one that never had a row.
import { useEffect, useRef } from "preact/hooks";
import { onRows, rows, wholes } from "./board";

/** `ids`: rows of the board that belong to what the list calls open; `soon`: reads it anew, many calls at once (Loaded.soon). */
export function useFollow(ids: string[], soon: () => void): void {
	const open = ids.join("\n");
	const heard = useRef(wholes.peek());
	useEffect(() => {
		if (!open) return;
		const mine = new Set(open.split("\n"));
		// The list may be older than the board, which does not tell what had ended before: once more, then.
		const compare = () => {
			if (heard.current === wholes.peek()) return;
			heard.current = wholes.peek();
			for (const id of mine) if (!rows.has(id)) return soon();
		};
		compare();
		return onRows((told) => {
			compare();
			if (told.some((id) => mine.has(id))) soon();
		});
	}, [open, soon]);
}
