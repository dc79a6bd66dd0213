-- live: what there is now, as objects: pools, kernels, tasks, processes. A line sees each of them as it was when it first looked; the next line
-- looks anew. What the store or the keeper has to be asked for is waited for.
local change = require "bind.change"
local facts = require "dss.model.facts"
local filter = require "dss.text.filter"
local fleet = require "bind.fleet"
local json = require "bind.json"
local nearest = require "dss.text.nearest"
local pools = require "dss.model.pools"
local S = require "dss.model.schema"
local show = require "dss.console.show"

local ENDED = 100          -- tasks that ended lately, beside the open ones

local M = {}

--- Calls start(fn) and answers what fn is called with, now or later.
function M.await(start)
	local got
	change.ask()
	local ok, raised = pcall(start, function(...)
		got = table.pack(...)
		change.told()
	end)
	if not ok then
		change.told()
		error(raised, 0)
	end
	while not got do change.wait() end
	return table.unpack(got, 1, got.n)
end

-- --- rows, as the API has them; one look a line ---

local looked = {}

function M.look_anew() looked = {} end

local function decoded(list, why)
	if not list then error(why or "nobody answers", 0) end
	return json.decode(list)
end

local function kernel_rows() return decoded(fleet.kernels()) end

--- What their kernels use, told to the tasks at work.
local function with_usage(tasks)
	local by_id = M.by_id "kernel"
	for _, row in ipairs(tasks) do
		local k = row.alive and row.kernel and by_id[row.kernel]
		if k and k.taskId == row.jobId then row.memoryBytes, row.peakBytes, row.limitBytes = k.memoryBytes, k.peakBytes, k.limitBytes end
	end
	return tasks
end

local readers = {
	pool = function() return decoded(fleet.pools()) end,
	kernel = kernel_rows,
	process = function() return decoded(M.await(fleet.processes)) end,
	task = function() return with_usage(decoded(M.await(function(fn) fleet.list(nil, ENDED, fn) end))) end,
	open = function() return with_usage(decoded(M.await(function(fn) fleet.list(nil, 0, fn) end))) end,
}
local id_of = { pool = "name", task = "jobId", open = "jobId" }

function M.rows(kind)
	if not looked[kind] then
		local rows, by_id = readers[kind](), {}
		for _, row in ipairs(rows) do by_id[row[id_of[kind] or "id"]] = row end
		looked[kind] = { rows = rows, by_id = by_id }
	end
	return looked[kind].rows
end

function M.by_id(kind)
	M.rows(kind)
	return looked[kind].by_id
end

local function task_row(id)
	local row = M.by_id "open"[id]
	if row then return row end
	local answer, f, why = M.await(function(fn) fleet.get(id, false, fn) end)
	if answer == "not_found" then return nil end
	if answer ~= "ok" then error(why or answer, 0) end
	return json.decode(f.json)
end

local function row_of(kind, id)
	if kind == "task" then return task_row(id) end
	return M.by_id(kind)[id]
end

-- --- objects ---

local states = setmetatable({}, { __mode = "k" })       -- object → { kind, id, row, looked }
local methods = { pool = {}, kernel = {}, task = {}, process = {} }
M.methods = methods

local function now() return change.wall_ms() / 1000 end

local function current(st)
	if st.looked ~= looked then
		st.looked = looked
		local row = row_of(st.kind, st.id)
		st.is_gone, st.row = row == nil, row or st.row
	end
	return st.row
end

local function fact_of(st, name) return facts.from_row(st.kind, current(st), now(), { name })[name] end

