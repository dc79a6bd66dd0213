// filter: asks a filter of a row. The server reads filters (POST /api/filters) and tells the tree, how each fact comes out of a row, and the
// node's clock; docs/filters.md, "As data", says what they mean. null is unknown. spec/lua/text/filter_page_spec.lua holds this against the server.

export type Value = string | number | boolean | string[]
export type Row = { [member: string]: unknown }
export type Facts = { [name: string]: Value | undefined }
export type Type = "size" | "duration" | "count" | "number" | "text" | "list" | "flag" | "time" | "clock"
export interface Clause {
	op: "=" | "!=" | "<" | "<=" | ">" | ">=" | "~" | "in" | "flag" | "during"
	fact: string; type: Type; text: string; at: number
	value?: string | number; values?: (string | number)[]; right?: string; factor?: number; spans?: [number, number][]
}
export type Tree = { op: "and" | "or" | "not"; of: Tree[] } | Clause
export interface Case {
	when?: { [member: string]: boolean | string[] }
	member?: string; key?: string; ms?: string; from?: string; till?: string; left?: string
	above?: string; than?: number; same?: string; as?: string[]; value?: Value
}
export interface Fact { name: string; type: Type; otherwise?: Value; way: Case[] }
export type Zone = [from: number, aheadOfUtc: number][]
export interface Filter { ok: true; text: string; tree: Tree | null; reads: string[]; facts: Fact[]; zone?: Zone }

// --- facts of a row ---

const number = (v: unknown): number | undefined => (typeof v === "number" && !Number.isNaN(v) ? v : undefined)
const seconds = (v: unknown): number | undefined => (typeof v === "number" ? v / 1000 : undefined)

function fits(when: NonNullable<Case["when"]>, row: Row): boolean {
	return Object.entries(when).every(([member, wanted]) => {
		const v = row[member] ?? undefined
		return typeof wanted === "boolean" ? (v !== undefined) === wanted : typeof v === "string" && wanted.includes(v)
	})
}

function read(c: Case, row: Row, now: number): unknown {
	if (c.member !== undefined) {
		const v = row[c.member] ?? undefined
		return c.key === undefined ? v : typeof v === "object" ? (v as Row)[c.key] ?? undefined : undefined
	}
	if (c.ms !== undefined) return seconds(row[c.ms])
	if (c.from !== undefined) {
		const a = seconds(row[c.from])
		return a === undefined ? undefined : Math.max(0, ((c.till !== undefined ? seconds(row[c.till]) : undefined) ?? now) - a)
	}
	if (c.left !== undefined) {
		const until = seconds(row[c.left])
		return until === undefined ? undefined : Math.max(0, until - now)
	}
	if (c.above !== undefined) {
		const v = number(row[c.above])
		return v === undefined ? undefined : v > (c.than ?? 0)
	}
	if (c.same !== undefined) {
		const v = row[c.same] ?? undefined
		return v === undefined ? undefined : typeof v === "string" && (c.as ?? []).includes(v)
	}
	return c.value
}

function isOf(type: Type, v: unknown): v is Value {
	if (type === "text") return typeof v === "string"
	if (type === "list") return Array.isArray(v)
	return type === "flag" ? typeof v === "boolean" : number(v) !== undefined
}

/** The facts of a row of the API; now: seconds since 1970, by the server's clock. */
export function factsOf(facts: Fact[], row: Row, now: number): Facts {
	const out: Facts = {}
	for (const f of facts) {
		const c = f.way.find(one => !one.when || fits(one.when, row))
		const v = c && read(c, row, now)
		out[f.name] = isOf(f.type, v) ? v : f.otherwise
	}
	return out
}

// --- clauses ---

/** * is anything, ? is one character: the last star is moved on until the rest fits. */
function isLike(pattern: string, text: string): boolean {
	const p = [...pattern], s = [...text]
	let i = 0, j = 0, star = -1, mark = 0
	while (j < s.length) {
		if (p[i] === "*") { star = i++; mark = j } else if (i < p.length && (p[i] === "?" || p[i] === s[j])) { i++; j++ } else if (star >= 0) { i = star + 1; j = ++mark } else return false
	}
	while (p[i] === "*") i++
	return i === p.length
}

const WEEK = 7 * 1440, MONDAY = 4 * 1440 // the first Monday after 1970-01-01

function isDuring(spans: [number, number][], zone: Zone, at: number): boolean {
	const whole = Math.floor(at)
	let ahead = zone[0]?.[1] ?? 0
	for (const [from, offset] of zone) if (whole >= from) ahead = offset
	const minutes = Math.floor((whole + ahead) / 60) - MONDAY
	const minute = ((minutes % WEEK) + WEEK) % WEEK
	return spans.some(([from, to]) => minute >= from && minute < to)
}

function compare(op: Clause["op"], a: Value, b: Value): boolean {
	if (op === "=") return a === b
	if (op === "!=") return a !== b
	return op === "<" ? a < b : op === "<=" ? a <= b : op === ">" ? a > b : a >= b
}

function clause(c: Clause, facts: Facts, zone: Zone, now: number): boolean | null {
	const v = c.type === "clock" ? now : facts[c.fact]
	if (v === undefined) return null
	if (c.op === "flag") return v === true
	if (c.op === "during") return isDuring(c.spans ?? [], zone, v as number)
	if (c.right !== undefined) {
		const other = facts[c.right]
		return other === undefined ? null : compare(c.op, v, (other as number) * (c.factor ?? 1))
	}
	const is = c.op === "~" ? (x: Value) => isLike(c.value as string, x as string)
		: c.op === "in" ? (x: Value) => (c.values ?? []).includes(x as string | number) : (x: Value) => x === c.value
	if (c.type === "list") return (v as string[]).some(is) === (c.op !== "!=")
	return c.op === "~" || c.op === "in" ? is(v) : compare(c.op, v, c.value as Value)
}

/** What the tree says of these facts: true, false, or null where nobody knows. */
export function test(tree: Tree | null, facts: Facts, zone: Zone = [], now: number = Date.now() / 1000): boolean | null {
	if (tree === null) return true
	if (!("of" in tree)) return clause(tree, facts, zone, now)
	const answers = tree.of.map(child => test(child, facts, zone, now))
	if (tree.op === "not") return (answers[0] ?? null) === null ? null : !answers[0]
	const stop = tree.op === "or"
	return answers.includes(stop) ? stop : answers.includes(null) ? null : !stop
}

/** Does the filter mean this row? */
export function means(filter: Filter, row: Row, now: number): boolean {
	return test(filter.tree, factsOf(filter.facts, row, now), filter.zone, now) === true
}
