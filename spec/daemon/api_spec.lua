-- The API over real HTTP: conventions of the public API and futures, as clients written against it see them.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local json = require "t_json"
local work = require "spec.daemon.work"

local node, tasks, key, port

--- curl with these words behind the address. status, body (text), headers (lower case).
local function curl(path, ...)
	local base = os.tmpname()
	local out = Instance.run_apart { "curl", "-sS", "--path-as-is", "--globoff", "--max-time", "30", "--noproxy", "*", "-o", base .. ".body", "-D",
		base .. ".head", "-w", "%{http_code}", ("http://127.0.0.1:%d%s"):format(port, path), ... }
	local body, headers = helper.read(base .. ".body") or "", {}
	for name, value in (helper.read(base .. ".head") or ""):gmatch "([%w-]+): ([^\r\n]*)" do headers[name:lower()] = value end
	for _, suffix in ipairs { "", ".body", ".head" } do os.remove(base .. suffix) end
	return tonumber(out:match "%d+") or 0, body, headers
end

local function as_admin(path, ...) return curl(path, "-H", "Authorization: Bearer " .. key, ...) end

local function error_of(body)
	local e = assert(json.decode(body), body)
	assert.is_string(e.errorType)
	assert.is_string(e.message)
	assert.is_nil(e.detailedMessage)
	return e
end

local function submit(body) return as_admin("/api/futures", "-X", "POST", "--data-binary", type(body) == "table" and json.encode(body) or body) end

local function echo(x) return { type = "python", payload = { callable = "marks:echo", args = json.array { x } } } end

local function ended(x)
	local id = work.start(node, "echo", { x })
	work.wait_end(node, id)
	return id
end

