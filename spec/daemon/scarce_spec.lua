-- What a node does without: descriptors, a store that somebody else holds locked. It says so, loses nothing, and goes on afterwards.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local work = require "spec.daemon.work"

local tasks, lines, node

--- As its own user, which is enough; root without CAP_SYS_RESOURCE may not.
local function limit_descriptors(pid, n)
	local status = helper.read(("/proc/%d/status"):format(pid))
	local uid, gid = status:match "Uid:%s+(%d+)", status:match "Gid:%s+(%d+)"
	local as = work.is_root and ("setpriv --reuid %s --regid %s --clear-groups "):format(uid, gid) or ""
	assert(os.execute(("%sprlimit --pid %d --nofile=%d:"):format(as, pid, n)))
end

describe("a node that is short of something", function()
	setup(function()
		tasks = work.tasks()
		lines = tasks .. "/lines"
	end)
	before_each(function()
		node = Instance.new { policies = { ["10-pools.lua"] = work.policy("fek", tasks, "warm = { min = 1, max = 2 }, max = 4, recycle = { after_tasks = 0 },") } }
		node:start()
		work.full_pool(node)
	end)
	after_each(function() node:remove() end)
	teardown(function() Instance.remove_folder(tasks) end)

	it("takes and runs tasks again once its backend has descriptors again, and loses none that it took", function()
		local pid = node:pid "backend"
		local before = work.start(node, "mark", { lines, "before" })
		assert.equal(200, (work.wait_end(node, before)))
		limit_descriptors(pid, 8) -- fewer than it has: nothing new can be opened
		-- Whoever asks now may wait or be refused; nothing is answered wrongly.
		local curl = ("curl -s -o /dev/null -m 2 -w '%%{http_code} ' http://127.0.0.1:%d/health"):format(node:port())
		local seen = {}
		for _ = 1, 3 do
			local p = io.popen(curl .. " & " .. curl .. " & wait")
			for code in p:read("a"):gmatch "%d%d%d" do seen[#seen + 1] = code end
			p:close()
		end
		for _, code in ipairs(seen) do assert.truthy(code == "200" or code == "000" or code == "503", code) end
		helper.wait_for("a word about it in the log", function() local t = node:read("run/backend.log") return t:find("no file descriptors left", 1, true), t:sub(-600) end)
		limit_descriptors(pid, 1024)
		local id = helper.wait_for("a submit that is taken", function()
			local status, answer = work.submit(node, "mark", { lines, "after" })
			return status == 200 and answer.jobId, status
		end)
		assert.equal(200, (work.wait_end(node, id)))
		assert.equal(pid, node:pid "backend")
		assert.equal(1, work.count(tasks, "after"))
		work.full_pool(node)
	end)

	it("refuses for now what a locked store cannot take, keeps what runs, and goes on when the lock is gone", function()
		local gate = tasks .. "/gate-locked"
		local id = work.start(node, "until", { lines, "locked", gate })
		work.wait_state(node, id, "running")
		local held = tasks .. "/held"
		local locker = assert(io.popen(("sqlite3 %s/db/dss.sqlite >%s 2>&1"):format(node.dir, tasks .. "/locker.out"), "w"))
		locker:write("BEGIN IMMEDIATE;\n.shell touch ", held, "\n")
		locker:flush()
		helper.wait_for("the lock", function() return helper.read(held) end)
		helper.write(gate, "")
		local status, answer, headers = work.submit(node, "mark", { lines, "while" })
		assert.equal(503, status)
		assert.truthy(answer.message:find("locked", 1, true), answer.message)
		assert.truthy(headers["retry-after"])
		locker:write "ROLLBACK;\n"
		locker:close()
		local code, f = work.wait_end(node, id)
		assert.same({ 200, "locked" }, { code, f.result and f.result.tag })
		local after = helper.wait_for("a submit that is taken", function()
			local s, a = work.submit(node, "mark", { lines, "later" })
			return s == 200 and a.jobId, s
		end)
		assert.equal(200, (work.wait_end(node, after)))
		assert.same({ 1, 0, 1 }, { work.count(tasks, "locked"), work.count(tasks, "while"), work.count(tasks, "later") })
	end)
end)
