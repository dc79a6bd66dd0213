// follow: asks again about what is open but has no row on the board: what began and ended between two of its looks has none whose end would tell.
import { useEffect } from "preact/hooks";
import { link, rows } from "./board";

const AGAIN_MS = 1000;

/** `ids`: rows of the board that belong to what is open now; while one of them is not there, `reload` is called each second. */
export function useFollow(ids: string[], reload: () => void): void {
	const open = ids.join("\n");
	useEffect(() => {
		if (!open) return;
		const look = () => {
			if (link.value.state === "live" && !document.hidden && open.split("\n").some((id) => !rows.has(id))) reload();
		};
		const timer = setInterval(look, AGAIN_MS);
		return () => clearInterval(timer);
	}, [open, reload]);
}
