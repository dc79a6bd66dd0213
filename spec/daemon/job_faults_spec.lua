-- Parts of the node are killed while a job is at work: recipe, backend, logger, keeper. Kernels: job_moments_spec.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local json = require "t_json"
local job_work = require "spec.daemon.job_work"
local wait_for = helper.wait_for

local node, jobs

local function open()
	node = Instance.new { policies = { ["10-pools.lua"] = job_work.pools "warm = { min = 1, max = 1 }, max = 2," } }
	jobs = job_work.of(node)
	node:start()
end

--- Pids whose parent is that one.
local function children(pid)
	local found = {}
	for child in (helper.read(("/proc/%d/task/%d/children"):format(pid, pid)) or ""):gmatch "%d+" do found[#found + 1] = tonumber(child) end
	return found
end

--- How often the line stands in the file that recipes append to.
local function count(path, line)
	local n = 0
	for l in (helper.read(path) or ""):gmatch "[^\n]+" do n = n + (l == line and 1 or 0) end
	return n
end

describe("a job at work", function()
	if not job_work.has_java then return pending("with job kernels: there is no JDK") end
	after_each(function()
		if node then node:remove() node = nil end
	end)

	it("fails with the signal where its recipe is killed from outside, the program or what watches its output", function()
		open()
		jobs:project("OUT", [[project { recipes = {
  a = shell { command = "echo half > data/x/x; echo begun; sleep 60; echo whole > data/x/x", outputs = { "x" } },
  b = shell { command = "true", inputs = { "x" }, outputs = { "y" } },
} }]])
		for _, victim in ipairs { "program", "watcher" } do
			local job = jobs:start("OUT", "y")
			wait_for("the recipe's first word", function() return jobs:log("OUT", job):find "%- begun\n" end, 40)
			local pid = math.tointeger(jobs:processes("recipe")[1].pid)
			jobs:signal(victim == "program" and children(pid)[1] or pid, "KILL")
			local s = jobs:ended("OUT", job)
			local a = s.baseStatus.activities
			assert.same({ "FAILED", "FAILED", "SKIPPED", "signal" }, { s.baseStatus.state, a.a_NP.state, a.b_NP.state, a.a_NP.cause }, json.encode(s))
			assert.truthy(a.a_NP.firstFailure.message:find('Recipe "a" was ended (signal)', 1, true), a.a_NP.firstFailure.message)
			jobs:nothing_left()
			for _, line in pairs(node:processes()) do assert.falsy(line:find "^sleep 60", victim) end
			assert.equal("the last build of x did not end well", jobs:status("OUT", (function()
				local again = jobs:start("OUT", "x")
				jobs:wait_activity("OUT", again, "a", "RUNNING")
				jobs:abort("OUT", again)
				jobs:ended("OUT", again)
				return again
			end)()).baseStatus.activities.a_NP.why)
		end
	end)

	it("goes on through ten backends, each killed, and runs each recipe once", function()
		open()
		local dir = jobs:project("TEN")
		jobs:project("TEN", ([[
local function step(n, inputs)
  return shell { command = ("echo ran-%%d >> marks; echo said-%%d; %s; echo 1 > data/d%%d/x"):format(n, n, n, n), inputs = inputs, outputs = { "d" .. n } }
end
local recipes = { s1 = step(1) }
for n = 2, 5 do recipes["s" .. n] = step(n, { "d" .. n - 1 }) end
project { recipes = recipes }]]):format((job_work.wait_gate "%d")))
		local job = jobs:start("TEN", "d5")
		for kill = 1, 10 do
			local step = (kill + 1) // 2
			wait_for("recipe " .. step, function() return count(dir .. "/marks", "ran-" .. step) == 1 end, 40)
			-- at work in one half of them; while its end and the next one's order are under way in the other
			if kill % 2 == 0 then jobs:open_gate("TEN", step) end
			local old = node:kill "backend"
			node:dss("restart", "backend") -- does not wait for the pause between crashes
			jobs:wait_backend(old)
		end
		local s = jobs:ended("TEN", job)
		assert.same({ "DONE", 5, 5 }, { s.baseStatus.state, s.globalState.done, s.globalState.total }, json.encode(s) .. jobs:log("TEN", job))
		for n = 1, 5 do
			assert.equal(1, count(dir .. "/marks", "ran-" .. n))
			assert.equal(1, select(2, jobs:log("TEN", job):gsub("%- said%-" .. n .. "\n", "")))
		end
		assert.equal("", (jobs:rebuilt("TEN", "d5")))
		jobs:nothing_left()
	end)

	it("has its log in order and whole but for the chunk that a killed logger held", function()
		open()
		local KILLS, BURST, WIDTH = 3, 70000, 100 -- together under the 50 MB that a job's log keeps whole
		local dir = jobs:project("LOUD", [[project { recipes = { a = python { script = "a.py", outputs = { "x" } } } }]], { ["gates/.keep"] = "", ["a.py"] = ([[
import os, time
n = 0
for burst in range(1, %d + 2):
    for turn in range(3000):
        if os.path.exists("gates/%%d" %% burst): break
        time.sleep(0.02)
    for block in range(%d // 500):
        lines = ["%%08d %%s\n" %% (n + i, "x" * %d) for i in range(500)]
        n += 500
        data = "".join(lines).encode()
        while data: data = data[os.write(1, data):]
]]):format(KILLS, BURST, WIDTH - 10) })
		local LINES = (KILLS + 1) * BURST
		local job = jobs:start("LOUD", "x")
		jobs:wait_activity("LOUD", job, "a", "RUNNING")
		local function log_size()
			local f = io.open(("%s/jobs/LOUD/%s/output.log"):format(node.dir, job))
			local size = f and f:seek "end" or 0
			if f then f:close() end
			return size
		end
		for kill = 1, KILLS do
			local before, old = log_size(), node:pid "logger"
			helper.write(dir .. "/gates/" .. kill, "")
			wait_for("output", function() return log_size() > before + 1e6 end)
			jobs:signal(old, "KILL")
			wait_for("another logger", function()
				local p = node:status().by.logger
				return p.pid and p.pid ~= old and p.state == "ready"
			end, 30)
		end
		helper.write(dir .. "/gates/" .. KILLS + 1, "")
		local s = jobs:ended("LOUD", job, 90)
		assert.equal("DONE", s.baseStatus.state, json.encode(s))
		local text = jobs:log("LOUD", job)
		local seen, last, lost, gaps = 0, -1, 0, 0
		for n in text:gmatch "%- (%d%d%d%d%d%d%d%d) x+\n" do
			n = tonumber(n)
			assert.truthy(n > last, ("line %d stands after %d"):format(n, last))
			if n > last + 1 then gaps, lost = gaps + 1, lost + n - last - 1 end
			seen, last = seen + 1, n
		end
		assert.equal(LINES - 1, last)
		assert.equal(LINES, seen + lost)
		-- 64 KB read at a time, of lines with a prefix: and one torn at each end
		assert.truthy(gaps <= KILLS, ("%d gaps, %d kills"):format(gaps, KILLS))
		assert.truthy(lost <= KILLS * (65536 // WIDTH + 2), ("%d lines lost by %d kills"):format(lost, KILLS))
	end)

	it("is told as lost after its keeper was killed; nothing of it is left, nothing half-built is shown as built", function()
		open()
		local dir = jobs:project("LOST", [[project { recipes = {
  a = shell { command = "echo 1 > data/x/x", outputs = { "x" } },
  b = shell { command = "echo half > data/y/y; echo ran >> marks; sleep 60", inputs = { "x" }, outputs = { "y" } },
} }]])
		local job = jobs:start("LOST", "y")
		wait_for("the recipe", function() return count(dir .. "/marks", "ran") == 1 end, 40)
		local waiting = jobs:start("LOST", "x", "NON_RECURSIVE_FORCED_BUILD")
		local old, keeper = node:processes(), node:kill "keeper"
		wait_for("the keeper's end", function() return not helper.read(("/proc/%d/cmdline"):format(keeper)) end)
		node:start()
		for pid, line in pairs(node:processes()) do assert.is_nil(old[pid], ("%d %s is left"):format(pid, line)) end
		local s = jobs:ended("LOST", job)
		local a = s.baseStatus.activities
		assert.same({ "FAILED", "lost", "DONE", "FAILED", "lost" },
			{ s.baseStatus.state, s.baseStatus.unexpectedFailure.cause, a.a_NP.state, a.b_NP.state, a.b_NP.cause }, json.encode(s))
		-- one that waited, or had just begun, comes to an end as well
		assert.truthy(jobs:ended("LOST", waiting).baseStatus.state:find "^%u+$")
		jobs:nothing_left()
		assert.equal(1, count(dir .. "/marks", "ran"))
		helper.write(dir .. "/project.lua", [[project { recipes = {
  a = shell { command = "echo 1 > data/x/x", outputs = { "x" } },
  b = shell { command = "echo whole > data/y/y", inputs = { "x" }, outputs = { "y" } },
} }]])
		assert.truthy(jobs:rebuilt("LOST", "y"):find "b$")
		assert.equal("whole\n", helper.read(dir .. "/data/y/y"))
	end)

	it("goes on while its keeper replaces itself, with kernel, recipe, log and box", function()
		open()
		local dir = jobs:project("STAY")
		jobs:project("STAY", ([[project { recipes = {
  a = shell { command = "echo ran >> marks; echo before; %s; echo after; echo 1 > data/x/x", outputs = { "x" } },
  b = shell { command = "echo then; echo 1 > data/y/x", inputs = { "x" }, outputs = { "y" } },
} }]]):format(job_work.wait_gate "go"))
		local job = jobs:start("STAY", "y")
		wait_for("the recipe's first word", function() return jobs:log("STAY", job):find "%- before\n" end, 40)
		local pid, kernel = jobs:processes("recipe")[1].pid, jobs:status("STAY", job).baseStatus.kernelPid
		for _ = 1, 2 do
			local out, code = node:dss("restart", "keeper")
			assert.equal(0, code, out)
		end
		jobs:wait_backend()
		assert.equal(pid, jobs:processes("recipe")[1].pid)
		jobs:open_gate("STAY", "go")
		local s = jobs:ended("STAY", job)
		assert.same({ "DONE", 2, kernel }, { s.baseStatus.state, s.globalState.done, s.baseStatus.kernelPid }, json.encode(s))
		for _, word in ipairs { "before", "after", "then" } do
			assert.equal(1, select(2, jobs:log("STAY", job):gsub("%- " .. word .. "\n", "")), word)
		end
		assert.equal(1, count(dir .. "/marks", "ran"))
		jobs:nothing_left()
	end)
end)
