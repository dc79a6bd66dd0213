-- board: everything that runs or waits now, of all kinds, and what processes used over time. Own ones, admins all.
local board = require "bind.board"
local errors = require "dss.api.errors"
local facts = require "dss.model.facts"
local filter = require "dss.text.filter"
local gate = require "bind.gate"
local rows = require "dss.api.rows"

local JSON = "application/json;charset=utf-8"
local POINTS, IDS_MOST, ID_MAX = 60, 200, 127

local M = {}

local function own_login(req) return not req.who.is_admin and req.who.login or nil end

function M.list(req)
	local text, f = req.query.where, nil
	if text then
		local why
		f, why = filter.parse(text, facts.of "board")
		if not f then return errors.reply(req, 400, why) end
	end
	local list = board.rows(own_login(req))
	if not f then return req.reply(200, JSON, list) end
	local out, now_s = {}, gate.wall_ms() / 1000
	for row, row_text in rows.each(list) do
		if f.test(facts.from_row("board", row, now_s, f.reads)) then out[#out + 1] = row_text end
	end
	req.reply(200, JSON, rows.join(out), { ["Where-Matched"] = ("%d"):format(#out) })
end

function M.curves(req)
	local ids, n = req.query.ids or "", 0
	for id in ids:gmatch "[^,]+" do
		n = n + 1
		if #id > ID_MAX then return errors.reply(req, 400, "ids: one is longer than that of any process") end
	end
	if n == 0 then return errors.reply(req, 400, "ids is missing: ids of processes, separated by commas") end
	if n > IDS_MOST then return errors.reply(req, 400, ("ids has %d processes, %d are the most"):format(n, IDS_MOST)) end
	local points = math.tointeger(tonumber(req.query.points or POINTS))
	if not points or points < 1 or points > POINTS then return errors.reply(req, 400, ("points has to be a whole number from 1 to %d"):format(POINTS)) end
	req.reply(200, JSON, board.curves(own_login(req), ids, points))
end

function M.curve(req, process)
	local text = #process <= ID_MAX and board.curve(own_login(req), process)
	if not text then
		return errors.reply(req, 404, ("nothing is known of process %s: it never was, is another's, or ended long ago"):format(process:sub(1, ID_MAX)))
	end
	req.reply(200, JSON, text)
end

return M
