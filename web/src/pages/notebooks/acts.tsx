// acts: what can be done to notebooks: unload with what is lost, interrupt, keep, and how to open the server.
import { useState } from "preact/hooks";
import { del, get, post, seg } from "../../lib/api";
import { plain, time } from "../../lib/format";
import { memoryOf, now } from "../../state/board";
import { useLoad } from "../../state/load";
import type { Row } from "../../stream/protocol";
import { Button, Bytes, Failed, Loading } from "../../ui/basics";
import { Act, Confirm } from "../../ui/confirm";
import { Dialog } from "../../ui/dialog";
import { Choices } from "../../ui/form";
import { tell } from "../../ui/toast";
import { boardOf, idleness, idleOf, type Session } from "./model";

export const memoryNow = (s: Session): number | null => {
	const row = boardOf(s);
	return (row ? memoryOf(row.id) : null) ?? s.memoryBytes ?? null;
};

const named = (n: number) => (n === 1 ? "1 notebook" : `${n} notebooks`);

/** One after the other; the first that fails ends it, with what went before. */
async function each(list: readonly Session[], done: string, fn: (s: Session) => Promise<unknown>): Promise<void> {
	const kernels = new Set<string>();
	let n = 0;
	for (const s of list) {
		if (kernels.has(s.kernelId)) continue;
		kernels.add(s.kernelId);
		try {
			await fn(s);
		} catch (e) {
			throw new Error(`${n ? `${n} of ${list.length} ${done}. ` : ""}${s.notebook}: ${e instanceof Error ? e.message : String(e)}`);
		}
		n++;
	}
	tell(list.length === 1 ? `${list[0]!.notebook}: ${done}.` : `${list.length} notebooks: ${done}.`);
}

function Listed({ list, at }: { list: readonly Session[]; at: number }) {
	return (
		<ul class="going">
			{list.map((s) => (
				<li key={s.id}>
					<bdi>{plain(s.notebook)}</bdi>
					<span class="dim">
						{plain(s.user)}. {idleness(s, idleOf(s, at), now())}
						{s.leased ? ` Kept by ${plain(s.leasedBy ?? "its user")}.` : ""}
					</span>
					<Bytes n={memoryNow(s)} />
				</li>
			))}
		</ul>
	);
}

/** All sessions on the kernels of these: they end together. */
export function withTheirs(chosen: readonly Session[], all: readonly Session[]): Session[] {
	const kernels = new Set(chosen.map((s) => s.kernelId));
	return all.filter((s) => kernels.has(s.kernelId));
}

/** Rows of the kernels of these, where the board has all of them and lets one end them: those of others' are not on it. */
export function endable(list: readonly Session[]): Row[] | undefined {
	const found = list.map(boardOf).filter((r): r is Row => !!r && r.ends.length > 0);
	return found.length === list.length ? [...new Map(found.map((r) => [r.id, r])).values()] : undefined;
}

export function Unload({ chosen, all, at, onClose, onDone }: { chosen: readonly Session[]; all: readonly Session[]; at: number; onClose: () => void; onDone: () => void }) {
	const [list] = useState(() => withTheirs(chosen, all)); // what was asked about, whatever comes meanwhile
	const busy = list.filter((s) => idleOf(s, at).isBusy);
	const sum = [...new Map(list.map((s) => [s.kernelId, memoryNow(s) ?? 0])).values()].reduce((a, b) => a + b, 0);
	return (
		<Confirm
			title={list.length === 1 ? `Unload ${plain(list[0]!.notebook)}?` : `Unload ${list.length} notebooks?`}
			verb={`Unload ${named(list.length)}`}
			onClose={onClose}
			onDo={async () => {
				await each(list, "unloaded", (s) => del(`/api/notebooks/${seg(s.id)}`));
				onDone();
			}}
		>
			<p>
				Their kernels end, and with them all variables and what is not saved in the notebook's file. <Bytes n={sum} /> come free.
			</p>
			{busy.length > 0 && (
				<p class="note" data-tone="warn">
					{busy.length === 1 ? "A cell runs in one of them" : `Cells run in ${busy.length} of them`}: its results are lost.
				</p>
			)}
			{list.length > chosen.length && <p class="dim">Others are on the same kernels, and end with them.</p>}
			<Listed list={list} at={at} />
		</Confirm>
	);
}

