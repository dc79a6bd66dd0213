-- notebook_files: notebooks as documents: listed, read, written through the notebook server, which works as the run user; without it they are 503.
-- Notebook NAME of project KEY is projects/KEY/NAME.ipynb; NAME is free text, with "/" between folders.
local errors = require "dss.api.errors"
local gate = require "bind.gate"
local json = require "bind.json"
local notebooks = require "bind.notebooks"
local projects = require "dss.api.projects"
local sessions = require "dss.api.notebooks"

local DEPTH_MOST, FOLDERS_MOST, LIST_MOST, KNOWN_MOST = 5, 100, 1000, 5000
local SPEC_BYTES = 4 << 20    -- a notebook beyond it is not read for its kernelspec alone
local NAME_MOST = 1000
local STAMP = "dss_last_modified" -- a member of the metadata of what is read: who saves it again shows with it what the change was made to
local SAVED_MOST = 1000

local M = {}

local function escape(s) return (s:gsub("[^%w_.~/-]", function(c) return ("%%%02X"):format(c:byte()) end)) end

--- Of a path below projects/.
local function url(path, query) return "/api/contents/" .. escape(path) .. (query or "") end

local function unavailable(req, why)
	errors.reply(req, 503, ("the notebook server cannot be asked: %s"):format(why), { ["Retry-After"] = "5" })
end

--- What the server said beside the status, for people.
local function said(answer)
	local t = json.decode(answer)
	local text = type(t) == "table" and (t.message or t.reason) or nil
	return type(text) == "string" and text:gsub("%c", " "):sub(1, 300) or "no reason is given"
end

local function does_not_exist(req, key, name) errors.reply(req, 404, ("Notebook %s does not exist in project %s"):format(name, key)) end

--- nil and a reason: no notebook can have that name.
local function path_of(key, name)
	if name == "" or #name > NAME_MOST or not utf8.len(name) or name:find "%c" then return nil, "a notebook's name is a text of one line" end
	for part in (name .. "/"):gmatch "([^/]*)/" do
		if part == "" or part:sub(1, 1) == "." then return nil, ('"%s" is no name of a notebook: no part of it may be empty or begin with a dot'):format(name) end
	end
	return key .. "/" .. name .. ".ipynb"
end

--- Calls fn(path) with a notebook of a project that req's user may use in that way.
local function with(req, key, name, right, fn)
	projects.with(req, key, right, function()
		local path, why = path_of(key, name)
		if not path then return errors.reply(req, 400, why) end
		fn(path)
	end)
end

--- fn(document) of one; else answers.
local function read(req, key, name, path, fn)
	notebooks.ask("GET", url(path, "?type=notebook&content=1"), nil, function(status, answer)
		if not status then return unavailable(req, answer) end
		if status == 404 then return does_not_exist(req, key, name) end
		local model = status == 200 and json.decode(answer)
		if not model or type(model.content) ~= "table" then
			return errors.reply(req, status == 400 and 400 or 503, ("unable to read notebook %s: %s"):format(name, said(answer)))
		end
		fn(model.content, model)
	end)
end

--- fn(since when it is what it is now).
local function write(req, name, path, document, fn)
	notebooks.ask("PUT", url(path), json.encode { type = "notebook", format = "json", content = document }, function(status, answer)
		if not status then return unavailable(req, answer) end
		if status >= 300 then return errors.reply(req, status < 500 and 400 or 503, ("unable to write notebook %s: %s"):format(name, said(answer))) end
		local model = json.decode(answer)
		fn(type(model) == "table" and model.last_modified or nil)
	end)
end

--- fn(its model, or nil where there is none); else answers. A folder of that name is no notebook: nothing is done to it.
local function look(req, name, path, fn)
	notebooks.ask("GET", url(path, "?content=0"), nil, function(status, answer)
		if not status then return unavailable(req, answer) end
		if status == 404 then return fn(nil) end
		local model = status == 200 and json.decode(answer)
		if type(model) ~= "table" then return errors.reply(req, 503, ("the notebook server answers %d: %s"):format(status, said(answer))) end
		if model.type ~= "notebook" then
			return errors.reply(req, 409, ("%s.ipynb is no notebook, but a %s"):format(name, model.type == "directory" and "folder" or "file"))
		end
		fn(model)
	end)
end

-- path → { by, from, till }: who saves twice what he read once has overwritten nobody but himself
local saved, nsaved = {}, 0

