// notebooks: sessions of notebooks: who holds what, how idle they are and why one says so; unload, interrupt, keep.
import "../style/notebooks.css";
import "../style/work.css";
import { useMemo, useState } from "preact/hooks";
import { cpu, plain } from "../lib/format";
import { place, setQuery } from "../lib/router";
import { cpuOf, isAdmin, me, now, tick } from "../state/board";
import { useLoad } from "../state/load";
import type { Row } from "../stream/protocol";
import { Button, Bytes, clock, Empty, Meter, State, Text } from "../ui/basics";
import { Act } from "../ui/confirm";
import { EndDialog } from "../ui/ends";
import { counted, ListPage, ordered, sortFrom } from "../ui/list";
import { TWO_LINES } from "../ui/narrow";
import type { Column } from "../ui/table";
import { endable, Interrupt, Keep, Link, memoryNow, Unload } from "./notebooks/acts";
import { Detail } from "./notebooks/detail";
import { boardOf, decisions, idleness, idleOf, list as load, policyOf, type Decision, type Session } from "./notebooks/model";

interface Shown {
	s: Session;
	memory: number | null;
	cpu: number | null;
	idle: string;
	policy: string;
	silentAt: number;
	connections?: number;
	state: string;
}

function shown(s: Session, at: number, rules: Map<string, Decision[]> | undefined): Shown {
	const row = boardOf(s);
	const i = idleOf(s, at);
	return {
		s,
		memory: memoryNow(s),
		cpu: (row && cpuOf(row.id)) ?? s.cpuShare ?? null,
		idle: idleness(s, i, now()),
		policy: policyOf(rules?.get(s.id)),
		silentAt: i.isBusy ? Infinity : (i.silentAt ?? Infinity),
		connections: i.connections,
		state: i.isBusy ? "busy" : s.state,
	};
}

const columns: Column<Shown>[] = [
	{
		id: "notebook",
		title: "Notebook",
		width: "minmax(120px, 2fr)",
		sortable: true,
		from: TWO_LINES,
		render: ({ s }) => (
			<>
				<Text text={s.name} /> {s.leased && <span class="tag" title={`kept by ${plain(s.leasedBy ?? "")}`}>kept</span>}
			</>
		),
	},
	{
		id: "notebook",
		title: "Notebook",
		width: "minmax(0, 1fr)",
		sortable: true,
		until: TWO_LINES - 1,
		render: (r) => (
			<span class="two-lines">
				<span class="cut">
					<Text text={r.s.name} /> <span class="dim">{plain(r.s.user)}</span>
				</span>
				<span class="dim">
					<State state={r.state} /> <span class="cut">{r.s.leased ? `Kept. ${r.idle}` : r.idle}</span>
				</span>
			</span>
		),
	},
	{ id: "project", title: "Project", width: "minmax(60px, 1fr)", sortable: true, from: 720, render: ({ s }) => <Text text={s.project} /> },
	{ id: "user", title: "Owner", width: "minmax(60px, 1fr)", sortable: true, from: TWO_LINES, render: ({ s }) => <Text text={s.user} /> },
	{ id: "kernel", title: "Kernel", width: "80px", from: 1000, render: ({ s }) => <Text text={s.kernelSpec} /> },
	{ id: "state", title: "State", width: "84px", sortable: true, from: TWO_LINES, render: (r) => <State state={r.state} title={r.idle} /> },
	{ id: "memory", title: "Memory", width: "100px", right: true, sortable: true, render: (r) => <Meter used={r.memory} limit={r.s.limitBytes}><Bytes n={r.memory} /></Meter> },
	{ id: "cpu", title: "CPU", width: "60px", right: true, sortable: true, from: 760, render: (r) => <span class="num">{cpu(r.cpu)}</span> },
	{ id: "clients", title: "Clients", width: "60px", right: true, from: 900, help: "Who is connected: tabs, tools", render: (r) => <span class="num">{r.connections ?? "–"}</span> },
	{
		id: "idle",
		title: "How idle",
		width: "minmax(200px, 5fr)",
		sortable: true,
		from: TWO_LINES,
		render: (r) => (
			<span class="cut" title={`${r.idle} ${r.policy}`.trim()}>
				{r.idle} <span class="dim">{r.policy}</span>
			</span>
		),
	},
];

const values: Record<string, (r: Shown) => string | number> = {
	notebook: (r) => r.s.notebook,
	project: (r) => r.s.project,
	user: (r) => r.s.user,
	state: (r) => r.state,
	memory: (r) => r.memory ?? -1,
	cpu: (r) => r.cpu ?? -1,
	idle: (r) => r.silentAt,
};

