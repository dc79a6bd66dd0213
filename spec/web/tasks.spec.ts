// Background tasks: what is eating the node, whose is it, may it be ended: the table, its filter and groups, ending, one's own activity; against real
// kernels that hold real memory.
import type { Locator, Page } from "@playwright/test";
import { existsSync } from "node:fs";
import { complaints, expect, signIn, test, until, type Instance } from "./instance";
import { HOSTILE, isSound, isUntaken } from "./sound";

const MODULE = `
import time

def hold(megabytes):
    held = bytearray(b"\\1") * (megabytes << 20)
    time.sleep(3600)
    return len(held)
`;

const SHOP = `project { name = "Shop", owner = "anna", recipes = {
    load = shell { command = "sleep 600", outputs = { "orders" }, limits = { memory = "64m" } },
    compute_clean = shell { command = "true", inputs = { "orders" }, outputs = { "clean" } },
  }, models = { churn = model { input = "people", script = "held.py" } } }`;

const HELD = `
import time

def train(context):
    context.progress(0.3, "waiting for its end")
    time.sleep(3600)
`;

// Kernels that stay after their task, and of which none has to.
const SPARE = 'pool "spare" { kernel = python {}, limits = { memory = "256m", swap = "0" }, warm = { min = 0, max = 2 }, max = 2, recycle = { after_tasks = 0 } }\n';

test.use({ instance: { name: "tasks", projects: { SHOP: { "project.lua": SHOP, "held.py": HELD, "data/people/rows.csv": "id,age\nu1,30\nu2,40\n" } } } });

interface Held {
	title: string;
	megabytes?: number;
	key?: string;
	more?: Record<string, unknown>;
}

/** A task that holds memory until it is ended; it runs and has it when this returns. */
async function hold(node: Instance, { title, megabytes = 1, key, more }: Held): Promise<string> {
	const path = node.modules({ "holding.py": MODULE });
	const id = await node.python("holding:hold", [megabytes], { title, ...more }, { key, path });
	await until(`${title} to hold ${megabytes} MB`, async () => {
		const rows = await node.api<any[]>("GET", "/api/board");
		const row = rows.find((r) => r.ref === id);
		return row?.state === "running" && row.memoryBytes > megabytes * 2 ** 20;
	}, 40_000);
	return id;
}

const table = (page: Page) => page.getByRole("treegrid", { name: "Background tasks" });
const items = (page: Page) => table(page).locator(".item");
const rowOf = (page: Page, title: string) => items(page).filter({ hasText: title });
const filter = (page: Page) => page.getByRole("combobox", { name: "Filter" });
const detail = (page: Page) => page.getByRole("complementary", { name: "Detail" });
const dialogOf = (page: Page) => page.getByRole("dialog").filter({ hasText: "cannot be undone" });
const isGone = (node: Instance, id: string) => node.task(id, (t) => t.state === "aborted", 40_000);

/** By Tab alone, as somebody without a mouse goes there. */
async function tabTo(page: Page, target: Locator, most = 60): Promise<void> {
	for (let i = 0; i < most; i++) {
		if (await target.evaluate((el) => el === document.activeElement)) return;
		await page.keyboard.press("Tab");
	}
	throw new Error(`Tab did not reach ${target} in ${most} steps`);
}

// Tests share the instance: each ends what it began.
test.afterEach(async ({ node }) => {
	const open = (await node.api<any[]>("GET", "/api/tasks?ended=0")).filter((t) => t.alive);
	for (const t of open) await node.call("DELETE", `/api/futures/${t.jobId}`);
	await until("the end of all tasks", async () => (await node.api<any[]>("GET", "/api/tasks?ended=0")).filter((t) => t.alive).length === 0);
});

