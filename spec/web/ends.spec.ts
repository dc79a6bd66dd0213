// What is ended from the page of background tasks: several tasks at once, jobs with what they run, trainings, macros, idle kernels, notebooks, webapps; each
// after one saw what goes with it.
import { existsSync } from "node:fs";
import { detail, dialogOf, endAll, filter, hold, isGone, items, rowOf } from "./held";
import { expect, signIn, test, until } from "./instance";

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

test.use({ instance: { name: "ends", projects: { SHOP: { "project.lua": SHOP, "held.py": HELD, "data/people/rows.csv": "id,age\nu1,30\nu2,40\n" } } } });
test.afterEach(({ node }) => endAll(node));

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
	const training = rowOf(page, "Train churn"); // not the kernel of pool training
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
