-- place: the line of each key in a table constructor, read from the source, because a running program no longer knows it.
--
--     place.lines(text, 4) → { port = { line = 6 }, limits = { line = 7, memory = { line = 8 } }, [1] = { line = 9 } }
--
-- Reads tokens from the given line on to the first "{" and through it. What it cannot follow (values that are computed) it skips.
local lpeg = require "lpeg"
local P, R, S, C, Cp, Ct, Cc, Cg, Cb, Cmt = lpeg.P, lpeg.R, lpeg.S, lpeg.C, lpeg.Cp, lpeg.Ct, lpeg.Cc, lpeg.Cg, lpeg.Cb, lpeg.Cmt

local long_open = P "[" * Cg(P "=" ^ 0, "eq") * P "["
local long_close = Cmt(P "]" * C(P "=" ^ 0) * P "]" * Cb "eq", function(_, _, a, b) return a == b end)
local long = long_open * (P(1) - long_close) ^ 0 * long_close / function() end
local quoted = P '"' * (P "\\" * 1 + (1 - S '"\n')) ^ 0 * P '"' + P "'" * (P "\\" * 1 + (1 - S "'\n")) ^ 0 * P "'"
local comment = P "--" * (long + (1 - P "\n") ^ 0)
local name = (R("az", "AZ") + P "_") * (R("az", "AZ", "09") + P "_") ^ 0
local blank = S " \t\r\n" ^ 1

local function token(kind, pattern) return Ct(Cc(kind) * Cp() * C(pattern)) end
local next_token = (blank + comment) ^ 0 * (token("text", quoted) + Ct(Cc "text" * Cp() * long) + token("name", name)
	+ token("number", R "09" * (R("09", "az", "AZ") + S ".") ^ 0) + token("mark", P "==" + P(1))) * Cp()

local M = {}

local MARK_EVERY = 4          -- lines

--- Tokens from a mark { pos, line } on, each read when it is asked for, in their order; adds marks for later.
local function tokens_from(text, marks, mark)
	local pos, line, at, n = mark.pos, mark.line, mark.pos, 0
	return setmetatable({}, { __index = function(tokens, i)
		local t, stop = nil, nil
		if i == n + 1 then t, stop = next_token:match(text, pos) end
		if not t then return nil end
		for nl in function() return text:find("\n", at, true) end do
			if nl >= t[2] then break end
			line, at = line + 1, nl + 1
		end
		if line >= marks[#marks].line + MARK_EVERY then marks[#marks + 1] = { pos = t[2], line = line } end
		t.line, tokens[i], n, pos = line, t, i, stop
		return t
	end })
end

local openers, closers = { ["{"] = true, ["("] = true, ["["] = true }, { ["}"] = true, [")"] = true, ["]"] = true }
-- words of Lua that stand inside of a function value and are closed by `end`
local blocks = { ["function"] = true, ["if"] = true, ["do"] = true }

--- Skips to the next "," ";" or "}" of this depth.
local function skip_value(tokens, i)
	local depth = 0
	while tokens[i] do
		local kind, word = tokens[i][1], tokens[i][3]
		if kind == "mark" or kind == "name" then
			if depth == 0 and (word == "," or word == ";" or word == "}") then return i end
			if openers[word] or blocks[word] then depth = depth + 1
			elseif closers[word] or word == "end" then depth = depth - 1 end
		end
		i = i + 1
	end
	return i
end

local function is(tokens, i, word) return tokens[i] and tokens[i][1] ~= "text" and tokens[i][3] == word end

local read_table

--- A value at i: a table, a call with a table (python { … }), or anything else. Adds what it finds to `into`.
local function read_value(tokens, i, into)
	if is(tokens, i, "{") then
		read_table(tokens, i, into)
	elseif tokens[i] and tokens[i][1] == "name" and not blocks[tokens[i][3]] and is(tokens, i + 1, "{") then
		read_table(tokens, i + 1, into)
	end
	return skip_value(tokens, i)
end

local function key_of(tokens, i)
	if tokens[i][1] == "name" and is(tokens, i + 1, "=") then return tokens[i][3], i + 2 end
	if is(tokens, i, "[") and tokens[i + 1] and is(tokens, i + 2, "]") and is(tokens, i + 3, "=") then
		local word = tokens[i + 1][3]
		if tokens[i + 1][1] == "number" then return math.tointeger(tonumber(word)), i + 4 end
		return word and word:sub(2, -2), i + 4
	end
end

function read_table(tokens, i, into)
	local n = 0
	i = i + 1
	while tokens[i] and not is(tokens, i, "}") do
		local line, key, value_at = tokens[i].line, key_of(tokens, i)
		if not key then
			n = n + 1
			key, value_at = n, i
		end
		into[key] = { line = line }
		i = read_value(tokens, value_at, into[key])
		if is(tokens, i, ",") or is(tokens, i, ";") then i = i + 1 end
	end
	return i
end

--- The lines of the keys of the first table constructor that opens at `line` or after it; {} if there is none. marks: a table that is kept
-- for further calls with the same text, so that a file of thousands of words is not read anew for each.
function M.lines(text, line, marks)
	marks = marks or {}
	marks[1] = marks[1] or { pos = 1, line = 1 }
	local k, i, into = #marks, 1, {}
	while k > 1 and marks[k].line >= line do k = k - 1 end
	local tokens = tokens_from(text, marks, marks[k])
	while tokens[i] and not (tokens[i].line >= line and tokens[i][3] == "{" and tokens[i][1] == "mark") do i = i + 1 end
	if tokens[i] then read_table(tokens, i, into) end
	return into
end

return M
