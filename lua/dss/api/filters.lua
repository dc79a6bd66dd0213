-- filters: a filter that somebody types: is it right, what does it mean as data, and what may stand under the cursor. docs/filters.md, *As data*.
--
-- Places are counted as pages count them: in UTF-16 units from 0.
local body = require "dss.api.body"
local errors = require "dss.api.errors"
local facts = require "dss.model.facts"
local filter = require "dss.text.filter"
local filter_tree = require "dss.text.filter_tree"
local filter_words = require "dss.text.filter_words"
local gate = require "bind.gate"
local json = require "bind.json"
local nearest = require "dss.text.nearest"

local JSON = "application/json;charset=utf-8"
local TEXT_MAX = 1 << 16 -- bytes: no filter is that long, and places in it are counted on the loop
local CURSOR_MAX = 1 << 20
local DAY_S = 86400
local ZONE_BACK_DAYS, ZONE_AHEAD_DAYS = 800, 2

local M = {}

-- --- places: bytes (from 1 of a UTF-8 text) and UTF-16 units (from 0) ---

--- Units before that byte.
local function unit_of(text, byte)
	local n = 0
	for at, code in utf8.codes(text) do
		if at >= byte then break end
		n = n + (code >= 0x10000 and 2 or 1)
	end
	return n
end

--- Bytes of the first units.
local function bytes_before(text, units)
	local n = 0
	for at, code in utf8.codes(text) do
		if n >= units then return at - 1 end
		n = n + (code >= 0x10000 and 2 or 1)
	end
	return #text
end

-- --- the node's clock: what `during` needs ---

--- Seconds that local time is ahead of UTC.
local function offset_at(unix_s)
	local d, u = os.date("*t", unix_s), os.date("!*t", unix_s)
	local days = d.year == u.year and d.yday - u.yday or d.year - u.year
	return ((days * 24 + d.hour - u.hour) * 60 + d.min - u.min) * 60 + d.sec - u.sec
end

--- The second in (from, till] from which the offset is another one.
local function change_between(from, till)
	local before = offset_at(from)
	while till - from > 1 do
		local middle = (from + till) // 2
		if offset_at(middle) == before then from = middle else till = middle end
	end
	return till
end

--- { { from (seconds since 1970), seconds ahead of UTC }, … }, oldest first: the first holds for what was before, too.
local function zone(now_s)
	local at = now_s - ZONE_BACK_DAYS * DAY_S
	local out = { { at, offset_at(at) } }
	while at < now_s + ZONE_AHEAD_DAYS * DAY_S do
		local after = at + DAY_S
		if offset_at(after) ~= out[#out][2] then out[#out + 1] = { change_between(at, after), offset_at(after) } end
		at = after
	end
	return out
end

-- --- a parsed filter as JSON ---

local function list(t, each)
	local out = {}
	for i, v in ipairs(t) do out[i] = each and each(v) or v end
	return json.array(out)
end

local function tree_json(n, text)
	if n.of then return { op = n.op, of = list(n.of, function(child) return tree_json(child, text) end) } end
	n.at = unit_of(text, n.at)
	n.spans = n.spans and list(n.spans, json.array)
	n.values = n.values and list(n.values)
	return n
end

local function case_json(case)
	local out = {}
	for key, v in pairs(case) do out[key] = type(v) == "table" and key ~= "when" and list(v) or v end
	if case.when then
		out.when = {}
		for name, v in pairs(case.when) do out.when[name] = type(v) == "table" and list(v) or v end
	end
	return out
end

--- How the facts that a filter reads come out of a row.
local function facts_json(kind, reads)
	local wanted, out = {}, {}
	for _, name in ipairs(reads) do wanted[name] = true end
	for _, f in ipairs(facts.told(kind)) do
		if wanted[f.name] then
			local otherwise = f.otherwise
			if type(otherwise) == "table" then otherwise = list(otherwise) end
			out[#out + 1] = { name = f.name, type = f.type, otherwise = otherwise, way = list(f.way, case_json) }
		end
	end
	return json.array(out)
end

local function reads_clock(n)
	if n.op == "during" then return true end
	for _, child in ipairs(n.of or {}) do
		if reads_clock(child) then return true end
	end
	return false
end

--- What the filter is, as a client needs it. A blank one is right, and true of every row: its tree is null.
function M.told(kind, text, now_s)
	if not text:find "%S" then return { ok = true, text = "", tree = json.null, reads = json.array {}, facts = json.array {} } end
	local f, why, at = filter.parse(text, facts.of(kind))
	if not f then return { ok = false, error = why:match "character %d+: (.*)$" or why, at = unit_of(text, at) } end
	local tree = filter_tree.of(f)
	return {
		ok = true, text = filter.print(f), tree = tree_json(tree, text), reads = list(f.reads), facts = facts_json(kind, f.reads),
		zone = reads_clock(tree) and list(zone(now_s), json.array) or nil,
	}
end

local shape = {
	kind = { kind = "text", required = true }, text = { kind = "string", required = true }, cursor = { kind = "int", least = 0, most = CURSOR_MAX },
}

--- {"kind","text","cursor"?}: the filter as data, or what is wrong and where; and the words that may stand at the cursor.
function M.look(req)
	local b, why = body.read(req, shape)
	if not b then return errors.reply(req, 400, why) end
	if #b.text > TEXT_MAX then return errors.reply(req, 400, ("\"text\" is longer than %d bytes"):format(TEXT_MAX)) end
	if not facts.of(b.kind) then
		local guess = nearest(b.kind, facts.kinds)
		return errors.reply(req, 400, ('there are no facts of "%s"%s'):format(b.kind, guess and (', did you mean "%s"?'):format(guess)
			or "; there are those of " .. table.concat(facts.kinds, ", ")))
	end
	local out = M.told(b.kind, b.text, gate.wall_ms() // 1000)
	local before = b.text:sub(1, bytes_before(b.text, b.cursor or CURSOR_MAX))
	local from, words = filter_words.at(before, facts.of(b.kind))
	out.from, out.words = unit_of(b.text, from + 1), list(words)
	req.reply(200, JSON, json.encode(out))
end

return M
