// sound: what every page has to stand: no serious finding of axe in either theme, and no sideways scrolling on a phone.
import AxeBuilder from "@axe-core/playwright";
import { expect, type Page } from "@playwright/test";

const GRAVE = new Set(["serious", "critical"]);

/** Colours that are handed down come a level a frame later where elements have transitions, however short. */
async function hasSettled(page: Page): Promise<void> {
	await page.evaluate(async () => {
		const frame = () => new Promise((done) => requestAnimationFrame(done));
		for (let quiet = 0; quiet < 3; ) {
			await frame();
			quiet = document.getAnimations().some((a) => a instanceof CSSTransition && a.playState === "running") ? 0 : quiet + 1;
		}
	});
}

/** The page as it is now, in both themes, wide and on a phone; it is left wide and light. */
export async function isSound(page: Page): Promise<void> {
	for (const colorScheme of ["dark", "light"] as const) {
		await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
		await expect(page.locator("html")).toHaveAttribute("data-theme", colorScheme);
		for (const viewport of [{ width: 390, height: 844 }, { width: 1440, height: 900 }]) {
			await page.setViewportSize(viewport);
			await hasSettled(page);
			const { violations } = await new AxeBuilder({ page }).analyze();
			const grave = violations.filter((v) => GRAVE.has(v.impact ?? ""));
			expect(grave.map((v) => `${v.id}: ${v.nodes.map((n) => `${n.html.slice(0, 160)} ${n.failureSummary ?? ""}`).join(" | ")}`), `${colorScheme}, ${viewport.width} px`).toEqual([]);
			const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
			expect(over, `sideways at ${viewport.width} px`).toBeLessThanOrEqual(0);
		}
	}
}

/** What a user may call things: markup, a reversed direction, a control character, no end. */
export const HOSTILE = `<img src=x onerror="document.title='taken'">\u202ecod.exe\u0007 ${"long ".repeat(60)}`;

/** Nothing of it was obeyed. */
export async function isUntaken(page: Page): Promise<void> {
	expect(await page.title()).not.toBe("taken");
	expect(await page.locator("img[src=x]").count()).toBe(0);
	expect(await page.locator("body").innerText()).not.toContain("\u202e");
}
