-- macro_runs: the runs of macros there are: started, by somebody or by a rule, found, aborted, waited for, forgotten.
local fleet = require "bind.fleet"
local gate = require "bind.gate"
local json = require "bind.json"
local log = require "bind.log"
local macros = require "bind.macros"
local files = require "bind.macro_files"
local macro_run = require "dss.api.macro_run"
local macro_work = require "dss.api.macro_work"

local M = {}

local AT_ONCE = 20
local DAY_MS = 24 * 3600 * 1000

local runs = {}                  -- id → those that are open, and ended ones whose result nobody has fetched

--- Where its result and its state are, by id; nil: it is not at hand, the store may know it.
function M.find(id) return runs[id] end

--- Those at hand, oldest first.
function M.all()
	local out = {}
	for _, run in pairs(runs) do out[#out + 1] = run end
	table.sort(out, function(a, b) return a.started_ms < b.started_ms or a.started_ms == b.started_ms and a.id < b.id end)
	return out
end

--- What is older than a day goes, fetched or not; the store keeps its state.
local function tidy()
	local bound = gate.wall_ms() - DAY_MS
	for id, run in pairs(runs) do
		if run.is_saved and run.ended_ms < bound then M.forget(run) end
		if run.is_saved and run.ended_ms < bound then runs[id] = nil end
	end
	files.tidy(DAY_MS)
end

--- def: of macros.list; params: checked, JSON; about: { who, is_admin, project?, rule? }. Calls fn(run), or fn(nil, status, why).
function M.start(def, params, about, fn)
	tidy()
	if macro_run.count() >= AT_ONCE then return fn(nil, 503, ("%d macros run already"):format(AT_ONCE)) end
	local run = macro_run.new(def, params, about)
	runs[run.id] = run
	macro_run.open(run, function(why)
		if why then
			runs[run.id] = nil
			return fn(nil, 503, ("unable to save the run: %s"):format(why))
		end
		fn(run)
		macro_run.go_on(run, function() macro_work.begin(run) end)
	end)
end

--- by: who asks. What was done until then stays done, and is in the ledger.
function M.abort(run, by, is_admin_act)
	if run.state ~= "running" or run.aborter then return end
	run.aborter, run.is_admin_act = by, is_admin_act
	macro_run.show(run)
	if run.task then fleet.abort(run.task, by, is_admin_act) end
	if run.def.makes then files.stop(run.id) end
	macro_run.go_on(run, function() end)
end

--- Calls fn(run) once it has ended, at once where it has.
function M.wait(run, fn)
	if run.is_saved then return fn(run) end
	table.insert(run.waiters, fn)
end

--- Its result was fetched, or is too old: it is gone, here and in the store.
function M.forget(run)
	runs[run.id] = nil
	run.result = nil
	if run.def.makes then files.drop(run.id) end
	if run.state == "done" then macro_run.save(run) end
end

--- The same of a run that another backend had.
function M.forget_stored(state)
	local row = { id = state.id, owner = state.owner, payload = "{}", state = "done", started_ms = state.started_ms or 0,
		ended_ms = state.ended_ms or gate.wall_ms() }
	macros.save(row, false, function() end)
end

-- Rules: macro("NAME", { … }) as a verb.
local function listen()
	macros.on_rule(function(rule, what)
		listen()
		local name, sent = what:match "^(%S+) (.*)$"
		for _, run in pairs(runs) do
			if run.rule == rule and run.state == "running" then return log.warn(("rule \"%s\": macro %s still runs"):format(rule, run.def.name)) end
		end
		local params, why = macros.params(name, sent, true)
		for _, def in ipairs(json.decode(macros.list()) or {}) do
			if params and def.name == name then
				return M.start(def, params, { who = "policy", is_admin = true, rule = rule }, function(run, _, trouble)
					if not run then log.error(("rule \"%s\": unable to run macro %s: %s"):format(rule, name, trouble)) end
				end)
			end
		end
		log.error(("rule \"%s\": unable to run macro %s: %s"):format(rule, name, why or "there is none"))
	end)
end
listen()

return M
