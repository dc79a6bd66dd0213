// Login: a key gets in, is in no place where it could be read later, and gets out again when it is revoked.
import { barriers, complaints, expect, signIn, test, until } from "./instance";
import { isSound } from "./sound";

test.use({ instance: { name: "login", plain: true, policies: { "10-pools.lua": "-- none\n" } } });

const inside = (page: import("@playwright/test").Page) => page.getByRole("navigation", { name: "Pages" });

test.describe("logging in", () => {
	test("says what is wrong with what was typed, and keeps nothing of it", async ({ page, node }) => {
		await page.goto(`${node.baseURL}/#/pools`);
		await expect(page.getByLabel("Key")).toBeFocused();
		await page.keyboard.press("Enter");
		await expect(page.getByRole("alert")).toHaveText("Paste a key first.");
		await page.getByLabel("Key").fill("schlüssel\u202e");
		await page.keyboard.press("Enter");
		await expect(page.getByRole("alert")).toContainText("not accepted");
		await page.getByLabel("Key").fill("0".repeat(64));
		await expect(page.getByRole("alert")).toHaveText("");
		await page.keyboard.press("Enter");
		await expect(page.getByRole("alert")).toContainText("It may be revoked, or of another instance.");
		expect(await page.evaluate(() => sessionStorage.length)).toBe(0);
		await isSound(page);
	});

	test("keeps the key in the tab's own storage alone, and goes where the link said", async ({ page, node, context }) => {
		const key = await node.key("anna"), seen: string[] = [];
		page.on("request", (r) => seen.push(r.url()));
		await page.goto(`${node.baseURL}/#/pools`);
		await page.getByLabel("Key").fill(`  ${key}\n`);
		await page.getByRole("button", { name: "Log in" }).click();
		await expect(page.getByRole("heading", { level: 1, name: "Pools" })).toBeVisible();
		expect(seen.filter((url) => url.includes(key))).toEqual([]);
		expect(page.url()).not.toContain(key);
		expect(await context.cookies()).toEqual([]);
		expect(await page.evaluate((k) => JSON.stringify({ ...localStorage }).includes(k), key)).toBe(false);
		expect(await page.evaluate((k) => document.documentElement.outerHTML.includes(k), key)).toBe(false);
		expect(await page.evaluate(() => sessionStorage.getItem("dss.key"))).toBe(key);
		await page.reload();
		await expect(page.getByRole("heading", { level: 1, name: "Pools" })).toBeVisible();
	});

	test("lets a second tab in by the first, and logs both out at once", async ({ page, node, context }) => {
		await page.goto(node.baseURL);
		await page.getByLabel("Key").fill(await node.key("anna"));
		await page.keyboard.press("Enter");
		await expect(inside(page)).toBeVisible();
		const second = await context.newPage();
		await second.goto(`${node.baseURL}/#/jobs`);
		await expect(second.getByRole("heading", { level: 1, name: "Jobs" })).toBeVisible();
		await second.getByRole("button", { name: "Log out" }).click();
		for (const p of [second, page]) {
			await expect(p.getByRole("button", { name: "Log in" })).toBeVisible();
			await expect(p.getByRole("alert")).toHaveText("");
			expect(await p.evaluate(() => sessionStorage.getItem("dss.key"))).toBeNull();
		}
		await second.reload();
		await expect(second.getByRole("button", { name: "Log in" })).toBeVisible();
	});

	test("ends with words once the key is revoked, also where nobody touches the page", async ({ page, node }) => {
		const { key, id } = await node.api<{ key: string; id: string }>("POST", "/api/keys", { body: { user: "carl" } });
		await page.goto(node.baseURL);
		await page.getByLabel("Key").fill(key);
		await page.keyboard.press("Enter");
		await expect(inside(page)).toBeVisible();
		await expect(page.locator(".bar")).toContainText("live");
		await node.api("DELETE", `/api/keys/${id}`);
		await expect(page.getByRole("button", { name: "Log in" })).toBeVisible({ timeout: 30_000 });
		await expect(page.getByRole("alert")).toContainText(/no longer accepted|not accepted/);
		expect(await page.evaluate(() => sessionStorage.getItem("dss.key"))).toBeNull();
	});

	test("shows a user what is a user's: no pages of admins, and words where one goes there by hand", async ({ page, node }) => {
		await signIn(page, node, await node.key("anna"), "#/policies");
		await expect(page.getByText("This page is for admins.")).toBeVisible();
		await expect(inside(page).getByRole("link", { name: "Alerts" })).toHaveCount(0);
		await expect(inside(page).getByRole("link", { name: "Policies" })).toHaveCount(0);
		await page.goto(`${node.baseURL}/#/nowhere/%E0%A4%A`);
		await expect(page.getByText("There is no such page.")).toBeVisible();
		await page.goto(`${node.baseURL}/#/task/nothing`);
		await expect(page.getByText("No task is named.")).toBeVisible();
	});
});

