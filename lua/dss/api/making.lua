-- making: projects are made and removed over the API. Their folders are the run user's: a process of that user does it (bind.jobs.change).
local errors = require "dss.api.errors"
local fleet = require "bind.fleet"
local id = require "dss.text.id"
local jobs = require "bind.jobs"
local json = require "bind.json"
local projects = require "dss.api.projects"
local settings = require "dss.api.settings"
local webapps = require "bind.webapps"
local stored = require "bind.settings"

local JSON = "application/json;charset=utf-8"
local TEXT = "text/plain; charset=utf-8"
local KEY_MAX = 36 -- as lua/dss/model/project.lua says
local NAME_MAX, ABOUT_MAX, TAGS_MAX = 200, 10000, 50
local JOBS_MOST, NAMED_MOST = 1000, 5
local END_S = 60 -- what is ended before a removal may take so long

local M = {}

local function text(v) return type(v) == "string" and v ~= "" and v or nil end
local function is_true(v) return (v or ""):lower() == "true" end

-- --- making ---

local function is_line(v, most) return type(v) == "string" and #v <= most and not v:find "%c" end

local function tags_of(v)
	if v == nil or v == json.null then return {} end
	if type(v) ~= "table" or #v > TAGS_MAX or (next(v) ~= nil and not json.is_array(v)) then return nil end
	for _, tag in ipairs(v) do
		if not is_line(tag, NAME_MAX) or tag == "" then return nil end
	end
	return v
end

local function first_line(s)
	local line = s:match "^[^\r\n]*":gsub("%c", " ")
	if #line <= NAME_MAX then return line end
	return (line:sub(1, NAME_MAX):gsub("[\192-\247]?[\128-\191]*$", ""))
end

--- { key, name, owner, about, line = its first one, tags, permissions, settings } of a body, or nil and why.
local function read_definition(req)
	local def, why = json.decode(req.body)
	if type(def) ~= "table" or json.is_array(def) then return nil, why or "the body has to be a JSON object" end
	local key, name = text(def.projectKey), text(def.name)
	if not key then return nil, '"projectKey" is missing' end
	if #key > KEY_MAX or not key:find "^[A-Z0-9_]+$" then
		return nil, ('projectKey "%s": capitals, digits and _, up to %d'):format(key:gsub("%c", "?"):sub(1, 60), KEY_MAX)
	end
	if name and not is_line(name, NAME_MAX) then return nil, '"name" has to be a text of one line, up to 200 bytes' end
	local owner = text(def.owner) or req.who.login
	if not id.is_login(owner) then return nil, '"owner" is no login' end
	local about = text(def.description) or ""
	if #about > ABOUT_MAX or about:find "\0" then return nil, '"description" is longer than 10000 bytes' end
	local tags = tags_of(def.tags)
	if not tags then return nil, '"tags" has to be a list of texts of one line' end
	return {
		key = key, name = name or key, owner = owner, about = about, tags = tags,
		line = first_line(about),
		permissions = type(def.permissions) == "table" and #def.permissions > 0 and def.permissions or nil,
		settings = type(def.settings) == "table" and next(def.settings) ~= nil and def.settings or nil,
	}
end

-- A text as Lua reads it: one line each, what a user typed says nothing but itself.
local function quoted(s) return '"' .. s:gsub('[%c\\"]', function(c) return ("\\%03d"):format(c:byte()) end) .. '"' end

