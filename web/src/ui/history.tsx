// history: the last minutes of a row's memory as a small line, as high as its limit where that is near.
import { useEffect, useMemo } from "preact/hooks";
import { bytes } from "../lib/format";
import { historyOf, moved, POINTS, STEP_MS, want } from "../state/history";
import type { Row } from "../stream/protocol";
import { Spark } from "./basics";

export function Trend({ row, label }: { row: Row; label?: boolean }) {
	moved.value; // drawn anew when there is more
	const process = row.processId;
	const known = historyOf(process);
	useEffect(() => {
		if (process) want(process);
	}, [process]);
	return useMemo(() => {
		if (!known) return <span class="trend" />;
		const most = known.reduce<number>((a, v) => Math.max(a, v ?? 0), 0);
		const minutes = Math.max(1, Math.round((known.length * STEP_MS) / 60_000));
		const text = `memory of the last ${minutes} min, at most ${bytes(most)}`;
		// A line that is short so far begins at the right, as it will stand there later.
		const padded = known.length < POINTS ? [...Array<null>(POINTS - known.length).fill(null), ...known] : known;
		return (
			<span class="trend" title={text}>
				<Spark values={padded} most={row.limitBytes && most > row.limitBytes / 2 ? row.limitBytes : most * 1.25} label={label ? text : undefined} />
			</span>
		);
	}, [known, row.limitBytes, label]);
}
