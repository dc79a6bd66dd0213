// history: the sets that were in force, newest first; each compared with the one in force, and a way back to it.
import { useState } from "preact/hooks";
import { get, post } from "../../lib/api";
import { place, setQuery } from "../../lib/router";
import { useLoad } from "../../state/load";
import { Button, Empty, Failed, Loading, Time } from "../../ui/basics";
import { Confirm } from "../../ui/confirm";
import { tell } from "../../ui/toast";
import { Changes, useTaking } from "./apply";
import type { Change, PolicyFile } from "./drafts";

interface Version {
	version: number;
	takenAt: number;
	hash: string;
	by?: string;
}

const bare = (n: string) => n.replace(/^policies\//, "");

/** What a way back to `then` would change. */
function changes(running: PolicyFile[], then: PolicyFile[]): Change[] {
	const now = new Map(running.map((f) => [bare(f.name), f.text]));
	const old = new Map(then.map((f) => [bare(f.name), f.text]));
	const out: Change[] = [];
	for (const name of [...new Set([...now.keys(), ...old.keys()])].sort()) {
		const before = now.get(name);
		const after = old.get(name);
		if (before !== after) out.push({ name, before: before ?? "", after: after ?? null, isNew: before === undefined });
	}
	return out;
}

/** One version beside the one in force; that one beside the one before it, if there was one. */
function Compared({ version, before, running, isRunning, onTaken }: { version: number; before: number | undefined; running: PolicyFile[]; isRunning: boolean; onTaken: () => void }) {
	const other = isRunning ? before : version;
	const then = useLoad<PolicyFile[]>((s) => (other === undefined ? Promise.resolve([]) : get(`/api/policies/versions/${other}`, {}, s)), [], [other]);
	const [asks, setAsks] = useState(false);
	const { take, question } = useTaking(
		(overwrite) => post<{ version: number }>("/api/policies/rollback", { version, overwrite: overwrite || undefined }),
		(r) => {
			tell(`Version ${r.version} is in force: the files of version ${version}.`);
			onTaken();
		},
	);
	if (then.error) return <Failed error={then.error} retry={then.reload} />;
	if (!then.value) return <Loading />;
	const list = isRunning ? changes(then.value, running) : changes(running, then.value);
	return (
		<div style={{ display: "grid", gap: "12px" }}>
			<div class="head">
				<h2>Version {version}</h2>
				<span class="dim">{isRunning ? (before === undefined ? "is in force, the first one that is kept" : `is in force; what it changed in version ${before}`) : list.length === 0 ? "has the same files as the one in force" : "what going back to it would change"}</span>
				<span class="push" />
				{!isRunning && (
					<Button disabled={!list.length} onClick={() => setAsks(true)}>
						Go back to version {version}…
					</Button>
				)}
			</div>
			<Changes changes={list} />
			{isRunning && list.length === 0 && <p class="dim">No file differs.</p>}
			{asks && (
				<Confirm look="main" title={`Go back to version ${version}`} verb={`Go back to version ${version}`} onDo={take} onClose={() => setAsks(false)}>
					<p>
						{list.length} {list.length === 1 ? "file changes" : "files change"}: {list.map((c) => c.name).join(", ")}. The set in force stays in the history.
					</p>
					{question}
				</Confirm>
			)}
		</div>
	);
}

export function History({ version, running, onTaken }: { version: number | undefined; running: PolicyFile[]; onTaken: () => void }) {
	const list = useLoad<Version[]>((s) => get("/api/policies/versions", { limit: 100 }, s), ["policies"]);
	if (list.error && !list.value) return <Failed error={list.error} retry={list.reload} />;
	if (!list.value) return <Loading />;
	if (!list.value.length) return <Empty title="No set was in force yet." />;
	const asked = Number(place.value.query["version"]);
	const at = Math.max(0, list.value.findIndex((v) => v.version === asked));
	const shown = list.value[at]!;
	return (
		<div class="policies">
			<div class="card files" role="group" aria-label="Versions">
				{list.value.map((v) => (
					<button type="button" key={v.version} aria-current={v.version === shown.version} onClick={() => setQuery({ version: String(v.version) })}>
						<span>
							{v.version} <span class="dim"><Time at={v.takenAt} /></span>
						</span>
						{v.version === version && <span class="tag">in force</span>}
					</button>
				))}
			</div>
			<div style={{ overflow: "auto", minWidth: 0 }}>
				<Compared key={shown.version} version={shown.version} before={list.value[at + 1]?.version} running={running} isRunning={shown.version === version} onTaken={onTaken} />
			</div>
		</div>
	);
}
