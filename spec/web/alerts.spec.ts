// Alerts: a mistake in policies/ stands there with its line while it is there, and goes by itself.
import { complaints, expect, signIn, test } from "./instance";
import { isSound } from "./sound";

const GOOD = `pool "fek" {
  kernel = python {}, limits = { memory = "256m", swap = "0", threads = 64 },
  warm = { min = 1, max = 1 }, max = 2, recycle = { after_tasks = 1 },
}
`;
test.use({ instance: { name: "alerts", plain: true, policies: { "10-pools.lua": GOOD } } });

test("a mistake on the disk comes and goes by itself, is counted in the navigation, and leads to its line", async ({ page, node }) => {
	const said = complaints(page);
	await signIn(page, node, node.adminKey, "#/alerts");
	await expect(page.getByText("Nothing is wrong.")).toBeVisible();
	await isSound(page);
	const link = page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: /^Alerts/ });
	await expect(link).toHaveText("Alerts");
	node.write("policies/20-new.lua", `\n\npool "next" { evry = "1s" }\n`);
	const alert = page.getByRole("list", { name: "Alerts" }).getByRole("listitem").filter({ hasText: "20-new.lua" });
	await expect(alert).toContainText(/policies\/20-new\.lua:3: .*"evry"/);
	await expect(link).toHaveText("Alerts1");
	await isSound(page);
	await alert.getByRole("link").first().click();
	await expect(page).toHaveURL(/#\/policies/);
	await page.goBack();
	node.write("policies/20-new.lua", "-- nothing\n");
	await expect(page.getByText("Nothing is wrong.")).toBeVisible();
	await expect(link).toHaveText("Alerts");
	expect(said).toEqual([]);
});

test("names and texts from outside are text", async ({ page, node }) => {
	await signIn(page, node, node.adminKey, "#/alerts");
	await expect(page.getByText("Nothing is wrong.")).toBeVisible();
	node.write("policies/20-new.lua", `error "<img src=x onerror=alert(1)>\\u{202e}gnp.exe"\n`);
	const alert = page.getByRole("list", { name: "Alerts" }).getByRole("listitem").first();
	await expect(alert).toContainText("<img src=x");
	expect(await page.locator("img[src=x]").count()).toBe(0);
	expect(await page.locator("body").innerText()).not.toContain("\u202e");
	await isSound(page);
	node.write("policies/20-new.lua", "-- nothing\n");
	await expect(page.getByText("Nothing is wrong.")).toBeVisible();
});

test("an alert is there again after a restart of the backend", async ({ page, node }) => {
	await signIn(page, node, node.adminKey, "#/alerts");
	node.write("policies/20-new.lua", "pool 7\n");
	await expect(page.getByRole("list", { name: "Alerts" })).toContainText("20-new.lua:1");
	await node.killBackend();
	await expect(page.locator(".bar")).toContainText("live", { timeout: 30_000 });
	await expect(page.getByRole("list", { name: "Alerts" })).toContainText("20-new.lua:1");
	node.write("policies/20-new.lua", "-- nothing\n");
	await expect(page.getByText("Nothing is wrong.")).toBeVisible();
});
