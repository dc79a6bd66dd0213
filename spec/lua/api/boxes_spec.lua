-- The list of boxes: who sees which levels.
local world = require "spec.lua.api.world"

describe("GET /api/boxes", function()
	before_each(function()
		world.reset()
		world.keys.rows = { { id = "bob", user = "bob" } }
		world.jobs.projects = {
			OPEN = { "good", '{"owner":"ann","rights":{"read":["bob"]}}' }, SHUT = { "good", '{"owner":"ann"}' }, BAD = { "bad", '{"errors":[]}' },
		}
		world.fleet.boxes_json = [==[[
			{"box":"run/jobs","kind":"level","processes":3,"processIds":["a","b","c"],"whose":{"ann\nSHUT":true,"bob\nSHUT":true,"ann\nOPEN":true}},
			{"box":"run/jobs/OPEN","kind":"level","name":"x","source":"policies/20.lua:1","limitBytes":5,"processes":1,"processIds":["a"],"whose":{"ann\nOPEN":true}},
			{"box":"run/jobs/SHUT","kind":"level","processes":2,"processIds":["b","c"],"whose":{"ann\nSHUT":true,"bob\nSHUT":true}},
			{"box":"run/jobs/SHUT/J1","kind":"level","processes":1,"processIds":["c"],"whose":{"bob\nSHUT":true}},
			{"box":"run/users/ann","kind":"level","processes":1,"processIds":["d"],"whose":{"ann\nBAD":true}},
			{"box":"run/many","kind":"level","processes":999,"processIds":[]}]]==]
	end)
	after_each(function()
		world.fleet.boxes_json = nil
		world.jobs.projects = {}
	end)

	local function names(rows)
		local out = {}
		for i, row in ipairs(rows) do out[i] = row.box end
		return out
	end

	it("shows an admin all, with users and projects", function()
		local status, rows = world.ask("GET", "/api/boxes")
		assert.equal(200, status)
		assert.equal(6, #rows)
		assert.same({ { "ann", "bob" }, { "OPEN", "SHUT" } }, { rows[1].users, rows[1].projects })
		assert.is_nil(rows[1].whose)
		assert.same({ "x", 5, { "a" } }, { rows[2].name, rows[2].limitBytes, rows[2].processIds })
	end)

	it("shows a user the levels in which all is the own or of a project that may be read", function()
		local status, rows = world.ask("GET", "/api/boxes", { fields = world.with "secret-of-bob" })
		assert.equal(200, status)
		assert.same({ "run/jobs/OPEN", "run/jobs/SHUT/J1" }, names(rows))
	end)

	it("says so where the keeper does not answer", function()
		world.fleet.boxes_json = nil
		local status, answer = world.ask("GET", "/api/boxes")
		assert.equal(503, status)
		assert.matches("the keeper does not answer", answer.message, 1, true)
	end)
end)
