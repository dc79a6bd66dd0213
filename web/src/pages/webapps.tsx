// webapps: those of all projects, what is wanted of them and what they do; open, start, stop.
import "../style/webapps.css";
import "../style/work.css";
import { useMemo, useState } from "preact/hooks";
import { get } from "../lib/api";
import { plain } from "../lib/format";
import { place, setQuery } from "../lib/router";
import { memoryOf, tick } from "../state/board";
import { useFollow } from "../state/follow";
import { useLoad } from "../state/load";
import type { Row } from "../stream/protocol";
import { Bytes, Empty, Meter, Since, State, Text } from "../ui/basics";
import { Act, Confirm } from "../ui/confirm";
import { EndDialog } from "../ui/ends";
import { ListPage, ordered, sortFrom } from "../ui/list";
import { TWO_LINES } from "../ui/narrow";
import type { Column } from "../ui/table";
import { tell, tellError } from "../ui/toast";
import { Detail } from "./webapps/detail";
import { boardOf, isUp, keyOf, open, start, stop, type Webapp } from "./webapps/model";

const memory = (w: Webapp): number | null => {
	const row = boardOf(w);
	return (row ? memoryOf(row.id) : null) ?? w.memoryBytes ?? null;
};

/** Why it is not as it is wanted. */
const why = (w: Webapp): string => w.reason ?? (w.unhealthySince ? "It does not answer its health check." : w.state === "backoff" ? "It crashed, and is started again soon." : "");

const shownState = (w: Webapp): string => (w.unhealthySince && w.state === "running" ? "unhealthy" : w.state);

const columns: Column<Webapp>[] = [
	{ id: "id", title: "Webapp", width: "minmax(100px, 1.5fr)", sortable: true, from: TWO_LINES, render: (w) => <Text text={w.id} /> },
	{
		id: "id",
		title: "Webapp",
		width: "minmax(0, 1fr)",
		sortable: true,
		until: TWO_LINES - 1,
		render: (w) => (
			<span class="two-lines">
				<span class="cut">
					<Text text={w.id} /> <span class="dim">{plain(w.project)}</span>
				</span>
				<span class="dim">
					<State state={shownState(w)} /> <span class="cut">{plain(why(w))}</span>
				</span>
			</span>
		),
	},
	{ id: "project", title: "Project", width: "minmax(60px, 1fr)", sortable: true, from: TWO_LINES, render: (w) => <Text text={w.project} /> },
	{ id: "owner", title: "Owner", width: "minmax(60px, 1fr)", sortable: true, from: 720, render: (w) => <Text text={w.owner} /> },
	{
		id: "state",
		title: "State",
		width: "96px",
		sortable: true,
		from: TWO_LINES,
		render: (w) => <State state={shownState(w)} title={plain(why(w)) || undefined} />,
	},
	{ id: "wanted", title: "Wanted", width: "76px", from: 820, render: (w) => <span class={w.wanted === "running" && !isUp(w) ? "bad-text" : "dim"}>{w.wanted}</span> },
	{ id: "up", title: "Up for", width: "84px", right: true, sortable: true, from: TWO_LINES, render: (w) => (w.state === "running" ? <Since at={w.readyAt ?? w.startedAt} /> : "") },
	{ id: "memory", title: "Memory", width: "100px", right: true, sortable: true, render: (w) => (isUp(w) ? <Meter used={memory(w)} limit={w.limitBytes}><Bytes n={memory(w)} /></Meter> : "") },
	{ id: "crashes", title: "Crashes", width: "64px", right: true, sortable: true, from: 720, help: "Since it was started by somebody last", render: (w) => <span class={w.crashes ? "bad-text num" : "dim num"}>{w.crashes}</span> },
	{ id: "port", title: "Port", width: "60px", right: true, from: 960, render: (w) => <span class="num">{w.port ?? (w.socket ? "socket" : "")}</span> },
	{ id: "auto", title: "By itself", width: "66px", from: 1240, help: "Starts with the instance", render: (w) => (w.autostart ? "yes" : "") },
	{ id: "why", title: "Why", width: "minmax(140px, 4fr)", from: 760, render: (w) => <Text text={why(w)} class={w.state === "failed" ? "bad-text" : "dim"} /> },
];

const values: Record<string, (w: Webapp) => string | number> = {
	id: (w) => w.id,
	project: (w) => `${w.project}/${w.id}`,
	owner: (w) => w.owner ?? "",
	state: (w) => w.state,
	up: (w) => (w.state === "running" ? -(w.readyAt ?? 0) : 0),
	memory: (w) => memory(w) ?? -1,
	crashes: (w) => w.crashes,
};

