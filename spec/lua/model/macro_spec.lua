-- macro: the word, its params, and what it decides.
require "spec.helper"
require("t_bind").preload()
local engine = require "dss.model.engine"
local json = require "bind.json"
local load = require "dss.model.load"

local FILE = "policies/40-macros.lua"
local CTX = '{"unix_s":1700000000,"user":"ann"}'

local function evaluate(text) return load.evaluate({ { name = FILE, text = text } }, { share = "/usr/share/dssd" }) end
local function take(text)
	local model, errors = evaluate(text)
	assert(model, errors and table.concat(errors, "\n"))
end
local function refused(text)
	local model, errors = evaluate(text)
	assert.is_nil(model)
	return table.concat(errors, "\n")
end
local function judge(name, params, ...)
	local text = engine.macro_params(name, json.encode(params), true)
	return json.decode(engine.macro_judge(name, text, CTX, json.encode(json.array { ... })))
end

local PARAMS = [[
macro "a" {
  about = "x", each = "kernel", who = "project",
  params = { age = duration { default = "1d" }, much = size { default = "1g" }, on = flag { default = true }, n = count { default = 3, most = 9 },
    share = number { default = 0.5, least = 0, most = 1 }, name = text {}, kind = choice { words = { "old", "new" }, default = "old" } },
  admin_params = { force = flag { default = false } },
  run = function (k, params) return keep(params.name) end,
}]]

describe("a macro's params", function()
	it("are typed, and come with their defaults: durations in seconds, sizes in bytes", function()
		take(PARAMS)
		local got = json.decode(engine.macro_params("a", '{"age":"90min","on":"no","n":"7","name":"x"}', false))
		assert.same({ age = 5400.0, much = 1 << 30, on = false, n = 7, share = 0.5, name = "x", kind = "old", simulate = true, force = false }, got)
	end)
	it("are refused with the param's name, and the nearest one there is", function()
		take(PARAMS)
		local cases = {
			{ '{"nme":"x"}', 'unknown param "nme", did you mean "name"?' }, { "{}", 'param "name" is missing' }, { '{"name":"x","age":"soon"}', 'param "age": unable to read duration' },
			{ '{"name":"x","n":10}', 'param "n": 10 is more than 9' }, { '{"name":"x","n":1.5}', 'param "n": a whole number' }, { '{"name":"x","on":"perhaps"}', 'param "on": true or false' },
			{ '{"name":"x","kind":"odl"}', 'param "kind": it is none of: old, new, did you mean "old"?' }, { '{"name":"a\\nb"}', 'param "name": a text of one line' },
			{ '{"name":"x","share":2}', 'param "share": 2 is more than 1' }, { '{"name":"x","much":"lots"}', 'param "much": ' }, { '{"name":{}}', 'param "name": ' },
			{ '{"name":"x","force":true}', 'param "force" is for admins' },
		}
		for _, case in ipairs(cases) do
			local out, why = engine.macro_params("a", case[1], false)
			assert.is_nil(out)
			assert.matches(case[2], why, 1, true)
		end
		assert.truthy(engine.macro_params("a", '{"name":"x","force":true}', true))
	end)
	it("of a macro that goes over things have simulate, on unless it says otherwise", function()
		take(PARAMS .. '\nmacro "b" { about = "x", each = "node", params = { simulate = flag { default = false } }, run = function () end }')
		assert.is_true(json.decode(engine.macro_params("a", '{"name":"x"}', false)).simulate)
		assert.is_false(json.decode(engine.macro_params("b", "{}", false)).simulate)
	end)
end)