test.describe("a new user finds, explains and ends the greediest task", () => {
	test("with the mouse", async ({ page, node }) => {
		const said = complaints(page);
		await hold(node, { title: "small one", megabytes: 20, key: await node.key("ben") });
		const greedy = await hold(node, { title: "churn features", megabytes: 220, key: await node.key("anna"), more: { project: "SHOP", limits: { memory: "256m" } } });
		await page.goto(node.baseURL);
		await page.getByLabel("Key").fill(node.adminKey);
		await page.getByRole("button", { name: "Log in" }).click();
		// the greediest is first
		const first = items(page).first();
		await expect(first).toContainText("churn features");
		await expect(first).toContainText("anna");
		await expect(first).toContainText(/2\d\d MB \/ 256 MB/);
		// whose it is, its limit, who set it, what that means
		await first.click();
		await expect(detail(page).getByRole("heading", { name: "churn features" })).toBeVisible();
		await expect(detail(page)).toContainText("anna");
		await expect(detail(page)).toContainText("SHOP");
		await expect(detail(page)).toContainText("256 MB, by the task's limits.memory");
		await expect(detail(page)).toContainText("are left until it is killed");
		// what will end, then that it has
		await detail(page).getByRole("button", { name: "End…" }).click();
		const dialog = dialogOf(page);
		await expect(dialog).toContainText("churn features");
		await expect(dialog).toContainText(/2\d\d MB of memory are given back/);
		await expect(dialog).toContainText("What it has done so far");
		await expect(dialog).toContainText(/kernel of pool fek.*pid \d+/);
		await dialog.getByRole("button", { name: "End 1 task" }).click();
		await expect(page.getByRole("dialog")).toContainText("All 1 ended.");
		await page.getByRole("dialog").getByRole("button", { name: "Close" }).last().click();
		await expect(rowOf(page, "churn features")).toHaveCount(0);
		await isGone(node, greedy);
		expect(said).toEqual([]);
	});

	test("with the keyboard alone", async ({ page, node }) => {
		const greedy = await hold(node, { title: "price model", megabytes: 200, key: await node.key("anna") });
		await page.goto(node.baseURL);
		await expect(page.getByLabel("Key")).toBeFocused();
		await page.keyboard.insertText(node.adminKey);
		await page.keyboard.press("Enter");
		await expect(items(page).first()).toContainText("price model");
		await tabTo(page, table(page));
		await expect(items(page).first()).toHaveClass(/current/);
		await page.keyboard.press("Enter");
		await expect(detail(page)).toBeFocused();
		await expect(detail(page)).toContainText("anna");
		await expect(detail(page)).toContainText(/Limit.*by pool "fek"/s);
		await page.keyboard.press("Escape");
		await expect(table(page)).toBeFocused();
		await page.keyboard.press("e");
		await expect(dialogOf(page)).toContainText("price model");
		await expect(page.getByRole("button", { name: "End 1 task", exact: true })).toBeFocused();
		await page.keyboard.press("Enter");
		await expect(page.getByRole("dialog")).toContainText("All 1 ended.");
		await page.keyboard.press("Enter"); // Close
		await expect(page.getByRole("dialog")).toHaveCount(0);
		await expect(rowOf(page, "price model")).toHaveCount(0);
		await expect(table(page)).toBeFocused();
		await isGone(node, greedy);
	});
});

