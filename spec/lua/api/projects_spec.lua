-- projects over the API: what project.lua says, what is laid over it, who may set what.
local world = require "spec.lua.api.world"
local json = world.json

local FILE = {
	key = "P", name = "Sales", owner = "carol", about = "a line", rights = { read = { "dave" }, run = { "erin" }, write = { "will" } },
	variables = { year = 2025, region = "north" }, tags = { "demo" }, recipes = {}, datasets = {}, webapps = {}, models = {},
}

describe("projects", function()
	before_each(function()
		world.reset()
		world.keys.rows = {}
		for i, login in ipairs { "carol", "dave", "erin", "will", "stranger" } do world.keys.rows[i] = { id = login, user = login } end
		world.jobs.projects = { P = { "good", json.encode(FILE) } }
		world.jobs.keys = function() return { "P" } end
	end)
	after_each(function() world.jobs.keys = function() return {} end end)

	local function ask(login, method, path, body)
		return world.ask(method, "/public/api/projects/" .. path, { fields = login and world.with("secret-of-" .. login), body = body })
	end

	it("give back the variables that were PUT, and follow the file where they were left as it has them", function()
		assert.are.equal(200, (ask("will", "PUT", "P/variables/", { standard = { year = 2026, region = "north", extra = { 1, 2 } }, ["local"] = { me = "x" } })))
		local _, got = ask("dave", "GET", "P/variables/")
		assert.same({ standard = { year = 2026, region = "north", extra = { 1, 2 } }, ["local"] = { me = "x" } }, got)
		assert.same({ standard = { year = 2026, extra = { 1, 2 } }, removed = {}, ["local"] = { me = "x" } }, json.decode(world.settings.rows["P/variables"].json))
		local later = json.decode(json.encode(FILE))
		later.variables = { year = 2030, region = "south", new = true }
		world.jobs.projects.P[2] = json.encode(later)
		assert.same({ year = 2026, region = "south", new = true, extra = { 1, 2 } }, (select(2, ask("dave", "GET", "P/variables"))).standard)
	end)

	it("take a variable out that a PUT leaves out, and keep nothing where it says what the file says", function()
		ask("will", "PUT", "P/variables", '{"standard":{"year":2025},"local":{}}')
		assert.same({ year = 2025 }, (select(2, ask("dave", "GET", "P/variables"))).standard)
		ask("will", "PUT", "P/variables", '{"standard":{"year":2025,"region":"north"},"local":{}}')
		assert.is_nil(world.settings.rows["P/variables"])
		assert.same({ year = 2025, region = "north" }, (select(2, ask("dave", "GET", "P/variables"))).standard)
	end)

	it("refuse what are no variables, naming what is wrong", function()
		for body, text in pairs {
			["[]"] = "has to be a JSON object", ["{"] = "line 1", ['{"standard":{}}'] = '"local" is missing', ['{"standard":[1],"local":{}}'] = '"standard": has to be an object',
			['{"standard":{},"local":{},"standart":{}}'] = 'did you mean "standard"', ['{"standard":{"":1},"local":{}}'] = '"standard"',
		} do
			local status, answer = ask("will", "PUT", "P/variables", body)
			assert.are.equal(400, status, body)
			assert.truthy(answer.message:find(text, 1, true), body .. ": " .. answer.message)
		end
		assert.is_nil(next(world.settings.rows))
	end)

	it("let those with the right write, and hide the project from who may not see it", function()
		local body = { standard = {}, ["local"] = {} }
		assert.are.equal(403, (ask("dave", "PUT", "P/variables", body)))
		assert.are.equal(403, (ask("erin", "PUT", "P/metadata", { label = "x" })))
		assert.are.equal(404, (ask("stranger", "PUT", "P/variables", body)))
		for _, login in ipairs { "will", "carol" } do assert.are.equal(200, (ask(login, "PUT", "P/variables", body))) end
		assert.are.equal(200, (ask(nil, "PUT", "P/variables", body)))
	end)

	it("show the metadata that was set in the list of projects, and leave alone what a PUT left out", function()
		assert.are.equal(200, (ask("will", "PUT", "P/metadata", { label = "Sales 2", tags = { "new" }, checklists = { checklists = {} } })))
		local _, items = world.ask("GET", "/dip/publicapi/projects/?includeLocation=True&tags=new,other")
		assert.are.equal(1, #items)
		assert.are.equal("Sales 2", items[1].name)
		assert.are.equal("a line", items[1].shortDesc)
		assert.same({ "new" }, items[1].tags)
		assert.same({}, items[1].projectLocation)
		assert.are.equal("will", items[1].versionTag.lastModifiedBy.login)
		assert.same({}, (select(2, world.ask("GET", "/public/api/projects/?tags=demo"))))
		local _, m = ask("dave", "GET", "P/metadata")
		assert.are.equal("Sales 2", m.label)
		assert.are.equal("a line", m.description)
	end)

	it("let its owner give rights and take them, and nobody give the project away but an admin", function()
		local _, p = ask("carol", "GET", "P/permissions")
		assert.are.equal("carol", p.owner)
		assert.are.equal(403, (ask("will", "PUT", "P/permissions", p)))
		p.permissions = { { user = "stranger", readProjectContent = true, runScenarios = true } }
		assert.are.equal(200, (ask("carol", "PUT", "P/permissions", p)))
		assert.are.equal(200, (ask("stranger", "GET", "P")))
		assert.are.equal(403, (ask("stranger", "PUT", "P/tags", { tags = {} })))
		assert.are.equal(404, (ask("dave", "GET", "P")))
		assert.same(p, (select(2, ask("carol", "GET", "P/permissions"))))
		p.owner = "will"
		assert.are.equal(403, (ask("carol", "PUT", "P/permissions", p)))
		assert.are.equal(200, (ask(nil, "PUT", "P/permissions", p)))
		assert.are.equal(404, (ask("carol", "GET", "P")))
		assert.are.equal("will", (select(2, ask(nil, "GET", "P"))).ownerLogin)
	end)

	it("refuse rights of groups, since there are none, and logins that are none", function()
		for body, text in pairs {
			['{"permissions":[{"group":"g","readProjectContent":true}]}'] = "groups", ['{"permissions":[{"user":"a b"}]}'] = "a login",
			['{"permissions":{"user":"a"}}'] = "has to be a list", ['{"permissions":[{"user":"a","admin":1}]}'] = "admin has to be true or false",
		} do
			local status, answer = ask("carol", "PUT", "P/permissions", body)
			assert.are.equal(400, status, body)
			assert.truthy(answer.message:find(text, 1, true), answer.message)
		end
	end)

	it("give back tags and settings that were PUT", function()
		assert.same({ tags = { demo = { color = "#4285F4" } } }, (select(2, ask("dave", "GET", "P/tags/"))))
		assert.are.equal(200, (ask("will", "PUT", "P/tags", { tags = { mine = { color = "#000" } } })))
		assert.same({ tags = { mine = { color = "#000" } } }, (select(2, ask("dave", "GET", "P/tags"))))
		local _, all = ask("will", "GET", "P/settings")
		all.settings.codeEnvs.python.mode, all.more = "EXPLICIT_ENV", { a = 1 }
		assert.are.equal(200, (ask("will", "PUT", "P/settings", all)))
		assert.same(all, (select(2, ask("dave", "GET", "P/settings"))))
	end)

	it("tell who set what last, and that nobody stars a project", function()
		ask("will", "PUT", "P/tags", { tags = { mine = { color = "#000" } } })
		local _, t = ask("dave", "GET", "P/timeline?itemCount=5")
		assert.are.equal(1, #t.items)
		assert.are.equal("will", t.items[1].user)
		assert.same({ { login = "carol" }, { login = "will" } }, t.allContributors)
		assert.are.equal("carol", t.createdBy.login)
		assert.same({ starCount = 0, watchCount = 0 }, (select(2, ask("dave", "GET", "P/interest"))))
		assert.are.equal(400, (ask("dave", "GET", "P/timeline?itemCount=x")))
	end)

	it("resolve variables typed where that is asked for", function()
		ask("dave", "GET", "P/variables-resolved?typed=true")
		assert.same({ "P", true }, world.was.variables)
		ask("dave", "GET", "P/variables-resolved?typed=False")
		assert.same({ "P", false }, world.was.variables)
	end)

	it("keep the instance's variables for admins", function()
		assert.are.equal(200, (world.ask("PUT", "/public/api/admin/variables/", { body = { a = 1 } })))
		assert.same({ a = 1 }, (select(2, world.ask("GET", "/public/api/admin/variables/"))))
		assert.are.equal(403, (world.ask("GET", "/public/api/admin/variables", { fields = world.with "secret-of-will" })))
	end)

	it("say so where the store takes nothing", function()
		world.settings.refusal = "the disk is full"
		local status, answer = ask("will", "PUT", "P/tags", { tags = {} })
		assert.are.equal(503, status)
		assert.truthy(answer.message:find("disk is full", 1, true))
	end)
end)
