-- set: a set of policies to be tried: what the backend would ask of it, with facts of the spec's making. Each question goes to the function of
-- lua/dss/model/engine.lua that the backend calls, in a state like the backend's. A function of a policy that fails raises here, with its file
-- and line; the backend would go on with the word's default.
local events = require "dss.model.events"
local facts = require "dss.model.facts"
local given = require "dss.test.given"
local json = require "bind.json"
local sorted_keys = require("dss.model.schema").sorted_keys

local Set, Pool = {}, {}
Set.__index = Set

local text, size, count, duration = { type = "text" }, { type = "size" }, { type = "count" }, { type = "duration" }

-- what functions of a pool are handed: docs/policies.md, Functions
local pool_facts = { idle = count, busy = count, starting = count, waiting = count, alive = count, demand = { type = "number" }, cores = count, total = size }
local kernel_facts = { id = text, user = { type = "text", otherwise = "" }, tasks = count, age = duration, memory = size, peak = size }

-- what a task has when it is submitted
local submit_facts = { memory = size }
for name in ("kind type pool user project tags title priority"):gmatch "%a+" do submit_facts[name] = facts.of("task")[name] end

-- what the core says of a subject whatever it is
local always = { kernel = { kind = "kernel" }, task = { kind = "future" }, recipe = { kind = "recipe" } }
local kernel_defaults = { id = "kernel-1", tasks = 1, age = 0.0 }

--- Over the sets that a spec has loaded: bound: bind.sets' set; machine: { cores, total }.
local function new(bound, machine)
	local self = setmetatable({ bound = bound, machine = machine, pools = {}, words = bound:ask "describe" }, Set)
	for _, spec in ipairs(bound:pools()) do
		self.pools[spec.name] = setmetatable({ set = self, name = spec.name, spec = spec }, { __index = Pool })
	end
	return self
end

local function named(what, list, name)
	local names = {}
	for i, word in ipairs(list) do
		if word.name == name then return i, word end
		names[i] = word.name
	end
	given.refuse(what, name, names)
end

-- --- pools ---

--- set:pool "fek": its spec (bytes, ms: core/fleet/pool.h) and its numbers.
function Set:pool(name) return self.pools[name] or given.refuse("pool", name, sorted_keys(self.pools)) end

local function first_failure(complaint, decisions)
	if complaint ~= "" then error(complaint, 0) end
	for _, d in ipairs(decisions) do
		if d.outcome == "failed" then error(d.reason, 0) end
	end
end

--- pool:numbers { waiting = 3, demand = 0.5, clock = "mon 09:00" } → { warm = { min, max }, max, memory }: what would be in force then. Nothing
-- is idle, busy or waiting unless it is given.
function Pool:numbers(t)
	local more = { idle = 0, busy = 0, starting = 0, waiting = 0, demand = 0.0, cores = self.set.machine.cores, total = self.set.machine.total }
	local f = given.facts("a pool", pool_facts, t, more)
	f.alive = f.alive or f.idle + f.busy + f.starting
	local min, max, most, memory, _, complaint, decisions = self.set.bound:ask("pool", self.name, f)
	first_failure(complaint, decisions)
	return { warm = { min = min, max = max }, max = most, memory = memory > 0 and memory or nil }
end

