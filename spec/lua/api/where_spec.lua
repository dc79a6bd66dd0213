-- ?where= on the lists.
require "spec.helper"
local world = require "spec.lua.api.world"
local json, fleet, ask, KEY = world.json, world.fleet, world.ask, world.KEY

local function ids(path, where, fields)
	local status, rows, head = ask("GET", path .. "?where=" .. where, { fields = fields })
	assert.equal(200, status, rows.message)
	local out = {}
	for i, row in ipairs(rows) do out[i] = row.id or row.jobId or row.name end
	assert.equal(tostring(#out), head["Where-Matched"])
	return out
end

describe("a list with ?where=", function()
	local list = fleet.list
	before_each(function()
		world.reset()
		fleet.processes_json = '[{"id":"backend","kind":"service","memoryBytes":9000000},{"id":"fek-1","kind":"kernel","memoryBytes":2147483648,"limitBytes":2147483648,"user":"bob","taskId":"t1"},'
			.. '{"id":"fek-2","kind":"kernel","user":"eve","memoryBytes":3221225472,"taskId":"t2","cpuSeconds":1.5,"tags":[]}]'
		fleet.pools_json = '[{"name":"fek","waiting":4,"idle":0,"warm":{"min":1,"max":2}},{"name":"big","waiting":0,"idle":2,"warm":{"min":1,"max":2}}]'
		fleet.list = function(owner, ended, fn)
			world.was.list = { owner or "all", ended }
			local rows = { '{"jobId":"t1","owner":"bob","state":"running","kernel":"fek-1","tags":["nightly"]}', '{"jobId":"t2","owner":"eve","state":"running","kernel":"fek-2"}',
				'{"jobId":"t3","owner":"bob","state":"queued","tags":[]}' }
			local out = {}
			for _, row in ipairs(rows) do
				if not owner or json.decode(row).owner == owner then out[#out + 1] = row end
			end
			fn("[" .. table.concat(out, ",") .. "]")
		end
	end)
	after_each(function() fleet.list = list end)

	local bob = world.with(KEY, { ["x-dku-proxyuser"] = "bob" })

	it("has the rows that the filter is true of, as they were", function()
		assert.same({ "fek-1", "fek-2" }, ids("/api/processes", "memory > 1g"))
		assert.same({ "fek-1" }, ids("/api/processes", "memory > 80% of limit"))
		assert.same({ "fek" }, ids("/api/pools", "waiting > 3 and idle = 0"))
		assert.same({ "t1" }, ids("/api/tasks", "tags = nightly"))
		assert.same({}, ids("/api/processes", "kind = nosuch"))
		assert.equal("[]", select(4, ask("GET", "/api/processes?where=kind = nosuch")))
		assert.equal('[{"cpuSeconds":1.5,"id":"fek-2","kind":"kernel","memoryBytes":3221225472,"tags":[],"taskId":"t2","user":"eve"}]',
			json.encode((select(2, ask("GET", "/api/processes?where=id = fek-2")))))
	end)

	it("shows others nothing that is not theirs, whatever the filter says", function()
		assert.same({ "backend", "fek-1" }, ids("/api/processes", 'id ~ "*"', bob))
		assert.same({ "t1", "t3" }, ids("/api/tasks", 'id ~ "*" or user = eve', bob))
		assert.equal("bob", world.was.list[1])
		assert.same({}, ids("/api/tasks", "user = eve", bob))
		assert.same({}, ids("/api/processes", "user = eve or memory > 2.5g", bob))
	end)

	it("knows of a task what its kernel uses", function()
		assert.same({ "t1", "t2" }, ids("/api/tasks", "memory > 1g"))
		assert.same({ "t2" }, ids("/api/tasks", "memory > 2g and not tags = nightly"))
		assert.same({ "t1" }, ids("/api/tasks", "memory >= limit"))
		fleet.processes_json = nil
		assert.equal(503, (ask("GET", "/api/tasks?where=memory > 1g")))
		assert.same({ "t3" }, ids("/api/tasks", "state = queued"))
	end)

	it("keeps what is looked through: ?ended=N", function()
		ids("/api/tasks", "state = queued")
		assert.same({ "all", 100 }, world.was.list)
		ask("GET", "/api/tasks?ended=0&where=alive")
		assert.same({ "all", 0 }, world.was.list)
	end)

	it("is refused with the character where the filter is wrong, and nothing is asked", function()
		for path, case in pairs { ["/api/processes"] = { "memroy > 1g", 1 }, ["/api/tasks"] = { "state = runing", 9 }, ["/api/pools"] = { "waiting > 1g", 11 } } do
			local status, body = ask("GET", path .. "?where=" .. case[1])
			assert.equal(400, status)
			assert.truthy(body.message:find(("character %d: "):format(case[2]), 1, true), body.message)
			assert.truthy(body.errorType:find "IllegalArgument")
		end
		assert.is_nil(world.was.list)
	end)

	it("that is empty is a mistake, not everything", function()
		assert.equal(400, (ask("GET", "/api/tasks?where=")))
		assert.equal(400, (ask("GET", "/api/processes?where=  ")))
	end)

	it("tells what can be asked", function()
		local status, body = ask("GET", "/api/facts", { fields = bob })
		assert.equal(200, status)
		local found
		for _, d in ipairs(body.process) do
			if d.name == "memory" then found = d end
		end
		assert.equal("size", found.type)
		assert.truthy(#body.task > 10 and #body.pool > 10)
	end)
end)
