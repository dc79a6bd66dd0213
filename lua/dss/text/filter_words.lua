-- filter_words: what may stand under the cursor of a filter that somebody types: facts, operators, words of a fact, what joins clauses.
--
--     filter_words.at("kind = notebook and mem", facts.of "process")   → 20, { "memory" }
--
-- It looks at what is before the cursor alone, and has no words where the filter is wrong already.
local read = require "dss.text.filter_read"

local M = {}

local function sorted(names)
	table.sort(names)
	return names
end

-- types that can be compared with each other
local class = { size = "size", duration = "duration", count = "number", number = "number", time = "time" }
local operators = {
	size = { ">", "<", ">=", "<=", "=", "!=", "in" }, duration = { ">", "<", ">=", "<=", "=", "!=", "in" }, count = { ">", "<", ">=", "<=", "=", "!=", "in" },
	number = { ">", "<", ">=", "<=", "=", "!=", "in" }, text = { "=", "!=", "~", "in" }, list = { "=", "!=", "~", "in" },
	time = { ">", "<", ">=", "<=", "during" }, flag = { "and", "or" },
}
local compares = { ["="] = true, ["!="] = true, ["<"] = true, ["<="] = true, [">"] = true, [">="] = true, ["~"] = true }

-- --- states: (reader, token) → the next state, or nil: this cannot stand here ---

local next_of = {}

local function joint(t) return t[1] == "word" and (t[3] == "and" or t[3] == "or") end
local function is_mark(t, s) return t[1] == "mark" and t[3] == s end

function next_of.fact(r, t)
	if is_mark(t, "(") or (t[1] == "word" and t[3] == "not") then return "fact" end
	if t[1] == "word" and t[3] == "during" then return "times" end
	r.name, r.fact = t[3], t[1] == "word" and r.facts[t[3]]
	return r.fact and "operator" or nil
end
function next_of.operator(r, t)
	if r.fact.type == "flag" then return next_of.after(r, t) end
	if t[1] == "mark" and compares[t[3]] then return "value" end
	return t[1] == "word" and ({ ["in"] = "open", during = "times" })[t[3]] or nil
end
function next_of.value(r, t)
	if t[1] == "mark" then return nil end
	return class[r.fact.type] and t[3]:find "^%-?%d[%d.]*%%$" and "part" or "after"
end
function next_of.part(r, t)
	if t[1] == "word" and t[3] == "of" then return "whole" end
	return next_of.after(r, t)
end
function next_of.whole(_, t) return t[1] == "word" and "after" or nil end
function next_of.times(_, t) return t[1] == "text" and "after" or nil end
function next_of.open(_, t) return is_mark(t, "(") and "item" or nil end
function next_of.item(_, t) return t[1] ~= "mark" and "items" or nil end
function next_of.items(_, t) return is_mark(t, ",") and "item" or is_mark(t, ")") and "after" or nil end
function next_of.after(_, t)
	if joint(t) then return "fact" end
	return is_mark(t, ")") and "after" or nil
end

-- --- words of each state ---

local function names_of(r, wanted)
	local out = {}
	for name, fact in pairs(r.facts) do
		if not wanted or (class[fact.type] == wanted and name ~= r.name) then out[#out + 1] = name end
	end
	return sorted(out)
end

local function values(r)
	if class[r.fact.type] then return names_of(r, class[r.fact.type]) end
	return r.fact.words or {}
end

local words_of = {
	fact = function(r)
		local out = names_of(r)
		out[#out + 1] = "not"
		out[#out + 1] = "during"
		return out
	end,
	operator = function(r) return operators[r.fact.type] end,
	value = values,
	part = function() return { "of", "and", "or" } end,
	whole = function(r) return names_of(r, class[r.fact.type]) end,
	times = function() return { '"weekdays 08:00-19:00"', '"weekends"', '"daily 22:00-06:00"' } end,
	open = function() return { "(" } end,
	item = function(r) return class[r.fact.type] and {} or r.fact.words or {} end,
	items = function() return { ",", ")" } end,
	after = function() return { "and", "or" } end,
}

--- before: the filter up to the cursor; facts: name → { type, words? }. The number of bytes before the word that is typed, and what it may be.
function M.at(before, facts)
	local tokens = read.tokens(before)
	if not tokens then return #before, {} end
	local last, from, part = tokens[#tokens], #before, ""
	local is_quoted = last and last[1] == "text" and not last[4]
	if last and last[1] == "bad" then return #before, {} end
	if is_quoted then
		from, part = last[2], last[3]
		tokens[#tokens] = nil
	elseif last and last[1] == "word" and last[2] + #last[3] - 1 == #before then
		from, part = last[2] - 1, last[3]
		tokens[#tokens] = nil
	end
	local reader, state = { facts = facts }, "fact"
	for _, t in ipairs(tokens) do
		state = next_of[state](reader, t)
		if not state then return from, {} end
	end
	-- within quotes: what would be quoted there, without the signs
	if is_quoted and state ~= "value" and state ~= "item" then return from, {} end
	local out = {}
	for _, word in ipairs(words_of[state](reader)) do
		if word:sub(1, #part) == part then out[#out + 1] = word end
	end
	return from, out
end

return M