--- set:recycle("fek", { memory = "800m", age = "9h", tasks = 3 }) → "retire" and why, or nil: an idle kernel after a task, nobody waiting.
function Set:recycle(name, t)
	local pool = self:pool(name)
	local f = given.facts("a kernel", kernel_facts, t, kernel_defaults)
	local why = self.bound:spent(name, { id = f.id, tasks = f.tasks or 0, age_ms = f.age and f.age * 1000 // 1 | 0, memory = f.memory })
	if why then return "retire", (why:gsub("^recycled: ", "")) end
	if not pool.spec.has_recycle then return nil end
	local reason, _, complaint, decision = self.bound:ask("recycle", name, f)
	first_failure(complaint, { decision })
	if reason then return "retire", reason end
	return nil, decision.reason
end

-- --- rules and events ---

local function answer_of(answer, reason, threshold, inputs, state, level)
	if state == "failed" then error(reason, 0) end
	return { verb = answer, reason = reason, clause = threshold, inputs = inputs, state = state, level = level }
end

--- set:judge("idle kernels", { idle = "3h", memory = "2g" }) → verb ("keep": nothing), reason, the clause that decided, and all of it:
-- { verb, reason, clause, state = "act" | "no" | "skipped", level, inputs, mode }.
function Set:judge(name, t)
	local i, rule = named("rule", self.words.rules, name)
	local f = given.facts("a " .. rule.each, facts.of(rule.each), t, always[rule.each])
	local all = answer_of(self.bound:ask("judge", i, f))
	all.mode = rule.mode
	return all.verb, all.reason, all.clause, all
end

--- set:rule "idle kernels" → { each, mode, every, warn, source }; durations in seconds.
function Set:rule(name)
	local _, r = named("rule", self.words.rules, name)
	return { each = r.each, mode = r.mode, every = r.every_ms / 1000, warn = r.warn_ms > 0 and r.warn_ms / 1000 or nil, source = r.source }
end

--- set:on("task.ended", { subject = …, cause = "oom_limit" }) → what the words `on` would do: a list of { verb, reason, level, source, mode },
-- empty: nothing; and a list of those that do nothing, with the clause that says why.
function Set:on(name, t)
	local registry = events.facts(name) or given.refuse("event", name, events.names)
	local f = given.facts("this event", registry, t)
	local detail, doing, keeping = {}, {}, {}
	for k, v in pairs(f) do
		if k ~= "subject" and k ~= "owner" and k ~= "unix_s" then detail[k] = v end
	end
	for i, word in ipairs(self.words.events) do
		if word.name == name then
			local all = answer_of(self.bound:ask("event", i, f.subject or "", f.owner, next(detail) and json.encode(detail), f.unix_s))
			all.source, all.mode = word.source, word.mode
			table.insert(all.state == "act" and doing or keeping, all)
		end
	end
	return doing, keeping
end

-- --- tasks ---

local function task_facts(set, t)
	local f = given.facts("a task that is submitted", submit_facts, t, { kind = "future", priority = 0 })
	local pool = f.pool and set.pools[f.pool]
	local of_pool = pool and pool.spec.memory_bytes or 0
	if f.memory == nil and of_pool > 0 and (t or {}).memory == nil then f.memory = of_pool end -- it runs in a kernel of that size
	return f
end

--- set:place { user = "ann", project = "SALES" } → the slots and boxes that a task counts in: a list, by name too: { name, word, key, max
-- (slots), memory (boxes, bytes), reason, clause, source }.
function Set:place(t)
	local out = {}
	for _, p in ipairs((self.bound:ask("place", task_facts(self, t)))) do
		if p.failure then error(p.failure, 0) end
		local rule = self.words.slots[p.rule]
		local max = p.max >= 0 and p.max or rule.max
		out[#out + 1] = {
			name = rule.name, word = rule.word, key = p.key, max = max >= 0 and max or nil, memory = rule.memory_bytes > 0 and rule.memory_bytes or nil,
			reason = p.reason, clause = p.threshold, source = rule.source,
		}
	end
	local by_name = {}
	for i = #out, 1, -1 do by_name[out[i].name] = out[i] end
	return setmetatable(out, { __index = by_name })
end

local verbs = { "see", "abort" }

--- set:may("ann", "abort", { user = "bob", project = "SALES" }) → true and by which grant, or false and why. Admins always may.
function Set:may(who, verb, t)
	if verb ~= "see" and verb ~= "abort" then given.refuse("right", verb, verbs) end
	local f = task_facts(self, t)
	if f.user == who then return true, "it is theirs" end
	local may, name, source, _, _, failure = self.bound:ask("access", who, verb, f)
	if failure then error(failure, 0) end
	if may then return true, ("access %q (%s)"):format(name, source) end
	return false, "no access says so"
end

return { new = new }
