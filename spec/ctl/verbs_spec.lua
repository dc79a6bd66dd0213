-- The verbs of dssctl: each that its help lists is completed by the shell and stands in the manual page, and so is each verb below one.
local helper = require "spec.helper"
local Instance = require "spec.instance"

local dssctl, env = Instance.program "dssctl", Instance.environment()

local function help_of(...)
	local words = { dssctl, ... }
	words[#words + 1] = "--help"
	return (Instance.run_apart(words, env))
end

--- Lines "  verb   what it does" of a help.
local function verbs_of(help)
	local out = {}
	for name in ("\n" .. help):gmatch "\n  (%l+) +%S" do out[#out + 1] = name end
	return out
end

local function complete(...)
	local words = {}
	for _, w in ipairs { dssctl, ... } do words[#words + 1] = Instance.quote(w) end
	local script = ("source etc/completion.bash; COMP_WORDS=(%s); COMP_CWORD=%d; _dssctl 2>/dev/null; printf '%%s\\n' \"${COMPREPLY[@]}\""):format(table.concat(words, " "),
		#words - 1)
	local set = {}
	for line in Instance.run({ "bash", "-c", script }):gmatch "[^\n]+" do set[line] = true end
	return set
end

--- Lines of the manual that explain a command: { "run", "|", "start", … } each, without what is an argument or an option.
local function explained()
	local out = {}
	for line in helper.read "docs/man/dssctl.1":gmatch "\n%.It Cm ([^\n]*)" do
		local words, before = {}, ""
		for word in line:gmatch "%S+" do
			if word:match "^%l+$" and before ~= "Ar" and before ~= "Fl" then words[word] = true end
			before = word
		end
		words.first = line:match "^%l+"
		out[#out + 1] = words
	end
	return out
end

describe("the verbs of dssctl", function()
	local verbs, below = verbs_of(help_of()), {}
	for _, verb in ipairs(verbs) do below[verb] = verbs_of(help_of(verb)) end
	below.help = {} -- its help is that of all

	it("are listed by its help", function()
		assert.is_true(#verbs > 30, table.concat(verbs, " "))
		assert.is_true(#below.dss > 5 and #below.project > 3 and #below.notebooks > 3)
	end)

	it("are all completed by the shell, and those below them", function()
		local offered, missing = complete "", {}
		for _, verb in ipairs(verbs) do
			if not offered[verb] then missing[#missing + 1] = verb end
			local subs = #below[verb] > 0 and complete(verb, "") or {}
			for _, sub in ipairs(below[verb]) do
				if not subs[sub] then missing[#missing + 1] = verb .. " " .. sub end
			end
		end
		assert.same({}, missing)
	end)

	it("all stand in the manual page, and those below them", function()
		local lines, missing = explained(), {}
		local function stands(verb, sub)
			for _, l in ipairs(lines) do
				if sub and (l.first == verb and l[sub] or verb == "dss" and l.first == sub) or not sub and l[verb] then return true end
			end
		end
		for _, verb in ipairs(verbs) do
			if not stands(verb) then missing[#missing + 1] = verb end
			for _, sub in ipairs(below[verb]) do
				if not stands(verb, sub) then missing[#missing + 1] = verb .. " " .. sub end
			end
		end
		assert.same({}, missing)
	end)
end)
