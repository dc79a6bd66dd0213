-- policies: the files in force, what is wrong with those on disk, the versions before, and a check of texts that are not in force.
local body = require "dss.api.body"
local errors = require "dss.api.errors"
local json = require "bind.json"
local policies = require "bind.policies"

local JSON = "application/json;charset=utf-8"
local LIST_DEFAULT, LIST_MAX = 100, 10000

local M = {}

--- The files of the set in force, in the order in which they are read: name, text, version.
function M.list(req)
	local now = policies.current()
	local out = {}
	for i, file in ipairs(json.decode(now.text)) do out[i] = { name = file.name, text = file.text, version = now.version } end
	req.reply(200, JSON, json.encode(json.array(out)))
end

--- version: of the set in force; lastGood: that is the last good set, not policies/; observe: they only say what they would do;
-- errors: of policies/, {file, line, text}.
function M.state(req)
	local now = policies.current()
	req.reply(200, JSON, json.encode { version = now.version, lastGood = now.is_last, observe = now.is_observe, errors = json.decode(now.errors) })
end

function M.versions(req)
	local limit = math.tointeger(tonumber(req.query.limit or LIST_DEFAULT))
	if not limit or limit < 1 then return errors.reply(req, 400, "limit has to be a whole number from 1") end
	local ok, trouble = policies.versions(math.min(limit, LIST_MAX), function(rows, why)
		if not rows then return errors.reply_answer(req, "unavailable", why) end
		req.reply(200, JSON, rows)
	end)
	if not ok then errors.reply_answer(req, "unavailable", trouble) end
end

--- The files of one version, as they were taken: name, text.
function M.version(req, number)
	local n = number:find "^%d+$" and #number < 16 and math.tointeger(tonumber(number))
	if not n or n < 1 then return errors.reply(req, 404, ("Version %s does not exist; dssctl policy history lists those that are kept"):format(number)) end
	local ok, trouble = policies.version(n, function(text, why)
		if why then return errors.reply_answer(req, "unavailable", why) end
		if not text then return errors.reply(req, 404, ("Version %d does not exist; dssctl policy history lists those that are kept"):format(n)) end
		req.reply(200, JSON, text)
	end)
	if not ok then errors.reply_answer(req, "unavailable", trouble) end
end

--- {"files":[{"name","text"}]} evaluated as a set of its own: {"ok":true,"files","pools"} or {"ok":false,"errors":[{file,line,text}]}.
function M.check(req)
	local b, why = body.read(req, { files = { kind = "objects", required = true } })
	if not b then return errors.reply(req, 400, why) end
	local ok, trouble = policies.check(json.encode(json.array(b.files)), function(answer) req.reply(200, JSON, answer) end)
	if not ok then errors.reply_answer(req, "unavailable", trouble) end
end

return M
