require "spec.helper"
require("t_bind").preload()
local engine = require "dss.model.engine"
local load = require "dss.model.load"

local FILE = "policies/30-rules.lua"
local NOW = 1700000000
local function take(text)
	local model, errors = load.evaluate({ { name = FILE, text = text } }, { share = "/usr/share/dssd" })
	assert(model, errors and table.concat(errors, "\n"))
end

--- A decision as a table.
local function judge(facts, i)
	local f = { id = "fek-1", unix_s = NOW }
	for k, v in pairs(facts) do f[k] = v end
	local answer, reason, threshold, inputs, state, level = engine.judge(i or 1, f)
	return { answer = answer, reason = reason, threshold = threshold, inputs = inputs, state = state, level = level }
end

describe("a rule", function()
	it("answers its verb where its condition holds, with the clause that decided and exactly the facts that were read", function()
		take 'rule "a" { each = "kernel", where = "state = idle and idle > 2h", act = retire "idle for {idle}, {memory} held" }'
		assert.same({
			answer = "retire", reason = "idle for 3 h, 1.5 GB held", threshold = "idle > 2h", state = "act", level = "warning",
			inputs = '{"state":"idle","idle":10800.0,"memory":1610612736}',
		}, judge { state = "idle", idle = 10800.0, memory = 3 << 29, peak = 5 })
		assert.same({ answer = "keep", threshold = "state = idle", inputs = '{"state":"busy"}', state = "no" }, judge { state = "busy", idle = 0.0 })
	end)
	it("skips what it does not know: unknown is not zero", function()
		take [[
rule "a" { each = "kernel", where = "memory < 1g", act = retire "small" }
rule "b" { each = "kernel", where = function (k) return k.memory < bytes "1g" end, act = retire "small" }
rule "c" { each = "kernel", act = function (k) if k.memory < bytes "1g" then return retire "small" end end }]]
		for i = 1, 3 do
			local d = judge({}, i)
			assert.same({ "keep", "skipped: memory is unknown", '{"memory":null}', "skipped" }, { d.answer, d.reason, d.inputs, d.state })
			assert.equal("retire", judge({ memory = 1 << 20 }, i).answer)
			assert.equal("no", judge({ memory = 2 << 30 }, i).state)
		end
	end)
	it("may be functions, which see the clock, and whose verbs are checked", function()
		take [[
rule "a" {
  each = "kernel",
  where = function (k) return k.clock.year == 2023 and k.user ~= "" end,
  act = function (k)
    if k.tasks == 1 then return keep "one is fine" end
    if k.tasks == 2 then return notify { reason = k.user .. " ran {tasks}", level = "note" } end
    if k.tasks == 3 then return "retire" end
    if k.tasks == 4 then return abort "x" end
    if k.tasks == 5 then return retire "{tsks}" end
    if k.tasks == 6 then error "broken" end
  end,
}]]
		local function with(tasks)
			local d = judge { user = "bob", tasks = tasks }
			return { d.answer, d.reason, d.state, d.level }
		end
		assert.same({ "keep", "one is fine", "no", "warning" }, with(1))
		assert.same({ "notify", "bob ran 2", "act", "note" }, with(2))
		assert.same({ "keep", FILE .. ":4: act: answer a verb with a reason, such as notify \"why\", or nothing, not a string", "failed" }, with(3))
		assert.same({ "keep", FILE .. ":4: act: abort does not fit a kernel; there are keep, kill, notify, retire", "failed" }, with(4))
		assert.matches("unknown fact {tsks} in the reason, did you mean {tasks}?", with(5)[2], 1, true)
		assert.equal(FILE .. ":10: broken", with(6)[2])
		assert.same({ "keep", nil, "no" }, with(7))
		assert.matches('"clock":{.*"seconds":1700000000.*},"user":"bob"', judge({ user = "bob", tasks = 7 }).inputs)
	end)
	it("cannot change what it is handed, and cannot keep it for later", function()
		take [[
local kept
rule "a" { each = "kernel", act = function (k) k.memory = 5 end }
rule "b" { each = "kernel", act = function (k) kept = k end }
rule "c" { each = "node", act = function () return notify("still " .. kept.memory) end }]]
		assert.matches("kernel is read-only: memory cannot be set", judge({}, 1).reason, 1, true)
		judge({ memory = 1 }, 2)
		assert.matches("kernel was kept beyond its decision", judge({}, 3).reason, 1, true)
	end)
end)

