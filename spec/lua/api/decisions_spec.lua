-- The list of decisions: who sees what, how it is asked, and facts as people read them.
local world = require "spec.lua.api.world"
local load = require "dss.model.load"

describe("GET /api/decisions", function()
	local NONE = {}
	before_each(function()
		world.reset()
		world.decisions_json = "[]"
		world.keys.rows = { { id = "bob", user = "bob" } }
	end)

	it("asks for everybody's for an admin, and for a user's own for a user", function()
		assert.equal(200, (world.ask("GET", "/api/decisions")))
		assert.is_nil(world.was.decisions.login)
		assert.equal(200, (world.ask("GET", "/api/decisions", { fields = world.with "secret-of-bob" })))
		assert.equal("bob", world.was.decisions.login)
	end)

	it("hands on what is asked for", function()
		world.ask("GET", "/api/decisions?kind=kernel&subject=fek-12&word=rule&name=idle&would=True&before=77&limit=5&oldest=1")
		assert.same({ subject_kind = "kernel", subject = "fek-12", word = "rule", name = "idle", would = true, oldest = true, before = 77, limit = 5 },
			world.was.decisions)
		world.ask("GET", "/api/decisions?word=&subject=")
		assert.same({ would = false, oldest = false, before = 0, limit = 100 }, world.was.decisions)
	end)

	it("refuses a limit or a page that is no number, with what it has to be", function()
		for _, query in ipairs { "limit=0", "limit=1001", "limit=x", "before=-1", "before=1.5" } do
			local status, b = world.ask("GET", "/api/decisions?" .. query)
			assert.equal(400, status, query)
			assert.truthy(b.message:find(query:match "^%l+", 1, true), b.message)
		end
	end)

	it("says when the store takes nothing", function()
		world.decisions_json = nil
		local status, b = world.ask("GET", "/api/decisions")
		assert.equal(503, status)
		assert.equal("the store takes nothing now", b.message)
	end)

	it("answers an empty list as a list", function()
		local _, _, _, raw = world.ask("GET", "/api/decisions")
		assert.equal("[]", raw)
	end)

	local function texts(kind, inputs)
		world.decisions_json = '[{"seq":1,"subjectKind":"' .. kind .. '","inputs":' .. inputs .. "}]"
		local _, rows = world.ask("GET", "/api/decisions")
		return rows[1].inputsText or NONE
	end

	it("writes facts with their units, in the order of their names", function()
		assert.same({ "idle = 1 h", "kind = kernel", "memory = 700 MB", "tasks = 12", "user = none" },
			texts("kernel", '{"memory":734003200,"idle":3600,"kind":"kernel","tasks":12,"user":""}'))
		assert.same({ "leadSeconds = 1.5 s", "needBytes = 1.0 GB", "usedGbSeconds = 2.5" },
			texts("pool", '{"needBytes":1073741824,"leadSeconds":1.5,"usedGbSeconds":2.5}'))
		assert.same({ "submitted = " .. os.date("%Y-%m-%d %H:%M:%S", 1700000000), "waiting = 1.5 s" }, texts("task", '{"waiting":1.5,"submitted":1700000000}'))
		assert.same({ "clock.hour = 7", "clock.weekday = mon", "demand = 0.25" }, texts("pool", '{"demand":0.25,"clock":{"weekday":"mon","hour":7}}'))
		assert.same({ "idle is not known", "tags = a, b" }, texts("task", '{"tags":["a","b"],"idle":null}'))
	end)

	it("writes a macro's params with the units that their types have, whatever facts have their names", function()
		assert(load.evaluate({ { name = "policies/40-macros.lua", text = [[macro "tidy" { about = "x", each = "notebook",
			params = { max_idle = duration { default = "1h" }, room = size { default = "1g" }, age = count { default = 1 } },
			admin_params = { wait = duration { default = "1min" }, user = text { default = "" } }, run = function () return keep "it" end }]] } }, { share = "/usr/share/dssd" }))
		local function told(name)
			world.decisions_json = ('[{"seq":1,"word":"macro","name":"%s","subjectKind":"notebook","inputs":{"quiet":3600,'
				.. '"params":{"max_idle":5,"room":2147483648,"age":3,"wait":90.0,"user":"","simulate":true}}}]'):format(name)
			return select(2, world.ask("GET", "/api/decisions"))[1].inputsText
		end
		assert.same({ "params.age = 3", "params.max_idle = 5 s", "params.room = 2.0 GB", "params.simulate = true", "params.user = none", "params.wait = 1 min 30 s", "quiet = 1 h" },
			told "tidy")
		-- one that is not in force any more: what its params were nobody knows
		assert.equal("params.max_idle = 5", told("gone")[2])
	end)

	it("writes facts of kinds that no registry knows as they are", function() assert.same({ "x = true" }, texts("moon", '{"x":true}')) end)

	it("leaves inputs as they were recorded", function()
		world.decisions_json = '[{"seq":1,"inputs":{"list":[],"n":1.5}}]'
		local _, _, _, raw = world.ask("GET", "/api/decisions")
		assert.truthy(raw:find('"list":[]', 1, true) and raw:find('"n":1.5', 1, true), raw)
	end)
end)
