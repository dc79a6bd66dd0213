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
local stream = Ct((blank + comment + token("text", quoted) + Ct(Cc "text" * Cp() * long) + token("name", name)
	+ token("number", R "09" * (R("09", "az", "AZ") + S ".") ^ 0) + token("mark", P "==" + P(1))) ^ 0)

local M = {}

local function line_counter(text)
	local line, at = 1, 1
	return function(pos)
		while true do
			local nl = text:find("\n", at, true)
			if not nl or nl >= pos then return line end
			line, at = line + 1, nl + 1
		end
	end
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

--- The lines of the keys of the first table constructor that opens at `line` or after it; {} if there is none.
function M.lines(text, line)
	local count, into = line_counter(text), {}
	local tokens = stream:match(text)
	local first
	for i, t in ipairs(tokens) do
		t.line = count(t[2])
		if not first and t.line >= line and t[3] == "{" and t[1] == "mark" then first = i end
	end
	if first then read_table(tokens, first, into) end
	return into
end

return M
