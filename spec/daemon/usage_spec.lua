-- What processes used, against what /proc says of a known burner: by whom, once, over the death of a backend.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local json = require "t_json"
local work = require "spec.daemon.work"

-- Tells what the process itself used of CPU since its start, and holds memory meanwhile.
local BURN = [[
import os
import time

def burn(seconds, megabytes=0):
    held = bytearray(megabytes << 20)
    held[::4096] = b"\1" * len(held[::4096])
    begin = time.process_time()
    while time.process_time() - begin < seconds:
        pass
    t = os.times()
    return {"cpu": t.user + t.system, "held": len(held)}

def hold(megabytes, gate):
    held = bytearray(megabytes << 20)
    held[::4096] = b"\1" * len(held[::4096])
    begin = time.monotonic()
    while not os.path.exists(gate):
        time.sleep(0.02)
    return {"seconds": time.monotonic() - begin, "held": len(held)}
]]

local node, tasks

local function usage(query, options)
	local status, rows = node:http("GET", "/api/usage?" .. query, nil, options)
	assert.equal(200, status, type(rows) == "table" and rows.message or nil)
	local by = {}
	for _, row in ipairs(rows) do by[row.key] = row end
	return by, rows
end

local function open(more)
	tasks = work.tasks()
	helper.write(tasks .. "/burn.py", BURN)
	node = Instance.new { policies = { ["10-pools.lua"] = work.policy("fek", tasks, more) } }
	node:start()
	work.full_pool(node)
end

local function key_of(login)
	local status, k = node:http("POST", "/api/keys", { user = login })
	assert.equal(200, status)
	return k.key
end

