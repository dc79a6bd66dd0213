// Jobs: built from the page, explained, followed and aborted, against real job kernels and recipes.
import { existsSync } from "node:fs";
import { complaints, expect, signIn, test, until, type Instance } from "./instance";
import { HOSTILE, isSound, isUntaken } from "./sound";

const SHOP = `project { name = ${JSON.stringify("Shop <b>of</b> anna")}, owner = "anna",
  recipes = {
    load = shell { command = "echo loading; cp data/raw/x data/orders/x", inputs = { "raw" }, outputs = { "orders" } },
    compute_report = shell { command = "echo written; echo > data/report/x", inputs = { "orders" }, outputs = { "report" } },
    compute_returns = shell { script = "returns.sh", inputs = { "orders" }, outputs = { "returns" } },
    by_month = shell { command = "true", inputs = { "returns" }, outputs = { "returns_by_month" } },
    compute_forecast = shell { command = "echo thinking; sleep 600", inputs = { "orders" }, outputs = { "forecast" }, limits = { memory = "64m" } },
  },
}`;

test.use({
	instance: {
		name: "jobs",
		projects: { SHOP: { "project.lua": SHOP, "returns.sh": `cat >&2 <<'END'\n${HOSTILE}\nEND\nexit 4\n`, "data/raw/x": "1\n" } },
	},
});

