-- me: who asks, and of which instance; what the page has to know before it shows anything.
local fleet = require "bind.fleet"
local gate = require "bind.gate"
local json = require "bind.json"
local keys = require "bind.keys"
local notebooks = require "bind.notebooks"

local M = {}

function M.get(req)
	local who, health = req.who, json.decode(fleet.health()) or {}
	local key = who.key and keys.get(who.key)
	req.reply(200, "application/json;charset=utf-8", json.encode {
		user = who.login, isAdmin = who.is_admin, keyId = who.key, label = key and key.label,
		instance = health.instance, version = gate.facts.version, isolation = health.isolation, cgroups = health.cgroups,
		oneUser = gate.facts.is_one_user, notebooks = notebooks.has_server(), webappsPort = gate.webapps_port(),
	}, { ["Cache-Control"] = "no-store" })
end

return M
