// One task: what it uses while it runs, how it ended and why, who lives in its box; ended and run again from its page.
import type { Page } from "@playwright/test";
import { complaints, expect, signIn, test, until } from "./instance";
import { HOSTILE, isSound, isUntaken } from "./sound";

const MODULE = `
import subprocess, time

def hold(megabytes, seconds):
    held = bytearray(b"\\1") * (megabytes << 20)
    time.sleep(seconds)
    return len(held)

def grow(megabytes, seconds):
    held = []
    for i in range(megabytes):
        held.append(bytearray(b"\\1") * (1 << 20))
        time.sleep(seconds / megabytes)
    return sum(len(h) for h in held)

def parent():
    subprocess.run(["sh", "-c", "sleep 611 & sleep 612"])

def fails():
    raise ValueError("no such month: \\u202e<b>13</b>")
`;

const POOLS = `-- two lines
-- before it
pool "fek" {
  kernel = python {}, limits = { memory = "256m", memory_max = "1g", swap = "0", threads = 64 },
  warm = { min = 2, max = 2 }, max = 6, recycle = { after_tasks = 1 },
}
`;
const RULES = `slots "a user's tasks" { each = "user", max = 6 }
`;

// a title is one line: what is left of it
const TITLE = HOSTILE.replace(/[\u0000-\u001f]/g, "").slice(0, 200);

test.use({ instance: { name: "task", plain: true, policies: { "10-pools.lua": POOLS, "20-limits.lua": RULES } } });

const at = (id: string, more = "") => `#/task/future:${id}${more}`;
const state = (page: Page, name: string) => page.locator(".head .state").getByText(name, { exact: true });
const fact = (page: Page, name: string) => page.getByRole("region", { name: "Facts" }).locator(`dt:text-is("${name}") + dd`);
const usage = (page: Page) => page.getByRole("region", { name: "Memory and CPU" });

test.describe("a running task", () => {
	test("shows what it uses as it grows, whose it is, and who lives in its box", async ({ page, node }) => {
		const said = complaints(page), anna = await node.key("anna"), path = node.modules({ "shop.py": MODULE });
		const id = await node.python("shop:grow", [90, 600], { title: "import", tags: ["daily"] }, { key: anna, path });
		await node.task(id, (r) => r.state === "running");
		await signIn(page, node, anna, at(id));
		await expect(page.getByRole("heading", { level: 1, name: "import" })).toBeVisible();
		await expect(page).toHaveTitle("import · dssd");
		await expect(state(page, "running")).toBeVisible();
		await expect(fact(page, "Owner")).toHaveText("anna");
		await expect(fact(page, "Tags")).toHaveText("daily");
		await expect(fact(page, "Memory limit")).toContainText("256 MB");
		await expect(page.getByRole("list", { name: "Timeline" })).toContainText(/submitted .*started on fek-\d+/s);
		// the curve and the number both move by themselves
		const chart = usage(page).getByRole("img", { name: /^Memory; last: Memory [\d.]+ MB, Limit 256 MB/ });
		await expect(chart).toBeVisible();
		const first = await chart.getAttribute("aria-label");
		await expect(chart).not.toHaveAttribute("aria-label", first!);
		await expect(usage(page).locator(".meter")).toHaveAttribute("title", /^[\d.]+ MB of 256 MB \(\d+ %\)$/);
		expect(said).toEqual([]);
		await node.api("DELETE", `/api/futures/${id}`, { key: anna });
	});

	test("shows its processes as a tree, and ends from its page once what ends with it was shown", async ({ page, node }) => {
		const path = node.modules({ "shop.py": MODULE });
		const id = await node.python("shop:parent", [], { title: "with children" }, { path });
		await node.task(id, (r) => r.state === "running");
		await signIn(page, node, node.adminKey, at(id, "?tab=processes"));
		const rows = page.getByRole("region", { name: "Its processes" }).getByRole("row");
		await expect(async () => {
			await page.getByRole("button", { name: "Look again" }).click();
			await expect(rows.filter({ hasText: "sleep" })).toHaveCount(2, { timeout: 1000 });
		}).toPass();
		const left = (name: string) => rows.filter({ hasText: name }).first().locator("td").first().evaluate((e) => parseFloat(getComputedStyle(e).paddingLeft));
		expect(await left("sleep")).toBeGreaterThan(await left("sh"));
		await isSound(page);
		await page.getByRole("button", { name: "Abort…" }).click();
		const dialog = page.getByRole("dialog");
		await expect(dialog).toContainText("with children");
		await expect(dialog).toContainText("cannot be undone");
		expect((await node.api("GET", `/api/tasks/${id}`)).alive).toBe(true); // the question alone ends nothing
		await dialog.getByRole("button", { name: /^(End|Abort)/ }).click();
		await expect(dialog.getByRole("status")).toContainText("1 ended");
		await dialog.getByText("Close", { exact: true }).click();
		await expect(state(page, "aborted")).toBeVisible();
		await expect(page.getByRole("status").filter({ hasText: "Ended by" })).toBeVisible();
		await expect(page.getByRole("button", { name: "Abort…" })).toHaveCount(0);
	});

	test("goes on by itself on its page when the backend was killed", async ({ page, node }) => {
		const path = node.modules({ "shop.py": MODULE });
		const id = await node.python("shop:hold", [20, 600], { title: "stays" }, { path });
		await node.task(id, (r) => r.state === "running");
		await signIn(page, node, node.adminKey, at(id));
		await expect(usage(page).getByRole("img", { name: /^Memory; last: Memory/ })).toBeVisible();
		await node.killBackend();
		await expect(page.locator(".bar")).toContainText("live", { timeout: 30_000 });
		await expect(page.getByText("Connection lost.")).toHaveCount(0);
		await expect(state(page, "running")).toBeVisible();
		const was = (await node.api("GET", `/api/tasks/${id}`)).state;
		expect(was).toBe("running");
		await node.api("DELETE", `/api/futures/${id}`);
		await expect(state(page, "aborted")).toBeVisible();
	});
});

