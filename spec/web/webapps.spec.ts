// Webapps: real processes that answer HTTP, started, opened, restarted and stopped from the page.
import { complaints, expect, signIn, test, until, type Instance } from "./instance";
import { HOSTILE, isSound, isUntaken } from "./sound";

const APP = `import http.server, os
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<h1>the app itself</h1>")
print("listening", flush=True)
http.server.HTTPServer(("127.0.0.1", int(os.environ["DSS_WEBAPP_PORT"])), Page).serve_forever()
`;
const SITE = `project { owner = "anna", rights = { read = { "everybody" } },
  webapps = {
    board  = webapp { command = { "/usr/bin/python3", "app.py" }, limits = { memory = "128m" } },
    broken = webapp { command = { "/bin/sh", "broken.sh" }, crashes = 2 },
  },
}`;

test.use({ instance: { name: "webapps", projects: { SITE: { "project.lua": SITE, "app.py": APP, "broken.sh": `cat >&2 <<'END'\n${HOSTILE}\nEND\nexit 3\n` } } } });

const webapp = async (node: Instance, id: string) => (await node.api<any[]>("GET", "/api/webapps")).find((w) => w.project === "SITE" && w.id === id);
const is = (node: Instance, id: string, state: string) => until(`${id} to be ${state}`, async () => (await webapp(node, id))?.state === state, 30_000);

test.describe("webapps", () => {
	test("are started, opened in a tab of their own, restarted and stopped", async ({ page, node }) => {
		const said = complaints(page);
		await signIn(page, node, node.adminKey, "#/webapps");
		const row = page.getByRole("row").filter({ hasText: "board" });
		await expect(row).toContainText("stopped");
		await row.click();
		const detail = page.getByRole("region", { name: "Webapp board" });
		await expect(detail.getByRole("button", { name: "Open" })).toBeDisabled();
		await detail.getByRole("button", { name: "Start it" }).click();
		await expect(row).toContainText("running", { timeout: 30_000 });
		await expect(page.getByRole("log")).toContainText("listening");
		await expect(detail).toContainText(/127\.0\.0\.1:\d+/);
		const [tab] = await Promise.all([page.context().waitForEvent("page"), detail.getByRole("button", { name: "Open" }).click()]);
		await expect(tab.getByText("the app itself")).toBeVisible();
		expect(new URL(tab.url()).port).toBe(String(node.ports.webapps));
		expect(await tab.evaluate(() => window.opener)).toBeNull();
		await tab.close();
		await isSound(page);
		const first = (await webapp(node, "board")).processId;
		await detail.getByRole("button", { name: "Restart…" }).click();
		await page.getByRole("dialog").getByRole("button", { name: "Restart it" }).click();
		await until("another process", async () => {
			const w = await webapp(node, "board");
			return w.state === "running" && w.processId !== first;
		});
		await detail.getByRole("button", { name: "Stop…" }).click();
		await expect(page.getByRole("dialog")).toContainText("It stays stopped until somebody starts it");
		await isSound(page);
		await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
		expect((await webapp(node, "board")).state).toBe("running");
		await detail.getByRole("button", { name: "Stop…" }).click();
		await page.getByRole("dialog").getByRole("button", { name: "Stop 1 webapp" }).click();
		await expect(page.getByRole("dialog")).toContainText("All 1 ended.");
		await page.keyboard.press("Escape");
		await is(node, "board", "stopped");
		await expect(row).toContainText("stopped");
		expect(said).toEqual([]);
	});

	test("that crashed too often tell why, with the last crash and its lines; what they print is shown, not obeyed", async ({ page, node }) => {
		await node.api("PUT", "/public/api/projects/SITE/webapps/broken/backend/actions/restart");
		await is(node, "broken", "failed");
		await signIn(page, node, node.adminKey, "#/webapps?at=SITE/broken");
		const row = page.getByRole("row").filter({ hasText: "broken" });
		await expect(row).toContainText("It ended 2 times");
		const detail = page.getByRole("region", { name: "Webapp broken" });
		await detail.getByText(/^Last crash/).click();
		await expect(detail).toContainText("status 3");
		await expect(detail.getByLabel("Its last lines before the crash")).toContainText("<img src=x onerror=");
		await isUntaken(page);
		await isSound(page);
	});

	test("are reached and started by the keyboard alone", async ({ page, node }) => {
		await signIn(page, node, node.adminKey, "#/webapps?find=board");
		const grid = page.getByRole("grid", { name: "Webapps" });
		await expect(grid.locator(".item")).toHaveCount(1);
		await grid.focus();
		await page.keyboard.press("ArrowDown");
		await expect(grid.locator(".current")).toBeVisible();
		await page.keyboard.press("Enter");
		const start = page.getByRole("button", { name: "Start it" });
		await expect(start).toBeVisible();
		await until("the button", async () => {
			await page.keyboard.press("Tab");
			return start.evaluate((e) => e === document.activeElement);
		});
		await page.keyboard.press("Enter");
		await is(node, "board", "running");
		await node.api("PUT", "/public/api/projects/SITE/webapps/board/backend/actions/stop");
	});

	test("are not to be started by who may only read: the server's words are shown", async ({ page, node }) => {
		await signIn(page, node, await node.key("bob"), "#/webapps?at=SITE/board");
		await page.getByRole("region", { name: "Webapp board" }).getByRole("button", { name: "Start it" }).click();
		await expect(page.locator(".toast[data-tone=bad]")).toBeVisible();
		expect((await webapp(node, "board")).state).toBe("stopped");
	});
});