test.describe("the filter", () => {
	test("completes words, takes what is right, and says what is wrong under its place", async ({ page, node }) => {
		await hold(node, { title: "of anna", key: await node.key("anna") });
		await hold(node, { title: "of ben", key: await node.key("ben") });
		await signIn(page, node);
		await expect(rowOf(page, "of ben")).toHaveCount(1);
		await page.keyboard.press("/");
		await expect(filter(page)).toBeFocused();
		await page.keyboard.type("us");
		await expect(page.getByRole("option", { name: "user", exact: true })).toBeVisible();
		await page.keyboard.press("ArrowDown");
		await page.keyboard.press("Enter");
		await expect(filter(page)).toHaveValue("user ");
		await page.keyboard.type("= ben");
		await expect(rowOf(page, "of anna")).toHaveCount(0);
		await expect(rowOf(page, "of ben")).toHaveCount(1);
		await expect(page).toHaveURL(/where=user\+%3D\+ben/);

		await filter(page).fill("user = ben and memroy > 1m");
		await page.keyboard.press("Enter");
		const wrong = page.getByRole("alert");
		await expect(wrong).toContainText('Character 16: unknown fact "memroy", did you mean "memory"?');
		const [line, caret] = (await wrong.locator("pre").textContent())!.split("\n");
		expect(line!.indexOf("memroy")).toBe(caret!.indexOf("^"));
		// what was right stays in force, and it says so
		await expect(wrong).toContainText("Not applied");
		await expect(rowOf(page, "of anna")).toHaveCount(0);
		await expect(filter(page)).toHaveAttribute("aria-invalid", "true");
		await page.getByRole("button", { name: "Clear the filter" }).click();
		await expect(rowOf(page, "of anna")).toHaveCount(1);
		await expect(page).not.toHaveURL(/where=/);
	});

	test("has chips for what is asked most, and the strip's legend filters, too", async ({ page, node }) => {
		const anna = await node.key("anna");
		await hold(node, { title: "near the edge", megabytes: 60, key: anna, more: { limits: { memory: "80m" } } });
		await hold(node, { title: "far from it", key: anna });
		await signIn(page, node, anna);
		await page.getByRole("button", { name: "Near its limit" }).click();
		await expect(filter(page)).toHaveValue("memory > 80% of limit");
		await expect(rowOf(page, "near the edge")).toHaveCount(1);
		await expect(items(page)).toHaveCount(1);
		await page.getByRole("button", { name: "Waiting", exact: true }).click();
		await expect(page.getByText("Nothing here fits.")).toBeVisible();
		await page.getByRole("button", { name: /^Show all/ }).click();
		await expect(rowOf(page, "far from it")).toHaveCount(1);
		await page.getByRole("button", { name: /^Notebooks \d/ }).click();
		await expect(filter(page)).toHaveValue("kind = notebook");
		await expect(items(page)).toHaveCount(0);
	});
});

test("groups have sums and can be folded; a link brings the same view back; idle ones can be hidden", async ({ page, context, node }) => {
	await hold(node, { title: "of anna", megabytes: 60, key: await node.key("anna") });
	await hold(node, { title: "of ben, one", megabytes: 20, key: await node.key("ben") });
	await hold(node, { title: "of ben, two", megabytes: 90, key: await node.key("ben") });
	await signIn(page, node);
	await page.getByRole("combobox", { name: "Groups" }).selectOption("By owner");
	await page.getByRole("checkbox", { name: "Hide idle" }).check();
	await expect(rowOf(page, "kernel of pool")).toHaveCount(0);
	const heads = table(page).locator(".gr.group");
	await expect(heads.nth(0)).toContainText(/ben 2.*1[1-4]\d MB/); // the sum of both, more than anna's
	await expect(heads.nth(1)).toContainText("anna");
	await heads.nth(0).click();
	await expect(heads.nth(0)).toHaveAttribute("aria-expanded", "false");
	await expect(rowOf(page, "of ben")).toHaveCount(0);
	await table(page).getByRole("columnheader", { name: "What" }).getByRole("button").click();
	await expect(table(page).getByRole("columnheader", { name: "What" })).toHaveAttribute("aria-sort", "ascending");

	const other = await context.newPage();
	await other.goto(page.url());
	await expect(other.getByRole("combobox", { name: "Groups" })).toHaveValue("user");
	const again = table(other).locator(".gr.group").filter({ hasText: "ben" });
	await expect(again).toHaveAttribute("aria-expanded", "false");
	await expect(rowOf(other, "of anna")).toHaveCount(1);
	await expect(rowOf(other, "of ben")).toHaveCount(0);
	await expect(rowOf(other, "backend")).toHaveCount(0);
	await expect(table(other).getByRole("columnheader", { name: "What" })).toHaveAttribute("aria-sort", "ascending");
	// by keyboard: to the folded head, unfold it
	await table(other).focus();
	for (let i = 0; i < 6 && !(await again.evaluate((el) => el.classList.contains("current"))); i++) await other.keyboard.press(i ? "ArrowDown" : "Home");
	await other.keyboard.press("ArrowRight");
	await expect(rowOf(other, "of ben, one")).toHaveCount(1);
});

