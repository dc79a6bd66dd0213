-- bin/dss against a real keeper.
local helper = require "spec.helper"
local Instance = require "spec.instance"

local node
local sleeper = 'service "sleeper" { command = { "/bin/sleep", "100000" } }'

describe("bin/dss", function()
	after_each(function()
		local n = node
		node = nil
		if n then n:remove() end
	end)

	describe("of a running instance", function()
		before_each(function()
			node = Instance.new { config = sleeper }
			node.said = node:start()
		end)

		it("starts all, says when each is ready, and shows it in status", function()
			for _, name in ipairs { "logger", "backend", "sleeper" } do
				assert.truthy(node.said:find("%f[%w]" .. name .. " +ready %(pid %d+"), node.said)
			end
			local status, code = node:status()
			assert.equal(0, code)
			assert.equal(node.id, status.instance)
			assert.is_string(status.isolation)
			assert.is_string(status.cgroups)
			for _, name in ipairs { "keeper", "logger", "backend", "sleeper" } do
				assert.equal("ready", status.by[name].state, name)
				assert.truthy(status.by[name].pid > 1)
				assert.truthy(status.by[name].startedAt > 1.6e12)
			end
			local text, text_code = node:dss "status"
			assert.equal(0, text_code)
			assert.truthy(text:find("\nsleeper +%d+ +ready"), text)
			assert.is_nil(text:find "\27")
		end)

		it("says so when it is started twice, and keeps it running", function()
			local keeper = node:pid "keeper"
			local out, code = node:dss "start"
			assert.equal(0, code)
			assert.truthy(out:find(("is running already %%(keeper pid %d, since %%d%%d:%%d%%d:%%d%%d"):format(keeper)), out)
			assert.equal(keeper, node:pid "keeper")
			assert.equal(1, select(2, node:dss "run"))
		end)

		it("stops everything and says what", function()
			local out = node:stop()
			assert.truthy(out:find "sleeper" and out:find "backend" and out:find "stopped", out)
			assert.same({}, node:processes())
			assert.same({}, node:boxes())
			assert.equal(6, select(2, node:status()))
		end)

		it("restarts one service alone", function()
			local before = node:status().by
			local out, code = node:dss("restart", "sleeper")
			assert.equal(0, code, out)
			local after = node:status().by
			assert.not_equal(before.sleeper.pid, after.sleeper.pid)
			assert.equal(before.backend.pid, after.backend.pid)
			assert.equal(before.logger.pid, after.logger.pid)
		end)

		it("restarts all services without a name, the keeper not", function()
			local before = node:status().by
			local out, code = node:dss "restart"
			assert.equal(0, code, out)
			local after = node:status().by
			for _, name in ipairs { "logger", "backend", "sleeper" } do
				assert.not_equal(before[name].pid, after[name].pid, name)
				assert.equal("ready", after[name].state, name)
			end
			assert.equal(before.keeper.pid, after.keeper.pid)
		end)

		it("replaces the keeper in place: every pid stays", function()
			local before = node:status().by
			local out, code = node:dss("restart", "keeper")
			assert.equal(0, code, out)
			local after = node:status().by
			for _, name in ipairs { "keeper", "logger", "backend", "sleeper" } do assert.equal(before[name].pid, after[name].pid, name) end
		end)

		it("takes up a changed configuration at a restart, without touching what it does not name", function()
			local before = node:status().by
			node:write("config/dss.lua", node:read "config/dss.lua" .. '\nservice "second" { command = { "/bin/sleep", "100000" } }\n')
			local out, code = node:dss("restart", "second")
			assert.equal(0, code, out)
			local after = node:status().by
			assert.equal("ready", after.second.state)
			assert.equal(before.sleeper.pid, after.sleeper.pid)
		end)

		it("restarts nothing while the configuration has a mistake, and shows file and line", function()
			local before = node:status().by
			node:write("config/dss.lua", node:read "config/dss.lua" .. '\nservice "second" { comand = { "/bin/sleep", "1" } }\n')
			local out, code = node:dss "restart"
			assert.equal(1, code)
			assert.truthy(out:find "config/dss%.lua:%d+: " and out:find("nothing was restarted", 1, true), out)
			for name, p in pairs(node:status().by) do assert.equal(before[name].pid, p.pid, name) end
		end)

		it("restarts nothing, now and at the next try, while the keeper refuses the plan", function()
			local config, before = node:read "config/dss.lua", node:status().by
			finally(function() node:write("config/dss.lua", config) end)
			node:write("config/dss.lua", (config:gsub('run_user( *)= "[^"]*"', 'run_user%1= "nosuchuser"')))
			if node:read "config/dss.lua" == config then return pending "one user only: needs root" end
			for _ = 1, 2 do
				local out, code = node:dss "restart"
				assert.equal(1, code, out)
				assert.truthy(out:find("nosuchuser", 1, true) and out:find("nothing was restarted", 1, true), out)
			end
			for name, p in pairs(node:status().by) do assert.equal(before[name].pid, p.pid, name) end
		end)

		it("answers restart --json with the new state", function()
			local out, _, code = node:ctl("dss", "restart", "sleeper", "--json")
			assert.equal(0, code)
			assert.equal("keeper", assert(require("t_json").decode(out)).processes[1].name)
		end)

		it("says of a service without a log that it wrote nothing, not that it is unknown", function()
			local _, complaint, code = node:ctl("logs", "sleeper")
			assert.equal(0, code)
			assert.equal("sleeper has written nothing yet\n", complaint)
		end)

		it("ends with 4 for a service that is not there", function()
			local out, code = node:dss("restart", "slepeer")
			assert.equal(4, code)
			assert.truthy(out:find("slepeer", 1, true), out)
		end)

		it("tells the state while the backend hangs", function()
			local pid = node:kill("backend", "STOP")
			finally(function() os.execute("kill -CONT " .. pid) end)
			assert.equal(0, select(2, node:status()))
		end)

		it("opens logs anew after they were moved", function()
			helper.wait_for("the keeper's log", function() return node:read "run/keeper.log" end)
			assert(os.rename(node.dir .. "/run/keeper.log", node.dir .. "/run/keeper.log.moved"))
			local out, code = node:dss "reopenlogs"
			assert.equal(0, code, out)
			node:dss("restart", "sleeper")
			helper.wait_for("a new log", function() return (node:read "run/keeper.log" or ""):find "sleeper" end)
		end)

		it("drains: stops once nothing runs any more", function()
			local out, code = node:dss "drain"
			assert.equal(0, code, out)
			assert.same({}, node:processes())
		end)

		it("shows a service that was killed as restarted, with the cause of its end", function()
			local pid = node:kill("sleeper", "KILL")
			local p = helper.wait_for("the restart", function()
				local p = node:status().by.sleeper
				return p.state == "ready" and p.pid ~= pid and p
			end)
			assert.equal("signal", p.cause)
			assert.equal(1, p.restarts)
		end)
	end)

	it("tells a service in a crash loop with its cause, its log and the next try; the rest runs", function()
		node = Instance.new { config = sleeper .. '\nservice "bad" { command = { "/bin/sh", "-c", "echo no luck; exit 3" } }' }
		local out, code = node:dss "start"
		assert.equal(1, code, out)
		assert.truthy(out:find("bad: crash", 1, true) and out:find("run/bad.log", 1, true) and out:find "next try at %d", out)
		helper.wait_for("the others", function()
			local by = node:status().by
			return by.sleeper.state == "ready" and by.backend.state == "ready"
		end)
		local status, status_code = node:status()
		assert.equal(1, status_code)
		helper.wait_for("a pause", function()
			local p = node:status().by.bad
			return p.state == "backoff" and p.nextTryAt and p.giveUpAt and p.giveUpAt > p.nextTryAt
		end)
		assert.equal("crash", status.by.bad.cause)
	end)

	it("starts nothing from a configuration with a mistake", function()
		node = Instance.new { config = 'servce "x" { command = { "/bin/true" } }' }
		local out, code = node:dss "start"
		assert.equal(1, code)
		assert.truthy(out:find "config/dss%.lua:%d+: " and out:find('did you mean "service"', 1, true), out)
		assert.same({}, node:processes())
	end)

	it("starts a backend that ended while the configuration was half edited with what was taken before", function()
		node = Instance.new {}
		node:start()
		local config = node:read "config/dss.lua"
		node:write("config/dss.lua", "node { port =")
		local old = node:kill("backend", "KILL")
		helper.wait_for("the next backend", function()
			local p = node:status().by.backend
			return p.state == "ready" and p.pid ~= old
		end)
		local out, code = node:dss "restart"
		assert.equal(1, code, out)
		assert.truthy(out:find "config/dss%.lua:%d+", out)
		node:write("config/dss.lua", config)
	end)

	it("refuses a taken port and names its holder", function()
		local first = Instance.new {}
		finally(function() first:remove() end)
		first:start()
		local port = first:port()
		node = Instance.new { port = port }
		local out, code = node:dss "start"
		assert.equal(1, code)
		assert.truthy(out:find(("port %d is held by"):format(port), 1, true), out)
		assert.same({}, node:processes())
	end)

	it("runs in the foreground until it gets TERM", function()
		node = Instance.new { config = sleeper }
		local log = node.root .. "/out"
		assert(os.execute(("env DSS_SHARE=%s setsid %s run >%s 2>&1 </dev/null &"):format(Instance.quote(Instance.environment().DSS_SHARE or ""),
			Instance.quote(node.dir .. "/bin/dss"), log)))
		helper.wait_for("the foreground instance", function() return select(2, node:status()) == 0, helper.read(log) end, 20)
		node:kill("keeper", "TERM")
		helper.wait_for("its end", function() return next(node:processes()) == nil end, 20)
		assert.truthy(helper.read(log):find "keeper", helper.read(log))
	end)
end)
