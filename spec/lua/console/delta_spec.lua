-- :delta: changes made by hand as text for a file of policies/.
require "spec.helper"
require("t_bind").preload()
local json = require "bind.json"
package.preload["bind.change"] = package.preload["bind.change"] or function() return {} end
package.preload["bind.policies"] = package.preload["bind.policies"] or function() return {} end
local delta = require "dss.console.delta"

local function change(before, after, more)
	local c = { at_ms = 0, version = 1, who = "admin (uid 0)", what = "set", subject = "pool fek", before = json.encode(before), after = json.encode(after) }
	for k, v in pairs(more or {}) do c[k] = v end
	return c
end

local function of(text, list, line)
	local now = { version = 1, text = json.encode(json.array { { name = "policies/10.lua", text = text } }) }
	return delta.of(list, 0, now, { { name = "fek", source = "policies/10.lua:" .. (line or 1) } })
end

describe("the text of what was changed", function()
	it("is the pool's own table with the new numbers in their places, comments and all", function()
		local out = of('-- max = 1\npool "fek" { -- { max = 2\n  about = "max = 3, }",\n  warm = { min = 1, ready_for = "99%" },\n  max = 8, }\n',
			{ change({ max = 8, ["warm.min"] = 1 }, { max = 4, ["warm.min"] = 2 }) }, 2)
		assert.equal('pool "fek" { -- { max = 2\n  about = "max = 3, }",\n  warm = { min = 2, ready_for = "99%" },\n  max = 4, }', out:match "\n(.*)$")
		assert.truthy(out:find '^%-%- pool "fek" %(policies/10.lua:2%): max was 8, warm.min was 1; by admin %(uid 0%), ')
	end)

	it("adds what the table does not say", function()
		assert.equal('pool("fek") { warm = { min = 0 }, max = 4, limits = { memory = "1g" }, kernel = python {} }',
			of('pool("fek") { kernel = python {} }', { change({ max = 16, ["warm.min"] = 1, ["limits.memory"] = 0 },
				{ max = 4, ["warm.min"] = 0, ["limits.memory"] = 1 << 30 }) }):match "\n(.*)$")
	end)

	it("keeps functions, long texts and nested tables as they are", function()
		local text = 'pool "fek" { about = [[max = 9 }]], recycle = function (k) local t = { max = 1 } if k.tasks > 3 then return retire "x, y" end end, max = 8 }'
		assert.equal((text:gsub("max = 8", "max = 5")), of(text, { change({ max = 8 }, { max = 5 }) }):match "\n(.*)$")
	end)

	it("goes from before the first change to after the last, and leaves out what is as it was", function()
		local out = of('pool "fek" { max = 8 }', { change({ max = 8 }, { max = 4 }), change({ max = 4 }, { max = 6 }) })
		assert.truthy(out:find("max was 8", 1, true) and out:find("max = 6", 1, true), out)
		assert.equal("-- nothing was changed since the backend's start", of('pool "fek" { max = 8 }', { change({ max = 8 }, { max = 4 }), change({ max = 4 }, { max = 8 }) }))
	end)

	it("says what to write where no table stands at that line, and what is not in force any more", function()
		local out = of('local t = { max = 8 } pool "fek" (t)', { change({ max = 8 }, { max = 4 }, { version = 0 }) })
		assert.truthy(out:find("not in force any more", 1, true) and out:find("\n--   max = 4", 1, true), out)
		out = of('pool "fek" { warm = W }', { change({ ["warm.min"] = 1 }, { ["warm.min"] = 4 }) })
		assert.truthy(out:find("\n--   warm.min = 4", 1, true), out)
	end)

	it("tells orders as comments on one line each, whatever their reason holds", function()
		local out = of("", { change({ state = "idle" }, { why = "a\nos.exit()" }, { what = "stop", subject = "kernel fek-1" }) })
		assert.equal("-- stop kernel fek-1: a\\nos.exit(); by admin (uid 0), " .. os.date("%Y-%m-%d %H:%M:%S", 0), out)
	end)
end)
