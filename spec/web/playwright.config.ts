// The page in a real browser, Debian's, against real instances with real processes. `sh spec/run.sh spec/web/NAME.spec.ts` runs one file.
import { defineConfig, devices } from "@playwright/test";

const isRoot = process.getuid?.() === 0;
const shared = {
	...devices["Desktop Chrome"],
	viewport: { width: 1440, height: 900 },
	launchOptions: {
		executablePath: process.env.DSS_CHROMIUM ?? "/usr/bin/chromium",
		// The sandbox needs another user than root.
		args: isRoot ? ["--no-sandbox"] : [],
	},
};

export default defineConfig({
	testDir: ".",
	outputDir: process.env.DSS_WEB_OUT ?? "/tmp/dss-web-out",
	forbidOnly: true,
	fullyParallel: false,
	workers: 2, // files side by side, each with an instance of its own: they wait more than they work
	retries: 1, // what fails is run once more with another instance, and told as unsteady if it passes then
	timeout: 120_000, // bounds end what hangs: a loaded machine needs longer for all
	expect: { timeout: 30_000 },
	reporter: [["list"], ["json", { outputFile: process.env.DSS_WEB_REPORT ?? "/tmp/dss-web-out/report.json" }]],
	// Where a name such as Europe/Berlin or de-DE matters a spec says so itself.
	use: { ...shared, locale: "en-GB", timezoneId: "UTC", trace: "off", screenshot: "off", video: "off", serviceWorkers: "block" },
	projects: [
		{ name: "specs", testMatch: "**/*.spec.ts" },
		{ name: "screenshots", testMatch: "screenshots.ts", timeout: 300_000 },
	],
});
