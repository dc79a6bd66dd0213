// Policies: changed in the page, checked while one types, in force once they are applied, and back again.
import { chmodSync } from "node:fs";
import type { Page } from "@playwright/test";
import { complaints, expect, signIn, test, until, type Instance } from "./instance";
import { isSound } from "./sound";

const POOLS = (min: number) => `pool "fek" {
  kernel = python {}, limits = { memory = "256m", swap = "0", threads = 64 },
  warm = { min = ${min}, max = 3 },
  max = 4, recycle = { after_tasks = 1 },
}
`;
test.use({ instance: { name: "policies", plain: true, policies: { "10-pools.lua": POOLS(1), "30-rules.lua": "-- none\n" } } });

const text = (page: Page, file: string) => page.getByRole("textbox", { name: `Text of ${file}` });
const files = (page: Page) => page.getByRole("group", { name: "Files" });
const apply = (page: Page) => page.getByRole("button", { name: "Apply…" });
const version = async (node: Instance): Promise<number> => (await node.api("GET", "/api/policies/state")).version;
const warm = async (node: Instance): Promise<number> => (await node.api<{ idle: number }[]>("GET", "/api/pools"))[0]!.idle;

/** All of the file's text, by the keyboard as people do it. */
async function type(page: Page, file: string, whole: string): Promise<void> {
	await text(page, file).focus();
	await page.keyboard.press("Control+a");
	await page.keyboard.insertText(whole);
}

/** The set as the file was, in force: what a test left behind is gone. */
async function begin(page: Page, node: Instance, hash = "#/policies"): Promise<number> {
	const now = await version(node);
	await node.api("PUT", "/api/policies", { body: { base: now, overwrite: true, files: [{ name: "10-pools.lua", text: POOLS(1) }, { name: "30-rules.lua", text: "-- none\n" }] } });
	await signIn(page, node, node.adminKey, hash);
	await expect(text(page, "10-pools.lua")).toBeVisible();
	return version(node);
}

test("a mistake stands at its line while one types, and what is good again can be applied", async ({ page, node }) => {
	const said = complaints(page);
	await begin(page, node);
	await expect(apply(page)).toBeDisabled();
	await type(page, "10-pools.lua", POOLS(1).replace("max = 4", "mx = 4"));
	const mistake = page.getByRole("list", { name: "Mistakes" }).getByRole("button");
	await expect(mistake).toHaveText(/^10-pools\.lua:\d: .*"mx", did you mean "max"\?/);
	await expect(page.locator(".cm-lint-marker-error")).toHaveCount(1);
	await expect(page.locator(".cm-lintRange-error")).not.toHaveCount(0);
	await expect(page.locator(".head")).toContainText(["1 mistake"]);
	await expect(files(page).getByRole("button", { name: "10-pools.lua" })).toContainText("mistake");
	await expect(apply(page)).toBeDisabled();
	await isSound(page);
	await mistake.click();
	await expect(text(page, "10-pools.lua")).toBeFocused();
	await type(page, "10-pools.lua", POOLS(1).replace("max = 4", "max = 5"));
	await expect(page.getByText("no mistakes")).toBeVisible();
	await expect(apply(page)).toBeEnabled();
	await expect(page.locator(".cm-lint-marker-error")).toHaveCount(0);
	expect(said).toEqual([]);
});

