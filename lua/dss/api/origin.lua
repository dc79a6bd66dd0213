-- origin: the webapps' own port (N+3). It serves /web-apps-backends/PROJECT/WEBAPP/… and nothing else: what a webapp's page asks of its own
-- origin is never the API. A browser comes in with a ticket, which the page's port puts into a link (M.enter), and stays with a cookie; a
-- script sends its key. Who may read the project may use its webapps; that is asked at the start of each request.
local Passes = require "dss.api.passes"
local auth = require "dss.api.auth"
local crypt = require "bind.crypt"
local errors = require "dss.api.errors"
local files = require "bind.files"
local gate = require "bind.gate"
local id = require "dss.text.id"
local jobs = require "bind.jobs"
local json = require "bind.json"
local keys = require "bind.keys"
local projects = require "dss.api.projects"
local webapps = require "bind.webapps"

local ROOT = "web-apps-backends"
local COOKIE = "dss-webapp"
local TICKET = "dss-ticket"
local TAIL = 16 * 1024
local LINES = 20
local HTML = "text/html; charset=utf-8"

local M = {}

local passes = Passes.new {
	sign = webapps.sign, random = webapps.random, boot = tostring(gate.facts.started_ms), now_s = function() return gate.wall_ms() // 1000 end,
}

-- --- pages ---

local entity = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;" }
local function escape(s) return (s:gsub("[&<>\"']", entity):gsub("[%z\1-\8\11-\31\127]", "?")) end

