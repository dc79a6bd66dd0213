-- duration: "250ms", "30s", "10min", "1h30min", "3d", "1w"; a bare number is seconds. The same grammar as core/base/text.h, with
-- the place of a mistake.
local lpeg = require "lpeg"
local R, C, Cp, Ct = lpeg.R, lpeg.C, lpeg.Cp, lpeg.Ct
local number = require "dss.text.number"

-- from large to small: a sum names each unit at most once and in this order, which catches slips such as "1h1h"
local units = { "w", "d", "h", "min", "s", "ms" }
local ms_of = { w = 7 * 86400000, d = 86400000, h = 3600000, min = 60000, s = 1000, ms = 1 }
local rank = {}
for i, name in ipairs(units) do rank[name] = i end

local term = Ct(Cp() * number.pattern * Cp() * C(R "az" ^ 0))
local grammar = Ct(term ^ 1) * Cp()

local hint = "write it like 250ms, 30s, 10min, 12h, 3d, 1w or 1h30min"
local M = {}

local function refuse(text, at, why)
	return nil, ('unable to read duration "%s": %s'):format(text, at and ("character %d: %s"):format(at, why) or why), at
end

--- Milliseconds of a duration. A number stands for seconds.
-- @return ms, or nil, message, and the character where reading stopped
function M.parse(text)
	if math.type(text) == "integer" then text = tostring(text) end
	if type(text) ~= "string" then return nil, ("a duration is a text such as \"30s\", not a %s"):format(type(text)) end
	local terms, stop = grammar:match(text)
	if not terms then return refuse(text, number.stop(text), hint) end
	local sum, last = 0, 0
	for i, t in ipairs(terms) do
		local at, whole, part, unit_at, unit = table.unpack(t)
		if unit == "" and i == 1 and stop == #text + 1 and #terms == 1 then unit = "s" end
		if not rank[unit] then return refuse(text, unit_at, hint) end
		if rank[unit] <= last then return refuse(text, at, "each unit once, from large to small") end
		local n = number.scale(whole, part, ms_of[unit])
		sum = n and sum + n
		if not sum or sum < 0 then return refuse(text, nil, "too large") end
		last = rank[unit]
	end
	if stop <= #text then return refuse(text, stop, hint) end
	return sum
end

return M
