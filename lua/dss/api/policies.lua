-- policies: the files in force, what is wrong with those on disk, the versions before, and a check of texts that are not in force.
local body = require "dss.api.body"
local errors = require "dss.api.errors"
local json = require "bind.json"
local policies = require "bind.policies"

local JSON = "application/json;charset=utf-8"
local LIST_DEFAULT, LIST_MAX = 100, 10000
local FOLDER = "policies/"
local FILES_MAX, NAME_MAX, TEXT_MAX = 200, 50, (1 << 20) - 1 -- as a load takes them
local VERSION_MAX = 1 << 52

local M = {}

--- The files of the set in force, in the order in which they are read: name, text, version.
function M.list(req)
	local now = policies.current()
	local out = {}
	for i, file in ipairs(json.decode(now.text)) do out[i] = { name = file.name, text = file.text, version = now.version } end
	req.reply(200, JSON, json.encode(json.array(out)))
end

--- version: of the set in force; lastGood: that is the last good set, not policies/; observe: they only say what they would do; writable: PUT may;
-- errors: of policies/, {file, line, text}.
function M.state(req)
	local now = policies.current()
	req.reply(200, JSON, json.encode {
		version = now.version, lastGood = now.is_last, observe = now.is_observe, writable = now.is_writable, errors = json.decode(now.errors),
	})
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

-- --- another set ---

--- {name → text} of the set in force, with the changes of a request; or nil and why.
local function changed(files, changes)
	local texts, seen = {}, {}
	for _, file in ipairs(files) do texts[file.name] = file.text end
	for i, c in ipairs(changes) do
		local where = ("files[%d]"):format(i - 1)
		local one, why = body.check(c, { name = { kind = "text", required = true }, text = { kind = "string" }, remove = { kind = "bool" } }, where)
		if not one then return nil, why end
		local plain = one.name:gsub("^policies/", "")
		local name = FOLDER .. plain
		if not plain:find "^[%w_-]+%.lua$" or #plain > NAME_MAX then
			return nil, ("%s: a policy is called by letters, digits, - and _, up to %d with .lua at the end; \"%s\" is not"):format(where, NAME_MAX, one.name)
		end
		if seen[name] then return nil, ("%s is named twice"):format(name) end
		if (one.text ~= nil) == (one.remove == true) then return nil, ('%s: "text", or "remove": true, is wanted'):format(where) end
		if one.text and #one.text > TEXT_MAX then return nil, ("%s is longer than 1 MB"):format(name) end
		if one.remove and not texts[name] then return nil, ("%s is not in force: there is nothing to remove"):format(name) end
		seen[name], texts[name] = true, one.text
	end
	return texts
end

local function as_list(texts)
	local out = {}
	for name, text in pairs(texts) do out[#out + 1] = { name = name, text = text } end
	table.sort(out, function(a, b) return a.name < b.name end)
	return json.array(out)
end

local function reply_more(req, status, text, more)
	more.errorType, more.message = errors.type_of(status), text
	req.reply(status, JSON, json.encode(more))
end

local function names_of(text)
	local out = {}
	for name in text:gmatch "[^,%s]+" do out[#out + 1] = FOLDER .. name end
	return json.array(out)
end

-- what came of it → the answer
local answers = {
	taken = function(req, a) req.reply(200, JSON, json.encode { version = a.version, kept = a.kept and FOLDER .. a.kept }) end,
	conflict = function(req, a) reply_more(req, 409, a.text, { version = a.version }) end,
	differs = function(req, a)
		reply_more(req, 409, ("policies/ has files that are not the set in force: %s. Nothing was written; look at them (dssctl policy diff), or "
			.. "say \"overwrite\": true: they are kept then"):format(a.text), { files = names_of(a.text) })
	end,
	not_allowed = function(req, a)
		errors.reply(req, 403, ("%s. The backend's user may not write there: give it the folder (chown), or save the files as who owns them")
			:format(a.text))
	end,
	refused = function(req, a) reply_more(req, 500, a.text, { errors = json.decode(a.errors or "[]") }) end,
	failed = function(req, a) errors.reply_answer(req, "unavailable", a.text) end,
}

local function put(req, texts, more)
	local ok, why = policies.put({ text = json.encode(texts), by = req.who.login, note = more.note, overwrites = more.overwrite }, function(status, a)
		answers[status](req, a)
	end)
	if not ok then errors.reply_answer(req, "conflict", why) end
end

local function is_base(req, base)
	local now = policies.current().version
	if not base or base == now then return true end
	reply_more(req, 409, ("version %d is in force, not %d: somebody else changed the policies meanwhile"):format(now, base), { version = now })
	return false
end

--- Evaluated first, off the loop; what has a mistake changes nothing. more: base?, note?, overwrite?
local function check_and_put(req, texts, more)
	if #texts > FILES_MAX then return errors.reply(req, 400, ("%d files, more than %d"):format(#texts, FILES_MAX)) end
	local ok, trouble = policies.check(json.encode(texts), function(answer)
		local a = json.decode(answer)
		if not a.ok then return reply_more(req, 400, "the policies have mistakes; nothing was written", { errors = a.errors }) end
		if is_base(req, more.base) then put(req, texts, more) end
	end)
	if not ok then errors.reply_answer(req, "unavailable", trouble) end
end

--- {"files":[{"name","text"} | {"name","remove":true}],"base":VERSION,"note"?,"overwrite"?}: the set in force with those changes → {"version"}, in force.
function M.put(req)
	local b, why = body.read(req, {
		files = { kind = "objects", required = true }, base = { kind = "int", required = true, least = 0, most = VERSION_MAX },
		note = { kind = "text" }, overwrite = { kind = "bool" },
	})
	if not b then return errors.reply(req, 400, why) end
	local texts, trouble = changed(json.decode(policies.current().text), b.files)
	if not is_base(req, b.base) then return end
	if not texts then return errors.reply(req, 400, trouble) end
	check_and_put(req, as_list(texts), b)
end

--- {"version":N,"overwrite"?}: policies/ as it was in that version → {"version"}, in force.
function M.rollback(req)
	local b, why = body.read(req, {
		version = { kind = "int", required = true, least = 1, most = VERSION_MAX }, note = { kind = "text" }, overwrite = { kind = "bool" },
	})
	if not b then return errors.reply(req, 400, why) end
	local ok, trouble = policies.version(b.version, function(text, reason)
		if reason then return errors.reply_answer(req, "unavailable", reason) end
		if not text then return errors.reply(req, 404, ("Version %d does not exist; dssctl policy history lists those that are kept"):format(b.version)) end
		check_and_put(req, json.decode(text), { note = b.note or ("rollback to version %d"):format(b.version), overwrite = b.overwrite })
	end)
	if not ok then errors.reply_answer(req, "unavailable", trouble) end
end

return M