test.describe("a task that has died", () => {
	test("says of what, with its limit, its peak and its last minute, and ends well with a higher limit", async ({ page, node }) => {
		const said = complaints(page), anna = await node.key("anna"), path = node.modules({ "shop.py": MODULE });
		const id = await node.python("shop:grow", [150, 3], { title: "join of all orders", limits: { memory: "64m" } }, { key: anna, path });
		await node.task(id, (r) => r.state === "killed", 40_000);
		await signIn(page, node, anna, at(id));
		const words = page.getByRole("status").filter({ hasText: "Out of memory: its limit" });
		await expect(words).toContainText("Killed: your task used 64 MB");
		await expect(words).toContainText(/Peak 64 MB at \d\d:\d\d:\d\d/);
		await expect(words).toContainText("Others were not affected.");
		await expect(words).toContainText(/limit 64 MB .*peak 64 MB/);
		await expect(usage(page).getByRole("img", { name: /^Memory; last: Memory [\d.]+ MB, Limit 64 MB/ })).toBeVisible();
		await isSound(page);
		await page.getByRole("button", { name: "Run again with a higher limit…" }).click();
		const dialog = page.getByRole("dialog", { name: "Run it again" });
		await expect(dialog.getByLabel("Memory limit")).toHaveValue("128m");
		await expect(dialog).toContainText("It had 64 MB.");
		await dialog.getByLabel("Memory limit").fill("9000g");
		await dialog.getByRole("button", { name: "Run again" }).click();
		await expect(dialog.getByRole("alert")).toContainText(/memory/);
		await dialog.getByLabel("Memory limit").fill("300m");
		await page.keyboard.press("Enter");
		await expect(page).not.toHaveURL(new RegExp(id));
		await expect(page.getByRole("heading", { level: 1, name: "join of all orders" })).toBeVisible();
		await expect(fact(page, "Memory limit")).toContainText("300 MB");
		await expect(state(page, "done")).toBeVisible({ timeout: 30_000 });
		const next = /future(?::|%3A)(\w+)/.exec(page.url())![1]!;
		expect((await node.api("GET", `/api/tasks/${next}`, { key: anna })).state).toBe("done");
		expect(said.filter((s) => !s.includes("status of 400"))).toEqual([]); // 9000g
	});

	test("shows an error of its own with its trace as text", async ({ page, node }) => {
		const path = node.modules({ "shop.py": MODULE });
		const id = await node.python("shop:fails", [], { title: TITLE }, { path });
		await node.task(id, (r) => r.state === "failed");
		await signIn(page, node, node.adminKey, at(id));
		await expect(page.getByRole("status").filter({ hasText: "It failed" })).toContainText("no such month: \\u202e<b>13</b>");
		await expect(page.getByRole("heading", { level: 1 })).toContainText("<img src=x");
		await isUntaken(page);
		await isSound(page);
	});

	test("is nobody else's to see", async ({ page, node }) => {
		const path = node.modules({ "shop.py": MODULE });
		const id = await node.python("shop:hold", [1, 0], { title: "secret plan" }, { path });
		await node.task(id, (r) => r.state === "done");
		await signIn(page, node, await node.key("ben"), at(id));
		await expect(page.getByText("It does not exist, or is not yours to see.")).toBeVisible();
		await expect(page.locator("body")).not.toContainText("secret plan");
	});
});