test("applied, it is in force: kernels come; its history shows what changed, and the way back takes them away", async ({ page, node }) => {
	const first = await begin(page, node);
	await until("one warm kernel", async () => (await warm(node)) === 1);
	await type(page, "10-pools.lua", POOLS(3));
	await apply(page).click();
	const dialog = page.getByRole("dialog", { name: `Apply changes of 1 file to version ${first}` });
	await expect(dialog.getByRole("textbox", { name: "Changes of 10-pools.lua" })).toContainText("warm = { min = 3, max = 3 }");
	await expect(dialog.locator(".cm-deletedChunk")).toContainText("min = 1");
	expect(await version(node)).toBe(first);
	await dialog.getByRole("button", { name: "Apply" }).click();
	await expect(page.locator(".head").first()).toContainText(`version ${first + 1} is in force`);
	await until("three warm kernels", async () => (await warm(node)) === 3);
	expect(node.read("policies/10-pools.lua")).toBe(POOLS(3));
	await expect(apply(page)).toBeDisabled();

	await page.getByRole("tab", { name: "History" }).click();
	const versions = page.getByRole("group", { name: "Versions" }).getByRole("button");
	await expect(versions.first()).toContainText("in force");
	await expect(page.getByRole("heading", { name: `Version ${first + 1}` })).toBeVisible();
	await expect(page.getByText(`what it changed in version ${first}`)).toBeVisible();
	await expect(page.locator(".diff .cm-deletedChunk")).toContainText("min = 1");
	await versions.nth(1).click();
	await expect(page).toHaveURL(new RegExp(`version=${first}`));
	await expect(page.locator(".diff .cm-deletedChunk")).toContainText("min = 3");
	await isSound(page);
	await page.getByRole("button", { name: `Go back to version ${first}…` }).click();
	await page.getByRole("dialog").getByRole("button", { name: `Go back to version ${first}` }).click();
	await expect(page.locator(".head").first()).toContainText(`version ${first + 2} is in force`);
	expect(node.read("policies/10-pools.lua")).toBe(POOLS(1));
});

test("a file that was changed on the disk meanwhile is put aside only where one says so", async ({ page, node }) => {
	const was = await begin(page, node);
	await type(page, "10-pools.lua", POOLS(2));
	await expect(apply(page)).toBeEnabled();
	node.write("policies/30-rules.lua", "this is no Lua\n"); // not taken: a mistake
	await until("the alert", async () => (await node.api<unknown[]>("GET", "/api/alerts")).length > 0);
	await apply(page).click();
	const dialog = page.getByRole("dialog");
	await dialog.getByRole("button", { name: "Apply" }).click();
	await expect(dialog.getByRole("alert")).toContainText("30-rules.lua");
	await expect(dialog.getByText(/Put policies\/30-rules\.lua .* aside/)).toBeVisible();
	expect(await version(node)).toBe(was);
	expect(node.read("policies/30-rules.lua")).toBe("this is no Lua\n");
	await dialog.getByRole("checkbox").check();
	await dialog.getByRole("button", { name: "Apply" }).click();
	await expect(dialog).toHaveCount(0);
	await expect(page.locator(".head").first()).toContainText(`version ${was + 1} is in force`);
	expect(node.read("policies/30-rules.lua")).toBe("-- none\n");
	expect(node.read("policies/10-pools.lua")).toBe(POOLS(2));
});

test("a set that somebody else has applied meanwhile is not written over", async ({ page, node }) => {
	const was = await begin(page, node);
	await type(page, "10-pools.lua", POOLS(2));
	await expect(apply(page)).toBeEnabled();
	await apply(page).click();
	const dialog = page.getByRole("dialog");
	await node.api("PUT", "/api/policies", { body: { base: was, files: [{ name: "30-rules.lua", text: "-- another's\n" }] } });
	await dialog.getByRole("button", { name: "Apply" }).click();
	await expect(dialog).toContainText(new RegExp(`version ${was + 1} is in force|Apply changes of 1 file to version ${was + 1}`));
	expect(node.read("policies/30-rules.lua")).toBe("-- another's\n");
});

