local helper = require "spec.helper"
require("t_bind").preload()
local load = require "dss.model.load"
local pools = require "dss.model.pools"

--- A shipped file, each for itself: it has to be readable alone.
local function evaluate(name)
	local text = assert(helper.read(name))
	local model, errors = load.evaluate({ { name = name, text = text } }, { share = "/usr/share/dssd" })
	return assert(model, errors and table.concat(errors, "\n")), text
end

describe("policies as shipped", function()
	it("keep two kernels warm, each in a box of 1 GB, and give every task a fresh one", function()
		local specs = pools.specs((evaluate "policies/10-pools.lua"))
		assert.equal(1, #specs)
		local fek = specs[1]
		assert.equal("fek", fek.name)
		assert.equal("python", fek.kind)
		assert.equal(1 << 30, fek.memory_bytes)
		assert.equal(0, fek.swap_bytes)
		assert.same({ 2, 4, 8, 1 }, { fek.warm_min, fek.warm_max, fek.max, fek.recycle_after_tasks })
	end)
	it("open with words about what they are for", function()
		local _, text = evaluate "policies/10-pools.lua"
		assert.matches("^%-%- %u", text)
	end)
end)
