// Background tasks: what is eating the node, whose is it, may it be ended: the table, its filter and groups, one's own activity; against real kernels that
// hold real memory. What else is ended from there: ends.spec.ts.
import type { Locator, Page } from "@playwright/test";
import { detail, dialogOf, endAll, filter, hold, isGone, items, rowOf, table } from "./held";
import { complaints, expect, signIn, test, until } from "./instance";
import { HOSTILE, isSound, isUntaken } from "./sound";

const SHOP = 'project { name = "Shop", owner = "anna" }\n';

test.use({ instance: { name: "tasks", projects: { SHOP: { "project.lua": SHOP } } } });
test.afterEach(({ node }) => endAll(node));

/** By Tab alone, as somebody without a mouse goes there. */
async function tabTo(page: Page, target: Locator, most = 60): Promise<void> {
	for (let i = 0; i < most; i++) {
		if (await target.evaluate((el) => el === document.activeElement)) return;
		await page.keyboard.press("Tab");
	}
	throw new Error(`Tab did not reach ${target} in ${most} steps`);
}

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

test("notices stay until they are closed or the page of their task is opened, whichever way; three are shown, older ones as a number", async ({ page, node }) => {
	const anna = await node.key("anna");
	const ids: string[] = [];
	for (let i = 1; i <= 4; i++) ids.push(await hold(node, { title: `taken ${i}`, key: anna }));
	await signIn(page, node, anna);
	const notices = page.locator(".toast");
	const of = (i: number) => notices.filter({ hasText: `taken ${i} was aborted by admin.` });
	await expect(items(page).filter({ hasText: "taken" })).toHaveCount(4); // from now on the page is told what ends
	for (let i = 1; i <= 4; i++) {
		await node.api("DELETE", `/api/futures/${ids[i - 1]}`);
		await expect(of(i)).toHaveCount(1); // before the next: more at once are told as one
	}
	await expect(of(1)).toHaveCount(0);
	await expect(notices).toHaveCount(4);
	await expect(notices.first()).toContainText("and 1 more");
	await page.goto(`${node.baseURL}/#/task/future:${ids[3]}`);
	await expect(of(4)).toHaveCount(0);
	await expect(of(1)).toHaveCount(1);
	await expect(notices).toHaveCount(3);
	await page.goto(`${node.baseURL}/#/ended`);
	await expect(page).toHaveTitle(/Ended/);
	await expect(notices).toHaveCount(3);
	await of(1).getByRole("button", { name: "Close this message" }).click();
	await expect(notices).toHaveCount(2);
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

test("what a detail tells of stays there once it has ended; no other takes its place", async ({ page, node }) => {
	const id = await hold(node, { title: "ends soon", megabytes: 30 });
	await hold(node, { title: "goes on", megabytes: 20 });
	await signIn(page, node);
	const asked: string[] = [];
	page.on("request", (r) => {
		const { pathname } = new URL(r.url());
		if (pathname.startsWith("/api/tasks/")) asked.push(pathname);
	});
	await rowOf(page, "ends soon").click();
	await node.call("DELETE", `/api/futures/${id}`);
	await expect(rowOf(page, "ends soon")).toHaveCount(0);
	await expect(items(page).and(page.locator(".current"))).toHaveCount(1); // the keyboard stands at the next one
	await expect(detail(page).getByRole("heading", { name: "ends soon" })).toBeVisible();
	expect(decodeURIComponent(page.url())).toContain(`open=future:${id}`);
	// how it ended, asked once
	const state = detail(page).locator(".detail-state");
	const fact = (name: string) => detail(page).locator("dt", { hasText: new RegExp(`^${name}$`) }).locator("+ dd");
	await expect(state).toHaveText(/^aborted ?after /);
	await expect(state.locator('[data-tone="bad"]')).toHaveCount(1);
	await expect(detail(page)).toContainText("Aborted by admin");
	await expect(fact("Ended")).toHaveCount(1);
	await expect(fact("In this state for")).toHaveCount(0);
	expect(asked).toEqual([`/api/tasks/${id}`]);
	await rowOf(page, "goes on").click();
	await expect(detail(page).getByRole("heading", { name: "goes on" })).toBeVisible();
	// one that ends well: its time is the server's, and stands still
	const well = await node.python("stats:sleep_for", [4], { title: "ends well" });
	await rowOf(page, "ends well").click();
	await expect(detail(page).getByRole("heading", { name: "ends well" })).toBeVisible();
	await expect(state).toHaveText(/^done ?after /, { timeout: 20_000 });
	await expect(state.locator('[data-tone="good"]')).toHaveCount(1);
	const ended = await node.task(well, (t) => t.state === "done");
	const took = ended.endTime - ended.startTime;
	const said = took < 10_000 ? `${(took / 1000).toFixed(1)} s` : `${Math.floor(took / 1000)} s`;
	await expect(state).toHaveText(new RegExp(`^done ?after ${said.replace(".", "\\.")}$`));
	await expect(fact("Ran")).toHaveText(said);
	await detail(page).getByRole("link", { name: "its page" }).click();
	await expect(page).toHaveURL(new RegExp(`#/task/future%3A${well}`));
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
