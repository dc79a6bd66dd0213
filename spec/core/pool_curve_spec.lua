-- The last hour of a pool, in steps of 10 s.
require "spec.helper"
local curve = require "t_pool_curve"
local json = require "t_json"

local function run(notes, mono, wall) return assert(json.decode(curve.run(notes, mono, wall or 0))) end

describe("a pool's last hour", function()
	it("has of each step the most of busy, waiting, target, the least of warm, and its cold starts", function()
		local c = run({ { 20000, 2, 0, 0, 2, 0 }, { 21000, 0, 3, 4, 3, 1 }, { 22000, 1, 2, 0, 2, 3 }, { 31000, 2, 1, 0, 2, 4 } }, 33000, 1000033000)
		assert.same({ stepMs = 10000, fromAt = 1000020000, warm = { 0, 1 }, busy = { 3, 2 }, waiting = { 4, 0 }, target = { 3, 2 }, coldStarts = { 3, 1 } }, c)
	end)

	it("holds what was last noted while nothing changes", function()
		local c = run({ { 5000, 1, 2, 3, 4, 7 } }, 45000)
		assert.same({ { 1, 1, 1, 1, 1 }, { 2, 2, 2, 2, 2 }, { 0, 0, 0, 0, 0 } }, { c.warm, c.busy, { 0, 0, 0, 0, 0 } })
		assert.same({ 7, 0, 0, 0, 0 }, c.coldStarts)
	end)

	it("has an hour at most, also after a long silence", function()
		local notes = {}
		for i = 1, 500 do notes[i] = { i * 10000, i, 0, 0, 0, i } end
		local c = run(notes, 5000000, 5000000)
		assert.same({ 360, 360, 360 }, { #c.warm, #c.busy, #c.coldStarts })
		assert.equal(499, c.warm[360]) -- the least of that step
		assert.equal((500 - 359) * 10000, c.fromAt)
		c = run({ { 10000, 5, 0, 0, 0, 0 } }, 100 * 3600000)
		assert.truthy(#c.warm >= 360 and #c.warm <= 361)
		for _, v in ipairs(c.warm) do assert.equal(5, v) end
	end)

	it("of a pool that was never looked at is empty", function()
		assert.same({ stepMs = 10000, fromAt = 9, warm = {}, busy = {}, waiting = {}, target = {}, coldStarts = {} }, run({}, 5, 9))
	end)
end)
