-- body: a JSON object of a request, with every key checked: an unknown one is named with the nearest valid one.
local json = require "bind.json"
local nearest = require "dss.text.nearest"
local sorted_keys = require("dss.model.schema").sorted_keys

local TEXTS_MAX, TEXTS_BYTES_MAX = 20, 100

local M = {}

local function is_object(v) return type(v) == "table" and not json.is_array(v) end

local checks = {
	text = function(v) return type(v) == "string" and v ~= "" and not v:find "%c", "a text of one line" end,
	string = function(v) return type(v) == "string", "a text" end,
	bool = function(v) return type(v) == "boolean", "true or false" end,
	objects = function(v)
		if type(v) ~= "table" or not (json.is_array(v) or next(v) == nil) then return false, "a list of objects" end
		for _, o in ipairs(v) do
			if not is_object(o) then return false, "a list of objects" end
		end
		return true
	end,
	object = function(v) return is_object(v), "an object" end,
	int = function(v, spec)
		return math.type(v) == "integer" and v >= spec.least and v <= spec.most, ("a whole number from %d to %d"):format(spec.least, spec.most)
	end,
	ids = function(v, spec)
		if type(v) ~= "table" or not (json.is_array(v) or next(v) == nil) then return false, "a list of ids" end
		for _, s in ipairs(v) do
			if type(s) ~= "string" or s == "" or #s > spec.bytes then return false, ("a list of ids, up to %d bytes each"):format(spec.bytes) end
		end
		return #v <= spec.most, ("at most %d ids"):format(spec.most)
	end,
	texts = function(v)
		if type(v) ~= "table" or not (json.is_array(v) or next(v) == nil) then return false, "a list of texts" end
		if #v > TEXTS_MAX then return false, ("at most %d texts"):format(TEXTS_MAX) end
		for _, s in ipairs(v) do
			if type(s) ~= "string" or s == "" or #s > TEXTS_BYTES_MAX or s:find "%c" then return false, "a list of texts of one line, up to 100 bytes each" end
		end
		return true
	end,
}

-- Most bodies are right: only what is to be told has to be found in order.
local function is_right(object, spec)
	for key, v in pairs(object) do
		local field = spec[key]
		if not field or (v ~= json.null and not checks[field.kind](v, field)) then return false end
	end
	for key, field in pairs(spec) do
		local v = object[key]
		if field.required and (v == nil or v == json.null) then return false end
	end
	return true
end

--- Checks the members of an object against { key = { kind, required?, least?, most? } }. What was null counts as absent.
-- @return the members, or nil and a reason
function M.check(object, spec, where)
	local out = {}
	if is_right(object, spec) then
		for key, v in pairs(object) do
			if v ~= json.null then out[key] = v end
		end
		return out
	end
	for _, key in ipairs(sorted_keys(object)) do
		local field, v = spec[key], object[key]
		if not field then
			local names = sorted_keys(spec)
			local guess = nearest(key, names)
			return nil, ('unknown key "%s"%s%s'):format(key, where and (" in " .. where) or "",
				guess and (', did you mean "%s"?'):format(guess) or "; there are " .. table.concat(names, ", "))
		end
		if v ~= json.null then
			local ok, wanted = checks[field.kind](v, field)
			if not ok then return nil, ('"%s" has to be %s'):format(where and where .. "." .. key or key, wanted) end
			out[key] = v
		end
	end
	for _, key in ipairs(sorted_keys(spec)) do
		if spec[key].required and out[key] == nil then return nil, ('"%s" is missing'):format(key) end
	end
	return out
end

--- The request's body as an object with checked members, or nil and a reason. Clients send no Content-Type: it is not looked at.
function M.read(req, spec)
	if req.body == "" then return nil, "the body is empty; a JSON object is wanted" end
	local object, why = json.decode(req.body)
	if object == nil then return nil, why end
	if not is_object(object) then return nil, "the body has to be a JSON object" end
	return M.check(object, spec)
end

return M
