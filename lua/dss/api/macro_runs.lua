-- macro_runs: runs of macros, from the look at what there is to the table of what was done. A run goes on in small pieces, can be aborted between them, and is
-- a task of kind "macro" in the store: its end and its result outlive the backend, a run that was under way does not.
local board = require "bind.board"
local fleet = require "bind.fleet"
local gate = require "bind.gate"
local json = require "bind.json"
local log = require "bind.log"
local macros = require "bind.macros"
local files = require "bind.macro_files"
local soon = require "bind.soon"
local notebooks = require "bind.notebooks"

local M = {}

local AT_ONCE = 20
local JUDGED_AT_ONCE = 20
local ROWS_MOST, RECORDS_MOST, NOTED_MOST = 50000, 10000, 1000
local REMOVED_AT_ONCE, UNLOADED_AT_ONCE = 500, 20
local DAY_MS = 24 * 3600 * 1000
local TASK_MS, WAIT_S = 600000, 60
local TMP_FOLDERS = "/tmp:/var/tmp"
local CLEAR_TMP = "macros.clear_tmp"

local runs = {}                  -- id → those that are open, and ended ones whose result nobody has fetched
local open = 0

local past = { delete = "deleted", unload = "unloaded", kill = "killed", retire = "retired", abort = "aborted", interrupt = "interrupted" }

--- Where its result and its state are, by id; nil: it is not at hand, the store may know it.
function M.find(id) return runs[id] end

