-- macro_params: the params of macros: duration { default = "30d", about = "…" }, flag, size, count, number, text, choice. Durations come out as
-- seconds and sizes as bytes, as facts have them.
local json = require "bind.json"
local duration = require "dss.text.duration"
local nearest = require "dss.text.nearest"
local size = require "dss.text.size"
local sorted_keys = require("dss.model.schema").sorted_keys

local M = {}

local TEXT_MOST, CHOICES_MOST = 500, 100
local DURATION_MOST = 100 * 366 * 86400000

--- The mark of a param.
local Param = {}
M.Param = Param

local readers = {}

local function in_range(p, n)
	if p.least and n < p.least then return nil, ("%s is less than %s"):format(n, p.least) end
	if p.most and n > p.most then return nil, ("%s is more than %s"):format(n, p.most) end
	return n
end

function readers.duration(_, v)
	local ms, why = duration.parse(v)
	if not ms then return nil, why end
	if ms > DURATION_MOST then return nil, "that is too long" end
	return ms / 1000
end

function readers.size(_, v)
	local n, why = size.parse(v)
	if not n then return nil, why end
	return n
end

local truths = { ["true"] = true, ["false"] = false, yes = true, no = false, ["1"] = true, ["0"] = false }

function readers.flag(_, v)
	if type(v) == "string" then v = truths[v:lower()] end
	if type(v) ~= "boolean" then return nil, "true or false is wanted" end
	return v
end

function readers.count(p, v)
	local n = math.tointeger(tonumber(v))
	if not n or n < 0 then return nil, "a whole number is wanted, 0 or more" end
	return in_range(p, n)
end

function readers.number(p, v)
	local n = tonumber(v)
	if not n or n ~= n or n == math.huge or n == -math.huge then return nil, "a number is wanted" end
	return in_range(p, n)
end

function readers.text(_, v)
	if type(v) == "string" and #v <= TEXT_MOST and not v:find "%c" and utf8.len(v) then return v end
	return nil, ("a text of one line of up to %d bytes is wanted"):format(TEXT_MOST)
end

function readers.choice(p, v)
	for _, word in ipairs(p.words) do
		if v == word then return v end
	end
	local guess = type(v) == "string" and nearest(v, p.words)
	return nil, ("it is none of: %s%s"):format(table.concat(p.words, ", "), guess and (', did you mean "%s"?'):format(guess) or "")
end

local keys = {
	duration = { default = true, about = true }, size = { default = true, about = true }, flag = { default = true, about = true },
	count = { default = true, about = true, least = true, most = true }, number = { default = true, about = true, least = true, most = true },
	text = { default = true, about = true }, choice = { default = true, about = true, words = true },
}

local function check_words(words)
	if type(words) ~= "table" or #words == 0 or #words > CHOICES_MOST then error('choice wants words = { "a", "b" }', 4) end
	for _, word in ipairs(words) do
		if type(word) ~= "string" or word == "" or word:find "%c" then error("choice: words are texts of one line", 4) end
	end
end

--- Makes a param; misuse raises where the word stands.
local function make(kind, t)
	if type(t) ~= "table" then error(("%s wants a table: %s { default = … }"):format(kind, kind), 3) end
	for _, key in ipairs(sorted_keys(t)) do
		if not keys[kind][key] then
			local names = sorted_keys(keys[kind])
			local guess = type(key) == "string" and nearest(key, names)
			local hint = guess and (', did you mean "%s"?'):format(guess) or "; there are " .. table.concat(names, ", ")
			error(('%s: unknown key "%s"%s'):format(kind, tostring(key), hint), 3)
		end
	end
	if t.about ~= nil and type(t.about) ~= "string" then error(("%s: about is a text"):format(kind), 3) end
	for _, key in ipairs { "least", "most" } do
		if t[key] ~= nil and not math.type(t[key]) then error(("%s: %s is a number"):format(kind, key), 3) end
	end
	if kind == "choice" then check_words(t.words) end
	local p = setmetatable({ kind = kind, about = t.about, least = t.least, most = t.most, words = t.words, given = t.default }, Param)
	if t.default ~= nil then
		local v, why = readers[kind](p, t.default)
		if v == nil then error(("%s: default: %s"):format(kind, why), 3) end
		p.default = v
	end
	return p
end

function M.flag(t) return make("flag", t) end

--- The kinds of params as words of a policy file.
function M.words()
	local out = {}
	for kind in pairs(keys) do out[kind] = function(t) return make(kind, t) end end
	return out
end

local types = { duration = "STRING", size = "STRING", flag = "BOOLEAN", count = "INT", number = "DOUBLE", text = "STRING", choice = "SELECT" }

--- A list of them for the API, by name.
function M.described(params)
	local out = json.array {}
	for i, name in ipairs(sorted_keys(params)) do
		local p = params[name]
		local choices
		if p.words then
			choices = json.array {}
			for k, word in ipairs(p.words) do choices[k] = { value = word, label = word } end
		end
		out[i] = {
			name = name, label = name, type = types[p.kind], kind = p.kind, description = p.about or "",
			mandatory = p.default == nil, defaultValue = p.given, selectChoices = choices,
		}
	end
	return out
end

--- What was sent { name = value }, checked, with defaults; or nil and what is wrong. Admins may say admin_params as well.
function M.read(macro, sent, is_admin)
	local out, known = {}, {}
	for name, p in pairs(macro.params) do known[name] = p end
	for name, p in pairs(macro.admin_params) do known[name] = p end
	if type(sent) ~= "table" then return nil, "params: an object is wanted" end
	for _, name in ipairs(sorted_keys(sent)) do
		local p, v = known[name], sent[name]
		if not p then
			local names = sorted_keys(known)
			local guess = type(name) == "string" and nearest(name, names)
			return nil, ('unknown param "%s"%s'):format(tostring(name), guess and (', did you mean "%s"?'):format(guess)
				or #names > 0 and "; there are " .. table.concat(names, ", ") or "; it takes none")
		end
		if macro.admin_params[name] and not is_admin then return nil, ('param "%s" is for admins'):format(name) end
		if v ~= json.null then
			local read, why = readers[p.kind](p, v)
			if read == nil then return nil, ('param "%s": %s'):format(name, why) end
			out[name] = read
		end
	end
	for _, name in ipairs(sorted_keys(known)) do
		local p = known[name]
		if out[name] == nil then out[name] = p.default end
		if out[name] == nil then return nil, ('param "%s" is missing'):format(name) end
	end
	return out
end

return M
