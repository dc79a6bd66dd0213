// processes: who lives in its box, as a tree.
import { get } from "../../lib/api";
import { duration } from "../../lib/format";
import { useLoad } from "../../state/load";
import { Button, Bytes, Failed, Loading, Text } from "../../ui/basics";

interface Member {
	pid: number;
	parentPid: number;
	name: string;
	state?: string;
	memoryBytes?: number;
	cpuSeconds?: number;
}

interface Process {
	id: string;
	pid?: number;
	parentId?: string;
	kind: string;
	state: string;
	memoryBytes?: number;
	cpuSeconds?: number;
	cgroup?: string;
	members?: Member[];
	membersCount?: number;
	note?: string;
}

/** Parents before their children, with their depth. */
export function tree(members: Member[]): { m: Member; depth: number }[] {
	const pids = new Set(members.map((m) => m.pid));
	const out: { m: Member; depth: number }[] = [];
	const seen = new Set<number>();
	const put = (m: Member, depth: number) => {
		if (seen.has(m.pid)) return; // a circle would be a lie of the kernel's
		seen.add(m.pid);
		out.push({ m, depth });
		for (const c of members) if (c.parentPid === m.pid) put(c, depth + 1);
	};
	for (const m of members) if (!pids.has(m.parentPid)) put(m, 0);
	for (const m of members) put(m, 0);
	return out;
}

export function Processes({ processId }: { processId: string }) {
	const loaded = useLoad<Process[]>((signal) => get<Process[]>("/api/processes", { members: true }, signal), [], [processId]);
	if (loaded.error && !loaded.value) return <Failed error={loaded.error} retry={loaded.reload} />;
	if (!loaded.value) return <Loading />;
	const own = loaded.value.filter((p) => p.id === processId || p.parentId === processId);
	if (!own.length) return <p class="dim">Its process has ended.</p>;
	return (
		<section aria-label="Its processes" class="processes">
			{own.map((p) => (
				<div key={p.id}>
					<h3>
						{p.id} <span class="dim">{p.kind}, {p.state}</span>
					</h3>
					{p.cgroup && <p class="dim"><code>{p.cgroup}</code></p>}
					<table class="plain">
						<thead>
							<tr>
								<th scope="col">Process</th>
								<th scope="col" class="right">Pid</th>
								<th scope="col">State</th>
								<th scope="col" class="right">Memory</th>
								<th scope="col" class="right">CPU time</th>
							</tr>
						</thead>
						<tbody>
							{tree(p.members ?? [{ pid: p.pid ?? 0, parentPid: 0, name: p.id, memoryBytes: p.memoryBytes, cpuSeconds: p.cpuSeconds }]).map(({ m, depth }) => (
								<tr key={m.pid}>
									<td style={{ paddingLeft: `${8 + depth * 18}px` }}>
										<Text text={m.name} />
									</td>
									<td class="right num">{m.pid || ""}</td>
									<td>{m.state}</td>
									<td class="right">
										<Bytes n={m.memoryBytes} />
									</td>
									<td class="right num">{m.cpuSeconds === undefined ? "" : duration(m.cpuSeconds * 1000)}</td>
								</tr>
							))}
						</tbody>
					</table>
					{p.membersCount !== undefined && p.members && p.membersCount > p.members.length && <p class="dim">and {p.membersCount - p.members.length} more</p>}
					{p.note && <p class="dim">{p.note}</p>}
				</div>
			))}
			<Button small look="quiet" disabled={loaded.isLoading} onClick={loaded.reload}>
				Look again
			</Button>
		</section>
	);
}
