-- serve: takes each request: finds its route, checks who asks, hands it on.
local auth = require "dss.api.auth"
local errors = require "dss.api.errors"
local log = require "bind.log"
local routes = require "dss.api.routes"

local M = {}

local is_open, why = auth.open()
if not is_open then log.warn("nobody is admin by a key: " .. why) end

function M.take(req)
	local route, rest = routes.find(req.method, req.segments)
	if not route and #rest == 0 then return errors.reply(req, 404, ("%s does not exist"):format(req.path)) end
	if not route then
		return errors.reply(req, 405, ("%s is not for %s"):format(req.method, req.path), { Allow = table.concat(rest, ", ") })
	end
	if route.right ~= "open" then
		local who, status, text = auth.identify(req)
		if not who then return errors.reply(req, status, text) end
		req.who = who
	end
	route.handler(req, table.unpack(rest))
end

return M
