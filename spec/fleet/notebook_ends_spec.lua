-- What is asked of ends of notebooks' kernels, and the index that it is asked of.
local helper = require "spec.helper"

--- The names behind "what IN (" in a C file's text.
local function named(path)
	local list = assert(helper.read(path):match "what IN (%b())", path)
	local out = {}
	for name in list:gmatch "'(notebook%.%l+)'" do out[#out + 1] = name end
	return out
end

describe("ends of notebooks' kernels", function()
	it("are read from facts that the index of the store has, else each question would be a pass over all facts", function()
		local asked = named "core/fleet/notebook_ends.c"
		assert.is_true(#asked >= 3)
		assert.same(asked, named "core/fleet/store_schema.c")
		assert.same(asked, named "docs/architecture.md")
	end)
end)
