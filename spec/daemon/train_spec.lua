-- ML training against real processes: sessions of models, a Python process for each, what clients of the public API poll.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local json = require "t_json"
local wait_for = helper.wait_for

local POOLS = [[
pool "training" { kernel = python { module = "doctor.server" }, warm = { min = 0, max = 0 }, max = %d, recycle = { after_tasks = 1 },
  limits = { memory = "512m", memory_max = "1g", swap = "0", threads = 64 } }
]]
local NONE = [[ pool "fek" { kernel = python {}, limits = { memory = "256m" }, warm = { min = 0, max = 1 } } ]]

-- A script whose end the spec decides: it goes on once `go` is in the project.
local HELD = [[
import os, time, dss
def train(context):
    print("held", context.algorithm, os.environ["DKU_CURRENT_PROJECT_KEY"])
    n = 0
    while not os.path.exists("go"):
        n += 1
        context.progress(min(n, 50) / 100, "waiting")
        time.sleep(0.02)
    context.save({"rows": sum(1 for _ in context.rows())})
    return {"metrics": {"rows": sum(1 for _ in context.rows())}}
]]

local EATER = [[
def train(context):
    held = []
    while True:
        held.append(b"x" * (8 << 20))
]]

local has_sklearn = os.execute "/usr/bin/python3 -c 'import sklearn' 2>/dev/null"

