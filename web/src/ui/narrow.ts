// narrow: is there room for one line of a table's row, or does it take two?
import { signal } from "@preact/signals";

/** Tables that are narrower (px) show rows of two lines: columns with `until: TWO_LINES - 1` and `from: TWO_LINES`. */
export const TWO_LINES = 640;
export const TWO_LINES_HEIGHT = 50;

const FRAME = 22; // what a page has around its table
const query = matchMedia(`(max-width: ${TWO_LINES + FRAME - 1}px)`);
export const isNarrow = signal(query.matches);
query.addEventListener("change", () => (isNarrow.value = query.matches));
