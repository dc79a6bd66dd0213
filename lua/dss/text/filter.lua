-- filter: one language for rules, lists and the page: `kind = notebook and idle > 2h and memory > 80% of limit`. docs/filters.md tells it.
--
--     local f = assert(filter.parse("memory > 1g and not connected", facts.of "process"))
--     f.test { memory = 2 << 30, connected = false }      → true, "not connected"
--     f.test { memory = 2 << 30 }                         → nil, "connected": nobody knows
--     f.reads                                             → { "connected", "memory" }
--
-- Three values (Kleene): a fact that is nil is unknown, and so is what depends on it. Sizes are bytes, durations seconds, times seconds since
-- 1970; `clock` is { weekday, hour, minute } of now. Values have to be of their fact's type. Compiled to closures: about 0.1 us a clause.
local duration = require "dss.text.duration"
local read = require "dss.text.filter_read"
local size = require "dss.text.size"
local when = require "dss.text.when"
local date, find, format = os.date, string.find, string.format

local M = {}

-- --- canonical text ---

local function word(s) return read.is_plain(s) and s or '"' .. s:gsub('[\\"]', "\\%0") .. '"' end

local function value_text(v, type_of)
	if v.fact or (v.value ~= nil and type_of ~= "text" and type_of ~= "list" and type_of ~= "time") then return v.text end
	return word(v.text)
end

local printers = {
	flag = function(n) return n.fact end,
	during = function(n) return (n.is_clock and "" or n.fact .. " ") .. 'during "' .. when.print(n.times) .. '"' end,
	["~"] = function(n) return n.fact .. ' ~ "' .. n.right.text:gsub('[\\"]', "\\%0") .. '"' end,
	["in"] = function(n)
		local out = {}
		for i, v in ipairs(n.list) do out[i] = value_text(v, n.type) end
		return n.fact .. " in (" .. table.concat(out, ", ") .. ")"
	end,
}

local function clause_text(n)
	local print_it = printers[n.op]
	return print_it and print_it(n) or ("%s %s %s"):format(n.fact, n.op, value_text(n.right, n.type))
end

local binding = { ["or"] = 1, ["and"] = 2, ["not"] = 3 }

local function tree_text(n, least)
	local own = binding[n.op] or 4
	local out
	if n.op == "not" then
		out = "not " .. tree_text(n[1], 3)
	elseif own < 3 then
		local parts = {}
		for i, child in ipairs(n) do parts[i] = tree_text(child, own) end
		out = table.concat(parts, " " .. n.op .. " ")
	else
		return n.text
	end
	return own < least and "(" .. out .. ")" or out
end

-- --- globs: pieces between stars, each found at its first place: never more than length of text x length of pattern ---

local function piece_pattern(piece)
	return (piece:gsub("[^%w?\128-\255]", "%%%0"):gsub("%%?%?", "[^\128-\191][\128-\191]*"))
end

