// detail_card: what is known of the row that is open, below its list; which one stands in the URL (?at=).
import type { ComponentChildren } from "preact";
import { setQuery } from "../lib/router";
import { Button, State } from "./basics";

export interface DetailCardProps {
	label: string;
	class: string;
	title: ComponentChildren;
	state: string;
	/** what may be done to it */
	buttons: ComponentChildren;
	children: ComponentChildren;
}

export function DetailCard(p: DetailCardProps) {
	return (
		<section class={`card ${p.class}`} aria-label={p.label}>
			<header>
				<h2 class="cut">{p.title}</h2>
				<State state={p.state} />
				<span class="push" />
				{p.buttons}
				<Button look="quiet" small aria-label="Close the detail" onClick={() => setQuery({ at: "" })}>
					✕
				</Button>
			</header>
			<div class="body">{p.children}</div>
		</section>
	);
}
