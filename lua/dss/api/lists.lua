-- lists: what there is, as top-level arrays: processes, pools, tasks. ?where=FILTER leaves those that the filter says true of; the field
-- Where-Matched of the answer, their number, tells that it was understood.
local errors = require "dss.api.errors"
local facts = require "dss.model.facts"
local filter = require "dss.text.filter"
local fleet = require "bind.fleet"
local futures = require "dss.api.futures"
local gate = require "bind.gate"
local json = require "bind.json"
local members = require "dss.api.members"
local rows = require "dss.api.rows"

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

--- Texts of the rows that are shown to `login` (nil = all) and that the filter (nil = none) is true of. known(row): adds what the row lacks.
-- tell(row, text): the text that is shown of it.
local function matching(list, kind, login, f, known, tell)
	local out, now_s = {}, gate.wall_ms() / 1000
	for row, text in rows.each(list) do
		-- kernels that work for somebody else are nobody else's business; tasks and pools have no such member
		local is_shown = not login or row.user == nil or row.user == login
		if is_shown and known then known(row) end
		if is_shown and (not f or f.test(facts.from_row(kind, row, now_s, f.reads))) then out[#out + 1] = tell and tell(row, text) or text end
	end
	return out
end

local function reply_matching(req, ...)
	local texts = matching(...)
	req.reply(200, JSON, rows.join(texts), { ["Where-Matched"] = ("%d"):format(#texts) })
end

local function own_login(req) return not req.who.is_admin and req.who.login or nil end

function M.processes(req)
	local f = where_of(req, "process")
	if f == false then return end
	local wants_members = (req.query.members or "false"):lower()
	if wants_members ~= "true" and wants_members ~= "false" then return errors.reply(req, 400, "members has to be true or false") end
	wants_members = wants_members == "true"
	fleet.processes(function(list, why)
		if not list then return errors.reply_answer(req, "unavailable", why) end
		local login = own_login(req)
		local tell = wants_members and members.reader(login) or nil
		if f then return reply_matching(req, list, "process", login, f, nil, tell) end
		req.reply(200, JSON, (login or tell) and rows.join(matching(list, "process", login, nil, nil, tell)) or list)
	end)
end

--- The node's memory: what is there, what is promised, and to which pool.
function M.node(req) req.reply(200, JSON, fleet.node()) end

function M.pools(req)
	local f = where_of(req, "pool")
	if f == false then return end
	if not f then return req.reply(200, JSON, fleet.pools()) end
	reply_matching(req, fleet.pools(), "pool", nil, f)
end

-- facts of a task that its kernel's row has
local of_kernel = { memory = "memoryBytes", peak = "peakBytes", limit = "limitBytes" }

local function reads_kernel(f)
	for _, name in ipairs(f.reads) do
		if of_kernel[name] then return true end
	end
	return false
end

--- Tells a task at work what its kernel uses.
local function usage_of(processes)
	local by_task = {}
	for p in rows.each(processes) do
		if p.taskId then by_task[p.taskId] = p end
	end
	return function(row)
		local p = by_task[row.jobId]
		for _, field in pairs(of_kernel) do
			if p and row[field] == nil then row[field] = p[field] end
		end
	end
end

local function tasks_where(req, f, ended)
	fleet.list(own_login(req), ended, function(list, why)
		if not list then return errors.reply_answer(req, "unavailable", why) end
		if not reads_kernel(f) then return reply_matching(req, list, "task", nil, f) end
		fleet.processes(function(processes, trouble)
			if not processes then return errors.reply_answer(req, "unavailable", trouble) end
			reply_matching(req, list, "task", nil, f, usage_of(processes))
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
	for _, kind in ipairs { "process", "task", "pool", "webapp", "notebook", "board" } do out[kind] = json.array(facts.docs(kind)) end
	req.reply(200, JSON, json.encode(out))
end

return M
