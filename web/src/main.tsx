// The page: mounts the app. Styles come first, so that what is shown is never unstyled.
import "./style/tokens.css";
import "./style/base.css";
import "./style/ui.css";
import { render } from "preact";
import { App } from "./app";
import { startTheme } from "./lib/theme";

startTheme();
render(<App />, document.getElementById("app")!);