test.describe("why", () => {
	test("lists what was decided with its line, and the line opens in its file", async ({ page, node }) => {
		const id = await node.python("stats:echo", ["x"], { title: "short" });
		await node.task(id, (r) => r.state === "done");
		await signIn(page, node, node.adminKey, at(id));
		await page.getByRole("tab", { name: "Why" }).click();
		const row = page.getByRole("region", { name: "Decisions about it" }).getByRole("listitem").filter({ hasText: "a user's tasks" });
		await expect(row).toContainText("assign");
		await expect(page).toHaveURL(/tab=why/);
		await row.getByRole("link", { name: "policies/20-limits.lua:1" }).click();
		await expect(page).toHaveURL(/#\/policies\?file=20-limits\.lua&line=1/);
		await expect(page.getByRole("textbox", { name: "Text of 20-limits.lua" })).toBeFocused();
		await expect(page.locator(".cm-activeLine")).toContainText(`slots "a user's tasks"`);
		await page.goBack();
		await expect(page.getByRole("tab", { name: "Why" })).toHaveAttribute("aria-selected", "true");
	});

	test("tells who is no admin the line, without a way to the file", async ({ page, node }) => {
		const anna = await node.key("anna");
		const id = await node.submit({ type: "python", payload: { callable: "stats:echo", args: [1] }, title: "hers" }, anna);
		await node.task(id, (r) => r.state === "done");
		await signIn(page, node, anna, at(id, "?tab=why"));
		const why = page.getByRole("region", { name: "Decisions about it" });
		await expect(why).toContainText("policies/20-limits.lua:1");
		await expect(why.getByRole("link")).toHaveCount(0);
	});
});

test("the page of a task is used with the keyboard alone", async ({ page, node }) => {
	const path = node.modules({ "shop.py": MODULE });
	const id = await node.python("shop:hold", [5, 600], { title: "by keys" }, { path });
	await node.task(id, (r) => r.state === "running");
	await signIn(page, node, node.adminKey, at(id));
	await expect(state(page, "running")).toBeVisible();
	const reach = async (name: string) =>
		until(`the focus on ${name}`, async () => {
			await page.keyboard.press("Tab");
			return page.evaluate((n) => document.activeElement?.textContent?.trim() === n, name);
		});
	await reach("Abort…");
	await reach("Why"); // first, since a Python task has no log of its own
	await page.keyboard.press("ArrowRight");
	await expect(page.getByRole("tab", { name: "Processes" })).toBeFocused();
	await expect(page.getByRole("tab", { name: "Processes" })).toHaveAttribute("aria-selected", "true");
	await page.keyboard.press("ArrowRight");
	await expect(page.getByRole("tab", { name: "Log" })).toBeFocused();
	await page.keyboard.press("ArrowRight");
	await expect(page.getByRole("tab", { name: "Why" })).toBeFocused();
	await page.getByRole("button", { name: "Abort…" }).focus();
	await page.keyboard.press("Enter");
	await expect(page.getByRole("dialog")).toBeVisible();
	await page.keyboard.press("Escape");
	await expect(page.getByRole("dialog")).toHaveCount(0);
	await expect(page.getByRole("button", { name: "Abort…" })).toBeFocused();
	await node.api("DELETE", `/api/futures/${id}`);
});
