// filters: the line above a list: a text to find, choices, what is shown of how many. What is asked for stands in the URL.
import type { ComponentChildren } from "preact";
import { plain } from "../lib/format";
import { place, setQuery } from "../lib/router";

export function Filters({ label, find, children, said, actions }: { label: string; /** by what one finds: "by title, owner" */ find: string; children?: ComponentChildren; said: ComponentChildren; /** at the end of the line: what may be done to what is chosen */ actions?: ComponentChildren }) {
	return (
		<div class="filters" role="search" aria-label={label}>
			<input class="field" type="search" data-filter aria-label="Find" placeholder={`Find ${find}`} value={place.value.query["find"] ?? ""} onInput={(e) => setQuery({ find: e.currentTarget.value })} />
			{children}
			<span class="dim" role="status">
				{said}
			</span>
			{actions}
		</div>
	);
}

/** One of some values, or all. name: of the URL's query. */
export function Choice({ label, name, all, options }: { label: string; name: string; all: string; options: readonly string[] }) {
	return (
		<select class="field" aria-label={label} value={place.value.query[name] ?? ""} onChange={(e) => setQuery({ [name]: e.currentTarget.value })}>
			<option value="">{all}</option>
			{options.map((o) => (
				<option key={o} value={o}>
					{plain(o)}
				</option>
			))}
		</select>
	);
}
