-- Keys and users against a real instance: who sees and may what, on every route, and who gets in by run/admin.sock.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local work = require "spec.daemon.work"
local json = require "t_json"

local node, tasks
local bob, eve

local function ask(key, method, path, body) return node:http(method, path, body, { key = key }) end
local function make(user, more)
	local body = { user = user }
	for k, v in pairs(more or {}) do body[k] = v end
	local status, k = node:http("POST", "/api/keys", body)
	assert.equal(200, status)
	return k
end
local function submit(key, callable, args, more)
	local body = { type = "python", payload = { callable = "marks:" .. callable, args = json.array(args or {}) } }
	for k, v in pairs(more or {}) do body[k] = v end
	return ask(key, "POST", "/api/futures", body)
end
local function start(key, ...)
	local status, answer = submit(key, ...)
	assert.equal(200, status, type(answer) == "table" and answer.message or answer)
	return answer.jobId
end
local function contains(rows, member, value)
	for _, row in ipairs(rows) do
		if row[member] == value then return true end
	end
	return false
end
local function sql(text)
	local out, status = Instance.run { "/usr/bin/python3", "-c",
		"import sqlite3, sys, json; print(json.dumps(sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchall()))", node.dir .. "/db/dss.sqlite", text }
	assert.equal(0, status, out)
	return json.decode(out)
end

--- One request by the admin socket; status, answer. before: words put before curl (setpriv …).
local function by_socket(path, before, env)
	local argv = { "curl", "-sS", "--max-time", "10", "-w", "\n%{http_code}", "--unix-socket", node.dir .. "/run/admin.sock", "http://localhost" .. path }
	for i, word in ipairs(before or {}) do table.insert(argv, i, word) end
	local out = Instance.run(argv, env)
	local body, status = out:match "^(.*)\n(%d+)$"
	return tonumber(status) or 0, json.decode(body or "") or out
end

