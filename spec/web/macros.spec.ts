// Macros: forms made from their params, run for real over real things; what they would do, then what they did; the archive.
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { complaints, expect, signIn, test, until, type Instance } from "./instance";
import { HOSTILE, isSound, isUntaken } from "./sound";

const POLICY = `
macro "every-kind" {
  label = "Every kind of param", about = "Looks at pools, and says what it was given", who = "admin", each = "pool",
  params = {
    wait = duration { default = "30s", about = "A duration" }, room = size { default = "512m", about = "A size" }, many = count { default = 3, least = 1, most = 5 },
    share = number { default = 0.5 }, word = text { about = "A text that is needed" }, loud = flag { default = false },
    colour = choice { words = { "red", "green" }, default = "green" },
  },
  columns = { "id", "limit" },
  run = function (p, params) return keep(params.word .. " " .. params.colour .. " " .. tostring(params.many)) end,
}
`;

test.use({ instance: { name: "macros" } });

const form = (page: import("@playwright/test").Page, name: string) => page.getByRole("form", { name });

async function oldLog(node: Instance): Promise<string> {
	const job = await node.build("DEMO", "sales_clean", "RECURSIVE_FORCED_BUILD");
	await until(`job ${job}`, async () => (await node.api("GET", `/public/api/projects/DEMO/jobs/${job}`)).baseStatus.stableState, 40_000);
	return job;
}

