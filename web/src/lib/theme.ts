// theme: light, dark, or as the system says. The choice is the browser's (local storage), not the user's account.
import { effect, signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";
const STORED = "dss.theme";

function stored(): Theme {
	try {
		const t = localStorage.getItem(STORED);
		return t === "light" || t === "dark" ? t : "system";
	} catch {
		return "system"; // storage may be forbidden
	}
}

export const theme = signal<Theme>(stored());
const asks_dark = matchMedia("(prefers-color-scheme: dark)");
/** What is shown now. */
export const shownTheme = signal<"light" | "dark">("light");

export function startTheme(): void {
	const apply = () => {
		shownTheme.value = theme.value === "system" ? (asks_dark.matches ? "dark" : "light") : theme.value;
		document.documentElement.dataset.theme = shownTheme.value;
	};
	asks_dark.addEventListener("change", apply);
	effect(() => {
		try {
			if (theme.value === "system") localStorage.removeItem(STORED);
			else localStorage.setItem(STORED, theme.value);
		} catch {
			// for this page only, then
		}
		apply();
	});
}
