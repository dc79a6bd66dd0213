-- The board of a real instance: what runs and waits, as a list and as a stream; who sees what; coming back; curves.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local Work = require "spec.daemon.recipe_work"
local work = require "spec.daemon.work"
local json = require "t_json"
local wait_for = helper.wait_for

local MB = 1 << 20
local POOLS = [[
pool "one" { kernel = python { path = { %q } }, limits = { memory = "256m", swap = "0" }, warm = { min = 1, max = 1 }, max = 1, recycle = { after_tasks = 1000 } }
pool "two" { kernel = python { path = { %q } }, limits = { memory = "256m", memory_max = "300m", swap = "0" }, warm = { min = 0, max = 3 }, max = 3, recycle = { after_tasks = 1000 } }
]]
local JEK = [[
pool "jek" { kernel = java { main = "DSSJobKernelMain", heap = "64m" }, limits = { memory = "256m" }, warm = { min = 0, max = 1 }, max = 2 }
]]
local SERVER = [[
import http.server, os
http.server.HTTPServer(("127.0.0.1", int(os.environ["DSS_WEBAPP_PORT"])), http.server.SimpleHTTPRequestHandler).serve_forever()
]]

local node, tasks
local streams = {}

local function make(user) return select(2, node:http("POST", "/api/keys", { user = user })).key end
local function admin_key() return node:read("config/admin.key"):match "%S+" end

