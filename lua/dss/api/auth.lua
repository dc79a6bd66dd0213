-- auth: who asks. An identity is { login, is_admin }. Keys are compared by their SHA-256, in the same time whatever they are.
local crypt = require "bind.crypt"
local files = require "bind.files"
local gate = require "bind.gate"
local id = require "dss.text.id"

local M = {}

local ROOT = 0
local ADMIN = { login = "admin", is_admin = true }
local admin_hash

--- Reads config/admin.key. true, or nil and why: then nobody is admin by a key.
function M.open()
	local text, why = files.read(gate.facts.dir .. "/config/admin.key")
	local key = text and text:match "^%s*(%S+)%s*$"
	if not key then return nil, why or "config/admin.key holds no key" end
	admin_hash = crypt.sha256(key)
	return true
end

local function key_of(req)
	local field = req.fields.authorization
	if not field then return nil end
	local scheme, rest = field:match "^(%a+)%s+(%S+)%s*$"
	scheme = scheme and scheme:lower()
	if scheme == "bearer" then return rest end
	if scheme ~= "basic" then return nil end
	local pair = crypt.base64(rest)
	return pair and pair:match "^([^:]*):?"
end

local function by_socket(req)
	if req.uid and (req.uid == ROOT or req.uid == gate.facts.control_uid) then return ADMIN end
end

--- The identity, or nil, status and text.
function M.identify(req)
	local key = key_of(req)
	local who = by_socket(req)
	if key then who = admin_hash and crypt.is_same(crypt.sha256(key), admin_hash) and ADMIN or nil end
	if not who and req.fields["x-dku-apiticket"] then return nil, 401, "Unknown ticket: there are none yet; use a key" end
	if not who and req.fields.authorization then return nil, 401, "Unknown API Key" end
	if not who then return nil, 401, "No API key: send Authorization: Bearer KEY, or the key as the user of Basic" end
	local proxy = req.fields["x-dku-proxyuser"]
	if proxy then
		if not who.is_admin then return nil, 403, "X-DKU-ProxyUser needs an admin's key" end
		if not id.is_id(proxy) then return nil, 400, "X-DKU-ProxyUser: not a valid login" end
		return { login = proxy, is_admin = false }
	end
	return who
end

--- Whose futures these are, and admins' all.
function M.may(who, owner) return who.is_admin or who.login == owner end

return M
