-- when: times of the week: "weekdays 08:00-19:00", "mon,wed 22:00-06:00", "sat-sun", "daily 07:30-20:00", "08:00-12:00".
--
--     when  = item { ";" item } ;                           items add up
--     item  = days [ hours ] | hours ;                      no days: every day; no hours: the whole day
--     days  = some { "," some } ;   some = "daily" | "weekdays" | "weekends" | day [ "-" day ] ;
--     hours = HH:MM "-" HH:MM { "," HH:MM "-" HH:MM } ;      over midnight: until that time of the next day
--
-- "," joins days before the hours and times among the hours; behind hours it may begin the next item, if that begins with its days.
local lpeg = require "lpeg"
local P, S, R, C, Cc, Cp, Ct, Cg, Cmt = lpeg.P, lpeg.S, lpeg.R, lpeg.C, lpeg.Cc, lpeg.Cp, lpeg.Ct, lpeg.Cg, lpeg.Cmt
local mark = require "dss.text.mark"
local nearest = require "dss.text.nearest"

local TEXT_MAX = 500
local DAY, WEEK = 1440, 7 * 1440 -- minutes
local names = { "mon", "tue", "wed", "thu", "fri", "sat", "sun" }
local words = { "mon", "tue", "wed", "thu", "fri", "sat", "sun", "daily", "weekdays", "weekends" }
local index = { monday = 1, tuesday = 2, wednesday = 3, thursday = 4, friday = 5, saturday = 6, sunday = 7 }
for i, name in ipairs(names) do index[name] = i end
local sets = { daily = { 1, 7 }, weekdays = { 1, 5 }, weekends = { 6, 7 }, weekday = { 1, 5 }, weekend = { 6, 7 } }

-- the farthest place where reading stopped, and what was wanted there
local far_at, far_why
local function note(at, why)
	if at > far_at then far_at, far_why = at, why end
	return false
end

--- p, or the note that `what` is wanted here.
local function want(p, what)
	return p + Cmt(P(true), function(_, at) return note(at, what .. " is wanted") end)
end

local blank = S " \t" ^ 0
local letters = R("az", "AZ") ^ 1

local function day_word(is_set)
	return Cmt(C(letters), function(_, after, word)
		local found = is_set and sets[word:lower()] or not is_set and index[word:lower()]
		if found then return true, found end
		if index[word:lower()] or sets[word:lower()] then return false end
		local guess = nearest(word:lower(), words)
		return note(after - #word, guess and ('unknown day "%s", did you mean "%s"?'):format(word, guess)
			or ('unknown day "%s"; there are %s'):format(word, table.concat(words, ", ")))
	end)
end

local clock = Cmt(C(R "09" ^ 1) * P ":" * C(R "09" * R "09") * -R "09", function(_, after, hour, minute)
	local h, m = tonumber(hour), tonumber(minute)
	if #hour <= 2 and m < 60 and (h < 24 or (h == 24 and m == 0)) then return true, h * 60 + m end
	return note(after - #hour - 3, "a time is between 00:00 and 24:00")
end)
local time = want(clock, "a time such as 08:00")
local span = Cmt(Cp() * clock * blank * want(P "-", '"-" and the time until then') * blank * time, function(_, after, at, from, to)
	if from == DAY then return note(at, "a day begins at 00:00") end
	if from == to then return note(at, "begins and ends at the same time; leave the hours out for the whole day") end
	return after, { from, to }
end)
local hours = Cg(Ct(span * (blank * P "," * blank * span) ^ 0), "hours")
local day = day_word(false)
local some_days = day_word(true) + Ct(day * (blank * P "-" * blank * want(day, "a day such as fri")) ^ -1)
local days = Cg(Ct(some_days * (blank * P "," * blank * some_days) ^ 0), "days")
local item = Ct(want(days * (blank * hours) ^ -1 + hours, "a day or a time such as \"weekdays 08:00-19:00\""))
local grammar = Ct(blank * item * (blank * S ";," * blank * item) ^ 0) * blank * want(P(-1), '";" or the end') * Cc(true)

local M = {}

--- Days that a list of words and ranges means, as a set of 1 … 7.
local function day_set(list)
	local out = {}
	if not list then list = { { 1, 7 } } end
	for _, range in ipairs(list) do
		local d, last = range[1], range[2] or range[1]
		out[d] = true
		while d ~= last do
			d = d % 7 + 1
			out[d] = true
		end
	end
	return out
end

local function add_spans(spans, set, hour_list)
	for d in pairs(set) do
		for _, h in ipairs(hour_list or { { 0, DAY } }) do
			local from, to = (d - 1) * DAY + h[1], (d - 1) * DAY + h[2]
			if h[2] < h[1] then to = to + DAY end
			spans[#spans + 1] = { from, math.min(to, WEEK) }
			if to > WEEK then spans[#spans + 1] = { 0, to - WEEK } end
		end
	end
end

--- Sorted, and one where two touch.
local function merged(spans)
	local out = {}
	table.sort(spans, function(a, b) return a[1] < b[1] end)
	for _, s in ipairs(spans) do
		local last = out[#out]
		if last and s[1] <= last[2] then last[2] = math.max(last[2], s[2]) else out[#out + 1] = { s[1], s[2] } end
	end
	return out
end

--- An object for is_in and print; or nil, message, and the character where reading stopped.
function M.parse(text)
	if type(text) ~= "string" then return nil, ('times are a text such as "weekdays 08:00-19:00", not a %s'):format(type(text)) end
	if #text > TEXT_MAX then return nil, ("unable to read times: more than %d characters"):format(TEXT_MAX), TEXT_MAX + 1 end
	far_at, far_why = 0, ""
	local items, is_whole = grammar:match(text)
	if not is_whole then
		return nil, ('unable to read times "%s": character %d: %s'):format(mark.line(text, 80), far_at, far_why), far_at
	end
	local o = { items = {}, spans = {} }
	for i, it in ipairs(items) do
		local set = day_set(it.days)
		o.items[i] = { days = set, hours = it.hours }
		add_spans(o.spans, set, it.hours)
	end
	o.spans = merged(o.spans)
	return o
end

--- Whether a clock is within: { weekday = "mon" … "sun", hour, minute }, the node's local time.
function M.is_in(o, now)
	local at = (index[now.weekday] - 1) * DAY + now.hour * 60 + now.minute
	for _, s in ipairs(o.spans) do
		if at < s[1] then return false end
		if at < s[2] then return true end
	end
	return false
end

local function days_text(set)
	local key = {}
	for d = 1, 7 do key[d] = set[d] and "x" or "." end
	key = table.concat(key)
	if key == "xxxxxxx" then return "daily" elseif key == "xxxxx.." then return "weekdays" elseif key == ".....xx" then return "weekends" end
	local out, d = {}, 1
	while d <= 7 do
		local last = d
		while set[d] and set[last + 1] do last = last + 1 end
		if set[d] and last - d >= 2 then out[#out + 1] = names[d] .. "-" .. names[last]
		elseif set[d] then
			for i = d, last do out[#out + 1] = names[i] end
		end
		d = last + 1
	end
	return table.concat(out, ",")
end

--- The canonical text: parses to the same times.
function M.print(o)
	local out = {}
	for i, it in ipairs(o.items) do
		local parts = {}
		for j, h in ipairs(it.hours or {}) do
			parts[j] = ("%02d:%02d-%02d:%02d"):format(h[1] // 60, h[1] % 60, h[2] // 60, h[2] % 60)
		end
		out[i] = days_text(it.days) .. (#parts > 0 and " " .. table.concat(parts, ",") or "")
	end
	return table.concat(out, "; ")
end

return M
