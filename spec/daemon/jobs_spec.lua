-- Jobs against real processes: a project's file, the plan, a job kernel, recipes in boxes of their own.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local json = require "t_json"
local wait_for = helper.wait_for

local POOLS = [[
pool "jek" { kernel = java { main = "DSSJobKernelMain", heap = "64m" }, limits = { memory = "256m" }, warm = { min = 1, max = 2 }, max = 4,
  recycle = { after_tasks = 100 } }
]]
local NONE = [[ pool "fek" { kernel = python {}, limits = { memory = "256m" }, warm = { min = 0, max = 1 } } ]]

local has_java = os.execute "command -v java >/dev/null && command -v javac >/dev/null"

describe("jobs", function()
	local node

	local function project(key, text, files)
		local dir = node.dir .. "/projects/" .. key
		os.execute("mkdir -p " .. Instance.quote(dir .. "/data"))
		if text then helper.write(dir .. "/project.lua", text) end
		for path, body in pairs(files or {}) do
			os.execute("mkdir -p " .. Instance.quote((dir .. "/" .. path):match "^(.*)/"))
			helper.write(dir .. "/" .. path, body)
		end
		os.execute(("chown -R --reference=%s %s"):format(Instance.quote(node.dir .. "/projects"), Instance.quote(dir)))
	end

	local function path(key, rest) return ("/public/api/projects/%s/jobs/%s"):format(key, rest or "") end

	local function start(key, output, mode, options)
		local status, answer = node:http("POST", path(key), { type = mode or "RECURSIVE_BUILD", outputs = { { type = "DATASET", id = output } } }, options)
		assert.are.equal(200, status, type(answer) == "table" and answer.message or tostring(answer))
		return answer.id
	end

	local function status_of(key, job)
		local status, answer = node:http("GET", "/dip/publicapi/projects/" .. key .. "/jobs/" .. job .. "/")
		assert.are.equal(200, status)
		return answer
	end

	local function ended(key, job, seconds)
		local s
		wait_for("the end of " .. job, function()
			s = status_of(key, job)
			local state = s.baseStatus.state
			return state == "DONE" or state == "FAILED" or state == "ABORTED", json.encode(s)
		end, seconds or 40)
		return s
	end

	local function log_of(key, job, query)
		local status, text = node:http("GET", path(key, job .. "/log" .. (query or "")))
		assert.are.equal(200, status)
		return type(text) == "string" and text or json.encode(text)
	end

	local function processes(kind)
		local _, rows = node:http("GET", "/api/processes")
		local found = {}
		for _, row in ipairs(rows) do
			if row.kind == kind and row.state ~= "ended" and row.state ~= "dead" then found[#found + 1] = row end
		end
		return found
	end

	local function open(policies)
		node = Instance.new { policies = { ["10-pools.lua"] = policies or POOLS } }
		node:start()
	end

	after_each(function()
		if node then node:remove() node = nil end
	end)

	describe("without a kernel", function()
		it("tell what is wrong with project.lua by line, and what a project does not have", function()
			open(NONE)
			project("BAD", "project {\n  name = 'x',\n  recipes = { a = shell { comand = 'true', outputs = { 'x' } } },\n}\n")
			local status, answer = node:http("POST", path "BAD", { outputs = { { id = "x" } } })
			assert.are.equal(400, status)
			assert.truthy(answer.message:find("projects/BAD/project.lua:3:", 1, true), answer.message)
			assert.truthy(answer.message:find("command", 1, true), answer.message)
			assert.are.equal(404, (node:http("POST", path "NONE", { outputs = { { id = "x" } } })))
			project("GOOD", "project { recipes = { a = shell { command = 'true', outputs = { 'made' } } } }")
			status, answer = node:http("POST", path "GOOD", { outputs = { { id = "mode" } } })
			assert.are.equal(400, status)
			assert.truthy(answer.message:find('did you mean "made"', 1, true), answer.message)
			status, answer = node:http("POST", path "GOOD", { type = "RECURSIV_BUILD", outputs = { { id = "made" } } })
			assert.are.equal(400, status)
			assert.truthy(answer.message:find("RECURSIVE_BUILD", 1, true), answer.message)
		end)

		it("end a project.lua that loops or takes all memory, and serve the next request", function()
			open(NONE)
			project("LOOP", "while true do end")
			local status, answer = node:http("GET", "/public/api/projects/LOOP")
			assert.are.equal(400, status, tostring(answer.message))
			project("GROW", "local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1e6) .. i end")
			status = node:http("GET", "/public/api/projects/GROW")
			assert.truthy(status == 400 or status == 503)
			project("GOOD", "project { name = 'Good' }")
			status, answer = node:http("GET", "/public/api/projects/GOOD")
			assert.are.equal(200, status)
			assert.are.equal("Good", answer.name)
			project("GOOD", "project { name = 'Better' }")
			answer = select(2, node:http("GET", "/public/api/projects/GOOD"))
			assert.are.equal("Better", answer.name)
			wait_for("readers to be gone", function() return #processes "project" == 0 end)
		end)
	end)

	if not has_java then return pending("with job kernels: there is no JDK") end

	it("have activities whose lines are followed, whatever others write meanwhile", function()
		open()
		project("TALK", ([[
project { recipes = {
  chatter = shell { command = "while [ ! -e data/end ]; do echo chatter; sleep 0.05; done", outputs = { "noise" } },
  rare = shell { command = "echo first; while [ ! -e data/go ]; do sleep 0.05; done; echo second; echo third; while [ ! -e data/end ]; do sleep 0.05; done",
    outputs = { "words" } },
  both = shell { command = "true", inputs = { "noise", "words" }, outputs = { "all" } },
} }]]))
		local function touch(name) project("TALK", nil, { ["data/" .. name] = "" }) end
		local job = start("TALK", "all")
		local function lines(text)
			local out = {}
			for line in text:gmatch "[^\n]*%[act%.rare_NP%]  %- ([^\n]*)\n" do out[#out + 1] = line end
			assert.falsy(text:find("chatter", 1, true))
			return out
		end
		local function ask(offset, seconds)
			local status, text, fields = node:http("GET", ("/api/jobs/TALK/%s/log?activity=rare_NP&offset=%d&wait=%d"):format(job, offset, seconds))
			assert.are.equal(200, status)
			return type(text) == "string" and lines(text) or {}, math.tointeger(tonumber(fields["log-next"])), fields
		end
		wait_for("both at work", function()
			local log = log_of("TALK", job)
			return log:find("- first", 1, true) and log:find("- chatter", 1, true)
		end, 40)
		local status, text, fields = node:http("GET", path("TALK", job .. "/log?activity=rare_NP"))
		local at = math.tointeger(tonumber(fields["log-next"]))
		assert.are.same({ 200, { "first" } }, { status, lines(text) })
		local said, next = ask(at, 1)
		assert.are.same({}, said)
		assert.is_true(next > at) -- what others wrote need not be looked through again
		touch "go"
		said, next = ask(next, 30)
		if #said < 2 then
			local more
			more, next = ask(next, 30)
			said[#said + 1] = more[1]
		end
		assert.are.same({ "second", "third" }, said)
		touch "end"
		wait_for("the end of its lines", function() -- what its kernel notes of its end may come before
			said, next, fields = ask(next, 30)
			assert.are.same({}, said)
			return fields["log-whole"] == "true"
		end, 40)
		assert.are.equal("DONE", ended("TALK", job).baseStatus.state)
	end)

	it("build what is stale in order, tell why, keep the log, and build nothing twice", function()
		open()
		project("FLOW", [[
project { recipes = {
  clean = python { script = "clean.py", inputs = { "raw" }, outputs = { "tidy" } },
  count = shell { command = "wc -l < data/tidy/rows > data/counted/n; echo counted >&2", inputs = { "tidy" }, outputs = { "counted" } },
} }]], {
			["clean.py"] = "import os\nprint('key', os.environ['DKU_CURRENT_PROJECT_KEY'])\nopen('data/tidy/rows','w').write(open('data/raw/rows').read())\n",
			["data/raw/rows"] = "a\nb\nc\n",
		})
		local job = start("FLOW", "counted")
		assert.truthy(job:find "^Build_counted_%(NP%)_%d%d%d%d%-%d%d%-%d%dT%d%d%-%d%d%-%d%d%.%d%d%d$", job)
		local s = ended("FLOW", job)
		local base = s.baseStatus
		assert.are.equal("DONE", base.state, json.encode(s) .. log_of("FLOW", job))
		assert.are.same({ 2, 2, 0 }, { s.globalState.total, s.globalState.done, s.globalState.failed })
		assert.truthy(base.kernelId and base.kernelPid > 0)
		assert.are.equal("DONE", base.activities.clean_NP.state)
		assert.truthy(base.activities.clean_NP.endTime <= base.activities.count_NP.startTime)
		assert.are.equal("never built", base.activities.clean_NP.why)
		assert.are.same({ "clean_NP" }, base.activities.count_NP.after)
		assert.is_nil(base.activities.clean_NP.after)
		assert.truthy(node:read("projects/FLOW/data/counted/n"):find "3")
		local log = log_of("FLOW", job)
		assert.truthy(log:find "%[%d%d%d%d/%d%d/%d%d%-%d%d:%d%d:%d%d%.%d%d%d%] %[null%-out%-%d+%] %[INFO%] %[act%.clean_NP%]  %- key FLOW\n", log)
		assert.truthy(log:find "%[null%-err%-%d+%] %[INFO%] %[act%.count_NP%]  %- counted\n", log)
		assert.falsy(log_of("FLOW", job, "?activity=count_NP"):find("key FLOW", 1, true))
		assert.are.equal(log, node:read("jobs/FLOW/" .. job .. "/output.log"))
		-- the boxes of all that ended are gone, with the levels above them
		wait_for("the end of the boxes", function()
			local n = 0
			for _, box in ipairs(node:boxes()) do
				for line in io.popen("find " .. Instance.quote(box) .. " -path '*/run/*' -type d"):lines() do n = n + (line ~= "" and 1 or 0) end
			end
			return n == 0, n
		end)
		-- nothing is stale now
		local again = ended("FLOW", start("FLOW", "counted"))
		assert.are.same({ "DONE", 0 }, { again.baseStatus.state, again.globalState.total })
		-- and what was left out says why
		assert.are.equal(2, #again.baseStatus.skipped, json.encode(again))
		for i, name in ipairs { "clean", "count" } do
			assert.are.equal(name, again.baseStatus.skipped[i].recipe)
			assert.truthy(again.baseStatus.skipped[i].why:find "^up to date: built ", again.baseStatus.skipped[i].why)
		end
		-- newest first, flat
		local _, list = node:http("GET", path "FLOW" .. "?limit=2")
		assert.are.equal(2, #list)
		assert.are.equal(job, list[2].def.id)
		assert.are.same({ "DONE", true, 0 }, { list[1].state, list[1].stableState, list[1].warningsCount })
		-- what is newer than its build is built again
		wait_for("a later time", function()
			helper.write(node.dir .. "/projects/FLOW/data/raw/rows", "a\nb\nc\nd\n")
			local last = ended("FLOW", start("FLOW", "counted"))
			return last.globalState.total == 2, json.encode(last)
		end)
	end)

	it("skip what depends on a failure, do what does not, and show nothing half-built as built", function()
		open()
		project("FAIL", [[
project { recipes = {
  bad = shell { command = "echo half > data/half/x; echo it went wrong >&2; exit 3", outputs = { "half" } },
  next = shell { command = "cp data/half/x data/late/x", inputs = { "half" }, outputs = { "late" } },
  other = shell { command = "echo fine > data/fine/x", outputs = { "fine" } },
  all = shell { command = "true", inputs = { "late", "fine" }, outputs = { "whole" } },
} }]])
		local job = start("FAIL", "whole")
		local s = ended("FAIL", job)
		local a = s.baseStatus.activities
		assert.are.same({ "FAILED", "FAILED", "SKIPPED", "DONE", "SKIPPED" },
			{ s.baseStatus.state, a.bad_NP.state, a.next_NP.state, a.other_NP.state, a.all_NP.state }, json.encode(s))
		assert.truthy(a.bad_NP.firstFailure.message:find("ended with status 3", 1, true), a.bad_NP.firstFailure.message)
		assert.are.equal(3, a.bad_NP.exitCode)
		assert.truthy(s.baseStatus.unexpectedFailure.message:find("bad_NP", 1, true))
		assert.are.equal(s.errorMessage, select(2, node:http("GET", path "FAIL"))[1].errorMessage)
		assert.truthy(log_of("FAIL", job):find("it went wrong", 1, true))
		local again = ended("FAIL", start("FAIL", "half"))
		assert.are.equal("the last build of half did not end well", again.baseStatus.activities.bad_NP.why)
		-- the one that ended well is not built again
		assert.are.equal(0, ended("FAIL", start("FAIL", "fine")).globalState.total)
	end)

	it("give a recipe a ticket that acts as the job's user and dies with the process", function()
		open()
		local _, key = node:http("POST", "/api/keys", { user = "alice" })
		project("TICKET", [[
project { owner = "alice", recipes = { who = python { script = "who.py", outputs = { "seen" } } } }]], { ["who.py"] = [[
import json, os, urllib.request
base, ticket = os.environ["DSS_BACKEND_URL"], os.environ["DKU_API_TICKET"]
open("data/seen/ticket", "w").write(ticket)
r = urllib.request.Request(base + "/public/api/projects/TICKET/jobs/", headers={"X-DKU-APITicket": ticket})
open("data/seen/list", "w").write(urllib.request.build_opener(urllib.request.ProxyHandler({})).open(r).read().decode())
print("ticket", ticket)
]] })
		local job = start("TICKET", "seen", nil, { key = key.key })
		local s = ended("TICKET", job)
		assert.are.equal("DONE", s.baseStatus.state, log_of("TICKET", job))
		assert.are.equal("alice", s.baseStatus.def.initiator)
		assert.are.equal(job, json.decode(node:read "projects/TICKET/data/seen/list")[1].def.id)
		local ticket = node:read "projects/TICKET/data/seen/ticket"
		local out = Instance.run { "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--noproxy", "*", "-H", "X-DKU-APITicket: " .. ticket,
			("http://127.0.0.1:%d/public/api/projects/"):format(node:port()) }
		assert.are.equal("401", out)
		assert.falsy(log_of("TICKET", job):find(ticket, 1, true))
		-- others do not see the project, nor its jobs
		local _, bob = node:http("POST", "/api/keys", { user = "bob" })
		assert.are.equal(404, (node:http("GET", path("TICKET", job), nil, { key = bob.key })))
		assert.are.equal(404, (node:http("POST", path("TICKET", job .. "/abort"), nil, { key = bob.key })))
		assert.are.equal(404, (node:http("POST", path "TICKET", { outputs = { { id = "seen" } } }, { key = bob.key })))
		-- nor, among the events, its processes: all that came before a key of their own
		local function starts_seen(user, user_key)
			node:http("POST", "/api/keys", { user = user, label = "mark" })
			local said = Instance.run { "/usr/bin/python3", "-c", [[
import sys, urllib.request
r = urllib.request.Request(sys.argv[1], headers={"Authorization": "Bearer " + sys.argv[2]})
seen, keys = False, 0
for line in urllib.request.build_opener(urllib.request.ProxyHandler({})).open(r, timeout=60):
    seen = seen or b'"process.started"' in line and b'"subject":"job-' in line
    keys += b"event: key.made" in line
    if keys == 2: break
print(seen)]], ("http://127.0.0.1:%d/api/events?since=1-0"):format(node:port()), user_key }
			return said
		end
		assert.same({ "True", "False" }, { starts_seen("alice", key.key), starts_seen("bob", bob.key) })
	end)

	it("end all of an aborted job and nothing else", function()
		open()
		project("LONG", [[
project { recipes = {
  slow = shell { command = "(setsid sleep 300 &) ; echo begun; sleep 300", outputs = { "never" } },
  other = shell { command = "echo begun; sleep 300", outputs = { "else" } },
} }]])
		local job, other = start("LONG", "never"), start("LONG", "else")
		wait_for("both recipes to run", function()
			return log_of("LONG", job):find "begun" and log_of("LONG", other):find "begun"
		end, 40)
		local rows = processes "recipe"
		assert.are.equal(2, #rows)
		assert.are.same({ "LONG", "admin" }, { rows[1].project, rows[1].user })
		assert.truthy(rows[1].parentId:find "^jek%-")
		assert.are.equal(200, (node:http("POST", path("LONG", job .. "/abort"))))
		local s = ended("LONG", job)
		assert.are.same({ "ABORTED", "ABORTED" }, { s.baseStatus.state, s.baseStatus.activities.slow_NP.state }, json.encode(s))
		wait_for("its processes to be gone", function() return #processes "recipe" == 1 end)
		assert.are.equal("RUNNING", status_of("LONG", other).baseStatus.state)
		local asleep = 0
		for _, line in pairs(node:processes()) do asleep = asleep + (line:find "^sleep 300" and 1 or 0) end
		assert.are.equal(1, asleep)
		node:http("POST", path("LONG", other .. "/abort"))
		assert.are.equal("ABORTED", ended("LONG", other).baseStatus.state)
	end)

	it("are started, shown, followed and ended from the command line", function()
		open()
		project("CTL", [[
project { recipes = {
  quick = shell { command = "echo made; echo 1 > data/made/x", outputs = { "made" } },
  bad = shell { command = "exit 4", outputs = { "broken" } },
  slow = shell { command = "echo begun; sleep 300", outputs = { "never" } },
} }]])
		local out, said, code = node:ctl("job", "run", "CTL", "made")
		assert.are.equal(0, code, said)
		assert.truthy(out:find("- made\n", 1, true), out)
		said, code = select(2, node:ctl("job", "run", "CTL", "made"))
		assert.are.equal(0, code, said)
		assert.truthy(said:find("DONE: nothing to build", 1, true), said)
		-- another logger: a kernel that lives on goes on writing into its jobs' logs
		out, code = node:dss("restart", "logger")
		assert.are.equal(0, code, out)
		out = node:ctl("job", "run", "CTL", "made", "--build", "all")
		assert.truthy(out:find("[dss.job]  - Job ", 1, true), out)
		out, said, code = node:ctl("job", "run", "CTL", "broken")
		assert.are.equal(1, code, out .. said)
		out, said, code = node:ctl("job", "start", "CTL", "never")
		assert.are.equal(0, code, said)
		local job = out:match "%S+"
		wait_for("the recipe to run", function() return node:ctl("job", "log", "CTL", job):find("begun", 1, true) end, 40)
		out = node:ctl("ps", "--tree")
		assert.truthy(out:find " jek%-%d+ +kernel .- Build_[^\n]+ job .- slow_NP +recipe ", out)
		out = node:ctl("job", "status", "CTL", job)
		assert.truthy(out:find("slow_NP", 1, true) and out:find("running", 1, true), out)
		out = node:ctl("jobs", "CTL")
		assert.truthy(out:find(job:gsub("%p", "%%%0") .. " +running"), out)
		assert.are.equal(0, select(3, node:ctl("job", "abort", "CTL", job)))
		assert.are.equal("ABORTED", ended("CTL", job).baseStatus.state)
		out, said, code = node:ctl("job", "start", "CTL", "broken")
		assert.are.equal(0, code, said)
		job = out:match "%S+"
		assert.are.equal("FAILED", ended("CTL", job).baseStatus.state)
		assert.are.equal(1, select(2, node:ctl("job", "status", "CTL", job):gsub("ended with status", ""))) -- once
		assert.are.equal(job .. " has ended already: failed", (node:ctl("job", "abort", "CTL", job):gsub("%s+$", "")))
		assert.are.equal(4, select(3, node:ctl("job", "status", "CTL", "nope")))
		assert.are.equal(2, select(3, node:ctl("job", "start", "CTL", "made", "--build", "sometimes")))
	end)

	it("build the demo's project from 100,000 rows to revenue", function()
		node = Instance.new { init = { "--demo" } }
		node:start()
		local job = start("DEMO", "revenue")
		local s = ended("DEMO", job, 60)
		assert.are.equal("DONE", s.baseStatus.state, json.encode(s) .. log_of("DEMO", job))
		local rows = node:read "projects/DEMO/data/revenue/revenue.csv"
		assert.truthy(rows:find "^month,channel,amount\n2025%-01,phone,%d+%.%d%d\n", rows:sub(1, 200))
		assert.are.equal(37, select(2, rows:gsub("\n", "")))
		local _, graph = node:http("GET", "/public/api/projects/DEMO/flow/graph/")
		assert.are.same({ "clean" }, graph.nodes.sales_clean.predecessors)
	end)

	it("wait their turn and say why, with their place", function()
		open(POOLS .. [[ slots "jobs of a project" { where = "kind = job", each = "project", max = 1 } ]])
		project("TURN", [[
project { recipes = {
  a = shell { command = "echo begun; sleep 300", outputs = { "one" } },
  b = shell { command = "true", outputs = { "two" } },
} }]])
		local first = start("TURN", "one")
		wait_for("the first to run", function() return log_of("TURN", first):find "begun" end, 40)
		local second = start("TURN", "two")
		local base
		wait_for("a reason", function()
			base = status_of("TURN", second).baseStatus
			return base.state == "WAITING" and base.reason, json.encode(base)
		end)
		assert.truthy(base.reason:find("TURN", 1, true), base.reason)
		-- aborted before it began: it never gets a kernel
		assert.are.equal(200, (node:http("POST", path("TURN", second .. "/abort"))))
		base = ended("TURN", second).baseStatus
		assert.are.same({ "ABORTED", "ABORTED", 0 }, { base.state, base.activities.b_NP.state, base.startTime })
		node:http("POST", path("TURN", first .. "/abort"))
		assert.are.equal("ABORTED", ended("TURN", first).baseStatus.state)
	end)

	it("run java recipes in their kernel, and are the same job for the same clientKey", function()
		open()
		project("JAVA", [[
project { recipes = { j = java { class = "no.such.Recipe", outputs = { "x" } } } }]])
		local s = ended("JAVA", start("JAVA", "x"))
		local a = s.baseStatus.activities.j_NP
		assert.are.same({ "FAILED", "FAILED" }, { s.baseStatus.state, a.state }, json.encode(s))
		assert.truthy(a.firstFailure.message:find("no.such.Recipe", 1, true), a.firstFailure.message)
		assert.falsy(a.processId)
		local body = { outputs = { { id = "x" } }, clientKey = "once" }
		local _, one = node:http("POST", path "JAVA", body)
		local _, two = node:http("POST", path "JAVA", body)
		assert.are.equal(one.id, two.id)
		ended("JAVA", one.id)
	end)

	it("fail with the cause when their kernel is killed, and end its recipes", function()
		open()
		project("DEAD", [[project { recipes = { slow = shell { command = "echo begun; sleep 300", outputs = { "never" } } } }]])
		local job = start("DEAD", "never")
		wait_for("the recipe to run", function() return log_of("DEAD", job):find "begun" end, 40)
		os.execute(("kill -KILL %d"):format(status_of("DEAD", job).baseStatus.kernelPid))
		local s = ended("DEAD", job)
		assert.are.equal("FAILED", s.baseStatus.state)
		assert.are.equal("signal", s.baseStatus.unexpectedFailure.cause)
		assert.are.equal("ABORTED", s.baseStatus.activities.slow_NP.state)
		assert.are.equal(0, #processes "recipe")
	end)

	it("go on while the backend is killed and replaced", function()
		open()
		project("STAY", [[
project { recipes = {
  first = shell { command = "echo begun; while ! [ -e data/raw/go ]; do sleep 0.05; done; echo 1 > data/one/x", inputs = { "raw" }, outputs = { "one" } },
  second = shell { command = "echo 2 > data/two/x", inputs = { "one" }, outputs = { "two" } },
} }]], { ["data/raw/x"] = "x" })
		local job = start("STAY", "two")
		wait_for("the recipe to run", function() return log_of("STAY", job):find "begun" end, 40)
		local before = processes("recipe")[1].pid
		local old = node:kill "backend"
		wait_for("another backend", function()
			local pid = node:status().by.backend.pid
			return pid and pid ~= old and (node:http("GET", "/health")) == 200
		end, 20)
		wait_for("the recipe to be taken up", function() return processes("recipe")[1] and processes("recipe")[1].pid == before end)
		assert.are.equal("RUNNING", status_of("STAY", job).baseStatus.activities.first_NP.state)
		helper.write(node.dir .. "/projects/STAY/data/raw/go", "")
		local s = ended("STAY", job)
		assert.are.same({ "DONE", "DONE", "DONE" }, { s.baseStatus.state, s.baseStatus.activities.first_NP.state, s.baseStatus.activities.second_NP.state },
			json.encode(s))
		local _, count = log_of("STAY", job):gsub("%- begun", "")
		assert.are.equal(1, count)
	end)

	it("end a recipe at its timeout, and leave nothing of a script that goes to the background", function()
		open()
		project("TIME", [[
project { recipes = {
  slow = shell { command = "sleep 300", outputs = { "never" }, timeout = "1s" },
  daemon = shell { command = "(setsid sleep 301 &); echo gone", outputs = { "left" } },
  binary = shell { command = "printf 'a\\000\\033[31mb\\n'; head -c 100000 /dev/urandom", outputs = { "noise" } },
} }]])
		local s = ended("TIME", start("TIME", "never"))
		local a = s.baseStatus.activities.slow_NP
		assert.are.same({ "FAILED", "deadline" }, { a.state, a.cause }, json.encode(s))
		assert.truthy(a.firstFailure.message:find("timeout of 1", 1, true), a.firstFailure.message)
		assert.are.equal("DONE", ended("TIME", start("TIME", "left")).baseStatus.state)
		wait_for("what went to the background to be gone", function()
			for _, line in pairs(node:processes()) do
				if line:find "^sleep 301" then return false end
			end
			return true
		end)
		local job = start("TIME", "noise")
		assert.are.equal("DONE", ended("TIME", job).baseStatus.state)
		local log = node:read("jobs/TIME/" .. job .. "/output.log")
		assert.truthy(log:find("- a??[31mb\n", 1, true))
		assert.falsy(log:find "[%z\27]")
	end)

	it("are all done when a hundred come at once", function()
		open()
		project("MANY", [[
project { recipes = { one = shell { command = "echo $DSS_JOB_ID", outputs = { "x" } } } }]])
		local ids = {}
		for i = 1, 100 do ids[i] = start("MANY", "x", "NON_RECURSIVE_FORCED_BUILD") end
		for _, id in ipairs(ids) do
			assert.are.equal("DONE", ended("MANY", id, 120).baseStatus.state)
			assert.truthy(log_of("MANY", id):find("- " .. id, 1, true))
		end
		assert.are.equal(0, #processes "recipe")
	end)

	it("run each recipe once, however often the backend is killed meanwhile", function()
		open()
		project("CHAOS", [[
project { recipes = {
  a = shell { command = "echo ran-a; sleep 0.3; echo 1 > data/one/x", outputs = { "one" } },
  b = shell { command = "echo ran-b; sleep 0.3; echo 2 > data/two/x", inputs = { "one" }, outputs = { "two" } },
  c = shell { command = "echo ran-c; cat data/one/x data/two/x > data/all/x", inputs = { "one", "two" }, outputs = { "all" } },
} }]])
		local ids = {}
		for round = 1, 5 do
			ids[round] = start("CHAOS", "all", "RECURSIVE_FORCED_BUILD")
			-- each time a little later in the job's life
			local seen = 0
			wait_for("a moment", function() seen = seen + 1 return seen > round * round end)
			local old = node:kill "backend"
			wait_for("another backend", function()
				local pid = node:status().by.backend.pid
				return pid and pid ~= old and (node:http("GET", "/health")) == 200
			end, 30)
		end
		for _, id in ipairs(ids) do
			local s, log = ended("CHAOS", id, 60), log_of("CHAOS", id)
			assert.are.equal("DONE", s.baseStatus.state, json.encode(s) .. log)
			for _, name in ipairs { "ran-a", "ran-b", "ran-c" } do
				assert.are.equal(1, select(2, log:gsub("%- " .. name:gsub("%-", "%%-") .. "\n", "")), log)
			end
		end
		wait_for("recipes to be gone", function() return #processes "recipe" == 0 end)
	end)

	for _, point in ipairs { "activity_waiting", "activity_placed", "activity_committed", "activity_ordered", "activity_answered", "activity_ended" } do
		it("run a recipe once where the backend dies at " .. point, function()
			node = Instance.new { policies = { ["10-pools.lua"] = POOLS }, config = ('backend { env = { DSS_SPECS = "1", DSS_DIE_AT = %q } }'):format(point) }
			node:start()
			project("DIE", [[
project { recipes = {
  a = shell { command = "echo ran-a; echo 1 > data/one/x", outputs = { "one" } },
  b = shell { command = "echo ran-b; echo 2 > data/two/x", inputs = { "one" }, outputs = { "two" } },
} }]])
			local job = start("DIE", "two")
			wait_for("its death", function() return node:read("run/died-at-" .. point) end, 40)
			wait_for("another backend", function() return (node:http("GET", "/health")) == 200 end, 30)
			local s, log = ended("DIE", job), log_of("DIE", job)
			assert.are.same({ "DONE", "DONE", "DONE" },
				{ s.baseStatus.state, s.baseStatus.activities.a_NP.state, s.baseStatus.activities.b_NP.state }, json.encode(s) .. log)
			assert.are.same({ 1, 1 }, { select(2, log:gsub("%- ran%-a\n", "")), (select(2, log:gsub("%- ran%-b\n", ""))) })
			assert.are.equal(0, ended("DIE", start("DIE", "two")).globalState.total)
		end)
	end

	it("tell a recipe that outgrew its memory, by name and number", function()
		open()
		project("BIG", [[
project { recipes = { big = python { script = "big.py", outputs = { "never" }, limits = { memory = "64m" } } } }]],
			{ ["big.py"] = "x = []\nwhile True: x.append(bytearray(1 << 20))\n" })
		local s = ended("BIG", start("BIG", "never"))
		local a = s.baseStatus.activities.big_NP
		assert.are.equal("FAILED", s.baseStatus.state)
		assert.are.equal("oom_limit", a.cause)
		assert.truthy(a.firstFailure.message:find('recipe "big" used', 1, true), a.firstFailure.message)
	end)
end)
