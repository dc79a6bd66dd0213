-- macro_work: what a run of a macro does: it looks at what there is, has each judged, carries out what was decided, and tells what became of each.
local json = require "bind.json"
local macros = require "bind.macros"
local files = require "bind.macro_files"
local notebooks = require "bind.notebooks"
local macro_run = require "dss.api.macro_run"
local macro_tmp = require "dss.api.macro_tmp"
local fail, finish, go_on, show = macro_run.fail, macro_run.finish, macro_run.go_on, macro_run.show

local M = {}

local JUDGED_AT_ONCE = 20
local ROWS_MOST, RECORDS_MOST, NOTED_MOST = 50000, 10000, 1000
local REMOVED_AT_ONCE, UNLOADED_AT_ONCE = 500, 20

local past = { delete = "deleted", unload = "unloaded", kill = "killed", retire = "retired", abort = "aborted", interrupt = "interrupted" }

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
		run.remark = why and ("the notebook server cannot be asked: %s; nobody counts as idle"):format(why)
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

function gather.tmp_file(run, _, fn) macro_tmp.look(run, ROWS_MOST, fn) end

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
	r[#r + 1], r[#r + 2] = said, j.reason and j.reason:gsub("^skipped: ", "") or json.null
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
	local piece, rows = table.move(list, from, math.min(#list, from + REMOVED_AT_ONCE - 1), 1, {}), {}
	for i, j in ipairs(piece) do rows[i] = j.row end
	macro_tmp.remove(run, rows, function(said)
		for i, j in ipairs(piece) do settle(run, j, said[i] ~= "" and said[i] or nil) end
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

--- All of it, a piece at a time, to its end.
function M.begin(run)
	if run.def.makes then return make_diagnosis(run) end
	if not run.def.each then return run_whole(run) end
	run.doing = "looking"
	gather[run.def.each](run, run.def.each, function(rows)
		run.rows, run.total, run.doing = rows, #rows, "judging"
		show(run)
		judge(run, 1, {})
	end)
end

return M