test("a user sees own rows alone, and may end them", async ({ page, node }) => {
	const anna = await node.key("anna");
	await hold(node, { title: "of anna", key: anna });
	await hold(node, { title: "of ben", key: await node.key("ben") });
	await signIn(page, node, anna);
	await expect(rowOf(page, "of anna")).toHaveCount(1);
	await expect(page.getByRole("navigation", { name: "Pages" })).not.toContainText("Policies");
	await expect(page.locator("body")).not.toContainText("of ben");
	for (const row of await items(page).all()) await expect(row).toContainText("anna");
	// the navigation counts what they see
	const count = page.getByRole("link", { name: /^Background tasks/ }).locator(".count");
	await expect(count).toHaveText("1");
	await hold(node, { title: "also of anna", key: anna });
	await expect(count).toHaveText("2");
});

test("many are ended at once: what fails is told by name and can be tried again, what may not be ended says why", async ({ page, node }) => {
	const one = await hold(node, { title: "first of two", key: await node.key("anna") });
	const two = await hold(node, { title: "second of two", key: await node.key("anna") });
	await signIn(page, node);
	await rowOf(page, "first of two").getByRole("checkbox").check();
	await rowOf(page, "second of two").getByRole("checkbox").check();
	await rowOf(page, "keeper").getByRole("checkbox").check();
	const bar = page.getByRole("toolbar", { name: "What to do with the chosen rows" });
	await expect(bar).toContainText("3 chosen");
	await expect(bar).toContainText("1 of them cannot be ended by you.");
	await page.route(`**/api/futures/${two}`, (route) => route.fulfill({ status: 503, json: { errorType: "Busy", message: "its kernel does not answer" } }));
	await bar.getByRole("button", { name: "End 2 tasks…" }).click();
	const dialog = dialogOf(page);
	await dialog.getByRole("button", { name: "End 2 tasks" }).click();
	const after = page.getByRole("dialog");
	await expect(after.locator("li", { hasText: "first of two" })).toContainText("ended");
	await expect(after.locator("li", { hasText: "second of two" })).toContainText("its kernel does not answer");
	await expect(after).toContainText("1 of 2 ended; not ended: second of two.");
	await page.unroute(`**/api/futures/${two}`);
	await after.getByRole("button", { name: "Try 1 again" }).click();
	await expect(after).toContainText("All 2 ended.");
	await page.keyboard.press("Escape");
	await isGone(node, one);
	await isGone(node, two);
	// a task that ends by itself while one looks is not chosen any more, and no service can be ended
	await expect(bar).toContainText("1 chosen");
	await expect(bar.getByRole("button", { name: "End", exact: true })).toBeDisabled();
	await page.keyboard.press("Escape");
	await rowOf(page, "keeper").click();
	await expect(detail(page)).toContainText("the node's own");
	await expect(detail(page).getByRole("button", { name: /End/ })).toHaveCount(0);
});

test("a job folds its activities below it; one of them ends with its job alone", async ({ page, node }) => {
	test.skip(!existsSync(`${node.dir}/policies/15-jobs.lua`), "no JDK built the job kernel");
	const job = await node.build("SHOP", "clean", "RECURSIVE_BUILD", await node.key("anna"));
	await until("the activity", async () => (await node.api<any[]>("GET", "/api/board")).some((r) => r.kind === "recipe" && r.state === "running"), 40_000);
	await signIn(page, node);
	const row = rowOf(page, "Build clean");
	await expect(row).toHaveAttribute("aria-expanded", "false");
	await expect(rowOf(page, "load")).toHaveCount(0);
	await row.getByRole("button", { name: "Unfold" }).click();
	await expect(rowOf(page, "load")).toHaveAttribute("aria-level", "2");
	// what is looked for is not hidden in its job
	await row.getByRole("button", { name: "Fold" }).click();
	await filter(page).fill("kind = recipe");
	await expect(rowOf(page, "load")).toHaveCount(1);
	await rowOf(page, "load").click();
	await detail(page).getByRole("button", { name: "End its job…" }).click();
	const dialog = dialogOf(page);
	await expect(dialog).toContainText("Build clean");
	await expect(dialog).toContainText("1 activity at work ends");
	await dialog.getByRole("button", { name: "End 1 job" }).click();
	await expect(page.getByRole("dialog")).toContainText("All 1 ended.");
	await until("the job's end", async () => (await node.api("GET", `/public/api/projects/SHOP/jobs/${job}`)).baseStatus.state === "ABORTED", 40_000);
});