export function Interrupt({ chosen, at, onClose, onDone }: { chosen: readonly Session[]; at: number; onClose: () => void; onDone: () => void }) {
	return (
		<Confirm
			title={chosen.length === 1 ? `Interrupt ${plain(chosen[0]!.notebook)}?` : `Interrupt ${chosen.length} notebooks?`}
			verb={`Interrupt ${named(chosen.length)}`}
			onClose={onClose}
			onDo={async () => {
				await each(chosen, "interrupted", (s) => post(`/api/notebooks/${seg(s.id)}/interrupt`));
				onDone();
			}}
		>
			<p>The cells that run end with an error; all variables stay.</p>
			<Listed list={chosen} at={at} />
		</Confirm>
	);
}

const TIMES = [
	{ value: "2h", label: "2 hours" },
	{ value: "8h", label: "8 hours" },
	{ value: "1d", label: "1 day" },
	{ value: "0s", label: "Give it back", says: "Policies may end it again when they find it idle." },
] as const;

export function Keep({ chosen, onClose, onDone }: { chosen: readonly Session[]; onClose: () => void; onDone: () => void }) {
	const [value, setValue] = useState<(typeof TIMES)[number]["value"]>("8h");
	const kept = chosen.filter((s) => s.leased);
	return (
		<Confirm
			title={chosen.length === 1 ? `Keep ${plain(chosen[0]!.notebook)}` : `Keep ${chosen.length} notebooks`}
			look="main"
			verb={value === "0s" ? "Give back" : `Keep for ${TIMES.find((t) => t.value === value)!.label}`}
			onClose={onClose}
			onDo={async () => {
				await each(chosen, value === "0s" ? "given back" : `kept for ${value}`, (s) => post(`/api/notebooks/${seg(s.id)}/keep`, { for: value }));
				onDone();
			}}
		>
			<p>Until then no policy and no macro ends it. Somebody who unloads it by hand still does.</p>
			{kept.length > 0 && (
				<p class="dim">
					{kept.length === 1 ? "It is kept now" : "Some are kept now"}
					{kept[0]!.leasedUntil ? `, until ${time(kept[0]!.leasedUntil)}` : ""}.
				</p>
			)}
			<Choices legend="For how long" name="keep" value={value} of={TIMES} onChange={setValue} />
		</Confirm>
	);
}

/** For admins: the server's address with its token. */
export function Link({ path, onClose }: { path?: string; onClose: () => void }) {
	const link = useLoad((signal) => get<{ url: string }>("/api/notebooks/link", undefined, signal), []);
	const url = link.value?.url ?? "";
	const at = /^https?:\/\//.test(url) ? url : "";
	const whole = at && path ? at.replace(/\/(\?|$)/, `/notebooks/${path.split("/").map(encodeURIComponent).join("/")}$1`) : at;
	const port = /:(\d+)/.exec(at.replace(/^https?:/, ""))?.[1];
	return (
		<Dialog
			title="Open notebooks"
			onClose={onClose}
			footer={
				<>
					<Button onClick={onClose}>Close</Button>
					{whole && (
						<>
							<Act onClick={() => void navigator.clipboard?.writeText(whole).then(() => tell("The address is copied."))}>Copy</Act>
							<a class="button" data-look="main" href={whole} target="_blank" rel="noopener noreferrer">
								Open
							</a>
						</>
					)}
				</>
			}
		>
			{link.error ? (
				<Failed error={link.error} retry={link.reload} />
			) : !link.value ? (
				<Loading lines={2} />
			) : (
				<>
					<p>The server's address with its token. Who has it acts as the run user: do not pass it on.</p>
					<pre class="note">{plain(whole)}</pre>
					<p class="hint">
						It listens on this machine alone. From another one, make a tunnel first: <code>ssh -L {port ?? "PORT"}:127.0.0.1:{port ?? "PORT"} HOST</code>
					</p>
				</>
			)}
		</Dialog>
	);
}
