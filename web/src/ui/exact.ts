// exact: where nothing hovers, a tap on a moment tells the exact one, as hovering does elsewhere.
import { tell } from "./toast";

export function tellExact(): void {
	if (!matchMedia("(hover: none)").matches) return;
	addEventListener("click", (e) => {
		const time = e.target instanceof Element ? e.target.closest("time[title]") : null;
		if (time) tell(time.getAttribute("title")!, "");
	});
}
