// policies: the files that decide: read, changed, checked while one types, compared, taken; the sets that were in force before.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { signal } from "@preact/signals";
import { get, post } from "../lib/api";
import { plain } from "../lib/format";
import { place, setQuery } from "../lib/router";
import { link } from "../state/board";
import { useLoad } from "../state/load";
import { Button, Empty, Failed, Loading, Text } from "../ui/basics";
import { Confirm } from "../ui/confirm";
import { Editor } from "../ui/editor";
import { currentTab, Tabs } from "../ui/tabs";
import { ApplyDialog } from "./policies/apply";
import { changesOf, drafts, dropDrafts, keepDraft, type PolicyFile } from "./policies/drafts";
import { History } from "./policies/history";
import { NewFile } from "./policies/new_file";

interface Wrong {
	file: string;
	line?: number;
	text: string;
}

interface State {
	version: number;
	lastGood: boolean;
	observe: boolean;
	writable?: boolean;
	errors: Wrong[];
}

const CHECK_MS = 350;
const TABS = [
	{ id: "files", title: "Files" },
	{ id: "history", title: "History" },
];

/** Words and keys that the files in force use: what completion offers. */
function wordsOf(files: PolicyFile[]): string[] {
	const out = new Set<string>();
	for (const f of files) for (const m of f.text.matchAll(/[A-Za-z_]\w{2,}/g)) out.add(m[0]);
	return [...out].sort();
}

