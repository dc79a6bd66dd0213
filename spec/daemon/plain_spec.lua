-- Instances without boxes, and of one user: they work, and say what they cannot do.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local work = require "spec.daemon.work"

local NOBODY = "65534"
local node, tasks

--- An instance that an unprivileged user makes and runs.
local function new_as_nobody()
	local self = setmetatable({ root = Instance.folder() }, Instance)
	self.dir = self.root .. "/node"
	assert(os.execute(("chown %s:%s %s"):format(NOBODY, NOBODY, self.root)))
	local function run(...)
		return Instance.run({ "/usr/bin/setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", ... }, Instance.environment())
	end
	function self.dss(_, ...) return run(self.dir .. "/bin/dss", ...) end
	local out, status = run(Instance.program "dssctl", "init", self.dir, "--port", "0")
	assert.equal(0, status, out)
	self.id = self:read("config/instance.id"):match "%x+"
	self:write("policies/10-pools.lua", work.policy("fek", tasks))
	return self
end

local function check_work()
	work.full_pool(node)
	local code, f = work.wait_end(node, work.start(node, "who"))
	assert.equal(200, code)
	code = work.wait_end(node, work.start(node, "end", { tasks .. "/lines", "dies" }))
	assert.equal(422, code)
	local id = work.start(node, "mark", { tasks .. "/lines", "long", 60 })
	work.wait_state(node, id, "running")
	assert.equal(200, (node:http("DELETE", "/public/api/futures/" .. id)))
	assert.equal(422, (work.wait_end(node, id)))
	-- Without boxes a child that went away is still found by its mark.
	local child = math.tointeger(select(2, work.wait_end(node, work.start(node, "fork", { 1000 }))).result)
	work.full_pool(node)
	node:kill "backend"
	assert.equal(200, (work.wait_end(node, work.start(node, "echo", { 1 }))))
	node:stop()
	assert.same({}, node:processes())
	helper.wait_for("the end of the child", function() return not helper.read(("/proc/%d/cmdline"):format(child)) end, 5)
	return f
end

describe("an instance", function()
	before_each(function() tasks = work.tasks() end)
	after_each(function()
		local n, t = node, tasks
		node, tasks = nil, nil
		work.clean(n, t)
	end)

	it("with `cgroups = none` starts, works and stops, and says that nothing is limited", function()
		node = Instance.new { init = { "--cgroups", "none" }, policies = { ["10-pools.lua"] = work.policy("fek", tasks) } }
		node:start()
		local status = node:status()
		assert.equal("none", status.cgroups:match "^%l+")
		assert.truthy(node:dss("status"):find "cgroups?:? *none", node:dss "status")
		check_work()
	end)

	it("with `cgroups = none` ends a task that passes its limit by polling, and tells limit and peak", function()
		node = Instance.new { init = { "--cgroups", "none" }, policies = { ["10-pools.lua"] = work.policy("fek", tasks) } }
		node:start()
		work.full_pool(node)
		local code, e = work.wait_end(node, work.start(node, "eat", { 300 << 20, 60 }, { limits = { memory = "64m" } }))
		assert.equal(422, code)
		assert.equal("oom_limit", e.cause)
		assert.equal(64 << 20, math.tointeger(e.detail.limitBytes))
		work.full_pool(node)
	end)

	it("of one user starts, works and stops; status says that there is no isolation, and why", function()
		if not work.is_root then return pending "another user's instance needs root" end
		node = new_as_nobody()
		node:start()
		local status = node:status()
		assert.truthy(status.isolation:find "^none", status.isolation)
		local text = node:dss "status"
		assert.truthy(text:find("isolation: none", 1, true), text)
		assert.truthy(text:find("code in any kernel can act as admin", 1, true), text)
		local _, health = node:http("GET", "/health")
		assert.truthy(health.isolation:find "^none", health.isolation)
		local f = check_work()
		assert.equal(NOBODY, tostring(math.tointeger(f.result.uid)))
	end)
end)
