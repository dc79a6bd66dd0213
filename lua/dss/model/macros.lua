-- macros: macro "clear-tmp" { about = "…", params = { age = duration { default = "7d" } }, each = "tmp_file", run = function (file, params, ctx) … end }:
-- what people run by hand, from a script or by a rule. It decides as a rule does: what it goes over is handed to it, it answers verbs, and the core
-- carries them out, or with `simulate` only says what it would do.
local facts = require "dss.model.facts"
local guard = require "dss.model.guard"
local json = require "bind.json"
local nearest = require "dss.text.nearest"
local reading = require "dss.model.reading"
local S = require "dss.model.schema"
local sandbox = require "dss.model.sandbox"
local shapes = require "dss.model.macro_params"
local verbs = require "dss.model.verbs"
local where = require "dss.model.where"

local M = {}

local RECORDS_MOST, COLUMNS_MOST, TEXT_MOST = 10000, 100, 4 << 20
local CELL_MOST = 2000

-- --- what a macro goes over ---

local function text(doc) return { type = "text", doc = doc } end
local function of(type_of) return function(doc) return { type = type_of, doc = doc } end end
local size, count, flag, duration = of "size", of "count", of "flag", of "duration"

--- Kinds that rules do not have.
local own = {
	job_log = {
		id = text "PROJECT/ID, the folder below jobs/", project = text "its project; RUN: tasks", name = text "the job, task or webapp-NAME",
		size = size "of its files", files = count "how many", age = duration "since its last line", open = flag "who writes it has not ended",
	},
	tmp_file = {
		id = text "its path", folder = text "the folder that was looked at", size = size "its size", age = duration "since it was read or written last",
		open = flag "a process of the run user has it open, or stands in it", directory = flag "it is an empty folder",
	},
}
M.KINDS = { "job_log", "tmp_file", "notebook", "kernel", "task", "pool", "user", "node" }
-- without columns of its own, a table shows these
local shown = {
	job_log = { "project", "name", "size", "age" }, tmp_file = { "id", "size", "age" }, notebook = { "notebook", "project", "user", "age", "quiet", "memory" },
	kernel = { "id", "pool", "user", "state", "age" }, task = { "id", "user", "state", "age" }, pool = { "id" }, user = { "id" }, node = { "id" },
}

--- What `where` knows the kind as.
local function registry(kind) return facts.of(kind) and kind or own[kind] or kind end
M.registry = registry

-- --- the word ---

local Params = {} -- marks what a table of params may hold

local function params_shape()
	return S.map { of = S.tagged { tag = shapes.Param, wanted = 'duration { … }, size { … }, flag { … }, count { … }, number { … }, text { … } or choice { … }' } }
end

local shape = S.record {
	about = S.text { required = true },
	label = S.text {},
	who = S.choice { words = { "admin", "project" }, default = "admin" },
	each = S.choice { words = M.KINDS },
	reads = S.list { of = S.choice { words = M.KINDS } },
	params = params_shape(),
	admin_params = params_shape(),
	columns = S.list { least = 1, of = S.text {} },
	result = S.choice { words = { "table", "json", "html", "file" }, default = "table" },
	makes = S.choice { words = { "diagnosis" } },
	run = S.tagged { tag = Params, live = true, wanted = "a function" },
}

local function check_columns(source, m, line)
	local types = where.types(registry(m.each))
	for _, name in ipairs(m.columns or {}) do
		if not types[name] then
			local guess = nearest(name, S.sorted_keys(types))
			source:report(line, ("columns: a %s has no %q%s"):format(m.each, name, guess and (', did you mean "%s"?'):format(guess)
				or "; there are " .. table.concat(S.sorted_keys(types), ", ")))
		end
	end
end

--- What fits together, and what does not.
local function check(source, m, line, lines)
	local function at(key) return S.line_of(lines[key]) or line end
	if m.makes then
		if m.functions.run or m.each or m.reads then
			source:report(line, ("makes: %s is the core's own: run, each and reads say nothing beside it"):format(m.makes))
		end
		if m.result ~= "file" then source:report(at "result", 'result: what is made is a file: result = "file"') end
		return
	end
	if not m.functions.run then source:report(line, '"run" is missing') end
	if m.result == "file" then source:report(at "result", "result: a file is what the core makes (makes = \"diagnosis\"); there are table, json, html") end
	if m.each and m.result ~= "table" then source:report(at "result", "result: with each it is a table of what was looked at") end
	if m.each and m.reads then source:report(at "reads", "reads: with each, run is handed one at a time") end
	if m.columns and not m.each then source:report(at "columns", "columns: only with each; else run answers them") end
	for name in pairs(m.admin_params or {}) do
		if m.params and m.params[name] then source:report(at "admin_params", ("admin_params: %s stands among params, too"):format(name)) end
	end
	if m.each then check_columns(source, m, at "columns") end
