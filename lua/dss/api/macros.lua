-- macros: what the policies offer to be run, and its runs; as the public API's clients expect it, and over the whole instance.
local errors = require "dss.api.errors"
local fleet = require "bind.fleet"
local id = require "dss.text.id"
local json = require "bind.json"
local macros = require "bind.macros"
local nearest = require "dss.text.nearest"
local files = require "bind.macro_files"
local projects = require "dss.api.projects"
local runs = require "dss.api.macro_runs"

local JSON = "application/json;charset=utf-8"
local PREFIX, PLUGIN = "pyrunnable_dss_", "dss"

local M = {}

local function reply(req, value) req.reply(200, JSON, json.encode(value)) end

--- Those of which somebody typed a part: "kill-idle" of "kill-idle-notebooks".
local function containing(names, part)
	local out = {}
	for _, n in ipairs(names) do
		if #part >= 3 and n:find(part, 1, true) then out[#out + 1] = ('"%s"'):format(n) end
		if #out == 3 then break end
	end
	return out[1] and table.concat(out, " or ")
end

--- With the nearest of those that this user may run.
local function does_not_exist(req, list, name)
	local names = {}
	for _, def in ipairs(list) do
		if req.who.is_admin or def.who == "project" then names[#names + 1] = def.name end
	end
	local guess = nearest(name, names)
	guess = guess and ('"%s"'):format(guess) or containing(names, name:lower())
	errors.reply(req, 404, ("Macro %s does not exist%s"):format(name, guess and (", did you mean %s?"):format(guess) or ""))
end

-- --- what there is ---

local function all(req)
	local text, why = macros.list()
	if text then return json.decode(text) end
	errors.reply(req, 503, why, { ["Retry-After"] = "2" })
end

--- Both the macro's name and the id that tools expect are understood.
local function named(list, name)
	if name:sub(1, #PREFIX) == PREFIX then name = name:sub(#PREFIX + 1) end
	for _, def in ipairs(list) do
		if def.name == name then return def end
	end
end

local kinds = { table= { "RESULT_TABLE", "application/json", "json" },
	json = { "JSON_OBJECT", "application/json", "json" }, html = { "HTML", "text/html", "html" },
	file = { "FILE", "application/gzip", "tar.gz" } }

local function item(def, is_admin)
	local kind = kinds[def.result]
	return {
		runnableType = PREFIX .. def.name, name = def.name, ownerPluginId = PLUGIN, who = def.who, source = def.source, params = def.params,
		adminParams = is_admin and def.adminParams or json.array {}, resultType = kind[1], resultLabel = def.label, mimeType = kind[2], extension = kind[3],
		longDescription = def.about, requiresGlobalAdmin = def.who == "admin", meta = { label = def.label, description = def.about },
	}
end

local function may_run(who, def) return who.is_admin or def.who == "project" end

local function items(req)
	local list = all(req)
	if not list then return nil end
	local out = json.array {}
	for _, def in ipairs(list) do
		if may_run(req.who, def) then out[#out + 1] = item(def, req.who.is_admin) end
	end
	return out
end

function M.list(req, key)
	projects.with(req, key, "run", function()
		local out = items(req)
		if out then reply(req, out) end
	end)
end

--- Calls fn(def) with the macro that req's user may run; else answers.
local function with(req, name, fn)
	local list = all(req)
	local def = list and named(list, name)
	if not list then return end
	if not def then return does_not_exist(req, list, name) end
	if not may_run(req.who, def) then return errors.reply(req, 403, ("Macro %s is for admins"):format(def.name)) end
	fn(def)
end

function M.get(req, key, name)
	projects.with(req, key, "run", function()
		with(req, name, function(def) reply(req, item(def, req.who.is_admin)) end)
	end)
end

-- --- runs ---

local function is_true(v) return v ~= nil and (v:lower() == "true" or v == "1") end

local function object_of(v) return v == nil or v == json.null or (type(v) == "table" and (not json.is_array(v) or next(v) == nil)) end

--- { params, adminParams } of the body as one table; or nil, status, why.
local function sent(req)
	local body, why = {}, nil
	if req.body ~= "" then body, why = json.decode(req.body) end
	if type(body) ~= "table" or (json.is_array(body) and next(body) ~= nil) then return nil, 400, why or "the body has to be a JSON object" end
	if not object_of(body.params) or not object_of(body.adminParams) then return nil, 400, "params and adminParams are objects" end
	local out = {}
	for name, v in pairs(body.params or {}) do out[name] = v end
	for name, v in pairs(body.adminParams or {}) do
		if not req.who.is_admin then return nil, 403, ("param %q is for admins"):format(name) end
		out[name] = v
	end
	return out
end

local function start(req, def, key)
	local given, status, why = sent(req)
	if not given then return errors.reply(req, status, why) end
	local params, trouble = macros.params(def.name, json.encode(next(given) and given or json.object {}), req.who.is_admin)
	if not params then return errors.reply(req, 400, trouble) end
	if key and not req.who.is_admin and def.each and (def.each == "tmp_file" or def.each == "pool" or def.each == "user" or def.each == "node") then
		return errors.reply(req, 403, ("Macro %s goes over the whole instance: it is for admins"):format(def.name))
	end
	runs.start(def, params, { who = req.who.login, is_admin = req.who.is_admin, project = key }, function(run, code, reason)
		if not run then return errors.reply(req, code, reason, { ["Retry-After"] = "2" }) end
		if not is_true(req.query.wait) then return reply(req, { runId = run.id }) end
		runs.wait(run, function() reply(req, { runId = run.id }) end)
	end)
end

function M.run(req, key, name)
	projects.with(req, key, "run", function()
		with(req, name, function(def) start(req, def, key) end)
	end)
end

local function state_json(o)
	return {
		runId = o.id, type = PREFIX .. o.name, macro = o.name, running = o.state == "running", exists = o.exists, empty = not o.has_result, state = o.state,
		startTime = o.started_ms, endTime = o.ended_ms, owner = o.owner, progress = o.progress, resultError = o.error and { message = o.error } or nil,
		storedError = o.error and { message = o.error } or nil,
	}
end

local function progress_of(run)
	local share = run.total > 0 and run.done / run.total or nil
	return { fraction = share, states = json.array { { name = run.doing, cur = run.done, target = run.total > 0 and run.total or -1, unit = "NONE" } } }
end

local function of_run(run)
	return {
		id = run.id, name = run.def.name, state = run.state, exists = true, has_result = run.result ~= nil, started_ms = run.started_ms,
		ended_ms = run.ended_ms, owner = run.who,
		error = run.error, progress = run.state == "running" and progress_of(run) or nil,
	}
end

--- Calls fn(state, run | nil, future | nil) for a run that req's user may see: of this backend, or of the store. A run that is unknown has no state.
local function look(req, run_id, with_result, fn)
	local run = id.is_id(run_id) and runs.find(run_id)
	if run then
		if run.who ~= req.who.login and not req.who.is_admin then return fn(nil) end
		return fn(of_run(run), run)
	end
	if not id.is_id(run_id) then return fn(nil) end
	fleet.get(run_id, with_result, function(answer, f, why)
		if not f and answer ~= "not_found" then return errors.reply_answer(req, answer, why) end
		local state = f and json.decode(f.json)
		local payload = state and type(state.payload) == "table" and state.payload or {}
		if not state or state.type ~= "macro" or (f.owner ~= req.who.login and not req.who.is_admin) then return fn(nil) end
		local said = f.error_json and json.decode(f.error_json) or {}
		fn({
			id = run_id, name = (payload.displayName or ""):match "^Macro (.*)$" or "?", state = f.state, exists = f.has_result or f.state ~= "done",
			has_result = f.has_result,
			started_ms = state.startTime, ended_ms = state.endTime, owner = f.owner, error = said.message,
		}, nil, state)
	end)
end

local function unknown(req, run_id) reply(req, { runId = run_id, running = false, exists = false, empty = true }) end

function M.state_of(req, run_id)
	look(req, run_id, false, function(state)
		if state then reply(req, state_json(state)) else unknown(req, run_id) end
	end)
end

function M.abort_of(req, run_id)
	look(req, run_id, false, function(state, run)
		if not state then return errors.reply(req, 404, ("Run %s does not exist"):format(run_id)) end
		if run then runs.abort(run, req.who.login, run.who ~= req.who.login) end
		reply(req, json.object {})
	end)
end

--- Who asks for the head alone has not fetched it.
local function fetched(req, state, run)
	if req.method == "HEAD" then return end
	if run then runs.forget(run) else runs.forget_stored(state) end
end

--- A file of another backend's life is there still. What was opened is sent to its end, though its name goes at once.
local function send_file(req, state, run)
	local file = files.open(state.id)
	if not file then return errors.reply(req, 410, ("The result of run %s is gone: it is kept for a day, or until it is fetched"):format(state.id)) end
	req.send_file(200, kinds.file[2], file, {
		["Content-Disposition"] = ("attachment; filename=\"%s-%s.tar.gz\""):format(state.name, state.id),
		["Cache-Control"] = "no-store, no-transform",
	})
	if req.method == "HEAD" then return end
	if run then return runs.forget(run) end
	files.drop(state.id)
	runs.forget_stored(state)
end

--- How a result that is no file goes out. What a browser that is led there shows as HTML is of no origin, and runs nothing: it may hold what others wrote.
local function fields_of(is_html)
	return { ["Cache-Control"] = "no-store, no-transform",
		["Content-Security-Policy"] = is_html and "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:" or nil }
end

local function is_file(v) return type(v) == "table" and type(v.file) == "string" and v.columns == nil end

function M.result_of(req, run_id)
	look(req, run_id, true, function(state, run, stored)
		if not state then return errors.reply(req, 404, ("Run %s does not exist"):format(run_id)) end
		if state.state == "running" then return errors.reply(req, 409, ("Run %s has not ended"):format(run_id)) end
		if state.state ~= "done" then return errors.reply(req, 422, state.error or ("the macro ended as %s"):format(state.state)) end
		if not state.has_result then return errors.reply(req, 410, ("The result of run %s was fetched already, or is older than a day"):format(run_id)) end
		if run then
			if run.def.result == "file" then return send_file(req, state, run) end
			local bytes = run.result
			req.reply(200, kinds[run.def.result][2] .. ";charset=utf-8", bytes, fields_of(run.def.result == "html"))
			return fetched(req, state, run)
		end
		local result = stored.result
		if is_file(result) then return send_file(req, state) end
		local is_html = type(result) == "string"
		req.reply(200, kinds[is_html and "html" or "json"][2] .. ";charset=utf-8", is_html and result or json.encode(result), fields_of(is_html))
		fetched(req, state)
	end)
end

function M.abort(req, key, _, run_id) projects.with(req, key, "run", function() M.abort_of(req, run_id) end) end
function M.state(req, key, _, run_id) projects.with(req, key, "run", function() M.state_of(req, run_id) end) end
function M.result(req, key, _, run_id) projects.with(req, key, "run", function() M.result_of(req, run_id) end) end

-- --- over the whole instance ---

function M.all(req)
	local out = items(req)
	if out then reply(req, out) end
end

function M.show(req, name)
	with(req, name, function(def) reply(req, item(def, req.who.is_admin)) end)
end

function M.start(req, name)
	with(req, name, function(def)
		if not req.who.is_admin then
			return errors.reply(req, 403, ("Over the whole instance macro %s is for admins; in a project it is for those who may run there"):format(def.name))
		end
		start(req, def)
	end)
end

function M.runs(req)
	local out = json.array {}
	for _, run in ipairs(runs.all()) do
		if run.who == req.who.login or req.who.is_admin then out[#out + 1] = state_json(of_run(run)) end
	end
	reply(req, out)
end

return M
