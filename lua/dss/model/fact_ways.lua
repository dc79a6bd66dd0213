-- fact_ways: how a fact is read from a row of the API, as data: facts.lua says it once, and who has no Lua (the page) is told the same.
--
-- A way is a list of cases. The first whose `when` fits gives the value: member → true (it is there), false (it is not) or a list of texts, one of
-- which it is; no `when`: always. null counts as absent. A case is one of
--     { member = "x", key = "y"? }      as it stands; key: the member of that object
--     { ms = "x" }                      milliseconds, as seconds
--     { from = "x", till = "y"? }       seconds from one time (ms) until the other one, or until now; never less than 0
--     { left = "x" }                    seconds until that time (ms); never less than 0
--     { above = "x", than = N }         is it more than N?
--     { same = "x", as = { … } }        is it one of these texts?
--     { value = V }                     always this
local M = {}

--- What a row says; null is nothing.
local function of(row, name)
	local v = row[name]
	if type(v) == "userdata" then return nil end
	return v
end

local function number(row, name)
	local v = of(row, name)
	return math.type(v) and v == v and v or nil
end

local function set_of(list)
	local out = {}
	for _, v in ipairs(list) do out[v] = true end
	return out
end

-- name of the case → (case) → function (row, now in seconds) → value | nil
local makers = {
	member = function(c)
		local name, key = c.member, c.key
		if not key then return function(row) return of(row, name) end end
		return function(row)
			local v = of(row, name)
			if type(v) == "table" then return of(v, key) end
		end
	end,
	ms = function(c)
		return function(row)
			local v = number(row, c.ms)
			return v and v / 1000
		end
	end,
	from = function(c)
		local from, till = c.from, c.till
		return function(row, now_s)
			local a = number(row, from)
			if not a then return nil end
			local b = till and number(row, till)
			return math.max(0, (b and b / 1000 or now_s) - a / 1000)
		end
	end,
	left = function(c)
		return function(row, now_s)
			local v = number(row, c.left)
			return v and math.max(0, v / 1000 - now_s)
		end
	end,
	above = function(c)
		return function(row)
			local v = number(row, c.above)
			if v then return v > c.than end
		end
	end,
	same = function(c)
		local as = set_of(c.as)
		return function(row)
			local v = of(row, c.same)
			if v ~= nil then return as[v] == true end
		end
	end,
	value = function(c)
		return function() return c.value end
	end,
}

local function condition(when)
	local tests = {}
	for name, wanted in pairs(when) do
		local set = type(wanted) == "table" and set_of(wanted)
		tests[#tests + 1] = function(row)
			local v = of(row, name)
			if set then return v ~= nil and set[v] == true end
			return (v ~= nil) == wanted
		end
	end
	return function(row)
		for _, fits in ipairs(tests) do
			if not fits(row) then return false end
		end
		return true
	end
end

local function one(case)
	for name, make in pairs(makers) do
		if case[name] ~= nil then return make(case) end
	end
	error("a case of a fact's way says nothing: there are member, ms, from, left, above, same, value", 3)
end

--- A function (row, now in seconds) → value | nil.
function M.compile(way)
	local cases = {}
	for i, case in ipairs(way) do cases[i] = { case.when and condition(case.when), one(case) } end
	if #cases == 1 and not cases[1][1] then return cases[1][2] end
	return function(row, now_s)
		for i = 1, #cases do
			local fits = cases[i][1]
			if not fits or fits(row) then return cases[i][2](row, now_s) end
		end
	end
end

return M
