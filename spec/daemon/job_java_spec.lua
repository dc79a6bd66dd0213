-- Java recipes: classes of the project's own jar, run in the job's kernel, end to end.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local json = require "t_json"
local job_work = require "spec.daemon.job_work"
local wait_for = helper.wait_for

-- One file for each class; all in the package "spec".
local CLASSES = {
	-- writes the sum of 1 … n, says what it did on both streams, also from a thread of its own
	Sum = [[
public class Sum implements FutureThread<Long> {
	int n;
	String file;
	public Long run() throws Exception {
		long sum = 0;
		for (int i = 1; i <= n; i++) sum += i;
		long told = sum;
		Thread helper = new Thread(() -> System.out.println("from a thread: " + told));
		helper.start();
		helper.join();
		System.out.println("sum of " + n);
		System.err.println("to standard error");
		Files.writeString(Path.of(file), sum + "\n");
		return sum;
	}
}]],
	Throws = [[
public class Throws implements FutureThread<Void> {
	public Void run() { System.out.println("before"); return deeper(); }
	private Void deeper() { throw new IllegalStateException("no rows in orders", new RuntimeException("the root of it")); }
}]],
	-- ends by an interrupt, and tells so
	Loops = [[
public class Loops implements FutureThread<Void> {
	public Void run() throws Exception {
		System.out.println("begun");
		for (long i = 0; !Progress.isAborted(); i++) if (Thread.interrupted()) throw new InterruptedException("after " + i);
		return null;
	}
}]],
	-- neither interrupt nor question ends it
	Deaf = [[
public class Deaf implements FutureThread<Void> {
	static volatile long i;
	public Void run() {
		System.out.println("begun");
		while (true) i++;
	}
}]],
	-- each of two waits until the other is there: only at the same time they end
	Meets = [[
public class Meets implements FutureThread<Void> {
	String mine, other;
	public Void run() throws Exception {
		Files.writeString(Path.of(mine), "here");
		for (int i = 0; !Files.exists(Path.of(other)); i++) {
			if (i == 3000) throw new IllegalStateException("nobody came");
			Thread.sleep(10);
		}
		for (int i = 0; i < 200; i++) System.out.println(mine.substring(mine.lastIndexOf('/') + 1) + " line " + i);
		return null;
	}
}]],
}

local node, jobs, jar

