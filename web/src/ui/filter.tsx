// filter: a box for the policies' filter language, with what may stand at the cursor in a menu under it and what is wrong with a caret at its place.
import "../style/filter.css";
import { useSignal } from "@preact/signals";
import { useEffect, useId, useRef } from "preact/hooks";
import { plain } from "../lib/format";
import { Button } from "./basics";
import type { FilterModel } from "./filter_model";

const WORDS_MOST = 40;
const BEFORE = 32; // characters shown before a mistake, and after it
const AFTER = 28;

/** The text around a mistake and a caret under its place. */
function Mistake({ text, at, error }: { text: string; at: number | undefined; error: string }) {
	if (at === undefined) return <div class="why">{plain(error)}</div>;
	const from = Math.max(0, at - BEFORE);
	const lead = from > 0 ? "…" : "";
	const line = lead + plain(text.slice(from, at)) + plain(text.slice(at, at + AFTER)) + (text.length > at + AFTER ? "…" : "");
	return (
		<>
			<pre aria-hidden="true">
				{line}
				{"\n"}
				{" ".repeat(lead.length + plain(text.slice(from, at)).length)}
				<b>^</b>
			</pre>
			<div class="why">
				Character {at + 1}: {plain(error)}
			</div>
		</>
	);
}

export function FilterBox({ model, label, placeholder }: { model: FilterModel; label: string; placeholder: string }) {
	const input = useRef<HTMLInputElement>(null);
	const id = useId();
	const isIn = useSignal(false);
	const isOpen = useSignal(false); // the menu
	const isOver = useSignal(false); // Enter was pressed: mistakes are told also while it is incomplete
	const at = useSignal(-1); // in the menu

	const text = model.text.value;
	const mistake = model.mistake.value;
	const words = model.words.value.slice(0, WORDS_MOST);
	const shows = isIn.value && isOpen.value && words.length > 0;
	// While somebody types the end of a filter is a mistake most of the time.
	const isUnfinished = mistake?.at !== undefined && mistake.at >= Math.min(model.from.value, text.trimEnd().length);
	const tells = mistake && !shows && !model.isAsking.value && !(isIn.value && isUnfinished && !isOver.value);

	useEffect(() => {
		at.value = -1;
	}, [model.words.value]);
	useEffect(() => {
		if (at.value >= 0) document.getElementById(`${id}-${at.value}`)?.scrollIntoView({ block: "nearest" });
	}, [at.value]);

	const edit = () => {
		isOpen.value = true;
		isOver.value = false;
		model.edit(input.current!.value, input.current!.selectionStart ?? input.current!.value.length);
	};
	const accept = (word: string) => {
		const el = input.current!;
		const rest = el.value.slice(el.selectionStart ?? el.value.length);
		const head = `${el.value.slice(0, model.from.value)}${word}${rest.startsWith(" ") ? "" : " "}`;
		el.value = head + rest;
		el.setSelectionRange(head.length, head.length);
		el.focus();
		edit();
	};
	const onKey = (e: KeyboardEvent) => {
		const step = e.key === "ArrowDown" ? 1 : e.key === "ArrowUp" ? -1 : 0;
		if (step) {
			if (!isOpen.value) edit();
			else if (words.length) at.value = (at.value + step + (at.value < 0 && step < 0 ? 1 : 0) + words.length) % words.length;
		} else if ((e.key === "Enter" || e.key === "Tab") && shows && at.value >= 0) accept(words[at.value]!);
		else if (e.key === "Enter") {
			isOpen.value = false;
			isOver.value = true;
		} else if (e.key === "Escape" && shows) isOpen.value = false;
		else if (e.key === "Escape" && text) model.set("");
		else if (e.key === "Escape") input.current!.blur();
		else return;
		e.preventDefault();
		e.stopPropagation();
	};

	return (
		<div class="filter">
			<input
				ref={input}
				class="field mono"
				type="text"
				role="combobox"
				aria-label={label}
				aria-expanded={shows}
				aria-controls={`${id}-words`}
				aria-autocomplete="list"
				aria-activedescendant={shows && at.value >= 0 ? `${id}-${at.value}` : undefined}
				aria-invalid={tells ? true : undefined}
				aria-describedby={tells ? `${id}-wrong` : undefined}
				data-filter
				autoComplete="off"
				autoCapitalize="off"
				spellcheck={false}
				maxLength={4096}
				placeholder={placeholder}
				value={text}
				onInput={edit}
				onClick={edit}
				onKeyDown={onKey}
				onFocus={() => {
					isIn.value = true;
					edit();
				}}
				onBlur={() => {
					isIn.value = false;
					isOpen.value = false;
				}}
			/>
			{text && (
				<Button look="quiet" small class="clear" aria-label="Clear the filter" onClick={() => model.set("")}>
					✕
				</Button>
			)}
			<div id={`${id}-words`} role="listbox" aria-label="Words that may stand here" class="menu words" hidden={!shows}>
				{shows &&
					words.map((w, i) => (
						<div
							key={w}
							id={`${id}-${i}`}
							role="option"
							class="mono"
							aria-selected={i === at.value}
							onMouseDown={(e) => {
								e.preventDefault(); // the box keeps the focus
								accept(w);
							}}
						>
							{plain(w)}
						</div>
					))}
			</div>
			<div id={`${id}-wrong`} class="mistake" role="alert" hidden={!tells}>
				{tells && (
					<>
						<Mistake text={text} at={mistake.at} error={mistake.error} />
						{model.filter.value && <div class="dim">Not applied. Shown are still the rows of: <code>{plain(model.filter.value.text)}</code></div>}
					</>
				)}
			</div>
		</div>
	);
}
