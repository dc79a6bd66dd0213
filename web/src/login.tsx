// login: a key, tried before it is kept.
import { useState } from "preact/hooks";
import { get, call, ApiError } from "./lib/api";
import { leftBecause, logIn } from "./lib/session";
import { Button } from "./ui/basics";

export interface Me {
	user: string;
	isAdmin: boolean;
	instance?: string;
	version?: string;
}

export const whoami = () => get<Me>("/api/me");

export function Login() {
	const [typed, setTyped] = useState("");
	const [wrong, setWrong] = useState(leftBecause.value);
	const [isBusy, setBusy] = useState(false);
	const submit = async (e: Event) => {
		e.preventDefault();
		const key = typed.trim();
		if (!key) return setWrong("Paste a key first.");
		setBusy(true);
		try {
			if (/[^\x21-\x7e]/.test(key)) throw new ApiError(401, "", "");
			await call<Me>("/api/me", { as: key });
			logIn(key);
		} catch (err) {
			const status = err instanceof ApiError ? err.status : 0;
			setWrong(status === 401 ? "This key is not accepted. It may be revoked, or of another instance." : err instanceof Error ? err.message : String(err));
		} finally {
			setBusy(false);
		}
	};
	return (
		<main class="login">
			<form class="card" onSubmit={submit}>
				<h1>dssd</h1>
				<p class="dim">Background tasks of this node. Log in with a key of yours.</p>
				<label class="label">
					Key
					<input
						class="field mono"
						type="password"
						name="key"
						autoComplete="current-password"
						spellcheck={false}
						autoFocus
						value={typed}
						aria-invalid={wrong ? true : undefined}
						aria-describedby="login-wrong"
						onInput={(e) => {
							setTyped(e.currentTarget.value);
							setWrong("");
						}}
					/>
				</label>
				<div id="login-wrong" class="wrong" role="alert">
					{wrong}
				</div>
				<Button type="submit" look="main" disabled={isBusy}>
					{isBusy ? "Trying it…" : "Log in"}
				</Button>
				<p class="hint">
					An admin makes one for you with <code>dssctl key add USER</code>. The admin's own stands in <code>config/admin.key</code>. It is kept in this tab alone, until it is closed.
				</p>
			</form>
		</main>
	);
}