describe("java recipes", function()
	if not job_work.has_java then return pending("with job kernels: there is no JDK") end

	setup(function()
		local build = Instance.folder()
		local argv = {}
		for name, text in pairs(CLASSES) do
			helper.write(("%s/%s.java"):format(build, name), "package spec;\nimport dss.*;\nimport java.nio.file.*;\n" .. text)
			argv[#argv + 1] = name .. ".java"
		end
		local kernel = helper.build .. "/java/dss-kernel.jar"
		if kernel:sub(1, 1) ~= "/" then kernel = (Instance.run { "pwd" }) .. "/" .. kernel end
		local said, status = Instance.run { "sh", "-c", 'cd "$1" && shift && classes=$1 && shift && javac --release 17 -cp "$classes" -d classes "$@" && jar --create --file out.jar -C classes .',
			"sh", build, kernel, table.unpack(argv) }
		assert(status == 0, said)
		jar = helper.read(build .. "/out.jar")
		Instance.remove_folder(build)
		node = Instance.new { policies = { ["10-pools.lua"] = job_work.pools "warm = { min = 1, max = 2 }, max = 2," } }
		jobs = job_work.of(node)
		node:start()
	end)
	teardown(function() node:remove() end)

	local function project(key, recipes)
		local dir = jobs:project(key)
		jobs:project(key, ("local dir = %q\nlocal function own(name, more)\n  more.class, more.classpath = 'spec.' .. name, { 'lib/own.jar' }\n  return java(more)\nend\nproject { recipes = {\n%s\n} }\n")
			:format(dir, recipes), { ["lib/own.jar"] = jar })
		return dir
	end

	it("run in their kernel and tell of themselves line by line; python goes on with what they made", function()
		local dir = project("MIXED", [[
  sum = own("Sum", { outputs = { "total" }, params = { n = 1000, file = dir .. "/data/total/x" } }),
  twice = python { script = "twice.py", inputs = { "total" }, outputs = { "doubled" } },
]])
		jobs:project("MIXED", nil, { ["twice.py"] = "n = int(open('data/total/x').read())\nopen('data/doubled/x', 'w').write(str(2 * n))\nprint('doubled', n)\n" })
		local job = jobs:start("MIXED", "doubled")
		local s = jobs:ended("MIXED", job)
		local a, log = s.baseStatus.activities, jobs:log("MIXED", job)
		assert.same({ "DONE", "DONE", "DONE" }, { s.baseStatus.state, a.sum_NP.state, a.twice_NP.state }, json.encode(s) .. log)
		assert.same({ "java", "python" }, { a.sum_NP.recipeType, a.twice_NP.recipeType })
		assert.is_nil(a.sum_NP.processId)
		assert.truthy(a.twice_NP.processId)
		assert.truthy(a.sum_NP.startTime > 0 and a.sum_NP.endTime >= a.sum_NP.startTime and a.twice_NP.startTime >= a.sum_NP.endTime)
		assert.equal("1001000", helper.read(dir .. "/data/doubled/x"))
		-- each line with its activity and stream, also those of its own threads
		for _, line in ipairs { "%[act%.sum_NP%] %[INFO%] %[recipe%.out%]  %- sum of 1000\n", "%[act%.sum_NP%] %[INFO%] %[recipe%.err%]  %- to standard error\n",
			"%[act%.sum_NP%] %[INFO%] %[recipe%.out%]  %- from a thread: 500500\n", "%[act%.twice_NP%]  %- doubled 500500\n" } do
			assert.truthy(log:find(line), line .. log)
		end
		local status, part = node:http("GET", jobs.path("MIXED", job .. "/log?activity=sum_NP"))
		assert.equal(200, status)
		assert.truthy(part:find("sum of 1000", 1, true))
		assert.falsy(part:find("doubled", 1, true))
		assert.equal("", (jobs:rebuilt("MIXED", "doubled")))
	end)

	it("fail with class, message and stack, and what depends on them is skipped", function()
		project("THROW", [[
  bad = own("Throws", { outputs = { "half" } }),
  after = shell { command = "true", inputs = { "half" }, outputs = { "never" } },
]])
		local job = jobs:start("THROW", "never")
		local s = jobs:ended("THROW", job)
		local a, log = s.baseStatus.activities, jobs:log("THROW", job)
		assert.same({ "FAILED", "FAILED", "SKIPPED" }, { s.baseStatus.state, a.bad_NP.state, a.after_NP.state }, json.encode(s))
		assert.truthy(a.bad_NP.firstFailure.message:find("IllegalStateException: no rows in orders", 1, true), a.bad_NP.firstFailure.message)
		assert.truthy(s.errorMessage:find("no rows in orders", 1, true), s.errorMessage)
		local failure = s.baseStatus.unexpectedFailure
		assert.truthy((failure.stackTraceStr or ""):find("Throws.java", 1, true), json.encode(failure))
		assert.truthy(log:find("%[act%.bad_NP%][^\n]*at task//spec%.Throws%.deeper"), log)
		assert.truthy(log:find("the root of it", 1, true), log)
		-- the kernel lives on: the next job runs, and the output is not taken as built
		assert.equal("after bad", (jobs:rebuilt("THROW", "never")))
	end)

	it("run at the same time where they do not need each other, and their lines are not mixed", function()
		local dir = project("PAIR", [[
  left = own("Meets", { outputs = { "a" }, params = { mine = dir .. "/gates/left", other = dir .. "/gates/right" } }),
  right = own("Meets", { outputs = { "b" }, params = { mine = dir .. "/gates/right", other = dir .. "/gates/left" } }),
  both = shell { command = "echo both; echo 1 > data/c/x", inputs = { "a", "b" }, outputs = { "c" } },
]])
		jobs:project("PAIR", nil, { ["gates/.keep"] = "" })
		local job = jobs:start("PAIR", "c")
		local s, log = jobs:ended("PAIR", job), jobs:log("PAIR", job)
		assert.equal("DONE", s.baseStatus.state, json.encode(s) .. log)
		assert.equal("here", helper.read(dir .. "/gates/left"))
		for _, side in ipairs { "left", "right" } do
			local seen = 0
			for n in log:gmatch(("%%[act%%.%s_NP%%] %%[INFO%%] %%[recipe%%.out%%]  %%- %s line (%%d+)\n"):format(side, side)) do
				assert.equal(seen, tonumber(n))
				seen = seen + 1
			end
			assert.equal(200, seen)
		end
	end)

	for _, class in ipairs { "Loops", "Deaf" } do
		it("end with their aborted job: " .. class, function()
			local key = class:upper()
			project(key, ([[
  loop = own(%q, { outputs = { "never" } }),
  beside = shell { command = "echo begun-beside; sleep 60", outputs = { "nor" } },
  all = shell { command = "true", inputs = { "never", "nor" }, outputs = { "whole" } },
]]):format(class))
			local job = jobs:start(key, "whole")
			wait_for("both to be at work", function()
				local log = jobs:log(key, job)
				return log:find "%- begun\n" and log:find "%- begun%-beside\n", log
			end, 40)
			local pid = jobs:status(key, job).baseStatus.kernelPid
			assert.equal(200, jobs:abort(key, job))
			local s = jobs:ended(key, job)
			local a = s.baseStatus.activities
			assert.same({ "ABORTED", "ABORTED", "ABORTED", "ABORTED" }, { s.baseStatus.state, a.loop_NP.state, a.beside_NP.state, a.all_NP.state }, json.encode(s))
			jobs:nothing_left()
			if class == "Deaf" then -- what cannot be ended otherwise ends with its kernel
				wait_for("the end of its kernel", function()
					local rows = jobs:processes "kernel"
					if not rows then return false end
					for _, row in ipairs(rows) do
						if row.pid == pid then return false, json.encode(row) end
					end
					return true
				end)
			end
			project(key, [[ made = own("Sum", { outputs = { "total" }, params = { n = 3, file = dir .. "/data/total/x" } }) ]])
			assert.equal("DONE", jobs:ended(key, jobs:start(key, "total")).baseStatus.state)
		end)
	end

	it("are no rule's to kill while they run in their kernel, and it says so; a rule over tasks aborts their job", function()
		project("RULED", [[ loop = own("Loops", { outputs = { "o" } }), ]])
		local job = jobs:start("RULED", "o")
		wait_for("its start", function() return jobs:log("RULED", job):find("begun", 1, true) end, 60)
		local rules = node.dir .. "/policies/30-rules.lua"
		local function decision(outcome)
			return wait_for("a decision: " .. outcome, function()
				local _, rows = node:http("GET", "/api/decisions?word=rule&name=ruled")
				for _, d in ipairs(rows) do
					if d.outcome == outcome then return d end
				end
				return nil, json.encode(rows)
			end, 30)
		end
		helper.write(rules, 'rule "ruled" { every = "1s", each = "recipe", where = "recipe_type = java and state = running", act = kill "loops" }')
		local d = decision "failed"
		assert.equal("recipe", d.subjectKind)
		assert.truthy((d.outcomeText or ""):find("runs in its job's kernel: a rule over tasks aborts its job", 1, true), json.encode(d))
		assert.equal("RUNNING", jobs:status("RULED", job).baseStatus.state)
		helper.write(rules, 'rule "ruled" { every = "1s", each = "task", where = "kind = job and project = RULED", act = abort "loops" }')
		local s = jobs:ended("RULED", job)
		os.remove(rules)
		assert.equal("ABORTED", s.baseStatus.state, json.encode(s))
	end)

	it("end at their timeout, by name", function()
		project("LATE", [[ slow = own("Loops", { outputs = { "never" }, timeout = "1s" }) ]])
		local job = jobs:start("LATE", "never")
		local s = jobs:ended("LATE", job)
		local a = s.baseStatus.activities.slow_NP
		assert.same({ "FAILED", "FAILED" }, { s.baseStatus.state, a.state }, json.encode(s))
		assert.truthy(a.firstFailure.message:find("timeout of 1", 1, true), a.firstFailure.message)
		assert.equal("slow", (jobs:rebuilt("LATE", "never")))
	end)

	it("that go on after their timeout have failed all the same, and their kernel takes no job after it", function()
		project("STUCK", [[ slow = own("Deaf", { outputs = { "never" }, timeout = "1s" }) ]])
		local job = jobs:start("STUCK", "never")
		jobs:wait_activity("STUCK", job, "slow", "RUNNING")
		local pid = jobs:status("STUCK", job).baseStatus.kernelPid
		local s = jobs:ended("STUCK", job)
		local a = s.baseStatus.activities.slow_NP
		assert.same({ "FAILED", "FAILED" }, { s.baseStatus.state, a.state }, json.encode(s))
		assert.truthy(a.firstFailure.message:find("timeout of 1 s and does not end", 1, true), a.firstFailure.message)
		wait_for("the end of its kernel", function() return not helper.read(("/proc/%d/cmdline"):format(math.tointeger(pid))) end, 20)
		project("STUCK", [[ made = own("Sum", { outputs = { "total" }, params = { n = 3, file = dir .. "/data/total/x" } }) ]])
		assert.equal("DONE", jobs:ended("STUCK", jobs:start("STUCK", "total")).baseStatus.state)
	end)
end)