end

function M.words(source, model)
	local out = shapes.words()
	out.macro = function(name, params)
		if source.is_closed or guard.is_asking() or type(params) == "table" then return verbs.macro(name, params) end
		-- `macro "NAME" { … }` declares; `macro("NAME", { … })` is a verb, and has its second argument at once
		return source:named("macro", function(_, t, line)
			local lines, functions, before = source:lines(line), {}, #source.errors
			local m = S.read(shape, t, { source = source, line = line, lines = lines, functions = functions })
			if type(name) ~= "string" or not name:find "^%l[%l%d-]*$" or #name > 50 then
				source:report(line, ("macro: %q is no name for one: small letters, digits and -, up to 50"):format(tostring(name)))
			end
			if not source:is_name("macro", name, line, model) or #source.errors > before then return end
			m.name, m.source, m.functions = name, source:at(line), functions
			check(source, m, line, lines)
			m.params, m.admin_params = m.params or {}, m.admin_params or {}
			if m.each and not m.params.simulate and not m.admin_params.simulate then
				m.params.simulate = shapes.flag { default = true, about = "Only say what would be done" }
			end
			if #source.errors == before then table.insert(model.macros, m) end
		end)(name)
	end
	return out
end

local function find(set, name)
	for _, m in ipairs(set.macros or {}) do
		if m.name == name then return m end
	end
end