--- A function (text) → bool of a pattern with * (anything) and ? (one character).
local function glob(pattern)
	local pieces = {}
	for piece in (pattern .. "*"):gmatch "([^*]*)%*" do pieces[#pieces + 1] = piece_pattern(piece) end
	local n = #pieces
	if n == 1 then
		local whole = "^" .. pieces[1] .. "$"
		return function(s) return find(s, whole) ~= nil end
	end
	local head, tail = "^" .. pieces[1], pieces[n]
	local plain_tail = not pattern:match "[^*]*$":find("?", 1, true) and pattern:match "[^*]*$"
	local middle = {}
	for i = 2, n - 1 do
		if pieces[i] ~= "" then middle[#middle + 1] = pieces[i] end
	end
	local function ends(s, at)
		-- the last piece has to stand at the very end: without ? its length is known
		if plain_tail then return #s - #plain_tail + 1 >= at and s:sub(#s - #plain_tail + 1) == plain_tail end
		for from = at, #s do
			local _, stop = find(s, "^" .. tail .. "$", from)
			if stop then return true end
		end
		return false
	end
	return function(s)
		local _, stop = find(s, head)
		if not stop then return false end
		for i = 1, #middle do
			local _, e = find(s, middle[i], stop + 1)
			if not e then return false end
			stop = e
		end
		return ends(s, stop + 1)
	end
end

-- --- closures: (facts) → true | false | nil, the clause that decided ---

local function equal_text(name, v, text)
	return function(f)
		local x = f[name]
		if x == nil then return nil, text end
		return x == v, text
	end
end

local function unequal_text(name, v, text)
	return function(f)
		local x = f[name]
		if x == nil then return nil, text end
		return x ~= v, text
	end
end

-- operator → (name, value, text) → closure
local constant = {
	["="] = equal_text, ["!="] = unequal_text,
	["<"] = function(name, v, text)
		return function(f)
			local x = f[name]
			if x == nil then return nil, text end
			return x < v, text
		end
	end,
	["<="] = function(name, v, text)
		return function(f)
			local x = f[name]
			if x == nil then return nil, text end
			return x <= v, text
		end
	end,
	[">"] = function(name, v, text)
		return function(f)
			local x = f[name]
			if x == nil then return nil, text end
			return x > v, text
		end
	end,
	[">="] = function(name, v, text)
		return function(f)
			local x = f[name]
			if x == nil then return nil, text end
			return x >= v, text
		end
	end,
}

local compare = {
	["="] = function(a, b) return a == b end, ["!="] = function(a, b) return a ~= b end, ["<"] = function(a, b) return a < b end,
	["<="] = function(a, b) return a <= b end, [">"] = function(a, b) return a > b end, [">="] = function(a, b) return a >= b end,
}

local function with_fact(op, name, right, text)
	local is_so, other, factor = compare[op], right.fact, right.factor or 1
	return function(f)
		local a, b = f[name], f[other]
		if a == nil or b == nil then return nil, text end
		return is_so(a, b * factor), text
	end
end

--- Does any element of a list fact fit?
local function any_of(name, fits, wanted, text)
	return function(f)
		local list = f[name]
		if list == nil then return nil, text end
		for i = 1, #list do
			if fits(list[i]) then return wanted, text end
		end
		return not wanted, text
	end
end

local function one_of(name, fits, text)
	return function(f)
		local x = f[name]
		if x == nil then return nil, text end
		return fits(x), text
	end
end

local function during(n)
	local name, times, text, is_clock, is_in = n.fact, n.times, n.text, n.is_clock, when.is_in
	local weekdays = { "sun", "mon", "tue", "wed", "thu", "fri", "sat" }
	return function(f)
		local x = f[name]
		if x == nil then return nil, text end
		if is_clock then return is_in(times, x), text end
		local d = date("*t", x // 1 | 0)
		return is_in(times, { weekday = weekdays[d.wday], hour = d.hour, minute = d.min }), text
	end
end

local function fits_of(n)
	if n.op == "~" then return glob(n.right.value) end
	local set = {}
	for _, v in ipairs(n.list or { n.right }) do set[v.value] = true end
	return function(x) return set[x] == true end
end

local function clause(n)
	local op, name, text = n.op, n.fact, n.text
	if op == "flag" then return equal_text(name, true, text) end
	if op == "during" then return during(n) end
	if n.right and n.right.fact then return with_fact(op, name, n.right, text) end
	if n.type == "list" then return any_of(name, fits_of(n), op ~= "!=", text) end
	if op == "~" or op == "in" then return one_of(name, fits_of(n), text) end
	return constant[op](name, n.right.value, text)
end

local function negation(test)
	return function(f)
		local v, text = test(f)
		if v == nil then return nil, text end
		return not v, text
	end
end

--- The first that is `stop` decides; else the first unknown; else the last. stop: false for and, true for or.
local function junction(tests, stop)
	local n = #tests
	return function(f)
		local unknown, v, text
		for i = 1, n do
			v, text = tests[i](f)
			if v == stop then return stop, text end
			if v == nil then unknown = unknown or text end
		end
		if unknown then return nil, unknown end
		return not stop, text
	end
end

local function build(n, out)
	if n.op == "not" then return negation(build(n[1], out)) end
	if n.op == "and" or n.op == "or" then
		local tests = {}
		for i, child in ipairs(n) do tests[i] = build(child, out) end
		return junction(tests, n.op == "or")
	end
	n.text = clause_text(n)
	out.clauses[n.text] = n
	out.names[n.fact] = true
	if n.right and n.right.fact then out.names[n.right.fact] = true end
	return clause(n)
end

local Compiled = { __call = function(o, facts) return o.test(facts) end, __tostring = function(o) return M.print(o) end }

--- A filter on facts: name → { type = "size" | "duration" | "count" | "number" | "text" | "list" | "flag" | "time", words? }.
-- @return { test = function (facts) → true | false | nil, clause text, reads = sorted names }; or nil, message, character
function M.parse(text, facts)
	local tree, why, at = read.read(text, facts)
	if not tree then return nil, format("unable to read the filter: character %d: %s", at, why), at end
	local out = { clauses = {}, names = {} }
	local o = { tree = tree, clauses = out.clauses, reads = {}, test = build(tree, out) }
	for name in pairs(out.names) do o.reads[#o.reads + 1] = name end
	table.sort(o.reads)
	return setmetatable(o, Compiled)
end

--- The canonical text: parses to a filter with the same answers.
function M.print(o) return tree_text(o.tree, 0) end

local function number_text(v) return math.type(v) == "integer" and format("%d", v) or format("%.4g", v) end

local shown = {
	size = function(v) return size.print(v) end,
	duration = function(v) return duration.print(v * 1000) end,
	count = number_text,
	number = number_text,
	text = function(v) return '"' .. v .. '"' end,
	flag = function(v) return v and "yes" or "no" end,
	list = function(v) return #v > 0 and table.concat(v, ", ") or "none" end,
	time = function(v) return date("%Y-%m-%d %H:%M:%S", v // 1 | 0) end,
	clock = function(v) return format("%s %02d:%02d", v.weekday, v.hour, v.minute) end,
}

--- A fact's value for people: "1.3 GB", "2 h 5 min", "unknown".
function M.show(type_of, v)
	if v == nil then return "unknown" end
	return shown[type_of](v)
end

--- What the filter says of these facts, and why: the answer, and { clause, fact, value, shown, is_known } of the clause that decided. `shown`: the
-- values as people read them, "1.3 GB (limit: 1.0 GB)".
function M.explain(o, facts)
	local answer, text = o.test(facts)
	local n = o.clauses[text]
	local v = facts[n.fact]
	local type_of = n.op == "during" and (n.is_clock and "clock" or "time") or n.type
	local words, is_known = M.show(type_of, v), v ~= nil
	local right = n.right and n.right.fact
	if right then
		words = format("%s (%s: %s)", words, right, M.show(n.right.type, facts[right]))
		is_known = is_known and facts[right] ~= nil
	end
	return answer, { clause = text, fact = n.fact, value = v, shown = words, is_known = is_known }
end

return M