const bareName = (file: string) => file.replace(/^policies\//, "");
const jump = signal<{ line: number; n: number } | null>(null);

export default function Policies() {
	const files = useLoad<PolicyFile[]>((s) => get("/api/policies", {}, s), ["policies"]);
	const state = useLoad<State>((s) => get("/api/policies/state", {}, s), ["policies"]);
	const [errors, setErrors] = useState<Wrong[]>([]);
	const [checked, setChecked] = useState<"" | "checking" | "good" | "wrong" | string>("");
	const [dialog, setDialog] = useState<"" | "apply" | "new" | "drop">("");
	const timer = useRef<ReturnType<typeof setTimeout>>();
	const asked = useRef(0);

	const list = useMemo(() => {
		const names = new Map<string, PolicyFile>();
		for (const f of files.value ?? []) names.set(bareName(f.name), { ...f, name: bareName(f.name) });
		for (const [name, text] of Object.entries(drafts.value)) if (!names.has(name) && text !== null) names.set(name, { name, text: "" });
		return [...names.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
	}, [files.value, drafts.value]);
	const changes = changesOf(files.value ?? [], drafts.value);
	const words = useMemo(() => wordsOf(list), [files.value]);
	const version = state.value?.version;

	// what is typed is checked as the set that it would be
	useEffect(() => {
		clearTimeout(timer.current);
		const n = ++asked.current;
		if (!files.value) return;
		if (!changes.length) {
			setErrors(state.value?.errors.map((e) => ({ ...e, file: bareName(e.file) })) ?? []);
			setChecked("");
			return;
		}
		setChecked("checking");
		timer.current = setTimeout(async () => {
			try {
				const all = list.filter((f) => drafts.value[f.name] !== null).map((f) => ({ name: f.name, text: drafts.value[f.name] ?? f.text }));
				const r = await post<{ ok: boolean; errors?: Wrong[] }>("/api/policies/check", { files: all });
				if (n !== asked.current) return;
				setErrors((r.errors ?? []).map((e) => ({ ...e, file: bareName(e.file) })));
				setChecked(r.ok ? "good" : "wrong");
			} catch (e) {
				if (n === asked.current) setChecked(e instanceof Error ? e.message : String(e));
			}
		}, CHECK_MS);
		return () => clearTimeout(timer.current);
	}, [drafts.value, files.value, state.value]);

	useEffect(() => {
		const warn = (e: BeforeUnloadEvent) => changes.length && e.preventDefault();
		addEventListener("beforeunload", warn);
		return () => removeEventListener("beforeunload", warn);
	}, [changes.length]);

	const asks = place.value.query;
	const name = list.some((f) => f.name === asks["file"]) ? asks["file"]! : list[0]?.name;
	const file = list.find((f) => f.name === name);
	const line = jump.value?.line ?? (asks["line"] ? Number(asks["line"]) : undefined);
	const mistakes = useMemo(() => errors.filter((e) => e.file === name), [errors, name]);
	const isLive = link.value.state === "live";
	const isReadOnly = state.value?.writable === false;

	if (files.error && !files.value) return <div class="page"><Failed error={files.error} retry={files.reload} /></div>;
	if (!files.value) return <Loading lines={8} />;
	const open = (to: string, at?: number) => {
		setQuery({ file: to, line: at ? String(at) : undefined });
		jump.value = at ? { line: at, n: (jump.value?.n ?? 0) + 1 } : null;
	};
	return (
		<div class="page fill">
			<div class="head">
				<h1>Policies</h1>
				<span class="dim">version {version} is in force{state.value?.observe ? ", only observed: it decides, nothing is done" : ""}</span>
				<span class="push" />
				{checked === "checking" && <span class="dim">checking…</span>}
				{checked === "good" && <span class="state" data-tone="good"><i aria-hidden="true" />no mistakes</span>}
				{checked === "wrong" && <span class="state" data-tone="bad"><i aria-hidden="true" />{errors.length} {errors.length === 1 ? "mistake" : "mistakes"}</span>}
				{!["", "checking", "good", "wrong"].includes(checked) && <span class="wrong">{checked}</span>}
				<Button disabled={isReadOnly} onClick={() => setDialog("new")}>
					New file…
				</Button>
				<Button disabled={!changes.length} onClick={() => setDialog("drop")}>
					Discard changes
				</Button>
				<Button look="main" disabled={!changes.length || checked !== "good" || !isLive || isReadOnly} title={isReadOnly ? "The backend may not write in policies/" : !isLive ? "Not connected" : checked === "wrong" ? "There are mistakes" : undefined} onClick={() => setDialog("apply")}>
					Apply…
				</Button>
			</div>
			{state.value?.lastGood && (
				<p class="note" data-tone="warn">
					The backend started on the last good set: the files in policies/ were not taken. See the mistakes below.
				</p>
			)}
			{isReadOnly && (
				<p class="note">
					Read only here: the backend's user may not write in policies/. Change the files on the node, or let it: <code>chown -R :dss policies; chmod -R g+w policies</code>
				</p>
			)}
			<Tabs tabs={TABS} label="Policies" />
			<div id="tabpanel" role="tabpanel" aria-labelledby={`tab-${currentTab(TABS)}`} style={{ display: "flex", flexDirection: "column", flex: 1, minHeight: 0 }}>
				{currentTab(TABS) === "history" ? (
					<History version={version} running={files.value} onTaken={files.reload} />
				) : !file ? (
					<Empty title="There are no policies.">
						<Button onClick={() => setDialog("new")}>New file…</Button>
					</Empty>
				) : (
					<div class="policies">
						<div class="card files" role="group" aria-label="Files">
							{list.map((f) => {
								const wrong = errors.some((e) => e.file === f.name);
								const draft = drafts.value[f.name];
								return (
									<button type="button" key={f.name} aria-current={f.name === name} onClick={() => open(f.name)}>
										<Text text={f.name} />
										{wrong ? <span class="tag" data-tone="bad">mistake</span> : draft === null ? <span class="tag">removed</span> : draft !== undefined && <span class="tag">changed</span>}
									</button>
								);
							})}
						</div>
						<div class="text">
							{drafts.value[file.name] === null ? (
								<Empty title="This file is to be removed.">
									<Button onClick={() => keepDraft(file.name, file.text, file.text)}>Keep it</Button>
								</Empty>
							) : (
								<Editor key={file.name} name={file.name} text={drafts.value[file.name] ?? file.text} mistakes={mistakes} line={line} words={words} readOnly={isReadOnly} onChange={(text) => keepDraft(file.name, text, file.text)} />
							)}
							<div class="head">
								{errors.length > 0 ? (
									<ul class="mistakes" aria-label="Mistakes" role="list">
										{errors.map((e) => (
											<li key={`${e.file}:${e.line}:${e.text}`}>
												<button type="button" onClick={() => open(e.file, e.line)}>
													{e.file}
													{e.line ? `:${e.line}` : ""}: {plain(e.text)}
												</button>
											</li>
										))}
									</ul>
								) : (
									<span class="hint">Changes stay in this browser tab until they are applied; nothing is in force before. In the text Tab indents; Escape, then Tab goes on.</span>
								)}
								<span class="push" />
								{drafts.value[file.name] !== null && !isReadOnly && (
									<Button small look="quiet" onClick={() => keepDraft(file.name, null, file.text)}>
										Remove this file
									</Button>
								)}
							</div>
						</div>
					</div>
				)}
			</div>
			{dialog === "apply" && version !== undefined && <ApplyDialog changes={changes} base={version} onClose={() => setDialog("")} onTaken={() => (dropDrafts(), files.reload(), state.reload())} />}
			{dialog === "drop" && (
				<Confirm title={`Discard the changes of ${changes.length} ${changes.length === 1 ? "file" : "files"}`} verb="Discard" onDo={async () => dropDrafts()} onClose={() => setDialog("")}>
					<p>{changes.map((c) => c.name).join(", ")}: what was typed is lost; what is in force stays.</p>
				</Confirm>
			)}
			{dialog === "new" && <NewFile taken={list.map((f) => f.name)} onClose={() => setDialog("")} onMade={(n) => (keepDraft(n, "-- what it is for\n", ""), setDialog(""), open(n))} />}
		</div>
	);
}
