-- placing: in which level of run/ the box of a process is made, and what limits each level:
--
--     place "recipes by user"     { where = "kind = recipe", at = "users/${user}" }      -- the first that fits, in the order of the files
--     box   "a user's share"      { at = "users/${user}", memory = "24g", cpu = 8 }      -- all below it, together
--
-- Below `at` come the project, where `at` does not name it, and of a recipe its job; then the process's own box. So no two processes ever
-- share one. A box with `at` limits the level that its template names, for each value of its variables. Both are asked when a process is
-- about to start; boxes again when the set changes, of the levels that are in use.
local id = require "dss.text.id"
local nearest = require "dss.text.nearest"
local S = require "dss.model.schema"
local reading = require "dss.model.reading"
local where = require "dss.model.where"

local M = {}

local WORDS_MOST = 1000
local LEVELS_MOST = 4         -- of `at` of place, the project's among them: below come job and process, above run/ (sys/cgroup.h: 7)
local BOX_LEVELS_MOST = 6
local PATH_MOST = 255         -- bytes of "run/…" with the process's own (fleet/guest.h)
local RUN = "run"

-- default: where it is put if no word says so; follow: what comes below `at` unless `at` names it; own: names the process's own box
local kinds = {
	recipe = { default = "jobs/${project}", follow = { "project", "job" }, own = "activity", has = { "kind", "user", "project", "job", "recipe_type" } },
	webapp = { default = "webapps/${project}", follow = { "project" }, own = "webapp", has = { "kind", "user", "project", "webapp" } },
	notebook = { default = "notebooks/${user}", follow = {}, own = "id",
		has = { "kind", "user", "project", "notebook", "kernel_spec", "kernel" } },
}
local kind_names = S.sorted_keys(kinds)
M.kinds = kinds
local variables = { "user", "project", "job", "kind", "recipe_type", "webapp", "notebook", "kernel_spec", "kernel" }
local is_variable = {}
for _, name in ipairs(variables) do is_variable[name] = true end

--- What conditions may ask of a process that is about to start.
M.facts = {
	kind = { type = "text", doc = "recipe, webapp or notebook", words = kind_names },
	user = { type = "text", doc = "whose it is" },
	project = { type = "text", doc = "its project" },
	job = { type = "text", doc = "the job of a recipe" },
	activity = { type = "text", doc = "the activity of that job" },
	recipe = { type = "text", doc = "the name of a recipe" },
	recipe_type = { type = "text", doc = "python r shell spark", words = { "python", "r", "shell", "spark", "java" } },
	webapp = { type = "text", doc = "the name of a webapp" },
	notebook = { type = "text", doc = "of a notebook's kernel: an id made from the notebook's name" },
	kernel_spec = { type = "text", doc = "of a notebook's kernel: python3, ir, …" },
	kernel = { type = "text", doc = "of a notebook's kernel: the name of its own box" },
	tags = { type = "list", doc = "tags of project and recipe" },
	resources = { type = "list", doc = "what it uses that is scarce" },
	memory = { type = "size", doc = "its own limits.memory" },
	priority = { type = "count", doc = "its job's" },
}
local fact_names = { clock = true }
for name in pairs(M.facts) do fact_names[name] = true end

-- --- templates ---

-- files of the kernel in each box, of which no box may have the name
local files_of = { cgroup = true, cpu = true, cpuacct = true, cpuset = true, freezer = true, hugetlb = true, io = true, memory = true, misc = true,
	pids = true, rdma = true }
local kernels_own = { tasks = true, notify_on_release = true, release_agent = true }

local function is_name(s) return id.is_id(s) and not kernels_own[s] and not files_of[s:match "^(%l+)%." or ""] end