function Acts({ w, reload }: { w: Webapp; reload: () => void }) {
	const [isBusy, setBusy] = useState(false);
	const [asks, setAsks] = useState<"restart" | "stop" | { row: Row } | null>(null);
	const act = async (fn: () => Promise<unknown>, said?: string) => {
		setBusy(true);
		try {
			await fn();
			if (said) tell(said);
			reload();
		} catch (e) {
			tellError(e);
		} finally {
			setBusy(false);
		}
	};
	const up = isUp(w);
	return (
		<>
			<Act small look="main" disabled={isBusy || w.state !== "running"} title={w.state === "running" ? "In a tab of its own" : "It does not run"} onClick={() => void act(() => open(w))}>
				Open
			</Act>
			{up ? (
				<>
					<Act small disabled={isBusy} onClick={() => setAsks("restart")}>
						Restart…
					</Act>
					<Act small look="bad" disabled={isBusy || w.state === "stopping"} onClick={() => setAsks(boardOf(w)?.ends.length ? { row: boardOf(w)! } : "stop")}>
						Stop…
					</Act>
				</>
			) : (
				<Act small disabled={isBusy} onClick={() => void act(() => start(w), `Webapp ${w.id} is being started.`)}>
					Start it
				</Act>
			)}
			{typeof asks === "object" && asks && (
				<EndDialog
					of={[asks.row]}
					onClose={() => {
						setAsks(null);
						reload();
					}}
				/>
			)}
			{typeof asks === "string" && (
				<Confirm
					title={asks === "stop" ? `Stop ${plain(w.id)}?` : `Restart ${plain(w.id)}?`}
					verb={asks === "stop" ? "Stop it" : "Restart it"}
					onClose={() => setAsks(null)}
					onDo={async () => {
						await (asks === "stop" ? stop(w) : start(w));
						tell(`Webapp ${w.id} is being ${asks === "stop" ? "stopped" : "restarted"}.`);
						reload();
					}}
				>
					<p>
						Its process ends with all that it started, and what it held in memory is lost{w.state === "running" ? "; who uses it now is cut off" : ""}. <Bytes n={memory(w)} /> come free.
					</p>
					{asks === "stop" ? (
						<p class="dim">It stays stopped until somebody starts it{w.autostart ? ", though it starts by itself otherwise" : ""}.</p>
					) : (
						<p class="dim">What its project.lua says now counts from then on. Its crashes are counted anew.</p>
					)}
				</Confirm>
			)}
		</>
	);
}

export default function Webapps() {
	const loaded = useLoad((signal) => get<Webapp[]>("/api/webapps", undefined, signal), ["webapps"]);
	const q = place.value.query;
	const sort = sortFrom("project");
	tick.value;
	const all = loaded.value ?? [];
	useFollow(all.filter((w) => w.state === "starting" || w.state === "stopping").map((w) => `webapp:${keyOf(w)}`), loaded.soon);
	const find = (q["find"] ?? "").toLowerCase();
	const left = all.filter((w) => !find || `${w.project}/${w.id} ${w.owner ?? ""} ${w.state} ${(w.tags ?? []).join(" ")}`.toLowerCase().includes(find));
	const rows = useMemo(() => ordered(left, sort, values[sort.by] ?? values["project"]!, keyOf), [loaded.value, find, sort.by, sort.down, tick.value]);
	const at = all.find((w) => keyOf(w) === q["at"]);
	return (
		<ListPage
			title="Webapps"
			loaded={loaded}
			lines={6}
			which="Which webapps"
			find="by name, project, owner, state"
			said={`${all.filter((w) => w.state === "running").length} of ${all.length} run`}
			rows={rows}
			all={all.length}
			columns={columns}
			keyOf={keyOf}
			sort={sort}
			onOpen={(w) => setQuery({ at: at && keyOf(w) === keyOf(at) ? "" : keyOf(w) })}
			none={{ title: "No webapp is like that.", showAll: "Show all webapps" }}
			nothing={
				<Empty title="No project has a webapp.">
					A project declares them in its project.lua: <code>webapps = {"{"} page = webapp {"{"} flask = "page.py" {"}"} {"}"}</code>
				</Empty>
			}
		>
			{at && (
				<Detail w={at} key={keyOf(at)}>
					<Acts w={at} reload={loaded.reload} />
				</Detail>
			)}
		</ListPage>
	);
}
