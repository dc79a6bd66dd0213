// worker: one stream for all tabs of a browser, by key. A tab's port opens with its key; it is forgotten once the tab says so or is gone.
import { Source, type Hear } from "./source";
import type { Asked } from "./protocol";

declare const self: SharedWorkerGlobalScope & { location: Location };

const sources = new Map<string, Source>();

self.onconnect = (e: MessageEvent) => {
	const port = e.ports[0]!;
	let source: Source | undefined;
	let openedKey = "";
	const hear: Hear = (told) => port.postMessage(told);
	const close = () => {
		source?.remove(hear);
		if (source?.isUnheard) sources.delete(openedKey);
		source = undefined;
	};
	port.onmessage = (m: MessageEvent<Asked>) => {
		const asked = m.data;
		if (asked.a === "retry") source?.retry();
		else if (asked.a === "close") close();
		else {
			close();
			openedKey = asked.key;
			source = sources.get(openedKey);
			if (!source) sources.set(openedKey, (source = new Source(openedKey, self.location.origin)));
			source.add(hear);
		}
	};
	port.start();
};
