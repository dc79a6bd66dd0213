-- jobs: start one, look at it, read its log, abort it; as the public API's clients expect it.
local activity = require "dss.model.activity"
local auth = require "dss.api.auth"
local build = require "dss.model.build"
local errors = require "dss.api.errors"
local fleet = require "bind.fleet"
local gate = require "bind.gate"
local id = require "dss.text.id"
local jobs = require "bind.jobs"
local json = require "bind.json"
local logs = require "dss.api.logs"
local nearest = require "dss.text.nearest"
local projects = require "dss.api.projects"
local waits = require "bind.logs"

local JSON = "application/json;charset=utf-8"
local TYPE = "job"
local MODE = "NON_RECURSIVE_FORCED_BUILD"
local LOG_MOST = 60 << 20
local WAIT_MOST = 60            -- seconds
local PIECE = 1 << 20           -- of a log whose lines are looked through, at once
local NAME_MAX = 60             -- of a dataset in a job's id

local M = {}

local function does_not_exist(req, key, job) errors.reply(req, 404, ("Job %s does not exist in project %s"):format(job, key)) end

-- --- what is asked for ---

local function text(v) return type(v) == "string" and v ~= "" and v or nil end

--- One output of a job definition, in the new form or the old; or nil and why.
local function read_output(o, key)
	if type(o) ~= "table" then return nil, "an output has to be an object" end
	local name, kind = text(o.id) or text(o.targetDataset), text(o.type) or "DATASET"
	local project = text(o.projectKey) or text(o.targetDatasetProjectKey) or key
	local partition = text(o.partition) or text(o.targetPartition)
	if text(o.targetManagedFolder) then return nil, "managed folders cannot be built here; datasets can" end
	if not name then return nil, 'an output needs "id", the name of a dataset' end
	if kind ~= "DATASET" then return nil, ("outputs of type %s cannot be built here; DATASET can"):format(kind) end
	if project ~= key then return nil, ("dataset %s is of project %s; a job builds those of its own project, %s"):format(name, project, key) end
	if partition and partition ~= "NP" then return nil, ("dataset %s has no partitions"):format(name) end
	return name
end

