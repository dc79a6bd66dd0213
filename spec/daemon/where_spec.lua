-- Filters against a real instance: ps, tasks, top, and abort --where, which ends what it showed and nothing else.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local json = require "t_json"

local node, tasks
local bob

local POOL = [[
pool "fek" { kernel = python {}, limits = { memory = "256m" }, warm = { min = 2, max = 4 }, max = 6, recycle = { after_tasks = 1 } }
]]

local function as(key, ...)
	local env = { DSS_KEY = key }
	for k, v in pairs(Instance.environment()) do env[k] = v end
	return Instance.run_apart({ Instance.program "dssctl", "-C", node.dir, ... }, env)
end

local function state(id)
	local _, f = node:http("GET", "/public/api/futures/" .. id .. "?peek=True")
	return type(f) == "table" and f.state
end

--- A task that sleeps; more: members of the submit.
local function sleep(more)
	local body = { type = "python", payload = { callable = "stats:sleep_for", args = json.array { 120 }, path = json.array { tasks } } }
	for k, v in pairs(more or {}) do body[k] = v end
	local status, answer = node:http("POST", "/api/futures", body)
	assert.equal(200, status, type(answer) == "table" and answer.message or answer)
	return answer.jobId
end

local function is_running(id)
	helper.wait_for(id .. " to run", function() return state(id) == "running", state(id) end, 60)
	return id
end

local function is_aborted(id)
	helper.wait_for(id .. " to be aborted", function() return state(id) == "aborted", state(id) end, 30)
end

local function rows(...)
	local out, complaint, code = node:ctl(...)
	assert.equal(0, code, complaint)
	return json.decode(out)
end

-- a terminal: runs argv (after the answer) in a pty, types the answer when it is asked, prints what was shown; exits as the program did
local ON_TERMINAL = [[
import os, pty, sys
answer, argv = sys.argv[1], sys.argv[2:]
pid, fd = pty.fork()
if pid == 0:
    os.execv(argv[0], argv)
shown, asked = b"", False
while True:
    try:
        piece = os.read(fd, 4096)
    except OSError:
        piece = b""
    if not piece:
        break
    shown += piece
    if not asked and b"[y/N]" in shown:
        asked = True
        os.write(fd, answer.encode() + b"\n")
sys.stdout.write(shown.decode("utf-8", "replace").replace("\r", ""))
sys.stdout.flush()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
]]

local function on_terminal(answer, ...)
	return Instance.run({ "/usr/bin/python3", "-c", ON_TERMINAL, answer, Instance.program "dssctl", "-C", node.dir, ... }, Instance.environment())
end

