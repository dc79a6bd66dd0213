-- models: the trainings of a project's models: started, looked at, ended. A session of a model is a task of type `train` for each of its algorithms.
local errors = require "dss.api.errors"
local fleet = require "bind.fleet"
local gate = require "bind.gate"
local jobs = require "bind.jobs"
local json = require "bind.json"
local soon = require "bind.soon"
local models = require "bind.models"
local nearest = require "dss.text.nearest"
local projects = require "dss.api.projects"
local sorted_keys = require("dss.model.schema").sorted_keys
local training = require "dss.model.training"

local JSON = "application/json;charset=utf-8"
local LIST_MOST = 1000
local CACHED_MOST = 2000
local SLICE = 20              -- sessions that are looked at before others have their turn
local NAME_MAX = 200

local M = {}

local function reply(req, value) req.reply(200, JSON, json.encode(value)) end

-- --- which model ---

--- Calls fn(data, name, model) with the model that both ids mean, of a project that req's user may use in that way.
local function with_model(req, key, analysis, task, right, fn)
	projects.with(req, key, right, function(data)
		local name = training.name_of(data, analysis)
		if not name or training.name_of(data, task) ~= name then
			local guess = nearest(analysis, sorted_keys(data.models or {}))
			if name then return errors.reply(req, 404, ("ML task %s of analysis %s does not exist in project %s"):format(task, analysis, key)) end
			return errors.reply(req, 404, ("project %s has no model %s%s"):format(key, analysis, guess and (", did you mean %s?"):format(guess) or ""))
		end
		fn(data, name, data.models[name])
	end)
end

-- --- what was trained ---

-- key/path → { changed_ms, row }: a record is parsed once, however often somebody asks
local cache, cached = {}, 0

local function read_record(key, model, found)
	local at = key .. "/" .. found.path
	if cache[at] and cache[at][1] == found.changed_ms then return cache[at][2] end
	local text, changed = models.record(key, found.path)
	local data = text and json.decode(text)
	if type(data) ~= "table" then return nil end
	if cached >= CACHED_MOST then cache, cached = {}, 0 end
	found.changed_ms = changed
	local row = training.row_of_record(key, model, found, data)
	cache[at], cached = { changed, row }, cached + (cache[at] and 0 or 1)
	return row
end

