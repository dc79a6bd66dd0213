-- keys: who may use the API. A key is told once, in the answer that makes it; lists never have it.
local body = require "dss.api.body"
local errors = require "dss.api.errors"
local id = require "dss.text.id"
local json = require "bind.json"
local keys = require "bind.keys"
local stats = require "bind.stats"

local JSON = "application/json;charset=utf-8"
local LABEL_MAX = 200

local M = {}

local shape = { user = { kind = "text", required = true }, label = { kind = "text" }, admin = { kind = "bool" } }

local function shown(k)
	return {
		id = k.id, user = k.user, label = k.label or json.null, admin = k.is_admin, createdAt = k.created_ms, lastUsedAt = k.last_used_ms,
		revokedAt = k.revoked_ms,
	}
end

local function tell(what, k, by) stats.tell(what, k.id, k.user, json.encode { user = k.user, admin = k.is_admin, by = by }) end

function M.make(req)
	local b, why = body.read(req, shape)
	if not b then return errors.reply(req, 400, why) end
	if not id.is_login(b.user) then
		return errors.reply(req, 400, ('"%s" is no valid login: up to 64 letters, digits and _.-, and no reserved word'):format(b.user))
	end
	if b.label and #b.label > LABEL_MAX then return errors.reply(req, 400, ("the label has more than %d bytes"):format(LABEL_MAX)) end
	if b.user == "admin" and not b.admin then return errors.reply(req, 400, 'a key of user "admin" is an admin\'s: say "admin": true') end
	local secret, trouble
	secret, trouble = keys.make(b.user, b.label, b.admin or false, function(k, reason)
		if not k then return errors.reply_answer(req, "unavailable", reason) end
		tell("key.made", k, req.who.login)
		local answer = shown(k)
		answer.key = secret
		req.reply(200, JSON, json.encode(answer), { ["Cache-Control"] = "no-store" })
	end)
	if not secret then errors.reply_answer(req, "unavailable", trouble) end
end

--- Own ones, admins everybody's; with revoked=true also those that are over.
function M.list(req)
	local out, with_revoked = {}, (req.query.revoked or ""):lower() == "true"
	for _, k in ipairs(keys.list(not req.who.is_admin and req.who.login or nil)) do
		if with_revoked or not k.revoked_ms then out[#out + 1] = shown(k) end
	end
	req.reply(200, JSON, json.encode(json.array(out)))
end

function M.revoke(req, key)
	local k = id.is_id(key) and keys.get(key)
	if not k or not (req.who.is_admin or k.user == req.who.login) then return errors.reply(req, 404, ("Key %s does not exist"):format(key)) end
	local is_new = not k.revoked_ms
	local ok, why = keys.revoke(key, function(done, reason)
		if not done then return errors.reply_answer(req, "unavailable", "the key is still valid: " .. reason) end
		if is_new then tell("key.revoked", k, req.who.login) end
		req.reply(200, JSON, "{}")
	end)
	if not ok then errors.reply_answer(req, "unavailable", why) end
end

return M
