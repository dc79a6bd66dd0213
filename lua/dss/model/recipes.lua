-- recipes: what stands in a project: recipes (python, r, shell, spark, java), webapps and models; the shape of each, and what it becomes as
-- plain data with units in its names. Words make handles; the word `project` (project.lua) reads what is in them.
local json = require "bind.json"
local S = require "dss.model.schema"
local id = require "dss.text.id"

local M = {}

local NAME_MAX = 100          -- with "_NP" behind it, it still is an id
local DEPTH_MAX = 20

--- Why that is no name of a dataset, recipe, webapp or model; or nil.
function M.bad_name(v)
	if type(v) ~= "string" then return "a name is a text" end
	if v:find("[.]") and id.is_id(v) then return ("%q: a name has no dot; datasets of other projects cannot be named"):format(v) end
	if not id.is_id(v) or v:find "[:()]" or #v > NAME_MAX then
		return ("%q is no valid name: letters, digits, _ and - are, up to %d, beginning with a letter, digit or _"):format(v:sub(1, 100), NAME_MAX)
	end
end

--- A value of the user's as JSON has it, or nil and why. Lists are marked, so that they stay lists.
local function plain(v, depth)
	local t = type(v)
	if t == "string" or t == "boolean" or math.type(v) == "integer" then return v end
	if t == "number" then
		if v - v ~= 0 then return nil, "JSON has no NaN and no infinity" end
		return v
	end
	if t ~= "table" then return nil, ("a %s is no value: texts, numbers, booleans and tables of them are"):format(t) end
	if depth > DEPTH_MAX then return nil, ("nested deeper than %d"):format(DEPTH_MAX) end
	local n, out = #v, {}
	for k, member in pairs(v) do
		local is_place = math.type(k) == "integer" and k >= 1 and k <= n
		if n > 0 and not is_place then return nil, "a list and names in one table" end
		if n == 0 and type(k) ~= "string" then return nil, ("a key is a text, not a %s"):format(type(k)) end
		local value, why = plain(member, depth + 1)
		if value == nil then return nil, ("%s: %s"):format(tostring(k):sub(1, 100), why) end
		out[k] = value
	end
	return n > 0 and json.array(out) or json.object(out)
end

-- The schema has no word for a table of anything: it comes wrapped, and leaves as plain data.
local Free = {}
local function free() return S.tagged { tag = Free, wanted = "a table", check = function(box)
	local out, why = plain(box.value, 1)
	if out and json.is_array(out) then return nil, "names with values are wanted, not a list" end
	return out, why
end } end
local free_keys = { "params", "variables" }

--- Reads a table of the user's by a shape; at: source, line, lines.
function M.read(shape, t, at, path)
	local copy = {}
	for k, v in pairs(t) do copy[k] = v end
	for _, key in ipairs(free_keys) do
		if type(copy[key]) == "table" then copy[key] = setmetatable({ value = copy[key] }, Free) end
	end
	return S.read(shape, copy, at, path)
end

M.free = free

local function name() return S.text { check = function(v)
	local why = M.bad_name(v)
	if why then return nil, why end
	return v
end } end
M.name = name

local function names() return S.list { of = name() } end
local function texts() return S.list { of = S.text { may_be_empty = true } } end
local function about() return S.text { may_be_empty = true } end
function M.tags() return S.list { of = S.text {} } end
M.about = about

local function program(wanted) return S.text { default = wanted, check = function(v)
	if v:find "/" and v:sub(1, 1) ~= "/" then return nil, ("%q is neither an absolute path nor a program's name"):format(v) end
	return v
end } end

local function path() return S.text { check = function(v)
	if #v > 1000 then return nil, "the path is longer than 1000 bytes" end
	for part in v:gmatch "[^/]+" do
		if part == ".." then return nil, ("%q: a path has no .. in it"):format(v) end
	end
	if v:sub(-1) == "/" then return nil, ("%q names a folder"):format(v) end
	return v
end } end

local function limits() return S.record {
	memory = S.size { least = 16 << 20 }, swap = S.size {}, threads = S.int { least = 1 }, cpu = S.number { least = 0.01, most = 10000 },
} end

local function required(spec)
	spec.required = true
	return spec
end

