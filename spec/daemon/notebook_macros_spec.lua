-- The shipped macro kill-idle-notebooks against a real Jupyter server and real kernels: who is busy, silent, idle, at work in a thread, connected or kept is
-- judged rightly; simulate only lists, act unloads the right ones alone; where the server cannot be asked, or there is none, nothing ends.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local json = require "t_json"
local wait_for = helper.wait_for

local PYTHON = "/usr/bin/python3"
local has_jupyter = os.execute(PYTHON .. " -s -c 'import jupyter_server, ipykernel' 2>/dev/null")

local POOLS = [[ pool "fek" { kernel = python {}, limits = { memory = "256m" }, warm = { min = 0, max = 1 } } ]]
local MACRO = "kill-idle-notebooks"
local THREAD = [[
import threading
def work():
    n = 0
    while True:
        n = (n * 7 + 1) % 1000003
threading.Thread(target=work, daemon=True).start()]]
local IDLE_MS = 6000 -- over max_idle

describe("macros over notebooks", function()
	local node, shipped
	setup(function() shipped = assert(helper.read "policies/40-macros.lua") end)
	after_each(function()
		if node then node:remove() end
		node = nil
	end)

	local function open(config)
		node = Instance.new { config = config, policies = { ["10.lua"] = POOLS, ["40-macros.lua"] = shipped } }
		node:start()
		return node
	end

	local function jupyter(script, ...)
		local address = ("http://127.0.0.1:%d"):format(math.tointeger(json.decode(node:read "run/ports.json").jupyter))
		local words = { PYTHON, "-s", "spec/daemon/" .. script, address, node.dir .. "/config/jupyter.token", ... }
		if script == "notebook_client.py" then
			local out, why = Instance.run_apart(words)
			return json.decode(out) or error(out .. why, 2)
		end
		for i, w in ipairs(words) do words[i] = Instance.quote(w) end
		local pipe = assert(io.popen(table.concat(words, " ") .. " 2>&1", "r"))
		assert.are.equal("open", pipe:read "l")
		return pipe
	end

	local function start(name)
		local dir = node.dir .. "/projects/NB"
		os.execute("mkdir -p " .. Instance.quote(dir))
		helper.write(dir .. "/project.lua", 'project { owner = "ann" }')
		os.execute(("chown -R --reference=%s %s"):format(Instance.quote(node.dir .. "/projects"), Instance.quote(dir)))
		local s = jupyter("notebook_client.py", "start", "NB/" .. name .. ".ipynb")
		assert.truthy(s.kernel, json.encode(s))
		return s.kernel
	end

	local function cell(kernel, code)
		local answer = jupyter("notebook_client.py", "cell", kernel, code, "30")
		assert.is_nil(answer.error, json.encode(answer))
		return (answer.text:gsub("\n$", ""))
	end

	local function rows()
		local status, list = node:http("GET", "/api/notebooks")
		assert.are.equal(200, status, json.encode(list))
		local out = {}
		for _, r in ipairs(list) do out[r.notebook:match "NB/(.*)%.ipynb"] = r end
		return out
	end

	local function await(what, test, seconds)
		local found
		wait_for(what, function()
			found = rows()
			return test(found), json.encode(found)
		end, seconds or 40)
		return found
	end

	--- Runs it; its end, and what it says of each notebook.
	local function run(params)
		local status, answer = node:http("POST", "/api/macros/" .. MACRO, { params = params })
		assert.are.equal(200, status, json.encode(answer))
		local state
		wait_for("the end of the run", function()
			state = select(2, node:http("GET", "/api/macro-runs/" .. answer.runId))
			return state.running == false, json.encode(state)
		end, 60)
		local _, result = node:http("GET", ("/api/macro-runs/%s/result"):format(answer.runId))
		local what, why = {}, {}
		for _, record in ipairs(result.records or {}) do
			local name = record[1]:match "NB/(.*)%.ipynb"
			what[name], why[name] = record[#record - 1], record[#record]
		end
		return state, result, what, why
	end

	it("unload who is idle, and who is silent where that is asked; who works, is connected or kept stays", function()
		if not has_jupyter then return pending "jupyter_server or ipykernel is not installed" end
		open "jupyter {}"
		local kernels = {}
		for _, name in ipairs { "idle", "busy", "thread", "page", "kept" } do
			kernels[name] = start(name)
			cell(kernels[name], "here = 7")
		end
		cell(kernels.thread, THREAD)
		jupyter("notebook_client.py", "send", kernels.busy, "import time; time.sleep(600)")
		local page = jupyter("notebook_hold.py", kernels.page, "120")
		local server
		finally(function()
			if server then os.execute("kill -CONT " .. server) end
			if node then node:remove() end -- which ends the page
			node = nil
			page:close()
		end)
		assert.are.equal(200, (node:http("POST", "/api/notebooks/" .. kernels.kept .. "/keep", { ["for"] = "1h" })))

		await("all to be known", function(r)
			for _, one in pairs(r) do
				if not one.silentTime then return false end
			end
			return r.busy.state == "busy" and r.page.connections == 1
		end)
		-- idle for too short a time: nobody goes
		local _, result, _, why = run { max_idle = "1h" }
		assert.are.equal(0, result.summary.would, json.encode(result))
		assert.are.same({ busy = "it runs a cell", kept = "its user asked to keep it" }, { busy = why.busy, kept = why.kept })

		await("idle, page and kept to be silent", function(r)
			return (r.idle.quietTime or 0) > IDLE_MS and (r.page.silentTime or 0) > IDLE_MS and (r.kept.silentTime or 0) > IDLE_MS
		end)
		local what
		_, result, what, why = run { max_idle = "5s" }
		assert.are.same({ idle = "would be unloaded", busy = "kept", thread = "kept", page = "kept", kept = "kept" }, what, json.encode(result))
		assert.are.same({ busy = "it runs a cell", thread = "it uses the processor", page = "a client is connected", kept = "its user asked to keep it" },
			{ busy = why.busy, thread = why.thread, page = why.page, kept = why.kept })
		assert.are.same({ true, 1 }, { result.simulated, math.tointeger(result.summary.would) })
		local worked = rows().idle.lastActivity
		assert.are.equal("7", cell(kernels.idle, "here"))
		await("the cell to count", function(r) return r.idle.lastActivity > worked end)

		-- the cell was work: by age alone it goes now, as do no others that are spared
		_, result, what = run { max_idle = "100d", max_age = "1s", simulate = false }
		assert.are.same({ idle = "kept", busy = "kept", thread = "kept", page = "kept", kept = "kept" }, what, json.encode(result))
		await("idle to be silent again", function(r) return (r.idle.quietTime or 0) > IDLE_MS end)
		_, result, what = run { max_idle = "5s", simulate = false }
		assert.are.same({ idle = "unloaded", busy = "kept", thread = "kept", page = "kept", kept = "kept" }, what, json.encode(result))
		assert.are.same({ 1, 0 }, { math.tointeger(result.summary.done), math.tointeger(result.summary.failed) })
		assert.is_true(result.summary.bytes > 10 << 20)
		local left = rows()
		assert.is_nil(left.idle)

		-- silent: a tab was left open
		_, result, what = run { max_idle = "5s", spare_connected = false, simulate = false }
		assert.are.same({ busy = "kept", thread = "kept", page = "unloaded", kept = "kept" }, what, json.encode(result))
		left = rows()
		assert.is_nil(left.page)
		assert.truthy(left.busy and left.thread and left.kept)
		assert.are.equal("7", cell(kernels.kept, "here"))
		assert.are.equal("7", cell(kernels.thread, "here"))
		wait_for("the ledger", function()
			local _, list = node:http("GET", "/api/decisions?word=macro&name=" .. MACRO)
			for _, d in ipairs(list) do
				if d.outcome == "done" and d.answer == "unload" and d.source:find("policies/40-macros.lua", 1, true) then return true end
			end
			return nil, json.encode(list)
		end, 10)

		-- what is kept goes where that is said, and only then
		await("kept to be idle again", function(r) return (r.kept.quietTime or 0) > IDLE_MS end)
		_, result, what, why = run { max_idle = "5s", spare_leased = false }
		assert.are.same({ busy = "kept", thread = "kept", kept = "would be unloaded" }, what, json.encode(result))
		assert.truthy(why.kept:find("though its user keeps it", 1, true), why.kept)
		_, result, what = run { max_idle = "5s", spare_leased = false, simulate = false }
		assert.are.same({ busy = "kept", thread = "kept", kept = "unloaded" }, what, json.encode(result))
		assert.is_nil(rows().kept)

		-- the server hangs: nobody is known, nobody goes, whatever the params
		server = node:pid "jupyter"
		os.execute("kill -STOP " .. server)
		await("nobody to be known", function(r) return r.busy.state == "unknown" end)
		_, result, what = run { max_idle = "1ms", max_age = "1ms", spare_busy = false, spare_connected = false, spare_leased = false, simulate = false }
		assert.are.same({ busy = "skipped", thread = "skipped" }, what, json.encode(result))
		assert.truthy(result.summary.note:find("the notebook server cannot be asked", 1, true), result.summary.note)
		for _, r in pairs(rows()) do assert.is_true(os.execute("kill -0 " .. math.tointeger(r.pid) .. " 2>/dev/null")) end
	end)

	it("clear sessions whose kernel is dead", function()
		if not has_jupyter then return pending "jupyter_server or ipykernel is not installed" end
		open "jupyter {}"
		start "dead"
		start "lives"
		-- the server gives up on a kernel that dies again and again
		wait_for("the kernel to be dead", function()
			local row = rows().dead
			if row.state == "dead" then return true end
			if row.pid then os.execute("kill -9 " .. math.tointeger(row.pid) .. " 2>/dev/null") end
			return false, json.encode(row)
		end, 90)
		local _, result, what, why = run {}
		assert.are.equal("would be unloaded", what.dead, json.encode(result))
		assert.truthy(why.dead:find("its kernel is dead", 1, true), why.dead)
		assert.truthy(rows().dead)
		_, result, what = run { simulate = false }
		assert.are.equal("unloaded", what.dead, json.encode(result))
		local left = rows()
		assert.is_nil(left.dead)
		assert.truthy(left.lives)
	end)

	it("say so where there is no notebook server", function()
		open()
		local state = run {}
		assert.are.equal("failed", state.state)
		assert.truthy(state.resultError.message:find("there is no notebook server", 1, true), json.encode(state))
		local out, complaints, code = node:ctl("macro", "run", MACRO)
		assert.are_not.equal(0, code, out)
		assert.truthy(complaints:find("there is no notebook server", 1, true), complaints)
	end)
end)
