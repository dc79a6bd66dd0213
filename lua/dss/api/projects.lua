-- projects: what projects/KEY/project.lua says, for those whom it lets in. Users write that file: a process of its own reads it, never this one.
local build = require "dss.model.build"
local crypt = require "bind.crypt"
local errors = require "dss.api.errors"
local flow = require "dss.model.flow"
local gate = require "bind.gate"
local id = require "dss.text.id"
local jobs = require "bind.jobs"
local json = require "bind.json"
local settings = require "dss.api.settings"

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

-- Of each project that was read well: who may, and which webapps it has. It holds while the file has a mistake, so that what runs stays in sight and
-- can be ended.
local held = {}

local function hold(key, data)
	local names = {}
	for name, spec in pairs(data.webapps or {}) do names[name] = { autostart = spec.autostart } end
	held[key] = { owner = data.owner, rights = data.rights, webapps = names }
end

--- What a good project.lua says, and over it what was set over the API.
function M.read(key, raw)
	local data = json.decode(raw)
	hold(key, data)
	return settings.lay(key, data)
end

--- What is known of a project whose file has a mistake: { owner, rights, webapps }. nil: nothing since this backend's start; admins may all the same.
function M.held(who, key)
	local was = held[key] or who.is_admin and { webapps = {} }
	return was and settings.lay(key, { owner = was.owner, rights = was.rights, webapps = was.webapps }) or nil
end

--- What stands in the way of something: of the whole, or of what needs a file that is not there.
local function mistakes_of(raw)
	local said = json.decode(raw) or {}
	return said.errors or said.missing or json.array {}
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

--- Calls fn(data, raw, said) (raw: what the file alone says; said: that, or its errors) with the project that req's user may use in that way; else
-- answers: 404 (also to those who may not see it), 403, 400 with the file's errors. is_held: what is known holds in their place, and raw is nil then.
function M.with(req, key, right, fn, is_held)
	if not id.is_id(key) then return does_not_exist(req, key) end
	jobs.project(key, function(state, raw, why)
		if state == "missing" then
			held[key] = nil
			return does_not_exist(req, key)
		end
		if state == "failed" then return errors.reply(req, 503, why, { ["Retry-After"] = "2" }) end
		local is_good = state == "good"
		local data = is_good and M.read(key, raw) or M.held(req.who, key)
		if data and not M.may(req.who, data, "read") then return does_not_exist(req, key) end
		if not is_good and not (data and is_held) then return errors.reply(req, 400, errors_text(raw)) end
		if not M.may(req.who, data, right) then return errors.reply(req, 403, ("%s may not %s project %s"):format(req.who.login, right, key)) end
		fn(data, is_good and raw or nil, raw)
	end)
end

local function reply(req, value) req.reply(200, JSON, json.encode(value)) end

local function last_change(key, data)
	local at, by = jobs.look(key, "project.lua") or 0, data.owner or "admin"
	local last = settings.history(key)[1]
	if last and last.at_ms > at then at, by = last.at_ms, last.by end
	return at, by
end

local function item(key, data, with_location)
	local at, by = last_change(key, data)
	local owner = data.owner or "admin"
	return {
		projectKey = key, name = data.name or key, projectStatus = "Sandbox", shortDesc = data.about or "",
		description = data.description or data.about or "", ownerLogin = owner, ownerDisplayName = owner, tags = json.array(data.tags or {}),
		projectType = "REGULAR", projectAppType = "REGULAR", tutorialProject = false, commitMode = "AUTO", permissionsVersion = 1,
		projectLocation = with_location and json.array {} or nil, -- folders of projects: there are none, all lie at the root
		versionTag = { versionNumber = 0, lastModifiedBy = { login = by }, lastModifiedOn = at },
		creationTag = { versionNumber = 0, lastModifiedBy = { login = owner }, lastModifiedOn = jobs.look(key, "project.lua") or 0 },
	}
end

--- Does one of the wanted tags, "a,b", stand on it?
local function has_tag(data, wanted)
	if not wanted or wanted == "" then return true end
	for tag in wanted:gmatch "[^,]+" do
		for _, own in ipairs(data.tags or {}) do
			if own == tag then return true end
		end
	end
	return false
end

