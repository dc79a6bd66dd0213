-- given: the facts of a spec, as people write them: sizes, durations and times may be texts. What comes out has the names and units that C hands
-- to the engine; a name that is none, or a value of another kind, raises with the spec's line.
local duration = require "dss.text.duration"
local nearest = require "dss.text.nearest"
local size = require "dss.text.size"

local M = {}

local own = debug.getinfo(1, "S").source:match "^(.*/)" -- ours: the line that is told is the spec's

--- Raises with the line of the spec that is at work.
function M.fail(text, ...)
	if select("#", ...) > 0 then text = text:format(...) end
	for level = 2, 50 do
		local info = debug.getinfo(level, "Sl")
		if not info then break end
		if info.currentline > 0 and info.source:sub(1, #own) ~= own then error(("%s:%d: %s"):format(info.short_src, info.currentline, text), 0) end
	end
	error(text, 0)
end

--- Raises that `word` is none of `words` (a list): what names it in the text.
function M.refuse(what, word, words)
	local guess = nearest(word, words)
	M.fail("there is no %s %q%s", what, tostring(word), guess and (", did you mean %q?"):format(guess)
		or #words > 0 and "; there are " .. table.concat(words, ", ") or "")
end

--- Stands for a fact that is known otherwise, and not now: user = policy.unknown.
M.unknown = setmetatable({}, { __tostring = function() return "policy.unknown" end, __name = "policy.unknown" })

-- --- times ---

local weekdays = { "sun", "mon", "tue", "wed", "thu", "fri", "sat" }
local long = { "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday" }
local hint = 'write a time like "2026-03-02 09:00", "mon 2026-03-02 09:00" or "mon 09:00"'

local function index_of(day)
	for i, name in ipairs(weekdays) do
		if day == name then return i end
	end
	M.refuse("day", day, weekdays)
end

--- "mon 2026-03-02 09:00", "2026-03-02 09:00:30", "mon 09:00" (of the week of 2 March 2026): seconds since 1970, by the local time of this machine.
function M.clock(text)
	if math.type(text) == "integer" then return text end
	if type(text) ~= "string" then M.fail(hint) end
	local day, rest = text:match "^(%a+)%s+(.+)$"
	local wday = day and index_of(day)
	local year, month, mday, time = (rest or text):match "^(%d%d%d%d)%-(%d%d)%-(%d%d)%s+(%S+)$"
	local hour, minute, second = (time or rest or text):match "^(%d%d?):(%d%d):?(%d?%d?)$"
	if not hour or not (year or wday) then M.fail(hint) end
	local at = {
		year = tonumber(year or 2026), month = tonumber(month or 3), day = year and tonumber(mday) or 1 + (wday == 1 and 7 or wday - 1),
		hour = tonumber(hour), min = tonumber(minute), sec = tonumber(second) or 0,
	}
	local s = os.time { year = at.year, month = at.month, day = at.day, hour = at.hour, min = at.min, sec = at.sec }
	local is = os.date("*t", s)
	for k, v in pairs(at) do
		if is[k] ~= v then M.fail("there is no %s on the clock of this machine", text) end
	end
	if wday and is.wday ~= wday then M.fail("%04d-%02d-%02d is a %s, not a %s", at.year, at.month, at.day, long[is.wday], long[wday]) end
	return s
end

-- --- facts ---

local readers = {}

local function of_text(parse, scale)
	return function(v)
		local n, why = parse(v)
		if not n then return nil, why end
		return scale and n / scale or n
	end
end

local from_size, from_duration = of_text(size.parse), of_text(duration.parse, 1000)

function readers.size(v)
	if math.type(v) == "float" then v = math.tointeger(v) or v end
	return from_size(v)
end

function readers.duration(v)
	if type(v) == "number" then return v + 0.0 end
	return from_duration(v)
end

function readers.count(v)
	local n = math.type(v) and math.tointeger(v)
	if not n then return nil, "a whole number is wanted" end
	return n
end

function readers.number(v)
	if type(v) == "number" then return v + 0.0 end
	local percent = type(v) == "string" and v:match "^(%d+%.?%d*)%%$"
	if not percent then return nil, "a number is wanted" end
	return tonumber(percent) / 100
end

function readers.text(v, fact)
	if type(v) ~= "string" then return nil, "a text is wanted" end
	for _, word in ipairs(fact.words or {}) do
		if v == word then return v end
	end
	if not fact.words or v == "" then return v end
	local guess = nearest(v, fact.words)
	return nil, ("%q is none of: %s%s"):format(v, table.concat(fact.words, ", "), guess and (", did you mean %q?"):format(guess) or "")
end

function readers.flag(v)
	if type(v) ~= "boolean" then return nil, "true or false is wanted" end
	return v
end

function readers.list(v)
	if type(v) == "string" then v = { v } end
	if type(v) ~= "table" then return nil, "a list of texts is wanted" end
	for _, text in ipairs(v) do
		if type(text) ~= "string" then return nil, "a list of texts is wanted" end
	end
	return v
end

function readers.time(v) return type(v) == "number" and v or M.clock(v) end

local function names_of(registry)
	local out = { "clock" }
	for name in pairs(registry) do
		if name ~= "clock" then out[#out + 1] = name end
	end
	table.sort(out)
	return out
end

--- What was given about `who` ("a kernel"), read by a registry (name → { type, words?, otherwise? }): the engine's facts. What is known to be
-- none unless somebody says it is so here too; `more`: what the core always says, for what was left out.
function M.facts(who, registry, given, more)
	local out = { unix_s = os.time() }
	if given ~= nil and type(given) ~= "table" then M.fail("a table with the facts of %s is wanted, not a %s", who, type(given)) end
	for name, fact in pairs(registry) do out[name] = fact.otherwise end
	for name, v in pairs(more or {}) do out[name] = v end
	for name, v in pairs(given or {}) do
		if name == "clock" then
			out.unix_s = M.clock(v)
		elseif not registry[name] then
			M.refuse("fact of " .. who, name, names_of(registry))
		elseif v == M.unknown then
			out[name] = nil
		else
			local read, why = readers[registry[name].type](v, registry[name])
			if read == nil then M.fail("%s: %s", name, why) end
			out[name] = read
		end
	end
	return out
end

return M
