-- events: facts as they happen, as server-sent events. Ids are `epoch-seq`; a client that comes back with Last-Event-ID (or ?since=)
-- gets what it has missed. Admins see all, others what is theirs or everybody's. ?board=true: what runs and waits comes along (core/node/node_board.h).
local errors = require "dss.api.errors"

local M = {}

--- "12-34" → 12, 34; "" and nil → nothing; else nil, true.
local function place(text)
	if text == nil or text == "" then return end
	local epoch, number = text:match "^(%d+)%-(%d+)$"
	epoch, number = math.tointeger(tonumber(epoch)), math.tointeger(tonumber(number))
	if not epoch or not number then return nil, true end
	return epoch, number
end

function M.follow(req)
	local who = req.who
	local order = { login = not who.is_admin and who.login or nil, user = who.login, is_admin = who.is_admin }
	order.epoch, order.seq = place(req.fields["last-event-id"] or req.query.since)
	if order.seq == true then return errors.reply(req, 400, "Last-Event-ID has to be EPOCH-SEQ, as an event's id is") end
	local wants = (req.query.board or "false"):lower()
	if wants ~= "true" and wants ~= "false" then return errors.reply(req, 400, "board has to be true or false") end
	order.board = wants == "true"
	order.board_epoch, order.board_rev = place(req.query.rev)
	if order.board_rev == true then return errors.reply(req, 400, "rev has to be EPOCH-REV, as the last event of the board told it") end
	local ok, why = req.follow(order)
	if not ok then errors.reply_answer(req, "unavailable", why) end
end

return M
