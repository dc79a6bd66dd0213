// build.mjs --out DIR [--watch]: the page out of web/src.
//
//   DIR/files/index.html, DIR/files/web/NAME   what the daemon serves: dssd --web-dir DIR/files shows it without a new binary
//   DIR/pages_data.c                           the same as a table for the binary (core/gate/pages.h)
//
// Names have the hash of what is in them, so that they may be kept for ever; the page itself says which of them belong together.
// --watch builds anew whenever a source changes, and leaves the table alone.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, watch, writeFileSync } from "node:fs";
import { basename, dirname, extname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const NODE_LEAST = 18;
const here = dirname(fileURLToPath(import.meta.url));
const src = join(here, "src");
// What a browser must read before the first page stands, gzipped; what is loaded later by import() does not count.
const FIRST_PAGE_MAX = 300_000;
const SERVED = "/web/";

function fail(text) {
	console.error(`web/build.mjs: ${text}`);
	process.exit(1);
}

function options() {
	const args = process.argv.slice(2);
	const at = args.indexOf("--out");
	if (at < 0 || !args[at + 1]) fail("usage: node web/build.mjs --out DIR [--watch]");
	return { out: resolve(args[at + 1]), watches: args.includes("--watch") };
}

if (Number(process.versions.node.split(".")[0]) < NODE_LEAST)
	fail(`Node.js ${process.versions.node} is too old, ${NODE_LEAST} or newer is needed (sh etc/setup.sh build)`);
const { out, watches } = options();
const { build } = await import("esbuild").catch(() => fail("esbuild is not there; run: sh web/packages.sh"));

const types = {
	".html": "text/html; charset=utf-8",
	".js": "text/javascript; charset=utf-8",
	".css": "text/css; charset=utf-8",
	".svg": "image/svg+xml",
	".png": "image/png",
	".woff2": "font/woff2",
	".txt": "text/plain; charset=utf-8",
	".webmanifest": "application/manifest+json",
};

const hash = (bytes, n = 10) => createHash("sha256").update(bytes).digest("hex").slice(0, n);

// CodeMirror puts its rules into a <style>, which the page's Content-Security-Policy refuses, unless it is in a shadow root: there it
// takes the sheets that scripts may make. Those are good for the whole document, too.
const adoptStyles = {
	name: "adopt styles",
	setup(b) {
		b.onLoad({ filter: /style-mod[\\/]src[\\/]style-mod\.js$/ }, ({ path }) => {
			const was = readFileSync(path, "utf8");
			const is = was.replace("!root.head && root.adoptedStyleSheets", "root.adoptedStyleSheets");
			if (is === was) return { errors: [{ text: "style-mod has changed: how does it put its rules into a document now?" }] };
			return { contents: is, loader: "js" };
		});
	},
};

const common = {
	bundle: true,
	minify: true,
	format: "esm",
	target: ["es2022"],
	write: false,
	metafile: true,
	legalComments: "none", // licences.txt has them whole
	logLevel: "warning",
	absWorkingDir: here,
	outdir: join(here, "out"), // nothing is written there
	entryNames: "[name]-[hash]",
	chunkNames: "[name]-[hash]",
	assetNames: "[name]-[hash]",
	publicPath: SERVED,
	loader: { ".svg": "file", ".png": "file", ".woff2": "file" },
	jsx: "automatic",
	jsxImportSource: "preact",
	plugins: [adoptStyles],
};

/** The licences of the packages that are in the bundle, each once. */
function licences(metas) {
	const packages = new Map();
	for (const meta of metas)
		for (const input of Object.keys(meta.inputs)) {
			const found = /^(.*node_modules\/((?:@[^/]+\/)?[^/]+))\//.exec(input);
			if (found) packages.set(found[2], join(here, found[1]));
		}
	let text = "The page of dssd contains these packages.\n";
	for (const [name, dir] of [...packages].sort()) {
		const { version, license } = JSON.parse(readFileSync(join(dir, "package.json"), "utf8"));
		const file = readdirSync(dir).find((f) => /^licen[cs]e/i.test(f));
		if (!file && !license) fail(`${name} says no licence`);
		text += `\n${"-".repeat(78)}\n${name} ${version} (${license})\n\n${file ? readFileSync(join(dir, file), "utf8").trim() : ""}\n`;
	}
	return Buffer.from(text);
}

/** The entry and what it imports at once, in that order. */
function firstOf(meta, entry) {
	const seen = [];
	const visit = (name) => {
		if (seen.includes(name)) return;
		seen.push(name);
		for (const i of meta.outputs[name].imports) if (i.kind === "import-statement" && !i.external) visit(i.path);
	};
	visit(entry);
	return seen;
}

function entryOf(meta, source) {
	return Object.keys(meta.outputs).find((name) => meta.outputs[name].entryPoint === source);
}

function page(files, { script, first, style }) {
	const head = first
		.filter((f) => f !== script)
		.map((f) => `<link rel="modulepreload" href="${SERVED}${f}">`)
		.concat(style ? [`<link rel="stylesheet" href="${SERVED}${style}">`] : [])
		.concat([`<script type="module" src="${SERVED}${script}"></script>`]);
	// Icons and the like that the page names itself: href="./icon.svg".
	let html = readFileSync(join(src, "index.html"), "utf8").replace(/(href|src)="\.\/([^"]+)"/g, (_, attribute, name) => {
		const bytes = readFileSync(join(src, name));
		const kept = `${basename(name, extname(name))}-${hash(bytes)}${extname(name)}`;
		files.set(`web/${kept}`, bytes);
		return `${attribute}="${SERVED}${kept}"`;
	});
	if (!html.includes("</head>")) fail("src/index.html has no </head>");
	// All names have their hashes: this is the version of the whole.
	const version = hash([...files.keys()].sort().join("\n") + html, 12);
	html = html.replace("</head>", [`<meta name="dss-version" content="${version}">`, ...head, "</head>"].join("\n"));
	files.set("index.html", Buffer.from(html));
	return version;
}

