// alerts: how many there are, for the navigation; their page reads them itself.
import { effect, signal } from "@preact/signals";
import { get } from "../lib/api";
import { hello, isAdmin, onTopic } from "./board";

export interface Alert {
	key: string;
	level: "info" | "warning" | "error" | string;
	subject?: string;
	source?: string;
	text: string;
	since: number;
	last?: number;
	count: number;
}

export const alerts = signal<Alert[] | null>(null);
export const alertCount = signal(0);

/** Throws what went wrong; what was there stays. */
export async function loadAlerts(): Promise<void> {
	const list = await get<Alert[]>("/api/alerts");
	alerts.value = list;
	alertCount.value = list.length;
}

// the page of alerts tells what went wrong; the count stays what it was
const load = () => void loadAlerts().catch(() => {});

onTopic("alerts", () => isAdmin.value && load());
effect(() => {
	if (hello.value && isAdmin.value) load();
	else {
		alerts.value = null;
		alertCount.value = 0;
	}
});
