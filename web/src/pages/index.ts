// pages: what there is: name in the URL, title, place in the navigation, who sees it, and its chunk. A page that comes later (flow, usage, scenarios,
// users, audit) is one more line.
import type { FunctionComponent } from "preact";

export interface PageEntry {
	/** the first segment of its URL */
	name: string;
	title: string;
	/** where it stands in the navigation; none: it is reached from others */
	group?: "Now" | "Work" | "Node";
	admin?: boolean;
	/** the second key of its shortcut "g …" */
	key?: string;
	load: () => Promise<{ default: FunctionComponent }>;
}

export const pages: PageEntry[] = [
	{ name: "tasks", title: "Background tasks", group: "Now", key: "t", load: () => import("./tasks") },
	{ name: "task", title: "Task", load: () => import("./task") },
	{ name: "ended", title: "Ended tasks", group: "Now", key: "e", load: () => import("./ended") },
	{ name: "alerts", title: "Alerts", group: "Now", admin: true, key: "a", load: () => import("./alerts") },
	{ name: "jobs", title: "Jobs", group: "Work", key: "j", load: () => import("./jobs") },
	{ name: "job", title: "Job", load: () => import("./job") },
	{ name: "notebooks", title: "Notebooks", group: "Work", key: "n", load: () => import("./notebooks") },
	{ name: "webapps", title: "Webapps", group: "Work", key: "w", load: () => import("./webapps") },
	{ name: "macros", title: "Macros", group: "Work", key: "m", load: () => import("./macros") },
	{ name: "pools", title: "Pools", group: "Node", key: "p", load: () => import("./pools") },
	{ name: "policies", title: "Policies", group: "Node", admin: true, key: "l", load: () => import("./policies") },
];
