-- GET /api/tasks/{id}, POST /api/tasks/{id}/again, GET /api/pools/{pool}/curve
require "spec.helper"
local world = require "spec.lua.api.world"
local fleet, ask, KEY = world.fleet, world.ask, world.KEY

local function as(login) return { fields = world.with(KEY, { ["x-dku-proxyuser"] = login }) } end

local function with(o, more)
	for k, v in pairs(more) do o[k] = v end
	return o
end

describe("one task", function()
	before_each(function()
		world.reset()
		local base = { kind = "future", type = "python", pool = "fek", project = "SALES", title = "Daily", tags = '["x"]', exclusive = "one", payload = '{"callable":"a:b", "n":1e3}',
			memory_bytes = 1 << 30, timeout_ms = 5000, retries = 2, priority = 3, created_ms = 1000, started_ms = 2000, ended_ms = 3000 }
		world.tasks.rows = { bobs = with({ owner = "bob" }, base), dead = with({ owner = "bob" }, base) }
		fleet.futures.dead.json = '{"jobId":"dead","alive":false,"state":"killed","attempt":2,"kernel":"fek-7","submitTime":1000,"endTime":3000,"cause":"oom_limit","error":{"message":"raw"}}'
		fleet.futures.dead.error_json = '{"errorType":"X","message":"Killed: …","cause":"oom_limit","detail":{"limitBytes":5,"lastMinute":[[1,2]]}}'
		fleet.futures.bobs.json = '{"jobId":"bobs","alive":true,"state":"running","attempt":1,"kernel":"fek-1"}'
	end)

	it("tells its state, limits, times and the process it runs in", function()
		fleet.processes_json = '[{"id":"fek-0","taskId":"other"},{"id":"fek-1","taskId":"bobs","memoryBytes":7}]'
		local status, a = ask("GET", "/api/tasks/bobs", as "bob")
		assert.equal(200, status)
		assert.same({ "running", 1 << 30, 5000, 2, true, "Daily" }, { a.state, a.limits.memoryBytes, a.timeoutMs, a.retries, a.again, a.title })
		assert.same({ "abort" }, a.ends)
		assert.same({ id = "fek-1", taskId = "bobs", memoryBytes = 7 }, a.process)
		assert.same({ { at = 1000, what = "submitted" }, { at = 2000, what = "started", attempt = 1, kernel = "fek-1" } }, a.timeline)
		assert.is_nil(a.payload)
	end)

	it("tells it without its process where the keeper does not answer", function()
		local status, a = ask("GET", "/api/tasks/bobs", as "bob")
		assert.same({ 200, nil }, { status, a.process })
	end)

	it("tells of one that ended why, with all of the detail", function()
		local _, a = ask("GET", "/api/tasks/dead", as "bob")
		assert.same({ errorType = "X", message = "Killed: …", cause = "oom_limit", detail = { limitBytes = 5, lastMinute = { { 1, 2 } } } }, a.error)
		assert.same({}, a.ends)
		assert.same({ at = 3000, what = "ended", state = "killed", cause = "oom_limit" }, a.timeline[3])
	end)

	it("is not there for others, unless a policy lets them see it; then it is not theirs to run again", function()
		assert.equal(404, (ask("GET", "/api/tasks/bobs", as "eve")))
		assert.equal(404, (ask("POST", "/api/tasks/bobs/again", as "eve")))
		assert.equal(404, (ask("GET", "/api/tasks/nosuch")))
		assert.equal(404, (ask("GET", "/api/tasks/a..b")))
		world.may = function(_, verb) return verb == "see" end
		fleet.futures.bobs.facts = {}
		local status, a = ask("GET", "/api/tasks/bobs", as "eve")
		assert.same({ 200, false, {} }, { status, a.again, a.ends })
		status, a = ask("POST", "/api/tasks/bobs/again", as "eve")
		assert.equal(403, status)
		assert.truthy(a.message:find("is bob's", 1, true))
		world.may = nil
		assert.is_nil(world.was.submit)
	end)

	it("is run again as it was, as a task of the one who asks", function()
		local status, a = ask("POST", "/api/tasks/dead/again", as "bob")
		assert.same({ 200, "f1" }, { status, a.jobId })
		local r = world.was.submit
		assert.same({ "bob", "python", "fek", "SALES", "Daily", "one", '{"callable":"a:b", "n":1e3}', 1 << 30, 5000, 2, 3, '["x"]' },
			{ r.owner, r.type, r.pool, r.project, r.title, r.exclusive, r.payload, r.memory_bytes, r.timeout_ms, r.retries, r.priority, r.tags })
		assert.is_nil(r.client_key)
		status = ask("POST", "/api/tasks/dead/again", { body = { limits = { memory = "4g" }, timeoutMs = 9 } })
		assert.same({ 200, "admin", 4 << 30, 9 }, { status, world.was.submit.owner, world.was.submit.memory_bytes, world.was.submit.timeout_ms })
	end)

	it("is not run again where it is no future, or what it ran is gone; nor with a limit that is none", function()
		world.tasks.rows.dead.payload = nil
		assert.equal(410, (ask("POST", "/api/tasks/dead/again")))
		world.tasks.rows.dead.payload, world.tasks.rows.dead.kind = "{}", "job"
		assert.equal(400, (ask("POST", "/api/tasks/dead/again")))
		world.tasks.rows.dead.kind, world.tasks.rows.dead.type = "future", "train"
		assert.equal(400, (ask("POST", "/api/tasks/dead/again")))
		world.tasks.rows.dead.type = "python"
		for _, body in ipairs { { limits = { memory = "4x" } }, { limits = { cpu = 1 } }, { timeoutMs = 0 }, { limit = {} } } do
			assert.equal(400, (ask("POST", "/api/tasks/dead/again", { body = body })))
		end
		fleet.refusal = "unavailable"
		assert.equal(503, (ask("POST", "/api/tasks/dead/again")))
	end)
end)

describe("the last hour of a pool", function()
	it("is passed on; of no pool there is none", function()
		world.tasks.curves = { fek = '{"stepMs":10000,"warm":[1]}' }
		assert.equal('{"stepMs":10000,"warm":[1]}', select(4, ask("GET", "/api/pools/fek/curve")))
		assert.equal(404, (ask("GET", "/api/pools/nosuch/curve")))
		assert.equal(401, (ask("GET", "/api/pools/fek/curve", { fields = {} })))
	end)
end)
