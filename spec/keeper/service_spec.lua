-- Services: restarted at once, then ever slower; backend and logger may die at any moment.
local helper = require "spec.helper"
local K = require "spec.keeper.instance"
local t = require "t_keeper"
local clock = require "t_wait"

local KILL, STOP = 9, 19

local function add(name, s)
	return function (plan)
		plan.order[#plan.order + 1] = name
		plan.services[name] = s
	end
end

local function now_ms() return os.time() * 1000 end

describe("a service", function ()
	after_each(K.finish_all)

	it("starts again at once after a first crash, then after a pause whose end is shown, and is given up", function ()
		local i = K.new { services = add("flaky", { argv = { "/bin/sh", "-c", "exit 9" }, box = "core/flaky", sink = "service:flaky", give_up_ms = 2500 }) }
		i:start()
		local row = i:row_where("flaky", "in back-off", function (r) return r.state == "backoff" and r.crashes == 2 end)
		assert.equal(1, row.count)
		assert.same({ "crash", "flaky exited with status 9", "up" }, { row.cause, row.text, row.wanted })
		assert.is_true(row.next_ms >= now_ms() - 1000 and row.next_ms <= now_ms() + 3000)
		assert.is_true(row.give_up_ms > now_ms() - 1000 and row.give_up_ms <= now_ms() + 5000)
		i:logged("keeper", "flaky ended 2 times without health %(crash: flaky exited with status 9%); retry in 1 s")
		row = i:row_where("flaky", "given up", function (r) return r.state == "failed" end)
		assert.is_nil(row.next_ms)
		assert.equal(3, row.crashes)
		i:logged("keeper", "flaky is given up after 3 ends")
		-- by hand it starts anew, with a clean record
		local starts = row.count
		i:order("start", "flaky")
		row = i:row_where("flaky", "tried anew", function (r) return r.count > starts end)
		assert.is_true(row.crashes <= 2)
	end)

	it("that starts by hand out of a back-off does so at once", function ()
		local i = K.new { services = function (plan)
			add("later", { argv = { "/bin/sh", "-c", "[ -e ../ok ] && exec sleep 1000; exit 1" }, box = "core/later", sink = "null" })(plan)
		end }
		i.plan.services.later.cwd = i.dir .. "/run"
		i:write_plan()
		i:start()
		i:row_where("later", "in back-off", function (r) return r.state == "backoff" and r.crashes >= 2 end)
		helper.write(i.dir .. "/ok", "")
		i:order("start", "later")
		assert.equal("ready", i:row_where("later", "ready", function (r) return r.state == "ready" end).state)
	end)

	it("has its crashes forgotten after health", function ()
		local i = K.new { services = add("sleeper", { argv = { "/bin/sleep", "1000" }, box = "core/sleeper", sink = "null", healthy_ms = 300 }) }
		i:start()
		local first = i:row_where("sleeper", "ready", function (r) return r.state == "ready" end)
		t.signal(first.pid, KILL)
		local second = i:row_where("sleeper", "up again", function (r) return r.state == "ready" and r.pid ~= first.pid end)
		assert.same({ 1, "signal" }, { second.crashes, second.cause })
		i:row_where("sleeper", "healthy", function (r) return r.crashes == 0 end)
		i:logged("keeper", "sleeper is healthy again")
		assert.equal(second.pid, i:row("sleeper").pid)
	end)

	it("starts after those it is declared after are ready, and with the sockets it inherits", function ()
		local i = K.new { lines = { "listen page 127.0.0.1 0" } }
		local go = i.dir .. "/go"
		i:service("first", { argv = { "/bin/sh", "-c", ("while [ ! -e %s ]; do sleep 0.01; done; echo >&$DSS_READY_FD; exec sleep 1000"):format(go) }, ready = "fd", box = "core/first", sink = "null" })
		i:service("second", { argv = { "/bin/sh", "-c", "ls -l /proc/$$/fd/$DSS_LISTEN_PAGE_FD; exec sleep 1000" }, after = "first", inherit = "page", box = "core/second", sink = "service:second" })
		i:start()
		i:row_where("first", "up", function (r) return r.pid > 0 end)
		i:backend()
		assert.same({ "starting", "down", 0 }, { i:row("first").state, i:row("second").state, i:row("second").pid })
		helper.write(go, "")
		i:row_where("second", "ready", function (r) return r.state == "ready" end)
		i:logged("second", "socket:%[%d+%]")
	end)

	it("inherits a socket with a file, for one user alone, which goes with the keeper; reads its configuration anew by its own signal", function ()
		local i = K.new { lines = { "listen_unix desk" } }
		local file = i.dir .. "/run/desk.sock"
		i:service("second", { argv = { "/bin/sh", "-c", "trap 'echo told' HUP; ls -l /proc/$$/fd/$DSS_LISTEN_DESK_FD; while :; do sleep 0.05; done" },
			inherit = "desk", box = "core/second", sink = "service:second", reload_signal = 1 })
		i:start()
		local pid = i:row_where("second", "ready", function (r) return r.state == "ready" end).pid
		i:logged("second", "socket:%[%d+%]")
		assert.equal("srw-------", K.command_output("stat -c %A " .. file):match "%S+")
		assert.equal("done", i:order("reload", "second").name)
		i:logged("second", "told")
		assert.equal(pid, i:row("second").pid)
		assert.matches("service logger cannot be reloaded", i:order("reload", "logger").text)
		assert.matches("does not exist", i:order("reload", "third").text)
		i:order("stop", "second")
		i:row_where("second", "down", function (r) return r.state == "down" end)
		assert.matches("service second is not ready %(down%)", i:order("reload", "second").text)
		i:order("stop")
		helper.wait_for("the socket's file to go", function () return helper.read(file) == nil and K.command_output("ls " .. i.dir .. "/run"):find "desk" == nil end)
	end)

	it("whose leftovers stay in its box is cleaned before the next one starts", function ()
		local i = K.new { services = add("parent", { argv = { "/bin/sh", "-c", "trap '' HUP; setsid sleep 1000 & exec sleep 1001" }, box = "core/parent", sink = "null" }) }
		i:start()
		local row = i:row_where("parent", "ready", function (r) return r.state == "ready" end)
		helper.wait_for("two of them", function () return #i:pids("parent") == 2 end)
		t.signal(row.pid, KILL)
		local again = i:row_where("parent", "up again", function (r) return r.state == "ready" and r.pid ~= row.pid end)
		helper.wait_for("two of them again", function () return #i:pids("parent") == 2 end)
		assert.is_truthy(again)
	end)

	it("that cannot be started says so and backs off", function ()
		local i = K.new { services = add("ghost", { argv = { "/nonexistent/ghost" }, box = "core/ghost", sink = "null" }) }
		i:start()
		local row = i:row_where("ghost", "in back-off", function (r) return r.state == "backoff" end)
		assert.equal("start_failed", row.cause)
		assert.is_truthy(row.text:find("/nonexistent/ghost"), row.text)
		i:backend()
	end)
end)

describe("the logger", function ()
	after_each(K.finish_all)

	it("killed -9 is started again and goes on where it stopped", function ()
		local i = K.new()
		i:start()
		local b = i:backend()
		b:spawn { id = "talker", sink = "kernel:talker", sh = ("n=0; while [ $n -lt 3000 ]; do n=$((n+1)); echo line $n; [ $n = 1000 ] && while [ ! -e %s/go ]; do sleep 0.01; done; done"):format(i.dir) }
		i:logged("backend", "line 900\n")
		local before = i:row("logger").pid
		t.signal(before, KILL)
		local row = i:row_where("logger", "up again", function (r) return r.state == "ready" and r.pid ~= before end)
		assert.equal("signal", row.cause)
		helper.write(i.dir .. "/go", "")
		b:event("talker", "exited")
		b:wait("talker to be drained", function () return b:rows()["talker"].state == "dead" end)
		-- at most the chunk it held is lost, in one piece, and what came after its death is whole
		local seen = {}
		for n in i:log("backend"):gmatch("line (%d+)\n") do seen[tonumber(n)] = true end
		for n = 1001, 3000 do assert.is_true(seen[n], "line " .. n) end
		local gaps = 0
		for n = 2, 1000 do if not seen[n] and seen[n - 1] then gaps = gaps + 1 end end
		assert.is_true(gaps <= 1, gaps .. " gaps")
	end)

	it("that dies over an order to route leaves no order without an answer, nor does an output that was closed", function ()
		local i = K.new()
		i:start()
		local b = i:backend()
		b:spawn { id = "r", sink = "kernel:r", ready = "fd", sh = ("echo >&$DSS_READY_FD; while [ ! -e %s/go ]; do sleep 0.01; done; echo after; exec sleep 1000"):format(i.dir) }
		b:spawn { id = "mute", sink = "kernel:mute", ready = "fd", sh = "exec >/dev/null 2>&1; echo >&$DSS_READY_FD; exec sleep 1000" }
		b:event("r", "ready")
		b:event("mute", "ready")
		b:must("route", { id = "mute", sink = "job:P:mute" })
		local logger = i:row("logger").pid
		t.signal(logger, STOP)
		b:send("route", { req = 900, id = "r", sink = "job:P:r" })
		b:must("list")
		assert.is_nil(b.answers[900])
		t.signal(logger, KILL)
		b:wait("the answer", function () return b.answers[900] end)
		assert.equal("ok", b.answers[900][1].name)
		helper.write(i.dir .. "/go", "")
		helper.wait_for("what came after", function () return (helper.read(i.dir .. "/jobs/P/r/output.log") or ""):find("after") end)
	end)

	it("killed while the node stops still leaves an end that comes, and its successor writes what was said", function ()
		local i = K.new()
		i:start()
		local b = i:backend()
		b:spawn { id = "last", sink = "kernel:last", ready = "fd", sh = "trap 'echo famous last words; exit 0' TERM; echo >&$DSS_READY_FD; while :; do sleep 0.01; done" }
		b:event("last", "ready")
		local logger = i:row("logger").pid
		t.signal(logger, STOP)
		t.signal(i.pid, 15)
		b:event("last", "exited")
		b:ack()
		t.signal(logger, KILL)
		assert.same({ "exited", 0 }, { i:ended() })
		assert.is_truthy(i:log("backend"):find("famous last words"))
	end)

	it("that cannot start does not hold up a stop", function ()
		local i = K.new()
		i.plan.services.logger.argv = { "/bin/false" }
		i.plan.services.logger.ready = "fd"
		i.plan.services.backend.after = nil
		i:write_plan()
		i:start()
		local b = i:backend()
		b:spawn { id = "unheard", sink = "kernel:unheard", sh = "echo nobody hears me; exit 0" }
		b:ack(b:event("unheard", "exited").seq)
		t.signal(i.pid, 15)
		assert.same({ "exited", 0 }, { i:ended() })
	end)
end)

describe("the backend", function ()
	after_each(K.finish_all)

	it("that is stopped and acknowledges nothing holds up no stop that is to be now, be it the first word or the second", function ()
		for _, first in ipairs { "now", "slowly" } do
			local i = K.new()
			i.plan.services.backend.grace_ms = 60000
			i:write_plan()
			i:start()
			local b = i:backend()
			b:spawn { id = "busy", sh = "exec sleep 1000" }
			b:event("busy", "ready")
			t.signal(b.pid, STOP)
			local d = i:door()
			if first == "slowly" then
				d:send("door", { req = 1, verb = "stop" })
				i:logged("keeper", "stopping %(by")
				i:row_where("keeper", "stopping", function (r) return r.state == "stopping" end)
			end
			local now = i:door()
			now:send("door", { req = 1, verb = "stop", on = 1 })
			assert.same({ first, "exited", 0 }, { first, i:ended(7) })
			now:close()
			d:close()
			i:finish()
		end
	end)

	it("that lives and hears everything but acknowledges no end is ended with the rest where the stop is to be now", function ()
		local i = K.new()
		i:start()
		local b = i:backend()
		b:spawn { id = "busy", sh = "exec sleep 1000" }
		b:event("busy", "ready")
		local d = i:door()
		d:send("door", { req = 1, verb = "stop", on = 1 })
		local e = b:event("busy", "exited")
		assert.equal("shutdown", e.cause)
		b:closed()
		assert.same({ "exited", 0 }, { i:ended(7) })
		d:close()
		i:finish()
	end)

	it("killed -9 costs no process; what happened meanwhile folds and is told to the next one until it is acknowledged", function ()
		local i = K.new()
		i:start()
		local b = i:backend()
		b:spawn { id = "lives", sh = "exec sleep 1000", label = "kept" }
		b:spawn { id = "ends", ready = "fd", sh = ("while [ ! -e %s/go ]; do sleep 0.01; done; echo >&$DSS_READY_FD; exit 6"):format(i.dir) }
		b:event("lives", "ready")
		b:event("ends", "started")
		b:ack()
		local pid = b:rows()["lives"].pid
		local last = b.events[#b.events].seq
		t.signal(b.pid, KILL)
		b:closed()
		helper.write(i.dir .. "/go", "")
		helper.wait_for("the end without a backend", function () return i:log():find("ends %(pid %d+%) ended") end)
		local second = i:backend("silent")
		second:send("hello", { version = 1, epoch = 2 })
		local e = second:event("ends", "exited")
		assert.same({ "crash", 6 }, { e.cause, e.code })
		assert.is_true(e.seq > last)
		for _, x in ipairs(second.events) do assert.is_false(x.id == "ends" and x.what ~= "exited", "folded: " .. x.what) end
		assert.same({ pid, "ready", "kept" }, { second:rows()["lives"].pid, second:rows()["lives"].state, second:rows()["lives"].label })
		-- not acknowledged: the third hears of it too, under the same number
		t.signal(second.pid, KILL)
		second:closed()
		local third = i:backend()
		assert.equal(e.seq, third:event("ends", "exited").seq)
		third:ack(e.seq)
		assert.is_nil(third:rows()["ends"])
		t.signal(third.pid, KILL)
		third:closed()
		local fourth = i:backend()
		assert.equal(pid, fourth:rows()["lives"].pid)
		for _, x in ipairs(fourth.events) do assert.are_not.equal("ends", x.id) end
	end)

	it("that crashed three times within a minute starts on the last good policies", function ()
		local i = K.new()
		i:start()
		for n = 1, 3 do
			local b = i:backend()
			assert.is_false(b.safe, "backend " .. n)
			t.signal(b.pid, KILL)
			b:closed()
		end
		local b = i:backend()
		assert.is_true(b.safe)
		i:logged("keeper", "starts on the last good policies")
	end)

	-- The keeper counts its own ticks, on the monotonic clock: a wall clock that jumps changes nothing, and a machine that was suspended
	-- has had no ticks meanwhile. Neither can be had here without harm to other programs, so both are only said.
	it("that gives no heartbeat is killed as lost, not while it beats", function ()
		local i = K.new { tick_ms = 300 }   -- a slow machine may well take a second between two beats
		i:start()
		local b = i:backend()
		local until_s = clock.now() + 5.4
		local seq = 0
		while clock.now() < until_s do     -- three times what a silent one is given
			seq = seq + 1
			assert.is_true(b:send("heartbeat", { seq = seq, count = 0 }))
			b:pump(10)
		end
		assert.equal(b.pid, i:row("backend").pid)
		t.signal(b.pid, STOP)
		local row = i:row_where("backend", "lost", function (r) return r.pid ~= b.pid and r.cause == "lost" end)
		assert.is_truthy(row.text:find("no heartbeat for"), row.text)
		b:close()
		assert.is_truthy(i:backend().welcome)
	end)

	it("reads its secret from a pipe at each start, and is not started while others may read the file", function ()
		local i = K.new { services = function (plan)
			add("keen", { argv = { "/bin/sh", "-c", "cat <&$DSS_KERNEL_SECRETS_FD; echo; env; exec sleep 1000" }, box = "core/keen", sink = "service:keen" })(plan)
		end }
		local path = i.dir .. "/config/x.token"
		helper.write(path, "  half a secret\n")
		os.execute("chmod 644 " .. path)
		i.plan.services.keen.secret = path
		i:write_plan()
		i:start()
		local row = i:row_where("keen", "refused", function (r) return r.state == "backoff" end)
		assert.is_truthy(row.text:find("others than its owner may read or write it (mode 0644); chmod 600 it", 1, true), row.text)
		os.execute("chmod 600 " .. path)
		i:order("start", "keen")
		i:row_where("keen", "ready", function (r) return r.state == "ready" end)
		i:logged("keen", "half a secret\n")
		i:logged("keen", "DSS_PROCESS=keen")
		local _, times = helper.read(i.dir .. "/run/keen.log"):gsub("half a secret", "")
		assert.equal(1, times)
	end)

	it("that lives on after its connection is gone is killed as lost too", function ()
		local i = K.new { relay = "stays" }
		i:start()
		local b = i:backend()
		b:raw("\255\255\255\255 this is no frame")
		b:closed()
		local row = i:row_where("backend", "replaced", function (r) return r.pid ~= b.pid and r.pid > 0 end)
		assert.equal("lost", row.cause)
		i:logged("keeper", "lives on without its connection")
	end)
end)