type Question = "unload" | "interrupt" | "keep" | "link";

export default function Notebooks() {
	const loaded = useLoad(load, ["notebooks"]);
	const rules = useLoad((signal) => decisions(undefined, signal), ["notebooks"]);
	const [chosen, setChosen] = useState<Set<string>>(new Set());
	const [question, setQuestion] = useState<{ what: Question; list: Session[]; rows?: Row[] } | null>(null);
	clock.value;
	tick.value;
	const q = place.value.query;
	const sort = sortFrom("-memory");
	const all = loaded.value?.sessions ?? [];
	const at = loaded.value?.at ?? now();
	const find = (q["find"] ?? "").toLowerCase();
	const left = all.filter((s) => (!find || `${s.notebook} ${s.user} ${s.kernelSpec ?? ""} ${s.id}`.toLowerCase().includes(find)) && (!q["mine"] || s.user === me.value));
	const rows = useMemo(() => {
		const list = left.map((s) => shown(s, at, rules.value));
		return ordered(list, sort, values[sort.by] ?? values["memory"]!, (r) => r.s.id);
	}, [loaded.value, rules.value, find, q["mine"], sort.by, sort.down, tick.value, clock.value]);
	const picked = all.filter((s) => chosen.has(s.id));
	const open = all.find((s) => s.id === q["at"] || s.kernelId === q["at"]);
	const close = () => setQuestion(null);
	const done = () => {
		setChosen(new Set());
		loaded.reload();
	};
	const buttons = (list: Session[]) => (
		<>
			<Act small onClick={() => setQuestion({ what: "keep", list })} disabled={!list.length}>
				Keep…
			</Act>
			<Act small onClick={() => setQuestion({ what: "interrupt", list })} disabled={!list.length}>
				Interrupt…
			</Act>
			<Act small look="bad" onClick={() => setQuestion({ what: "unload", list, rows: endable(list) })} disabled={!list.length}>
				{list.length > 1 ? `Unload ${list.length}…` : "Unload…"}
			</Act>
		</>
	);
	return (
		<ListPage
			title="Notebooks"
			beside={
				<>
					<span class="push" />
					{isAdmin.value && <Button onClick={() => setQuestion({ what: "link", list: [] })}>Open the server…</Button>}
				</>
			}
			loaded={loaded}
			lines={6}
			which="Which notebooks"
			find="by notebook, owner, kernel"
			choices={
				<label class="notebook-mine">
					<input type="checkbox" checked={!!q["mine"]} onChange={(e) => setQuery({ mine: e.currentTarget.checked ? "1" : "" })} /> mine
				</label>
			}
			said={counted(left.length, all.length, "open")}
			actions={
				picked.length > 0 && (
					<span class="actions push" role="group" aria-label={`${picked.length} chosen`}>
						<span class="dim">{picked.length} chosen</span>
						{buttons(picked)}
					</span>
				)
			}
			note={
				loaded.value?.unknown && (
					<div class="note" data-tone="warn" role="status">
						<div>
							<strong>The notebook server cannot be asked: nobody is called idle.</strong> {plain(loaded.value.unknown)}
						</div>
					</div>
				)
			}
			rows={rows}
			all={all.length}
			columns={columns}
			keyOf={(r) => r.s.id}
			sort={sort}
			chosen={chosen}
			onChoose={setChosen}
			onOpen={(r) => setQuery({ at: r.s.id === open?.id ? "" : r.s.id })}
			none={{ title: "No notebook is like that.", showAll: "Show all notebooks", forget: ["mine"] }}
			nothing={<Empty title="No notebook is open.">Each notebook with a kernel stands here, with how long it was idle and what it holds.</Empty>}
		>
			{open && (
				<Detail s={open} at={at} key={open.id}>
					{isAdmin.value && (
						<Button small onClick={() => setQuestion({ what: "link", list: [open] })}>
							Open…
						</Button>
					)}
					{buttons([open])}
				</Detail>
			)}
			{question?.what === "unload" && question.rows && (
				<EndDialog
					of={question.rows}
					onClose={() => {
						close();
						loaded.reload();
					}}
				/>
			)}
			{question?.what === "unload" && !question.rows && <Unload chosen={question.list} all={all} at={at} onClose={close} onDone={done} />}
			{question?.what === "interrupt" && <Interrupt chosen={question.list} at={at} onClose={close} onDone={done} />}
			{question?.what === "keep" && <Keep chosen={question.list} onClose={close} onDone={done} />}
			{question?.what === "link" && <Link path={question.list[0]?.notebook} onClose={close} />}
		</ListPage>
	);
}
