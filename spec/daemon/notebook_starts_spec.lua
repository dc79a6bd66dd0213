-- Starts of kernels: what becomes of one that is refused beside a kernel that lives, of one during which the backend ends, and whose a kernel is when its
-- notebook moves or its project.lua is wrong.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local Notebooks = require "spec.daemon.notebook_node"
local json = require "t_json"
local wait_for = helper.wait_for

local SLOTS = Notebooks.POOLS .. [[
box "a kernel" { at = "notebooks/${user}/${kernel}", memory = "400m" }
slots "kernels of SMALL" { where = "kind = notebook and project = SMALL", max = 1 }
]]
local BAD = 'project { owner = "ann",\n  owners = {} }'

describe("a start that was announced", function()
	local n, server

	setup(function()
		server = os.tmpname()
		helper.write(server, helper.read "spec/daemon/notebook_server.py")
		os.execute("chmod 644 " .. server)
		n = Notebooks.new { config = ('jupyter { command = { %q, "-s", %q } }'):format(Notebooks.PYTHON, server), policies = { ["10.lua"] = SLOTS } }
		n:project("SMALL")
		n:project("BROKEN", BAD)
	end)

	teardown(function()
		if n then n:remove() end
		if server then os.remove(server) end
	end)

	--- What the server that stands in for Jupyter's answers; background: a file that gets it.
	local function ask(what, background)
		local words = { "curl", "-sS", "--max-time", "120", "--noproxy", "*", "-d", json.encode(what), n:address() .. "/do" }
		if background then
			for i, w in ipairs(words) do words[i] = Instance.quote(w) end
			os.execute(("%s >%s.new 2>&1 && mv %s.new %s &"):format(table.concat(words, " "), background, background, background))
			return
		end
		local out = Instance.run_apart(words)
		return json.decode(out) or error(out)
	end

	local function announce(kernel, path, background)
		return ask({ post = "/announce", body = { kernel = kernel, path = path, spec = "python3" } }, background)
	end

	local function launch(answer)
		assert.are.equal(200, answer.status, json.encode(answer))
		return math.tointeger(ask({ launch = { "sleep", "1000" }, nonce = answer.answer.nonce }).pid)
	end

	local function start(kernel, path)
		local pid = launch(announce(kernel, path))
		wait_for("its row", function() return n:rows()[kernel] end)
		return pid
	end

	local function note(kernel, what, path) return ask { post = "/note", body = { kernel = kernel, what = what, path = path } } end

	local function finish(kernel, pid)
		note(kernel, "shutdown")
		os.execute("kill -KILL " .. pid)
		wait_for("its end", function() return n:rows()[kernel] == nil end)
	end

	local function used()
		local _, rules = n.node:http("GET", "/api/slots")
		return json.encode(rules)
	end

	it("and is refused changes nothing of the kernel that lives under the same id: neither its row nor its place", function()
		local pid = start("k1", "SMALL/a.ipynb")
		local before = n:rows().k1
		assert.are.same({ "ann", "SMALL", "SMALL/a.ipynb", pid }, { before.user, before.project, before.notebook, math.tointeger(before.pid) })
		note("k1", "restart")
		local refused = announce("k1", "BROKEN/a.ipynb")
		assert.are.equal(409, refused.status, json.encode(refused))
		local now = n:rows().k1
		for _, key in ipairs { "id", "user", "project", "notebook", "kernelSpec", "pid", "cgroup" } do assert.are.equal(before[key], now[key], key) end
		-- its place is its own: the next one of its project has to wait until it has ended
		assert.truthy(used():find '"used":1', used())
		local file = os.tmpname()
		os.remove(file)
		announce("k2", "SMALL/b.ipynb", file)
		finish("k1", pid)
		local answer = wait_for("its place", function() return helper.read(file) end)
		os.remove(file)
		local second = launch(json.decode(answer))
		wait_for("its row", function() return n:rows().k2 end)
		finish("k2", second)
	end)

	it("in place of a kernel that is restarted has its place once that has ended", function()
		local pid = start("k3", "SMALL/a.ipynb")
		note("k3", "restart")
		local file = os.tmpname()
		os.remove(file)
		announce("k3", "SMALL/a.ipynb", file)
		assert.is_true(Notebooks.is_alive(pid))
		os.execute("kill -KILL " .. pid)
		local second = launch(json.decode(wait_for("its place", function() return helper.read(file) end)))
		os.remove(file)
		wait_for("its row", function()
			local row = n:rows().k3
			return row and row.pid == second
		end)
		finish("k3", second)
	end)

	it("says with the kernel that has ended why there is no other in its place", function()
		local pid = start("k4", "SMALL/a.ipynb")
		os.execute("kill -KILL " .. pid)
		wait_for("its end", function() return n:rows().k4 == nil end)
		local refused = announce("k4", "BROKEN/a.ipynb")
		assert.truthy(refused.answer.message:find("project.lua:2: ", 1, true), json.encode(refused))
		wait_for("its row", function()
			local kept = Instance.run_apart { Notebooks.PYTHON, "-c", [=[
import json, sqlite3, sys
db = sqlite3.connect("file:%s?mode=ro" % sys.argv[1], uri=True, timeout=5)
d = json.loads(db.execute("SELECT detail FROM notebook WHERE kernel = 'k4'").fetchone()[0])
print(json.dumps([d["path"], d["user"], d["message"]]))]=], n.node.dir .. "/db/dss.sqlite" }
			return kept:find('^%["SMALL/a.ipynb", "ann", "The kernel of notebook .*It was not started again: nobody knows whose project BROKEN is'), kept
		end)
		note("k4", "shutdown")
	end)

	it("is found by its notebook when it has ended, in words, by its owner, also by the next backend and after its notebook was renamed", function()
		local function why(word, login)
			local words, file = { "why", word }, nil
			if login then
				file = os.tmpname()
				helper.write(file, select(2, n.node:http("POST", "/api/keys", { user = login })).key)
				words = { "why", word, "--key-file", file }
			end
			local out, complaints, status = n.node:ctl(table.unpack(words))
			if file then os.remove(file) end
			return out .. complaints, status
		end
		local pid = start("k5", "SMALL/old.ipynb")
		local process = n:rows().k5.id
		os.execute("kill -KILL " .. pid)
		wait_for("its end", function() return n:rows().k5 == nil end)
		note("k5", "shutdown")
		wait_for("the end to be told", function()
			local out, status = why "SMALL/old"
			return status == 0 and out:find("notebook SMALL/old.ipynb: its kernel ended ", 1, true), out
		end)
		pid = start("k6", "SMALL/old.ipynb")
		note("k6", "moved", "SMALL/new.ipynb")
		os.execute("kill -KILL " .. pid)
		wait_for("its end", function() return n:rows().k6 == nil end)
		n:kill "backend"
		local out, status
		wait_for("the next backend's answer", function()
			out, status = why "SMALL/old.ipynb"
			return status == 0 and out:find("SMALL/new.ipynb", 1, true), out
		end, 30)
		-- newest first, each with what its owner was told
		local newer, older = out:match "^notebook SMALL/new%.ipynb: its kernel ended ([^\n]*\n.-)notebook SMALL/old%.ipynb: its kernel ended (.*)$"
		assert.truthy(newer and newer:find('The kernel of notebook "SMALL/new.ipynb" of ann ended (', 1, true), out)
		assert.truthy(older:find('The kernel of notebook "SMALL/old.ipynb" of ann ended (', 1, true), out)
		assert.truthy(older:find("\n          cause: ", 1, true), out)
		assert.are.equal(out, (why("SMALL/old.ipynb", "ann")))
		for _, word in ipairs { "k5", process } do assert.truthy(select(2, n.node:http("GET", "/api/notebooks/ends?of=" .. word))[1], word) end
		-- it is none of bob's business
		out, status = why("SMALL/old.ipynb", "bob")
		assert.are.equal(4, status, out)
		assert.is_nil(out:find("its kernel ended", 1, true))
		note("k6", "shutdown")
	end)

	it("and whose client has gone before there was a place takes none from the next", function()
		local pid = start("k8", "SMALL/a.ipynb")
		assert.are.equal(0, math.tointeger(ask({ post = "/announce", body = { kernel = "k9", path = "SMALL/b.ipynb", spec = "python3" }, seconds = 1 }).status))
		finish("k8", pid)
		pid = start("k10", "SMALL/c.ipynb") -- at once: k9 would hold the one place for two minutes
		finish("k10", pid)
	end)

	it("and got its nonce gives its place back when its server ends: nobody else may come with it", function()
		local granted = announce("k11", "SMALL/a.ipynb")
		assert.are.equal(200, granted.status, json.encode(granted))
		assert.truthy(used():find '"used":1', used())
		n:kill "jupyter"
		local pid = start("k12", "SMALL/b.ipynb")
		-- over the end of a backend as well: the next one knows of the start, and that its server has gone
		finish("k12", pid)
		assert.are.equal(200, announce("k13", "SMALL/a.ipynb").status)
		n.node:kill "backend"
		n.node:kill "jupyter"
		pid = launch(wait_for("a backend and a server", function()
			local ok, answer = pcall(announce, "k14", "SMALL/b.ipynb")
			return ok and answer.status ~= 503 and answer, ok and json.encode(answer) or answer
		end, 80))
		wait_for("its row", function() return n:rows().k14 end)
		finish("k14", pid)
	end)

	it("is starting while its server says so; once it is older than its server that is no word, and nobody is idle", function()
		local function tell(state)
			ask { tell = {
				["/api/sessions"] = json.array { { id = "s7", path = "SMALL/a.ipynb", kernel = { id = "k7" } } },
				["/api/kernels"] = json.array { { id = "k7", name = "python3", execution_state = state, connections = 0, dss_state = state, dss_work = "2020-01-01T00:00:00Z" } },
			} }
		end
		local pid = start("k7", "SMALL/a.ipynb")
		tell "starting"
		n:await("k7", "a young one's word", function(r) return r.state == "starting" and r.connections == 0 end)
		n:kill "jupyter"
		tell "starting"
		local _, r = n:await("k7", "an old one's", function(s) return (s.stateReason or ""):find("the notebook server has just started", 1, true) end)
		assert.are.equal("unknown", r.state)
		assert.is_nil(r.quietTime or r.silentTime or r.connections)
		assert.is_nil(n:named("quiet > 0s or silent > 0s or not busy or not connected").a)
		local out, said = n.node:ctl "notebooks"
		assert.truthy(out:find("SMALL/a.ipynb +ann +unknown"), out)
		assert.truthy(said:find("1 unknown: not looked at yet: the notebook server has just started", 1, true), said)
		tell "idle"
		_, r = n:await("k7", "it to be known", function(s) return s.state == "idle" and s.quietTime end)
		assert.is_nil(r.stateReason)
		-- the next backend says nothing else of it, from its first answer on
		tell "starting"
		n:await("k7", "it to be unknown again", function(s) return s.state == "unknown" end)
		n:kill "backend"
		local seen = {}
		n:await("k7", "the next backend's look", function(s)
			seen[#seen + 1] = s.state
			return #seen == 5
		end)
		assert.are.equal("unknown unknown unknown unknown unknown", table.concat(seen, " "))
		ask { tell = { ["/api/sessions"] = json.array {}, ["/api/kernels"] = json.array {} } }
		finish("k7", pid)
	end)

	it("has its nonce where no other process of the run user can look, from its exec on", function()
		if not Notebooks.is_root then return pending "needs root: else all is one user" end
		local program = Instance.program "dss-logger"
		assert.are.equal("711", (Instance.run { "stat", "-c", "%a", program })) -- what cannot be read cannot be looked into while it runs
		local answer, backend = announce("k6", "SMALL/a.ipynb"), n.node:pid "backend"
		os.execute("kill -STOP " .. backend)
		local pid = math.tointeger(ask({ launch = { "sleep", "1000" }, nonce = answer.answer.nonce }).pid)
		local ok, why = pcall(wait_for, "the launcher to be closed", function()
			local is_launcher = (helper.read(("/proc/%d/cmdline"):format(pid)) or ""):find("launch", 1, true)
			local owner = Instance.run { "stat", "-c", "%U", ("/proc/%d/environ"):format(pid) }
			return is_launcher and owner == "root", owner
		end)
		os.execute("kill -CONT " .. backend)
		assert(ok, why)
		wait_for("its row", function() return n:rows().k6 end)
		finish("k6", pid)
	end)

	it("takes no other process than the one that came with its nonce", function()
		local answer = announce("k5", "SMALL/a.ipynb")
		local nonce = answer.answer.nonce
		local pid = launch(answer)
		wait_for("its row", function() return n:rows().k5 end)
		local other = ask { launch = { "sleep", "1000" }, nonce = nonce }
		wait_for("the other's end", function() return not Notebooks.is_alive(math.tointeger(other.pid)) end)
		assert.are.equal(pid, n:pid "k5")
		assert.are.equal(403, ask({ post = "/register", body = { nonce = nonce } }).status)
		finish("k5", pid)
	end)
end)

describe("a notebook's kernel", function()
	local n

	local function open(config)
		if not Notebooks.has_jupyter then return pending "jupyter_server or ipykernel is not installed" end
		if n then n:remove() end
		n = nil
		n = Notebooks.new { config = config or "jupyter {}", policies = { ["10.lua"] = SLOTS } }
		return true
	end

	teardown(function()
		if n then n:remove() end
	end)

	for _, point in ipairs { "notebook_granted", "notebook_ordered", "notebook_boxed" } do
		it("is started once, and in its box, when the backend is killed at " .. point, function()
			if not open(('jupyter {}\nbackend { env = { DSS_SPECS = "1", DSS_DIE_AT = %q } }'):format(point)) then return end
			n:project "SMALL"
			local kernel = n:start "SMALL/a.ipynb"
			assert.truthy(n.node:read("run/died-at-" .. point))
			assert.are.equal("2", n:cell(kernel, "1 + 1"))
			local row
			wait_for("the next backend", function()
				local ok, rows = pcall(n.rows, n)
				row = ok and rows[kernel]
				return row
			end, 30)
			assert.are.same({ "ann", "SMALL", "SMALL/a.ipynb" }, { row.user, row.project, row.notebook })
			assert.are.equal(n:cell(kernel, "import os; print(os.getpid())"), tostring(math.tointeger(row.pid)))
			if n.node:status().isolation ~= "none" then assert.truthy(row.cgroup:find("/run/notebooks/ann/" .. row.id, 1, true), row.cgroup) end
			-- once: no other process of it was made on the way, and its place is one
			local _, made = n.node:read "run/ipython.log":gsub("unable to start the kernel", "")
			assert.are.equal(0, made)
			n:delete(kernel)
			assert.are.equal("3", n:cell((n:start "SMALL/b.ipynb"), "1 + 2"))
		end)
	end

	it("whose notebook is renamed is called so at once; moved to another project it is that project's, in the box where it was born", function()
		if not open() then return end
		n:project "SMALL"
		n:project("OTHER", 'project { owner = "bob" }')
		local _, bob = n.node:http("POST", "/api/keys", { user = "bob" })
		local _, ann = n.node:http("POST", "/api/keys", { user = "ann" })
		local kernel, session = n:start "SMALL/a.ipynb"
		n:cell(kernel, "kept = 5")
		local born = n:rows()[kernel]
		assert.is_nil(born.bornUser)
		assert.are.equal(200, n:jupyter("patch", "/api/sessions/" .. session, '{"path":"OTHER/sub dir/ü.ipynb"}').status)
		local row
		local function is_moved()
			row = n:rows()[kernel]
			return row and row.user == "bob", json.encode(row)
		end
		wait_for("its new owner", is_moved, 20)
		assert.are.same({ "OTHER", "OTHER/sub dir/ü.ipynb", "ann", "SMALL", born.id, born.cgroup },
			{ row.project, row.notebook, row.bornUser, row.bornProject, row.id, row.cgroup })
		n:await(kernel, "its session's row", function(r) return r.user == "bob" and r.project == "OTHER" and r.bornUser == "ann" and r.bornProject == "SMALL" end)
		-- over a restart of the backend as well
		n:kill "backend"
		wait_for("its row", is_moved, 30)
		assert.are.same({ "ann", "SMALL", born.cgroup }, { row.bornUser, row.bornProject, row.cgroup })
		-- rights follow: it is bob's to end, and ann's no longer
		wait_for("its session", function() return n:session(kernel) end, 20)
		assert.are.equal(404, (n.node:http("DELETE", "/api/notebooks/" .. session, nil, { key = ann.key })))
		assert.are.equal("5", n:cell(kernel, "kept"))
		-- its place is still one of SMALL
		local _, rules = n.node:http("GET", "/api/slots")
		assert.truthy(json.encode(rules):find '"used":1', json.encode(rules))
		assert.are.equal(200, (n.node:http("DELETE", "/api/notebooks/" .. session, nil, { key = bob.key })))
		local told
		for _, e in ipairs(require "spec.daemon.work".facts(n.node, "notebook.ended")) do
			if e.subject == kernel then told = e.detail end
		end
		assert.are.same({ "OTHER", "OTHER/sub dir/ü.ipynb" }, { told.project, told.notebook })
	end)

	it("says that the file of its notebook is gone when it was removed while it ran, and goes on", function()
		if not n and not open() then return end
		n:project "SMALL"
		n:write("SMALL/file.ipynb", '{"cells":[],"metadata":{},"nbformat":4,"nbformat_minor":5}')
		local kernel, session = n:start "SMALL/file.ipynb"
		n:cell(kernel, "kept = 6")
		local _, r = n:await(kernel, "its session", function(row) return row.state == "idle" end)
		assert.is_nil(r.fileGone)
		os.remove(n.node.dir .. "/projects/SMALL/file.ipynb")
		_, r = n:await(kernel, "it to be told", function(row) return row.fileGone end)
		assert.are.same({ session, "SMALL/file.ipynb", "SMALL", "ann", true }, { r.id, r.notebook, r.project, r.user, r.fileGone })
		local shown = n.node:ctl "notebooks"
		assert.truthy(shown:find("SMALL/file.ipynb (its file is gone)", 1, true), shown)
		assert.are.equal("6", n:cell(kernel, "kept"))
		n:write("SMALL/file.ipynb", '{"cells":[],"metadata":{},"nbformat":4,"nbformat_minor":5}')
		n:await(kernel, "it to be there again", function(row) return not row.fileGone end)
		n:delete(kernel)
	end)

	it("of a project whose project.lua is wrong is who was the owner last; where nobody knows who that is none is started, and why is told", function()
		if not n and not open() then return end
		n:project("KNOWN", 'project { owner = "carl" }')
		local first = n:start "KNOWN/a.ipynb"
		assert.are.equal("carl", n:rows()[first].user)
		n:project("KNOWN", BAD)
		local second = n:start "KNOWN/b.ipynb"
		assert.are.equal("carl", n:rows()[second].user)
		n:kill "backend" -- that read it while it was right
		wait_for("its rows", function() return n:rows()[first] end, 30)
		local third = n:start "KNOWN/c.ipynb"
		assert.are.equal("carl", n:rows()[third].user)
		n:project("UNKNOWN", BAD)
		local answer = n:jupyter("start", "UNKNOWN/a.ipynb")
		assert.is_nil(answer.kernel)
		assert.truthy(tostring(answer.message):find("project.lua:2: .*owners"), json.encode(answer))
		for _, k in ipairs { first, second, third } do n:delete(k) end
	end)

	it("is of who was set to own its project, over what its project.lua says", function()
		if not n and not open() then return end
		n:project "GIVEN"
		local _, given = n.node:http("GET", "/public/api/projects/GIVEN/permissions")
		given.owner = "dora"
		local status, answer = n.node:http("PUT", "/public/api/projects/GIVEN/permissions", given)
		assert.are.equal(200, status, json.encode(answer))
		local kernel = n:start "GIVEN/a.ipynb"
		assert.are.equal("dora", n:rows()[kernel].user)
		n:delete(kernel)
	end)
end)
