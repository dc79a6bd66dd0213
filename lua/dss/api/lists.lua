-- lists: what there is, as top-level arrays: processes, pools, tasks.
local errors = require "dss.api.errors"
local fleet = require "bind.fleet"
local futures = require "dss.api.futures"
local json = require "bind.json"

local JSON = "application/json;charset=utf-8"
local ENDED_DEFAULT, ENDED_MAX = 100, 1000

local M = {}

--- Without the processes that work for somebody else.
local function visible(rows, login)
	local out = {}
	for _, row in ipairs(json.decode(rows)) do
		if row.user == nil or row.user == login then out[#out + 1] = row end
	end
	return json.encode(json.array(out))
end

function M.processes(req)
	fleet.processes(function(rows, why)
		if not rows then return errors.reply_answer(req, "unavailable", why) end
		req.reply(200, JSON, req.who.is_admin and rows or visible(rows, req.who.login))
	end)
end

function M.pools(req) req.reply(200, JSON, fleet.pools()) end

--- All kinds of tasks; so far futures. `ended`: how many ended ones beside the open ones.
function M.tasks(req)
	local ended = math.tointeger(tonumber(req.query.ended or ENDED_DEFAULT))
	if not ended or ended < 0 then return errors.reply(req, 400, "ended has to be a whole number") end
	futures.rows(req, not req.who.is_admin and req.who.login or nil, math.min(ended, ENDED_MAX))
end

return M
