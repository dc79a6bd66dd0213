-- The list of slots: who sees whose keys.
local world = require "spec.lua.api.world"

describe("GET /api/slots", function()
	before_each(function()
		world.reset()
		world.keys.rows = { { id = "bob", user = "bob" } }
		world.fleet.slots_json = [==[[
			{"name":"tasks of a user","word":"slots","source":"policies/20.lua:7","each":"user","max":2,
			 "keys":[{"key":"ann","used":2,"memoryBytes":0},{"key":"bob","used":1,"memoryBytes":0}]},
			{"name":"all","word":"slots","source":"policies/20.lua:9","max":null,"memoryMaxBytes":5,"keys":[{"key":"","used":3,"memoryBytes":4}]},
			{"name":"tagged","word":"slots","source":"policies/20.lua:11","each":"tag","max":1,"keys":[{"key":"bob","used":1,"memoryBytes":0}]}]]==]
	end)
	after_each(function() world.fleet.slots_json = nil end)

	it("shows an admin every key", function()
		local status, b = world.ask("GET", "/api/slots")
		assert.equal(200, status)
		assert.same({ 2, 1, 1 }, { #b[1].keys, #b[2].keys, #b[3].keys })
	end)

	it("shows a user each rule, with the own key and the one of all alone", function()
		local status, b = world.ask("GET", "/api/slots", { fields = world.with "secret-of-bob" })
		assert.equal(200, status)
		assert.equal(3, #b)
		assert.same({ { key = "bob", used = 1, memoryBytes = 0 } }, b[1].keys)
		assert.equal(3, b[2].keys[1].used)
		assert.same({}, b[3].keys)
	end)
end)
