-- duration: "250ms", "30s", "10min", "1h30min", "3d", "1w"; a bare number is seconds. The same grammar as core/base/text.h, with
-- the place of a mistake.
local lpeg = require "lpeg"
local P, R, C, Cp, Ct = lpeg.P, lpeg.R, lpeg.C, lpeg.Cp, lpeg.Ct
local number = require "dss.text.number"
local mark = require "dss.text.mark"

-- from large to small: a sum names each unit at most once and in this order, which catches slips such as "1h1h"
local units = { "w", "d", "h", "min", "s", "ms" }
local ms_of = { w = 7 * 86400000, d = 86400000, h = 3600000, min = 60000, s = 1000, ms = 1 }
local rank = {}
for i, name in ipairs(units) do rank[name] = i end

local term = Ct(Cp() * number.pattern * Cp() * C(R "az" ^ 0))
local grammar = Ct(term ^ 1) * Cp()

-- what people write for a unit: the number, and letters that stand for one
local slip = C(R "09" ^ 1 * (P "." * R "09" ^ 1) ^ -1) * P " " ^ 0 * C(R("az", "AZ") ^ 1) * P(-1)
local meant = {
	w = "w", wk = "w", week = "w", d = "d", day = "d", h = "h", hr = "h", hour = "h", m = "min", mn = "min", min = "min", minute = "min",
	s = "s", sec = "s", second = "s", ms = "ms", msec = "ms", milli = "ms", millisecond = "ms",
}

local hint = "write it like 250ms, 30s, 10min, 12h, 3d, 1w or 1h30min"
local M = {}

--- "10min" for "10 min", "10m" or "10minutes"; nil: nobody knows.
local function guess(text)
	local digits, letters = slip:match(text)
	if not digits then return nil end
	letters = letters:lower()
	local word = meant[letters] or meant[letters:match "^(%a+)s$" or ""] or meant[letters:sub(1, -2)]
	local whole = word and digits .. word
	return whole and M.parse(whole) and whole or nil
end

local function refuse(text, at, why, is_shape)
	return mark.refuse("duration", text, at, why, is_shape and guess(text))
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
		if not rank[unit] then return refuse(text, unit_at, hint, true) end
		if rank[unit] <= last then return refuse(text, at, "each unit once, from large to small") end
		local n = number.scale(whole, part, ms_of[unit])
		sum = n and sum + n
		if not sum or sum < 0 then return refuse(text, nil, "too large") end
		last = rank[unit]
	end
	if stop <= #text then return refuse(text, stop, hint, true) end
	return sum
end

-- the larger and the smaller of the two units that are shown, in seconds
local forms = { { 86400, "d", 3600, "h" }, { 3600, "h", 60, "min" }, { 60, "min", 1, "s" } }

--- "250 ms", "2.5 s", "1 h 12 min", "3 d 4 h": of milliseconds, as text_print_duration of core/base/text.h does it.
function M.print(ms)
	if ms < 0 then return "-" .. M.print(-ms) end
	if ms < 1000 then return ("%.0f ms"):format(ms) end
	if ms < 60000 then return ((("%.1f"):format(ms // 100 / 10)):gsub("%.0$", "")) .. " s" end
	local s = ms // 1000
	for _, f in ipairs(forms) do
		if s >= f[1] then
			local small = s % f[1] // f[3]
			return small == 0 and ("%.0f %s"):format(s // f[1], f[2]) or ("%.0f %s %.0f %s"):format(s // f[1], f[2], small, f[4])
		end
	end
end

return M
