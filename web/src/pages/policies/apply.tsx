// apply: the changes side by side with what is in force, then they are taken, all or none.
import { useState } from "preact/hooks";
import { ApiError, put } from "../../lib/api";
import { Confirm } from "../../ui/confirm";
import { Diff } from "../../ui/editor";
import { tell } from "../../ui/toast";
import type { Change } from "./drafts";

export function Changes({ changes }: { changes: Change[] }) {
	return (
		<>
			{changes.map((c) => (
				<section key={c.name} aria-label={c.name}>
					<h3>
						{c.name} <span class="dim">{c.isNew ? "new" : c.after === null ? "removed" : ""}</span>
					</h3>
					<Diff before={c.before} after={c.after ?? ""} label={`Changes of ${c.name}`} />
				</section>
			))}
		</>
	);
}

interface Refusal {
	errors?: { file: string; line?: number; text: string }[];
	/** files in policies/ that are not those of the set in force */
	files?: string[];
}

const refusal = (e: unknown): Refusal => (e instanceof ApiError && e.body && typeof e.body === "object" ? (e.body as Refusal) : {});

/** A refusal with the mistakes that it names, one a line. */
function whole(e: unknown): unknown {
	const { errors } = refusal(e);
	if (!Array.isArray(errors)) return e;
	return new Error([(e as Error).message, ...errors.map((m) => `${m.file}${m.line ? `:${m.line}` : ""}: ${m.text}`)].join("\n"));
}

/** What takes a set: `send` asks for it. Files that somebody changed in policies/ meanwhile are kept aside where one says so, never written over. */
export function useTaking<T>(send: (overwrite: boolean) => Promise<T>, then: (answer: T) => void) {
	const [others, setOthers] = useState<string[]>([]);
	const [isSure, setSure] = useState(false);
	const take = async () => {
		try {
			then(await send(isSure));
		} catch (e) {
			const { files } = refusal(e);
			if (Array.isArray(files) && files.length) setOthers(files);
			throw whole(e);
		}
	};
	const question = others.length > 0 && (
		<label class="note" data-tone="warn">
			<input type="checkbox" checked={isSure} onChange={(e) => setSure(e.currentTarget.checked)} />
			<span>
				Put {others.join(", ")} as they are in policies/ aside into its folder <code>kept</code>, and go on.
			</span>
		</label>
	);
	return { take, question };
}

export function ApplyDialog({ changes, base, onClose, onTaken }: { changes: Change[]; base: number; onClose: () => void; onTaken: () => void }) {
	const files = changes.map((c) => (c.after === null ? { name: c.name, remove: true } : { name: c.name, text: c.after }));
	const { take, question } = useTaking(
		(overwrite) => put<{ version: number }>("/api/policies", { files, base, overwrite: overwrite || undefined }),
		({ version }) => {
			tell(`Version ${version} is in force.`);
			onTaken();
		},
	);
	return (
		<Confirm wide look="main" verb="Apply" title={`Apply changes of ${changes.length} ${changes.length === 1 ? "file" : "files"} to version ${base}`} onDo={take} onClose={onClose}>
			<Changes changes={changes} />
			{question}
		</Confirm>
	);
}
