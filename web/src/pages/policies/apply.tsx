// apply: the changes side by side with what is in force, then they are taken, all or none.
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

/** A refusal with the mistakes that it names, one a line. */
function whole(e: unknown): unknown {
	const errors = e instanceof ApiError ? (e.body as { errors?: { file: string; line?: number; text: string }[] } | undefined)?.errors : undefined;
	if (!Array.isArray(errors)) return e;
	return new Error([(e as Error).message, ...errors.map((m) => `${m.file}${m.line ? `:${m.line}` : ""}: ${m.text}`)].join("\n"));
}

export function ApplyDialog({ changes, base, onClose, onTaken }: { changes: Change[]; base: number; onClose: () => void; onTaken: () => void }) {
	const apply = async () => {
		const files = changes.map((c) => (c.after === null ? { name: c.name, remove: true } : { name: c.name, text: c.after }));
		try {
			const { version } = await put<{ version: number }>("/api/policies", { files, base });
			tell(`Version ${version} is in force.`);
			onTaken();
		} catch (e) {
			throw whole(e);
		}
	};
	return (
		<Confirm wide look="main" verb="Apply" title={`Apply changes of ${changes.length} ${changes.length === 1 ? "file" : "files"} to version ${base}`} onDo={apply} onClose={onClose}>
			<Changes changes={changes} />
		</Confirm>
	);
}
