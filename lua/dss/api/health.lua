-- health: is the backend well, for monitors; open to all, so nothing in it names users or tasks, and what is wrong with a policy is
-- told to admins alone: everybody else reads where.
local auth = require "dss.api.auth"
local fleet = require "bind.fleet"
local gate = require "bind.gate"
local json = require "bind.json"

local M = {}

local function is_admin(req)
	local who = req.fields.authorization and auth.identify(req)
	return who and who.is_admin
end

local function shown(req, trouble)
	if is_admin(req) then return trouble end
	return (trouble:match "^[^%s:]+:%d+" or "policies/") .. ": refused; an admin is told why"
end

function M.get(req)
	local h = json.decode(fleet.health()) or json.object {}
	local is_safe, trouble = gate.policies()
	local nginx = gate.nginx()
	h.status = trouble == "" and nginx == "" and not is_safe and "ok" or "warning"
	h.version = gate.facts.version
	h.upMs = gate.wall_ms() - gate.facts.started_ms
	h.policies = { taken = trouble == "", lastGood = is_safe, error = trouble ~= "" and shown(req, trouble) or nil }
	if nginx ~= "" then h.nginx = { error = is_admin(req) and nginx or "its configuration was refused; an admin is told why" } end
	req.reply(200, "application/json;charset=utf-8", json.encode(h))
end

local front = [[
dssd %s runs here. With a browser this is its page; without one:
  GET  /health                          is it well (open)
  POST /api/futures                     submit a task        GET /public/api/futures/ID  its state and result
  GET  /api/tasks /api/processes /api/pools
Send the key of config/admin.key: Authorization: Bearer KEY. On the machine itself: bin/dssctl help
]]

function M.front(req) req.reply(200, "text/plain; charset=utf-8", front:format(gate.facts.version)) end

return M
