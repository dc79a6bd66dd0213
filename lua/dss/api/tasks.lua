-- tasks: one task with all that is known of it, and the same again; the last hour of a pool.
local auth = require "dss.api.auth"
local body = require "dss.api.body"
local errors = require "dss.api.errors"
local fleet = require "bind.fleet"
local futures = require "dss.api.futures"
local id = require "dss.text.id"
local json = require "bind.json"
local rows = require "dss.api.rows"
local tasks = require "bind.tasks"

local JSON = "application/json;charset=utf-8"
local TIMEOUT_MAX_MS = 366 * 86400 * 1000

local M = {}

local function does_not_exist(req, task)
	errors.reply(req, 404, ("Task %s does not exist, or it ended longer ago than retention.tasks of the policies says"):format(task))
end

--- f: its state, t: as it was submitted; where one may see it. Else an answer is given.
local function look(req, task, fn)
	if not id.is_id(task) then return does_not_exist(req, task) end
	fleet.get(task, false, function(answer, f, why)
		if answer == "not_found" or (f and not auth.may(req.who, f.owner, "see", f.facts)) then return does_not_exist(req, task) end
		if not f then return errors.reply_answer(req, answer, why) end
		tasks.read(task, function(said, t, trouble)
			if said == "not_found" then return does_not_exist(req, task) end
			if not t then return errors.reply_answer(req, said, trouble) end
			fn(f, t)
		end)
	end)
end

-- --- one task ---

local function timeline(t, state)
	local out = { { at = t.created_ms, what = "submitted" } }
	if t.started_ms > 0 then out[#out + 1] = { at = t.started_ms, what = "started", attempt = state.attempt, kernel = state.kernel } end
	if state.endTime then out[#out + 1] = { at = state.endTime, what = "ended", state = state.state, cause = state.cause } end
	return json.array(out)
end

local function positive(n) return n > 0 and n or nil end

--- May it be run again by this one, as far as is known here?
local function can_again(req, t) return t.kind == "future" and t.type ~= "train" and t.payload ~= nil and auth.may(req.who, t.owner) end

local function reply_task(req, f, t, process)
	local state = json.decode(f.json)
	local more = {
		limits = { memoryBytes = positive(t.memory_bytes) }, timeoutMs = positive(t.timeout_ms), retries = t.retries, title = t.title,
		timeline = timeline(t, state), again = can_again(req, t),
		ends = json.array(not f.ended and auth.may(req.who, f.owner, "abort", f.facts) and { "abort" } or {}),
		hasLog = t.type == "command" or t.type == "train",
	}
	if next(more.limits) == nil then more.limits = json.object {} end
	if f.error_json then
		more.error = json.decode(f.error_json)
		state.error = nil
	end
	for key, v in pairs(more) do state[key] = v end
	local text = json.encode(state)
	-- a row of C's stays the text that it is
	if process then text = text:sub(1, -2) .. ',"process":' .. process .. "}" end
	req.reply(200, JSON, text)
end

--- State, limits, times, error with its detail, the process it runs in.
function M.get(req, task)
	look(req, task, function(f, t)
		if f.ended or f.state == "queued" then return reply_task(req, f, t) end
		fleet.processes(function(list)
			for row, text in rows.each(list or "[]") do
				if row.taskId == task then return reply_task(req, f, t, text) end
			end
			reply_task(req, f, t)
		end)
	end)
end

-- --- again ---

local function request_of(req, t, memory, timeout_ms)
	return {
		owner = req.who.login, type = t.type, pool = t.pool, project = t.project, title = t.title, exclusive = t.exclusive, payload = t.payload,
		memory_bytes = memory or t.memory_bytes, timeout_ms = timeout_ms or t.timeout_ms, retries = t.retries, priority = t.priority, tags = t.tags,
	}
end

local function refusal(task, t)
	if t.kind ~= "future" then return 400, ("Task %s is a %s: only futures are run again by this"):format(task, t.kind) end
	if t.type == "train" then return 400, "trainings are started by POST /public/api/projects/PROJECT/models/lab/ANALYSIS/MLTASK/train" end
	if not t.payload then return 410, ("What task %s ran was deleted"):format(task) end
end

--- {"limits"?,"timeoutMs"?}: the same payload, type, pool, title, project, tags … as a new task of the one who asks → {"jobId"}.
function M.again(req, task)
	local b, why = {}, nil
	if req.body ~= "" then b, why = body.read(req, { limits = { kind = "object" }, timeoutMs = { kind = "int", least = 1, most = TIMEOUT_MAX_MS } }) end
	if not b then return errors.reply(req, 400, why) end
	local memory, trouble
	if b.limits then memory, trouble = futures.read_memory(b.limits) end
	if trouble then return errors.reply(req, 400, trouble) end
	look(req, task, function(f, t)
		if not auth.may(req.who, f.owner) then return errors.reply(req, 403, ("Task %s is %s's: you may see it, not run it again"):format(task, f.owner)) end
		local status, text = refusal(task, t)
		if status then return errors.reply(req, status, text) end
		local ok, reason = fleet.submit(request_of(req, t, memory, b.timeoutMs), function(answer, new, _, words)
			if answer ~= "ok" then return errors.reply_answer(req, answer, words) end
			req.reply(200, JSON, json.encode { jobId = new, hasResult = false, alive = true })
		end)
		if ok ~= true then errors.reply_answer(req, ok, reason) end
	end)
end

-- --- pools ---

--- The last hour at 10 s: as long as this backend lives.
function M.pool_curve(req, pool)
	local curve = id.is_id(pool) and tasks.pool_curve(pool)
	if not curve then return errors.reply(req, 404, ("Pool %s does not exist"):format(pool)) end
	req.reply(200, JSON, curve)
end

return M
