// session: the key of who is logged in. It lies in this tab's session storage and goes out as a header alone: there is no cookie that another
// origin could ride on. A new tab of the same origin asks the others, so that a link may be opened beside.
import { signal } from "@preact/signals";

const STORED = "dss.key";
const ASK_MS = 200;

type Message = { what: "ask" } | { what: "have"; key: string } | { what: "leave" };

function read(): string | null {
	try {
		return sessionStorage.getItem(STORED);
	} catch {
		return null;
	}
}

/** The key in use; null: nobody is logged in; undefined: other tabs are being asked. */
export const key = signal<string | null | undefined>(read() ?? undefined);
/** Why the last one was logged out, in words; "" = by themselves. */
export const leftBecause = signal("");

const others = typeof BroadcastChannel === "undefined" ? null : new BroadcastChannel("dss.session");

function keep(k: string): void {
	try {
		sessionStorage.setItem(STORED, k);
	} catch {
		// it lives as long as the page, then
	}
	key.value = k;
}

export function logIn(k: string): void {
	leftBecause.value = "";
	keep(k);
}

/** Forgets the key; in all tabs unless it was refused in this one alone. */
export function logOut(because = ""): void {
	try {
		sessionStorage.removeItem(STORED);
	} catch {
		// nothing was kept
	}
	leftBecause.value = because;
	key.value = null;
	if (!because) others?.postMessage({ what: "leave" } satisfies Message);
}

others?.addEventListener("message", (e: MessageEvent<Message>) => {
	const m = e.data;
	if (m.what === "ask" && key.value) others.postMessage({ what: "have", key: key.value } satisfies Message);
	else if (m.what === "have" && key.value === undefined) keep(m.key);
	else if (m.what === "leave" && key.value) {
		try {
			sessionStorage.removeItem(STORED);
		} catch {
			// nothing was kept
		}
		key.value = null;
	}
});

if (key.value === undefined) {
	others?.postMessage({ what: "ask" } satisfies Message);
	setTimeout(() => {
		if (key.value === undefined) key.value = null;
	}, others ? ASK_MS : 0);
}
