-- filter: what a filter costs: microseconds to parse, to evaluate, and to list with. lua5.4 bench/filter.lua
package.path = "lua/?.lua;" .. package.path
local facts = require "dss.model.facts"
local filter = require "dss.text.filter"

local PARSES, TESTS, ROWS = 5000, 500000, 10000

local registry = {}
for name, fact in pairs(facts.of "process") do registry[name] = fact end
registry.connected = { type = "flag" }

local now_s = os.time()
local row = { id = "fek-12", kind = "notebook", state = "idle", pool = "fek", user = "bob", memoryBytes = 2 << 30, limitBytes = 2 << 30,
	startedAt = now_s * 1000 - 90000, idleSince = now_s * 1000 - 8000000, cpuSeconds = 1.5, peakBytes = 2 << 30 }
local all = facts.from_row("process", row, now_s)

local function us(n, fn)
	local begun = os.clock()
	for _ = 1, n do fn() end
	return (os.clock() - begun) / n * 1e6
end

print(("%-64s %8s %8s %8s"):format("filter", "parse us", "test us", "row us"))
for _, text in ipairs {
	"kind = notebook",
	"kind = notebook and idle > 2h and memory > 1g",
	"memory > 80% of limit or not connected",
	'id ~ "fek-*" and state in (idle, busy) and cpu < 10min',
	'not (kind = job or user = eve) and (idle > 2h or memory > limit)',
	'during "weekdays 08:00-19:00; sat 10:00-14:00"',
	(("memory > 3g or "):rep(29) .. "memory > 1g"),
} do
	local f = assert(filter.parse(text, registry))
	local test, reads = f.test, f.reads
	local name = #text > 64 and ("30 clauses (%d characters)"):format(#text) or text
	print(("%-64s %8.1f %8.2f %8.2f"):format(name, us(PARSES, function() filter.parse(text, registry) end),
		us(TESTS, function() test(all) end), us(ROWS, function() test(facts.from_row("process", row, now_s, reads)) end)))
end
