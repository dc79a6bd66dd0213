-- PUT /api/policies and POST /api/policies/rollback: another set over the API: looked at first, written whole, answered once it is in force.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local json = require "t_json"
local work = require "spec.daemon.work"

local NAME = "policies/10-pools.lua"
local good = 'pool "fek" {\n  kernel = python {},\n  limits = { memory = "256m" },\n  warm = { min = 0, max = 1 }, max = %d,\n}\n'

local node

local function version() return assert(tonumber(select(2, node:http("GET", "/api/policies/state")).version)) end
local function put(files, more)
	local body = { files = json.array(files), base = version() }
	for k, v in pairs(more or {}) do body[k] = v end
	local status, a = node:http("PUT", "/api/policies", body)
	return status, a
end
local function most() return select(2, node:http("GET", "/api/pools"))[1].max end
local function folder() return (Instance.run { "sh", "-c", "echo $(ls -A " .. Instance.quote(node.dir) .. "/policies)" }) end

describe("policies over the API", function()
	setup(function()
		node = Instance.new { policies = { ["10-pools.lua"] = good:format(2) } }
		node:start()
	end)
	teardown(function() node:remove() end)

	it("are in force once they are answered, with who did it and why", function()
		local before = version()
		local status, a = put({ { name = NAME, text = good:format(3) } }, { note = "more of them" })
		assert.equal(200, status, json.encode(a))
		assert.same({ version = before + 1 }, a)
		assert.equal(3, most())
		assert.equal(good:format(3), node:read(NAME))
		local row = select(2, node:http("GET", "/api/policies/versions?limit=1"))[1]
		assert.same({ before + 1, "admin", "more of them" }, { row.version, row.by, row.note })
		if work.is_root then assert.equal("dss dss 640", (Instance.run { "stat", "-c", "%U %G %a", node.dir .. "/" .. NAME }:gsub("%s+$", ""))) end
		assert.equal("10-pools.lua", folder())
		local facts = Instance.run { "sh", "-c", ("timeout 20 curl -sN --max-time 2 -H 'Authorization: Bearer %s' 'http://127.0.0.1:%d/api/events?since=0-0'; true"):format(
			node:read("config/admin.key"):match "%S+", node:port()) }
		assert.truthy(facts:find '"policies.taken".-"by":"admin"', facts)
	end)

	it("may be several files at once, new ones, and ones that go", function()
		local status, a = put { { name = "20-more.lua", text = "-- nothing yet\n" }, { name = NAME, text = good:format(4) } }
		assert.equal(200, status, json.encode(a))
		assert.equal("10-pools.lua 20-more.lua", folder())
		assert.equal(4, most())
		status, a = put { { name = "policies/20-more.lua", remove = true } }
		assert.equal(200, status, json.encode(a))
		assert.equal("10-pools.lua", folder())
	end)

	it("with a mistake are refused with file and line, and nothing is written", function()
		local before, text = version(), node:read(NAME)
		local status, a = put { { name = "15-more.lua", text = "\n\npool = 5\n" }, { name = NAME, text = good:format(5) } }
		assert.equal(400, status)
		assert.same({ "policies/15-more.lua", 3 }, { a.errors[1].file, a.errors[1].line })
		assert.same({ before, text, "10-pools.lua" }, { version(), node:read(NAME), folder() })
	end)

	it("of another base than what is in force are a conflict", function()
		local status, a = put({ { name = NAME, text = good:format(6) } }, { base = 999 })
		assert.equal(409, status)
		assert.equal(version(), a.version)
		assert.truthy(a.message:find("somebody else", 1, true), a.message)
	end)

	it("are not written over files that are not in force, unless that is meant: then they are kept", function()
		node:write("policies/30-open.lua", "pool = 5\n")
		helper.wait_for("the refusal of what was saved", function()
			local _, state = node:http("GET", "/api/policies/state")
			return #state.errors > 0, json.encode(state)
		end)
		local status, a = put { { name = NAME, text = good:format(7) } }
		assert.equal(409, status)
		assert.same({ "policies/30-open.lua" }, a.files)
		assert.truthy(node:read(NAME) ~= good:format(7))
		status, a = put({ { name = NAME, text = good:format(7) } }, { overwrite = true })
		assert.equal(200, status, json.encode(a))
		assert.truthy(a.kept:find "^policies/%.before%-", json.encode(a))
		assert.equal("pool = 5\n", node:read(a.kept .. "/30-open.lua"))
		assert.is_nil(node:read "policies/30-open.lua")
		assert.equal(7, most())
	end)

	it("are kept each time, also twice in one second", function()
		local seen = {}
		for i = 1, 3 do
			node:write("policies/30-open.lua", ("pool = %d\n"):format(i))
			local status, a = put({}, { overwrite = true })
			assert.equal(200, status, json.encode(a))
			assert.is_nil(seen[a.kept])
			seen[a.kept] = true
			assert.equal(("pool = %d\n"):format(i), node:read(a.kept .. "/30-open.lua"))
		end
	end)

	it("are kept the last five times, and no more", function()
		local last
		for i = 1, 7 do
			node:write("policies/30-open.lua", ("pool = %d\n"):format(i))
			local status, a = put({}, { overwrite = true })
			assert.equal(200, status, json.encode(a))
			last = a.kept
		end
		assert.equal("5", (Instance.run { "sh", "-c", "ls -d " .. node.dir .. "/policies/.before-* | wc -l" }))
		assert.equal("pool = 7\n", node:read(last .. "/30-open.lua"))
	end)

	it("are read by root as by the folder's owner: a link leads him nowhere else", function()
		if not work.is_root then return pending "needs root" end
		local secret = os.tmpname()
		helper.write(secret, "-- root's alone")
		os.execute(("chmod 600 %s && ln -s %s %s/policies/99-link.lua"):format(secret, secret, Instance.quote(node.dir)))
		local out, why, code = node:ctl("policy", "check")
		os.execute(("rm %s %s/policies/99-link.lua"):format(secret, Instance.quote(node.dir)))
		assert.equal(1, code, out .. why)
		assert.truthy(why:find("99%-link.lua.-Permission denied"), why)
		os.execute(("mkfifo %s/policies/99-pipe.lua"):format(Instance.quote(node.dir)))
		why = select(2, node:ctl("policy", "check"))
		os.execute(("rm %s/policies/99-pipe.lua"):format(Instance.quote(node.dir)))
		assert.truthy(why:find("99%-pipe.lua: it is no plain file"), why)
	end)

	it("go back to a version", function()
		local first = version()
		assert.equal(200, (put { { name = NAME, text = good:format(8) } }))
		local status, a = node:http("POST", "/api/policies/rollback", { version = first })
		assert.equal(200, status, json.encode(a))
		assert.same({ first + 2, 7 }, { a.version, most() })
		local row = select(2, node:http("GET", "/api/policies/versions?limit=1"))[1]
		assert.equal(("rollback to version %d"):format(first), row.note)
		assert.equal(404, (node:http("POST", "/api/policies/rollback", { version = 9999 })))
		assert.equal(400, (node:http("POST", "/api/policies/rollback", { version = "x" })))
	end)

	it("have names that are names and bounds", function()
		for _, name in ipairs { "../x.lua", "a/b.lua", ".x.lua", "x", "x y.lua", "ä.lua", ("x"):rep(60) .. ".lua", "policies/../../x.lua" } do
			local status, a = put { { name = name, text = "" } }
			assert.equal(400, status, name)
			assert.truthy(a.message:find("is called by letters", 1, true), a.message)
		end
		for _, files in ipairs { { { name = "x.lua" } }, { { name = "x.lua", text = "", remove = true } }, { { name = "x.lua", remove = true } },
			{ { name = "x.lua", text = "" }, { name = "policies/x.lua", text = "" } }, { { name = "x.lua", text = ("-"):rep(1 << 20) } }, { { name = "x.lua", txt = "" } } } do
			assert.equal(400, (put(files)))
		end
		assert.equal(400, (node:http("PUT", "/api/policies", { files = json.array { { name = "x.lua", text = "" } } })))
	end)

	it("are for admins with a key: a cookie is none", function()
		local bob = node:ctl("key", "add", "bob"):match "%S+"
		assert.equal(403, (node:http("PUT", "/api/policies", { files = json.array {}, base = 1 }, { key = bob })))
		assert.equal(403, (node:http("POST", "/api/policies/rollback", { version = 1 }, { key = bob })))
		local out = Instance.run { "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-X", "PUT", "-H", "Cookie: key=" .. node:read("config/admin.key"):match "%S+",
			"-H", "Cookie: authorization=Bearer", "-d", '{"files":[],"base":1}', ("http://127.0.0.1:%d/api/policies"):format(node:port()) }
		assert.equal("401", out)
	end)

	it("are not ours to write where the folder is not: said so, and nothing is tried", function()
		if not work.is_root then return pending "needs root" end
		local policies = Instance.quote(node.dir .. "/policies")
		assert(os.execute("chown root " .. policies))
		local status, a = put { { name = NAME, text = good:format(9) } }
		local _, state = node:http("GET", "/api/policies/state")
		assert(os.execute("chown dss " .. policies))
		assert.equal(403, status, json.encode(a))
		assert.truthy(a.message:find("may not write there", 1, true), a.message)
		assert.is_false(state.writable)
		assert.equal(7, most())
	end)
end)
