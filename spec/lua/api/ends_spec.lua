-- POST /api/ends
require "spec.helper"
local world = require "spec.lua.api.world"
local ask, json, fleet = world.ask, world.json, world.fleet

local ROWS = [[ [
{"id":"future:a","kind":"future","ref":"a","what":"A","user":"bob","state":"waiting","ends":["abort"]},
{"id":"future:b","kind":"future","ref":"b","what":"B","user":"bob","state":"running","processId":"fek-1","pid":70,"ends":["abort"]},
{"id":"job:S/j","kind":"job","ref":"S/j","what":"builds x","user":"bob","state":"running","processId":"jek-1","ends":["abort"]},
{"id":"recipe:S/j/one","kind":"recipe","ref":"S/j/one","parent":"job:S/j","what":"one","user":"bob","state":"running","processId":"recipe-1","ends":["abort"]},
{"id":"recipe:S/j/two","kind":"recipe","ref":"S/j/two","parent":"job:S/j","what":"two","user":"bob","state":"waiting","ends":["abort"]},
{"id":"notebook:n","kind":"notebook","ref":"n","what":"My \"book\"","user":"bob","state":"running","connections":2,"leasedUntil":9,"processId":"nb-1","ends":["unload"]},
{"id":"kernel:p-1","kind":"kernel","ref":"p-1","what":"kernel","state":"idle","ends":[]},
{"id":"webapp:S/w","kind":"webapp","ref":"S/w","what":"w","user":"bob","state":"stopping","ends":[]},
{"id":"service:backend","kind":"service","ref":"backend","what":"backend","state":"ready","ends":[]} ] ]]

local function look(...)
	local status, a = ask("POST", "/api/ends", { body = { ids = json.array { ... } } })
	assert.equal(200, status, json.encode(a))
	return a.rows[1], a
end

describe("what would end", function()
	before_each(function()
		world.reset()
		world.board_json = ROWS
		world.members = function(_, pid) return { { pid = pid, name = "python3", memoryBytes = 5 } }, 3 end
		fleet.processes_json = '[{"id":"fek-1","kind":"kernel","pool":"fek","pid":70,"memoryBytes":100,"cgroup":"x"},{"id":"jek-1","kind":"kernel","pid":71,"memoryBytes":10},'
			.. '{"id":"recipe-1","kind":"recipe","pid":72,"memoryBytes":20},{"id":"nb-1","kind":"notebook","pid":73,"memoryBytes":40}]'
	end)
	after_each(function() world.board_json, world.members = nil, nil end)

	it("of many is told, too: with no names of members beyond those of the first, but how many there are", function()
		world.members = function(_, pid, most)
			assert(most > 0, "no such number of members")
			local out = {}
			for i = 1, math.min(most, 100) do out[i] = { pid = pid + i, name = "x" } end
			return out, 100
		end
		local ids = {}
		for i = 1, 9 do ids[i] = "future:b" end
		local _, a = look(table.unpack(ids))
		local shown = {}
		for i, r in ipairs(a.rows) do
			shown[i] = #r.processes[1].members
			assert.equal(100, r.processes[1].membersCount)
		end
		assert.same({ 64, 64, 64, 64, 64, 64, 16, 0, 0 }, shown)
		assert.equal(100, a.memoryBytes)
	end)

	it("of a task at work is its kernel, with all in its box; of one that waits nothing", function()
		local r = look "future:b"
		assert.same({ true, "abort", 100 }, { r.may, r.verb, r.memoryBytes })
		assert.same({ { id = "fek-1", pid = 70, what = "kernel of pool fek", memoryBytes = 100, members = { { pid = 70, name = "python3", memoryBytes = 5 } }, membersCount = 3 } }, r.processes)
		assert.truthy(r.loses[2]:find("a new one starts warm", 1, true))
		r = look "future:a"
		assert.same({ {}, 0 }, { r.processes, r.memoryBytes })
		assert.truthy(r.loses[1]:find("has not run", 1, true))
	end)

	it("of a job are its recipes, too, and a recipe ends with its job", function()
		local r = look "job:S/j"
		assert.same({ "jek-1", "recipe-1" }, { r.processes[1].id, r.processes[2].id })
		assert.same({ "recipe:S/j/one", "recipe:S/j/two" }, { r.also[1].id, r.also[2].id })
		assert.equal(30, r.memoryBytes)
		assert.equal("1 activity at work ends, 1 that waits is not begun.", r.loses[1])
		r = look "recipe:S/j/one"
		assert.same({ 30, "job:S/j", "recipe:S/j/two" }, { r.memoryBytes, r.also[1].id, r.also[2].id })
		assert.equal("An activity ends with its job alone: builds x.", r.loses[1])
	end)

	it("of a notebook are its variables", function()
		local r = look "notebook:n"
		assert.same({ 'The variables of notebook "My "book""; unsaved work is lost.', "A cell runs: it ends.", "2 clients are connected to it.",
			"Its user asked to keep it: that ends with it." }, r.loses)
		assert.equal("unload", r.verb)
	end)

	it("is counted once, however many rows share it", function()
		local _, a = look("job:S/j", "recipe:S/j/one", "future:b")
		assert.equal(130, a.memoryBytes)
		assert.equal(3, #a.rows)
	end)

	it("is said not to be one's to end, and why", function()
		for id, pattern in pairs { ["kernel:p-1"] = "stock", ["webapp:S/w"] = "ending already", ["service:backend"] = "bin/dss", ["future:nosuch"] = "somebody else's" } do
			local r = look(id)
			assert.is_false(r.may, id)
			assert.truthy(r.reason:find(pattern, 1, true), r.reason)
		end
	end)

	it("sees what its asker sees, within bounds", function()
		ask("POST", "/api/ends", { body = { ids = json.array { "future:a" } }, fields = world.with(world.KEY, { ["x-dku-proxyuser"] = "bob" }) })
		assert.equal("bob", world.was.rows)
		local many = {}
		for i = 1, 201 do many[i] = "x" end
		for _, ids in ipairs { json.array(many), json.array { 5 }, json.array { ("x"):rep(401) }, json.array { "" }, "x" } do
			assert.equal(400, (ask("POST", "/api/ends", { body = { ids = ids } })))
		end
		assert.equal(400, (ask("POST", "/api/ends", { body = {} })))
		fleet.processes_json = nil
		assert.same({}, look("future:b").processes)
	end)
end)
