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
	it("of recipes and webapps knows their facts, and skips a java recipe, whose memory nobody knows", function()
		take [[
rule "long" { each = "recipe", where = "age > 6h and memory > 20g", warn = "10min", act = kill "{recipe} runs for {age} and holds {memory}" }
rule "sick" { each = "webapp", where = "unhealthy > 2min or crashes >= 3", act = function (w) if w.tags[1] == "vip" then return keep "it is ours" end return kill "{project}/{id}: {crashes} crashes" end }]]
		assert.same({ 600000, "recipe", "webapp" }, { engine.describe().rules[1].warn_ms, engine.describe().rules[1].each, engine.describe().rules[2].each })
		local d = judge { kind = "recipe", recipe = "clean", recipe_type = "python", age = 22000.0, memory = 21 << 30 }
		assert.same({ "kill", "clean runs for 6 h 6 min and holds 21.0 GB", "act" }, { d.answer, d.reason, d.state })
		assert.same({ "kill", d.reason }, { engine.again { word = "rule", name = "long", inputs = d.inputs } })
		d = judge { kind = "recipe", recipe = "clean", recipe_type = "java", age = 22000.0 }
		assert.same({ "keep", "skipped: memory is unknown" }, { d.answer, d.reason })
		d = judge({ id = "page", project = "SALES", unhealthy = 0.0, crashes = 3, tags = {} }, 2)
		assert.same({ "kill", "SALES/page: 3 crashes" }, { d.answer, d.reason })
		d = judge({ unhealthy = 200.0, crashes = 0, tags = { "vip" } }, 2)
		assert.same({ "keep", "it is ours", "no" }, { d.answer, d.reason, d.state })
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

describe("what was checked at the load", function()
	local function refused(text, message)
		local model, errors = load.evaluate({ { name = FILE, text = text } }, { share = "/usr/share/dssd" })
		assert.is_nil(model, text)
		assert.truthy(errors[1]:find(message, 1, true), errors[1])
	end

	it("cannot be changed by who holds a kernel or a verb", function()
		refused('local k = python {} pool "p" { kernel = k } k.argv = { "/bin/other" }', "a kernel is read-only")
		refused('local k = python {} k.argv[1] = "/bin/other" pool "p" { kernel = k }', "nil value (field 'argv')")
		refused('local k = python {} table.insert(k, "x") pool "p" { kernel = k }', "a kernel is read-only")
		refused('local v = keep "x" rule "r" { each = "task", act = v } v.word = "kill"', "a verb is read-only")
		refused('local v = keep "x" rule "r" { each = "task", act = v } v.reason = nil', "a verb is read-only")
	end)
	it("has names and reasons that logs and JSON bear, and shows no address", function()
		refused([[rule "\xff" { each = "task", act = keep "x" }]], "a name is one line")
		refused([[rule "a\nb" { each = "task", act = keep "x" }]], "a name is one line")
		refused([[rule "a" { each = "task", act = keep "\xff\xfe" }]], "keep wants a reason")
		refused([[rule "a" { each = "task", act = notify { reason = "x", [{}] = 1 } }]], 'unknown key "table"')
	end)
	it("cannot be changed through a table that a word was given", function()
		take [[
local argv, types, users, may = { "/bin/true" }, { "a" }, { "olga" }, { "see" }
pool "p" { kernel = command { argv = argv, types = types } }
access "a" { users = users, may = may }
argv[1], types[1], users[1], may[1], may[2] = 5, {}, "eve", "abort", "see"]]
		assert.is_true((engine.access("olga", "see", { user = "bob", unix_s = NOW })))
		assert.is_false((engine.access("eve", "see", { user = "bob", unix_s = NOW })))
		assert.is_false((engine.access("olga", "abort", { user = "bob", unix_s = NOW })))
	end)
	it("gets no word added by a function, neither at the load nor later", function()
		refused([[local access = access
rule "r" { each = "task", act = keep "x", where = function (t)
  access "g" { users = { "eve" }, may = { "see" } }
  return false
end }]], FILE .. ":3: access stands in a file, not in a function that is asked")
		take [[
local words = { access = access, slots = slots, retention = retention, python = python, rule = rule "later" }
rule "r" { each = "task", act = keep "x", where = function (t)
  if t.user == "one" then words.access "g" { users = { "eve" }, may = { "see" } } end
  if t.user == "two" then words.slots "s" { max = 0 } end
  if t.user == "three" then words.retention {} end
  if t.user == "four" then words.python {} end
  if t.user == "five" then words.rule { each = "task", act = keep "x" } end
  return true
end }
words.rule { each = "node", act = keep "x" }]]
		for _, user in ipairs { "one", "two", "three", "four", "five" } do
			local d = judge({ user = user }, 1)
			assert.equal("failed", d.state)
			assert.truthy(d.reason:find("stands in a file, not in a function that is asked", 1, true), d.reason)
			assert.equal("no", judge({ user = "bob" }, 1).state) -- it does not rest
		end
		assert.is_false((engine.access("eve", "see", { user = "bob", unix_s = NOW })))
		assert.same({}, engine.place { user = "bob", unix_s = NOW })
	end)
	it("is asked for unknown facts that are named by us, whatever is written into what a function catches", function()
		take [[
rule "r" { each = "task", act = keep "x", where = function (t)
  local _, raised = pcall(function () return t.memory end)
  raised.fact = "user\nERROR"
  return raised
end }]]
		assert.equal("skipped: memory is unknown", judge({}).reason)
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
	it("asks for a bounded number of words", function()
		local text = {}
		for i = 1, 1001 do text[i] = ('slots "s%d" { max = %d }'):format(i, i) end
		local model, errors = load.evaluate({ { name = FILE, text = table.concat(text, "\n") } }, { share = "/usr/share/dssd" })
		assert.is_nil(model)
		assert.same({ FILE .. ":1001: more than 1000 words slots and box" }, errors)
	end)
	it("counts its user although it has more tags than a task has places, each tag once", function()
		take [[
slots "tags" { each = "tag:t", max = 9 }
slots "users" { each = "user", max = 1 }]]
		local tags = {}
		for i = 1, 20 do tags[i] = "t" .. i // 2 end
		local p = engine.place { user = "bob", tags = tags, unix_s = NOW }
		assert.equal(12, #p)
		assert.same({ 2, "bob" }, { p[1].rule, p[1].key })
		assert.same({ 1, "t0" }, { p[2].rule, p[2].key })
	end)
	it("takes a number for a key where it is one, and no text that a terminal or JSON would not bear", function()
		take [[
slots "s" { max = 1, each = function (task)
  return ({ nan = 0/0, inf = 1/0, minus = -0.0, large = 2^53, half = 0.5, bytes = "\xff\xfe", nul = "a\0b", long = ("x"):rep(201) })[task.title]
end }]]
		local function key(title) return engine.place({ title = title, user = "bob", unix_s = NOW })[1] end
		for title, wanted in pairs { minus = "0", large = "9007199254740992", half = "0.5" } do assert.equal(wanted, key(title).key) end
		for _, title in ipairs { "nan", "inf", "bytes", "nul" } do assert.truthy(key(title).failure:find "each: answer a short text") end
		take 'slots "s" { max = 1, each = function (task) return ("x"):rep(201) end }'
		assert.truthy(key("long").failure:find "not that text")
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
	it("is not to be had from a line that was damaged, or has facts of other types", function()
		local one = require("dss.model.replay").one
		take [[
rule "r" { each = "kernel", where = "memory > 1g", act = retire "x" }
on "task.ended" { where = "subject ~ \"a*b\"", act = notify "{subject}" }
slots "s" { each = "tag:x", max = 1, where = "tags = b" }
pool "p" { kernel = python {}, max = function (pool) return pool.idle + 1 end }]]
		for _, line in ipairs {
			"5", "[]", "null", "{}", "true", "{", "", '"x"', '{"word":{}}', '{"word":"rule","name":"r","outcome":5}', '{"word":"rule","name":"r","inputs":5}',
			'{"word":"rule","name":"r","inputs":[1]}', '{"word":"rule","name":"r","inputs":{"memory":"x"}}', '{"word":"rule","name":{},"inputs":{}}',
			'{"word":"pool","name":"p","threshold":[],"inputs":{}}', '{"word":"pool","name":"p","threshold":"max","inputs":{"idle":{}}}',
			'{"word":"rule","name":"r","reason":7,"inputs":{"memory":1}}', '{"word":"slots","name":"s","inputs":{"tags":5}}',
			'{"word":"on","name":"task.ended","source":"' .. FILE .. ':2","inputs":{"subject":5}}',
		} do assert.truthy(({ undecidable = true, differs = true })[one(line, false)], line) end
	end)
end)

describe("slots of recipes and webapps", function()
	local function keys(given)
		local out = {}
		for _, p in ipairs(engine.place_guest(given)) do out[#out + 1] = { p.rule, p.key or p.failure, p.max } end
		return out
	end
	local RECIPE = { kind = "recipe", id = "p1", user = "ann", project = "SALES", job = "J1", activity = "a_NP", recipe = "a", recipe_type = "python",
		tags = { "team:x", "night" }, resources = { "licence:sas", "gpu" }, priority = 0, unix_s = NOW }
	local WEBAPP = { kind = "webapp", id = "SALES/page", user = "ann", project = "SALES", webapp = "page", tags = {}, resources = {}, priority = 0, unix_s = NOW }
	local TASK = { kind = "future", type = "python", pool = "fek", user = "ann", project = "SALES", tags = {}, priority = 0, unix_s = NOW }

	it("count what their condition names, and words without a kind count tasks alone", function()
		take [[
slots "tasks" { each = "user", max = 1 }
slots "recipes" { where = "kind = recipe", max = 8 }
slots "both" { where = "kind in (recipe, webapp) and project = SALES", each = "project", max = 3 }
slots "all" { where = "kind = webapp or kind = future", each = "user", max = 3 }
slots "others" { where = "kind != recipe", each = "user", max = 3 }]]
		assert.same({ { 2, "", -1 }, { 3, "SALES", -1 } }, keys(RECIPE))
		assert.same({ { 3, "SALES", -1 }, { 4, "ann", -1 }, { 5, "ann", -1 } }, keys(WEBAPP))
		local of_task = {}
		for _, p in ipairs(engine.place(TASK)) do of_task[#of_task + 1] = p.rule end
		assert.same({ 1, 4, 5 }, of_task)
	end)
	it("have each key that a recipe or a webapp has; resources and tags are a key each, and stand last", function()
		take [[
slots "1" { where = "kind = recipe", each = "resource", max = 2 }
slots "2" { where = "kind = recipe", each = "tag:team:", max = 2 }
slots "3" { where = "kind = recipe", each = "job", max = 2 }
slots "4" { where = "kind = recipe", each = "recipe", max = 2 }
slots "5" { where = "kind = recipe", each = "recipe_type", max = 2 }
slots "6" { where = "kind = webapp", each = "webapp", max = 2 }
slots "7" { where = "kind in (recipe, webapp)", each = function (t) return t.project .. "/" .. t.kind end, max = function (key) return #key end }]]
		assert.same({ { 3, "J1", -1 }, { 4, "a", -1 }, { 5, "python", -1 }, { 7, "SALES/recipe", 12 }, { 1, "licence:sas", -1 }, { 1, "gpu", -1 },
			{ 2, "team:x", -1 } }, keys(RECIPE))
		assert.same({ { 6, "page", -1 }, { 7, "SALES/webapp", 12 } }, keys(WEBAPP))
	end)
	it("have no limit of their own where max is 0, by a function as well", function()
		take [[
slots "1" { where = "kind = recipe", max = 0 }
slots "2" { where = "kind = recipe", max = function () return 0 end }
slots "3" { max = 0 }]]
		assert.same({ -1, -1, -1 }, { engine.describe().slots[1].max, engine.describe().slots[2].max, engine.describe().slots[3].max })
		assert.same({ { 1, "", -1 }, { 2, "", -1 } }, keys(RECIPE))
	end)
	it("are decided again from what was read", function()
		take [[slots "1" { where = "kind = recipe and user = ann", each = "job", max = 2 }]]
		local p = engine.place_guest(RECIPE)[1]
		assert.same({ "assign", p.reason }, { engine.again { word = "slots", name = "1", source = FILE .. ":1", inputs = p.inputs, reason = p.reason } })
	end)
end)