describe("the word macro", function()
	it("names what is wrong, with its line", function()
		local cases = {
			{ 'macro "a" { about = "x", each = "kernel" }', '"run" is missing' },
			{ 'macro "A b" { about = "x", each = "kernel", run = function () end }', "is no name for one" },
			{ 'macro "a" { about = "x", each = "kernle", run = function () end }', 'did you mean "kernel"?' },
			{ 'macro "a" { about = "x", each = "kernel", columns = { "aeg" }, run = function () end }', 'has no "aeg", did you mean "age"?' },
			{ 'macro "a" { about = "x", each = "kernel", result = "html", run = function () end }', "with each it is a table" },
			{ 'macro "a" { about = "x", result = "file", run = function () end }', "a file is what the core makes" },
			{ 'macro "a" { about = "x", makes = "diagnosis", run = function () end }', "run, each and reads say nothing" },
			{ 'macro "a" { about = "x", params = { n = 3 }, run = function () end }', "params.n: duration { … }" },
			{ 'macro "a" { about = "x", params = { n = count { defualt = 3 } }, run = function () end }', 'did you mean "default"?' },
			{ 'macro "a" { about = "x", params = { n = flag {} }, admin_params = { n = flag {} }, run = function () end }', "n stands among params, too" },
			{ 'rule "r" { each = "node", act = macro("gone", {}) }', 'there is no macro "gone"' },
			{ 'macro "a" { about = "x", each = "node", run = function () end }\nrule "r" { each = "node", act = macro("a", { x = 1 }) }', 'macro a: unknown param "x"' },
			{ 'macro "a" { about = "x", each = "node", run = function () end }\nrule "r" { each = "kernel", act = macro("a", {}) }', "macro does not fit a kernel" },
		}
		for _, case in ipairs(cases) do assert.matches(case[2], refused(case[1]), 1, true) end
	end)
end)

