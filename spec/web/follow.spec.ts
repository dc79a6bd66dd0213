// What goes on is followed by what the stream tells and by requests that wait on the server: nothing is asked by a clock.
import type { Page, Request } from "@playwright/test";
import { existsSync } from "node:fs";
import { expect, signIn, test, until, type Instance } from "./instance";

const TALK = `project { name = "Talk", owner = "anna", rights = { read = { "bob" } },
  recipes = {
    chatter = shell { command = "while [ ! -e data/end ]; do echo chatter; sleep 0.05; done", outputs = { "noise" } },
    rare = shell { command = "echo first; while [ ! -e data/go ]; do sleep 0.1; done; echo second; while [ ! -e data/end ]; do sleep 0.1; done", outputs = { "words" } },
    both = shell { command = "true", inputs = { "noise", "words" }, outputs = { "all" } },
    quick = shell { command = "true", outputs = { "little" } },
  },
  webapps = { bad = webapp { command = { "/no/such/program" } } },
}`;

test.use({ instance: { name: "follow", projects: { TALK: { "project.lua": TALK } } } });

const jobPage = (job: string, more = "") => `#/job/TALK/${encodeURIComponent(job)}${more}`;
const status = async (node: Instance, job: string) => (await node.api("GET", `/public/api/projects/TALK/jobs/${job}/`)).baseStatus;
const state = (page: Page, name: string) => page.locator(".head .state").getByText(name, { exact: true });
const works = (node: Instance, job: string) =>
	until("its recipes at work", async () => {
		const { activities } = await status(node, job);
		return activities.chatter_NP?.state === "RUNNING" && activities.rare_NP?.state === "RUNNING";
	}, 40_000);
const abort = (node: Instance, job: string) => node.api("POST", `/public/api/projects/TALK/jobs/${job}/abort`);

/** What the page asks the server for: [at once, waiting there]. The stream is the worker's. */
function requests(page: Page): { asked: string[]; waits: string[] } {
	const seen = { asked: [] as string[], waits: [] as string[] };
	page.on("request", (r: Request) => {
		const { pathname, search } = new URL(r.url());
		if (/^\/(api|public)\//.test(pathname)) (/[?&]wait=[1-9]/.test(search) ? seen.waits : seen.asked).push(pathname + search);
	});
	return seen;
}

/** While the page has lived for n seconds more, in which the board was told as often. */
async function lives(page: Page, n: number): Promise<void> {
	const clock = () => page.evaluate(() => performance.now());
	const from = await clock();
	await until(`${n} s more of the page`, async () => (await clock()) - from >= n * 1000);
}

test.describe("what goes on", () => {
	test.beforeEach(({ node }) => {
		test.skip(!existsSync(`${node.dir}/policies/15-jobs.lua`), "no JDK built the job kernel");
	});

	test("is not asked for while nothing happens: a job that is open, one's own or another's, its list, an activity", async ({ page, node }) => {
		const anna = await node.key("anna");
		const job = await node.build("TALK", "all", "RECURSIVE_FORCED_BUILD", anna);
		await works(node, job);
		for (const [key, place, there] of [
			[anna, jobPage(job), () => expect(state(page, "running")).toBeVisible()],
			[await node.key("bob"), jobPage(job), () => expect(state(page, "running")).toBeVisible()],
			[anna, "#/jobs", () => expect(page.getByRole("row").filter({ hasText: "running" })).toBeVisible()],
			[anna, jobPage(job, "?activity=rare_NP&tab=activity"), () => expect(page.getByLabel("Lines of rare")).toContainText("first")],
		] as const) {
			const tab = await page.context().newPage();
			await page.close();
			page = tab;
			await signIn(page, node, key, place);
			await there();
			await lives(page, 2); // what the first rows brought
			const seen = requests(page);
			await lives(page, 4);
			expect(seen.asked, place).toEqual([]);
			// the whole log grows, an activity's lines do not: that one request waits
			if (place.includes("activity=")) expect(seen.waits.length).toBeLessThan(2);
		}
		await abort(node, job);
		await until("its end", async () => (await status(node, job)).stableState);
	});

	test("is shown as it happens: an activity's lines, its end, the job's, also to who reads another's", async ({ page, node, browser }) => {
		const anna = await node.key("anna");
		const job = await node.build("TALK", "all", "RECURSIVE_FORCED_BUILD", anna);
		await works(node, job);
		const others = await (await browser.newContext()).newPage();
		await signIn(others, node, await node.key("bob"), jobPage(job));
		await signIn(page, node, anna, jobPage(job, "?activity=rare_NP&tab=activity"));
		const lines = page.getByLabel("Lines of rare");
		await expect(lines).toContainText("first");
		node.project("TALK", { "data/go": "" });
		await expect(lines).toContainText("second");
		await expect(lines).not.toContainText("chatter");
		await expect(state(others, "running")).toBeVisible();
		node.project("TALK", { "data/end": "" });
		for (const one of [page, others]) {
			await expect(state(one, "done")).toBeVisible();
			await expect(one.getByRole("button", { name: /^both, shell, done/ })).toBeVisible();
		}
		await expect(lines).toContainText("second"); // all of it, still
		await others.context().close();
	});

	test("ends by itself however short it was: jobs, a webapp that does not start", async ({ page, node }) => {
		const anna = await node.key("anna");
		await signIn(page, node, anna, "#/jobs");
		await expect(page.getByRole("heading", { level: 1, name: "Jobs" })).toBeVisible();
		const rows = page.getByRole("row").filter({ hasText: "little" });
		for (let i = 1; i <= 4; i++) {
			const job = await node.build("TALK", "little", "RECURSIVE_FORCED_BUILD", anna);
			if (i % 2) await abort(node, job);
			await expect(rows).toHaveCount(i);
			await expect(rows.filter({ hasText: /done|aborted/ })).toHaveCount(i);
		}
		for (let i = 1; i <= 3; i++) {
			const job = await node.build("TALK", "little", "RECURSIVE_BUILD", anna);
			await page.goto(`${node.baseURL}/${jobPage(job)}`);
			if (i % 2) await abort(node, job);
			await expect(page.locator(".head .state").getByText(/^(done|aborted)$/)).toBeVisible();
		}
		await page.goto(`${node.baseURL}/#/webapps`);
		const row = page.getByRole("row").filter({ hasText: "bad" });
		await expect(row).toContainText("stopped");
		await node.api("PUT", "/public/api/projects/TALK/webapps/bad/backend/actions/restart", { key: anna });
		await expect(row).toContainText("failed");
	});

	test("is read anew once where the stream could not go on: another backend", async ({ page, node }) => {
		await signIn(page, node, await node.key("anna"), "#/jobs");
		await expect(page.getByRole("heading", { level: 1, name: "Jobs" })).toBeVisible();
		const rows = page.getByRole("row").filter({ hasText: "little" });
		const { length } = await node.api<unknown[]>("GET", "/api/jobs", { key: await node.key("anna") });
		if (length) await expect(rows.first()).toBeVisible();
		const before = await rows.count(), seen = requests(page);
		await node.killBackend();
		await until("the list", async () => seen.asked.some((r) => r.startsWith("/api/jobs?")), 30_000);
		await node.build("TALK", "little", "RECURSIVE_FORCED_BUILD", await node.key("anna"));
		await expect(rows).toHaveCount(before + 1);
		await expect(rows.filter({ hasText: /done|aborted/ })).toHaveCount(before + 1, { timeout: 30_000 });
	});
});
