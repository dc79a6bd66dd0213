// activity_ended: what of one's own ended lately, and a notice when one was killed, or aborted by somebody else.
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

interface End {
	state: "killed" | "aborted";
	/** where the board knew it */
	title: string;
}

const ended = new Map<string, End>(); // by task
let timer: ReturnType<typeof setTimeout> | undefined;

/** Was it aborted by oneself? An admin may do that as an admin, too. */
const isOwnAct = (why: string): boolean => [".", " before it was started."].some((rest) => why === `Aborted by ${me.value}${rest}`);

async function notice(): Promise<void> {
	timer = undefined;
	const list = [...ended];
	ended.clear();
	if (list.length > EACH_MOST) {
		const states = new Set(list.map(([, e]) => e.state));
		const what = states.size === 1 ? [...states][0] : "killed or aborted";
		return tell(`${list.length} of your tasks were ${what}: ${list.slice(0, 3).map(([id, e]) => e.title || id).join(", ")}${list.length > 3 ? " …" : "."}`, "bad", {
			href: href("tasks"),
			text: "See what runs",
		});
	}
	for (const [id, e] of list) {
		let why = "";
		let name = e.title;
		try {
			const t = await get<EndedTask>(`/api/tasks/${seg(id)}`);
			why = whyOf(t);
			name ||= titleOf(t);
		} catch {
			// the link tells it
		}
		if (e.state === "aborted" && isOwnAct(why)) continue;
		// Reasons begin with what happened: "Killed: …", "Aborted by …".
		const reason = why.replace(/^Killed:\s*/, "");
		const said = e.state === "aborted" && /^Aborted by /.test(reason) ? `was aborted${reason.slice("Aborted".length)}` : `was ${e.state}${reason ? `: ${reason}` : "."}`;
		tell(`${plain(name || id)} ${said}`, "bad", { href: href("task", `future:${id}`), text: "Open it" });
	}
}

/** Tells of own tasks that are killed, or that somebody else or a policy aborts, from now on. Returns what ends it. */
export function startNotices(): () => void {
	return onFact((f) => {
		const state = f.detail?.["state"];
		const cause = f.detail?.["cause"];
		if (f.what !== "task.ended" || f.owner !== me.value) return;
		if (state !== "killed" && !(state === "aborted" && (cause === "admin" || cause === "policy"))) return;
		const row = rows.get(`future:${f.subject}`) ?? rows.get(`training:${f.subject}`);
		ended.set(f.subject, { state, title: row?.what ?? "" });
		timer ??= setTimeout(() => void notice(), GATHER_MS);
	});
}
