// The page as a whole: it comes, does only what its policy allows, and lets in who has a key.
import { barriers, complaints, expect, signIn, test } from "./instance";

test.describe("the page", () => {
	test("comes with a policy that forbids what is not the daemon's own, and nobody has to break it", async ({ page, node }) => {
		const said = complaints(page);
		const answer = await page.goto(node.baseURL + "/");
		expect(answer!.status()).toBe(200);
		const policy = answer!.headers()["content-security-policy"]!;
		expect(policy).toContain("default-src 'none'; script-src 'self'; style-src 'self'");
		expect(policy).not.toContain("unsafe-");
		await expect(page.getByRole("button", { name: "Log in" })).toBeVisible();
		expect(said).toEqual([]);
	});

	test("refuses a wrong key in words, and lets in the right one", async ({ page, node }) => {
		await page.goto(node.baseURL + "/");
		await page.getByLabel("Key").fill("nobodys-key");
		await page.getByRole("button", { name: "Log in" }).click();
		await expect(page.getByRole("alert")).toContainText("not accepted");
		await page.getByLabel("Key").fill(await node.key("anna"));
		await page.keyboard.press("Enter");
		await expect(page.getByRole("navigation", { name: "Pages" })).toBeVisible();
		expect(await page.evaluate(() => document.cookie)).toBe("");
		expect(page.url()).not.toContain(await node.key("anna"));
	});

	for (const theme of ["light", "dark"] as const)
		test(`keeps nobody out: ${theme}`, async ({ page, node }) => {
			await page.emulateMedia({ colorScheme: theme });
			await page.goto(node.baseURL + "/");
			await expect(page.getByRole("button", { name: "Log in" })).toBeVisible();
			expect(await barriers(page)).toEqual([]);
			await signIn(page, node);
			await expect(page.getByRole("heading", { level: 1, name: "Background tasks" })).toBeVisible();
			expect(await barriers(page)).toEqual([]);
		});

	test("speaks with the daemon alone, and says nothing on the console", async ({ page, node }) => {
		const said = complaints(page), elsewhere: string[] = [];
		page.on("request", (r) => {
			if (!r.url().startsWith(node.baseURL) && !r.url().startsWith("data:")) elsewhere.push(r.url());
		});
		await signIn(page, node);
		await expect(page.getByRole("navigation", { name: "Pages" })).toBeVisible();
		await expect(page).toHaveTitle(/Background tasks/);
		expect(elsewhere).toEqual([]);
		expect(said).toEqual([]);
	});
});
