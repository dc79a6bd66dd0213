// new_file: the name of a file that is to be made.
import { useState } from "preact/hooks";
import { Button } from "../../ui/basics";
import { Dialog } from "../../ui/dialog";

export function NewFile({ taken, onClose, onMade }: { taken: string[]; onClose: () => void; onMade: (name: string) => void }) {
	const [typed, setTyped] = useState("");
	const name = /\.lua$/.test(typed) ? typed : `${typed}.lua`;
	const wrong = !typed ? "" : !/^[A-Za-z0-9_-]{1,64}\.lua$/.test(name) ? "Letters, digits, - and _ only, such as 50-nights.lua" : taken.includes(name) ? "There is such a file." : "";
	const make = () => typed && !wrong && onMade(name);
	return (
		<Dialog
			title="New file"
			onClose={onClose}
			footer={
				<>
					<Button onClick={onClose}>Cancel</Button>
					<Button look="main" disabled={!typed || !!wrong} onClick={make}>
						Make it
					</Button>
				</>
			}
		>
			<label class="label">
				Name
				<input class="field mono" value={typed} autoFocus placeholder="50-nights.lua" aria-invalid={wrong ? true : undefined} onInput={(e) => setTyped(e.currentTarget.value.trim())} onKeyDown={(e) => {
					if (e.key !== "Enter") return;
					e.preventDefault(); // else it would press the button that has the focus again
					make();
				}} />
			</label>
			<p class="hint">Files are read in the order of their names.</p>
			{wrong && (
				<p class="wrong" role="alert">
					{wrong}
				</p>
			)}
		</Dialog>
	);
}