describe("placing a task", function()
	local function place(facts)
		local f = { kind = "future", type = "python", pool = "fek", user = "bob", project = "", tags = {}, title = "t", priority = 0, memory = 1 << 30, unix_s = NOW }
		for k, v in pairs(facts or {}) do f[k] = v end
		local out = {}
		for i, p in ipairs(engine.place(f)) do out[i] = { p.rule, p.key, p.max, p.failure } end
		return out
	end
	it("names the rules that it falls under, each with its key", function()
		take [[
slots "u" { each = "user", max = 4 }
slots "p" { each = "project", max = 4 }
slots "all" { max = 9, where = "pool = fek" }
box "m" { each = "pool", memory = "4g" }
slots "t" { each = "tag:team:", max = 1 }]]
		assert.same({ { 1, "bob", -1 }, { 3, "", -1 }, { 4, "fek", -1 } }, place())
		assert.same({ { 1, "bob", -1 }, { 2, "SALES", -1 }, { 4, "jek", -1 }, { 5, "team:a", -1 }, { 5, "team:b", -1 } },
			place { pool = "jek", project = "SALES", tags = { "team:a", "x", "team:b" } })
	end)
	it("takes keys and numbers of functions; one that fails holds nobody up, or lets one at a time", function()
		take [[
slots "size" { each = function (t) if t.memory > bytes "2g" then return "large" end end, max = 1 }
slots "broken" { each = function (t) if t.user == "eve" then error "no" end return t.user end, max = 1 }
slots "max" { each = "user", max = function (key) return key == "bob" and 7 or nil end }]]
		assert.same({ { 2, "bob", -1 }, { 3, "bob", 7 } }, place())
		assert.same({ 1, "large", -1 }, place({ memory = 3 << 30 })[1])
		assert.same({ { 2, nil, nil, FILE .. ":2: no" }, { 3, "eve", 7, FILE .. ":3: max: it answered nothing" } }, place { user = "eve" })
	end)
end)

describe("an event", function()
	it("is asked with what it tells, in the units of policies", function()
		take 'on "process.exited" { where = "cause = oom_limit and peak > 1g and pool = fek", act = notify "{subject} of {owner} used {peak} in {cpu}" }'
		local answer, reason = engine.event(1, "fek-12", "bob", '{"cause":"oom_limit","peakBytes":2147483648,"cpuMs":3500}', NOW)
		assert.same({ "notify", "fek-12 of bob used 2.0 GB in 3.5 s" }, { answer, reason })
		local said, why, threshold, _, state = engine.event(1, "fek-12", nil, '{"cause":"exited"}', NOW)
		assert.same({ "keep", "cause = oom_limit", "no" }, { said, threshold, state })
		assert.is_nil(why)
		assert.same("skipped", (select(5, engine.event(1, "fek-12", nil, '{"cause":"oom_limit"}', NOW))))
	end)
end)

describe("access", function()
	it("grants what a word says to whom it says, and nothing where it fails", function()
		take [[
access "broken" { users = { "olga" }, may = { "see", "abort" }, where = function (t) error("no " .. t.user) end }
access "sales" { users = { "olga", "otto" }, may = { "see" }, where = "project = SALES" }]]
		local task = { kind = "future", user = "bob", project = "SALES", unix_s = NOW }
		assert.same({ true, "sales", FILE .. ":2", "project = SALES", '{"project":"SALES"}' }, { engine.access("olga", "see", task) })
		assert.same({ false, "broken", FILE .. ":1", "the function at " .. FILE .. ":1", '{"user":"bob"}', FILE .. ":1: no bob" }, { engine.access("olga", "abort", task) })
		assert.same({ false }, { engine.access("otto", "abort", task) })
		assert.same({ false }, { engine.access("otto", "see", { user = "bob", project = "", unix_s = NOW }) })
		assert.same({ false }, { engine.access("eve", "see", task) })
	end)
end)

describe("a decision made again from its inputs", function()
	it("has the same answer and reason", function()
		take [[
rule "r" { each = "kernel", where = "idle > 2h or memory > 1g", act = function (k) return retire("after " .. k.age .. " s at " .. k.clock.hour .. ": {idle}") end }
slots "s" { each = "user", where = "tags = nightly", max = 1 }
on "task.ended" { where = "state = killed", act = notify "{subject}: {cause}" }
pool "p" { kernel = python {}, max = function (pool) return pool.busy + 1 end, recycle = function (k) if k.age > 5 then return retire "old: {age}" end end }]]
		local function same(d) assert.same({ d.answer, d.reason }, { engine.again(d) }) end
		for _, facts in ipairs { { idle = 8000.5, age = 9000.0 }, { idle = 1.0, memory = 2 << 30, age = 9.25 }, { idle = 1.0, memory = 1 }, { idle = 1.0 } } do
			local d = judge(facts)
			d.word, d.name = "rule", "r"
			same(d)
		end
		local p = engine.place({ user = "bob", tags = { "nightly" }, unix_s = NOW })[1]
		same { word = "slots", name = "s", answer = "assign", reason = p.reason, inputs = p.inputs }
		local answer, reason, threshold, inputs = engine.event(1, "abc", "bob", '{"state":"killed","cause":"policy"}', NOW)
		same { word = "on", name = "task.ended", source = FILE .. ":3", answer = answer, reason = reason, threshold = threshold, inputs = inputs }
		local n = select(7, engine.pool("p", { busy = 3, unix_s = NOW }))[1]
		same { word = "pool", name = "p", answer = "set", reason = "max = 4", threshold = n.threshold, inputs = n.inputs }
		local k = select(4, engine.recycle("p", { id = "p-1", age = 7.5, unix_s = NOW }))
		same { word = "recycle", name = "p", answer = "retire", reason = "old: 7.5 s", inputs = k.inputs }
	end)
	it("is nothing where the word is gone", function()
		take ""
		assert.is_nil(engine.again { word = "rule", name = "r", inputs = "{}" })
		assert.is_nil(engine.again { word = "queue", name = "r", inputs = "{}" })
	end)
end)
