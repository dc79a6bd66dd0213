-- engine: the set in force, asked: what C calls when something is to be decided. Facts come in, an answer goes out; nothing is remembered
-- between two decisions but the last numbers of functions. So the same facts give the same answer and reason, later too: see again().
--
-- A decision that is asked for comes back as: answer, reason, threshold, inputs (JSON), state; state is "act", "no", "skipped" or "failed".
local json = require "bind.json"
local S = require "dss.model.schema"
local boxes = require "dss.model.placing"
local events = require "dss.model.events"
local keeping = require "dss.model.keeping"
local limits = require "dss.model.limits"
local live = require "dss.model.live"
local macros = require "dss.model.macros"
local pools = require "dss.model.pools"
local reading = require "dss.model.reading"
local verbs = require "dss.model.verbs"
local where = require "dss.model.where"

local M = {}

local set = { limits = {}, places = {}, boxes = {}, rules = {}, events = {}, access = {} }

--- The set that was just loaded.
function M.take(model)
	set = model
	live.take(model, pools.contradictions)
end

--- What C has to know of it.
function M.describe()
	local out = {
		slots = limits.slots(set), rules = {}, events = {}, access = #set.access,
		boxes = #set.boxes, limited = boxes.limited(set), retention = set.retention or keeping.defaults(),
	}
	for i, r in ipairs(set.rules) do
		out.rules[i] = { name = r.name, source = r.source, each = r.each, mode = r.mode, every_ms = r.every, warn_ms = r.warn or 0 }
	end
	for i, e in ipairs(set.events) do out.events[i] = { name = e.name, source = e.source, mode = e.mode } end
	return out
end

-- --- rules and events ---

--- The verb of a word whose condition holds: a Verb, nil (nothing to be done), or false and the unknown fact or what failed.
local function verb_of(word, kind, r)
	local f = word.functions.act
	if not f then return word.act end
	local ok, v, fact = where.ask(f, word.name, r.view)
	if not ok then return false, v, fact end
	if v == nil then return nil end
	if not verbs.is_verb(v) then
		return false, where.refuse(f, ("act: answer a verb with a reason, such as notify \"why\", or nothing, not a %s"):format(type(v)))
	end
	local trouble = verbs.trouble(v, kind, where.types(word.fields or kind))
	if trouble then return false, where.refuse(f, "act: " .. trouble) end
	return v
end

local function not_decided(threshold, r, fact, failure)
	if fact then return "keep", ("skipped: %s is unknown"):format(fact), threshold, r:inputs(), "skipped" end
	return "keep", failure, threshold, r:inputs(), "failed"
end

--- kind: as verbs know it; fields: what the registry is called.
local function decide(word, kind, fields, r)
	local holds, threshold, fact, failure = where.holds(word, r)
	if holds == nil then return not_decided(threshold, r, fact, failure) end
	if not holds then return "keep", nil, threshold, r:inputs(), "no" end
	local verb, why, unknown = verb_of(word, kind, r)
	if verb == false then return not_decided(threshold, r, unknown, why) end
	if not verb then return "keep", nil, threshold, r:inputs(), "no" end
	local reason = verbs.fill(verb, r, where.types(fields))
	return verb.word, reason, threshold, r:inputs(), verb.word == "keep" and "no" or "act", verb.level
end

local function closed(r, ...)
	r:close()
	return ...
end

--- Rule i of a subject's facts (unix_s: the clock). After the five of a decision: the level of its alert.
function M.judge(i, given)
	local rule = set.rules[i]
	local r = reading.open(rule.each, where.names(rule.each), given)
	return closed(r, decide(rule, rule.each, rule.each, r))
end

--- `on` number i of an event's facts, see events.read.
local function look_at(i, given)
	local e = set.events[i]
	local fields = events.facts(e.name)
	e.fields = fields
	local r = reading.open("event", where.names(fields), given)
	return closed(r, decide(e, "event", fields, r))
end

