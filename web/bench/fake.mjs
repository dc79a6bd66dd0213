// fake: a server that hands out the built page and a board of any number of rows, for measuring the page alone: no daemon, no processes. It tells
// what the daemon tells (docs/api.md, *The board*); an update goes out when update() is called.
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { extname, join, normalize } from "node:path";

const types = { ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".txt": "text/plain", ".svg": "image/svg+xml" };
const KINDS = ["future", "future", "future", "notebook", "webapp", "kernel", "training", "macro"];
const GB = 2 ** 30;

/** The same rows each time. */
function random(seed) {
	return () => {
		seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
		return seed / 2 ** 32;
	};
}

function makeRows(n, now, next) {
	const rows = [];
	for (let i = 0; i < n; i++) {
		const kind = KINDS[i % KINDS.length];
		const waits = kind === "future" && i % 5 === 0;
		rows.push({
			id: `${kind}:t${i}`,
			kind,
			ref: `t${i}`,
			what: `${kind} ${i}, features of ${["March", "April", "all stores", "the year"][i % 4]}`,
			project: `P${i % 40}`,
			user: `user${i % 60}`,
			pool: kind === "future" ? `pool${i % 6}` : undefined,
			tags: ["nightly"],
			state: waits ? "waiting" : "running",
			reason: waits ? `Waiting, ${i}th of ${n}: project P${i % 40} uses 5 of 5 slots; the longest has run 1 h 12 min.` : undefined,
			submittedAt: now - i * 1000,
			startedAt: waits ? undefined : now - i * 900,
			processId: waits ? undefined : `p-${i}`,
			pid: waits ? undefined : 1000 + i,
			limitBytes: waits ? undefined : GB * (1 + (i % 4)),
			limitOwner: 'pool "fek"',
			ends: ["abort"],
		});
	}
	const numbers = new Map(rows.filter((r) => r.pid).map((r) => [r.id, [r.id, Math.round(next() * r.limitBytes), 0, next(), 10]]));
	return { rows, numbers };
}

export function fake({ files, rows: n }) {
	const next = random(7);
	const board = makeRows(n, Date.now(), next);
	const followers = new Set();
	let rev = 1;
	const nodeNow = () => ({ at: Date.now(), totalBytes: 256 * GB, budgetBytes: 220 * GB, reserveBytes: 24 * GB, usedBytes: 180 * GB, cores: 64, cpuShare: 40 + next(), services: GB, warm: 4 * GB, busy: 90 * GB, notebooks: 30 * GB, webapps: 8 * GB, waiting: n / 5, running: n });
	const put = (event, data) => `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
	const json = (res, body) => res.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(body));

	const server = createServer((req, res) => {
		const url = new URL(req.url, "http://here");
		if (url.pathname === "/api/events") {
			res.writeHead(200, { "Content-Type": "text/event-stream" });
			res.write(put("hello", { epoch: 1, seq: 0, user: "admin", isAdmin: true, now: Date.now(), instance: "bench" }));
			res.write(put("board", { rev: `1-${rev}`, whole: true, rows: board.rows, numbers: [...board.numbers.values()] }) + put("node", nodeNow()));
			followers.add(res);
			res.on("close", () => followers.delete(res));
		} else if (url.pathname === "/api/me") json(res, { user: "admin", isAdmin: true });
		else if (url.pathname === "/api/curves") json(res, (url.searchParams.get("ids") ?? "").split(",").map((id) => ({ id, stepMs: 10_000, fromAt: 0, memoryBytes: Array.from({ length: 60 }, () => Math.round(next() * GB)) })));
		else if (url.pathname === "/api/filters") {
			// memory > 1g, whatever was asked
			json(res, { ok: true, text: "memory > 1g", tree: { op: ">", fact: "memory", type: "size", value: GB, text: "memory > 1g", at: 0 }, reads: ["memory"], facts: [{ name: "memory", type: "size", way: [{ member: "memoryBytes" }] }], from: 0, words: [] });
		} else if (url.pathname.startsWith("/api/")) json(res, []);
		else {
			const path = normalize(url.pathname === "/" ? "/index.html" : url.pathname);
			try {
				const bytes = readFileSync(join(files, path));
				res.writeHead(200, { "Content-Type": types[extname(path)] ?? "application/octet-stream" }).end(bytes);
			} catch {
				res.writeHead(404).end();
			}
		}
	});
	return {
		start: () => new Promise((done) => server.listen(0, "127.0.0.1", () => done(server.address().port))),
		stop: () => {
			for (const f of followers) f.destroy();
			server.close();
		},
		get followers() {
			return followers.size;
		},
		/** A second of a busy node: every number moves, one row in a hundred changes. */
		update() {
			rev++;
			const changed = [];
			for (let i = rev % 100; i < board.rows.length; i += 100) changed.push((board.rows[i] = { ...board.rows[i], message: `step ${rev}`, progress: next() }));
			for (const [id, [, memory, , share, seconds]] of board.numbers) board.numbers.set(id, [id, Math.max(1 << 20, Math.round(memory * (0.99 + 0.02 * next()))), memory, Math.max(0, share + 0.2 * (next() - 0.5)), seconds + 1]);
			const text = put("board", { rev: `1-${rev}`, rows: changed, numbers: [...board.numbers.values()] }) + put("node", nodeNow());
			for (const f of followers) f.write(text);
		},
	};
}
