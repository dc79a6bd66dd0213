// Ended tasks: what ended lately, whose it was, how it ended and why; found by state and words, each leads to its page. Against tasks that really
// ended: well, with an exception, killed for their memory, aborted before they were started.
import type { Page } from "@playwright/test";
import { complaints, expect, signIn, test, until, type Instance } from "./instance";
import { HOSTILE, isSound, isUntaken } from "./sound";

const MODULE = `
def fails():
    raise ValueError("no such month: \\u202e<b>13</b>")
`;

// One at a time of each user: of two the second waits.
const POLICIES = {
	"10-pools.lua": 'pool "fek" { kernel = python {}, limits = { memory = "256m", swap = "0" }, warm = { min = 2, max = 2 }, max = 4 }\n',
	"20-limits.lua": 'slots "a user\'s tasks" { each = "user", max = 1 }\n',
};
const SHOP = 'project { name = "Shop", owner = "anna" }\n';

// a title is one line: what is left of it
const TITLE = HOSTILE.replace(/[\u0000-\u001f]/g, "").slice(0, 200);

test.use({ instance: { name: "ended", plain: true, policies: POLICIES, projects: { SHOP: { "project.lua": SHOP } } } });

const grid = (page: Page) => page.getByRole("grid", { name: "Ended tasks" });
const items = (page: Page) => grid(page).locator(".item");
const rowOf = (page: Page, title: string) => items(page).filter({ hasText: title });
const said = (page: Page) => page.getByRole("search", { name: "Which tasks" }).getByRole("status");
const has = (node: Instance, id: string, state: string) => node.task(id, (t) => t.state === state, 40_000);
const quick = (node: Instance, title: string, key: string, more = {}) => node.python("stats:sleep_for", [0], { title, ...more }, { key });

/** The ids of those that ended, by their titles. */
const ids = new Map<string, string>();

test.beforeAll(async ({ node }) => {
	const anna = await node.key("anna"), path = node.modules({ "shop.py": MODULE });
	const ends = async (title: string, state: string, id: string) => {
		await has(node, id, state);
		ids.set(title, id);
	};
	await ends("sales of May", "done", await quick(node, "sales of May", anna, { project: "SHOP" }));
	await ends("import of June", "failed", await node.python("shop:fails", [], { title: "import of June" }, { key: anna, path }));
	await ends("join of all orders", "killed", await node.python("stats:eat", [2 ** 30], { title: "join of all orders", limits: { memory: "64m" } }, { key: anna }));
	const first = await node.python("stats:sleep_for", [3600], { title: "long export" }, { key: anna });
	await has(node, first, "running");
	const second = await quick(node, "held back", anna);
	for (const [title, id] of [["held back", second], ["long export", first]] as const) {
		await node.api("DELETE", `/api/futures/${id}`, { key: anna });
		await ends(title, "aborted", id);
	}
	await ends(TITLE, "done", await quick(node, TITLE, await node.key("carl")));
});

test("tasks that ended stand there, newest first, with whose they were, how they ended and why", async ({ page, node }) => {
	const troubles = complaints(page);
	await signIn(page, node);
	await page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: "Ended tasks" }).click();
	await expect(page).toHaveURL(/#\/ended$/);
	await expect(items(page)).toContainText(["onerror", "long export", "held back", "join of all orders", "import of June", "sales of May"]);
	await expect(said(page)).toHaveText("6 ended");
	await expect(rowOf(page, "sales of May")).toContainText(/SHOP.*anna.*done/s);
	await expect(rowOf(page, "import of June")).toContainText(/anna.*failed.*no such month/s);
	await expect(rowOf(page, "join of all orders")).toContainText(/anna.*killed.*64 MB/s);
	await expect(rowOf(page, "held back")).toContainText(/aborted.*never.*Aborted by anna before it was started/s);
	await expect(rowOf(page, "long export")).toContainText(/aborted.*Aborted by anna/s);
	await expect(rowOf(page, "long export")).not.toContainText("never"); // it ran
	await expect(rowOf(page, "onerror")).toContainText("carl");
	await isUntaken(page);
	await isSound(page);
	expect(troubles).toEqual([]);
});

