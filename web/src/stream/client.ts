// client: a tab's end of the stream: over the shared worker, so that a browser has one stream however many tabs are open; where there are no
// shared workers, a stream of the tab's own.
import { Source, type Hear } from "./source";
import type { Asked, Told } from "./protocol";

export interface Client {
	retry(): void;
	close(): void;
}

function overWorker(key: string, hear: Hear): Client {
	const worker = new SharedWorker(new URL(WORKER_URL, location.href), { type: "module", name: "dss-stream" });
	const say = (a: Asked) => worker.port.postMessage(a);
	let own: Client | undefined;
	worker.onerror = () => (own ??= overSource(key, hear)); // its script did not load
	worker.port.onmessage = (e: MessageEvent<Told[]>) => hear(e.data);
	worker.port.start();
	say({ a: "open", key });
	const leave = () => say({ a: "close" });
	const back = (e: PageTransitionEvent) => e.persisted && say({ a: "open", key });
	addEventListener("pagehide", leave);
	addEventListener("pageshow", back);
	return {
		retry: () => (own ? own.retry() : say({ a: "retry" })),
		close() {
			removeEventListener("pagehide", leave);
			removeEventListener("pageshow", back);
			own?.close();
			leave();
			worker.port.close();
		},
	};
}

function overSource(key: string, hear: Hear): Client {
	const source = new Source(key, location.origin);
	source.add(hear);
	return { retry: () => source.retry(), close: () => source.remove(hear) };
}

export function connect(key: string, hear: Hear): Client {
	const client = typeof SharedWorker === "undefined" ? overSource(key, hear) : overWorker(key, hear);
	const retry = () => client.retry();
	addEventListener("online", retry);
	return {
		retry,
		close() {
			removeEventListener("online", retry);
			client.close();
		},
	};
}
