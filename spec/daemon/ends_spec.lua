-- POST /api/ends of a running node: what it says would end is what ends.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local Work = require "spec.daemon.recipe_work"
local json = require "t_json"
local wait_for = helper.wait_for

local PYTHON = "/usr/bin/python3"
local has_jupyter = os.execute(PYTHON .. " -s -c 'import jupyter_server, ipykernel' 2>/dev/null")

local POOLS = [[
pool "fek" { kernel = python {}, limits = { memory = "256m", swap = "0" }, warm = { min = 0, max = 1 }, max = 3 }
pool "stay" { kernel = python {}, limits = { memory = "256m", swap = "0" }, warm = { min = 0, max = 1 }, max = 1, recycle = { after_tasks = 0 } }
]]
local JEK = [[
pool "jek" { kernel = java { main = "DSSJobKernelMain", heap = "64m" }, limits = { memory = "256m" }, warm = { min = 0, max = 1 }, max = 2 }
]]

local work, node

local function look(ids, key)
	local status, a = node:http("POST", "/api/ends", { ids = json.array(ids) }, key and { key = key })
	assert.equal(200, status, json.encode(a))
	return a
end

--- The answer of one row, once it passes the test.
local function await(id, what, test)
	return wait_for(what, function()
		local r = look({ id }).rows[1]
		return test(r) and r, json.encode(r)
	end, 60)
end

local function is_there(pid) return os.execute(("test -d /proc/%d"):format(pid)) == true end
local function wait_gone(pid) wait_for("the end of " .. pid, function() return not is_there(pid) end, 30) end

local function member(process, name)
	for _, m in ipairs(process.members or {}) do
		if m.name == name then return m end
	end
end

describe("what is said to end", function()
	setup(function()
		work = Work.new { config = has_jupyter and "jupyter {}" or nil, policies = { ["10-pools.lua"] = POOLS .. (Work.has_java and JEK or "") } }
		node = work.node
	end)
	teardown(function() work:remove() end)

	it("of a task is its kernel and what it started, and that ends", function()
		local bob, eve = node:ctl("key", "add", "bob"):match "%S+", node:ctl("key", "add", "eve"):match "%S+"
		local _, made = node:http("POST", "/api/futures", { type = "command", payload = { argv = { "sleep", "300" } }, title = "long" }, { key = bob })
		local id = "future:" .. made.jobId
		local r = await(id, "its processes", function(r) return r.may and r.processes[1] and member(r.processes[1], "sleep") end)
		assert.same({ "abort", "long", "bob", "kernel of pool fek" }, { r.verb, r.what, r.user, r.processes[1].what })
		assert.truthy(r.memoryBytes == nil or r.memoryBytes >= 0)
		local sleeper = member(r.processes[1], "sleep").pid
		assert.is_true(is_there(sleeper))
		local other = look({ id }, eve).rows[1]
		assert.same({ false, nil, nil }, { other.may, other.what, other.processes })
		assert.is_true(look({ id }, bob).rows[1].may)
		-- nothing ended by asking
		assert.is_true(is_there(sleeper))
		assert.equal(200, (node:http("DELETE", "/api/futures/" .. made.jobId, nil, { key = bob })))
		wait_gone(sleeper)
		wait_for("the row's end", function() return look({ id }).rows[1].may == false end, 30)
	end)

	it("of services is nothing: they are the instance's", function()
		local r = look({ "service:backend" }).rows[1]
		assert.same({ false, true }, { r.may, r.reason:find("bin/dss", 1, true) ~= nil })
	end)

	it("of an idle kernel is nothing but a warm start, and it is admins' to end", function()
		local bob = node:ctl("key", "add", "bob"):match "%S+"
		local status, made = node:http("POST", "/api/futures", { type = "python", payload = { callable = "time:sleep", args = { 0 } }, pool = "stay" }, { key = bob })
		assert.equal(200, status, json.encode(made))
		local function row_of(key)
			for _, b in ipairs(select(2, node:http("GET", "/api/board", nil, key and { key = key }))) do
				if b.kind == "kernel" and b.pool == "stay" and b.state == "idle" then return b end
			end
		end
		local row = wait_for("the idle kernel", function() return row_of() end, 60)
		assert.same({ "kill" }, row.ends)
		local own = row_of(bob)
		if own then assert.same({}, own.ends) end
		assert.is_false(look({ row.id }, bob).rows[1].may)
		local r = look({ row.id }).rows[1]
		assert.same({ true, "kill", row.pid }, { r.may, r.verb, r.processes[1].pid })
		assert.truthy(r.loses[1]:find("Nothing but a warm start", 1, true), r.loses[1])
		assert.equal(200, (node:http("DELETE", "/api/processes/" .. row.ref)))
		wait_gone(row.pid)
		assert.is_false(look({ row.id }).rows[1].may)
	end)

	it("of a job are its recipes, too, and they end", function()
		if not Work.has_java then return pending "there is no JDK" end
		work:project("JOB", [[project { recipes = {
			slow = shell { command = "sleep 300; echo x", outputs = { "a" }, limits = { memory = "64m" } },
			last = shell { command = "echo x", inputs = { "a" }, outputs = { "b" } } } }]])
		local job = work:start("JOB", "b")
		local r = await("job:JOB/" .. job, "its recipe", function(r)
			for _, p in ipairs(r.processes or {}) do
				if p.what == "slow" and member(p, "sleep") then return true end
			end
		end)
		assert.truthy(r.loses[1]:find "^1 activity at work ends", r.loses[1])
		local pids = {}
		for _, p in ipairs(r.processes) do
			for _, m in ipairs(p.what == "slow" and p.members or {}) do pids[#pids + 1] = m.pid end
		end
		assert.truthy(#pids >= 1)
		assert.equal(200, (node:http("POST", "/public/api/projects/JOB/jobs/" .. job .. "/abort")))
		for _, pid in ipairs(pids) do wait_gone(pid) end
	end)

	it("of a notebook are its variables and its kernel, and that ends", function()
		if not has_jupyter then return pending "jupyter_server or ipykernel is not installed" end
		work:project("NB", 'project { owner = "ann" }')
		local url = ("http://127.0.0.1:%d"):format(math.tointeger(json.decode(node:read "run/ports.json").jupyter))
		local out, why = Instance.run_apart { PYTHON, "-s", "spec/daemon/notebook_client.py", url, node.dir .. "/config/jupyter.token", "start", "NB/my book.ipynb" }
		local s = assert(json.decode(out), out .. why)
		local row = wait_for("its row", function()
			for _, b in ipairs(select(2, node:http("GET", "/api/board"))) do
				if b.kind == "notebook" and b.what == "my book" and b.processId then return b end
			end
		end, 60)
		local r = await(row.id, "its process", function(r) return r.processes and r.processes[1] and r.processes[1].pid end)
		assert.equal("unload", r.verb)
		assert.equal('The variables of notebook "my book"; unsaved work is lost.', r.loses[1])
		local pid = r.processes[1].pid
		assert.is_true(is_there(pid))
		assert.equal(200, (node:http("DELETE", "/api/notebooks/" .. s.kernel, nil, { seconds = 60 })))
		wait_gone(pid)
	end)
end)
