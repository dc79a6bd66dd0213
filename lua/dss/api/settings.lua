-- settings: what was set of a project over the API, laid over what its project.lua says. Kept is the difference alone: names that a PUT left as
-- project.lua has them go on following it, and a PUT of just what the file says keeps nothing.
local id = require "dss.text.id"
local json = require "bind.json"
local nearest = require "dss.text.nearest"
local settings = require "bind.settings"
local sorted_keys = require("dss.model.schema").sorted_keys

local TEXT_MAX, NAMES_MAX, NAME_MAX = 65536, 10000, 200
local MEMBERS_MAX = 1000
local COLOUR = "#4285F4"

local M = {}

local function is_object(v) return type(v) == "table" and not json.is_array(v) end

local function same(a, b)
	if type(a) ~= "table" or type(b) ~= "table" then return a == b and math.type(a) == math.type(b) end
	if json.is_array(a) ~= json.is_array(b) and (next(a) or next(b)) then return false end
	for k, v in pairs(a) do
		if not same(v, b[k]) then return false end
	end
	for k in pairs(b) do
		if a[k] == nil then return false end
	end
	return true
end

-- --- differences ---

--- { set, removed } that makes `wanted` of `base`, or nil: they are the same.
local function difference(base, wanted)
	local set, removed = json.object {}, json.array {}
	for k, v in pairs(wanted) do
		if not same(v, base[k]) then set[k] = v end
	end
	for _, k in ipairs(sorted_keys(base)) do
		if wanted[k] == nil then removed[#removed + 1] = k end
	end
	if next(set) == nil and #removed == 0 then return nil end
	return { set = set, removed = removed }
end

local function patched(base, set, removed)
	local out = json.object {}
	for k, v in pairs(base) do out[k] = v end
	for _, k in ipairs(removed or {}) do out[k] = nil end
	for k, v in pairs(set or {}) do out[k] = v end
	return out
end

local function kept(key, what)
	local text = settings.get(key, what)
	return text and json.decode(text) or {}
end

-- --- what each is where nothing was set ---

local base = {}

function base.metadata(key, file)
	return {
		label = file.name or key, shortDesc = file.about or "", description = file.about or "", tags = json.array(file.tags or {}),
		customFields = json.object {}, checklists = { checklists = json.array {} },
	}
end

function base.permissions(_, file)
	local by, list = {}, json.array {}
	for right, logins in pairs(file.rights or {}) do
		for _, login in ipairs(logins) do
			by[login] = by[login] or {}
			by[login][right] = true
		end
	end
	for i, login in ipairs(sorted_keys(by)) do
		local r = by[login]
		list[i] = { user = login, readProjectContent = true, runScenarios = (r.run or r.write) and true or false, writeProjectContent = r.write or false,
			admin = false }
	end
	return { owner = file.owner or "admin", permissions = list }
end

function base.tags(_, file)
	local tags = json.object {}
	for _, tag in ipairs(file.tags or {}) do tags[tag] = { color = COLOUR } end
	return tags
end

function base.settings()
	return {
		settings = { codeEnvs = { python = { mode = "USE_BUILTIN_MODE", useBuiltinEnv = true }, r = { mode = "USE_BUILTIN_MODE", useBuiltinEnv = true } } },
		exposedObjects = { objects = json.array {} },
	}
end

-- --- what may be set ---

local function is_text(v) return type(v) == "string" and #v <= TEXT_MAX and not v:find "\0" end

local function is_texts(v)
	if type(v) ~= "table" or #v > MEMBERS_MAX or (next(v) ~= nil and not json.is_array(v)) then return false end
	for _, s in ipairs(v) do
		if not is_text(s) or s == "" or #s > NAME_MAX or s:find "%c" then return false end
	end
	return true
end

local function is_names(v)
	if not is_object(v) then return false end
	local n = 0
	for k in pairs(v) do
		n = n + 1
		if n > NAMES_MAX or k == "" or #k > NAME_MAX or k:find "%c" then return false end
	end
	return true
end

local flags = { admin = true, readProjectContent = true, writeProjectContent = true, runScenarios = true }

local function permission_trouble(p)
	if not is_object(p) then return "has to be an object" end
	if p.group ~= nil and p.group ~= json.null then return "names a group: there are no groups here, name users" end
	if type(p.user) ~= "string" or (p.user ~= "everybody" and not id.is_login(p.user)) then return 'needs "user", a login or "everybody"' end
	for k, v in pairs(p) do
		if flags[k] and type(v) ~= "boolean" then return ("%s has to be true or false"):format(k) end
	end
end

local function is_permissions(v)
	if type(v) ~= "table" or #v > MEMBERS_MAX or (next(v) ~= nil and not json.is_array(v)) then return false, "has to be a list" end
	for i, p in ipairs(v) do
		local why = permission_trouble(p)
		if why then return false, ("%d. %s"):format(i, why) end
	end
	return true
end

local texts = { is_text, "a text up to 64 KB" }
local names = { is_names, "an object; names up to 200 bytes, at most 10000" }

local shapes = {
	metadata = {
		label = { function(v) return is_text(v) and v ~= "" and #v <= NAME_MAX and not v:find "%c" end, "a text of one line, up to 200 bytes" },
		shortDesc = texts, description = texts, tags = { is_texts, "a list of texts of one line" }, customFields = names, checklists = names,
	},
	permissions = { owner = { function(v) return type(v) == "string" and id.is_login(v) end, "a login" }, permissions = { is_permissions, "a list" } },
	tags = { tags = names },
	variables = { standard = names, ["local"] = names },
}

--- The body of a PUT of `what`, or nil and why.
function M.read(req, what)
	local body, why = json.decode(req.body)
	if not is_object(body) then return nil, why or "the body has to be a JSON object" end
	local shape = shapes[what]
	for _, k in ipairs(sorted_keys(body)) do
		local field = shape and shape[k]
		if shape and not field then
			local all = sorted_keys(shape)
			local guess = nearest(k, all)
			return nil, ('unknown key "%s"%s'):format(k, guess and (', did you mean "%s"?'):format(guess) or "; there are " .. table.concat(all, ", "))
		end
		local ok, more = not field, nil
		if field then ok, more = field[1](body[k]) end
		if not ok then return nil, ('"%s": %s'):format(k, more or "has to be " .. field[2]) end
	end
	for _, k in ipairs(what == "variables" and { "standard", "local" } or what == "tags" and { "tags" } or {}) do
		if body[k] == nil then return nil, ('"%s" is missing'):format(k) end
	end
	if not shape and not is_names(body) then return nil, "an object is wanted; names up to 200 bytes" end
	return body
end

-- --- reading and writing ---

--- What stands: metadata, permissions, tags (name → { color }), settings.
function M.get(key, what, file)
	local k = kept(key, what)
	return patched(base[what](key, file), k.set, k.removed)
end

function M.put(key, what, file, wanted, by, fn)
	local b = base[what](key, file)
	-- What a PUT of metadata or permissions leaves out stays as it stands; in free objects it is taken out.
	if what == "metadata" or what == "permissions" then wanted = patched(M.get(key, what, file), wanted) end
	local d = difference(b, wanted)
	settings.put(key, what, d and json.encode(d) or nil, by, fn)
end

--- { standard, local }
function M.variables(key, file)
	local k = kept(key, "variables")
	return { standard = patched(file.variables or {}, k.standard, k.removed), ["local"] = json.object(k["local"] or {}) }
end

function M.put_variables(key, file, wanted, by, fn)
	local d = difference(file.variables or {}, wanted.standard)
	local is_any = d or next(wanted["local"]) ~= nil
	settings.put(key, "variables", is_any and json.encode {
		standard = json.object(d and d.set or {}), removed = json.array(d and d.removed or {}), ["local"] = wanted["local"],
	} or nil, by, fn)
end

--- The variables as processes see them: the instance's, project.lua's, set ones, local ones. Not typed: all are texts.
function M.resolved(key, is_typed) return settings.variables(key, is_typed) end

--- Lays what was set over what project.lua says: name, about, tags, owner, rights. Changes data.
function M.lay(key, data)
	local m, p = kept(key, "metadata").set, kept(key, "permissions").set
	if m then
		data.name, data.about, data.tags = m.label or data.name, m.shortDesc or data.about, m.tags or data.tags
		data.description = m.description
	end
	if not p then return data end
	data.owner = p.owner or data.owner
	if not p.permissions then return data end
	data.rights = { read = json.array {}, run = json.array {}, write = json.array {} }
	for _, one in ipairs(p.permissions) do
		local right = (one.admin or one.writeProjectContent) and "write" or one.runScenarios and "run" or one.readProjectContent and "read"
		if right then table.insert(data.rights[right], one.user) end
	end
	return data
end

--- Who set what last, newest first: { { key, by, at_ms }, … }.
function M.history(key)
	local out = {}
	for _, row in ipairs(settings.list(key)) do
		if row.by ~= "" then out[#out + 1] = row end
	end
	return out
end

--- The instance's own variables.
function M.instance()
	return settings.get("", "variables") or "{}"
end

function M.put_instance(object, by, fn)
	settings.put("", "variables", next(object) ~= nil and json.encode(object) or nil, by, fn)
end

return M
