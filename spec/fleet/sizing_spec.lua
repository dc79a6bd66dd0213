-- The warm stock's size: from measured demand and lead time, up at once, down with patience.
require "spec.helper"
local t_sizing = require "t_sizing"

--- P(Poisson(mean) <= n), in the plain way: right for small means.
local function at_most(mean, n)
	local p, sum = math.exp(-mean), 0
	for k = 0, n do
		sum = sum + p
		p = p * mean / (k + 1)
	end
	return sum
end

local function arrive(s, from_ms, to_ms, a_second)
	for at = from_ms, to_ms - 1, 1000 // a_second do s:came(at) end
end

describe("the warm stock", function()
	it("of a task a second, three seconds to fill a place and a chance of 99 in a hundred is nine", function()
		assert.equal(9, t_sizing.stock(1 * 3, 0.99))
	end)

	it("is the smallest that finds a kernel ready with the chance that was asked for", function()
		for _, mean in ipairs { 0.001, 0.1, 0.5, 1, 2.7, 10, 42, 100, 300 } do
			for _, chance in ipairs { 0.5, 0.9, 0.99, 0.999, 0.9999 } do
				local n = t_sizing.stock(mean, chance)
				local what = ("mean %g, chance %g, stock %d"):format(mean, chance, n)
				assert.is_true(at_most(mean, n - 1) >= chance, what)
				assert.is_true(n == 1 or at_most(mean, n - 2) < chance, what)
			end
		end
	end)

	it("has no overflow: of ten thousand and more at once it is the mean and some standard deviations", function()
		for _, mean in ipairs { 700, 745, 800, 5000, 10000, 1000000 } do
			local n = t_sizing.stock(mean, 0.99)
			assert.is_true(math.abs(n - (mean + 2.326 * math.sqrt(mean))) < 3 + mean * 1e-5, ("mean %g: %d"):format(mean, n))
		end
		assert.equal(1, t_sizing.stock(0, 0.99))
		assert.equal(1, t_sizing.stock(-1, 0.99))
		assert.equal(1, t_sizing.stock(0 / 0, 0.99))
		assert.equal(t_sizing.stock(1e6, 0.99), t_sizing.stock(math.huge, 0.99))
	end)

	it("follows a demand that is there to stay", function()
		local s = t_sizing.new()
		s:started(1, 3000)
		arrive(s, 0, 1200000, 1)
		assert.is_true(math.abs(s:demand(1200000) - 1) < 0.06)
		local target = s:look(1200000, 0.99, 0, 100)
		assert.is_true(target == 9 or target == 10, target)
	end)

	it("grows at once with a burst, and never leaves min and max", function()
		local s = t_sizing.new()
		s:started(1, 3000)
		assert.equal(2, (s:look(0, 0.99, 2, 50)))
		for _ = 1, 30 do s:came(1000) end
		assert.equal(t_sizing.stock(9, 0.99), (s:look(1000, 0.99, 2, 50)))
		assert.equal(12, (s:look(1000, 0.99, 2, 12)))
		assert.equal(15, (s:look(1000, 0.99, 15, 15)))
	end)

	it("is what min says while nobody comes, and wants no look then", function()
		local s = t_sizing.new()
		local target, next = s:look(5000, 0.99, 1, 8)
		assert.equal(1, target)
		assert.equal(0, next)
		target, next = t_sizing.new():look(5000, 0.99, 0, 8)
		assert.equal(0, target)
		assert.equal(0, next)
	end)

	it("shrinks only after less was wanted for all of its patience, and ends at min", function()
		local s = t_sizing.new()
		s:started(1, 3000)
		for _ = 1, 30 do s:came(0) end
		local high = s:look(0, 0.99, 1, 50)
		assert.is_true(high > 9)
		assert.equal(high, (s:look(20000, 0.99, 1, 50)))
		assert.equal(high, (s:look(20000 + 29999, 0.99, 1, 50)))
		local lower, next = s:look(20000 + 30000, 0.99, 1, 50)
		assert.is_true(lower < high and lower >= 1, lower)
		local now, looks = 50000, 0
		while next ~= 0 do
			assert.is_true(next > now)
			now, looks = next, looks + 1
			lower, next = s:look(now, 0.99, 1, 50)
			assert.is_true(looks < 200)
		end
		assert.equal(1, lower)
	end)

	it("waits longer each time it grows again soon after it shrank, and forgets that with time", function()
		local s = t_sizing.new()
		s:started(1, 3000)
		local now = 0
		local function burst()
			for _ = 1, 30 do s:came(now) end
			return s:look(now, 0.99, 1, 50)
		end
		--- Looks as told until the target is lower.
		local function until_lower(high)
			local target, next = s:look(now, 0.99, 1, 50)
			while target >= high do
				now = next
				target, next = s:look(now, 0.99, 1, 50)
			end
		end
		local before
		for i = 0, 3 do
			local high = burst()
			assert.equal(30000 << i, s:patience())
			local from = now
			until_lower(high)
			assert.is_true(not before or now - from > before)
			before = now - from
		end
		s:look(now + 3 * 600000, 0.99, 1, 50)
		assert.is_true(s:patience() <= 60000, s:patience())
		s:look(now + 6 * 600000, 0.99, 1, 50)
		assert.equal(30000, s:patience())
	end)

	it("keeps lead times apart by how many kernels start at once", function()
		local s = t_sizing.new()
		assert.equal(3000, s:lead(1)) -- not measured yet
		for _ = 1, 40 do s:started(1, 1000) end
		assert.equal(1000, s:lead(1))
		assert.equal(4000, s:lead(4)) -- not measured: at most so much
		for _ = 1, 40 do s:started(4, 1700) end
		assert.equal(1700, s:lead(3))
		assert.equal(1000, s:lead(1))
		assert.equal(3400, s:lead(8))
		for _ = 1, 40 do s:started(1, 2000) end
		assert.is_true(s:lead(1) > 1990)
	end)

	it("is ready for tasks that are known to come, a lead time before, and they do not count as demand", function()
		local s = t_sizing.new()
		s:started(1, 3000)
		s:expect(100000, 5)
		local target, next = s:look(0, 0.99, 1, 50)
		assert.equal(1, target)
		assert.equal(97000, next)
		assert.equal(5, (s:look(97000, 0.99, 1, 50)))
		for _ = 1, 5 do s:came(100000) end
		assert.equal(0, s:demand(100000))
		s:came(100001)
		assert.is_true(s:demand(100001) > 0)
	end)

	it("does not wait for known tasks that do not come", function()
		local s = t_sizing.new()
		s:started(1, 3000)
		s:expect(10000, 7)
		assert.equal(7, (s:look(8000, 0.99, 0, 50)))
		s:look(20000, 0.99, 0, 50)
		assert.equal(0, (s:look(50000, 0.99, 0, 50)))
	end)

	it("keeps the sum of known tasks where they have more times than it remembers", function()
		local s = t_sizing.new()
		for i = 1, 200 do s:expect(100000 + (i * 7919 % 200) * 10, 1) end
		assert.equal(200, (s:look(99000, 0.99, 0, 10000)))
	end)
end)

describe("a kernel's own threshold", function()
	it("is up to a tenth more or less, spread over all ids, and the same for the same id", function()
		local least, most, values = math.huge, 0, {}
		for i = 1, 500 do
			local v = t_sizing.spread("fek-" .. i, 1000)
			assert.equal(v, t_sizing.spread("fek-" .. i, 1000))
			least, most = math.min(least, v), math.max(most, v)
			values[v] = true
		end
		assert.is_true(least >= 900 and least < 920, least)
		assert.is_true(most <= 1100 and most > 1080, most)
		local n = 0
		for _ in pairs(values) do n = n + 1 end
		assert.is_true(n > 100, n)
	end)
	it("of one task is one task", function()
		for i = 1, 500 do
			assert.equal(1, t_sizing.spread("fek-" .. i, 1))
			assert.equal(0, t_sizing.spread("fek-" .. i, 0))
		end
	end)
end)
