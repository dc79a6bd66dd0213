-- `dss-logger stamp`: what stands between a recipe and its log, run by hand.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local wait_for = helper.wait_for

describe("stamp", function()
	local dir
	local logger = Instance.program "dss-logger"

	setup(function() dir = Instance.folder() end)
	teardown(function() Instance.remove_folder(dir) end)

	local function write(name, text, mode)
		helper.write(dir .. "/" .. name, text)
		os.execute(("chmod %s %s/%s"):format(mode or "755", dir, name))
		return dir .. "/" .. name
	end

	--- Lines without their time and pid, and the status.
	local function stamp(...)
		local out, status = Instance.run { logger, "stamp", "--name", "a_NP", ... }
		local lines = {}
		for line in (out .. "\n"):gmatch "(.-)\n" do
			if line ~= "" then lines[#lines + 1] = (line:gsub("^%[[^%]]+%] %[null%-(%a+)%-%d+%] %[(%a+)%] %[act%.a_NP%]  %- ", "%1 %2 ")) end
		end
		return lines, status
	end

	--- What it tells whoever started it, by the descriptor that it is given: an errno and a text; nothing where the program runs.
	local function told(...)
		local file = dir .. "/told"
		Instance.run { "sh", "-c", 'f=$1; shift; exec "$@" 7>"$f"', "sh", file, "env", "DSS_START_FD=7", logger, "stamp", ... }
		local bytes = helper.read(file)
		if #bytes == 0 then return nil end
		local errnum, at = string.unpack("i4", bytes)
		return errnum, bytes:sub(at)
	end

	it("shows every control character but the tabulator as ?, wherever it stands, and leaves all other bytes", function()
		local sent, want = {}, {}
		for byte = 0, 255 do
			for place = 0, 8 do
				if byte ~= 10 and byte ~= 13 then
					local before, after = ("a"):rep(place), ("z"):rep(8 - place) .. "\t~ \200"
					sent[#sent + 1] = before .. string.char(byte) .. after .. "\n"
					want[#want + 1] = "out INFO " .. before .. (byte < 32 and byte ~= 9 and "?" or byte == 127 and "?" or string.char(byte)) .. after
				end
			end
		end
		local file = dir .. "/bytes"
		helper.write(file, table.concat(sent))
		local lines, status = stamp("--", "cat", file)
		assert.are.same({ 0, #want }, { status, #lines })
		for n, line in ipairs(want) do assert.are.equal(line, lines[n]) end
	end)

	it("puts time, stream and name before each line, and ends as the program did", function()
		local lines, status = stamp("--", "sh", "-c", "echo one; echo two >&2; exit 7")
		table.sort(lines)
		assert.are.same({ "err INFO two", "out INFO one" }, lines)
		assert.are.equal(7, status)
		assert.are.equal(137, select(2, stamp("--", "sh", "-c", "kill -9 $$")))
	end)

	it("tells the program's own end and all its lines, also where the kernel lets it wait for nothing", function()
		local script = write("deny.lua", ([[
			package.cpath = %q
			assert(require("t_spawn").deny_ppoll(12)) -- ENOMEM
			os.exit(select(3, os.execute(%q)))
		]]):format(package.cpath, logger .. " stamp --name a_NP -- sh -c 'echo one; seq 20000; exit 7'"))
		local out, status = Instance.run { "env", "LD_PRELOAD=" .. (os.getenv "DSS_SAN_PRELOAD" or ""), "lua5.4", script }
		assert.are.equal(7, status)
		local _, lines = out:gsub("%] %[INFO%] ", "")
		assert.are.equal(20001, lines)
		assert.truthy(out:find("unable to wait for the program's output: Cannot allocate memory", 1, true), out:sub(1, 300))
	end)

	it("shows what has no end, has bytes of its own, or is longer than a line may be", function()
		assert.are.same({ "out INFO no end" }, (stamp("--", "printf", "no end")))
		assert.are.same({ "out INFO a?[31mred?? b\tc" }, (stamp("--", "printf", "a\\033[31mred\\0\\001 b\\tc\\r\\n")))
		local lines = stamp("--", "sh", "-c", "head -c 100000 /dev/zero | tr '\\0' x")
		local n = 0
		for _, line in ipairs(lines) do n = n + select(2, line:gsub("x", "")) end
		assert.are.same({ 7, 100000 }, { #lines, n })
	end)

	it("a line's end of CR and LF is one, also where they come one after the other", function()
		local program = [[
import fcntl, os, struct, termios
os.write(1, b"one\r")
while struct.unpack("i", fcntl.ioctl(1, termios.FIONREAD, bytes(4)))[0]: pass
os.write(1, b"\ntwo\r\n")]]
		assert.are.same({ "out INFO one", "out INFO two" }, (stamp("--", "/usr/bin/python3", "-c", program)))
	end)

	it("tells why a program cannot be run, to people and to who started it", function()
		local cases = {
			{ "/opt/nowhere/tool", 2, "unable to run /opt/nowhere/tool: No such file or directory" },
			{ "no-such-program-here", 2, "unable to run no-such-program-here: it is not installed (searched " },
			{ write("windows", "#!/bin/sh\r\necho hi\r\n"), 2, "its lines end as on Windows (CRLF)" },
			{ write("orphan", "#!/opt/none/python\n"), 2, "the program that its first line names does not exist: /opt/none/python" },
			{ write("plain", "echo hi\n", "644"), 13, "Permission denied: it is not executable for user id " },
			{ dir, 13, "Permission denied" },
		}
		for _, case in ipairs(cases) do
			local lines, status = stamp("--", case[1])
			assert.are.equal(127, status)
			assert.truthy(lines[1]:find(case[3], 1, true), lines[1])
			local errnum, text = told("--", case[1])
			assert.are.same({ case[1], case[2] }, { case[1], errnum })
			assert.truthy(text:find(case[3], 1, true), text)
		end
		-- one that runs is nothing to tell of, also where it ends with the status that shells use
		assert.is_nil(told("--", "sh", "-c", "exit 127"))
		-- a script without a first line is the shell's
		assert.are.same({ "out INFO hi" }, (stamp("--", write("bare", "echo hi\n"))))
	end)

	it("tells of a script or a folder that it cannot use before the program is run", function()
		local errnum, text = told("--script", dir .. "/none.py", "--", "/usr/bin/python3", dir .. "/none.py")
		assert.are.same({ 2, ("unable to read the script %s/none.py: No such file or directory"):format(dir) }, { errnum, text })
		assert.are.equal(21, (told("--script", dir, "--", "true")))
		errnum, text = told("--folder", "/proc/1/none", "--", "true")
		assert.are.equal(2, errnum)
		assert.truthy(text:find("unable to write to the folder /proc/1/none: ", 1, true), text)
	end)

	it("hints at a script that a shell takes otherwise than its author meant", function()
		local lines = stamp("--script", write("crlf.sh", "set -eu\r\necho hi\r\n"), "--", "/bin/sh", dir .. "/crlf.sh")
		assert.truthy(table.concat(lines, "\n"):find("has Windows line ends (CRLF): a shell takes each \\r as part of a word", 1, true))
		lines = stamp("--script", write("crlf.py", "print('hi')\r\n"), "--", "/usr/bin/python3", dir .. "/crlf.py")
		assert.are.same({ "out INFO hi" }, lines)
	end)

	it("does not wait for what the program leaves behind, and names it", function()
		local sleeps = "sleep 3333 & until grep -q sleep /proc/$!/comm; do :; done; echo $! >%s/%d" -- its name is its own by then
		local lines, status = stamp("--", "sh", "-c", sleeps:format(dir, 1) .. "; setsid sh -c '" .. sleeps:format(dir, 2) .. "'; echo done")
		local pids = {}
		for i = 1, 2 do pids[i] = math.tointeger(tonumber((helper.read(dir .. "/" .. i):match "%d+"))) end
		for _, pid in ipairs(pids) do os.execute("kill " .. pid) end
		assert.are.same({ 0, "out INFO done" }, { status, lines[1] })
		assert.truthy(lines[2]:find("out WARN the program has ended and left 2 processes behind, which end with its box: ", 1, true), lines[2])
		for _, pid in ipairs(pids) do assert.truthy(lines[2]:find(("sleep (pid %d)"):format(pid), 1, true), lines[2]) end
		for _, pid in ipairs(pids) do
			wait_for("its end", function() return not helper.read(("/proc/%d/cmdline"):format(pid)) or helper.read(("/proc/%d/cmdline"):format(pid)) == "" end)
		end
	end)

	it("says nothing of what is left where the program was asked to end: all of it is ended with it", function()
		os.execute(("timeout 30 sh -c 'until [ -s %s/asked ]; do :; done; kill -TERM `cat %s/asked`' &"):format(dir, dir))
		local lines = stamp("--", "sh", "-c", ("sleep 3333 & echo $! >%s/sleep; echo here; echo $PPID >%s/asked.new; mv %s/asked.new %s/asked; wait"):format(dir, dir, dir, dir))
		assert.are.equal(true, os.execute("kill " .. helper.read(dir .. "/sleep"):match "%d+"))
		assert.are.equal("out INFO here", lines[1])
		assert.is_nil(table.concat(lines, "\n"):find("behind", 1, true))
	end)

	it("keeps the program from signalling whom it did not start, where the kernel can", function()
		if not os.execute [[/usr/bin/python3 -c 'import ctypes,sys; sys.exit(ctypes.CDLL(None).syscall(444, None, 0, 1) < 6)']] then
			return pending "this kernel has no Landlock scope of signals (Linux 6.12)"
		end
		local lines, status = stamp("--", "sh", "-c", "kill -9 $PPID; kill -0 1 2>/dev/null || echo kept; sleep 3333 & kill $! && echo own")
		assert.are.equal(0, status)
		local text = table.concat(lines, "\n")
		assert.truthy(text:find("out INFO kept", 1, true) and text:find("out INFO own", 1, true), text)
		-- all that it may signal is itself and what it started
		lines, status = stamp("--", "sh", "-c", "kill -TERM -1; echo survived")
		assert.are.same({ { "out INFO survived" }, 0 }, { lines, status })
	end)
end)