local function no_such(kind, key)
	local names = {}
	for _, f in ipairs(facts.docs(kind)) do names[#names + 1] = f.name end
	for name in pairs(methods[kind]) do names[#names + 1] = name end
	local guess = nearest(key, names)
	return ('a %s has no "%s"%s'):format(kind, show.plain(tostring(key)), guess and (', did you mean "%s"?'):format(guess)
		or ('; facts "%s" lists what it has'):format(kind))
end

local metas = {}
for kind in pairs(methods) do
	metas[kind] = {
		__metatable = false,
		__index = function(o, key)
			local m = methods[kind][key]
			if m then return m end
			if not facts.of(kind)[key] then error(no_such(kind, key), 2) end
			return fact_of(states[o], key)
		end,
		__newindex = function(_, key) error(("%s cannot be set so: help \"%s\" tells what can"):format(show.plain(tostring(key)), kind), 2) end,
		__tostring = function(o) return ('%s "%s"'):format(kind, states[o].id) end,
		__eq = function(a, b) return states[a].kind == states[b].kind and states[a].id == states[b].id end,
	}
end

local function about(o)
	local st = states[o]
	local rows, row = {}, current(st)
	local all = facts.from_row(st.kind, row, now())
	for _, f in ipairs(facts.docs(st.kind)) do
		if all[f.name] ~= nil and all[f.name] ~= "" then rows[#rows + 1] = { f.name, show.fact(f.type, all[f.name]) } end
	end
	return ("%s%s\n%s"):format(tostring(o), st.is_gone and " (it is gone; as it was last seen)" or "", show.columns(rows))
end

--- "pool", "kernel", …; nil: no object of ours.
function M.kind_of(o) return states[o] and states[o].kind end

local hint = { about = about, name = tostring }

local function object(kind, id, row)
	local o = setmetatable({}, metas[kind])
	states[o] = { kind = kind, id = id, row = row, looked = looked }
	return show.as(o, hint)
end

--- The object of a kind with that id; raises where there is none.
function M.one(kind, id)
	if type(id) ~= "string" then error(('%s wants a name: %s "…"'):format(kind, kind), 2) end
	local row = row_of(kind, id)
	if row then return object(kind, id, row) end
	local names = {}
	for name in pairs(kind == "task" and {} or M.by_id(kind)) do names[#names + 1] = name end
	table.sort(names)
	local guess = nearest(id, names)
	error(('there is no %s "%s"%s'):format(kind, show.plain(id), guess and (', did you mean "%s"?'):format(guess) or ""), 2)
end

local columns = {
	pool = { "name", "kind", "alive", "idle", "busy", "starting", "waiting", "warm_min", "warm_max", "max", "limit" },
	kernel = { "id", "pool", "state", "user", "task", "tasks", "memory", "limit", "age", "idle" },
	process = { "id", "kind", "pool", "state", "user", "pid", "memory", "age" },
	task = { "id", "state", "type", "pool", "user", "kernel", "memory", "age", "running", "cause", "reason" },
}

local list_hints = {}
for kind, names in pairs(columns) do
	local list = {}
	for i, name in ipairs(names) do list[i] = { key = name, type = facts.of(kind)[name].type, title = name:gsub("_", ".") } end
	list_hints[kind] = {
		columns = list,
		none = "no " .. (kind == "process" and "processes" or kind .. "s"),
		row = function(o) return facts.from_row(kind, current(states[o]), now(), names) end,
	}
end

--- Those that a filter (nil = none) is true of, as a list of objects.
function M.list(kind, text)
	local f, why
	if text ~= nil then
		f, why = filter.parse(text, facts.of(kind))
		if not f then error(why, 2) end
	end
	local out, at = {}, now()
	for _, row in ipairs(M.rows(kind)) do
		if not f or f.test(facts.from_row(kind, row, at, f.reads)) then out[#out + 1] = object(kind, row[id_of[kind] or "id"], row) end
	end
	return show.as(out, list_hints[kind])
end

-- --- what objects can do; each is refused in a session that is read-only ---

local function state_of(o, kind, usage)
	local st = type(o) == "table" and states[o]
	if not st or st.kind ~= kind then error("write it with a colon: " .. usage, 3) end
	return st
end

--- Raises what could not be done; says what was.
local function told(said, ok, why)
	looked = {}
	if not ok then error(why, 0) end
	return show.as({}, { about = function() return said end })
end

local shape = S.record {
	max = S.int { least = 1, most = 100000 },
	warm = S.record { min = S.int { most = 10000 }, max = S.int { most = 10000 } },
	limits = S.record { memory = S.size { least = 16 << 20 } },
}

--- The numbers that a table gives, checked as in a policy; raises the first that is wrong.
local function numbers_of(t)
	local wrong
	local source = { report = function(_, _, text) wrong = wrong or text end }
	local v = S.read(shape, t, { source = source, line = 0 })
	if wrong then error(wrong, 0) end
	local n = { max = v.max, warm_min = v.warm.min, warm_max = v.warm.max, memory = v.limits.memory }
	if next(n) == nil then error("nothing to set: max, warm = { min, max } and limits = { memory } can be", 0) end
	return n
end

--- What a pool would be with other numbers: is it one that a policy could declare?
local function check_together(row, n)
	local why = pools.contradictions {
		warm = { min = n.warm_min or row.warm.min, max = n.warm_max or row.warm.max }, max = n.max or row.max,
		limits = { memory = n.memory or row.memoryLimitBytes, memory_max = row.memoryMaxBytes }, kernel = { heap_bytes = row.heapBytes },
	}[1]
	if why then error(why, 0) end
end

--- pool "NAME":set { max = 4, warm = { min = 1, max = 3 }, limits = { memory = "2g" } }: other numbers until policies are loaded the next time
function methods.pool:set(t)
	local st = state_of(self, "pool", 'pool "fek":set { max = 4 }')
	if not change.writing() then error("read-only: type :write first", 2) end
	local n = numbers_of(t)
	check_together(current(st), n)
	return told(("set; it holds until policies are loaded the next time, or the backend is started anew: :delta prints it for a file of policies/"),
		change.tune(st.id, n))
end

--- Orders say why, for whoever owns the task.
local function reason(why, usage)
	if change.writing() and (type(why) ~= "string" or why == "" or #why > 300) then error("say why, in up to 300 bytes: " .. usage, 3) end
	return why
end

--- kernel "ID":stop "why": ends it now; a task on it ends as killed, cause admin
function methods.kernel:stop(why)
	local st = state_of(self, "kernel", 'kernel "fek-3":stop "why"')
	return told(("kernel %s is told to end"):format(st.id), change.stop(st.id, reason(why, 'kernel "fek-3":stop "it hangs"')))
end

--- kernel "ID":retire "why": an idle one goes now, a busy one after its task
function methods.kernel:retire(why)
	local st = state_of(self, "kernel", 'kernel "fek-3":retire "why"')
	return told(("kernel %s goes once it has no task"):format(st.id), change.retire(st.id, reason(why, 'kernel "fek-3":retire "it hangs"')))
end

--- task "ID":abort "why": a waiting one ends now, one at work is asked to, and ends with its kernel after the grace
function methods.task:abort(why)
	local st = state_of(self, "task", 'task "ID":abort "why"')
	return told(("task %s is told to stop"):format(st.id), change.abort(st.id, reason(why, 'task "ID":abort "not needed"')))
end

for kind, of in pairs(methods) do
	--- OBJECT:facts(): all that is known of it, as a table to go through
	function of:facts()
		local st = state_of(self, kind, "object:facts()")
		local all = facts.from_row(kind, current(st), now())
		all.clock = nil
		return all
	end
end

return M
