-- Sessions of notebooks against a real Jupyter server and real kernels: who is busy, quiet, silent, connected, kept; unloaded by people and rules.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local json = require "t_json"
local wait_for = helper.wait_for

local PYTHON = "/usr/bin/python3"
local has_jupyter = os.execute(PYTHON .. " -s -c 'import jupyter_server, ipykernel' 2>/dev/null")

local POOLS = [[ pool "fek" { kernel = python {}, limits = { memory = "256m" }, warm = { min = 0, max = 1 } } ]]

describe("sessions of notebooks", function()
	local node

	local function open()
		if not has_jupyter then return pending "jupyter_server or ipykernel is not installed" end
		if node then return true end
		node = Instance.new { config = "jupyter {}", policies = { ["10.lua"] = POOLS } }
		node:start()
		return true
	end

	teardown(function()
		if node then node:remove() end
	end)

	local function address()
		return ("http://127.0.0.1:%d"):format(math.tointeger(json.decode(node:read "run/ports.json").jupyter))
	end

	local function jupyter(verb, ...)
		local out, why = Instance.run_apart { PYTHON, "-s", "spec/daemon/notebook_client.py", address(), node.dir .. "/config/jupyter.token", verb, ... }
		return json.decode(out) or error(verb .. ": " .. out .. why, 2)
	end

	--- A page that is open for so long; returns once it is. The pipe ends with it.
	local function hold(kernel, seconds)
		local words = { PYTHON, "-s", "spec/daemon/notebook_hold.py", address(), node.dir .. "/config/jupyter.token", kernel, tostring(seconds) }
		for i, w in ipairs(words) do words[i] = Instance.quote(w) end
		local pipe = assert(io.popen(table.concat(words, " ") .. " 2>&1", "r"))
		assert.are.equal("open", pipe:read "l")
		return pipe
	end

	local function project(key, text)
		local dir = node.dir .. "/projects/" .. key
		os.execute("mkdir -p " .. Instance.quote(dir))
		helper.write(dir .. "/project.lua", text or 'project { owner = "ann" }')
		os.execute(("chown -R --reference=%s %s"):format(Instance.quote(node.dir .. "/projects"), Instance.quote(dir)))
	end

	local function start(path)
		project(path:match "^[^/]+")
		local s = jupyter("start", path)
		assert.truthy(s.kernel, json.encode(s))
		return s.kernel, s.session
	end

	local function cell(kernel, code)
		local answer = jupyter("cell", kernel, code, "30")
		assert.is_nil(answer.error, json.encode(answer))
		return (answer.text:gsub("\n$", ""))
	end

	local function row(kernel, where)
		local status, list = node:http("GET", "/api/notebooks" .. (where and "?where=" .. where:gsub("[^%w]", function(c) return ("%%%02X"):format(c:byte()) end) or ""))
		assert.are.equal(200, status, json.encode(list))
		for _, r in ipairs(list) do
			if r.kernelId == kernel then return r end
		end
	end

	--- Until its row passes the test, which answers a value; that value and the row.
	local function await(kernel, what, test, seconds)
		local r, v
		wait_for(what, function()
			r = row(kernel)
			v = r and test(r)
			return v, r and json.encode(r)
		end, seconds or 40)
		return v, r
	end

	local function is_alive(of) return os.execute("kill -0 " .. of .. " 2>/dev/null") == true end
	local function unload(session) return node:http("DELETE", "/api/notebooks/" .. session) end

	it("tell notebook, project, user, kernel, process, memory, state and clients together", function()
		if not open() then return end
		local name = "SALES/sub. folder/Umsatz ü (1).v2.ipynb"
		local kernel, session = start(name)
		cell(kernel, "1")
		local _, r = await(kernel, "it to be idle with its memory known", function(r) return r.state == "idle" and r.memoryBytes end)
		assert.are.same({ session, name, "SALES", "ann", "python3", 0 }, { r.id, r.notebook, r.project, r.user, r.kernelSpec, math.tointeger(r.connections) })
		assert.are.equal(cell(kernel, "import os; print(os.getpid())"), tostring(math.tointeger(r.pid)))
		assert.is_true(r.memoryBytes > 10 << 20, tostring(r.memoryBytes))
		local status, list = node:http("GET", "/public/api/projects/SALES/jupyter-notebooks/sub.%20folder%2FUmsatz%20%C3%BC%20%281%29.v2/sessions")
		assert.are.equal(200, status)
		local s = list[1]
		assert.are.same({ "SALES", "sub. folder/Umsatz ü (1).v2", session, kernel, "idle", "ann" },
			{ s.projectKey, s.notebookName, s.sessionId, s.kernelId, s.kernelExecutionState, s.sessionCreator })
		assert.are.equal(r.pid, s.kernelPid)
		_, list = node:http("GET", "/dip/publicapi/admin/notebooks/")
		assert.are.equal(session, list[1].activeSessions[1].sessionId)
		assert.are.equal(200, (unload(session)))
		assert.is_nil(row(kernel))
		assert.is_false(is_alive(math.tointeger(r.pid)))
	end)

	it("are known to why before anything was decided about them, and to the shell's completion", function()
		if not open() then return end
		local kernel, session = start "SALES/young one.ipynb"
		await(kernel, "it to be listed", function(r) return r.id == session end)
		local out, complaints, status = node:ctl("why", "SALES/young one")
		assert.are.equal(0, status, out .. complaints)
		assert.truthy((out .. complaints):find "^SALES/young one is open since %d", out .. complaints)
		out, complaints, status = node:ctl("why", "sales/young noe")
		assert.are.equal(4, status, out .. complaints)
		assert.truthy(complaints:find('Did you mean notebook "SALES/young one"?', 1, true), complaints)
		out = Instance.run({ "bash", "-c", 'source etc/completion.bash; _dssctl_notebooks "$1" SALES/yo', "bash", node.dir .. "/bin/dssctl" })
		assert.are.equal("SALES/young\\ one", out)
		assert.are.equal(200, (unload(session)))
		wait_for("its end to be told", function()
			local rows = json.decode((node:ctl("--json", "why", "SALES/young one")))
			return rows[1] and rows[1].kind == "end" and rows[1].session == session, json.encode(rows)
		end, 20)
	end)

	it("belong to the project that started them, whatever the server's list of sessions says", function()
		if not open() then return end
		local kernel, session = start "SALES/mine.ipynb"
		project("OTHER", 'project { owner = "bob" }')
		local _, bob = node:http("POST", "/api/keys", { user = "bob" })
		-- as a cell can: the file is its user's
		Instance.run { PYTHON, "-c", [[
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=10)
db.execute("INSERT INTO session (session_id, path, name, type, kernel_id) VALUES ('forged', 'OTHER/x.ipynb', 'x', 'notebook', ?)", (sys.argv[2],))
db.commit()]], node.dir .. "/notebooks/server/sessions.sqlite", kernel }
		local forged
		wait_for("the forged session", function()
			local _, list = node:http("GET", "/api/notebooks")
			for _, r in ipairs(list) do
				if r.id == "forged" then forged = r return true end
			end
			return nil, json.encode(list)
		end, 40)
		assert.are.same({ "SALES", "ann", kernel }, { forged.project, forged.user, forged.kernelId })
		assert.are.equal(404, (node:http("DELETE", "/api/notebooks/forged", nil, { key = bob.key })))
		assert.are.equal("2", cell(kernel, "1 + 1"))
		unload(session)
	end)

	it("are busy in a long silent cell: neither quiet nor silent", function()
		if not open() then return end
		local kernel, session = start "SALES/busy.ipynb"
		cell(kernel, "1")
		await(kernel, "it to be idle", function(r) return r.state == "idle" end)
		jupyter("send", kernel, "import time; time.sleep(600)")
		local first = await(kernel, "it to be busy", function(r) return r.state == "busy" and r.lastActivity end)
		local _, r = await(kernel, "its last activity to go on", function(r) return r.lastActivity > first + 5000 end)
		assert.are.same({ 0, 0 }, { math.tointeger(r.quietTime), math.tointeger(r.silentTime) })
		assert.is_nil(row(kernel, "quiet > 0s or silent > 0s or not busy"))
		unload(session)
	end)

	it("are at work while a thread goes on after its cell", function()
		if not open() then return end
		local kernel, session = start "SALES/thread.ipynb"
		cell(kernel, "1")
		await(kernel, "it to be idle", function(r) return r.state == "idle" end)
		cell(kernel, [[
import threading
def work():
    n = 0
    while True:
        n = (n * 7 + 1) % 1000003
threading.Thread(target=work, daemon=True).start()]])
		local first = await(kernel, "it to be idle as the server says", function(r) return r.state == "idle" and r.lastActivity end)
		local _, r = await(kernel, "its last activity to go on", function(r) return r.lastActivity > first + 8000 and r.cpuShare > 0.05 end)
		assert.are.equal("idle", r.state)
		unload(session)
	end)

	it("take no page that is opened again for activity, and are not quiet while it is", function()
		if not open() then return end
		local kernel, session = start "SALES/page.ipynb"
		cell(kernel, "1")
		local worked = await(kernel, "it to be known as quiet", function(r) return r.state == "idle" and r.connections == 0 and r.quietTime and r.lastActivity end)
		local page = hold(kernel, 30)
		local _, r = await(kernel, "the page to be seen on a silent kernel", function(r) return r.connections == 1 and r.silentTime and r.silentTime > 0 end)
		assert.are.equal(0, math.tointeger(r.quietTime))
		assert.truthy(row(kernel, "connected and quiet = 0s and silent > 0s"))
		page:close()
		_, r = await(kernel, "the page to be gone", function(r2) return r2.connections == 0 and r2.quietTime end)
		assert.are.equal(worked, r.lastActivity)
		assert.are.equal(math.tointeger(r.silentTime), math.tointeger(r.quietTime))
		cell(kernel, "2")
		await(kernel, "a cell to count", function(r2) return r2.lastActivity > worked end)
		unload(session)
	end)

	it("of a kernel nobody ever spoke to are idle, and counted from its start", function()
		if not open() then return end
		local kernel, session = start "SALES/silent.ipynb"
		local _, r = await(kernel, "its idleness to be known", function(r) return r.state == "idle" and r.quietTime and r.quietTime > 0 end)
		assert.is_true(r.lastActivity >= r.startedAt)
		unload(session)
	end)

	it("are kept over a restart of the backend with what was known, their lease included", function()
		if not open() then return end
		local kernel, session = start "SALES/kept.ipynb"
		cell(kernel, "kept = 3")
		local worked = await(kernel, "it to be known as quiet", function(r) return r.quietTime and r.lastActivity end)
		local out, why, status = node:ctl("keep", session:sub(1, 8), "8h")
		assert.are.equal(0, status, out .. why)
		local until_ms = assert(row(kernel).leasedUntil)
		assert.truthy(row(kernel, "leased and lease > 7h"))
		node:kill "backend"
		local r
		wait_for("the next backend to know it", function()
			local ok, found = pcall(row, kernel)
			r = ok and found
			return r and r.quietTime, r and json.encode(r)
		end, 60)
		assert.are.equal(until_ms, r.leasedUntil)
		assert.are.equal(worked, r.lastActivity)
		assert.are.equal("3", cell(kernel, "kept"))
		unload(session)
	end)

	it("are unknown, and nobody is idle, while the server hangs", function()
		if not open() then return end
		local kernel, session = start "SALES/hang.ipynb"
		cell(kernel, "1")
		await(kernel, "it to be known as quiet", function(r) return r.quietTime end)
		local server = node:pid "jupyter"
		os.execute("kill -STOP " .. server)
		local _, r = await(kernel, "nobody to be known", function(r) return r.state == "unknown" end)
		os.execute("kill -CONT " .. server)
		assert.is_nil(r.quietTime)
		assert.is_nil(r.silentTime)
		assert.is_nil(r.connections)
		assert.truthy(r.memoryBytes)
		await(kernel, "it to be known again", function(r2) return r2.state == "idle" and r2.quietTime end)
		unload(session)
	end)

	it("keep their kernel and its variables when the server cannot be told to interrupt a cell", function()
		if not open() then return end
		local kernel, session = start "SALES/untold.ipynb"
		cell(kernel, "kept = 5")
		await(kernel, "it to be idle", function(r) return r.state == "idle" end)
		local token = node.dir .. "/config/jupyter.token"
		assert(os.rename(token, token .. ".away"))
		local status, answer = node:http("POST", "/api/notebooks/" .. session .. "/interrupt", "{}")
		assert(os.rename(token .. ".away", token))
		assert.are.equal(503, status, json.encode(answer))
		assert.are.equal("5", cell(kernel, "kept"))
		unload(session)
	end)

	it("end with all that they started, also what ignores signals; the event says who did it", function()
		if not open() then return end
		local kernel = start "SALES/stubborn.ipynb"
		local child = cell(kernel, "import signal, subprocess\nfor s in (2, 15):\n    signal.signal(s, signal.SIG_IGN)\nprint(subprocess.Popen(['setsid', 'sleep', '1000']).pid)")
		jupyter("send", kernel, "import time\nwhile True:\n    try:\n        time.sleep(1)\n    except BaseException:\n        pass")
		local _, r = await(kernel, "it to be busy", function(r) return r.state == "busy" end)
		local out, why, status = node:ctl("unload", "SALES/stubborn")
		assert.are.equal(0, status, out .. why)
		assert.truthy(out:find("unloaded SALES/stubborn.ipynb", 1, true), out)
		wait_for("all of it to be gone", function() return not is_alive(child) and not is_alive(math.tointeger(r.pid)) end, 20)
		assert.is_nil(row(kernel))
		wait_for("the event", function()
			local text = node:ctl("events", "-n", "1000", "--json")
			return text:find("notebook.unloaded", 1, true) and text:find("SALES/stubborn.ipynb", 1, true), text:sub(-500)
		end, 10)
	end)

	it("are two on one kernel, which ends once for both", function()
		if not open() then return end
		local kernel, session = start "SALES/one.ipynb"
		local answer = jupyter("post", "/api/sessions", json.encode { path = "SALES/two.ipynb", name = "two", type = "notebook", kernel = { id = kernel } })
		assert.are.equal(201, answer.status, json.encode(answer))
		local function names()
			local out = {}
			for _, n in ipairs(select(2, node:http("GET", "/public/api/projects/SALES/notebooks/active"))) do
				if n.activeSessions[1].kernelId == kernel then out[#out + 1] = n.name end
			end
			return table.concat(out, " ")
		end
		wait_for("both to be there", function() return names() == "one two", names() end, 20)
		assert.are.equal(2, math.tointeger(row(kernel).sessions))
		assert.are.equal(200, (unload(session)))
		wait_for("both to be gone", function() return names() == "", names() end, 20)
	end)

	it("end also when the notebook was renamed or removed while it ran", function()
		if not open() then return end
		project "MOVE"
		local base = "/public/api/projects/MOVE/jupyter-notebooks/"
		assert.are.equal(200, (node:http("POST", base .. "here", json.encode { cells = {}, nbformat = 4, nbformat_minor = 5, metadata = {} })))
		local kernel, session = start "MOVE/here.ipynb"
		cell(kernel, "1")
		assert.are.equal(200, jupyter("patch", "/api/sessions/" .. session, '{"path":"MOVE/there.ipynb"}').status)
		await(kernel, "its new name", function(r) return r.notebook == "MOVE/there.ipynb" and r.id == session end)
		assert.are.equal(200, (node:http("DELETE", base .. "there/sessions/" .. session)))
		kernel = start "MOVE/here.ipynb"
		cell(kernel, "1")
		assert.are.equal(200, (node:http("DELETE", base .. "here")))
		assert.is_nil(row(kernel))
		assert.are.equal(404, (node:http("GET", base .. "here")))
	end)

	it("have documents that are made, saved, listed, cleared and read over the API", function()
		if not open() then return end
		project "DOCS"
		local base = "/public/api/projects/DOCS/jupyter-notebooks/"
		local name = "N%20b%20%28%C3%BC%29.x"
		local document = { nbformat = 4, nbformat_minor = 5, metadata = { kernelspec = { name = "python3", display_name = "Python 3", language = "python" } },
			cells = { { id = "a", cell_type = "code", source = "1", metadata = { x = 1 }, execution_count = 1,
				outputs = { { output_type = "stream", name = "stdout", text = "out" } } } } }
		assert.are.equal(200, (node:http("POST", base .. name, json.encode(document))))
		assert.are.equal(409, (node:http("POST", base .. name, json.encode(document))))
		local status, list = node:http("GET", base)
		assert.are.equal(200, status)
		assert.are.same({ "N b (ü).x", "DOCS", "python", "python3" }, { list[1].name, list[1].projectKey, list[1].language, list[1].kernelSpec.name })
		local _, got = node:http("GET", base .. name)
		assert.are.equal("admin", got.metadata.creator)
		assert.are.equal("out", got.cells[1].outputs[1].text)
		assert.are.equal(200, (node:http("DELETE", base .. name .. "/outputs")))
		_, got = node:http("GET", base .. name)
		assert.are.same({}, got.cells[1].outputs)
		got.cells[1].source = "2"
		assert.are.equal(200, (node:http("PUT", base .. name, json.encode(got))))
		_, got = node:http("GET", base .. name)
		assert.are.equal("2", got.cells[1].source)
		assert.are.equal(200, (node:http("DELETE", base .. name)))
		_, list = node:http("GET", base)
		assert.are.same({}, list)
	end)

	--- Takes these rules beside the pool, until the function has returned.
	local function with_rules(text, fn)
		local path = node.dir .. "/policies/30-rules.lua"
		local function version() return select(2, node:http("GET", "/api/policies/state")).version end
		local before = version()
		helper.write(path, text)
		wait_for("the new rules", function() return version() ~= before end, 20)
		local ok, why = pcall(fn)
		before = version()
		os.remove(path)
		wait_for("the rules to be gone", function() return version() ~= before end, 20)
		if not ok then error(why, 0) end
	end

	local function event(what, words)
		local text
		wait_for(what, function()
			text = node:ctl("events", "-n", "1000", "--json")
			for line in text:gmatch "[^\n]+" do
				if line:find(what, 1, true) and line:find(words, 1, true) then return line end
			end
			return nil, text:sub(-500)
		end, 30)
		return text
	end

	it("are ended by a rule when they are quiet; who works, computes, has a page open or is kept stays", function()
		if not open() then return end
		local quiet, busy, thread, page, kept = start "RULE/quiet.ipynb", start "RULE/busy.ipynb", start "RULE/thread.ipynb", start "RULE/page.ipynb", start "RULE/kept.ipynb"
		for _, k in ipairs { quiet, busy, thread, page, kept } do cell(k, "1") end
		cell(thread, "import threading\ndef work():\n    n = 0\n    while True:\n        n = (n * 7 + 1) % 1000003\nthreading.Thread(target=work, daemon=True).start()")
		jupyter("send", busy, "import time; time.sleep(600)")
		local tab = hold(page, 60)
		assert.are.equal(200, (node:http("POST", "/api/notebooks/" .. kept .. "/keep", { ["for"] = "1h" })))
		await(thread, "the thread to be seen", function(r) return r.cpuShare and r.cpuShare > 0.05 end)
		await(page, "the page to be seen", function(r) return r.connections == 1 end)
		with_rules('rule "idle" { every = "1s", each = "notebook", where = "project = RULE and quiet > 3s", act = unload "nobody used it for {quiet}" }', function()
			wait_for("the quiet one to be gone", function() return not row(quiet) end, 60)
			-- the kept one is as quiet: the rule has seen it, and was refused
			wait_for("the refusal", function()
				local _, list = node:http("GET", "/api/decisions?word=rule&name=idle")
				for _, d in ipairs(list) do
					if d.outcome == "failed" and tostring(d.outcomeText):find("keeps it", 1, true) then return true end
				end
				return nil, json.encode(list)
			end, 40)
		end)
		for name, k in pairs { busy = busy, thread = thread, page = page, kept = kept } do assert.truthy(row(k), name) end
		event("notebook.unloaded", "RULE/quiet.ipynb")
		-- also now that it is gone: which rule, at which line, and what was decided before
		local out, complaints, status = node:ctl("why", "RULE/quiet.ipynb")
		assert.are.equal(0, status, out .. complaints)
		assert.truthy(out:find('^notebook RULE/quiet%.ipynb: its kernel ended [^\n]*\n +Unloaded by rule "idle" %(policies/[^)]*:%d+%): nobody used it for %d'), out)
		assert.truthy(out:find("unloaded notebook [^\n]* %(RULE/quiet%.ipynb%)"), out)
		tab:close()
		for _, k in ipairs { busy, thread, page, kept } do unload(k) end
	end)

	it("that near their limit are told, then interrupted with their variables kept", function()
		if not open() then return end
		if node:status().isolation == "none" then return pending "no cgroups here" end
		local kernel
		with_rules([[
box "a kernel" { at = "notebooks/${user}/${kernel}", memory = "300m" }
rule "told" { every = "1s", each = "notebook", where = "project = LAND and memory > 50% of limit", act = notify "{memory} of {limit}" }
rule "interrupted" { every = "1s", each = "notebook", where = "project = LAND and busy and memory > 60% of limit", act = interrupt "it used {memory} of {limit}" }
]], function()
			kernel = start "LAND/large.ipynb"
			cell(kernel, "kept = 5")
			jupyter("send", kernel, "import time\nheld = bytearray(b'x') * (200 << 20)\ntime.sleep(600)")
			event("notebook.interrupted", "LAND/large.ipynb")
			wait_for("the alert", function()
				local _, list = node:http("GET", "/api/alerts")
				for _, a in ipairs(list) do
					if a.key == "rule:told" then return a end
				end
			end, 20)
			assert.are.equal("5", cell(kernel, "kept"))
		end)
		unload(kernel)
	end)

	it("that near their limit end when an interrupt did not help, and no other with them", function()
		if not open() then return end
		if node:status().isolation == "none" then return pending "no cgroups here" end
		local large, small
		with_rules([[
box "a kernel" { at = "notebooks/${user}/${kernel}", memory = "300m" }
rule "interrupted" { every = "1s", each = "notebook", where = "project = LAND and busy and memory > 50% of limit", act = interrupt "it used {memory} of {limit}" }
rule "unloaded" { every = "1s", each = "notebook", where = "project = LAND and memory > 70% of limit and not leased", act = unload "{memory} of {limit}, and no interrupt helped" }
]], function()
			small = start "LAND/small.ipynb"
			large = start "LAND/stubborn.ipynb"
			cell(small, "kept = 5")
			cell(large, "1")
			-- it takes more only once it is interrupted, which it hears once
			jupyter("send", large, [[
import signal, time
held = bytearray(b'x') * (120 << 20)
while True:
    try:
        time.sleep(1)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        more = bytearray(b'x') * (70 << 20)]])
			event("notebook.interrupted", "LAND/stubborn.ipynb")
			event("notebook.unloaded", "no interrupt helped")
			wait_for("its row to be gone", function() return not row(large) end, 20)
			assert.are.equal("5", cell(small, "kept"))
		end)
		unload(small)
	end)

	it("are shown by dssctl, previewed with --where, and their memory is given back by free", function()
		if not open() then return end
		local kernel = start "SALES/shown.ipynb"
		cell(kernel, "held = bytearray(b'x') * (50 << 20)")
		await(kernel, "it to be known as quiet", function(r) return r.quietTime and r.memoryBytes > 50 << 20 end)
		assert.are.equal(address() .. "/?token=" .. node:read "config/jupyter.token":match "%S+", (node:ctl("notebooks", "link")))
		local out = node:ctl "notebooks"
		assert.truthy(out:find("SALES/shown.ipynb", 1, true), out)
		assert.truthy(out:find("QUIET", 1, true), out)
		local preview, note = node:ctl("unload", "--where", 'notebook = "SALES/shown.ipynb"')
		assert.truthy(preview:find("SALES/shown.ipynb", 1, true), preview .. note)
		assert.truthy(note:find("nothing was ended", 1, true), note)
		assert.truthy(row(kernel))
		out, note = node:ctl("free", "1m")
		assert.are.equal("", out, note)
		local done, why, status = node:ctl("unload", "--where", 'notebook = "SALES/shown.ipynb"', "--yes")
		assert.are.equal(0, status, done .. why)
		assert.is_nil(row(kernel))
	end)
end)

