-- The backend dies at each named point of taking up (core/fleet/die.h); the next one loses no task, runs none twice, loses no result.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local work = require "spec.daemon.work"

local node, tasks, lines

local function start(point)
	tasks = work.tasks()
	lines = tasks .. "/lines"
	node = Instance.new {
		config = ('backend { env = { DSS_SPECS = "1", DSS_DIE_AT = %q } }'):format(point),
		policies = { ["10-pools.lua"] = work.policy("fek", tasks) },
	}
	node:start()
	if not point:find "^spawn" then work.full_pool(node) end
end

local function died(point) return node:read("run/died-at-" .. point) ~= nil end
local function wait_died(point) helper.wait_for("its death", function() return died(point) end) end

describe("a backend that is killed", function()
	after_each(function()
		local n, t = node, tasks
		node, tasks = nil, nil
		work.clean(n, t)
	end)

	for _, case in ipairs {
		{ "task_ordered", "after the order to send a task was given" },
		{ "task_sent", "after the task was sent" },
		{ "task_accepted", "after the 202" },
		{ "result_read", "after the result was read" },
		{ "result_written", "before the result's commit" },
		{ "result_committed", "after the result's commit" },
		{ "end_committed", "after a kernel's end was recorded" },
	} do
		local point, words = case[1], case[2]
		it(words .. " runs the task once and tells its result", function()
			start(point)
			-- The connection may break with the backend; the same client key asks again without a second task.
			local status, answer = work.submit(node, "mark", { lines, point, 0.3 }, { clientKey = point })
			if status == 0 then status, answer = work.submit(node, "mark", { lines, point, 0.3 }, { clientKey = point }) end
			assert.equal(200, status)
			local id = answer.jobId
			local code, f = work.wait_end(node, id)
			assert.equal(200, code)
			assert.same({ tag = point }, f.result)
			wait_died(point)
			work.full_pool(node)
			assert.equal(1, work.count(tasks, point))
			code, f = work.wait_end(node, id)
			assert.same({ 200, 1, point }, { code, f.attempt, f.result.tag })
		end)
	end

	it("after the submit's commit runs the task once; the same client key finds it", function()
		start "submit_committed"
		assert.equal(0, (work.submit(node, "mark", { lines, "first", 0.1 }, { clientKey = "mine" })))
		assert.is_true(died "submit_committed")
		local id = work.start(node, "mark", { lines, "first", 0.1 }, { clientKey = "mine" })
		assert.same({ tag = "first" }, select(2, work.wait_end(node, id)).result)
		assert.equal(1, #select(2, node:http("GET", "/api/tasks")))
		work.full_pool(node)
		assert.equal(1, work.count(tasks, "first"))
	end)

	for _, case in ipairs { { "spawn_ordered", "after the spawn order" }, { "spawn_answered", "after the spawn order's answer" } } do
		local point, words = case[1], case[2]
		it(words .. " has one kernel for each place, and they work", function()
			start(point)
			wait_died(point)
			assert.equal(1, work.full_pool(node).idle)
			local id = work.start(node, "mark", { lines, point })
			assert.same({ tag = point }, select(2, work.wait_end(node, id)).result)
			work.full_pool(node)
			assert.equal(1, work.count(tasks, point))
		end)
	end

	it("while a kernel dies tells the task's owner how, and does not run it again", function()
		start "end_committed"
		local code, f = work.wait_end(node, work.start(node, "end", { lines, "dying" }))
		assert.equal(422, code)
		assert.equal("crash", f.cause)
		wait_died "end_committed"
		work.full_pool(node)
		assert.equal(1, work.count(tasks, "dying"))
	end)

	it("runs nothing again for its retries while its kernel lives, only where the kernel died", function()
		start "task_accepted"
		local id = work.start(node, "mark", { lines, "patient", 1 }, { retries = 2 })
		assert.same({ tag = "patient" }, select(2, work.wait_end(node, id)).result)
		assert.is_true(died "task_accepted")
		assert.equal(1, work.count(tasks, "patient"))
		assert.equal(422, (work.wait_end(node, work.start(node, "end", { lines, "stubborn" }, { retries = 2 }))))
		assert.equal(3, work.count(tasks, "stubborn"))
		work.full_pool(node)
	end)
end)
