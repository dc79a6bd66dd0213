-- The board's routes: what is asked of C, filters, what is refused.
local world = require "spec.lua.api.world"
local ask, json = world.ask, world.json

local ROWS = [[ [
{"id":"future:a","kind":"future","ref":"a","what":"<b>","user":"bob","state":"waiting","sinceAt":1,"submittedAt":1,"position":3,"ends":["abort"]},
{"id":"kernel:p-1","kind":"kernel","ref":"p-1","what":"kernel of pool p","pool":"p","state":"idle","ends":[],"memoryBytes":104857600,"cpuShare":0.75,"cpuSeconds":12.5},
{"id":"notebook:n","kind":"notebook","ref":"n","what":"n","user":"bob","state":"idle","quietAt":1,"tags":["x"],"ends":["unload"],"memoryBytes":1048576} ] ]]

describe("the board's routes", function()
	before_each(function()
		world.reset()
		world.board_json = ROWS
	end)

	local function ids(where)
		local status, rows, headers = ask("GET", "/api/board?where=" .. where)
		assert.equal(200, status, json.encode(rows))
		local out = {}
		for i, row in ipairs(rows) do out[i] = row.id end
		assert.equal(tostring(#out), headers["Where-Matched"])
		return table.concat(out, " ")
	end

	it("give an admin all rows and others their own", function()
		assert.equal(3, #select(2, ask("GET", "/api/board")))
		assert.equal("all", world.was.rows)
		local _, made = ask("POST", "/api/keys", { body = { user = "bob" } })
		ask("GET", "/api/board", { fields = world.with(made.key) })
		assert.equal("bob", world.was.rows)
		assert.equal(401, (ask("GET", "/api/board", { fields = {} })))
	end)

	it("leave the rows that a filter is true of, across kinds", function()
		assert.equal("kernel:p-1", ids "memory > 50m")
		assert.equal("kernel:p-1", ids "share > 50% and cpu > 12s")
		assert.equal("future:a", ids "waiting > 0s and position = 3")
		assert.equal("future:a notebook:n", ids "user = bob")
		assert.equal("notebook:n", ids "quiet > 0s and tags = x")
		assert.equal("future:a", ids 'title = "<b>" and age > 0s')
		assert.equal("kernel:p-1 notebook:n", ids "waiting = 0")
		assert.equal("kernel:p-1", ids 'user = ""')
	end)

	it("refuse a filter that is none", function()
		for _, where in ipairs { "memory", "banana = 1", "kind = banana" } do
			local status, answer = ask("GET", "/api/board?where=" .. where)
			assert.equal(400, status, where)
			assert.equal("string", type(answer.message))
		end
	end)

	it("hand ids and points of curves on, within bounds", function()
		assert.equal(200, (ask("GET", "/api/curves?ids=a,b&points=7")))
		assert.same({ "all", "a,b", 7 }, world.was.curves)
		assert.equal(200, (ask("GET", "/api/curves?ids=a")))
		assert.same({ "all", "a", 60 }, world.was.curves)
		for _, query in ipairs { "", "?ids=,", "?ids=a&points=61", "?ids=a&points=1.5", "?ids=" .. ("a,"):rep(201), "?ids=" .. ("a"):rep(128) } do
			assert.equal(400, (ask("GET", "/api/curves" .. query)), query)
		end
	end)

	it("say what a curve that is not there may mean", function()
		assert.equal(200, (ask("GET", "/api/curves/py-1")))
		local status, answer = ask("GET", "/api/curves/py-2")
		assert.equal(404, status)
		assert.matches("py%-2.*never was.*another's.*long ago", answer.message)
		assert.equal(404, (ask("GET", "/api/curves/" .. ("a"):rep(300))))
	end)

	it("hand the place in the stream on, and who asks", function()
		ask("GET", "/api/events?board=true&rev=3-17&since=3-5")
		assert.same({ "all", 3, 5 }, world.was.follow)
		assert.same({ "admin", true, 3, 17 }, world.was.board)
		ask("GET", "/api/events?board=false")
		assert.is_nil(world.was.board)
		for _, query in ipairs { "board=1", "board=true&rev=3", "board=true&rev=a-b", "since=x" } do assert.equal(400, (ask("GET", "/api/events?" .. query)), query) end
	end)
end)
