-- words: all that a policy file may say: pool, box, place, slots, rule, on, access, retention, macro; the kernels, verbs and units that stand in them.
local events = require "dss.model.events"
local keeping = require "dss.model.keeping"
local limits = require "dss.model.limits"
local macros = require "dss.model.macros"
local placing = require "dss.model.placing"
local pools = require "dss.model.pools"
local rights = require "dss.model.rights"
local rules = require "dss.model.rules"
local machine = require "bind.machine"
local sandbox = require "dss.model.sandbox"
local verbs = require "dss.model.verbs"
local duration = require "dss.text.duration"
local size = require "dss.text.size"

local M = {}

--- seconds "8h", bytes "1.5g": for comparisons in functions.
local function unit(parse, scale)
	return function(text)
		local n, why = parse(text)
		if not n then error(why, 2) end
		return scale == 1 and n or n / scale
	end
end

--- A model before any word was read. where: share, run_user (nil = one-user mode), …
function M.new(where)
	return { where = where, first = {}, pools = {}, limits = {}, places = {}, boxes = {}, rules = {}, events = {}, access = {}, macros = {} }
end

--- The words for one file; what they say lands in `model`.
function M.of(source, model)
	local out = {
		seconds = unit(duration.parse, 1000), bytes = unit(size.parse, 1),
		machine = sandbox.facts(model.where.machine or machine, "machine"),       -- what numbers may be reckoned from: { cores, total }
	}
	for _, some in ipairs { verbs.words(), pools.words(source, model), limits.words(source, model), placing.words(source, model), rules.words(source, model),
		events.words(source, model), rights.words(source, model), keeping.words(source, model), macros.words(source, model) } do
		for name, word in pairs(some) do out[name] = word end
	end
	return out
end

return M
