// Pools: what is warm, busy and waiting, now and over the last hour, and what their policies decided.
import type { Page } from "@playwright/test";
import { complaints, expect, signIn, test } from "./instance";
import { isSound } from "./sound";

const POLICIES = {
	"10-pools.lua": `pool "fek" {
  about = "One task each <b>bold</b>",
  kernel = python {}, limits = { memory = "256m", memory_max = "1g", swap = "0", threads = 64 },
  warm = { min = 1, max = 1 }, max = 2, recycle = { after_tasks = 1 },
}
pool "cold" {
  kernel = python {}, limits = { memory = "128m", swap = "0", threads = 64 },
  warm = { min = 0, max = 0 }, max = 2, recycle = { after_tasks = 1 },
}
`,
	"30-rules.lua": `slots "a user's tasks" { each = "user", max = 9 }
`,
};
test.use({ instance: { name: "pools", plain: true, policies: POLICIES } });

const pool = (page: Page, name: string) => page.getByRole("region", { name: `Pool ${name}`, exact: true });
const stock = (page: Page, name: string) => pool(page, name).locator(".stock-bar");

test("a pool is shown as it is: warm, busy and waiting kernels, which move as tasks come and go", async ({ page, node }) => {
	const said = complaints(page);
	await signIn(page, node, node.adminKey, "#/pools");
	await expect(stock(page, "fek")).toHaveAccessibleName(/^0 busy, 1 warm, 0 starting, 0 stopping of at most 2$/);
	await expect(pool(page, "fek")).toContainText("1 waits warm, as it should.");
	await expect(pool(page, "fek")).toContainText("One task each <b>bold</b>");
	await expect(pool(page, "fek")).toContainText("256 MB up to 1.0 GB for a task that asks");
	const ids = [];
	for (let i = 0; i < 3; i++) ids.push(await node.submit({ type: "python", pool: "fek", payload: { callable: "time:sleep", args: [600] }, title: `nap ${i}` }));
	await expect(stock(page, "fek")).toHaveAccessibleName(/^2 busy, 0 warm/);
	await expect(pool(page, "fek")).toContainText("1 waiting");
	await expect(pool(page, "fek")).toContainText("1 task waits: all 2 kernels that it may have are busy.");
	await expect(pool(page, "fek").getByRole("img", { name: /over the last hour; last: Busy 2, Warm 0, Waiting 1, Target 1$/ })).toBeVisible();
	await isSound(page);
	await pool(page, "fek").getByRole("link", { name: "Its kernels and tasks" }).click();
	await expect(page).toHaveURL(/#\/tasks\?where=pool/);
	await expect(page.getByText("nap 2")).toBeVisible();
	await page.goBack();
	for (const id of ids) await node.api("DELETE", `/api/futures/${id}`);
	await expect(stock(page, "fek")).toHaveAccessibleName(/^0 busy, 1 warm/);
	expect(said).toEqual([]);
});

test("a start that somebody waited for is told and marked, without asking for the hour again", async ({ page, node }) => {
	const asked: string[] = [];
	page.on("request", (r) => r.url().endsWith("/curve") && asked.push(r.url()));
	await signIn(page, node, node.adminKey, "#/pools");
	const caption = pool(page, "cold").locator("figcaption");
	await expect(caption).toHaveText("No cold start in the last hour.");
	await expect(pool(page, "cold")).toContainText("None is kept warm: each task starts one.");
	const before = asked.length;
	const id = await node.submit({ type: "python", pool: "cold", payload: { callable: "stats:echo", args: [1] } });
	await node.task(id, (r) => r.state === "done");
	await expect(caption).toHaveText("1 cold start in the last hour, marked above: somebody waited for a kernel.");
	expect(asked.length).toBe(before);
	// the server's own hour says the same
	await page.reload();
	await expect(caption).toHaveText("1 cold start in the last hour, marked above: somebody waited for a kernel.");
	await expect(pool(page, "cold").getByRole("img", { name: /over the last hour/ })).toBeVisible();
});

test("what its policy decided is told with the line, which a link opens; by keys, too", async ({ page, node }) => {
	await signIn(page, node, node.adminKey, "#/pools?pool=cold");
	await expect(pool(page, "cold").getByRole("button", { name: "Hide decisions" })).toHaveAttribute("aria-expanded", "true");
	const button = pool(page, "fek").getByRole("button", { name: "What its policy decided" });
	await button.focus();
	await page.keyboard.press("Enter");
	await expect(pool(page, "fek").getByRole("button", { name: "Hide decisions" })).toBeFocused();
	await expect(pool(page, "fek").locator(".decisions").or(pool(page, "fek").getByText("Nothing was decided yet."))).toBeVisible();
	await pool(page, "fek").getByRole("link", { name: "policies/10-pools.lua:1" }).first().click();
	await expect(page).toHaveURL(/#\/policies\?file=10-pools\.lua&line=1/);
});

test("a pool whose kernel does not start says why", async ({ page, node }) => {
	await signIn(page, node, node.adminKey, "#/pools");
	await expect(stock(page, "fek")).toBeVisible();
	node.write("policies/20-broken.lua", `pool "broken" {
  kernel = python { bin = "/nowhere/python3" }, limits = { memory = "64m" }, warm = { min = 1, max = 1 }, max = 1,
}
`);
	await expect(pool(page, "broken")).toContainText(/The last start failed \(\d+ in a row\): .*\/nowhere\/python3/, { timeout: 30_000 });
	await isSound(page);
});

test("the hour begins anew after a restart of the backend, by itself", async ({ page, node }) => {
	await signIn(page, node, node.adminKey, "#/pools");
	await expect(stock(page, "fek")).toHaveAccessibleName(/1 warm/);
	await node.killBackend();
	await expect(page.locator(".bar")).toContainText("live", { timeout: 30_000 });
	await expect(stock(page, "fek")).toHaveAccessibleName(/1 warm/);
	await expect(pool(page, "cold").locator("figcaption")).toHaveText("No cold start in the last hour.");
});
