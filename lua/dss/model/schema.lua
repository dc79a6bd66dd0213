-- schema: what a table of the user's may hold: typed, with units, and an error for each key that is wrong, with file and line.
--
--     local shape = S.record { port = S.int { least = 0, most = 65535, default = 11200 }, limits = S.record { memory = S.size {} } }
--     local value = S.read(shape, { port = 80 }, { source = source, line = 4, lines = source:lines(4) })
--
-- A type is a table { kind, default?, required?, check? }; `check(value)` answers the value to keep, or nil and a reason.
-- Sizes come out as bytes, durations as milliseconds (their readers name them so).
local size = require "dss.text.size"
local duration = require "dss.text.duration"
local nearest = require "dss.text.nearest"
local id = require "dss.text.id"

local M = {}

local read

local function article(v)
	local t = type(v)
	if t == "table" then return "a table" elseif t == "string" then return ("the text %q"):format(v) elseif t == "nil" then return "nothing" end
	return ("the %s %s"):format(t, tostring(v))
end

local function fail(at, path, text) at.source:report(at.line, (path ~= "" and path .. ": " or "") .. text) end

local function sorted_keys(t)
	local keys = {}
	for k in pairs(t) do keys[#keys + 1] = k end
	table.sort(keys, function(a, b)
		local ta, tb = math.type(a) and 1 or 2, math.type(b) and 1 or 2
		if ta ~= tb then return ta < tb end
		if ta == 1 then return a < b end
		return tostring(a) < tostring(b)
	end)
	return keys
end
M.sorted_keys = sorted_keys

--- The line of a place (place.lines), or nil. A table that has a key "line" hides its own: that key's is near.
function M.line_of(lines)
	local line = lines and lines.line
	if type(line) == "table" then return M.line_of(line) end
	return line
end

--- Where the key of a table stands: one level down in the source's lines.
local function below(at, key)
	local lines = at.lines and at.lines[key]
	if type(lines) ~= "table" then lines = nil end -- asked for the key "line" itself
	return { source = at.source, line = M.line_of(lines) or at.line, lines = lines, functions = at.functions }
end

local function join(path, key) return path == "" and tostring(key) or (math.type(key) and ("%s[%d]"):format(path, key) or path .. "." .. key) end

local readers = {}

function readers.text(spec, v, at, path)
	if type(v) ~= "string" then return fail(at, path, "a text is wanted, not " .. article(v)) end
	if v:find "[\0\n\r]" then return fail(at, path, "a text of one line is wanted") end
	if v == "" and not spec.may_be_empty then return fail(at, path, "the text is empty") end
	return v
end

function readers.bool(_, v, at, path)
	if type(v) ~= "boolean" then return fail(at, path, "true or false is wanted, not " .. article(v)) end
	return v
end

function readers.int(spec, v, at, path)
	local n = math.type(v) == "integer" and v or (math.type(v) == "float" and math.tointeger(v))
	if not n then return fail(at, path, "a whole number is wanted, not " .. article(v)) end
	if n < spec.least or n > spec.most then return fail(at, path, ("%d is not between %d and %d"):format(n, spec.least, spec.most)) end
	return n
end

function readers.number(spec, v, at, path)
	if type(v) ~= "number" or v ~= v then return fail(at, path, "a number is wanted, not " .. article(v)) end
	if v < spec.least or v > spec.most then return fail(at, path, ("%s is not between %s and %s"):format(v, spec.least, spec.most)) end
	return v
end

-- A probability, "99%" or 0.99. Certainty is not to be had, and under one half there is nothing to size.
function readers.chance(_, v, at, path)
	local n = type(v) == "number" and v or type(v) == "string" and v:find "^%d+%.?%d*%%$" and tonumber(v:sub(1, -2)) / 100
	if not n then return fail(at, path, ('a chance such as "99%%" or 0.99 is wanted, not %s'):format(article(v))) end
	if not (n >= 0.5 and n <= 0.9999) then return fail(at, path, ("%s is not between 50%% and 99.99%% (0.5 and 0.9999)"):format(v)) end
	return n
end

-- Sums and deadlines of them stay far below 2^63.
local SIZE_MOST, DURATION_MOST = 1 << 60, 100 * 366 * 86400000

local function with_unit(parse, most)
	return function(spec, v, at, path)
		local n, why = parse(v)
		if not n then return fail(at, path, why) end
		if n < (spec.least or 0) then return fail(at, path, ("%q is too little"):format(v)) end
		if n > most then return fail(at, path, ("%q is too much"):format(v)) end
		return n
	end
end
readers.size = with_unit(size.parse, SIZE_MOST)
readers.duration = with_unit(duration.parse, DURATION_MOST)

function readers.choice(spec, v, at, path)
	for _, word in ipairs(spec.words) do
		if v == word then return v end
	end
	local said = spec.other and spec.other(v)
	if said then return fail(at, path, said) end
	local guess = nearest(v, spec.words)
	fail(at, path, ("%s is none of: %s%s"):format(article(v), table.concat(spec.words, ", "), guess and (', did you mean "%s"?'):format(guess) or ""))
end

function readers.id(_, v, at, path)
	if not id.is_id(v) then
		return fail(at, path, article(v) .. " is no valid name: letters, digits and _.:()- are, up to 128, beginning with a letter, digit or _")
	end
	return v
end

function readers.list(spec, v, at, path)
	if type(v) ~= "table" then return fail(at, path, "a list is wanted, not " .. article(v)) end
	local out = {}
	for _, k in ipairs(sorted_keys(v)) do
		if math.type(k) ~= "integer" or k < 1 or k > #v then
			fail(below(at, k), path, ("a list has no key %s"):format(article(k)))
		else
			out[k] = read(spec.of, v[k], below(at, k), join(path, k))
		end
	end
	if spec.least and #v < spec.least then fail(at, path, "the list is empty") end
	return out
end

function readers.map(spec, v, at, path)
	if type(v) ~= "table" then return fail(at, path, "a table is wanted, not " .. article(v)) end
	local out = {}
	for _, k in ipairs(sorted_keys(v)) do
		if type(k) ~= "string" or not k:find "^[%a_][%w_]*$" then
			fail(below(at, k), path, ("%s is no valid name"):format(article(k)))
		else
			out[k] = read(spec.of, v[k], below(at, k), join(path, k))
		end
	end
	return out
end

local function unknown_key(spec, key, at, path)
	local names = sorted_keys(spec.fields)
	local guess = type(key) == "string" and nearest(key, names)
	local what = type(key) == "string" and ('unknown key "%s"'):format(key) or ("a value without a key: %s"):format(article(key))
	if path ~= "" then what = what .. " in " .. path end
	at.source:report(at.line, guess and ('%s, did you mean "%s"?'):format(what, guess) or what .. "; there are " .. table.concat(names, ", "))
end

function readers.record(spec, v, at, path)
	if type(v) ~= "table" then return fail(at, path, "a table is wanted, not " .. article(v)) end
	local out = {}
	for _, k in ipairs(sorted_keys(v)) do
		if not spec.fields[k] then unknown_key(spec, k, below(at, k), path) end
	end
	for _, k in ipairs(sorted_keys(spec.fields)) do
		local field = spec.fields[k]
		if v[k] ~= nil then
			out[k] = read(field, v[k], below(at, k), join(path, k))
		elseif field.required then
			fail(at, path, ('"%s" is missing'):format(k))
		elseif field.kind == "record" and field.default == nil then
			out[k] = readers.record(field, {}, at, join(path, k))
		else
			out[k] = field.default
		end
	end
	return out
end

--- A value made by a word of ours: python { … }. Its mark (a metatable) is checked, its fields were when the word was called.
function readers.tagged(spec, v, at, path)
	if type(v) ~= "table" or getmetatable(v) ~= spec.tag then return fail(at, path, ("%s is wanted, not %s"):format(spec.wanted, article(v))) end
	return v
end

--- A condition in the language of filters: its text and line. Who knows of what it speaks compiles it (where.lua).
function readers.filter(_, v, at, path)
	if type(v) ~= "string" then return fail(at, path, "a condition is wanted, such as \"idle > 2h\", not " .. article(v)) end
	return { text = v, line = at.line, path = path }
end

function read(spec, v, at, path)
	if type(v) == "function" then
		if not spec.live or not at.functions then return fail(at, path, "a plain value is wanted here, not a function") end
		at.functions[path] = { fn = v, spec = spec, at = at.source:at(at.line), path = path }
		if spec.kind ~= "record" then return spec.default end
		v = {}
	end
	local out = readers[spec.kind](spec, v, at, path)
	if out ~= nil and spec.check then
		local checked, why = spec.check(out)
		if checked == nil then return fail(at, path, why) end
		out = checked
	end
	return out
end

--- The checked and converted value; what was wrong has been reported and is nil. `at`: source, line, lines; path: shown before keys.
function M.read(spec, v, at, path) return read(spec, v, at, path or "") end

--- Checks what a function answered in the place of a value. The converted value, or nil and why.
function M.answer(spec, v)
	local why
	local source = { report = function(_, _, text) why = why or text end }
	if v == nil then return nil, "it answered nothing" end
	local out = read(spec, v, { source = source, line = 0 }, "")
	if why then return nil, why end
	return out
end

for kind in pairs(readers) do
	M[kind] = function(spec)
		spec.kind = kind
		return spec
	end
end

function M.int(spec)
	spec.kind, spec.least, spec.most = "int", spec.least or 0, spec.most or math.maxinteger
	return spec
end

function M.number(spec)
	spec.kind, spec.least, spec.most = "number", spec.least or 0, spec.most or math.huge
	return spec
end

function M.record(fields) return { kind = "record", fields = fields } end

return M
