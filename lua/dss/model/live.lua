-- live: functions that stand in a pool where a value may: warm.min, warm.max, max, limits.memory (function (pool) … return NUMBER end) and
-- recycle (function (k) … return retire "why" end). They are asked with facts that are handed in, clock included, and answer a value;
-- what goes wrong leaves the last number in force, and the kernel alive.
local guard = require "dss.model.guard"
local S = require "dss.model.schema"
local sandbox = require "dss.model.sandbox"

local M = {}

-- path in the pool → where its number is kept
local numbers = {
	["warm.min"] = { "warm", "min" }, ["warm.max"] = { "warm", "max" }, ["max"] = { "max" }, ["limits.memory"] = { "limits", "memory" },
}
local Retire = {}

-- What a pool's functions see before the pool is there.
local nothing = { idle = 0, busy = 0, starting = 0, waiting = 0, alive = 0, demand = 0.0 }
local weekdays = { "sun", "mon", "tue", "wed", "thu", "fri", "sat" }

local model, contradictions

--- retire "why": what a recycle function answers for a kernel that is to go.
function M.retire(why)
	if type(why) ~= "string" or why == "" or why:find "%c" then error("retire wants a reason: retire \"it has grown\"", 2) end
	return setmetatable({ why = why }, Retire)
end

--- Facts of a clock, from seconds since 1970: the node's local time.
local function clock_facts(unix_s)
	local d = os.date("*t", unix_s)
	return sandbox.facts({ year = d.year, month = d.month, day = d.day, hour = d.hour, minute = d.min, weekday = weekdays[d.wday], seconds = unix_s }, "clock")
end

--- A view of the facts that notes whether something was read that changes by itself.
local function view(facts, name, seen)
	local t = {}
	for k, v in pairs(facts) do t[k] = v end
	t.clock = clock_facts(facts.unix_s or 0)
	t.unix_s = nil
	return sandbox.facts(t, name, function(key)
		if key == "clock" or key == "age" then seen.time = true end
	end)
end

local function get(p, where) return #where == 1 and p[where[1]] or p[where[1]][where[2]] end
local function set(p, where, v)
	if #where == 1 then p[where[1]] = v else p[where[1]][where[2]] = v end
end

--- "FILE:LINE: text" once: Lua puts the place before what it raises itself.
local function placed(at, text)
	text = type(text) == "string" and text or ("raised a " .. type(text))
	return text:find "^[^%s:]+:%d+: " and text or ("%s: %s"):format(at, text)
end

--- One function's number, or nil and "FILE:LINE: why"; nil and nothing while it is in quarantine (guard.lua).
local function ask(f, path, facts, name)
	f.path = path
	local ok, v = guard.call(f, name, facts)
	if ok == nil then return nil end
	if not ok then return nil, placed(f.at, v) end
	if f.spec.kind == "int" and math.type(v) == "float" then v = math.tointeger(v) or math.ceil(v) end
	if f.spec.kind == "size" and math.type(v) == "float" then v = math.tointeger(v // 1) end
	local n, why = S.answer(f.spec, v)
	if n ~= nil then return n end
	guard.refuse(f)
	return nil, ("%s: %s: %s"):format(f.at, path, why)
end

function M.has_numbers(p)
	for path in pairs(p.functions or {}) do
		if numbers[path] then return true end
	end
	return false
end

--- Asks each function for its first number, before there are kernels. A list of what was wrong: { line, text }.
function M.first(p)
	nothing.name = p.name
	local out, facts = {}, view(nothing, "pool", {})
	for _, path in ipairs(S.sorted_keys(p.functions)) do
		local f = p.functions[path]
		if numbers[path] then
			local n, why = ask(f, path, facts, p.name)
			local line = why and tonumber(why:match "^[^%s:]+:(%d+): ")
			if why then out[#out + 1] = { line = line, text = why:gsub("^[^%s:]+:%d+: ", "") } end
			-- in quarantine: the default of the word; a limit of memory has none, so the most that a task may ask for
			if n == nil and not why and path == "limits.memory" then n = p.limits.memory_max end
			if n ~= nil or why then set(p, numbers[path], n) end
		end
	end
	return out
end

--- The set that was just loaded.
function M.take(m, check)
	model, contradictions = {}, check
	for _, p in ipairs(m.pools) do
		p.said = {}
		model[p.name] = p
	end
end

--- What is to be logged: each mistake once, until it is gone.
local function complain(p, path, why, kept)
	if p.said[path] == why then return nil end
	p.said[path] = why
	return why and ("%s; %s"):format(why, kept)
end

--- The numbers of a pool now. Returns warm.min, warm.max, max, memory bytes, whether time alone can change them, and complaints (one a
-- line, "" = none).
function M.pool(name, facts)
	local p = model[name]
	local seen, out, before = {}, {}, {}
	facts.name = name
	local shown = view(facts, "pool", seen)
	for path, where in pairs(numbers) do before[path] = get(p, where) end
	for _, path in ipairs(S.sorted_keys(p.functions)) do
		if numbers[path] then
			local n, why = ask(p.functions[path], path, shown, name)
			set(p, numbers[path], n or before[path])
			out[#out + 1] = complain(p, path, why, ("the last number, %s, stays in force"):format(before[path]))
		end
	end
	local trouble = contradictions(p)[1]
	if trouble then
		for path, where in pairs(numbers) do set(p, where, before[path]) end
	end
	out[#out + 1] = complain(p, "", trouble and ("%s: %s"):format(p.source, trouble), "the last numbers stay in force")
	return p.warm.min, p.warm.max, p.max, p.limits.memory or 0, seen.time or false, table.concat(out, "\n")
end

--- Whether a kernel goes: the reason or nil; whether time alone can change that; a complaint or "".
function M.recycle(name, facts)
	local p = model[name]
	local f, seen = p.functions.recycle, {}
	f.path = "recycle"
	local ok, v = guard.call(f, name, view(facts, "k", seen))
	local why
	if ok == nil then
		v = nil                                          -- in quarantine: the kernel is kept
	elseif not ok then
		why = placed(f.at, v)
	elseif v and getmetatable(v) ~= Retire then
		guard.refuse(f)
		why = ("%s: recycle: answer retire \"why\", or nothing to keep the kernel, not a %s"):format(f.at, type(v))
	end
	local text = complain(p, "recycle", why, "the kernel is kept")
	return not why and v and v.why or nil, seen.time or false, text or ""
end

return M