describe("what a macro decides", function()
	it("is a verb with its reason for each thing, with what was read; and can be made again from that", function()
		take 'macro "a" { about = "x", each = "kernel", params = { age = duration { default = "1h" } }, run = function (k, p) if k.age > p.age then return retire "{age} old" end end }'
		local d = judge("a", {}, { id = "fek-1", age = 7200.5, pool = "fek" }, { id = "fek-2", age = 5 }, { id = "fek-3" })
		assert.same({ "retire", "2 h old", "act" }, { d[1].answer, d[1].reason, d[1].state })
		assert.same({ "keep", "no" }, { d[2].answer, d[2].state })
		assert.same({ "keep", "skipped: age is unknown", "skipped" }, { d[3].answer, d[3].reason, d[3].state })
		local answer, reason = engine.again { word = "macro", name = "a", inputs = d[1].inputs }
		assert.same({ "retire", "2 h old" }, { answer, reason })
	end)
	it("has to fit the thing, and what fails acts on nothing", function()
		take [[macro "a" { about = "x", each = "job_log", run = function (log)
			if log.name == "1" then return kill "x" end
			if log.name == "2" then return notify "x" end
			if log.name == "3" then return "delete" end
			if log.name == "4" then error "broken" end
			if log.name == "5" then return log.nmae end
			return delete "{size}"
		end }]]
		local want = { "kill does not fit a job_log", "notify says nothing here", "answer a verb with a reason", "broken" }
		for i, text in ipairs(want) do
			local d = judge("a", {}, { id = "P/x", name = tostring(i), size = 1 << 20 })[1]
			assert.same({ "keep", "failed" }, { d.answer, d.state })
			assert.matches(text, d.reason, 1, true)
		end
		assert.same({ "delete", "1 MB" }, { judge("a", {}, { id = "P/x", name = "6", size = 1 << 20 })[1].answer, judge("a", {}, { id = "P/x", name = "6", size = 1 << 20 })[1].reason })
	end)
	it("is a whole table, an object or a page without each; what is none is refused", function()
		take [[
macro "t" { about = "x", reads = { "user" }, run = function (p, ctx) return { columns = { "n", "who" }, records = { { #ctx.user, ctx.user[1].name }, { 2 } } } end }
macro "j" { about = "x", result = "json", run = function (p, ctx) return { day = ctx.clock.day, user = ctx.user } end }
macro "h" { about = "x", result = "html", run = function () return "<p>hi</p>" end }
macro "bad" { about = "x", run = function () return { columns = { "a" }, records = { { {} } } } end }
macro "worse" { about = "x", run = function () return 3 end }]]
		assert.same({ columns = { "n", "who" }, records = { { 1, "bob" }, { 2, json.null } } },
			json.decode(engine.macro_whole("t", "{}", '{"unix_s":1700000000,"user":[{"name":"bob"}]}')))
		assert.same({ day = 14, user = "ann" }, json.decode(engine.macro_whole("j", "{}", CTX)))
		assert.equal("<p>hi</p>", engine.macro_whole("h", "{}", CTX))
		assert.matches("record 1: a is a table", select(2, engine.macro_whole("bad", "{}", CTX)), 1, true)
		assert.matches("answer { columns", select(2, engine.macro_whole("worse", "{}", CTX)), 1, true)
	end)
end)

describe("the shipped macros", function()
	local f = assert(io.open "policies/40-macros.lua")
	local text = f:read "a"
	f:close()
	local function session(more)
		local s = { id = "s1", notebook = "P/a.ipynb", project = "P", user = "ann", age = 3 * 86400.0, quiet = 20 * 3600.0, silent = 19 * 3600.0, connected = false, leased = false,
			busy = false, memory = 1 << 30, state = "idle" }
		for k, v in pairs(more or {}) do s[k] = v ~= json.null and v or nil end
		return s
	end
	it("unload who is quiet and silent, and spare who is busy, at work, connected, kept, young, or unknown", function()
		take(text)
		local function said(more, params) return judge("kill-idle-notebooks", params or {}, session(more))[1] end
		assert.same({ "unload", "idle: quiet for 20 h, silent for 19 h, holding 1.0 GB" }, { said().answer, said().reason })
		for _, more in ipairs { { busy = true }, { silent = 3.0 }, { connected = true }, { leased = true }, { quiet = 60.0 }, { silent = 7200.0 } } do
			assert.equal("keep", said(more).answer)
		end
		for _, fact in ipairs { "quiet", "silent", "connected", "leased", "busy", "age" } do
			assert.same({ "keep", "skipped" }, { said({ [fact] = json.null }).answer, said({ [fact] = json.null }).state }, fact)
		end
		assert.equal("unload", said({ connected = true }, { spare_connected = false }).answer)
		local kept = said({ leased = true }, { spare_leased = false })
		assert.same({ "unload", true }, { kept.answer, json.decode(kept.inputs).leased })
		assert.matches("though its user keeps it", kept.reason, 1, true)
		assert.equal("unload", said({ connected = true, quiet = 0.0 }, { spare_connected = false }).answer)
		assert.equal("unload", said({ quiet = 60.0, age = 200 * 86400.0 }).answer)
		assert.equal("keep", said({ busy = true, age = 200 * 86400.0 }).answer)
		for _, more in ipairs { {}, { leased = true } } do
			more.state, more.quiet, more.silent, more.connected, more.memory = "dead", json.null, json.null, json.null, json.null
			assert.same({ "unload", "act", "its kernel is dead: nothing is left to lose" }, { said(more).answer, said(more).state, said(more).reason })
		end
	end)
	it("clear old logs that nobody writes, and old files that nobody has open", function()
		take(text)
		local function of(name, row) return judge(name, {}, row)[1].answer end
		local old = 40 * 86400
		assert.equal("delete", of("clear-job-logs", { id = "P/j", name = "j", age = old, size = 5, open = false }))
		assert.equal("keep", of("clear-job-logs", { id = "P/j", name = "j", age = old, size = 5, open = true }))
		assert.equal("keep", of("clear-job-logs", { id = "P/j", name = "j", age = 5, size = 5, open = false }))
		assert.equal("delete", of("clear-tmp", { id = "/tmp/x", age = old, open = false }))
		assert.equal("keep", of("clear-tmp", { id = "/tmp/x", age = old, open = true }))
		assert.equal("keep", of("clear-tmp", { id = "/tmp/x", age = old }))
	end)
end)
