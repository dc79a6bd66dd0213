// dialog: a modal question over the browser's own <dialog>: it holds the focus, and Escape leaves it.
import "../style/dialog.css";
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { Button } from "./basics";

export interface DialogProps {
	title: string;
	onClose: () => void;
	children: ComponentChildren;
	footer?: ComponentChildren;
	wide?: boolean;
}

export function Dialog({ title, onClose, children, footer, wide }: DialogProps) {
	const ref = useRef<HTMLDialogElement>(null);
	const id = useId();
	useEffect(() => {
		const d = ref.current!;
		const before = document.activeElement;
		d.showModal();
		return () => {
			if (d.open) d.close();
			if (before instanceof HTMLElement) before.focus();
		};
	}, []);
	return (
		<dialog
			ref={ref}
			class={`dialog${wide ? " wide" : ""}`}
			aria-labelledby={id}
			onCancel={(e) => {
				e.preventDefault();
				onClose();
			}}
			onMouseDown={(e) => e.target === ref.current && onClose()}
		>
			<header>
				<h2 id={id}>{title}</h2>
				<Button look="quiet" small style={{ marginLeft: "auto" }} aria-label="Close" onClick={onClose}>
					✕
				</Button>
			</header>
			<div class="body">{children}</div>
			{footer && <footer>{footer}</footer>}
		</dialog>
	);
}
