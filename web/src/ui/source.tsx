// source: a place in a policy, as a link for who may read it.
import { href } from "../lib/router";
import { isAdmin } from "../state/board";

/** "policies/30-rules.lua:7" */
export function Source({ at }: { at: string | undefined }) {
	if (!at) return null;
	const [, file, line] = /^policies\/([^/]+):(\d+)$/.exec(at) ?? [];
	return isAdmin.value && file ? <a href={href("policies", { file, line })}>{at}</a> : <code>{at}</code>;
}
