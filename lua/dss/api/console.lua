-- console: a live prompt for admins, over run/admin.sock alone: who has a key and no login on this machine gets none.
local body = require "dss.api.body"
local console = require "bind.console"
local errors = require "dss.api.errors"
local id = require "dss.text.id"
local json = require "bind.json"

local LINE_MAX = 65536

local M = {}

local function refuse(req, text) errors.reply(req, 403, text) end

--- Who types, for log and facts; nil: refused. note: the login that sudo told, which anybody may write.
local function who_types(req, note)
	if not req.uid then
		return refuse(req, "the console is spoken to over the socket run/admin.sock alone: use dssctl repl on this machine, as root or the control user")
	end
	if req.is_boxed then return refuse(req, "processes in this instance's boxes get no console") end
	if not req.who.is_admin then return refuse(req, "the console is for admins: root and the control user, or an admin's key") end
	local says = note and id.is_login(note) and ("; sudo says %s"):format(note) or ""
	return ("%s (uid %d%s)"):format(req.who.login, req.uid, says)
end

--- The request as bind.console takes it; nil: answered.
local function read(req, more)
	local b, why
	local who = who_types(req)
	if not who then return nil end
	b, why = json.decode(req.body == "" and "{}" or req.body)
	if type(b) == "table" and type(b.line) == "string" then
		-- a line may have several lines
		local line = b.line
		b.line = json.null
		b, why = body.check(b, more)
		if b then b.line = line end
	elseif b ~= nil then
		b, why = nil, '"line" is missing: {"session"?, "line"}'
	end
	if not b then return errors.reply(req, 400, why) end
	if #b.line > LINE_MAX then return errors.reply(req, 400, ("a line may have %d bytes"):format(LINE_MAX)) end
	return { session = b.session, uid = req.uid, who = who_types(req, b.sudo), line = b.line, cursor = b.cursor }
end

local members = { session = { kind = "text" }, line = { kind = "text" }, sudo = { kind = "text" } }

--- {"session"?, "line", "sudo"?} → {"session": null = it is over, "output", "prompt", "isError", "isIncomplete"}
function M.line(req)
	local ask = read(req, members)
	if not ask then return end
	local answer, why = console.line(ask, function(a)
		req.reply(200, "application/json;charset=utf-8", json.encode {
			session = a.session or json.null, output = a.output, prompt = a.prompt, isError = a.is_error, isIncomplete = a.is_incomplete,
		})
	end)
	if answer ~= "taken" then errors.reply_answer(req, answer, why) end
end

--- {"session", "line", "cursor"} → {"from", "words"}: what may stand in the place of the bytes from `from` to the cursor.
function M.complete(req)
	local ask = read(req, { session = { kind = "text", required = true }, line = members.line, sudo = members.sudo,
		cursor = { kind = "int", least = 0, most = LINE_MAX, required = true } })
	if not ask then return end
	if ask.cursor > #ask.line then return errors.reply(req, 400, '"cursor" is behind the end of the line') end
	local from, words, why = console.complete(ask, ask.cursor)
	if not from then return errors.reply_answer(req, words, why) end
	local list = {}
	for word in words:gmatch "[^\n]+" do list[#list + 1] = word end
	req.reply(200, "application/json;charset=utf-8", json.encode { from = from, words = json.array(list) })
end

return M
