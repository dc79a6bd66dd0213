-- rules: rule "NAME" { every = "10min", each = "kernel", where = "idle > 2h", act = retire "idle for {idle}" }: what is looked at again and
-- again, and what is done where the condition holds. A fact that is not known skips the subject; it never counts as zero.
local S = require "dss.model.schema"
local verbs = require "dss.model.verbs"
local where = require "dss.model.where"

local M = {}

local SECOND, MINUTE = 1000, 60000
M.MODES = { "simulate", "notify", "act" }
-- What rules look at. Of each kind: its facts are in facts.lua, which verbs fit it in verbs.lua, how it is listed and acted on in core/bind/subject.c;
-- owned: somebody can be warned before it is done.
local subjects = {
	{ name = "kernel", owned = true }, { name = "task", owned = true }, { name = "recipe", owned = true }, { name = "webapp", owned = true },
	{ name = "notebook", owned = true },
	{ name = "pool" }, { name = "user" }, { name = "node" },
}
local kinds, owned = {}, {}
for i, s in ipairs(subjects) do kinds[i], owned[s.name] = s.name, s.owned end
M.KINDS = kinds
-- what is no kind, and yet no typo
local other = { session = 'a session of a notebook is each = "notebook"', project = "there are no rules of projects",
	job = 'a job is a task: each = "task", where = "kind = job"; what it runs are recipes' }

local shape = S.record {
	about = S.text { may_be_empty = true },
	mode = S.choice { words = M.MODES, default = "act" },
	every = S.duration { least = SECOND, default = MINUTE },
	each = S.choice { words = kinds, required = true, other = function(v)
		return other[v] and ("%s; there are %s"):format(other[v], table.concat(kinds, ", "))
	end },
	where = S.filter { live = true },
	warn = S.duration { least = SECOND },
	act = S.tagged { tag = verbs.tag, live = true, required = true, wanted = "a verb with a reason (retire, kill, abort, notify, keep) or a function" },
}

--- The verb stands for what it decides: an act that cannot be warned of needs no warning time.
local function check(source, r, line, lines)
	local act_line = lines.act and lines.act.line or line
	if r.act then
		local trouble = verbs.trouble(r.act, r.each, where.types(r.each))
		if trouble then source:report(act_line, "act: " .. trouble) end
		if r.warn and (r.act.word == "notify" or r.act.word == "keep") then
			source:report(lines.warn and lines.warn.line or line, ("warn: %s does nothing that its owner could be warned of"):format(r.act.word))
		end
	end
	if r.warn and not owned[r.each] then
		source:report(lines.warn and lines.warn.line or line, ("warn: a %s has no owner who could be warned"):format(r.each))
	end
end

function M.words(source, model)
	return {
		rule = source:named("rule", function(name, t, line)
			local lines, functions = source:lines(line), {}
			local before = #source.errors
			local r = S.read(shape, t, { source = source, line = line, lines = lines, functions = functions })
			if not source:is_name("rule", name, line, model) or #source.errors > before then return end
			r.name, r.source, r.functions = name, source:at(line), functions
			r.where = where.compile(source, r.where, r.each)
			check(source, r, line, lines)
			if functions.where then where.try(source, functions.where, r.each, lines.where and lines.where.line or line) end
			if #source.errors == before then table.insert(model.rules, r) end
		end),
	}
end

return M
