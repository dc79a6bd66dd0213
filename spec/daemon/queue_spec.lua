-- The queue with real kernels: priorities, fair between users, and what those who wait are told.
local helper = require "spec.helper"
local Instance = require "spec.instance"

describe("the queue of a running node", function()
	local node, tasks

	before_each(function()
		node = Instance.new {
			policies = {
				["10-pools.lua"] = [[
pool "one" { kernel = python {}, limits = { memory = "200m" }, warm = { min = 1, max = 1 }, max = 1, recycle = { after_tasks = 1 } }
pool "two" { kernel = python {}, limits = { memory = "200m" }, warm = { min = 2, max = 2 }, max = 2, recycle = { after_tasks = 100 } }
]],
				["20-slots.lua"] = [[slots "tasks of a project" { each = "project", max = 1 }]] .. "\n",
			},
		}
		node:start()
		tasks = (Instance.environment().DSS_SHARE or Instance.program "../share/dssd") .. "/kernels/python/tasks"
	end)

	after_each(function()
		if node then node:remove() end
		node = nil
	end)

	local function submit(user, more)
		local body = { type = "python", pool = "one", user = user, payload = { callable = "stats:sleep_for", args = { 0.05 }, path = { tasks } } }
		for k, v in pairs(more or {}) do body[k] = v end
		local status, answer = node:http("POST", "/api/futures", body)
		assert.equal(200, status, answer.message)
		return answer.jobId
	end

	local function task(id)
		local status, answer = node:http("GET", "/api/futures/" .. id .. "?peek=true")
		assert.equal(200, status)
		return answer
	end

	local function wait_ended(ids)
		helper.wait_for("all to end", function()
			for _, id in ipairs(ids) do
				local t = task(id)
				if t.alive then return nil, t.reason or t.state end
				assert.equal("done", t.state)
			end
			return true
		end, 60)
	end

	it("starts an urgent task and a late user's only one before what another queued, and says so", function()
		local blocker = submit("ann", { payload = { callable = "stats:sleep_for", args = { 3 }, path = { tasks } } })
		helper.wait_for("the kernel to be busy", function() return task(blocker).state == "running" end, 20)
		local many = {}
		for i = 1, 5 do many[i] = submit("ann", { title = "ann " .. i }) end
		local late = submit("bob")
		local urgent = submit("ann", { priority = 9 })
		assert.equal(1, task(urgent).position)
		assert.equal(2, task(late).position)
		assert.equal(3, task(many[1]).position)
		assert.truthy(task(late).reason:find '^Waiting, 2nd of 7: ', task(late).reason)
		local all = { blocker, late, urgent, table.unpack(many) }
		wait_ended(all)
		local function began(id) return task(id).startTime end
		assert.is_true(began(urgent) < began(late))
		assert.is_true(began(late) < began(many[1]))
		for i = 2, 5 do assert.is_true(began(many[i - 1]) < began(many[i])) end
		local assigned = helper.wait_for("the decision", function()
			local _, rows = node:http("GET", "/api/decisions?word=queue&kind=task&subject=" .. late)
			for _, d in ipairs(rows) do
				if d.answer == "assign" then return d end
			end
		end, 10)
		assert.equal("first of 6: bob used least lately", assigned.reason)
		assert.equal("done", assigned.outcome)
	end)

	it("holds a project's second task back with the rule's line, and shows who uses what", function()
		local function in_project(user)
			return submit(user, { pool = "two", project = "SALES", payload = { callable = "stats:sleep_for", args = { 2 }, path = { tasks } } })
		end
		local first = in_project "ann"
		helper.wait_for("it at work", function() return task(first).state == "running" end, 20)
		local second = in_project "bob"
		local reason = helper.wait_for("a reason", function() return task(second).reason end, 5)
		assert.equal('Waiting, 1st of 1: slots "tasks of a project" (policies/20-slots.lua:1): 1 of 1 of project SALES are at work', reason)
		local _, rules = node:http("GET", "/api/slots")
		assert.equal("tasks of a project", rules[1].name)
		assert.same({ "SALES", 1 }, { rules[1].keys[1].key, rules[1].keys[1].used })
		assert.truthy(node:ctl("pools"):find("tasks of a project +project +SALES +1 +1"))
		wait_ended { first, second }
		assert.is_true(task(second).startTime >= task(first).endTime)
	end)
end)
