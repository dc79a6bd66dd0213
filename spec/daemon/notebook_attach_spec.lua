-- A Jupyter server that we did not start: its kernels are found on this machine and judged as ours are; where they cannot be found nothing is idle, unless
-- the admin trusts that server. What is unloaded there is asked of the server, and never signalled.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local Notebooks = require "spec.daemon.notebook_node"
local json = require "t_json"
local wait_for = helper.wait_for

local PYTHON, is_alive = Notebooks.PYTHON, Notebooks.is_alive
local has_all = Notebooks.has_jupyter and Notebooks.is_root
local IDLE_MS = 6000 -- over max_idle
local USER = "nobody"

describe("notebooks of a server that is only attached to", function()
	local node, notebooks, folder, url, started, shipped

	local function sh(command)
		local p = assert(io.popen(command, "r"))
		local out = p:read "a"
		p:close()
		return (out:gsub("%s+$", ""))
	end

	--- A process of its own that lives until the end; its pid.
	local function run(words, out)
		for i, w in ipairs(words) do words[i] = Instance.quote(w) end
		local pid = sh(("exec setsid %s >%s 2>&1 </dev/null & echo $!"):format(table.concat(words, " "), Instance.quote(out or "/dev/null")))
		started[#started + 1] = pid
		return pid
	end

	local function as_user(words) return { "/usr/bin/setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", table.unpack(words) } end

	--- The server, as nobody; it does not start kernels again that went.
	local function serve()
		local port = sh(PYTHON .. " -c 'import socket; s = socket.socket(); s.bind((\"127.0.0.1\", 0)); print(s.getsockname()[1])'")
		folder = Instance.folder()
		helper.write(folder .. "/token", "a-token")
		assert(os.execute(("mkdir -p %s/home/NB && chown -R 65534:65534 %s/home"):format(folder, folder)))
		local home = folder .. "/home"
		local pid = run(as_user { "/usr/bin/env", "-i", "PATH=/usr/bin:/bin", "LANG=C.UTF-8", "HOME=" .. home, "JUPYTER_CONFIG_DIR=" .. home .. "/c",
			"JUPYTER_DATA_DIR=" .. home .. "/d", "JUPYTER_RUNTIME_DIR=" .. home .. "/r", "IPYTHONDIR=" .. home .. "/i", "PYTHONNOUSERSITE=1", "JUPYTER_TOKEN=a-token",
			PYTHON, "-s", "-m", "jupyter_server", "--ServerApp.port=" .. port, "--ServerApp.port_retries=0", "--ServerApp.root_dir=" .. home,
			"--KernelManager.autorestart=False" }, folder .. "/log")
		url = "http://127.0.0.1:" .. port
		wait_for("the server", function()
			return os.execute(("curl -sf -o /dev/null -H 'Authorization: token a-token' %s/api/status"):format(url)), helper.read(folder .. "/log")
		end, 60)
		notebooks = Notebooks.of { url = url, token = folder .. "/token" }
		return pid
	end

	local function hold(kernel)
		local log = folder .. "/hold"
		run(notebooks:words("notebook_hold.py", kernel, "300"), log)
		wait_for("the page", function() return (helper.read(log) or ""):find "open" end, 30)
	end

	--- Such a server may miss what a new kernel says first, and then calls it starting until somebody speaks to it.
	local function start(name)
		local kernel = notebooks:start("NB/" .. name .. ".ipynb")
		wait_for("the server to hear the kernel", function()
			notebooks:cell(kernel, "here = 7")
			local k = notebooks:jupyter("get", "/api/kernels/" .. kernel)
			return k.answer.execution_state == "idle", json.encode(k)
		end, 30)
		return kernel
	end

	--- A cell that is silent for long. Such a server takes the answer to a page's greeting for the state, where that comes after the cell has begun: then
	--- it is begun anew.
	local function work(kernel)
		wait_for("the server to call it busy", function()
			notebooks:send(kernel, "import time; time.sleep(600)")
			local function state() return notebooks:jupyter("get", "/api/kernels/" .. kernel).answer.execution_state end
			if state() == "busy" and state() == "busy" then return true end
			notebooks:jupyter("post", "/api/kernels/" .. kernel .. "/interrupt", "{}")
		end, 30)
	end

	local function attach(to, more)
		node = Instance.new { config = ('jupyter { attach = "%s", token_file = "%s/token"%s }'):format(to or url, folder, more or ""),
			policies = { ["10.lua"] = Notebooks.POOLS, ["40-macros.lua"] = shipped } }
		node:start()
		notebooks.node = node
	end

	local function names(of)
		local out = {}
		for name in pairs(of) do out[#out + 1] = name end
		table.sort(out)
		return table.concat(out, " ")
	end

	setup(function() shipped = assert(helper.read "policies/40-macros.lua") end)
	before_each(function() started = {} end)
	after_each(function()
		if node then node:remove() end
		node = nil
		for i = #started, 1, -1 do os.execute(("kill -CONT %s 2>/dev/null; kill %s 2>/dev/null"):format(started[i], started[i])) end
		for _, pid in ipairs(started) do
			wait_for("the end of " .. pid, function() return not os.execute(("kill -0 %s 2>/dev/null"):format(pid)) end, 20)
		end
		if folder then Instance.remove_folder(folder) end
		folder = nil
	end)

	it("are judged by their processes: who is idle is unloaded, who works, is connected or kept stays, and nobody goes while the server hangs", function()
		if not has_all then return pending "jupyter_server and ipykernel, and a user of its own for the server, are needed" end
		local server = serve()
		local kernels = {}
		for _, name in ipairs { "idle", "busy", "thread", "page", "kept" } do
			kernels[name] = start(name)
		end
		notebooks:cell(kernels.thread, Notebooks.THREAD)
		work(kernels.busy)
		hold(kernels.page)
		attach()
		local all = notebooks:await_named("all to be known", function(r)
			for _, name in ipairs { "idle", "busy", "thread", "page", "kept" } do
				if not (r[name] and r[name].silentTime) then return false end
			end
			return r.busy.state == "busy" and r.page.connections == 1 and (r.thread.cpuShare or 0) > 0.05
		end)
		for _, name in ipairs { "idle", "kept", "page" } do
			local r = all[name]
			assert.are.equal(notebooks:cell(kernels[name], "import os; print(os.getpid())"), tostring(math.tointeger(r.pid)))
			assert.are.equal(USER, r.user)
			assert.is_true(r.memoryBytes > 10 << 20 and r.cpuSeconds > 0, json.encode(r))
		end
		local found, reasons
		local out, why, status = node:ctl("keep", "NB/kept", "8h")
		assert.are.equal(0, status, out .. why)

		-- a child that its cell left behind works for it
		local before = notebooks:named().kept.cpuSeconds
		notebooks:cell(kernels.kept, "import subprocess, sys\nchild = subprocess.Popen([sys.executable, '-c', 'while True: pass'])")
		notebooks:await_named("the child to be seen", function(r) return r.kept.cpuSeconds > before + 2 and r.kept.cpuShare > 0.05 and r.kept.state == "idle" end)
		notebooks:cell(kernels.kept, "child.kill(); child.wait()")

		notebooks:await_named("idle, page and kept to be silent", function(r)
			return (r.idle.quietTime or 0) > IDLE_MS and (r.page.silentTime or 0) > IDLE_MS and (r.kept.silentTime or 0) > IDLE_MS
		end, 90)
		assert.are.equal("idle", names(notebooks:named "quiet > 5s and not leased"))
		assert.are.equal("idle page", names(notebooks:named "silent > 5s and not leased"))
		out = node:ctl("notebooks", "--where", "quiet > 5s")
		assert.truthy(out:find("NB/idle.ipynb", 1, true) and out:find("NB/kept.ipynb", 1, true), out)
		assert.is_nil(out:find("NB/busy", 1, true) or out:find("NB/thread", 1, true) or out:find("NB/page", 1, true), out)
		assert.truthy(out:find("7 h 59 min", 1, true), out) -- how long it is still kept

		-- the next backend knows what this one knew
		local kept, worked = notebooks:named().kept, notebooks:named().idle.lastActivity
		node:kill "backend"
		notebooks:await_named("the next backend to know them", function(r) return r.kept and r.kept.quietTime and r.idle and (r.idle.quietTime or 0) > IDLE_MS end, 90)
		local now = notebooks:named()
		assert.are.same({ kept.leasedUntil, kept.pid, kept.startedAt, worked }, { now.kept.leasedUntil, now.kept.pid, now.kept.startedAt, now.idle.lastActivity })

		local what, _, result = notebooks:unload { max_idle = "5s", simulate = false }
		assert.are.same({ idle = "unloaded", busy = "kept", thread = "kept", page = "kept", kept = "kept" }, what, json.encode(result))
		wait_for("its process to be gone", function() return not is_alive(all.idle.pid) end, 20)
		what, _, result = notebooks:unload { max_idle = "5s", spare_connected = false, simulate = false }
		assert.are.same({ busy = "kept", thread = "kept", page = "unloaded", kept = "kept" }, what, json.encode(result))
		assert.are.equal("busy kept thread", names(notebooks:named()))
		assert.are.equal("7", notebooks:cell(kernels.kept, "here"))

		-- a server that hangs: nobody is known, nobody goes, and no signal stands in for it
		os.execute("kill -STOP " .. server)
		notebooks:await_named("nobody to be known", function(r) return r.kept and r.kept.state == "unknown" end)
		what, _, result = notebooks:unload { max_idle = "1ms", max_age = "1ms", spare_busy = false, spare_connected = false, spare_leased = false, simulate = false }
		assert.are.same({ busy = "skipped", thread = "skipped", kept = "skipped" }, what, json.encode(result))
		local refused, said = node:http("DELETE", "/api/notebooks/" .. kernels.thread)
		assert.are.equal(503, refused, json.encode(said))
		for _, r in pairs(notebooks:named()) do assert.is_true(is_alive(all[r.notebook:match "NB/(.*)%.ipynb"].pid)) end
		local told
		wait_for("the alert", function()
			local _, list = node:http("GET", "/api/alerts")
			for _, a in ipairs(list) do told = a.key == "notebooks" and a.text or told end
			return told
		end, 90)
		assert.truthy(told:find("; see to the server at " .. url, 1, true), told)
		os.execute("kill -CONT " .. server)
		notebooks:await_named("them to be known again", function(r) return r.kept and r.kept.quietTime end)

		-- its process is gone, and the server goes on telling of it
		os.execute(("kill -9 %d"):format(all.kept.pid))
		local dead = notebooks:await_named("it to be dead", function(r) return r.kept.state == "dead" end).kept
		assert.are.same({}, { dead.pid, dead.quietTime, dead.silentTime, dead.memoryBytes })
		what, reasons, result = notebooks:unload {}
		assert.are.same({ "would be unloaded", "kept" }, { what.kept, what.busy }, json.encode(result))
		assert.truthy(reasons.kept:find("its kernel is dead", 1, true), reasons.kept)
		assert.truthy(notebooks:named().kept)
		what, _, result = notebooks:unload { simulate = false }
		assert.are.same({ "unloaded", "kept" }, { what.kept, what.busy }, json.encode(result))
		found = notebooks:named() -- the order of before may have reached the server when it woke
		assert.is_nil(found.kept)
		assert.truthy(found.busy)

		-- who takes it for a task is told what it is
		for _, word in ipairs { kernels.busy, "NB/busy" } do
			out, why, status = node:ctl("abort", word)
			assert.are_not.equal(0, status)
			assert.truthy(why:find("a kernel of notebook NB/busy.ipynb, and no task", 1, true) and why:find("dssctl unload", 1, true), out .. why)
		end
		assert.is_true(is_alive(all.busy.pid))
	end)

	it("are not taken for idle by a process that only pretends to be theirs, nor where two claim to be", function()
		if not has_all then return pending "jupyter_server and ipykernel, and a user of its own for the server, are needed" end
		serve()
		local one, two = start "one", start "two"
		local pid = notebooks:cell(one, "import os; print(os.getpid())")
		local function pretend(kernel) return { "/bin/sh", "-c", "while sleep 1; do :; done", "/tmp/kernel-" .. kernel .. ".json" } end
		run(pretend(one)) -- another user's
		run(as_user(pretend(two)))
		-- nor is a user who listens at another of the machine's addresses taken for that server's
		run({ PYTHON, "-s", "-c", "import socket, sys, time; s = socket.socket(); s.bind(('127.0.0.2', int(sys.argv[1]))); s.listen(); print('open', flush=True); time.sleep(900)",
			url:match "%d+$" }, folder .. "/listener")
		wait_for("the other listener", function() return (helper.read(folder .. "/listener") or ""):find "open" end, 30)
		attach()
		local found = notebooks:await_named("the first to be known", function(r) return r.one and r.one.quietTime and r.two and r.two.state == "idle" end)
		assert.are.equal(pid, tostring(math.tointeger(found.one.pid)))
		assert.are.same({ "idle", "" }, { found.two.state, found.two.user })
		assert.is_nil(found.two.pid or found.two.quietTime or found.two.silentTime or found.two.startedAt)
		local what, _, result = notebooks:unload { max_idle = "1ms", max_age = "1ms", spare_busy = false, spare_connected = false, simulate = false }
		assert.are.same({ one = "unloaded", two = "skipped" }, what, json.encode(result))
		assert.are.equal("two", names(notebooks:named()))
	end)

	it("that run elsewhere are not idle, unless the admin trusts their server", function()
		if not has_all then return pending "jupyter_server and ipykernel, and a user of its own for the server, are needed" end
		serve()
		local idle, busy = start "idle", start "busy"
		work(busy)
		local file = folder .. "/relay"
		run({ PYTHON, "-s", "spec/daemon/notebook_relay.py", url:match "%d+$" }, file)
		wait_for("the relay", function() return (helper.read(file) or ""):find "%d+\n" end, 20)
		local far = "http://127.0.0.1:" .. helper.read(file):match "%d+"

		attach(far)
		local found = notebooks:await_named("them to be told", function(r) return r.idle and r.idle.state == "idle" and r.busy and r.busy.state == "busy" end)
		assert.is_nil(found.idle.pid or found.idle.quietTime or found.idle.silentTime or found.idle.memoryBytes)
		local what, _, result = notebooks:unload { max_idle = "1ms", max_age = "1ms", spare_busy = false, spare_connected = false, simulate = false }
		assert.are.same({ idle = "skipped", busy = "skipped" }, what, json.encode(result))
		node:remove()

		attach(far, ', trust = "activity"')
		found = notebooks:await_named("what its server says to count", function(r) return r.idle and (r.idle.quietTime or 0) > IDLE_MS and r.busy.silentTime end)
		assert.are.equal(0, math.tointeger(found.busy.silentTime))
		notebooks:work("idle", idle, "2")
		notebooks:await_named("it to be idle again", function(r) return (r.idle.quietTime or 0) > IDLE_MS end)
		what, _, result = notebooks:unload { max_idle = "5s", simulate = false }
		assert.are.same({ idle = "unloaded", busy = "kept" }, what, json.encode(result))
		assert.are.equal("busy", names(notebooks:named()))
	end)
end)
