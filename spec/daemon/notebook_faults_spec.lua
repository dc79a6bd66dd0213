-- Cells that do their worst, against a real server: they end alone, or are held, and nobody else notices.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local Notebooks = require "spec.daemon.notebook_node"
local json = require "t_json"
local wait_for = helper.wait_for

local POLICY = Notebooks.POOLS .. [[
box "a kernel" { at = "notebooks/${user}/${kernel}", memory = "400m", swap = 0, threads = 60 }
]]
local LOG_BYTES = 4 << 20

describe("a notebook's cell", function()
	local n

	local function open()
		if not Notebooks.has_jupyter then return pending "jupyter_server or ipykernel is not installed" end
		if n then return true end
		n = Notebooks.new { config = "jupyter {}\nlog { file = \"1m\", files = 3 }", policies = { ["10.lua"] = POLICY } }
		n:project "WILD"
		return true
	end

	teardown(function()
		if n then n:remove() end
	end)

	--- Who must not notice: pid → name.
	local function others()
		return { keeper = n.node:pid "keeper", backend = n.node:pid "backend", jupyter = n.node:pid "jupyter", logger = n.node:pid "logger" }
	end

	it("that asks for 10 GB at once ends alone: another notebook, the server, the keeper and the backend go on", function()
		if not open() then return end
		if n.node:status().isolation == "none" then return pending "no cgroups here" end
		local other, wild = n:start "WILD/other.ipynb", n:start "WILD/10 GB.ipynb"
		n:cell(other, "kept = 1")
		local before, pid = others(), n:pid(wild)
		n:send(wild, "held = [bytearray(b'1') * (1 << 30) for i in range(10)]")
		local told = wait_for("the word", function()
			return n.node:read "run/backend.log":match 'Killed: The kernel of notebook "WILD/10 GB.ipynb" of ann[^\n]*'
		end, 40)
		assert.truthy(told:find("400 MB", 1, true), told)
		wait_for("another kernel in its place", function()
			local p = n:rows()[wild]
			return p and math.tointeger(p.pid) ~= pid
		end, 20)
		assert.are.equal("1", n:cell(other, "kept"))
		assert.are.same(before, others())
		n:delete(other)
		n:delete(wild)
	end)

	it("that prints 1 GB fills neither the server, nor the log, nor the disk", function()
		if not open() then return end
		local wild, other = n:start "WILD/prints.ipynb", n:start "WILD/beside.ipynb"
		n:cell(other, "kept = 2")
		local before = others()
		-- to its page through the server, and, past Jupyter, to the server's own log
		n:send(wild, [[
import os, sys
line = "x" * 1023 + "\n"
for i in range(256):
    print(line * 2048, end="")
    sys.stdout.flush()
chunk = line.encode() * 1024
for i in range(512):
    os.write(1, chunk)
open("printed", "w").write("all")]])
		wait_for("all of it to be printed", function() return helper.read(n.node.dir .. "/projects/WILD/printed") end, 120)
		n:await_idle(wild)
		assert.are.equal("2", n:cell(other, "kept"))
		assert.are.same(before, others())
		local bytes = tonumber((Instance.run { "sh", "-c", "cat " .. Instance.quote(n.node.dir) .. "/run/ipython.log* | wc -c" }))
		assert.is_true(bytes <= LOG_BYTES, bytes .. " bytes of log")
		local status = n.node:status()
		for _, name in ipairs { "jupyter", "backend", "logger" } do
			local rss = tonumber((helper.read(("/proc/%d/status"):format(status.by[name].pid)):match "VmRSS:%s*(%d+)"))
			-- what the kernel's socket has not given away yet stands in the server for a moment: half of the printed came up in it
			assert.is_true(rss < (name == "jupyter" and 640 or 300) << 10, name .. " holds " .. rss .. " kB")
		end
		n:delete(wild)
		n:delete(other)
	end)

	it("that forks until it cannot is held by its box, and all of it ends with the notebook, also what has left its session", function()
		if not open() then return end
		if n.node:status().isolation == "none" then return pending "no cgroups here" end
		local wild, other = n:start "WILD/forks.ipynb", n:start "WILD/beside.ipynb"
		local before = others()
		local forked = n:cell(wild, [[
import os, signal, time
n = 0
try:
    while n < 1000:
        if os.fork() == 0:
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while True: time.sleep(1000)
        n += 1
except OSError as e:
    print(e.strerror, n < 60)]], 60)
		assert.are.equal("Resource temporarily unavailable True", forked)
		assert.are.equal("4", n:cell(other, "2 + 2"))
		local box = n:rows()[wild].cgroup
		n:delete(wild)
		wait_for("all of it to be gone", function()
			local out = Instance.run { "sh", "-c", "find /sys/fs/cgroup -path '*" .. box .. "/cgroup.procs' 2>/dev/null | xargs -r cat | head -n 1" }
			return out == "", out
		end, 20)
		assert.are.same(before, others())
		n:delete(other)
	end)

	it("is told apart by its notebook's name, whatever that is: no name becomes a path", function()
		if not open() then return end
		for _, name in ipairs { "a b/c. d..ipynb", "..", ".hidden.ipynb", "Überstunden ½ – 日本語/ö.ipynb", "tab\tand'quote\".ipynb", "$(touch x);`id`.ipynb", ("x"):rep(200) .. ".ipynb" } do
			local path = "WILD/" .. name
			local made = n:jupyter("start", path)
			if name == ".." then
				-- it is none of the project's: the server takes it for its root, and so do we
				if made.kernel then n:delete(made.kernel) end
			else
				local kernel = assert(made.kernel, path .. json.encode(made))
				local row = n:rows()[kernel]
				assert.are.same({ "WILD", "ann", path }, { row.project, row.user, row.notebook })
				if row.cgroup then assert.truthy(row.cgroup:find("^[%w/_.-]+$"), row.cgroup) end
				assert.are.equal("2", n:cell(kernel, "1 + 1"))
				n:delete(kernel)
			end
		end
	end)

	it("finds no secret of the instance: in no file, environment, memory, descriptor or socket, and can ask nobody to act for it", function()
		if not open() then return end
		if not Notebooks.is_root then return pending "needs root: else all is one user" end
		local other, spy = n:start "WILD/other.ipynb", n:start "WILD/spy.ipynb"
		n:cell(other, "import os; os.environ['MINE'] = 'secret'; held = 'secret'")
		-- a start of another kernel is on its way while it looks: what its launcher has is no more to be seen
		local words = {}
		for _, file in ipairs { "config/admin.key", "config/jupyter.token", "config/node.key" } do
			local bytes = n.node:read(file)
			words[#words + 1] = bytes:find "^[%g%s]+$" and bytes:match "%S+" or nil
		end
		assert.is_true(#words >= 2)
		for i, w in ipairs(words) do words[i] = w:reverse() end -- so that what it looks for stands in no memory of its own
		n:write("WILD/words.json", json.encode(words))
		n:cell(spy, ([[
import ctypes, json, os, socket, threading
dir, other = %q, %d
libc = ctypes.CDLL(None, use_errno=True)
words = [w[::-1].encode() for w in json.load(open("words.json"))]
found, stop = [], False
def look(path, size=1 << 16):
    try:
        with open(path, "rb") as f:
            return f.read(size)
    except OSError:
        return b""
def survey():
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) == os.getpid():
            continue
        for name in ("environ", "maps", "auxv", "io", "stack", "syscall"):
            if look("/proc/%%s/%%s" %% (pid, name), 100):
                found.append("%%s of %%s %%s" %% (name, pid, look("/proc/%%s/cmdline" %% pid)))
        try:
            os.close(os.open("/proc/%%s/mem" %% pid, os.O_RDONLY))
            found.append("mem of %%s" %% pid)
        except OSError:
            pass
        try:
            found.extend(os.readlink("/proc/%%s/fd/%%s" %% (pid, fd)) for fd in os.listdir("/proc/%%s/fd" %% pid))
        except OSError:
            pass
        if any(w in look("/proc/%%s/cmdline" %% pid) for w in words):
            found.append("a key on the command line of %%s" %% pid)
def watch():
    while not stop:
        survey()
watcher = threading.Thread(target=watch)
watcher.start()]]):format(n.node.dir, n:pid(other)))
		local third = n:start "WILD/third.ipynb"
		n:cell(third, "1")
		n:kill "jupyter"
		n:await_idle(spy)
		assert.are.equal("[]", n:cell(spy, [[
stop = True
watcher.join()
survey()
print(found[:5])]], 60))
		assert.are.equal("[]", n:cell(spy, [[
files = []
for top, folders, names in os.walk(dir):
    for name in names:
        path = os.path.join(top, name)
        if path != os.path.join(dir, "projects/WILD/words.json") and any(w in look(path, 1 << 24) for w in words):
            files.append(path)
print(files)]], 60))
		-- neither traced, nor read, nor its descriptors taken
		assert.are.equal("[-1, -1, -1]", n:cell(spy, [[
here, there = ctypes.create_string_buffer(8), ctypes.c_void_p(0x1000)
class iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]
mine, theirs = iovec(ctypes.addressof(here), 8), iovec(0x1000, 8)
pidfd = os.pidfd_open(other)
print([libc.ptrace(16, other, None, None), libc.process_vm_readv(other, ctypes.byref(mine), 1, ctypes.byref(theirs), 1, 0),
       libc.syscall(438, pidfd, 0, 0)])]]))
		local sockets = n:cell(spy, [[
import stat
open_to = []
for top, folders, names in os.walk(dir):
    for name in names:
        path = os.path.join(top, name)
        if os.path.exists(path) and stat.S_ISSOCK(os.stat(path).st_mode):
            s = socket.socket(socket.AF_UNIX)
            try:
                s.connect(path)
                open_to.append(os.path.relpath(path, dir))
            except OSError:
                pass
for name in ("run/keeper.sock", "run/backend.sock", "run/webapps.sock", "run/logger.sock"):
    s = socket.socket(socket.AF_UNIX)
    try:
        s.connect(os.path.join(dir, name))
        open_to.append(name)
    except OSError:
        pass
print(open_to)]])
		assert.are.equal("[]", sockets)
		for _, kernel in ipairs { other, third, spy } do n:delete(kernel) end
	end)
end)
