require "spec.helper"
require("t_bind").preload()
local engine = require "dss.model.engine"
local load = require "dss.model.load"

local FILE = "policies/30-rules.lua"
local function take(text) return load.evaluate({ { name = FILE, text = text } }, { share = "/usr/share/dssd" }) end
local function refusal(text)
	local model, errors = take(text)
	assert.is_nil(model, text)
	return table.concat(errors, "\n")
end
--- Each row: a text and how the first error begins.
local function refuses(rows)
	for _, row in ipairs(rows) do assert.equal(FILE .. ":" .. row[2], refusal(row[1]):sub(1, #FILE + 1 + #row[2])) end
end

describe("rule", function()
	it("is read with every default, and told to the engine in the order of the set", function()
		assert(take [[
rule "a" { each = "kernel", where = "idle > 2h", act = retire "idle for {idle}" }
rule "b" { mode = "simulate", every = "10min", each = "task", where = "waiting > 5min", warn = "1h", act = abort { reason = "waits", level = "error" } }]])
		assert.same({
			{ name = "a", source = FILE .. ":1", each = "kernel", mode = "act", every_ms = 60000, warn_ms = 0 },
			{ name = "b", source = FILE .. ":2", each = "task", mode = "simulate", every_ms = 600000, warn_ms = 3600000 },
		}, engine.describe().rules)
	end)
	it("that is wrong is told with file, line and the nearest word", function()
		refuses {
			{ 'rule "a" {\n each = "kernel", evry = "1min", act = retire "x" }', '2: unknown key "evry", did you mean "every"?' },
			{ 'rule "a" { act = retire "x" }', '1: "each" is missing' },
			{ 'rule "a" {\n each = "kernle", act = retire "x" }', '2: each: the text "kernle" is none of: kernel, task, recipe, webapp, notebook, pool, user, node, did you mean "kernel"?' },
			{ 'rule "a" {\n each = "session", act = notify "x" }', '2: each: a session of a notebook is each = "notebook"; there are kernel, task' },
			{ 'rule "a" {\n each = "job", act = notify "x" }', '2: each: a job is a task: each = "task", where = "kind = job"; what it runs are recipes; there are kernel, task' },
			{ 'rule "a" { each = "recipe",\n act = retire "x" }', "2: act: retire does not fit a recipe; there are keep, kill, notify" },
			{ 'rule "a" { each = "recipe", where = "crashes > 1", act = kill "x" }', '1: where: unable to read the filter: character 1: unknown fact "crashes"' },
			{ 'rule "a" { each = "webapp",\n act = abort "x" }', "2: act: abort does not fit a webapp; there are keep, kill, notify, retire" },
			{ 'rule "a" { each = "webapp", act = kill "{memroy} used" }', "1: act: unknown fact {memroy} in the reason, did you mean {memory}?" },
			{ 'rule "a" { each = "kernel" }', '1: "act" is missing' },
			{ 'rule "a" { each = "kernel", every = "10ms", act = retire "x" }', '1: every: "10ms" is too little' },
			{ 'rule "a" { each = "kernel",\n mode = "simulat", act = retire "x" }', '2: mode: the text "simulat" is none of: simulate, notify, act, did you mean "simulate"?' },
			{ 'rule "a" { each = "kernel",\n\n where = "memroy > 1g", act = retire "x" }', '3: where: unable to read the filter: character 1: unknown fact "memroy", did you mean "memory"?' },
			{ 'rule "a" { each = "kernel", where = 5, act = retire "x" }', "1: where: a condition is wanted" },
			{ 'rule "a" { each = "kernel",\n act = "retire" }', '2: act: a verb with a reason (retire, kill, abort, notify, keep) or a function is wanted, not the text "retire"' },
			{ 'rule "a" { each = "kernel",\n act = abort "x" }', "2: act: abort does not fit a kernel; there are keep, kill, notify, retire" },
			{ 'rule "a" { each = "task", act = retire "x" }', "1: act: retire does not fit a task; there are abort, keep, notify" },
			{ 'rule "a" { each = "kernel", act = retire "{memroy} used" }', "1: act: unknown fact {memroy} in the reason, did you mean {memory}?" },
			{ 'rule "a" { each = "kernel", act = retire "{memory:sise}" }', "1: act: unknown form in {memory:sise}, did you mean {memory:size}?" },
			{ 'rule "a" { each = "kernel", act = retire "" }', '1: retire wants a reason: retire "it has grown"' },
			{ 'rule "a" { each = "kernel", act = notify { reson = "x" } }', '1: notify: unknown key "reson", did you mean "reason"?' },
			{ 'rule "a" { each = "kernel", act = notify { reason = "x", level = "eror" } }', '1: notify: level is none of: note, warning, error, did you mean "error"?' },
			{ 'rule "a" { each = "kernel", act = unload "x" }', "1: act: unload does not fit a kernel; there are keep, kill, notify, retire" },
			{ 'rule "a" { each = "pool", warn = "1h", act = notify "x" }', "1: warn: notify does nothing that its owner could be warned of" },
			{ 'rule "a" { each = "task", act = abort "x" }\nrule "a" { each = "task", act = abort "x" }', '2: rule "a" stands twice, first at ' .. FILE .. ":1" },
			{ 'rule "" { each = "task", act = abort "x" }', "1: rule: a name is one line of up to 100 bytes" },
			{ 'rule "a"', '1: rule "a" has no table: write rule "a" { … }' },
			{ 'rule "a" { each = "kernel",\n where = function (k) return nothing.there end, act = retire "x" }', '2: unknown word "nothing"' },
			{ 'rule "a" { each = "kernel",\n where = function (k) return k.memroy > 3 end, act = retire "x" }', '2: kernel has no "memroy", did you mean "memory"?' },
		}
	end)
end)

describe("slots and box", function()
	it("become slot rules of the core", function()
		assert(take [[
slots "a user's tasks" { each = "user", max = 4 }
slots "by tag" { where = "pool = fek", each = "tag:team:", max = function (key) return 2 end }
box "a user's kernels" { each = "user", memory = "24g", swap = "0", cpu = 8, threads = 100 }]])
		assert.same({
			{ word = "slots", name = "a user's tasks", source = FILE .. ":1", each = "user", max = 4, memory_bytes = 0 },
			{ word = "slots", name = "by tag", source = FILE .. ":2", each = "tag:team:", max = -1, memory_bytes = 0 },
			{ word = "box", name = "a user's kernels", source = FILE .. ":3", each = "user", max = -1, memory_bytes = 24 << 30 },
		}, engine.describe().slots)
	end)
	it("that are wrong are told with file and line", function()
		refuses {
			{ 'slots "a" { each = "user" }', '1: "max" is missing' },
			{ 'slots "a" {\n each = "usr", max = 1 }', '2: each: "usr" is none of: user, project, pool, job, recipe, recipe_type, webapp, resource, tag:PREFIX, or a function, did you mean "user"?' },
			{ 'slots "a" { max = -1 }', "1: max: -1 is not between 0 and 1000000" },
			{ 'slots "a" { max = 1,\n where = "running > 1h" }', "2: where: running is not known when a task is submitted; there are kind, memory, pool, priority, project, tags, title, type, user" },
			{ 'slots "a" { max = 1, where = "usr = bob" }', '1: where: unable to read the filter: character 1: unknown fact "usr", did you mean "user"?' },
			{ 'slots "a" { each = "job", max = 1 }', '1: each = "job": only a recipe has one, and this word counts tasks: write where = "kind = recipe"' },
			{ 'slots "a" { where = "kind = job", each = "recipe", max = 1 }', '1: each = "recipe": only a recipe has one, and this word counts tasks' },
			{ 'slots "a" { where = "kind = webapp",\n each = "recipe_type", max = 1 }', '2: each = "recipe_type": only a recipe has one, and this word counts webapps' },
			{ 'slots "a" { where = "kind = recipe", each = "pool", max = 1 }', '1: each = "pool": only tasks have a pool, and `where` lets none in' },
			{ 'slots "a" { where = "kind = recipe and usr = bob", max = 1 }', '1: where: unable to read the filter: character 19: unknown fact "usr"' },
			{ 'slots "a" { where = "recipe = clean", max = 1 }', '1: where: unable to read the filter: character 1: unknown fact "recipe"' },
			{ 'box "a" { each = "user" }', '1: "memory" is missing' },
			{ 'box "a" { each = "user", memory = "1x" }', '1: memory: unable to read size "1x"' },
			{ 'box "a" { memory = "1g" }\nbox "a" { memory = "1g" }', '2: box "a" stands twice, first at ' .. FILE .. ":1" },
		}
	end)
end)

describe("on, access and retention", function()
	it("are read", function()
		assert(take [[
on "process.exited" { where = "cause = oom_limit", act = notify "{subject} used {peak}" }
on "process.exited" { mode = "simulate", act = keep "nothing" }
access "operators" { users = { "olga" }, may = { "see", "abort" }, where = "project = SALES" }
retention { tasks = "2d", versions = 5, ledger_size = "10m" }]])
		local d = engine.describe()
		assert.same({ { name = "process.exited", source = FILE .. ":1", mode = "act" }, { name = "process.exited", source = FILE .. ":2", mode = "simulate" } }, d.events)
		assert.equal(1, d.access)
		local day = 86400000
		assert.same({ tasks_ms = 2 * day, results_ms = 2 * day, facts_ms = 30 * day, decisions_ms = 90 * day, ledger_ms = day, ledger_most_bytes = 10 << 20,
			job_logs_ms = 30 * day, runs_ms = 30 * day, usage_ms = 90 * day, versions = 5 }, d.retention)
	end)
	it("have a retention where nobody says one", function()
		assert(take "")
		assert.same({ 7 * 86400000, 200, 256 << 20 }, { engine.describe().retention.results_ms, engine.describe().retention.versions, engine.describe().retention.ledger_most_bytes })
	end)
	it("that are wrong are told with file and line", function()
		refuses {
			{ 'on "task.endd" { act = notify "x" }', '1: on: there is no event "task.endd", did you mean "task.ended"?' },
			{ 'on "task.ended" {\n where = "memory > 1g", act = notify "x" }', '2: where: unable to read the filter: character 1: unknown fact "memory"; there are attempt' },
			{ 'on "task.ended" { act = abort "x" }', "1: act: abort does not fit an event; there are keep, notify" },
			{ 'access "a" { users = {}, may = { "see" } }', "1: users: the list is empty" },
			{ 'access "a" { users = { "run" }, may = { "see" } }', '1: users[1]: "run" is no login' },
			{ 'access "a" { users = { "bob" }, may = { "sea" } }', '1: may[1]: the text "sea" is none of: see, abort, did you mean "see"?' },
			{ "retention { task = 5 }", '1: unknown key "task", did you mean "tasks"?' },
			{ 'retention { tasks = "1d",\n results = "2d" }', "2: results: longer than tasks, and no result is kept longer than its task" },
			{ 'retention { tasks = "1min" }', '1: tasks: "1min" is too little' },
			{ "retention {}\nretention {}", "2: retention stands twice, first at " .. FILE .. ":1" },
		}
	end)
end)
