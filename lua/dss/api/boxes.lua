-- boxes: the levels of run/ that are in use: what limits each, what it uses, who runs there.
local errors = require "dss.api.errors"
local fleet = require "bind.fleet"
local jobs = require "bind.jobs"
local json = require "bind.json"
local projects = require "dss.api.projects"

local JSON = "application/json;charset=utf-8"
local PROJECTS_MOST = 200     -- that are read for one answer, to learn who may see them; what lies in further ones is not shown

local M = {}

local function sorted(set)
	local out = {}
	for name in pairs(set) do out[#out + 1] = name end
	table.sort(out)
	return json.array(out)
end

--- Calls fn with the set of those projects, of a set, that who may read.
local function readable(who, keys, fn)
	local out, open, n = {}, 1, 0
	local function done()
		open = open - 1
		if open == 0 then fn(out) end
	end
	for _, key in ipairs(sorted(keys)) do
		n = n + 1
		if n > PROJECTS_MOST then break end
		open = open + 1
		jobs.project(key, function(state, raw)
			out[key] = state == "good" and projects.may(who, projects.read(key, raw), "read") or nil
			done()
		end)
	end
	done()
end

--- Whose processes run there: pairs of user and project; nil: too many to tell.
local function pairs_of(row)
	if not row.whose then return nil end
	local out = {}
	for key in pairs(row.whose) do
		local user, project = key:match "^(.-)\n(.*)$"
		out[#out + 1] = { user = user, project = project }
	end
	return out
end

--- For who is no admin: all that runs there is his, or of a project that he may read.
local function is_visible(row, login, may_read)
	for _, p in ipairs(row.pairs or { {} }) do
		if p.user ~= login and not may_read[p.project] then return false end
	end
	return true
end

local function finish(row)
	local users, keys = {}, {}
	for _, p in ipairs(row.pairs or {}) do
		if p.user ~= "" then users[p.user] = true end
		if p.project ~= "" then keys[p.project] = true end
	end
	row.users, row.projects = sorted(users), sorted(keys)
	row.pairs, row.whose = nil, nil
	row.processIds = json.array(row.processIds or {})
	return row
end

local function answer(req, list, may_read)
	local out = json.array {}
	for _, row in ipairs(list) do
		if req.who.is_admin or is_visible(row, req.who.login, may_read) then out[#out + 1] = finish(row) end
	end
	req.reply(200, JSON, json.encode(out))
end

function M.list(req)
	fleet.boxes(function(text, why)
		if not text then return errors.reply_answer(req, "unavailable", why) end
		local list, asked = json.decode(text), {}
		for _, row in ipairs(list) do
			row.pairs = pairs_of(row)
			for _, p in ipairs(row.pairs or {}) do
				if p.user ~= req.who.login and p.project ~= "" then asked[p.project] = true end
			end
		end
		if req.who.is_admin then return answer(req, list) end
		readable(req.who, asked, function(may_read) answer(req, list, may_read) end)
	end)
end

return M
