-- POST /api/filters
require "spec.helper"
local world = require "spec.lua.api.world"
local filters = require "dss.api.filters"
local json, ask = world.json, world.ask

local function look(kind, text, cursor)
	local status, answer = ask("POST", "/api/filters", { body = { kind = kind, text = text, cursor = cursor } })
	return answer, status
end

describe("POST /api/filters", function()
	before_each(world.reset)

	it("tells a filter as data: tree, facts that it reads, and how they come out of a row", function()
		local a = look("process", "not (kind = kernel and memory > 80% of limit) or idle>2h")
		assert.is_true(a.ok)
		assert.equal("not (kind = kernel and memory > 80% of limit) or idle > 2h", a.text)
		assert.same({ "idle", "kind", "limit", "memory" }, a.reads)
		assert.equal("or", a.tree.op)
		assert.equal("not", a.tree.of[1].op)
		assert.same({ op = "=", fact = "kind", type = "text", value = "kernel", text = "kind = kernel", at = 5 }, a.tree.of[1].of[1].of[1])
		assert.same({ op = ">", fact = "memory", type = "size", right = "limit", factor = 0.8, text = "memory > 80% of limit", at = 23 }, a.tree.of[1].of[1].of[2])
		assert.same({ op = ">", fact = "idle", type = "duration", value = 7200.0, text = "idle > 2h", at = 49 }, a.tree.of[2])
		assert.equal("idle", a.facts[1].name)
		assert.same({ { when = { idleSince = true }, from = "idleSince" }, { when = { state = { "busy", "draining" } }, value = 0 },
			{ when = { state = { "idle" }, user = false }, from = "readyAt" } }, a.facts[1].way)
		assert.same({ name = "kind", type = "text", way = { { member = "kind" } } }, a.facts[2])
		assert.is_nil(a.zone)
	end)

	it("tells lists and times of the week, and the node's clock where they are asked for", function()
		local a = look("task", 'tags in (a, b) and during "mon 08:00-09:00"')
		assert.same({ "a", "b" }, a.tree.of[1].values)
		assert.same({ { 480, 540 } }, a.tree.of[2].spans)
		assert.equal("clock", a.tree.of[2].type)
		assert.same({}, a.facts[1].otherwise)
		assert.truthy(select(4, ask("POST", "/api/filters", { body = { kind = "task", text = "tags = x" } })):find('"otherwise":[]', 1, true))
		assert.equal(2, #a.zone[1])
	end)

	it("is true of all where it is blank", function()
		local a = look("task", "  ")
		assert.is_true(a.ok)
		assert.equal(json.null, a.tree)
		assert.same({}, a.reads)
		assert.truthy(#a.words > 10)
	end)

	it("says what is wrong and where, counted as pages count", function()
		local a, status = look("process", "memroy > 1g")
		assert.equal(200, status)
		assert.same({ false, 0, 'unknown fact "memroy", did you mean "memory"?' }, { a.ok, a.at, a.error })
		a = look("task", 'title = "😀é" and memroy > 1g')
		assert.equal(#'title = "12" and ' + 1, a.at)
		assert.truthy(a.error:find("memroy", 1, true))
		assert.equal(4, look("task", "pool").at)
	end)

	it("refuses what is far too long for a filter, before anything is counted in it", function()
		local a, status = look("task", ("é"):rep(1 << 15) .. "é")
		assert.equal(400, status)
		assert.equal('"text" is longer than 65536 bytes', a.message)
		assert.equal(200, select(2, look("task", ("é"):rep(1 << 15))))
	end)

	it("has the words at the cursor, or at the end", function()
		local a = look("process", "kind = kernel and memo")
		assert.same({ 18, { "memory" } }, { a.from, a.words })
		a = look("process", "mem > 1g", 3)
		assert.same({ 0, { "memory" } }, { a.from, a.words })
		a = look("task", 'title = "😀" and memo')
		assert.same({ 17, { "memory" } }, { a.from, a.words })
		a = look("process", "", 100)
		assert.same({ 0, true }, { a.from, #a.words > 10 })
	end)

	it("refuses what is no kind, and needs a key", function()
		local a, status = look("proces", "memory > 1g")
		assert.same({ 400, 'there are no facts of "proces", did you mean "process"?' }, { status, a.message })
		assert.equal(400, (ask("POST", "/api/filters", { body = { kind = "task" } })))
		assert.equal(400, (ask("POST", "/api/filters", { body = { kind = "task", text = 5 } })))
		assert.equal(401, (ask("POST", "/api/filters", { body = { kind = "task", text = "" }, fields = {} })))
	end)

	it("knows when the node's clock changed: an offset for each part of the year", function()
		local zone = filters.told("task", 'submitted during "daily"', 1795298626).zone
		for i = 2, #zone do
			assert.truthy(zone[i][1] > zone[i - 1][1])
			assert.not_equal(zone[i][2], zone[i - 1][2])
		end
		for _, z in ipairs(zone) do
			local d = os.date("*t", z[1])
			assert.equal(os.date("!%H:%M", z[1] + z[2]), ("%02d:%02d"):format(d.hour, d.min))
		end
	end)
end)
