-- limits: how much may be at work at once for each user, project, pool, tag or other key:
--
--     slots "a user's tasks" { each = "user", max = 8 }
--     slots "recipes of a job" { where = "kind = recipe", each = "job", max = 4 }
--     box   "a user's memory" { where = "pool != jek", each = "user", memory = "24g" }
--
-- Whether a task falls under one, and with which key, is asked once, when it is submitted; from then on the core counts. So these words may
-- read only what a task has at that time. Recipes and webapps (guests: fleet/guest.h) are asked for the same, when they ask for a place, but only
-- of words whose `where` names their kind: `slots` without it counts tasks alone.
-- Future kernels are never moved: a box keeps the sum of its kernels' limits. A box with `at` is
-- another thing, a real one: placing.lua.
local placing = require "dss.model.placing"
local S = require "dss.model.schema"
local where = require "dss.model.where"

local M = {}

local keys = { "user", "project", "pool" }
-- what a word may count by → the kind that has it; true: all have it; "task": tasks alone
local kind_of_key = {
	user = true, project = true, pool = "task", job = "recipe", recipe = "recipe", recipe_type = "recipe", resource = "recipe", webapp = "webapp",
}
local guest_kinds = S.sorted_keys(placing.kinds)
local is_guest = {}
for _, kind in ipairs(guest_kinds) do is_guest[kind] = true end
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
		each = each { "user", "project", "pool", "job", "recipe", "recipe_type", "webapp", "resource", has_tags = true },
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

-- --- whom a word counts ---

-- what conditions of words that count guests may read: what tasks have, and what guests have
local both = {}
for name, fact in pairs(where.registry "submit") do both[name] = fact end
for name, fact in pairs(placing.facts) do both[name] = fact end
both.kind = { type = "text", doc = "recipe webapp; of tasks: future job" }
M.guest_facts = both

--- The kinds that a condition holds for at most, as a set; nil: any may be among them.
local function pinned(n)
	local out
	if n.op == "=" and n.fact == "kind" then return { [n.right.value] = true } end
	if n.op == "in" and n.fact == "kind" then
		out = {}
		for _, v in ipairs(n.list) do out[v.value] = true end
	elseif n.op == "and" then
		for _, child in ipairs(n) do out = out or pinned(child) end
	elseif n.op == "or" then
		out = {}
		for _, child in ipairs(n) do
			local some = pinned(child)
			if not some then return nil end
			for kind in pairs(some) do out[kind] = true end
		end
	end
	return out
end

local function names_guests(f)
	for _, n in pairs(f.clauses) do
		if n.fact == "kind" and n.right and is_guest[n.right.value] then return true end
		for _, v in ipairs(n.fact == "kind" and n.list or {}) do
			if is_guest[v.value] then return true end
		end
	end
	return false
end

--- { tasks = true | nil, recipe = …, webapp = … }: whom it is asked of. f: its condition, compiled for both; nil: it has none for both.
local function scope_of(f)
	local kinds, out = f and pinned(f.tree), {}
	if not f then return { tasks = true } end
	for kind in pairs(kinds or is_guest) do out[is_guest[kind] and kind or "tasks"] = true end
	if not kinds then out.tasks = true end
	return out
end

--- The condition for tasks and guests where it names a guest's kind, else nil.
local function read_both(w)
	if not w then return nil end
	local f, why = where.parse(w.text, both)
	if f then return names_guests(f) and f or nil end
	for _, kind in ipairs(guest_kinds) do
		if w.text:find("%f[%w_]" .. kind .. "%f[^%w_]") then return nil, why end
	end
end

local function check_scope(r, say)
	local key = type(r.each) == "string" and r.each or nil
	local has = key and kind_of_key[key]
	if has == "task" and not r.scope.tasks then
		say(("each = %q: only tasks have a %s, and `where` lets none in"):format(key, key))
	elseif has and has ~= true and has ~= "task" and not r.scope[has] then
		say(("each = %q: only a %s has one, and this word counts %s: write where = \"kind = %s\""):format(key, has,
			r.scope.tasks and "tasks" or next(r.scope) .. "s", has))
	end
end

local function word(source, model, kind)
	return source:named(kind, function(name, t, line)
		if kind == "box" and t.at ~= nil then return placing.box(source, model, name, t, line) end
		local lines, functions, before = source:lines(line), {}, #source.errors
		local r = S.read(shapes[kind], t, { source = source, line = line, lines = lines, functions = functions })
		if not source:is_name(kind, name, line, model) or #source.errors > before then return end
		if #model.limits == WORDS_MOST then return source:report(line, ("more than %d words slots and box"):format(WORDS_MOST)) end
		r.word, r.name, r.source, r.functions = kind, name, source:at(line), functions
		local w, for_both, why = r.where, nil, nil
		if kind == "slots" then for_both, why = read_both(w) end
		if why then return source:report(w.line, w.path .. ": " .. why) end
		r.scope = scope_of(for_both)
		r.facts = for_both and both or "submit"
		r.where = for_both or where.compile(source, w, "submit")
		check_scope(r, function(text) source:report(S.line_of(lines.each) or line, text) end)
		if functions.where then where.try(source, functions.where, "submit", lines.where and lines.where.line or line) end
		if #source.errors == before then table.insert(model.limits, r) end
	end)
end

function M.words(source, model)
	return { slots = word(source, model, "slots"), box = word(source, model, "box") }
end

--- As core/fleet/slots.h wants them, in the order of the set. A max of 0 is no limit of its own.
function M.slots(model)
	local out = {}
	for i, r in ipairs(model.limits) do
		local each_key = type(r.each) == "string" and r.each or nil -- for what is told of its keys
		out[i] = { word = r.word, name = r.name, source = r.source, each = each_key, max = r.max and r.max > 0 and r.max or -1, memory_bytes = r.memory or 0 }
	end
	return out
end

return M
