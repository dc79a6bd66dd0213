-- size: "512m", "1.5g", "64KiB", "4096" (bytes); 1g = 2^30 bytes. The same grammar as core/base/text.h, with the place of a mistake.
local lpeg = require "lpeg"
local P, S, R, C, Cp, Cc = lpeg.P, lpeg.S, lpeg.R, lpeg.C, lpeg.Cp, lpeg.Cc
local number = require "dss.text.number"
local mark = require "dss.text.mark"

local powers = { k = 1, m = 2, g = 3, t = 4, p = 5 }
local letter = S "kmgtpKMGTP"
local unit = C(letter) * (P "i" ^ -1 * S "bB") ^ -1 + S "bB" ^ -1 * Cc ""
local grammar = number.pattern * Cp() * unit * Cp() * (P(-1) * Cc(true) + Cc(false))

-- what people write for a unit: the number, and letters that stand for one
local slip = C(R "09" ^ 1 * (P "." * R "09" ^ 1) ^ -1) * P " " ^ 0 * C(R("az", "AZ") ^ 1) * P(-1)
local meant = {
	k = "k", kb = "k", kib = "k", kilo = "k", m = "m", mb = "m", mib = "m", meg = "m", mega = "m", g = "g", gb = "g", gib = "g", gig = "g", giga = "g",
	t = "t", tb = "t", tib = "t", tera = "t", p = "p", pb = "p", pib = "p", b = "b", byte = "b", bytes = "b",
}

local hint = "write it like 512m, 1.5g or 4096 (bytes)"
local M = {}

--- "1.5g" for "1.5gg", "1.5 g" or "1.5gig"; nil: nobody knows.
local function guess(text)
	local digits, letters = slip:match(text)
	if not digits then return nil end
	letters = letters:lower()
	local word = meant[letters] or meant[letters:match "^(%a+)s$" or ""]
	-- a letter too many, or twice
	word = word or meant[letters:sub(1, -2)] or meant[letters:sub(2)]
	local whole = word and digits .. word
	return whole and M.parse(whole) and whole or nil
end

local function refuse(text, at, why, is_shape)
	return mark.refuse("size", text, at, why, is_shape and guess(text))
end

--- Bytes of a size. A whole number stands for itself.
-- @return bytes, or nil, message, and the character where reading stopped
function M.parse(text)
	if math.type(text) == "integer" and text >= 0 then return text end
	if type(text) ~= "string" then return nil, ("a size is a text such as \"1.5g\", not a %s"):format(type(text)) end
	local whole, part, unit_at, letters, stop, is_whole = grammar:match(text)
	if not whole then return refuse(text, number.stop(text), hint) end
	if not is_whole then return refuse(text, stop, hint, true) end
	if letters == "" and part ~= "" then return refuse(text, unit_at - #part - 1, "no fractions of a byte") end
	local power = letters == "" and 0 or powers[letters:lower()]
	local n = number.scale(whole, part, 1 << (10 * power))
	if not n then return refuse(text, nil, "too large") end
	return n
end

--- "3.0 GB", "512 MB", "17 B".
function M.print(n)
	local units, i = { "B", "KB", "MB", "GB", "TB", "PB", "EB" }, 1
	local v = n
	while v >= 1024 and i < #units do v, i = v / 1024, i + 1 end
	return (i >= 4 and "%.1f %s" or "%.0f %s"):format(v, units[i])
end

return M
