-- The life of a process that the backend orders: birth, ready, stop, end, and what may be done to it meanwhile.
local helper = require "spec.helper"
local K = require "spec.keeper.instance"
local t = require "t_keeper"

local MB = 1 << 20
local TERM, KILL, USR1 = 15, 9, 10
local ENOENT, EACCES, EXDEV = 2, 13, 2

local function alive(pid)
	local p = t.process(pid)
	return p and p.state ~= "Z"
end
local function gone(pid) return helper.wait_for("the end of pid " .. pid, function () return not alive(pid) end) end

describe("a process by order", function ()
	local i, b

	setup(function ()
		i = K.new()
		i:start()
		b = i:backend()
	end)
	teardown(function () i:finish() end)

	local function pid_file(name) return i.dir .. "/" .. name end
	--- The pid that a process writes into a file, once it is whole.
	local function pid_from(name)
		return helper.wait_for("pid file " .. name, function () return tonumber(((helper.read(pid_file(name)) or ""):match("^(%d+)\n"))) end)
	end

	it("is told started, ready and exited, with cause, code, signal, CPU time and peak", function ()
		local ok = b:spawn { id = "life-1", sh = "exit 3" }
		assert.equal("life-1", ok.id)
		local started, ready, e = b:event("life-1", "started"), b:event("life-1", "ready"), b:event("life-1", "exited")
		assert.is_true(started.seq < ready.seq and ready.seq < e.seq)
		assert.is_true(started.pid > 1 and started.start_ticks > 0)
		assert.same({ "crash", 3, -1, "down" }, { e.cause, e.code, e.signal, e.wanted })
		assert.equal("life-1 exited with status 3", e.text)
		assert.is_true(e.cpu_ms >= 0 and e.peak_bytes > 0 and e.exited_ms >= e.started_ms)
		b:spawn { id = "life-2", lua = "local n = 0 while os.clock() < 0.12 do n = n + 1 end local s = ('x'):rep(30 << 20)" }
		e = b:event("life-2", "exited")
		assert.same({ "exited", 0, -1 }, { e.cause, e.code, e.signal })
		assert.is_true(e.cpu_ms >= 100, "cpu_ms " .. e.cpu_ms)
		assert.is_true(e.peak_bytes > 30 * MB, "peak " .. e.peak_bytes)
	end)

	it("numbers events without a gap, and keeps entry and box until the end is acknowledged", function ()
		b:spawn { id = "keep-1", sh = "exit 0" }
		local e = b:event("keep-1", "exited")
		b:wait("keep-1 to be dead", function () return b:rows()["keep-1"].state == "dead" end)
		local row = b:rows()["keep-1"]
		assert.same({ "kernel", "exited", "warm/keep-1", e.pid }, { row.kind, row.cause, row.box, row.pid })
		b:ack(e.seq)
		assert.is_nil(b:rows()["keep-1"])
		assert.is_nil(i:box("warm/keep-1"))
		for n = 2, #b.events do -- what happened before the hello was folded
			if b.events[n - 1].seq >= b.welcome.seq then assert.equal(b.events[n - 1].seq + 1, b.events[n].seq) end
		end
	end)

	it("is the same process when the same id is ordered again", function ()
		b:spawn { id = "same", sh = "exec sleep 1000" }
		local pid = b:event("same", "ready").pid
		b:spawn { id = "same", sh = "exec sleep 2000" }
		assert.equal(pid, b:rows()["same"].pid)
		-- one that is in the middle of exec shows no environment to be known by
		helper.wait_for("one process of that id", function () return #i:pids("same") == 1 end)
		b:stop("same", { grace_ms = 0 })
		b:event("same", "exited")
	end)

	it("names errno and program where its start fails", function ()
		local noexec = pid_file("noexec")
		helper.write(noexec, "#!/bin/sh\n")
		t.chmod(noexec, 420)
		local cases = {
			{ "no-such", { argv = { "/nonexistent/program" } }, ENOENT, "/nonexistent/program" },
			{ "not-in-path", { argv = { "dss-no-such-program" } }, ENOENT, "dss%-no%-such%-program" },
			{ "not-executable", { argv = { noexec } }, EACCES, "noexec" },
			{ "no-folder", { argv = { "/bin/true" }, cwd = "/nonexistent/folder" }, EXDEV, "/nonexistent/folder" },
			{ "no-interpreter", { argv = { pid_file("lost-interpreter") } }, ENOENT, "lost%-interpreter" },
		}
		helper.write(pid_file("lost-interpreter"), "#!/nonexistent/interpreter\n")
		t.chmod(pid_file("lost-interpreter"), 493)
		for _, c in ipairs(cases) do
			c[2].id = c[1]
			b:spawn(c[2])
			local e = b:event(c[1], "exited")
			assert.same({ c[1], "start_failed", c[3] }, { c[1], e.cause, e.code })
			assert.is_truthy(e.text:find(c[4]), c[1] .. ": " .. e.text)
			assert.is_truthy(e.text:find("^unable to "), e.text)
			b:wait(c[1] .. " to be dead", function () return b:rows()[c[1]].state == "dead" end)
			b:ack(e.seq)
			assert.is_nil(b:rows()[c[1]])
			assert.is_nil(i:box("warm/" .. c[1]))
		end
	end)

	describe("is ready", function ()
		local function is_up(id)
			b:event(id, "started")
			return b:rows()[id].state
		end
		local function finish(id)
			b:stop(id, { grace_ms = 0 })
			b:event(id, "exited")
		end

		it("once exec succeeded, by rule exec", function ()
			b:spawn { id = "r-exec", sh = "exec sleep 1000", ready = "exec" }
			assert.equal("ready", b:event("r-exec", "ready").state)
			finish("r-exec")
		end)

		it("once it wrote a newline to its descriptor, by rule fd", function ()
			b:spawn { id = "r-fd", ready = "fd", sh = ("printf half >&$DSS_READY_FD; while [ ! -e %s ]; do sleep 0.01; done; echo >&$DSS_READY_FD; exec sleep 1000"):format(pid_file("go-fd")) }
			assert.equal("up", is_up("r-fd"))
			helper.write(pid_file("go-fd"), "")
			b:event("r-fd", "ready")
			finish("r-fd")
		end)

		it("once its main process says so, and no other process of its box, by rule notify", function ()
			local say = [[import os, socket, subprocess, sys, time
def say():
	s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
	s.sendto(b'STATUS=up\nREADY=1', '\0' + os.environ['NOTIFY_SOCKET'][1:])
if os.fork() == 0:
	say()
	open(sys.argv[1] + '.child', 'w').write('x')
	os._exit(0)
os.wait()
while not os.path.exists(sys.argv[1]): time.sleep(0.01)
say()
time.sleep(1000)]]
			b:spawn { id = "r-notify", ready = "notify", argv = { "/usr/bin/python3", "-c", say, pid_file("go-notify") } }
			helper.wait_for("the child to have spoken", function () return helper.read(pid_file("go-notify.child")) end)
			assert.equal("up", is_up("r-notify"))
			helper.write(pid_file("go-notify"), "")
			b:event("r-notify", "ready")
			finish("r-notify")
		end)

		it("once its port takes connections, by rule port", function ()
			local fd, port = t.listen_tcp()
			t.close(fd)
			b:spawn { id = "r-port", ready = "port 127.0.0.1 " .. port, lua = ("while not io.open(%q) do end t.listen_tcp(%d) t.relay_never = io.popen('sleep 1000'):read()"):format(pid_file("go-port"), port) }
			assert.equal("up", is_up("r-port"))
			helper.write(pid_file("go-port"), "")
			b:event("r-port", "ready")
			finish("r-port")
		end)

		it("once it answers 200, by rule http, and not while it answers 503", function ()
			local fd, port = t.listen_tcp()
			t.close(fd)
			local serve = [[import http.server, os, sys
class H(http.server.BaseHTTPRequestHandler):
	def do_GET(self):
		self.send_response(200 if self.path == '/health' and os.path.exists(sys.argv[2]) else 503)
		self.end_headers()
		if not os.path.exists(sys.argv[2]): open(sys.argv[2] + '.asked', 'w').write('x')
	def log_message(self, *a): pass
http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), H).serve_forever()]]
			b:spawn { id = "r-http", ready = ("http 127.0.0.1 %d /health"):format(port), argv = { "/usr/bin/python3", "-c", serve, tostring(port), pid_file("go-http") } }
			helper.wait_for("a refused question", function () return helper.read(pid_file("go-http.asked")) end)
			assert.equal("up", is_up("r-http"))
			helper.write(pid_file("go-http"), "")
			b:event("r-http", "ready")
			finish("r-http")
		end)

		it("never by the keeper's own word, by rule told", function ()
			b:spawn { id = "r-told", ready = "told", sh = "exec sleep 1000" }
			assert.equal("up", is_up("r-told"))
			finish("r-told")
			assert.equal("user", b:event("r-told", "exited").cause)
		end)

		it("not in time is a start that failed, whose text names the deadline", function ()
			b:spawn { id = "late", ready = "fd", ready_within_ms = 60, sh = "exec sleep 1000" }
			local e = b:event("late", "exited")
			assert.same({ "start_failed", KILL }, { e.cause, e.signal })
			assert.is_truthy(e.text:find("not ready within 60 ms"), e.text)
		end)
	end)

	describe("is stopped", function ()
		it("by its own stop signal, and its children end with it", function ()
			b:spawn { id = "polite", stop_signal = USR1, ready = "fd",
				sh = ("trap 'exit 0' USR1; sleep 1000 & echo $! > %s; echo >&$DSS_READY_FD; while :; do wait; done"):format(pid_file("polite")) }
			local child = pid_from("polite")
			b:event("polite", "ready")
			b:stop("polite", { by = "anna" })
			local e = b:event("polite", "exited")
			assert.same({ "user", 0, "anna", "the spec asks (by anna)" }, { e.cause, e.code, e.by, e.text })
			gone(child)
		end)

		it("and after the grace its whole box is killed: who left the session, ignores TERM or stopped itself", function ()
			b:spawn { id = "stubborn", ready = "fd", sh = ([[trap '' TERM
				setsid sh -c 'trap "" TERM HUP; echo $$ > %s; while :; do sleep 0.05; done' &
				sh -c 'echo $$ > %s; kill -STOP $$; sleep 1000' &
				(sh -c 'setsid sh -c "trap \"\" TERM; echo \$\$ > %s; exec sleep 1000" &')
				while [ ! -s %s ] || [ ! -s %s ] || [ ! -s %s ]; do sleep 0.01; done
				echo >&$DSS_READY_FD; while :; do sleep 0.05; done]]):format(pid_file("s1"), pid_file("s2"), pid_file("s3"), pid_file("s1"), pid_file("s2"), pid_file("s3")) }
			b:event("stubborn", "ready")
			local pids = { pid_from("s1"), pid_from("s2"), pid_from("s3") }
			b:stop("stubborn", { grace_ms = 100 })
			local e = b:event("stubborn", "exited")
			assert.same({ "user", KILL }, { e.cause, e.signal })
			for _, pid in ipairs(pids) do gone(pid) end
			b:wait("stubborn to be dead", function () return b:rows()["stubborn"].state == "dead" end)
			assert.same({}, i:pids("stubborn"))
		end)

		it("and one that stopped itself hears it", function ()
			b:spawn { id = "self-stop", ready = "fd", sh = "trap 'exit 7' TERM; echo >&$DSS_READY_FD; kill -STOP $$; while :; do sleep 0.01; done" }
			local pid = b:event("self-stop", "ready").pid
			helper.wait_for("it to stop itself", function () return (t.process(pid) or {}).state == "T" end)
			b:stop("self-stop")
			assert.same({ "user", 7 }, { b:event("self-stop", "exited").cause, b:event("self-stop", "exited").code })
		end)

		it("at once with a grace of 0", function ()
			b:spawn { id = "at-once", ready = "fd", sh = "trap '' TERM; echo >&$DSS_READY_FD; while :; do sleep 1; done" }
			b:event("at-once", "ready")
			b:stop("at-once", { grace_ms = 0, cause = "deadline" })
			assert.same({ "deadline", KILL }, { b:event("at-once", "exited").cause, b:event("at-once", "exited").signal })
		end)

		it("and what its main process leaves behind at its own end goes too", function ()
			b:spawn { id = "leaver", sh = ("setsid sh -c 'trap \"\" TERM HUP; echo $$ > %s; while :; do sleep 0.05; done' & while [ ! -s %s ]; do sleep 0.01; done; exit 0"):format(pid_file("left"), pid_file("left")) }
			local e = b:event("leaver", "exited")
			assert.equal("exited", e.cause)
			gone(pid_from("left"))
			b:wait("leaver to be dead", function () return b:rows()["leaver"].state == "dead" end)
		end)
	end)

	it("gets a signal that is ordered; it is the cause only where it ended by it", function ()
		b:spawn { id = "sig", ready = "fd", sh = "trap 'exit 5' USR1; echo >&$DSS_READY_FD; while :; do sleep 0.01; done" }
		b:event("sig", "ready")
		b:must("signal", { id = "sig", signal = USR1, cause = "policy", text = "wake up" })
		assert.same({ "crash", 5 }, { b:event("sig", "exited").cause, b:event("sig", "exited").code })
		b:spawn { id = "sig2", sh = "exec sleep 1000" }
		b:event("sig2", "ready")
		b:must("signal", { id = "sig2", signal = TERM, cause = "policy", text = "grown too large" })
		local e = b:event("sig2", "exited")
		assert.same({ "policy", "grown too large", TERM }, { e.cause, e.text, e.signal })
	end)

	it("stands still while it is frozen, and a stop thaws it", function ()
		local ticks = pid_file("ticks")
		b:spawn { id = "cold", ready = "fd", sh = ("trap 'exit 0' TERM; echo >&$DSS_READY_FD; while :; do echo >> %s; sleep 0.01; done"):format(ticks) }
		b:event("cold", "ready")
		local function size() return #(helper.read(ticks) or "") end
		helper.wait_for("it to tick", function () return size() > 0 end)
		b:must("freeze", { id = "cold", on = 1 })
		helper.wait_for("it to stand still", function ()
			local before = size()
			helper.wait_for("a moment", (function () local n = 0 return function () n = n + 1 return n > 8 end end)())
			return size() == before
		end)
		local still = size()
		b:must("freeze", { id = "cold", on = 0 })
		helper.wait_for("it to go on", function () return size() > still end)
		b:must("freeze", { id = "cold", on = 1 })
		b:stop("cold")
		assert.same({ "user", 0 }, { b:event("cold", "exited").cause, b:event("cold", "exited").code })
	end)

	it("has its output routed at a byte boundary: not a line is lost or doubled", function ()
		b:spawn { id = "routed", sink = "kernel:routed", prefix = "[routed] ", ready = "fd",
			sh = ("echo first; echo >&$DSS_READY_FD; while [ ! -e %s ]; do sleep 0.01; done; n=0; while [ $n -lt 500 ]; do n=$((n+1)); echo line $n; done"):format(pid_file("go-route")) }
		b:event("routed", "ready")
		i:logged("backend", "%[routed%] first\n")
		b:must("route", { id = "routed", sink = "job:P1:j1" })
		helper.write(pid_file("go-route"), "")
		b:event("routed", "exited")
		b:wait("routed to be drained", function () return b:rows()["routed"].state == "dead" end)
		local lines = {}
		for n in (i:log("backend") .. (helper.read(i.dir .. "/jobs/P1/j1/output.log") or "")):gmatch("line (%d+)\n") do lines[#lines + 1] = tonumber(n) end
		assert.equal(500, #lines)
		for n = 1, 500 do assert.equal(n, lines[n]) end
		assert.is_truthy((helper.read(i.dir .. "/jobs/P1/j1/output.log") or ""):find("line 500\n"))
		assert.equal("job:P1:j1", b:rows()["routed"].sink)
	end)

	it("keeps a label of up to 4 KB and lists it; a longer one is refused", function ()
		local label = ('{"pool":"fek","x":"%s"}'):format(("é"):rep(2000))
		b:spawn { id = "labelled", sh = "exec sleep 1000", label = '{"first":1}' }
		b:event("labelled", "ready")
		assert.equal('{"first":1}', b:rows()["labelled"].label)
		b:must("label", { id = "labelled", label = label })
		assert.equal(label, b:rows()["labelled"].label)
		assert.is_truthy(b:refused("label", { id = "labelled", label = ("x"):rep(4097) }):find("4096"))
		assert.equal(label, b:rows()["labelled"].label)
		b:stop("labelled")
		assert.equal(label, b:event("labelled", "exited").label)
	end)

	it("gets its secrets by a descriptor, and they appear in no log, environment or command line", function ()
		local secret, masked = "token-5f2c9e77aa", "hidden-88d1e0c4b3"
		b:spawn { id = "secretive", secrets = secret .. "\n", mask = { secret, masked }, sink = "kernel:secretive",
			sh = ("read got <&$DSS_KERNEL_SECRETS_FD; printf %%s \"$got\" > %s; echo I have $got and %s.; exec sleep 1000"):format(pid_file("got"), masked:sub(1, 6) .. "''" .. masked:sub(7)) }
		helper.wait_for("the secret to be read", function () return helper.read(pid_file("got")) == secret end)
		i:logged("backend", "I have [^\n]*%.\n")
		local pid = b:rows()["secretive"].pid
		local places = { i:log("backend"), i:log("keeper"), helper.read(("/proc/%d/environ"):format(pid)), helper.read(("/proc/%d/cmdline"):format(pid)) }
		for n, text in ipairs(places) do
			assert.is_nil(text:find(secret, 1, true), "place " .. n)
			assert.is_nil(text:find(masked, 1, true), "place " .. n)
		end
		b:stop("secretive")
		b:event("secretive", "exited")
	end)

	it("inherits nothing: environment and descriptors are what was ordered", function ()
		b:spawn { id = "bare", env = { "A=1" }, argv = { "/bin/sh", "-c", ("cat /proc/$$/environ > %s; ls -l /proc/self/fd > %s"):format(pid_file("env"), pid_file("fds")) } }
		b:event("bare", "exited")
		local names = {}
		for name in helper.read(pid_file("env")):gmatch("([%w_]+)=[^\0]*\0") do names[name] = true end
		assert.same({ A = true, DSS_INSTANCE = true, DSS_PROCESS = true }, names)
		-- 0, 1, 2, and what ls and its redirection hold themselves
		local fds = {}
		for fd in helper.read(pid_file("fds")):gmatch(" (%d+) %->") do fds[#fds + 1] = tonumber(fd) end
		assert.is_true(#fds <= 4, table.concat(fds, " "))
	end)

	it("tells its usage, and the limit of its box can be changed while it lives", function ()
		b:spawn { id = "user", limit = "memory=" .. 100 * MB, ready = "fd", lua = "s = ('x'):rep(20 << 20) io.open('/proc/self/fd/' .. os.getenv 'DSS_READY_FD', 'w'):write('\\n'):close() io.popen('sleep 1000'):read()" }
		b:event("user", "ready")
		local row = b:wait("both processes to be counted", function ()
			local u = b:must("usage", { id = "user" })
			return u.pids >= 2 and u
		end)
		assert.is_true(row.memory_bytes > 20 * MB and row.memory_bytes < 100 * MB, "memory " .. row.memory_bytes)
		assert.equal(100 * MB, row.limit_bytes)
		assert.is_true(row.cpu_ms >= 0 and row.oom_kills == 0)
		b:must("limit", { box = "warm/user", knob = "memory", value = 200 * MB })
		assert.equal(200 * MB, b:must("usage", { id = "user" }).limit_bytes)
		local text, code = b:refused("limit", { box = "warm/user", knob = "memory", value = 1 * MB })
		assert.equal(16, code)
		assert.is_truthy(text:find("unable to"), text)
		assert.equal("user", b:rows()["user"].id)
		b:stop("user")
		b:event("user", "exited")
	end)

	-- what `sample` tells, by id
	local function sample(fields)
		local answer = b:must("sample", fields)
		local lines, by_id = answer.usage or {}, {}
		for _, line in ipairs(type(lines) == "table" and lines or { lines }) do
			local id, memory, peak, cpu, rss, limit, pids = line:match("^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+)$")
			by_id[assert(id, line)] = { memory = tonumber(memory), peak = tonumber(peak), cpu = tonumber(cpu), rss = tonumber(rss),
				limit = tonumber(limit), pids = tonumber(pids) }
		end
		return by_id
	end

	it("is sampled with others in one answer, which leaves out who ended and who never was", function ()
		for n = 1, 2 do
			b:spawn { id = "sampled-" .. n, limit = "memory=" .. 100 * MB, ready = "fd", lua = ([[s = ('x'):rep(20 << 20)
				io.open('/proc/self/fd/' .. os.getenv 'DSS_READY_FD', 'w'):write('\n'):close()
				while not io.open('%s/grow-%d') do os.execute('sleep 0.05') end s2 = ('y'):rep(30 << 20) io.popen('sleep 1000'):read()]]):format(i.dir, n) }
		end
		b:spawn { id = "sampled-short", sh = "exit 0" }
		b:event("sampled-short", "exited")
		for n = 1, 2 do b:event("sampled-" .. n, "ready") end
		local ids = { "sampled-1", "nobody-knows-it", "sampled-short", "sampled-2", "backend" }
		local first = sample { id = ids }
		for _, id in ipairs { "sampled-1", "sampled-2" } do
			local u = assert(first[id], id)
			assert.is_true(u.memory > 20 * MB and u.memory < 100 * MB, "memory " .. u.memory)
			assert.is_true(u.peak >= u.memory and u.cpu >= 0, "the first one has peak and CPU time")
		end
		assert.is_true(first.backend.memory > 0, "a service may be looked at")
		assert.is_nil(first["nobody-knows-it"])
		assert.is_nil(first["sampled-short"])
		helper.write(i.dir .. "/grow-1", "")
		local later = b:wait("the growth of one", function ()
			local u = sample { id = ids }
			return u["sampled-1"].memory > first["sampled-1"].memory + 25 * MB and u
		end)
		assert.is_true(later["sampled-2"].memory < first["sampled-2"].memory + 5 * MB)
		local all = sample { id = "sampled-1", on = 1 }["sampled-1"]
		assert.equal(100 * MB, all.limit)
		assert.is_true(all.peak > 45 * MB and all.pids >= 1 and all.rss > 45 * MB)
		for n = 1, 2 do
			b:stop("sampled-" .. n)
			b:event("sampled-" .. n, "exited")
		end
		b:ack()
		helper.wait_for("their boxes to go", function () return not i:box("warm/sampled-1") and not i:box("warm/sampled-2") end)
		assert.same({}, sample { id = ids, on = 0 }["sampled-1"] and { "sampled-1" } or {})
	end)

	it("is refused a sample of more than 500, and samples that come again and again cost no descriptors that stay", function ()
		local ids = {}
		for n = 1, 501 do ids[n] = "s" .. n end
		assert.is_truthy(b:refused("sample", { id = ids }):find("more than 500"))
		local before = t.count_fds(i.pid)
		for round = 1, 3 do
			for n = 1, 10 do b:spawn { id = ("again-%d-%d"):format(round, n), sh = "exec sleep 1000" } end
			ids = {}
			for n = 1, 10 do
				ids[n] = ("again-%d-%d"):format(round, n)
				b:event(ids[n], "ready")
			end
			for _ = 1, 3 do assert.is_truthy(sample({ id = ids })[ids[10]]) end
			for _, id in ipairs(ids) do b:stop(id, { grace_ms = 0 }) end
			for _, id in ipairs(ids) do b:event(id, "exited") end
			b:ack()
			helper.wait_for("the boxes to go", function () return not i:box("warm/" .. ids[10]) end)
		end
		b:wait("the descriptors to be as before", function () return t.count_fds(i.pid) <= before end)
	end)
end)

describe("a child of a service", function ()
	after_each(K.finish_all)

	it("moves into a box of its own by the order box, ends for itself and is stopped by order", function ()
		local i = K.new { services = function (plan)
			plan.order[3] = "jupyter"
			plan.services.jupyter = { argv = { "/bin/sh", "-c", "sleep 1000 & sleep 1001 & exec sleep 1002" }, box = "core/jupyter", sink = "service:jupyter" }
		end }
		i:start()
		local b = i:backend()
		local main = i:row_where("jupyter", "ready", function (r) return r.state == "ready" end).pid
		local children = helper.wait_for("two children", function ()
			local found = {}
			for _, pid in ipairs(i:pids("jupyter")) do
				if pid ~= main and t.process(pid).comm == "sleep" then found[#found + 1] = pid end
			end
			return #found == 2 and found
		end)
		b:must("box", { id = "nb-1", pid = children[1], box = "run/notebooks/nb-1", kind = "notebook", limit = "memory=" .. 64 * MB })
		b:must("box", { id = "nb-2", pid = children[2], box = "run/notebooks/nb-2", kind = "notebook" })
		local row = b:rows()["nb-1"]
		assert.same({ children[1], "notebook", "ready" }, { row.pid, row.kind, row.state })
		if i:box("run/notebooks/nb-1") then
			assert.equal(children[1] .. "\n", helper.read(i:box("run/notebooks/nb-1", "cgroup.procs")))
			assert.equal(64 * MB, b:must("usage", { id = "nb-1" }).limit_bytes)
		end
		b:stop("nb-1")
		assert.equal("user", b:event("nb-1", "exited").cause)
		t.signal(children[2], 9)
		assert.is_truthy(b:event("nb-2", "exited").cause)
		assert.equal(main, i:row("jupyter").pid)
		-- a process that is none of a service's is none of ours
		b:spawn { id = "other", sh = "exec sleep 1000" }
		local other = b:event("other", "ready").pid
		assert.is_truthy(b:refused("box", { id = "nb-3", pid = other, box = "run/nb-3", kind = "notebook" }):find("adopted"))
		assert.is_truthy(b:refused("box", { id = "nb-3", pid = 1, box = "run/nb-3", kind = "notebook" }):find("adopted"))
		assert.is_truthy(b:refused("box", { id = "nb-3", pid = select(1, t.own_ids()), box = "run/nb-3", kind = "notebook" }):find("does not live in a box of a service"))
		i:finish()
	end)
end)
