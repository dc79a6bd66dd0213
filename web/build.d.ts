// What build.mjs and the browser have and TypeScript's DOM library does not.

/** Where the SharedWorker's script is: new SharedWorker(WORKER_URL, { type: "module" }). build.mjs puts it in. */
declare const WORKER_URL: string;

/** The worker's side; TypeScript has it in a library that cannot be had together with the DOM's. */
interface SharedWorkerGlobalScope extends EventTarget {
	readonly name: string;
	onconnect: ((e: MessageEvent) => void) | null;
	close(): void;
}

declare module "*.svg" {
	const url: string;
	export default url;
}