--- Once all files are read: rules that run a macro name one that there is, with params that it takes.
function M.finish(model, errors)
	for _, r in ipairs(model.rules) do
		local what = r.act and r.act.word == "macro" and r.act.macro
		local m = what and find(model, what)
		if what and not m then
			local names = {}
			for i, one in ipairs(model.macros) do names[i] = one.name end
			local guess = nearest(what, names)
			errors[#errors + 1] = ("%s: act: there is no macro %q%s"):format(r.source, what, guess and (', did you mean "%s"?'):format(guess) or "")
		elseif m then
			local _, why = shapes.read(m, r.act.params, true)
			if why then errors[#errors + 1] = ("%s: act: macro %s: %s"):format(r.source, what, why) end
		end
	end
end

-- --- asked: JSON comes in and goes out, as the other side is another state ---

--- What there is, as JSON: the API's own.
function M.list(set)
	local out = json.array {}
	for i, m in ipairs(set.macros or {}) do
		out[i] = {
			name = m.name, label = m.label or m.name, about = m.about, source = m.source, who = m.who, result = m.result, each = m.each, makes = m.makes,
			reads = m.reads and json.array(m.reads) or nil, columns = m.each and json.array(m.columns or shown[m.each]) or nil,
			params = shapes.described(m.params), adminParams = shapes.described(m.admin_params),
		}
	end
	return json.encode(out)
end

--- Typed params out of what was sent, both as JSON; or nil and what is wrong with which.
function M.params(set, name, sent, is_admin)
	local m = find(set, name)
	if not m then return nil, ("there is no macro %s"):format(name) end
	local out, why = shapes.read(m, json.decode(sent) or {}, is_admin)
	if not out then return nil, why end
	return json.encode(next(out) and out or json.object {})
end

local function context(ctx, m)
	local out = { project = ctx.project or "", user = ctx.user or "", rule = ctx.rule or "", is_admin = ctx.is_admin or false, clock = facts.clock(ctx.unix_s) }
	for _, kind in ipairs(m and m.reads or {}) do out[kind] = ctx[kind] or {} end
	return sandbox.facts(out, "ctx")
end

local function typed(params) return sandbox.facts(params, "params") end

--- What was read of it, the params before: from that the decision can be made again.
local function inputs_of(r, params)
	local own_inputs = r:inputs()
	return '{"params":' .. json.encode(next(params) and params or json.object {}) .. (#own_inputs > 2 and "," or "") .. own_inputs:sub(2)
end

--- One row: answer, reason, inputs, state, as a rule has them.
local function judge(m, f, params, ctx, row)
	local kind, types = m.each, where.types(registry(m.each))
	local r = reading.open(kind, where.names(registry(kind)), row)
	f.spared = f.spared or { fn = reading.sparing(f.fn), at = f.at, path = "run" }
	local ok, v = guard.call(f.spared, m.name, r.view, typed(params), context(ctx))
	local fact = ok and reading.unknown(v)
	local answer, reason, state = "keep", nil, "no"
	if not ok then
		reason, state = where.placed(f.at, v), "failed"
	elseif fact then
		reason, state = ("skipped: %s is unknown"):format(fact), "skipped"
	elseif v ~= nil then
		local trouble = not verbs.is_verb(v) and ("run: answer a verb with a reason, such as keep \"why\", or nothing, not a %s"):format(type(v))
			or (v.word == "notify" or v.word == "macro") and ("run: %s says nothing here; what is kept may say why: keep \"why\""):format(v.word)
			or verbs.trouble(v, kind, types)
		if trouble then
			reason, state = where.refuse(f, trouble), "failed"
		else
			answer, reason, state = v.word, verbs.fill(v, r, types), v.word == "keep" and "no" or "act"
		end
	end
	local inputs = inputs_of(r, params)
	r:close()
	return answer, reason, inputs, state
end

local function rows_of(m, ctx, list)
	for _, row in ipairs(list) do row.unix_s = ctx.unix_s end
	return list, m.columns or shown[m.each]
end

--- Some rows of a macro with `each`: [{ answer, reason, inputs, state, record }] as JSON; raises where there is no such macro any more.
function M.judge(set, name, params, ctx, rows)
	local m = find(set, name)
	local f = m and m.functions.run
	if not f or not m.each then error(("the policies have no such macro any more: %s"):format(name), 0) end
	params, ctx = json.decode(params), json.decode(ctx)
	local out = json.array {}
	local list, columns = rows_of(m, ctx, json.decode(rows))
	for i, row in ipairs(list) do
		local answer, reason, inputs, state = judge(m, f, params, ctx, row)
		local record = json.array {}
		for k, column in ipairs(columns) do
			local v = row[column]
			record[k] = v == nil and json.null or type(v) == "table" and table.concat(v, ", ") or v
		end
		out[i] = { answer = answer, reason = reason, inputs = inputs, state = state, record = record }
	end
	return json.encode(out)
end

--- Is it a table as one shows it: { columns = { … }, records = { { … }, … } }?
local function as_table(v)
	if type(v) ~= "table" or type(v.columns) ~= "table" or type(v.records) ~= "table" then return nil, "answer { columns = { … }, records = { { … } } }" end
	local columns, n = json.array {}, 0
	for i, name in ipairs(v.columns) do
		if type(name) ~= "string" or i > COLUMNS_MOST then return nil, ("columns: up to %d texts"):format(COLUMNS_MOST) end
		columns[i], n = name, i
	end
	local records = json.array {}
	for i, record in ipairs(v.records) do
		if i > RECORDS_MOST then return nil, ("more than %d records"):format(RECORDS_MOST) end
		if type(record) ~= "table" then return nil, ("record %d is a %s"):format(i, type(record)) end
		local row = json.array {}
		for k = 1, n do
			local cell = record[k]
			if type(cell) == "table" or type(cell) == "function" then return nil, ("record %d: %s is a %s"):format(i, columns[k], type(cell)) end
			if cell ~= cell or cell == math.huge or cell == -math.huge then cell = nil end
			row[k] = cell == nil and json.null or type(cell) == "string" and cell:sub(1, CELL_MOST) or cell
		end
		records[i] = row
	end
	return json.encode { columns = columns, records = records }
end

local as = { table = as_table }

function as.json(v)
	if type(v) ~= "table" then return nil, "answer a table" end
	local ok, out = pcall(json.encode, v)
	if not ok or #out > TEXT_MOST then return nil, ok and "the answer is over 4 MB" or tostring(out) end
	return out
end

function as.html(v)
	if type(v) ~= "string" or #v > TEXT_MOST then return nil, "answer a text of up to 4 MB" end
	return v
end

--- A macro without `each`: its result's bytes; or nil and what failed.
function M.whole(set, name, params, ctx)
	local m = find(set, name)
	local f = m and m.functions.run
	if not f or m.each then error(("the policies have no such macro any more: %s"):format(name), 0) end
	ctx = json.decode(ctx)
	local ok, v = guard.call(f, m.name, typed(json.decode(params)), context(ctx, m))
	if not ok then return nil, where.placed(f.at, v) end
	local out, why = as[m.result](v)
	if out then return out end
	guard.refuse(f)
	return nil, ("%s: run: %s"):format(f.at, why)
end

--- A decision of the ledger, made again: answer and reason, or nothing.
function M.again(set, d, given)
	local m = find(set, d.name)
	if not m or not m.each or not m.functions.run then return nil end
	local params = given.params or {}
	given.params = nil
	local answer, reason = judge(m, m.functions.run, params, { unix_s = given.unix_s or given.clock and given.clock.seconds or 0 }, given)
	return answer, reason
end

return M
