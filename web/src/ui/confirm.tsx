// confirm: buttons that act, which rest while the connection is lost, and the question before what cannot be taken back.
import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";
import { plain } from "../lib/format";
import { link } from "../state/board";
import { Button } from "./basics";
import { Dialog } from "./dialog";

type Look = "main" | "bad" | "quiet";

/** A button that asks the server for something. */
export function Act(p: Omit<JSX.HTMLAttributes<HTMLButtonElement>, "title"> & { look?: Look; small?: boolean; disabled?: boolean; title?: string; type?: "button" | "submit" }) {
	const isLost = link.value.state === "lost";
	return <Button {...p} disabled={isLost || p.disabled} title={isLost ? "The connection is lost: it can be done once it is back." : p.title} />;
}

export interface ConfirmProps {
	title: string;
	/** what the button does: "Unload 3 notebooks" */
	verb: string;
	look?: Look;
	children: ComponentChildren;
	/** what throws stays said in the dialog, which stays open */
	onDo: () => Promise<void>;
	onClose: () => void;
	wide?: boolean;
	disabled?: boolean;
}

export function Confirm({ title, verb, look = "bad", children, onDo, onClose, wide, disabled }: ConfirmProps) {
	const [isBusy, setBusy] = useState(false);
	const [wrong, setWrong] = useState("");
	const act = async () => {
		setBusy(true);
		setWrong("");
		try {
			await onDo();
			onClose();
		} catch (e) {
			setWrong(e instanceof Error ? e.message : String(e));
			setBusy(false);
		}
	};
	return (
		<Dialog
			title={title}
			wide={wide}
			onClose={onClose}
			footer={
				<>
					<Button onClick={onClose}>Cancel</Button>
					<Act look={look} disabled={isBusy || disabled} onClick={act} autoFocus>
						{isBusy ? "At it…" : verb}
					</Act>
				</>
			}
		>
			{children}
			<div class="wrong" role="alert">
				{plain(wrong)}
			</div>
		</Dialog>
	);
}
