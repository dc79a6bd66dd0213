-- project: projects/KEY/project.lua, written by users, as checked data: plain tables that JSON can hold. It runs in a process of its own
-- (core/bind/project_eval.c), which has neither policies nor configuration nor keys.
--
--     project { name = "Churn", recipes = { clean = python { script = "recipes/clean.py", inputs = { "raw" }, outputs = { "tidy" } } } }
local json = require "bind.json"
local flow = require "dss.model.flow"
local recipes = require "dss.model.recipes"
local S = require "dss.model.schema"
local sandbox = require "dss.model.sandbox"
local Source = require "dss.model.source"
local id = require "dss.text.id"
local mark = require "dss.text.mark"
local sorted_keys = S.sorted_keys

local M = {}

local KEY_MAX = 36            -- Lua cuts the name of a chunk at 60 bytes
local VALUES_MAX = 50000      -- what one file may say: values, and bytes of texts
local BYTES_MAX = 512 << 10
local DEPTH_MAX = 30
local ERRORS_MAX = 100
local ERROR_MAX = 500
local ANSWER_MAX = 1 << 20

--- Is that the key of a project: capitals, digits and underscores?
function M.is_key(key) return type(key) == "string" and #key <= KEY_MAX and key:find "^[A-Z0-9_]+$" ~= nil end

local Section = {}            -- a part that is read by itself
local function section(wanted) return S.tagged { tag = Section, wanted = wanted } end
local sections = { "datasets", "recipes", "webapps", "models" }

local function login() return S.text { check = function(v)
	if not id.is_login(v) then return nil, ("%q is no login"):format(v) end
	return v
end } end
local function who() return S.list { of = S.text { check = function(v)
	if v ~= "everybody" and not id.is_login(v) then return nil, ('%q is no login, and not "everybody"'):format(v) end
	return v
end } } end

local shape = S.record {
	name = S.text {}, owner = login(), about = recipes.about(), tags = recipes.tags(), rights = S.record { read = who(), run = who(), write = who() },
	variables = recipes.free(), datasets = section "a table of datasets", recipes = section "a table of recipes",
	webapps = section "a table of webapps", models = section "a table of models",
}
local dataset = S.record { name = S.text {}, about = recipes.about(), tags = recipes.tags(), params = recipes.free() }

local wanted = {
	recipes = "python { … }, r { … }, shell { … }, spark { … } or java { … }", webapps = "webapp { … }", models = "model { … }",
}

--- Why all that was said is too much, or nil: no value may cost more than it took to write, however often it is shared.
local function too_much(t, left, depth)
	if depth > DEPTH_MAX then return ("tables nested deeper than %d"):format(DEPTH_MAX) end
	for k, v in pairs(t) do
		left.values = left.values - 1
		for _, part in ipairs { k, v } do
			if type(part) == "string" then
				left.bytes = left.bytes - #part
				if not utf8.len(part) then return "a text that is not UTF-8: " .. mark.line(part, 80) end
			end
		end
		if left.values < 0 then return ("more than %d values"):format(VALUES_MAX) end
		if left.bytes < 0 then return ("texts of more than %d KB"):format(BYTES_MAX >> 10) end
		local opened = recipes.opened(v)
		local inner = opened and opened.table or v
		local why = type(inner) == "table" and too_much(inner, left, depth + 1)
		if why then return why end
	end
end

--- Where member `name` of a section stands. other: its line where it was made elsewhere.
local function place_of(source, line, lines, name, other)
	local l = lines and lines[name]
	local is_here = type(l) == "table"
	return { source = source, line = is_here and S.line_of(l) or other or line, lines = is_here and l or nil }
end

local function read_member(source, what, name, value, at, where)
	local shown = what .. "." .. name
	if what == "datasets" then
		if type(value) ~= "table" or recipes.opened(value) then return source:report(at.line, shown .. ": a table is wanted, such as { about = \"…\" }") end
		local d = recipes.read(dataset, value, at, shown)
		if d then
			d.line, d.params = at.line, d.params or json.object {}
			d.tags = d.tags and json.array(d.tags)
		end
		return d
	end
	local opened = recipes.opened(value)
	if not opened or not recipes.kinds[what][opened.kind] then
		return source:report(at.line, ("%s: %s is wanted, not %s"):format(shown, wanted[what], opened and opened.kind .. " { … }" or "a " .. type(value)))
	end
	if not (at.lines and next(at.lines, next(at.lines))) then at.line = opened.line end -- made above, and named here
	return recipes.take(opened, at, shown, where)
end

local function read_section(source, what, t, line, lines, where)
	local out = json.object {}
	for _, name in ipairs(sorted_keys(t)) do
		local at = place_of(source, line, lines, name, recipes.opened(t[name]) and recipes.opened(t[name]).line)
		local why = recipes.bad_name(name)
		if why then source:report(at.line, what .. ": " .. why)
		else out[name] = read_member(source, what, name, t[name], at, where) end
	end
	return out
end

-- --- what only the whole can tell ---

local function names_clash(data, graph_names, say)
	for _, what in ipairs { "recipes", "models" } do
		for _, name in ipairs(sorted_keys(data[what])) do
			local other = graph_names[name]
			if other then
				say(data[what][name].line, ("%s.%s has the name of a %s: they share one flow; call it %s"):format(what, name, other,
					(what == "recipes" and "compute_" or "model_") .. name))
			end
			if what == "recipes" then graph_names[name] = "recipe" end
		end
	end
end

local function dataset_names(data)
	local out = {}
	for name in pairs(data.datasets) do out[name] = "dataset" end
	for _, r in pairs(data.recipes) do
		for _, key in ipairs { "inputs", "outputs" } do
			for _, name in ipairs(r[key]) do out[name] = "dataset" end
		end
	end
	for _, m in pairs(data.models) do out[m.input] = "dataset" end
	return out
