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
	{ name: "alerts", title: "Alerts", group: "Now", admin: true, key: "a", load: () => import("./alerts") },
	{ name: "pools", title: "Pools", group: "Node", key: "p", load: () => import("./pools") },
	{ name: "policies", title: "Policies", group: "Node", admin: true, key: "l", load: () => import("./policies") },
];
