-- words: what can be typed at the prompt. The line above each is its help (help.lua).
local alerts_board = require "bind.alerts"
local bound_policies = require "bind.policies"
local change = require "bind.change"
local duration = require "dss.text.duration"
local facts_of = require "dss.model.facts"
local fleet = require "bind.fleet"
local help = require "dss.console.help"
local json = require "bind.json"
local ledger = require "bind.ledger"
local live = require "dss.console.live"
local nearest = require "dss.text.nearest"
local show = require "dss.console.show"
local size = require "dss.text.size"

local DECISIONS, DECISIONS_MAX = 20, 1000

local M = {}
local words = {}
M.words = words

local function said(text) return show.as({}, { about = function() return text end }) end

-- --- what there is ---

--- pools [FILTER]: the pools of kernels; pools "waiting > 0"
function words.pools(filter) return live.list("pool", filter) end

--- kernels [FILTER]: the kernels there are; kernels "idle > 10min and memory > 500m"
function words.kernels(filter) return live.list("kernel", filter) end

--- tasks [FILTER]: open tasks and the 100 that ended last; tasks "state = queued and waiting > 1min"
function words.tasks(filter) return live.list("task", filter) end

--- processes [FILTER]: every process of the instance; processes "kind = service"
function words.processes(filter) return live.list("process", filter) end

--- pool "NAME": one pool; its facts are its fields: pool("fek").idle
function words.pool(name) return live.one("pool", name) end

--- kernel "ID": one kernel
function words.kernel(id) return live.one("kernel", id) end

--- task "ID": one task, also one that ended long ago
function words.task(id) return live.one("task", id) end

--- process "ID": one process: backend, nginx, fek-3
function words.process(id) return live.one("process", id) end

local function time_of(row, key) row[key] = math.type(row[key]) and row[key] / 1000 or nil end

--- alerts(): what an admin should know now, worst first
function words.alerts()
	local rows = json.decode(alerts_board.list())
	for _, row in ipairs(rows) do time_of(row, "since") time_of(row, "last") end
	return show.as(rows, { none = "no alerts", columns = {
		{ key = "level" }, { key = "since", type = "time" }, { key = "count", type = "count" }, { key = "key" }, { key = "source" }, { key = "text" },
	} })
end

local decision_columns = {
	{ key = "at", type = "time" }, { key = "count", type = "count", title = "times" }, { key = "word" }, { key = "name" }, { key = "subject" },
	{ key = "answer" }, { key = "outcome" }, { key = "source" }, { key = "reason" },
}

local function read_decisions(query)
	local list, why = live.await(function(fn) ledger.read(query, fn) end)
	if not list then error(why, 0) end
	local rows = json.decode(list)
	for _, row in ipairs(rows) do time_of(row, "at") time_of(row, "firstAt") end
	return show.as(rows, { none = "no decision of that kind is recorded", columns = decision_columns })
end

local asked = { word = "string", name = "string", kind = "string", subject = "string", would = "boolean", limit = "number" }

