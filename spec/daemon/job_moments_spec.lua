-- A job that is aborted, or whose kernel is killed, at each moment of its life. The moment is made sure by facts: gates that recipes wait
-- for, a kernel or a keeper that is stopped while it would go on.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local json = require "t_json"
local job_work = require "spec.daemon.job_work"
local wait_for = helper.wait_for

local node, jobs

-- first → second, gate → third. What stands in <…> is filled in for each round.
local PROJECT = [[
project { recipes = {
  first = shell { command = "echo begun-first; <wait first>; echo 1 > data/one/x", outputs = { "one" } },
  second = shell { command = "echo begun-second; <wait second>; echo 1 > data/two/x", inputs = { "one" }, outputs = { "two" } },
  gate = java { class = "spec.Gate", classpath = { "lib/gate.jar" }, params = { gate = "<dir>/gates/java" }, outputs = { "passed" } },
  third = shell { command = "echo begun-third; sleep 60", inputs = { "passed" }, outputs = { "three" } },
} }]]

local function frozen_kernel(key, job)
	local pid = wait_for("its kernel", function()
		local s = jobs:status(key, job)
		return s and s.baseStatus.kernelPid and s.baseStatus.kernelPid > 0 and s.baseStatus.kernelPid
	end)
	jobs:signal(pid, "STOP")
	return pid
end

--- Each brings a job of the project to its moment; returns the job, a function that lets things go on, the kernel's pid if there is one.
local moments = {
	{ "queued", function(key)
		-- its pool is taken by jobs that wait at a gate
		jobs:project("HOLD", ([[project { recipes = { a = shell { command = "echo begun; %s", outputs = { "x" } } } }]]):format(job_work.wait_gate "hold"))
		os.execute("rm -f " .. Instance.quote(node.dir .. "/projects/HOLD/gates/hold"))
		local holder = jobs:start("HOLD", "x", "NON_RECURSIVE_FORCED_BUILD")
		jobs:wait_activity("HOLD", holder, "a", "RUNNING")
		local job = jobs:start(key, "two")
		wait_for("a place in the line", function()
			local s = jobs:status(key, job)
			return s and s.baseStatus.state == "WAITING" and s.baseStatus.reason
		end)
		return job, function()
			jobs:open_gate("HOLD", "hold")
			assert.equal("DONE", jobs:ended("HOLD", holder).baseStatus.state)
		end
	end, built = "" },
	{ "assigned", function(key)
		-- the kernel has its task in its socket, and does not read it
		local pid = jobs:processes("kernel")[1].pid
		jobs:signal(pid, "STOP")
		local job = jobs:start(key, "two")
		wait_for("it to be assigned", function()
			local state = jobs:future(key, job)
			return state == "assigned", state
		end)
		return job, function() jobs:signal(pid, "CONT") end, pid
	end, built = "" },
	{ "in its first activity", function(key)
		local job = jobs:start(key, "two")
		wait_for("the recipe's first word", function() return jobs:log(key, job):find "begun%-first" end, 40)
		return job, nil, jobs:status(key, job).baseStatus.kernelPid
	end, built = "" },
	{ "between two activities", function(key)
		-- the first has ended, and the kernel that would ask for the second is stopped
		local job = jobs:start(key, "two")
		wait_for("the recipe's first word", function() return jobs:log(key, job):find "begun%-first" end, 40)
		local pid = frozen_kernel(key, job)
		jobs:open_gate(key, "first")
		jobs:wait_activity(key, job, "first", "DONE")
		assert.equal("NOT_STARTED", jobs:activity(key, job, "second").state)
		return job, function() jobs:signal(pid, "CONT") end, pid
	end, built = "one" },
	{ "while a process is being ordered", function(key)
		-- a recipe in the kernel itself ends while the keeper is stopped: the order for the next waits in the keeper's socket
		local job = jobs:start(key, "three")
		wait_for("the gate in the kernel", function() return jobs:log(key, job):find "java begun" end, 40)
		local keeper, pid = node:kill("keeper", "STOP"), jobs:status(key, job).baseStatus.kernelPid
		jobs:open_gate(key, "java")
		local ok, why = pcall(wait_for, "the order", function()
			local s, text = jobs:status(key, job)
			local a = s and s.baseStatus.activities
			return a and a.gate_NP.state == "DONE" and a.third_NP.state == "RUNNING", text
		end, 20)
		if not ok then
			jobs:signal(keeper, "CONT")
			error(why)
		end
		return job, function() jobs:signal(keeper, "CONT") end, pid
	end, built = "passed", output = "three" },
	{ "in its last activity", function(key)
		jobs:open_gate(key, "first")
		local job = jobs:start(key, "two")
		wait_for("the recipe's first word", function() return jobs:log(key, job):find "begun%-second" end, 40)
		return job, nil, jobs:status(key, job).baseStatus.kernelPid
	end, built = "one" },
	{ "when all is done and its kernel has not said so", function(key)
		jobs:open_gate(key, "first")
		local job = jobs:start(key, "two")
		wait_for("the recipe's first word", function() return jobs:log(key, job):find "begun%-second" end, 40)
		local pid = frozen_kernel(key, job)
		jobs:open_gate(key, "second")
		jobs:wait_activity(key, job, "second", "DONE")
		return job, function() jobs:signal(pid, "CONT") end, pid
	end, built = "one two", may_be_done = true },
}

local GATE = [[
package spec;
import dss.FutureThread;
import java.nio.file.*;
public class Gate implements FutureThread<Integer> {
	String gate;
	public Integer run() throws Exception {
		System.out.println("java begun");
		for (int i = 0; i < 3000 && !Files.exists(Path.of(gate)); i++) Thread.sleep(20);
		return 1;
	}
}
]]

