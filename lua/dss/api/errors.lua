-- errors: the one shape of an error answer: {"errorType","message"} with the class names that clients look for.
local json = require "bind.json"

local M = {}

local types = {
	[400] = "IllegalArgumentException", [401] = "NotAuthenticatedException", [403] = "UnauthorizedException",
	[404] = "NotFoundException", [405] = "MethodNotAllowedException", [409] = "ConflictException", [410] = "GoneException", [422] = "TaskEndedException",
	[501] = "NotImplementedException", [503] = "UnavailableException",
}

function M.type_of(status) return "dss.exceptions." .. (types[status] or (status < 500 and types[400]) or "InternalException") end

--- Answers with an error. fields: further header fields.
function M.reply(req, status, text, fields)
	local body = json.encode { errorType = M.type_of(status), message = text }
	if status == 401 then
		fields = fields or {}
		fields["WWW-Authenticate"] = 'Bearer realm="dss"'
	end
	req.reply(status, "application/json;charset=utf-8", body, fields)
end

local statuses = { ok = 200, bad = 400, not_found = 404, not_allowed = 403, unavailable = 503, conflict = 409 }

--- Answers with what the fleet said: "bad" "not_found" "not_allowed" "unavailable".
function M.reply_answer(req, answer, text)
	local status = statuses[answer] or 500
	M.reply(req, status, text or answer, status == 503 and { ["Retry-After"] = "2" } or nil)
end

return M
