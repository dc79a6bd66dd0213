-- webapps: those that a project declares, their processes, their logs; as the public API's clients expect it.
local errors = require "dss.api.errors"
local facts = require "dss.model.facts"
local filter = require "dss.text.filter"
local gate = require "bind.gate"
local id = require "dss.text.id"
local jobs = require "bind.jobs"
local json = require "bind.json"
local logs = require "dss.api.logs"
local projects = require "dss.api.projects"
local waits = require "bind.logs"
local webapps = require "bind.webapps"

local JSON = "application/json;charset=utf-8"
local TAIL = 64 * 1024
local PREFIX = "webapp:"

local M = {}

local function does_not_exist(req, key, name) errors.reply(req, 404, ("Webapp %s does not exist in project %s"):format(name, key)) end
local function reply(req, value) req.reply(200, JSON, json.encode(value)) end

local function state_of(key, name)
	local text = webapps.state(key, name)
	return text and json.decode(text)
end

--- Calls fn(spec, data) with the webapp that req's user may use in that way. One that left project.lua and still runs has {} for its spec.
-- is_held: also while project.lua has a mistake.
local function with(req, key, name, right, fn, is_held)
	if not id.is_id(name) then return does_not_exist(req, key, name) end
	projects.with(req, key, right, function(data)
		local spec = (data.webapps or {})[name]
		local s = not spec and state_of(key, name) or {}
		-- What failed is an alert until it is stopped, also where its lines have gone.
		if not spec and not s.processId and not (is_held and s.state == "failed") then return does_not_exist(req, key, name) end
		fn(spec or {}, data)
	end, is_held)
end

-- --- what it is ---

local function item(key, name, spec, data)
	local who, at = { login = data.owner or "admin" }, jobs.look(key, "project.lua") or 0
	return {
		id = name, name = spec.name or name, projectKey = key, type = spec.shiny and "SHINY" or "STANDARD", tags = json.array(spec.tags or {}),
		createdBy = who, createdOn = at, lastModifiedBy = who, lastModifiedOn = at,
	}
end

--- nil: every row; false: it was no filter, and 400 is answered.
local function where_of(req)
	if req.query.where == nil then return nil end
	local f, why = filter.parse(req.query.where, facts.of "webapp")
	if f then return f end
	errors.reply(req, 400, why)
	return false
end

