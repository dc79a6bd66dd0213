// instance: a real instance for the specs of the page, in a folder of its own, and what they do with it.
//
//     import { test, expect, signIn } from "./instance";
//     test.use({ instance: { policies: { "10-pools.lua": "pool …" }, projects: { P: { "project.lua": "…" } } } });
//     test("…", async ({ page, node }) => {
//         await signIn(page, node, await node.key("anna"));
//         const id = await node.submit({ type: "python", payload: { … } });
//
// All tests of a file with the same `instance` share one; it is stopped and removed after them, also when one failed.
import AxeBuilder from "@axe-core/playwright";
import { test as base, expect, type Page } from "@playwright/test";
import { execFile, execFileSync, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, chownSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";

export { expect };

const run = promisify(execFile);
const top = resolve(__dirname, "../..");
const START_MS = 90_000;

export interface InstanceOptions {
	/** file of policies/ → text: these alone are there then; else the demo's */
	policies?: Record<string, string>;
	/** key of a project → file in it → text */
	projects?: Record<string, Record<string, string>>;
	/** appended to config/dss.lua */
	config?: string;
	/** without --demo: an instance as `dssctl init` makes it */
	plain?: boolean;
	/** two of the same kind that must not be one */
	name?: string;
}

export interface Outcome {
	code: number;
	out: string;
	err: string;
}

export interface Call {
	key?: string | null;
	body?: unknown;
	headers?: Record<string, string>;
}

/** As root the daemon's users must be able to run what was built; a clone that they cannot enter is installed elsewhere first. */
let place: { programs: string; env: NodeJS.ProcessEnv; temporary?: string } | undefined;
function findPlace() {
	if (place) return place;
	const build = resolve(top, process.env.DSS_BUILD ?? "build");
	const share = process.env.DSS_SHARE ?? top;
	const others = ["--reuid", "65534", "--regid", "65534", "--clear-groups", "sh", "-c", 'test -x "$1" && test -x "$2"', "sh", build, share];
	if (process.getuid?.() !== 0 || spawnSync("/usr/bin/setpriv", others).status === 0)
		return (place = { programs: build, env: { ...process.env, DSS_SHARE: share } });
	const prefix = folder();
	execFileSync("sh", ["etc/install.sh", "", prefix, build], { cwd: top });
	const env = { ...process.env };
	delete env.DSS_SHARE;
	process.on("exit", () => rmSync(prefix, { recursive: true, force: true }));
	return (place = { programs: join(prefix, "bin"), env, temporary: prefix });
}

/** In TMPDIR, which spec/web/run.sh removes with what a killed run left there. */
function folder(): string {
	const dir = mkdtempSync(join(tmpdir(), "dss-spec-"));
	chmodSync(dir, 0o755);
	return dir;
}

export async function until<T>(what: string, fact: () => Promise<T | undefined | false | null> | T | undefined | false | null, ms = 20_000): Promise<T> {
	const deadline = Date.now() + ms;
	let trouble = "";
	for (;;) {
		try {
			const found = await fact();
			if (found) return found;
			trouble = "";
		} catch (e) {
			trouble = ` (${e instanceof Error ? e.message : e})`;
		}
		if (Date.now() > deadline) throw new Error(`waited ${ms / 1000} s in vain for ${what}${trouble}`);
		await new Promise((wake) => setTimeout(wake, 50));
	}
}

export class Instance {
	readonly root = folder();
	readonly dir = join(this.root, "node");
	private readonly keys = new Map<string, string>();
	private isRemoved = false;
	private readonly atExit = () => this.removeNow();

	private constructor(readonly options: InstanceOptions) {}

	static async start(options: InstanceOptions = {}): Promise<Instance> {
		const node = new Instance(options);
		process.once("exit", node.atExit);
		try {
			await node.make();
			const { code, out, err } = await node.dss("start");
			if (code !== 0) throw new Error(`dss start ended with ${code}: ${out}${err}\n${node.logs()}`);
			return node;
		} catch (e) {
			node.removeNow();
			throw e;
		}
	}

	private async make(): Promise<void> {
		const { programs } = findPlace();
		const argv = ["init", this.dir, "--port", "0", ...(this.options.plain ? [] : ["--demo"])];
		const made = await this.program(join(programs, "dssctl"), argv);
		if (made.code !== 0) throw new Error(`dssctl init ended with ${made.code}: ${made.out}${made.err}`);
		if (this.options.config) this.write("config/dss.lua", `${this.read("config/dss.lua")}\n${this.options.config}\n`);
		if (this.options.policies) {
			for (const name of readdirSync(join(this.dir, "policies"))) rmSync(join(this.dir, "policies", name), { recursive: true });
			for (const [name, text] of Object.entries(this.options.policies)) this.write(`policies/${name}`, text);
		}
		for (const [key, files] of Object.entries(this.options.projects ?? {})) this.project(key, files);
	}

	/** Makes the project, or further files in it. */
	project(key: string, files: Record<string, string>): void {
		const dir = join(this.dir, "projects", key), like = statSync(join(this.dir, "projects"));
		mkdirSync(join(dir, "data"), { recursive: true });
		for (const [name, text] of Object.entries(files)) {
			mkdirSync(dirname(join(dir, name)), { recursive: true });
			writeFileSync(join(dir, name), text);
		}
		const own = (path: string) => {
			chownSync(path, like.uid, like.gid);
			if (statSync(path).isDirectory()) for (const name of readdirSync(path)) own(join(path, name));
		};
		own(dir);
	}

	read(path: string): string {
		return readFileSync(join(this.dir, path), "utf8");
	}

	/** Owner and mode of a file that is there stay; a new one gets those that its folder wants. */
	write(path: string, text: string): void {
		const full = join(this.dir, path), isNew = !existsSync(full);
		writeFileSync(full, text);
		if (!isNew) return;
		const like = statSync(dirname(full));
		chownSync(full, like.uid, like.gid);
		chmodSync(full, 0o640);
	}

	private async program(path: string, argv: string[]): Promise<Outcome> {
		try {
			const { stdout, stderr } = await run(path, argv, { env: findPlace().env, maxBuffer: 64 << 20 });
			return { code: 0, out: stdout, err: stderr };
		} catch (e) {
			const failed = e as { code?: number | string; stdout?: string; stderr?: string; message: string };
			if (typeof failed.code !== "number") throw e;
			return { code: failed.code, out: failed.stdout ?? "", err: failed.stderr ?? "" };
		}
	}

	/** bin/dss … */
	dss(...argv: string[]): Promise<Outcome> {
		return this.program(join(this.dir, "bin/dss"), argv);
	}

	/** bin/dssctl …, as the admin */
	ctl(...argv: string[]): Promise<Outcome> {
		return this.program(join(this.dir, "bin/dssctl"), argv);
	}

	get ports(): { page: number; webapps: number; jupyter: number } {
		return JSON.parse(this.read("run/ports.json"));
	}

	get baseURL(): string {
		return `http://127.0.0.1:${this.ports.page}`;
	}

	get adminKey(): string {
		return this.read("config/admin.key").trim();
	}

	/** One request, by the admin unless a key is given (null: without one). */
	async call(method: string, path: string, { key = this.adminKey, body, headers = {} }: Call = {}): Promise<{ status: number; body: any; headers: Headers }> {
		const sent: Record<string, string> = { ...headers };
		if (key) sent.Authorization = `Bearer ${key}`;
		if (body !== undefined) sent["Content-Type"] = "application/json";
		const answer = await fetch(this.baseURL + path, { method, headers: sent, body: body === undefined ? undefined : JSON.stringify(body), signal: AbortSignal.timeout(30_000) });
		const text = await answer.text();
		let parsed: unknown = text;
		try {
			parsed = JSON.parse(text);
		} catch {
			// text, then
		}
		return { status: answer.status, body: parsed, headers: answer.headers };
	}

	/** The same; raises unless it was answered well. */
	async api<T = any>(method: string, path: string, options: Call = {}): Promise<T> {
		const { status, body } = await this.call(method, path, options);
		if (status < 200 || status > 299) throw new Error(`${method} ${path}: ${status} ${typeof body === "string" ? body : JSON.stringify(body)}`);
		return body;
	}

	/** A key of that user; the same one each time. */
	async key(user: string, what: { admin?: boolean; label?: string } = {}): Promise<string> {
		const name = `${user} ${what.admin ?? false}`;
		const known = this.keys.get(name);
		if (known) return known;
		const { key } = await this.api<{ key: string }>("POST", "/api/keys", { body: { user, ...what } });
		this.keys.set(name, key);
		return key;
	}

	/** POST /api/futures; its id. */
	async submit(body: Record<string, unknown>, key?: string): Promise<string> {
		return (await this.api<{ jobId: string }>("POST", "/api/futures", { body, key })).jobId;
	}

	/** A function "module:function" in Python, of ours (kernels/python/tasks) or of modules in that folder; its id. */
	python(callable: string, args: unknown[] = [], more: Record<string, unknown> = {}, { key, path }: { key?: string; path?: string } = {}): Promise<string> {
		return this.submit({ type: "python", payload: { callable, args, ...(path ? { path: [path] } : {}) }, ...more }, key);
	}

	/** A folder beside the instance with modules for `python`, that its users can read. */
	modules(files: Record<string, string>): string {
		const dir = join(this.root, "modules");
		mkdirSync(dir, { recursive: true });
		for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text);
		return dir;
	}

	/** A session of a notebook, "PROJECT/name.ipynb"; the kernel's id. Needs a Jupyter server, as the demo has. */
	async notebook(path: string): Promise<string> {
		const { code, out, err } = await this.jupyter("start", path);
		if (code !== 0) throw new Error(`unable to start ${path}: ${out}${err}`);
		return JSON.parse(out).kernel;
	}

	/** Code in a notebook's kernel; does not wait for its end. */
	async cell(kernel: string, code: string): Promise<void> {
		const done = await this.jupyter("send", kernel, code);
		if (done.code !== 0) throw new Error(`unable to run a cell: ${done.out}${done.err}`);
	}

	private jupyter(...argv: string[]): Promise<Outcome> {
		const url = `http://127.0.0.1:${this.ports.jupyter}`;
		return this.program("/usr/bin/python3", ["-s", join(top, "spec/daemon/notebook_client.py"), url, join(this.dir, "config/jupyter.token"), ...argv]);
	}

	/** The task's row once `is` holds for it. */
	task(id: string, is: (row: any) => boolean, ms?: number): Promise<any> {
		return until(`task ${id}`, async () => {
			const rows = await this.api<any[]>("GET", "/api/tasks?ended=1000");
			const row = rows.find((r) => r.jobId === id);
			if (!row || !is(row)) throw new Error(row ? `it is ${row.state}` : "it is not in the list");
			return row;
		}, ms);
	}

	/** Builds a dataset; the job's id. */
	async build(project: string, dataset: string, mode = "RECURSIVE_BUILD", key?: string): Promise<string> {
		const body = { type: mode, outputs: [{ type: "DATASET", id: dataset }] };
		return (await this.api<{ id: string }>("POST", `/public/api/projects/${project}/jobs/`, { body, key })).id;
	}

	/** Kills the backend as kill -9 does; it is there again when this returns. */
	async killBackend(): Promise<void> {
		const pid = async () => (await this.api("GET", "/health")).pid as number;
		const was = await pid();
		process.kill(was, "SIGKILL");
		await until("the next backend", async () => (await pid()) !== was);
	}

	/** Those that carry its mark in their environment, and its keeper. */
	private pids(): number[] {
		let id: string;
		try {
			id = this.read("config/instance.id").trim();
		} catch {
			return [];
		}
		return readdirSync("/proc").filter((e) => /^\d+$/.test(e)).map(Number).filter((pid) => {
			try {
				const environment = `\0${readFileSync(`/proc/${pid}/environ`, "latin1")}`;
				if (environment.includes(`\0DSS_INSTANCE=${id}\0`)) return true;
				return readFileSync(`/proc/${pid}/cmdline`, "latin1").includes(`dss-keeper\0${this.dir}\0`);
			} catch {
				return false; // it has ended meanwhile, or is not ours to look at
			}
		});
	}

	logs(): string {
		try {
			return ["keeper", "backend"].map((name) => this.read(`run/${name}.log`).split("\n").slice(-40).join("\n")).join("\n");
		} catch {
			return "";
		}
	}

	/** Stops it at once and removes its folder; raises if a process of it was left. */
	async remove(): Promise<void> {
		if (this.isRemoved) return;
		await this.dss("stop", "--now");
		let left: number[] = [];
		await until("the end of all processes", () => (left = this.pids()).length === 0, 10_000).catch(() => {});
		this.removeNow();
		if (left.length > 0) throw new Error(`left behind: processes ${left.join(", ")}`);
	}

	/** The same where nothing can be waited for. */
	private removeNow(): void {
		if (this.isRemoved) return;
		this.isRemoved = true;
		process.removeListener("exit", this.atExit);
		if (existsSync(join(this.dir, "bin/dss"))) spawnSync(join(this.dir, "bin/dss"), ["stop", "--now"], { env: findPlace().env });
		for (const pid of this.pids())
			try {
				process.kill(pid, "SIGKILL");
			} catch {
				// gone by itself
			}
		rmSync(this.root, { recursive: true, force: true });
	}
}

