-- limits: how much may be at work at once for each user, project, pool, tag or other key:
--
--     slots "a user's tasks" { each = "user", max = 8 }
--     box   "a user's memory" { where = "pool != jek", each = "user", memory = "24g" }
--
-- Whether a task falls under one, and with which key, is asked once, when it is submitted; from then on the core counts. So these words may
-- read only what a task has at that time. Future kernels are never moved: a box keeps the sum of its kernels' limits. A box with `at` is
-- another thing, a real one: placing.lua.
local placing = require "dss.model.placing"
local S = require "dss.model.schema"
local where = require "dss.model.where"

local M = {}

local keys = { "user", "project", "pool" }
local WORDS_MOST = 1000       -- each task is asked for each of them

local function each(words)
	return S.text { live = true, check = function(v)
		for _, word in ipairs(words) do
			if v == word then return v end
		end
		if words.has_tags and v:find "^tag:." then return v end
		local nearest = require "dss.text.nearest"
		local guess = nearest(v, words)
		return nil, ("%q is none of: %s%s%s"):format(v, table.concat(words, ", "), words.has_tags and ", tag:PREFIX, or a function" or "",
			guess and (', did you mean "%s"?'):format(guess) or "")
	end }
end

local shapes = {
	slots = S.record {
		about = S.text { may_be_empty = true },
		where = S.filter { live = true },
		each = each { "user", "project", "pool", has_tags = true },
		max = S.int { required = true, live = true, most = 1000000 },
	},
	-- swap, cpu and threads hold for processes that are placed into a box; future kernels are not
	box = S.record {
		about = S.text { may_be_empty = true },
		where = S.filter {},
		each = S.choice { words = keys },
		memory = S.size { least = 16 << 20, required = true },
		swap = S.size {},
		cpu = S.number { least = 0.01, most = 4096 },
		threads = S.int { least = 1 },
	},
}

local function word(source, model, kind)
	return source:named(kind, function(name, t, line)
		if kind == "box" and t.at ~= nil then return placing.box(source, model, name, t, line) end
		local lines, functions, before = source:lines(line), {}, #source.errors
		local r = S.read(shapes[kind], t, { source = source, line = line, lines = lines, functions = functions })
		if not source:is_name(kind, name, line, model) or #source.errors > before then return end
		if #model.limits == WORDS_MOST then return source:report(line, ("more than %d words slots and box"):format(WORDS_MOST)) end
		r.word, r.name, r.source, r.functions = kind, name, source:at(line), functions
		r.where = where.compile(source, r.where, "submit")
		if functions.where then where.try(source, functions.where, "submit", lines.where and lines.where.line or line) end
		if #source.errors == before then table.insert(model.limits, r) end
	end)
end

function M.words(source, model)
	return { slots = word(source, model, "slots"), box = word(source, model, "box") }
end

--- As core/fleet/slots.h wants them, in the order of the set.
function M.slots(model)
	local out = {}
	for i, r in ipairs(model.limits) do
		local each_key = type(r.each) == "string" and r.each or nil -- for what is told of its keys
		out[i] = { word = r.word, name = r.name, source = r.source, each = each_key, max = r.max or -1, memory_bytes = r.memory or 0 }
	end
	return out
end

return M
