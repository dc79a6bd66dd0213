-- One task over the API, open and ended; the same again; filters and a pool's last hour of a running node.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local json = require "t_json"
local work = require "spec.daemon.work"

local node

local function get(id, key)
	local status, a = node:http("GET", "/api/tasks/" .. id, nil, key and { key = key })
	return a, status
end
local function running(id)
	return helper.wait_for("a task that runs", function()
		local a = get(id)
		return a.state == "running" and a.process and a, json.encode(a)
	end, 30)
end

describe("one task over the API", function()
	setup(function()
		node = Instance.new { policies = { ["10-pools.lua"] =
			'pool "cmd" { kernel = python {}, limits = { memory = "96m", memory_max = "1g", swap = "0" }, warm = { min = 1, max = 1 }, max = 3 }\n' } }
		node:start()
	end)
	teardown(function() node:remove() end)

	local function submit(argv, more)
		local body = { type = "command", payload = { argv = argv }, pool = "cmd" }
		for k, v in pairs(more or {}) do body[k] = v end
		local status, a = node:http("POST", "/api/futures", body)
		assert.equal(200, status, json.encode(a))
		return a.jobId
	end

	it("is told while it runs, with its process, limits and times", function()
		local id = submit({ "sleep", "300" }, { title = "Long", limits = { memory = "100m" }, timeoutMs = 600000, retries = 1 })
		local a = running(id)
		assert.same({ "Long", 100 << 20, 600000, 1, true }, { a.title, a.limits.memoryBytes, a.timeoutMs, a.retries, a.again })
		assert.equal(a.kernel, a.process.id)
		assert.equal(100 << 20, a.process.limitBytes)
		assert.same({ "submitted", "started" }, { a.timeline[1].what, a.timeline[2].what })
		node:http("DELETE", "/api/futures/" .. id)
		a = helper.wait_for("its end", function()
			local b = get(id)
			return not b.alive and b
		end, 30)
		assert.same({ "aborted", "ended", false }, { a.state, a.timeline[3].what, a.process ~= nil })
	end)

	it("tells why one died, and is run again with more, also after a restart of the backend", function()
		local id = submit({ "/usr/bin/python3", "-c", "x = bytearray(256 << 20)" }, { title = "Eater" })
		local a = helper.wait_for("its end", function()
			local b = get(id)
			return not b.alive and b
		end, 60)
		assert.truthy(a.state == "killed" or a.state == "failed", json.encode(a))
		assert.truthy(a.error.message, json.encode(a))
		if a.cause == "oom_limit" then assert.equal(96 << 20, a.error.detail.limitBytes) end
		local pid = node:pid "backend"
		node:kill "backend"
		helper.wait_for("the next backend", function()
			local s = node:status().by.backend
			return s and s.pid ~= pid and (node:http("GET", "/health")) == 200
		end, 30)
		local b = get(id)
		assert.same({ a.state, a.error.message, "Eater" }, { b.state, b.error.message, b.title })
		local status, again = node:http("POST", "/api/tasks/" .. id .. "/again", { limits = { memory = "512m" } })
		assert.equal(200, status, json.encode(again))
		local c = get(again.jobId)
		assert.same({ "Eater", 512 << 20, "cmd" }, { c.title, c.limits.memoryBytes, c.pool })
		work.wait_end(node, again.jobId, 60)
		assert.equal("done", (get(again.jobId)).state)
	end)

	it("is the owner's and admins' alone", function()
		local bob, eve = node:ctl("key", "add", "bob"):match "%S+", node:ctl("key", "add", "eve"):match "%S+"
		local _, made = node:http("POST", "/api/futures", { type = "command", payload = { argv = { "true" } } }, { key = bob })
		work.wait_end(node, made.jobId, 60)
		assert.equal(404, select(2, get(made.jobId, eve)))
		assert.equal(404, (node:http("POST", "/api/tasks/" .. made.jobId .. "/again", nil, { key = eve })))
		local status, again = node:http("POST", "/api/tasks/" .. made.jobId .. "/again", nil, { key = bob })
		assert.equal(200, status)
		assert.equal("bob", get(again.jobId).owner)
		_, again = node:http("POST", "/api/tasks/" .. made.jobId .. "/again", {})
		assert.equal("admin", get(again.jobId).owner)
	end)

	it("is found by a filter as data", function()
		local status, a = node:http("POST", "/api/filters", { kind = "task", text = "state = running and runn" })
		assert.equal(200, status)
		assert.same({ false, { "running" } }, { a.ok, a.words })
		a = select(2, node:http("POST", "/api/filters", { kind = "task", text = "running > 1h" }))
		assert.same({ true, 3600 }, { a.ok, a.tree.value })
	end)

	it("stands in the last hour of its pool", function()
		local id = submit { "sleep", "300" }
		running(id)
		local curve = helper.wait_for("a step with a busy kernel", function()
			local status, c = node:http("GET", "/api/pools/cmd/curve")
			assert.equal(200, status)
			return c.busy[#c.busy] >= 1 and c, json.encode(c)
		end, 30)
		assert.equal(10000, curve.stepMs)
		for _, name in ipairs { "warm", "busy", "waiting", "target", "coldStarts" } do assert.equal(#curve.warm, #curve[name], name) end
		assert.equal(1, curve.target[#curve.target])
		node:http("DELETE", "/api/futures/" .. id)
		assert.equal(404, (node:http("GET", "/api/pools/nosuch/curve")))
	end)
end)
