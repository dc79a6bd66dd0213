-- notebooks: sessions of notebooks and the kernels behind them, for those whom the project lets in. What is stored of notebooks, their files, is in
-- dss.api.notebook_files.
local body = require "dss.api.body"
local duration = require "dss.text.duration"
local errors = require "dss.api.errors"
local facts = require "dss.model.facts"
local filter = require "dss.text.filter"
local gate = require "bind.gate"
local jobs = require "bind.jobs"
local json = require "bind.json"
local notebooks = require "bind.notebooks"
local projects = require "dss.api.projects"

local JSON = "application/json;charset=utf-8"

local M = {}

function M.reply(req, value) req.reply(200, JSON, json.encode(value)) end

--- "KEY/a b/c.ipynb" → "a b/c", as a project's people call it; a path outside of projects stays whole.
function M.name_of(path) return (path:gsub("^[^/]+/", "", 1):gsub("%.ipynb$", "", 1)) end

-- --- whose ---

--- Calls fn(data of each project that is named by a row) once all are read; one that cannot be read is absent.
local function with_projects(rows, fn)
	local all, open = {}, 1
	local function done()
		open = open - 1
		if open == 0 then fn(all) end
	end
	for _, row in ipairs(rows) do
		local key = row.project
		if key ~= "" and all[key] == nil then
			all[key], open = false, open + 1
			jobs.project(key, function(state, raw)
				all[key] = state == "good" and projects.read(key, raw) or false
				done()
			end)
		end
	end
	done()
end

local function may(who, row, data, right)
	if who.is_admin or (row.user ~= "" and row.user == who.login) then return true end
	return data and projects.may(who, data, right) or false
end