--- decisions { word =, name =, kind =, subject =, would =, limit = }: what was decided, newest first; decisions { word = "rule", limit = 5 }
function words.decisions(query)
	query = query or {}
	if type(query) ~= "table" then error('decisions wants a table: decisions { subject = "fek-3" }', 2) end
	local names = {}
	for name in pairs(asked) do names[#names + 1] = name end
	table.sort(names)
	for key, v in pairs(query) do
		if not asked[key] then
			local guess = nearest(key, names)
			error(('unknown key "%s"%s'):format(show.plain(tostring(key)), guess and (', did you mean "%s"?'):format(guess)
				or "; there are " .. table.concat(names, ", ")), 2)
		end
		if type(v) ~= asked[key] then error(("%s has to be a %s"):format(key, asked[key]), 2) end
	end
	local limit = math.tointeger(query.limit or DECISIONS)
	if not limit or limit < 1 or limit > DECISIONS_MAX then error(("limit has to be a whole number, 1 to %d"):format(DECISIONS_MAX), 2) end
	return read_decisions { word = query.word, name = query.name, subject_kind = query.kind, subject = query.subject, would = query.would, limit = limit }
end

--- why "fek-3": what was decided about a kernel, task, pool, user or by a policy of that name, newest first
function words.why(what)
	what = type(what) == "table" and rawget(what, "id") == nil and what.id or what
	if type(what) ~= "string" then error('why wants a name: why "fek-3"', 2) end
	local rows = read_decisions { subject = what, limit = DECISIONS }
	return #rows > 0 and rows or read_decisions { name = what, limit = DECISIONS }
end

--- policies(): the files in force, their version, and what is wrong with those on disk
function words.policies()
	local now = bound_policies.current()
	local rows, wrong = {}, json.decode(now.errors)
	for i, file in ipairs(json.decode(now.text)) do
		rows[i] = { name = file.name, bytes = #file.text, version = now.version, wrong = "" }
	end
	for _, e in ipairs(wrong) do rows[#rows + 1] = { name = ("%s:%d"):format(e.file, e.line), wrong = e.text } end
	return show.as(rows, { none = "no policies", columns = {
		{ key = "name" }, { key = "version", type = "count" }, { key = "bytes", type = "size" }, { key = "wrong" },
	} })
end

--- node(): the node's memory: what there is, what is promised, and to which pool
function words.node()
	local n = json.decode(fleet.node())
	return show.as(n, { about = function()
		local rows = {}
		for _, m in ipairs { { "machine", n.machineBytes }, { "reserve", n.reserveBytes }, { "budget", n.budgetBytes }, { "promised", n.promisedBytes },
			{ "services", n.servicesBytes } } do
			rows[#rows + 1] = { m[1], show.fact("size", m[2]) }
		end
		for _, p in ipairs(n.pools) do
			rows[#rows + 1] = { "pool " .. p.name, ("%s: %d kernels of %s"):format(show.fact("size", p.promisedBytes), p.kernels, show.fact("size", p.kernelBytes)) }
		end
		return show.columns(rows)
	end })
end

--- facts "kernel": what filters and fields can ask of a kernel, task, pool, process
function words.facts(kind)
	if not facts_of.of(kind) then
		local guess = nearest(kind, facts_of.kinds)
		error(("facts wants a kind%s: %s"):format(guess and (', did you mean "%s"?'):format(guess) or "", table.concat(facts_of.kinds, ", ")), 2)
	end
	return show.as(facts_of.docs(kind), { columns = { { key = "name" }, { key = "type" }, { key = "doc", title = "meaning" } } })
end

-- --- units ---

local function unit(parse, scale)
	return function(text)
		local n, why = parse(text)
		if not n then error(why, 3) end
		return scale == 1 and n or n / scale
	end
end
local bytes, seconds = unit(size.parse, 1), unit(duration.parse, 1000)

--- bytes "1.5g": a size as a number
function words.bytes(text) return (bytes(text)) end

--- seconds "8h": a duration as a number
function words.seconds(text) return (seconds(text)) end

-- --- changes ---

--- reload(): looks at policies/ now and loads it; after :write
function words.reload()
	local ok, why = change.reload()
	if not ok then error(why, 0) end
	return said "policies/ is being read; policies() tells what came of it"
end

-- --- help ---

local function lines(list)
	local rows = {}
	for i, h in ipairs(list) do rows[i] = { "  " .. h.usage, h.text } end
	return show.columns(rows)
end

local kind_of = { pools = "pool", kernels = "kernel", tasks = "task", processes = "process" }

local function help_of(name)
	local out = {}
	local fn = words[name] or M.commands[name:gsub("^:", "")]
	if not fn then
		local names = {}
		for word in pairs(words) do names[#names + 1] = word end
		table.sort(names)
		local guess = nearest(name, names)
		error(('no help for "%s"%s'):format(show.plain(name), guess and (', did you mean "%s"?'):format(guess) or ": help() lists all words"), 3)
	end
	local usage, text = help.of(fn)
	out[1] = ("%s: %s"):format(usage, text)
	local kind = kind_of[name] or name
	if live.methods[kind] then
		out[#out + 1] = lines(help.all(live.methods[kind]))
		out[#out + 1] = ('facts "%s" lists its fields'):format(kind)
	end
	return table.concat(out, "\n")
end

--- help ["WORD"]: all words, or one with what its objects can do
function words.help(name)
	if type(name) == "function" then
		for word, fn in pairs(words) do
			if fn == name then name = word end
		end
	end
	if type(name) == "string" then return said(help_of(name)) end
	return said(table.concat({ "words:", lines(help.all(words)), "commands:", lines(help.all(M.commands)),
		'An expression is printed. Names that you set stay for this session. help "pool" tells what a pool can do.' }, "\n"))
end

return M
