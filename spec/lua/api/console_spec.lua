-- Who gets a prompt: admins, over the unix socket alone.
local world = require "spec.lua.api.world"

describe("POST /api/console", function()
	before_each(world.reset)
	local function ask(o) return world.ask("POST", o.target or "/api/console", o) end

	it("takes a line of an admin at the socket, and knows who that is", function()
		local status, a = ask { fields = {}, peer = "unix", uid = 0, body = { line = "for i = 1, 2 do\nend", session = "s1", sudo = "bob" } }
		assert.equal(200, status)
		assert.same({ session = "s1", output = "42", prompt = "dss> ", isError = false, isIncomplete = false }, a)
		assert.same({ session = "s1", uid = 0, who = "admin (uid 0; sudo says bob)", line = "for i = 1, 2 do\nend" }, world.was.console)
	end)

	it("is refused over TCP with an admin's key, with what to do", function()
		local status, a = ask { body = { line = "1" } }
		assert.equal(403, status)
		assert.truthy(a.message:find("dssctl repl", 1, true))
		assert.is_nil(world.was.console)
	end)

	it("is refused to others, and to what lives in our boxes", function()
		assert.equal(403, (ask { fields = {}, peer = "unix", uid = 4711, login = "bob", body = { line = "1" } }))
		assert.equal(403, (ask { fields = {}, peer = "unix", uid = 0, is_boxed = true, body = { line = "1" } }))
		assert.equal(403, (ask { peer = "unix", uid = 4711, is_boxed = true, body = { line = "1" } }))
		assert.equal(403, (ask { fields = { ["x-dku-proxyuser"] = "bob" }, peer = "unix", uid = 0, body = { line = "1" } }))
		assert.is_nil(world.was.console)
	end)

	it("names what is wrong with a body", function()
		for _, body in ipairs { {}, { line = 1 }, { line = "1", sesion = "x" }, { line = ("x"):rep(70000) }, "[", "" } do
			assert.equal(400, (ask { fields = {}, peer = "unix", uid = 0, body = body }))
		end
		world.console_refusal = "not_found"
		assert.equal(404, (ask { fields = {}, peer = "unix", uid = 0, body = { line = "1", session = "gone" } }))
		world.console_refusal = nil
	end)

	it("completes what stands before the cursor", function()
		local target = "/api/console/complete"
		local status, a = ask { target = target, fields = {}, peer = "unix", uid = 0, body = { session = "s1", line = "po", cursor = 2 } }
		assert.equal(200, status)
		assert.same({ from = 2, words = { "pool", "pools" } }, { from = a.from, words = { table.unpack(a.words) } })
		assert.equal(400, (ask { target = target, fields = {}, peer = "unix", uid = 0, body = { session = "s1", line = "po", cursor = 3 } }))
	end)
end)
