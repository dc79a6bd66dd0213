-- Exec in place: the keeper is replaced by its successor and no child notices.
local helper = require "spec.helper"
local K = require "spec.keeper.instance"
local t = require "t_keeper"

local KILL = 9

local function service(argv, more)
	local s = { argv = argv, box = "core/x", sink = "null" }
	for k, v in pairs(more or {}) do s[k] = v end
	return s
end

describe("exec in place", function ()
	after_each(K.finish_all)

	local function restart_keeper(i)
		local answer = i:order("restart", "keeper")
		assert.equal("done", answer.name, answer.text)
		helper.wait_for("the take-over", function ()
			local _, n = i:log():gsub("took over %d+ processes", "")
			i.taken = i.taken or 0
			if n > i.taken then
				i.taken = n
				return true
			end
		end)
	end

	it("keeps the pids of all, the backend's connection, the numbers of events, and every line of output", function ()
		local i = K.new { services = function (plan)
			plan.order[3] = "steady"
			plan.services.steady = service({ "/bin/sleep", "1000" }, { box = "core/steady" })
		end }
		i:start()
		local b = i:backend()
		b:spawn { id = "talker", sink = "kernel:talker", label = "kept", prefix = "[old] ",
			sh = ("n=0; while [ $n -lt 20000 ]; do n=$((n+1)); echo line $n; done; while [ ! -e %s/go ]; do sleep 0.01; done; exit 12"):format(i.dir) }
		b:spawn { id = "told", ready = "fd", ready_within_ms = 60000, sh = ("while [ ! -e %s/go ]; do sleep 0.01; done; echo >&$DSS_READY_FD; exec sleep 1000"):format(i.dir) }
		b:spawn { id = "ended", sh = "exit 7" }
		b:event("told", "started")
		local e = b:event("ended", "exited")
		b:must("route", { id = "talker", sink = "kernel:talker", prefix = "[new] " })
		local before, pids = b:rows(), {}
		for _, name in ipairs { "keeper", "logger", "backend", "steady" } do pids[name] = i:row(name).pid end
		for _ = 1, 3 do restart_keeper(i) end
		local after = b:rows()
		for id, row in pairs(before) do
			assert.same({ id, row.pid, row.label, row.start_ticks }, { id, after[id].pid, after[id].label, after[id].start_ticks })
		end
		for name, pid in pairs(pids) do assert.same({ name, pid, "ready" }, { name, i:row(name).pid, i:row(name).state }) end
		-- an end that was not acknowledged is still there, with its verdict
		assert.same({ "dead", "crash", 7 }, { after["ended"].state, after["ended"].cause, after["ended"].code })
		helper.write(i.dir .. "/go", "")
		local last = b:event("talker", "exited")
		assert.same({ "crash", 12 }, { last.cause, last.code })
		b:event("told", "ready")
		b:wait("talker to be drained", function () return b:rows()["talker"].state == "dead" end)
		local expected = 0
		for n in i:log("backend"):gmatch("line (%d+)\n") do
			expected = expected + 1
			assert.equal(expected, tonumber(n))
		end
		assert.equal(20000, expected)
		local seen = {}
		for _, x in ipairs(b.events) do
			assert.is_nil(seen[x.seq], "told twice: " .. x.seq)
			seen[x.seq] = true
		end
		for n = e.seq, b.events[#b.events].seq do assert.is_true(seen[n], "event " .. n) end
		b:ack()
		assert.is_nil(b:rows()["ended"])
	end)

	it("keeps the page of the backends: a killed one's words are there for the next, also after an exec in place", function ()
		local i = K.new()
		i:start()
		-- the page as the backend would map it: its descriptor by the number in its environment
		local function page(b, mode)
			local fd = (helper.read(("/proc/%d/environ"):format(b.pid)) or ""):match("DSS_CRUMB_FD=(%d+)")
			return assert(io.open(("/proc/%d/fd/%s"):format(b.pid, assert(fd, "no page in the environment")), mode))
		end
		local function words(b)
			local f = page(b, "rb")
			local all = f:read("a")
			f:close()
			return #all, (all:match("^[^%z]*"))
		end
		local b = i:backend()
		assert.same({ 4096, "" }, { words(b) })
		local f = page(b, "r+b")
		f:write("policies/10-pools.lua:4 warm.max")
		f:close()
		f = page(b, "r+b")
		f:seek("set", 4096)
		assert.is_nil(f:write("x") and f:flush(), "it grew")
		f:close()
		t.signal(b.pid, KILL)
		b:closed()
		local second = i:backend()
		assert.not_equal(b.pid, second.pid)
		assert.same({ 4096, "policies/10-pools.lua:4 warm.max" }, { words(second) })
		restart_keeper(i)
		assert.same({ 4096, "policies/10-pools.lua:4 warm.max" }, { words(second) })
		t.signal(second.pid, KILL)
		second:closed()
		assert.same({ 4096, "policies/10-pools.lua:4 warm.max" }, { words(i:backend()) })
	end)

	it("keeps prefix and sink of a routed output for the next logger", function ()
		local i = K.new()
		i:start()
		local b = i:backend()
		b:spawn { id = "r", sink = "kernel:r", prefix = "[old] ", sh = ("while [ ! -e %s/go ]; do sleep 0.01; done; echo spoken; exec sleep 1000"):format(i.dir) }
		b:event("r", "ready")
		b:must("route", { id = "r", sink = "kernel:r", prefix = "[new] " })
		restart_keeper(i)
		local logger = i:row("logger").pid
		t.signal(logger, KILL)
		i:row_where("logger", "up again", function (r) return r.state == "ready" and r.pid ~= logger end)
		helper.write(i.dir .. "/go", "")
		i:logged("backend", "%[new%] spoken")
	end)

	it("tells the end of a process that ends while nobody looks, also of an adopted one", function ()
		local i = K.new { services = function (plan)
			plan.order[3] = "jupyter"
			plan.services.jupyter = service({ "/bin/sh", "-c", "sleep 1000 & exec sleep 1001" }, { box = "core/jupyter" })
		end }
		i:start()
		local b = i:backend()
		local main = i:row_where("jupyter", "ready", function (r) return r.state == "ready" end).pid
		local child = helper.wait_for("the child", function ()
			for _, pid in ipairs(i:pids("jupyter")) do if pid ~= main and t.process(pid).comm == "sleep" then return pid end end
		end)
		b:must("box", { id = "nb", pid = child, box = "run/nb", kind = "notebook" })
		b:spawn { id = "short", sh = ("while [ ! -e %s/go ]; do :; done; exit 3"):format(i.dir) }
		b:event("short", "ready")
		local d = i:door()
		d:send("door", { req = 1, verb = "restart", name = "keeper" })
		helper.write(i.dir .. "/go", "")
		assert.same({ "crash", 3 }, { b:event("short", "exited").cause, b:event("short", "exited").code })
		d:close()
		i:logged("keeper", "took over")
		t.signal(child, KILL)
		assert.is_truthy(b:event("nb", "exited").cause)
	end)

	it("starts what a changed plan has anew and stops what it has no more", function ()
		local i = K.new { lines = { "listen page 127.0.0.1 0" }, services = function (plan)
			plan.order[3] = "old"
			plan.services.old = service({ "/bin/sleep", "1000" }, { box = "core/old" })
		end }
		i:start()
		local b = i:backend()
		local old = i:row_where("old", "ready", function (r) return r.state == "ready" end).pid
		i:write_plan(function (plan)
			plan.services.old = nil
			plan.order[4] = "new"
			plan.services.new = service({ "/bin/sleep", "1000" }, { box = "core/new", inherit = { "page", "more" } })
			plan.lines[2] = "listen more 127.0.0.1 0"
		end)
		restart_keeper(i)
		assert.same({ "down", 1 }, { b:event("old", "exited").wanted, b:event("old", "exited").signal == 15 and 1 or 0 })
		assert.is_nil(i:row("old"))
		i:row_where("new", "ready", function (r) return r.state == "ready" end)
		helper.wait_for("the end of the old one", function () return not t.process(old) end)
		b:ack()
		helper.wait_for("its box to go", function () return not i:box("core/old") end)
	end)

	it("gives a port that has another name now to that name, without closing it", function ()
		local i = K.new { lines = { "listen page 127.0.0.1 0" } }
		i:start()
		i:backend()
		-- nobody else can listen there meanwhile: the keeper still does
		local function listeners()
			local pid, out = i:row("keeper").pid, {}
			local held = K.command_output(("ls -l /proc/%d/fd"):format(pid))
			for address, p, inode in helper.read("/proc/net/tcp"):gmatch "%d+: (%x+):(%x+) %x+:0000 0A%s+%S+%s+%S+%s+%x+%s+%d+%s+%d+%s+(%d+)" do
				if address == "0100007F" and held:find("socket:[" .. inode .. "]", 1, true) then out[#out + 1] = ("127.0.0.1:%d "):format(tonumber(p, 16)) end
			end
			return table.concat(out)
		end
		local port = listeners():match "127%.0%.0%.1:(%d+)"
		i:service("holder", { argv = { "/bin/sh", "-c", "echo front is $DSS_LISTEN_FRONT_FD; exec sleep 1000" }, inherit = "front", box = "core/holder", sink = "service:holder" })
		i:write_plan(function (plan) plan.lines = { "listen front 127.0.0.1 " .. port, "listen page 127.0.0.1 0", "listen_unix desk" } end)
		restart_keeper(i)
		i:row_where("holder", "ready", function (r) return r.state == "ready" end)
		i:logged("holder", "front is %d")
		local ports = {}
		for p in listeners():gmatch "127%.0%.0%.1:(%d+)" do ports[p] = true end
		assert.is_true(ports[port])
		ports[port] = nil
		assert.is_string((next(ports)))
		i:write_plan(function (plan) plan.lines = { "listen page 127.0.0.1 " .. port, "listen front 127.0.0.1 0" } end)
		restart_keeper(i)
		assert.matches("127%.0%.0%.1:" .. port .. "%s", listeners())
		assert.is_nil(K.command_output("ls " .. i.dir .. "/run"):find "desk")
	end)

	it("is refused with a reason where the plan is broken or names another instance; the keeper goes on", function ()
		local i = K.new()
		i:start()
		local b = i:backend()
		local plan = helper.read(i.dir .. "/run/keeper.plan")
		local broken = { { plan .. "gravity on\n", 'unknown word "gravity"' }, { plan:gsub("instance %w+", "instance deadbeef"), "`instance` cannot change" },
			{ plan:gsub("cgroups %w+", "cgroups none"), "`cgroups` cannot change" }, { "", "no dss%-plan 1" } }
		for _, case in ipairs(broken) do
			helper.write(i.dir .. "/run/keeper.plan", case[1])
			local answer = i:order("restart", "keeper")
			assert.equal("fail", answer.name)
			assert.is_truthy(answer.text:find(case[#case]), answer.text)
		end
		os.remove(i.dir .. "/run/keeper.plan")
		assert.equal("fail", i:order("reload").name)
		assert.is_truthy(b:must("list"))
		assert.equal("ready", i:row("keeper").state)
	end)

	it("keeps the record of a service's crashes and when they will be forgotten", function ()
		local i = K.new { services = function (plan)
			plan.order[3] = "s"
			plan.services.s = service({ "/bin/sleep", "1000" }, { box = "core/s", healthy_ms = 700 })
			plan.order[4] = "f"
			plan.services.f = service({ "/bin/sh", "-c", "exit 2" }, { box = "core/f", restart_most_ms = 60000 })
			plan.order[5] = "off"
			plan.services.off = service({ "/bin/sleep", "1000" }, { box = "core/off" })
		end }
		i:start()
		local first = i:row_where("s", "ready", function (r) return r.state == "ready" end)
		t.signal(first.pid, KILL)
		i:row_where("s", "up again", function (r) return r.state == "ready" and r.pid ~= first.pid end)
		i:order("stop", "off")
		i:row_where("off", "down", function (r) return r.state == "down" end)
		local backoff = i:row_where("f", "in back-off", function (r) return r.state == "backoff" and r.crashes >= 2 end)
		restart_keeper(i)
		assert.equal(1, i:row("s").crashes)
		assert.same({ "down", "down" }, { i:row("off").state, i:row("off").wanted })
		local row = i:row("f")
		assert.is_true(row.crashes >= backoff.crashes and row.count < backoff.count + 3)
		i:row_where("s", "healthy", function (r) return r.crashes == 0 end)
	end)
end)
