-- projects made and removed over the API: what is asked for, what is written, who may.
local world = require "spec.lua.api.world"
local making = require "dss.api.making"
local json = world.json

describe("making projects", function()
	before_each(function()
		world.reset()
		world.keys.rows = { { id = "ann", user = "ann" }, { id = "bob", user = "bob" } }
		world.jobs.change_why, world.jobs.is_there = nil, nil
		world.jobs.list = function(_, _, _, fn) fn(world.jobs_rows or "[]") end
		world.jobs_rows = nil
		world.settings.drop = function(key, fn)
			if world.settings.drop_fails then return fn(nil, "the disk is full") end
			for name in pairs(world.settings.rows) do
				if name:sub(1, #key + 1) == key .. "/" then world.settings.rows[name] = nil end
			end
			fn(true)
		end
		world.jobs.projects = { P = { "good", json.encode { key = "P", owner = "ann", rights = { write = { "bob" } }, webapps = {} } }, BAD = { "bad", '{"errors":[]}' } }
	end)

	local function ask(login, method, path, body)
		return world.ask(method, "/public/api/projects" .. path, { fields = login and world.with("secret-of-" .. login), body = body })
	end

	it("writes what was said as a file that says nothing else", function()
		local hostile = '" } os.execute("x") --[[ \\ \n\0'
		local text = making.file { name = hostile, owner = "ann", line = "", tags = { hostile } }
		local said
		assert(load(text, "=file", "t", { project = function(t) said = t end }))()
		assert.same({ name = hostile, owner = "ann", tags = { hostile }, recipes = {} }, said)
	end)

	it("asks for a key that can be a folder, and is for admins", function()
		assert.are.equal(403, (ask("ann", "POST", "/", { projectKey = "NEW", name = "x" })))
		for body, words in pairs {
			["{}"] = '"projectKey" is missing', ['{"projectKey":"a"}'] = "capitals", ['{"projectKey":"../X"}'] = "capitals", ["[]"] = "object",
			['{"projectKey":"A","owner":"a b"}'] = "no login", ['{"projectKey":"A","tags":"x"}'] = "tags", ['{"projectKey":"A","name":"a\\nb"}'] = "one line",
			['{"projectKey":"A","permissions":[{"group":"g"}]}'] = "groups",
		} do
			local status, answer = ask(nil, "POST", "/", body)
			assert.are.equal(400, status, body)
			assert.truthy(answer.message:find(words, 1, true), answer.message)
			assert.is_nil(world.was.change)
		end
		local status, text = ask(nil, "POST", "/", { projectKey = "NEW", name = "x", settings = { a = 1 }, description = "é" })
		assert.same({ 200, "Project NEW was made\n" }, { status, text })
		assert.truthy(world.was.change[2]:find('about = "é"', 1, true), world.was.change[2])
		assert.same({ a = 1 }, json.decode(world.settings.rows["NEW/settings"].json).set)
	end)

	it("gives a new project nothing that was set of one before it, whose folder was removed by hand", function()
		local old = json.encode { set = { owner = "eve", permissions = json.array { { user = "eve", writeProjectContent = true } } } }
		world.settings.rows["NEW/permissions"] = { key = "permissions", by = "eve", at_ms = 1, json = old }
		world.settings.drop_fails = true
		assert.are.equal(503, (ask(nil, "POST", "/", { projectKey = "NEW", owner = "ann" })))
		assert.is_nil(world.was.change) -- nothing was made that would be another's
		world.settings.drop_fails = nil
		world.jobs.is_there, world.jobs.change_why = true, "File exists"
		world.jobs.projects.NEW = { "good", json.encode { key = "NEW", owner = "ann" } }
		assert.are.equal(409, (ask(nil, "POST", "/", { projectKey = "NEW", owner = "ann" })))
		assert.is_table(world.settings.rows["NEW/permissions"]) -- it is there: what was set stays
		world.jobs.is_there, world.jobs.change_why, world.jobs.projects.NEW = nil, nil, nil
		assert.are.equal(200, (ask(nil, "POST", "/", { projectKey = "NEW", owner = "ann" })))
		assert.is_nil(world.settings.rows["NEW/permissions"])
	end)

	it("tells that there is such a project already, and that it could not be made", function()
		world.jobs.change_why, world.jobs.is_there = "File exists", true
		assert.are.equal(409, (ask(nil, "POST", "/", { projectKey = "P", name = "x" })))
		world.jobs.is_there = false
		assert.are.equal(503, (ask(nil, "POST", "/", { projectKey = "P", name = "x" })))
	end)

	it("removes for the owner and admins, keeps data and logs unless told, and forgets what was set", function()
		world.settings.drop = function(key, fn)
			world.was.drop = key
			fn(true)
		end
		assert.are.equal(403, (ask("bob", "DELETE", "/P")))
		assert.are.equal(404, (ask("ann", "DELETE", "/NONE")))
		assert.are.equal(404, (ask("ann", "DELETE", "/BAD")))
		local status, answer = ask("ann", "DELETE", "/P?clearManagedDatasets=False&wait=True")
		assert.same({ 200, true }, { status, answer.hasResult })
		assert.same({ P = true, n = nil }, { [world.was.change[1]] = world.was.change[3] })
		assert.are.equal("P", world.was.drop)
		assert.is_nil(world.was.forget_logs)
		ask(nil, "DELETE", "/BAD?clearManagedDatasets=True&clearJobAndScenarioLogs=True")
		assert.is_false(world.was.change[3])
		assert.are.equal("BAD", world.was.forget_logs)
	end)

	it("refuses while jobs run, and names them", function()
		world.jobs_rows = '[{"stableState":false,"def":{"id":"Build_x"}},{"stableState":true,"def":{"id":"old"}}]'
		local status, answer = ask("ann", "DELETE", "/P")
		assert.are.equal(409, status)
		assert.truthy(answer.message:find("jobs Build_x;", 1, true), answer.message)
		assert.is_nil(world.was.change)
	end)
end)