describe("training", function()
	local node

	local function open(policies)
		node = Instance.new { policies = { ["10-pools.lua"] = policies or POOLS:format(4) } }
		node:start()
	end

	local function project(models, files)
		local dir = node.dir .. "/projects/LEARN"
		local rows = { "id,age,plan,spend,left" }
		for i = 1, 400 do
			local plan = i % 3 == 0 and "gold" or i % 3 == 1 and "tin" or "free"
			local spend = (i * 7 % 60) * 2 + (plan == "gold" and 30 or 0)
			rows[i + 1] = ("u%d,%d,%s,%d,%s"):format(i, 18 + i * 7 % 60, plan, spend, spend > 70 and "yes" or "no")
		end
		files = files or {}
		files["project.lua"], files["data/people/rows.csv"] = "project { rights = { read = { 'everybody' } }, models = { " .. models .. " } }", table.concat(rows, "\n") .. "\n"
		for path, body in pairs(files) do
			os.execute("mkdir -p " .. Instance.quote((dir .. "/" .. path):match "^(.*)/"))
			helper.write(dir .. "/" .. path, body)
		end
		os.execute(("chown -R --reference=%s %s"):format(Instance.quote(node.dir .. "/projects"), Instance.quote(dir)))
	end

	local function lab(rest) return "/public/api/projects/LEARN/models/lab/" .. (rest or "") end

	local function train(name, body)
		local status, answer = node:http("POST", lab(name .. "/" .. name .. "/train"), body or { sessionName = json.null, runQueue = false })
		assert.are.equal(200, status, type(answer) == "table" and answer.message or tostring(answer))
		return answer
	end

	local function status_of(name)
		local status, answer = node:http("GET", "/dip/publicapi/projects/LEARN/models/lab/" .. name .. "/" .. name .. "/status")
		assert.are.equal(200, status, type(answer) == "table" and answer.message or tostring(answer))
		return answer
	end

	--- As a client waits: until `training` is strictly false.
	local function trained(name, seconds)
		local s
		wait_for("the end of the training", function()
			s = status_of(name)
			return s.training == false, json.encode(s)
		end, seconds or 60)
		return s
	end

	local function row_of(name, algorithm)
		for _, row in ipairs(status_of(name).sessions) do
			if row.algorithm == algorithm then return row end
		end
	end

	local function doctors()
		local found = {}
		for pid, line in pairs(node:processes()) do
			if line:find("doctor.server", 1, true) then found[#found + 1] = { pid = pid, line = line } end
		end
		return found
	end

	local function wait_running(name, algorithm)
		return wait_for(algorithm .. " to run", function()
			local row = row_of(name, algorithm)
			return row and row.state == "running" and row.progress and row.progress.message == "waiting" and row, row and row.state
		end, 30)
	end

	after_each(function()
		if node then node:remove() node = nil end
	end)

	it("runs each algorithm in a process of its own that says doctor.server, tells progress, and leaves none behind", function()
		open()
		project("held = model { input = 'people', script = 'held.py', algorithms = { 'one', 'two' } }", { ["held.py"] = HELD })
		local started = train "held"
		assert.are.equal("s1", started.sessionId)
		assert.are.equal(2, #started.tasks)
		wait_running("held", "one")
		local row = wait_running("held", "two")
		assert.truthy(row.progress.fraction > 0 and row.progress.fraction <= 0.5)
		assert.are.equal("waiting", row.progress.message)
		local found = doctors()
		assert.are.equal(2, #found)
		assert.falsy(found[1].line:find("DSSFutureKernelMain", 1, true), "trainings are no future kernels")
		local s = status_of "held"
		assert.is_true(s.training)
		assert.is_false(s.guessing)
		assert.are.same({}, s.fullModelIds)
		local _, queues = node:http("GET", "/public/api/projects/LEARN/models/labs/mltask-queues")
		assert.are.same({ "held", 2, { "s1" } }, { queues.queues[1].mlTaskId, math.tointeger(queues.queues[1].running), queues.queues[1].sessions })
		node:write("projects/LEARN/go", "")
		s = trained "held"
		assert.are.equal(2, #s.fullModelIds)
		local ids = {}
		for _, m in ipairs(s.fullModelIds) do
			assert.are.equal("s1", m.fullModelId.sessionId)
			ids[m.id] = m.algorithm
		end
		assert.are.same({ ["A-LEARN-held-held-s1-pp1-m1"] = "one", ["A-LEARN-held-held-s1-pp1-m2"] = "two" }, ids)
		wait_for("the processes to be gone", function() return #doctors() == 0 end)
		assert.truthy(node:read("projects/LEARN/models/held/s1/one.joblib"))
		assert.are.equal(400, math.tointeger(json.decode(node:read "projects/LEARN/models/held/s1/two.json").metrics.rows))
		local code, log = node:http("GET", "/api/tasks/" .. started.tasks[1] .. "/log")
		assert.are.equal(200, code)
		assert.truthy(log:find("held one LEARN\n", 1, true), log)
		assert.falsy((node:read "run/backend.log"):find("held one LEARN", 1, true))
	end)

	it("is ended through its future, alone, and by DELETE of the ML task", function()
		open()
		project("held = model { input = 'people', script = 'held.py', algorithms = { 'one', 'two', 'three' } }", { ["held.py"] = HELD })
		local started = train "held"
		for _, name in ipairs { "one", "two", "three" } do wait_running("held", name) end
		assert.are.equal(200, (node:http("DELETE", "/public/api/futures/" .. started.tasks[1])))
		wait_for("one to be aborted", function() return row_of("held", "one").state == "aborted" end)
		assert.are.equal("running", row_of("held", "two").state)
		local code, answer = node:http("DELETE", lab "held/held/")
		assert.are.equal(200, code)
		assert.are.equal(2, math.tointeger(answer.aborted))
		local s = trained "held"
		assert.are.same({}, s.fullModelIds)
		wait_for("the processes to be gone", function() return #doctors() == 0 end)
		assert.is_nil(node:read "projects/LEARN/models/held/s1/two.joblib")
		assert.is_nil(node:read "projects/LEARN/models/held/s1/two.json")
	end)

	it("that takes too much memory dies alone, with the cause", function()
		open()
		project([[held = model { input = 'people', script = 'held.py' },
			eater = model { input = 'people', script = 'eater.py', limits = { memory = '96m' } }]], { ["held.py"] = HELD, ["eater.py"] = EATER })
		train "held"
		wait_running("held", "script")
		local started = train "eater"
		trained "eater"
		local row = row_of("eater", "script")
		assert.are.equal("killed", row.state)
		assert.are.equal("oom_limit", row.cause)
		assert.truthy(row.message:find "96", row.message)
		local code, e = node:http("GET", "/public/api/futures/" .. started.tasks[1] .. "?peek=False")
		assert.are.equal(422, code)
		assert.are.equal("oom_limit", e.cause)
		assert.are.equal("running", row_of("held", "script").state)
		node:write("projects/LEARN/go", "")
		assert.are.equal(1, #trained("held").fullModelIds)
	end)

	it("whose process is killed ends with the cause, and its session with it", function()
		open()
		project("held = model { input = 'people', script = 'held.py' }", { ["held.py"] = HELD })
		train "held"
		wait_running("held", "script")
		assert(os.execute(("kill -KILL %d"):format(doctors()[1].pid)))
		local s = trained "held"
		assert.are.same({}, s.fullModelIds)
		local row = row_of("held", "script")
		assert.are.equal("killed", row.state)
		assert.truthy(row.message:find("signal 9", 1, true), row.message)
		assert.is_nil(node:read "projects/LEARN/models/held/s1/script.json")
	end)

	it("goes on while the backend is killed, and what it made is there", function()
		open()
		project("held = model { input = 'people', script = 'held.py' }", { ["held.py"] = HELD })
		train "held"
		wait_running("held", "script")
		local pid = node:kill("backend")
		wait_for("the next backend", function()
			local p = node:status().by.backend
			return p and p.pid and p.pid ~= pid and (node:http("GET", "/health")) == 200
		end, 20)
		node:write("projects/LEARN/go", "")
		local s = trained "held"
		assert.are.equal(1, #s.fullModelIds, json.encode(s))
		local row = row_of("held", "script")
		assert.are.same({ "done", 400 }, { row.state, math.tointeger(row.metrics.rows) })
	end)

	it("may use the API as its user while it runs, by a ticket that dies with it and is masked in the log", function()
		open()
		project("caller = model { input = 'people', script = 'calls.py' }", { ["calls.py"] = [[
import json, os, urllib.request
def train(context):
    ticket = os.environ["DKU_API_TICKET"]
    print("mine is", ticket)
    with open("ticket", "w") as f:
        f.write(ticket)
    request = urllib.request.Request(os.environ["DSS_BACKEND_URL"] + "/public/api/projects/LEARN/models/lab/", headers={"X-DKU-APITicket": ticket})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
        return {"metrics": {}, "seen": json.load(answer)["mlTasks"][0]["mlTaskId"]}
]] })
		local started = train "caller"
		local s = trained "caller"
		assert.are.equal(1, #s.fullModelIds, json.encode(s))
		local _, f = node:http("GET", "/public/api/futures/" .. started.tasks[1] .. "?peek=False")
		assert.are.equal("caller", f.result.seen)
		local ticket = node:read "projects/LEARN/ticket"
		local _, log = node:http("GET", "/api/tasks/" .. started.tasks[1] .. "/log")
		assert.truthy(log:find("mine is ", 1, true))
		assert.falsy(log:find(ticket, 1, true))
		assert.are.equal(401, (node:http("GET", "/public/api/futures/", nil, { key = ticket })))
	end)

	it("is known by the record that it left in the project: plain files of sessions alone, however many there are", function()
		open()
		project("old = model { input = 'people', script = 'train.py' }", { ["train.py"] = "" })
		local dir = node.dir .. "/projects/LEARN/models/old"
		for i = 1, 70 do
			os.execute(("mkdir -p %s/s%d"):format(dir, i))
			helper.write(("%s/s%d/forest.json"):format(dir, i), json.encode { modelId = ("A-LEARN-old-old-s%d-pp1-m1"):format(i), metrics = { accuracy = i / 100 } })
		end
		os.execute(("mkdir -p %s/notes; cp %s/s1/forest.json %s/notes/forest.json; ln -s s1 %s/s71; ln -s forest.json %s/s1/link.json; touch %s/s2/.json; mkdir %s/s3/dir.json")
			:format(dir, dir, dir, dir, dir, dir, dir))
		local s = status_of "old"
		assert.are.same({ 70, "s70", "s1" }, { #s.sessions, s.sessions[1].session, s.sessions[70].session })
		helper.write(dir .. "/s70/forest.json", json.encode { modelId = "A-LEARN-old-old-s70-pp1-m1", metrics = { accuracy = 0.99, again = true } })
		assert.are.equal(0.99, status_of("old").sessions[1].metrics.accuracy)
	end)

	it("waits for a place, says why, and numbers its sessions on", function()
		open(POOLS:format(1))
		project("held = model { input = 'people', script = 'held.py' }", { ["held.py"] = HELD })
		train "held"
		wait_running("held", "script")
		assert.are.equal("s2", train("held").sessionId)
		local waiting = wait_for("the second session to wait", function()
			for _, row in ipairs(status_of("held").sessions) do
				if row.session == "s2" and row.state == "queued" and row.reason then return row end
			end
		end)
		assert.truthy(waiting.reason:find("training", 1, true), waiting.reason)
		local _, next_one = node:http("POST", lab "held/held/actions/train-queue", "")
		assert.are.equal("s2", next_one.sessionId)
		node:write("projects/LEARN/go", "")
		assert.are.equal(2, #trained("held").fullModelIds)
		assert.are.equal("s3", train("held").sessionId)
		trained "held"
	end)

	it("is refused where no pool takes it, with what an admin can do", function()
		open(NONE)
		project "m = model { input = 'people', target = 'left' }"
		local status, answer = node:http("POST", lab "m/m/train", {})
		assert.are.equal(400, status)
		assert.truthy(answer.message:find('module = "doctor.server"', 1, true), answer.message)
		status, answer = node:http("POST", "/api/futures", { type = "train", payload = json.decode "{}" })
		assert.are.equal(400, status)
		assert.truthy(answer.message:find("models/lab", 1, true), answer.message)
	end)

	it("fails with words about what is not there, and keeps them over a restart", function()
		open()
		project("a = model { input = 'nowhere', script = 'rows.py' }", { ["rows.py"] = "def train(context):\n    return {'metrics': {'n': len(list(context.rows()))}}\n" })
		train "a"
		trained "a"
		local row = row_of("a", "script")
		assert.are.equal("failed", row.state)
		assert.truthy(row.message:find("dataset nowhere is not there", 1, true), row.message)
		node:stop()
		node:start()
		assert.are.equal("failed", row_of("a", "script").state)
	end)

	if not has_sklearn then return pending("with scikit-learn: Debian's python3-sklearn is not installed") end

	it("trains two algorithms for real, measures them, and tells what clients ask", function()
		open()
		project("churn = model { name = 'Who leaves', input = 'people', target = 'left', algorithms = { 'random_forest', 'decision_tree' } }")
		local started = train("churn", { sessionName = "first", sessionDescription = json.null, runQueue = false })
		local s = trained("churn", 120)
		local failed = {}
		for _, row in ipairs(s.sessions) do failed[#failed + 1] = row.message end
		assert.are.equal(2, #s.fullModelIds, table.concat(failed, "; "))
		for _, task in ipairs(started.tasks) do
			local code, f = node:http("GET", "/public/api/futures/" .. task .. "?peek=False")
			assert.are.equal(200, code)
			assert.truthy(f.result.metrics.accuracy > 0.8, json.encode(f.result))
			assert.are.equal(400, math.tointeger(f.result.rows))
			assert.are.equal("a word of its own in most rows", f.result.leftOut.id)
			assert.truthy(node:read("projects/LEARN/" .. f.result.file))
		end
		local _, list = node:http("GET", lab())
		assert.are.same({ "churn", "Who leaves", "PREDICTION", "people", "left" }, { list.mlTasks[1].mlTaskId, list.mlTasks[1].analysisName,
			list.mlTasks[1].taskType, list.mlTasks[1].inputDataset, list.mlTasks[1].targetVariable })
		local id = s.fullModelIds[1].id
		local code, snippets = node:http("GET", lab "churn/churn/models-snippets", { modelsIds = { id } })
		assert.are.equal(200, code)
		assert.are.same({ "DONE", "BINARY_CLASSIFICATION", s.fullModelIds[1].algorithm },
			{ snippets[id].trainInfo.state, snippets[id].predictionType, snippets[id].algorithm })
		assert.are.equal(501, (node:http("POST", lab "churn/churn/ensemble", { method = "AVERAGE", modelsIds = { id } })))
		local out, complaint, exit = node:ctl("models", "LEARN")
		assert.are.equal(0, exit, complaint)
		assert.truthy(out:find("random_forest", 1, true) and out:find("accuracy", 1, true), out)
		out, complaint, exit = node:ctl("train", "LEARN", "churn", "--wait")
		assert.are.equal(0, exit, complaint)
		assert.truthy(out:find("random_forest", 1, true) and out:find("accuracy", 1, true) and out:find "s2", out)
		out, complaint, exit = node:ctl("train", "LEARN", "nothing", "--wait")
		assert.are.equal(4, exit, out .. complaint)
	end)

	it("says which column, algorithm or parameter is wrong", function()
		open()
		project([[ a = model { input = 'people', target = 'lost' }, b = model { input = 'people', target = 'left', algorithms = { 'random_florest' } },
			c = model { input = 'people', target = 'left', task = 'regression' }, d = model { input = 'people', target = 'left', params = { tset = 0.5 } } ]])
		local status, answer = node:http("POST", lab "b/b/train", {})
		assert.are.equal(400, status)
		assert.truthy(answer.message:find("did you mean random_forest", 1, true), answer.message)
		for name, words in pairs { a = "has no column 'lost'", c = "is no number", d = "did you mean 'test'" } do
			train(name)
			trained(name)
			local row = row_of(name, "random_forest")
			assert.are.equal("failed", row.state)
			assert.truthy(row.message:find(words, 1, true), row.message)
		end
	end)
end)