--- Calls fn(rows, why, data of projects by key): sessions that req's user may see. why: the server cannot be asked.
local function each(req, fn)
	notebooks.list(function(text, why)
		if not text then return errors.reply(req, 503, why, { ["Retry-After"] = "2" }) end
		local rows = json.decode(text)
		with_projects(rows, function(all)
			local out = {}
			for _, row in ipairs(rows) do
				local data = all[row.project]
				if row.user == "" and data then row.user = data.owner or "admin" end
				row.name = M.name_of(row.notebook)
				if may(req.who, row, data, "read") then out[#out + 1] = row end
			end
			table.sort(out, function(a, b)
				if a.notebook ~= b.notebook then return a.notebook < b.notebook end
				return a.id < b.id
			end)
			fn(out, why, all)
		end)
	end)
end
M.each = each

-- --- lists ---

function M.list(req)
	local f
	if req.query.where ~= nil then
		local why
		f, why = filter.parse(req.query.where, facts.of "notebook")
		if not f then return errors.reply(req, 400, why) end
	end
	each(req, function(rows, why)
		local out, now_s = json.array {}, gate.wall_ms() / 1000
		for _, row in ipairs(rows) do
			if not f or f.test(facts.from_row("notebook", row, now_s, f.reads)) then out[#out + 1] = row end
		end
		-- the texts of errors hold no line breaks, but what the server said may
		req.reply(200, JSON, json.encode(out), {
			["Where-Matched"] = f and ("%d"):format(#out) or nil, ["Notebooks-Unknown"] = why and why:gsub("%c", " ") or nil,
		})
	end)
end

local languages = { ir = "R", bash = "bash", scala = "scala" }
local function language_of(spec) return languages[spec] or (spec or ""):match "^python" and "python" or spec or "" end
M.language_of = language_of

--- A session as the clients of the public API know it. Who cannot be asked is never idle there.
function M.session(row)
	local is_unknown = row.state == "unknown"
	return {
		projectKey = row.project, notebookName = row.name, sessionId = row.id, kernelId = row.kernelId, kernelPid = row.pid or 0,
		kernelConnections = row.connections or 0, kernelExecutionState = row.state,
		kernelLastActivityTime = (is_unknown or not row.lastActivity) and gate.wall_ms() or row.lastActivity, sessionStartTime = row.startedAt or 0,
		sessionCreator = row.user, sessionCreatorDisplayName = row.user, sessionUnixOwner = row.user, leasedUntil = row.leasedUntil,
	}
end

--- Notebooks with sessions, as a list.
local function running(rows)
	local out, by_path = json.array {}, {}
	for _, row in ipairs(rows) do
		local n = by_path[row.notebook]
		if not n then
			n = {
				name = row.name, projectKey = row.project, language = language_of(row.kernelSpec), activeSessions = json.array {},
				kernelSpec = { name = row.kernelSpec or "", display_name = row.kernelSpec or "", language = language_of(row.kernelSpec) },
			}
			by_path[row.notebook], out[#out + 1] = n, n
		end
		n.activeSessions[#n.activeSessions + 1] = M.session(row)
	end
	return out
end

function M.admin(req)
	each(req, function(rows) M.reply(req, running(rows)) end)
end

--- fn(rows) of one project, of one notebook where a name is given.
local function of_project(req, key, name, right, fn)
	projects.with(req, key, right, function(data)
		each(req, function(rows)
			local out = {}
			for _, row in ipairs(rows) do
				if row.project == key and (not name or row.name == name) then out[#out + 1] = row end
			end
			fn(out, data)
		end)
	end)
end
M.of_project = of_project

function M.active(req, key)
	of_project(req, key, nil, "read", function(rows) M.reply(req, running(rows)) end)
end

--- Old style: one notebook's state, by ?notebookName=.
function M.state(req, key)
	local name = req.query.notebookName
	if not name or name == "" then return M.active(req, key) end
	of_project(req, key, name, "read", function(rows)
		local found = running(rows)[1]
		req.reply(200, JSON, found and json.encode(found) or "null")
	end)
end

function M.sessions(req, key, name)
	of_project(req, key, name, "read", function(rows)
		local out = json.array {}
		for i, row in ipairs(rows) do out[i] = M.session(row) end
		M.reply(req, out)
	end)
end

-- --- orders ---

local function session_does_not_exist(req, session) errors.reply(req, 404, ("Session %s does not exist"):format(session)) end

--- Calls fn(row) with a session that req's user may use in that way.
local function with_session(req, session, right, fn)
	each(req, function(rows, _, all)
		for _, row in ipairs(rows) do
			if row.id == session or row.kernelId == session then
				if not may(req.who, row, all[row.project], right) then
					return errors.reply(req, 403, ("%s may not %s notebooks of project %s"):format(req.who.login, right, row.project))
				end
				return fn(row)
			end
		end
		session_does_not_exist(req, session)
	end)
end

local function cause_of(req, row) return req.who.is_admin and row.user ~= req.who.login and "admin" or "user" end

--- Ends the kernels of rows one after the other, then calls fn(the first reason why one did not end, or nil).
function M.unload_all(req, rows, fn)
	local seen = {}
	local function next_one(i)
		local row = rows[i]
		if not row then return fn(nil) end
		if seen[row.kernelId] then return next_one(i + 1) end
		seen[row.kernelId] = true
		notebooks.unload(row.id, cause_of(req, row), req.who.login, ("unloaded by %s"):format(req.who.login), function(why)
			if why then return fn(why) end
			next_one(i + 1)
		end)
	end
	next_one(1)
end

local function unload(req, row)
	M.unload_all(req, { row }, function(why)
		if why then return errors.reply(req, 503, ("unable to unload %s: %s"):format(row.notebook, why), { ["Retry-After"] = "5" }) end
		M.reply(req, json.object {})
	end)
end

function M.unload(req, session)
	with_session(req, session, "run", function(row) unload(req, row) end)
end

local function unload_of(req, key, name, session)
	of_project(req, key, name, "run", function(rows)
		for _, row in ipairs(rows) do
			if not session or row.id == session then return unload(req, row) end
		end
		errors.reply(req, 404, session and ("Session %s of notebook %s does not exist"):format(session, name or "")
			or ("A session of notebook %s does not exist"):format(name or ""))
	end)
end

function M.unload_session(req, key, name, session) unload_of(req, key, name, session) end

--- Old style: ?notebookName=&sessionId=.
function M.unload_old(req, key)
	local name, session = req.query.notebookName, req.query.sessionId
	if not name and not session then return errors.reply(req, 400, "notebookName is missing") end
	unload_of(req, key, name, session)
end

--- Where the server listens, with its token: whoever has it acts as the run user, so it is for admins.
function M.link(req)
	local url, token = notebooks.link()
	if not url then return errors.reply(req, 503, token) end
	M.reply(req, { url = token ~= "" and ("%s/?token=%s"):format(url, token) or url })
end

function M.interrupt(req, session)
	with_session(req, session, "run", function(row)
		notebooks.interrupt(row.id, cause_of(req, row), req.who.login, ("interrupted by %s"):format(req.who.login), function(why)
			if why then return errors.reply(req, 503, ("unable to interrupt %s: %s"):format(row.notebook, why)) end
			M.reply(req, json.object {})
		end)
	end)
end

--- {"for":"8h"}: until then no policy ends it; "0s": no longer. How long and how many: jupyter { leases = … }; admins as they like.
function M.keep(req, session)
	local given, why = body.read(req, { ["for"] = { kind = "text", required = true } })
	if not given then return errors.reply(req, 400, why) end
	local ms
	ms, why = duration.parse(given["for"])
	if not ms then return errors.reply(req, 400, ('"for": %s'):format(why)) end
	local longest_ms, each_user = notebooks.quota()
	if ms > longest_ms and not req.who.is_admin then
		return errors.reply(req, 400, ('"for": more than %s at once; ask again before that is over, or ask an admin'):format(duration.print(longest_ms)))
	end
	with_session(req, session, "run", function(row)
		local by, until_ms = req.who.login, ms > 0 and gate.wall_ms() + ms // 1 | 0 or 0
		if until_ms > 0 and row.leasedBy ~= by and not req.who.is_admin and notebooks.leases(by) >= each_user then
			return errors.reply(req, 409, each_user == 0 and "no user may keep notebooks here: ask an admin"
				or ("%s keeps %d notebooks already: let one of them go (dssctl keep SESSION 0s)"):format(by, each_user))
		end
		local ok, failure = notebooks.keep(row.id, until_ms, by)
		if not ok then return errors.reply(req, 503, failure, { ["Retry-After"] = "2" }) end
		M.reply(req, { id = row.id, notebook = row.notebook, leasedUntil = until_ms })
	end)
end

return M