test.describe("the frame", () => {
	test("tells its keys, and goes where they say", async ({ page, node }) => {
		await signIn(page, node);
		await expect(inside(page)).toBeVisible();
		await page.keyboard.press("?");
		const dialog = page.getByRole("dialog", { name: "Keys" });
		await expect(dialog).toContainText("go to Pools");
		expect(await barriers(page)).toEqual([]);
		await page.keyboard.press("Escape");
		await expect(dialog).toHaveCount(0);
		await page.keyboard.press("g");
		await page.keyboard.press("p");
		await expect(page).toHaveURL(/#\/pools$/);
		await expect(page).toHaveTitle("Pools · dssd");
		await page.getByRole("button", { name: "Keys" }).focus();
		await page.keyboard.press("Enter");
		await expect(dialog).toBeVisible();
		await page.keyboard.press("Escape");
		await expect(page.getByRole("button", { name: "Keys" })).toBeFocused();
	});

	test("says that the connection is lost, of when its picture is, and goes on once the server is there again", async ({ page, node }) => {
		await page.addInitScript(() => delete (window as { SharedWorker?: unknown }).SharedWorker); // its requests cannot be cut off from here
		await signIn(page, node, node.adminKey, "#/pools");
		await expect(page.locator(".bar")).toContainText("live");
		await page.context().setOffline(true);
		await node.killBackend();
		await expect(page.getByText("Connection lost.")).toBeVisible();
		await expect(page.locator(".lost")).toContainText(/What you see is of \d\d:\d\d:\d\d; what runs does not need this connection\./);
		expect(await barriers(page)).toEqual([]);
		await page.getByRole("button", { name: "Try now" }).click();
		await expect(page.locator(".lost")).toContainText(/Trying again in \d+ s\./);
		await page.context().setOffline(false);
		await expect(page.locator(".lost")).toHaveCount(0);
		await expect(page.locator(".bar")).toContainText("live");
	});

	test("goes on by itself in all tabs when the backend was killed", async ({ page, node, context }) => {
		await signIn(page, node, node.adminKey, "#/pools");
		const second = await context.newPage();
		await second.goto(`${node.baseURL}/#/alerts`);
		for (const p of [page, second]) await expect(p.locator(".bar")).toContainText("live");
		const epoch = (await node.api("GET", "/health")).startedAt;
		await node.killBackend();
		await until("the next backend", async () => (await node.api("GET", "/health")).startedAt !== epoch || epoch === undefined);
		for (const p of [page, second]) {
			await expect(p.locator(".bar")).toContainText("live", { timeout: 30_000 });
			await expect(p.locator(".lost")).toHaveCount(0);
		}
	});

	test("asks for a reload where a part of it is gone, and is whole after that", async ({ page, node }) => {
		await signIn(page, node);
		await expect(inside(page)).toBeVisible();
		await page.route(/\/web\/(?!main)[a-z_]*-[A-Z0-9a-z]+\.js$/, (r) => r.fulfill({ status: 404, body: "gone" }));
		await inside(page).getByRole("link", { name: "Policies" }).click();
		await expect(page.getByText("could not be fetched; the server may have a newer version")).toBeVisible();
		await page.unroute(/\/web\/(?!main)[a-z_]*-[A-Z0-9a-z]+\.js$/);
		await page.getByRole("button", { name: "Try again" }).click();
		await expect(page.getByRole("heading", { level: 1, name: "Policies" })).toBeVisible();
	});

	test("tells the exact moment where a finger taps on a time", async ({ browser, node }) => {
		const context = await browser.newContext({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true, locale: "en-GB", timezoneId: "Europe/Berlin" });
		const page = await context.newPage(), said = complaints(page);
		await signIn(page, node, node.adminKey, "#/policies?tab=history");
		await until("a version", async () => (await page.locator("time").count()) > 0);
		await page.locator("time").first().tap();
		await expect(page.locator(".toast")).toContainText(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} GMT\+0[12]00/);
		expect(said).toEqual([]);
		await context.close();
	});
});
