// log: a live log of any size: follows its end, goes back as far as it reaches, is searched as a whole. Lines in sight alone are drawn.
import "../style/log.css";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { logPiece } from "../lib/api";
import { spans } from "../lib/ansi";
import { bytes } from "../lib/format";
import { Logbook } from "../lib/logbook";
import { waiting } from "../lib/waiting";
import { Button, Failed } from "./basics";

const LINE = 18;
const BEYOND = 20;
const WAIT_S = 25;
const SHOWN_MOST = 4000; // characters of a line

/** path: a route that answers pieces (?offset=), e.g. /api/tasks/ID/log. */
export function Log({ path, label = "Log" }: { path: string; label?: string }) {
	const box = useRef<HTMLDivElement>(null);
	const book = useMemo(() => new Logbook((offset, wait, signal) => logPiece(path, offset, wait, signal)), [path]);
	const [, draw] = useState(0);
	const redraw = () => draw((n) => n + 1);
	const [view, setView] = useState({ top: 0, height: 400 });
	const [follows, setFollows] = useState(true);
	const follow = useRef(true);
	follow.current = follows;
	const [error, setError] = useState<Error>();
	const [isOpen, setOpen] = useState(false);
	const [needle, setNeedle] = useState("");
	const [hit, setHit] = useState<number | null>(null);
	const [search, setSearch] = useState("");
	const searching = useRef<AbortController>();
	const loadsBack = useRef(false);
	const wake = useRef(() => {});
	/** a line of the window to be brought into sight once it is drawn */
	const goal = useRef<number | null>(null);
	/** where it was scrolled to by us: the event that tells of it comes later, and is nobody's wish. -1: somebody has scrolled since */
	const placed = useRef(-1);

	// opens it, then stays at its end while it is followed
	useEffect(() => {
		setOpen(false);
		setError(undefined);
		const followed = waiting({
			open: async (signal) => {
				await book.openEnd(signal);
				setOpen(true);
				redraw();
			},
			more: async (signal) => {
				const came = await book.forward(WAIT_S, signal);
				redraw();
				return came;
			},
			rests: () => !follow.current || (book.isWhole && book.to >= book.size),
			fail: setError,
		});
		wake.current = followed.wake;
		return () => {
			searching.current?.abort();
			followed.end();
		};
	}, [book]);
	useEffect(() => wake.current(), [follows]);

	const lines = book.lines;
	const height = lines.length * LINE;
	const kept = useRef(0);
	useLayoutEffect(() => {
		const el = box.current;
		if (!el) return;
		const moved = book.shift - kept.current;
		kept.current = book.shift;
		const to = goal.current !== null ? Math.max(0, goal.current * LINE - el.clientHeight / 2) : follow.current ? el.scrollHeight : moved ? el.scrollTop + moved * LINE : undefined;
		if (to !== undefined) {
			el.scrollTop = to;
			placed.current = el.scrollTop;
		}
		if (goal.current) el.scrollIntoView({ block: "nearest" });
		goal.current = null;
		setView((v) => (v.top === el.scrollTop && v.height === el.clientHeight ? v : { top: el.scrollTop, height: el.clientHeight }));
	});

	const onScroll = async () => {
		const el = box.current!;
		setView({ top: el.scrollTop, height: el.clientHeight });
		const isAtEnd = el.scrollHeight - el.scrollTop - el.clientHeight < LINE * 2;
		if (el.scrollTop !== placed.current) {
			placed.current = -1;
			if (follow.current !== isAtEnd && (isAtEnd ? book.to >= book.size : true)) setFollows(isAtEnd);
		}
		if (loadsBack.current) return;
		loadsBack.current = true;
		try {
			if (el.scrollTop < LINE * 40 && book.from > 0) await book.back();
			else if (isAtEnd && book.to < book.size) await book.forward(0);
			else return;
			redraw();
		} catch (e) {
			setSearch((e as Error).message);
		} finally {
			loadsBack.current = false;
		}
	};

	const goEnd = async () => {
		setHit(null);
		try {
			if (book.to < book.size) await book.openEnd();
		} catch (e) {
			return setSearch((e as Error).message);
		}
		setFollows(true);
		redraw();
	};
	const goStart = async () => {
		setFollows(false);
		follow.current = false;
		setHit(null);
		try {
			await book.openAt(0);
		} catch (e) {
			return setSearch((e as Error).message);
		}
		goal.current = 0;
		redraw();
	};

	const find = async (by: 1 | -1) => {
		if (!needle) return;
		searching.current?.abort();
		const abort = new AbortController();
		searching.current = abort;
		setFollows(false);
		follow.current = false;
		const inSight = by < 0 ? Math.min(lines.length - 1, Math.floor((view.top + view.height) / LINE)) : Math.floor(view.top / LINE);
		const from = hit === null ? inSight : Math.max(0, lines.findIndex((l) => l.at === hit)) + by;
		try {
			setSearch("Searching…");
			const i = await book.find(needle, from, by, (at) => setSearch(`Searching at ${bytes(at)} of ${bytes(book.size)}…`), abort.signal);
			if (abort.signal.aborted) return setSearch("");
			setSearch(i === null ? `Nothing ${by < 0 ? "above" : "below"}.` : "");
			if (i === null) return;
			setHit(book.lines[i]!.at);
			goal.current = i;
			redraw();
		} catch (e) {
			if (!abort.signal.aborted) setSearch((e as Error).message);
		}
	};

	const first = Math.max(0, Math.floor(view.top / LINE) - BEYOND);
	const last = Math.min(lines.length, Math.ceil((view.top + view.height) / LINE) + BEYOND);
	return (
		<section class="log" aria-label={label}>
			<div class="log-bar">
				<input
					class="field"
					type="search"
					placeholder="Search the whole log"
					aria-label="Search the whole log"
					value={needle}
					onInput={(e) => {
						setNeedle(e.currentTarget.value);
						setHit(null);
						setSearch("");
					}}
					onKeyDown={(e) => {
						if (e.key === "Enter") void find(e.shiftKey ? 1 : -1);
						else if (e.key === "Escape") searching.current?.abort();
					}}
				/>
				<Button small disabled={!needle} title="Search upwards (Enter)" aria-label="Search upwards" onClick={() => find(-1)}>
					↑
				</Button>
				<Button small disabled={!needle} title="Search downwards (Shift+Enter)" aria-label="Search downwards" onClick={() => find(1)}>
					↓
				</Button>
				<span class="dim" role="status">
					{search}
				</span>
				<span class="push dim num">{isOpen && bytes(book.size)}</span>
				<Button small look="quiet" disabled={!isOpen} onClick={goStart}>
					Start
				</Button>
				<Button small look={follows ? undefined : "quiet"} aria-pressed={follows} disabled={!isOpen} title="Stay at the end while more comes" onClick={() => (follows ? setFollows(false) : void goEnd())}>
					{book.isWhole && book.to >= book.size ? "End" : "Follow"}
				</Button>
			</div>
			{error && <Failed error={error} />}
			<div ref={box} class="log-lines" tabIndex={0} role="log" aria-label={label} aria-live="off" onScroll={onScroll}>
				<div style={{ height: `${height}px` }}>
					{lines.slice(first, last).map((l, n) => (
						<div key={l.at} class={`log-line${l.at === hit ? " hit" : ""}`} style={{ top: `${(first + n) * LINE}px` }}>
							{spans(l.text.length > SHOWN_MOST ? `${l.text.slice(0, SHOWN_MOST)} … (${l.text.length - SHOWN_MOST} more)` : l.text).map((s) =>
								needle ? <Marked text={s.text} look={s.look} needle={needle} /> : s.look ? <span class={s.look}>{s.text}</span> : s.text,
							)}
						</div>
					))}
				</div>
				{isOpen && !lines.length && !error && <p class="dim" style={{ padding: "12px" }}>{book.isWhole ? "Nothing was printed." : "Nothing was printed yet."}</p>}
			</div>
		</section>
	);
}

function Marked({ text, look, needle }: { text: string; look: string; needle: string }) {
	const low = text.toLowerCase();
	const n = needle.toLowerCase();
	const out = [];
	let from = 0;
	for (let at = low.indexOf(n); at >= 0 && n; at = low.indexOf(n, from)) {
		out.push(text.slice(from, at), <mark>{text.slice(at, at + n.length)}</mark>);
		from = at + n.length;
	}
	out.push(text.slice(from));
	return <span class={look}>{out}</span>;
}