--- One part of a template as a list of texts and { var = NAME }; or nil and why not.
local function read_part(text)
	local part, at = {}, 1
	while at <= #text do
		local from, to, name = text:find("%${([%w_]*)}", at)
		local plain = text:sub(at, (from or #text + 1) - 1)
		if plain ~= "" then part[#part + 1] = plain end
		if not from then break end
		if not is_variable[name] then
			local guess = nearest(name, variables)
			return nil, ("unknown variable ${%s}%s"):format(name, guess and (", did you mean ${%s}?"):format(guess)
				or "; there are " .. table.concat(variables, ", "))
		end
		part[#part + 1], at = { var = name }, to + 1
	end
	local probe = {}
	for i, piece in ipairs(part) do probe[i] = piece.var and "x" or piece end
	if not is_name(table.concat(probe)) then return nil, ("%q is no name of a box"):format(text) end
	return part
end

--- A template as { text, [1] = part, …, vars = set }; or nil and why not.
local function read_template(text, most)
	local t = { text = text, vars = {} }
	if text:sub(1, 1) == "/" then return nil, ('%q: a path below %s/ is wanted, without a "/" before it'):format(text, RUN) end
	if #text > PATH_MOST then return nil, ("longer than %d bytes"):format(PATH_MOST) end
	for piece in (text .. "/"):gmatch "(.-)/" do
		local part, why = read_part(piece)
		if not part then return nil, why end
		t[#t + 1] = part
		for _, p in ipairs(part) do
			if p.var then t.vars[p.var] = true end
		end
	end
	if #t > most then return nil, ("%q has %d levels, more than %d"):format(text, #t, most) end
	return t
end

local defaults = {}
for name, kind in pairs(kinds) do defaults[name] = assert(read_template(kind.default, LEVELS_MOST)) end

--- The value of a variable, or nil and why there is none.
local function value_of(name, get)
	local v = get(name)
	if type(v) ~= "string" or v == "" then return nil, ("it has no %s"):format(name) end
	if not is_name(v) then return nil, ("its %s %q is no name of a box"):format(name, v) end
	return v
end

--- A template's levels with the values of `get`; or nil and why not.
local function expand(template, get)
	local out = {}
	for i, part in ipairs(template) do
		local text = {}
		for k, piece in ipairs(part) do
			local v, why = piece, nil
			if piece.var then v, why = value_of(piece.var, get) end
			if not v then return nil, why end
			text[k] = v
		end
		out[i] = table.concat(text)
		if not is_name(out[i]) then return nil, ("%q is no name of a box"):format(out[i]) end
	end
	return out
end

--- All levels of a process that is put there, its own last.
local function levels_of(template, kind, get)
	local out, why = expand(template, get)
	if not out then return nil, why end
	for _, name in ipairs(kind.follow) do
		if not template.vars[name] then
			out[#out + 1], why = value_of(name, get)
			if why then return nil, why end
		end
	end
	out[#out + 1], why = value_of(kind.own, get)
	if why then return nil, why end
	if #RUN + 1 + #table.concat(out, "/") > PATH_MOST then return nil, ("its path would be longer than %d bytes"):format(PATH_MOST) end
	return out
end

-- --- the words ---

local function template(most, other)
	return S.text { required = true, check = function(v)
		local t, why = read_template(v, most)
		if t and other then why = other(t) end
		if why then return nil, why end
		return t
	end }
end

local function project_fits(t)
	if #t + (t.vars.project and 0 or 1) > LEVELS_MOST then
		return ("%q has more than %d levels: the project's, which is added, counts"):format(t.text, LEVELS_MOST)
	end
end

local function no(text)
	return S.text { may_be_empty = true, check = function() return nil, text end }
end

local shapes = {
	place = S.record { about = S.text { may_be_empty = true }, where = S.filter {}, at = template(LEVELS_MOST, project_fits) },
	box = S.record {
		about = S.text { may_be_empty = true },
		at = template(BOX_LEVELS_MOST),
		each = no "a box with `at` is one for each value of its variables: `each` is for boxes without `at`",
		where = no "a box with `at` limits all that is below it: `where` is for `place`, and for boxes without `at`",
		memory = S.size { least = 16 << 20 },
		swap = S.size {},
		cpu = S.number { least = 0.01, most = 4096 },
		threads = S.int { least = 1, most = 1 << 30 },
	},
}

--- The kinds that a condition leaves.
local function kinds_of(f)
	local out = {}
	for _, name in ipairs(kind_names) do
		if not f or f.test { kind = name } ~= false then out[#out + 1] = name end
	end
	return out
end

--- A variable of the template that none of these kinds has, or nil.
local function had_by_none(t, names)
	for _, var in ipairs(variables) do
		local is_had = not t.vars[var]
		for _, name in ipairs(names) do
			for _, has in ipairs(kinds[name].has) do is_had = is_had or has == var end
		end
		if not is_had then return var end
	end
end

local function read(source, shape, t, line)
	local lines, before = source:lines(line), #source.errors
	local r = S.read(shape, t, { source = source, line = line, lines = lines })
	return r, lines, before
end

local function take(source, list, r, name, line)
	if #list == WORDS_MOST then return source:report(line, ("more than %d words of that kind"):format(WORDS_MOST)) end
	r.name, r.source, r.file_source, r.line, r.functions = name, source:at(line), source, line, {}
	list[#list + 1] = r
end

local function read_place(source, model, name, t, line)
	local r, lines, before = read(source, shapes.place, t, line)
	if not source:is_name("place", name, line, model) or #source.errors > before then return end
	r.where = where.compile(source, r.where, M.facts)
	if #source.errors > before then return end
	r.kinds = kinds_of(r.where)
	if #r.kinds == 0 then
		return source:report(S.line_of(lines.where) or line, "where: it fits no kind of process; there are " .. table.concat(kind_names, ", "))
	end
	local var = had_by_none(r.at, r.kinds)
	if var then
		return source:report(S.line_of(lines.at) or line, ("at: a %s has no %s, so ${%s} says nothing"):format(table.concat(r.kinds, " or a "), var, var))
	end
	take(source, model.places, r, name, line)
end

--- A box with `at` (limits.lua has the others).
function M.box(source, model, name, t, line)
	local r, lines, before = read(source, shapes.box, t, line)
	if not source:is_name("box", name, line, model) or #source.errors > before then return end
	if not (r.memory or r.cpu or r.threads) then return source:report(line, "it limits nothing: say memory, cpu or threads") end
	if r.swap and not r.memory then return source:report(S.line_of(lines.swap) or line, "swap: it counts beyond memory, which is not said") end
	if r.memory and not r.swap then r.swap = 0 end
	r.at_line = S.line_of(lines.at) or line
	take(source, model.boxes, r, name, line)
end

function M.words(source, model)
	return { place = source:named("place", function(name, t, line) read_place(source, model, name, t, line) end) }
end

-- --- the set as a whole: a box that nothing is ever put into is a mistake ---

--- What may stand at each level: a text, or false for anything.
local function shape_of(t, kind)
	local out = {}
	for i, part in ipairs(t) do out[i] = #part == 1 and not part[1].var and part[1] end
	if not kind then return out end
	for _, name in ipairs(kind.follow) do
		if not t.vars[name] then out[#out + 1] = false end
	end
	out[#out + 1] = false
	return out
end

local function fits(box, path)
	for i, name in ipairs(box) do
		if path[i] == nil or (name and path[i] and name ~= path[i]) then return false end
	end
	return true
end

--- Every prefix of a template as text.
local function prefixes(texts, t)
	local at = 0
	repeat
		at = t.text:find("/", at + 1, true)
		texts[#texts + 1] = t.text:sub(1, (at or 0) - 1)
	until not at
end

--- Once all files are read: reports boxes that limit nothing.
function M.finish(model)
	local paths, texts = {}, {}
	for _, name in ipairs(kind_names) do
		paths[#paths + 1] = shape_of(defaults[name], kinds[name])
		prefixes(texts, defaults[name])
	end
	for _, p in ipairs(model.places) do
		for _, name in ipairs(p.kinds) do paths[#paths + 1] = shape_of(p.at, kinds[name]) end
		prefixes(texts, p.at)
	end
	for _, b in ipairs(model.boxes) do
		local box, is_used = shape_of(b.at), false
		for _, path in ipairs(paths) do is_used = is_used or fits(box, path) end
		if not is_used then
			local guess = nearest(b.at.text, texts)
			b.file_source:report(b.at_line, ("at: no process is put into %q%s"):format(b.at.text, guess and (", did you mean %q?"):format(guess)
				or "; say where with `place`, or see `dssctl boxes`"))
		end
	end
	for _, list in ipairs { model.places, model.boxes } do
		for _, r in ipairs(list) do r.file_source = nil end
	end
end

local controllers = { memory = "memory", cpu = "cpu", threads = "pids" }

--- The cgroup controllers that the boxes of the set need: their names → where the first box stands that does.
function M.limited(model)
	local out = {}
	for _, b in ipairs(model.boxes) do
		for key, controller in pairs(controllers) do
			if b[key] and not out[controller] then out[controller] = ('%s: box "%s"'):format(b.source, b.name) end
		end
	end
	return out
end

-- --- asked ---

local function less(a, b) return b == nil or (a ~= nil and a < b) end

local function merge(level, b)
	local holds_memory = b.memory and less(b.memory, level.memory)
	if holds_memory or not level.name then level.name, level.source = b.name, b.source end
	if holds_memory then level.memory = b.memory end
	if b.swap and less(b.swap, level.swap) then level.swap = b.swap end
	if b.threads and less(b.threads, level.threads) then level.threads = b.threads end
	local cpu_milli = b.cpu and math.max(10, b.cpu * 1000 // 1 | 0)
	if cpu_milli and less(cpu_milli, level.cpu_milli) then level.cpu_milli = cpu_milli end
end

--- The levels of a path (a list of names) that are limited, from above: { box, memory, swap, cpu_milli, threads, name, source }, absent where not
-- said; name and source: of the word whose memory holds, else of the first.
local function limited(model, given, path)
	local by_depth, out, at, cpu = {}, {}, RUN, nil
	local function get(name) return given[name] end
	for _, b in ipairs(model.boxes) do
		local names = #b.at <= #path and expand(b.at, get)
		local is_there = names and true or false
		for i, name in ipairs(names or {}) do is_there = is_there and name == path[i] end
		if is_there then
			by_depth[#names] = by_depth[#names] or {}
			merge(by_depth[#names], b)
		end
	end
	for i, name in ipairs(path) do
		local level = by_depth[i]
		at = at .. "/" .. name
		if level then
			-- More than a level above has is no more than that; cgroup v1 refuses to hear it.
			if level.cpu_milli and cpu and cpu < level.cpu_milli then level.cpu_milli = cpu end
			cpu = level.cpu_milli or cpu
			level.box, out[#out + 1] = at, level
		end
	end
	return out
end

--- Where a process belongs: its path (a list), the word that says so or nil, and what failed, a list of { word, text }. r: a reading of its facts.
-- nil and why: it cannot be put anywhere.
local function path_of(model, r)
	local function get(name) return r:get(name) end
	local failed, of = {}, get "kind"
	local kind = kinds[of]
	if not kind then return nil, ("a process of kind %s is put nowhere"):format(tostring(of)) end
	for _, p in ipairs(model.places) do
		if where.holds(p, r) then
			local path, why = levels_of(p.at, kind, get)
			if path then return path, p, failed end
			failed[1] = { word = p, text = ('%s: place "%s": %s; it is put where it belongs without that word'):format(p.source, p.name, why) }
			break
		end
	end
	local path, why = levels_of(defaults[of], kind, get)
	if path then return path, nil, failed end
	return nil, why
end

--- given: facts as M.facts has them, and id (a notebook's). Answers a table { box (the level above its own), levels, place (name, source of the word or
-- nil), inputs, failure, failure_source, failure_name }; or nil and why it cannot be put anywhere.
function M.box_guest(model, given)
	local r = reading.open("process", fact_names, given)
	local path, word, failed = path_of(model, r)
	local inputs = path and r:inputs()
	r:close()
	if not path then return nil, word end
	local above = table.concat(path, "/", 1, #path - 1)
	local failure = failed[1]
	return {
		box = RUN .. (above ~= "" and "/" .. above or ""), levels = limited(model, given, path), inputs = inputs,
		name = word and word.name, source = word and word.source,
		failure = failure and failure.text, failure_name = failure and failure.word.name, failure_source = failure and failure.word.source,
	}
end

--- The limits of one that is at box ("run/jobs/SALES/J1/clean"), which another set may have put there.
function M.box_limits(model, given, box)
	local path = {}
	for name in box:gmatch "[^/]+" do path[#path + 1] = name end
	if table.remove(path, 1) ~= RUN then return {} end
	return limited(model, given, path)
end

return M
