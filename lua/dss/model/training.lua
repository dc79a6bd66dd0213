-- training: what a session of a model's training is made of, and what its tasks tell: ids, payloads, states. Pure.
--
-- A model of project.lua is one analysis with one ML task; both have the same id, made of the model's name. A session s1, s2, … has one task for
-- each algorithm; what one made is a model with a full id: A-PROJECT-ANALYSIS-MLTASK-s1-pp1-m1.
local crypt = require "bind.crypt"
local json = require "bind.json"
local nearest = require "dss.text.nearest"
local sorted_keys = require("dss.model.schema").sorted_keys

local M = {}

M.TYPE = "train"
M.algorithms = {
	classification = { "random_forest", "logistic_regression", "gradient_boosting", "decision_tree" },
	regression = { "random_forest", "ridge", "gradient_boosting", "decision_tree" },
	clustering = { "kmeans" },
}
local SCRIPT = "script"
local MARK_CHARS = 4

-- state of a task → as clients of the public API know it
M.states = {
	queued = "PENDING", assigned = "PENDING", running = "RUNNING", done = "DONE", failed = "FAILED", aborted = "ABORTED", killed = "FAILED",
}

local function hex(bytes) return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end)) end

--- The id of a model's analysis and ML task: its name; where that has a "-", which parts full ids, with "_" there and four characters more.
function M.id_of(name)
	if not name:find("-", 1, true) then return name end
	return name:gsub("-", "_") .. "_" .. hex(crypt.sha256(name)):sub(1, MARK_CHARS)
end

--- The model that an id (or a name) of an analysis means; nil: none.
function M.name_of(data, wanted)
	local models = data.models or {}
	if models[wanted] then return wanted end
	for _, name in ipairs(sorted_keys(models)) do
		if M.id_of(name) == wanted then return name end
	end
end

function M.full_id(project, name, session, number)
	local id = M.id_of(name)
	return ("A-%s-%s-%s-%s-pp1-m%d"):format(project, id, id, session, number)
end

--- The session's number: "s12" → 12; nil: no session.
function M.number_of(session) return math.tointeger(tonumber(tostring(session):match "^s(%d+)$")) end

--- The algorithms of a model in their order, or nil and what is wrong with the model.
function M.algorithms_of(model)
	for _, key in ipairs { "threads", "cpu", "swap_bytes" } do
		if model.limits[key] then return nil, ("limits.%s is the pool's to say; a model's limits have memory"):format((key:gsub("_bytes", ""))) end
	end
	local list = model.algorithms
	if not list or #list == 0 then return { model.script and SCRIPT or M.algorithms[model.task][1] } end
	local known, seen = M.algorithms[model.task], {}
	for _, name in ipairs(list) do
		local is_known = model.script ~= nil
		for _, k in ipairs(known) do is_known = is_known or k == name end
		if not is_known then
			local guess = nearest(name, known)
			return nil, ("%s is no algorithm of %s%s"):format(name, model.task,
				guess and (", did you mean %s?"):format(guess) or "; there are " .. table.concat(known, ", "))
		end
		if seen[name] then return nil, ("algorithm %s stands twice"):format(name) end
		seen[name] = true
	end
	return list
end

--- What is submitted for one algorithm: the fleet's request. s: project, dir, name (of the model), model (its data), session, session_name, owner.
function M.request(s, algorithm, number)
	local m, id = s.model, M.id_of(s.name)
	local params = next(m.params) and m.params or json.object {}
	local payload = {
		project = s.project, dir = s.dir, model = s.name, analysisId = id, mlTaskId = id, sessionId = s.session, sessionName = s.session_name,
		modelId = M.full_id(s.project, s.name, s.session, number), input = m.input, target = m.target, task = m.task, algorithm = algorithm,
		params = params, script = m.script, bin = m.bin ~= "/usr/bin/python3" and m.bin or nil, env = next(m.env) and m.env or nil,
	}
	return {
		owner = s.owner, type = M.TYPE, project = s.project, title = ("Train %s %s: %s"):format(s.name, s.session, algorithm),
		payload = json.encode(payload), memory_bytes = math.tointeger(m.limits.memory_bytes) or 0, timeout_ms = math.tointeger(m.timeout_ms) or 0,
		client_key = s.client_key and s.client_key .. ":" .. algorithm or nil,
		tags = json.encode(json.array { "model:" .. s.name, "session:" .. s.session }),
	}
end

--- What an ended one says went wrong, without its stack.
local function message_of(row)
	local e = row.error
	return type(e) == "table" and type(e.message) == "string" and e.message or nil
end

--- One row for people and programs out of a row of the store.
function M.row(r)
	local f, result = r.future or {}, type(r.result) == "table" and r.result or {}
	return {
		project = r.project, model = r.model, session = r.session, sessionName = r.name, algorithm = r.algorithm, id = r.modelId, taskId = r.task,
		state = r.state, cause = r.cause, user = r.owner, metrics = result.metrics, rows = result.rows, file = result.file,
		classCount = result.classCount, reason = f.reason, position = f.position, progress = f.progress, message = message_of(r),
		submitTime = r.createdMs, startTime = r.startedMs, endTime = r.endedMs,
		ran = r.startedMs and r.endedMs and r.endedMs - r.startedMs or nil,
	}
end

--- The same out of a record that a training left in its project, where the store has forgotten it. It is users' text: read with care.
function M.row_of_record(project, model, found, data)
	local function text(v) return type(v) == "string" and #v < 1000 and v or nil end
	local metrics = {}
	for name, v in pairs(type(data.metrics) == "table" and data.metrics or {}) do
		if type(name) == "string" and type(v) == "number" and #name < 100 then metrics[name] = v end
	end
	return {
		project = project, model = model, session = found.session, algorithm = found.algorithm, id = text(data.modelId), state = "done",
		metrics = next(metrics) and metrics or nil, rows = math.type(data.rows) and data.rows or nil, file = text(data.file),
		classCount = math.type(data.classCount) == "integer" and data.classCount or nil, endTime = found.changed_ms,
		ran = type(data.seconds) == "number" and data.seconds * 1000 or nil,
	}
end

function M.is_open(row) return row.state == "queued" or row.state == "assigned" or row.state == "running" end

--- "BINARY_CLASSIFICATION", …
function M.prediction_type(task, row)
	if task == "regression" then return "REGRESSION" end
	if task == "clustering" then return "CLUSTERING" end
	return (row.classCount or 2) > 2 and "MULTICLASS" or "BINARY_CLASSIFICATION"
end

--- What a full id is of, as an object.
function M.full(row, project)
	local id = M.id_of(row.model)
	return {
		id = row.id,
		fullModelId = {
			projectKey = project, analysisId = id, mlTaskId = id, sessionId = row.session, preprocessingId = "pp1", modelId = row.id:match "m%d+$",
			taskLoc = { projectKey = project, analysisId = id, mlTaskId = id },
		},
		algorithm = row.algorithm,
	}
end

return M