--- Those at hand, oldest first.
function M.all()
	local out = {}
	for _, run in pairs(runs) do out[#out + 1] = run end
	table.sort(out, function(a, b) return a.started_ms < b.started_ms or a.started_ms == b.started_ms and a.id < b.id end)
	return out
end

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

local function save(run, fn)
	macros.save(row_of(run), false, function(why)
		if why then log.error(("unable to save run %s of macro %s: %s"):format(run.id, run.def.name, why)) end
		if fn then fn() end
	end)
end

--- Its row among all that runs, while it goes on.
local function show(run)
	board.macro(run.id, run.state == "running" and {
		what = "Macro " .. run.def.name, user = run.who, project = run.project, state = run.aborter and "stopping" or "running",
		reason = run.aborter and ("Aborted by %s"):format(run.aborter) or run.doing, started_ms = run.started_ms,
	} or nil)
end

local function finish(run, state, error_text)
	if run.state ~= "running" then return end
	run.ended_ms, run.error, run.task = gate.wall_ms(), error_text, nil
	open = open - 1
	run.state = state
	show(run)
	run.cause = state == "aborted" and (run.is_admin_act and "admin" or "user") or nil
	if state ~= "done" then
		run.result = nil
		if run.def.makes then files.drop(run.id) end
	end
	save(run, function()
		local waiters = run.waiters
		run.waiters = {}
		run.is_saved = true
		for _, fn in ipairs(waiters) do fn(run) end
	end)
end

local function fail(run, text) finish(run, "failed", text) end

--- Goes on in the next turn of the loop, unless somebody asked to stop.
local function go_on(run, fn)
	soon(0, function()
		if run.state ~= "running" then return end
		if run.aborter then return finish(run, "aborted", ("Aborted by %s"):format(run.aborter)) end
		fn()
	end)
end

-- --- what it goes over: fn(rows), or the run fails ---

local function all_rows(run, kind, fn)
	local rows, is_cut = macros.rows(kind, run.project)
	run.is_cut = run.is_cut or is_cut
	fn(rows)
end

local gather = { kernel = all_rows, task = all_rows, pool = all_rows, user = all_rows, node = all_rows }

--- After a fresh look. Where the server cannot be asked, what it would know is absent from the rows: they are skipped, and the result says why.
function gather.notebook(run, kind, fn)
	if not notebooks.has_server() then return fail(run, "there is no notebook server: config/dss.lua names none") end
	notebooks.list(function(json_text, why)
		if not json_text then return fail(run, why) end
		run.remark = why and ("the notebook server cannot be asked: %s: nobody counts as idle"):format(why)
		go_on(run, function() all_rows(run, kind, fn) end)
	end)
end

function gather.job_log(run, _, fn, out, after)
	out = out or {}
	macros.logs(run.project, after or "", function(text, following, why)
		if not text then return fail(run, why) end
		for _, row in ipairs(json.decode(text)) do out[#out + 1] = row end
		if not following or #out >= ROWS_MOST then
			run.is_cut = following ~= nil
			return fn(out)
		end
		run.total = #out
		go_on(run, function() gather.job_log(run, nil, fn, out, following) end)
	end)
end

-- Answers with the result of a function of ours that a kernel of the run user runs.
local function as_run_user(run, name, kwargs, fn)
	local function ended(task)
		fleet.get(task, true, function(_, f, why)
			local state = f and json.decode(f.json)
			if not f or not f.ended then return fail(run, why or "its task was lost") end
			run.task = nil
			if f.state == "done" and state then return fn(state.result) end
			local said = f.error_json and json.decode(f.error_json) or {}
			if run.aborter then return finish(run, "aborted", ("Aborted by %s"):format(run.aborter)) end
			fail(run, ("task %s of the run user ended: %s"):format(task, said.message or f.state))
		end)
	end
	local function await(task)
		fleet.wait(task, WAIT_S, function()
			local _, has_ended = fleet.whose(task)
			if has_ended == false then return soon(100, function() await(task) end) end
			ended(task)
		end)
	end
	local folder = macros.share()
	if not folder then return fail(run, "our runtimes are not where they belong") end
	local ok, why = fleet.submit({
		owner = run.who, type = "python", project = run.project, title = "Macro " .. run.def.name, timeout_ms = TASK_MS,
		payload = json.encode { callable = CLEAR_TMP .. ":" .. name, path = json.array { folder .. "/kernels/python" }, kwargs = kwargs },
	}, function(answer, task, _, reason)
		if answer ~= "ok" then return fail(run, reason or answer) end
		run.task = task
		if run.aborter then fleet.abort(task, run.aborter, true) end
		await(task)
	end)
	if ok ~= true then fail(run, ("a kernel of the run user has to look there, and none can: %s"):format(why)) end
end

local TMP_FIELDS = {
	id = "string", folder = "string", words = "table", key = "table", size = "number", age = "number", open = "boolean", directory = "boolean",
}

--- Of what the run user's task said.
local function line_of(text) return (text:gsub("%c", "?"):sub(1, 500)) end

local function tmp_row(row)
	local out = {}
	for name, kind in pairs(TMP_FIELDS) do
		if type(row[name]) == kind and row[name] ~= json.null then out[name] = row[name] end
	end
	return out
end

function gather.tmp_file(run, _, fn)
	-- a param of that name says where else
	local folders, said = json.array {}, json.decode(run.params).folders
	for folder in (type(said) == "string" and said ~= "" and said or TMP_FOLDERS):gmatch "[^:]+" do
		if folder:sub(1, 1) ~= "/" then return fail(run, ("param \"folders\": %s is no absolute path"):format(folder)) end
		folders[#folders + 1] = folder
	end
	as_run_user(run, "look", { folders = folders, kept = json.array(files.ours()) }, function(result)
		local out = {}
		if type(result) == "table" and type(result.refused) == "string" then
			return fail(run, "param \"folders\": " .. line_of(result.refused))
		end
		if type(result) ~= "table" or type(result.rows) ~= "table" then return fail(run, "the run user's task answered nonsense") end
		run.is_cut = result.cut == true
		local missing = {}
		for i, one in ipairs(type(result.missing) == "table" and result.missing or {}) do missing[i] = line_of(tostring(one)) end
		run.remark = #missing > 0 and "not looked at: " .. table.concat(missing, "; ") or nil
		for i, row in ipairs(result.rows) do
			-- it runs as the users' code does: what it says is not believed to be well formed, nor taken for more than it may say
			if i > ROWS_MOST or type(row) ~= "table" or type(row.id) ~= "string" or not utf8.len(row.id) then
				run.is_cut = true
				break
			end
			out[i] = tmp_row(row)
		end
		fn(out)
	end)
end

-- --- carrying out: fn(why | nil) ---

local act = {}

function act.job_log(_, row, _, _, fn) macros.remove_log(row.project, row.name, row.changed, fn) end

local function reason_of(run, why) return ("macro \"%s\" (%s), started by %s: %s"):format(run.def.name, run.def.source, run.who, why) end

local function order(run, row, verb, why, fn)
	local ok, said = macros.order(run.def.each, verb, row.id, reason_of(run, why))
	fn(not ok and said or nil)
end
act.kernel, act.task = order, order

-- Ends once it is known what became of it: it is looked at once more before. even_leased: also what its user keeps, where that was known when it was decided.
function act.notebook(run, row, verb, why, fn, even_leased)
	local give = verb == "interrupt" and notebooks.interrupt or notebooks.unload
	give(row.id, "policy", "", reason_of(run, why), fn, even_leased)
end

--- Did the decision rest on its being kept? Who did not ask for that fact does not end what is kept.
local function saw_lease(j)
	local inputs = j.row.leased == true and json.decode(j.inputs)
	return type(inputs) == "table" and inputs.leased == true
end

-- --- what became of each ---

local function note(run, j, outcome, text)
	run.noted = run.noted + 1
	if j.state ~= "act" and j.state ~= "failed" and run.noted > NOTED_MOST then return end
	macros.note {
		name = run.def.name, source = run.def.source, subject_kind = run.def.each, subject = j.row.id, owner = j.row.user ~= "" and j.row.user or "admin",
		answer = j.answer, reason = j.reason, inputs = j.inputs, mode = run.is_simulated and "simulate" or "act", outcome = outcome, text = text,
	}
end

local function record(run, j, said)
	local counts = run.counts
	counts.shown = counts.shown + 1
	if counts.shown > RECORDS_MOST then return end
	local r = j.record
	r[#r + 1], r[#r + 2] = said, j.reason or json.null
	run.records[#run.records + 1] = r
end

local function settle(run, j, trouble)
	local counts = run.counts
	if j.state == "failed" then
		counts.failed = counts.failed + 1
		note(run, j, "failed")
		record(run, j, "failed")
	elseif j.state ~= "act" then
		counts.kept = counts.kept + 1
		if j.reason then
			note(run, j, j.state == "skipped" and "nothing" or "kept")
			record(run, j, j.state == "skipped" and "skipped" or "kept")
		end
	elseif run.is_simulated then
		counts.would = counts.would + 1
		note(run, j, "would")
		record(run, j, "would be " .. past[j.answer])
	elseif trouble then
		counts.failed = counts.failed + 1
		note(run, j, "failed", trouble)
		record(run, j, "not " .. past[j.answer] .. ": " .. trouble)
	else
		counts.done = counts.done + 1
		counts.bytes = counts.bytes + (math.tointeger(j.row.size or j.row.memory) or 0)
		note(run, j, "done")
		record(run, j, past[j.answer])
	end
end

local function tell(run)
	local columns = json.array { table.unpack(run.def.columns) }
	columns[#columns + 1], columns[#columns + 2] = "what", "why"
	local c = run.counts
	run.result = json.encode {
		columns = columns, records = run.records, simulated = run.is_simulated,
		summary = {
			looked = #run.rows, kept = c.kept, would = c.would, done = c.done, failed = c.failed, bytes = c.bytes, left_out = math.max(0, c.shown - RECORDS_MOST),
			cut = run.is_cut or false, note = run.remark,
		},
	}
	run.rows, run.records = nil, nil
	finish(run, "done")
end

-- Files of the run user's go many at a time.
local function remove_files(run, list, from)
	if from > #list then return tell(run) end
	local piece, rows = {}, json.array {}
	for i = from, math.min(#list, from + REMOVED_AT_ONCE - 1) do
		piece[#piece + 1] = list[i]
		local row = list[i].row
		rows[#rows + 1] = { folder = row.folder, words = row.words, key = row.key }
	end
	as_run_user(run, "remove", { rows = rows, kept = json.array(files.ours()) }, function(result)
		for i, j in ipairs(piece) do
			local said = type(result) == "table" and result[i]
			settle(run, j, said ~= "" and (type(said) == "string" and line_of(said) or "nobody said what became of it") or nil)
		end
		run.done = run.done + #piece
		go_on(run, function() remove_files(run, list, from + #piece) end)
	end)
end

-- Notebooks go some at a time, as each takes seconds; sessions of one kernel together.
local function end_notebooks(run, list, from)
	if from > #list then return tell(run) end
	local till, of_kernel, kernels = math.min(#list, from + UNLOADED_AT_ONCE - 1), {}, {}
	for i = from, till do
		local j = list[i]
		local key = j.answer .. " " .. j.row.kernel
		if not of_kernel[key] then
			of_kernel[key] = {}
			kernels[#kernels + 1] = key
		end
		table.insert(of_kernel[key], j)
	end
	local open_now = #kernels
	for _, key in ipairs(kernels) do
		local js = of_kernel[key]
		act.notebook(run, js[1].row, js[1].answer, js[1].reason, function(trouble)
			for _, j in ipairs(js) do settle(run, j, trouble) end
			run.done = run.done + #js
			open_now = open_now - 1
			if open_now == 0 then go_on(run, function() end_notebooks(run, list, till + 1) end) end
		end, saw_lease(js[1]))
	end
end

local function carry_out(run, list, from)
	if run.def.each == "tmp_file" then return remove_files(run, list, from) end
	if run.def.each == "notebook" then return end_notebooks(run, list, from) end
	local j = list[from]
	if not j then return tell(run) end
	act[run.def.each](run, j.row, j.answer, j.reason, function(trouble)
		settle(run, j, trouble)
		run.done = run.done + 1
		go_on(run, function() carry_out(run, list, from + 1) end)
	end)
end

local function judge(run, from, list)
	if from > #run.rows then
		run.done, run.total, run.doing = 0, #list, "carrying out"
		show(run)
		return carry_out(run, list, 1)
	end
	local some = json.array {}
	for i = from, math.min(#run.rows, from + JUDGED_AT_ONCE - 1) do some[#some + 1] = run.rows[i] end
	local text, why = macros.judge(run.def.name, run.params, json.encode(run.context), json.encode(some))
	if not text then return fail(run, why) end
	for i, j in ipairs(json.decode(text)) do
		j.row = some[i]
		if j.state == "act" and not run.is_simulated then list[#list + 1] = j else settle(run, j) end
	end
	run.done = from + #some - 1
	go_on(run, function() judge(run, from + #some, list) end)
end

-- --- one whole run ---

local function make_diagnosis(run)
	run.doing = "making the archive"
	local ok, why = files.diagnose(run.id, function(trouble)
		if trouble then return fail(run, trouble) end
		local _, bytes = files.open(run.id)
		if not bytes then return fail(run, "the archive is not there, or too large") end
		run.result = json.encode { file = run.id .. ".tar.gz", bytes = bytes }
		finish(run, "done")
	end)
	if not ok then fail(run, why) end
end

local function run_whole(run)
	local left = table.move(run.def.reads or {}, 1, #(run.def.reads or {}), 1, {})
	local function next_kind()
		local kind = table.remove(left, 1)
		if kind then
			return gather[kind](run, kind, function(rows)
				run.context[kind] = json.array(rows)
				go_on(run, next_kind)
			end)
		end
		local text, why = macros.whole(run.def.name, run.params, json.encode(run.context))
		if not text then return fail(run, why) end
		run.result = text
		finish(run, "done")
	end
	next_kind()
end

local function begin(run)
	if run.def.makes then return make_diagnosis(run) end
	if not run.def.each then return run_whole(run) end
	run.doing = "looking"
	gather[run.def.each](run, run.def.each, function(rows)
		run.rows, run.total, run.doing = rows, #rows, "judging"
		show(run)
		judge(run, 1, {})
	end)
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
	if open >= AT_ONCE then return fn(nil, 503, ("%d macros run already"):format(AT_ONCE)) end
	local run = {
		id = macros.make_id(), def = def, params = params, who = about.who, project = about.project, rule = about.rule, state = "running",
		started_ms = gate.wall_ms(),
		waiters = {}, records = json.array {}, counts = { kept = 0, would = 0, done = 0, failed = 0, shown = 0, bytes = 0 },
		noted = 0, done = 0, total = 0, doing = "starting",
		is_simulated = json.decode(params).simulate == true,
	}
	run.context = { project = run.project, user = run.who, is_admin = about.is_admin, rule = run.rule, unix_s = run.started_ms // 1000 }
	runs[run.id] = run
	open = open + 1
	macros.save(row_of(run), true, function(why)
		if why then
			runs[run.id] = nil
			open = open - 1
			return fn(nil, 503, ("unable to save the run: %s"):format(why))
		end
		show(run)
		fn(run)
		go_on(run, function() begin(run) end)
	end)
end

--- by: who asks. What was done until then stays done, and is in the ledger.
function M.abort(run, by, is_admin_act)
	if run.state ~= "running" or run.aborter then return end
	run.aborter, run.is_admin_act = by, is_admin_act
	show(run)
	if run.task then fleet.abort(run.task, by, is_admin_act) end
	if run.def.makes then files.stop(run.id) end
	go_on(run, function() end)
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
	if run.state == "done" then save(run) end
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