async function bundle() {
	const files = new Map();
	const worker = await build({ ...common, entryPoints: [join(src, "stream/worker.ts")] });
	const put = (f) => files.set(`web/${basename(f.path)}`, Buffer.from(f.contents));
	worker.outputFiles.forEach(put);
	const workerName = basename(worker.outputFiles[0].path);
	const main = await build({
		...common,
		splitting: true,
		entryPoints: [join(src, "main.tsx")],
		define: { WORKER_URL: JSON.stringify(SERVED + workerName) },
	});
	const entry = entryOf(main.metafile, "src/main.tsx");
	const first = firstOf(main.metafile, entry).map((f) => basename(f));
	// It has the rules of what is loaded later, too; those parts' own sheets nobody would load.
	const style = main.metafile.outputs[entry].cssBundle;
	main.outputFiles.filter((f) => !f.path.endsWith(".css") || basename(f.path) === basename(style ?? "")).forEach(put);
	files.set("web/licences.txt", licences([main.metafile, worker.metafile]));
	const version = page(files, { script: basename(entry), first, style: style && basename(style) });
	return { files, version, first: [...first, workerName] };
}

const zipped = (bytes) => gzipSync(bytes, { level: 9 });

function tell(files, first, version) {
	const kb = (n) => `${(n / 1000).toFixed(1)} kB`;
	const sum = (names) => names.reduce((n, f) => n + zipped(files.get(f)).length, 0);
	const scripts = [...files.keys()].filter((f) => f.endsWith(".js"));
	const now = sum(first.map((f) => `web/${f}`));
	const styles = [...files.keys()].filter((f) => f.endsWith(".css"));
	console.log(
		`  page ${version}: first page ${kb(now)} of script gzipped (limit ${kb(FIRST_PAGE_MAX)}), ` +
			`${kb(sum(scripts) - now)} later, styles ${kb(sum(styles))}`,
	);
	if (now <= FIRST_PAGE_MAX) return true;
	for (const f of first) console.error(`  ${kb(zipped(files.get(`web/${f}`)).length).padStart(10)}  ${f}`);
	console.error(
		`web/build.mjs: the first page needs ${kb(now)} of script gzipped, the limit is ${kb(FIRST_PAGE_MAX)}: ` +
			"load what it does not show at once by import()",
	);
	return false;
}

