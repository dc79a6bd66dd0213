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

async function load(): Promise<void> {
	try {
		const list = await get<Alert[]>("/api/alerts");
		alerts.value = list;
		alertCount.value = list.length;
	} catch {
		// the page of alerts tells it; the count stays what it was
	}
}

onTopic("alerts", () => void (isAdmin.value && load()));
effect(() => {
	if (hello.value && isAdmin.value) void load();
	else {
		alerts.value = null;
		alertCount.value = 0;
	}
});
