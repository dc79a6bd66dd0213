-- `dssctl why` and /api/decisions against a real instance: what was decided, by which line, on which facts.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local json = require "t_json"
local work = require "spec.daemon.work"

local t_words = require "t_words"

local HEAD = "INSERT INTO decision (id, epoch, seq, first_ms, last_ms, count, word, name, source, subject_kind, subject, answer, reason, inputs,"
	.. " threshold, mode, outcome, owner, version) VALUES "

describe("dssctl why", function()
	local node, tasks, now_ms

	--- Standard output and error together, exit status.
	local function why(...)
		local out, complaints, status = node:ctl("why", ...)
		return out .. complaints, status
	end
	local function rows(...) return assert(json.decode((node:ctl("--json", "why", ...)))) end

	--- As if a policy had decided.
	local function decided(row)
		local values = {}
		for i = 1, 19 do values[i] = row[i] == nil and "NULL" or type(row[i]) == "number" and tostring(row[i]) or "'" .. row[i] .. "'" end
		assert(t_words.sql(node.dir .. "/db/dss.sqlite", HEAD .. "(" .. table.concat(values, ",") .. ")"))
	end

	setup(function()
		tasks = work.tasks()
		node = Instance.new { policies = { ["10-pools.lua"] = work.policy("fek", tasks, "warm = { min = 1, max = 2 }, max = 4,") } }
		node:start()
		work.full_pool(node)
		now_ms = os.time() * 1000
		local rule = "policies/30-rules.lua:4"
		decided { 900001, 1, 900037, now_ms - 3600000, now_ms, 37, "rule", "idle kernels", rule, "kernel", "fek-4700", "keep", "idle for 1 h",
			'{"idle":3600,"memory":734003200}', "idle > 2h", "act", "nothing", nil, 5 }
		decided { 900002, 1, 900038, now_ms, now_ms, 1, "rule", "idle kernels", rule, "kernel", "fek-4700", "retire", "idle for 3 h",
			'{"idle":10800}', "idle > 2h", "simulate", "would", nil, 5 }
		decided { 900003, 1, 900039, now_ms, now_ms, 1, "recycle", "wide", "policies/10-pools.lua:9", "kernel", "fek-4701", "retire",
			"an odd\27[31m reason", '{"tasks":2}', "recycle", "act", "failed: the kernel has gone", nil, 5 }
		decided { 900004, 1, 900040, now_ms, now_ms, 1, "pool", "wide", "policies/10-pools.lua:5", "pool", "wide", "set", "warm.min = 4",
			'{"waiting":3}', "warm.min", "act", "done", nil, 5 }
		decided { 900005, 1, 900041, now_ms, now_ms, 1, "access", "help", "policies/40-access.lua:1", "task", "t1", "deny", "not yours", nil, nil,
			"act", "done", "bob", 5 }
	end)
	teardown(function() work.clean(node, tasks) end)

	it("tells what was decided about a kernel, newest first: the answer, the line, the reason, the facts with their units, how often", function()
		local out, status = why "fek-4700"
		assert.equal(0, status, out)
		local first, second = out:match "^(.-)\n(%d%d:.*)$"
		assert.truthy(first:find("would have retired kernel fek-4700\n          idle for 3 h\n"
			.. '          by rule "idle kernels", policies/30-rules.lua:4 (policies version 5): idle > 2h\n          idle = 3 h', 1, true), out)
		assert.truthy(second:find("kept kernel fek-4700, 37 times since ", 1, true), out)
		assert.truthy(second:find("idle = 1 h, memory = 700 MB", 1, true), out)
		assert.same(out, (why("kernel", "fek-4700")))
	end)

	it("tells what a policy decided, with what became of it; texts of others are escaped", function()
		local out, status = why("recycle", "wide")
		assert.equal(0, status, out)
		assert.truthy(out:find("was unable to retire kernel fek-4701\n          an odd\\x1b[31m reason\n          the kernel has gone\n", 1, true), out)
	end)

	it("finds a pool's decisions by its name, with and without the word, newest first and once each", function()
		for _, words in ipairs { { "pool", "wide" }, { "wide" } } do
			local got = rows(table.unpack(words))
			assert.equal(2, #got)
			assert.equal("pool", got[1].word)
			assert.equal("recycle", got[2].word)
		end
	end)

	it("lists what rules that simulate would have done", function()
		local got = rows "--would"
		assert.equal(1, #got)
		assert.equal("fek-4700", got[1].subject)
		assert.same(got, rows("rule", "idle kernels", "--would"))
		local out, status = why("pool", "wide", "--would")
		assert.equal(4, status, out)
	end)

	it("keeps to --limit and says that there may be more; --all has all", function()
		local all = rows "--all"
		assert.truthy(#all >= 5)
		assert.equal(2, #rows("--limit", "2"))
		local out = why("--limit", "1")
		assert.truthy(out:find("There may be more", 1, true), out)
		assert.falsy(why("--all"):find("There may be more", 1, true))
	end)

	it("shows users what is theirs and everybody's alone", function()
		assert.equal(1, #rows("task", "t1"))
		local _, ann = node:http("POST", "/api/keys", { user = "ann" })
		local _, bob = node:http("POST", "/api/keys", { user = "bob" })
		local function seen(key)
			local _, got = node:http("GET", "/api/decisions?subject=t1", nil, { key = key.key })
			return #got
		end
		assert.equal(0, seen(ann))
		assert.equal(1, seen(bob))
	end)

	it("shows how a task is, or how it ended, on top", function()
		local id = work.start(node, "echo", { 1 })
		work.wait_end(node, id)
		local out, status = why(id)
		assert.equal(0, status, out)
		assert.truthy(out:find("task " .. id .. " is done", 1, true), out)
		id = work.start(node, "eat", { 2 << 30 })
		work.wait_end(node, id)
		out, status = why("task", id)
		assert.equal(0, status, out)
		assert.truthy(out:find("cause: oom_limit, limit 512 MB", 1, true), out)
		assert.truthy(out:find("peak ", 1, true), out)
	end)

	it("says what is recorded and since when where there is nothing, with exit 4", function()
		local out, status = why "fek-4711"
		assert.equal(4, status, out)
		assert.truthy(out:find("no decision about fek-4711 is recorded", 1, true), out)
		assert.truthy(out:find "Decisions are recorded since %d", out)
		out, status = why("rule", "no such rule")
		assert.equal(4, status, out)
		assert.truthy(out:find('rule "no such rule"', 1, true), out)
		local list, _, code = node:ctl("--json", "why", "fek-4711")
		assert.equal("[]", list)
		assert.equal(4, code)
	end)

	it("refuses a word that has no decisions, with the nearest that has", function()
		local out, status = why("rul", "x")
		assert.equal(2, status)
		assert.truthy(out:find('did you mean "rule"', 1, true), out)
	end)

	it("keeps its segments to itself", function()
		local p = io.popen("find " .. node.dir .. "/db/ledger ! -perm 0700 -type d -o ! -perm 0600 -type f | wc -l; ls -d " .. node.dir .. "/db/ledger")
		assert.equal(0, p:read "n")
		assert.truthy(p:read "a":find("/db/ledger", 1, true))
		p:close()
	end)
end)

describe("a running instance's decisions", function()
	local node, tasks

	-- rules that look often, a number that moves, a recycle function: each task's way is full of decisions
	local policies = [[
		pool "fek" {
			kernel = python { path = { %q } },
			limits = { memory = "256m" },
			warm = { min = function (pool) return pool.busy > 0 and 2 or 1 end, max = 3 }, max = 4,
			recycle = function (k)
				if k.tasks >= 2 then return retire("it ran " .. k.tasks .. " tasks") end
			end,
		}
		rule "old kernels" { each = "kernel", every = "1s", mode = "simulate", where = "state = idle and age > 1s", act = retire "{age} old" }
		rule "few" { each = "pool", every = "1s", where = "idle < 1", act = notify "{idle} idle" }
		slots "jobs" { each = "user", max = 4 }
		on "task.ended" { where = "state = done", act = notify { reason = "{subject} is done", level = "note" } }
	]]

	local function rows(...) return assert(json.decode((node:ctl("--json", "why", ...)))) end

	setup(function()
		tasks = work.tasks()
		node = Instance.new { policies = { ["10-all.lua"] = policies:format(tasks) } }
		node:start()
		work.full_pool(node)
		for i = 1, 6 do work.wait_end(node, work.start(node, "echo", { i })) end
	end)
	teardown(function() work.clean(node, tasks) end)

	it("tell why a kernel went, with the line, the reason and the facts that were read", function()
		local retired = helper.wait_for("a decision to retire", function()
			for _, row in ipairs(rows("recycle", "fek", "--all")) do
				if row.answer == "retire" then return row end
			end
		end, 20)
		assert.equal("kernel", retired.subjectKind)
		assert.truthy(retired.source:find "policies/10%-all.lua:%d+", retired.source)
		assert.equal("it ran 2 tasks", retired.reason)
		assert.same({ tasks = 2 }, retired.inputs)
		assert.equal(1, retired.version)
		local out = node:ctl("why", retired.subject)
		assert.truthy(out:find("retired kernel " .. retired.subject, 1, true), out)
	end)

	it("tell what a rule that simulates would have done", function()
		local would = helper.wait_for("a rule that would have", function() return rows("--would", "rule", "old kernels")[1] end, 20)
		assert.equal("would", would.outcome)
		assert.equal("retire", would.answer)
		assert.truthy(would.inputs.age > 1)
	end)

	it("of every word are decided the same when they are made again", function()
		helper.wait_for("decisions of each word", function()
			for _, word in ipairs { "pool", "recycle", "rule", "slots", "on" } do
				local _, got = node:http("GET", "/api/decisions?limit=1&word=" .. word)
				if #got == 0 then return nil, word end
			end
			return true
		end, 20)
		local out, complaints, status = node:ctl("--json", "policy", "replay")
		local r = assert(json.decode(out), out .. complaints)
		assert.same({}, r.differences)
		assert.equal(0, status)
		assert.truthy(r.replayed > 10, out)
		assert.equal(0, r.undecidable + r.unkept + r.gone, out)
	end)
end)
