-- dssctl run, the prefix of a crontab line, and the verbs beside it, against a real instance.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local json = require "t_json"
local quote = Instance.quote

local node, folder
local function run(...) return node:ctl("run", ...) end

--- In the background; its output, its complaints and, once it has ended, its exit code lie in files named NAME.out, .err, .code; its pid
--- in NAME.pid.
local function start(name, ...)
	local words = {}
	for _, word in ipairs { node.dir .. "/bin/dssctl", ... } do words[#words + 1] = quote(word) end
	local base = folder .. "/" .. name
	local line = ("cd %s; %s >%s.out 2>%s.err & echo $! >%s.pid; wait $!; echo $? >%s.code"):format(quote(folder), table.concat(words, " "), base, base, base, base)
	assert(os.execute(("setsid sh -c %s </dev/null >/dev/null 2>&1 &"):format(quote(line))))
end
local function file(name) return helper.read(folder .. "/" .. name) or "" end
local function wait_code(name)
	local code = helper.wait_for("the exit of " .. name, function() return file(name .. ".code"):match "%d+", file(name .. ".err") end, 30)
	return tonumber(code)
end
local function wait_out(name, text)
	helper.wait_for(name .. " to print " .. text, function() return file(name .. ".out"):find(text, 1, true), file(name .. ".out") .. file(name .. ".err") end, 20)
end
local function tasks() return assert(json.decode((node:ctl("tasks", "--json")))) end
local function task_of(title)
	for _, row in ipairs(tasks()) do
		if row.payload.displayName == title then return row end
	end
end
local function kill(name, signal) assert(os.execute(("kill -%s %s"):format(signal, file(name .. ".pid"):match "%d+"))) end

describe("dssctl run", function()
	setup(function()
		folder = Instance.folder()
		os.execute("chmod 1777 " .. folder)
		node = Instance.new {}
		node:start()
	end)
	teardown(function()
		node:remove()
		Instance.remove_folder(folder)
	end)

	it("prints what the command prints and passes its exit code on", function()
		local out, complaint, code = run("--", "sh", "-c", "echo out; echo err >&2; exit 7")
		assert.equal("out\nerr", out)
		assert.equal("", complaint)
		assert.equal(7, code)
		assert.equal(0, select(3, run("--", "true")))
		assert.equal(1, select(3, run("--", "false")))
	end)

	it("passes a signal on as 128 + signal and names it", function()
		local _, complaint, code = run("--", "sh", "-c", "kill -USR1 $$")
		assert.equal(138, code)
		assert.truthy(complaint:find("signal 10", 1, true), complaint)
	end)

	it("ends with 127 for a command that does not exist, 126 for one that is not to be run", function()
		local _, complaint, code = run("--", "no-such-command", "x")
		assert.equal(127, code)
		assert.truthy(complaint:find("no-such-command", 1, true), complaint)
		assert.equal(127, select(3, run("--", "/no/such/command")))
		local _, refusal, refused = run("--", "/etc/passwd")
		assert.equal(126, refused)
		assert.truthy(refusal:find("Permission denied", 1, true), refusal)
	end)

	it("tells limit and peak of a command that took too much memory, also where a child of it did and it exits 0", function()
		for _, command in ipairs { { "python3", "-c", "x = bytearray(512 << 20)" }, { "sh", "-c", "python3 -c 'x = bytearray(512 << 20)'; exit 0" } } do
			local out, complaint, code = run("--memory", "96m", "--", table.unpack(command))
			assert.equal(1, code, out .. complaint)
			assert.truthy(complaint:find("96 MB", 1, true) and complaint:find("oom_limit", 1, true) and complaint:find "[Pp]eak 9%d", complaint)
		end
	end)

	it("ends with 7 after --timeout", function()
		local out, complaint, code = run("--timeout", "400ms", "--", "sh", "-c", "echo begun; sleep 60")
		assert.equal(7, code)
		assert.equal("begun", out)
		assert.truthy(complaint:find("400 ms", 1, true), complaint)
	end)

	it("runs in the current folder with a small environment, and what --env names", function()
		local argv = { "sh", "-c", "cd " .. folder .. " && exec \"$@\"", "sh", node.dir .. "/bin/dssctl", "run", "--env", "GIVEN", "--env", "SET=a b=c", "--",
			"sh", "-c", "pwd; echo \"$GIVEN|$SET|$SECRET|$TZ|$LC_TIME\"" }
		local out, complaint, code = Instance.run_apart(argv, { GIVEN = "here", SECRET = "not for others", TZ = "UTC", LC_TIME = "C", DSS_SHARE = Instance.environment().DSS_SHARE })
		assert.equal(0, code, complaint)
		assert.equal(folder .. "\nhere|a b=c||UTC|C", out)
	end)

	it("streams while it runs, keeps the log, and `logs` shows it", function()
		start("stream", "run", "--name", "stream", "--", "sh", "-c", ("echo first; while [ ! -e %s/go ]; do sleep 0.05; done; echo last"):format(folder))
		wait_out("stream", "first\n")
		assert.equal("", file "stream.code")
		local id = task_of("stream").jobId
		assert.equal("first", (node:ctl("logs", id)))
		helper.write(folder .. "/go", "")
		assert.equal(0, wait_code "stream")
		assert.equal("first\nlast\n", file "stream.out")
		assert.equal("first\nlast\n", node:read("jobs/RUN/" .. id .. "/output.log"))
		assert.equal("last", (node:ctl("logs", id, "-n", "1")))
		assert.is_nil(node:read "run/backend.log":find("first\n", 1, true))
	end)

	it("prints every byte as it came, also those that are no text, and much of it", function()
		local script = "import sys; sys.stdout.buffer.write(bytes(range(256)) * 4000 + b'\\n')"
		local digest = "sha256sum | cut -c1-64"
		local mine = Instance.run { "sh", "-c", quote("python3"):gsub("'", "") .. " -c \"$1\" | " .. digest, "sh", script }
		local out = Instance.run { "sh", "-c", '"$1" run -- python3 -c "$2" | ' .. digest, "sh", node.dir .. "/bin/dssctl", script }
		assert.equal(mine, out)
	end)

	it("with --no-overlap refuses a second one of the name, and says which runs since when; afterwards it runs again", function()
		local name = "odd \"name\" ü/: ; $x"
		start("first", "run", "--no-overlap", "--name", name, "--", "sh", "-c", ("echo in; while [ ! -e %s/over ]; do sleep 0.05; done"):format(folder))
		wait_out("first", "in\n")
		local id = task_of(name).jobId
		local function is_refused()
			local out, complaint, code = run("--no-overlap", name, "--", "echo", "never")
			assert.equal(1, code)
			assert.equal("", out)
			assert.truthy(complaint:find("already exists", 1, true) and complaint:find(id, 1, true) and complaint:find("since 20", 1, true) and complaint:find(name, 1, true), complaint)
		end
		is_refused()
		assert.equal(0, select(3, run("--no-overlap", "--name", "another", "--", "true")))
		node:kill("backend", "KILL")
		is_refused()
		helper.write(folder .. "/over", "")
		assert.equal(0, wait_code "first")
		assert.equal("again", (run("--no-overlap", name, "--", "echo", "again")))
	end)

	it("aborts at SIGTERM, waits for the end, and ends with 3", function()
		start("term", "run", "--name", "term", "--", "sh", "-c", "trap 'echo bye; exit 0' TERM; echo up; sleep 60 & wait")
		wait_out("term", "up\n")
		kill("term", "TERM")
		assert.equal(3, wait_code "term")
		assert.equal("up\nbye\n", file "term.out")
		assert.equal("aborted", task_of("term").state)
	end)

	it("goes on over the death of the backend: nothing is printed twice or lost", function()
		start("survive", "run", "--", "sh", "-c", ("for i in 1 2 3; do echo $i; done; while [ ! -e %s/back ]; do sleep 0.05; done; echo end; exit 5"):format(folder))
		wait_out("survive", "3\n")
		node:kill("backend", "KILL")
		helper.wait_for("the next backend", function() return (node:http("GET", "/health")) == 200 end, 20)
		helper.write(folder .. "/back", "")
		assert.equal(5, wait_code "survive")
		assert.equal("1\n2\n3\nend\n", file "survive.out")
	end)

	it("with --json prints one value with id, exit code and where the log is", function()
		local out, complaint, code = node:ctl("--json", "run", "--name", "j", "--", "sh", "-c", "echo x; exit 3")
		assert.equal(3, code, complaint)
		local said = assert(json.decode(out))
		assert.same({ 3, "j", "done", 2 }, { said.exitCode, said.name, said.state, said.logBytes })
		assert.equal("x\n", node:read(said.log))
	end)

	it("loses no time where there are no cgroups to ask", function()
		local bare = Instance.new { init = { "--cgroups", "none" } }
		bare:start()
		local out, complaint, code = bare:ctl("run", "--", "sh", "-c", "echo here; exit 4")
		local log = bare:read "run/backend.log"
		bare:remove()
		assert.same({ "here", 4 }, { out, code }, complaint)
		assert.is_nil(log:find("no word in time", 1, true), log)
	end)

	it("refuses wrong usage, a size over the pool's and an unknown pool, with 2", function()
		assert.equal(2, select(3, run("--memory", "1t", "--", "true")))
		assert.equal(2, select(3, run("--pool", "nope", "--", "true")))
		assert.equal(2, select(3, run "name"))
		assert.equal(2, select(3, run("a", "--name", "b", "--", "true")))
		assert.equal(2, select(3, run("--env", "NOT_SET_ANYWHERE", "--", "true")))
		assert.equal(2, select(3, run("--no-overlap", "--name", ("n"):rep(300), "--", "true")))
	end)
end)

describe("dssctl run, while the backend dies at", function()
	for _, point in ipairs { "submit_committed", "task_ordered", "task_sent", "result_read", "result_written", "result_committed" } do
		it(point .. ": runs the command once, prints all of it, and passes its exit code on", function()
			node = Instance.new { config = ('backend { env = { DSS_SPECS = "1", DSS_DIE_AT = "%s" } }'):format(point) }
			finally(function() node:remove() end)
			node:start()
			local out, complaint, code = run("--", "sh", "-c", "echo once; exit 9")
			assert.same({ "once", 9 }, { out, code }, complaint)
			assert.truthy(node:read("run/died-at-" .. point), "the backend did not die there")
			assert.equal(1, #tasks())
		end)
	end
end)

describe("the log of a task, by the API", function()
	local id
	setup(function()
		node = Instance.new {}
		node:start()
		id = assert(json.decode((node:ctl("--json", "run", "--", "seq", "3")))).jobId
	end)
	teardown(function() node:remove() end)
	local function get(query, options) return node:http("GET", "/api/tasks/" .. id .. "/log" .. (query or ""), nil, options) end

	it("comes from an offset, also from the end, and says where it begins and whether that was all", function()
		local _, text, fields = get "?offset=2"
		assert.same({ "2\n3\n", "2", "6", "true" }, { tostring(text), fields["log-offset"], fields["log-size"], fields["log-whole"] })
		local _, tail, more = get "?offset=-2"
		assert.same({ "4", "true" }, { more["log-offset"], more["log-whole"] })
		assert.truthy(tostring(tail):find "3")
		local status, none, past = get "?offset=99"
		assert.same({ 200, "", "6" }, { status, none, past["log-offset"] })
	end)

	it("is its owner's and the admins'; nothing else is told of it", function()
		local key = node:ctl("key", "add", "mallory")
		local status, answer = get("", { key = key })
		assert.equal(404, status)
		assert.equal(404, (node:http("GET", "/api/tasks/nosuch/log")))
		assert.is_nil((answer.message or ""):find "jobs")
		assert.equal(401, (get("", { key = false })))
	end)

	it("refuses what is no number, and ids that are none", function()
		assert.equal(400, (get "?offset=x"))
		assert.equal(400, (get "?wait=-1"))
		assert.equal(404, (node:http("GET", "/api/tasks/..%2f..%2fconfig/log")))
	end)

	it("is read beneath jobs/ only, never through a link", function()
		local log = node.dir .. "/jobs/RUN/" .. id .. "/output.log"
		assert(os.execute(("ln -sf %s %s"):format(quote(node.dir .. "/config/admin.key"), quote(log))))
		local status, answer = get()
		assert.equal(500, status)
		assert.is_nil(json.encode(answer):find(node:read "config/admin.key":match "%S+", 1, true))
	end)

	it("is somewhere else for a task of another type, and the answer says where", function()
		local _, made = node:http("POST", "/api/futures", { type = "python", payload = { callable = "stats:echo", args = json.array { 1 } } })
		local status, answer = node:http("GET", "/api/tasks/" .. made.jobId .. "/log")
		assert.equal(404, status)
		assert.truthy(answer.message:find("run/backend.log", 1, true), answer.message)
	end)
end)

describe("beside it", function()
	setup(function()
		node = Instance.new {}
		node:start()
	end)
	teardown(function() node:remove() end)

	it("`ps`, `tasks` and `pools` filter and speak JSON", function()
		helper.wait_for("warm kernels", function()
			local rows = json.decode((node:ctl("ps", "--kind", "kernel", "--state", "idle", "--json")))
			for _, row in ipairs(rows or {}) do assert.same({ "kernel", "idle" }, { row.kind, row.state }) end
			return rows and #rows >= 2
		end)
		assert.same({}, json.decode((node:ctl("ps", "--pool", "nope", "--json"))))
		assert.equal("fek", json.decode((node:ctl("pools", "--json")))[1].name)
		assert.truthy(node:ctl "pools":find "\nfek +%d")
		assert.is_nil(node:ctl("ps", "--kind", "kernel"):find "\nbackend")
	end)

	it("`top` prints one table where there is no terminal, and there keeps fresh until q", function()
		local out, complaint, code = node:ctl("top", "--by", "cpu")
		assert.equal(0, code, complaint)
		assert.truthy(out:find("CPU%", 1, true) and out:find "fek%-%d", out)
		assert.equal(2, select(3, node:ctl("top", "--by", "size")))
		local script = [[
import os, pty, select, sys, time
pid, fd = pty.fork()
if pid == 0:
    os.environ["TERM"] = "xterm"
    os.execv(sys.argv[1], [sys.argv[1], "top", "--every", "200ms"])
seen = b""
deadline = time.monotonic() + 20
asked = False
while time.monotonic() < deadline:
    if select.select([fd], [], [], 0.1)[0]:
        try: piece = os.read(fd, 65536)
        except OSError: break
        if not piece: break
        seen += piece
    if not asked and seen.count(b"q quit") >= 3:
        os.write(fd, b"q"); asked = True
print(asked, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), seen.endswith(b"\x1b[?1049l"))]]
		assert.equal("True 0 True", (Instance.run({ "/usr/bin/python3", "-c", script, node.dir .. "/bin/dssctl" }, Instance.environment())))
	end)

	it("tables fit the terminal: the widest column is cut, no line wraps, and no colour goes into a pipe", function()
		assert.equal(0, select(3, node:ctl("run", "--name", ("a long name "):rep(15), "--", "true")))
		local script = [[
import fcntl, os, pty, struct, sys, termios
pid, fd = pty.fork()
if pid == 0:
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 90, 0, 0))
    os.environ["TERM"] = "dumb"
    os.execv(sys.argv[1], [sys.argv[1], "tasks"])
seen = b""
while True:
    try: piece = os.read(fd, 65536)
    except OSError: break
    if not piece: break
    seen += piece
lines = seen.decode().replace("\r", "").rstrip("\n").split("\n")
print(max(len(line) for line in lines) <= 90, "…" in seen.decode())]]
		assert.equal("True True", (Instance.run({ "/usr/bin/python3", "-c", script, node.dir .. "/bin/dssctl" }, Instance.environment())))
		local piped = node:ctl "tasks"
		assert.truthy(piped:find(("a long name "):rep(14), 1, true), piped)
		assert.is_nil(piped:find "\27")
	end)

	it("`key` makes one that works, lists it without its secret, and ends it", function()
		local key, complaint, code = node:ctl("key", "add", "ann", "--label", "for reports")
		assert.equal(0, code, complaint)
		assert.equal(200, (node:http("GET", "/api/tasks", nil, { key = key })))
		local list = node:ctl("key", "list")
		assert.truthy(list:find("ann", 1, true) and list:find("for reports", 1, true))
		assert.is_nil(list:find(key, 1, true))
		local id = list:match "\n(%w+) +ann"
		assert.equal(0, select(3, node:ctl("key", "revoke", id)))
		assert.equal(401, (node:http("GET", "/api/tasks", nil, { key = key })))
		assert.equal(4, select(3, node:ctl("key", "revoke", "nosuch")))
		assert.equal(2, select(3, node:ctl "key"))
	end)

	it("`events` tells what happened, oldest first, and follows over the death of the backend", function()
		local said = assert(json.decode((node:ctl("--json", "run", "--name", "an event", "--", "true"))))
		helper.wait_for("the event of its end", function()
			local out = node:ctl("events", "-n", "200")
			return out:find("task.ended +" .. said.jobId), out
		end)
		folder = Instance.folder()
		start("events", "events", "--follow", "--json")
		helper.wait_for("an event of a task", function()
			node:ctl("run", "--", "true")
			return file "events.out":find("task.ended", 1, true), file "events.err"
		end, 20)
		node:kill("backend", "KILL")
		local later = assert(json.decode((node:ctl("--json", "run", "--", "true"))))
		helper.wait_for("an event after the backend's death", function() return file "events.out":find(later.jobId, 1, true), file "events.err" end, 20)
		kill("events", "TERM")
		assert.equal(0, wait_code "events")
		Instance.remove_folder(folder)
	end)

	it("`logs` reads a service's log where it lies, also while nothing runs", function()
		local out, complaint, code = node:ctl("logs", "keeper", "-n", "2")
		assert.equal(0, code, complaint)
		assert.equal(1, select(2, out:gsub("\n", "")))
		node:stop()
		assert.equal(0, select(3, node:ctl("logs", "backend")))
		assert.equal(6, select(3, node:ctl("run", "--", "true")))
		node:start()
		assert.equal(4, select(3, node:ctl("logs", "nosuch")))
		assert.equal(2, select(3, node:ctl("logs", "../config/admin.key")))
	end)
end)