test("a training and a run of a macro are ended from the table, for real", async ({ page, node }) => {
	const anna = await node.key("anna");
	const lab = "/public/api/projects/SHOP/models/lab/churn/churn";
	await node.api("POST", `${lab}/train`, { body: { sessionName: null, runQueue: false }, key: anna });
	await signIn(page, node);
	const training = items(page).filter({ hasText: "training" });
	await expect(training).toContainText("running", { timeout: 40_000 });
	const found = (await node.api<any[]>("GET", "/api/board")).find((r) => r.kind === "training");
	expect(found).toMatchObject({ user: "anna", project: "SHOP", ends: ["abort"] });
	await training.click();
	await detail(page).getByRole("button", { name: "End…" }).click();
	await expect(dialogOf(page)).toContainText("The model that it trains");
	await dialogOf(page).getByRole("button", { name: "End 1 training" }).click();
	await expect(page.getByRole("dialog")).toContainText("All 1 ended.");
	await page.keyboard.press("Escape");
	await isGone(node, found.ref);
	await until("the session to say so", async () => {
		const s = await node.api("GET", `/dip/publicapi/projects/SHOP/models/lab/churn/churn/status`, { key: anna });
		return s.training === false && JSON.stringify(s).includes("aborted");
	});
	await until("its process to be gone", async () => !existsSync(`/proc/${found.pid}`));

	// a run that goes on: its task waits for a kernel, all are at work
	const holders = await Promise.all(Array.from({ length: 8 }, async (_, i) => node.python("time:sleep", [600], {}, { key: await node.key(`user${i % 4}`) })));
	for (const id of holders) await node.task(id, (t) => t.state === "running", 40_000);
	const { runId } = await node.api("POST", "/api/macros/clear-tmp", { body: {} });
	const row = await until("its row", async () => (await node.api<any[]>("GET", "/api/board")).find((r) => r.kind === "macro"));
	expect(row.ref).toBe(runId);
	await filter(page).fill("kind = macro");
	const run = items(page);
	await expect(run).toHaveCount(1);
	await expect(run).toContainText("running");
	await run.click();
	await detail(page).getByRole("button", { name: "End…" }).click();
	await expect(dialogOf(page)).toContainText("what it has done so far stays done");
	await dialogOf(page).getByRole("button", { name: "End 1 task" }).click();
	await expect(page.getByRole("dialog")).toContainText("All 1 ended.");
	await until("the run's end", async () => (await node.api("GET", `/api/macro-runs/${runId}`)).state === "aborted");
});

