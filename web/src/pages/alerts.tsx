// alerts: what an admin should know now, worst first, until it is over.
import "../style/alerts.css";
import { useEffect, useState } from "preact/hooks";
import { alerts, loadAlerts, type Alert } from "../state/alerts";
import { Empty, Failed, Loading, Since, Text, Time } from "../ui/basics";
import { Source } from "../ui/source";

const tones: Record<string, string> = { error: "bad", critical: "bad", warning: "warn", warn: "warn" };

function Row({ a }: { a: Alert }) {
	// a mistake begins with its place
	const place = /^policies\/[\w-]+\.lua:\d+/.exec(a.text)?.[0] ?? "";
	return (
		<li class="note alert" data-tone={tones[a.level] ?? ""}>
			<div>
				<div class="head">
					<strong>{a.level}</strong>
					{a.subject && <Text text={a.subject} />}
					{a.source && <Source at={a.source} />}
					<span class="push dim">
						since <Time at={a.since} /> (<Since at={a.since} />){a.count > 1 && `, ${a.count} times`}
					</span>
				</div>
				<span>
					<Source at={place} />
					<Text text={a.text.slice(place.length)} cut={false} />
				</span>
			</div>
		</li>
	);
}

export default function Alerts() {
	const [error, setError] = useState<Error>();
	const load = () => loadAlerts().then(() => setError(undefined), setError);
	useEffect(() => void load(), []);
	const list = alerts.value;
	return (
		<div class="page">
			<div class="head">
				<h1>Alerts</h1>
				<span class="dim">what is wrong now; each goes by itself once it is over</span>
			</div>
			{error && <Failed error={error} retry={load} />}
			{!list ? (
				!error && <Loading />
			) : list.length === 0 ? (
				<Empty title="Nothing is wrong.">Mistakes in policies, kernels that do not start, memory promised twice and the like would stand here.</Empty>
			) : (
				<ul class="alerts" aria-label="Alerts" role="list">
					{list.map((a) => (
						<Row a={a} key={a.key} />
					))}
				</ul>
			)}
		</div>
	);
}
