-- decisions: what was decided, by which line, on which facts, and what became of it; also the decisions not to act.
local duration = require "dss.text.duration"
local errors = require "dss.api.errors"
local facts = require "dss.model.facts"
local json = require "bind.json"
local ledger = require "bind.ledger"
local macros = require "bind.macros"
local size = require "dss.text.size"

local LIMIT, LIMIT_MAX = 100, 1000
local TEXTS_MAX = 60 -- facts that are shown of one decision

local M = {}

local printers = {
	size = function(v) return size.print(v) end,
	duration = function(v) return duration.print(v * 1000 // 1) end,
	time = function(v) return os.date("%Y-%m-%d %H:%M:%S", v // 1 | 0) end,
}

-- what functions of pools read has names of its own
local units = { age = "duration", idle = "duration", memory = "size", peak = "size", limit = "size" }

-- the core's own facts tell their unit in their names
local function unit_of(name)
	if units[name] then return units[name] end
	if type(name) ~= "string" then return nil end
	return name:find "Bytes$" and "size" or name:find "[^b]Seconds$" and "duration" or nil
end

local function sorted(t)
	local names = {}
	for name in pairs(t) do names[#names + 1] = name end
	table.sort(names, function(a, b) return tostring(a) < tostring(b) end)
	return names
end

-- kinds: of the params of its macro, which have units of their own; nil: it is not known
local function put(out, registry, kinds, path, name, value)
	if #out >= TEXTS_MAX then return end
	local is_param = kinds and path == "params"
	local fact = not is_param and registry[name] or nil
	local shown = path == "" and name or path .. "." .. name
	if value == json.null then
		out[#out + 1] = shown .. " is not known"
	elseif type(value) == "table" and #value > 0 then
		local parts = {}
		for i = 1, math.min(#value, 10) do parts[i] = tostring(value[i]) end
		out[#out + 1] = shown .. " = " .. table.concat(parts, ", ") .. (#value > 10 and " …" or "")
	elseif type(value) == "table" then
		for _, key in ipairs(sorted(value)) do put(out, registry, kinds, shown, key, value[key]) end
		if next(value) == nil then out[#out + 1] = shown .. " = none" end
	else
		local unit = is_param and (kinds[name] or "") or fact and fact.type or unit_of(name)
		local print = type(value) == "number" and value == value and math.abs(value) < 2 ^ 62 and printers[unit]
		if unit == "count" and math.type(value) == "float" and value == value // 1 then value = value // 1 | 0 end
		out[#out + 1] = shown .. " = " .. (value == "" and "none" or print and print(value) or tostring(value))
	end
end

--- Facts as people read them: { "idle = 1 h", "memory = 700 MB" }. kinds: of params, by their names, where it is a macro's decision.
function M.texts(kind, inputs, kinds)
	local out, registry = {}, facts.of(kind) or {}
	for _, name in ipairs(sorted(inputs)) do put(out, registry, kinds, "", name, inputs[name]) end
	return out
end

--- macro → param → kind, as the set in force has them.
local function param_kinds()
	local out = {}
	for _, def in ipairs(json.decode(macros.list() or "[]")) do
		out[def.name] = {}
		for _, list in ipairs { def.params, def.adminParams } do
			for _, p in ipairs(list) do out[def.name][p.name] = p.kind end
		end
	end
	return out
end

local function shown(rows)
	local kinds
	for _, row in ipairs(rows) do
		if type(row.inputs) == "table" then
			if row.word == "macro" and row.inputs.params then kinds = kinds or param_kinds() end
			row.inputsText = json.array(M.texts(row.subjectKind, row.inputs, row.word == "macro" and kinds and kinds[row.name] or nil))
		end
	end
	return json.encode(json.array(rows))
end

local function is_true(text) return text == "1" or (text or ""):lower() == "true" end

local function number(text, otherwise, least, most)
	if text == nil or text == "" then return otherwise end
	local n = math.tointeger(tonumber(text))
	return n and n >= least and n <= most and n or nil
end

--- Folded rows, newest first. kind, subject: of whom; word, name: of what; would: those that simulate; before: seq of the last one seen.
function M.list(req)
	local q = req.query
	local limit, before = number(q.limit, LIMIT, 1, LIMIT_MAX), number(q.before, 0, 0, math.maxinteger)
	if not limit then return errors.reply(req, 400, ("limit has to be a whole number, 1 to %d"):format(LIMIT_MAX)) end
	if not before then return errors.reply(req, 400, "before has to be the seq of a decision") end
	local function some(text) return text ~= "" and text or nil end
	ledger.read({
		word = some(q.word), name = some(q.name), subject_kind = some(q.kind), subject = some(q.subject), would = is_true(q.would),
		oldest = is_true(q.oldest), before = before, limit = limit, login = not req.who.is_admin and req.who.login or nil,
	}, function(rows, why)
		if not rows then return errors.reply_answer(req, "unavailable", why) end
		req.reply(200, "application/json;charset=utf-8", rows == "[]" and rows or shown(json.decode(rows)))
	end)
end

return M