describe("a notebook server that lies", function()
	local SERVER = [[
import http.server, sys, time
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        how = open(sys.argv[1]).read().strip()
        session = '{"id":"s1","path":"P/a.ipynb","kernel":{"id":"k1"}}'
        kernel = '{"id":"k1","name":"python3","execution_state":"idle","connections":0,"last_activity":"2020-01-01T00:00:00Z"}'
        body = "[%s]" % (session if "sessions" in self.path else kernel)
        if how == "hangs":
            time.sleep(3600)
        if how == "twice":
            body = "[%s,%s]" % (body[1:-1], body[1:-1])
        elif how == "large":
            body = '["%s"]' % ("x" * (10 << 20))
        elif how == "types":
            body = '[{"id":5,"kernel":[]}]'
        elif how == "object":
            body = '{"a":1}'
        elif how == "garbage":
            body = "<html>"
        elif how == "states":
            body = body.replace('"idle"', '"sleepy"').replace('"connections":0', '"connections":-4')
        self.send_response(500 if how == "500" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())
    def log_message(self, *a):
        pass
s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), H)
print(s.server_port, flush=True)
s.serve_forever()
]]
	local node, server, pid, how

	teardown(function()
		if node then node:remove() end
		if pid then os.execute("kill " .. pid) end
		if server then server:close() end
		if how then os.execute("rm -f " .. how .. "*") end
	end)

	it("makes nobody idle: the state is unknown, with the reason, until it answers well again", function()
		how = os.tmpname()
		helper.write(how, "well")
		helper.write(how .. ".py", SERVER)
		helper.write(how .. ".token", "secret")
		server = assert(io.popen(("echo $$; exec %s -s %s.py %s 2>/dev/null"):format(PYTHON, how, how), "r"))
		pid = server:read "l"
		local port = server:read "l"
		node = Instance.new { config = ('jupyter { attach = "http://127.0.0.1:%s", token_file = "%s.token" }'):format(port, how), policies = { ["10.lua"] = POOLS } }
		node:start()
		local function look(test, what)
			wait_for(what, function()
				local _, list, head = node:http("GET", "/api/notebooks")
				return test(list, head), json.encode(list)
			end, 40)
		end
		local function is_well(list) return #list == 1 and list[1].state == "idle" and list[1].id == "s1" end
		look(is_well, "the session to be idle")
		local _, list = node:http("GET", "/api/notebooks")
		assert.is_nil(list[1].quietTime) -- whose box nobody knows is not called idle, whatever its server says
		for _, lie in ipairs { "500", "twice", "large", "types", "object", "garbage", "states" } do
			helper.write(how, lie)
			look(function(rows) return #rows == 1 and rows[1].state == "unknown" and rows[1].quietTime == nil end, "nobody to be known of one that answers: " .. lie)
			helper.write(how, "well")
			look(is_well, "the session after " .. lie)
		end
		helper.write(how, "hangs")
		look(function(rows) return #rows == 1 and rows[1].state == "unknown" end, "nobody to be known of one that hangs")
	end)
end)
