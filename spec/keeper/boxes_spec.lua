-- boxes: who lives where, answered from the tree, against a plain look at all of them.
require "spec.helper"
local t_wire = require "t_wire"

describe("the tree of boxes", function()
	it("finds who lives in a box or below, and who would lie in another", function()
		local all = { "run/a/x", "run/a/x", "run/a/y/z", "run/ab", "core/backend" }
		local has, crossing, inside, empty = t_wire.boxes(all, {}, "run/a")
		assert.same({ true, { "run/a/x", "run/a/x", "run/a/y/z" }, true }, { has, inside, empty })
		assert.truthy(crossing)
		has, crossing, inside = t_wire.boxes(all, {}, "run/a/x/deep")
		assert.same({ false, "run/a/x", {} }, { has, crossing, inside })
		has, crossing, inside = t_wire.boxes(all, {}, "run/a/x")
		assert.same({ true, "nil", 2 }, { has, tostring(crossing), #inside })
	end)

	it("forgets those who leave, and the boxes above them", function()
		local has, crossing, inside = t_wire.boxes({ "run/a/x", "run/a/x", "run/b/y" }, { 1 }, "run/a/x/q")
		assert.same({ false, "run/a/x", {} }, { has, crossing, inside })
		has, crossing = t_wire.boxes({ "run/a/x", "run/a/x", "run/b/y" }, { 1, 2, 2 }, "run/a")
		assert.same({ false, "nil" }, { has, tostring(crossing) })
	end)

	it("says what a look at all of them says", function()
		math.randomseed(11)
		local function path()
			local parts = { math.random(2) == 1 and "run" or "warm" }
			for i = 1, math.random(3) do parts[i + 1] = ("abc"):sub(math.random(3)):sub(1, math.random(2)) end
			return table.concat(parts, "/")
		end
		for _ = 1, 300 do
			local all, gone, asked, left = {}, {}, path(), {}
			for i = 1, math.random(0, 12) do
				all[i] = path()
				if math.random(3) == 1 then gone[#gone + 1] = i else left[#left + 1] = all[i] end
			end
			local inside, crosses = {}, false
			for _, box in ipairs(left) do
				local is_below, is_above = box:find(asked .. "/", 1, true) == 1, asked:find(box .. "/", 1, true) == 1
				if box == asked or is_below then inside[#inside + 1] = box end
				crosses = crosses or is_below or is_above
			end
			local has, crossing, found, empty = t_wire.boxes(all, gone, asked)
			table.sort(inside)
			table.sort(found)
			assert.same({ #inside > 0, crosses, inside, true }, { has, crossing ~= nil, found, empty })
		end
	end)
end)