test("an admin ends an idle kernel; of those that a pool keeps warm it says why not", async ({ page, node }) => {
	node.write("policies/50-spare.lua", SPARE);
	await until("the pool", async () => (await node.api<any[]>("GET", "/api/pools")).some((p) => p.name === "spare"));
	const anna = await node.key("anna");
	const id = await node.python("stats:sleep_for", [0], { pool: "spare" }, { key: anna });
	await node.task(id, (t) => t.state === "done", 40_000);
	const idle = (pool: string) => async () => (await node.api<any[]>("GET", "/api/board")).find((r) => r.kind === "kernel" && r.pool === pool && r.state === "idle");
	const spare = await until("the kernel to be idle", idle("spare"));
	await until("a warm one", idle("fek"), 40_000);
	expect(spare.ends).toEqual(["kill"]);
	const hers = (await node.api<any[]>("GET", "/api/board", { key: anna })).find((r) => r.id === spare.id);
	expect(hers?.ends ?? []).toEqual([]);
	const refused = await node.api("POST", "/api/ends", { body: { ids: [spare.id] }, key: anna });
	expect(refused.rows[0].may).toBe(false);

	await signIn(page, node, node.adminKey, "#/tasks?where=kind+%3D+kernel+and+state+%3D+idle");
	await rowOf(page, "kernel of pool spare").getByRole("checkbox").check();
	await rowOf(page, "kernel of pool fek").first().getByRole("checkbox").check();
	await page.getByRole("toolbar", { name: "What to do with the chosen rows" }).getByRole("button", { name: "End 2 kernels…" }).click();
	await expect(dialogOf(page)).toContainText("Nothing but a warm start");
	await expect(dialogOf(page)).toContainText(/pid \d+/);
	await dialogOf(page).getByRole("button", { name: "End 2 kernels" }).click();
	const after = page.getByRole("dialog");
	await expect(after).toContainText("1 of 2 ended; not ended: kernel of pool fek.");
	await expect(after.locator("li", { hasText: "kernel of pool fek" })).toContainText('pool "fek" keeps that many kernels warm');
	await until("its process to be gone", async () => !existsSync(`/proc/${spare.pid}`));
	await page.keyboard.press("Escape");
	await expect(rowOf(page, "kernel of pool spare")).toHaveCount(0);
	node.write("policies/50-spare.lua", "");
});

test.describe("my activity", () => {
	test("opens by a key, tells what runs and waits and why, and ends it", async ({ page, node }) => {
		const anna = await node.key("anna");
		const id = await hold(node, { title: "long export", key: anna });
		for (let i = 0; i < 6; i++) await node.python("stats:sleep_for", [3600], { title: `queued ${i}` }, { key: anna });
		await signIn(page, node, anna);
		const button = page.getByRole("button", { name: /^My activity/ });
		await expect(button).toContainText("7");
		await page.keyboard.press("m");
		const panel = page.getByRole("dialog", { name: "My activity" });
		await expect(panel).toBeFocused();
		await expect(panel.locator("li", { hasText: "queued 5" })).toContainText(/Waiting, 1st of 1: .*6 of 6/);
		await panel.getByRole("button", { name: "Abort long export…" }).click();
		await dialogOf(page).getByRole("button", { name: "End 1 task" }).click();
		await expect(page.getByRole("dialog").last()).toContainText("All 1 ended.");
		await page.keyboard.press("Escape");
		await isGone(node, id);
		await expect(panel.locator("ul").last().locator("li", { hasText: "long export" })).toContainText("aborted");
		await expect(button).toContainText("6");
		await page.keyboard.press("Escape");
		await expect(panel).toHaveCount(0);
	});

	test("tells at once when an own task was killed, with the reason and a link; not when one is done, nor of others", async ({ page, node }) => {
		const carl = await node.key("carl"); // who has no kernel yet
		await signIn(page, node, carl);
		await expect(page.getByText("Nothing of yours runs or waits.")).toBeVisible();
		await node.python("stats:sleep_for", [0], { title: "quick one" }, { key: carl });
		await node.python("stats:eat", [2 ** 30], { title: "of ben", limits: { memory: "64m" } }, { key: await node.key("ben") });
		const id = await node.python("stats:eat", [2 ** 30], { title: "join of all orders", limits: { memory: "64m" } }, { key: carl });
		await node.task(id, (t) => t.state === "killed", 40_000);
		const notices = page.locator(".toast");
		await expect(notices.filter({ hasText: "join of all orders was killed" })).toContainText(/64 MB/);
		await expect(notices).toHaveCount(1);
		await notices.getByRole("link", { name: "Open it" }).click();
		await expect(page).toHaveURL(new RegExp(`#/task/future%3A${id}`));
		await expect(notices).toHaveCount(0);
	});
});

