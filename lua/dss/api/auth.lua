-- auth: who asks. An identity is { login, is_admin, key = id of the key used | nil }. Keys are found by their SHA-256 (bind.keys).
local crypt = require "bind.crypt"
local files = require "bind.files"
local gate = require "bind.gate"
local jobs = require "bind.jobs"
local keys = require "bind.keys"
local rights = require "bind.rights"
local id = require "dss.text.id"

local M = {}

local ROOT = 0
local NOT_FOR_YOU = "a page of another site may not act for you"

--- Reads config/admin.key, the key of user "admin" that no store holds. true, or nil and why: then nobody is admin by it.
function M.open()
	local text, why = files.read(gate.facts.dir .. "/config/admin.key")
	local key = text and text:match "^%s*(%S+)%s*$"
	if not key then return nil, why or "config/admin.key holds no key" end
	return keys.fix("admin", true, key)
end

--- The key, and whether a browser may have added it by itself.
local function key_of(req)
	local field = req.fields.authorization
	if not field then return nil end
	local scheme, rest = field:match "^(%a+)%s+(%S+)%s*$"
	scheme = scheme and scheme:lower()
	if scheme == "bearer" then return rest end
	if scheme ~= "basic" then return nil end
	local pair = crypt.base64(rest)
	return pair and pair:match "^([^:]*):?", true
end

--- Who connected to run/admin.sock: root and the control user are admins, others are users of their own login. What lives in our boxes is
-- nobody here: in one-user mode it has the control user's uid, and must not be admin by that.
local function by_socket(req)
	if not req.uid then return nil end
	if req.is_boxed then return nil, 403, "processes in this instance's boxes need a key of their own here" end
	if req.uid == ROOT or req.uid == gate.facts.control_uid then return { login = "admin", is_admin = true } end
	if req.login and id.is_login(req.login) then return { login = req.login, is_admin = false } end
	return nil, 403, ("uid %d has no login name that could be a user here"):format(req.uid)
end

-- What a browser says of the page that sends a request: its own, or nobody's (an address typed in). Other sites, and webapps on the next
-- port, may not act with what the browser adds by itself: a name that nginx finds, a key that was typed in as Basic.
local default_port = { http = ":80", https = ":443" } -- which Origin leaves out
local own_site = { ["same-origin"] = true, none = true }

local function is_from_elsewhere(req)
	local f = req.fields
	if req.method == "GET" or req.method == "HEAD" then return false end
	if f["sec-fetch-site"] then return not own_site[f["sec-fetch-site"]] end
	if not f.origin then return false end
	local scheme = req.is_passed and f["x-forwarded-proto"] or "http"
	local own = ("%s://%s"):format(scheme, req.is_passed and f["x-forwarded-host"] or f.host)
	return f.origin ~= own and f.origin .. (default_port[scheme] or "") ~= own
end

local function by_key(req)
	local secret, is_basic = key_of(req)
	local k = secret and secret ~= "" and keys.find(secret)
	if not k then return nil, 401, "Unknown API Key" end
	if is_basic and is_from_elsewhere(req) then return nil, 403, NOT_FOR_YOU end
	return { login = k.user, is_admin = k.is_admin, key = k.id ~= "" and k.id or nil }
end

local function is_known(login)
	if gate.facts.remote_admins[login] then return true end
	for _, k in ipairs(keys.list(login)) do
		if not k.revoked_ms then return true end
	end
	return false
end

--- Whom nginx names, where config/dss.lua lets it; nil: it names nobody. It replaces what a client sent under that name.
local function by_nginx(req)
	local login = req.is_passed and gate.facts.takes_remote_user and req.fields["x-remote-user"]
	if not login then return nil end
	if not id.is_login(login) then return nil, 403, "the name that nginx found is no valid login" end
	if not is_known(login) then return nil, 403, ("%s is no user here: no key was made for this login"):format(login) end
	if is_from_elsewhere(req) then return nil, 403, NOT_FOR_YOU end
	return { login = login, is_admin = gate.facts.remote_admins[login] or false }
end

local function who_asks(req)
	if req.fields.authorization then return by_key(req) end
	if req.fields["x-dku-apiticket"] then
		local login = jobs.ticket(req.fields["x-dku-apiticket"])
		if not login then return nil, 401, "Unknown ticket: it lives as long as the process it was made for" end
		return { login = login, is_admin = false }
	end
	if req.uid then return by_socket(req) end
	local who, status, text = by_nginx(req)
	if who or status then return who, status, text end
	return nil, 401, "No API key: send Authorization: Bearer KEY, or the key as the user of Basic"
end

--- The identity, or nil, status and text.
function M.identify(req)
	local who, status, text = who_asks(req)
	if not who then return nil, status, text end
	local proxy = req.fields["x-dku-proxyuser"]
	if proxy then
		if not who.is_admin then return nil, 403, "X-DKU-ProxyUser needs an admin's key" end
		if not id.is_login(proxy) then return nil, 400, "X-DKU-ProxyUser: not a valid login" end
		return { login = proxy, is_admin = false, key = who.key }
	end
	return who
end

local loopback = { ["127.0.0.1"] = true, ["::1"] = true, unix = true }

--- From this very machine, and not passed on by a proxy on it.
function M.is_local(req)
	local f = req.fields
	return not req.is_passed and (loopback[req.peer] or false) and not (f.forwarded or f["x-forwarded-for"] or f["x-real-ip"] or f.via)
end

--- Whose futures these are, and admins' all. verb ("see", "abort") and facts of a task: what the policies' word `access` grants beyond that.
function M.may(who, owner, verb, facts)
	if who.is_admin or who.login == owner then return true end
	return facts ~= nil and rights.may(who.login, verb, facts)
end

return M