const status = (node: Instance, job: string) => node.api("GET", `/public/api/projects/SHOP/jobs/${job}`);
const ended = (node: Instance, job: string) => until(`job ${job}`, async () => (await status(node, job)).baseStatus.stableState, 40_000);
const jobOf = (url: string) => decodeURIComponent(/#\/job\/SHOP\/([^?/]+)/.exec(url)![1]!);
const state = (page: import("@playwright/test").Page, name: string) => page.locator(".head .state").getByText(name, { exact: true });

test.describe("jobs", () => {
	test.beforeEach(({ node }) => {
		test.skip(!existsSync(`${node.dir}/policies/15-jobs.lua`), "no JDK built the job kernel");
	});

	test("are built from the page: project, datasets out of the flow, how far back; then one looks at the job", async ({ page, node }) => {
		const said = complaints(page);
		await signIn(page, node, node.adminKey, "#/jobs");
		await page.getByRole("button", { name: "Build…" }).click();
		const dialog = page.getByRole("dialog", { name: "Build datasets" });
		await dialog.getByLabel("Project").selectOption("SHOP");
		await expect(dialog.getByRole("checkbox", { name: "raw" })).toBeDisabled(); // a source
		await expect(dialog.getByRole("button", { name: "Build", exact: true })).toBeDisabled();
		await dialog.getByRole("checkbox", { name: "report" }).check();
		await expect(dialog.getByRole("radio")).toHaveCount(4);
		await dialog.getByRole("radio", { name: /^These and all that they are made of/ }).check();
		await dialog.getByRole("button", { name: "Build report" }).click();
		await expect(page).toHaveURL(/#\/job\/SHOP\//);
		await expect(state(page, "done")).toBeVisible({ timeout: 40_000 });
		const bars = page.getByRole("list", { name: "Activities" }).getByRole("button");
		await expect(bars).toHaveCount(2);
		await expect(bars.nth(0)).toHaveAccessibleName(/^load, shell, done, started .*ended/);
		await expect(bars.nth(1)).toHaveAccessibleName(/^compute_report, shell, done/);
		await expect(page.getByRole("log")).toContainText("2 of 2 done");
		const s = await status(node, jobOf(page.url()));
		expect(s.baseStatus.def.type).toBe("RECURSIVE_FORCED_BUILD");
		// once more, in the same way
		const before = page.url();
		await page.getByRole("button", { name: "Build again" }).click();
		await expect(page).not.toHaveURL(before);
		await expect(state(page, "done")).toBeVisible({ timeout: 40_000 });
		expect(said).toEqual([]);
	});

	test("tell why nothing was to be built", async ({ page, node }) => {
		await ended(node, await node.build("SHOP", "report"));
		const job = await node.build("SHOP", "report");
		await signIn(page, node, node.adminKey, `#/job/SHOP/${encodeURIComponent(job)}`);
		await expect(page.getByText("There was nothing to build.")).toBeVisible({ timeout: 40_000 });
		await expect(page.getByText(/up to date: built .* after all inputs/).first()).toBeVisible();
	});

	test("tell why they failed; each activity has its own lines, and what users print is shown, not obeyed", async ({ page, node }) => {
		const job = await node.build("SHOP", "returns_by_month");
		await ended(node, job);
		await signIn(page, node, node.adminKey, "#/jobs?state=failed");
		const row = page.getByRole("row").filter({ hasText: "returns_by_month" });
		await expect(row).toContainText("ended with status 4");
		await row.click();
		await expect(page).toHaveURL(/#\/job\/SHOP\//);
		await expect(page.getByText('Recipe "compute_returns" ended with status 4').first()).toBeVisible();
		await expect(page.getByText("1 that needed them were skipped")).toBeVisible();
		await page.getByRole("button", { name: /^compute_returns, shell, failed/ }).click();
		const lines = page.getByLabel("Lines of compute_returns");
		await expect(lines).toContainText("<img src=x onerror=");
		await expect(lines).not.toContainText("[act.load_NP]");
		await expect(page.getByText("crash, status 4")).toBeVisible();
		await expect(page).toHaveURL(/activity=compute_returns_NP/);
		await isUntaken(page);
		await isSound(page);
		// the view is the link
		await page.reload();
		await expect(page.getByLabel("Lines of compute_returns")).toBeVisible();
	});

	test("are aborted after one saw what ends; what waits for another job says for which", async ({ page, node }) => {
		const job = await node.build("SHOP", "forecast");
		await until("the recipe", async () => (await status(node, job)).baseStatus.activities.compute_forecast_NP?.state === "RUNNING", 40_000);
		const second = await node.build("SHOP", "forecast");
		await signIn(page, node, node.adminKey, "#/jobs");
		await expect(page.getByRole("row").filter({ hasText: "is being built by job" })).toBeVisible();
		await page.goto(`${node.baseURL}/#/job/SHOP/${encodeURIComponent(job)}`);
		await expect(page.getByText("Its recipes' memory")).toBeVisible();
		await isSound(page);
		await page.getByRole("button", { name: "Abort…" }).click();
		const dialog = page.getByRole("dialog");
		await expect(dialog).toContainText("1 activity at work ends");
		await expect(dialog).toContainText("compute_forecast");
		await expect(dialog).toContainText(/pid \d+/);
		await isSound(page);
		await dialog.getByRole("button", { name: "Cancel" }).click();
		expect((await status(node, job)).baseStatus.state).toBe("RUNNING");
		await page.getByRole("button", { name: "Abort…" }).click();
		await page.getByRole("dialog").getByRole("button", { name: "End 1 job" }).click();
		await expect(page.getByRole("dialog")).toContainText("All 1 ended.");
		await page.getByRole("dialog").getByRole("button", { name: "Close" }).last().click();
		await expect(state(page, "aborted")).toBeVisible();
		await expect(page.getByRole("button", { name: "Abort…" })).toHaveCount(0);
		// the other one goes on now; it is ended as well
		await page.goto(`${node.baseURL}/#/job/SHOP/${encodeURIComponent(second)}`);
		await expect(page.getByRole("button", { name: /^compute_forecast, shell, running/ })).toBeVisible({ timeout: 40_000 });
		await page.getByRole("button", { name: "Abort…" }).click();
		await page.getByRole("dialog").getByRole("button", { name: "End 1 job" }).click();
		await expect(page.getByRole("dialog")).toContainText("All 1 ended.");
		await page.keyboard.press("Escape");
		await expect(state(page, "aborted")).toBeVisible();
	});

	test("are found by words, project and state; the view is in the address", async ({ page, node }) => {
		await ended(node, await node.build("SHOP", "report"));
		await ended(node, await node.build("DEMO", "sales_clean").then(() => node.build("SHOP", "orders")));
		await signIn(page, node, node.adminKey, "#/jobs");
		await page.getByLabel("Find").fill("sales_clean");
		await expect(page.getByRole("grid", { name: "Jobs" }).locator(".item")).toHaveCount(1);
		await expect(page).toHaveURL(/find=sales_clean/);
		await page.getByLabel("Find").fill("no such thing");
		await page.getByRole("button", { name: "Show all jobs" }).click();
		await page.getByLabel("Project", { exact: true }).selectOption("SHOP");
		await expect(page).toHaveURL(/project=SHOP/);
		await page.reload();
		await expect(page.getByLabel("Project", { exact: true })).toHaveValue("SHOP");
		await expect(page.getByRole("row").filter({ hasText: "sales_clean" })).toHaveCount(0);
		await isSound(page);
	});

	test("are reached by the keyboard alone", async ({ page, node }) => {
		await ended(node, await node.build("SHOP", "report", "RECURSIVE_FORCED_BUILD"));
		await signIn(page, node, node.adminKey, "#/tasks");
		await expect(page.getByRole("navigation", { name: "Pages" })).toBeVisible();
		await page.keyboard.press("g");
		await page.keyboard.press("j");
		const grid = page.getByRole("grid", { name: "Jobs" });
		await expect(grid.locator(".item").first()).toBeVisible();
		await page.keyboard.press("/");
		await page.keyboard.type("report");
		await until("the table", async () => {
			await page.keyboard.press("Tab");
			return grid.evaluate((e) => e === document.activeElement);
		});
		await page.keyboard.press("Home");
		await expect(grid.locator(".current")).toBeVisible();
		await page.keyboard.press("Enter");
		await expect(page).toHaveURL(/#\/job\/SHOP\//);
		await page.getByRole("list", { name: "Activities" }).getByRole("button").first().focus({ timeout: 5000 });
		await page.keyboard.press("ArrowDown");
		await page.keyboard.press("Enter");
		await expect(page.getByLabel("Lines of compute_report")).toContainText("written");
		// the question takes the focus and gives it back
		await page.goto(`${node.baseURL}/#/jobs`);
		const build = page.getByRole("button", { name: "Build…" });
		await build.focus();
		await page.keyboard.press("Enter");
		await expect(page.getByRole("dialog")).toBeVisible();
		await isSound(page);
		await page.keyboard.press("Escape");
		await expect(page.getByRole("dialog")).toHaveCount(0);
		await expect(build).toBeFocused();
	});

	test("of others are not there for who may not read the project", async ({ page, node }) => {
		const job = await node.build("SHOP", "report");
		await signIn(page, node, await node.key("bob"), `#/job/SHOP/${encodeURIComponent(job)}`);
		await expect(page.getByText("It does not exist, or is not yours to see.")).toBeVisible();
		await page.getByRole("link", { name: "All jobs" }).click();
		await expect(page.getByText("No job yet.")).toBeVisible();
	});
});