--- Fields that everything which becomes a process has, and `own`.
local function process(own)
	local fields = {
		about = about(), tags = M.tags(), env = S.map { of = S.text { may_be_empty = true } }, limits = limits(), params = free(),
	}
	for k, v in pairs(own) do fields[k] = v end
	return fields
end

--- What it uses that is scarce, in the words of the policies: "licence:sas".
local function resources() return S.list { of = S.text { check = function(v)
	if #v > 100 or v:find "[%c ]" then return nil, ("%q: a resource is a name without spaces, up to 100 bytes, such as \"licence:sas\""):format(v:sub(1, 100)) end
	return v
end } } end

local function recipe(own)
	local fields = process { inputs = names(), outputs = names(), resources = resources(), timeout = S.duration { least = 1 },
		without_outputs = S.bool { default = false } }
	for k, v in pairs(own) do fields[k] = v end
	return S.record(fields)
end

local shapes = {
	python = recipe { script = required(path()), args = texts(), bin = program "/usr/bin/python3" },
	r = recipe { script = required(path()), args = texts(), bin = program "Rscript" },
	shell = recipe { script = path(), command = S.text {}, args = texts(), bin = program "/bin/sh" },
	spark = recipe { script = required(path()), args = texts(), bin = program "spark-submit", python = program "/usr/bin/python3",
		master = S.text {}, class = S.text {}, jars = S.list { of = path() },
		conf = S.list { of = S.text { check = function(v)
			if not v:find "^[%w_.-]+=" then return nil, ('%q is no setting such as "spark.executor.memory=1g"'):format(v) end
			return v
		end } } },
	java = recipe { class = required(S.text { check = function(v)
		if not v:find "^[%a_$][%w_$]*$" and not (v:find "^[%a_$][%w_$.]*[%w_$]$" and not v:find("..", 1, true)) then
			return nil, ("%q is no name of a class"):format(v)
		end
		return v
	end }), classpath = S.list { of = path() } },
	webapp = S.record(process {
		name = S.text {}, command = S.list { of = S.text { may_be_empty = true }, least = 1 }, flask = path(), shiny = path(), bin = program(),
		autostart = S.bool { default = false }, start_timeout = S.duration { least = 1, default = 60000 },
		listen = S.choice { words = { "port", "socket" }, default = "port" },
		health = S.text { default = "/", check = function(v)
			if v:sub(1, 1) ~= "/" then return nil, ("%q does not begin with /"):format(v) end
			return v
		end },
		health_every = S.duration { least = 1000, default = 30000 }, health_failures = S.int { least = 1, most = 1000, default = 3 },
		crashes = S.int { default = 5, most = 1000 },
	}),
	model = S.record(process {
		name = S.text {}, input = required(name()), target = S.text {}, script = path(), bin = program "/usr/bin/python3",
		task = S.choice { words = { "classification", "regression", "clustering" }, default = "classification" },
		algorithms = S.list { of = S.id {} }, timeout = S.duration { least = 1 },
	}),
}
M.kinds = { recipes = { python = true, r = true, shell = true, spark = true, java = true }, webapps = { webapp = true }, models = { model = true } }

-- --- handles: what a word makes; opaque, so that nobody can change or forge what is checked later ---

local made = setmetatable({}, { __mode = "k" }) -- handle → { kind, table, line }
local Handle = {
	__metatable = false,
	__index = function(_, key) error(("what a word made has no %s to read"):format(tostring(key)), 2) end,
	__newindex = function() error("what a word made cannot be changed", 2) end,
}

--- { kind, table, line } of what python { … } and its kin made; nil: something else.
function M.opened(v) return made[v] end

function M.words(source)
	local words = {}
	for kind in pairs(shapes) do
		words[kind] = function(t)
			local line = source:line()
			if type(t) ~= "table" or made[t] then return source:report(line, ("%s wants a table: %s { … }"):format(kind, kind)) end
			local handle = setmetatable({}, Handle)
			made[handle] = { kind = kind, table = t, line = line }
			return handle
		end
	end
	return words
end

-- --- what is read becomes data ---

--- Without "./" and doubled slashes.
local function tidy(p) return (p:gsub("/+", "/"):gsub("^%./", ""):gsub("/%./", "/"):gsub("/%./", "/")) end

