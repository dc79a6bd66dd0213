-- sandbox: the world that the user's files see: their words, a few harmless libraries, and nothing else. It guards against mistakes;
-- it is no border against attackers (see docs/architecture.md).
local nearest = require "dss.text.nearest"
local sorted_keys = require("dss.model.schema").sorted_keys
local load, pcall, setmetatable, type, error, tostring = load, pcall, setmetatable, type, error, tostring

local M = {}

-- Lua's own functions that neither reach out of the sandbox nor depend on addresses, clocks or order. `pairs` and `tostring` are ours.
local plain = { "assert", "error", "ipairs", "pcall", "select", "tonumber", "type" }
local libraries = {
	string = { "byte", "char", "find", "format", "gmatch", "gsub", "len", "lower", "match", "rep", "reverse", "sub", "upper" },
	table = { "concat", "insert", "remove", "sort", "unpack", "pack" },
	math = { "abs", "ceil", "floor", "fmod", "huge", "max", "maxinteger", "min", "mininteger", "modf", "pi", "sqrt", "tointeger", "type", "ult" },
	utf8 = { "char", "charpattern", "codepoint", "len", "offset" },
}

local inside = setmetatable({}, { __mode = "k" })      -- read-only table → the one it shows

--- A view of `t` that cannot be written; name is for the error.
function M.read_only(t, name)
	local view = setmetatable({}, {
		__index = t,
		__newindex = function(_, key) error(("%s is read-only: %s cannot be set"):format(name, tostring(key)), 2) end,
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
			if v ~= nil then return v end
			local names = sorted_keys(t)
			local guess = nearest(key, names)
			error(('%s has no "%s"%s'):format(name, tostring(key), guess and (', did you mean "%s"?'):format(guess)
				or "; there are " .. table.concat(names, ", ")), 2)
		end,
		__newindex = function(_, key) error(("%s is read-only: %s cannot be set"):format(name, tostring(key)), 2) end,
		__metatable = false,
	})
	inside[view] = t
	return view
end

--- Like Lua's, in a fixed order: numbers, then texts, then the rest.
function M.pairs(t)
	if type(t) ~= "table" then error(("bad argument #1 to 'pairs' (table expected, got %s)"):format(type(t)), 2) end
	t = inside[t] or t
	local keys, i = sorted_keys(t), 0
	return function()
		local v
		repeat
			i = i + 1
			v = t[keys[i]]
		until keys[i] == nil or v ~= nil
		return keys[i], v
	end
end

--- Without addresses, so that a text is the same in every run.
function M.tostring(v)
	local t = type(v)
	if t == "table" or t == "function" or t == "userdata" then return t end
	return tostring(v)
end

local function base()
	local env = { pairs = M.pairs, tostring = M.tostring }
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
			error(('unknown word "%s"%s'):format(tostring(name), guess and (', did you mean "%s"?'):format(guess) or ""), 2)
		end,
		__newindex = function(_, name) error(('"%s" is assigned without `local`: write local %s = …'):format(tostring(name), tostring(name)), 2) end,
		__metatable = false,
	})
end

--- Evaluates a text chunk. chunkname: "@policies/10-pools.lua". true, or nil and "file:line: message".
function M.run(text, chunkname, env)
	if text:sub(1, 1) == "\27" then return nil, chunkname:sub(2) .. ":1: compiled Lua is refused" end
	local chunk, why = load(text, chunkname, "t", env)
	if not chunk then return nil, why end
	local ok, raised = pcall(chunk)
	if not ok and type(raised) ~= "string" then raised = chunkname:sub(2) .. ":1: raised a " .. type(raised) end
	if not ok then return nil, raised:find ":%d+: " and raised or ("%s:1: %s"):format(chunkname:sub(2), raised) end
	return true
end

return M