local function remember_saved(path, by, from, till)
	if nsaved >= SAVED_MOST then saved, nsaved = {}, 0 end
	if not saved[path] then nsaved = nsaved + 1 end
	saved[path] = till and { by = by, from = from, till = till } or nil
end

--- A document that was read as of `from` may replace the one that is there: nobody has changed it since. from nil: whoever writes does not say.
local function is_current(req, name, path, model, from)
	local own = saved[path]
	if from == nil or from == model.last_modified then return true end
	if own and own.by == req.who.login and own.from == from and own.till == model.last_modified then return true end
	errors.reply(req, 409, ("Notebook %s was changed at %s, after it was read: read it again, and make the change to that"):format(name,
		tostring(model.last_modified)))
	return false
end

-- --- the list ---

-- path → { modified, spec }: what was read of a notebook holds until it changes
local known, nknown = {}, 0

local function spec_of(document)
	local spec = type(document) == "table" and type(document.metadata) == "table" and document.metadata.kernelspec
	spec = type(spec) == "table" and spec or {}
	local function text(v) return type(v) == "string" and v or "" end
	return { name = text(spec.name), display_name = text(spec.display_name),
		language = text(spec.language) ~= "" and spec.language or sessions.language_of(text(spec.name)) }
end

local function remember(path, modified, spec)
	if nknown >= KNOWN_MOST then known, nknown = {}, 0 end
	if not known[path] then nknown = nknown + 1 end
	known[path] = { modified = modified, spec = spec }
end

--- "2026-11-21T20:35:06.123456Z" → ms
local function ms_of(text)
	local y, mo, d, h, mi, s = (type(text) == "string" and text or ""):match "^(%d+)-(%d+)-(%d+)T(%d+):(%d+):(%d+)"
	if not y then return 0 end
	local a = (14 - math.tointeger(mo)) // 12
	local yy, mm = math.tointeger(y) + 4800 - a, math.tointeger(mo) + 12 * a - 3
	local days = math.tointeger(d) + (153 * mm + 2) // 5 + 365 * yy + yy // 4 - yy // 100 + yy // 400 - 32045 - 2440588
	return (((days * 24 + math.tointeger(h)) * 60 + math.tointeger(mi)) * 60 + math.tointeger(s)) * 1000
end