describe("the API", function()
	setup(function()
		tasks = work.tasks()
		node = Instance.new { policies = { ["10-pools.lua"] = work.policy("fek", tasks, "warm = { min = 2, max = 4 }, max = 6, recycle = { after_tasks = 0 },") } }
		node:start()
		work.full_pool(node)
		key, port = node:read("config/admin.key"):match "%S+", node:port()
	end)
	teardown(function() work.clean(node, tasks) end)

	describe("takes an address", function()
		it("beneath both prefixes, with and without a trailing slash, with doubled ones", function()
			local id = ended(7)
			for _, path in ipairs { "/public/api/futures/%s", "/dip/publicapi/futures/%s", "/public/api/futures/%s/", "//dip/publicapi/futures/%s",
				"/public/api//futures//%s//", "/api/futures/%s" } do
				local status, body = as_admin(path:format(id) .. "?peek=False")
				assert.equal(200, status, path)
				assert.equal(7, json.decode(body).result, path)
			end
			for _, path in ipairs { "/public/api/futures", "/public/api/futures/", "/dip/publicapi/futures/" } do
				local status, body = as_admin(path)
				assert.same({ 200, "[]" }, { status, body })
			end
		end)

		it("with each segment decoded once", function()
			local id = ended(8)
			local coded = id:gsub("%w", function(c) return ("%%%02X"):format(c:byte()) end, 3)
			assert.equal(200, (as_admin("/public/api/futures/" .. coded)))
			assert.equal(404, (as_admin("/public/api/futures/" .. coded:gsub("%%", "%%25"))))
		end)

		it("and says of any other that it does not exist, to who has a key and who has none", function()
			for _, path in ipairs { "/public/api/nothing", "/nothing", "/public/api/futures/a/b", "/public/api/../../etc/passwd", "/api/futures/%2e%2e" } do
				for _, ask in ipairs { as_admin, curl } do
					local status, body = ask(path)
					if status ~= 401 then
						assert.is_true(status == 404 or status == 400, path .. " " .. status)
						error_of(body)
					end
				end
			end
			for _, id in ipairs { "nosuch", "a%20b", "..", "%00", ("x"):rep(300) } do
				local status, body = as_admin("/public/api/futures/" .. id)
				assert.is_true(status == 404 or status == 400, id .. " " .. status)
				if status == 404 then assert.truthy(error_of(body).message:find("does not exist", 1, true), body) end
			end
		end)

		it("and tells which methods it has when another is used", function()
			local status, _, headers = as_admin("/api/futures", "-X", "DELETE")
			assert.same({ 405, "POST" }, { status, headers.allow })
		end)
	end)

	describe("takes a key", function()
		it("as the user of Basic with an empty password, and as Bearer", function()
			assert.equal(200, (curl("/public/api/futures/", "-u", key .. ":")))
			assert.equal(200, (curl("/public/api/futures/", "-H", "Authorization: Bearer " .. key)))
			assert.equal(200, (curl("/public/api/futures/", "-H", "authorization: bearer " .. key, "-H", "X-Unknown: 1")))
		end)

		it("and answers 401 in JSON without one, never a redirect", function()
			for _, words in ipairs { {}, { "-u", "wrong:" }, { "-H", "Authorization: Bearer wrong" }, { "-H", "Authorization: Bearer" },
				{ "-H", "Authorization: Digest x" }, { "-H", "X-DKU-APITicket: t" }, { "-u", ":" .. key } } do
				local status, body, headers = curl("/public/api/futures/", table.unpack(words))
				assert.equal(401, status)
				assert.equal("application/json;charset=utf-8", headers["content-type"])
				assert.truthy(error_of(body).errorType:find "NotAuthenticated")
				assert.truthy(headers["www-authenticate"])
			end
		end)

		it("and acts for another user with that user's rights alone", function()
			local id = ended(1)
			local status, body = as_admin("/public/api/futures/" .. id, "-H", "X-DKU-ProxyUser: ann")
			assert.equal(404, status)
			assert.truthy(error_of(body).message:find("does not exist", 1, true))
			assert.equal(404, (as_admin("/public/api/futures/" .. id, "-X", "DELETE", "-H", "X-DKU-ProxyUser: ann")))
			assert.equal(403, (as_admin("/public/api/futures/?allUsers=True", "-H", "X-DKU-ProxyUser: ann")))
			assert.equal(403, (as_admin("/api/futures", "-H", "X-DKU-ProxyUser: ann", "-d", json.encode { type = "python", payload = json.object {}, user = "bob" })))
		end)

		it("and shows a user only what is that user's, on every list", function()
			local gate = tasks .. "/gate-lists"
			local hers = work.start(node, "until", { tasks .. "/lines", "ann", gate }, { user = "ann", title = "ann's own" })
			local his = work.start(node, "until", { tasks .. "/lines", "bob", gate }, { user = "bob", title = "bob's secret" })
			work.wait_state(node, hers, "running")
			work.wait_state(node, his, "running")
			for _, path in ipairs { "/public/api/futures/", "/api/tasks", "/api/processes" } do
				local status, body = as_admin(path, "-H", "X-DKU-ProxyUser: ann")
				assert.equal(200, status)
				assert.truthy(path == "/api/processes" or body:find(hers, 1, true), path)
				assert.is_nil(body:find(his, 1, true) or body:find("bob", 1, true), path .. " " .. body)
				status, body = as_admin(path .. "?allUsers=True")
				assert.equal(200, status)
				assert.truthy(body:find(hers, 1, true) and body:find(his, 1, true), path)
			end
			assert.equal(200, (as_admin("/public/api/futures/" .. hers, "-H", "X-DKU-ProxyUser: ann")))
			assert.equal(404, (as_admin("/public/api/futures/" .. his, "-H", "X-DKU-ProxyUser: ann")))
			helper.write(gate, "")
			local _, a = work.wait_end(node, hers)
			local _, b = work.wait_end(node, his)
			assert.not_equal(a.kernel, b.kernel)
			-- A kernel that ran a task of one user takes none of another, though it is not recycled.
			for _ = 1, 3 do
				local _, f = work.wait_end(node, work.start(node, "echo", { 1 }, { user = "bob" }))
				assert.not_equal(a.kernel, f.kernel)
			end
			work.full_pool(node)
		end)

		it("from nobody who asks under another name for this host", function()
			assert.equal(200, (curl "/health"))
			for _, host in ipairs { "evil.example", "evil.example:80", "127.0.0.1.evil.example", "" } do
				local status = as_admin("/public/api/futures/", "-H", "Host: " .. host)
				assert.is_true(status >= 400 and status < 500, host .. " " .. status)
			end
			assert.equal(200, (as_admin("/public/api/futures/", "-H", "Host: localhost:1")))
		end)
	end)

	describe("answers", function()
		it("with versions and a charset, uncompressed whatever is accepted", function()
			for _, path in ipairs { "/public/api/futures/", "/public/api/futures/nosuch", "/health" } do
				local _, body, headers = as_admin(path, "-H", "Accept-Encoding: gzip, deflate")
				assert.is_string(headers["dss-version"])
				assert.is_string(headers["dss-api-version"])
				assert.equal("application/json;charset=utf-8", headers["content-type"])
				assert.is_nil(headers["content-encoding"])
				assert.truthy(json.decode(body))
			end
			assert.equal("text/plain; charset=utf-8", select(3, curl "/")["content-type"])
		end)

		it("to a GET with a body, on a connection that then goes on", function()
			local out = Instance.run { "curl", "-sS", "--noproxy", "*", "--max-time", "30", "-w", "%{http_code} %{num_connects}\n", "-o", "/dev/null", "-u", key .. ":",
				"-X", "GET", "-d", '{"extension":"py"}', ("http://127.0.0.1:%d/public/api/futures/"):format(port), "-o", "/dev/null",
				("http://127.0.0.1:%d/public/api/futures/"):format(port) }
			assert.equal("200 1\n200 0", out)
		end)

		it("with lists as top-level arrays", function()
			for _, path in ipairs { "/api/processes", "/api/pools", "/api/tasks", "/public/api/futures/" } do
				local status, body = as_admin(path)
				assert.equal(200, status)
				assert.equal("[", body:sub(1, 1), path)
			end
		end)
	end)

	describe("shows a future", function()
		it("with every field that clients read", function()
			local gate = tasks .. "/gate-fields"
			local id = work.start(node, "until", { tasks .. "/lines", "fields", gate }, { title = "a title", project = "SALES" })
			local f = work.wait_state(node, id, "running")
			assert.same({ id, false, true, false, true }, { f.jobId, f.hasResult, f.alive, f.aborted, f.abortable })
			assert.is_true(f.startTime > 1.6e12 and f.runningTime >= 0 and f.runningTime < 60000)
			assert.equal("a title", f.payload.displayName)
			assert.equal("SALES", f.payload.targets[1].projectKey)
			assert.equal("admin", f.owner)
			assert.is_nil(f.result)
			local _, rows = node:http("GET", "/public/api/futures/?withScenarios=False&withNotScenarios=True&allUsers=True")
			assert.same({ 1, id }, { #rows, rows[1].jobId })
			_, rows = node:http("GET", "/public/api/futures/?withScenarios=True&withNotScenarios=False&allUsers=True")
			assert.same(0, #rows)
			helper.write(gate, "")
			work.wait_end(node, id)
		end)

		it("without its result where peek is True, true or 1, with it where it is False or left out", function()
			local id = ended { a = 1, b = json.array {} }
			for _, word in ipairs { "True", "true", "1", "TRUE" } do
				local _, body = as_admin("/public/api/futures/" .. id .. "?peek=" .. word)
				local f = json.decode(body)
				assert.same({ true, false, nil }, { f.hasResult, f.alive, f.result })
			end
			for _, query in ipairs { "?peek=False", "?peek=false", "?peek=0", "", "?peek=" } do
				for _ = 1, 2 do          -- reading does not consume it
					local _, body = as_admin("/public/api/futures/" .. id .. query)
					assert.truthy(body:find('"result":%s*{"a":%s*1,"b":%s*%[%]}'), body)
				end
			end
		end)

		it("that failed as 422 with class, message and stack; peeked at as its state; its loop of polling ends", function()
			local id = work.start(node, "refuse", { "grün & \"quoted\"" })
			local code, e = work.wait_end(node, id)
			assert.equal(422, code)
			assert.equal("ValueError", e.errorType)
			assert.equal("grün & \"quoted\"", e.message)
			assert.truthy(e.stackTraceStr:find("refuse", 1, true))
			local status, f = node:http("GET", "/public/api/futures/" .. id .. "?peek=True")
			assert.same({ 200, "failed", false, false }, { status, f.state, f.alive, f.hasResult })
		end)

		it("that was aborted as 422 with its cause", function()
			local id = work.start(node, "mark", { tasks .. "/lines", "aborted", 60 })
			work.wait_state(node, id, "running")
			local status, body = as_admin("/dip/publicapi/futures/" .. id, "-X", "DELETE")
			assert.same({ 200, "{}" }, { status, body })
			local code, e = work.wait_end(node, id)
			assert.same({ 422, "admin", "DSS.Aborted" }, { code, e.cause == "user" and "admin" or e.cause, e.errorType })
			local _, f = node:http("GET", "/public/api/futures/" .. id .. "?peek=True")
			assert.same({ true, false, "aborted" }, { f.aborted, f.alive, f.state })
			assert.equal(200, (as_admin("/public/api/futures/" .. id, "-X", "DELETE")))
			assert.equal(404, (as_admin("/public/api/futures/nosuch", "-X", "DELETE")))
		end)

		it("at once where it does not wait, and as soon as it ends where it does", function()
			local gate = tasks .. "/gate-wait"
			local id = work.start(node, "until", { tasks .. "/lines", "waited", gate })
			work.wait_state(node, id, "running")
			local out = tasks .. "/waited"
			os.execute(("curl -s --max-time 50 --noproxy '*' -u %s: 'http://127.0.0.1:%d/public/api/futures/%s?wait=40' >%s 2>&1 &"):format(key, port, id, out))
			helper.write(gate, "")
			helper.wait_for("its end", function() return (helper.read(out) or ""):find '"tag":%s*"waited"' end)
		end)

		it("whose callable does not import, or whose result is no JSON, with an error that says so", function()
			for callable, wanted in pairs { ["marks:nothing"] = "nothing", ["nomodule:f"] = "nomodule", ["marks:nonsense"] = "JSON", ["marks"] = "attribute" } do
				local status, answer = work.submit(node, callable)
				assert.equal(200, status)
				local code, e = work.wait_end(node, answer.jobId)
				assert.equal(422, code)
				assert.truthy((e.errorType .. e.message):find(wanted, 1, true), e.message)
			end
			work.full_pool(node)
		end)

		it("with a result of many megabytes, and says its limit", function()
			local id = work.start(node, "big", { 40 << 20 })
			local code = work.wait_end(node, id)
			assert.equal(200, code)
			local status, body = as_admin("/public/api/futures/" .. id .. "?peek=False")
			assert.equal(200, status)
			assert.is_true(#body > 40 << 20)
			local e
			code, e = work.wait_end(node, work.start(node, "big", { 65 << 20 }))
			assert.equal(422, code)
			assert.truthy(e.message:find("64 MB", 1, true), e.message)
		end)
	end)

	describe("refuses a submit", function()
		local cases = {
			{ "an unknown key, naming the nearest", { type = "python", payload = json.object {}, limts = json.object {} }, "limits" },
			{ "an unknown limit", { type = "python", payload = json.object {}, limits = { memry = "1g" } }, "memory" },
			{ "a missing type", { payload = json.object {} }, "type" },
			{ "a missing payload", { type = "python" }, "payload" },
			{ "a payload that is a list", { type = "python", payload = json.array { 1 } }, "payload" },
			{ "a type that no pool takes", { type = "cobol", payload = json.object {} }, "cobol" },
			{ "an unknown pool", { type = "python", pool = "fekk", payload = json.object {} }, "fekk" },
			{ "a type that is a number", { type = 7, payload = json.object {} }, "type" },
			{ "retries that are a text", { type = "python", payload = json.object {}, retries = "2" }, "retries" },
			{ "a timeout of nothing", { type = "python", payload = json.object {}, timeoutMs = 0 }, "timeoutMs" },
			{ "a priority out of range", { type = "python", payload = json.object {}, priority = 5000 }, "priority" },
			{ "more memory than the pool grants", { type = "python", payload = json.object {}, limits = { memory = "9g" } }, "1.0 GB" },
			{ "a size nobody understands", { type = "python", payload = json.object {}, limits = { memory = "much" } }, "limits.memory" },
			{ "a client key that is too long", { type = "python", payload = json.object {}, clientKey = ("k"):rep(300) }, "clientKey" },
			{ "no body", "", "empty" },
			{ "no JSON", "{nonsense", nil },
			{ "a list", "[]", "object" },
			{ "a key twice", '{"type":"python","type":"java","payload":{}}', "type" },
			{ "a text that is no UTF-8", '{"type":"\255","payload":{}}', nil },
			{ "what is nested deeper than anything sane", '{"type":"python","payload":{"a":' .. ("["):rep(20000) .. ("]"):rep(20000) .. "}}", nil },
		}
		for _, c in ipairs(cases) do
			it("with " .. c[1], function()
				local file = os.tmpname()
				helper.write(file, type(c[2]) == "table" and json.encode(c[2]) or c[2])
				local status, body = submit("@" .. file)
				os.remove(file)
				assert.equal(400, status, body)
				local e = error_of(body)
				if c[3] then assert.truthy(e.message:find(c[3], 1, true), e.message) end
			end)
		end

		it("that is too large, and goes on serving others", function()
			local file = tasks .. "/large"
			helper.write(file, '{"type":"python","payload":{"callable":"marks:echo","args":["' .. ("x"):rep(9 << 20) .. '"]}}')
			local status, body = submit("@" .. file)
			assert.is_true(status == 413 or status == 400, status)
			error_of(body)
			assert.equal(200, (curl "/health"))
		end)
	end)

	it("answers the same client key of the same user with the first task, of another with another", function()
		local body = echo "once"
		body.clientKey = "a key"
		local _, first = submit(body)
		local _, again = submit(body)
		first, again = json.decode(first), json.decode(again)
		assert.equal(first.jobId, again.jobId)
		assert.same({ false, true }, { first.hasResult, first.alive })
		body.user = "ann"
		local _, other = submit(body)
		assert.not_equal(first.jobId, json.decode(other).jobId)
	end)

	it("keeps the payload's own bytes: large whole numbers, key order, escapes", function()
		local id = json.decode((select(2, submit '{"type":"python","payload":{"callable":"marks:echo","args":[{"z":1,"a":12345678901234567,"s":"\\u00e9\\n"}]}}'))).jobId
		work.wait_end(node, id)
		local _, body = as_admin("/public/api/futures/" .. id)
		assert.truthy(body:find('"z":%s*1,%s*"a":%s*12345678901234567'), body)
	end)
end)
