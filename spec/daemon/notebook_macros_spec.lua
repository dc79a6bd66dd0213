-- The shipped macro kill-idle-notebooks against a real Jupyter server and real kernels: who is busy, silent, idle, at work in a thread, connected or kept is
-- judged rightly; simulate only lists, act unloads the right ones alone; where the server cannot be asked, or there is none, nothing ends.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local Notebooks = require "spec.daemon.notebook_node"
local json = require "t_json"
local wait_for = helper.wait_for

local MACRO = Notebooks.MACRO
local IDLE_MS = 6000 -- over max_idle

describe("macros over notebooks", function()
	local notebooks, shipped
	setup(function() shipped = assert(helper.read "policies/40-macros.lua") end)
	after_each(function()
		if notebooks then notebooks:remove() end
		notebooks = nil
	end)

	local function open(config)
		notebooks = Notebooks.new { config = config or "-- no notebook server", policies = { ["10.lua"] = Notebooks.POOLS, ["40-macros.lua"] = shipped } }
		notebooks:project "NB"
		return notebooks.node
	end

	--- What tells admins that the server cannot be asked; nil where nothing does.
	local function alert()
		local status, list = notebooks.node:http("GET", "/api/alerts")
		assert(status == 200, json.encode(list))
		for _, a in ipairs(list) do
			if a.key == "notebooks" then return a end
		end
	end

	--- A page that is open.
	local function hold(kernel)
		local words = notebooks:words("notebook_hold.py", kernel, "120")
		for i, w in ipairs(words) do words[i] = Instance.quote(w) end
		local pipe = assert(io.popen(table.concat(words, " ") .. " 2>&1", "r"))
		assert.are.equal("open", pipe:read "l")
		return pipe
	end

	it("unload who is idle, and who is silent where that is asked; who works, is connected or kept stays", function()
		if not Notebooks.has_jupyter then return pending "jupyter_server or ipykernel is not installed" end
		local node = open "jupyter {}"
		local kernels = {}
		for _, name in ipairs { "idle", "busy", "thread", "page", "kept" } do
			kernels[name] = notebooks:start("NB/" .. name .. ".ipynb")
			notebooks:cell(kernels[name], "here = 7")
		end
		notebooks:cell(kernels.thread, Notebooks.THREAD)
		notebooks:send(kernels.busy, "import time; time.sleep(600)")
		local page = hold(kernels.page)
		local server
		finally(function()
			if server then os.execute("kill -CONT " .. server) end
			notebooks:remove() -- which ends the page
			notebooks = nil
			page:close()
		end)
		assert.are.equal(200, (node:http("POST", "/api/notebooks/" .. kernels.kept .. "/keep", { ["for"] = "1h" })))

		notebooks:await_named("all to be known", function(r)
			for name in pairs(kernels) do
				if not r[name].silentTime then return false end
			end
			return r.busy.state == "busy" and r.page.connections == 1
		end)
		-- idle for too short a time: nobody goes
		local _, why, result = notebooks:unload { max_idle = "1h" }
		assert.are.equal(0, result.summary.would, json.encode(result))
		assert.are.same({ busy = "it runs a cell", kept = "its user asked to keep it" }, { busy = why.busy, kept = why.kept })

		notebooks:await_named("idle, page and kept to be silent", function(r)
			return (r.idle.quietTime or 0) > IDLE_MS and (r.page.silentTime or 0) > IDLE_MS and (r.kept.silentTime or 0) > IDLE_MS
		end)
		local what
		what, why, result = notebooks:unload { max_idle = "5s" }
		assert.are.same({ idle = "would be unloaded", busy = "kept", thread = "kept", page = "kept", kept = "kept" }, what, json.encode(result))
		assert.are.same({ busy = "it runs a cell", thread = "it uses the processor", page = "a client is connected", kept = "its user asked to keep it" },
			{ busy = why.busy, thread = why.thread, page = why.page, kept = why.kept })
		assert.are.same({ true, 1 }, { result.simulated, math.tointeger(result.summary.would) })
		assert.are.equal("7", notebooks:work("idle", kernels.idle, "here"))

		-- the cell was work: by age alone it goes now, as do no others that are spared
		what, _, result = notebooks:unload { max_idle = "100d", max_age = "1s", simulate = false }
		assert.are.same({ idle = "kept", busy = "kept", thread = "kept", page = "kept", kept = "kept" }, what, json.encode(result))
		notebooks:await_named("idle to be silent again", function(r) return (r.idle.quietTime or 0) > IDLE_MS end)
		what, _, result = notebooks:unload { max_idle = "5s", simulate = false }
		assert.are.same({ idle = "unloaded", busy = "kept", thread = "kept", page = "kept", kept = "kept" }, what, json.encode(result))
		assert.are.same({ 1, 0 }, { math.tointeger(result.summary.done), math.tointeger(result.summary.failed) })
		assert.is_true(result.summary.bytes > 10 << 20)
		local left = notebooks:named()
		assert.is_nil(left.idle)

		-- silent: a tab was left open
		what, _, result = notebooks:unload { max_idle = "5s", spare_connected = false, simulate = false }
		assert.are.same({ busy = "kept", thread = "kept", page = "unloaded", kept = "kept" }, what, json.encode(result))
		left = notebooks:named()
		assert.is_nil(left.page)
		assert.truthy(left.busy and left.thread and left.kept)
		assert.are.equal("7", notebooks:work("kept", kernels.kept, "here"))
		assert.are.equal("7", notebooks:cell(kernels.thread, "here"))
		wait_for("the ledger", function()
			local _, list = node:http("GET", "/api/decisions?word=macro&name=" .. MACRO)
			for _, d in ipairs(list) do
				if d.outcome == "done" and d.answer == "unload" and d.source:find("policies/40-macros.lua", 1, true) then return true end
			end
			return nil, json.encode(list)
		end, 10)

		-- what is kept goes where that is said, and only then
		notebooks:await_named("kept to be idle again", function(r) return (r.kept.quietTime or 0) > IDLE_MS end)
		what, why, result = notebooks:unload { max_idle = "5s", spare_leased = false }
		assert.are.same({ busy = "kept", thread = "kept", kept = "would be unloaded" }, what, json.encode(result))
		assert.truthy(why.kept:find("though its user keeps it", 1, true), why.kept)
		what, _, result = notebooks:unload { max_idle = "5s", spare_leased = false, simulate = false }
		assert.are.same({ busy = "kept", thread = "kept", kept = "unloaded" }, what, json.encode(result))
		assert.is_nil(notebooks:named().kept)

		-- the server hangs: nobody is known, nobody goes, whatever the params
		server = node:pid "jupyter"
		local stopped_s = os.time()
		os.execute("kill -STOP " .. server)
		notebooks:await_named("nobody to be known", function(r) return r.busy.state == "unknown" end)
		what, _, result = notebooks:unload { max_idle = "1ms", max_age = "1ms", spare_busy = false, spare_connected = false, spare_leased = false, simulate = false }
		assert.are.same({ busy = "skipped", thread = "skipped" }, what, json.encode(result))
		assert.truthy(result.summary.note:find("the notebook server cannot be asked", 1, true), result.summary.note)
		for _, r in pairs(notebooks:named()) do assert.is_true(os.execute("kill -0 " .. math.tointeger(r.pid) .. " 2>/dev/null")) end

		-- an admin is told once that goes on, until the server answers again
		local told
		wait_for("the alert", function()
			told = alert()
			return told
		end, 90)
		assert.is_true(told.since >= (stopped_s + 28) * 1000, json.encode(told)) -- 30 s, and not the first look that failed
		assert.matches("^the notebook server cannot be asked since %d%d:%d%d:%d%d %S+ %(no whole answer within 5 s%): nobody counts as idle, ", told.text)
		assert.matches("nothing is unloaded meanwhile; dss restart jupyter keeps the kernels$", told.text)
		local out, complaints = node:ctl "notebooks"
		assert.matches("the notebook server cannot be asked, and nobody counts as idle: no whole answer within 5 s, since %d%d:%d%d:%d%d [^;%s]+; "
			.. "dss restart jupyter keeps the kernels\n", out .. complaints)
		os.execute("kill -CONT " .. server)
		wait_for("the end of the alert", function() return not alert(), "it is still there" end, 60)
		notebooks:await_named("who works to be known", function(r) return r.busy.state == "busy" end)
	end)

	it("leave a kernel that has crashed to the server, which starts it again", function()
		if not Notebooks.has_jupyter then return pending "jupyter_server or ipykernel is not installed" end
		open "jupyter {}"
		notebooks:start "NB/crashes.ipynb"
		local before = notebooks:await_named("it to be idle", function(r) return r.crashes.state == "idle" end).crashes.pid
		os.execute(("kill -9 %d"):format(before))
		local states = {}
		local row = notebooks:await_named("the next process", function(r)
			states[r.crashes.state] = true
			return r.crashes.pid and r.crashes.pid ~= before
		end).crashes
		assert.is_nil(states.dead, json.encode(states))
		local what, why = notebooks:unload { simulate = false }
		assert.are_not.equal("unloaded", what.crashes, why.crashes)
		assert.is_true(Notebooks.is_alive(row.pid))
	end)

	it("say so where there is no notebook server", function()
		local node = open()
		local _, _, _, state = notebooks:unload {}
		assert.are.equal("failed", state.state)
		assert.truthy(state.resultError.message:find("there is no notebook server", 1, true), json.encode(state))
		local out, complaints, code = node:ctl("macro", "run", MACRO)
		assert.are_not.equal(0, code, out)
		assert.truthy(complaints:find("there is no notebook server", 1, true), complaints)
	end)
end)