/** Logged in as whose key it is (the admin's), at that place: "#/tasks?where=…". */
export async function signIn(page: Page, node: Instance, key = node.adminKey, hash = ""): Promise<void> {
	await page.addInitScript((k) => {
		// once: who logs out stays so
		if (!sessionStorage.getItem("dss.was")) sessionStorage.setItem("dss.key", k);
		sessionStorage.setItem("dss.was", "1");
	}, key);
	await page.goto(`${node.baseURL}/${hash}`);
}

/** What the browser complained about. */
export function complaints(page: Page): string[] {
	const said: string[] = [];
	page.on("console", (m) => {
		if (m.type() === "error" || m.type() === "warning") said.push(`${m.type()}: ${m.text()}`);
	});
	page.on("pageerror", (e) => said.push(`uncaught: ${e.message}`));
	return said;
}

/** What axe finds that keeps people from using the page: "rule: what · where", none = []. */
export async function barriers(page: Page): Promise<string[]> {
	const { violations } = await new AxeBuilder({ page }).analyze();
	return violations
		.filter((v) => v.impact === "serious" || v.impact === "critical")
		.map((v) => `${v.id}: ${v.help} · ${v.nodes.map((n) => n.target.join(" ")).slice(0, 5).join(", ")}`);
}

export const test = base.extend<object, { instance: InstanceOptions; node: Instance }>({
	instance: [{}, { option: true, scope: "worker" }],
	node: [
		async ({ instance }, use) => {
			const node = await Instance.start(instance);
			await use(node);
			await node.remove();
		},
		{ scope: "worker", timeout: START_MS },
	],
});
