-- GET /api/usage: what is asked of the records, who may ask, values for spreadsheets.
local world = require "spec.lua.api.world"
local usage = require "dss.api.usage"

local DAY = 86400000

describe("usage", function()
	before_each(function()
		world.reset()
		world.usage_json = '[{"key":"ann","cpuSeconds":1.500,"byteSeconds":10,"aliveSeconds":2.000,"peakBytes":7,"tasks":1,"processes":1}]'
		world.keys.rows = { { id = "bob", user = "bob" } }
	end)

	it("asks for the last seven days by user", function()
		local status, rows = world.ask("GET", "/api/usage")
		assert.same({ 200, "ann" }, { status, rows[1].key })
		assert.same({ by = "user", limit = 1000, since_ms = 0, until_ms = 3001 }, world.was.usage)
	end)

	it("shows users what they used, and admins all", function()
		local bob = world.with "secret-of-bob"
		assert.are.equal(200, (world.ask("GET", "/api/usage?by=project", { fields = bob })))
		assert.are.equal("bob", world.was.usage.user)
		assert.are.equal(403, (world.ask("GET", "/api/usage?user=ann", { fields = bob })))
		world.ask("GET", "/api/usage?user=ann&project=P&kind=recipe")
		assert.same({ "ann", "P", "recipe" }, { world.was.usage.user, world.was.usage.project, world.was.usage.kind })
	end)

	it("refuses what is no key, no moment, no number", function()
		for query, text in pairs { ["by=usr"] = 'did you mean user', ["since=yesterday"] = "since: ", ["until=2026-02-31"] = "no day",
			["until=9223372036854775807"] = "until: 9223372036854775807 is beyond the year 9999", ["since=253402300800000"] = "beyond", ["limit=0"] = "limit",
			["since=2&until=1"] = "later", ["format=xml"] = "format", ["user=.."] = "user" } do
			local status, answer = world.ask("GET", "/api/usage?" .. query)
			assert.are.equal(400, status, query)
			assert.truthy(answer.message:find(text, 1, true), answer.message)
		end
	end)

	it("understands so long ago, a day and milliseconds", function()
		assert.are.equal(10 * DAY, usage.moment("1d", 11 * DAY))
		assert.are.equal(0, usage.moment("20d", 11 * DAY))
		assert.are.equal(1234, usage.moment("1234", 1))
		assert.are.equal(os.time { year = 2026, month = 1, day = 31, hour = 0 } * 1000, usage.moment("2026-01-31", 1))
		for _, text in ipairs { "", "x", "1e3", "0x10", "-1", "2026-13-01" } do assert.is_nil((usage.moment(text, 1)), text) end
	end)

	it("writes values that no spreadsheet runs, with quotes where they are needed", function()
		local text = usage.csv({ { key = "=1+1", cpuSeconds = 1.5, tasks = 2 }, { key = 'a,"b"', cpuSeconds = 0.25 } }, "user")
		assert.are.equal("user,cpuSeconds,byteSeconds,aliveSeconds,peakBytes,tasks,processes\r\n'=1+1,1.5,,,,2,\r\n\"a,\"\"b\"\"\",0.25,,,,,\r\n", text)
		local status, _, _, raw = world.ask("GET", "/api/usage?format=csv&by=process")
		assert.are.equal(200, status)
		assert.matches("^process,cpuSeconds,.*,kind,user,project,pool,name,startedAt,endedAt,cause\r\nann,1.5,", raw)
	end)
end)
