// Pictures of every page, of a demo instance at work, for docs/img: `make screenshots`.
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { expect, signIn, test } from "./instance";
import { routes } from "./routes";
import { putToWork, type Work } from "./work";

const out = process.env.DSS_SHOTS ?? resolve(__dirname, "../../docs/img");
const only = process.env.DSS_SHOTS_ONLY?.split(",");
const sizes = { wide: { width: 1440, height: 900 }, narrow: { width: 390, height: 844 } };
// The curves have something to show then.
const SETTLE_MS = Number(process.env.DSS_SHOTS_SETTLE_MS ?? 45_000);

/** With a palette: a third of the bytes, and nobody sees it. */
function smaller(png: Buffer): Buffer {
	const packed = spawnSync("/usr/bin/pngquant", ["--speed", "1", "--strip", "256", "-"], { input: png, maxBuffer: 64 << 20 });
	if (packed.error) throw new Error("unable to make the pictures smaller: there is no /usr/bin/pngquant (sh etc/setup.sh test)");
	return packed.status === 0 && packed.stdout.length < png.length ? packed.stdout : png;
}

test("screenshots", async ({ browser, node }) => {
	test.setTimeout(600_000);
	mkdirSync(out, { recursive: true });
	const work: Work = await putToWork(node);
	await new Promise((wake) => setTimeout(wake, SETTLE_MS));
	for (const theme of ["light", "dark"] as const)
		for (const [size, viewport] of Object.entries(sizes)) {
			const context = await browser.newContext({ viewport, colorScheme: theme, reducedMotion: "reduce", locale: "en-GB", timezoneId: "UTC", hasTouch: size === "narrow", isMobile: size === "narrow" });
			const page = await context.newPage();
			await signIn(page, node);
			for (const route of routes.filter((r) => !only || only.includes(r.name))) {
				const file = `${route.name}-${size}-${theme}.png`;
				await page.goto(`${node.baseURL}/${route.at(work)}`);
				await route.first?.(page);
				const shown = await route.whole(page).first().waitFor({ timeout: 8_000 }).then(() => true, () => false);
				expect.soft(shown, `${route.name} (${size}, ${theme}) is whole`).toBe(true);
				if (!shown) continue;
				await page.waitForTimeout(1500); // rows and curves that come after
				const bytes = smaller(await page.screenshot({ animations: "disabled" }));
				writeFileSync(resolve(out, file), bytes);
				console.log(`  ${file}  ${(bytes.length / 1000).toFixed(0)} kB`);
			}
			await context.close();
		}
});