end

local function circle_text(data, circle)
	local out = {}
	for _, name in ipairs(circle) do
		local r = data.recipes[name]
		out[#out + 1] = r and ("%s (line %d)"):format(name, r.line) or name
	end
	out[#out + 1] = circle[1]
	return "a circle: " .. table.concat(out, " → ")
end

local function check_flow(data, say)
	local names = dataset_names(data)
	local before = #say.errors
	names_clash(data, names, say.at)
	if #say.errors > before then return end
	local graph = flow.new(data)
	for _, t in ipairs(graph.twice) do
		local first, second = data.recipes[t[2]], data.recipes[t[3]]
		if first.line > second.line then t[2], t[3], first, second = t[3], t[2], second, first end
		say.at(second.line, ("dataset %s is made by two recipes: %s (line %d) and %s"):format(t[1], t[2], first.line, t[3]))
	end
	for _, circle in ipairs(flow.circles(graph)) do say.at(data.recipes[circle[1]].line, circle_text(data, circle)) end
end

--- Datasets that are only named get their place in the data, so that who reads it sees all of them.
local function complete(data)
	for name in pairs(dataset_names(data)) do
		data.datasets[name] = data.datasets[name] or { params = json.object {} }
	end
	for _, r in pairs(data.recipes) do
		for _, output in ipairs(r.outputs) do data.datasets[output].made = true end
	end
	for _, d in pairs(data.datasets) do d.made = d.made or false end
end

local function take(source, model, t, line)
	local why = too_much(t, { values = VALUES_MAX, bytes = BYTES_MAX }, 1)
	if why then return source:report(line, "project: " .. why) end
	local lines, copy, open = source:lines(line), {}, {}
	for k, v in pairs(t) do copy[k] = v end
	for _, what in ipairs(sections) do
		local v = t[what]
		if type(v) == "table" and not recipes.opened(v) then copy[what], open[what] = setmetatable({}, Section), v end
	end
	local data = recipes.read(shape, copy, { source = source, line = line, lines = lines })
	for _, what in ipairs(sections) do
		local l = lines[what]
		data[what] = read_section(source, what, open[what] or {}, S.line_of(l) or line, l, model.where)
	end
	data.key, data.line, data.name, data.variables = model.key, line, data.name or model.key, data.variables or json.object {}
	data.tags = json.array(data.tags or {})
	data.rights = json.object(data.rights or {})
	for _, list in pairs(data.rights) do json.array(list) end
	model.data = data
	if #source.errors == 0 then check_flow(data, { errors = source.errors, at = function(at, text) source:report(at, text) end }) end
	if #source.errors == 0 then complete(data) end
end

--- "projects/KEY/project.lua:4: text" → { file, line, text }, in the order of the file; the first of too many, each bounded.
local function tell(errors, name)
	local out = {}
	for i, said in ipairs(errors) do
		local rest = said:sub(1, #name) == name and said:sub(#name + 1) or ""
		local line, text = rest:match "^:(%d+): (.*)$"
		out[i] = { file = name, line = math.tointeger(tonumber(line or 1)) or 1, text = mark.line(text or said, ERROR_MAX), at = i }
	end
	table.sort(out, function(a, b)
		if a.line ~= b.line then return a.line < b.line end
		return a.at < b.at
	end)
	for i, e in ipairs(out) do
		e.at = nil
		if i > ERRORS_MAX then out[i] = nil end
	end
	if #errors > ERRORS_MAX then out[ERRORS_MAX + 1] = { file = name, line = 1, text = ("… and %d more"):format(#errors - ERRORS_MAX) } end
	return json.array(out)
end

function M.file(key) return ("projects/%s/project.lua"):format(key) end

--- The data of one file's text, or nil and a list of { file, line, text }. A script that is not there stops only what needs it: the data is good, that
-- recipe, webapp or model has `missing` ("FILE:LINE: text"), and the data a list `missing` like the other one.
-- where: look(path) → true, or nil, why it is no file of the project, and whether it may come yet (nil: not asked); may_be_absolute: for paths.
function M.evaluate(text, key, where)
	local errors, name = {}, M.file(key)
	local source, model = Source.new(name, text, errors), { key = key, first = {}, where = where or {} }
	source.missing = {}
	local words = recipes.words(source)
	words.project = source:single("project", model, function(t, line)
		if recipes.opened(t) then return source:report(line, "project wants a table: project { … }") end
		take(source, model, t, line)
	end)
	local ok, raised = sandbox.run(text, "@" .. name, sandbox.environment(words))
	if not ok then errors[#errors + 1] = (raised:gsub("used up the memory of a policy set", "used up the memory of a project's file")) end
	if #errors == 0 and not model.data then errors[1] = name .. ":1: it says nothing: write project { name = \"…\" }" end
	if #errors > 0 then return nil, tell(table.move(source.missing, 1, #source.missing, #errors + 1, errors), name) end
	if #source.missing > 0 then model.data.missing = tell(source.missing, name) end
	return model.data
end

--- For `dssd project`: whether it is good, and the data, or { errors }, as JSON.
function M.answer(text, key, look, may_be_absolute)
	local data, errors = M.evaluate(text, key, { look = look, may_be_absolute = may_be_absolute })
	local out = data and json.encode(data)
	if out and #out > ANSWER_MAX then
		data, errors = nil, tell({ ("%s:1: what it says is %d KB of JSON, more than %d"):format(M.file(key), #out >> 10, ANSWER_MAX >> 10) }, M.file(key))
	end
	if data then return true, out end
	return false, json.encode { errors = errors }
end

return M