test("they are found by state and by words; the view is in the address, and nothing found offers all of them again", async ({ page, node }) => {
	await signIn(page, node, node.adminKey, "#/ended");
	const state = page.getByLabel("State", { exact: true }), find = page.getByLabel("Find");
	await state.selectOption("aborted");
	await expect(items(page)).toContainText(["long export", "held back"]);
	await expect(said(page)).toHaveText("2 of 6 ended");
	await expect(page).toHaveURL(/state=aborted/);
	await find.fill("BEFORE IT WAS started"); // of the reason
	await expect(items(page)).toContainText(["held back"]);
	await expect(said(page)).toHaveText("1 of 6 ended");
	await expect(page).toHaveURL(/find=BEFORE/);
	await page.reload();
	await expect(state).toHaveValue("aborted");
	await expect(find).toHaveValue("BEFORE IT WAS started");
	await expect(items(page)).toContainText(["held back"]);
	await expect(said(page)).toHaveText("1 of 6 ended");
	for (const [word, title] of [["carl", "onerror"], ["shop", "sales of May"], [ids.get("import of June")!, "import of June"]] as const) {
		await page.goto(`${node.baseURL}/#/ended?find=${word}`);
		await expect(said(page)).toHaveText("1 of 6 ended");
		await expect(items(page)).toContainText([title]);
	}
	await page.goto(`${node.baseURL}/#/ended?find=none+such&state=killed`);
	await expect(page.getByText("No ended task is like that.")).toBeVisible();
	await isSound(page);
	await page.getByRole("button", { name: "Show all" }).click();
	await expect(items(page)).toHaveCount(6);
	await expect(state).toHaveValue("");
	await expect(page).toHaveURL(/#\/ended$/);
});

test("each leads to its page, from which one comes back to the same view", async ({ page, node }) => {
	await signIn(page, node, node.adminKey, "#/ended?state=killed");
	await expect(items(page)).toHaveCount(1);
	await rowOf(page, "join of all orders").click();
	await expect(page).toHaveURL(new RegExp(`#/task/future%3A${ids.get("join of all orders")}`));
	await expect(page.getByRole("heading", { level: 1, name: "join of all orders" })).toBeVisible();
	await page.goBack();
	await expect(page).toHaveURL(/#\/ended\?state=killed$/);
	await expect(items(page)).toHaveCount(1);
});

test("they are reached by the keyboard alone", async ({ page, node }) => {
	await signIn(page, node, node.adminKey, "#/tasks");
	await expect(page.getByRole("navigation", { name: "Pages" })).toBeVisible();
	await page.keyboard.press("g");
	await page.keyboard.press("e");
	await expect(items(page)).toHaveCount(6);
	await page.keyboard.press("/");
	await page.keyboard.type("import");
	await expect(items(page)).toHaveCount(1);
	await until("the table", async () => {
		await page.keyboard.press("Tab");
		return grid(page).evaluate((e) => e === document.activeElement);
	});
	await page.keyboard.press("Home");
	await expect(grid(page).locator(".current")).toBeVisible();
	await page.keyboard.press("Enter");
	await expect(page).toHaveURL(new RegExp(`#/task/future%3A${ids.get("import of June")}`));
});

test("a user sees own ones alone; whose first one ends sees it come", async ({ page, node }) => {
	const dora = await node.key("dora");
	await signIn(page, node, dora, "#/ended");
	await expect(page.getByText("Nothing has ended yet.")).toBeVisible();
	await expect(page.getByText("You see your own.")).toBeVisible();
	await expect(said(page)).toHaveText("0 ended");
	await isSound(page);
	await quick(node, "hers", dora);
	await expect(rowOf(page, "hers")).toContainText("done", { timeout: 40_000 });
	await expect(items(page)).toHaveCount(1);
	// of others it does not even say that they are there
	await page.goto(`${node.baseURL}/#/ended?find=export`);
	await expect(said(page)).toHaveText("0 of 1 ended");
	// what goes on is not there
	const open = await node.python("stats:sleep_for", [3600], { title: "goes on" }, { key: dora });
	await has(node, open, "running");
	await page.goto(`${node.baseURL}/#/ended`);
	await expect(rowOf(page, "hers")).toBeVisible();
	await expect(rowOf(page, "goes on")).toHaveCount(0);
	await node.api("DELETE", `/api/futures/${open}`, { key: dora });
	await expect(rowOf(page, "goes on")).toContainText("aborted");
	await expect(items(page)).toContainText(["goes on", "hers"]);
});
