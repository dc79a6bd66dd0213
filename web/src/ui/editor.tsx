// editor: Lua by CodeMirror: mistakes stand at their line while one types. Loaded with the pages that need it alone.
import "../style/editor.css";
import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { bracketMatching, HighlightStyle, indentUnit, StreamLanguage, syntaxHighlighting } from "@codemirror/language";
import { lua } from "@codemirror/legacy-modes/mode/lua";
import { lintGutter, setDiagnostics, type Diagnostic } from "@codemirror/lint";
import { unifiedMergeView } from "@codemirror/merge";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { EditorState, type Extension } from "@codemirror/state";
import { drawSelection, EditorView, highlightActiveLine, highlightActiveLineGutter, keymap, lineNumbers } from "@codemirror/view";
import { tags as t } from "@lezer/highlight";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";

export interface Mistake {
	/** from 1; absent: of the whole file */
	line?: number;
	text: string;
}

const colours = HighlightStyle.define([
	{ tag: t.comment, color: "var(--ink-3)", fontStyle: "italic" },
	{ tag: [t.keyword, t.operatorKeyword, t.modifier], color: "var(--accent)" },
	{ tag: [t.string, t.special(t.string)], color: "var(--good)" },
	{ tag: [t.number, t.bool, t.null, t.atom], color: "var(--warn)" },
	{ tag: [t.standard(t.variableName)], color: "var(--k-webapps)" },
]);

const look = EditorView.theme({
	"&": { height: "100%", fontSize: "12.5px", backgroundColor: "var(--surface)", color: "var(--ink)" },
	".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.55" },
	".cm-gutters": { backgroundColor: "var(--surface-2)", color: "var(--ink-3)", border: "none" },
	".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "var(--surface-hover)" },
	".cm-cursor": { borderLeftColor: "var(--ink)" },
	"&.cm-focused .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "var(--accent-soft) !important" },
	".cm-panels": { backgroundColor: "var(--surface-2)", color: "var(--ink)" },
	".cm-tooltip": { backgroundColor: "var(--surface)", borderColor: "var(--line-strong)", color: "var(--ink)" },
	".cm-diagnostic-error": { borderLeftColor: "var(--bad)" },
	".cm-changedLine, &.cm-merge-b .cm-changedLine": { backgroundColor: "var(--good-soft)" },
	".cm-changedText, &.cm-merge-b .cm-changedText": { background: "color-mix(in srgb, var(--good) 30%, transparent)" },
	".cm-deletedChunk": { backgroundColor: "var(--bad-soft)" },
	".cm-deletedChunk .cm-deletedText": { background: "color-mix(in srgb, var(--bad) 30%, transparent)" },
	".cm-collapsedLines": { color: "var(--ink-2)", background: "var(--surface-2)" },
	// its own sign is in few fonts
	".cm-collapsedLines:before, .cm-collapsedLines:after": { content: "'⋯'" },
});

const language: Extension[] = [StreamLanguage.define(lua), syntaxHighlighting(colours), look, lineNumbers(), EditorView.lineWrapping];

export interface EditorProps {
	/** another one is another document: its history begins anew */
	name: string;
	text: string;
	mistakes: Mistake[];
	onChange: (text: string) => void;
	/** a line to go to (from 1), once for each change of it */
	line?: number;
	/** words that completion offers */
	words?: string[];
	readOnly?: boolean;
}

function diagnostics(state: EditorState, mistakes: Mistake[]): Diagnostic[] {
	return mistakes.map((m) => {
		const line = state.doc.line(Math.max(1, Math.min(state.doc.lines, m.line ?? 1)));
		const from = line.from + (line.text.length - line.text.trimStart().length);
		return { from: Math.min(from, line.to), to: line.to, severity: "error", message: m.text };
	});
}

export function Editor(p: EditorProps) {
	const box = useRef<HTMLDivElement>(null);
	const view = useRef<EditorView>();
	const tell = useRef(p.onChange);
	tell.current = p.onChange;
	const words = useRef(p.words ?? []);
	words.current = p.words ?? [];

	useLayoutEffect(() => {
		const v = (view.current = new EditorView({
			parent: box.current!,
			state: EditorState.create({
				doc: p.text,
				extensions: [
					...language,
					highlightActiveLine(),
					highlightActiveLineGutter(),
					history(),
					drawSelection(),
					indentUnit.of("  "),
					EditorState.tabSize.of(2),
					bracketMatching(),
					closeBrackets(),
					highlightSelectionMatches(),
					search({ top: true }),
					lintGutter(),
					autocompletion({
						override: [
							(c) => {
								const word = c.matchBefore(/[A-Za-z_]\w*/);
								if (!word && !c.explicit) return null;
								return { from: word?.from ?? c.pos, options: words.current.map((label) => ({ label })), validFor: /^\w*$/ };
							},
						],
					}),
					// Tab indents; Escape, then Tab, leaves the editor (as CodeMirror's accessibility notes have it)
					keymap.of([...closeBracketsKeymap, ...defaultKeymap, ...searchKeymap, ...historyKeymap, ...completionKeymap, indentWithTab]),
					EditorState.readOnly.of(!!p.readOnly),
					EditorView.contentAttributes.of({ "aria-label": `Text of ${p.name}${p.readOnly ? ", read only" : ""}` }),
					EditorView.updateListener.of((u) => u.docChanged && tell.current(u.state.doc.toString())),
				],
			}),
		}));
		return () => {
			v.destroy();
			view.current = undefined;
		};
	}, [p.name, p.readOnly]);

	useEffect(() => {
		const v = view.current!;
		if (v.state.doc.toString() !== p.text) v.dispatch({ changes: { from: 0, to: v.state.doc.length, insert: p.text } });
	}, [p.name, p.text, p.readOnly]);

	useEffect(() => {
		const v = view.current!;
		v.dispatch(setDiagnostics(v.state, diagnostics(v.state, p.mistakes)));
	}, [p.name, p.mistakes, p.readOnly]);

	useEffect(() => {
		if (!p.line) return;
		const v = view.current!;
		const at = v.state.doc.line(Math.max(1, Math.min(v.state.doc.lines, p.line)));
		v.dispatch({ selection: { anchor: at.from }, effects: EditorView.scrollIntoView(at.from, { y: "center" }) });
		v.focus();
	}, [p.name, p.line]);

	return <div ref={box} class="editor" />;
}

/** Two texts of one file, as one with what went and what came; what is the same is folded. */
export function Diff({ before, after, label }: { before: string; after: string; label: string }) {
	const box = useRef<HTMLDivElement>(null);
	useLayoutEffect(() => {
		const v = new EditorView({
			parent: box.current!,
			state: EditorState.create({
				doc: after,
				extensions: [
					...language,
					EditorState.readOnly.of(true),
					EditorView.contentAttributes.of({ "aria-label": label, tabindex: "0" }),
					unifiedMergeView({ original: before, mergeControls: false, collapseUnchanged: { margin: 3, minSize: 6 }, gutter: true }),
				],
			}),
		});
		return () => v.destroy();
	}, [before, after, label]);
	return <div ref={box} class="editor diff" />;
}