--- detail: the fact's JSON text or nil.
function M.event(i, subject, owner, detail, unix_s)
	return look_at(i, events.read(set.events[i].name, subject, owner, detail and json.decode(detail), unix_s))
end

-- --- slots and boxes ---

local placing -- what a call of place has so far: { at = the rule that is asked, out, of_many }; nil = it came to its end

--- Each of its resources is a key.
local function resources_of(r)
	local out, seen = {}, {}
	for _, v in ipairs(r:get "resources" or {}) do
		if not seen[v] then out[#out + 1], seen[v] = v, true end
	end
	return #out > 0 and out or nil
end

local function keys_by_name(rule, r)
	local name = rule.each
	if not name then return { "" } end
	local prefix = name:match "^tag:(.+)$"
	if name == "resource" then return resources_of(r) end
	if not prefix then
		local v = r:get(name)
		if v == nil or v == "" then return nil end         -- a task without a project is in no project's slots
		return { v }
	end
	local out, seen = {}, {}
	for _, tag in ipairs(r:get "tags" or {}) do
		if tag:sub(1, #prefix) == prefix and not seen[tag] then out[#out + 1], seen[tag] = tag, true end
	end
	return #out > 0 and out or nil
end

--- The keys of a task under a rule, or nil: none; and what failed.
local function keys_of(rule, r)
	local f = rule.functions.each
	if not f then return keys_by_name(rule, r) end
	local ok, v = where.ask(f, rule.name, r.view)
	if not ok then return nil, v end
	if v == nil then return nil end
	if math.type(v) and v - v == 0 then v = tostring(math.tointeger(v) or v) end
	if type(v) ~= "string" or #v > 200 or v:find "%c" or not utf8.len(v) then
		local what = type(v) == "string" and "that text" or "a " .. type(v)
		return nil, where.refuse(f, "each: answer a short text, or nothing where the task does not count, not " .. what)
	end
	return { v }
end

--- max for a key: -1 = the rule's own. What fails leaves the last answer, or one at a time.
local function max_of(rule, key)
	local f = rule.functions.max
	if not f then return -1 end
	local ok, v = where.ask(f, rule.name, key)
	local failure = not ok and v or nil
	if ok then
		if math.type(v) == "float" then v = math.tointeger(v) or math.ceil(v) end
		local n, why = S.answer(f.spec, v)
		if n then rule.last_max = n else failure = where.refuse(f, "max: " .. why) end
	end
	local max = rule.last_max or 1
	return max > 0 and max or -1, failure      -- 0: no limit of its own
end

local function place_under(out, i, rule, r)
	local holds, threshold, _, failure = where.holds(rule, r)
	local keys
	if holds then keys, failure = keys_of(rule, r) end
	if failure then out[#out + 1] = { rule = i, failure = failure, threshold = threshold, inputs = r:inputs() } end
	for _, key in ipairs(keys or {}) do
		local max, why = max_of(rule, key)
		local reason = key == "" and "counted with all" or ("counted for %s"):format(key)
		out[#out + 1] = { rule = i, key = key, max = max, reason = reason, threshold = threshold, inputs = r:inputs(), failure = why }
	end
end

--- The rules that a task falls under: a list of { rule = number, key, max (-1 = the rule's), reason, threshold, inputs } and of
--- { rule, failure, … } where a function failed: the task does not count there then.
-- Those of tags and resources, of which there may be many, stand last: a task has a bounded number of places (fleet/slots.h), and its own tags must not
-- push out what counts its user.
-- how: nil; "on" = after a call that ended within a rule, its time or memory being over, as `why` says: with the next one, so that a function
-- that hangs on one task's words frees it of no other limit; "plain" = so, and without those that have functions.
local function place(kind, given, how, why)
	local p = how and placing or { at = 0, out = {}, of_many = {} }
	placing = p
	if how and p.at > 0 then p.out[#p.out + 1] = { rule = p.at, failure = why } end
	while p.at < #set.limits do
		p.at = p.at + 1
		local rule = set.limits[p.at]
		if rule.scope[kind] and (how ~= "plain" or not next(rule.functions)) then
			local has_many = type(rule.each) == "string" and (rule.each == "resource" or rule.each:find "^tag:")
			local r = reading.open(kind == "tasks" and "task" or kind, where.names(rule.facts), given)
			place_under(has_many and p.of_many or p.out, p.at, rule, r)
			r:close()
		end
	end
	placing = nil
	return table.move(p.of_many, 1, #p.of_many, #p.out + 1, p.out)
end

function M.place(given, how, why) return place("tasks", given, how, why) end

--- The same of a recipe, a webapp.
function M.place_guest(given, how, why) return place(given.kind, given, how, why) end

-- --- where processes are put ---

--- placing.box_guest and placing.box_limits of the set.
function M.box_guest(given) return boxes.box_guest(set, given) end
function M.box_limits(given, box) return boxes.box_limits(set, given, box) end

-- --- access ---

--- May `who` do that with somebody else's task? true or false; name and source of the grant; threshold; inputs; what failed, if any did.
function M.access(who, verb, given)
	local failed
	for _, a in ipairs(set.access) do
		if a.users[who] and a.may[verb] then
			local r = reading.open("task", where.names "submit", given)
			local holds, threshold, _, failure = where.holds(a, r)
			local inputs = r:inputs()
			r:close()
			failed = failed or failure and { a.name, a.source, threshold, inputs, failure }
			if holds then return true, a.name, a.source, threshold, inputs end
		end
	end
	if failed then return false, table.unpack(failed) end
	return false
end

-- --- pools ---

M.pool, M.recycle = live.pool, live.recycle

-- --- macros: JSON in, JSON out ---

function M.macro_list() return macros.list(set) end
function M.macro_params(...) return macros.params(set, ...) end
function M.macro_judge(...) return macros.judge(set, ...) end
function M.macro_whole(...) return macros.whole(set, ...) end

-- --- once more ---

local function named(list, name, source)
	for i, word in ipairs(list) do
		if word.name == name and (not source or word.source == source) then return i end
	end
end

local again = {}

function again.rule(d, given)
	local i = named(set.rules, d.name)
	if i then return M.judge(i, given) end
end

function again.on(d, given)
	local i = named(set.events, d.name, d.source)
	if i then return look_at(i, given) end
end

local function again_placed(d, given)
	local is_guest = given.kind and boxes.kinds[given.kind]
	for _, p in ipairs(is_guest and M.place_guest(given) or M.place(given)) do
		local rule = set.limits[p.rule]
		if rule.name == d.name and rule.word == d.word and (not p.key or p.reason == d.reason) then return p.key and "assign" or "keep", p.reason or p.failure end
	end
end
again.slots, again.box = again_placed, again_placed

function again.place(d, given)
	local put = boxes.box_guest(set, given)
	if put and put.name == d.name then return "assign", "put into " .. put.box end
	if put and put.failure_name == d.name then return "keep", put.failure end
end

function again.access(d, given)
	local i = named(set.access, d.name)
	if not i then return nil end
	local r = reading.open("task", where.names "submit", given)
	local holds = where.holds(set.access[i], r)
	r:close()
	return holds and "allow" or "deny", d.reason
end

function again.macro(d, given) return macros.again(set, d, given) end
function again.pool(d, given) return live.again(d.name, d.threshold, given) end
function again.recycle(d, given) return live.again_recycle(d.name, given) end

--- A decision as the ledger has it { word, name, source, inputs, threshold, reason }, made again by the set that is loaded here from the facts
-- that were read then. Its answer and reason now; nil: there is no such word any more. Numbers of functions are told as "warm.min = 4".
function M.again(d)
	local by = again[d.word]
	if not by then return nil end
	local answer, reason = by(d, reading.read_inputs(d.inputs))
	return answer, reason
end

return M
