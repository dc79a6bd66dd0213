-- The Jupyter server as a service, against a real one with real kernels: each in a box of its own, outliving server and backend.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local json = require "t_json"
local wait_for = helper.wait_for

local CLIENT = "spec/daemon/notebook_client.py"
local PYTHON = "/usr/bin/python3"
local has_jupyter = os.execute(PYTHON .. " -s -c 'import jupyter_server, ipykernel' 2>/dev/null")
local is_root = Instance.run { "id", "-u" } == "0"

local POOLS = [[ pool "fek" { kernel = python {}, limits = { memory = "256m" }, warm = { min = 0, max = 1 } } ]]
local LIMITS = POOLS .. [[
box "a kernel" { at = "notebooks/${user}/${kernel}", memory = "400m" }
slots "kernels of SMALL" { where = "kind = notebook and project = SMALL", max = 1 }
]]

describe("notebooks", function()
	local node

	local function project(key, text)
		local dir = node.dir .. "/projects/" .. key
		os.execute("mkdir -p " .. Instance.quote(dir))
		helper.write(dir .. "/project.lua", text or 'project { owner = "ann" }')
		os.execute(("chown -R --reference=%s %s"):format(Instance.quote(node.dir .. "/projects"), Instance.quote(dir)))
	end

	local function open(what)
		if not has_jupyter then return pending "jupyter_server or ipykernel is not installed" end
		if node then return true end
		what = what or {}
		node = Instance.new { config = what.config or "jupyter {}", init = what.init, policies = { ["10.lua"] = what.policies or LIMITS } }
		node:start()
		project "SALES"
		return true
	end

	local function close()
		if node then node:remove() end
		node = nil
	end

	teardown(close)

	local function address()
		return ("http://127.0.0.1:%d"):format(math.tointeger(json.decode(node:read "run/ports.json").jupyter))
	end

	--- What CLIENT answers.
	local function jupyter(verb, ...)
		local out, why = Instance.run_apart { PYTHON, "-s", CLIENT, address(), node.dir .. "/config/jupyter.token", verb, ... }
		return json.decode(out) or error(verb .. ": " .. out .. why, 2)
	end

	local function start(path)
		local s = jupyter("start", path)
		assert.truthy(s.kernel, json.encode(s))
		return s.kernel, s.session
	end

	local function cell(kernel, code, seconds)
		local answer = jupyter("cell", kernel, code, tostring(seconds or 30))
		if answer.error then error(("%s: %s"):format(code, json.encode(answer)), 2) end
		return (answer.text:gsub("\n$", ""))
	end

	local function rows()
		local status, list = node:http("GET", "/api/processes")
		local out = {}
		for _, p in ipairs(status == 200 and list or {}) do
			if p.kind == "notebook" then out[#out + 1], out[p.kernelId or p.id] = p, p end
		end
		return out
	end

	local function pid(kernel) return math.tointeger(assert(rows()[kernel], "no process of " .. kernel).pid) end

	local function is_alive(of) return os.execute("kill -0 " .. of .. " 2>/dev/null") == true end

	local function gone(kernel)
		wait_for("the kernel's end", function() return rows()[kernel] == nil end, 20)
	end

	local function end_all()
		for _, k in ipairs(jupyter("get", "/api/kernels").answer) do jupyter("delete", "/api/kernels/" .. k.id) end
		wait_for("the end of all kernels", function() return #rows() == 0 end, 20)
	end

	local function shown(kernel)
		for _, k in ipairs(jupyter("get", "/api/kernels").answer or {}) do
			if k.id == kernel then return k end
		end
	end

	--- Jupyter does not make sure of a client's connections to a kernel that it holds to be at work: what it says first may be missed.
	local function await_idle(kernel)
		wait_for("the kernel to be idle", function()
			local k = shown(kernel)
			return k and k.execution_state == "idle"
		end, 20)
	end

	local function kill_server()
		local before = node:pid "jupyter"
		node:kill "jupyter"
		wait_for("the next server", function()
			local p = node:status().by.jupyter
			return p and p.state == "ready" and p.pid ~= before
		end, 40)
	end

	it("are served by a service that the keeper runs, and status tells of it", function()
		if not open() then return end
		local p = node:status().by.jupyter
		assert.are.equal("ready", p.state)
		assert.are.equal(200, jupyter("get", "/api/status").status)
		if is_root then assert.are.equal("dss-run", (Instance.run { "stat", "-c", "%U", node.dir .. "/notebooks/server/runtime" })) end
		assert.truthy(node:read "run/ipython.log":find("Jupyter Server", 1, true))
	end)

	it("have each kernel in a box of its own before its first line, told with notebook, project and owner", function()
		if not open() then return end
		local name = "SALES/Umsatz je Jahr ü (1).ipynb"
		local kernel = start(name)
		local p = rows()[kernel]
		assert.are.same({ "ann", "SALES", name, "python3" }, { p.user, p.project, p.notebook, p.kernelSpec })
		assert.are.equal(tostring(math.tointeger(p.pid)), cell(kernel, "import os; print(os.getpid())"))
		if node:status().isolation ~= "none" then
			assert.truthy(p.cgroup:find("/run/notebooks/ann/" .. p.id, 1, true), p.cgroup)
			assert.are.equal(400 << 20, math.tointeger(p.limitBytes))
			assert.truthy(cell(kernel, "print(open('/proc/self/cgroup').read())"):find("/run/notebooks/ann/" .. p.id, 1, true))
		end
		assert.are.equal(node.dir .. "/projects/SALES", cell(kernel, "print(os.getcwd())"))
	end)

	it("give a kernel nothing of the server's environment, and no way to the instance's secrets", function()
		if not open() then return end
		if not is_root then return pending "needs root: else all is one user" end
		local kernel = start "SALES/secrets.ipynb"
		local found = cell(kernel, ([[
import json, os, stat
dir = %q
secrets = []
found = []
def look(path, size=1 << 20):
    try:
        with open(path, "rb") as f:
            return f.read(size)
    except OSError:
        return b""
for name in ("config/admin.key", "config/node.key", "config/jupyter.token", "run/keeper.plan", "db/dss.sqlite", "policies/10.lua"):
    if look(os.path.join(dir, name)):
        found.append(name)
for pid in filter(str.isdigit, os.listdir("/proc")):
    if int(pid) == os.getpid():
        continue
    for name in ("environ", "mem", "auxv"):
        if look("/proc/%%s/%%s" %% (pid, name), 100):
            found.append("%%s of %%s" %% (name, look("/proc/%%s/comm" %% pid)))
    try:
        found += ["%%s of %%s" %% (os.readlink("/proc/%%s/fd/%%s" %% (pid, fd)), pid) for fd in os.listdir("/proc/%%s/fd" %% pid)]
    except OSError:
        pass
words = [k for k in os.environ if k.startswith(("DSS_", "DKU_", "JUPYTER_TOKEN", "JPY_PARENT"))]
print(json.dumps((found, words)))]]):format(node.dir), 60)
		assert.are.equal("[[], []]", found)
		-- the token stands nowhere that it could read: not on a command line, not below a folder that it may enter
		local token = node:read "config/jupyter.token":match "%S+"
		local hits = cell(kernel, ([=[
import subprocess
token = %q[::-1]  # as it stands here it is on no command line of ours
hits = []
for pid in filter(str.isdigit, os.listdir("/proc")):
    if token.encode() in look("/proc/%%s/cmdline" %% pid) and int(pid) != os.getpid():
        hits.append(pid)
out = subprocess.run(["grep", "-rlsF", token, "/tmp", dir, os.environ["HOME"]], capture_output=True, text=True).stdout.split()
print(hits + out)]=]):format(token:reverse()), 60)
		assert.are.equal("[]", hits)
		assert.are.equal("[]", cell(kernel, [[
import socket
def may(action, *args):
    try:
        action(*args)
        return [args]
    except OSError:
        return []
s = socket.socket(socket.AF_UNIX)
print(may(os.kill, os.getppid(), 0) + may(s.connect, dir + "/run/admin.sock") + may(os.listdir, dir + "/notebooks"))]]))
	end)

	it("let in no process that the server did not announce", function()
		if not open() then return end
		local kernel = start "SALES/door.ipynb"
		local answers = cell(kernel, ([[
import http.client, json, socket
def ask(path, body):
    c = http.client.HTTPConnection("localhost")
    c.sock = socket.socket(socket.AF_UNIX)
    c.sock.connect(%q)
    c.request("POST", path, json.dumps(body))
    return c.getresponse().status
print(ask("/announce", {"kernel": "mine", "path": "x", "spec": "python3"}), ask("/register", {"nonce": "00"}),
      ask("/note", {"kernel": "mine", "what": "shutdown"}))]]):format(node.dir .. "/notebooks/door.sock"))
		assert.are.equal("403 403 403", answers)
	end)

	it("are started, too, while code in a kernel holds the door with all connections that it gets", function()
		if not open() then return end
		local kernel = start "SALES/crowd.ipynb"
		local said = cell(kernel, ([[
import subprocess, sys
crowd = r'''
import socket, sys
held, path = [], sys.argv[1]
for i in range(400):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(10)
    try:
        s.connect(path)
        s.send(b"POST /register HTTP/1.1\r\nHost: l\r\nContent-Length: 9\r\n\r\n{")
        held.append(s)
    except OSError:
        pass
print(len(held) > 0, flush=True)
sys.stdin.read()
'''
procs = [subprocess.Popen([sys.executable, "-s", "-c", crowd, %q], stdin=subprocess.PIPE, stdout=subprocess.PIPE) for i in range(3)]
print(*[p.stdout.readline().decode().strip() for p in procs])
exec(crowd.replace("sys.argv[1]", repr(%q)).replace("sys.stdin.read()", ""))]]):format(node.dir .. "/notebooks/door.sock", node.dir .. "/notebooks/door.sock"))
		assert.are.equal("True True True\nTrue", said)
		local other = start "SALES/other.ipynb"
		assert.are.equal("2", cell(other, "1 + 1"))
		end_all()
	end)

	it("give what a kernelspec says of the loader to the kernel in its box, not to the launcher outside of it", function()
		if not open() then return end
		local folder = node.dir .. "/notebooks/server/data/kernels/loaded"
		local log = node.dir .. "/notebooks/server/loader"
		os.execute("mkdir -p " .. Instance.quote(folder))
		helper.write(folder .. "/kernel.json", json.encode {
			argv = { PYTHON, "-s", "-m", "ipykernel_launcher", "-f", "{connection_file}" }, display_name = "loaded", language = "python",
			env = { LD_DEBUG = "files", LD_DEBUG_OUTPUT = log },
		})
		os.execute(("chown -R --reference=%s %s"):format(Instance.quote(node.dir .. "/notebooks/server"), Instance.quote(folder)))
		local made = jupyter("start", "SALES/loaded.ipynb", "loaded")
		local kernel = assert(made.kernel, json.encode(made))
		assert.are.equal("files", cell(kernel, "import os; print(os.environ['LD_DEBUG'])"))
		local said = node:read(("notebooks/server/loader.%d"):format(pid(kernel)))
		assert.truthy(said:find("python3", 1, true))
		assert.is_nil(said:find("dss-logger", 1, true))
		assert.are.equal("[]", cell(kernel, "print([k for k in os.environ if k.startswith('DSS_')])"))
	end)

	it("hide project.lua, offer no terminals, and refuse a foreign Host and a missing token", function()
		if not open() then return end
		local names = {}
		for _, f in ipairs(jupyter("get", "/api/contents/SALES").answer.content) do names[f.name] = true end
		assert.is_nil(names["project.lua"])
		assert.are.equal(404, jupyter("get", "/api/contents/SALES/project.lua").status)
		assert.are.equal(404, jupyter("put", "/api/contents/SALES/project.lua", '{"type":"file","format":"text","content":"x"}').status)
		assert.are_not.equal(200, jupyter("post", "/api/terminals", "{}").status)
		local function status(...) return (Instance.run_apart { "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", address() .. "/api/kernels", ... }) end
		assert.are.equal("403", status())
		assert.are.equal("403", status("-H", "Host: evil.example", "-H", "Authorization: token " .. node:read "config/jupyter.token":match "%S+"))
	end)

	it("stop a cell at an interrupt and keep the variables; a restart begins anew in a box of its own", function()
		if not open() then return end
		local kernel = start "SALES/two.ipynb"
		assert.are.equal("", cell(kernel, "kept = 7"))
		jupyter("send", kernel, "import time; time.sleep(600)")
		assert.are.equal(204, jupyter("post", "/api/kernels/" .. kernel .. "/interrupt", "{}").status)
		await_idle(kernel)
		assert.are.equal("7", cell(kernel, "kept"))
		local child = cell(kernel, "import subprocess; print(subprocess.Popen(['setsid', 'sleep', '1000']).pid)")
		local before = rows()[kernel]
		assert.are.equal(200, jupyter("post", "/api/kernels/" .. kernel .. "/restart", "{}").status)
		assert.are.equal("False", cell(kernel, "'kept' in globals()"))
		wait_for("what the old one left to be gone", function() return not is_alive(child) end, 10)
		local now = rows()[kernel]
		assert.are_not.equal(before.id, now.id)
		assert.are_not.equal(before.pid, now.pid)
	end)

	it("end with their whole box when they are shut down, also what has left its session", function()
		if not open() then return end
		local kernel, session = start "SALES/three.ipynb"
		local child = cell(kernel, "import subprocess; print(subprocess.Popen(['setsid', 'sleep', '1000']).pid)")
		assert.is_true(is_alive(child))
		assert.are.equal(204, jupyter("delete", "/api/sessions/" .. session).status)
		gone(kernel)
		wait_for("its child's end", function() return not is_alive(child) end, 10)
		assert.are.same({}, Instance.run { "find", node.dir .. "/notebooks/server/runtime", "-name", "*" .. kernel .. "*" } == "" and {} or { "left" })
	end)

	it("survive a server that is killed: the next one has session, variables and state", function()
		if not open() then return end
		local kernel, session = start "SALES/four.ipynb"
		local busy = start "SALES/five.ipynb"
		cell(kernel, "kept = 42")
		jupyter("send", busy, "import time; time.sleep(600)")
		local pids = { pid(kernel), pid(busy) }
		kill_server()
		assert.are.same(pids, { pid(kernel), pid(busy) })
		local path
		for _, s in ipairs(jupyter("get", "/api/sessions").answer) do
			if s.id == session then path = s.path end
		end
		assert.are.equal("SALES/four.ipynb", path)
		await_idle(kernel)
		assert.are.equal("42", cell(kernel, "kept"))
		assert.are.equal("busy", shown(busy).execution_state)
		assert.are.equal(204, jupyter("post", "/api/kernels/" .. busy .. "/interrupt", "{}").status)
		await_idle(busy)
		assert.are.equal("3", cell(busy, "1 + 2"))
		assert.are.equal(200, jupyter("post", "/api/kernels/" .. busy .. "/restart", "{}").status)
		assert.are.equal("4", cell(busy, "2 + 2"))
		assert.are_not.equal(pids[2], pid(busy))
		assert.are.equal(204, jupyter("delete", "/api/kernels/" .. busy).status)
		gone(busy)
		kill_server()
		await_idle(kernel)
		assert.are.equal("42", cell(kernel, "kept"))
		-- a crash is seen through the pidfd, and the kernel started again
		jupyter("send", kernel, "import os; os.kill(os.getpid(), 9)")
		wait_for("it to be started again", function()
			local p = rows()[kernel]
			return p and math.tointeger(p.pid) ~= pids[1]
		end, 20)
		await_idle(kernel)
		assert.are.equal("5", cell(kernel, "2 + 3"))
	end)

	it("are taken up only if a server started them: a kernel cannot have the next one signal what it names", function()
		if not open() then return end
		local kernel = start "SALES/forger.ipynb"
		assert.are.equal("done", cell(kernel, ([[
import json, shutil
folder, mine, forged = %q, %q, "11111111-2222-3333-4444-555555555555"
with open("%%s/dss-%%s.json" %% (folder, mine)) as f:
    facts = json.load(f)
shutil.copy("%%s/kernel-%%s.json" %% (folder, mine), "%%s/kernel-%%s.json" %% (folder, forged))
with open("%%s/dss-%%s.json" %% (folder, forged), "w") as f:
    json.dump(facts, f)
print("done")]]):format(node.dir .. "/notebooks/server/runtime", kernel)))
		kill_server()
		assert.truthy(shown(kernel))
		assert.is_nil(shown "11111111-2222-3333-4444-555555555555")
		await_idle(kernel)
	end)

	it("survive `dss restart jupyter` and the end of the backend, which knows them afterwards", function()
		if not open() then return end
		local kernel = start "SALES/six.ipynb"
		cell(kernel, "kept = 11")
		local before = pid(kernel)
		local out, status = node:dss("restart", "jupyter")
		assert.are.equal(0, status, out)
		wait_for("the next server", function() return node:status().by.jupyter.state == "ready" end, 40)
		await_idle(kernel)
		assert.are.equal("11", cell(kernel, "kept"))
		node:kill "backend"
		local p
		wait_for("the next backend", function()
			local ok, list = pcall(rows)
			p = ok and list[kernel]
			return p
		end, 40)
		assert.are.same({ before, "ann", "SALES/six.ipynb" }, { math.tointeger(p.pid), p.user, p.notebook })
		assert.are.equal("11", cell(kernel, "kept"))
		local said, code = node:dss("restart", "keeper")
		assert.are.equal(0, code, said)
		assert.are.equal("11", cell(kernel, "kept"))
		assert.are.equal(before, pid(kernel))
		-- while none lives a start waits for the next one
		node:kill "backend"
		local later = start "SALES/seven.ipynb"
		assert.are.equal("9", cell(later, "4 + 5"))
		wait_for("its row", function() return rows()[later] ~= nil end, 20)
	end)

	it("are killed alone by their memory limit, with notebook, owner and numbers told", function()
		if not open() then return end
		if node:status().isolation == "none" then return pending "no cgroups here" end
		local other, hungry = start "SALES/other.ipynb", start "SALES/hungry one.ipynb"
		cell(other, "kept = 1")
		local before, server = pid(hungry), node:pid "jupyter"
		jupyter("send", hungry, "held = bytearray(3 << 30); held[::4096] = b'1' * len(held[::4096])")
		local told
		wait_for("the fact", function()
			local log = node:read "run/backend.log"
			told = log:match 'Killed: The kernel of notebook "SALES/hungry one.ipynb" of ann[^\n]*'
			return told
		end, 40)
		assert.truthy(told:find("400 MB", 1, true), told)
		wait_for("another kernel in its place", function()
			local p = rows()[hungry]
			return p and math.tointeger(p.pid) ~= before
		end, 20)
		assert.are.equal("1", cell(other, "kept"))
		assert.are.equal(server, node:pid "jupyter")
		local out, complaints, status = node:ctl("why", "SALES/hungry one")
		assert.are.equal(0, status, out .. complaints)
		assert.truthy(out:find("SALES/hungry one.ipynb: its kernel ended ", 1, true), out)
		assert.truthy(out:find('Killed: The kernel of notebook "SALES/hungry one.ipynb" of ann', 1, true), out)
		assert.truthy(out:find("cause: oom_limit, limit 400 MB", 1, true), out)
	end)

	it("wait for their place as slots say, and the one who waits is told why", function()
		if not open() then return end
		project("SMALL", 'project { owner = "bob" }')
		local first = start "SMALL/a.ipynb"
		local answer = jupyter("start", "SMALL/b.ipynb")
		assert.is_nil(answer.kernel)
		assert.truthy(tostring(answer.message):find("kernels of SMALL", 1, true), json.encode(answer))
		jupyter("delete", "/api/kernels/" .. first)
		assert.are.equal("2", cell(start "SMALL/b.ipynb", "1 + 1"))
	end)

	it("all end with the instance", function()
		if not open() then return end
		end_all()
		local p = { pid(start "SALES/last.ipynb"), pid(start "SALES/last but one.ipynb") }
		node:stop()
		assert.are.same({ false, false }, { is_alive(p[1]), is_alive(p[2]) })
		node:start()
		assert.are.same({}, rows())
		assert.are.same({}, jupyter("get", "/api/sessions").answer)
		close()
	end)

	it("tell what is missing where the packages are not installed", function()
		close()
		local python = Instance.folder() .. "/python"
		helper.write(python, "#!/bin/sh\nexec " .. PYTHON .. " -I -S \"$@\"\n")
		os.execute("chmod 755 " .. python)
		node = Instance.new { config = ("jupyter { python = %q }"):format(python), policies = { ["10.lua"] = POOLS } }
		local out = node:dss "start"
		local p
		wait_for("the reason", function()
			p = node:status().by.jupyter
			return p and p.cause == "start_failed", json.encode(p)
		end, 30)
		assert.truthy(out:find("jupyter_server is not installed for .*apt%-get install jupyter%-server python3%-ipykernel"), out)
		assert.truthy(json.encode(p):find("apt-get install jupyter-server python3-ipykernel", 1, true), json.encode(p))
		assert.are_not.equal("ready", p.state)
		close()
		os.remove(python)
		os.remove((python:match "^(.*)/"))
	end)

	it("run without cgroups as well", function()
		if not has_jupyter then return pending "jupyter_server or ipykernel is not installed" end
		close()
		open { init = { "--cgroups", "none" }, policies = POOLS }
		local kernel = start "plain.ipynb"
		assert.are.equal("admin", rows()[kernel].user)
		cell(kernel, "kept = 3")
		kill_server()
		assert.are.equal("3", cell(kernel, "kept"))
		jupyter("delete", "/api/kernels/" .. kernel)
		gone(kernel)
		close()
	end)
end)