describe("filters on a running instance", function()
	setup(function()
		node = Instance.new { init = { "--demo" }, policies = { ["10-pools.lua"] = POOL } }
		node:start()
		tasks = (Instance.environment().DSS_SHARE or Instance.program "../share/dssd") .. "/kernels/python/tasks"
		local status, k = node:http("POST", "/api/keys", { user = "bob" })
		assert.equal(200, status)
		bob = k.key
	end)
	teardown(function() node:remove() end)
	after_each(function() node:ctl("abort", "--where", "alive", "--yes") end)

	it("leave the processes they are true of: as words, by --where, in top, with the other options", function()
		helper.wait_for("two warm kernels", function() return #rows("ps", "kind = kernel and idle > 0 and age > idle and user = \"\"", "--json") >= 2 end, 60)
		for _, row in ipairs(rows("ps", "kind", "=", "service", "--json")) do assert.equal("service", row.kind) end
		for _, row in ipairs(rows("ps", "--where", 'id ~ "fek-*"', "--json")) do assert.equal("kernel", row.kind) end
		assert.equal(1, #rows("ps", "id = backend", "--kind", "service", "--json"))
		assert.same({}, rows("ps", "id = backend", "--kind", "kernel", "--json"))
		local shown = node:ctl("ps", "id = backend")
		assert.truthy(shown:find "\nbackend +service" and not shown:find "logger", shown)
		shown = node:ctl("top", "--where", "id = logger")
		assert.truthy(shown:find "\nlogger " and not shown:find "backend", shown)
		assert.equal("fek", rows("pools", "--where", "idle >= 1 and limit = 256m", "--json")[1].name)
		assert.same({}, rows("pools", "--where", "limit > 256m", "--json"))
	end)

	it("that are wrong are shown with their place, and end with 2", function()
		for _, case in ipairs {
			{ "ps", "memroy > 1g", 'did you mean "memory"?', "\n  memroy > 1g\n  ^" },
			{ "tasks", "state = queued and waiting > 5g", "is a duration", "\n  state = queued and waiting > 5g\n  " .. (" "):rep(29) .. "^" },
			{ "abort", 'title = "é" and', "the filter ends here", '\n  title = "é" and\n                 ^' },
			{ "top", "\27[31m", "control character", "\n  \\x1b[31m\n  ^" },
		} do
			local out, complaint, code = node:ctl(case[1], "--where", case[2])
			assert.equal(2, code, complaint)
			assert.equal("", out)
			assert.truthy(complaint:find(case[3], 1, true) and complaint:find(case[4], 1, true), complaint)
		end
		assert.equal(2, select(3, node:ctl("ps", "--where", "")))
		assert.equal(2, select(3, node:ctl("ps", "--where", "kind = x", "pid > 1")))
		assert.equal(2, select(3, node:ctl("tasks", "--where", ("a"):rep(5000))))
		assert.equal(2, select(3, node:ctl("tasks", "--where", ("("):rep(4000))))
		assert.equal(2, select(3, node:ctl("abort", "--where", "alive", "someid")))
		assert.equal(2, select(3, node:ctl("abort", "someid", "--yes")))
	end)

	it("that are no filters get 400, however they are sent, and the backend goes on", function()
		for _, query in ipairs { "where=%FF%FE", "where=kind%20%3D%20%22%FF%22", "where=id%20~%20%22*%22%00" } do
			assert.equal(400, (node:http("GET", "/api/tasks?" .. query)), query)
		end
		for _, query in ipairs { "where", "where=", "where=" .. ("%28"):rep(4000), "where=" .. ("not%20"):rep(900), "where=a%0Ab",
			"where=%1B%5B31m", "where=kind%20~%20%22" .. ("%3F"):rep(200) .. "%22" } do
			for _, path in ipairs { "/api/processes", "/api/tasks", "/api/pools" } do
				local status, answer = node:http("GET", path .. "?" .. query)
				assert.equal(400, status, query)
				assert.truthy(type(answer) == "table" and answer.message:find "character %d+: " and not answer.message:find "%c", query)
			end
		end
		assert.equal(200, (node:http("GET", "/api/processes?where=id%20~%20%22*%22")))
	end)

	it("abort --where ends what it showed, by id, and nothing else", function()
		local a, b = is_running(sleep { tags = json.array { "nightly" }, title = "first" }), sleep { tags = json.array { "nightly" }, title = "second" }
		local other = is_running(sleep { title = "other" })
		local out, complaint, code = node:ctl("abort", "--where", "tags = nightly", "--dry-run")
		assert.equal(0, code, complaint)
		assert.truthy(out:find(a, 1, true) and out:find(b, 1, true) and not out:find(other, 1, true), out)
		assert.truthy(out:find("2 tasks would be asked to stop; nothing was ended", 1, true), out)

		out, complaint, code = node:ctl("abort", "--where", "tags = nightly")
		assert.equal(2, code, out .. complaint)
		assert.truthy(complaint:find("--yes", 1, true) and complaint:find("nothing was ended", 1, true), complaint)
		assert.equal("running", state(a))

		out, complaint, code = node:ctl("abort", "--where", "tags = nightly", "--yes")
		assert.equal(0, code, complaint)
		assert.truthy(out:find(a, 1, true) and out:find(b, 1, true) and out:find("asked to stop: 2 tasks", 1, true), out)
		is_aborted(a)
		is_aborted(b)
		assert.equal("running", state(other))

		out, complaint, code = node:ctl("abort", "--where", "tags = nightly", "--yes")
		assert.equal("", complaint)
		assert.equal(0, code)
		assert.equal("no open task is like that", out)

		out, complaint, code = node:ctl("abort", "--where", "title = other", "--yes", "--json")
		assert.equal(0, code, complaint)
		assert.same({ { jobId = other, asked = true } }, json.decode(out))
		is_aborted(other)
	end)

	it("abort --where asks on a terminal, and takes anything but yes for no", function()
		local id = is_running(sleep { title = "asked" })
		local out, code = on_terminal("", "abort", "--where", "title = asked")
		assert.equal(3, code, out)
		assert.truthy(out:find("End this task? [y/N]", 1, true) and out:find(id, 1, true) and out:find("Nothing was ended.", 1, true), out)
		assert.equal("running", state(id))
		out, code = on_terminal("y", "abort", "--where", "title = asked")
		assert.equal(0, code, out)
		assert.truthy(out:find("asked to stop: 1 task", 1, true), out)
		is_aborted(id)
	end)

	it("meet a user's own tasks alone", function()
		local mine, theirs = is_running(sleep { user = "bob" }), is_running(sleep())
		local out, complaint, code = as(bob, "tasks", "--where", "alive", "--json")
		assert.equal(0, code, complaint)
		assert.equal(1, #json.decode(out))
		out, complaint, code = as(bob, "abort", "--where", 'alive or user ~ "*"', "--yes")
		assert.equal(0, code, complaint)
		assert.truthy(out:find(mine, 1, true) and not out:find(theirs, 1, true) and out:find("asked to stop: 1 task", 1, true), out)
		is_aborted(mine)
		assert.equal("running", state(theirs))
		for _, row in ipairs(json.decode((as(bob, "ps", 'id ~ "*"', "--json")))) do assert.is_true(row.user == nil or row.user == "bob") end
	end)

	it("know what a task's kernel uses", function()
		local id = is_running(sleep { priority = 5 })
		assert.equal(id, rows("tasks", "--where", "priority > 4 and kind = future and alive", "--json")[1].jobId)
		assert.equal(id, rows("ps", "idle = 0 and state = busy", "--json")[1].taskId)
		helper.wait_for("its memory to be known", function() return #rows("tasks", "--where", "state = running and memory > 1m and limit = 256m", "--json") == 1 end, 30)
		assert.equal(id, rows("tasks", "--where", "memory > 1m", "--json")[1].jobId)
		assert.same({}, rows("tasks", "--where", "memory > limit", "--json"))
	end)
end)
