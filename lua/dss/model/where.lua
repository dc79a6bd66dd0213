-- where: the conditions of policies: filters, or functions, over the facts of a kind of subject; compiled where they stand, asked with a reading.
-- A kind is a name of the registry (facts.lua), "submit" (what a task has when it is submitted), or a registry of its own (an event's).
local facts = require "dss.model.facts"
local filter = require "dss.text.filter"
local guard = require "dss.model.guard"
local reading = require "dss.model.reading"
local S = require "dss.model.schema"

local M = {}

-- --- what a kind's facts are ---

local task = facts.of "task"
local submit = { memory = { type = "size", doc = "what it may use: its limits.memory, or its pool's" } }
for name in ("kind type pool user project tags title priority"):gmatch "%a+" do submit[name] = task[name] end

local registries = { submit = submit }
local types, sets = {}, {}

local function registry(kind) return type(kind) == "table" and kind or registries[kind] or facts.of(kind) end
M.registry = registry

--- name → type, as reasons show them.
function M.types(kind)
	if not types[kind] then
		local out = {}
		for name, fact in pairs(registry(kind)) do
			if name ~= "clock" then out[name] = fact.type end
		end
		types[kind] = out
	end
	return types[kind]
end

--- The facts that a function may read, as a set.
function M.names(kind)
	if not sets[kind] then
		local out = { clock = true }
		for name in pairs(registry(kind)) do out[name] = true end
		sets[kind] = out
	end
	return sets[kind]
end

-- --- at the load ---

--- A filter that reads more than a task has when it is submitted: said as such.
local function too_early(text)
	local whole = filter.parse(text, task)
	for _, name in ipairs(whole and whole.reads or {}) do
		if not submit[name] and name ~= "clock" then
			return ("%s is not known when a task is submitted; there are %s"):format(name, table.concat(S.sorted_keys(submit), ", "))
		end
	end
end

M.parse = filter.parse

--- w: what S.filter read, or nil. The compiled filter, or nil: there is none, or it was reported.
function M.compile(source, w, kind)
	if not w then return nil end
	local f, why = filter.parse(w.text, registry(kind))
	if f then return f end
	source:report(w.line, w.path .. ": " .. (kind == "submit" and too_early(w.text) or why))
end

--- "FILE:LINE: text" once: Lua puts the place before what it raises itself.
function M.placed(at, text)
	text = type(text) == "string" and text or ("raised a " .. type(text))
	return text:find "^[^%s:]+:%d+: " and text or ("%s: %s"):format(at, text)
end

--- Asks a function once at the load, with facts of which none is known: what is wrong before it reads any is told now.
function M.try(source, f, kind, line)
	local r = reading.open(type(kind) == "table" and "event" or kind == "submit" and "task" or kind, M.names(kind), {})
	local ok, raised = guard.call(f, f.path, r.view)
	r:close()
	if ok ~= false or reading.unknown(raised) then return end -- nil: in quarantine
	local text = M.placed(f.at, raised)
	source:report(tonumber(text:match "^[^%s:]+:(%d+): ") or line, (text:gsub("^[^%s:]+:%d+: ", "")))
end

-- --- asked ---

--- Asks a function, with a reading's view: true and its answer; false, nil and the fact that was unknown; or false and what failed.
function M.ask(f, name, arg)
	f.spared = f.spared or { fn = reading.sparing(f.fn), at = f.at, path = f.path }
	local ok, v = guard.call(f.spared, name, arg)
	if not ok then return false, M.placed(f.at, v) end
	local fact = reading.unknown(v)
	if fact then return false, nil, fact end
	return true, v
end

--- What a function answered was no use: it counts as a failure.
function M.refuse(f, text)
	guard.refuse(f.spared)
	return ("%s: %s"):format(f.at, text)
end

local function by_function(f, name, r)
	local threshold = "the function at " .. f.at
	local ok, v, fact = M.ask(f, name, r.view)
	if not ok then return nil, threshold, fact, v end
	if v == nil or type(v) == "boolean" then return v or false, threshold end
	return nil, threshold, nil, M.refuse(f, ("where: answer true or false, not a %s"):format(type(v)))
end

--- Does the condition of a word hold? true, false, or nil; the clause that decided; where nil the fact that is unknown, or else what failed.
function M.holds(word, r)
	if word.functions.where then return by_function(word.functions.where, word.name, r) end
	local f = word.where
	if not f then return true, "all" end
	local v, clause = f.test(r.bare)
	if v ~= nil then return v, clause end
	local n = f.clauses[clause]
	return nil, clause, r.facts[n.fact] == nil and n.fact or n.right and n.right.fact or n.fact
end

return M
