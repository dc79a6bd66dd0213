-- A backend that lies, storms, and machines that run out of things.
local helper = require "spec.helper"
local K = require "spec.keeper.instance"
local t = require "t_keeper"
local wire = require "t_wire"

local EMFILE = 24

describe("a hostile backend", function ()
	local i, b
	setup(function ()
		i = K.new()
		i:start()
		b = i:backend("silent")
	end)
	teardown(function () i:finish() end)

	local function answer_to(bytes)
		b:raw(bytes)
		return b:wait("a fail", function ()
			for req, list in pairs(b.answers) do
				if list[1].name == "fail" then
					b.answers[req] = nil
					return list[1]
				end
			end
			if not b.fd then error("cut off") end
		end)
	end

	it("must say hello first, in a version that is known", function ()
		assert.is_truthy(answer_to(wire.encode("list", { "req", 1 })).text:find("list before hello"))
		assert.is_truthy(answer_to(wire.encode("hello", { "version", 77 })).text:find("wire version 77"))
		b:send("hello", { version = 0 })
		assert.equal(1, b:message("welcome").version)
	end)

	it("is told of unknown types, wrong directions and missing fields by name, and nothing else happens", function ()
		assert.is_truthy(answer_to(wire.encode(99, { "req", 7 })).text:find("99"))
		for _, name in ipairs { "ok", "row", "event", "welcome", "pipe", "finish", "drained", "trouble", "note" } do
			local m
			for _, x in ipairs(wire.messages()) do if x.name == name then m = x end end
			assert.is_truthy(answer_to(wire.encode(name, { "req", 7 })).text:find("message " .. m.name), name)
		end
		local needs = { stop = "cause", signal = "signal", spawn = "box", limit = "knob", freeze = "on", label = "label", box = "pid" }
		for name, field in pairs(needs) do
			local all = { req = 7, id = "x", kind = "k", argv = "/bin/true", box = "warm/x", sink = "null", cause = "user", text = "t", signal = 1,
				knob = "pids", value = 1, on = 1, label = "l", pid = 1 }
			all[field] = nil
			local list = {}
			for k, v in pairs(all) do list[#list + 1], list[#list + 2] = k, v end
			local text = answer_to(wire.encode(name, list)).text
			assert.is_truthy(text:find("field " .. field .. " is missing"), text)
		end
		assert.same({}, b:rows()["x"] and { "x" } or {})
	end)

	it("cannot name what is not its own: boxes, sinks, users, services, limits of others", function ()
		local base = { id = "bad", kind = "k", argv = "/bin/true", box = "warm/bad", sink = "null" }
		local cases = {
			{ "box", "core/bad", "below warm/ or run/" }, { "box", "warm", "below warm/ or run/" }, { "box", "/warm/bad", "box" },
			{ "box", "warm/../core/x", "box" }, { "box", "run/../../x", "box" }, { "box", "warm//x", "box" }, { "box", "warm/", "box" }, { "box", "", "box" },
			{ "box", "warm/" .. ("a/"):rep(20) .. "a", "" }, { "box", "run/x y", "box" }, { "box", "run/\n", "box" },
			{ "sink", "/etc/passwd", "sink" }, { "sink", "service:keeper", "service" }, { "sink", "kernel:../x", "sink" },
			{ "sink", "job:P/x:y", "sink" }, { "sink", "job:P", "sink" }, { "sink", "file:x", "sink" }, { "sink", "", "sink" },
			{ "user", "root", "one user" }, { "user", "nobody", "one user" },
			{ "id", "../x", "id" }, { "id", "", "id" }, { "id", ("x"):rep(200), "id" }, { "id", "a b", "id" },
			{ "limit", "memory", "limit" }, { "limit", "memory=x", "" }, { "limit", "gravity=1", "gravity" }, { "limit", "memory=-2", "" },
			{ "rlimit", "nofile=1", "rlimit" }, { "rlimit", "soul=1:1", "rlimit" }, { "ready", "when it likes", "ready rule" },
			{ "ready", "port 127.0.0.1 99999", "ready rule" },
			{ "ready", "socket /" .. ("s"):rep(390), "longer than 390" }, { "stop_signal", 0, "stop_signal" }, { "stop_signal", 900, "stop_signal" },
			{ "grace_ms", -5, "grace_ms" }, { "ready_within_ms", -1, "ready_within_ms" }, { "label", ("x"):rep(4097), "label" },
			{ "secrets", ("s"):rep(4097), "secrets" }, { "env", "NOEQUALS", "env" }, { "mask", ("m"):rep(16385), "mask" }, { "argv", "", "argv" },
		}
		for _, c in ipairs(cases) do
			local fields = {}
			for k, v in pairs(base) do fields[k] = v end
			fields[c[1]] = c[2]
			local answer = b:ask("spawn", fields)
			local shown = c[1] .. " = " .. tostring(c[2]):sub(1, 40)
			if answer.name == "ok" then -- a box too deep is known only when it is made
				local e = b:event(fields.id, "exited")
				assert.same({ shown, "start_failed" }, { shown, e.cause })
				b:ack(e.seq)
			else
				assert.equal("fail", answer.name, shown)
				assert.is_truthy(answer.text:find(c[3], 1, true), shown .. ": " .. answer.text)
			end
		end
		for _, name in ipairs { "stop", "signal", "label", "freeze", "usage", "route" } do
			local fields = { id = "backend", cause = "user", text = "x", signal = 9, label = "x", on = 1, sink = "null" }
			local text = b:refused(name, fields)
			assert.is_truthy(text:find("only the door may order it"), text)
			fields.id = "nobody-knows-it"
			assert.is_truthy(b:refused(name, fields):find("does not exist"))
		end
		for _, box in ipairs { "core/backend", "run/../core/backend", "..", "warm", "" } do
			assert.equal("fail", b:ask("limit", { box = box, knob = "memory", value = 4096 }).name, box)
			assert.equal("fail", b:ask("box", { id = "thief", pid = i.pid, box = box, kind = "k" }).name, box)
		end
		assert.equal("fail", b:ask("limit", { box = "run/x", knob = "soul", value = 1 }).name)
		for n = 1, 20 do
			local text, code = b:refused("limit", { box = "run/never-" .. n, knob = "memory", value = 1 << 20 })
			assert.same({ 2, true }, { code, text:find("unable to limit box", 1, true) ~= nil }, text)
			assert.is_nil(i:box("run/never-" .. n))
		end
		assert.is_truthy(b:refused("box", { id = "thief", pid = i.pid, box = "warm/thief", kind = "k" }):find("adopted"))
		for _, name in ipairs { "backend", "logger" } do
			assert.is_truthy(b:refused("box", { id = "thief", pid = i:row(name).pid, box = "warm/thief", kind = "k" }):find("adopted"))
		end
		-- what would pass for a service once the keeper has executed itself anew
		i:service("down", { argv = { "/bin/sleep", "1000" }, box = "core/down", sink = "null" })
		assert.equal("done", i:order("restart", "keeper").name)
		i:logged("keeper", "took over")
		assert.equal("done", i:order("stop", "down").name)
		i:row_where("down", "down", function (r) return r.state == "down" end)
		for id, kind in pairs { down = "kernel", other = "service" } do
			local text = b:refused("spawn", { id = id, kind = kind, argv = "/bin/true", box = "warm/bad", sink = "null" })
			assert.is_truthy(text:find("would pass for a service"), text)
		end
		assert.equal("fail", b:ask("signal", { id = "x", signal = 9, cause = "crash", text = "x" }).name)
		assert.is_nil(b:rows()["bad"])
		assert.equal(0, os.execute(("test ! -e /sys/fs/cgroup/memory/dss-%s/core/bad"):format(i.id)) and 0 or 1)
	end)

	it("may acknowledge what has not happened yet without harm", function ()
		b:send("ack", { seq = 1 << 60 })
		b:send("ack", { seq = -1 })
		b:spawn { id = "after-ack", sh = "exit 0" }
		b:ack(b:event("after-ack", "exited").seq)
		assert.is_nil(b:rows()["after-ack"])
	end)

	it("keeps nobody from an exec in place by a process with the longest command that fits into an order", function ()
		local MOST, WORD = 256 * 1024, 100000
		local argv = { "/bin/sh", "-c", "exec sleep 1000" }
		for _ = 1, 2 do argv[#argv + 1] = ("x"):rep(WORD) end
		local fields = { "req", 9000, "id", "long", "kind", "k", "box", "warm/long", "sink", "null" }
		for _, word in ipairs(argv) do fields[#fields + 1], fields[#fields + 2] = "argv", word end
		local room = MOST - #wire.encode("spawn", fields) - 20
		fields[#fields + 1], fields[#fields + 2] = "env", "X=" .. ("y"):rep(room)
		b:raw(wire.encode("spawn", fields))
		local pid = b:event("long", "ready").pid
		helper.wait_for("its environment", function () return helper.read(("/proc/%d/environ"):format(pid)):find("X=yyy", 1, true) end)
		local answer = i:order("restart", "keeper")
		assert.equal("done", answer.name, answer.text)
		b:must("usage", { id = "long" })
		i:logged("keeper", "took over.*took over")
		assert.equal(pid, b:rows()["long"].pid)
		b:stop("long")
		b:event("long", "exited")
	end)

	it("is cut off for what does not frame, and a new one starts; processes live on", function ()
		b:spawn { id = "stays", sh = "exec sleep 1000" }
		local pid = b:event("stays", "ready").pid
		local garbage = { "GET / HTTP/1.1\r\nHost: x\r\n\r\n", ("\0"):rep(64), string.pack("<I4I2I2", 1 << 30, 3, 0) .. "x", string.pack("<I4I2I2", 4, 3, 200) }
		for n, bytes in ipairs(garbage) do
			b:raw(bytes)
			b:closed()
			-- by hand, so that the back-off of so many deaths need not be waited for
			i:row_where("backend", "gone", function (r) return r.pid ~= b.pid end)
			i:order("start", "backend")
			b = i:backend()
			assert.equal(pid, b:rows()["stays"].pid, "garbage " .. n)
		end
		b:stop("stays")
		b:event("stays", "exited")
	end)
end)

describe("a storm", function ()
	local i, b
	setup(function ()
		i = K.new()
		i:start()
		b = i:backend()
	end)
	teardown(function () i:finish() end)

	it("of 300 processes is borne: all come up, every end is told once, no box or descriptor stays", function ()
		local before = t.count_fds(i.pid)
		for n = 1, 300 do
			b:send("spawn", { req = 10000 + n, id = "s" .. n, kind = "k", argv = { "/bin/sleep", "1000" }, box = "warm/s" .. n, sink = "kernel:s" .. n })
		end
		for n = 1, 300 do b:event("s" .. n, "ready", 60) end
		assert.equal(301, #i:pids() - 1) -- beside the backend: the logger
		for n = 1, 300 do b:send("stop", { req = 20000 + n, id = "s" .. n, cause = "user", text = "enough" }) end
		for n = 1, 300 do assert.equal("user", b:event("s" .. n, "exited", 60).cause) end
		b:ack()
		b:wait("all entries to be gone", function () return next(b:rows()) == nil end, 30)
		local ends = 0
		for _, e in ipairs(b.events) do ends = ends + (e.what == "exited" and 1 or 0) end
		assert.equal(300, ends)
		assert.equal("", K.command_output(("find /sys/fs/cgroup -type d -path '*/dss-%s/warm/*' 2>/dev/null"):format(i.id)))
		helper.wait_for("descriptors to be closed", function ()
			local n = t.count_fds(i.pid)
			return n <= before, n .. " of " .. before
		end)
	end)

	it("of 200 processes with 1000 lines each loses no line", function ()
		for n = 1, 200 do
			b:send("spawn", { req = 30000 + n, id = "w" .. n, kind = "k", box = "warm/w" .. n, sink = "kernel:w" .. n, prefix = ("[w%d] "):format(n),
				argv = { "/bin/sh", "-c", "i=0; while [ $i -lt 1000 ]; do i=$((i+1)); echo $i; done" } })
		end
		for n = 1, 200 do assert.equal("exited", b:event("w" .. n, "exited", 60).cause) end
		b:wait("all to be drained", function ()
			for _, row in pairs(b:rows()) do if row.state ~= "dead" then return false end end
			return true
		end, 60)
		local last, lines = {}, 0
		for n, line in i:log("backend"):gmatch("%[w(%d+)%] (%d+)\n") do
			assert.equal((last[n] or 0) + 1, tonumber(line))
			last[n] = tonumber(line)
			lines = lines + 1
			if lines % 10000 == 0 then b:wait("nothing: a slow machine takes half a minute for this, and we must not look lost", function () return true end) end
		end
		assert.equal(200 * 1000, lines)
		b:ack()
		b:wait("all entries to be gone", function () return next(b:rows()) == nil end)
	end)

	it("of starts of a program that vanishes is a clear fact each time", function ()
		local program = i.dir .. "/vanishing"
		helper.write(program, "#!/bin/sh\nexit 0\n")
		t.chmod(program, 493)
		b:spawn { id = "v0", argv = program }
		assert.equal("exited", b:event("v0", "exited").cause)
		os.remove(program)
		for n = 1, 20 do b:spawn { id = "v" .. n, argv = program } end
		for n = 1, 20 do
			local e = b:event("v" .. n, "exited")
			assert.same({ "start_failed", 2 }, { e.cause, e.code })
			assert.is_truthy(e.text:find(program, 1, true))
		end
		b:ack()
	end)

	it("inside a box that is allowed few processes ends there", function ()
		if b.welcome.cgroups == "none" then return end
		b:spawn { id = "bomb", limit = "pids=20", sh = "f() { f | f & }; f; sleep 1; exit 1" }
		b:spawn { id = "fine", sh = "sleep 0.1; exit 0" }
		assert.equal("exited", b:event("fine", "exited").cause)
		b:stop("bomb", { grace_ms = 50 })
		b:event("bomb", "exited")
		b:wait("bomb to be dead", function () return b:rows()["bomb"].state == "dead" end)
		assert.same({}, i:pids("bomb"))
	end)
end)

describe("a keeper without descriptors", function ()
	after_each(K.finish_all)

	it("refuses births with a clear fact, leaks nothing and goes on once there are some again", function ()
		local i = K.new { nofile = 90 }
		i:start()
		local b = i:backend()
		local before = t.count_fds(i.pid)
		local n, failed = 0, nil
		while not failed and n < 90 do
			n = n + 1
			b:spawn { id = "f" .. n, argv = { "/bin/sleep", "1000" }, sink = "kernel:f" .. n }
			local e = b:wait("an outcome", function ()
				for _, x in ipairs(b.events) do if x.id == "f" .. n and (x.what == "ready" or x.what == "exited") then return x end end
			end)
			if e.what == "exited" then failed = e end
		end
		assert.is_truthy(failed)
		assert.same({ "start_failed", EMFILE }, { failed.cause, failed.code })
		assert.is_truthy(failed.text:find("Too many open files"), failed.text)
		-- the door says no instead of hanging
		local clients = {}
		for c = 1, 40 do clients[c] = t.connect(i.dir .. "/run/keeper.sock") end
		for _, fd in pairs(clients) do t.close(fd) end
		for k = 1, n - 1 do b:stop("f" .. k, { grace_ms = 0 }) end
		for k = 1, n - 1 do b:event("f" .. k, "exited") end
		b:ack()
		b:wait("all entries to be gone", function () return next(b:rows()) == nil end)
		helper.wait_for("descriptors to be closed", function ()
			local now = t.count_fds(i.pid)
			return now <= before, now .. " of " .. before
		end)
		b:spawn { id = "again", sh = "echo here I am", sink = "kernel:again" }
		assert.equal("exited", b:event("again", "exited").cause)
		i:logged("backend", "here I am")
		assert.equal("ready", i:row("keeper").state)
	end)
end)

describe("a backend whose orders are refused by the hundred", function ()
	after_each(K.finish_all)

	it("fills no log: some are logged, the others counted", function ()
		local i = K.new()
		i:start()
		local b = i:backend()
		for n = 1, 500 do b:send("stop", { req = 30000 + n, id = "no-such-" .. n, cause = "user", text = "x" }) end
		b:wait("all answers", function () return b.answers[30500] end)
		for n = 1, 500 do assert.equal("fail", b.answers[30000 + n][1].name) end
		b:close() -- the next one has an account of its own
		local more = tonumber(i:logged("keeper", "refused (%d+) more orders of the backend"))
		local _, logged = i:log():gsub("refused an order of the backend: stop: process \"no%-such", "")
		assert.equal(500, more + logged)
		assert.is_true(logged >= 1 and logged <= 20, "logged " .. logged)
	end)
end)
