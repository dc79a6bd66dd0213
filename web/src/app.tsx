// app: the frame: who is logged in, title bar, navigation, the page, what is said when the connection is lost.
import type { FunctionComponent } from "preact";
import { useComputed } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { Login } from "./login";
import { time } from "./lib/format";
import { go, href, page } from "./lib/router";
import { key, logOut } from "./lib/session";
import { shownTheme, theme } from "./lib/theme";
import { pages, type PageEntry } from "./pages";
import { heardAt, hello, isAdmin, link, me, node, retry, rows, startBoard, tick } from "./state/board";
import type { Kind } from "./stream/protocol";
import { alertCount } from "./state/alerts";
import { Activity } from "./ui/activity";
import { Button, clock, Empty, Failed, Kbd, Loading } from "./ui/basics";
import { Dialog } from "./ui/dialog";
import { tellExact } from "./ui/exact";
import { shortcuts, useShortcuts } from "./ui/keys";
import { Toasts } from "./ui/toast";

startBoard();
tellExact();

const loaded = new Map<string, FunctionComponent>();

/** A page's chunk, fetched when it is first gone to. */
function Page({ entry }: { entry: PageEntry }) {
	const [state, setState] = useState<{ name: string; error?: Error }>({ name: "" });
	const have = loaded.get(entry.name);
	const load = () =>
		entry.load().then(
			(m) => {
				loaded.set(entry.name, m.default);
				setState({ name: entry.name });
			},
			(error: Error) => setState({ name: entry.name, error }),
		);
	useEffect(() => {
		document.title = `${entry.title} · dssd`;
		if (!have) void load();
	}, [entry.name]);
	if (have) {
		const View = have;
		return <View />;
	}
	if (state.name === entry.name && state.error)
		return (
			<div class="page">
				<Failed error={new Error("This part of the page could not be fetched; the server may have a newer version. Reload the page.")} retry={() => location.reload()} />
			</div>
		);
	return <Loading />;
}

function LostBar() {
	const l = link.value;
	if (l.state !== "lost") return null;
	clock.value;
	const wait = l.retryAt ? Math.max(0, Math.ceil((l.retryAt - Date.now()) / 1000)) : 0;
	return (
		<div class="lost" role="status">
			<strong>Connection lost.</strong>
			<span>
				{l.text} What you see is of {time(heardAt.value)}; what runs does not need this connection. {wait ? `Trying again in ${wait} s.` : "Trying again…"}
			</span>
			<Button small onClick={retry}>
				Try now
			</Button>
		</div>
	);
}

/** What runs and waits of what one may see: an admin the node's, others their own. As the node counts it: no webapp or notebook that is open only. */
function atWork(): number | undefined {
	if (!hello.value || !node.value) return undefined;
	if (isAdmin.value) return node.value.running + node.value.waiting;
	tick.value;
	let n = 0;
	for (const r of rows.values()) if (r.state === "waiting" || WORK.has(r.kind) || (r.kind === "notebook" && r.state === "running")) n++;
	return n;
}
const WORK = new Set<Kind>(["future", "job", "recipe", "training", "macro"]);

function Nav() {
	// drawn anew when the number is another one, not with each message
	const shown = useComputed(atWork);
	const groups = ["Now", "Work", "Node"] as const;
	const counts: Record<string, { n: number; tone?: string } | undefined> = {
		tasks: shown.value === undefined ? undefined : { n: shown.value },
		alerts: alertCount.value ? { n: alertCount.value, tone: "bad" } : undefined,
	};
	return (
		<nav class="nav" aria-label="Pages">
			{groups.map((g) => {
				const list = pages.filter((p) => p.group === g && (!p.admin || isAdmin.value));
				if (!list.length) return null;
				return (
					<>
						<h2>{g}</h2>
						{list.map((p) => (
							<a key={p.name} href={href(p.name)} aria-current={page.value === p.name || (p.name === "tasks" && page.value === "task") || (p.name === "jobs" && page.value === "job") ? "page" : undefined}>
								{p.title}
								{counts[p.name] && (
									<span class="count" data-tone={counts[p.name]!.tone}>
										{counts[p.name]!.n}
									</span>
								)}
							</a>
						))}
					</>
				);
			})}
		</nav>
	);
}

function Help({ onClose }: { onClose: () => void }) {
	return (
		<Dialog title="Keys" onClose={onClose}>
			<dl class="facts">
				{shortcuts().map((s) => (
					<>
						<dt>
							{s.keys.split(" ").map((k) => (
								<>
									<Kbd>{k}</Kbd>{" "}
								</>
							))}
						</dt>
						<dd>{s.does}</dd>
					</>
				))}
				<dt>
					<Kbd>↑</Kbd> <Kbd>↓</Kbd> <Kbd>Enter</Kbd>
				</dt>
				<dd>in a table: go to a row, open it</dd>
				<dt>
					<Kbd>Space</Kbd> <Kbd>Shift</Kbd>+<Kbd>↓</Kbd>
				</dt>
				<dd>choose a row, choose on</dd>
			</dl>
		</Dialog>
	);
}

function Bar({ onHelp }: { onHelp: () => void }) {
	const live = link.value.state === "live";
	return (
		<header class="bar">
			<a class="brand" href={href("tasks")}>
				dssd <small class="only-wide">{hello.value?.instance}</small>
			</a>
			<span class="state" data-tone={live ? "good" : "warn"} role="status">
				<i aria-hidden="true" />
				<span class="only-wide">{live ? "live" : link.value.state}</span>
			</span>
			<span class="push" />
			<Activity />
			<Button look="quiet" icon aria-label={`Switch to ${shownTheme.value === "dark" ? "light" : "dark"}`} title="Light or dark" onClick={() => (theme.value = shownTheme.value === "dark" ? "light" : "dark")}>
				{shownTheme.value === "dark" ? "☀" : "☾"}
			</Button>
			<Button look="quiet" icon aria-label="Keys" title="Keys (?)" onClick={onHelp}>
				?
			</Button>
			<span class="only-wide dim">
				{me.value}
				{isAdmin.value && me.value !== "admin" ? " (admin)" : ""}
			</span>
			<Button look="quiet" onClick={() => logOut()}>
				Log out
			</Button>
		</header>
	);
}

function Inside() {
	const [helps, setHelps] = useState(false);
	const entry = pages.find((p) => p.name === page.value);
	useShortcuts([
		...pages.filter((p) => p.key && (!p.admin || isAdmin.value)).map((p) => ({ keys: `g ${p.key}`, does: `go to ${p.title}`, run: () => go(href(p.name)) })),
		{ keys: "/", does: "go to the filter", run: () => document.querySelector<HTMLElement>("[data-filter]")?.focus() },
		{ keys: "?", does: "show these keys", run: () => setHelps(true) },
	]);
	return (
		<div class="app">
			<Bar onHelp={() => setHelps(true)} />
			<Nav />
			<main class="main">
				<LostBar />
				{!entry ? (
					<Empty title="There is no such page.">
						<a href={href("tasks")}>Background tasks</a>
					</Empty>
				) : entry.admin && hello.value && !isAdmin.value ? (
					<Empty title="This page is for admins." />
				) : (
					<Page entry={entry} key={entry.name} />
				)}
			</main>
			{helps && <Help onClose={() => setHelps(false)} />}
			<Toasts />
		</div>
	);
}

export function App() {
	if (key.value === undefined) return null; // other tabs are being asked
	return key.value ? <Inside /> : <Login />;
}
