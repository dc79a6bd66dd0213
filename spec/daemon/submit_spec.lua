-- dssctl against a whole instance: keeper, backend, warm Python kernels.
local helper = require "spec.helper"
local Instance = require "spec.instance"

local node, tasks
local function submit(...) return node:ctl("submit", "python", ...) end
local function start_task(...)
	local id, complaint, code = submit("stats:sleep_for", "--path", tasks, ...)
	assert.equal(0, code, complaint)
	return id
end

describe("dssctl with a running instance", function()
	setup(function()
		node = Instance.new { init = { "--demo" } }
		node:start()
		tasks = (Instance.environment().DSS_SHARE or Instance.program "../share/dssd") .. "/kernels/python/tasks"
	end)
	teardown(function() node:remove() end)

	it("submits a function, waits and prints its result as the bytes it is", function()
		local out, complaint, code = submit("stats:summarise", "--path", tasks, "--arg", node.dir .. "/projects/DEMO/data/sales/sales.csv", "--wait")
		assert.equal(0, code, complaint)
		local summary = assert(require("t_json").decode(out))
		assert.equal(100000, summary.rows)
		assert.equal("order", summary.columns[1].name)
	end)

	it("means by a relative name what it means where the command was typed, and finds modules there and in the pool's folders", function()
		local function type_in(folder, ...)
			return Instance.run({ "env", "-C", folder, node.dir .. "/bin/dssctl", "submit", "python", ... }, Instance.environment())
		end
		local folder = node.root .. "/typed"
		assert(os.execute("mkdir -m 755 " .. folder .. " && printf 'a,b\n1,2\n' >" .. folder .. "/big.csv"))
		helper.write(folder .. "/mine.py", "import os\ndef here(): return os.getcwd()\n")
		local out, code = type_in(folder, "stats:summarise", "--arg", "big.csv", "--wait")
		assert.equal(0, code, out)
		assert.equal(1, assert(require("t_json").decode(out)).rows)
		assert.equal('"' .. folder .. '"', (type_in(folder, "mine:here", "--wait")))
		assert.equal('"/"', (type_in(folder, "mine:here", "--path", folder, "--cwd", "/", "--wait")))
		out, code = type_in("/", "mine:here", "--wait")
		assert.equal(1, code)
		assert.truthy(out:find("No module named 'mine' (looked in /, ", 1, true), out)
	end)

	it("says of a task that has ended that there was nothing to abort", function()
		local id = submit("stats:echo", "--arg", "1")
		node:ctl("wait", id)
		assert.equal(id .. " has ended already: done", (node:ctl("abort", id)))
	end)

	it("says under the pools and in the events what is wrong with policies that were not taken", function()
		local before = node:read "policies/10-pools.lua"
		finally(function() node:write("policies/10-pools.lua", before) end)
		node:write("policies/10-pools.lua", (before:gsub("warm ", "wram ", 1)))
		helper.wait_for("the refusal", function()
			local _, complaint = node:ctl "pools"
			return complaint:find 'unknown key "wram", did you mean "warm"' and complaint:find "stays in force"
		end)
		helper.wait_for("the event", function() return node:ctl "events":find 'policies.refused[^\n]*wram' end)
	end)

	it("passes JSON arguments as JSON and anything else as text", function()
		for _, case in ipairs { { "0.1", "0.1" }, { "[1,true,null]", nil }, { '{"a":1}', nil }, { "plain words", '"plain words"' }, { '"7"', '"7"' } } do
			local out, complaint, code = submit("stats:echo", "--path", tasks, "--arg", case[1], "--wait")
			assert.equal(0, code, complaint)
			assert.equal((case[2] or case[1]):gsub("%s", ""), (out:gsub("%s", "")))
		end
		local _, complaint, code = submit("stats:echo", "--path", tasks, "--arg", "123456789012345678901234567890", "--wait")
		assert.equal(2, code)
		assert.truthy(complaint:find("too large", 1, true), complaint)
	end)

	it("prints the id without --wait; wait and result fetch the result then", function()
		local id, _, code = submit("stats:echo", "--path", tasks, "--arg", "5")
		assert.equal(0, code)
		assert.truthy(id:find "^[%w_][%w_.:()-]*$", id)
		assert.equal("5", (node:ctl("wait", id)))
		assert.equal("5", (node:ctl("result", id)))
		local state = assert(require("t_json").decode((node:ctl("result", id, "--json"))))
		assert.equal(id, state.jobId)
		assert.equal(5, state.result)
	end)

	it("ends with 1 and the reason, the limit and the peak for a task that took too much memory", function()
		local out, complaint, code = submit("stats:eat", "--path", tasks, "--arg", "4294967296", "--memory", "128m", "--wait")
		assert.equal(1, code)
		assert.equal("", out)
		assert.truthy(complaint:find("128 MB", 1, true) and complaint:find("oom_limit", 1, true) and complaint:find "peak 12%d MB", complaint)
	end)

	it("ends with 7 for a task that passed its own timeout", function()
		local _, complaint, code = submit("stats:sleep_for", "--path", tasks, "--arg", "60", "--timeout", "300ms", "--wait")
		assert.equal(7, code)
		assert.truthy(complaint:find("300 ms", 1, true), complaint)
	end)

	it("ends with 3 for a task that was aborted, and `abort` aborts", function()
		local id = start_task("--arg", "60")
		assert.equal(1, select(3, node:ctl("result", id)))
		assert.equal(0, select(3, node:ctl("abort", id)))
		assert.equal(3, select(3, node:ctl("wait", id)))
	end)

	it("stops waiting with 7 after --most while the task goes on", function()
		local id = start_task("--arg", "60")
		local _, complaint, code = node:ctl("wait", id, "--most", "200ms")
		assert.equal(7, code)
		assert.truthy(complaint:find("still runs", 1, true), complaint)
		assert.equal(0, select(3, node:ctl("abort", id)))
	end)

	it("stops only the waiting at Ctrl-C, and says how to go on or abort", function()
		local id = start_task("--arg", "60")
		local script = [[
import signal, subprocess, sys, time
p = subprocess.Popen(sys.argv[1:], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
                     preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
def caught():
    for line in open("/proc/%d/status" % p.pid):
        if line.startswith("SigCgt:"): return int(line.split()[1], 16) >> 1 & 1
deadline = time.monotonic() + 10
while not caught() and time.monotonic() < deadline: time.sleep(0.01)
p.send_signal(signal.SIGINT)
print(p.communicate(timeout=20)[1], p.returncode)]]
		local out = Instance.run({ "/usr/bin/python3", "-c", script, Instance.program "dssctl", "-C", node.dir, "wait", id })
		assert.truthy(out:find("dssctl abort " .. id, 1, true) and out:find "130$", out)
		assert.equal(0, select(3, node:ctl("abort", id)))
	end)

	it("answers the first task for the same --client-key", function()
		local a = submit("stats:echo", "--path", tasks, "--arg", "1", "--client-key", "once")
		local b = submit("stats:echo", "--path", tasks, "--arg", "1", "--client-key", "once")
		assert.equal(a, b)
	end)

	it("marks a task with tags that filters find", function()
		local id = start_task("--arg", "60", "--tag", "nightly", "--tag", "load")
		local rows = assert(require("t_json").decode((node:ctl("tasks", "--json", "--where", "tags = nightly and tags = load"))))
		assert.same({ 1, id }, { #rows, rows[1] and rows[1].jobId })
		assert.equal(0, select(3, node:ctl("abort", id)))
	end)

	it("lists processes and tasks, as tables and as JSON", function()
		local id = start_task("--arg", "60", "--title", "a long sleep")
		local rows = assert(require("t_json").decode((node:ctl("ps", "--json"))))
		local kinds = {}
		for _, row in ipairs(rows) do kinds[row.kind] = true end
		assert.is_true(kinds.kernel and kinds.service)
		assert.truthy(node:ctl("ps"):find "\nbackend +service")
		local table_text, complaint, code = node:ctl "tasks"
		assert.equal(0, code, complaint)
		assert.truthy(table_text:find(id, 1, true) and table_text:find("a long sleep", 1, true), table_text)
		assert.equal(0, select(3, node:ctl("abort", id)))
	end)

	it("ends with 4 for an unknown task, 5 for a wrong key, 2 for an unknown pool", function()
		assert.equal(4, select(3, node:ctl("wait", "nosuch")))
		local out, complaint, code = Instance.run_apart({ Instance.program "dssctl", "-C", node.dir, "ps" }, { DSS_KEY = "wrong" })
		assert.equal(5, code, out .. complaint)
		local _, refusal, refused = submit("stats:echo", "--pool", "nope")
		assert.equal(2, refused)
		assert.truthy(refusal:find("nope", 1, true), refusal)
	end)

	it("still gets the result when the backend is killed while it waits", function()
		local result = node.root .. "/result"
		local id = start_task("--arg", "5")
		assert(os.execute(("%s wait %s >%s 2>&1; echo $? >>%s"):format(Instance.quote(node.dir .. "/bin/dssctl"), id, result, result):gsub("^", "(")
			.. ") &"))
		helper.wait_for("the task to run", function()
			local _, f = node:http("GET", "/public/api/futures/" .. id .. "?peek=True")
			return type(f) == "table" and f.state == "running"
		end)
		node:kill("backend", "KILL")
		helper.wait_for("the result", function() return (helper.read(result) or ""):find "\n0\n$", helper.read(result) end, 30)
	end)
end)