--- Follows the board with curl into a file.
local function follow(key, rev)
	local file = os.tmpname()
	local url = ("http://127.0.0.1:%d/api/events?board=true%s"):format(node:port(), rev and "&rev=" .. rev or "")
	local p = io.popen(("exec 3>&1; curl -sN --noproxy '*' -H 'Authorization: Bearer %s' '%s' >%s 2>/dev/null & echo $!"):format(key, url, Instance.quote(file)))
	local s = { file = file, pid = p:read "l" }
	p:close()
	streams[#streams + 1] = s
	wait_for("the first of the board", function() return (helper.read(file) or ""):find("event: board", 1, true) end)
	return s
end

local function leave(s) os.execute("kill " .. s.pid .. " 2>/dev/null") end

--- The stream so far: a list of { event, data }; only whole ones. Each is read once.
local function messages(s)
	local text = helper.read(s.file)
	s.messages, s.at = s.messages or {}, s.at or 1
	for block, after in text:gmatch("(.-)\n\n()", s.at) do
		local event, data = block:match "event: ([^\n]+)", block:match "data: ([^\n]*)"
		if event and data then s.messages[#s.messages + 1] = { event = event, data = assert(json.decode(data), data) } end
		s.at = after
	end
	return s.messages
end

--- What a page makes of it: rows and numbers by id, the last rev, all that was ever told of each id, how often whole.
local function board(s)
	local b = { rows = {}, numbers = {}, told = {}, whole = 0, node = nil, pools = nil, topics = {}, hello = nil }
	local function note(id, what)
		b.told[id] = b.told[id] or {}
		table.insert(b.told[id], what)
	end
	for _, m in ipairs(messages(s)) do
		local d = m.data
		if m.event == "board" then
			if d.whole then b.rows, b.numbers, b.whole = {}, {}, b.whole + 1 end
			for _, row in ipairs(d.rows) do
				b.rows[row.id] = row
				note(row.id, row.state)
			end
			for _, id in ipairs(d.gone or {}) do
				b.rows[id], b.numbers[id] = nil, nil
				note(id, "gone")
			end
			for _, n in ipairs(d.numbers or {}) do
				b.numbers[n[1]] = n
				note(n[1], "number")
			end
			b.rev = d.rev
		elseif m.event == "topics" then
			for _, t in ipairs(d.topics) do b.topics[t] = true end
		else
			b[m.event] = d
		end
	end
	return b
end

local function states(b, id)
	local out = {}
	for _, what in ipairs(b.told[id] or {}) do
		if what ~= "number" and what ~= out[#out] then out[#out + 1] = what end
	end
	return table.concat(out, " ")
end

local function wait_row(s, id, test, what)
	return wait_for(("%s of %s"):format(what or "the row", id), function()
		local b = board(s)
		return test(b.rows[id], b.numbers[id]) and b, json.encode(b.rows[id] or "no row") .. json.encode(b.numbers[id] or "no numbers")
	end, 30)
end
local function wait_state(s, id, state) return wait_row(s, id, function(row) return row and row.state == state end, state) end
local function wait_gone(s, id) return wait_row(s, id, function(row) return row == nil end, "the end") end

local function gate(name) return ("%s/gate-%s"):format(tasks, name) end
local function open_gate(name) helper.write(gate(name), "") end
local function start(key, name, more)
	local body = { type = "python", pool = "one", payload = { callable = "marks:until", args = json.array { tasks .. "/lines", name, gate(name) } } }
	for k, v in pairs(more or {}) do body[k] = v end
	local status, answer = node:http("POST", "/api/futures", body, { key = key })
	assert.equal(200, status, json.encode(answer))
	return answer.jobId
end

--- The list by id.
local function list(key, where)
	local path = "/api/board" .. (where and "?where=" .. where:gsub("[^%w]", function(c) return ("%%%02X"):format(c:byte()) end) or "")
	local status, rows, headers = node:http("GET", path, nil, { key = key })
	assert.equal(200, status, json.encode(rows))
	local by = {}
	for _, row in ipairs(rows) do by[row.id] = row end
	return by, headers
end

local function kernel_of(b, pool)
	for id, row in pairs(b.rows) do
		if row.kind == "kernel" and row.pool == pool then return id, row end
	end
end

local function project(key, text, files)
	local dir = node.dir .. "/projects/" .. key
	os.execute("mkdir -p " .. Instance.quote(dir .. "/data"))
	helper.write(dir .. "/project.lua", text)
	for path, body in pairs(files or {}) do helper.write(dir .. "/" .. path, body) end
	os.execute(("chown -R --reference=%s %s"):format(Instance.quote(node.dir .. "/projects"), Instance.quote(dir)))
end

describe("the board", function()
	local bob, eve
	setup(function()
		tasks = work.tasks()
		node = Instance.new { policies = {
			["10-pools.lua"] = POOLS:format(tasks, tasks) .. (Work.has_java and JEK or ""), ["40-macros.lua"] = assert(helper.read "policies/40-macros.lua"),
		} }
		node:start()
		bob, eve = make "bob", make "eve"
	end)
	teardown(function()
		for _, s in ipairs(streams) do
			leave(s)
			os.remove(s.file)
		end
		node:remove()
		Instance.remove_folder(tasks)
	end)

	it("greets with who asks and what answers, then tells all, the node and its pools", function()
		local s = follow(bob)
		wait_for("the pools", function() return board(s).pools end)
		local b, kinds = board(s), {}
		for _, m in ipairs(messages(s)) do kinds[#kinds + 1] = m.event end
		assert.same({ "hello", "board", "node", "pools" }, { table.unpack(kinds, 1, 4) })
		assert.same({ "bob", false }, { b.hello.user, b.hello.isAdmin })
		assert.is_true(b.hello.now > 1600000000000)
		assert.equal("string", type(b.hello.version))
		assert.equal(1, b.whole)
		assert.same({ "one", "two" }, { b.pools.pools[1].name, b.pools.pools[2].name })
		assert.is_true(b.node.totalBytes > b.node.reserveBytes and b.node.cores > 0)
		leave(s)
	end)

	it("shows a task from waiting to running to gone, and its kernel merged into it meanwhile", function()
		local s = follow(admin_key())
		local warm = wait_for("the warm kernel", function()
			local id, row = kernel_of(board(s), "one")
			return row and row.state == "idle" and id
		end, 30)
		local first = "future:" .. start(bob, "first", { title = "the first" })
		local b = wait_state(s, first, "running")
		local row = b.rows[first]
		assert.is_nil(b.rows[warm])
		assert.same({ "the first", "bob", "one", "kernel:" .. row.processId, 256 * MB, 'pool "one"', 1 },
			{ row.what, row.user, row.pool, warm, row.limitBytes, row.limitOwner, row.attempt })
		assert.same({ "abort" }, row.ends)
		assert.is_true(row.pid > 1 and row.startedAt >= row.submittedAt and row.sinceAt == row.startedAt)
		local second = "future:" .. start(bob, "second")
		row = wait_state(s, second, "waiting").rows[second]
		assert.same({ 'Waiting, 1st of 1: the only kernel of pool "one" is busy', 1, "python marks:until" }, { row.reason, row.position, row.what })
		assert.is_nil(row.processId)
		wait_for("the node's counts", function()
			local n = board(s).node
			return n.waiting == 1 and n.running == 1
		end)
		open_gate "first"
		wait_gone(s, first)
		b = wait_state(s, second, "running")
		assert.is_nil(b.rows[second].position)
		open_gate "second"
		wait_gone(s, second)
		b = wait_state(s, warm, "idle")
		assert.equal("bob", b.rows[warm].user)
		assert.equal("running gone", states(b, first):match "running gone$")
		assert.equal("waiting running gone", states(b, second):match "waiting running gone$" or states(b, second))
		leave(s)
	end)

	it("tells numbers beside the rows, which grow with the process", function()
		local s = follow(bob)
		local function submit(payload)
			local status, answer = node:http("POST", "/api/futures", { type = "python", pool = "two", payload = payload }, { key = bob })
			assert.equal(200, status)
			return answer.jobId
		end
		local eats = submit { callable = "marks:eat", args = json.array { 100 * MB, 600 } }
		local burns = submit { callable = "timeit:timeit", args = json.array { "sum(range(1000000))" } }
		local id = "future:" .. eats
		local b = wait_row(s, id, function(_, n) return n and n[2] ~= json.null and n[2] > 100 * MB end, "memory")
		assert.is_true(b.numbers[id][3] >= b.numbers[id][2])
		assert.is_nil(b.rows[id].memoryBytes)
		local row = list(bob, "memory > 100m and kind = future")[id]
		assert.is_true(row.memoryBytes > 100 * MB and row.peakBytes >= row.memoryBytes)
		local first
		wait_row(s, "future:" .. burns, function(_, n)
			local spent = n and n[5] ~= json.null and n[4] ~= json.null and n[4] > 0 and n[5]
			first = first or spent
			return spent and spent > first
		end, "processor time")
		for _, task in ipairs { eats, burns } do
			assert.equal(200, (node:http("DELETE", "/api/futures/" .. task, nil, { key = bob })))
			wait_gone(s, "future:" .. task)
		end
		leave(s)
	end)

	it("shows users what is theirs alone: in the list, in the stream, and when it goes", function()
		local bobs, admins = follow(bob), follow(admin_key())
		local eves = "future:" .. start(eve, "eves", { pool = "two", title = "a secret" })
		wait_state(admins, eves, "running")
		assert.is_truthy(list(eve)[eves])
		assert.is_nil(list(bob)[eves])
		assert.is_nil(list(eve)["service:backend"])
		assert.is_truthy(list()["service:backend"])
		local process = list(eve)[eves].processId
		open_gate "eves"
		wait_gone(admins, eves)
		-- his own comes after: what he has not heard by then was kept from him
		local own = "future:" .. start(bob, "own", { pool = "two" })
		wait_state(bobs, own, "running")
		open_gate "own"
		wait_gone(bobs, own)
		local text = helper.read(bobs.file)
		for _, word in ipairs { eves, "a secret", "service:", '"kernel:' .. process .. '"' } do assert.is_nil(text:find(word, 1, true), word) end
		for _, row in pairs(board(bobs).rows) do assert.equal("bob", row.user) end
		leave(bobs)
		leave(admins)
	end)

	it("goes on for who comes back with a rev: what changed and no more", function()
		local s = follow(bob)
		local stays = "future:" .. start(bob, "stays", { pool = "two" })
		local goes = "future:" .. start(bob, "goes", { pool = "two" })
		wait_state(s, stays, "running")
		local rev = wait_state(s, goes, "running").rev
		leave(s)
		open_gate "goes"
		local own = follow(eve) -- somebody else makes the board look
		local new = "future:" .. start(bob, "new", { pool = "two" })
		wait_for("the new one", function()
			local row = list(bob)[new]
			return row and row.state == "running" and not list(bob)[goes]
		end, 20)
		local again = follow(bob, rev)
		local b = wait_state(again, new, "running")
		assert.equal(0, b.whole)
		assert.equal("gone", states(b, goes))
		assert.equal("", states(b, stays))
		assert.equal(0, board(follow(bob, b.rev)).whole)
		assert.equal(1, board(follow(bob, "1-999999999")).whole)
		assert.equal(1, board(follow(bob, "0-1")).whole)
		open_gate "stays"
		open_gate "new"
		wait_gone(again, new)
		for _, stream in ipairs { again, own } do leave(stream) end
	end)

	it("refuses what is no rev, no filter, no yes or no", function()
		for _, path in ipairs { "/api/events?board=true&rev=x", "/api/events?board=perhaps", "/api/events?board=true&rev=1-99999999999999999999",
			"/api/board?where=memory", "/api/board?where=banana%20%3D%201" } do
			assert.equal(400, (node:http("GET", path, nil, { key = bob })), path)
		end
		assert.equal(401, (node:http("GET", "/api/board", nil, { key = false })))
		local _, headers = list(nil, "kind = service and state = ready")
		assert.is_true(tonumber(headers["where-matched"]) >= 3)
	end)

	it("keeps a hostile title one line of JSON, and a long one short", function()
		local s = follow(bob)
		local evil = [[</script><img src=x onerror=alert(1)> "\' data: x ]] .. "\u{2028}\u{202e}\u{feff}"
		local id = "future:" .. start(bob, "evil", { pool = "two", title = evil, tags = json.array { "a\"b", "</td>" } })
		local b = wait_state(s, id, "running")
		assert.equal(evil, b.rows[id].what)
		assert.same({ "a\"b", "</td>" }, b.rows[id].tags)
		assert.equal(evil, list(bob)[id].what)
		open_gate "evil"
		wait_gone(s, id)
		for line in helper.read(s.file):gmatch "[^\n]+" do assert.truthy(line:find "^%a+: " or line:find "^:", line) end
		leave(s)
	end)

	it("has curves of one's own processes, also of one that has ended, and of nobody else's", function()
		local id = "future:" .. start(bob, "curve", { pool = "two" })
		local process = wait_for("its process", function()
			local row = list(bob)[id]
			return row and row.memoryBytes and row.processId
		end, 20)
		local function get(key, path) return node:http("GET", path, nil, { key = key }) end
		local status, recent = get(bob, "/api/curves?ids=nosuch," .. process .. ",backend&points=5")
		assert.equal(200, status)
		assert.same({ 1, process, 10000 }, { #recent, recent[1].id, recent[1].stepMs })
		assert.is_true(#recent[1].memoryBytes >= 1 and #recent[1].memoryBytes <= 5 and #recent[1].memoryBytes == #recent[1].cpuShare)
		assert.is_true(recent[1].memoryBytes[#recent[1].memoryBytes] > MB)
		local _, nothing = get(eve, "/api/curves?ids=" .. process)
		assert.same({}, nothing)
		local life
		status, life = get(bob, "/api/curves/" .. process)
		assert.equal(200, status)
		assert.is_true(life.limitBytes == nil or life.limitBytes == 256 * MB)
		assert.is_true(life.peakBytes > MB and #life.memoryBytes >= 1 and life.stepMs >= 1000)
		assert.equal(404, (get(eve, "/api/curves/" .. process)))
		assert.equal(404, (get(bob, "/api/curves/backend")))
		assert.equal(200, (get(nil, "/api/curves/keeper")))
		node:kill(process)
		wait_for("the end of " .. process, function() return not list(bob)[id] end, 20)
		wait_for("its curve after its end", function() return (get(bob, "/api/curves/" .. process)) == 200 end, 10)
		assert.equal(404, (get(eve, "/api/curves/" .. process)))
		assert.equal(200, (get(nil, "/api/curves/" .. process)))
		for _, query in ipairs { "", "?ids=", "?ids=a&points=0", "?ids=a&points=61", "?ids=a&points=x", "?ids=" .. ("x"):rep(200), "?ids=" .. ("a,"):rep(201) } do
			assert.equal(400, (get(bob, "/api/curves" .. query)), query)
		end
		assert.equal(404, (get(bob, "/api/curves/" .. ("x"):rep(500))))
	end)

	it("shows a run of a macro until it is over", function()
		local s = follow(admin_key())
		local blocker = start(nil, "blocker")
		local status, answer = node:http("POST", "/api/macros/clear-tmp", { params = { folders = tasks, age = "30d" } })
		assert.equal(200, status, json.encode(answer))
		local id = "macro:" .. answer.runId
		local row = wait_state(s, id, "running").rows[id]
		assert.same({ "Macro clear-tmp", "admin", answer.runId, "abort" }, { row.what, row.user, row.ref, row.ends[1] })
		assert.is_nil(list(bob)[id])
		open_gate "blocker"
		wait_gone(s, id)
		wait_gone(s, "future:" .. blocker)
		wait_for("the topic", function() return board(s).topics.macros end)
		leave(s)
	end)

	it("shows a webapp with its process, and who may stop it", function()
		local s = follow(admin_key())
		project("WEB", 'project { webapps = { page = webapp { command = { "/usr/bin/python3", "app.py" }, limits = { memory = "128m" } } } }', { ["app.py"] = SERVER })
		assert.equal(200, (node:http("PUT", "/public/api/projects/WEB/webapps/page/backend/actions/restart")))
		local row = wait_state(s, "webapp:WEB/page", "ready").rows["webapp:WEB/page"]
		assert.same({ "WEB/page", "page", "WEB", 128 * MB, "stop" }, { row.ref, row.what, row.project, row.limitBytes, row.ends[1] })
		assert.equal(row.pid, node:pid(row.processId))
		wait_row(s, "webapp:WEB/page", function(_, n) return n and n[2] ~= json.null and n[2] > 0 end, "memory")
		assert.equal(200, (node:http("PUT", "/public/api/projects/WEB/webapps/page/backend/actions/stop")))
		wait_gone(s, "webapp:WEB/page")
		wait_for("the topic", function() return board(s).topics.webapps end)
		leave(s)
	end)

	it("shows a job with its recipes below it", function()
		if not Work.has_java then return pending "there is no JDK" end
		local s = follow(admin_key())
		project("JOB", ([[project { recipes = {
			slow = shell { command = "while [ ! -e %s ]; do sleep 0.1; done; echo x", outputs = { "a" }, limits = { memory = "64m" } },
			last = shell { command = "echo x", inputs = { "a" }, outputs = { "b" } } } }]]):format(gate "recipe"))
		local status, answer = node:http("POST", "/public/api/projects/JOB/jobs/", { type = "RECURSIVE_FORCED_BUILD", outputs = { { type = "DATASET", id = "b" } } })
		assert.equal(200, status, json.encode(answer))
		local job = "job:JOB/" .. answer.id
		wait_state(s, job, "running")
		local recipe
		wait_for("the recipe", function()
			for id, row in pairs(board(s).rows) do
				if row.kind == "recipe" and row.state == "running" and row.processId then recipe = id end
			end
			return recipe
		end, 60)
		local b = board(s)
		local row = b.rows[recipe]
		assert.same({ job, "slow", "JOB", "admin", 64 * MB, "abort" }, { row.parent, row.what, row.project, row.user, row.limitBytes, row.ends[1] })
		assert.equal(recipe, "recipe:" .. row.ref)
		assert.same({ "JOB", "JOB/" .. answer.id, "admin" }, { b.rows[job].project, b.rows[job].ref, b.rows[job].user })
		assert.is_truthy(b.rows[job].processId)
		wait_row(s, recipe, function(r, n) return r.pid and n and n[2] ~= json.null end, "numbers")
		open_gate "recipe"
		wait_gone(s, job)
		wait_gone(s, recipe)
		wait_for("the topic", function() return board(s).topics.jobs end)
		leave(s)
	end)

	--- Waits until that id was told as gone; whether it had a row before depends on when the board was looked at.
	local function wait_end(s, id) return wait_for("the end of " .. id, function() return states(board(s), id):find "gone$" end, 40) end

	it("tells the end of what may have begun and ended between two looks, once all that can be asked says so", function()
		project("QUICK", [[project { owner = "bob", webapps = { bad = webapp { command = { "/no/such/program" } } },
			recipes = { one = shell { command = "true", outputs = { "a" } } } }]])
		local bobs, eves, admins = follow(bob), follow(eve), follow(admin_key())
		local status, answer = node:http("POST", "/api/macros/clear-job-logs", { params = { age = "30d" } })
		assert.equal(200, status, json.encode(answer))
		local told = { "macro:" .. answer.runId, "webapp:QUICK/bad" }
		wait_end(admins, told[1])
		assert.is_false(select(2, node:http("GET", "/api/macro-runs/" .. answer.runId)).running)
		assert.equal(200, (node:http("PUT", "/public/api/projects/QUICK/webapps/bad/backend/actions/restart", nil, { key = bob })))
		wait_end(bobs, told[2])
		local _, webapps = node:http("GET", "/api/webapps", nil, { key = bob })
		assert.same({ 1, "bad", "failed" }, { #webapps, webapps[1].id, webapps[1].state })
		if Work.has_java then
			for i = 1, 3 do
				status, answer = node:http("POST", "/public/api/projects/QUICK/jobs/", { outputs = { { type = "DATASET", id = "a" } } }, { key = bob })
				assert.equal(200, status, json.encode(answer))
				local path = ("/public/api/projects/QUICK/jobs/%s/"):format(answer.id)
				if i > 1 then assert.equal(200, (node:http("POST", path .. "abort", nil, { key = bob }))) end
				told[#told + 1] = "job:QUICK/" .. answer.id
				wait_end(bobs, told[#told])
				-- it may go from the board before its end is on disk, and is told once more then
				wait_for("the end as it is told last", function()
					return select(2, node:http("GET", path, nil, { key = bob })).baseStatus.stableState
				end)
			end
		end
		-- what eve has not heard before her own was kept from her
		local own = "future:" .. start(eve, "after", { pool = "two" })
		wait_state(eves, own, "running")
		open_gate "after"
		wait_gone(eves, own)
		local text = helper.read(eves.file)
		for _, id in ipairs(told) do assert.is_nil(text:find(id, 1, true), id) end
		for _, topic in ipairs { "macros", "webapps", Work.has_java and "jobs" or nil } do assert.is_true(board(admins).topics[topic], topic) end
		for _, s in ipairs { bobs, eves, admins } do leave(s) end
	end)

	it("tells who comes back which topics changed meanwhile", function()
		local s = follow(admin_key())
		local rev = board(s).rev
		leave(s)
		local status, answer = node:http("POST", "/api/macros/clear-job-logs?wait=true", { params = { age = "30d" } })
		assert.equal(200, status, json.encode(answer))
		s = follow(admin_key(), rev)
		wait_for("the topic", function() return board(s).topics.macros end, 10)
		assert.equal(0, board(s).whole)
		assert.equal("gone", states(board(s), "macro:" .. answer.runId))
		leave(s)
	end)

	it("comes in pieces where it is long, and in full to who did not read for a while", function()
		local blocker = start(bob, "pieces")
		local script = [[
import http.client, json, sys
port, key, n = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
c = http.client.HTTPConnection("127.0.0.1", port)
for i in range(n):
    body = {"type": "python", "pool": "one", "title": "t%d " % i + "x" * 450, "payload": {"callable": "marks:echo"}}
    c.request("POST", "/api/futures", json.dumps(body), {"Authorization": "Bearer " + key, "Content-Type": "application/json"})
    r = c.getresponse()
    text = r.read()
    if r.status != 200:
        sys.exit(text)
print("done")]]
		local function submit(n) assert.equal("done", (Instance.run { "/usr/bin/python3", "-c", script, tostring(node:port()), bob, tostring(n) })) end
		local function titles(s)
			local n = 0
			for _, row in pairs(board(s).rows) do n = n + (row.what:find "^t%d+ x" and 1 or 0) end
			return n
		end
		submit(600)
		local whole, slow = follow(bob), follow(bob)
		wait_for("all rows", function() return titles(whole) == 600, titles(whole) end, 30)
		assert.equal(1, board(whole).whole)
		local pieces = 0
		for _, m in ipairs(messages(whole)) do pieces = pieces + (m.event == "board" and #m.data.rows > 50 and 1 or 0) end
		assert.is_true(pieces >= 2, pieces)
		wait_for("all rows, here too", function() return titles(slow) == 600 end, 20)
		os.execute("kill -STOP " .. slow.pid)
		submit(600)
		wait_for("the new rows", function() return titles(whole) == 1200, titles(whole) end, 20)
		os.execute("kill -CONT " .. slow.pid)
		wait_for("what it did not read", function() return titles(slow) == 1200, titles(slow) end, 20)
		assert.equal(1, board(slow).whole)
		local other = follow(eve)
		assert.is_nil(helper.read(other.file):find("t1 x", 1, true))
		open_gate "pieces"
		wait_gone(whole, "future:" .. blocker)
		wait_for("the end of all", function() return titles(whole) == 0, titles(whole) end, 60)
		wait_for("the end of all, here too", function() return titles(slow) == 0, titles(slow) end, 60)
		for _, s in ipairs { whole, slow, other } do leave(s) end
	end)

	it("begins anew after a restart of the backend, with what runs", function()
		local id = "future:" .. start(bob, "restart", { pool = "two", title = "goes on" })
		local s = follow(bob)
		local before = wait_state(s, id, "running")
		local epoch = before.hello.epoch
		local old = node:pid "backend"
		node:kill "backend"
		wait_for("the next backend", function()
			local ok, pid = pcall(node.pid, node, "backend")
			return ok and pid ~= old and (node:http("GET", "/health")) == 200
		end, 30)
		local again = follow(bob, before.rev)
		local b = wait_state(again, id, "running")
		assert.is_true(b.hello.epoch > epoch)
		assert.is_true(b.whole >= 1)
		assert.equal(("%d"):format(b.hello.epoch), b.rev:match "^(%d+)%-")
		assert.equal("goes on", b.rows[id].what)
		open_gate "restart"
		wait_gone(again, id)
		leave(again)
	end)
end)

describe("the board with notebooks", function()
	local PYTHON = "/usr/bin/python3"
	local has_jupyter = os.execute(PYTHON .. " -s -c 'import jupyter_server, ipykernel' 2>/dev/null")
	teardown(function()
		for _, s in ipairs(streams) do
			leave(s)
			os.remove(s.file)
		end
		if has_jupyter then node:remove() end
	end)

	it("shows a kernel of a notebook to its owner, with moments that stand still while it is idle", function()
		if not has_jupyter then return pending "jupyter_server or ipykernel is not installed" end
		streams = {}
		node = Instance.new { config = "jupyter {}", policies = { ["10.lua"] = [[ pool "fek" { kernel = python {}, limits = { memory = "256m" }, warm = { min = 0, max = 1 } } ]] } }
		node:start()
		local ann, bob = make "ann", make "bob"
		project("SALES", 'project { owner = "ann" }')
		local function jupyter(verb, ...)
			local address = ("http://127.0.0.1:%d"):format(math.tointeger(json.decode(node:read "run/ports.json").jupyter))
			local out, why = Instance.run_apart { PYTHON, "-s", "spec/daemon/notebook_client.py", address, node.dir .. "/config/jupyter.token", verb, ... }
			return json.decode(out) or error(verb .. ": " .. out .. why, 2)
		end
		local anns, bobs, admins = follow(ann), follow(bob), follow(admin_key())
		local kernel = jupyter("start", "SALES/a <b>.ipynb").kernel
		local id = "notebook:" .. kernel
		local function rests(row) return row and row.state == "idle" and row.silentAt end
		local row = wait_row(anns, id, rests, "rest").rows[id]
		assert.same({ "a <b>", "SALES", "ann", "unload" }, { row.what, row.project, row.user, row.ends[1] })
		assert.is_true(row.pid > 1 and row.silentAt > 1600000000000 and row.silentAt <= row.startedAt + 60000)
		wait_for("its curve", function() return (node:http("GET", "/api/curves/" .. row.processId, nil, { key = ann })) == 200, (node:http("GET", "/api/curves/" .. row.processId)) end, 20)
		assert.equal(404, (node:http("GET", "/api/curves/" .. row.processId, nil, { key = bob })))
		-- two more readings of its box: what changes then are numbers alone
		local function count()
			local n = 0
			for _, m in ipairs(messages(admins)) do n = n + (m.event == "board" and #(m.data.numbers or {}) > 0 and 1 or 0) end
			return n
		end
		local numbers = count()
		local told = #board(anns).told[id]
		wait_for("more numbers", function() return count() >= numbers + 2 end, 30)
		local b = board(anns)
		assert.equal(row.silentAt, b.rows[id].silentAt)
		local rows = 0
		for i = told + 1, #b.told[id] do rows = rows + (b.told[id][i] ~= "number" and 1 or 0) end
		assert.is_true(rows <= 1, table.concat(b.told[id], " "))
		local answer = jupyter("cell", kernel, "print(1)", "30")
		assert.is_nil(answer.error, json.encode(answer))
		wait_row(anns, id, function(r) return rests(r) and r.silentAt > row.silentAt end, "its work")
		assert.equal(200, (node:http("DELETE", "/api/notebooks/" .. row.ref, nil, { key = ann })))
		wait_gone(anns, id)
		assert.is_nil(helper.read(bobs.file):find(kernel, 1, true))
		wait_for("the topic", function() return board(admins).topics.notebooks end)
	end)
end)