--- The project.lua of a new project.
function M.file(def)
	local tags = {}
	for i, tag in ipairs(def.tags) do tags[i] = quoted(tag) end
	local lines = { "project {", "  name  = " .. quoted(def.name) .. ",", "  owner = " .. quoted(def.owner) .. "," }
	if def.line ~= "" then lines[#lines + 1] = "  about = " .. quoted(def.line) .. "," end
	if #tags > 0 then lines[#lines + 1] = "  tags  = { " .. table.concat(tags, ", ") .. " }," end
	lines[#lines + 1] = "  recipes = {\n  },\n}\n"
	return table.concat(lines, "\n")
end

--- Sets what the body said beside the file; each after the other, then fn.
local function set_more(def, by, fn)
	local file = { name = def.name, owner = def.owner, about = def.line, tags = def.tags }
	local function set_settings(ok, why)
		if not ok or not def.settings then return fn(ok, why) end
		settings.put(def.key, "settings", file, def.settings, by, fn)
	end
	local function set_rights(ok, why)
		if not ok or not def.permissions then return set_settings(ok, why) end
		settings.put(def.key, "permissions", file, { permissions = def.permissions }, by, set_settings)
	end
	if def.about == def.line then return set_rights(true) end
	settings.put(def.key, "metadata", file, { description = def.about }, by, set_rights)
end

local function make_now(req, def)
	jobs.change(def.key, M.file(def), true, function(ok, trouble, is_there)
		if is_there then return errors.reply(req, 409, ("Project %s already exists"):format(def.key)) end
		if not ok then return errors.reply(req, 503, trouble, { ["Retry-After"] = "2" }) end
		set_more(def, req.who.login, function(set, reason)
			if not set then return errors.reply(req, 503, ("Project %s was made; its rights and settings were not set: %s"):format(def.key, reason)) end
			req.reply(200, TEXT, ("Project %s was made\n"):format(def.key))
		end)
	end)
end

--- One of that key whose folder was removed by hand has left its owner and rights: they are not the new one's.
local function forget_before(key, fn)
	jobs.project(key, function(state)
		if state ~= "missing" then return fn(true) end
		stored.drop(key, fn)
	end)
end

function M.make(req)
	local def, why = read_definition(req)
	if not def then return errors.reply(req, 400, why) end
	if def.permissions then
		local ok, trouble = settings.read({ body = json.encode { permissions = def.permissions } }, "permissions")
		if not ok then return errors.reply(req, 400, trouble) end
	end
	forget_before(def.key, function(is_forgotten, reason_of)
		if not is_forgotten then return errors.reply(req, 503, reason_of, { ["Retry-After"] = "2" }) end
		make_now(req, def)
	end)
end

-- --- removing ---

local busy = { starting = true, running = true, stopping = true, backoff = true }

local function running_webapps(key, data)
	local out = {}
	for name in pairs(data and data.webapps or {}) do
		local said = webapps.state(key, name)
		local s = said and json.decode(said)
		if s and busy[s.state] then out[#out + 1] = name end
	end
	table.sort(out)
	return out
end

local function running_jobs(rows)
	local out = {}
	for _, row in ipairs(json.decode(rows)) do
		if row.stableState == false then out[#out + 1] = row.def.id end
	end
	return out
end

local function names(what, list)
	if #list == 0 then return nil end
	local more = #list > NAMED_MOST and (" and %d more"):format(#list - NAMED_MOST) or ""
	return ("%s %s%s"):format(what, table.concat(list, ", ", 1, math.min(#list, NAMED_MOST)), more)
end

--- Aborts the jobs and calls fn once they have ended, or nil and why.
local function end_jobs(req, key, list, fn)
	local at = 0
	local function next_one()
		at = at + 1
		if at > #list then return fn(true) end
		jobs.status(key, list[at], function(_, owner, task)
			if not task then return next_one() end
			fleet.abort(task, req.who.login, owner ~= req.who.login)
			fleet.wait(task, END_S, function()
				fleet.get(task, false, function(_, f)
					if f and not f.ended then return fn(nil, ("job %s does not end"):format(list[at])) end
					next_one()
				end)
			end)
		end)
	end
	next_one()
end

--- What has failed is no alert any more.
local function stop_failed(req, key, data)
	for name in pairs(data and data.webapps or {}) do
		local said = webapps.state(key, name)
		local s = said and json.decode(said)
		if s and s.state == "failed" then webapps.stop(key, name, req.who.login, req.who.is_admin) end
	end
end

local function remove_now(req, key, data)
	local q = req.query
	jobs.change(key, nil, not is_true(q.clearManagedDatasets), function(ok, why)
		if not ok then return errors.reply(req, 409, why) end
		stop_failed(req, key, data)
		if is_true(q.clearJobAndScenarioLogs) then jobs.forget_logs(key) end
		stored.drop(key, function(dropped, reason)
			if not dropped then return errors.reply_answer(req, "unavailable", reason) end
			req.reply(200, JSON, json.encode { hasResult = true, alive = false, aborted = false, result = { projectKey = key, messages = json.array {} } })
		end)
	end)
end

local function remove(req, key, data)
	jobs.list(key, nil, JOBS_MOST, function(rows, why)
		if not rows then return errors.reply_answer(req, "unavailable", why) end
		local open, up = running_jobs(rows), running_webapps(key, data)
		local what = { names("jobs", open) or names("webapps", up), #open > 0 and names("webapps", up) or nil }
		if #what > 0 and not is_true(req.query.wait) then
			return errors.reply(req, 409, ("Project %s has running %s; end them first, or say wait=true"):format(key, table.concat(what, " and ")))
		end
		for _, name in ipairs(up) do webapps.stop(key, name, req.who.login, req.who.is_admin) end
		end_jobs(req, key, open, function(ok, trouble)
			if not ok then return errors.reply(req, 409, ("unable to remove project %s: %s"):format(key, trouble)) end
			remove_now(req, key, data)
		end)
	end)
end

function M.remove(req, key)
	local gone = ("Project %s does not exist"):format(key)
	if not id.is_id(key) then return errors.reply(req, 404, gone) end
	jobs.project(key, function(state, raw)
		if state == "missing" then return errors.reply(req, 404, gone) end
		local data = state == "good" and projects.read(key, raw) or nil
		-- One that cannot be read says nothing of its owner: admins may.
		if not req.who.is_admin then
			if not data or not projects.may(req.who, data, "read") then return errors.reply(req, 404, gone) end
			if data.owner ~= req.who.login then
				return errors.reply(req, 403, ("%s may not remove project %s: its owner and admins may"):format(req.who.login, key))
			end
		end
		remove(req, key, data)
	end)
end

return M
