// build: the question what to build: a project, some of its datasets, and how far back.
import { useMemo, useState } from "preact/hooks";
import { get, seg } from "../../lib/api";
import { plain } from "../../lib/format";
import { go, href } from "../../lib/router";
import { useLoad } from "../../state/load";
import { Failed, Loading } from "../../ui/basics";
import { Confirm } from "../../ui/confirm";
import { Choices, Field, Tick } from "../../ui/form";
import { tell } from "../../ui/toast";
import { build, modes, type Mode } from "./model";

interface Project {
	projectKey: string;
	name?: string;
}
interface Graph {
	nodes: Record<string, { ref: string; type: string; predecessors: string[] }>;
}

const SEARCH_FROM = 12; // datasets, from which on a search is offered

function Datasets({ project, chosen, onChange }: { project: string; chosen: ReadonlySet<string>; onChange: (s: Set<string>) => void }) {
	const flow = useLoad((signal) => get<Graph>(`/public/api/projects/${seg(project)}/flow/graph`, undefined, signal), [], [project]);
	const [search, setSearch] = useState("");
	const list = useMemo(
		() =>
			Object.entries(flow.value?.nodes ?? {})
				.filter(([, n]) => n.type === "COMPUTABLE_DATASET")
				.map(([name, n]) => ({ name, makers: n.predecessors }))
				.sort((a, b) => Number(!a.makers.length) - Number(!b.makers.length) || (a.name < b.name ? -1 : 1)),
		[flow.value],
	);
	if (flow.error && !flow.value) return <Failed error={flow.error} retry={flow.reload} />;
	if (!flow.value) return <Loading lines={3} />;
	if (!list.some((d) => d.makers.length)) return <p class="note">No recipe of this project makes a dataset: its project.lua declares what can be built.</p>;
	const shown = list.filter((d) => d.name.toLowerCase().includes(search.toLowerCase()));
	return (
		<fieldset class="form-choices">
			<legend>Datasets</legend>
			{list.length >= SEARCH_FROM && <input class="field" type="search" aria-label="Find a dataset" placeholder="Find a dataset" value={search} onInput={(e) => setSearch(e.currentTarget.value)} />}
			<div class="build-datasets">
				{shown.map((d) => (
					<Tick
						key={d.name}
						label={<bdi>{plain(d.name)}</bdi>}
						hint={d.makers.length ? `made by ${plain(d.makers.join(", "))}` : "a source: no recipe makes it"}
						checked={chosen.has(d.name)}
						disabled={!d.makers.length}
						onChange={(on) => {
							const next = new Set(chosen);
							if (on) next.add(d.name);
							else next.delete(d.name);
							onChange(next);
						}}
					/>
				))}
				{!shown.length && <span class="hint">No dataset is named so.</span>}
			</div>
		</fieldset>
	);
}

export function Build({ project: first, onClose }: { project?: string; onClose: () => void }) {
	const projects = useLoad((signal) => get<Project[]>("/public/api/projects", undefined, signal), []);
	const [asked, setAsked] = useState(first ?? "");
	const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
	const [mode, setMode] = useState<Mode>("RECURSIVE_BUILD");
	const list = projects.value ?? [];
	const project = list.some((p) => p.projectKey === asked) ? asked : (list[0]?.projectKey ?? "");
	const n = chosen.size;
	return (
		<Confirm
			title="Build datasets"
			verb={n === 0 ? "Build" : n === 1 ? `Build ${plain([...chosen][0]!).slice(0, 40)}` : `Build ${n} datasets`}
			look="main"
			disabled={!project || n === 0}
			onClose={onClose}
			onDo={async () => {
				const id = await build(project, mode, [...chosen]);
				tell(`Job ${id} was started.`);
				setTimeout(() => go(href("job", project, id))); // after the dialog has given the focus back
			}}
		>
			{projects.error && !projects.value ? (
				<Failed error={projects.error} retry={projects.reload} />
			) : !projects.value ? (
				<Loading lines={3} />
			) : !list.length ? (
				<p class="note">There is no project that you may read. A project is a folder in projects/ with a project.lua.</p>
			) : (
				<>
					<Field label="Project">
						{(a) => (
							<select
								class="field"
								{...a}
								value={project}
								onChange={(e) => {
									setAsked(e.currentTarget.value);
									setChosen(new Set());
								}}
							>
								{list.map((p) => (
									<option key={p.projectKey} value={p.projectKey}>
										{plain(p.name && p.name !== p.projectKey ? `${p.projectKey} · ${p.name}` : p.projectKey)}
									</option>
								))}
							</select>
						)}
					</Field>
					<Datasets project={project} chosen={chosen} onChange={setChosen} />
					<Choices legend="What is run" name="mode" value={mode} of={modes} onChange={setMode} />
				</>
			)}
		</Confirm>
	);
}
