-- What goes wrong on a real node: processes of ours killed in every order, a stopped backend, a full disk, stop and drain while work
-- runs, restarts under load, mistakes in policies.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local work = require "spec.daemon.work"

local nodes, tasks, lines, node, frozen

local function new(more)
	local n = Instance.new { policies = { ["10-pools.lua"] = work.policy("fek", tasks, more) } }
	nodes[#nodes + 1] = n
	return n
end

local function start(more)
	node = new(more)
	node:start()
	work.full_pool(node)
end

--- Runs a command beside us; what it said and its status land in `file`.
local function beside(file, ...)
	local words = {}
	for _, word in ipairs { ... } do words[#words + 1] = Instance.quote(word) end
	assert(os.execute(("(%s; echo \"status $?\") >%s 2>&1 </dev/null &"):format(table.concat(words, " "), file)))
end

local function hold(tag, more)
	local gate = ("%s/gate-%s"):format(tasks, tag)
	local id = work.start(node, "until", { lines, tag, gate }, more)
	work.wait_state(node, id, "running")
	helper.wait_for("its line", function() return work.count(tasks, tag) == 1 end)
	return id, function() helper.write(gate, "") end
end

local function kill_pid(pid) os.execute(("kill -KILL %d 2>/dev/null"):format(pid)) end

describe("a node", function()
	setup(function()
		nodes, tasks = {}, work.tasks()
		lines = tasks .. "/lines"
		-- A backend that hangs is noticed after half a minute: it may hang while the others are tried.
		frozen = new()
		frozen:start()
		work.full_pool(frozen)
		frozen.hangs = frozen:kill("backend", "STOP")
	end)
	after_each(function()
		for i = #nodes, 1, -1 do
			if nodes[i] ~= frozen then table.remove(nodes, i):remove() end
		end
	end)
	teardown(function()
		Instance.remove_folder(tasks)
		frozen:remove()
	end)

	local orders = {
		{ "keeper", "logger", "backend" }, { "keeper", "backend", "logger" }, { "logger", "keeper", "backend" },
		{ "logger", "backend", "keeper" }, { "backend", "keeper", "logger" }, { "backend", "logger", "keeper" },
	}
	it("starts anew after keeper, logger and backend were killed, in any order; nothing of the old run is left", function()
		start()
		for i, order in ipairs(orders) do
			local name = table.concat(order, "-")
			local id = hold("lost-" .. i)
			local again, open = hold("again-" .. i, { retries = 1 })
			local old, pids = node:processes(), {}
			for _, what in ipairs(order) do pids[what] = node:pid(what) end
			for _, what in ipairs(order) do kill_pid(pids[what]) end
			helper.wait_for("the keeper's end", function() return not helper.read(("/proc/%d/cmdline"):format(pids.keeper)) end)
			open()
			node:start()
			for pid, line in pairs(node:processes()) do assert.is_nil(old[pid], ("%s: %d %s is left"):format(name, pid, line)) end
			local code, e = work.wait_end(node, id)
			assert.same({ 422, "lost" }, { code, e.cause }, name)
			assert.truthy(e.message:find("lost", 1, true), e.message)
			local f
			code, f = work.wait_end(node, again)
			assert.same({ 200, "again-" .. i, 2 }, { code, f.result and f.result.tag, f.attempt }, name)
			assert.equal(1, work.count(tasks, "lost-" .. i))
			assert.equal(2, work.count(tasks, "again-" .. i))
			work.full_pool(node)
		end
	end)

	it("tells tasks that ran at a stop as killed by the shutdown, after the next start; those that waited run then", function()
		start "warm = { min = 1, max = 1 }, max = 1,"
		local id = hold "stopped"
		local waiting = work.start(node, "mark", { lines, "waited" })
		node:stop()
		assert.same({}, node:processes())
		assert.equal(0, work.count(tasks, "waited"))
		node:start()
		local code, e = work.wait_end(node, id)
		assert.same({ 422, "shutdown" }, { code, e.cause })
		assert.truthy(e.message:find("shut down", 1, true), e.message)
		local f
		code, f = work.wait_end(node, waiting)
		assert.same({ 200, 1 }, { code, f.attempt })
		assert.equal(1, work.count(tasks, "stopped"))
		work.full_pool(node)
	end)

	it("drains: takes nothing more, lets the running task end, then stops; its result is there after the next start", function()
		start()
		local id, open = hold "drained"
		local out = tasks .. "/drain"
		beside(out, node.dir .. "/bin/dss", "drain")
		helper.wait_for("it to take nothing more", function()
			local status, answer = work.submit(node, "mark", { lines, "too late" })
			return status == 503 and answer.message:find "drain", status
		end)
		assert.is_nil((helper.read(out) or ""):find "status")
		open()
		helper.wait_for("the stop", function() return (helper.read(out) or ""):find "status 0\n$", helper.read(out) end, 20)
		assert.same({}, node:processes())
		node:start()
		local code, f = work.wait_end(node, id)
		assert.same({ 200, "drained" }, { code, f.result and f.result.tag })
		assert.equal(1, work.count(tasks, "drained"))
	end)

	it("replaces keeper, logger and backend under a running task, and whoever waits gets the answer", function()
		start()
		local id, open = hold "replaced"
		local kernel = work.wait_state(node, id, "running").kernel
		local pid = node:pid(kernel)
		for _, what in ipairs { "keeper", "logger", "backend", "keeper" } do
			local out, code = node:dss("restart", what)
			assert.equal(0, code, out)
			assert.equal(pid, node:pid(kernel))
		end
		local out = tasks .. "/poll"
		beside(out, node.dir .. "/bin/dssctl", "wait", id)
		helper.wait_for("somebody who waits", function() return node:read "run/backend.log" and os.execute(("pgrep -f 'dssctl wait %s' >/dev/null"):format(id)) end)
		assert.equal(0, select(2, node:dss("restart", "backend")))
		open()
		helper.wait_for("the answer", function() return (helper.read(out) or ""):find '"replaced".*status 0\n$', helper.read(out) end, 20)
		assert.equal(1, work.count(tasks, "replaced"))
		work.full_pool(node)
	end)

	it("answers a long poll that a planned restart of the backend meets, instead of breaking it", function()
		start()
		local id, open = hold "polled"
		local key, out = node:read("config/admin.key"):match "%S+", tasks .. "/long-poll"
		beside(out, "curl", "-sS", "--noproxy", "*", "--max-time", "30", "-u", key .. ":", "-w", "\n%{http_code}\n",
			("http://127.0.0.1:%d/public/api/futures/%s?peek=True&wait=20"):format(node:port(), id))
		helper.wait_for("the poll", function()
			local p = io.popen(("ss -Htn state established 'sport = :%d' | wc -l"):format(node:port()))
			local n = tonumber(p:read "a")
			p:close()
			return n and n >= 1
		end)
		assert.equal(0, select(2, node:dss("restart", "backend")))
		helper.wait_for("an answer", function() return (helper.read(out) or ""):find "status %d+\n$" end, 30)
		assert.truthy(helper.read(out):find '"alive":%s*true.*\n200\nstatus 0\n$', helper.read(out))
		open()
		assert.equal(200, (work.wait_end(node, id)))
	end)

	it("keeps the policies that were good when a mistake is saved, names file and line, and takes the next good ones at once", function()
		start()
		local good = node:read "policies/10-pools.lua"
		node:write("policies/10-pools.lua", good:gsub("threads = 128", "treads = 128"))
		local line = helper.wait_for("the error in the log", function()
			return (node:read "run/backend.log"):match "[^\n]*policies/10%-pools%.lua:%d+:[^\n]*"
		end, 3)
		assert.truthy(line:find("treads", 1, true) and line:find("threads", 1, true), line)
		local _, health = node:http("GET", "/health")
		assert.equal("warning", health.status)
		assert.truthy(health.policies.error:find("10-pools.lua", 1, true))
		assert.equal(200, (work.wait_end(node, work.start(node, "echo", { 1 }))))
		node:write("policies/10-pools.lua", (good:gsub("min = 1, max = 2", "min = 3, max = 3")))
		helper.wait_for("three warm kernels", function() return work.pool(node).warm.min == 3 end, 2)
		assert.equal(3, work.full_pool(node).idle)
		_, health = node:http("GET", "/health")
		assert.equal("ok", health.status)
		-- A new file is a change, too; a file taken away as well.
		node:write("policies/20-more.lua", work.policy("second", tasks))
		helper.wait_for("the second pool", function() return work.pool(node, "second") end, 3)
		work.full_pool(node, "second")
		assert(os.remove(node.dir .. "/policies/20-more.lua"))
		helper.wait_for("its end", function() return not work.pool(node, "second") end, 10)
		work.full_pool(node)
	end)

	it("on a full disk refuses new work for now, keeps what it has, and goes on when there is room", function()
		if not work.is_root then return pending "only root can mount a small disk" end
		node = new()
		local db = node.dir .. "/db"
		assert(os.execute(("mount -t tmpfs -o size=3m,mode=$(stat -c %%a %s),uid=$(stat -c %%u %s),gid=$(stat -c %%g %s) dss-spec %s"):format(db, db, db, db)))
		local ok, why = pcall(function()
			node:start()
			work.full_pool(node)
			local before = work.start(node, "echo", { "before" })
			work.wait_end(node, before)
			local id, open = hold "full"
			os.execute(("dd if=/dev/zero of=%s/filler bs=4k 2>/dev/null"):format(db))
			local headers, status
			helper.wait_for("a refusal", function()
				local answer
				status, answer, headers = work.submit(node, "echo", { ("x"):rep(20000) })
				return status == 503, type(answer) == "table" and answer.message or status
			end)
			assert.truthy(headers["retry-after"])
			open()
			local code, f = work.wait_end(node, before)
			assert.same({ 200, "before" }, { code, f.result })
			assert.equal("ready", node:status().by.backend.state)
			os.remove(db .. "/filler")
			code, f = work.wait_end(node, id)
			assert.same({ 200, "full" }, { code, f.result and f.result.tag })
			local accepted = helper.wait_for("room again", function()
				local s, answer = work.submit(node, "echo", { "after" })
				return s == 200 and answer.jobId, s
			end)
			assert.equal("after", select(2, work.wait_end(node, accepted)).result)
			assert.equal(1, work.count(tasks, "full"))
			work.full_pool(node)
		end)
		node:dss("stop", "--now")
		os.execute("umount -l " .. db)
		if not ok then error(why, 0) end
	end)

	it("replaces a backend that hangs, and its kernels notice nothing", function()
		helper.wait_for("another backend", function()
			local p = frozen:status().by.backend
			return p.state == "ready" and p.pid ~= frozen.hangs, p.state
		end, 45)
		assert.equal("lost", frozen:status().by.backend.cause)
		assert.equal(200, (work.wait_end(frozen, work.start(frozen, "echo", { 1 }))))
	end)
end)
