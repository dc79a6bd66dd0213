-- lists: what there is, as top-level arrays: processes, pools, tasks. ?where=FILTER leaves those that the filter says true of; the field
-- Where-Matched of the answer, their number, tells that it was understood.
local errors = require "dss.api.errors"
local facts = require "dss.model.facts"
local filter = require "dss.text.filter"
local fleet = require "bind.fleet"
local futures = require "dss.api.futures"
local gate = require "bind.gate"
local json = require "bind.json"

local JSON = "application/json;charset=utf-8"
local ENDED_DEFAULT, ENDED_MAX = 100, 1000

local M = {}

--- The request's filter on a kind of rows: nil = none is asked for; false = it was no filter, and 400 is answered.
local function where_of(req, kind)
	local text = req.query.where
	if text == nil then return nil end
	local f, why = filter.parse(text, facts.of(kind))
	if not f then
		errors.reply(req, 400, why)
		return false
	end
	return f
end

--- Without the processes that work for somebody else. login: nil = all are shown.
local function visible(rows, login)
	if not login then return rows end
	local out = {}
	for _, row in ipairs(rows) do
		if row.user == nil or row.user == login then out[#out + 1] = row end
	end
	return out
end

local function matching(rows, kind, f)
	local out, now_s, test, reads = {}, gate.wall_ms() / 1000, f.test, f.reads
	for _, row in ipairs(rows) do
		if test(facts.from_row(kind, row, now_s, reads)) then out[#out + 1] = row end
	end
	return out
end

local function reply_matching(req, rows, kind, f)
	rows = matching(rows, kind, f)
	req.reply(200, JSON, json.encode(json.array(rows)), { ["Where-Matched"] = ("%d"):format(#rows) })
end

local function own_login(req) return not req.who.is_admin and req.who.login or nil end

function M.processes(req)
	local f = where_of(req, "process")
	if f == false then return end
	fleet.processes(function(rows, why)
		if not rows then return errors.reply_answer(req, "unavailable", why) end
		local login = own_login(req)
		if not f and not login then return req.reply(200, JSON, rows) end
		local shown = visible(json.decode(rows), login)
		if not f then return req.reply(200, JSON, json.encode(json.array(shown))) end
		reply_matching(req, shown, "process", f)
	end)
end

--- The node's memory: what is there, what is promised, and to which pool.
function M.node(req) req.reply(200, JSON, fleet.node()) end

function M.pools(req)
	local f = where_of(req, "pool")
	if f == false then return end
	if not f then return req.reply(200, JSON, fleet.pools()) end
	reply_matching(req, json.decode(fleet.pools()), "pool", f)
end

-- facts of a task that its kernel's row has
local of_kernel = { memory = "memoryBytes", peak = "peakBytes", limit = "limitBytes" }

local function reads_kernel(f)
	for _, name in ipairs(f.reads) do
		if of_kernel[name] then return true end
	end
	return false
end

--- Tells each task at work what its kernel uses. Rows that another login must not see stay unread: a kernel works for one user alone.
local function add_usage(tasks, processes)
	local by_task = {}
	for _, p in ipairs(processes) do
		if p.taskId then by_task[p.taskId] = p end
	end
	for _, row in ipairs(tasks) do
		local p = by_task[row.jobId]
		for _, field in pairs(of_kernel) do
			if p and row[field] == nil then row[field] = p[field] end
		end
	end
end

local function tasks_where(req, f, ended)
	fleet.list(own_login(req), ended, function(rows, why)
		if not rows then return errors.reply_answer(req, "unavailable", why) end
		rows = json.decode(rows)
		if not reads_kernel(f) then return reply_matching(req, rows, "task", f) end
		fleet.processes(function(processes, trouble)
			if not processes then return errors.reply_answer(req, "unavailable", trouble) end
			add_usage(rows, json.decode(processes))
			reply_matching(req, rows, "task", f)
		end)
	end)
end

--- All kinds of tasks; so far futures. `ended`: how many ended ones beside the open ones.
function M.tasks(req)
	local ended = math.tointeger(tonumber(req.query.ended or ENDED_DEFAULT))
	if not ended or ended < 0 then return errors.reply(req, 400, "ended has to be a whole number") end
	local f = where_of(req, "task")
	if f == false then return end
	if f then return tasks_where(req, f, math.min(ended, ENDED_MAX)) end
	futures.rows(req, own_login(req), math.min(ended, ENDED_MAX))
end

--- What filters can ask of each kind of row, for help and completion.
function M.facts(req)
	local out = {}
	for _, kind in ipairs { "process", "task", "pool" } do out[kind] = json.array(facts.docs(kind)) end
	req.reply(200, JSON, json.encode(out))
end

return M
