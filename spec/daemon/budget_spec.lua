-- The node's memory on a running instance: a small one, so that real kernels wait for each other's places.
local helper = require "spec.helper"
local Instance = require "spec.instance"

local node, tasks

local function pool(name, memory, rest)
	return ('pool %q { kernel = python {}, limits = { memory = %q }, %s }\n'):format(name, memory, rest)
end

--- An instance whose machine has so much; the reserve is 1 MB.
local function open(memory, policies)
	node = Instance.new { policies = { ["10-pools.lua"] = policies } }
	node:write("config/dss.lua", (node:read "config/dss.lua":gsub("node {\n", ('node {\n  memory = %q, reserve = "1m",\n'):format(memory), 1)))
	node:start()
	tasks = (Instance.environment().DSS_SHARE or Instance.program "../share/dssd") .. "/kernels/python/tasks"
end

local function submit(name, ...)
	local id, complaint, code = node:ctl("submit", "python", "--pool", name, "--path", tasks, ...)
	assert.equal(0, code, complaint)
	return id
end

--- The body of an answer, parsed where it is JSON, asked for with the admin's key.
local function get(path)
	local status, body = node:http("GET", path)
	assert.equal(200, status, body)
	return body
end
local read = get
local function row(name)
	for _, p in ipairs(read "/api/pools") do
		if p.name == name then return p end
	end
end
local function reason_of(id)
	for _, t in ipairs(read "/api/tasks") do
		if (t.jobId or t.id) == id then return t.reason, t.state end
	end
end

describe("the memory budget of a running node", function()
	after_each(function()
		if node then node:remove() end
		node = nil
	end)

	it("is shown with what is promised, and lets tasks wait that do not fit, with the reason", function()
		open("600m", pool("one", "200m", 'warm = { min = 1, max = 2 }, max = 4') .. pool("two", "200m", 'warm = { min = 1, max = 1 }, max = 1'))
		helper.wait_for("both pools' warm.min", function() return row "one".idle == 1 and row "two".idle == 1 end, 20)
		local b = read "/api/node"
		assert.same({ 600 << 20, 1 << 20, 599 << 20 }, { b.machineBytes, b.reserveBytes, b.budgetBytes })
		assert.is_true(b.servicesBytes > 0 and b.servicesBytes < 150 << 20, b.servicesBytes)
		assert.equal((400 << 20) + b.servicesBytes, b.promisedBytes)
		assert.truthy(node:ctl "status":find("\nmemory: %d+ of 599 MB promised\n"))
		assert.truthy(get "/metrics":find("\ndss_memory_budget_bytes " .. (599 << 20) .. "\n", 1, true))

		local first = submit("one", "stats:sleep_for", "--arg", "60")
		helper.wait_for("it at work", function() return row "one".busy == 1 end, 10)
		local second = submit("one", "stats:sleep_for", "--arg", "60")
		local said = helper.wait_for("the reason", function()
			local why = reason_of(second)
			return why and why:find("promised", 1, true) and why, why
		end, 10)
		assert.truthy(said:find "^Waiting, 1st of 1: the node's memory is promised: %d+ of 599 MB %(one 200 MB, two 200 MB, services [%d.]+ MB%); it needs 200 MB", said)
		assert.equal(1, row "two".idle) -- its warm.min stays
		node:ctl("abort", first)
		helper.wait_for("the second at work", function() return select(2, reason_of(second)) == "running" end, 20)
		node:ctl("abort", second)
	end)

	it("refuses a task that is larger than all of it, with the numbers", function()
		open("400m", pool("one", "100m", 'warm = { min = 0, max = 1 }, max = 4'):gsub('memory = "100m"', 'memory = "100m", memory_max = "2g"'))
		local _, complaint, code = node:ctl("submit", "python", "stats:echo", "--path", tasks, "--memory", "1g")
		assert.equal(2, code)
		assert.truthy(complaint:find("needs 1.0 GB, more than the node's whole memory budget, 399 MB: 400 MB less 1.0 MB for people and the system", 1, true), complaint)
	end)

	it("warns of pools that could take more than there is, until a set fits", function()
		open("600m", pool("one", "200m", 'warm = { min = 0, max = 1 }, max = 4'))
		local function alert()
			for _, a in ipairs(read "/api/alerts") do
				if a.key == "budget.overcommit" then return a.text end
			end
		end
		assert.equal("the pools could take 800 MB, the node's memory budget is 599 MB: one 4 x 200 MB = 800 MB; tasks wait when it is used up, lower max or limits.memory", alert())
		assert.truthy(node:logs():find("budget: the pools could take 800 MB", 1, true))
		node:write("policies/10-pools.lua", pool("one", "200m", 'warm = { min = 0, max = 1 }, max = 2'))
		helper.wait_for("the end of the alert", function() return not alert() end, 10)
	end)

	it("lets an idle kernel beyond warm.min give way to a task that waits", function()
		open("600m", pool("one", "200m", 'warm = { min = 0, max = 2 }, max = 4, recycle = { after_tasks = 50 }') .. pool("two", "200m", 'warm = { min = 0, max = 1 }, max = 1'))
		submit("one", "stats:sleep_for", "--arg", "1")
		submit("one", "stats:sleep_for", "--arg", "1")
		helper.wait_for("two idle kernels", function() return row "one".idle == 2 end, 20)
		assert.equal("1", submit("two", "stats:echo", "--arg", "1", "--wait"))
		assert.equal(1, row "one".alive)
		assert.truthy(node:logs():find("budget: one%-%d+ gives way to pool two"))
	end)
end)