test("what was typed is there after a reload and a restart of the backend; discarded, it is gone", async ({ page, node }) => {
	await begin(page, node);
	page.on("dialog", (d) => void d.accept());
	await type(page, "10-pools.lua", `${POOLS(1)}-- typed <b>here</b>\n`);
	await expect(files(page).getByRole("button", { name: "10-pools.lua" })).toContainText("changed");
	await page.reload();
	await expect(text(page, "10-pools.lua")).toContainText("-- typed <b>here</b>");
	await node.killBackend();
	await expect(page.locator(".bar")).toContainText("live", { timeout: 30_000 });
	await expect(text(page, "10-pools.lua")).toContainText("-- typed <b>here</b>");
	await page.getByRole("button", { name: "Discard changes" }).click();
	await page.getByRole("dialog").getByRole("button", { name: "Discard" }).click();
	await expect(text(page, "10-pools.lua")).not.toContainText("typed");
	await expect(files(page).getByRole("button", { name: "10-pools.lua" })).toHaveText("10-pools.lua");
});

test("a file is made and removed, with words about names that cannot be", async ({ page, node }) => {
	const was = await begin(page, node);
	await page.getByRole("button", { name: "New file…" }).click();
	const dialog = page.getByRole("dialog", { name: "New file" });
	await dialog.getByLabel("Name").fill("../evil");
	await expect(dialog.getByRole("alert")).toContainText("Letters, digits, - and _ only");
	await expect(dialog.getByRole("button", { name: "Make it" })).toBeDisabled();
	await dialog.getByLabel("Name").fill("10-pools");
	await expect(dialog.getByRole("alert")).toContainText("There is such a file.");
	await dialog.getByLabel("Name").fill("50-nights");
	await page.keyboard.press("Enter");
	await expect(text(page, "50-nights.lua")).toBeVisible();
	await apply(page).click();
	await page.getByRole("dialog").getByRole("button", { name: "Apply" }).click();
	await expect(page.locator(".head").first()).toContainText(`version ${was + 1} is in force`);
	expect(node.read("policies/50-nights.lua")).toBe("-- what it is for\n");
	await page.getByRole("button", { name: "Remove this file" }).click();
	await expect(page.getByText("This file is to be removed.")).toBeVisible();
	await apply(page).click();
	await page.getByRole("dialog").getByRole("button", { name: "Apply" }).click();
	await expect(page.locator(".head").first()).toContainText(`version ${was + 2} is in force`);
	await expect(files(page)).not.toContainText("50-nights.lua");
	expect(() => node.read("policies/50-nights.lua")).toThrow();
});

test("the text is left by Escape and Tab; without Escape, Tab indents", async ({ page, node }) => {
	await begin(page, node);
	await text(page, "10-pools.lua").focus();
	await page.keyboard.press("Tab");
	await expect(text(page, "10-pools.lua")).toBeFocused();
	await expect(files(page).getByRole("button", { name: "10-pools.lua" })).toContainText("changed");
	await page.keyboard.press("Control+z");
	await page.keyboard.press("Escape");
	await page.keyboard.press("Tab");
	await expect(page.getByRole("button", { name: "Remove this file" })).toBeFocused();
	await expect(files(page).getByRole("button", { name: "10-pools.lua" })).toHaveText("10-pools.lua");
});

test("where the backend may not write it is read only, and says how that is changed", async ({ page, node }) => {
	await begin(page, node);
	chmodSync(`${node.dir}/policies`, 0o555);
	try {
		if ((await node.api("GET", "/api/policies/state")).writable) test.skip(true, "the backend's user may write everywhere here");
		await page.reload();
		await expect(page.getByText("Read only here")).toContainText("chmod -R g+w policies");
		await text(page, "10-pools.lua, read only").focus();
		await page.keyboard.insertText("-- typed\n");
		await expect(files(page).getByRole("button", { name: "10-pools.lua" })).toHaveText("10-pools.lua");
		await expect(page.getByRole("button", { name: "New file…" })).toBeDisabled();
		await expect(page.getByRole("button", { name: "Remove this file" })).toHaveCount(0);
		await isSound(page);
	} finally {
		chmodSync(`${node.dir}/policies`, 0o775);
	}
});