--- Checks a path of field `key` against the project's folder. say(key, text) reports; miss(key, text): a file that may come yet.
local function place(r, key, where, say, miss)
	local function check(p)
		p = tidy(p)
		if p:sub(1, 1) == "/" and not where.may_be_absolute then
			say(key, ("%s: %q is absolute: files of a project lie in its folder"):format(key, p))
			return p
		end
		local ok, why, may_come = true, nil, nil
		if where.look then ok, why, may_come = where.look(p) end
		if not ok then (may_come and miss or say)(key, ("%s: %s: %s"):format(key, p, why)) end
		return p
	end
	if type(r[key]) == "string" then r[key] = check(r[key]) end
	if type(r[key]) == "table" then
		for i, p in ipairs(r[key]) do r[key][i] = check(p) end
	end
end

local function exactly_one(r, keys, say)
	local n = 0
	for _, key in ipairs(keys) do n = n + (r[key] and 1 or 0) end
	if n ~= 1 then say(nil, (n == 0 and "one of these is missing: %s" or "only one of these may stand: %s"):format(table.concat(keys, ", "))) end
end

--- No name twice in a list, and none in both.
local function distinct(r, say)
	local where = {}
	for _, key in ipairs { "inputs", "outputs" } do
		for _, v in ipairs(r[key] or {}) do
			if where[v] == key then say(key, ("%s: %q stands twice"):format(key, v))
			elseif where[v] then say(key, ("%q is its input and its output"):format(v)) end
			where[v] = key
		end
	end
end

-- spark-submit goes by the name of what it is given
local spark_scripts = { py = true, r = true, jar = true }

local function check_spark(r, say)
	local extension = (r.script:match "%.([^./]+)$" or ""):lower()
	if not spark_scripts[extension] then
		say("script", ("script: %q: spark-submit takes what ends with .py, .R or .jar, and goes by that"):format(r.script))
	elseif r.class and extension ~= "jar" then
		say("class", ("class: only a .jar has one, and %s is none"):format(r.script))
	end
	if extension ~= "py" then r.python = nil end
end

local lists = { "inputs", "outputs", "tags", "args", "jars", "conf", "classpath", "command", "algorithms", "resources" }

local function finish(kind, r, where, say, miss)
	for _, key in ipairs { "script", "flask", "shiny", "jars", "classpath" } do place(r, key, where, say, miss) end
	if kind == "shell" then exactly_one(r, { "script", "command" }, say) end
	if kind == "spark" then check_spark(r, say) end
	if kind == "webapp" then exactly_one(r, { "command", "flask", "shiny" }, say) end
	if M.kinds.recipes[kind] then
		distinct(r, say)
		if #(r.outputs or {}) == 0 and not r.without_outputs then
			say("outputs", "it has no outputs: nothing would ever run it; name them, or say without_outputs = true")
		end
		r.inputs, r.outputs = r.inputs or {}, r.outputs or {}
	end
	for _, key in ipairs(lists) do
		if type(r[key]) == "table" then json.array(r[key]) end
	end
	for from, to in pairs { timeout = "timeout_ms", start_timeout = "start_timeout_ms", health_every = "health_every_ms" } do r[to], r[from] = r[from], nil end
	local l = r.limits or {}
	r.limits = json.object { memory_bytes = l.memory, swap_bytes = l.swap, threads = l.threads, cpu = l.cpu }
	r.env, r.params = json.object(r.env or {}), r.params or json.object {}
	r.kind = kind
end

--- The data of one handle; path: "recipes.clean"; where: look, may_be_absolute. What is wrong has been reported.
-- A file that it names and that is not there is its `missing`, "FILE:LINE: text", and stands in at.source.missing.
function M.take(opened, at, path_shown, where)
	local errors = at.source.errors
	local before = #errors
	local r = M.read(shapes[opened.kind], opened.table, at, path_shown)
	if not r or #errors > before then return nil end
	local function line_of(key) return S.line_of(key and at.lines and at.lines[key]) or at.line end
	finish(opened.kind, r, where, function(key, text) at.source:report(line_of(key), path_shown .. ": " .. text) end, function(key, text)
		local said = ("%s: %s: %s"):format(at.source:at(line_of(key)), path_shown, text)
		r.missing = r.missing or said
		table.insert(at.source.missing, said)
	end)
	r.line = at.line
	return r
end

return M