test.describe("macros", () => {
	test.beforeAll(async ({ node }) => {
		node.write("policies/41-spec.lua", POLICY);
		await until("the macro", async () => (await node.call("GET", "/api/macros/every-kind")).status === 200);
	});

	test("ask for their params, and show what is wrong at the field in the server's words", async ({ page, node }) => {
		const said = complaints(page);
		await signIn(page, node, node.adminKey, "#/macros");
		await page.getByRole("navigation", { name: "Macros" }).getByRole("link", { name: /^Every kind of param/ }).click();
		const f = form(page, "Every kind of param");
		await expect(f.getByLabel(/^wait/)).toHaveValue("30s");
		await expect(f.getByLabel(/^colour/)).toHaveValue("green");
		await expect(f.getByRole("checkbox", { name: "loud" })).not.toBeChecked();
		await isSound(page);
		const field = f.getByLabel(/^word/);
		await f.getByRole("button", { name: "Show what it would do" }).click();
		await expect(field).toHaveAttribute("aria-invalid", "true");
		await expect(f.getByRole("alert")).toContainText("missing");
		await field.fill(HOSTILE.replace("\u0007", ""));
		await f.getByLabel(/^wait/).fill("1x");
		await f.getByRole("button", { name: "Show what it would do" }).click();
		await expect(f.getByLabel(/^wait/)).toHaveAttribute("aria-invalid", "true");
		await expect(f.getByRole("alert")).toContainText('unable to read duration "1x"');
		await f.getByLabel(/^wait/).fill("2min");
		await f.getByLabel(/^many/).fill("9");
		await f.getByRole("button", { name: "Show what it would do" }).click();
		await expect(f.getByRole("alert")).toContainText("9 is more than 5");
		await f.getByLabel(/^many/).fill("4");
		await f.getByLabel(/^colour/).selectOption("red");
		await f.getByRole("button", { name: "Show what it would do" }).click();
		const table = page.getByRole("grid", { name: "Every kind of param" });
		await expect(table.getByRole("row").filter({ hasText: "fek" })).toContainText("<img src=x");
		await expect(table.getByRole("row").filter({ hasText: "fek" })).toContainText("1.0 GB"); // a size is told as one
		await isUntaken(page);
		await isSound(page);
		expect(said.filter((s) => !s.includes("400"))).toEqual([]);
	});

	test("say what they would do, then do it after a question, over one project", async ({ page, node }) => {
		const job = await oldLog(node);
		await signIn(page, node, node.adminKey, "#/macros/clear-job-logs");
		const f = form(page, "Clear logs of jobs");
		await f.getByLabel("Over").selectOption("DEMO");
		await f.getByLabel(/^age/).fill("1ms");
		const table = page.getByRole("grid", { name: "Clear logs of jobs" });
		const row = table.getByRole("row").filter({ hasText: job });
		// its age counts in seconds
		await expect(async () => {
			await f.getByRole("button", { name: "Show what it would do" }).click();
			await expect(row).toContainText("would be deleted", { timeout: 3000 });
		}).toPass();
		await expect(page.getByText("simulated: nothing was changed")).toBeVisible();
		await expect(row).toContainText(/\d+ (B|KB)/);
		// it sorts
		await table.getByRole("button", { name: "name" }).click();
		await expect(table.getByRole("columnheader", { name: "name" })).toHaveAttribute("aria-sort", "ascending");
		await isSound(page);
		expect((await node.call("GET", `/public/api/projects/DEMO/jobs/${job}/log`)).body).toContain("Activity");
		await page.getByRole("button", { name: /^Delete \d+…/ }).click();
		await expect(page.getByRole("dialog").getByRole("listitem").filter({ hasText: job })).toBeVisible();
		await isSound(page);
		await page.getByRole("dialog").getByRole("button", { name: /^Delete \d+$/ }).click();
		await expect(page.getByRole("dialog")).toHaveCount(0);
		await expect(table.getByRole("row").filter({ hasText: job })).toContainText("deleted");
		await expect(table.getByRole("row").filter({ hasText: job })).not.toContainText("would be");
		await expect(page.getByText("simulated: nothing was changed")).toHaveCount(0);
		expect((await node.call("GET", `/public/api/projects/DEMO/jobs/${job}/log`)).body).not.toContain("Activity");
		// a result is told once by the server; a reload of this tab still has it
		await page.reload();
		await expect(table.getByRole("row").filter({ hasText: job })).toContainText("deleted");
	});

	test("that go on are taken up after a reload, and can be aborted", async ({ page, node }) => {
		// its task waits for a kernel: all of the pool are at work
		const holders = await Promise.all(Array.from({ length: 8 }, async (_, i) => node.python("time:sleep", [600], {}, { key: await node.key(`user${i % 4}`) })));
		for (const id of holders) await node.task(id, (row) => row.state === "running", 40_000);
		await signIn(page, node, node.adminKey, "#/macros/clear-tmp");
		await form(page, "Clear temporary files").getByRole("button", { name: "Show what it would do" }).click();
		await expect(page).toHaveURL(/run=/);
		const run = page.getByRole("region", { name: /^Run / });
		await expect(run.getByRole("progressbar")).toBeVisible();
		await isSound(page);
		await page.goto(`${node.baseURL}/#/macros`);
		await page.reload();
		await page.getByRole("navigation", { name: "Macros" }).getByRole("link", { name: /^Clear temporary files running/ }).click();
		await expect(run.getByRole("progressbar")).toBeVisible();
		await run.getByRole("button", { name: "Abort the run" }).click();
		await expect(run).toContainText("Aborted by admin");
		await expect(run.getByRole("progressbar")).toHaveCount(0);
		for (const id of holders) await node.call("DELETE", `/api/futures/${id}`);
	});

	test("that make a file hand it out once, with the key as a header", async ({ page, node }) => {
		await signIn(page, node, node.adminKey, "#/macros/diagnosis");
		await form(page, "Diagnosis").getByRole("button", { name: "Run" }).click();
		const button = page.getByRole("button", { name: "Download" });
		await expect(button).toBeVisible({ timeout: 50_000 });
		const [file] = await Promise.all([page.waitForEvent("download"), button.click()]);
		expect(file.suggestedFilename()).toMatch(/^diagnosis-.*\.tar\.gz$/);
		const path = `${node.root}/diagnosis.tar.gz`;
		writeFileSync(path, readFileSync((await file.path())!));
		expect(execFileSync("tar", ["tzf", path], { encoding: "utf8" })).toContain("policies/");
		await expect(page.getByText("The file was fetched already")).toBeVisible();
	});

	test("are run by the keyboard alone", async ({ page, node }) => {
		await signIn(page, node, node.adminKey, "#/macros");
		const link = page.getByRole("navigation", { name: "Macros" }).getByRole("link", { name: /^Clear logs of jobs/ });
		await expect(link).toBeVisible();
		await until("the link", async () => {
			await page.keyboard.press("Tab");
			return link.evaluate((e) => e === document.activeElement);
		});
		await page.keyboard.press("Enter");
		const button = page.getByRole("button", { name: "Show what it would do" });
		await expect(button).toBeVisible();
		await until("the button", async () => {
			await page.keyboard.press("Tab");
			return button.evaluate((e) => e === document.activeElement);
		});
		await page.keyboard.press("Enter");
		await expect(page.getByText("simulated: nothing was changed")).toBeVisible();
	});

	test("of admins are not offered to others, who run the rest over projects in which they may", async ({ page, node }) => {
		node.project("OWN", { "project.lua": 'project { owner = "carol" }' });
		await signIn(page, node, await node.key("carol"), "#/macros/clear-job-logs");
		await expect(page.getByRole("navigation", { name: "Macros" }).getByRole("link", { name: /^Clear temporary files/ })).toHaveCount(0);
		const f = form(page, "Clear logs of jobs");
		await expect(f.getByLabel("Over").getByRole("option", { name: "the whole instance" })).toHaveCount(0);
		await f.getByLabel("Over").selectOption("OWN");
		await f.getByRole("button", { name: "Show what it would do" }).click();
		await expect(page.getByText("simulated: nothing was changed")).toBeVisible();
	});
});
