// history: the last minutes of a row's memory as a small line, as high as its limit where that is near.
import { useEffect } from "preact/hooks";
import { bytes } from "../lib/format";
import { historyOf, moved, STEP_MS, want } from "../state/history";
import type { Row } from "../stream/protocol";
import { Spark } from "./basics";

const SHOWN = 60;

/** `now`: its memory at this moment, the last point of the line. */
export function Trend({ row, now, label }: { row: Row; now: number | null; label?: boolean }) {
	moved.value; // drawn anew when there is more
	const process = row.processId;
	useEffect(() => {
		if (process) want(process);
	}, [process]);
	const known = historyOf(process);
	if (!process || !known) return <span class="trend" />;
	const values = [...known.slice(-(SHOWN - 1)), now];
	const most = values.reduce<number>((a, v) => Math.max(a, v ?? 0), 0);
	const minutes = Math.max(1, Math.round(((values.length - 1) * STEP_MS) / 60_000));
	const text = `memory of the last ${minutes} min, at most ${bytes(most)}`;
	// A line that is short so far begins at the right, as it will stand there later.
	const padded = values.length < SHOWN ? [...Array<null>(SHOWN - values.length).fill(null), ...values] : values;
	return (
		<span class="trend" title={text}>
			<Spark values={padded} most={row.limitBytes && most > row.limitBytes / 2 ? row.limitBytes : most * 1.25} label={label ? text : undefined} />
		</span>
	);
}
