-- verbs: what a policy may answer: retire "why", kill "why", abort "why", notify "why", keep "why". The reason may name facts, which are
-- filled in when it is given: notify "waits for {age}". As a table: notify { reason = "…", level = "error" }.
local json = require "bind.json"
local S = require "dss.model.schema"
local nearest = require "dss.text.nearest"
local size = require "dss.text.size"

local M = {}

-- What was checked is not changed afterwards: a verb is empty, and shows what is held here.
local held = setmetatable({}, { __mode = "k" })
local Verb = {
	__index = function(verb, key) return held[verb][key] end,
	__newindex = function() error("a verb is read-only", 2) end,
}
local REASON_MAX = 500
local levels = { "note", "warning", "error" }

-- verb → what it is for, and the kinds of subjects that it fits
M.all = {
	retire = { kernel = true, webapp = true },                                     -- it goes; with a task at work, after it; a webapp starts anew
	kill   = { kernel = true, recipe = true, webapp = true, notebook = true },     -- it goes now; its task, its activity ends as killed
	abort  = { task = true },                                                      -- it is asked to stop, then its kernel ends
	notify = { kernel = true, task = true, recipe = true, webapp = true, notebook = true, pool = true, user = true, node = true, event = true }, -- an alert
	keep   = { kernel = true, task = true, recipe = true, webapp = true, pool = true, user = true, node = true, event = true,
		job_log = true, tmp_file = true, notebook = true },                          -- nothing, and why
	delete = { job_log = true, tmp_file = true },                                  -- of macros: it is removed
	interrupt = { notebook = true },                                               -- its cell ends, its variables stay
	unload = { notebook = true },                                                  -- its kernel ends
	macro  = { node = true },                                                      -- of rules: it is run, see M.macro
}

-- "{memory:size}": how a fact is shown
local forms = {}

function forms.size(v) return math.type(v) == "integer" and size.print(v) or math.type(v) == "float" and size.print(v // 1 | 0) or tostring(v) end

--- Seconds, in at most two units: "1 h 12 min", "2 d", "45 s".
function forms.duration(v)
	if type(v) ~= "number" then return tostring(v) end
	if v < 60 then return (v < 10 and v ~= v // 1 and "%.1f s" or "%.0f s"):format(v) end
	for _, u in ipairs { { "d", 86400, "h", 3600 }, { "h", 3600, "min", 60 }, { "min", 60, "s", 1 } } do
		if v >= u[2] then
			local large, small = v // u[2], v % u[2] // u[4]
			return small == 0 and ("%d %s"):format(large // 1 | 0, u[1]) or ("%d %s %d %s"):format(large // 1 | 0, u[1], small // 1 | 0, u[3])
		end
	end
end

function forms.percent(v) return type(v) == "number" and ("%.0f %%"):format(v * 100) or tostring(v) end
function forms.number(v) return math.type(v) == "float" and ("%.4g"):format(v) or tostring(v) end
function forms.text(v) return type(v) == "table" and table.concat(v, ", ") or tostring(v) end

local form_names = S.sorted_keys(forms)
local hole = "{(%a[%w_]*):?(%a*)}"

--- The reason with its facts; types: name of a fact → its form. A fact that is not known now reads "unknown".
function M.fill(verb, reading, types)
	return (verb.reason:gsub(hole, function(fact, form)
		if not types[fact] then
			error(("%s: the reason names no fact of this kind: {%s}; there are %s"):format(verb.word, fact, table.concat(S.sorted_keys(types), ", ")), 0)
		end
		local v = reading:get(fact)
		if v == nil then return "unknown" end
		return (forms[form] or forms[types[fact]] or forms.text)(v)
	end))
end

--- What is wrong with a verb for a subject of that kind, or nil.
function M.trouble(verb, kind, types)
	if not M.all[verb.word][kind] then
		local fitting = {}
		for _, word in ipairs(S.sorted_keys(M.all)) do
			if M.all[word][kind] then fitting[#fitting + 1] = word end
		end
		return ("%s does not fit %s %s; there are %s"):format(verb.word, kind == "event" and "an" or "a", kind, table.concat(fitting, ", "))
	end
	for fact, form in verb.reason:gmatch(hole) do
		if not types[fact] then
			local guess = nearest(fact, S.sorted_keys(types))
			return ("unknown fact {%s} in the reason%s"):format(fact, guess and (", did you mean {%s}?"):format(guess)
				or "; there are " .. table.concat(S.sorted_keys(types), ", "))
		end
		if form ~= "" and not forms[form] then
			local guess = nearest(form, form_names)
			return ("unknown form in {%s:%s}%s"):format(fact, form, guess and (", did you mean {%s:%s}?"):format(fact, guess)
				or "; there are " .. table.concat(form_names, ", "))
		end
	end
end

local function check_reason(word, why)
	if type(why) ~= "string" or why == "" or why:find "%c" or not utf8.len(why) then
		error(('%s wants a reason: %s "it has grown"'):format(word, word), 3)
	end
	if #why > REASON_MAX then error(("%s: the reason is longer than %d bytes"):format(word, REASON_MAX), 3) end
end

--- One verb as a word: a function that makes it.
function M.word(word)
	return function(arg)
		local level = "warning"
		if type(arg) == "table" then
			for k in pairs(arg) do
				if k ~= "reason" and k ~= "level" then
					local guess = nearest(k, { "reason", "level" })
					local hint = guess and (', did you mean "%s"?'):format(guess) or "; there are level, reason"
					error(('%s: unknown key "%s"%s'):format(word, type(k) == "string" and k or type(k), hint), 2)
				end
			end
			level = arg.level or level
			local guess = nearest(level, levels)
			if level ~= "note" and level ~= "warning" and level ~= "error" then
				error(("%s: level is none of: %s%s"):format(word, table.concat(levels, ", "), guess and (', did you mean "%s"?'):format(guess) or ""), 2)
			end
			arg = arg.reason
		end
		check_reason(word, arg)
		local verb = setmetatable({}, Verb)
		held[verb] = { word = word, reason = arg, level = level }
		return verb
	end
end

--- macro("NAME", { param = … }): the reason is what is run.
function M.macro(name, params)
	if type(name) ~= "string" or name == "" then error('macro wants a name and a table: macro("clear-tmp", { age = "7d" })', 3) end
	if params ~= nil and type(params) ~= "table" then error(("macro: a table of params is wanted, not a %s"):format(type(params)), 3) end
	local sent = {}
	for key, v in pairs(params or {}) do
		local t = type(v)
		if type(key) ~= "string" or (t ~= "string" and t ~= "boolean" and t ~= "number") then error("macro: params are texts, numbers, true or false", 3) end
		sent[key] = v
	end
	local reason = name .. " " .. (next(sent) and json.encode(sent) or "{}")
	check_reason("macro", reason)
	local verb = setmetatable({}, Verb)
	held[verb] = { word = "macro", reason = reason, level = "warning", macro = name, params = sent }
	return verb
end

function M.is_verb(v) return getmetatable(v) == Verb end

--- All verbs as words of a policy file.
function M.words()
	local out = {}
	for word in pairs(M.all) do out[word] = M.word(word) end
	return out
end

M.tag = Verb

return M
