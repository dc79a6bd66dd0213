// rows.mjs DIR [ROWS]: what an update of the board costs the page's main thread. DIR: files of the built page (build/web/files). A real browser
// shows the page at 1440 × 900; each update moves every row's numbers and changes one row in a hundred. What is counted is all that the main
// thread does for it: script, style, layout, painting (Chromium's TaskDuration), beyond what it does in the same time without an update.
import { appendFileSync } from "node:fs";
import { resolve } from "node:path";
import { chromium } from "playwright-core";
import { fake } from "./fake.mjs";

const UPDATES = Number(process.env.BENCH_UPDATES ?? 60);
const SPAN_MS = 400; // after an update until the next: all that it causes is over by then
const TARGET_MS = 16;

const files = resolve(process.argv[2] ?? "build/web/files");
const n = Number(process.argv[3] ?? 2000);
const server = fake({ files, rows: n });
const port = await server.start();
const browser = await chromium.launch({ executablePath: process.env.DSS_CHROMIUM ?? "/usr/bin/chromium", args: process.getuid?.() === 0 ? ["--no-sandbox"] : [] });
const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
await page.addInitScript(() => sessionStorage.setItem("dss.key", "bench"));

const pause = (ms) => new Promise((wake) => setTimeout(wake, ms));
const middle = (list, q) => [...list].sort((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * q))];

const cdp = await page.context().newCDPSession(page);
await cdp.send("Performance.enable", { timeDomain: "threadTicks" });
async function spent() {
	const { metrics } = await cdp.send("Performance.getMetrics");
	const of = (name) => metrics.find((m) => m.name === name).value * 1000;
	return { all: of("TaskDuration"), script: of("ScriptDuration"), layout: of("LayoutDuration") + of("RecalcStyleDuration") };
}

/** One span, with an update at its begin or without. */
async function span(isUpdate) {
	const before = await spent();
	if (isUpdate) server.update();
	await pause(SPAN_MS);
	const after = await spent();
	return { all: after.all - before.all, script: after.script - before.script, layout: after.layout - before.layout };
}

async function measure(name, hash) {
	await page.goto(`http://127.0.0.1:${port}/${hash}`);
	await page.reload();
	await page.waitForSelector("[data-table] .item");
	await pause(1500);
	for (let i = 0; i < 8; i++) await span(true); // warm
	const idle = [], busy = [];
	for (let i = 0; i < UPDATES; i++) {
		idle.push(await span(false));
		busy.push(await span(true));
	}
	const rest = middle(idle.map((s) => s.all), 0.5);
	const ms = middle(busy.map((s) => s.all), 0.5) - rest;
	const row = { name, ms, p95: middle(busy.map((s) => s.all), 0.95) - rest, script: middle(busy.map((s) => s.script), 0.5), layout: middle(busy.map((s) => s.layout), 0.5), rest };
	console.log(`| ${name} | ${ms.toFixed(1)} ms | ${row.p95.toFixed(1)} ms | ${row.script.toFixed(1)} ms | ${row.layout.toFixed(1)} ms | ${TARGET_MS} ms | ${ms <= TARGET_MS ? "yes" : "no"} |`);
	if (process.env.BENCH_TSV) appendFileSync(process.env.BENCH_TSV, `page\tupdate of ${n} rows, ${name}\t${ms.toFixed(2)}\tms\t\t${TARGET_MS}\t${ms <= TARGET_MS ? "yes" : "no"}\n`);
}

console.log(`| ${n} rows, main thread an update | median | 95 % | script | style and layout | target | met |\n|---|---|---|---|---|---|---|`);
try {
	await measure("by memory", "#/tasks");
	await measure("filtered", "#/tasks?where=memory+%3E+1g");
	await measure("in groups by owner", "#/tasks?group=user");
	await measure("with a detail", "#/tasks?open=future%3At1");
} finally {
	await browser.close();
	server.stop();
}
