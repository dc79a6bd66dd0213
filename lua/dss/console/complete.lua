-- complete: what may stand under the cursor: words and names of the session, fields and methods of objects, ids of what there is, keys of a
-- set, facts in a filter. Nothing is evaluated but names and fields of the session's own tables.
local facts = require "dss.model.facts"
local filter_words = require "dss.text.filter_words"
local live = require "dss.console.live"
local words = require "dss.console.words"

local MOST = 200

local M = {}

-- words that take the id of something, and those that take a filter
local takes_id = { pool = "pool", kernel = "kernel", task = "open", why = "kernel" }
local takes_filter = { pools = "pool", kernels = "kernel", tasks = "task", processes = "process" }
local keys_of_set = { "max", "warm", "limits", "min", "memory" }
local keywords = { "and", "or", "not", "nil", "true", "false", "function", "return", "local", "for", "in", "do", "end", "if", "then", "else", "while" }

local function beginning(with, names)
	local out, seen = {}, {}
	for _, name in ipairs(names) do
		if #out >= MOST then break end
		if name:sub(1, #with) == with and not seen[name] then
			seen[name] = true
			out[#out + 1] = name
		end
	end
	table.sort(out)
	return out
end

local function names_of(t)
	local out = {}
	for name in pairs(t) do
		if type(name) == "string" then out[#out + 1] = name end
	end
	return out
end

local function ids(kind)
	local ok, by_id = pcall(live.by_id, kind)
	return ok and names_of(by_id) or {}
end

local function fact_names(kind)
	local out = {}
	for i, f in ipairs(facts.docs(kind)) do out[i] = f.name end
	return out
end

--- An open text: pool "f…, kernels "idle > 1h and m…
local function in_text(before)
	local word, _, content = before:match "([%a_][%w_]*)%s*%(?%s*([\"'])([^\"']*)$"
	if not word then return nil end
	if word == "facts" then return #before - #content, beginning(content, facts.kinds) end
	if word == "help" then return #before - #content, beginning(content, names_of(words.words)) end
	if takes_id[word] then
		local names = ids(takes_id[word])
		if word == "why" then table.move(ids "pool", 1, MOST, #names + 1, names) end
		return #before - #content, beginning(content, names)
	end
	if not takes_filter[word] then return #before, {} end
	local from, names = filter_words.at(content, facts.of(takes_filter[word]))
	return #before - #content + from, names
end

--- The kind of the object that an expression before a dot or a colon stands for; or its table.
local function subject(before, env)
	local word = before:match "([%a_][%w_]*)%s*%(?%s*\"[^\"]*\"%s*%)?%s*$" or before:match "([%a_][%w_]*)%s*%(?%s*'[^']*'%s*%)?%s*$"
	if word then return live.methods[word] and word or nil end
	local name = before:match "([%a_][%w_]*)%s*$"
	local v = name and rawget(env, name)
	if type(v) == "table" then return live.kind_of(v), v end
	return nil, ({ string = true, table = true, math = true, utf8 = true })[name] and M.library[name] or nil
end

local function after_joint(before, env)
	local head, joint, part = before:match "^(.-)([.:])([%w_]*)$"
	if not head or head == "" or head:find "%.$" or head:find "%d$" then return nil end
	local kind, t = subject(head, env)
	local names = {}
	if kind then
		names = names_of(live.methods[kind])
		if joint == "." then table.move(fact_names(kind), 1, MOST, #names + 1, names) end
	elseif t then
		names = names_of(t)
	end
	return #before - #part, beginning(part, names)
end

-- the libraries of the sandbox, whose views cannot be gone through
M.library = {
	string = { byte = 1, char = 1, find = 1, format = 1, gmatch = 1, gsub = 1, len = 1, lower = 1, match = 1, rep = 1, reverse = 1, sub = 1, upper = 1 },
	table = { concat = 1, insert = 1, remove = 1, sort = 1, unpack = 1, pack = 1 },
	math = {
		abs = 1, ceil = 1, floor = 1, fmod = 1, huge = 1, max = 1, maxinteger = 1, min = 1, mininteger = 1, modf = 1, pi = 1, sqrt = 1, tointeger = 1,
		type = 1, ult = 1,
	},
	utf8 = { char = 1, charpattern = 1, codepoint = 1, len = 1, offset = 1 },
}
local plain = { "assert", "error", "ipairs", "pairs", "pcall", "select", "tonumber", "tostring", "type", "string", "table", "math", "utf8" }

--- Is the last quote still open?
local function is_open(before)
	local open
	for c in before:gsub("\\.", "  "):gmatch "[\"']" do
		if not open then open = c elseif open == c then open = nil end
	end
	return open ~= nil
end

--- Bytes before the word under the cursor, and what it may be. before: the line up to the cursor; env: the session's names.
function M.of(before, env, _, commands)
	local part = before:match "^%s*:%s*(%a*)$"
	if part then return #before - #part, beginning(part, names_of(commands)) end
	local from, list
	if is_open(before) then
		from, list = in_text(before)
		return from or #before, list or {}
	end
	from, list = after_joint(before, env)
	if from then return from, list end
	part = before:match "[%a_][%w_]*$" or ""
	local names = names_of(words.words)
	if before:find ":%s*set%s*%(?%s*{[^}]*$" then names = table.move(keys_of_set, 1, #keys_of_set, 1, {}) end
	for _, some in ipairs { plain, keywords, names_of(env) } do table.move(some, 1, #some, #names + 1, names) end
	return #before - #part, beginning(part, names)
end

return M