test("a notice tells of an own task that an admin aborted, with who did it; not of one that one aborted oneself", async ({ page, node }) => {
	const anna = await node.key("anna");
	const own = await hold(node, { title: "by herself", key: anna });
	const taken = await hold(node, { title: "taken away", key: anna });
	await signIn(page, node, anna);
	await expect(rowOf(page, "taken away")).toHaveCount(1);
	await node.api("DELETE", `/api/futures/${own}`, { key: anna });
	await isGone(node, own);
	await expect(rowOf(page, "by herself")).toHaveCount(0);
	await node.api("DELETE", `/api/futures/${taken}`);
	await isGone(node, taken);
	const notices = page.locator(".toast");
	await expect(notices).toContainText("taken away was aborted by admin.");
	await expect(notices).toHaveCount(1);
	await notices.getByRole("link", { name: "Open it" }).click();
	await expect(page).toHaveURL(new RegExp(`#/task/future%3A${taken}`));
});

test("a notebook is kept from the table and from one's activity, and unloaded with a preview", async ({ page, node }) => {
	test.skip(!node.ports.webapps || !existsSync(`${node.dir}/config/jupyter.token`), "no Jupyter server is there");
	const kernel = await node.notebook("DEMO/exploration.ipynb");
	await node.cell(kernel, "held = bytearray(b'x') * (40 << 20)");
	await signIn(page, node);
	const row = rowOf(page, "exploration");
	await expect(row).toContainText("notebook");
	await row.getByRole("checkbox").check();
	const bar = page.getByRole("toolbar", { name: "What to do with the chosen rows" });
	await bar.getByRole("button", { name: "Keep" }).click();
	await bar.getByRole("button", { name: "Keep for 8 hours" }).click();
	await expect(page.locator(".toast")).toContainText(/is kept until/);
	await page.keyboard.press("m");
	const panel = page.getByRole("dialog", { name: "My activity" });
	await expect(panel).toContainText("kept until");
	await page.keyboard.press("Escape");
	await bar.getByRole("button", { name: "Unload 1 notebook…" }).click();
	await expect(dialogOf(page)).toContainText(/The variables of notebook/);
	await expect(dialogOf(page)).toContainText("asked to keep it");
	await dialogOf(page).getByRole("button", { name: "Unload 1 notebook" }).click();
	await expect(page.getByRole("dialog")).toContainText("All 1 ended.");
	await page.keyboard.press("Escape");
	await expect(row).toHaveCount(0);
});

test("a webapp is stopped with a preview", async ({ page, node }) => {
	await node.ctl("webapps", "start", "DEMO", "page");
	await signIn(page, node, node.adminKey, "#/tasks?where=kind+%3D+webapp");
	const row = rowOf(page, "page");
	await expect(row).toContainText("ready", { timeout: 40_000 });
	await row.click();
	await detail(page).getByRole("button", { name: "Stop…" }).click();
	await expect(dialogOf(page)).toContainText("It stays stopped until somebody starts it again.");
	await dialogOf(page).getByRole("button", { name: "Stop 1 webapp" }).click();
	await expect(page.getByRole("dialog")).toContainText("All 1 ended.");
	await until("it to be stopped", async () => (await node.api<any[]>("GET", "/api/webapps")).find((w) => w.id === "page")?.state === "stopped");
});

test("hostile titles are shown and not obeyed, in the table, the detail, the dialog and one's activity", async ({ page, node }) => {
	const said = complaints(page);
	await hold(node, { title: HOSTILE.replace("\u0007", "").slice(0, 250), more: { tags: ["<b>x</b>"] } });
	await signIn(page, node);
	const row = items(page).filter({ hasText: "onerror" });
	await expect(row).toHaveCount(1);
	await row.click();
	await expect(detail(page)).toContainText("onerror");
	await isUntaken(page);
	await page.keyboard.press("e");
	await expect(dialogOf(page)).toContainText("onerror");
	await isUntaken(page);
	await page.keyboard.press("Escape");
	await page.keyboard.press("m");
	await expect(page.getByRole("dialog", { name: "My activity" })).toContainText("onerror");
	await isUntaken(page);
	await page.keyboard.press("Escape");
	await isSound(page);
	expect(said).toEqual([]);
});

