-- show: values as people read them: tables with units for lists of objects, the rest as Lua would write it. What one prints is bounded.
local duration = require "dss.text.duration"
local size = require "dss.text.size"

local ROWS_MAX, DEPTH_MAX, ENTRIES_MAX, TEXT_MAX = 1000, 6, 200, 4096

local M = {}

-- what a table of ours is: { columns = { { key, title?, type? } … }, kind } for a list, { about = fn } for an object
local hints = setmetatable({}, { __mode = "k" })

--- Says how a table is shown: columns: a list of { key, type, title }; row(element): the element's values by key.
function M.as(t, hint)
	hints[t] = hint
	return t
end

function M.hint(t) return hints[t] end

--- One line: a record of a table can forge no other.
local function plain(s) return (s:gsub("%c", function(c) return c == "\n" and "\\n" or c == "\t" and "\\t" or ("\\x%02x"):format(c:byte()) end)) end
M.plain = plain

local function is_sane(v) return v == v and math.abs(v) < 2 ^ 62 end

local printers = {
	size = function(v) return is_sane(v) and size.print(v) or tostring(v) end,
	duration = function(v) return is_sane(v) and duration.print(v * 1000 // 1) or tostring(v) end,
	time = function(v) return is_sane(v) and os.date("%Y-%m-%d %H:%M:%S", v // 1 | 0) or tostring(v) end,
	number = function(v) return ("%.4g"):format(v) end,
	flag = function(v) return v and "yes" or "no" end,
	list = function(v) return plain(table.concat(v, ", ")) end,
	text = function(v) return plain(tostring(v)) end,
}

--- A fact in its unit; unknown: "-".
function M.fact(type_of, v)
	if v == nil then return "-" end
	local print = printers[type_of]
	if type(v) ~= "number" and (type_of == "size" or type_of == "duration" or type_of == "time" or type_of == "number") then print = nil end
	if type(v) == "table" and type_of ~= "list" then print = nil end
	return print and print(v) or plain(tostring(v))
end

local function width(s) return utf8.len(s) or #s end

--- Lines of cells (a list of lists) in columns; the last column is not padded.
function M.columns(rows)
	local widths, out = {}, {}
	for _, row in ipairs(rows) do
		for i, cell in ipairs(row) do widths[i] = math.max(widths[i] or 0, width(cell)) end
	end
	for n, row in ipairs(rows) do
		local cells = {}
		for i, cell in ipairs(row) do cells[i] = i == #row and cell or cell .. (" "):rep(widths[i] - width(cell)) end
		out[n] = table.concat(cells, "  "):gsub("%s+$", "")
	end
	return table.concat(out, "\n")
end

local function grid(t, hint)
	if #t == 0 then return hint.none or "none" end
	local rows = { {} }
	for i, c in ipairs(hint.columns) do rows[1][i] = (c.title or c.key):upper() end
	for n = 1, math.min(#t, ROWS_MAX) do
		local values, cells = hint.row and hint.row(t[n]) or t[n], {}
		for i, c in ipairs(hint.columns) do cells[i] = M.fact(c.type or "text", values[c.key]) end
		rows[#rows + 1] = cells
	end
	return M.columns(rows) .. (#t > ROWS_MAX and ("\n… and %d more: a filter leaves fewer"):format(#t - ROWS_MAX) or "")
end

local function quoted(s)
	local cut = #s > TEXT_MAX and s:sub(1, TEXT_MAX) or s
	return '"' .. plain((cut:gsub('[\\"]', "\\%0"))) .. '"' .. (cut ~= s and (" … %d bytes"):format(#s) or "")
end

local value

local function ordered(t)
	local keys = {}
	for k in pairs(t) do keys[#keys + 1] = k end
	table.sort(keys, function(a, b)
		local ta, tb = type(a), type(b)
		if ta ~= tb then return ta < tb end
		if ta == "number" then return a < b end
		return tostring(a) < tostring(b)
	end)
	return keys
end

local function entries(t, depth, seen)
	local parts, n = {}, #t
	for i = 1, math.min(n, ENTRIES_MAX) do parts[i] = value(t[i], depth + 1, seen) end
	for _, k in ipairs(ordered(t)) do
		if not (math.type(k) == "integer" and k >= 1 and k <= n) then
			if #parts >= ENTRIES_MAX then break end
			local key = type(k) == "string" and k:find "^[%a_][%w_]*$" and k or "[" .. value(k, DEPTH_MAX, seen) .. "]"
			parts[#parts + 1] = key .. " = " .. value(t[k], depth + 1, seen)
		end
	end
	if #parts >= ENTRIES_MAX then parts[#parts + 1] = "…" end
	return parts
end

local function table_text(t, depth, seen)
	if seen[t] then return "{ … itself }" end
	local hint = hints[t]
	if hint and hint.name then return hint.name(t) end
	if depth >= DEPTH_MAX then return "{ … }" end
	seen[t] = true
	local parts = entries(t, depth, seen)
	seen[t] = nil
	if #parts == 0 then return "{}" end
	local line = "{ " .. table.concat(parts, ", ") .. " }"
	if #line <= 100 and not line:find "\n" then return line end
	local indent = ("  "):rep(depth + 1)
	return "{\n" .. indent .. table.concat(parts, ",\n" .. indent) .. "\n" .. ("  "):rep(depth) .. "}"
end

function value(v, depth, seen)
	local t = type(v)
	if t == "string" then return quoted(v) end
	if t == "table" then return table_text(v, depth, seen) end
	if t == "function" or t == "userdata" or t == "thread" then return t end
	return tostring(v)
end

--- A whole value, as the prompt answers it.
function M.value(v)
	local hint = type(v) == "table" and hints[v]
	if hint and hint.columns then return grid(v, hint) end
	if hint and hint.about then return hint.about(v) end
	return value(v, 0, {})
end

return M
