-- alerts: what an admin should know now, until it is over.
local alerts = require "bind.alerts"

local M = {}

--- The board, worst first: key level subject source text since last count. Times in ms since 1970.
function M.list(req) req.reply(200, "application/json;charset=utf-8", alerts.list()) end

return M