describe("a job", function()
	if not job_work.has_java then return pending("with job kernels: there is no JDK") end

	local jar
	setup(function()
		local build = Instance.folder()
		helper.write(build .. "/Gate.java", GATE)
		local kernel = (os.getenv "DSS_BUILD" or "build") .. "/java/dss-kernel.jar"
		local said, status = Instance.run { "sh", "-c", 'cd "$1" && javac --release 17 -cp "$2" -d classes Gate.java && jar --create --file gate.jar -C classes .', "sh", build,
			kernel:sub(1, 1) == "/" and kernel or (Instance.run { "pwd" }) .. "/" .. kernel }
		assert(status == 0, said)
		jar = helper.read(build .. "/gate.jar")
		Instance.remove_folder(build)
		node = Instance.new { policies = { ["10-pools.lua"] = job_work.pools "warm = { min = 1, max = 1 }, max = 1," } }
		jobs = job_work.of(node)
		node:start()
	end)
	teardown(function() node:remove() end)

	local round = 0

	--- A project of this round's own, without gates.
	local function new_project()
		round = round + 1
		local key = "M" .. round
		local dir = jobs:project(key)
		local text = PROJECT:gsub("<wait (%w+)>", function(name) return job_work.wait_gate(name) end):gsub("<dir>", dir)
		jobs:project(key, text, { ["lib/gate.jar"] = jar })
		return key
	end

	--- What is told as built is built, nothing else: another build runs what is not. built: recipes that had ended well.
	local function check_datasets(key, output, built)
		for _, gate in ipairs { "first", "second", "java" } do jobs:open_gate(key, gate) end
		local all = output == "three" and { passed = "gate" } or { one = "first", two = "second" }
		for _, name in ipairs { "passed", "one", "two" } do
			if all[name] then
				local ran = jobs:rebuilt(key, name)
				local is_built = (" " .. built .. " "):find(" " .. name .. " ", 1, true) ~= nil
				assert.equal(is_built and "" or all[name], ran, name)
			end
		end
	end

	for _, moment in ipairs(moments) do
		it("is aborted " .. moment[1] .. ": it ends once, with all of it and nothing else", function()
			jobs:wait_idle()
			local key = new_project()
			local job, go_on = moment[2](key)
			local other = jobs:processes "recipe"
			assert.equal(200, jobs:abort(key, job))
			if go_on and moment[1] ~= "queued" then go_on() end
			local s = jobs:ended(key, job)
			local state = s.baseStatus.state
			if not (moment.may_be_done and state == "DONE") then assert.equal("ABORTED", state, json.encode(s) .. jobs:log(key, job)) end
			for id, a in pairs(s.baseStatus.activities) do
				assert.truthy(a.state == "DONE" or a.state == "ABORTED", id .. " " .. a.state)
				if a.state ~= "DONE" then assert.equal("ABORTED", state) end
			end
			if moment[1] == "queued" then
				assert.equal(1, #other)
				assert.equal(1, #jobs:processes "recipe")
				assert.equal(0, s.baseStatus.startTime)
				go_on()
			end
			jobs:nothing_left()
			-- told once and for all
			assert.equal(state, jobs:status(key, job).baseStatus.state)
			jobs:abort(key, job)
			assert.equal(state, jobs:status(key, job).baseStatus.state)
			check_datasets(key, moment.output or "two", moment.built)
		end)
	end

	for _, moment in ipairs(moments) do
		if moment[1] ~= "queued" then
			it("fails with the cause where its kernel is killed " .. moment[1], function()
				jobs:wait_idle()
				local key = new_project()
				local job, go_on, pid = moment[2](key)
				assert.truthy(pid)
				jobs:signal(pid, "KILL")
				if go_on and moment[1] == "while a process is being ordered" then go_on() end
				local s = jobs:ended(key, job)
				assert.same({ "FAILED", "signal" }, { s.baseStatus.state, s.baseStatus.unexpectedFailure.cause }, json.encode(s))
				for id, a in pairs(s.baseStatus.activities) do
					assert.truthy(a.state ~= "RUNNING" and a.state ~= "WAITING" and a.state ~= "NOT_STARTED", id .. " " .. a.state)
				end
				jobs:nothing_left()
				check_datasets(key, moment.output or "two", moment.built)
			end)
		end
	end

	it("is done or aborted, never both, however late the abort comes", function()
		local key = "RACE"
		jobs:project(key, [[project { recipes = { a = shell { command = "echo ran; echo 1 > data/x/x", outputs = { "x" } } } }]])
		jobs:wait_idle()
		local seen = {}
		for late = 1, 12 do
			local job = jobs:start(key, "x", "NON_RECURSIVE_FORCED_BUILD")
			for _ = 1, late do jobs:status(key, job) end
			jobs:abort(key, job)
			local s = jobs:ended(key, job)
			local state, a = s.baseStatus.state, s.baseStatus.activities.a_NP.state
			seen[state] = true
			assert.truthy(state == "DONE" or state == "ABORTED", json.encode(s))
			if state == "DONE" then assert.equal("DONE", a) end
			local ran = jobs:rebuilt(key, "x")
			assert.equal(a ~= "DONE", ran == "a", ("job %s, activity %s, run anew: %q"):format(state, a, ran))
			assert.same({ state, a }, { jobs:status(key, job).baseStatus.state, jobs:activity(key, job, "a").state })
		end
		assert.truthy(next(seen))
		jobs:nothing_left()
	end)
end)
