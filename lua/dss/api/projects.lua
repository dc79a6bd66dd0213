-- projects: what projects/KEY/project.lua says, for those whom it lets in. Users write that file: a process of its own reads it, never this one.
local build = require "dss.model.build"
local crypt = require "bind.crypt"
local errors = require "dss.api.errors"
local flow = require "dss.model.flow"
local gate = require "bind.gate"
local id = require "dss.text.id"
local jobs = require "bind.jobs"
local json = require "bind.json"

local JSON = "application/json;charset=utf-8"
local ERRORS_SHOWN = 5

local M = {}

local function does_not_exist(req, key) errors.reply(req, 404, ("Project %s does not exist"):format(key)) end

-- what a right of a project also grants
local implied = { read = { "read", "run", "write" }, run = { "run", "write" }, write = { "write" } }

--- May who do that: its owner and admins always, others as `rights` says.
function M.may(who, data, right)
	if who.is_admin or data.owner == who.login then return true end
	for _, key in ipairs(implied[right]) do
		for _, login in ipairs(data.rights and data.rights[key] or {}) do
			if login == who.login or login == "everybody" then return true end
		end
	end
	return false
end

local function errors_text(raw)
	local said, lines = json.decode(raw), {}
	for i, e in ipairs(said and said.errors or {}) do
		if i > ERRORS_SHOWN then
			lines[i] = ("and %d more"):format(#said.errors - ERRORS_SHOWN)
			break
		end
		lines[i] = ("%s:%d: %s"):format(e.file, e.line, e.text)
	end
	return table.concat(lines, "; ")
end

--- Calls fn(data, raw) with the project that req's user may use in that way; else answers: 404 (also to those who may not see it), 403, 400 with
-- the file's errors.
function M.with(req, key, right, fn)
	if not id.is_id(key) then return does_not_exist(req, key) end
	jobs.project(key, function(state, raw, why)
		if state == "missing" then return does_not_exist(req, key) end
		if state == "failed" then return errors.reply(req, 503, why, { ["Retry-After"] = "2" }) end
		if state == "bad" then return errors.reply(req, 400, errors_text(raw)) end
		local data = json.decode(raw)
		if not M.may(req.who, data, "read") then return does_not_exist(req, key) end
		if not M.may(req.who, data, right) then return errors.reply(req, 403, ("%s may not %s project %s"):format(req.who.login, right, key)) end
		fn(data, raw)
	end)
end

local function reply(req, value) req.reply(200, JSON, json.encode(value)) end

local function item(key, data)
	local tag = { versionNumber = 0, lastModifiedBy = { login = data.owner or "admin" }, lastModifiedOn = jobs.look(key, "project.lua") or 0 }
	return {
		projectKey = key, name = data.name or key, projectStatus = "Sandbox", shortDesc = data.about or "", description = data.about or "",
		ownerLogin = data.owner or "admin", ownerDisplayName = data.owner or "admin", tags = json.array(data.tags or {}), projectType = "REGULAR",
		projectAppType = "REGULAR", tutorialProject = false, commitMode = "AUTO", permissionsVersion = 1, versionTag = tag, creationTag = tag,
	}
end

function M.list(req)
	local keys, out, open = jobs.keys(), json.array {}, 1
	local function done()
		open = open - 1
		if open > 0 then return end
		table.sort(out, function(a, b) return a.projectKey < b.projectKey end)
		reply(req, out)
	end
	for _, key in ipairs(keys) do
		open = open + 1
		jobs.project(key, function(state, raw)
			local data = state == "good" and json.decode(raw)
			-- One that cannot be read is shown to admins, so that it is not lost from sight.
			if data and M.may(req.who, data, "read") then out[#out + 1] = item(key, data)
			elseif not data and state ~= "missing" and req.who.is_admin then out[#out + 1] = item(key, {}) end
			done()
		end)
	end
	done()
end

function M.get(req, key)
	M.with(req, key, "read", function(data) reply(req, item(key, data)) end)
end

function M.metadata(req, key)
	M.with(req, key, "read", function(data)
		reply(req, { label = data.name or key, shortDesc = data.about or "", description = data.about or "", tags = json.array(data.tags or {}),
			customFields = json.object {}, checklists = { checklists = json.array {} } })
	end)
end

function M.permissions(req, key)
	M.with(req, key, "read", function(data)
		local by, list = {}, json.array {}
		for right, logins in pairs(data.rights or {}) do
			for _, login in ipairs(logins) do
				by[login] = by[login] or {}
				by[login][right] = true
			end
		end
		local logins = {}
		for login in pairs(by) do logins[#logins + 1] = login end
		table.sort(logins)
		for i, login in ipairs(logins) do
			local r = by[login]
			list[i] = { user = login, readProjectContent = true, runScenarios = (r.run or r.write) and true or false, writeProjectContent = r.write or false,
				admin = false }
		end
		reply(req, { owner = data.owner or "admin", permissions = list })
	end)
end

function M.variables(req, key)
	M.with(req, key, "read", function(data) reply(req, { standard = data.variables or json.object {}, ["local"] = json.object {} }) end)
end

function M.resolved(req, key)
	M.with(req, key, "read", function(data) reply(req, data.variables or json.object {}) end)
end

function M.tags(req, key)
	M.with(req, key, "read", function(data)
		local tags = json.object {}
		for _, tag in ipairs(data.tags or {}) do tags[tag] = { color = "#4285F4" } end
		reply(req, { tags = tags })
	end)
end

function M.graph(req, key)
	M.with(req, key, "read", function(data) reply(req, flow.answer(flow.new(data))) end)
end

--- The whole file as checked data.
function M.data(req, key)
	M.with(req, key, "read", function(_, raw) req.reply(200, JSON, raw) end)
end

-- --- what a plan is made of ---

local function hex(bytes) return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end)) end

--- build.lua's facts: what was built, what lies there, what recipes are now.
function M.facts(key, data)
	local facts = { datasets = json.decode(jobs.datasets(key)), recipes = {} }
	for name in pairs(data.datasets) do
		local f = facts.datasets[name] or {}
		local changed = jobs.look(key, "data/" .. name)
		f.exists = changed ~= nil
		-- What a recipe made is as new as its build; its files' times would say that it is newer than its own build.
		if not data.datasets[name].made then f.changed_at = changed end
		facts.datasets[name] = f
	end
	for name, r in pairs(data.recipes) do
		facts.recipes[name] = { definition = hex(crypt.sha256(build.definition(r))), script = r.script and jobs.hash(key, r.script) or nil }
	end
	return facts
end

function M.dir(key) return gate.facts.dir .. "/projects/" .. key end

return M
