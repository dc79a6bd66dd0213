-- events: facts as they happen, as server-sent events. Ids are `epoch-seq`; a client that comes back with Last-Event-ID (or ?since=)
-- gets what it has missed. Admins see all, others what is theirs or everybody's.
local errors = require "dss.api.errors"

local M = {}

function M.follow(req)
	local since = req.fields["last-event-id"] or req.query.since
	local epoch, seq
	if since and since ~= "" then
		epoch, seq = since:match "^(%d+)-(%d+)$"
		epoch, seq = math.tointeger(tonumber(epoch)), math.tointeger(tonumber(seq))
		if not epoch or not seq then return errors.reply(req, 400, "Last-Event-ID has to be EPOCH-SEQ, as an event's id is") end
	end
	local ok, why = req.follow(not req.who.is_admin and req.who.login or nil, epoch, seq)
	if not ok then errors.reply_answer(req, "unavailable", why) end
end

return M
