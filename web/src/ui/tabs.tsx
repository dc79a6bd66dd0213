// tabs: one of several views of a thing; which one stands in the URL (?tab=).
import { place, setQuery } from "../lib/router";

export interface Tab {
	id: string;
	title: string;
	count?: number;
}

export function currentTab(tabs: readonly Tab[]): string {
	const asked = place.value.query["tab"];
	return tabs.some((t) => t.id === asked) ? asked! : tabs[0]!.id;
}

export function Tabs({ tabs, label }: { tabs: readonly Tab[]; label: string }) {
	const current = currentTab(tabs);
	const move = (e: KeyboardEvent, i: number) => {
		const by = e.key === "ArrowRight" ? 1 : e.key === "ArrowLeft" ? -1 : 0;
		if (!by) return;
		e.preventDefault();
		const next = tabs[(i + by + tabs.length) % tabs.length]!;
		setQuery({ tab: next.id });
		document.getElementById(`tab-${next.id}`)?.focus();
	};
	return (
		<div class="tabs" role="tablist" aria-label={label}>
			{tabs.map((t, i) => (
				<button
					type="button"
					role="tab"
					id={`tab-${t.id}`}
					key={t.id}
					aria-selected={t.id === current}
					aria-controls="tabpanel"
					tabIndex={t.id === current ? 0 : -1}
					onClick={() => setQuery({ tab: t.id })}
					onKeyDown={(e) => move(e, i)}
				>
					{t.title}
					{t.count !== undefined && <span class="dim"> {t.count}</span>}
				</button>
			))}
		</div>
	);
}