--- { mode, outputs } or nil and why. Keys that we do not know are others' business.
local function read_definition(req, key)
	local def, why = json.decode(req.body ~= "" and req.body or "{}")
	if type(def) ~= "table" or json.is_array(def) then return nil, why or "the body has to be a JSON object" end
	local mode, outputs = text(def.type) or MODE, json.array {}
	local known = false
	for _, m in ipairs(build.modes) do known = known or m == mode end
	if not known then
		local guess = nearest(mode, build.modes)
		return nil, ("type %s is unknown%s"):format(mode, guess and (", did you mean %s?"):format(guess) or "; there are " .. table.concat(build.modes, ", "))
	end
	if type(def.outputs) ~= "table" or #def.outputs == 0 then return nil, '"outputs" is missing: a list of {"type":"DATASET","id":NAME}' end
	local seen = {}
	for _, o in ipairs(def.outputs) do
		local name, trouble = read_output(o, key)
		if not name then return nil, trouble end
		if not seen[name] then outputs[#outputs + 1] = name end
		seen[name] = true
	end
	return { mode = mode, outputs = outputs, given = def }
end

-- --- ids ---

local last_ms = 0

--- Never the same twice: a millisecond is one job's.
local function make_id(outputs)
	last_ms = math.max(gate.wall_ms(), last_ms + 1)
	local name = #outputs == 1 and outputs[1] or outputs[1] .. "_and_" .. (#outputs - 1)
	return ("Build_%s_(NP)_%s.%03d"):format(name:sub(1, NAME_MAX), os.date("!%Y-%m-%dT%H-%M-%S", last_ms // 1000), last_ms % 1000)
end

local function definition(job, key, who, request, now)
	local outputs = json.array {}
	for i, name in ipairs(request.outputs) do
		outputs[i] = { type = "DATASET", targetDataset = name, targetDatasetProjectKey = key, targetPartition = "NP", id = name, projectKey = key }
	end
	local given = request.given
	return {
		id = job,
		name = #request.outputs == 1 and ("Build %s (NP)"):format(request.outputs[1])
			or ("Build %s and %d more"):format(request.outputs[1], #request.outputs - 1),
		type = request.mode, initiator = who.login, initiationTimestamp = now, projectKey = key, outputs = outputs, triggeredFrom = "API",
		mailNotification = false, refreshHiveMetastore = given.refreshHiveMetastore == true, refreshIntermediateMirrors = false, refreshTargetMirrors = false,
		autoUpdateSchemaBeforeEachRecipeRun = given.autoUpdateSchemaBeforeEachRecipeRun == true,
	}
end

--- What the plan's recipes name and is not there, as one text, or nil.
local function missing_text(plan, data)
	local out = {}
	for _, step in ipairs(plan.activities) do out[#out + 1] = data.recipes[step.recipe].missing end
	return #out > 0 and table.concat(out, "; ") or nil
end

--- What the planner says is wrong, as one text: with the line of project.lua where it knows it.
local function planning_text(key, list)
	local out = {}
	for i, e in ipairs(list) do out[i] = (e.line and ("projects/%s/project.lua:%d: "):format(key, e.line) or "") .. e.text end
	return table.concat(out, "; ")
end

local function make_plan(key, data, request, who)
	local facts, now = projects.facts(key, data), gate.wall_ms()
	local plan, why = build.plan(data, request, facts, { now = now })
	if not plan then return nil, planning_text(key, why) end
	local missing = missing_text(plan, data)
	if missing then return nil, missing end
	local job, activities, dir = make_id(request.outputs), json.array {}, projects.dir(key)
	for i, step in ipairs(plan.activities) do
		activities[i] = activity.new(step, data.recipes[step.recipe], dir, facts.recipes[step.recipe], data.tags)
	end
	return {
		jobId = job, projectKey = key, dir = dir, def = definition(job, key, who, request, now), activities = activities,
		skipped = json.array(plan.skipped),
	}
end

function M.start(req, key)
	local request, why = read_definition(req, key)
	if not request then return errors.reply(req, 400, why) end
	projects.with(req, key, "run", function(data)
		local plan, trouble = make_plan(key, data, request, req.who)
		if not plan then return errors.reply(req, 400, trouble) end
		local payload = json.encode(plan)
		local ok, refusal = jobs.check(payload)
		if not ok then return errors.reply(req, 400, refusal) end
		local r = {
			owner = req.who.login, type = TYPE, project = key, job = plan.jobId, title = plan.def.name, payload = payload,
			client_key = text(request.given.clientKey),
		}
		local said, reason = fleet.submit(r, function(answer, task, is_first, text_of)
			if answer ~= "ok" then return errors.reply_answer(req, answer, text_of) end
			if is_first then return req.reply(200, JSON, json.encode { id = plan.jobId }) end
			fleet.get(task, false, function(_, f) -- the same clientKey again: the job that it started
				req.reply(200, JSON, json.encode { id = f and (json.decode(f.json) or {}).job or plan.jobId })
			end)
		end)
		if said ~= true then errors.reply_answer(req, said, reason) end
	end)
end

-- --- what became of it ---

--- Calls fn(json, owner, task) where req's user may see that job: who may read its project, and whoever started it.
local function with_job(req, key, job, fn)
	if not id.is_id(key) or not id.is_id(job) then return does_not_exist(req, key, job) end
	jobs.status(key, job, function(status, owner, task, why)
		if why then return errors.reply_answer(req, "unavailable", why) end
		if not status then return does_not_exist(req, key, job) end
		if auth.may(req.who, owner) then return fn(status, owner, task) end
		jobs.project(key, function(state, raw)
			local data = state == "good" and projects.read(key, raw) or state == "bad" and projects.held(req.who, key)
			if not data or not projects.may(req.who, data, "read") then return does_not_exist(req, key, job) end
			fn(status, owner, task, data)
		end)
	end)
end

function M.status(req, key, job)
	with_job(req, key, job, function(status) req.reply(200, JSON, status) end)
end

function M.list(req, key)
	local limit = math.tointeger(tonumber(req.query.limit or 0))
	if not limit or limit < 0 then return errors.reply(req, 400, "limit has to be a whole number") end
	projects.with(req, key, "read", function()
		jobs.list(key, nil, math.min(limit, 100000), function(rows, why)
			if not rows then return errors.reply_answer(req, "unavailable", why) end
			req.reply(200, JSON, rows)
		end)
	end, true)
end

--- Jobs of all projects: own ones, admins all.
function M.all(req)
	local limit = math.tointeger(tonumber(req.query.limit or 100))
	if not limit or limit < 0 then return errors.reply(req, 400, "limit has to be a whole number") end
	jobs.list(nil, not req.who.is_admin and req.who.login or nil, math.min(limit, 100000), function(rows, why)
		if not rows then return errors.reply_answer(req, "unavailable", why) end
		req.reply(200, JSON, rows)
	end)
end

function M.abort(req, key, job)
	with_job(req, key, job, function(_, owner, task, data)
		if not auth.may(req.who, owner) and not projects.may(req.who, data or {}, "run") then
			return errors.reply(req, 403, ("Job %s is %s's: you may see it, not abort it"):format(job, owner))
		end
		local said, why = fleet.abort(task, req.who.login, owner ~= req.who.login)
		if said ~= "ok" and said ~= "not_found" then return errors.reply_answer(req, said, why) end
		req.reply(200, JSON, "{}")
	end)
end

local function is_over(status) return (json.decode(status).baseStatus or {}).stableState == true end

--- Its id, nil: the whole log; false: it is none, and 400 is answered.
local function activity_of(req)
	local wanted = text(req.query.activity)
	if not wanted or id.is_id(wanted) then return wanted end
	errors.reply(req, 400, "activity is no valid id")
	return false
end

--- Its whole log as text, or the lines of one activity. Log-Next: from where on that activity can be followed.
function M.log(req, key, job)
	local wanted = activity_of(req)
	if wanted == false then return end
	with_job(req, key, job, function(status)
		local bytes, size, after = jobs.log(key, job, -LOG_MOST, LOG_MOST, wanted, not is_over(status))
		if not bytes then return errors.reply(req, 500, size) end
		req.reply(200, "text/plain; charset=utf-8", bytes, { ["Log-Next"] = wanted and ("%d"):format(after) or nil })
	end)
end

--- The lines of one activity from a place in its job's log on. What others write is no answer: it is looked through piece by piece, each a turn of
-- the loop, and then more is waited for, as long as seconds say and there is a place to wait.
local function show_lines(req, key, job, wanted, offset, seconds)
	with_job(req, key, job, function(status, _, task)
		local has_ended = is_over(status)
		local bytes, size, after = jobs.log(key, job, offset, PIECE, wanted, true)
		if bytes == "" and after == offset and after < size and has_ended then -- a last line that nobody ended
			bytes, size, after = jobs.log(key, job, offset, PIECE, wanted, false)
		end
		if not bytes then return errors.reply(req, 500, size) end
		if bytes == "" and after > offset and after < size then return show_lines(req, key, job, wanted, after, seconds) end
		if bytes == "" and offset <= size and not has_ended and seconds > 0 then
			return waits.wait(key, job, task, size, seconds, function(left) show_lines(req, key, job, wanted, after, left) end, req.who.login)
		end
		req.reply(200, "text/plain; charset=utf-8", bytes, {
			["Log-Next"] = ("%d"):format(after), ["Log-Size"] = ("%d"):format(size), ["Log-Whole"] = tostring(has_ended and after >= size),
		})
	end)
end

local function show_piece(req, key, job, offset, wait)
	with_job(req, key, job, function(status, _, task)
		logs.reply(req, offset, wait, function(...) return jobs.log(key, job, ...) end, is_over(status), function(start, seconds)
			waits.wait(key, job, task, start, seconds, function() show_piece(req, key, job, start, 0) end, req.who.login)
		end)
	end)
end

--- A piece of it, from ?offset=N, for those who follow it; ?wait=S for more: Log-Offset, Log-Size, Log-Whole as for a task's log.
-- ?activity=ID: the lines of that one from there on, and Log-Next: where to go on.
function M.piece(req, key, job)
	local offset, wait = logs.asked(req)
	if not offset then return errors.reply(req, 400, wait) end
	local wanted = activity_of(req)
	if wanted == false then return end
	if wanted then return show_lines(req, key, job, wanted, offset, math.min(wait, WAIT_MOST)) end
	show_piece(req, key, job, offset, wait)
end

return M
