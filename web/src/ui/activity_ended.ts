// activity_ended: what of one's own ended lately, and a notice when one was killed.
import { get, seg } from "../lib/api";
import { plain } from "../lib/format";
import { href } from "../lib/router";
import { me, onFact, rows } from "../state/board";
import { tell } from "./toast";

/** A task as /api/tasks tells it, as far as the page's frame needs it. */
export interface EndedTask {
	jobId: string;
	state: string;
	type?: string;
	title?: string;
	project?: string;
	owner?: string;
	payload?: { displayName?: string };
	endTime?: number;
	cause?: string;
	error?: { message?: string; text?: string } | string;
	reason?: string;
}

export const titleOf = (t: EndedTask): string => t.title ?? t.payload?.displayName ?? t.type ?? t.jobId;

export function whyOf(t: EndedTask): string {
	const e = t.error;
	return (typeof e === "string" ? e : (e?.message ?? e?.text)) ?? t.reason ?? t.cause ?? "";
}

const GATHER_MS = 1200;
const EACH_MOST = 2; // of more at once the number is told

const killed = new Map<string, string>(); // task → its title, where the board knew it
let timer: ReturnType<typeof setTimeout> | undefined;

async function notice(): Promise<void> {
	timer = undefined;
	const list = [...killed];
	killed.clear();
	if (list.length > EACH_MOST)
		return tell(`${list.length} of your tasks were killed: ${list.slice(0, 3).map(([id, title]) => title || id).join(", ")}${list.length > 3 ? " …" : "."}`, "bad", {
			href: href("tasks"),
			text: "See what runs",
		});
	for (const [id, title] of list) {
		let why = "";
		let name = title;
		try {
			const t = await get<EndedTask>(`/api/tasks/${seg(id)}`);
			why = whyOf(t);
			name ||= titleOf(t);
		} catch {
			// the link tells it
		}
		// Reasons begin with what happened.
		const reason = why.replace(/^Killed:\s*/, "");
		tell(`${plain(name || id)} was killed${reason ? `: ${reason}` : "."}`, "bad", { href: href("task", `future:${id}`), text: "Open it" });
	}
}

/** Tells of own tasks that are killed, from now on. Returns what ends it. */
export function startNotices(): () => void {
	return onFact((f) => {
		if (f.what !== "task.ended" || f.owner !== me.value || f.detail?.["state"] !== "killed") return;
		const row = rows.get(`future:${f.subject}`) ?? rows.get(`training:${f.subject}`);
		killed.set(f.subject, row?.what ?? "");
		timer ??= setTimeout(() => void notice(), GATHER_MS);
	});
}
