-- macro_tmp: temporary files, looked at and removed by a task of the run user: nothing goes that this user may not remove.
local fleet = require "bind.fleet"
local json = require "bind.json"
local macros = require "bind.macros"
local files = require "bind.macro_files"
local soon = require "bind.soon"
local macro_run = require "dss.api.macro_run"
local fail, finish = macro_run.fail, macro_run.finish

local M = {}

local TASK_MS, WAIT_S = 600000, 60
local TMP_FOLDERS = "/tmp:/var/tmp"
local CLEAR_TMP = "macros.clear_tmp"

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

--- fn(rows), `most` of them at the most; or the run fails.
function M.look(run, most, fn)
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
			if i > most or type(row) ~= "table" or type(row.id) ~= "string" or not utf8.len(row.id) then
				run.is_cut = true
				break
			end
			out[i] = tmp_row(row)
		end
		fn(out)
	end)
end

--- Removes the files of those rows. fn(said): what became of each, "" where it is gone; or the run fails.
function M.remove(run, rows, fn)
	local sent = json.array {}
	for i, row in ipairs(rows) do sent[i] = { folder = row.folder, words = row.words, key = row.key } end
	as_run_user(run, "remove", { rows = sent, kept = json.array(files.ours()) }, function(result)
		local said = {}
		for i in ipairs(rows) do
			local one = type(result) == "table" and result[i]
			said[i] = type(one) == "string" and line_of(one) or "nobody said what became of it"
		end
		fn(said)
	end)
end

return M