function write(files) {
	const dir = join(out, "files");
	mkdirSync(join(dir, "web"), { recursive: true });
	// index.html last: who reads meanwhile finds all that it names.
	for (const [name, bytes] of [...files].sort(([a], [b]) => (a === "index.html") - (b === "index.html")))
		writeFileSync(join(dir, name), bytes);
	for (const name of readdirSync(join(dir, "web"))) if (!files.has(`web/${name}`)) rmSync(join(dir, "web", name));
}

const literal = (text) => JSON.stringify(text);

/** The bytes come by .incbin: as an array the compiler would need minutes and gigabytes. */
function table(files, version) {
	const gz = join(out, "gz");
	rmSync(gz, { recursive: true, force: true });
	mkdirSync(gz, { recursive: true });
	const rows = [], blocks = [], names = [];
	[...files].sort().forEach(([name, bytes], i) => {
		const packed = zipped(bytes), keeps = packed.length < bytes.length * 0.95;
		if (!(extname(name) in types)) fail(`${name}: files that end so have no type in build.mjs yet`);
		const bring = (symbol, path) => {
			blocks.push(`${symbol}: .incbin ${literal(path)}`);
			names.push(symbol);
		};
		bring(`pages_plain_${i}`, join(out, "files", name));
		if (keeps) {
			writeFileSync(join(gz, `${i}.gz`), packed);
			bring(`pages_gzip_${i}`, join(gz, `${i}.gz`));
		}
		rows.push(
			`\t{ ${literal(name)}, ${literal(types[extname(name)])}, ${literal(hash(bytes, 16))}, pages_plain_${i}, ${bytes.length}, ` +
				`${keeps ? `pages_gzip_${i}, ${packed.length}` : "0, 0"}, ${/-[0-9A-Za-z]{8,}\.\w+$/.test(name)} },`,
		);
	});
	const text = [
		"/* made by web/build.mjs */",
		'#include "gate/pages.h"',
		`__asm__(".section .rodata\\n"`,
		...blocks.map((b) => `\t${literal(`${b}\n`)}`),
		'\t".previous\\n");',
		...names.map((n) => `extern const char ${n}[] __attribute__((visibility("hidden")));`),
		"static const struct pages_file files[] = {",
		...rows,
		"};",
		`const struct pages_set pages_built = { files, sizeof(files) / sizeof(files[0]), ${literal(version)} };`,
		"",
	].join("\n");
	writeFileSync(join(out, "pages_data.c"), text);
}

async function make() {
	const { files, version, first } = await bundle();
	write(files);
	if (!tell(files, first, version)) return false;
	if (!watches) table(files, version);
	return true;
}

if (!existsSync(join(src, "main.tsx"))) fail("web/src/main.tsx is not there");
if (watches) {
	const again = () => make().catch((e) => console.error(e.message)); // esbuild has told where
	await again();
	console.log(`  watching ${relative(process.cwd(), src)}; serve it with: bin/dss run --web-dir ${join(out, "files")}`);
	let soon;
	// Folder by folder: Node.js 18 watches no trees here.
	for (const dir of [src, ...readdirSync(src, { withFileTypes: true }).filter((e) => e.isDirectory()).map((e) => join(src, e.name))])
		watch(dir, () => {
			clearTimeout(soon);
			soon = setTimeout(again, 100);
		});
} else {
	const ok = await make().catch((e) => {
		if (!e.errors) console.error(e);
		return false;
	});
	process.exit(ok ? 0 : 1);
}
