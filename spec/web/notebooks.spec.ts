// Notebooks: how idle real kernels are, in words; unloaded, interrupted and kept from the page.
import { existsSync } from "node:fs";
import { complaints, expect, signIn, test, until, type Instance } from "./instance";
import { isSound, isUntaken } from "./sound";

const LAB = `project { owner = "anna", name = "Lab", rights = { read = { "everybody" } } }`;
const POLICY = `
rule "forgotten" { mode = "simulate", every = "1s", each = "notebook", where = "not busy and quiet > 12h", act = unload "nobody used it" }
`;
const BOX = 'box "a kernel" { at = "notebooks/${user}/${kernel}", memory = "300m", swap = 0 }';

test.use({ instance: { name: "notebooks", projects: { LAB: { "project.lua": LAB } } } });

const sessions = (node: Instance) => node.api<any[]>("GET", "/api/notebooks");
const session = (node: Instance, kernel: string, is: (s: any) => boolean) =>
	until(`kernel ${kernel}`, async () => (await sessions(node)).find((s) => s.kernelId === kernel && is(s)), 50_000);

test.describe("notebooks", () => {
	test.beforeEach(({ node }) => {
		test.skip(!existsSync("/usr/lib/python3/dist-packages/jupyter_server/__init__.py"), "jupyter_server is not installed");
		if (!existsSync(`${node.dir}/policies/36-spec.lua`)) node.write("policies/36-spec.lua", POLICY);
	});
	test.afterEach(async ({ node }) => {
		for (const s of await sessions(node)) await node.call("DELETE", `/api/notebooks/${s.id}`);
	});

	test("tell how idle they are and what a policy said, while a cell runs and after", async ({ page, node }) => {
		const said = complaints(page);
		const kernel = await node.notebook("LAB/deep <b>study</b>.ipynb");
		const idle = await session(node, kernel, (s) => s.silentTime !== undefined);
		await signIn(page, node, node.adminKey, "#/notebooks");
		const row = page.getByRole("row").filter({ hasText: "deep <b>study</b>" });
		await expect(row).toContainText("anna");
		await expect(row).toContainText("nobody is connected", { timeout: 40_000 });
		await expect(row).toContainText('Policy "forgotten" keeps it: not quiet > 12h (simulated).', { timeout: 40_000 });
		await row.click();
		const detail = page.getByRole("region", { name: /^Notebook LAB\/deep/ });
		await expect(detail).toContainText(idle.id);
		await detail.getByText(/What \d+ rules said last/).click();
		await expect(detail).toContainText("policies/36-spec.lua");
		await isUntaken(page);
		await isSound(page);
		await node.cell(kernel, "import time; time.sleep(600)");
		await expect(row).toContainText("Busy: a cell runs", { timeout: 40_000 });
		// it is interrupted, and its variables stay
		await detail.getByRole("button", { name: "Interrupt…" }).click();
		await expect(page.getByRole("dialog")).toContainText("all variables stay");
		await page.getByRole("dialog").getByRole("button", { name: "Interrupt 1 notebook" }).click();
		await expect(row).not.toContainText("Busy", { timeout: 40_000 });
		expect((await sessions(node)).map((s) => s.kernelId)).toContain(kernel);
		expect(said).toEqual([]);
	});

	test("are kept for a while and given back", async ({ page, node }) => {
		const kernel = await node.notebook("LAB/keep.ipynb");
		await session(node, kernel, () => true);
		await signIn(page, node, node.adminKey, `#/notebooks?at=${kernel}`);
		const detail = page.getByRole("region", { name: "Notebook LAB/keep.ipynb" });
		await detail.getByRole("button", { name: "Keep…" }).click();
		await page.getByRole("dialog").getByRole("radio", { name: "2 hours" }).check();
		await page.getByRole("dialog").getByRole("button", { name: "Keep for 2 hours" }).click();
		await expect(detail).toContainText("Kept by admin");
		const kept = await session(node, kernel, (s) => s.leased);
		expect(kept.leasedUntil - Date.now()).toBeGreaterThan(3_600_000);
		await detail.getByRole("button", { name: "Keep…" }).click();
		await page.getByRole("dialog").getByRole("radio", { name: /^Give it back/ }).check();
		await page.getByRole("dialog").getByRole("button", { name: "Give back" }).click();
		await session(node, kernel, (s) => !s.leased);
		await expect(detail).not.toContainText("Kept by");
	});

	test("are unloaded, several at once, after one saw what is lost", async ({ page, node }) => {
		const kernels = [await node.notebook("LAB/one.ipynb"), await node.notebook("LAB/two.ipynb"), await node.notebook("LAB/stays.ipynb")];
		for (const k of kernels) await session(node, k, (s) => s.memoryBytes > 0);
		await signIn(page, node, node.adminKey, "#/notebooks");
		const grid = page.getByRole("grid", { name: "Notebooks" });
		await expect(grid.locator(".item")).toHaveCount(3);
		for (const name of ["one", "two"]) await grid.getByRole("row").filter({ hasText: name }).getByRole("checkbox").check();
		await page.getByRole("group", { name: "2 chosen" }).getByRole("button", { name: "Unload 2…" }).click();
		const dialog = page.getByRole("dialog", { name: "Unload 2 notebooks?" });
		for (const name of ["one", "two"]) await expect(dialog).toContainText(`The variables of notebook "${name}"; unsaved work is lost.`);
		await expect(dialog).toContainText(/[\d.]+ MB of memory are given back/);
		await isSound(page);
		await dialog.getByRole("button", { name: "Unload 2 notebooks" }).click();
		await expect(dialog).toContainText("All 2 ended.", { timeout: 40_000 });
		await page.keyboard.press("Escape");
		await expect(grid.locator(".item")).toHaveCount(1, { timeout: 40_000 });
		expect((await sessions(node)).map((s) => s.kernelId)).toEqual([kernels[2]]);
	});

	test("are chosen and unloaded by the keyboard alone", async ({ page, node }) => {
		const kernel = await node.notebook("LAB/keys.ipynb");
		await session(node, kernel, (s) => s.memoryBytes > 0);
		await signIn(page, node, node.adminKey, "#/notebooks");
		const grid = page.getByRole("grid", { name: "Notebooks" });
		await expect(grid.locator(".item")).toHaveCount(1);
		await grid.focus();
		await page.keyboard.press("ArrowDown");
		await expect(grid.locator(".current")).toBeVisible();
		await page.keyboard.press(" ");
		await expect(grid.locator('.item[aria-selected="true"]')).toHaveCount(1);
		const unload = page.getByRole("group", { name: "1 chosen" }).getByRole("button", { name: "Unload…" });
		await until("the button", async () => {
			await page.keyboard.press("Shift+Tab");
			return unload.evaluate((e) => e === document.activeElement);
		});
		await page.keyboard.press("Enter");
		await expect(page.getByRole("dialog").getByRole("button", { name: "Unload 1 notebook" })).toBeFocused();
		await page.keyboard.press("Enter");
		await expect(page.getByRole("dialog")).toContainText("All 1 ended.", { timeout: 40_000 });
		await page.keyboard.press("Escape");
		await expect(page.getByText("No notebook is open.")).toBeVisible({ timeout: 40_000 });
	});

	test("cannot be called idle while their server cannot be asked, and the page says so", async ({ page, node }) => {
		const kernel = await node.notebook("LAB/alone.ipynb");
		const s = await session(node, kernel, (one) => one.silentTime !== undefined);
		const jupyter = (await node.api<any[]>("GET", "/api/processes")).find((p) => p.kind === "service" && (p.id === "jupyter" || p.name === "jupyter"));
		process.kill(jupyter.pid, "SIGSTOP");
		try {
			await signIn(page, node, node.adminKey, `#/notebooks?at=${s.id}`);
			await expect(page.getByText("The notebook server cannot be asked: nobody is called idle.")).toBeVisible({ timeout: 40_000 });
			await expect(page.getByRole("region", { name: "Notebook LAB/alone.ipynb" })).toContainText("Not known");
		} finally {
			process.kill(jupyter.pid, "SIGCONT");
		}
	});

	test("tell on their page what policies decided of their session", async ({ page, node }) => {
		const kernel = await node.notebook("LAB/why.ipynb");
		const s = await session(node, kernel, (r) => r.id !== kernel); // a session that was just made is told by its kernel's id
		await signIn(page, node, node.adminKey, `#/task/notebook:${kernel}?tab=why`);
		const why = page.getByRole("region", { name: "Decisions about it" });
		await until("a decision", async () => (await node.api<any[]>("GET", `/api/decisions?kind=notebook&subject=${s.id}`)).length > 0, 40_000);
		await why.getByRole("button", { name: "Look again" }).click();
		await expect(why.getByRole("listitem").filter({ hasText: "forgotten" })).toContainText("policies/36-spec.lua");
		// and once it is gone
		await node.api("DELETE", `/api/notebooks/${s.id}`);
		await page.reload();
		await expect(page.getByText("It is not here any more.")).toBeVisible({ timeout: 40_000 });
		await expect(page.getByRole("status", { name: "How its kernel ended" })).toContainText(/Its kernel ended .*: Unloaded by admin\. Its variables are gone\./);
		await expect(why.getByRole("listitem").filter({ hasText: "forgotten" })).toContainText("policies/36-spec.lua");
		await isSound(page);
	});

	test("say that their kernel was killed at its limit, also when they are open again", async ({ page, node }) => {
		const version = async () => (await node.api("GET", "/api/policies/state")).version;
		const before = await version();
		node.write("policies/21-notebooks.lua", BOX);
		await until("the box", async () => (await version()) > before);
		const said = complaints(page);
		const kernel = await node.notebook("LAB/large.ipynb");
		await session(node, kernel, (s) => s.limitBytes === 300 << 20 && s.state === "idle");
		await signIn(page, node, node.adminKey, `#/notebooks?at=${kernel}`);
		const detail = page.getByRole("region", { name: "Notebook LAB/large.ipynb" });
		await expect(detail).toContainText("300 MB");
		await expect(detail).not.toContainText("Its kernel ended");
		await node.cell(kernel, "held = bytearray(b'x') * (500 << 20)");
		const end = page.getByRole("status", { name: "How its kernel ended" });
		const words = /Its kernel ended [\d:]+: *Killed: .*300 MB.*variables/;
		await expect(detail.getByRole("status", { name: "How its kernel ended" })).toContainText(words, { timeout: 40_000 });
		await session(node, kernel, (s) => s.state === "idle" && s.pid > 0); // its server started it anew
		await expect(end).toContainText("It is open again.", { timeout: 40_000 });
		await isSound(page);
		await page.goto(`${page.url().split("#")[0]}#/task/notebook:${kernel}`);
		await expect(end).toContainText(words);
		await expect(end).toContainText("It is open again.");
		expect(said).toEqual([]);
	});

	test("have a link with the token for admins alone", async ({ page, node }) => {
		await signIn(page, node, node.adminKey, "#/notebooks");
		await page.getByRole("button", { name: "Open the server…" }).click();
		const link = page.getByRole("dialog").getByRole("link", { name: "Open" });
		await expect(link).toHaveAttribute("rel", /noopener/);
		await expect(link).toHaveAttribute("href", new RegExp(`^http://127\\.0\\.0\\.1:${node.ports.jupyter}/`));
		const other = await page.context().browser()!.newPage();
		await signIn(other, node, await node.key("bob"), "#/notebooks");
		await expect(other.getByText("No notebook is open.")).toBeVisible();
		await expect(other.getByRole("button", { name: "Open the server…" })).toHaveCount(0);
		await other.close();
	});
});