--- Calls fn(rows) with those that left a record and are not among `seen`, newest session first. They are the users' folders, on any disk and as many as
-- they like: a slice at a time.
local function with_older(key, name, seen, fn)
	local sessions, out, at = {}, {}, 0
	for _, session in ipairs(models.sessions(key, name)) do
		if training.number_of(session) then sessions[#sessions + 1] = session end
	end
	table.sort(sessions, function(a, b) return training.number_of(a) > training.number_of(b) end)
	local function take(session)
		local rows = {}
		for _, found in ipairs(models.kept(key, name, session)) do
			local row = not seen[session .. "/" .. found.algorithm] and read_record(key, name, found)
			if row and row.id == training.full_id(key, name, row.session, math.tointeger(tonumber((row.id or ""):match "m(%d+)$")) or 0) then
				rows[#rows + 1] = row
			end
		end
		table.sort(rows, function(a, b) return a.algorithm < b.algorithm end)
		table.move(rows, 1, #rows, #out + 1, out)
	end
	local function go_on()
		for _ = 1, SLICE do
			at = at + 1
			if at > #sessions then return fn(out) end
			take(sessions[at])
		end
		soon(0, go_on)
	end
	go_on()
end

--- Calls fn(rows): the store's, newest first, then those that left a record and are not in the store any more.
local function with_rows(req, key, name, fn)
	models.list(key, name, LIST_MOST, function(text, why)
		if not text then return errors.reply_answer(req, "unavailable", why) end
		local rows, seen = json.array {}, {}
		for i, r in ipairs(json.decode(text)) do
			rows[i] = training.row(r)
			seen[r.session .. "/" .. r.algorithm] = true
		end
		with_older(key, name, seen, function(older)
			table.move(older, 1, #older, #rows + 1, rows)
			fn(rows)
		end)
	end)
end

-- --- the lists ---

local function task_item(name, model)
	local id = training.id_of(name)
	return {
		analysisId = id, mlTaskId = id, analysisName = model.name or name, mlTaskName = name,
		taskType = model.task == "clustering" and "CLUSTERING" or "PREDICTION", inputDataset = model.input, targetVariable = model.target,
	}
end

function M.list(req, key)
	projects.with(req, key, "read", function(data)
		local out = json.array {}
		for i, name in ipairs(sorted_keys(data.models or {})) do out[i] = task_item(name, data.models[name]) end
		reply(req, { mlTasks = out })
	end)
end

--- What waits and runs, a queue for each model that has some.
function M.queues(req, key)
	projects.with(req, key, "read", function(data)
		models.list(key, nil, LIST_MOST, function(text, why)
			if not text then return errors.reply_answer(req, "unavailable", why) end
			local by, out = {}, json.array {}
			for _, r in ipairs(json.decode(text)) do
				if training.is_open(r) and data.models[r.model] then
					local q = by[r.model]
					if not q then
						q = task_item(r.model, data.models[r.model])
						q.projectKey, q.sessions, q.waiting, q.running = key, json.array {}, 0, 0
						by[r.model] = q
						out[#out + 1] = q
					end
					local count = r.state == "running" and "running" or "waiting"
					q[count] = q[count] + 1
					if q.sessions[1] ~= r.session then table.insert(q.sessions, 1, r.session) end
				end
			end
			reply(req, { queues = out })
		end)
	end)
end

--- Trainings of all projects that the user may read, or of ?project=KEY: a row for each algorithm of a session.
function M.all(req)
	local wanted, rows, open = req.query.project, json.array {}, 1
	local function done()
		open = open - 1
		if open > 0 then return end
		table.sort(rows, function(a, b) return (a.submitTime or a.endTime or 0) > (b.submitTime or b.endTime or 0) end)
		reply(req, rows)
	end
	local function take(key, data)
		for _, name in ipairs(sorted_keys(data.models or {})) do
			open = open + 1
			with_rows(req, key, name, function(found)
				for _, row in ipairs(found) do rows[#rows + 1] = row end
				if #found == 0 then rows[#rows + 1] = { project = key, model = name, state = "not trained" } end
				done()
			end)
		end
	end
	if wanted then
		return projects.with(req, wanted, "read", function(data)
			take(wanted, data)
			done()
		end)
	end
	for _, key in ipairs(jobs.keys()) do
		open = open + 1
		jobs.project(key, function(state, raw)
			local data = state == "good" and projects.read(key, raw)
			if data and projects.may(req.who, data, "read") then take(key, data) end
			done()
		end)
	end
	done()
end

-- --- one ---

function M.status(req, key, analysis, task)
	with_model(req, key, analysis, task, "read", function(_, name)
		with_rows(req, key, name, function(rows)
			local full, is_training, sessions = json.array {}, false, json.array {}
			for _, row in ipairs(rows) do
				is_training = is_training or training.is_open(row)
				if row.state == "done" and row.id then full[#full + 1] = training.full(row, key) end
				sessions[#sessions + 1] = row
			end
			-- `fullModelIds` alone tells what can be used; `sessions`, ours, tells all, also what failed and why
			reply(req, { guessing = false, training = is_training, fullModelIds = full, sessions = sessions })
		end)
	end)
end

function M.snippets(req, key, analysis, task)
	with_model(req, key, analysis, task, "read", function(_, name, model)
		local asked = req.body ~= "" and json.decode(req.body) or {}
		if type(asked) ~= "table" or json.is_array(asked) or (asked.modelsIds ~= nil and asked.modelsIds ~= json.null and type(asked.modelsIds) ~= "table") then
			return errors.reply(req, 400, 'the body has to be {"modelsIds":[…]}')
		end
		local wanted = type(asked.modelsIds) == "table" and #asked.modelsIds > 0 and {} or nil
		for _, id in ipairs(wanted and asked.modelsIds or {}) do wanted[id] = true end
		with_rows(req, key, name, function(rows)
			local out = json.object {}
			for _, row in ipairs(rows) do
				if row.id and (not wanted or wanted[row.id]) then
					out[row.id] = {
						fullModelId = row.id, sessionId = row.session, algorithm = row.algorithm, predictionType = training.prediction_type(model.task, row),
						trainInfo = { state = training.states[row.state], startTime = row.startTime, endTime = row.endTime, progress = row.progress,
							reason = row.reason, message = row.message, trainRecords = row.rows },
						taskId = row.taskId, metrics = row.metrics, file = row.file,
					}
				end
			end
			for id in pairs(wanted or {}) do
				if not out[id] then return errors.reply(req, 404, ("Model %s does not exist in ML task %s"):format(tostring(id), task)) end
			end
			reply(req, out)
		end)
	end)
end

-- --- train ---

-- model → the last session given out: two that come at once differ also before either is in the store
local given = {}

local function next_session(key, name, rows)
	local last = given[key .. "/" .. name] or 0
	for _, row in ipairs(rows) do last = math.max(last, training.number_of(row.session) or 0) end
	given[key .. "/" .. name] = last + 1
	return "s" .. last + 1
end

--- Submits one after the other: fn(tasks), or a refusal is answered, and what was submitted is aborted.
local function submit_all(req, requests, fn)
	local tasks, session = json.array {}, nil
	local function refuse(answer, why)
		for _, task in ipairs(tasks) do fleet.abort(task, req.who.login, false) end
		if why and why:find("no pool takes tasks of type", 1, true) then
			why = why .. ': an admin adds pool "training" { kernel = python { module = "doctor.server" }, … } to policies/'
		end
		errors.reply_answer(req, answer, why)
	end
	local function go_on(i)
		if i > #requests then return fn(tasks, session) end
		local said, reason = fleet.submit(requests[i], function(answer, task, is_first, why)
			if answer ~= "ok" then return refuse(answer, why) end
			tasks[i] = task
			if is_first then return go_on(i + 1) end
			fleet.get(task, false, function(_, f) -- the same clientKey again: the session that it started
				for _, tag in ipairs(f and (json.decode(f.json) or {}).tags or {}) do session = tag:match "^session:(s%d+)$" or session end
				go_on(i + 1)
			end)
		end)
		if said ~= true then refuse(said, reason) end
	end
	go_on(1)
end

local function text(v) return type(v) == "string" and v ~= "" and v or nil end

local function read_body(req)
	local body, why = json.decode(req.body ~= "" and req.body or "{}")
	if type(body) ~= "table" or json.is_array(body) then return nil, why or "the body has to be a JSON object" end
	for _, name in ipairs { "sessionName", "sessionDescription", "clientKey" } do
		if text(body[name]) and (#body[name] > NAME_MAX or body[name]:find "%c") then return nil, ("%s has at most %d bytes in one line"):format(name, NAME_MAX) end
	end
	return body
end

function M.train(req, key, analysis, task)
	with_model(req, key, analysis, task, "run", function(_, name, model)
		local body, why = read_body(req)
		if not body then return errors.reply(req, 400, why) end
		if model.missing then return errors.reply(req, 400, model.missing) end
		local algorithms, trouble = training.algorithms_of(model)
		if not algorithms then return errors.reply(req, 400, ("projects/%s/project.lua:%d: models.%s: %s"):format(key, model.line or 0, name, trouble)) end
		with_rows(req, key, name, function(rows)
			local s = {
				project = key, dir = projects.dir(key), name = name, model = model, session = next_session(key, name, rows), owner = req.who.login,
				session_name = text(body.sessionName), client_key = text(body.clientKey),
			}
			local requests, ids = {}, json.array {}
			for i, algorithm in ipairs(algorithms) do
				requests[i] = training.request(s, algorithm, i)
				ids[i] = algorithm
			end
			submit_all(req, requests, function(tasks, earlier)
				reply(req, { sessionId = earlier or s.session, tasks = tasks, algorithms = ids, startTime = gate.wall_ms() })
			end)
		end)
	end)
end

--- Nothing waits for it here: sessions start by themselves in the order of the pool's queue. Tells which one is next.
function M.train_queue(req, key, analysis, task)
	with_model(req, key, analysis, task, "run", function(_, name)
		with_rows(req, key, name, function(rows)
			local first
			for _, row in ipairs(rows) do
				if training.is_open(row) and row.state ~= "running" then first = row.session end
			end
			reply(req, { sessionId = first or json.null })
		end)
	end)
end

--- The model stands in project.lua and stays; what trains or waits is ended.
function M.delete(req, key, analysis, task)
	with_model(req, key, analysis, task, "run", function(_, name)
		with_rows(req, key, name, function(rows)
			local ended = 0
			for _, row in ipairs(rows) do
				if training.is_open(row) then
					local said, why = fleet.abort(row.taskId, req.who.login, row.user ~= req.who.login)
					if said ~= "ok" and said ~= "not_found" then return errors.reply_answer(req, said, why) end
					ended = ended + 1
				end
			end
			reply(req, { aborted = ended, message = ("%d trainings are asked to stop; model %s stands in projects/%s/project.lua, what it trained in models/%s")
				:format(ended, name, key, name) })
		end)
	end)
end

function M.ensemble(req, key, analysis, task)
	with_model(req, key, analysis, task, "run", function(_, name)
		errors.reply(req, 501, ("Ensembles of models are not made here; a script of model %s can combine what lies in models/%s"):format(name, name))
	end)
end

return M
