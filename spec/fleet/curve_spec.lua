-- Curves of processes over time, on a clock of the spec's own.
require "spec.helper"
local curve = require "t_curve"
local json = require "t_json"

local MB = 1 << 20
local WALL = 1700000000000

local function recent(c, id, at, points) return assert(json.decode(assert(c:recent(id, at, WALL + at, points or 60)))) end
local function life(c, id, at) return assert(json.decode(assert(c:life(id, at, WALL + at)))) end

--- null stands for false, so that lists have no holes.
local function plain(list)
	local out = {}
	for i, v in ipairs(list) do out[i] = v ~= json.null and v or false end
	return out
end

describe("a curve", function()
	local c
	before_each(function() c = curve.new() end)

	it("keeps the most of each step of 10 s", function()
		c:add("p", 0, { memory = 3 * MB })
		c:add("p", 4000, { memory = 9 * MB })
		c:add("p", 9999, { memory = MB })
		c:add("p", 10000, { memory = 2 * MB })
		local r = recent(c, "p", 12000)
		assert.same({ 10000, WALL }, { r.stepMs, r.fromAt })
		assert.same({ 9 * MB, 2 * MB }, plain(r.memoryBytes))
	end)

	it("tells the last steps alone, as many as are asked for, and ten minutes of them at most", function()
		for i = 0, 99 do c:add("p", i * 10000, { memory = i * MB }) end
		local r = recent(c, "p", 995000, 3)
		assert.same({ 97 * MB, 98 * MB, 99 * MB }, plain(r.memoryBytes))
		assert.equal(WALL + 970000, r.fromAt)
		r = recent(c, "p", 995000, 1000)
		assert.equal(60, #r.memoryBytes)
		assert.equal(40 * MB, r.memoryBytes[1])
	end)

	it("has nothing where nobody looked, but a step that a slow reader left out", function()
		c:add("p", 0, { memory = MB })
		c:add("p", 20100, { memory = 3 * MB })
		c:add("p", 81000, { memory = 5 * MB })
		assert.same({ MB, MB, 3 * MB, 3 * MB, false, false, false, false, 5 * MB }, plain(recent(c, "p", 85000).memoryBytes))
	end)

	it("forgets what is older than ten minutes though nothing came meanwhile", function()
		c:add("p", 0, { memory = MB })
		c:add("p", 3600000, { memory = 2 * MB })
		local r = plain(recent(c, "p", 3600000).memoryBytes)
		assert.equal(60, #r)
		for i = 1, 59 do assert.is_false(r[i]) end
		assert.equal(2 * MB, r[60])
	end)

	it("has its whole life in 240 steps at most, which get longer, and loses no peak", function()
		local spike = 4321
		for i = 0, 19999 do c:add("p", i * 1000, { memory = (i == spike and 777 or 5) * MB }) end
		local l = life(c, "p", 20000000)
		assert.is_true(#l.memoryBytes <= 240 and #l.memoryBytes > 120, #l.memoryBytes)
		assert.equal(128000, l.stepMs)
		assert.equal(WALL, l.fromAt)
		local most, at = 0, nil
		for i, v in ipairs(l.memoryBytes) do
			if v > most then most, at = v, i end
		end
		assert.equal(777 * MB, most)
		assert.equal(spike * 1000 // l.stepMs, at - 1)
		assert.equal(777 * MB, l.peakBytes)
	end)

	it("begins with steps of a second", function()
		for i = 0, 4 do c:add("p", 50 + i * 1000, { memory = i * MB, limit = 64 * MB }) end
		local l = life(c, "p", 5000)
		assert.same({ 0, MB, 2 * MB, 3 * MB, 4 * MB }, plain(l.memoryBytes))
		assert.same({ 1000, WALL + 50, 64 * MB }, { l.stepMs, l.fromAt, l.limitBytes })
	end)

	it("counts the share of a core between two readings", function()
		c:add("p", 0, { memory = 0, cpu = 1000 })
		assert.equal(-1, (select(4, c:now "p")))
		c:add("p", 2000, { memory = 0, cpu = 4000 })
		assert.same({ 0, 0, 4000, 1500 }, { c:now "p" })
		assert.equal(1.5, recent(c, "p", 2000).cpuShare[1])
	end)

	it("takes two readings at almost the same time for one", function()
		c:add("p", 0, { cpu = 0 })
		c:add("p", 1000, { cpu = 500 })
		c:add("p", 1010, { cpu = 510 })
		assert.equal(500, (select(4, c:now "p")))
		c:add("p", 2000, { cpu = 1000 })
		assert.equal(500, (select(4, c:now "p")))
	end)

	it("takes a smaller count for another box, not for time given back", function()
		c:add("p", 0, { cpu = 9000 })
		c:add("p", 1000, { cpu = 10 })
		c:add("p", 2000, { cpu = 260 })
		assert.equal(250, (select(4, c:now "p")))
	end)

	it("does not take what is not told for nothing", function()
		c:add("p", 0, { memory = 5 * MB, peak = 7 * MB, cpu = 100 })
		c:add("p", 1000, { cpu = 200 })
		assert.same({ 5 * MB, 7 * MB, 200, 100 }, { c:now "p" })
		c:add("q", 0, { cpu = 1 })
		assert.same({ false }, plain(recent(c, "q", 0).memoryBytes))
	end)

	it("never goes back in time", function()
		c:add("p", 50000, { memory = MB })
		c:add("p", 20000, { memory = 2 * MB })
		assert.same({ 2 * MB }, plain(recent(c, "p", 50000).memoryBytes))
	end)

	it("stays after its process has ended, with its owner, and does not grow any more", function()
		c:add("p", 0, { memory = MB })
		c:over("p", 9000, "ann", { peak = 8 * MB })
		assert.is_nil(c:now "p")
		assert.equal("ann", c:owner "p")
		assert.equal(8 * MB, life(c, "p", 9000).peakBytes)
		assert.same({ MB }, plain(recent(c, "p", 500000).memoryBytes))
	end)

	it("is begun anew where a name is used again", function()
		c:add("p", 0, { memory = MB })
		c:over("p", 5000, "ann", {})
		c:add("p", 60000, { memory = 2 * MB })
		assert.is_nil(c:owner "p")
		assert.same({ 2 * MB }, plain(life(c, "p", 60000).memoryBytes))
	end)

	it("is kept for the last 500 that ended, whatever lives", function()
		for i = 1, 700 do c:add("p" .. i, i, { memory = MB }) end
		for i = 1, 650 do c:over("p" .. i, 1000, "ann", {}) end
		assert.equal(550, c:count())
		assert.is_nil(c:life("p150", 2000, WALL))
		assert.truthy(c:life("p151", 2000, WALL))
		assert.truthy(c:now "p700")
	end)

	it("of processes without number is not kept", function()
		for i = 1, 20010 do c:add("p" .. i, 0, { memory = MB }) end
		assert.equal(20000, c:count())
		c:over("p1", 1, "ann", {})
		c:add("late", 2, { memory = MB })
		assert.truthy(c:now "late")
	end)

	it("of nobody is nothing", function()
		assert.is_nil(c:life("p", 0, WALL))
		assert.is_nil(c:recent("p", 0, WALL, 60))
		assert.is_nil(c:owner "p")
		c:over("p", 0, "ann", {})
		assert.equal(0, c:count())
	end)
end)
