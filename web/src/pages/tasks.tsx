// tasks: everything that runs or waits, live.
import { useMemo, useState } from "preact/hooks";
import { cpu } from "../lib/format";
import { cpuOf, memoryOf, rows, tick } from "../state/board";
import type { Row } from "../stream/protocol";
import { Empty, Loading, Meter, Bytes, Since, State, Text } from "../ui/basics";
import { Table, type Column, type Item, type Sort } from "../ui/table";

const columns: Column<Row>[] = [
	{ id: "what", title: "What", width: "minmax(180px, 3fr)", sortable: true, render: (r) => <Text text={r.what} /> },
	{ id: "kind", title: "Kind", width: "80px", sortable: true, from: 600, render: (r) => r.kind },
	{ id: "project", title: "Project", width: "minmax(70px, 1fr)", sortable: true, from: 900, render: (r) => <Text text={r.project} /> },
	{ id: "user", title: "Owner", width: "minmax(70px, 1fr)", sortable: true, from: 700, render: (r) => <Text text={r.user} /> },
	{ id: "state", title: "State", width: "minmax(90px, 1.5fr)", sortable: true, render: (r) => <State state={r.state} title={r.reason} /> },
	{ id: "elapsed", title: "Elapsed", width: "90px", right: true, sortable: true, from: 480, render: (r) => <Since at={r.startedAt ?? r.submittedAt} /> },
	{ id: "pid", title: "Pid", width: "70px", right: true, sortable: true, from: 1000, render: (r) => <span class="num">{r.pid}</span> },
	{
		id: "memory",
		title: "Memory",
		width: "110px",
		right: true,
		sortable: true,
		render: (r) => (
			<Meter used={memoryOf(r.id)} limit={r.limitBytes}>
				<Bytes n={memoryOf(r.id)} />
			</Meter>
		),
	},
	{ id: "cpu", title: "CPU", width: "70px", right: true, sortable: true, from: 560, render: (r) => <span class="num">{cpu(cpuOf(r.id))}</span> },
];

const values: Record<string, (r: Row) => string | number> = {
	elapsed: (r) => -(r.startedAt ?? r.submittedAt ?? Infinity),
	memory: (r) => memoryOf(r.id) ?? -1,
	cpu: (r) => cpuOf(r.id) ?? -1,
	pid: (r) => r.pid ?? 0,
};

function sorted(list: Row[], sort: Sort): Row[] {
	const value = values[sort.by] ?? ((r: Row) => String(r[sort.by as keyof Row] ?? ""));
	const by = list.map((r) => ({ r, v: value(r) }));
	by.sort((a, b) => (a.v < b.v ? -1 : a.v > b.v ? 1 : a.r.id < b.r.id ? -1 : 1));
	if (sort.down) by.reverse();
	return by.map((x) => x.r);
}

export default function Tasks() {
	const [sort, setSort] = useState<Sort>({ by: "memory", down: true });
	const seen = tick.value;
	const items = useMemo<Item<Row>[]>(() => sorted([...rows.values()], sort).map((row) => ({ row })), [seen, sort]);
	return (
		<div class="page fill">
			<div class="head">
				<h1>Background tasks</h1>
			</div>
			{seen === 0 ? <Loading lines={8} /> : <Table label="Background tasks" items={items} columns={columns} keyOf={(r) => r.id} sort={sort} onSort={setSort} empty={<Empty title="Nothing runs or waits." />} />}
		</div>
	);
}
