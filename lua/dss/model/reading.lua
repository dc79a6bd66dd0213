-- reading: what one decision is handed: its subject's facts, behind a view that notes each one that is read, with its value. From what was
-- noted the decision is explained, and it can be made again later: the same facts give the same answer.
--
--     local r = reading.open("kernel", names, { memory = 3 << 30 })   -- names: of all facts there may be, as a set
--     fn(r.view)                       -- reads r.view.memory; a fact that is not known now raises, see unknown()
--     r:inputs() → '{"memory":3221225472}'
--     r:close()
local json = require "bind.json"
local facts = require "dss.model.facts"
local sandbox = require "dss.model.sandbox"
local nearest = require "dss.text.nearest"
local sorted_keys = require("dss.model.schema").sorted_keys

local M = {}

-- what is raised → the fact that is not known; users may catch it, and write into what they hold
local unknown = setmetatable({}, { __mode = "k" })

--- The name of the fact that was not known, where that is what was raised or answered; else nil.
function M.unknown(v) return type(v) == "table" and unknown[v] or nil end

local function settle(ok, v, ...)
	if ok then return v, ... end
	if M.unknown(v) then return v end
	error(v, 0)
end

--- A function for which it is no failure to meet a fact that is not known: it answers that then, see unknown().
function M.sparing(fn)
	return function(...) return settle(pcall(fn, ...)) end
end

local function refuse(name, key, names)
	local guess = nearest(key, sorted_keys(names))
	error(('%s has no "%s"%s'):format(name, tostring(key), guess and (', did you mean "%s"?'):format(guess)
		or "; there are " .. table.concat(sorted_keys(names), ", ")), 3)
end

local Reading = {}
Reading.__index = Reading

--- The fact's value as it is, noted as read; nil: not known now.
function Reading:get(key)
	local v = self.facts[key]
	if v == nil and key == "clock" and self.facts.unix_s then
		v = facts.clock(self.facts.unix_s)
		self.facts.clock = v
	end
	if not self.seen[key] then
		self.seen[key] = true
		self.order[#self.order + 1] = key
	end
	return v
end

--- Each kind has one view for all its decisions, made once: a decision costs no closures.
local function new_view(r, name)
	r.view = setmetatable({}, {
		__index = function(_, key)
			if not r.facts then error(name .. " was kept beyond its decision: facts are read while they hold", 2) end
			if not r.names[key] then refuse(name, key, r.names) end
			local v = r:get(key)
			if v == nil then
				local raised = {}
				unknown[raised] = key
				error(raised)
			end
			if type(v) ~= "table" then return v end
			return key == "clock" and sandbox.facts(v, "clock") or sandbox.read_only(v, key)
		end,
		__newindex = function(_, key) error(("%s is read-only: %s cannot be set"):format(name, tostring(key)), 2) end,
		__metatable = false,
	})
	--- for filters, which know what an unknown fact means
	r.bare = setmetatable({}, { __index = function(_, key) return r:get(key) end })
end

local readings = {}

--- One decision at a time. name: as errors call the facts ("pool", "k"); names: a set; given: its facts, taken; may have unix_s, the clock's time.
function M.open(name, names, given)
	local r = readings[name]
	if not r then
		r = setmetatable({}, Reading)
		new_view(r, name)
		readings[name] = r
	end
	r.names, r.facts, r.seen, r.order = names, given, {}, {}
	return r
end

function Reading:close() self.facts = nil end

--- Whether it was a matter of time: what was read changes without anything happening.
function Reading:saw(key) return self.seen[key] or false end

local plain = "^[%w _.:,;/@+()-]*$"
local function put(v)
	local t = math.type(v)
	if t == "integer" then return tostring(v) end
	if t == "float" then
		if v ~= v or v == math.huge or v == -math.huge then return "null" end
		local s = ("%.17g"):format(v)
		return s:find "[.e]" and s or s .. ".0"           -- read back it is a float again
	end
	if type(v) == "string" and v:find(plain) then return '"' .. v .. '"' end
	return json.encode(v)
end

--- What was read, in the order of reading, as a JSON object; a fact that was not known is null.
function Reading:inputs()
	local order, out = self.order, {}
	for i = 1, #order do
		local v = self.facts[order[i]]
		if type(v) == "table" and (#v > 0 or next(v) == nil) then v = json.array(v) end
		out[i] = '"' .. order[i] .. '":' .. (v == nil and "null" or put(v))
	end
	return "{" .. table.concat(out, ",") .. "}"
end

--- Facts as inputs() wrote them, for making the decision again.
function M.read_inputs(text)
	local out = text and json.decode(text) or {}
	for k, v in pairs(out) do
		if v == json.null then out[k] = nil end
	end
	return out
end

return M
