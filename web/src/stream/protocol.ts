// protocol: what the server's stream tells (docs/api.md, *The board*), and what a tab hears of it.

export type Kind = "future" | "job" | "recipe" | "training" | "webapp" | "notebook" | "macro" | "kernel" | "service";

/** Something that runs or waits. Members that are not known are absent. Times are ms since 1970, sizes bytes. */
export interface Row {
	id: string;
	kind: Kind;
	/** what its own routes take */
	ref: string;
	parent?: string;
	what: string;
	project?: string;
	user?: string;
	pool?: string;
	tags?: string[];
	state: string;
	reason?: string;
	position?: number;
	sinceAt?: number;
	submittedAt?: number;
	startedAt?: number;
	processId?: string;
	pid?: number;
	limitBytes?: number;
	limitOwner?: string;
	attempt?: number;
	/** how much is done, 0 to 1, and what it says of it */
	progress?: number;
	message?: string;
	/** what this viewer may do to it */
	ends: string[];
	quietAt?: number;
	silentAt?: number;
	leasedUntil?: number;
	connections?: number;
}

/** [id, memory bytes, peak bytes, share of a core, seconds of processor time]; null: not known */
export type Numbers = [string, number | null, number | null, number | null, number | null];

export interface BoardMessage {
	rev: string;
	whole?: boolean;
	rows?: Row[];
	gone?: string[];
	numbers?: Numbers[];
}

export interface NodeNow {
	at: number;
	totalBytes?: number;
	budgetBytes?: number;
	reserveBytes?: number;
	/** of the budget: limits of what runs, whatever it uses */
	promisedBytes?: number;
	usedBytes?: number;
	cores: number;
	cpuShare?: number;
	services: number;
	warm: number;
	busy: number;
	notebooks: number;
	webapps: number;
	waiting: number;
	running: number;
}

/** A row of GET /api/pools. */
export interface Pool {
	name: string;
	[member: string]: unknown;
}

export interface Fact {
	id: string;
	at: number;
	what: string;
	subject: string;
	owner?: string;
	detail?: Record<string, unknown>;
}

export interface Hello {
	epoch: number;
	seq: number;
	user: string;
	isAdmin: boolean;
	version?: string;
	instance?: string;
	now?: number;
	uiVersion?: string;
}

export type Topic = "jobs" | "notebooks" | "webapps" | "macros" | "alerts" | "policies" | "models";

/** connecting: for the first time; live; lost: it was live; refused: the key is not accepted. */
export interface Link {
	state: "connecting" | "live" | "lost" | "refused";
	/** since when (ms) */
	since: number;
	retryAt?: number;
	text?: string;
}

/** From whoever holds the stream (a worker for all tabs, or the tab itself) to a tab. */
export type Told =
	| { t: "link"; link: Link }
	| { t: "hello"; hello: Hello }
	| { t: "board"; board: BoardMessage }
	| { t: "node"; node: NodeNow }
	| { t: "pools"; pools: Pool[] }
	| { t: "topics"; topics: Topic[] }
	| { t: "fact"; fact: Fact }
	/** facts were missed: read lists anew */
	| { t: "gap" };

/** From a tab to the worker. */
export type Asked = { a: "open"; key: string } | { a: "retry" } | { a: "close" };