describe("keys and users", function()
	setup(function()
		tasks = work.tasks()
		node = Instance.new { policies = { ["10-pools.lua"] = work.policy("fek", tasks, "warm = { min = 1, max = 3 }, max = 4, recycle = { after_tasks = 50 },") } }
		node:start()
		bob, eve = make("bob", { label = "laptop" }), make "eve"
	end)
	teardown(function()
		node:remove()
		Instance.remove_folder(tasks)
	end)

	it("keep of a key no more than its hash, in the store and in every log", function()
		for _, path in ipairs { "db/dss.sqlite", "db/dss.sqlite-wal", "run/backend.log", "run/keeper.log" } do
			assert.is_nil((node:read(path) or ""):find(bob.key, 1, true), path)
		end
		local row = sql("SELECT hash, user, label FROM key WHERE id = '" .. bob.id .. "'")[1]
		assert.equal(64, #row[1])
		assert.same({ "bob", "laptop" }, { row[2], row[3] })
	end)

	it("show a task to its owner and to admins, and tell others that it does not exist, in no other words than of one that never was", function()
		local id = start(bob.key, "until", { tasks .. "/lines", "x", tasks .. "/never" })
		for _, target in ipairs { "/api/futures/", "/public/api/futures/", "/dip/publicapi/futures/" } do
			assert.equal(200, (ask(bob.key, "GET", target .. id .. "?peek=True")))
			local status, answer = ask(eve.key, "GET", target .. id .. "?peek=True")
			local none_status, none = ask(eve.key, "GET", target .. "aaaaaaaaaaaaaaaa?peek=True")
			assert.same({ 404, (answer.message:gsub(id, "ID")) }, { none_status, (none.message:gsub("a+a", "ID", 1)) })
			assert.equal(404, status)
			assert.equal(404, (ask(eve.key, "DELETE", target .. id)))
		end
		assert.equal(404, (ask(eve.key, "GET", "/api/futures/" .. id .. "?wait=20")))
		assert.equal("running", work.wait_state(node, id, "running").state)
		assert.equal(200, (ask(bob.key, "DELETE", "/api/futures/" .. id)))
		local status, error = ask(bob.key, "GET", "/api/futures/" .. id .. "?wait=20")
		assert.equal(422, status)
		assert.equal("user", error.cause)
	end)

	it("list own tasks and processes to users, all to admins, and refuse allUsers to others", function()
		local id = start(bob.key, "until", { tasks .. "/lines", "x", tasks .. "/never" }, { tags = { "nightly", "b" } })
		work.wait_state(node, id, "running")
		for _, path in ipairs { "/api/tasks", "/public/api/futures/" } do
			local _, bobs = ask(bob.key, "GET", path)
			local _, eves = ask(eve.key, "GET", path)
			assert.is_true(contains(bobs, "jobId", id), path)
			for _, f in ipairs(eves) do assert.equal("eve", f.owner) end
		end
		local _, all = node:http("GET", "/public/api/futures/?allUsers=True")
		assert.is_true(contains(all, "jobId", id))
		local _, own = node:http("GET", "/public/api/futures/")
		assert.is_false(contains(own, "jobId", id))
		assert.equal(403, (ask(bob.key, "GET", "/public/api/futures/?allUsers=true")))
		for key, is_shown in pairs { [bob.key] = true, [eve.key] = false } do
			local _, rows = ask(key, "GET", "/api/processes")
			assert.equal(is_shown, contains(rows, "taskId", id))
			assert.is_true(contains(rows, "id", "backend"))
		end
		for _, f in ipairs(all) do
			if f.jobId == id then assert.same({ "nightly", "b" }, f.tags) end
		end
		assert.equal(200, (node:http("DELETE", "/api/futures/" .. id)))
		local _, error = ask(bob.key, "GET", "/api/futures/" .. id .. "?wait=20")
		assert.equal("admin", error.cause)
		local ended
		for _, f in ipairs(select(2, ask(bob.key, "GET", "/api/tasks"))) do
			if f.jobId == id then ended = f end
		end
		assert.same({ "nightly", "b" }, ended.tags)
	end)

	it("let an admin submit for a user, and nobody else", function()
		local status, answer = node:http("POST", "/api/futures", { type = "python", payload = { callable = "marks:echo", args = json.array { 1 } }, user = "bob" })
		assert.equal(200, status)
		assert.equal(200, (ask(bob.key, "GET", "/api/futures/" .. answer.jobId .. "?wait=20")))
		assert.equal(404, (ask(eve.key, "GET", "/api/futures/" .. answer.jobId)))
		assert.equal(403, (submit(eve.key, "echo", { 1 }, { user = "bob" })))
		assert.equal(200, (submit(eve.key, "echo", { 1 }, { user = "eve" })))
	end)

	it("keep a kernel that ran a task for its user alone", function()
		local function run(key)
			local id = start(key, "who")
			local status, f = ask(key, "GET", "/api/futures/" .. id .. "?wait=20")
			assert.equal(200, status)
			return f.kernel
		end
		local bobs, eves = {}, {}
		for _ = 1, 4 do
			bobs[run(bob.key)] = true
			eves[run(eve.key)] = true
		end
		for kernel in pairs(bobs) do assert.is_nil(eves[kernel], kernel) end
	end)

	it("are no longer good once revoked, and say when they were used", function()
		local k = make("dora", { admin = true })
		assert.equal(200, (ask(k.key, "GET", "/public/api/futures/?allUsers=true")))
		local function row()
			for _, r in ipairs(select(2, node:http("GET", "/api/keys?revoked=true"))) do
				if r.id == k.id then return r end
			end
		end
		assert.is_true(row().lastUsedAt >= row().createdAt)
		assert.equal(404, (ask(eve.key, "DELETE", "/api/keys/" .. k.id)))
		assert.equal(200, (node:http("DELETE", "/api/keys/" .. k.id)))
		local status, error = ask(k.key, "GET", "/api/pools")
		assert.equal(401, status)
		assert.equal("Unknown API Key", error.message)
		assert.truthy(row().revokedAt)
		assert.equal(1, #select(2, ask(bob.key, "GET", "/api/keys")))
	end)

	it("are in force again after the backend's end, and those that were revoked are not", function()
		local gone = make "fred"
		assert.equal(200, (node:http("DELETE", "/api/keys/" .. gone.id)))
		node:kill("backend", "KILL")
		helper.wait_for("the next backend", function() return (ask(bob.key, "GET", "/api/pools")) == 200 end, 20)
		assert.equal(401, (ask(gone.key, "GET", "/api/pools")))
	end)

	describe("by the admin socket", function()
		local is_root = work.is_root

		it("know root as an admin", function()
			if not is_root then return pending "needs root" end
			local status, rows = by_socket "/api/keys"
			assert.equal(200, status)
			assert.is_true(#rows >= 2)
		end)
		it("know others by their login, if run/ lets them in", function()
			if not is_root then return pending "needs root" end
			local gid = Instance.run { "stat", "-c", "%g", node.dir .. "/run" }
			local status, rows = by_socket("/api/keys", { "setpriv", "--reuid", "daemon", "--regid", gid, "--clear-groups" })
			assert.same({ 200, {} }, { status, rows })
			assert.equal(403, (by_socket("/public/api/futures/?allUsers=true", { "setpriv", "--reuid", "daemon", "--regid", gid, "--clear-groups" })))
			-- without the group nobody comes near the socket
			assert.equal(0, (by_socket("/api/keys", { "setpriv", "--reuid", "daemon", "--regid", "daemon", "--clear-groups" })))
		end)
		it("refuse the control user itself in a process that carries the mark of ours", function()
			if not is_root then return pending "needs root" end
			local as_control = { "setpriv", "--reuid", "dss", "--regid", "dss", "--clear-groups" }
			local status, error = by_socket("/api/pools", as_control, { DSS_INSTANCE = node.id, DSS_PROCESS = "fek-1" })
			assert.equal(403, status)
			assert.truthy(error.message:find("boxes need a key", 1, true), error.message)
			assert.equal(200, (by_socket("/api/pools", as_control, { DSS_INSTANCE = "0123abcd", DSS_PROCESS = "fek-1" })))
		end)
		it("refuse whoever is in a box of ours, also without any mark", function()
			if not is_root then return pending "needs root" end
			local kernel = helper.wait_for("a kernel with a box", function()
				for _, row in ipairs(work.kernels(node) or {}) do
					if row.cgroup and row.state == "idle" then return row end
				end
			end)
			local out = Instance.run { "sh", "-c", [[
for procs in $(find /sys/fs/cgroup -path "*dss-$1/warm/$2/cgroup.procs"); do echo $$ >"$procs" || exit 9; done
exec env -i /usr/bin/curl -sS -o /dev/null -w '%{http_code}' --unix-socket "$3/run/admin.sock" http://localhost/api/pools]], "sh", node.id, kernel.id, node.dir }
			assert.equal("403", out)
		end)
		it("refuse whoever descends from the keeper, as a kernel's child that shed its environment does in one-user mode", function()
			if not is_root then return pending "needs root" end
			local t_peer = require "t_peer"
			local child = io.popen("exec sh -c 'echo $$; exec env -i sleep 60'")
			local pid = math.tointeger(tonumber(child:read "l"))
			local me = math.tointeger(tonumber((Instance.run { "sh", "-c", "ps -o ppid= -p " .. pid })))
			assert.is_true(t_peer.is_boxed(pid, "00000000", me))
			assert.is_false(t_peer.is_boxed(pid, "00000000", 999999999))
			assert.is_true(t_peer.is_boxed(0, "00000000", me))
			os.execute("kill -KILL " .. pid)
			child:close()
			assert.is_true(t_peer.is_boxed(pid, "00000000", 999999999), "one that is gone may have been anybody")
		end)
	end)

	describe("without access to the instance's folder", function()
		local function as_nobody(env, ...)
			local words = work.is_root and { "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "env" } or { "env", "-C", "/" }
			env.DSS_HOME = ""
			for name, value in pairs(env) do words[#words + 1] = name .. "=" .. value end
			words[#words + 1] = Instance.program "dssctl"
			for _, word in ipairs { ... } do words[#words + 1] = word end
			return Instance.run_apart(words)
		end
		it("asks by DSS_URL and a key of its own, and is nobody else", function()
			local url, key = ("http://127.0.0.1:%d/"):format(node:port()), make("carl").key
			local out, err, code, _
			out, err, code = as_nobody({ DSS_URL = url, DSS_KEY = key }, "run", "--memory", "64m", "carls", "--", "/bin/echo", "hello")
			assert.same({ "hello", 0 }, { out, code }, err)
			out = as_nobody({ DSS_URL = url, DSS_KEY = key }, "tasks", "--json")
			for _, row in ipairs(assert(json.decode(out))) do assert.equal("carl", row.owner) end
			assert.truthy(out:find("carls", 1, true), out)
			_, err, code = as_nobody({ DSS_URL = url, DSS_KEY = key }, "policy", "history")
			assert.equal(5, code, err)
			_, err, code = as_nobody({ DSS_URL = url }, "tasks")
			assert.equal(5, code)
			assert.truthy(err:find("DSS_KEY", 1, true), err)
			_, err, code = as_nobody({ DSS_URL = "http://user@host", DSS_KEY = key }, "tasks")
			assert.equal(2, code)
			assert.truthy(err:find("is no address", 1, true), err)
		end)
	end)
end)
