-- The page asks filters of rows itself, by web/src/lib/filter.ts: it says the same as the server of every case of filter_cases.json and of many that
-- nobody thought of. The page's half needs node and esbuild.
local helper = require "spec.helper"
local Instance = require "spec.instance"
require("t_bind").preload()
package.preload["bind.gate"] = package.preload["bind.gate"] or function() return { wall_ms = function() return 0 end } end
local json = require "bind.json"
local facts = require "dss.model.facts"
local filter = require "dss.text.filter"
local filters = require "dss.api.filters"

local RANDOM = 1500
local table_of_cases = assert(json.decode(assert(helper.read "spec/lua/text/filter_cases.json")))
local NOW = table_of_cases.now

local function null_of(v)
	if v == nil then return json.null end
	return v
end

local function is_null(v) return v == nil or v == json.null end

--- The server's answer; null where nobody knows.
local function ask_here(kind, text, row)
	local f, why = filter.parse(text, facts.of(kind))
	assert(f, text .. ": " .. tostring(why))
	return null_of((f.test(facts.from_row(kind, row, NOW, f.reads))))
end

-- --- random filters and rows ---

local texts = { "", "a", "ab", "bob", "fek-1", "aXbYb", "é", "Sales, daily", "queued", "running", "idle", "busy" }
local globs = { "*", "?", "a*", "*b", "a?", "a*b*", "??", "*é*", "f*-?", "x" }
local numbers = { 0, 1, 2, 5, 1000, 1024, 3600, 0.5, 2.25, 1 << 30 }
local times = { "2026-01-01", "2026-11-21 08:00", "2026-11-22 10:05", "1999-12-31" }
local spans = { "weekdays 08:00-19:00", "sat-sun", "mon,wed 22:00-06:00", "daily 00:00-12:00", "fri 12:00-24:00" }

