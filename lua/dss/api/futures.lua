-- futures: submit one, look at it, wait for it, abort it.
local auth = require "dss.api.auth"
local body = require "dss.api.body"
local errors = require "dss.api.errors"
local fleet = require "bind.fleet"
local json = require "bind.json"
local macro_runs = require "dss.api.macro_runs"
local id = require "dss.text.id"
local size = require "dss.text.size"
local webapps = require "dss.api.webapps"

local JSON = "application/json;charset=utf-8"
local WAIT_MAX_S = 60
local TIMEOUT_MAX_MS = 366 * 86400 * 1000

local M = {}

local shape = {
	type = { kind = "text", required = true },
	payload = { kind = "object", required = true },
	pool = { kind = "text" },
	limits = { kind = "object" },
	timeoutMs = { kind = "int", least = 1, most = TIMEOUT_MAX_MS },
	retries = { kind = "int", least = 0, most = 100 },
	priority = { kind = "int", least = -1000, most = 1000 },
	tags = { kind = "texts" },
	title = { kind = "text" },
	project = { kind = "text" },
	user = { kind = "text" },
	clientKey = { kind = "text" },
	exclusive = { kind = "text" },
}

local function read_memory(limits)
	for key in pairs(limits) do
		if key ~= "memory" then return nil, ('unknown key "%s" in limits; there is memory'):format(key) end
	end
	if limits.memory == nil or limits.memory == json.null then return 0 end
	local bytes, why = size.parse(limits.memory)
	if bytes and bytes < 1 then return nil, "limits.memory has to be more than nothing" end
	return bytes, why and "limits.memory: " .. why
end

M.read_memory = read_memory

--- The fleet's request out of a body, or nil, status and reason.
local function read_submit(req)
	local b, why = body.read(req, shape)
	if not b then return nil, 400, why end
	for _, key in ipairs { "type", "pool", "project" } do
		if b[key] and not id.is_id(b[key]) then return nil, 400, ('"%s" is no valid id'):format(key) end
	end
	-- who may train is the project's to say
	if b.type == "train" then return nil, 400, "trainings are started by POST /public/api/projects/PROJECT/models/lab/ANALYSIS/MLTASK/train" end
	if b.user and not id.is_login(b.user) then return nil, 400, ("\"user\": %s is no valid login"):format(b.user) end
	if b.user and not auth.may(req.who, b.user) then return nil, 403, "only an admin may submit for another user" end
	local memory, trouble = read_memory(b.limits or {})
	if not memory then return nil, 400, trouble end
	return {
		owner = b.user or req.who.login, type = b.type, pool = b.pool, project = b.project, title = b.title, client_key = b.clientKey, exclusive = b.exclusive,
		payload = json.member(req.body, "payload"), memory_bytes = memory, timeout_ms = b.timeoutMs or 0, retries = b.retries or 0,
		priority = b.priority or 0, tags = b.tags and #b.tags > 0 and json.encode(json.array(b.tags)) or nil,
	}
end

function M.submit(req)
	local r, status, why = read_submit(req)
	if not r then return errors.reply(req, status, why) end
	local ok, text = fleet.submit(r, function(answer, task, _, reason)
		if answer ~= "ok" then return errors.reply_answer(req, answer, reason) end
		req.reply(200, JSON, '{"alive":true,"hasResult":false,"jobId":"' .. task .. '"}')
	end)
	if ok ~= true then errors.reply_answer(req, ok, text) end
end

local function does_not_exist(req, task) errors.reply(req, 404, ("Future %s does not exist"):format(task)) end

--- Query values: Python's clients write True and False.
local function is_true(v, otherwise)
	if v == nil or v == "" then return otherwise end
	v = v:lower()
	return v == "true" or v == "1"
end

local function result_is_gone(req, task)
	errors.reply(req, 410, ("The result of future %s was deleted: it is older than retention.results of the policies says"):format(task))
end

local function show(req, task, is_peek)
	fleet.get(task, not is_peek, function(answer, f, why)
		if answer == "not_found" or (f and not auth.may(req.who, f.owner, "see", f.facts)) then return does_not_exist(req, task) end
		if not f then return errors.reply_answer(req, answer, why) end
		if f.error_json and not is_peek then return req.reply(422, JSON, f.error_json) end
		if f.ended and f.state == "done" and not f.has_result and not is_peek then return result_is_gone(req, task) end
		req.reply(200, JSON, f.json)
	end)
end

--- The state; without `peek` with the result, or 422 and the reason where it ended without one. `wait`: seconds to wait for its end.
function M.get(req, task)
	if not id.is_id(task) then return does_not_exist(req, task) end
	local is_peek = is_true(req.query.peek, false)
	local wait = tonumber(req.query.wait or "0")
	if not wait or wait ~= wait or wait < 0 then return errors.reply(req, 400, "wait has to be a number of seconds") end
	local project, webapp = webapps.of_future(task)
	if project then return webapps.future(req, project, webapp, is_peek) end
	if wait == 0 then return show(req, task, is_peek) end
	-- whose it is comes first: how long an answer takes must not tell of a foreign task either
	local function await() fleet.wait(task, math.ceil(math.min(wait, WAIT_MAX_S)), function() show(req, task, is_peek) end) end
	local owner, has_ended = fleet.whose(task)
	if owner and auth.may(req.who, owner) then
		if has_ended then return show(req, task, is_peek) end
		return await()
	end
	fleet.get(task, false, function(answer, f, why)
		if answer == "not_found" or (f and not auth.may(req.who, f.owner, "see", f.facts)) then return does_not_exist(req, task) end
		if not f then return errors.reply_answer(req, answer, why) end
		if f.ended then return show(req, task, is_peek) end
		await()
	end)
end

local function may_abort(req, f) return auth.may(req.who, f.owner, "abort", f.facts) end

--- Who may not see it either is not told that it is there.
local function may_not_abort(req, task, f)
	if not f or not auth.may(req.who, f.owner, "see", f.facts) then return does_not_exist(req, task) end
	errors.reply(req, 403, ("Future %s is %s's: you may see it, not abort it"):format(task, f.owner))
end

function M.abort(req, task)
	if not id.is_id(task) then return does_not_exist(req, task) end
	local project, webapp = webapps.of_future(task)
	if project then return webapps.stop(req, project, webapp) end
	fleet.get(task, false, function(answer, f, why)
		if answer == "not_found" or (f and not may_abort(req, f)) then return may_not_abort(req, task, f) end
		if not f then return errors.reply_answer(req, answer, why) end
		local run = macro_runs.find(task)
		if run then
			macro_runs.abort(run, req.who.login, f.owner ~= req.who.login)
		elseif not f.ended then
			local said, text = fleet.abort(task, req.who.login, f.owner ~= req.who.login)
			if said ~= "ok" and said ~= "not_found" then return errors.reply_answer(req, said, text) end
		end
		req.reply(200, JSON, "{}")
	end)
end

--- Running tasks: own ones, with allUsers everybody's (admins).
function M.list(req)
	local is_all = is_true(req.query.allUsers, false)
	if is_all and not req.who.is_admin then return errors.reply(req, 403, "allUsers needs an admin's key") end
	if not is_true(req.query.withNotScenarios, true) then return req.reply(200, JSON, "[]") end
	M.rows(req, not is_all and req.who.login or nil, 0)
end

--- Answers with future states: those of `owner` (nil = everybody's), open ones and up to `ended` ended ones.
function M.rows(req, owner, ended)
	fleet.list(owner, ended, function(rows, why)
		if not rows then return errors.reply_answer(req, "unavailable", why) end
		req.reply(200, JSON, rows)
	end)
end

return M
