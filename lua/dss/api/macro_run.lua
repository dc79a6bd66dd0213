-- macro_run: one run of a macro: its rows in the store and on the board, its end. It goes on in small pieces, can be aborted between them, and is a task of
-- kind "macro" in the store: its end and its result outlive the backend, a run that was under way does not.
local board = require "bind.board"
local gate = require "bind.gate"
local json = require "bind.json"
local log = require "bind.log"
local macros = require "bind.macros"
local files = require "bind.macro_files"
local soon = require "bind.soon"

local M = {}

local open = 0

--- How many go on.
function M.count() return open end

local function error_json(text) return json.encode { errorType = "dss.exceptions.MacroException", message = text } end

local function row_of(run)
	return {
		id = run.id, owner = run.who, project = run.project, title = "Macro " .. run.def.name, state = run.state, cause = run.cause, started_ms = run.started_ms,
		ended_ms = run.ended_ms or 0,
		error = run.error and error_json(run.error) or nil, result = run.result and (run.def.result == "html" and json.encode(run.result) or run.result),
		payload = json.encode { displayName = "Macro " .. run.def.name, macro = run.def.name, params = json.decode(run.params), rule = run.rule,
			targets = json.array { run.project and { projectKey = run.project, objectType = "MACRO", objectId = run.def.name } or nil } },
	}
end

--- Calls fn, if there is one, also where it could not be saved.
function M.save(run, fn)
	macros.save(row_of(run), false, function(why)
		if why then log.error(("unable to save run %s of macro %s: %s"):format(run.id, run.def.name, why)) end
		if fn then fn() end
	end)
end

--- Its row among all that runs, while it goes on.
function M.show(run)
	board.macro(run.id, run.state == "running" and {
		what = "Macro " .. run.def.name, user = run.who, project = run.project, state = run.aborter and "stopping" or "running",
		reason = run.aborter and ("Aborted by %s"):format(run.aborter) or run.doing, started_ms = run.started_ms,
	} or nil)
end

--- It ended, once; who waits hears it when it is saved.
function M.finish(run, state, error_text)
	if run.state ~= "running" then return end
	run.ended_ms, run.error, run.task = gate.wall_ms(), error_text, nil
	open = open - 1
	run.state = state
	M.show(run)
	run.cause = state == "aborted" and (run.is_admin_act and "admin" or "user") or nil
	if state ~= "done" then
		run.result = nil
		if run.def.makes then files.drop(run.id) end
	end
	M.save(run, function()
		local waiters = run.waiters
		run.waiters = {}
		run.is_saved = true
		for _, fn in ipairs(waiters) do fn(run) end
	end)
end

function M.fail(run, text) M.finish(run, "failed", text) end

--- Goes on in the next turn of the loop, unless somebody asked to stop.
function M.go_on(run, fn)
	soon(0, function()
		if run.state ~= "running" then return end
		if run.aborter then return M.finish(run, "aborted", ("Aborted by %s"):format(run.aborter)) end
		fn()
	end)
end

--- A run that nobody has begun. def, params, about: as of macro_runs.start.
function M.new(def, params, about)
	local run = {
		id = macros.make_id(), def = def, params = params, who = about.who, project = about.project, rule = about.rule, state = "running",
		started_ms = gate.wall_ms(),
		waiters = {}, records = json.array {}, counts = { kept = 0, would = 0, done = 0, failed = 0, shown = 0, bytes = 0 },
		noted = 0, done = 0, total = 0, doing = "starting",
		is_simulated = json.decode(params).simulate == true,
	}
	run.context = { project = run.project, user = run.who, is_admin = about.is_admin, rule = run.rule, unix_s = run.started_ms // 1000 }
	return run
end

--- Calls fn() once it is saved and counts, or fn(why).
function M.open(run, fn)
	open = open + 1
	macros.save(row_of(run), true, function(why)
		if why then
			open = open - 1
			return fn(why)
		end
		M.show(run)
		fn()
	end)
end

return M