--- Calls fn(list of models of notebooks below a project's folder), or fn(nil, why).
local function walk(key, fn)
	local folders, found, at = { { key, 1 } }, {}, 0
	local function next_folder()
		at = at + 1
		local folder = folders[at]
		if not folder or #found >= LIST_MOST then return fn(found) end
		notebooks.ask("GET", url(folder[1], "?type=directory&content=1"), nil, function(status, answer)
			if not status then return fn(nil, answer) end
			local model = status == 200 and json.decode(answer)
			for _, e in ipairs(model and type(model.content) == "table" and model.content or {}) do
				local is_deeper = e.type == "directory" and folder[2] < DEPTH_MOST and #folders < FOLDERS_MOST and e.path ~= key .. "/data"
				if e.type == "notebook" and #found < LIST_MOST and type(e.path) == "string" then found[#found + 1] = e end
				if is_deeper and type(e.path) == "string" then folders[#folders + 1] = { e.path, folder[2] + 1 } end
			end
			next_folder()
		end)
	end
	next_folder()
end

--- Reads what is not known of them, one after the other, then calls fn(); one that cannot be read, or is large, has no kernelspec.
local function read_specs(found, fn)
	local at = 0
	local function next_one()
		at = at + 1
		local e = found[at]
		if not e then return fn() end
		if known[e.path] and known[e.path].modified == e.last_modified then return next_one() end
		if type(e.size) == "number" and e.size > SPEC_BYTES then return next_one() end -- it would be read whole, on the loop
		notebooks.ask("GET", url(e.path, "?type=notebook&content=1"), nil, function(status, answer)
			local model = status == 200 and json.decode(answer)
			if status then remember(e.path, e.last_modified, spec_of(model and model.content)) end
			next_one()
		end)
	end
	next_one()
end

function M.list(req, key)
	local only_active = (req.query.active or ""):lower() == "true"
	local function item(path, modified, spec)
		return { name = sessions.name_of(path), projectKey = key, language = spec.language, kernelSpec = spec, tags = json.array {},
			lastModifiedOn = ms_of(modified), type = "JUPYTER" }
	end
	local function answer(found, active)
		local out = json.array {}
		for _, e in ipairs(found) do
			if not only_active or active[e.path] then out[#out + 1] = item(e.path, e.last_modified, (known[e.path] or {}).spec or spec_of()) end
		end
		table.sort(out, function(a, b) return a.name < b.name end)
		sessions.reply(req, out)
	end
	sessions.of_project(req, key, nil, "read", function(rows)
		local active = {}
		for _, row in ipairs(rows) do active[row.notebook] = true end
		walk(key, function(found, why)
			if not found then return unavailable(req, why) end
			read_specs(found, function() answer(found, active) end)
		end)
	end)
end

-- --- one ---

function M.get(req, key, name)
	with(req, key, name, "read", function(path)
		read(req, key, name, path, function(document, model)
			if type(document.metadata) == "table" and type(model.last_modified) == "string" then document.metadata[STAMP] = model.last_modified end
			sessions.reply(req, document)
		end)
	end)
end

--- The body as a notebook, or nil after answering.
local function document_of(req)
	local document, why = json.decode(req.body ~= "" and req.body or "null")
	if type(document) ~= "table" or json.is_array(document) then
		errors.reply(req, 400, ("the body has to be a notebook: %s"):format(why or "a JSON object with cells and nbformat"))
		return nil
	end
	if document.cells == nil then document.cells = json.array {} end
	if document.nbformat == nil then document.nbformat, document.nbformat_minor = 4, 5 end
	if document.metadata == nil then document.metadata = {} end
	if type(document.cells) ~= "table" or math.type(document.nbformat) ~= "integer" or type(document.metadata) ~= "table" then
		errors.reply(req, 400, "the body has to be a notebook: cells a list, metadata an object, nbformat a number")
		return nil
	end
	return document
end

--- model: what it replaces; from: as of when that was read.
local function save(req, name, path, document, model, from)
	if model and not is_current(req, name, path, model, from) then return end
	write(req, name, path, document, function(till)
		remember_saved(path, req.who.login, from, till)
		sessions.reply(req, json.object {})
	end)
end

--- Takes the stamp out of a document: it is about the file, and no part of it.
local function take_stamp(document)
	local from = document.metadata[STAMP]
	document.metadata[STAMP] = nil
	return type(from) == "string" and from or nil
end

function M.put(req, key, name)
	with(req, key, name, "write", function(path)
		local document = document_of(req)
		if not document then return end
		local from = take_stamp(document)
		look(req, name, path, function(model)
			if not model then return does_not_exist(req, key, name) end
			document.metadata.modifiedBy = req.who.login
			save(req, name, path, document, model, from)
		end)
	end)
end

function M.post(req, key, name)
	with(req, key, name, "write", function(path)
		local document = document_of(req)
		if not document then return end
		take_stamp(document) -- of the one that this is a copy of
		look(req, name, path, function(model)
			if model then return errors.reply(req, 409, ("Notebook %s already exists in project %s"):format(name, key)) end
			local m = document.metadata
			m.creator, m.createdOn, m.modifiedBy = req.who.login, gate.wall_ms(), req.who.login
			save(req, name, path, document)
		end)
	end)
end

--- Its sessions end first.
function M.delete(req, key, name)
	with(req, key, name, "write", function(path)
		look(req, name, path, function(model)
			if not model then return does_not_exist(req, key, name) end
			sessions.of_project(req, key, name, "write", function(rows)
				sessions.unload_all(req, rows, function(why)
					if why then return errors.reply(req, 503, ("unable to unload %s: %s"):format(name, why)) end
					notebooks.ask("DELETE", url(path), nil, function(status, answer)
						if not status then return unavailable(req, answer) end
						if status >= 300 and status ~= 404 then return errors.reply(req, 503, ("unable to delete notebook %s: %s"):format(name, said(answer))) end
						sessions.reply(req, json.object {})
					end)
				end)
			end)
		end)
	end)
end

function M.clear_outputs(req, key, name)
	with(req, key, name, "write", function(path)
		read(req, key, name, path, function(document, was)
			for _, cell in ipairs(type(document.cells) == "table" and document.cells or {}) do
				if cell.cell_type == "code" then cell.outputs, cell.execution_count = json.array {}, json.null end
			end
			look(req, name, path, function(model)
				if not model then return does_not_exist(req, key, name) end
				save(req, name, path, document, model, was.last_modified)
			end)
		end)
	end)
end

return M