--- A page for people, JSON for programs. lines: of a log, or nil.
local function say(req, status, text, lines, fields)
	fields = fields or {}
	fields["X-Frame-Options"] = "DENY"
	if status == 401 and not fields["WWW-Authenticate"] then fields["WWW-Authenticate"] = 'Bearer realm="dss"' end
	if not (req.fields.accept or ""):find("text/html", 1, true) then
		local body = { errorType = errors.type_of(status), message = text, lines = lines and json.array(lines) or nil }
		return req.reply(status, "application/json;charset=utf-8", json.encode(body), fields)
	end
	fields["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'"
	local out = {
		"<!doctype html><meta charset=utf-8><title>", tostring(status), "</title><style>body{font:16px/1.5 system-ui,sans-serif;max-width:48em;",
		"margin:4em auto;padding:0 1em}pre{background:#f4f4f4;padding:1em;overflow:auto}</style><p>", escape(text), "</p>",
	}
	if lines and #lines > 0 then
		out[#out + 1] = "<p>The end of its log:</p><pre>"
		out[#out + 1] = escape(table.concat(lines, "\n"))
		out[#out + 1] = "</pre>"
	end
	req.reply(status, HTML, table.concat(out), fields)
end

local function last_lines(key, name)
	local bytes, size = jobs.log(key, "webapp-" .. name, -TAIL, TAIL)
	if not bytes then return {} end
	if size > TAIL then bytes = bytes:match "^[^\n]*\n(.*)$" or bytes end
	local all, lines = {}, {}
	for line in bytes:gmatch "[^\n]+" do all[#all + 1] = utf8.len(line) and line or line:gsub("[\x80-\xff]", "?") end
	for i = math.max(1, #all - LINES + 1), #all do lines[#lines + 1] = all[i] end
	return lines
end

-- --- what proves who somebody is, and whether it still does ---

--- Another key, another mark: who came in with the old one is out.
local function admin_mark()
	local text = files.read(gate.facts.dir .. "/config/admin.key") or ""
	return (crypt.sha256("webapps\n" .. text):sub(1, 8):gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end
local mark = admin_mark()

--- "k" KEY's id, "f" mark of config/admin.key, "r" nginx, "s" run/admin.sock; nil: a process's ticket, which would outlive its process.
local function proof_of(req) -- in the order in which auth asks
	if req.who.key then return "k" .. req.who.key end
	if req.fields.authorization then return "f" .. mark end
	if req.fields["x-dku-apiticket"] then return nil end
	if req.uid then return "s" end
	return req.is_passed and gate.facts.takes_remote_user and req.fields["x-remote-user"] and "r" or nil
end

local function has_key(login)
	if gate.facts.remote_admins and gate.facts.remote_admins[login] then return true end
	for _, k in ipairs(keys.list(login)) do
		if not k.revoked_ms then return true end
	end
	return false
end

local function holds(who)
	local kind, rest = who.proof:sub(1, 1), who.proof:sub(2)
	if kind == "s" then return true end
	if kind == "f" then return rest == mark end
	if kind == "r" then
		local may_be_admin = gate.facts.remote_admins and gate.facts.remote_admins[who.login]
		return (gate.facts.takes_remote_user or false) and has_key(who.login) and (not who.is_admin or may_be_admin or false)
	end
	local k = kind == "k" and keys.get(rest)
	if not k or k.revoked_ms then return false end
	-- An admin's key may speak for another.
	return (k.user == who.login or k.is_admin) and (k.is_admin or not who.is_admin)
end

-- --- the page's port: the way in ---

local function link(req, key, name, rest)
	local port = gate.webapps_port()
	local f = req.fields
	local host = ((req.is_passed and f["x-forwarded-host"]) or f.host or "127.0.0.1"):gsub(":%d+$", "")
	local scheme = req.is_passed and f["x-forwarded-proto"] == "https" and "https" or "http"
	return ("%s://%s:%d/%s/%s/%s%s"):format(scheme, host, port, ROOT, key, name, rest)
end

--- A ticket for req's user, or nil after an answer.
local function issue(req, key, name)
	local proof = proof_of(req)
	if not gate.webapps_port() then
		errors.reply(req, 503, "this instance was started without the webapps' port: restart it (bin/dss restart)")
	elseif not proof then
		errors.reply(req, 403, "a process's ticket opens no session: send it to the webapps' port with each request, or use a key")
	else
		return passes:ticket({ login = req.who.login, is_admin = req.who.is_admin, proof = proof }, key, name)
	end
end

--- Calls fn(data) for who may read the project and where there is such a webapp.
local function with(req, key, name, fn, refuse)
	local function missing() return refuse(404, ("Webapp %s does not exist in project %s"):format(name, key)) end
	if not id.is_id(key) or not id.is_id(name) then return missing() end
	jobs.project(key, function(state, raw, why)
		if state == "failed" then return refuse(503, why) end
		-- a mistake in the file takes no page from those who are at it
		local data = state == "good" and projects.read(key, raw) or state == "bad" and projects.held(req.who, key)
		if not data or not projects.may(req.who, data, "read") then return missing() end
		if not (data.webapps or {})[name] and not webapps.address(key, name).process then return missing() end
		fn(data)
	end)
end

--- A browser adds Basic and what nginx finds by itself: a page of another origin, as each webapp's, would bring whoever looks at it into any
--- other webapp by a frame or a script. Who goes there himself is let in from everywhere.
local function is_within_others_page(req)
	local site, dest = req.fields["sec-fetch-site"], req.fields["sec-fetch-dest"]
	return (site == "same-site" or site == "cross-site") and dest ~= "document"
end

--- GET /web-apps-backends/P/ID/… of the page's port: there, with a ticket. A browser asks for the key: it is the user, nothing the password.
function M.enter(req, key, name)
	if is_within_others_page(req) then return say(req, 403, "a page of another origin may not let you in: open the webapp by itself") end
	local who, status, text = auth.identify(req)
	if not who then
		return say(req, status, text, nil, status == 401 and { ["WWW-Authenticate"] = 'Basic realm="dss: your API key as the user"' } or nil)
	end
	req.who = who
	with(req, key, name, function()
		local ticket = issue(req, key, name)
		if not ticket then return end
		local rest, query = req.target:match "^/+[^/?]+/+[^/?]+/+[^/?]+([^?]*)%??(.*)$"
		if not rest or rest == "" then rest = "/" end
		query = (query and query ~= "") and query .. "&" or ""
		req.reply(302, nil, "", { Location = link(req, key, name, ("%s?%s%s=%s"):format(rest, query, TICKET, ticket)), ["Referrer-Policy"] = "no-referrer" })
	end, function(code, why) errors.reply(req, code, why) end)
end

--- For dssctl webapps open: the same as data.
function M.ticket(req, key, name)
	with(req, key, name, function()
		local ticket = issue(req, key, name)
		if not ticket then return end
		local rest = ("/?%s=%s"):format(TICKET, ticket)
		local body = { url = link(req, key, name, rest), path = ("/%s/%s/%s%s"):format(ROOT, key, name, rest), port = gate.webapps_port(),
			expiresIn = Passes.TICKET_S * 1000 }
		req.reply(200, "application/json;charset=utf-8", json.encode(body))
	end, function(status, text) errors.reply(req, status, text) end)
end

-- --- the webapps' port ---

--- Values of our cookie; a webapp's script could have set one of that name for another's path.
local function our_cookies(field)
	local found = {}
	for name, value in (field or ""):gmatch "%s*([^=;%s]+)=([^;%s]*)" do
		if name == COOKIE then found[#found + 1] = value end
	end
	return found
end

local function by_cookie(req, key, name)
	local found
	for _, value in ipairs(our_cookies(req.fields.cookie)) do
		local who = passes:read(value, key, name)
		if who and holds(who) then
			if found and found.login ~= who.login then return nil end
			found = who
		end
	end
	return found
end

local function is_like_key(authorization)
	local secret = authorization:match "^%a+%s+(%S+)%s*$" or ""
	return #secret == 64 and not secret:find "%X"
end

--- A key or ticket of ours in the header. who | nil, was it ours.
local function by_header(req)
	local f = req.fields
	if not f.authorization and not f["x-dku-apiticket"] then return nil, false end
	-- Not whose socket it is: behind nginx that is nginx's.
	local who = auth.identify { method = req.method, fields = { authorization = f.authorization, ["x-dku-apiticket"] = f["x-dku-apiticket"],
		["x-dku-proxyuser"] = f["x-dku-proxyuser"] } }
	return who, f.authorization ~= nil and (who ~= nil or is_like_key(f.authorization))
end

--- With a cookie alone: a page of another origin of this host sends it as well.
local function is_from_elsewhere(req)
	local f = req.fields
	if not f.origin or ((req.method == "GET" or req.method == "HEAD") and not f.upgrade) then return false end
	local host = req.peer == "unix" and f["x-forwarded-host"] or f.host
	return f.origin:match "^https?://(.+)$" ~= host
end

local function prefix_of(key, name) return ("/%s/%s/%s"):format(ROOT, key, name) end

local function set_cookie(req, key, name, who)
	local secure = req.peer == "unix" and req.fields["x-forwarded-proto"] == "https" and "; Secure" or ""
	return ("%s=%s; Path=%s/; Max-Age=%d; HttpOnly; SameSite=Lax%s"):format(COOKIE, passes:cookie(who, key, name), prefix_of(key, name), Passes.COOKIE_S, secure)
end

--- The target without the ticket.
local function clean(target)
	local path, query = target:match "^([^?]*)%??(.*)$"
	local kept = {}
	for piece in query:gmatch "[^&]+" do
		if piece:sub(1, #TICKET + 1) ~= TICKET .. "=" then kept[#kept + 1] = piece end
	end
	path = path:gsub("^/+", "/")
	return path .. (#kept > 0 and "?" .. table.concat(kept, "&") or "")
end

local function how_to_come_in(key, name)
	return ("You are not let in here yet. Open /%s/%s/%s/ on the instance's own port with your API key, or ask for a link: dssctl webapps open %s %s. "
		.. "A script sends Authorization: Bearer KEY with each request."):format(ROOT, key, name, key, name)
end

local function not_there(req, key, name, address)
	local text = ("Webapp %s of project %s is %s"):format(name, key, address.state or "stopped")
	if address.reason then text = text .. ": " .. address.reason end
	say(req, 503, text, last_lines(key, name), { ["Retry-After"] = "2" })
end

local function pass(req, key, name, strips)
	local address = webapps.address(key, name)
	if address.state ~= "running" then return not_there(req, key, name, address) end
	req.pass({
		prefix = prefix_of(key, name), depth = 3, port = address.port, socket = address.socket, user = req.who.login, is_proxied = req.peer == "unix",
		strips_authorization = strips,
	}, function(status, why)
		if status < 502 then return say(req, status, why) end
		local now = webapps.address(key, name)
		say(req, status, ("Webapp %s of project %s (%s) did not answer: %s"):format(name, key, now.state or "stopped", why), last_lines(key, name),
			status == 503 and { ["Retry-After"] = "2" } or nil)
	end)
end

local function take_ticket(req, key, name, ticket)
	local who, why = passes:redeem(ticket, key, name)
	if who and not holds(who) then who, why = nil, "what it was given for does not hold any more" end
	if not who and not by_cookie(req, key, name) then return say(req, 401, ("This link does not let you in: %s. %s"):format(why, how_to_come_in(key, name))) end
	req.reply(302, nil, "", { Location = clean(req.target), ["Set-Cookie"] = who and set_cookie(req, key, name, who) or nil, ["Referrer-Policy"] = "no-referrer" })
end

function M.take(req)
	local root, key, name = req.segments[1], req.segments[2], req.segments[3]
	if root ~= ROOT or not id.is_id(key) or not id.is_id(name) then
		return say(req, 404, "Here are webapps alone: /web-apps-backends/PROJECT/WEBAPP/. The API is on the instance's own port.")
	end
	if req.query[TICKET] and (req.method == "GET" or req.method == "HEAD") then return take_ticket(req, key, name, req.query[TICKET]) end
	local strips
	req.who, strips = by_header(req)
	if not req.who then
		req.who = by_cookie(req, key, name)
		if req.who and is_from_elsewhere(req) then return say(req, 403, "a page of another origin may not act for you") end
	end
	if not req.who then return say(req, 401, how_to_come_in(key, name)) end
	-- Relative links of its front page need the slash.
	if #req.segments == 3 and not req.path:find "/$" then
		local query = req.target:match "%?.*$" or ""
		return req.reply(req.method == "GET" and 302 or 308, nil, "", { Location = prefix_of(key, name) .. "/" .. query })
	end
	with(req, key, name, function() pass(req, key, name, strips) end, function(status, text) say(req, status, text) end)
end

return M
