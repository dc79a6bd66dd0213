-- dssctl free with real kernels: which may go, which are kept warm, and what came back.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local json = require "t_json"

local POOL = 'pool "fek" { kernel = python {}, limits = { memory = "256m" }, warm = { min = 1, max = 4 }, max = 6, recycle = { after_tasks = 0 } }\n'

local WORK = [[
import os, time
def wait(name):
    place = os.path.dirname(__file__)
    open(os.path.join(place, name), "w").write("x")
    while not os.path.exists(os.path.join(place, "go")):
        time.sleep(0.02)
]]

describe("memory that kernels give back", function()
	local node
	after_each(function()
		if node then node:remove() end
		node = nil
	end)

	local function kernels(where)
		local _, rows = node:http("GET", "/api/processes?where=" .. where:gsub("%W", function(c) return ("%%%02X"):format(c:byte()) end))
		return rows
	end
	local function await(n, where)
		local rows
		helper.wait_for(n .. " kernels where " .. where, function()
			rows = kernels(where)
			return #rows == n, json.encode(rows)
		end, 30)
		return rows
	end
	local IDLE, USED = "kind = kernel and state = idle and memory > 0", 'kind = kernel and state = idle and memory > 0 and user != ""'

	--- Three kernels that worked for the admin, and the one that the pool keeps warm.
	local function start()
		node = Instance.new { policies = { ["10.lua"] = POOL } }
		node:start()
		local out = node.root .. "/out"
		assert(os.execute("mkdir -m 777 " .. out))
		helper.write(out .. "/work.py", WORK)
		for i = 1, 3 do
			assert.are.equal(200, (node:http("POST", "/api/futures", { type = "python", payload = { callable = "work:wait", path = { out }, kwargs = { name = tostring(i) } } })))
		end
		for i = 1, 3 do helper.wait_for("task " .. i, function() return helper.read(("%s/%d"):format(out, i)) end, 30) end
		helper.write(out .. "/go", "")
		await(3, USED)
		await(1, 'kind = kernel and state = idle and memory > 0 and user = ""')
	end

	it("are listed with what is lost, ended at --yes, and never those that are kept warm", function()
		start()
		local out, note, code = node:ctl("free", "1m")
		assert.are.equal(0, code, note)
		assert.truthy(out:find("a cold start", 1, true) and out:find("admin, pool fek", 1, true) and out:find("dssctl free fek", 1, true), out)
		assert.truthy(note:find("nothing was ended", 1, true), note)
		assert.are.equal(4, #kernels(IDLE))
		out, note, code = node:ctl("--json", "free", "1m", "--yes")
		assert.are.equal(0, code, note)
		local said = json.decode(out)
		assert.are.same({ 1, "kernel", true }, { #said.owners, said.owners[1].kind, said.owners[1].ended })
		assert.are.equal(said.freedBytes, said.owners[1].memoryBytes)
		assert.is_true(said.freedBytes >= 1 << 20)
		assert.are.equal(2, #kernels(USED))
		-- all that may go, and less than was asked for
		out, note, code = node:ctl("free", "100g", "--yes")
		assert.are.equal(1, code, out .. note)
		assert.truthy(out:find("gave back [%d.]+ MB of 100"), out)
		assert.truthy(note:find("nobody else is idle and could go", 1, true), note)
		assert.are.same({ 0, 1 }, { #kernels(USED), #kernels(IDLE) })
		-- nothing that is kept warm: neither listed, nor by its name
		out, note, code = node:ctl("free", "1m", "--yes")
		assert.are.same({ "gave back 0 B of 1.0 MB", 1 }, { out, code }, note)
		local warm = kernels(IDLE)[1].id
		out, note, code = node:ctl("free", warm)
		assert.are_not.equal(0, code, out)
		assert.truthy(note:find('pool "fek" keeps that many kernels warm', 1, true), note)
		assert.are.equal(warm, kernels(IDLE)[1].id)
	end)

	it("are not taken from who works, and are admins' to end", function()
		start()
		local _, key = node:http("POST", "/api/keys", { user = "bob" })
		local id = kernels(USED)[1].id
		assert.are.equal(403, (node:http("DELETE", "/api/processes/" .. id, nil, { key = key.key })))
		assert.are.equal(409, (node:http("DELETE", "/api/processes/fek-999")))
		helper.write(node.root .. "/bob.key", key.key .. "\n")
		local out, note, code = node:ctl("free", "1m", "--key-file", node.root .. "/bob.key")
		assert.are.same({ "", 0 }, { out, code }, note)
		assert.truthy(note:find("kernels of pools are admins' to end", 1, true), note)
		os.remove(node.root .. "/out/go")
		local _, busy = node:http("POST", "/api/futures", { type = "python", payload = { callable = "work:wait", path = { node.root .. "/out" }, kwargs = { name = "again" } } })
		local kernel
		helper.wait_for("the busy kernel", function()
			local _, f = node:http("GET", "/api/futures/" .. busy.jobId .. "?peek=true")
			kernel = f.kernel
			return f.state == "running", json.encode(f)
		end, 20)
		local status, answer = node:http("DELETE", "/api/processes/" .. kernel)
		assert.are.equal(409, status)
		assert.truthy(answer.message:find("works", 1, true), answer.message)
		out, note, code = node:ctl("free", id, "no-such")
		assert.are_not.equal(0, code)
		assert.truthy(note:find("kernel no-such is gone, or stopping already", 1, true), note)
		assert.truthy(out:find(id == kernel and "" or "ended " .. id, 1, true), out)
	end)
end)
