// form: fields with a label, a sentence and what is wrong with them; and forms made from params that the server describes (docs/macros.md).
import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import { plain } from "../lib/format";
import "../style/form.css";

export interface Param {
	name: string;
	label?: string;
	/** of ours: duration size flag count number text choice; another one is asked for as a text */
	kind: string;
	description?: string;
	mandatory?: boolean;
	defaultValue?: unknown;
	selectChoices?: { value: string; label: string }[];
	/** for admins */
	isAdmin?: boolean;
}

/** What stands in the fields. A text that is empty is not sent: the default counts. */
export type Values = Record<string, string | boolean>;

const HINTS: Record<string, string> = { duration: "30s, 10min, 12h, 7d", size: "512m, 8g, 0", count: "a whole number", number: "a number" };
const UNSENT = ""; // the field was left empty

export function defaults(params: readonly Param[]): Values {
	const out: Values = {};
	for (const p of params) {
		if (p.kind === "flag") out[p.name] = p.defaultValue === true;
		else out[p.name] = p.defaultValue === undefined || p.defaultValue === null ? UNSENT : Array.isArray(p.defaultValue) ? p.defaultValue.join(", ") : String(p.defaultValue);
	}
	return out;
}

/** As the server reads them: numbers as numbers where they are some, so that what is none is refused in its own words. */
export function sent(params: readonly Param[], values: Values): Record<string, unknown> {
	const out: Record<string, unknown> = {};
	for (const p of params) {
		const v = values[p.name];
		if (v === undefined || v === UNSENT) continue;
		const n = Number(v);
		out[p.name] = (p.kind === "count" || p.kind === "number") && typeof v === "string" && v.trim() && Number.isFinite(n) ? n : v;
	}
	return out;
}

/** Which field a refusal is about: `param "age": that is too long` → { age: "that is too long" }; "" is the whole form. */
export function wrongOf(params: readonly Param[], message: string): Record<string, string> {
	const found = /^param "([^"]+)"(?::| is)\s*(.*)$/s.exec(message);
	if (!found || !params.some((p) => p.name === found[1])) return { "": message };
	return { [found[1]!]: message.startsWith(`param "${found[1]}" is`) ? `It is ${found[2]}.` : found[2]! };
}

export interface FieldProps {
	label: ComponentChildren;
	hint?: ComponentChildren;
	wrong?: string;
	children: (a: { id: string; "aria-describedby": string; "aria-invalid": true | undefined }) => ComponentChildren;
}

/** A label over its control, with what it means and what is wrong below. */
export function Field({ label, hint, wrong, children }: FieldProps) {
	const id = useId();
	return (
		<div class="form-field">
			<label for={id}>{label}</label>
			{children({ id, "aria-describedby": `${id}-hint ${id}-wrong`, "aria-invalid": wrong ? true : undefined })}
			<span class="hint" id={`${id}-hint`}>
				{hint}
			</span>
			<span class="wrong" id={`${id}-wrong`} role={wrong ? "alert" : undefined}>
				{wrong && plain(wrong)}
			</span>
		</div>
	);
}

/** A box to tick, its label beside it. */
export function Tick({ label, hint, wrong, checked, disabled, onChange }: { label: ComponentChildren; hint?: ComponentChildren; wrong?: string; checked: boolean; disabled?: boolean; onChange: (v: boolean) => void }) {
	const id = useId();
	return (
		<div class="form-tick">
			<input type="checkbox" id={id} checked={checked} disabled={disabled} aria-describedby={`${id}-hint`} onChange={(e) => onChange(e.currentTarget.checked)} />
			<label for={id}>{label}</label>
			<span class="hint" id={`${id}-hint`}>
				{hint}
				{wrong && <span class="wrong"> {plain(wrong)}</span>}
			</span>
		</div>
	);
}

/** One of a few, each with a sentence. */
export function Choices<T extends string>({ legend, name, value, of, onChange }: { legend: string; name: string; value: T; of: readonly { value: T; label: string; says?: string }[]; onChange: (v: T) => void }) {
	return (
		<fieldset class="form-choices">
			<legend>{legend}</legend>
			{of.map((o) => (
				<label key={o.value}>
					<input type="radio" name={name} value={o.value} checked={o.value === value} onChange={() => onChange(o.value)} />
					<span>
						<strong>{o.label}</strong>
						{o.says && <span class="hint">{o.says}</span>}
					</span>
				</label>
			))}
		</fieldset>
	);
}

function ParamField({ param, value, wrong, onChange }: { param: Param; value: string | boolean | undefined; wrong?: string; onChange: (v: string | boolean) => void }) {
	const label = (
		<>
			<bdi>{plain(param.label ?? param.name)}</bdi>
			{param.mandatory && <span class="dim"> (needed)</span>}
			{param.isAdmin && <span class="tag">admins</span>}
		</>
	);
	const about = param.description ? plain(param.description) : undefined;
	if (param.kind === "flag") return <Tick label={label} hint={about} wrong={wrong} checked={value === true} onChange={onChange} />;
	const text = typeof value === "string" ? value : "";
	return (
		<Field label={label} hint={about} wrong={wrong}>
			{(a) =>
				param.kind === "choice" ? (
					<select class="field" {...a} value={text} onChange={(e) => onChange(e.currentTarget.value)}>
						{!text && <option value="">choose one</option>}
						{(param.selectChoices ?? []).map((c) => (
							<option key={c.value} value={c.value}>
								{plain(c.label)}
							</option>
						))}
					</select>
				) : (
					<input
						class={`field${param.kind === "text" ? "" : " short"}`}
						type="text"
						inputMode={param.kind === "count" ? "numeric" : param.kind === "number" ? "decimal" : "text"}
						spellcheck={false}
						autoComplete="off"
						placeholder={HINTS[param.kind]}
						{...a}
						value={text}
						onInput={(e) => onChange(e.currentTarget.value)}
					/>
				)
			}
		</Field>
	);
}

/** The fields of params. `wrong`: by name; what is wrong with the whole stands under "". */
export function ParamFields({ params, values, wrong, onChange }: { params: readonly Param[]; values: Values; wrong: Record<string, string>; onChange: (v: Values) => void }) {
	return (
		<div class="form-fields">
			{params.map((p) => (
				<ParamField key={p.name} param={p} value={values[p.name]} wrong={wrong[p.name]} onChange={(v) => onChange({ ...values, [p.name]: v })} />
			))}
			{wrong[""] && (
				<div class="wrong" role="alert">
					{plain(wrong[""])}
				</div>
			)}
		</div>
	);
}