local function pick(list) return list[math.random(#list)] end

local function quoted(s) return '"' .. s .. '"' end

local class = { size = "size", duration = "duration", count = "number", number = "number", time = "time" }

local function other_fact(registry, of)
	local names = {}
	for name, f in pairs(registry) do
		if class[f.type] == class[of.type] then names[#names + 1] = name end
	end
	table.sort(names)
	return pick(names)
end

local value_of = {
	size = function() return pick { "0", "1k", "1g", "2.5m", "1000" } end, duration = function() return pick { "0", "1h", "2.5s", "90s", "3d" } end,
	count = function() return pick { "0", "1", "2", "5", "-1" } end, number = function() return pick { "0.5", "50%", "1", "0" } end,
	time = function() return quoted(pick(times)) end,
}

local function random_clause(registry, names)
	local name = pick(names)
	local f = registry[name]
	if math.random(12) == 1 then return "during " .. quoted(pick(spans)) end
	if f.type == "flag" then return name end
	if f.type == "time" and math.random(3) == 1 then return name .. " during " .. quoted(pick(spans)) end
	if f.type == "text" or f.type == "list" then
		local function one() return quoted(f.words and pick(f.words) or pick(texts)) end
		local op = pick { "=", "!=", "~", "in" }
		return op == "in" and ("%s in (%s, %s)"):format(name, one(), one()) or ("%s %s %s"):format(name, op, op == "~" and quoted(pick(globs)) or one())
	end
	if f.type ~= "time" and math.random(6) == 1 then return ("%s in (%s, %s)"):format(name, value_of[f.type](), value_of[f.type]()) end
	local op = pick(f.type == "time" and { "<", "<=", ">", ">=" } or { "=", "!=", "<", "<=", ">", ">=" })
	local right = math.random(3) == 1 and pick { "", "80% of ", "150% of " } .. other_fact(registry, f) or value_of[f.type]()
	return ("%s %s %s"):format(name, op, right)
end

local function random_filter(registry, names, depth)
	local what = depth > 0 and math.random(5) or 1
	if what <= 2 then return random_clause(registry, names) end
	if what == 3 then return "not (" .. random_filter(registry, names, depth - 1) .. ")" end
	local joint = what == 4 and " and " or " or "
	return "(" .. random_filter(registry, names, depth - 1) .. joint .. random_filter(registry, names, depth - 1) .. ")"
end

local function random_value(type_of)
	if math.random(15) == 1 then return pick { json.null, "nonsense", true } end
	if type_of == "text" then return pick(texts) end
	if type_of == "list" then return json.array { pick(texts), math.random(2) == 1 and pick(texts) or nil } end
	if type_of == "flag" then return math.random(2) == 1 end
	if type_of == "time" then return (NOW - math.random(0, 800 * 86400)) * 1000 + math.random(0, 999) end
	return pick(numbers)
end

--- Members that any way of a fact reads, each with something that may stand there.
local function random_row(kind)
	local row = {}
	for _, f in ipairs(facts.told(kind)) do
		for _, case in ipairs(f.way) do
			for _, key in ipairs { "from", "till", "left" } do
				if case[key] and math.random(3) > 1 then row[case[key]] = random_value "time" end
			end
			local name = case.member or case.ms or case.above or case.same
			if name and math.random(4) > 1 then
				local v = random_value(case.ms and f.type == "time" and "time" or case.ms and "number" or case.above and "count" or case.same and "text" or f.type)
				if case.key then
					row[name] = type(row[name]) == "table" and row[name] or {}
					row[name][case.key] = v
				else
					row[name] = f.words and math.random(2) == 1 and pick(f.words) or v
				end
			end
		end
	end
	return assert(json.decode(json.encode(row)))
end

local function random_cases(n)
	local out = {}
	local kinds = facts.kinds
	for i = 1, n do
		local kind = kinds[i % #kinds + 1]
		local names = {}
		for _, d in ipairs(facts.docs(kind)) do names[#names + 1] = d.name end
		out[i] = { kind = kind, text = random_filter(facts.of(kind), names, 3), row = random_row(kind) }
		out[i].expect = ask_here(kind, out[i].text, out[i].row)
	end
	return out
end

-- --- the page's half ---

local function program_of_page()
	local build = os.getenv "DSS_BUILD" or "build"
	for _, path in ipairs { build .. "/web/node_modules/.bin/esbuild", "web/node_modules/.bin/esbuild", os.getenv "DSS_ESBUILD" } do
		if path and os.execute(("test -x %s"):format(Instance.quote(path))) then return path end
	end
end

local RUNNER = [[
import { readFileSync } from "node:fs"
import { factsOf, test } from "./filter.mjs"
const { now, cases } = JSON.parse(readFileSync(process.argv[2], "utf8"))
process.stdout.write(JSON.stringify(cases.map(c => test(c.filter.tree, factsOf(c.filter.facts, c.row, now), c.filter.zone, now))))
]]

--- What the page says of each case; nil and why where it cannot be asked.
local function ask_page(cases)
	local esbuild = program_of_page()
	if not esbuild then return nil, "esbuild is not installed: make builds it beside the page" end
	local dir = os.tmpname()
	os.remove(dir)
	assert(os.execute("mkdir " .. dir))
	local list = {}
	for i, c in ipairs(cases) do list[i] = { filter = filters.told(c.kind, c.text, NOW), row = c.row } end
	helper.write(dir .. "/cases.json", json.encode { now = NOW, cases = json.array(list) })
	helper.write(dir .. "/run.mjs", RUNNER)
	local out, code = Instance.run { "sh", "-c", ("%s web/src/lib/filter.ts --format=esm --outfile=%s/filter.mjs --log-level=warning && node %s/run.mjs %s/cases.json"):format(
		Instance.quote(esbuild), dir, dir, dir) }
	os.execute("rm -rf " .. dir)
	local answers = json.decode(out)
	assert(answers, ("%s (%s)"):format(out, tostring(code)))
	return answers
end

local function hold(cases)
	local answers, why = ask_page(cases)
	if not answers then return pending(why) end
	assert.equal(#cases, #answers)
	for i, c in ipairs(cases) do
		if null_of(c.expect) ~= null_of(answers[i]) then
			error(("%s of %s: the server says %s, the page %s"):format(c.text, json.encode(c.row), tostring(c.expect), tostring(answers[i])), 0)
		end
	end
end

describe("a filter asked of a row", function()
	it("has the answers of the shared table on the server", function()
		assert.truthy(#table_of_cases.cases > 50)
		for _, c in ipairs(table_of_cases.cases) do
			local answer = ask_here(c.kind, c.text, c.row)
			assert.equal(null_of(c.expect), answer, c.text .. " of " .. json.encode(c.row))
		end
	end)

	it("has the same answers on the page", function() hold(table_of_cases.cases) end)

	it("has the same answers here and there of filters and rows made at random", function()
		math.randomseed(NOW)
		local cases, n = random_cases(RANDOM), { ["true"] = 0, ["false"] = 0, null = 0 }
		for _, c in ipairs(cases) do
			local key = is_null(c.expect) and "null" or tostring(c.expect)
			n[key] = n[key] + 1
		end
		for key, count in pairs(n) do assert.truthy(count > RANDOM / 20, ("only %d of %d are %s"):format(count, RANDOM, key)) end
		hold(cases)
	end)
end)
