// macros: what the policies offer to be run by hand: forms made from their params, runs that go on, tables of what was done and why.
import "../style/macros.css";
import "../style/work.css";
import { useEffect, useState } from "preact/hooks";
import { ApiError, get } from "../lib/api";
import { plain } from "../lib/format";
import { go, href, place, setQuery } from "../lib/router";
import { isAdmin } from "../state/board";
import { useFollow } from "../state/follow";
import { useLoad } from "../state/load";
import { Empty, Failed, Loading, Since, State } from "../ui/basics";
import { Act } from "../ui/confirm";
import { defaults, Field, ParamFields, wrongOf, type Values } from "../ui/form";
import { fetched, fieldsOf, hasSimulate, runs as loadRuns, start, type Macro, type Run } from "./macros/model";
import { RunView } from "./macros/run";

interface Project {
	projectKey: string;
	name?: string;
}

function Over({ macro, value, onChange, wrong }: { macro: Macro; value: string; onChange: (v: string) => void; wrong?: string }) {
	const projects = useLoad((signal) => get<Project[]>("/public/api/projects", undefined, signal), []);
	const whole = isAdmin.value;
	const list = projects.value ?? [];
	// who may not run it over the whole has to name a project
	useEffect(() => {
		if (!whole && !value && list[0]) onChange(list[0].projectKey);
	}, [whole, value, list.length]);
	if (macro.who === "admin" && !whole) return null;
	return (
		<Field label="Over" wrong={wrong} hint={macro.who === "project" ? "Over one project it sees and changes what is that project's alone." : undefined}>
			{(a) => (
				<select class="field short" {...a} value={value} onChange={(e) => onChange(e.currentTarget.value)}>
					{whole && <option value="">the whole instance</option>}
					{list.map((p) => (
						<option key={p.projectKey} value={p.projectKey}>
							{plain(p.projectKey)}
						</option>
					))}
				</select>
			)}
		</Field>
	);
}

function Form({ macro, onStarted }: { macro: Macro; onStarted: (run: string) => void }) {
	const params = fieldsOf(macro);
	const asked = fetched(place.value.query["run"] ?? "")?.asked;
	const [values, setValues] = useState<Values>(() => ({ ...defaults(params), ...(asked?.macro === macro.name ? asked.values : {}) }));
	const [project, setProject] = useState(asked?.project ?? place.value.query["project"] ?? "");
	const [wrong, setWrong] = useState<Record<string, string>>({});
	const [isBusy, setBusy] = useState(false);
	const looks = hasSimulate(macro);
	const submit = async (e: Event) => {
		e.preventDefault();
		setBusy(true);
		setWrong({});
		try {
			onStarted(await start(macro, { macro: macro.name, project: project || undefined, values }, looks ? true : undefined));
		} catch (err) {
			const text = err instanceof Error ? err.message : String(err);
			setWrong(err instanceof ApiError && err.status === 400 ? wrongOf(params, text) : { "": text });
		} finally {
			setBusy(false);
		}
	};
	return (
		<form class="macro-form" onSubmit={submit} aria-label={macro.meta.label ?? macro.name}>
			<Over macro={macro} value={project} onChange={setProject} />
			<ParamFields params={params} values={values} wrong={wrong} onChange={setValues} />
			<div class="actions">
				<Act type="submit" look="main" disabled={isBusy || (!isAdmin.value && !project)}>
					{isBusy ? "Starting…" : looks ? "Show what it would do" : "Run"}
				</Act>
				<span class="hint">{looks ? "Simulated: it changes nothing. What it finds can then be done, after a question." : macro.resultType === "FILE" ? "It makes a file to download." : ""}</span>
			</div>
		</form>
	);
}

function MacroView({ macro, reloadRuns }: { macro: Macro; reloadRuns: () => void }) {
	const run = place.value.query["run"];
	return (
		<div class="macro-one">
			<div class="card macro-card">
				<div class="macro-told">
					<h2>{plain(macro.meta.label ?? macro.name)}</h2>
					<code class="dim">{plain(macro.name)}</code>
					{macro.who === "admin" && <span class="tag">for admins</span>}
				</div>
				<p class="macro-about">{plain(macro.longDescription ?? macro.meta.description ?? "")}</p>
				<Form
					macro={macro}
					key={macro.name}
					onStarted={(id) => {
						setQuery({ run: id }, true);
						reloadRuns();
					}}
				/>
			</div>
			{run && <RunView key={run} id={run} macro={macro} reloadRuns={reloadRuns} />}
		</div>
	);
}

function Runs({ list, macros }: { list: Run[]; macros: Macro[] }) {
	const current = place.value.query["run"];
	if (!list.length) return null;
	return (
		<>
			<h2>Runs</h2>
			<ul>
				{list.map((r) => (
					<li key={r.runId}>
						<a href={href("macros", r.macro ?? "", { run: r.runId })} aria-current={r.runId === current ? "true" : undefined}>
							<span class="cut">{plain(macros.find((m) => m.name === r.macro)?.meta.label ?? r.macro ?? r.runId)}</span>
							<span class="macro-run-state">
								<State state={r.running ? "running" : (r.state ?? "done")} />
								<span class="dim">
									{plain(r.owner ?? "")}
									{r.running ? (
										<>
											, <Since at={r.startTime} />
										</>
									) : !r.empty ? (
										", result not fetched"
									) : (
										""
									)}
								</span>
							</span>
						</a>
					</li>
				))}
			</ul>
		</>
	);
}

export default function Macros() {
	const loaded = useLoad((signal) => get<Macro[]>("/api/macros", undefined, signal), ["policies"]);
	const runs = useLoad(loadRuns, ["macros"]);
	useFollow((runs.value ?? []).filter((r) => r.running).map((r) => `macro:${r.runId}`), runs.soon);
	const list = loaded.value ?? [];
	const name = place.value.path[1] ?? "";
	const macro = list.find((m) => m.name === name);
	return (
		<div class="page macro-page">
			<div class="head">
				<h1>Macros</h1>
			</div>
			{loaded.error && <Failed error={loaded.error} retry={loaded.reload} />}
			{!loaded.value ? (
				!loaded.error && <Loading lines={6} />
			) : !list.length ? (
				<Empty title="There is no macro that you may run.">
					Macros are declared in <code>policies/</code>: <code>macro "name" {"{ … }"}</code>
				</Empty>
			) : (
				<div class="macro-columns" data-chosen={macro ? "" : undefined}>
					<nav class="macro-list" aria-label="Macros">
						<ul>
							{list.map((m) => (
								<li key={m.name}>
									<a
										href={href("macros", m.name)}
										aria-current={m.name === name ? "true" : undefined}
										onClick={(e) => {
											if (e.ctrlKey || e.metaKey || e.shiftKey) return;
											e.preventDefault();
											go(href("macros", m.name));
										}}
									>
										<strong>{plain(m.meta.label ?? m.name)}</strong>
										<span class="hint">{plain(m.meta.description ?? "")}</span>
									</a>
								</li>
							))}
						</ul>
						<Runs list={runs.value ?? []} macros={list} />
					</nav>
					{macro ? (
						<MacroView key={macro.name} macro={macro} reloadRuns={runs.reload} />
					) : name ? (
						<Empty title="There is no such macro.">It may have left the policies.</Empty>
					) : (
						<Empty title="Choose a macro.">Each goes over things, decides about each, and answers a table of what it did and why. First it only says what it would do.</Empty>
					)}
				</div>
			)}
		</div>
	);
}
