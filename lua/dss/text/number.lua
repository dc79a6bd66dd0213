-- number: digits with an optional fraction, kept exact, for sizes and durations.
local lpeg = require "lpeg"
local P, R, C, Cc = lpeg.P, lpeg.R, lpeg.C, lpeg.Cc

local digit = R "09"
local FRACTION_DIGITS_MAX = 9

local M = {}

--- Captures the whole part and the fraction's digits ("" = none).
M.pattern = C(digit ^ 1) * (P "." * C(digit ^ 1) + Cc "")

local longest = digit ^ 1 * (P "." * digit ^ 0) ^ -1 * lpeg.Cp() + Cc(1)

--- Where reading a number in `text` stops.
function M.stop(text) return longest:match(text) end

--- (whole.part) * unit, rounded down, or nil: past 2^63 or more than 9 digits of fraction.
function M.scale(whole, part, unit)
	local n = math.tointeger(tonumber(whole))
	if not n or #part > FRACTION_DIGITS_MAX or n > math.maxinteger // unit then return nil end
	local sum = n * unit
	if part ~= "" then
		local scale = 10 ^ #part // 1 | 0
		local p = math.tointeger(tonumber(part))
		-- p * unit may pass 2^63: the quotient first, then the remainder, which is smaller than scale
		sum = sum + p * (unit // scale) + p * (unit % scale) // scale
	end
	if sum < 0 then return nil end
	return sum
end

return M
