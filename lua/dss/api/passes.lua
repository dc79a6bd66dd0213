-- passes: what lets a browser in at the webapps' own port: a ticket, which the page's port hands out in a link, once and for a minute; and
-- the cookie that it is changed for. Both are signed texts that name a login, what proved it, a project and a webapp, and hold for nothing else.
-- Pure: what it needs is handed in.
local M = {}
M.__index = M

M.TICKET_S = 60
M.COOKIE_S = 12 * 3600
M.USED_MOST = 4096 -- tickets that were used within their minute; past it none is taken

--- what: sign(text) → text, random() → text, now_s() → seconds, boot: a text that is another one for each start of the backend.
function M.new(what) return setmetatable({ sign = what.sign, random = what.random, now_s = what.now_s, boot = what.boot, used = {}, count = 0 }, M) end

local function hex(s) return (s:gsub(".", function(c) return ("%02x"):format(c:byte()) end)) end
local function unhex(s) return (s:gsub("%x%x", function(h) return string.char(tonumber(h, 16)) end)) end

local function is_same(a, b)
	if #a ~= #b then return false end
	local diff = 0
	for i = 1, #a do diff = diff | (a:byte(i) ~ b:byte(i)) end
	return diff == 0
end

--- who: login, is_admin, proof. "EXPIRY.NONCE.LOGIN.PROOF.ADMIN.MAC"
local function seal(self, kind, who, project, webapp, expires_s, nonce)
	local body = ("%d.%s.%s.%s.%d"):format(expires_s, nonce, hex(who.login), hex(who.proof), who.is_admin and 1 or 0)
	return body .. "." .. self.sign(table.concat({ kind, project, webapp, body }, "\n"))
end

--- The identity and the nonce, or nil and why.
local function open(self, kind, text, project, webapp)
	local body, mac = text:match "^([%x%.]+)%.(%x+)$"
	local expires_s, nonce, login, proof, admin = (body or ""):match "^(%d+)%.(%x+)%.(%x+)%.(%x+)%.([01])$"
	if not expires_s or #text > 1000 then return nil, "it is none of ours" end
	if not is_same(mac, self.sign(table.concat({ kind, project, webapp, body }, "\n"))) then return nil, "it is none of ours, or is for another webapp" end
	if tonumber(expires_s) < self.now_s() then return nil, "its time is over" end
	return { login = unhex(login), proof = unhex(proof), is_admin = admin == "1" }, nonce, tonumber(expires_s)
end

local function ticket_kind(self) return "webapp-ticket:" .. self.boot end

function M:ticket(who, project, webapp)
	return seal(self, ticket_kind(self), who, project, webapp, self.now_s() + M.TICKET_S, self.random())
end

local function forget_old(self)
	local now = self.now_s()
	for nonce, expires_s in pairs(self.used) do
		if expires_s < now then self.used[nonce], self.count = nil, self.count - 1 end
	end
end

--- Whom the ticket names; from now on it is used. nil and why.
function M:redeem(text, project, webapp)
	local who, nonce, expires_s = open(self, ticket_kind(self), text, project, webapp)
	if not who then return nil, nonce end
	if self.used[nonce] then return nil, "it was used before" end
	if self.count >= M.USED_MOST then forget_old(self) end
	if self.count >= M.USED_MOST then return nil, "too many were used within a minute, try again" end
	self.used[nonce], self.count = expires_s, self.count + 1
	return who
end

function M:cookie(who, project, webapp)
	return seal(self, "webapp-cookie", who, project, webapp, self.now_s() + M.COOKIE_S, self.random())
end

function M:read(text, project, webapp)
	local who, why = open(self, "webapp-cookie", text, project, webapp)
	return who, not who and why or nil
end

return M
