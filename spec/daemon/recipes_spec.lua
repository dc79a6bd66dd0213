-- What recipes do wrong, with real processes: programs that cannot be run, output without measure, processes that do not end or fight back.
local helper = require "spec.helper"
local Work = require "spec.daemon.recipe_work"
local wait_for = helper.wait_for

if not Work.has_java then
	describe("recipes that go wrong", function() pending "there is no JDK" end)
	return
end
local is_root = os.execute "[ $(id -u) = 0 ]"
local is_kept_apart = os.execute [[/usr/bin/python3 -c 'import ctypes,sys; sys.exit(ctypes.CDLL(None).syscall(444, None, 0, 1) < 6)']]

describe("recipes that go wrong", function()
	local work
	setup(function() work = Work.new() end)
	teardown(function() work:remove() end)
	after_each(function() work:is_quiet() end)

	--- A project with one recipe, by its text.
	local function shell(key, command, more, files)
		work:project(key, ("project { recipes = { a = shell { command = %q, outputs = { 'x' } %s } } }"):format(command, more or ""), files)
	end

	local function python(key, code, more, files)
		files = files or {}
		files["a.py"] = code
		work:project(key, ("project { recipes = { a = python { script = 'a.py', outputs = { 'x' } %s } } }"):format(more or ""), files)
	end

	local function find(text, wanted) assert.truthy(text:find(wanted, 1, true), ("not there: %s\n%s"):format(wanted, text:sub(1, 3000))) end

	local function sh(command, ...)
		assert(os.execute(command:format(...)), command)
	end

	describe("before they begin", function()
		it("are start_failed with the reason, never a status, and nothing is shown as built", function()
			local cases = {
				{ "GONE", "bin = '/opt/nowhere/python'", "unable to run /opt/nowhere/python: No such file or directory" },
				{ "NAME", "bin = 'python9.9'", "unable to run python9.9: it is not installed (searched /usr/local/bin:/usr/bin:/bin)" },
				{ "PLAIN", "bin = '%s/plain'", "Permission denied: it is not executable for user id " },
				{ "CRLF", "bin = '%s/crlf'", "its lines end as on Windows (CRLF)" },
				{ "NOINT", "bin = '%s/noint'", "the program that its first line names does not exist: /opt/nowhere/perl" },
			}
			for _, case in ipairs(cases) do
				local dir = work:path(case[1])
				python(case[1], "", "," .. case[2]:format(dir), { plain = "x", crlf = "#!/usr/bin/python3\r\n", noint = "#!/opt/nowhere/perl -w\n" })
				sh("chmod 755 %s/crlf %s/noint", dir, dir)
				local a, log, state, job = work:build(case[1], "x")
				assert.are.same({ case[1], "FAILED", "start_failed" }, { case[1], state, a.cause })
				assert.is_nil(a.exitCode)
				find(work:message(a), 'Recipe "a" could not be started: unable to run ')
				find(work:message(a), case[3])
				find(log, case[3])
				local why = work:ended(case[1], work:start(case[1], "x", "RECURSIVE_BUILD")).baseStatus.activities.a_NP.why
				assert.are.equal("the last build of x did not end well", why)
				assert.truthy(job)
			end
		end)

		it("are not taken for a shell that ends with 127 by itself", function()
			shell("SH", "no-such-command-here")
			local a, log = work:build("SH", "x")
			assert.are.same({ "crash", 127 }, { a.cause, a.exitCode })
			find(log, "no-such-command-here: not found")
		end)

		it("are told when their script is not there, or not theirs to read", function()
			work:project("NOSCRIPT", [[project { recipes = { a = python { script = "nope.py", outputs = { "x" } } } }]])
			local status, answer = work.node:http("POST", "/public/api/projects/NOSCRIPT/jobs/", { outputs = { { id = "x" } } })
			assert.are.equal(400, status)
			find(answer.message, "nope.py")
			-- one that goes between the plan and its turn
			work:project("LATE", [[project { recipes = { one = shell { command = "rm two.py; mkdir two.py", outputs = { "x" } },
				two = python { script = "two.py", inputs = { "x" }, outputs = { "y" } } } }]], { ["two.py"] = "" })
			local s = work:ended("LATE", work:start("LATE", "y"))
			find(work:message(s.baseStatus.activities.two_NP), "could not be started: unable to read the script two.py: Is a directory")
			if not is_root then return end
			python("LOCKED", "")
			sh("chown root:root %s/a.py && chmod 600 %s/a.py", work:path "LOCKED", work:path "LOCKED")
			local a = work:build("LOCKED", "x")
			assert.are.equal("start_failed", a.cause)
			find(work:message(a), "unable to read the script a.py: Permission denied")
		end)

		it("say whose folder they cannot write", function()
			if not is_root then return pending "needs another user" end
			shell("FOLDER", "true")
			sh("mkdir %s/data/x && chown root:root %s/data/x && chmod 755 %s/data/x", work:path "FOLDER", work:path "FOLDER", work:path "FOLDER")
			local a = work:build("FOLDER", "x")
			assert.are.equal("start_failed", a.cause)
			find(work:message(a), "unable to write to the folder data/x: Permission denied")
		end)

		it("get a hint where a shell's script has Windows line ends", function()
			work:project("WINSH", [[project { recipes = { a = shell { script = "a.sh", outputs = { "x" } } } }]], { ["a.sh"] = "set -e\r\necho hi\r\n" })
			local a, log = work:build("WINSH", "x")
			assert.are.equal("FAILED", a.state)
			find(log, "a.sh has Windows line ends (CRLF)")
		end)

		it("tell it of a webapp as well", function()
			work:project("APP", [[project { webapps = { w = webapp { command = { "/opt/nowhere/app" } } } }]])
			local path = "/public/api/projects/APP/webapps/w/"
			work.node:http("PUT", path .. "backend/actions/restart")
			local row
			wait_for("the webapp to be told as failed", function()
				local _, rows = work.node:http("GET", "/api/webapps")
				for _, r in ipairs(rows) do
					if r.project == "APP" then row = r end
				end
				return row and row.state == "failed", row and require "t_json".encode(row)
			end, 30)
			find(require "t_json".encode(row), "unable to run /opt/nowhere/app: No such file or directory")
		end)
	end)

	describe("with their output", function()
		it("keep what has no end, what is binary, what would move a terminal, and what comes after they closed it", function()
			python("ODD", [[
import os, sys
w = lambda b, fd=1: os.write(fd, b)
w(bytes(range(256)) + b"\n")
w(b"\x1b[2J\x1b]0;title\x07 escaped\n", 2)
w(b"windows\r\n")
w(b"no end of line")
os.close(1)
w(b"after", 2)
os.close(2)
open("data/x/y", "w").write("1")
]])
			local a, log = work:build("ODD", "x")
			assert.are.equal("DONE", a.state, log)
			find(log, "?[2J?]0;title? escaped")
			find(log, "- windows\n")
			find(log, "- no end of line\n")
			find(log, "- after\n")
			assert.falsy(log:find "[%z\1-\8\11-\31\127]")
		end)

		it("may print one line of 50 MB, which is cut into lines", function()
			python("LINE", "import os\nfor i in range(50): os.write(1, b'x' * (1 << 20))\nprint()\nprint('after it')\n")
			local a, log = work:build("LINE", "x", 90)
			assert.are.equal("DONE", a.state)
			find(log, "- after it\n")
			local longest, xs = 0, 0
			for line in log:gmatch "[^\n]+" do longest, xs = math.max(longest, #line), xs + (line:find "  %- xxx" and #line - line:find "xxx" + 1 or 0) end
			assert.truthy(longest < 17000, longest)
			if not log:find "%-%-%- %d+ bytes" then assert.are.equal(50 << 20, xs) end
		end)

		it("may print 100 MB at once: kept or said to be lost, in bounded memory, while others are served", function()
			python("FLOOD", "import os\nline = b'%08d ' + b'y' * 990 + b'\\n'\nos.write(1, b'begun\\n')\nfor i in range(100000): os.write(1, line % i)\n")
			local job = work:start("FLOOD", "x")
			local served, logger = 0, work.node:status().by.logger.pid
			local function memory_kb() return tonumber((helper.read(("/proc/%d/status"):format(logger)) or ""):match "VmHWM:%s+(%d+)") end
			local state
			repeat
				assert.are.equal(200, (work.node:http("GET", "/health")))
				served = served + 1
				state = work:status("FLOOD", job).baseStatus.state
			until state ~= "RUNNING" and state ~= "NOT_STARTED" and state ~= "COMPUTING_DEPS"
			state = work:ended("FLOOD", job, 90).baseStatus.state
			assert.are.equal("DONE", state)
			assert.truthy(served > 1)
			assert.truthy(memory_kb() < 64 * 1024, memory_kb())
			local log = work:log("FLOOD", job)
			find(log, "- 00000000 yyy")
			find(log, "- 00099999 yyy")
			local kept = select(2, log:gsub("yyyy\n", ""))
			if kept < 100000 then
				-- the middle of a log that is too long goes, and the log says how much
				local from = assert(tonumber((log:match "%-%-%- (%d+) bytes")), "nothing says what was lost")
				assert.truthy(#log + from > 100e6, #log .. " + " .. from)
			end
		end)
	end)

	describe("with what they leave", function()
		it("have nothing outlive them, and the log names it", function()
			work:project("LEFT", [[project { recipes = { a = python { script = "a.py", outputs = { "x" } } } }]], { ["a.py"] = ([[
import os, sys, time
if os.fork() == 0:
    os.execvp("sleep", ["sleep", "3334"])
if os.fork() == 0:          # as daemons do
    os.setsid()
    if os.fork() == 0:
        os.chdir("/"); os.close(0); os.close(1); os.close(2)
        open("%s/daemon", "w").write(str(os.getpid()))
        os.execvp("sleep", ["sleep", "3335"])
    os._exit(0)
os.wait()
while not os.path.exists("%s/daemon"): time.sleep(0.01)
print("done")
]]):format(work:path("LEFT", "data/x"), work:path("LEFT", "data/x")) })
			local a, log = work:build("LEFT", "x")
			assert.are.equal("DONE", a.state, log)
			find(log, "the program has ended and left 2 processes behind, which end with its box: ")
			work:is_quiet()
			for _, line in pairs(work.node:processes()) do assert.falsy(line:find "^sleep 333[45]") end
		end)

		it("lose their input or their disk, and are not shown as built", function()
			python("INPUT", [[
import os, shutil
shutil.rmtree("data/raw")
open("data/raw/rows")
]], ", inputs = { 'raw' }", { ["data/raw/rows"] = "1\n" })
			local a, log = work:build("INPUT", "x")
			assert.are.same({ "FAILED", 1 }, { a.state, a.exitCode })
			find(log, "No such file or directory: 'data/raw/rows'")
			local status, answer = work.node:http("POST", "/public/api/projects/INPUT/jobs/", { type = "RECURSIVE_BUILD", outputs = { { id = "x" } } })
			assert.are.equal(400, status)
			find(answer.message, "raw does not exist and no recipe makes it")
			if not is_root then return end
			shell("FULL", "head -c 3000000 /dev/zero > data/x/big")
			local folder = work:path("FULL", "data/x")
			sh("mkdir %s && chown --reference=%s %s", folder, work:path "FULL", folder)
			if not os.execute(("mount -t tmpfs -o size=1m,mode=777 none %s 2>/dev/null"):format(folder)) then return end
			local ok
			ok, a, log = pcall(work.build, work, "FULL", "x")
			sh("umount %s", folder)
			assert.is_true(ok, a)
			assert.are.equal("FAILED", a.state)
			find(log, "No space left on device")
			local s = work:ended("FULL", work:start("FULL", "x", "RECURSIVE_BUILD"))
			assert.are.same({ 1, "DONE" }, { s.globalState.total, s.baseStatus.state })
			assert.are.equal("the last build of x did not end well", s.baseStatus.activities.a_NP.why)
		end)
	end)

	describe("in their box", function()
		it("die of their own memory and processes, with the numbers", function()
			if work.node:status().cgroups == "none" then return pending "there are no cgroups" end
			python("MEM", "b = []\nwhile True: b.append(bytearray(b'x' * (1 << 20)))\n", ", limits = { memory = '48m' }")
			local a = work:build("MEM", "x")
			assert.are.same({ "FAILED", "oom_limit" }, { a.state, a.cause })
			find(work:message(a), "48 MB")
			python("FORK", [[
import os, signal
n = 0
try:
    for i in range(10000):
        if os.fork() == 0: signal.pause()
        n += 1
except OSError as e:
    print("forked", n, e)
    raise SystemExit(9)
]], ", limits = { threads = 40 }")
			local log
			a, log = work:build("FORK", "x")
			assert.are.same({ "FAILED", "limit_threads", 9 }, { a.state, a.cause, a.exitCode }, log)
			find(work:message(a), "limit of processes and threads")
			find(log, "Resource temporarily unavailable")
		end)

		it("are ended though they ignore TERM and have become another program", function()
			python("DEAF", [[
import os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if len(sys.argv) < 2: os.execv(sys.executable, [sys.executable, "a.py", "again"])
if os.fork() == 0: signal.pause()
print("begun", flush=True)
while True: signal.pause()
]])
			local job = work:start("DEAF", "x")
			work:begun("DEAF", job)
			local row = work:recipes()[1]
			assert.are.equal(3, row.membersCount)
			assert.are.equal(200, work:abort("DEAF", job))
			assert.are.equal("ABORTED", work:ended("DEAF", job).baseStatus.state)
			work:is_quiet()
			for _, m in ipairs(row.members) do assert.is_nil(helper.read(("/proc/%d/stat"):format(m.pid))) end
		end)

		it("may be less urgent, but not more", function()
			python("NICE", [[
import os
a = os.nice(0); print("nice by", os.nice(5) - a)
try:
    os.nice(-5); print("raised")
except PermissionError as e: print("refused", e)
]])
			local a, log = work:build("NICE", "x")
			assert.are.equal("DONE", a.state)
			find(log, "nice by 5")
			if is_root and work.node:status().isolation ~= "none" then find(log, "refused") end
		end)

		it("reach nobody but themselves: not what stands before them, not their neighbours, not all", function()
			if not is_kept_apart then return pending "this kernel has no Landlock scope of signals (Linux 6.12)" end
			shell("OTHER", "echo begun; sleep 300")
			local other = work:start("OTHER", "x")
			work:begun("OTHER", other)
			local neighbour
			for _, m in ipairs(work:recipes()[1].members) do neighbour = m.name == "sleep" and m.pid or neighbour end
			python("KILLER", ([[
import os, signal
def attempt(name, fn):
    try: print(name, "done", fn())
    except OSError as e: print(name, "refused:", e.strerror)
attempt("stamp", lambda: os.kill(os.getppid(), 9))
attempt("neighbour", lambda: os.kill(%d, 9))
attempt("ticket", lambda: len(open("/proc/%d/environ").read()))
child = os.fork()
if child == 0: signal.pause()
attempt("child", lambda: os.kill(child, 9))
signal.signal(signal.SIGTERM, signal.SIG_IGN)
attempt("all", lambda: os.kill(-1, 15))
open("data/x/y", "w").write("1")
]]):format(neighbour, neighbour))
			local a, log = work:build("KILLER", "x")
			assert.are.equal("DONE", a.state, log)
			find(log, "stamp refused: Operation not permitted")
			find(log, "neighbour refused: Operation not permitted")
			find(log, "child done")
			if is_root then find(log, "ticket refused: Permission denied") end
			assert.are.equal("RUNNING", work:status("OTHER", other).baseStatus.state)
			assert.are.equal(200, work:abort("OTHER", other))
			work:ended("OTHER", other)
		end)

		it("are ended when what stands before them is, and what they wrote until then is kept", function()
			python("STAMP", "import os, signal\nprint('begun', flush=True)\nwhile True: signal.pause()\n")
			local job = work:start("STAMP", "x")
			work:begun("STAMP", job)
			local row = work:recipes()[1]
			sh("kill -9 %d", row.pid)
			local a = work:ended("STAMP", job).baseStatus.activities.a_NP
			assert.are.same({ "FAILED", "signal" }, { a.state, a.cause })
			find(work:message(a), "SIGKILL, sent by somebody else than dssd")
			work:is_quiet()
			for _, m in ipairs(row.members) do assert.is_nil(helper.read(("/proc/%d/stat"):format(m.pid))) end
			find(work:log("STAMP", job), "- begun\n")
		end)
	end)
end)

describe("recipes without cgroups", function()
	it("are shown with what they started, and have nothing outlive them", function()
		local work = Work.new { edit = function(text) return (text:gsub('cgroups( *)= "%w+"', 'cgroups%1= "none"')) end }
		finally(function() work:remove() end)
		assert.are.equal("none", work.node:status().cgroups)
		work:project("NONE", [[project { recipes = { a = shell { outputs = { "x" },
			command = "(setsid sleep 3336 &); sleep 3337 & echo begun; while [ ! -e data/go ]; do sleep 0.1; done" } } }]])
		local job = work:start("NONE", "x")
		work:begun("NONE", job)
		local names = {}
		wait_for("all that it started", function()
			for _, m in ipairs(work:recipes()[1].members) do names[m.name] = true end
			return names["dss-logger"] and names.sh and names.sleep, names
		end)
		helper.write(work:path("NONE", "data/go"), "")
		assert.are.equal("DONE", work:ended("NONE", job).baseStatus.state)
		wait_for("the end of all that it left", function()
			for _, line in pairs(work.node:processes()) do
				if line:find "^sleep 333[67]" then return false, line end
			end
			return true
		end, 30)
		assert.truthy(work:log("NONE", job):find("left 2 processes behind", 1, true))
	end)
end)