test("says when the connection is lost, acts on nothing meanwhile, and goes on by itself after a backend's restart", async ({ page, node }) => {
	await hold(node, { title: "before the restart" });
	await signIn(page, node);
	await rowOf(page, "before the restart").click();
	await expect(detail(page).getByRole("button", { name: "End…" })).toBeEnabled();
	await page.evaluate(() => {
		const w = window as unknown as { lost: string[] };
		w.lost = [];
		new MutationObserver(() => {
			const bar = document.querySelector(".lost");
			const button = document.querySelector<HTMLButtonElement>(".detail-acts button");
			if (bar) w.lost.push(`${bar.textContent} ${button?.disabled}`);
		}).observe(document.body, { childList: true, subtree: true, attributes: true });
	});
	await node.killBackend();
	const after = await hold(node, { title: "after the restart", megabytes: 30 });
	await expect(rowOf(page, "after the restart")).toHaveCount(1);
	await expect(page.locator(".lost")).toHaveCount(0);
	await expect(detail(page).getByRole("button", { name: "End…" })).toBeEnabled();
	const lost = await page.evaluate(() => (window as unknown as { lost: string[] }).lost);
	expect(lost.join("\n")).toContain("Connection lost.");
	expect(lost.some((text) => text.endsWith("true"))).toBe(true);
	expect(after).toBeTruthy();
});

test("two tabs share one stream, and both show what comes", async ({ page, context, node }) => {
	const followers = async () => {
		const { body } = await node.call("GET", "/metrics");
		return Number(/^dss_events_followers (\d+)/m.exec(String(body))?.[1]);
	};
	await until("nobody to follow", async () => (await followers()) === 0);
	await signIn(page, node);
	await expect(rowOf(page, "backend")).toHaveCount(1);
	const other = await context.newPage();
	await other.goto(`${node.baseURL}/#/tasks`); // the key comes from the tab beside
	await expect(rowOf(other, "backend")).toHaveCount(1);
	await hold(node, { title: "for both" });
	await expect(rowOf(page, "for both")).toHaveCount(1);
	await expect(rowOf(other, "for both")).toHaveCount(1);
	expect(await followers()).toBe(1);
	await page.close();
	await hold(node, { title: "for the one that stays" });
	await expect(rowOf(other, "for the one that stays")).toHaveCount(1);
	await other.close();
	await until("the stream's end", async () => (await followers()) === 0);
});

test("is sound in both themes, wide and on a phone: with rows, a detail, the dialog, one's activity", async ({ page, node }) => {
	test.slow(); // axe looks twelve times
	await hold(node, { title: "import of customers", megabytes: 60, more: { tags: ["daily"] } });
	for (let i = 0; i < 6; i++) await node.python("stats:sleep_for", [3600], { title: `queued ${i}` });
	await signIn(page, node, node.adminKey, "#/tasks?group=kind");
	await expect(rowOf(page, "queued 5")).toContainText(/waiting.*1st of 1/);
	await rowOf(page, "import of customers").click();
	await expect(detail(page)).toContainText("daily");
	await isSound(page);
	await detail(page).getByRole("button", { name: "End…" }).click();
	await expect(dialogOf(page)).toContainText("import of customers");
	await isSound(page);
	await page.keyboard.press("Escape");
	await page.getByRole("button", { name: /^My activity/ }).click();
	await expect(page.getByRole("dialog", { name: "My activity" })).toContainText("queued 5");
	await isSound(page);
	await page.keyboard.press("Escape");
	// on a phone the detail takes the table's place, and gives it back
	await page.setViewportSize({ width: 390, height: 844 });
	await expect(table(page)).toBeHidden();
	await page.getByRole("button", { name: "Close the detail" }).click();
	await expect(table(page)).toBeVisible();
	await expect(rowOf(page, "import of customers")).toContainText("running");
});
