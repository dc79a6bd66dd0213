// The log of a task: followed, searched from its end to its first line and back, of any size, with whatever is in it.
import type { Page } from "@playwright/test";
import { complaints, expect, signIn, test, until, type Instance } from "./instance";
import { isSound, isUntaken } from "./sound";

const POOLS = `pool "fek" {
  kernel = python {}, limits = { memory = "256m", swap = "0", threads = 64 },
  warm = { min = 1, max = 2 }, max = 6, recycle = { after_tasks = 1 },
}
`;

test.use({ instance: { name: "log", plain: true, policies: { "10-pools.lua": POOLS }, config: 'log { job = "200m" }' } });

const LINES_MOST = 200; // drawn at once, whatever the log has
const shell = (node: Instance, script: string, title: string) => node.submit({ type: "command", payload: { argv: ["/bin/sh", "-c", script] }, title });
const log = (page: Page) => page.getByRole("log");
const lines = (page: Page) => page.locator(".log-line");
const open = (page: Page, node: Instance, id: string) => signIn(page, node, node.adminKey, `#/task/future:${id}?tab=log`);

test.describe("the log of a task", () => {
	test("shows what is printed as it is printed, without asking again and again", async ({ page, node }) => {
		const said = complaints(page);
		const go = `${node.root}/modules/go`;
		node.modules({});
		const id = await shell(node, `echo first; while [ ! -e ${go} ]; do sleep 0.1; done; echo second; sleep 600`, "slow printer");
		const asked: string[] = [];
		page.on("request", (r) => r.url().includes("/log?") && asked.push(r.url()));
		await open(page, node, id);
		await expect(log(page)).toContainText("first");
		await expect(log(page)).not.toContainText("second");
		await until("a request that waits", () => asked.some((url) => url.includes("wait=")));
		const before = asked.length;
		node.modules({ go: "" });
		await expect(log(page)).toContainText("second");
		await until("the next request that waits", () => asked.length > before);
		expect(asked.length).toBeLessThanOrEqual(before + 2);
		await expect(page.getByRole("button", { name: "Follow" })).toHaveAttribute("aria-pressed", "true");
		await node.api("DELETE", `/api/futures/${id}`);
		await expect(page.getByRole("button", { name: "End", exact: true })).toBeVisible();
		expect(said.filter((s) => !s.includes("status of 404"))).toEqual([]); // a curve that has not begun
	});

	test("keeps its place while one reads above and more comes, and goes on following when asked", async ({ page, node }) => {
		const id = await shell(node, `i=0; while :; do i=$((i+1)); echo "line $i"; [ $i -lt 500 ] || sleep 0.05; done`, "busy printer");
		await open(page, node, id);
		await expect(log(page)).toContainText("line 510");
		// the event of the last line that was scrolled to comes after the click, and is nobody's wish to follow
		await page.evaluate(() => {
			[...document.querySelectorAll("button")].find((b) => b.textContent === "Start")!.click();
			document.querySelector(".log-lines")!.dispatchEvent(new Event("scroll"));
		});
		await expect(lines(page).first()).toHaveText("line 1");
		await expect(page.getByRole("button", { name: "Follow" })).toHaveAttribute("aria-pressed", "false");
		const size = async () => (await fetch(`${node.baseURL}/api/tasks/${id}/log?offset=-1`, { headers: { Authorization: `Bearer ${node.adminKey}` } })).headers.get("log-size");
		const was = await size();
		await until("more of the log", async () => (await size()) !== was);
		await expect(lines(page).first()).toHaveText("line 1");
		// a search upwards from there finds nothing, downwards it does; the answer of a request that waited must not carry it off
		await page.getByLabel("Search the whole log").fill("LINE 300");
		await page.getByRole("button", { name: "Search downwards" }).click();
		await expect(page.locator(".log-line.hit")).toHaveText("line 300");
		await expect(page.locator(".log-line.hit")).toBeInViewport();
		await page.getByRole("button", { name: "Search upwards" }).click();
		await expect(page.getByRole("status").filter({ hasText: "Nothing above." })).toBeVisible();
		await page.getByRole("button", { name: "Follow" }).click();
		const last = async () => Number(/line (\d+)$/.exec((await lines(page).last().textContent()) ?? "")?.[1] ?? 0);
		const n = await last();
		await until("further lines", async () => (await last()) > n + 5);
		await node.api("DELETE", `/api/futures/${id}`);
	});

	test("has colours; control characters, markup and reversed text are text", async ({ page, node }) => {
		const said = complaints(page);
		const printed = ["\\033[31mred\\033[0m plain", "\\033[1;92mbold green\\033[m", "\\033]0;title\\007bell\\007", "\\033[2Jclear \\033[10Aup", "one\\rtwo", "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">", "\\342\\200\\256reversed", "nul\\000byte", "\\377\\376 no UTF-8", "tab\\tend"];
		const id = await shell(node, printed.map((p) => `printf '${p.replace(/'/g, "'\\''")}\\n'`).join("; "), "colours");
		await node.task(id, (r) => r.state === "done");
		await open(page, node, id);
		await expect(lines(page)).toHaveCount(printed.length);
		await expect(page.locator(".log-line .fg1")).toHaveText("red");
		await expect(page.locator(".log-line .fg2.bold")).toHaveText("bold green");
		await expect(lines(page).nth(2)).toHaveText("bell\ufffd");
		await expect(lines(page).nth(3)).toHaveText("clear up");
		await expect(lines(page).nth(4)).toHaveText("two");
		await expect(lines(page).nth(5)).toContainText("<script>document.title");
		await expect(lines(page).nth(6)).toHaveText("\ufffdreversed");
		await expect(lines(page).nth(7)).toHaveText("nul\ufffdbyte");
		expect(await page.locator(".log script, .log img").count()).toBe(0);
		await isUntaken(page);
		await isSound(page);
		expect(said).toEqual([]);
	});

	test("of 100 MB opens at its end, is searched to its first line and back, scrolls, and never draws more than what is in sight", async ({ page, node }) => {
		test.setTimeout(150_000);
		const script = `echo "the very FIRST line"; seq -f "%09.0f the quick brown fox jumps over the lazy dog, once more and again" 1 1390000; echo "the last line"`;
		const id = await shell(node, script, "large");
		await node.task(id, (r) => r.state === "done", 60_000);
		const size = Number((await fetch(`${node.baseURL}/api/tasks/${id}/log?offset=-1`, { headers: { Authorization: `Bearer ${node.adminKey}` } })).headers.get("log-size"));
		expect(size).toBeGreaterThan(100e6);
		await open(page, node, id);
		await expect(lines(page).last()).toHaveText("the last line");
		const field = page.getByLabel("Search the whole log");
		await field.fill("first line");
		await field.press("Enter");
		await expect(page.locator(".log-line.hit")).toHaveText("the very FIRST line", { timeout: 60_000 });
		await expect(page.locator(".log-line.hit")).toBeInViewport();
		await expect(page.locator(".log-line.hit mark")).toHaveText("FIRST line");
		expect(await lines(page).count()).toBeLessThan(LINES_MOST);
		await field.fill("last line");
		await field.press("Shift+Enter");
		await expect(page.locator(".log-line.hit")).toHaveText("the last line", { timeout: 60_000 });
		await expect(page.locator(".log-line.hit")).toBeInViewport();
		// back by scrolling: pieces come as one goes, each line once and in order
		for (let i = 0; i < 40; i++) {
			await log(page).evaluate((e) => (e.scrollTop = 0));
			await until("what stands above", () => log(page).evaluate((e) => e.scrollTop > 0), 5_000);
		}
		expect(await lines(page).count()).toBeLessThan(LINES_MOST);
		const numbers = (await lines(page).allTextContents()).map((t) => parseInt(t, 10)).filter((n) => !Number.isNaN(n));
		expect(numbers.length).toBeGreaterThan(20);
		expect(numbers).toEqual(numbers.map((_, i) => numbers[0]! + i));
		const held = await page.evaluate(() => (performance as unknown as { memory: { usedJSHeapSize: number } }).memory.usedJSHeapSize);
		expect(held).toBeLessThan(100e6); // the window, not the log
	});

	test("that shrinks while it is followed is shown anew from its end", async ({ page, node }) => {
		const go = `${node.root}/modules/cut`;
		node.modules({});
		const id = await shell(node, `seq 1 5000; while [ ! -e ${go} ]; do sleep 0.1; done; sleep 600`, "cut");
		await open(page, node, id);
		await expect(lines(page).last()).toHaveText("5000");
		// as a log over its cap is replaced by its head and its tail
		node.write(`jobs/RUN/${id}/output.log`, "1\n(lines were left out)\n4999\n5000\nafter the cut\n");
		await expect(lines(page).last()).toHaveText("after the cut");
		await expect(lines(page)).toHaveCount(5);
		await node.api("DELETE", `/api/futures/${id}`);
	});

	test("goes on after a restart of the backend", async ({ page, node }) => {
		const id = await shell(node, `i=0; while :; do i=$((i+1)); echo "line $i"; sleep 0.1; done`, "over a restart");
		await open(page, node, id);
		await expect(log(page)).toContainText("line 5");
		await node.killBackend();
		const last = async () => Number(/line (\d+)$/.exec((await lines(page).last().textContent()) ?? "")?.[1] ?? 0);
		const n = await last();
		await until("further lines", async () => (await last()) > n + 20, 30_000);
		await expect(page.getByRole("alert")).toHaveCount(0);
		await node.api("DELETE", `/api/futures/${id}`);
	});

	test("says so where there is none, and where it is empty", async ({ page, node }) => {
		const none = await node.python("stats:echo", [1], { title: "no log" });
		await node.task(none, (r) => r.state === "done");
		await open(page, node, none);
		await expect(page.getByText("It has no log of its own.")).toBeVisible();
		const empty = await shell(node, "true", "silent");
		await node.task(empty, (r) => r.state === "done");
		await page.goto(`${node.baseURL}/#/task/future:${empty}?tab=log`);
		await expect(page.getByText("Nothing was printed.")).toBeVisible();
	});
});
