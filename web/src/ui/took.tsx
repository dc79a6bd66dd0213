// took: how long something took, exactly; of what goes on how long it has gone on.
import { duration, exact } from "../lib/format";
import { Since } from "./basics";

export function Took({ from, until, isOver }: { from: number | undefined; until: number | undefined; isOver: boolean }) {
	if (!from) return <span class="dim">–</span>;
	if (!isOver) return <Since at={from} />;
	if (!until) return <span class="dim">–</span>;
	return (
		<span class="num" title={`${exact(from)}\n${exact(until)}`}>
			{duration(Math.max(0, until - from))}
		</span>
	);
}
