-- live: functions that stand in a pool where a value may: warm.min, warm.max, max, limits.memory (function (pool) … return NUMBER end) and
-- recycle (function (k) … return retire "why" end). They are asked with facts that are handed in, clock included, and answer a value;
-- what goes wrong leaves the last number in force, and the kernel alive.
local S = require "dss.model.schema"
local guard = require "dss.model.guard"
local reading = require "dss.model.reading"
local verbs = require "dss.model.verbs"
local where = require "dss.model.where"

local M = {}

-- path in the pool → where its number is kept
local numbers = {
	["warm.min"] = { "warm", "min" }, ["warm.max"] = { "warm", "max" }, ["max"] = { "max" }, ["limits.memory"] = { "limits", "memory" },
}

-- What a pool's functions see before the pool is there.
local nothing = { idle = 0, busy = 0, starting = 0, waiting = 0, alive = 0, demand = 0.0 }

local function names_of(text)
	local out = {}
	for name in text:gmatch "%a+" do out[name] = true end
	return out
end
local pool_names = names_of "name idle busy starting waiting alive demand cores total clock"
local kernel_names = names_of "id user pool tasks age memory peak clock"
local kernel_types = where.types "kernel"

local model, contradictions

local function get(p, path) return #path == 1 and p[path[1]] or p[path[1]][path[2]] end
local function set(p, path, v)
	if #path == 1 then p[path[1]] = v else p[path[1]][path[2]] = v end
end

--- One function's number, or nil and "FILE:LINE: why".
local function ask(f, p, path, r)
	local ok, v, fact = where.ask(f, p.name, r.view)
	if not ok then return nil, v or ("%s: %s: %s is not known"):format(f.at, path, fact) end
	if f.spec.kind == "int" and math.type(v) == "float" then v = math.tointeger(v) or math.ceil(v) end
	if f.spec.kind == "size" and math.type(v) == "float" then v = math.tointeger(v // 1) end
	local n, why = S.answer(f.spec, v)
	if n == nil then return nil, where.refuse(f, path .. ": " .. why) end
	return n
end

function M.has_numbers(p)
	for path in pairs(p.functions or {}) do
		if numbers[path] then return true end
	end
	return false
end

--- Asks each function for its first number, before there are kernels. machine: { cores, total }. A list of what was wrong: { line, text }.
function M.first(p, machine)
	local out = {}
	local facts = { name = p.name, cores = machine.cores, total = machine.total, unix_s = os.time() }
	for k, v in pairs(nothing) do facts[k] = v end
	local r = reading.open("pool", pool_names, facts)
	for _, path in ipairs(S.sorted_keys(p.functions)) do
		local f = p.functions[path]
		if numbers[path] then
			local n, why = ask(f, p, path, r)
			if n == nil and guard.is_out(f.spared) then
				-- the default of the word; a limit of memory has none: the most that a task may ask for
				n, why = get(p, numbers[path]) or path == "limits.memory" and p.limits.memory_max or nil, nil
			end
			local line = why and tonumber(why:match "^[^%s:]+:(%d+): ")
			if why then out[#out + 1] = { line = line, text = why:gsub("^[^%s:]+:%d+: ", "") } end
			set(p, numbers[path], n)
		end
	end
	r:close()
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

local function says(path, n) return ("%s = %s"):format(path, tostring(n)) end

--- One number: kept where its function fails. Adds to the decisions.
local function decide(p, path, facts, decisions, out)
	local f, before = p.functions[path], get(p, numbers[path])
	local r = reading.open("pool", pool_names, facts)
	local n, why = ask(f, p, path, r)
	set(p, numbers[path], n or before)
	decisions[#decisions + 1] = {
		source = f.at, threshold = path, inputs = r:inputs(), answer = (n == nil or n == before) and "keep" or "set",
		reason = why or says(path, n), outcome = why and "failed" or n == before and "nothing" or "done",
	}
	out[#out + 1] = complain(p, path, why, ("the last number, %s, stays in force"):format(before))
	local is_time = r:saw "clock"
	r:close()
	return is_time
end

--- The numbers of a pool now. Returns warm.min, warm.max, max, memory bytes, whether time alone can change them, complaints (one a
-- line, "" = none), and the decisions: { source, threshold = path, answer, reason, inputs, outcome }.
function M.pool(name, facts)
	local p = model[name]
	local decisions, out, before, is_time = {}, {}, {}, false
	facts.name = name
	for path, at in pairs(numbers) do before[path] = get(p, at) end
	for _, path in ipairs(S.sorted_keys(p.functions)) do
		if numbers[path] then is_time = decide(p, path, facts, decisions, out) or is_time end
	end
	local trouble = contradictions(p)[1]
	if trouble then
		for path, at in pairs(numbers) do set(p, at, before[path]) end
		for _, d in ipairs(decisions) do
			if d.outcome == "done" then d.outcome = "failed" end
		end
	end
	out[#out + 1] = complain(p, "", trouble and ("%s: %s"):format(p.source, trouble), "the last numbers stay in force")
	return p.warm.min, p.warm.max, p.max, p.limits.memory or 0, is_time, table.concat(out, "\n"), decisions
end

--- The verb of a recycle function, or nil; what failed; the fact that was unknown.
local function verdict(p, r)
	local f = p.functions.recycle
	local ok, v, fact = where.ask(f, p.name, r.view)
	if not ok then return nil, v, fact end
	if v and not (verbs.is_verb(v) and (v.word == "retire" or v.word == "keep")) then
		local what = verbs.is_verb(v) and v.word or "a " .. type(v)
		return nil, where.refuse(f, ("recycle: answer retire \"why\", or nothing to keep the kernel, not %s"):format(what))
	end
	return v or nil
end

--- Whether a kernel goes: the reason or nil; whether time alone can change that; a complaint or ""; and the decision as pool() has them.
function M.recycle(name, facts)
	local p = model[name]
	facts.pool = name
	local r = reading.open("k", kernel_names, facts)
	local verb, failure, fact = verdict(p, r)
	local reason = verb and verbs.fill(verb, r, kernel_types)
	local goes = verb and verb.word == "retire" or false
	local decision = {
		source = p.functions.recycle.at, answer = goes and "retire" or "keep", threshold = "recycle", inputs = r:inputs(),
		reason = failure or fact and ("skipped: %s is unknown"):format(fact) or reason, outcome = failure and "failed" or goes and "done" or "kept",
	}
	local is_time = r:saw "clock" or r:saw "age"
	r:close()
	return goes and reason or nil, is_time, complain(p, "recycle", failure, "the kernel is kept") or "", decision
end

-- --- once more: see engine.again ---

function M.again(name, path, facts)
	local p = model[name]
	local f = p and p.functions[path]
	if not f then return nil end
	local r = reading.open("pool", pool_names, facts)
	local n, why = ask(f, p, path, r)
	r:close()
	return n and "set" or "keep", why or says(path, n)
end

function M.again_recycle(name, facts)
	local p = model[name]
	if not p or not p.functions.recycle then return nil end
	local _, _, _, d = M.recycle(name, facts)
	return d.answer, d.reason
end

return M
