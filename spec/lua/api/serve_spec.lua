local world = require "spec.lua.api.world"
local routes = require "dss.api.routes"
local json, fleet, ask, KEY = world.json, world.fleet, world.ask, world.KEY

local function submit(body) return ask("POST", "/api/futures", { body = body }) end

describe("the API", function()
	before_each(world.reset)

	describe("asks who it is", function()
		it("and takes the key as Bearer, or as the user of Basic with or without a password", function()
			assert.equal(200, (ask("GET", "/api/pools")))
			assert.equal(200, (ask("GET", "/api/pools", { fields = { authorization = "bearer " .. KEY } })))
			local basic = { authorization = "Basic c2VjcmV0LW9mLXRoZS1hZG1pbjo=" }       -- KEY:
			assert.equal(200, (ask("GET", "/api/pools", { fields = basic })))
			assert.equal(200, (ask("GET", "/api/pools", { fields = { authorization = "Basic c2VjcmV0LW9mLXRoZS1hZG1pbjpw" } })))     -- KEY:p
			-- Basic is what a browser adds by itself, whoever's page asks
			local function delete(more)
				local fields = { host = "n:1", authorization = basic.authorization }
				for k, v in pairs(more) do fields[k] = v end
				return (ask("DELETE", "/api/futures/none", { fields = fields }))
			end
			for _, more in ipairs { {}, { ["sec-fetch-site"] = "same-origin" }, { ["sec-fetch-site"] = "none" }, { origin = "http://n:1" } } do assert.equal(404, delete(more)) end
			for _, more in ipairs { { ["sec-fetch-site"] = "same-site" }, { origin = "http://n:4" }, { origin = "https://n:1" }, { origin = "null" },
				{ origin = "http://o:1", ["x-forwarded-host"] = "o:1" } } do assert.equal(403, delete(more)) end
			assert.equal(404, delete { host = "n:80", origin = "http://n" })
			assert.equal(404, delete { authorization = "Bearer " .. KEY, origin = "http://n:4" })
		end)
		it("and answers 401 to no key, a wrong one, a broken one and a ticket", function()
			for _, fields in ipairs { {}, { authorization = "Bearer x" }, { authorization = "Basic !!!!" }, { authorization = "Digest x" }, { authorization = "Basic" }, { ["x-dku-apiticket"] = "t" } } do
				local status, body, more = ask("GET", "/api/pools", { fields = fields })
				assert.equal(401, status)
				assert.equal("dss.exceptions.NotAuthenticatedException", body.errorType)
				assert.matches("Bearer", more["WWW-Authenticate"])
			end
		end)
		it("and knows root and the control user by the admin socket as admins, others by their login", function()
			assert.equal(200, (ask("GET", "/public/api/futures/?allUsers=true", { fields = {}, uid = 0 })))
			assert.equal(200, (ask("GET", "/public/api/futures/?allUsers=true", { fields = {}, uid = 1234 })))
			assert.equal(403, (ask("GET", "/public/api/futures/?allUsers=true", { fields = {}, uid = 1235, login = "bob" })))
			assert.equal(200, (ask("GET", "/api/futures/bobs", { fields = {}, uid = 1235, login = "bob" })))
			assert.equal(404, (ask("GET", "/api/futures/mine", { fields = {}, uid = 1235, login = "bob" })))
		end)
		it("and refuses there who has no login, a reserved one, or lives in a box, root and control user too", function()
			assert.equal(403, (ask("GET", "/api/pools", { fields = {}, uid = 1235 })))
			assert.equal(403, (ask("GET", "/api/pools", { fields = {}, uid = 1235, login = "keeper" })))
			for _, uid in ipairs { 0, 1234, 1235 } do
				local status, body = ask("GET", "/api/pools", { fields = {}, uid = uid, is_boxed = true, login = "bob" })
				assert.equal(403, status)
				assert.matches("boxes need a key", body.message, 1, true)
			end
			assert.equal(200, (ask("GET", "/api/pools", { uid = 1234, is_boxed = true })))
		end)
		it("and takes no wrong key for the right uid", function()
			assert.equal(401, (ask("GET", "/api/pools", { fields = world.with "wrong", uid = 0 })))
		end)
		it("and hears whom nginx names from nginx alone, if that login has a key in force", function()
			world.keys.rows = { { id = "k1", user = "bob" }, { id = "k2", user = "old", revoked_ms = 5 } }
			local function as(login, more)
				local fields = { ["x-remote-user"] = login }
				for k, v in pairs(more or {}) do fields[k] = v end
				return { fields = fields, is_passed = true, peer = "nginx" }
			end
			assert.equal(200, (ask("GET", "/api/pools", as "bob")))
			assert.equal(403, (ask("GET", "/api/policies", as "bob")))
			assert.equal(200, (ask("GET", "/api/policies", as "boss")))
			for _, login in ipairs { "old", "eve", "admin", "root", "b b", "", "bob:", ("x"):rep(65) } do assert.equal(403, (ask("GET", "/api/pools", as(login))), login) end
			assert.equal(401, (ask("GET", "/api/pools", { fields = {}, is_passed = true })))
			-- from anybody else
			assert.equal(401, (ask("GET", "/api/pools", { fields = { ["x-remote-user"] = "bob" } })))
			assert.equal(403, (ask("GET", "/api/policies", { fields = { ["x-remote-user"] = "boss" }, uid = 1235, login = "bob" })))
			-- a key says more than nginx
			assert.equal(401, (ask("GET", "/api/pools", as("bob", { authorization = "Bearer wrong" }))))
			assert.equal(403, (ask("DELETE", "/api/futures/x", as("bob", { ["sec-fetch-site"] = "same-site" }))))
			assert.equal(403, (ask("DELETE", "/api/futures/x", as("bob", { origin = "https://other" }))))
			assert.equal(404, (ask("DELETE", "/api/futures/none", as("bob", { origin = "https://n:1", ["x-forwarded-proto"] = "https", ["x-forwarded-host"] = "n:1" }))))
		end)
		it("and opens nothing local to what nginx passes on, and tells what is wrong with its configuration", function()
			assert.equal(401, (ask("GET", "/metrics", { fields = {}, peer = "unix", is_passed = true })))
			world.nginx = "conf:3: no good"
			local _, h = ask("GET", "/health", { fields = {} })
			assert.same({ "warning", "its configuration was refused; an admin is told why" }, { h.status, h.nginx.error })
			assert.equal("conf:3: no good", select(2, ask("GET", "/health")).nginx.error)
			world.nginx = nil
		end)
		it("but not for /health and /", function()
			assert.equal(200, (ask("GET", "/health", { fields = {} })))
			assert.matches("dssd 9.9", select(4, ask("GET", "/", { fields = {} })), 1, true)
		end)
		it("and lets an admin act for a user, with that user's rights alone", function()
			local as_bob = { authorization = "Bearer " .. KEY, ["x-dku-proxyuser"] = "bob" }
			assert.equal(200, (ask("GET", "/public/api/futures/bobs", { fields = as_bob })))
			assert.equal(404, (ask("GET", "/public/api/futures/mine", { fields = as_bob })))
			assert.equal(403, (ask("GET", "/public/api/futures/?allUsers=True", { fields = as_bob })))
			assert.equal(400, (ask("GET", "/api/pools", { fields = { authorization = "Bearer " .. KEY, ["x-dku-proxyuser"] = "b b" } })))
		end)
	end)

	describe("finds its routes", function()
		it("beneath both prefixes, with doubled and trailing slashes", function()
			for _, path in ipairs { "/public/api/futures/", "/dip/publicapi/futures", "//dip//publicapi/futures/", "/public/api/futures" } do
				assert.equal(200, (ask("GET", path)), path)
			end
		end)
		it("and answers 404 where there is none, 405 with Allow for another method", function()
			local status, body = ask("GET", "/nix")
			assert.equal(404, status)
			assert.equal("dss.exceptions.NotFoundException", body.errorType)
			assert.matches("does not exist", body.message)
			local code, _, more = ask("PUT", "/api/futures/x")
			assert.equal(405, code)
			assert.equal("GET, DELETE", more.Allow)
		end)
		it("and tells what each does in a line", function()
			for _, row in ipairs(routes.table) do
				assert.matches("^%u.*%.$", row[5])
				assert.is_truthy(({ open = true, user = true, admin = true, ["local"] = true })[row[3]])
				assert.is_function(row[4])
			end
		end)
	end)

	describe("takes a future", function()
		it("with all its keys, the payload as it came", function()
			local body = '{"type":"python", "payload" : {"n": 1.50, "callable":"a:b"}, "limits":{"memory":"2g"},"timeoutMs":1000,"retries":2,"priority":5,'
				.. '"tags":["a"],"title":"t","project":"P","pool":"fek","user":"bob","clientKey":"k"}'
			local status, answer = submit(body)
			assert.equal(200, status)
			assert.same({ jobId = "f1", hasResult = false, alive = true }, answer)
			assert.same({ owner = "bob", type = "python", pool = "fek", project = "P", title = "t", client_key = "k", payload = '{"n": 1.50, "callable":"a:b"}',
				memory_bytes = 2 << 30, timeout_ms = 1000, retries = 2, priority = 5, tags = '["a"]' }, world.was.submit)
		end)
		it("of its asker unless told otherwise, null counting as absent", function()
			assert.equal(200, (submit '{"type":"python","payload":{},"pool":null,"limits":null}'))
			assert.equal("admin", world.was.submit.owner)
			assert.equal(0, world.was.submit.memory_bytes)
		end)
		it("and names what is wrong with it", function()
			local cases = {
				{ "", "the body is empty; a JSON object is wanted" },
				{ "[]", "the body has to be a JSON object" },
				{ "{", "unable to read JSON: line 1, column 1" },
				{ '{"type":"python","type":"java","payload":{}}', "duplicate object key" },
				{ { type = "python", payload = json.object(), paylod = 1 }, 'unknown key "paylod", did you mean "payload"?' },
				{ { type = "python" }, '"payload" is missing' },
				{ { type = "python", payload = json.array() }, '"payload" has to be an object' },
				{ { type = "a b", payload = json.object() }, '"type" is no valid id' },
				{ { type = "python", payload = json.object(), limits = { memory = "1x" } }, 'limits.memory: unable to read size "1x": character 2' },
				{ { type = "python", payload = json.object(), limits = { cpu = 1 } }, 'unknown key "cpu" in limits' },
				{ { type = "python", payload = json.object(), retries = 1.5 }, '"retries" has to be a whole number from 0 to 100' },
				{ { type = "python", payload = json.object(), timeoutMs = 0 }, '"timeoutMs" has to be a whole number' },
				{ { type = "python", payload = json.object(), tags = { 1 } }, '"tags" has to be a list of texts' },
				{ { type = "python", payload = json.object(), tags = { ("x"):rep(101) } }, '"tags" has to be a list of texts of one line' },
				{ { type = "python", payload = json.object(), user = "all" }, '"user": all is no valid login' },
				{ { type = "python", payload = json.object(), title = "a\nb" }, '"title" has to be a text of one line' },
			}
			for _, c in ipairs(cases) do
				local status, body = submit(c[1])
				assert.equal(400, status)
				assert.matches(c[2], body.message, 1, true)
				assert.is_nil(world.was.submit)
			end
		end)
		it("for another user from an admin only", function()
			local status = ask("POST", "/api/futures", { body = '{"type":"python","payload":{},"user":"eve"}', fields = { authorization = "Bearer " .. KEY, ["x-dku-proxyuser"] = "bob" } })
			assert.equal(403, status)
		end)
		it("or says when it cannot now, with Retry-After", function()
			fleet.refusal = "unavailable"
			local status, body, more = submit '{"type":"python","payload":{}}'
			assert.equal(503, status)
			assert.equal("no room", body.message)
			assert.equal("2", more["Retry-After"])
		end)
	end)

	describe("shows a future", function()
		it("as the fleet writes it, with the result unless only peeked at", function()
			local status, _, _, raw = ask("GET", "/public/api/futures/mine?peek=False")
			assert.equal(200, status)
			assert.equal('{"jobId":"mine","alive":true}', raw)
			assert.same({ "mine", true }, world.was.get)
			ask("GET", "/public/api/futures/mine?peek=True")
			assert.same({ "mine", false }, world.was.get)
		end)
		it("that ended without a result as 422 with the reason, peeked at as its state", function()
			local status, body = ask("GET", "/public/api/futures/dead")
			assert.equal(422, status)
			assert.same({ errorType = "X", message = "gone" }, body)
			assert.equal(200, (ask("GET", "/public/api/futures/dead?peek=true")))
		end)
		it("after it has ended or the time is over", function()
			assert.equal(200, (ask("GET", "/api/futures/mine?peek=true&wait=2.5")))
			assert.same({ "mine", 3 }, world.was.wait)
			ask("GET", "/api/futures/mine?wait=1e9")
			assert.same({ "mine", 60 }, world.was.wait)
			world.was.wait = nil
			assert.equal(422, (ask("GET", "/api/futures/dead?wait=5")))
			assert.is_nil(world.was.wait)
			fleet.at_hand = true -- the same of those in memory, and without reading them before the wait
			world.was.get = nil
			local was = fleet.wait
			function fleet.wait(...)
				assert.is_nil(world.was.get)
				was(...)
			end
			assert.equal(200, (ask("GET", "/api/futures/mine?wait=7")))
			fleet.wait, world.was.wait = was, nil
			assert.equal(422, (ask("GET", "/api/futures/dead?wait=5")))
			assert.is_nil(world.was.wait)
			assert.equal(404, (ask("GET", "/api/futures/bobs?wait=9", { fields = { authorization = "Bearer " .. KEY, ["x-dku-proxyuser"] = "eve" } })))
			assert.is_nil(world.was.wait)
			fleet.at_hand = nil
			assert.equal(400, (ask("GET", "/api/futures/mine?wait=x")))
			assert.equal(400, (ask("GET", "/api/futures/mine?wait=-1")))
		end)
		it("to its owner and to admins; others are told that it does not exist", function()
			local eve = { authorization = "Bearer " .. KEY, ["x-dku-proxyuser"] = "eve" }
			for _, method in ipairs { "GET", "DELETE" } do
				local status, body = ask(method, "/public/api/futures/bobs", { fields = eve })
				assert.equal(404, status)
				assert.equal("Future bobs does not exist", body.message)
			end
			assert.is_nil(world.was.abort)
			assert.equal(404, (ask("GET", "/public/api/futures/bobs?wait=9", { fields = eve })))
			assert.is_nil(world.was.wait, "the time of the answer told that it is there")
		end)
		it("that nobody knows as 404, whatever its id looks like", function()
			assert.equal(404, (ask("GET", "/public/api/futures/none")))
			assert.equal(404, (ask("GET", "/public/api/futures/a%00b")))
		end)
	end)

	it("aborts a future and says whose act it was", function()
		local status, _, _, raw = ask("DELETE", "/public/api/futures/bobs")
		assert.equal(200, status)
		assert.equal("{}", raw)
		assert.same({ "bobs", "admin", true }, world.was.abort)
		ask("DELETE", "/dip/publicapi/futures/mine")
		assert.same({ "mine", "admin", false }, world.was.abort)
		world.was.abort = nil
		assert.equal(200, (ask("DELETE", "/public/api/futures/dead")))
		assert.is_nil(world.was.abort)
	end)

	it("lists own tasks, or everybody's to admins", function()
		ask("GET", "/public/api/futures/")
		assert.same({ "admin", 0 }, world.was.list)
		ask("GET", "/public/api/futures/?allUsers=True")
		assert.same({ "all", 0 }, world.was.list)
		ask("GET", "/api/tasks?ended=5")
		assert.same({ "all", 5 }, world.was.list)
		world.was.list = nil
		assert.equal("[]", select(4, ask("GET", "/public/api/futures/?withScenarios=True&withNotScenarios=False")))
		assert.is_nil(world.was.list)
	end)

	it("tells who lives in the boxes of recipes and webapps when asked, to those whose they are, within bounds", function()
		local asked = {}
		world.members = function(cgroup, pid, most)
			asked[#asked + 1] = { cgroup, pid, most }
			return { { pid = pid, name = "dss-logger" }, { pid = pid + 1, name = "java" } }, 70
		end
		fleet.processes_json = '[{"id":"backend","kind":"service","pid":2},{"id":"fek-1","kind":"kernel","pool":"fek","pid":3},' ..
			'{"id":"job-1","kind":"recipe","pid":4,"user":"bob","recipeType":"spark","cgroup":"/b/1"},{"id":"job-2","kind":"recipe","pid":8,"user":"eve","cgroup":"/b/2"},' ..
			'{"id":"job-3","kind":"recipe","pid":9,"user":"bob","exitedAt":5}]'
		local _, rows = ask("GET", "/api/processes?members=true")
		assert.are.same({ { "/b/1", 4, 64 }, { "/b/2", 8, 64 } }, asked)
		assert.are.same({ 5, 2, 70, "java" }, { #rows, #rows[3].members, rows[3].membersCount, rows[3].members[2].name })
		assert.truthy(rows[3].note:find("executors of a cluster are not shown", 1, true))
		assert.is_nil(rows[4].note)
		assert.is_nil(rows[1].members or rows[2].members or rows[5].members)
		assert.is_nil(select(2, ask("GET", "/api/processes"))[3].members)
		asked = {}
		assert.are.equal(4, #select(2, ask("GET", "/api/processes?members=true", { fields = world.with(KEY, { ["x-dku-proxyuser"] = "bob" }) })))
		assert.are.same({ { "/b/1", 4, 64 } }, asked)
		_, rows = ask("GET", "/api/processes?members=true&where=kind = recipe")
		assert.are.equal(70, rows[1].membersCount)
		assert.are.equal(400, (ask("GET", "/api/processes?members=maybe")))
		fleet.processes_json = nil
	end)

	it("lists every process to admins, and to others without those that work for somebody else", function()
		fleet.processes_json = '[{"id":"backend"},{"id":"fek-1"},{"id":"fek-2","user":"bob"},{"id":"fek-3","user":"eve","taskId":"x"}]'
		local function ids(fields)
			local out, _, rows = {}, ask("GET", "/api/processes", { fields = fields })
			for i, row in ipairs(rows) do out[i] = row.id end
			return out
		end
		assert.same({ "backend", "fek-1", "fek-2", "fek-3" }, ids())
		assert.same({ "backend", "fek-1", "fek-2" }, ids(world.with(KEY, { ["x-dku-proxyuser"] = "bob" })))
	end)

	it("says 503 where the keeper does not answer", function()
		local status, body = ask("GET", "/api/processes")
		assert.equal(503, status)
		assert.equal("the keeper does not answer", body.message)
	end)

	it("tells in /health when policies were not taken", function()
		local _, body = ask("GET", "/health")
		assert.equal("ok", body.status)
		assert.equal(2000, body.upMs)
		assert.is_true(body.policies.taken)
		world.policies = { true, "policies/10-pools.lua:4: no" }
		_, body = ask("GET", "/health")
		assert.equal("warning", body.status)
		assert.equal("policies/10-pools.lua:4: no", body.policies.error)
		_, body = ask("GET", "/health", { fields = {} })
		assert.equal("policies/10-pools.lua:4: refused; an admin is told why", body.policies.error)
	end)
end)
