-- sandbox: the world that the user's files see: their words, a few harmless libraries, and nothing else. It guards against mistakes;
-- it is no border against attackers (see docs/architecture.md).
local bound = require "bind.guard"
local nearest = require "dss.text.nearest"
local sorted_keys = bound.keys
local pcall, setmetatable, type, error, tostring = pcall, setmetatable, type, error, tostring

local M = {}

-- Lua's own functions that neither reach out of the sandbox nor depend on addresses, clocks or order. `pairs` and `tostring` are ours.
local plain = { "assert", "error", "ipairs", "pcall", "select", "tonumber", "type" }
local libraries = {
	string = { "byte", "char", "find", "format", "gmatch", "gsub", "len", "lower", "match", "rep", "reverse", "sub", "upper" },
	table = { "concat", "insert", "remove", "sort", "unpack", "pack" },
	math = { "abs", "ceil", "floor", "fmod", "huge", "max", "maxinteger", "min", "mininteger", "modf", "pi", "sqrt", "tointeger", "type", "ult" },
	utf8 = { "char", "charpattern", "codepoint", "len", "offset" },
}

local ENDLESS = "stack overflow: a function calls itself without end"

local inside = setmetatable({}, { __mode = "k" })      -- read-only table → the one it shows
local lookers = setmetatable({}, { __mode = "k" })     -- facts → who is told of each key that was read

--- A key in an error: no address, no control characters, no book.
local function shown(key)
	local t = type(key)
	if t == "table" or t == "function" or t == "userdata" then return t end
	return (tostring(key):sub(1, 60):gsub("%c", "?"))
end

--- A view of `t` that cannot be written; name is for the error.
function M.read_only(t, name)
	local view = setmetatable({}, {
		__index = t,
		__newindex = function(_, key) error(("%s is read-only: %s cannot be set"):format(name, shown(key)), 2) end,
		__len = function() return #t end,
		__metatable = false,
	})
	inside[view] = t
	return view
end

--- What a function is handed: a view of `t` that names what it has not, and calls looked(key) for each key that was read.
function M.facts(t, name, looked)
	local view = setmetatable({}, {
		__index = function(_, key)
			local v = t[key]
			if looked then looked(key) end
			if v ~= nil or math.type(key) == "integer" then return v end -- a list ends with nil
			local names = sorted_keys(t)
			local guess = type(key) == "string" and nearest(key, names)
			error(('%s has no "%s"%s'):format(name, shown(key), guess and (', did you mean "%s"?'):format(guess)
				or "; there are " .. table.concat(names, ", ")), 2)
		end,
		__newindex = function(_, key) error(("%s is read-only: %s cannot be set"):format(name, shown(key)), 2) end,
		__len = function() return #t end,
		__metatable = false,
	})
	inside[view] = t
	lookers[view] = looked
	return view
end

--- Like Lua's, in a fixed order: numbers, then texts, then the rest.
function M.pairs(t)
	if type(t) ~= "table" then error(("bad argument #1 to 'pairs' (table expected, got %s)"):format(type(t)), 2) end
	local looked = lookers[t]
	while inside[t] do
		t = inside[t]
		looked = looked or lookers[t]
	end
	local keys, i = sorted_keys(t), 0
	return function()
		local key, v
		repeat
			i = i + 1
			key = keys[i]
			if key == nil then return nil end
			v = t[key]
		until v ~= nil
		if looked then looked(key) end
		return key, v
	end
end

--- Without addresses, so that a text is the same in every run.
function M.tostring(v)
	local t = type(v)
	if t == "table" or t == "function" or t == "userdata" then return t end
	return tostring(v)
end

local function base()
	local env = { pairs = M.pairs, tostring = M.tostring, specs_crash = bound.crash, specs_hang = bound.hang }
	for _, name in ipairs(plain) do env[name] = _G[name] end
	for name, words in pairs(libraries) do
		local own = {}
		for _, word in ipairs(words) do own[word] = _G[name][word] end
		env[name] = M.read_only(own, name)
	end
	return env
end

-- What people reach for that is left out, with what to say.
local absent = {}
local absent_names = "io os require load dofile loadfile loadstring package debug coroutine collectgarbage getmetatable setmetatable "
	.. "rawget rawset rawequal rawlen next print warn xpcall _G"
for name in absent_names:gmatch "%S+" do
	absent[name] = true
end

--- An environment with the given words (name → value), closed: unknown names and assignments to globals raise.
function M.environment(words)
	local known = base()
	for name, value in pairs(words) do known[name] = value end
	return setmetatable({}, {
		__index = function(_, name)
			local v = known[name]
			if v ~= nil then return v end
			if absent[name] then error(("%s is not available here"):format(name), 2) end
			local guess = nearest(name, sorted_keys(known))
			error(('unknown word "%s"%s'):format(shown(name), guess and (', did you mean "%s"?'):format(guess) or ""), 2)
		end,
		__newindex = function(_, name) error(('"%s" is assigned without `local`: write local %s = …'):format(tostring(name), tostring(name)), 2) end,
		__metatable = false,
	})
end

--- Why a text is no chunk of ours: "LINE: reason", or nil.
local function unreadable(text)
	if text:sub(1, 1) == "\27" then return "1: compiled Lua is refused" end
	if text:find "^\xff\xfe" or text:find "^\xfe\xff" then return "1: the file is UTF-16; save it as UTF-8" end
	local at = text:find("\0", 1, true)
	local what = at and "a NUL byte: this is no text file"
	if not at then
		at = select(2, utf8.len(text))
		what = at and ("the byte 0x%02X, which is no UTF-8; save the file as UTF-8"):format(text:byte(at))
	end
	if not at then return nil end
	local line = 1
	for _ in text:sub(1, at - 1):gmatch "\n" do line = line + 1 end
	return ("%d: it holds %s"):format(line, what)
end

--- What people are told where Lua's own words say too little.
local function in_words(raised, name)
	if type(raised) ~= "string" then return name .. ":1: raised a " .. type(raised) end
	if raised == "not enough memory" then
		return (bound.short_of_memory() or name .. ":1") .. ": used up the memory of a policy set: make smaller tables and texts, or end a recursion"
	end
	raised = raised:gsub("stack overflow %(message.*", ENDLESS):gsub("stack overflow$", ENDLESS)
	return raised:find ":%d+: " and raised or ("%s:1: %s"):format(name, raised)
end

--- Evaluates a text chunk. chunkname: "@policies/10-pools.lua". true, or nil and "file:line: message".
function M.run(text, chunkname, env)
	local name = chunkname:sub(2)
	local why = unreadable(text)
	if why then return nil, name .. ":" .. why end
	local chunk
	chunk, why = bound.compile((text:gsub("^\xef\xbb\xbf", "")), chunkname, env) -- some editors put a mark before UTF-8
	if not chunk then return nil, in_words(why, name) end
	local ok, raised = pcall(chunk)
	if not ok then return nil, in_words(raised, name) end
	return true
end

return M
