-- usage: what processes used, summed by whom or by what: CPU seconds, byte-seconds of memory, the highest peak. Own use; admins see all.
local duration = require "dss.text.duration"
local errors = require "dss.api.errors"
local gate = require "bind.gate"
local id = require "dss.text.id"
local nearest = require "dss.text.nearest"
local usage = require "bind.usage"

local JSON = "application/json;charset=utf-8"
local CSV = "text/csv; charset=utf-8"
local json = require "bind.json"

local KEYS = { "user", "project", "kind", "pool", "recipe", "webapp", "type", "day", "hour", "process" }
local COLUMNS = { "key", "cpuSeconds", "byteSeconds", "aliveSeconds", "peakBytes", "tasks", "processes" }
local PROCESS_COLUMNS = { "kind", "user", "project", "pool", "name", "startedAt", "endedAt", "cause" }
local LIMIT = 1000
local LAST_MS = 253402300799999 -- of the year 9999

local M = {}

--- "7d" (ago), "2026-01-31", milliseconds since 1970 → milliseconds, or nil and why.
function M.moment(text, now_ms)
	local ms = math.tointeger(tonumber(text))
	if ms and ms >= 0 and not text:find "[%.eExX]" then
		if ms > LAST_MS then return nil, text .. " is beyond the year 9999: milliseconds since 1970 are wanted" end
		return ms
	end
	local y, m, d = text:match "^(%d%d%d%d)%-(%d%d)%-(%d%d)$"
	if y then
		local t = os.time { year = math.tointeger(y), month = math.tointeger(m), day = math.tointeger(d), hour = 0 }
		if os.date("%Y-%m-%d", t) ~= text then return nil, text .. " is no day" end
		return t * 1000
	end
	local ago = duration.parse(text)
	if ago then return math.max(0, now_ms - ago) end
	return nil, ('"%s" is no moment: say 7d (so long ago), 2026-01-31, or milliseconds since 1970'):format(text:sub(1, 40))
end

--- { by, since_ms, until_ms, user, project, kind, limit } of a request's query, or nil and why.
local function read_query(req)
	local q, now = req.query, gate.wall_ms()
	local out = { by = q.by or "user", limit = math.tointeger(tonumber(q.limit or LIMIT)) }
	local is_known = false
	for _, k in ipairs(KEYS) do is_known = is_known or k == out.by end
	if not is_known then
		local guess = nearest(out.by, KEYS)
		return nil, ("by=%s is unknown%s"):format(out.by:sub(1, 40), guess and (", did you mean %s?"):format(guess) or "; there are " .. table.concat(KEYS, ", "))
	end
	if not out.limit or out.limit < 1 or out.limit > 10000 then return nil, "limit has to be a whole number from 1 to 10000" end
	local why
	out.since_ms, why = M.moment(q.since or "7d", now)
	if not out.since_ms then return nil, "since: " .. why end
	out.until_ms, why = M.moment(q["until"] or tostring(now + 1), now)
	if not out.until_ms then return nil, "until: " .. why end
	if out.until_ms <= out.since_ms then return nil, "until has to be later than since" end
	for _, k in ipairs { "user", "project", "kind" } do
		local v = q[k]
		if v and v ~= "" and not id.is_id(v) then return nil, k .. " is no valid name" end
		out[k] = v ~= "" and v or nil
	end
	return out
end

local function cell(v)
	if v == nil then return "" end
	local text = math.type(v) == "float" and ("%.15g"):format(v) or tostring(v)
	-- A leading sign makes a spreadsheet run what it says.
	if type(v) == "string" and text:find "^[=+@%-]" then text = "'" .. text end
	if text:find '[",\r\n]' then text = '"' .. text:gsub('"', '""') .. '"' end
	return text
end

--- The rows as comma-separated values, with a head.
function M.csv(rows, by)
	local columns, lines = { table.unpack(COLUMNS) }, {}
	if by == "process" then table.move(PROCESS_COLUMNS, 1, #PROCESS_COLUMNS, #columns + 1, columns) end
	local head = { table.unpack(columns) }
	head[1] = by
	lines[1] = table.concat(head, ",")
	for _, row in ipairs(rows) do
		local cells = {}
		for i, name in ipairs(columns) do cells[i] = cell(row[name]) end
		lines[#lines + 1] = table.concat(cells, ",")
	end
	return table.concat(lines, "\r\n") .. "\r\n"
end

function M.get(req)
	local query, why = read_query(req)
	if not query then return errors.reply(req, 400, why) end
	if not req.who.is_admin then
		if query.user and query.user ~= req.who.login then return errors.reply(req, 403, "only admins see what others used") end
		query.user = req.who.login
	end
	local format = req.query.format or "json"
	if format ~= "json" and format ~= "csv" then return errors.reply(req, 400, "format has to be json or csv") end
	usage.read(query, function(rows, trouble)
		if not rows then return errors.reply_answer(req, "unavailable", trouble) end
		if format == "csv" then return req.reply(200, CSV, M.csv(json.decode(rows), query.by)) end
		req.reply(200, JSON, rows)
	end)
end

return M