local function names_of(data)
	local names = {}
	for name in pairs(data.webapps or {}) do names[#names + 1] = name end
	table.sort(names)
	return names
end

function M.list(req, key)
	projects.with(req, key, "read", function(data)
		local out = json.array {}
		for i, name in ipairs(names_of(data)) do out[i] = item(key, name, data.webapps[name], data) end
		reply(req, out)
	end)
end

local function whole(key, name, spec, data)
	local out = item(key, name, spec, data)
	out.params = spec.params or json.object {}
	return out
end

function M.get(req, key, name)
	with(req, key, name, "read", function(spec, data) reply(req, whole(key, name, spec, data)) end)
end

local function is_same(a, b)
	if type(a) ~= "table" or type(b) ~= "table" then return a == b end
	for k, v in pairs(a) do
		if not is_same(v, b[k]) then return false end
	end
	for k in pairs(b) do
		if a[k] == nil then return false end
	end
	return true
end

-- who wrote project.lua and when: that may have been touched since it was read
local passing = { createdBy = true, createdOn = true, lastModifiedBy = true, lastModifiedOn = true }

--- Clients save what they have read: as long as it is the same, that is good. project.lua alone changes a webapp.
function M.put(req, key, name)
	local body, why = json.decode(req.body)
	if type(body) ~= "table" or json.is_array(body) then return errors.reply(req, 400, why or "the body has to be a JSON object") end
	with(req, key, name, "write", function(spec, data)
		local now, changed = whole(key, name, spec, data), {}
		for k, v in pairs(body) do
			if not passing[k] and not is_same(v, now[k]) then changed[#changed + 1] = ("%q"):format(tostring(k):gsub("%c", "?"):sub(1, 60)) end
		end
		for k in pairs(now) do
			if not passing[k] and body[k] == nil then changed[#changed + 1] = ("%q"):format(k) end
		end
		if #changed == 0 then return reply(req, now) end
		table.sort(changed)
		errors.reply(req, 409, ("webapp %s is what projects/%s/project.lua:%d says, and that file is what changes it; other than there: %s"):format(name, key,
			spec.line or 1, table.concat(changed, ", ", 1, math.min(#changed, 10))))
	end)
end

-- --- its process ---

local function future_id(key, name)
	local task = PREFIX .. key .. ":" .. name
	return id.is_id(task) and task or nil
end

local alive = { starting = true, running = true, stopping = true, backoff = true }

--- A start as a future: ended once it answers.
local function future(key, name, s, data)
	local has_result = s.state == "running"
	return {
		jobId = future_id(key, name), hasResult = has_result, result = has_result and json.object {} or nil, alive = not has_result and (alive[s.state] or false),
		aborted = s.state == "stopped", abortable = alive[s.state] or false, unknown = false, startTime = s.startedAt or 0,
		runningTime = (s.startedAt or 0) > 0 and math.max(0, gate.wall_ms() - s.startedAt) or 0, owner = s.owner or data.owner,
		payload = { displayName = ("Start webapp %s"):format(name), targets = json.array { { projectKey = key, objectType = "WEB_APP", objectId = name } } },
	}
end

--- What the process is, as a future that lives as long as the webapp is up or coming up.
local function backend_info(key, name, s, data)
	local out = future(key, name, s, data)
	out.payload.displayName = ("Webapp %s"):format(name)
	out.alive, out.hasResult, out.result = alive[s.state] or false, false, nil
	out.aborted = s.state == "stopped" and s.wanted == "stopped"
	return out
end

local function log_tail(key, name)
	local bytes, size = jobs.log(key, "webapp-" .. name, -TAIL, TAIL)
	if not bytes then return nil end
	if size > TAIL then bytes = bytes:match "^[^\n]*\n(.*)$" or bytes end
	local lines = json.array {}
	for line in bytes:gmatch "[^\n]+" do lines[#lines + 1] = utf8.len(line) and line or line:gsub("[\x80-\xff]", "?") end
	return { totalLines = #lines, lines = lines, maxLevel = 0 }
end

local function short(s)
	return { state = s.state, wanted = s.wanted, port = s.port, socket = s.socket, unhealthySince = s.unhealthySince, processId = s.processId,
		crashes = #(s.crashes or {}), startedAt = s.startedAt, readyAt = s.readyAt, waitingSince = s.waitingSince, reason = s.reason, lastCrash = s.lastCrash,
		memoryBytes = s.memoryBytes, peakBytes = s.peakBytes, limitBytes = s.limitBytes, cpuSeconds = s.cpuSeconds }
end

function M.state(req, key, name)
	with(req, key, name, "read", function(_, data)
		local s, out = state_of(key, name), { projectKey = key, webAppId = name }
		if s and (s.starts or 0) > 0 or s and s.state ~= "stopped" then
			out.futureInfo, out.currentLogTail, out.backend = backend_info(key, name, s, data), log_tail(key, name), short(s)
		end
		reply(req, out)
	end, true)
end

function M.restart(req, key, name)
	with(req, key, name, "run", function(spec, data)
		if spec.missing then return errors.reply(req, 400, spec.missing) end
		local ok, why = webapps.start(key, name)
		if not ok then return errors.reply(req, 503, why, { ["Retry-After"] = "2" }) end
		local out = future(key, name, state_of(key, name), data)
		-- Its name is too long for an id: nobody could ask for it.
		if not out.jobId then out = { hasResult = true, result = json.object {} } end
		reply(req, out)
	end)
end

function M.stop(req, key, name)
	with(req, key, name, "run", function(_, data)
		webapps.stop(key, name, req.who.login, req.who.is_admin and data.owner ~= req.who.login)
		reply(req, json.object {})
	end, true)
end

-- --- its start as a future ---

--- Project and name of such an id, or nil.
function M.of_future(task)
	if task:sub(1, #PREFIX) ~= PREFIX then return nil end
	local key, name = task:match("^([^:]+):([^:]+)$", #PREFIX + 1)
	return key, name
end

function M.future(req, key, name, is_peek)
	with(req, key, name, "read", function(_, data)
		local s = state_of(key, name)
		if not s then return does_not_exist(req, key, name) end
		if not is_peek and not alive[s.state] then
			local text = s.state == "failed" and s.reason or ("Webapp %s was stopped"):format(name)
			return errors.reply(req, 422, text or "it did not start")
		end
		reply(req, future(key, name, s, data))
	end, true)
end

-- --- for ours: all of them, and their logs ---

local function tags_of(spec, data)
	local tags = table.move(spec.tags or {}, 1, #(spec.tags or {}), 1, json.array {})
	return table.move(data.tags or {}, 1, #(data.tags or {}), #tags + 1, tags)
end

function M.all(req)
	local out, open, f, now_s = json.array {}, 1, where_of(req), gate.wall_ms() / 1000
	if f == false then return end
	local function done()
		open = open - 1
		if open > 0 then return end
		table.sort(out, function(a, b)
			if a.project ~= b.project then return a.project < b.project end
			return a.id < b.id
		end)
		req.reply(200, JSON, json.encode(out), f and { ["Where-Matched"] = ("%d"):format(#out) } or nil)
	end
	for _, key in ipairs(jobs.keys()) do
		open = open + 1
		jobs.project(key, function(kind, raw)
			local data = kind == "good" and projects.read(key, raw) or kind == "bad" and projects.held(req.who, key)
			for _, name in ipairs(data and projects.may(req.who, data, "read") and names_of(data) or {}) do
				local row = short(state_of(key, name) or { state = "stopped", wanted = "stopped" })
				row.id, row.project, row.owner, row.autostart, row.lastCrash = name, key, data.owner, data.webapps[name].autostart, nil
				if kind == "bad" then row.reason = row.reason or ("project.lua has a mistake: dssctl project check %s"):format(key) end
				row.tags = tags_of(data.webapps[name], data)
				if not f or f.test(facts.from_row("webapp", row, now_s, f.reads)) then out[#out + 1] = row end
			end
			done()
		end)
	end
	done()
end

local function show_log(req, key, name, offset, wait)
	local folder = "webapp-" .. name
	with(req, key, name, "read", function()
		logs.reply(req, offset, wait, function(...) return jobs.log(key, folder, ...) end, nil, function(start, seconds)
			waits.wait(key, folder, nil, start, seconds, function() show_log(req, key, name, start, 0) end, req.who.login)
		end)
	end, true)
end

--- A piece of its log, from ?offset=N (negative: from the end); ?wait=S for more.
function M.log(req, key, name)
	local offset, wait = logs.asked(req)
	if not offset then return errors.reply(req, 400, wait) end
	show_log(req, key, name, offset, wait)
end

return M
