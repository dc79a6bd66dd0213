// routes: every page, where it is, and what stands there once it is whole. A new page is one more line: it gets its pictures by that.
import type { Locator, Page } from "@playwright/test";
import type { Work } from "./work";

export interface Route {
	/** of the picture */
	name: string;
	at: (work: Work) => string;
	/** is visible once the page is whole */
	whole: (page: Page) => Locator;
	/** what is done there before */
	first?: (page: Page) => Promise<void>;
}

const heading = (name: string | RegExp) => (page: Page) => page.getByRole("heading", { level: 1, name });

export const routes: Route[] = [
	{ name: "tasks", at: () => "#/tasks", whole: (page) => page.getByText("import of customers") },
	{ name: "task", at: (w) => `#/task/future:${w.running}`, whole: heading("import of customers") },
	{ name: "death", at: (w) => `#/task/future:${w.died}?tab=why`, whole: heading("join of all orders") },
	{ name: "log", at: (w) => `#/task/future:${w.nightly}?tab=log`, whole: heading("nightly report") },
	{ name: "ended", at: () => "#/ended", whole: heading("Ended tasks") },
	{ name: "alerts", at: () => "#/alerts", whole: heading("Alerts") },
	{ name: "jobs", at: () => "#/jobs", whole: heading("Jobs") },
	{ name: "job", at: (w) => `#/job/DEMO/${w.job}`, whole: heading(/./) },
	{ name: "notebooks", at: () => "#/notebooks", whole: heading("Notebooks") },
	{ name: "webapps", at: () => "#/webapps", whole: heading("Webapps") },
	{ name: "macros", at: () => "#/macros", whole: heading("Macros") },
	{ name: "pools", at: () => "#/pools", whole: heading("Pools") },
	{ name: "policies", at: () => "#/policies", whole: heading("Policies") },
	{
		name: "mistake",
		at: () => "#/policies?file=30-rules.lua",
		whole: (page) => page.getByText(/did you mean/),
		// typed once; the draft stays in the tab
		first: async (page) => {
			await page.getByRole("textbox", { name: "Text of 30-rules.lua" }).focus();
			await page.keyboard.press("Control+Home");
			await page.keyboard.insertText('rule "large notebooks" {\n  evry = "5min", each = "notebook",\n  where = "memory > 4g", act = notify "{user} holds {memory}",\n}\n\n');
		},
	},
];