describe("usage", function()
	after_each(function()
		local n, t = node, tasks
		node, tasks = nil, nil
		work.clean(n, t)
	end)

	it("of a task that burns CPU is what the process itself counted, and goes to its user, project, pool and kind", function()
		open "warm = { min = 1, max = 1 }, max = 1, recycle = { after_tasks = 1 },"
		local id = work.start(node, "burn:burn", { 1.5 }, { user = "ann", project = "SALES" })
		local _, f = work.wait_end(node, id)
		local own = f.result.cpu
		work.full_pool(node)
		helper.wait_for("the complete record", function()
			local rows = select(2, usage "by=process&user=ann")
			return rows[1] and rows[1].endedAt, json.encode(rows)
		end)
		local row = usage("by=user").ann
		assert.is_true(row.cpuSeconds >= own * 0.95, row.cpuSeconds .. " of " .. own)
		assert.is_true(row.cpuSeconds <= own + 0.5, row.cpuSeconds .. " of " .. own)
		assert.equal(1, row.tasks)
		assert.equal(1, row.processes)
		assert.is_true(row.peakBytes > 1 << 20)
		-- The kernel's own end is its user's, but no project's.
		assert.near(row.cpuSeconds, (usage "by=project").SALES.cpuSeconds, 0.2)
		assert.near(row.cpuSeconds, (usage "by=type&user=ann").python.cpuSeconds, 0.2)
		local kinds, pools = usage "by=kind", usage "by=pool"
		assert.is_true(kinds.kernel.cpuSeconds >= row.cpuSeconds)
		helper.wait_for("the services' own", function() return (usage "by=kind").service end)
		assert.is_true(pools.fek.cpuSeconds >= row.cpuSeconds)
		local day = os.date "%Y-%m-%d"
		assert.is_true(usage("by=day")[day].cpuSeconds >= row.cpuSeconds)
	end)

	it("of memory is bytes times seconds, to the sampling", function()
		open "warm = { min = 1, max = 1 }, max = 1, recycle = { after_tasks = 1 },"
		local gate = tasks .. "/gate"
		local id = work.start(node, "burn:hold", { 64, gate }, { user = "ann" })
		-- Two samples with the memory taken, by what the list of processes says.
		local before
		helper.wait_for("the memory to be held", function()
			for _, k in ipairs(work.kernels(node) or {}) do
				if k.taskId == id and (k.memoryBytes or 0) > 60 << 20 then return true end
			end
		end)
		helper.wait_for("some byte-seconds", function()
			local row = usage("by=user").ann
			before = row and row.byteSeconds or 0
			return before > 100 << 20, before
		end, 20)
		helper.write(gate, "")
		local _, f = work.wait_end(node, id)
		local most = (f.result.seconds + 3) * (f.result.held + (64 << 20))
		assert.is_true(usage("by=user").ann.byteSeconds <= most)
	end)

	it("of two users' tasks is told apart, and a user sees only their own", function()
		open "warm = { min = 2, max = 2 }, max = 4, recycle = { after_tasks = 1 },"
		local a = work.start(node, "burn:burn", { 0.6 }, { user = "ann" })
		local b = work.start(node, "burn:burn", { 0.2 }, { user = "bob" })
		work.wait_end(node, a)
		work.wait_end(node, b)
		helper.wait_for("both records", function()
			local by = usage "by=user"
			return by.ann and by.bob and by.ann.cpuSeconds >= 0.55 and by.bob.cpuSeconds >= 0.18, json.encode(by)
		end)
		local by = usage "by=user"
		assert.is_true(by.ann.cpuSeconds > by.bob.cpuSeconds)
		local key = key_of "bob"
		local own, rows = usage("by=user", { key = key })
		assert.same({ 1, 1 }, { #rows, own.bob.tasks })
		assert.equal(403, (node:http("GET", "/api/usage?user=ann", nil, { key = key })))
		assert.equal(1, select(2, usage("by=process&kind=kernel", { key = key }))[1].processes)
	end)

	it("of tasks on one kernel goes to their projects, each its share", function()
		open "warm = { min = 1, max = 1 }, max = 1, recycle = { after_tasks = 50 },"
		for project, seconds in pairs { BIG = 1.0, SMALL = 0.1 } do
			work.wait_end(node, work.start(node, "burn:burn", { seconds }, { user = "ann", project = project }))
		end
		local by
		helper.wait_for("both shares", function()
			by = usage "by=project"
			return by.BIG and by.SMALL and by.BIG.cpuSeconds + by.SMALL.cpuSeconds >= 1.05, json.encode(by)
		end, 20)
		assert.is_true(by.BIG.cpuSeconds >= 0.95 and by.BIG.cpuSeconds < 1.6, json.encode(by))
		assert.is_true(by.SMALL.cpuSeconds < 0.7, json.encode(by))
	end)

	it("is counted once where a backend dies between: the sum stays what the process used", function()
		open "warm = { min = 1, max = 1 }, max = 1, recycle = { after_tasks = 1 },"
		local id = work.start(node, "burn:burn", { 2.5 }, { user = "ann" })
		helper.wait_for("a first record", function() return (usage("by=user").ann or { cpuSeconds = 0 }).cpuSeconds > 0.2 end)
		local pid = node:pid "backend"
		node:kill("backend", "KILL")
		helper.wait_for("the next backend", function()
			local now = node:status().by.backend
			return now and now.pid ~= pid and (node:http("GET", "/api/usage")) == 200
		end, 30)
		local _, f = work.wait_end(node, id)
		local own, row = f.result.cpu, nil
		helper.wait_for("the whole record", function()
			row = usage("by=user").ann
			return row.cpuSeconds >= own * 0.95, json.encode(row)
		end, 20)
		assert.is_true(row.cpuSeconds <= own + 0.7, row.cpuSeconds .. " of " .. own)
		assert.equal(1, row.processes)
		local rows
		helper.wait_for("its end", function()
			rows = select(2, usage "by=process&user=ann")
			return rows[1].endedAt
		end)
		assert.is_true(usage("by=user").ann.cpuSeconds <= own + 0.7)
		assert.truthy(rows[1].startedAt <= rows[1].endedAt)
	end)

	it("comes as a table, as JSON and as values for a spreadsheet, and says what it does not know", function()
		open()
		work.wait_end(node, work.start(node, "burn:burn", { 0.2 }, { user = "ann" }))
		helper.wait_for("a record", function() return usage("by=user").ann end)
		local out, _, code = node:ctl("usage", "--by", "user", "--since", "1d")
		assert.equal(0, code)
		assert.matches("USER", out)
		assert.matches("ann", out)
		out = node:ctl("usage", "--by", "user", "--csv")
		assert.equal("user,cpuSeconds,byteSeconds,aliveSeconds,peakBytes,tasks,processes", out:match "^[^\r\n]+")
		assert.matches("\nann,", out)
		assert.equal("user", json.decode((node:ctl("usage", "--json")))[1].key and "user")
		local _, err, status = node:ctl("usage", "--by", "usr")
		assert.equal(2, status)
		assert.matches('did you mean "user"', err)
		_, err, status = node:ctl("usage", "--since", "yesterday")
		assert.equal(2, status)
		assert.matches("no moment", err)
	end)
end)
