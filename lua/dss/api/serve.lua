-- serve: takes each request: finds its route, checks who asks, hands it on, counts the answer.
local auth = require "dss.api.auth"
local errors = require "dss.api.errors"
local log = require "bind.log"
local metrics = require "dss.api.metrics"
local routes = require "dss.api.routes"

local M = {}

local is_open, why = auth.open()
if not is_open then log.warn("nobody is admin by a key: " .. why) end

-- Methods that a client may invent do not become labels.
local known = { GET = true, HEAD = true, POST = true, PUT = true, DELETE = true }

--- Puts a count before the answer.
local function watch(req, route)
	local reply, follow, send_file = req.reply, req.follow, req.send_file
	local method, path = known[req.method] and req.method or "OTHER", route and route.path or "(none)"
	function req.reply(status, ...)
		metrics.count(method, path, status)
		return reply(status, ...)
	end
	if send_file then
		function req.send_file(status, ...)
			metrics.count(method, path, status)
			return send_file(status, ...)
		end
	end
	if follow then
		function req.follow(...)
			local ok, trouble = follow(...)
			if ok then metrics.count(method, path, 200) end
			return ok, trouble
		end
	end
end

local function check(req, right)
	if right == "open" or (right == "local" and auth.is_local(req)) then return true end
	local who, status, text = auth.identify(req)
	if not who then return nil, status, text end
	if right == "admin" and not who.is_admin then return nil, 403, "this needs an admin's key" end
	req.who = who
	return true
end

function M.take(req)
	local route, rest = routes.find(req.method, req.segments)
	watch(req, route)
	if not route and #rest == 0 then return errors.reply(req, 404, ("%s does not exist"):format(req.path)) end
	if not route then
		return errors.reply(req, 405, ("%s is not for %s"):format(req.method, req.path), { Allow = table.concat(rest, ", ") })
	end
	local ok, status, text = check(req, route.right)
	if not ok then return errors.reply(req, status, text) end
	route.handler(req, table.unpack(rest))
end

return M
