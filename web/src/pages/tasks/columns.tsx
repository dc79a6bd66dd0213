// columns: what each column of the table shows of a row.
import { bytes, cpu, plain } from "../../lib/format";
import { cpuOf, memoryOf } from "../../state/board";
import type { Row } from "../../stream/protocol";
import { Bytes, Meter, Since, State, Text } from "../../ui/basics";
import { Trend } from "../../ui/history";
import type { Column } from "../../ui/table";
import { nodes as shown } from "./order";

/** The colour of the part of the strip that the row counts for. */
const colors: Record<string, string> = {
	future: "var(--k-busy)",
	job: "var(--k-busy)",
	recipe: "var(--k-busy)",
	training: "var(--k-busy)",
	macro: "var(--k-busy)",
	notebook: "var(--k-notebooks)",
	webapp: "var(--k-webapps)",
	kernel: "var(--k-warm)",
	service: "var(--k-services)",
};

export function Kind({ kind }: { kind: string }) {
	return (
		<span class="kind">
			<i aria-hidden="true" style={{ background: colors[kind] ?? "var(--k-other)" }} />
			{kind}
		</span>
	);
}

/** One line of why it is as it is: the reason, else how far it is. */
export function sentence(r: Row): string {
	if (r.reason) return r.reason;
	const done = r.progress !== undefined ? `${Math.round(r.progress * 100)} %` : "";
	const said = [done, r.message].filter(Boolean).join(", ");
	if (said) return said;
	if (r.leasedUntil) return "kept";
	return "";
}

/** Its memory with all below it. */
function Memory({ row }: { row: Row }) {
	const node = shown.get(row.id);
	const own = memoryOf(row.id);
	if (node && node.children.length && node.memory !== null) {
		return (
			<span class="memory" title={`${bytes(node.memory)}: its own kernel ${bytes(own) || "–"}, ${node.below} below it ${bytes(node.memory - (own ?? 0))}`}>
				<span class="num">{bytes(node.memory)}</span> <span class="dim">in all</span>
			</span>
		);
	}
	if (!row.limitBytes) return <Bytes n={own} />;
	return (
		<Meter used={own} limit={row.limitBytes}>
			<span class="memory num">
				{own === null ? "–" : bytes(own)}
				{row.limitBytes !== undefined && <span class="dim"> / {bytes(row.limitBytes)}</span>}
			</span>
		</Meter>
	);
}

function StateCell({ row }: { row: Row }) {
	const why = sentence(row);
	return (
		<span class="state-cell" title={why ? plain(why) : undefined}>
			<State state={row.state} />
			{why && <span class="reason cut">{plain(row.state === "waiting" ? why.replace(/^Waiting,? /, "") : why)}</span>}
		</span>
	);
}

/** On a phone: what, and under it what the columns that fell away would say. */
function Narrow({ row }: { row: Row }) {
	return (
		<span class="narrow">
			<Text text={row.what} />
			<span class="dim cut">
				<State state={row.state} title={sentence(row)} /> {row.kind} · {row.user ? plain(row.user) : (row.pool ?? "node")} · <Since at={row.startedAt ?? row.submittedAt} />
			</span>
		</span>
	);
}

function What({ row }: { row: Row }) {
	const below = shown.get(row.id)?.below ?? 0;
	return (
		<>
			<Text text={row.what} />
			{below > 0 && <span class="below dim num" title={`${below} activities`}>{below}</span>}
		</>
	);
}

function Cpu({ share }: { share: number | null }) {
	return <span class={`num${share !== null && share < 0.005 ? " none" : ""}`}>{share !== null && share < 0.0005 ? "0 %" : cpu(share)}</span>;
}

const NARROW = 640;

// Numbers as they are shown: what reads the same is not drawn anew.
function memoryStamp(r: Row): string {
	const node = shown.get(r.id);
	const own = memoryOf(r.id);
	const share = own !== null && r.limitBytes ? Math.round((100 * own) / r.limitBytes) : "";
	return `${bytes(node?.memory ?? own)} ${share} ${node?.below ?? 0}`;
}
const cpuStamp = (r: Row): string => cpu(shown.get(r.id)?.cpu ?? cpuOf(r.id));

/** What the cells show besides their row. */
export const stampOf = (r: Row): string => `${memoryStamp(r)} ${cpuStamp(r)}`;

export const columns: Column<Row>[] = [
	{ id: "what", title: "What", width: "minmax(150px, 2.6fr)", sortable: true, from: NARROW, live: (r) => shown.get(r.id)?.below, render: (r) => <What row={r} /> },
	{ id: "what", title: "What", width: "minmax(0, 1fr)", sortable: true, until: NARROW - 1, render: (r) => <Narrow row={r} /> },
	{ id: "kind", title: "Kind", width: "84px", sortable: true, from: NARROW, render: (r) => <Kind kind={r.kind} /> },
	{ id: "project", title: "Project", width: "minmax(64px, 0.7fr)", sortable: true, from: 1000, render: (r) => <Text text={r.project} /> },
	{ id: "user", title: "Owner", width: "minmax(64px, 0.7fr)", sortable: true, from: 810, render: (r) => <Text text={r.user} /> },
	{ id: "state", title: "State", width: "minmax(96px, 3.2fr)", sortable: true, from: NARROW, render: (r) => <StateCell row={r} /> },
	{
		id: "elapsed",
		title: "Elapsed",
		width: "88px",
		right: true,
		sortable: true,
		from: NARROW,
		help: "since its start; of what waits, since it was handed in",
		render: (r) => <Since at={r.startedAt ?? r.submittedAt} />,
	},
	{ id: "pid", title: "Pid", width: "66px", right: true, sortable: true, from: 1120, help: "process id on this machine", render: (r) => <span class="num dim">{r.pid}</span> },
	{ id: "trend", title: "10 min", width: "72px", from: 900, help: "memory of the last ten minutes", render: (r) => <Trend row={r} /> },
	{ id: "memory", title: "Memory", width: "124px", right: true, sortable: true, from: NARROW, help: "in use now, of its limit; of a job with all its activities", live: memoryStamp, render: (r) => <Memory row={r} /> },
	{ id: "memory", title: "Memory", width: "112px", right: true, sortable: true, until: NARROW - 1, live: memoryStamp, render: (r) => <Memory row={r} /> },
	{
		id: "cpu",
		title: "CPU",
		width: "60px",
		right: true,
		sortable: true,
		from: 740, // with it the others would not fit
		help: "100 % is one core",
		live: cpuStamp,
		render: (r) => <Cpu share={shown.get(r.id)?.cpu ?? cpuOf(r.id)} />,
	},
];

