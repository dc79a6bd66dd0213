// model: webapps as the server tells them, and what can be done to them.
import { get, post, put, seg } from "../../lib/api";
import { rows } from "../../state/board";
import type { Row } from "../../stream/protocol";

export interface Webapp {
	id: string;
	project: string;
	owner?: string;
	state: "stopped" | "starting" | "running" | "stopping" | "backoff" | "failed";
	wanted: "running" | "stopped";
	port?: number;
	socket?: string;
	processId?: string;
	crashes: number;
	startedAt?: number;
	readyAt?: number;
	waitingSince?: number;
	unhealthySince?: number;
	reason?: string;
	autostart?: boolean;
	tags?: string[];
	memoryBytes?: number;
	peakBytes?: number;
	limitBytes?: number;
	cpuSeconds?: number;
}

export interface Crash {
	at: number;
	cause?: string;
	message?: string;
	code?: number;
	signal?: number;
	peakBytes?: number;
	limitBytes?: number;
	lines?: string[];
}

export interface Backend {
	backend?: Webapp & { lastCrash?: Crash };
}

const path = (w: Webapp) => `/public/api/projects/${seg(w.project)}/webapps/${seg(w.id)}/backend`;

export const keyOf = (w: Webapp): string => `${w.project}/${w.id}`;
export const boardOf = (w: Webapp): Row | undefined => rows.get(`webapp:${w.project}/${w.id}`);
export const isUp = (w: Webapp): boolean => w.state !== "stopped" && w.state !== "failed";
export const start = (w: Webapp) => put(`${path(w)}/actions/restart`, {});
export const stop = (w: Webapp) => put(`${path(w)}/actions/stop`, {});
export const backend = (w: Webapp, signal: AbortSignal) => get<Backend>(`${path(w)}/state`, undefined, signal);

/** Opens it in a tab of its own. That is made before the server is asked, or browsers take it for a pop-up. */
export async function open(w: Webapp): Promise<void> {
	const tab = window.open("about:blank", "_blank");
	try {
		const t = await post<{ url: string }>(`/api/webapps/${seg(w.project)}/${seg(w.id)}/ticket`);
		if (!/^https?:\/\//.test(t.url)) throw new Error("The server's link is none.");
		if (!tab) throw new Error("The browser did not allow another tab. Allow pop-ups of this page, and open it again.");
		tab.opener = null; // it is another's page: it gets no hold of this one
		tab.location.replace(t.url);
	} catch (e) {
		tab?.close();
		throw e;
	}
}