function M.list(req)
	local keys, out, open = jobs.keys(), json.array {}, 1
	local with_location = (req.query.includeLocation or ""):lower() == "true"
	local function done()
		open = open - 1
		if open > 0 then return end
		table.sort(out, function(a, b) return a.projectKey < b.projectKey end)
		reply(req, out)
	end
	local function take(key, state, raw)
		local data = state == "good" and M.read(key, raw)
		-- One that cannot be read is shown to admins, so that it is not lost from sight.
		if not data and (state == "missing" or not req.who.is_admin) then return end
		data = data or {}
		if M.may(req.who, data, "read") and has_tag(data, req.query.tags) then out[#out + 1] = item(key, data, with_location) end
	end
	for _, key in ipairs(keys) do
		open = open + 1
		jobs.project(key, function(state, raw)
			take(key, state, raw)
			done()
		end)
	end
	done()
end

function M.get(req, key)
	M.with(req, key, "read", function(data) reply(req, item(key, data)) end)
end

-- --- what may be set: GET tells it, PUT changes it ---

local function saved(req)
	return function(ok, why)
		if not ok then return errors.reply_answer(req, "unavailable", why) end
		reply(req, json.object {})
	end
end

local function get_of(what)
	return function(req, key)
		M.with(req, key, "read", function(_, raw)
			local value = settings.get(key, what, json.decode(raw))
			reply(req, what == "tags" and { tags = value } or value)
		end)
	end
end

--- May who set that? Rights are the owner's to give; the owner is an admin's.
local function refusal(who, data, what, body)
	local owner = data.owner or "admin"
	if what ~= "permissions" or who.is_admin then return nil end
	if who.login ~= owner then return ("%s may not give rights in this project: its owner %s and admins may"):format(who.login, owner) end
	if body.owner and body.owner ~= owner then return "only an admin gives a project to another owner" end
end

local function put_of(what)
	return function(req, key)
		M.with(req, key, what == "permissions" and "read" or "write", function(data, raw)
			local body, why = settings.read(req, what)
			if not body then return errors.reply(req, 400, why) end
			local no = refusal(req.who, data, what, body)
			if no then return errors.reply(req, 403, no) end
			settings.put(key, what, json.decode(raw), what == "tags" and body.tags or body, req.who.login, saved(req))
		end)
	end
end

for _, what in ipairs { "metadata", "permissions", "tags", "settings" } do
	M[what], M["put_" .. what] = get_of(what), put_of(what)
end

function M.variables(req, key)
	M.with(req, key, "read", function(_, raw) reply(req, settings.variables(key, json.decode(raw))) end)
end

function M.put_variables(req, key)
	M.with(req, key, "write", function(_, raw)
		local body, why = settings.read(req, "variables")
		if not body then return errors.reply(req, 400, why) end
		settings.put_variables(key, json.decode(raw), body, req.who.login, saved(req))
	end)
end

--- Flat; ?typed=true leaves values what they are, else all are texts.
function M.resolved(req, key)
	M.with(req, key, "read", function() req.reply(200, JSON, settings.resolved(key, (req.query.typed or ""):lower() == "true")) end)
end

--- Nobody stars or watches projects here.
function M.interest(req, key)
	M.with(req, key, "read", function() reply(req, { starCount = 0, watchCount = 0 }) end)
end

local TIMELINE = 100
local timeline_words = { variables = "variables", metadata = "description", permissions = "rights", tags = "tags", settings = "settings" }

--- Who changed what last: of each thing that can be set, and of the file.
function M.timeline(req, key)
	local most = math.tointeger(tonumber(req.query.itemCount or TIMELINE))
	if not most or most < 0 then return errors.reply(req, 400, "itemCount has to be a whole number") end
	M.with(req, key, "read", function(data)
		local owner, seen = data.owner or "admin", {}
		local out = { allContributors = json.array { { login = owner } }, items = json.array {}, createdBy = { login = owner } }
		seen[owner] = true
		for i, row in ipairs(settings.history(key)) do
			if i <= most then
				out.items[i] = { user = row.by, time = row.at_ms, action = "EDIT_" .. row.key:upper(), objectType = "PROJECT", objectId = key, projectKey = key,
					details = { what = timeline_words[row.key] or row.key } }
			end
			if not seen[row.by] then table.insert(out.allContributors, { login = row.by }) end
			seen[row.by] = true
		end
		local at, by = last_change(key, data)
		out.lastModifiedBy, out.lastModifiedOn = { login = by }, at
		out.createdOn = jobs.look(key, "project.lua") or 0
		reply(req, out)
	end)
end

--- Variables of the instance: beneath those of every project.
function M.instance_variables(req) req.reply(200, JSON, settings.instance()) end

function M.put_instance_variables(req)
	local body, why = settings.read(req, "settings")
	if not body then return errors.reply(req, 400, why) end
	settings.put_instance(body, req.who.login, saved(req))
end

function M.graph(req, key)
	M.with(req, key, "read", function(data) reply(req, flow.answer(flow.new(data))) end)
end

--- The whole file as checked data.
function M.data(req, key)
	M.with(req, key, "read", function(_, raw) req.reply(200, JSON, raw) end)
end

--- What is wrong with it, one by one, and how much it has.
function M.mistakes(req, key)
	M.with(req, key, "read", function(data, raw, said)
		local out = { key = key, mistakes = json.array(mistakes_of(said)) }
		for _, what in ipairs { "recipes", "datasets", "webapps", "models" } do
			local n = 0
			for _ in pairs(raw and data[what] or {}) do n = n + 1 end
			out[what] = n
		end
		reply(req, out)
	end, true)
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
