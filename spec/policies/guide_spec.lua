-- The guide's examples: every ```lua block of docs/policies.md is a set that loads.
local helper = require "spec.helper"
require("t_bind").preload()
local engine = require "dss.model.engine"
local load = require "dss.model.load"
local words = require "dss.model.words"
local Source = require "dss.model.source"

local GUIDE = "docs/policies.md"

--- The blocks as { line, text }.
local function blocks()
	local out, open, n = {}, nil, 0
	for line in (assert(helper.read(GUIDE)) .. "\n"):gmatch "(.-)\n" do
		n = n + 1
		if line:find "^```lua" then
			open = { line = n, lines = {} }
		elseif line:find "^```" and open then
			out[#out + 1] = { line = open.line, text = table.concat(open.lines, "\n") }
			open = nil
		elseif open then
			open.lines[#open.lines + 1] = line
		end
	end
	return out
end

describe("the policy guide", function()
	it("has examples that load as they stand", function()
		for _, block in ipairs(blocks()) do
			local where = { share = "/usr/share/dssd", java = "/usr/share/dssd/kernels/java", machine = { cores = 4, total = 16 << 30 } }
			local model, errors = load.evaluate({ { name = "policies/10-guide.lua", text = block.text } }, where)
			assert(model, ("%s:%d: %s"):format(GUIDE, block.line, errors and table.concat(errors, "\n") or ""))
		end
	end)
	it("shows every word in one of them", function()
		local said = {}
		for _, block in ipairs(blocks()) do
			for word in block.text:gmatch "%a+" do said[word] = true end
		end
		local model = words.new { share = "/usr/share/dssd" }
		for word in pairs(words.of(Source.new("x", "", {}), model)) do
			-- these have sections of their own with their keys, or come later
			if word ~= "java" and word ~= "command" and word ~= "unload" and word ~= "keep" then assert(said[word], "no example of " .. word) end
		end
	end)
	it("tells the defaults of retention", function()
		local text = assert(helper.read(GUIDE)):match "\n(retention {.-})"
		assert(load.evaluate({ { name = "policies/90.lua", text = text } }, { share = "/usr/share/dssd" }))
		local told = engine.describe().retention
		assert(load.evaluate({}, { share = "/usr/share/dssd" }))
		assert.same(engine.describe().retention, told)
	end)
end)
