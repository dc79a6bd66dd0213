-- build: what a job has to do: which recipes run, in which order, and why each of them; and why the others do not. Pure: what is known of
-- datasets and recipes is handed in.
--
--     build.plan(data, { mode = "RECURSIVE_BUILD", outputs = { "joined" } }, facts)
--       → { activities = { { id, recipe, kind, outputs, after = { ids }, why } }, skipped = { { recipe | dataset, why } } }
--       | nil, { { text, dataset?, recipe?, line? } }
--     facts.datasets[NAME]: exists; changed_at (ms of its newest content); of its last build that ended well: started_at, built_at (ms),
--       definition, script (as facts.recipes had them then); is_partial: what lies there is of a build that did not end well
--     facts.recipes[NAME]: definition (a hash of build.definition), script (a hash of the file, or nil)
local json = require "bind.json"
local flow = require "dss.model.flow"
local nearest = require "dss.text.nearest"
local sorted_keys = require("dss.model.schema").sorted_keys

local M = {}

M.modes = { "RECURSIVE_BUILD", "NON_RECURSIVE_FORCED_BUILD", "RECURSIVE_FORCED_BUILD", "RECURSIVE_MISSING_ONLY_BUILD" }

local REASONS_SHOWN = 3
local NO_FACTS = {}

-- What a dataset depends on; limits, tags and words for people are left out: they change no result.
local defining = { "kind", "script", "command", "class", "classpath", "inputs", "outputs", "args", "bin", "python", "env", "params", "conf", "jars", "master" }

--- The text whose hash is a recipe's definition.
function M.definition(recipe)
	local out = {}
	for _, key in ipairs(defining) do out[key] = recipe[key] end
	return json.encode(json.object(out))
end

function M.activity_id(recipe) return recipe .. "_NP" end

