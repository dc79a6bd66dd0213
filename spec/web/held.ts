// held: tasks that hold real memory until they are ended, and the page of background tasks that shows them.
import type { Page } from "@playwright/test";
import { until, type Instance } from "./instance";

const MODULE = `
import time

def hold(megabytes):
    held = bytearray(b"\\1") * (megabytes << 20)
    time.sleep(3600)
    return len(held)
`;

export interface Held {
	title: string;
	megabytes?: number;
	key?: string;
	more?: Record<string, unknown>;
}

/** A task that holds memory until it is ended; it runs and has it when this returns. */
export async function hold(node: Instance, { title, megabytes = 1, key, more }: Held): Promise<string> {
	const path = node.modules({ "holding.py": MODULE });
	const id = await node.python("holding:hold", [megabytes], { title, ...more }, { key, path });
	await until(`${title} to hold ${megabytes} MB`, async () => {
		const rows = await node.api<any[]>("GET", "/api/board");
		const row = rows.find((r) => r.ref === id);
		return row?.state === "running" && row.memoryBytes > megabytes * 2 ** 20;
	}, 40_000);
	return id;
}

export const table = (page: Page) => page.getByRole("treegrid", { name: "Background tasks" });
export const items = (page: Page) => table(page).locator(".item");
export const rowOf = (page: Page, title: string) => items(page).filter({ hasText: title });
export const filter = (page: Page) => page.getByRole("combobox", { name: "Filter" });
export const detail = (page: Page) => page.getByRole("complementary", { name: "Detail" });
export const dialogOf = (page: Page) => page.getByRole("dialog").filter({ hasText: "cannot be undone" });
export const isGone = (node: Instance, id: string) => node.task(id, (t) => t.state === "aborted", 40_000);

/** Tests share the instance: each ends what it began. */
export async function endAll(node: Instance): Promise<void> {
	const open = (await node.api<any[]>("GET", "/api/tasks?ended=0")).filter((t) => t.alive);
	for (const t of open) await node.call("DELETE", `/api/futures/${t.jobId}`);
	await until("the end of all tasks", async () => (await node.api<any[]>("GET", "/api/tasks?ended=0")).filter((t) => t.alive).length === 0);
}
