-- filter_read: the grammar of filters: text to tree. filter.lua is what others use.
--
-- Words are LPeg; and, or, not and brackets are read by hand with a counted depth, so that no text, however hostile, recurses further.
-- A tree is { op = "and" | "or", list }, { op = "not", node } or a clause { op = "=" … , fact, … } with `at`, its character.
local lpeg = require "lpeg"
local P, S, R, C, Cc, Cp, Ct = lpeg.P, lpeg.S, lpeg.R, lpeg.C, lpeg.Cc, lpeg.Cp, lpeg.Ct
local duration = require "dss.text.duration"
local mark = require "dss.text.mark"
local nearest = require "dss.text.nearest"
local size = require "dss.text.size"
local when = require "dss.text.when"

local M = {}

local TEXT_MAX, DEPTH_MAX, GLOB_MAX = 4096, 32, 256
local ANY_MAX = 100 -- each ? is a level of Lua's matcher, which has 200

-- --- words ---

local word_char = R("az", "AZ", "09") + S "_.:@/*?%"
local word = (word_char + P "-" * #(word_char)) ^ 1 + P "-" * R "09" * word_char ^ 0
local function quoted(q) return P(q) * C((P "\\" * 1 + (1 - S(q .. "\\"))) ^ 0) * (P(q) * Cc(true) + Cc(false)) end
local mark_sign = P "!=" + "<=" + ">=" + "==" + "<>" + "!~" + "&&" + "||" + S "=<>~()!,&|"
local token = Ct(Cc "word" * Cp() * C(word)) + Ct(Cc "text" * Cp() * (quoted '"' + quoted "'")) + Ct(Cc "mark" * Cp() * C(mark_sign))
	+ Ct(Cc "bad" * Cp() * C(1))
local stream = Ct((S " \t\r\n" ^ 1 + token) ^ 0)

-- Is this text one word as it stands? For printing.
local plain = (R("az", "AZ", "09") + P "_") * (R("az", "AZ", "09") + S "_.:@/-") ^ 0 * P(-1)
local keywords = { ["and"] = true, ["or"] = true, ["not"] = true, ["in"] = true, during = true, of = true, ["true"] = true, ["false"] = true }
function M.is_plain(s) return plain:match(s) ~= nil and not keywords[s] and not s:find "%-$" end

--- Every token of a text, for completion: { "word" | "text" | "mark" | "bad", character, text, is it closed? }. What is wrong stays as it is; nil: too long.
function M.tokens(text)
	return #text <= TEXT_MAX and stream:match(text) or nil
end

local instead = { ["=="] = "=", ["<>"] = "!=", ["&&"] = "and", ["||"] = "or", ["!"] = "not", ["&"] = "and", ["|"] = "or", ["!~"] = "not … ~" }

local Trouble = {}

local function fail(at, text, ...) error(setmetatable({ at = at, text = select("#", ...) > 0 and text:format(...) or text }, Trouble), 0) end

local function shown(s) return mark.line(s, 40) end

local function read_words(text)
	local out = stream:match(text)
	for _, t in ipairs(out) do
		local kind, at, s, is_closed = table.unpack(t)
		if kind == "bad" then
			fail(at, s:byte() >= 128 and "letters beyond a-z need quotes: \"…\"" or s:byte() < 32 and "a control character"
				or ('unexpected "%s"; texts with other signs need quotes'):format(s))
		end
		if kind == "text" and not is_closed then fail(at, "the quoted text does not end") end
		if kind == "text" then t[3] = s:gsub("\\(.)", "%1") end
		if instead[s] and kind == "mark" then fail(at, 'unexpected "%s": write "%s"', s, instead[s]) end
	end
	out[#out + 1] = { "end", #text + 1, "" }
	return out
end

-- --- the state of reading: tokens, i, facts, depth ---

local function peek(p) return p.tokens[p.i] end
local function is(p, kind, s)
	local t = p.tokens[p.i]
	return t[1] == kind and t[3] == s
end
local function take(p)
	local t = p.tokens[p.i]
	p.i = p.i + 1
	return t
end
local function accept(p, kind, s)
	if not is(p, kind, s) then return nil end
	return take(p)
end

local function what_is(t) return t[1] == "end" and "the filter ends here" or ('"%s" stands here'):format(shown(t[3])) end

local function sorted(t)
	local names = {}
	for name in pairs(t) do names[#names + 1] = name end
	table.sort(names)
	return names
end

-- how values of each type are called
local called = {
	size = "a size such as 1.5g", duration = "a duration such as 2h", count = "a number", number = "a number or a percentage", text = "a text",
	list = "a text", time = 'a time such as "2026-11-21 08:00"',
}
local article = {
	size = "a size", duration = "a duration", count = "a count", number = "a number", text = "a text", list = "a list", flag = "a flag", time = "a time",
}
-- types that can be compared with each other
local class = { size = "size", duration = "duration", count = "number", number = "number", time = "time" }

local function find_fact(p, t)
	local fact = p.facts[t[3]]
	if fact then return fact end
	if instead[t[3]] or keywords[t[3]] then fail(t[2], 'a fact is wanted, "%s" stands here', t[3]) end
	local names = sorted(p.facts)
	local guess = nearest(t[3], names)
	if not guess and nearest(t[3]:lower(), { "and", "or", "not" }) == t[3]:lower() then guess = t[3]:lower() end
	fail(t[2], 'unknown fact "%s"%s', shown(t[3]), guess and (', did you mean "%s"?'):format(guess) or "; there are " .. table.concat(names, ", "))
end

-- --- values: { value } or { fact, factor }, with text as it is printed ---

local date_grammar = Ct(C(R "09" ^ 4) * P "-" * C(R "09" * R "09") * P "-" * C(R "09" * R "09")
	* (P " " * C(R "09" * R "09") * P ":" * C(R "09" * R "09")) ^ -1) * P(-1)

local function read_time(s)
	local d = date_grammar:match(s)
	if not d then return nil, 'a time is written "2026-11-21" or "2026-11-21 08:00"', 1 end
	local year, month, day, hour, minute = tonumber(d[1]), tonumber(d[2]), tonumber(d[3]), tonumber(d[4] or 0), tonumber(d[5] or 0)
	local unix_s = year >= 1970 and year < 3000 and os.time { year = year, month = month, day = day, hour = hour, min = minute, sec = 0 }
	if not unix_s or os.date("%Y-%m-%d", unix_s) ~= s:sub(1, 10) or hour > 23 or minute > 59 then return nil, "there is no such day or time", 1 end
	return unix_s
end

local function read_number(s)
	local digits = s:match "^%-?%d+%.?%d*" or ""
	local stop, is_percent = #digits + 1, s:sub(#digits + 1, #digits + 1) == "%"
	if is_percent then stop = stop + 1 end
	if digits == "" or digits:find "%.$" or stop <= #s then return nil, "a number is wanted", digits == "" and 1 or stop end
	local n = math.tointeger(tonumber(digits)) or tonumber(digits)
	return is_percent and n / 100 or n, nil, nil, is_percent
end

-- text → value, or nil, reason without the text, character
local readers = {
	size = function(s) return size.parse(s) end,
	duration = function(s)
		local ms, why, at = duration.parse(s)
		return ms and ms / 1000, why, at
	end,
	count = function(s)
		local n, why, at, is_percent = read_number(s)
		if is_percent then return nil, "a count is no percentage", #s end
		return n, why, at
	end,
	number = function(s) return read_number(s) end,
	time = read_time,
}

--- A fact of the same kind on the right side: { fact, factor, text }.
local function fact_value(p, left, t, factor, prefix)
	local right = find_fact(p, t)
	if class[right.type] ~= class[left.type] or not class[right.type] then
		fail(t[2], '%s is %s, %s is %s: they cannot be compared', t[3], article[right.type], p.left, article[left.type])
	end
	return { fact = t[3], factor = factor, text = prefix .. t[3], at = t[2], type = right.type }
end

local function percent_of(p, left, t, percent)
	take(p)
	local right = peek(p)
	if right[1] ~= "word" then fail(right[2], 'the fact that it is a part of is wanted, as in "80%% of limit"; %s', what_is(right)) end
	take(p)
	return fact_value(p, left, right, percent, t[3] .. " of ")
end

--- Where in the filter the character `at` of a token's text is.
local function place(t, at) return t[2] + (t[1] == "text" and 1 or 0) + (at or 1) - 1 end

local function wrong_unit(t, fact, why, at)
	local reason = why:match 'character %d+: (.*)$' or why:match '": (.*)$' or why
	-- a value of another type is wrong from its first character on
	for _, other in ipairs { "size", "duration" } do
		local is_slip = reason:find("did you mean", 1, true)
		if not is_slip and other ~= fact.type and readers[other](t[3]) then at, reason = 1, nil end
		if not reason then break end
	end
	fail(place(t, at), '%s is %s: %s is wanted, "%s" is none%s', fact.name, article[fact.type], called[fact.type], shown(t[3]), reason and "; " .. reason or "")
end

local function numeric_value(p, fact)
	local t = take(p)
	if t[1] == "word" and t[3]:find "^%a" and not keywords[t[3]] and (p.facts[t[3]] or not t[3]:find "%d") then return fact_value(p, fact, t, nil, "") end
	local percent, _, _, is_percent = read_number(t[3])
	if is_percent and t[1] == "word" and is(p, "word", "of") then return percent_of(p, fact, t, percent) end
	local n, why, at = readers[fact.type](t[3])
	if n == nil then wrong_unit(t, fact, why, at) end
	local follower = peek(p)
	-- "1 g": the unit stands apart
	if t[1] == "word" and follower[1] == "word" and follower[3]:find "^%a" and readers[fact.type](t[3] .. follower[3]) then
		fail(follower[2], 'write it without a blank: "%s"', shown(t[3] .. follower[3]))
	end
	return { value = n, text = t[3], at = t[2] }
end

local function text_value(fact, t, is_glob)
	local s = t[3]
	if t[1] == "word" and not is_glob and s:find "[*?]" then
		fail(t[2], '"%s" is a pattern: write %s ~ "%s", or put it in quotes', shown(s), fact.name, shown(s))
	end
	if is_glob and #s > GLOB_MAX then fail(t[2], "a pattern has up to %d characters", GLOB_MAX) end
	if is_glob and select(2, s:gsub("%?", "")) > ANY_MAX then fail(t[2], "a pattern has up to %d ?", ANY_MAX) end
	if fact.words and not is_glob then
		local is_known = false
		for _, w in ipairs(fact.words) do is_known = is_known or w == s end
		if not is_known then
			local guess = nearest(s, fact.words)
			fail(t[2], '%s is never "%s"%s', fact.name, shown(s), guess and (', did you mean "%s"?'):format(guess) or "; there are " .. table.concat(fact.words, ", "))
		end
	end
	return { value = s, text = s, at = t[2] }
end

local function value(p, fact, is_glob)
	local t = peek(p)
	if (t[1] ~= "word" and t[1] ~= "text") or (t[1] == "word" and keywords[t[3]]) then
		fail(t[2], "%s is wanted; %s%s", called[fact.type], what_is(t), t[1] == "word" and " (put it in quotes if you mean the text)" or "")
	end
	if class[fact.type] then return numeric_value(p, fact) end
	return text_value(fact, take(p), is_glob)
end

-- --- clauses ---

local function during(p, at, fact_name)
	take(p)
	local t = peek(p)
	if t[1] ~= "text" then fail(t[2], 'times in quotes are wanted, as in during "weekdays 08:00-19:00"; %s', what_is(t)) end
	take(p)
	local o, why, inner = when.parse(t[3])
	if not o then fail(place(t, inner), why:match 'character %d+: (.*)$' or why) end
	return { op = "during", fact = fact_name or "clock", times = o, at = at, is_clock = not fact_name }
end

local function list_of_values(p, fact)
	local open, out = peek(p), {}
	if not accept(p, "mark", "(") then fail(open[2], 'a list is wanted, as in "in (a, b)"; %s', what_is(open)) end
	repeat
		local v = value(p, fact)
		if v.fact then fail(v.at, "a list holds values, not facts") end
		out[#out + 1] = v
	until not accept(p, "mark", ",")
	if not accept(p, "mark", ")") then fail(peek(p)[2], '"," or ")" is wanted; %s', what_is(peek(p))) end
	return out
end

local ordered = { ["<"] = true, ["<="] = true, [">"] = true, [">="] = true }
local equal = { ["="] = true, ["!="] = true }

local function check_operator(t, fact)
	local op = t[3]
	if fact.type == "flag" then fail(t[2], "%s is a flag: write %s, or not %s", fact.name, fact.name, fact.name) end
	if fact.type == "time" and equal[op] then fail(t[2], '%s is a time: compare it with < <= > >= or during "…"', fact.name) end
	if not class[fact.type] and ordered[op] then fail(t[2], "%s is %s: compare it with = != ~ or in (…)", fact.name, article[fact.type]) end
	if class[fact.type] and op == "~" then fail(t[2], "%s is %s, ~ is for texts", fact.name, article[fact.type]) end
end

--- What follows a fact's name.
local function comparison(p, name, fact)
	local t = peek(p)
	p.left = name.text
	if t[1] == "mark" and (ordered[t[3]] or equal[t[3]] or t[3] == "~") then
		check_operator(t, fact)
		take(p)
		return { op = t[3], fact = name.text, right = value(p, fact, t[3] == "~"), at = name.at, type = fact.type }
	end
	if is(p, "word", "in") then
		if fact.type == "flag" or fact.type == "time" then check_operator(t, fact) end
		if fact.type == "time" then fail(t[2], '%s is a time: compare it with < <= > >= or during "…"', fact.name) end
		take(p)
		return { op = "in", fact = name.text, list = list_of_values(p, fact), at = name.at, type = fact.type }
	end
	if is(p, "word", "during") then
		if fact.type ~= "time" then fail(t[2], "%s is %s, during is for times", fact.name, article[fact.type]) end
		return during(p, name.at, name.text)
	end
	if fact.type == "flag" then return { op = "flag", fact = name.text, at = name.at, type = "flag" } end
	fail(t[2], "%s is %s: a comparison is wanted, such as %s; %s", fact.name, article[fact.type],
		(fact.type == "text" or fact.type == "list") and "=" or fact.type == "time" and "<" or ">", what_is(t))
end

local any

local function bracket(p)
	local open = take(p)
	p.depth = p.depth + 1
	if p.depth > DEPTH_MAX then fail(open[2], "more than %d brackets within each other", DEPTH_MAX) end
	local node = any(p)
	if not accept(p, "mark", ")") then fail(peek(p)[2], '")" is wanted: the "(" of character %d is open; %s', open[2], what_is(peek(p))) end
	p.depth = p.depth - 1
	return node
end

local function clause(p)
	local t = peek(p)
	if is(p, "mark", "(") then return bracket(p) end
	if is(p, "word", "during") then return during(p, t[2]) end
	if t[1] ~= "word" then fail(t[2], "a fact is wanted, as in \"memory > 1g\"; %s", what_is(t)) end
	take(p)
	local fact = find_fact(p, t)
	return comparison(p, { text = t[3], at = t[2] }, { name = t[3], type = fact.type, words = fact.words })
end

--- Any number of nots: two of them are none, also of what is unknown.
local function negated(p)
	local is_not = false
	while accept(p, "word", "not") do is_not = not is_not end
	local node = clause(p)
	if not is_not then return node end
	return node.op == "not" and node[1] or { op = "not", node }
end

local function joined(p, word_of, one)
	local list = {}
	repeat
		local node = one(p)
		if node.op == word_of then table.move(node, 1, #node, #list + 1, list) else list[#list + 1] = node end
	until not accept(p, "word", word_of)
	if #list == 1 then return list[1] end
	list.op = word_of
	return list
end

local function both(p) return joined(p, "and", negated) end
function any(p) return joined(p, "or", both) end

local function whole(p)
	local node = any(p)
	local t = peek(p)
	if t[1] == "end" then return node end
	if is(p, "mark", ")") then fail(t[2], 'this ")" was never opened') end
	local guess = nearest(t[3]:lower(), { "and", "or" })
	if t[3]:lower() == "and" or t[3]:lower() == "or" then guess = t[3]:lower() end
	fail(t[2], '"and", "or" or the end is wanted; %s%s', what_is(t), guess and (', did you mean "%s"?'):format(guess) or "")
end

--- The tree; or nil, reason, character.
function M.read(text, facts)
	if type(text) ~= "string" then return nil, ("a filter is a text such as \"memory > 1g\", not a %s"):format(type(text)), 1 end
	if #text > TEXT_MAX then return nil, ("a filter has up to %d characters"):format(TEXT_MAX), TEXT_MAX + 1 end
	local ok, node = pcall(function() return whole { tokens = read_words(text), i = 1, facts = facts, depth = 0 } end)
	if ok then return node end
	if getmetatable(node) ~= Trouble then error(node, 0) end
	return nil, node.text, node.at
end

return M