--- Two times that can be told apart: "09:12:03", with the day where the days differ, with milliseconds where only they do.
local function shown(a, b, zone)
	local function at(form, ms) return os.date(zone .. form, ms // 1000) end
	local form = at("%F", a) == at("%F", b) and "%H:%M:%S" or "%F %H:%M:%S"
	local x, y = at(form, a), at(form, b)
	if x == y and a ~= b then x, y = ("%s.%03d"):format(x, a % 1000), ("%s.%03d"):format(y, b % 1000) end
	return x, y
end

local Plan = {}
Plan.__index = Plan

function Plan:fact(name) return self.facts.datasets and self.facts.datasets[name] or NO_FACTS end
function Plan:is_there(name)
	local f = self:fact(name)
	return f.exists == true and not f.is_partial
end

function Plan:fail(text, what)
	what = what or {}
	what.text = text
	table.insert(self.errors, what)
end

--- When its content was last new.
function Plan:content_at(name)
	local f = self:fact(name)
	return math.max(f.built_at or 0, f.changed_at or 0)
end

--- Why an output of a recipe has to be made anew; appends to `why`.
function Plan:add_reasons(why, name, r, output)
	local f, now = self:fact(output), self.facts.recipes and self.facts.recipes[name] or NO_FACTS
	local function say(text) -- once, however many outputs
		if not why[text] then why[#why + 1], why[text] = text, true end
	end
	if f.is_partial then return say(("the last build of %s did not end well"):format(output)) end
	if not f.built_at then return say(f.exists and ("there is no record of a build of %s"):format(output) or "never built") end
	if not f.exists then return say(("%s is gone"):format(output)) end
	if f.definition and now.definition and f.definition ~= now.definition then say "recipe changed" end
	if f.script and now.script and f.script ~= now.script then say(("%s changed"):format(r.script or "script")) end
	local read_at = f.started_at or f.built_at
	for _, input in ipairs(r.inputs) do
		local maker, at = self.graph.maker[input], self:content_at(input)
		if self.runs[maker] then say(("input %s is built first"):format(input))
		elseif at > read_at then say(("input %s is newer (%s > %s)"):format(input, shown(at, read_at, self.zone))) end
	end
end

local function joined(why)
	local text = table.concat(why, "; ", 1, math.min(#why, REASONS_SHOWN))
	return #why > REASONS_SHOWN and ("%s; and %d more"):format(text, #why - REASONS_SHOWN) or text
end

function Plan:up_to_date(r, wanted)
	local built
	for _, output in ipairs(r.outputs) do
		local at = wanted[output] and self:fact(output).built_at
		if at and (not built or at < built) then built = at end
	end
	return ("up to date: built %s after all inputs"):format((shown(built, self.now or built, self.zone)))
end

function Plan:unknown(output, n)
	local text = ("there is no dataset %s in this project"):format(output)
	if n then
		local r = self.graph.recipes[output]
		return ("%s: %s is a %s%s"):format(text, output, n.kind, r and #r.outputs > 0 and "; ask for " .. table.concat(r.outputs, ", ") or "")
	end
	local names = {}
	for _, name in ipairs(sorted_keys(self.graph.nodes)) do
		if self.graph.nodes[name].kind == "dataset" then names[#names + 1] = name end
	end
	local guess = nearest(output, names)
	return guess and ('%s, did you mean "%s"?'):format(text, guess) or text
end

function Plan:missing(input, maker, needs)
	if maker then
		local is = self:fact(input).is_partial and "is not finished: its last build did not end well" or "does not exist"
		return ("%s %s; %s; build it first, or ask for RECURSIVE_BUILD"):format(input, is, needs)
	end
	local there = {}
	for _, name in ipairs(sorted_keys(self.facts.datasets or {})) do
		if self:is_there(name) then there[#there + 1] = name end
	end
	local guess = nearest(input, there)
	return ("%s does not exist and no recipe makes it; %s%s"):format(input, needs, guess and (', did you mean "%s"?'):format(guess) or "")
end

--- An input that is not there and that nobody is going to make.
function Plan:check_inputs(name, r)
	for _, input in ipairs(r.inputs) do
		local maker = self.graph.maker[input]
		if not self:is_there(input) and not self.wants[maker] then
			self:fail(self:missing(input, maker, ("recipe %s (line %d) needs it"):format(name, r.line)), { dataset = input, recipe = name, line = r.line })
		end
	end
end

--- How far each mode goes back from a recipe's input.
local goes_on = {
	RECURSIVE_BUILD = function() return true end,
	RECURSIVE_FORCED_BUILD = function() return true end,
	NON_RECURSIVE_FORCED_BUILD = function() return false end,
	RECURSIVE_MISSING_ONLY_BUILD = function(plan, input) return not plan:is_there(input) end,
}

--- Fills wants: recipe → set of its outputs that somebody needs.
function Plan:walk(outputs)
	local todo = {}
	local function want(output)
		local maker = self.graph.maker[output]
		if not maker then return false end
		if not self.wants[maker] then
			self.wants[maker] = {}
			todo[#todo + 1] = maker
		end
		self.wants[maker][output] = true
		return true
	end
	for _, output in ipairs(outputs) do
		local n = self.graph.nodes[output]
		if not n or n.kind ~= "dataset" then
			self:fail(self:unknown(output, n), { dataset = output })
		elseif want(output) then
			self.asked[self.graph.maker[output]] = true
		elseif self:is_there(output) then
			table.insert(self.skipped, { dataset = output, why = "a source: no recipe makes it" })
		else
			self:fail(("%s does not exist and no recipe makes it; it was asked for"):format(output), { dataset = output })
		end
	end
	while #todo > 0 do
		for _, input in ipairs(self.graph.recipes[table.remove(todo)].inputs) do
			if goes_on[self.mode](self, input) then want(input) end
		end
	end
end

--- Why a recipe runs: a list, empty where it need not.
function Plan:reasons(name, r)
	if self.mode == "RECURSIVE_BUILD" then
		local why = {}
		for _, output in ipairs(r.outputs) do
			if self.wants[name][output] then self:add_reasons(why, name, r, output) end
		end
		return why
	end
	if self.asked[name] then return { "was asked for" } end
	if self.mode == "RECURSIVE_FORCED_BUILD" then return { "forced" } end
	local why = {}
	for _, output in ipairs(r.outputs) do
		if self.wants[name][output] and not self:is_there(output) then self:add_reasons(why, name, r, output) end
	end
	return why
end

function Plan:decide(name)
	local r = self.graph.recipes[name]
	self:check_inputs(name, r)
	local why = self:reasons(name, r)
	if #why == 0 then
		table.insert(self.skipped, { recipe = name, why = self:up_to_date(r, self.wants[name]) })
		return
	end
	local after, seen = json.array {}, {}
	for _, input in ipairs(r.inputs) do
		local maker = self.graph.maker[input]
		if self.runs[maker] and not seen[maker] then
			seen[maker] = true
			after[#after + 1] = M.activity_id(maker)
		end
	end
	table.sort(after)
	self.runs[name] = true
	table.insert(self.activities, {
		id = M.activity_id(name), recipe = name, kind = r.kind, outputs = json.array { table.unpack(r.outputs) }, after = after, why = joined(why),
	})
end

--- options: zone ("!" = UTC in reasons; else local time), now (ms; days are shown where they differ from it).
function M.plan(data, request, facts, options)
	options = options or {}
	local self = setmetatable({
		graph = flow.new(data), mode = request.mode, facts = facts, zone = options.zone or "", now = options.now,
		wants = {}, asked = {}, runs = {}, errors = {}, activities = json.array {}, skipped = json.array {},
	}, Plan)
	if not goes_on[self.mode] then error("no such mode: " .. tostring(self.mode), 2) end
	local circle = flow.circles(self.graph, 1)[1]
	if circle then
		self:fail("a circle: " .. table.concat(circle, " → ") .. " → " .. circle[1])
		return nil, self.errors
	end
	self:walk(request.outputs)
	if #self.errors > 0 then return nil, self.errors end
	for _, name in ipairs(flow.order(self.graph)) do
		if self.wants[name] then self:decide(name) end
	end
	if #self.errors > 0 then return nil, self.errors end
	return { activities = self.activities, skipped = self.skipped }
end

return M
