-- Replay: an hour of a busy instance, accelerated: a clock that moves, facts that change, every decision recorded by the real ledger. The same
-- policies decide the same again; changed ones differ where they should.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local t_ledger = require "t_ledger"
local t_words = require "t_words"
require("t_bind").preload()
local engine = require "dss.model.engine"
local json = require "bind.json"
local load = require "dss.model.load"

local FILE = "policies/10-all.lua"
local POLICIES = [[
pool "fek" {
  kernel = command { "/bin/true" },
  limits = { memory = "1g" },
  warm = { min = function (pool)
    if pool.clock.hour < 7 then return 0 end
    return math.min(6, math.ceil(pool.demand * 3))
  end, max = 8 },
  max = 16,
  recycle = function (k)
    if k.age > seconds "20min" then return retire("its age is " .. k.age // 60 .. " min") end
    if k.memory > bytes "700m" then return retire "it holds {memory}" end
  end,
}
rule "idle kernels" { each = "kernel", every = "10s", where = "state = idle and idle > 5min", act = retire "idle for {idle}, {memory} held" }
rule "wide tasks" { each = "task", every = "10s", mode = "simulate", where = "running > 30min or (memory > 2g and priority < 5)",
  act = function (t) if t.user ~= "root" then return abort("too wide: " .. t.memory) end end }
rule "full" { each = "pool", every = "1min", where = "waiting > 3 and idle = 0", act = notify "{waiting} wait" }
slots "jobs of a project" { where = "priority < 8", each = "project", max = 5 }
slots "tags" { each = "tag:db-", max = function (key) return #key end }
on "task.ended" { where = "cause = oom_limit", act = notify "it was too large" }
access "operators" { users = { "olga" }, may = { "abort" }, where = "project = P1" }
]]

local START = 1700000000 -- a night, and the morning after it

--- Numbers that are the same in each run.
local function dice(seed)
	return function(n)
		seed = (seed * 1103515245 + 12345) & 0x7fffffff
		return (seed >> 8) % n
	end
end

describe("a replay", function()
	local node, l, roll, noted

	local function note(word, name, source, kind, subject, d)
		noted = noted + 1
		assert(l:note { word = word, name = name, source = source, kind = kind, subject = subject, answer = d.answer, reason = d.reason, inputs = d.inputs,
			threshold = d.threshold, outcome = d.outcome, mode = d.mode } > 0)
	end

	local function verdict(answer, reason, threshold, inputs, state)
		return { answer = answer, reason = reason, threshold = threshold, inputs = inputs, outcome = state == "act" and "done" or state == "failed" and "failed" or "nothing" }
	end

	local function kernel_of(i, now, minute)
		local idle = (minute * 60 + i * 37) % 700
		return {
			id = "fek-" .. i, unix_s = now, state = roll(3) == 0 and "busy" or "idle", idle = idle + 0.5, memory = roll(10) > 0 and roll(1100) << 20 or nil,
			tasks = roll(50), age = (minute * 60 + i * 100) % 2000, user = roll(2) == 0 and "bob" or "", pool = "fek",
		}
	end

	local function task_of(i, now)
		return {
			id = "task-" .. i, unix_s = now, state = "running", running = roll(4000) + 0.25, memory = roll(5) > 0 and roll(3000) << 20 or nil, priority = roll(10),
			user = roll(4) == 0 and "root" or "bob", project = roll(3) > 0 and ("P" .. roll(4)) or "", tags = { "db-" .. roll(3), "x" }, type = "python", pool = "fek",
		}
	end

	local function one_step(now, minute)
		local sources = engine.describe().rules
		local facts = { name = "fek", idle = roll(4), busy = roll(8), starting = 0, waiting = roll(8), alive = 8, demand = roll(200) / 64, cores = 4, total = 8 << 30,
			unix_s = now }
		for _, d in ipairs((select(7, engine.pool("fek", facts)))) do note("pool", "fek", d.source, "pool", "fek", d) end
		local i = roll(20)
		local _, _, _, d = engine.recycle("fek", kernel_of(i, now, minute))
		note("recycle", "fek", d.source, "kernel", "fek-" .. i, d)
		note("rule", "idle kernels", sources[1].source, "kernel", "fek-" .. i, verdict(engine.judge(1, kernel_of(i, now, minute))))
		note("rule", "wide tasks", sources[2].source, "task", "task-" .. i, verdict(engine.judge(2, task_of(i, now))))
		facts.id = "fek"
		note("rule", "full", sources[3].source, "pool", "fek", verdict(engine.judge(3, facts)))
		for _, p in ipairs(engine.place(task_of(i, now))) do
			note("slots", ({ "jobs of a project", "tags" })[p.rule], FILE, "task", "task-" .. i,
				{ answer = p.key and "assign" or "keep", reason = p.reason or p.failure, threshold = p.threshold, inputs = p.inputs })
		end
		if roll(5) == 0 then
			local detail = json.encode { state = "killed", cause = roll(2) == 0 and "oom_limit" or "deadline", attempt = 1, kernel = "fek-" .. i }
			note("on", "task.ended", engine.describe().events[1].source, "task", "task-" .. i, verdict(engine.event(1, "task-" .. i, "bob", detail, now)))
			local ok, name, source, threshold, inputs = engine.access("olga", "abort", task_of(i, now))
			if name then note("access", name, source, "task", "task-" .. i, { answer = ok and "allow" or "deny", threshold = threshold, inputs = inputs }) end
		end
	end

	local function keep_version(n, text)
		local texts = json.encode(json.array { { name = FILE, text = text } })
		assert(t_words.sql(node.dir .. "/db/dss.sqlite", ("INSERT INTO policy_version (version, taken_ms, hash, text) VALUES (%d, 1, 'x', CAST('%s' AS BLOB))")
			:format(n, (texts:gsub("'", "''")))))
	end

	setup(function()
		node = Instance.new {}
		local why
		l, why = t_ledger.open(node.dir .. "/db/dss.sqlite", { dir = node.dir .. "/db/ledger" })
		assert(l, why)
		roll, noted = dice(42), 0
		assert(load.evaluate({ { name = FILE, text = POLICIES } }, { share = "/usr/share/dssd" }))
		l:version(1)
		for second = 0, 3599, 4 do
			one_step(START + 6 * second, second // 60) -- six hours' clock within the hour: the night ends in it
			if second % 600 == 0 then l:read { limit = 1 } end
		end
		-- what the core decides by itself, what failed then, and what was decided by a version that is gone
		note("budget", "node", "core", "node", "node", { answer = "wait", reason = "no memory", inputs = '{"free":1}' })
		note("pool", "fek", FILE .. ":4", "pool", "fek", { answer = "keep", reason = FILE .. ":5: broken", threshold = "warm.min", inputs = "{}", outcome = "failed" })
		l:version(99)
		note("rule", "idle kernels", FILE, "kernel", "fek-1", { answer = "keep", inputs = "{}" })
		l:close()
		keep_version(1, POLICIES)
	end)
	teardown(function() node:remove() end)

	local function replay(...)
		local out, complaints, status = Instance.run_apart({ Instance.program "dssd", "replay", node.dir, "--json", ... }, Instance.environment())
		local r = json.decode(out)
		return assert(r, out .. complaints), status
	end

	--- The policies with one text in the place of another, in a folder of their own.
	local function other(from, to)
		local at = POLICIES:find(from, 1, true)
		assert(at, from)
		os.execute("mkdir -p " .. node.dir .. "/other")
		helper.write(node.dir .. "/other/10-all.lua", POLICIES:sub(1, at - 1) .. to .. POLICIES:sub(at + #from))
		return "--policies", node.dir .. "/other"
	end

	local function by_name(differences)
		local out = {}
		for _, d in ipairs(differences) do out[d.word .. " " .. d.name] = (out[d.word .. " " .. d.name] or 0) + 1 end
		return out
	end

	it("of the same policies gives exactly what was recorded", function()
		local r, status = replay()
		assert.same({}, r.differences)
		assert.equal(0, r.differ)
		assert.equal(0, status)
		assert.equal(noted - 3, r.replayed)
		assert.truthy(r.replayed > 4000, r.replayed)
		assert.same({ 1, 1, 1, 0, 0 }, { r.core, r.failed, r.unkept, r.gone, r.undecidable })
	end)

	it("has seen every word answer in more than one way", function()
		local answers = {}
		for line in io.popen("cat " .. node.dir .. "/db/ledger/*.jsonl"):lines() do
			local d = json.decode(line)
			if d.word then
				answers[d.word] = answers[d.word] or { n = 0 }
				local said = d.word == "pool" and d.reason or d.word == "slots" and d.reason or d.answer
				if not answers[d.word][said] then answers[d.word][said], answers[d.word].n = true, answers[d.word].n + 1 end
			end
		end
		for _, word in ipairs { "pool", "recycle", "rule", "slots", "on" } do assert.truthy(answers[word] and answers[word].n > 1, word) end
		assert.truthy(answers.access)
	end)

	it("of a changed threshold differs there, and nowhere else", function()
		local r, status = replay("--limit", "10000", other("idle > 5min", "idle > 6min"))
		assert.equal(1, status)
		assert.truthy(r.differ > 0)
		local at = 0
		for _, d in ipairs(r.differences) do
			assert.equal("rule idle kernels", d.word .. " " .. d.name)
			assert.equal("retire", d.recorded.answer)
			assert.equal("keep", d.now.answer)
			assert.truthy(d.inputs.idle > 300 and d.inputs.idle <= 360, d.inputs.idle)
			at = at + 1
		end
		assert.equal(r.differ, at)
	end)

	it("of a changed number differs in that number", function()
		local r = replay("--limit", "10000", other("math.min(6,", "math.min(4,"))
		assert.same({ "pool fek" }, { next(by_name(r.differences)) and (next(by_name(r.differences))) })
		for _, d in ipairs(r.differences) do
			assert.truthy(d.recorded.reason == "warm.min = 5" or d.recorded.reason == "warm.min = 6", d.recorded.reason)
			assert.equal("warm.min = 4", d.now.reason)
		end
	end)

	it("counts what asks for facts that were not recorded as not decidable, and what is gone as that", function()
		local r = replay(other("state = idle and idle > 5min", "peak > 1m"))
		assert.truthy(r.undecidable > 500, r.undecidable)
		assert.equal(0, r.differ)
		r = replay(other('rule "full"', 'rule "fuller"'))
		assert.equal(900, r.gone)
		assert.equal(0, r.differ)
	end)

	it("tells people the first differences with file, line, subject, then and now", function()
		local args = table.pack(other("idle > 5min", "idle > 6min"))
		local out, _, status = Instance.run_apart({ Instance.program "dssd", "replay", node.dir, "--limit", "2", table.unpack(args) }, Instance.environment())
		assert.equal(1, status)
		assert.truthy(out:find "^%d+ decisions replayed, %d+ differ\n", out)
		assert.truthy(out:find('policies/10%-all.lua:14: rule "idle kernels" about kernel fek%-%d+ at 20'), out)
		assert.truthy(out:find("recorded: retire: idle for 5 min", 1, true), out)
		assert.truthy(out:find("now:      keep\n", 1, true), out)
		assert.truthy(out:find("… and %d+ more"), out)
	end)

	it("is a verb of dssctl, with its exit codes", function()
		-- as a backend writes it: root replays as its user
		assert(os.execute(("chown -R --reference=%s/db %s/db"):format(node.dir, node.dir)))
		local out, complaints, status = node:ctl("policy", "replay")
		assert.truthy(out:find(", 0 differ\n", 1, true), out .. complaints)
		assert.equal(0, status)
		out, complaints, status = node:ctl("--json", "policy", "replay", other("idle > 5min", "idle > 6min"))
		assert.truthy(json.decode(out).differ > 0, complaints)
		assert.equal(1, status)
		assert.equal(2, (select(3, node:ctl("policy", "replay", "--since", "soon"))))
	end)

	it("leaves out what is older than --since", function()
		assert.equal(0, replay("--since", "0s").replayed)
		assert.truthy(replay("--since", "1h").replayed > 4000)
	end)

	it("refuses policies that have a mistake, with file and line", function()
		local _, complaints, status = Instance.run_apart({ Instance.program "dssd", "replay", node.dir, other("idle > 5min", "idel > 5min") }, Instance.environment())
		assert.equal(1, status)
		assert.truthy(complaints:find("policies/10-all.lua:14: ", 1, true), complaints)
		complaints = select(2, Instance.run_apart({ Instance.program "dssd", "replay", node.dir, "--policies", node.dir .. "/none" }, Instance.environment()))
		assert.truthy(complaints:find("unable to list " .. node.dir .. "/none", 1, true), complaints)
	end)
end)
