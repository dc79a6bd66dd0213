-- Why a process ended: counters first, then the keeper's own record, then its status. Never guessed.
local helper = require "spec.helper"
local K = require "spec.keeper.instance"
local t = require "t_keeper"

local MB = 1 << 20
local KILL, SEGV, USR1 = 9, 11, 10
local no_core = "core=0:0"

-- Lua that takes `mb` megabytes it really touches.
local function take(mb) return ("local s = {} for n = 1, %d do s[n] = ('x'):rep(1 << 20) .. n end "):format(mb) end

local function causes_by_orders_and_status(mode)
	local i, b
	setup(function ()
		i = K.new { cgroups = mode }
		i:start()
		b = i:backend()
		assert.is_true(mode == "auto" or b.welcome.cgroups == mode)
	end)
	teardown(function () i:finish() end)

	it("is exited for status 0, crash for another, crash for a fault", function ()
		b:spawn { id = "c-0", sh = "exit 0" }
		b:spawn { id = "c-9", sh = "exit 9" }
		b:spawn { id = "c-137", sh = "exit 137" }
		b:spawn { id = "c-segv", rlimit = no_core, sh = "kill -SEGV $$" }
		assert.same({ "exited", 0 }, { b:event("c-0", "exited").cause, b:event("c-0", "exited").code })
		assert.same({ "crash", 9 }, { b:event("c-9", "exited").cause, b:event("c-9", "exited").code })
		assert.same({ "crash", 137 }, { b:event("c-137", "exited").cause, b:event("c-137", "exited").code })
		local e = b:event("c-segv", "exited")
		assert.same({ "crash", SEGV }, { e.cause, e.signal })
		assert.is_truthy(e.text:find("SIGSEGV"), e.text)
	end)

	it("is signal where somebody else sent one", function ()
		b:spawn { id = "c-sig", sh = "exec sleep 1000" }
		t.signal(b:event("c-sig", "ready").pid, KILL)
		local e = b:event("c-sig", "exited")
		assert.same({ "signal", KILL, -1 }, { e.cause, e.signal, e.code })
		assert.is_truthy(e.text:find("SIGKILL, sent by somebody else"), e.text)
	end)

	it("is never that another one of an order sent a signal, where the kernel keeps them apart", function ()
		if not os.execute [[/usr/bin/python3 -c 'import ctypes,sys; sys.exit(ctypes.CDLL(None).syscall(444, None, 0, 1) < 6)']] then
			return pending "this kernel has no Landlock scope of signals (Linux 6.12)"
		end
		b:spawn { id = "c-victim", sh = "exec sleep 1000" }
		b:spawn { id = "c-killer", sh = ("kill -9 %d || exit 3"):format(b:event("c-victim", "ready").pid) }
		assert.same({ "crash", 3 }, { b:event("c-killer", "exited").cause, b:event("c-killer", "exited").code })
		b:stop("c-victim", { cause = "user", text = "because", grace_ms = 0 })
		assert.equal("user", b:event("c-victim", "exited").cause)
	end)

	it("is the word of the order that stopped it; the first one stands", function ()
		for _, cause in ipairs { "admin", "user", "policy", "deadline", "shutdown", "lost" } do
			b:spawn { id = "c-" .. cause, sh = "exec sleep 1000" }
			b:event("c-" .. cause, "ready")
			b:stop("c-" .. cause, { cause = cause, text = "because of " .. cause })
			b:stop("c-" .. cause, { cause = "user", text = "again", grace_ms = 0 })
			local e = b:event("c-" .. cause, "exited")
			assert.same({ cause, "because of " .. cause }, { e.cause, e.text })
		end
		b:spawn { id = "c-odd", sh = "exec sleep 1000" }
		-- an end by memory is told by samples only where the kernel does not count it
		for _, cause in ipairs { mode == "none" and "crash" or "oom_limit", "crash", "exited", "nonsense", "" } do
			local text = b:refused("stop", { id = "c-odd", cause = cause, text = "x" })
			assert.is_truthy(text:find("none that an order can have"), text)
		end
		b:stop("c-odd", { grace_ms = 0 })
	end)

	it("is still the order's where the process answers TERM with a status of its own", function ()
		b:spawn { id = "c-trap", ready = "fd", sh = "trap 'exit 4' TERM; echo >&$DSS_READY_FD; while :; do sleep 0.01; done" }
		b:event("c-trap", "ready")
		b:stop("c-trap", { cause = "policy", text = "idle" })
		local e = b:event("c-trap", "exited")
		assert.same({ "policy", 4, -1 }, { e.cause, e.code, e.signal })
	end)
end

describe("the cause of an end", function () causes_by_orders_and_status("auto") end)
describe("the cause of an end without cgroups", function () causes_by_orders_and_status("none") end)

describe("without cgroups", function ()
	local i, b
	setup(function ()
		i = K.new { cgroups = "none" }
		i:start()
		b = i:backend()
	end)
	teardown(function () i:finish() end)

	local function pid_from(name)
		return helper.wait_for("pid file " .. name, function () return tonumber(((helper.read(i.dir .. "/" .. name) or ""):match("^(%d+)\n"))) end)
	end

	it("a stop ends children that left the session or ignore TERM", function ()
		local at = i.dir .. "/"
		b:spawn { id = "n-1", ready = "fd", sh = ([[trap '' TERM
			setsid sh -c 'trap "" TERM HUP; echo $$ > %sn1; while :; do sleep 0.05; done' &
			sh -c 'setsid sh -c "trap \"\" TERM; echo \$\$ > %sn2; exec sleep 1000" & exit 0'
			while [ ! -s %sn1 ] || [ ! -s %sn2 ]; do sleep 0.01; done
			echo >&$DSS_READY_FD; while :; do sleep 0.05; done]]):format(at, at, at, at) }
		b:event("n-1", "ready")
		local pids = { pid_from("n1"), pid_from("n2") }
		b:stop("n-1", { grace_ms = 100 })
		assert.same({ "user", KILL }, { b:event("n-1", "exited").cause, b:event("n-1", "exited").signal })
		for _, pid in ipairs(pids) do
			helper.wait_for("the end of " .. pid, function () local p = t.process(pid) return not p or p.state == "Z" end)
		end
	end)

	it("and an end takes along who was left behind, nobody else", function ()
		b:spawn { id = "n-stay", sh = "setsid sleep 1000 & exec sleep 1000" }
		b:spawn { id = "n-2", sh = ("sh -c 'setsid sh -c \"echo \\$\\$ > %s/n3; exec sleep 1000\" &'; while [ ! -s %s/n3 ]; do sleep 0.01; done; exit 0"):format(i.dir, i.dir) }
		assert.equal("exited", b:event("n-2", "exited").cause)
		local left = pid_from("n3")
		helper.wait_for("the end of " .. left, function () local p = t.process(left) return not p or p.state == "Z" end)
		assert.equal("ready", b:rows()["n-stay"].state)
		assert.equal(2, #i:pids("n-stay"))
		b:stop("n-stay")
		b:event("n-stay", "exited")
	end)
end)

-- The mode this machine gives by itself, and on a hybrid one plain v1 too, whose kills and counters are others.
local probe = K.new()
probe:start()
local offered = { probe:backend().welcome.cgroups }
probe:finish()
if offered[1] == "hybrid" then offered[2] = "v1" end

for _, mode in ipairs(offered[1] == "none" and {} or offered) do
	describe("the cause of an end by a limit (" .. mode .. ")", function ()
		local i, b
		setup(function ()
			i = K.new { cgroups = mode }
			i:start()
			b = i:backend()
		end)
		teardown(function () i:finish() end)

		it("is oom_limit with limit, owner and peak where the box's own limit was hit", function ()
			b:spawn { id = "hog", limit = "memory=" .. 40 * MB, lua = take(200) }
			local e = b:event("hog", "exited")
			assert.equal("oom_limit", e.cause)
			assert.same({ 40 * MB, "warm/hog" }, { e.limit_bytes, e.limit_owner })
			assert.is_true(e.peak_bytes > 35 * MB and e.peak_bytes <= 41 * MB, "peak " .. e.peak_bytes)
			assert.is_true(e.oom_kills >= 1)
			assert.is_truthy(e.text:find("40 MB"), e.text)
		end)

		it("is oom_limit also where only a forked child was killed: the whole box goes, even if the parent would exit 0", function ()
			b:spawn { id = "hog-child", limit = "memory=" .. 40 * MB, lua = ("os.execute([[%s -e \"%s\"]]) os.exit(0)"):format(K.LUA, take(200)) }
			local e = b:event("hog-child", "exited")
			assert.equal("oom_limit", e.cause)
			assert.equal("warm/hog-child", e.limit_owner)
			b:wait("it to be dead", function () return b:rows()["hog-child"].state == "dead" end)
			assert.same({}, i:pids("hog-child"))
		end)

		it("is oom_limit for each of many that live on without the child that was killed", function ()
			for n = 1, 12 do
				b:spawn { id = "lives-on-" .. n, limit = "memory=" .. 30 * MB,
					lua = ("os.execute([[%s -e \"%s\"]]) while true do io.popen('sleep 1000'):read() end"):format(K.LUA, take(60)) }
			end
			for n = 1, 12 do assert.equal("oom_limit", b:event("lives-on-" .. n, "exited", 30).cause) end
			b:ack()
		end)

		it("names the level above whose limit was hit; the neighbour lives on", function ()
			b:spawn { id = "neighbour", box = "run/p1/neighbour", sink = "kernel:neighbour", lua = take(20) .. "print('full') io.stdout:flush() io.popen('sleep 1000'):read()" }
			i:logged("backend", "full\n")
			b:must("limit", { box = "run/p1", knob = "memory", value = 120 * MB })
			b:spawn { id = "grower", box = "run/p1/grower", lua = take(300) }
			local e = b:event("grower", "exited")
			assert.same({ "oom_limit", "run/p1", 120 * MB }, { e.cause, e.limit_owner, e.limit_bytes })
			assert.is_nil(e.victim_of)
			assert.equal("ready", b:rows()["neighbour"].state)
			b:stop("neighbour")
			b:event("neighbour", "exited")
		end)

		it("names the largest grower as the one whose victim it became", function ()
			-- the smaller one offers itself to the kernel: it is killed though the other one grew
			b:spawn { id = "victim", box = "run/p2/victim", sink = "kernel:victim",
				lua = "local f = io.open('/proc/self/oom_score_adj', 'w') f:write('1000') f:close() " .. take(20) .. "print('offered') io.stdout:flush() while true do io.popen('sleep 1000'):read() end" }
			i:logged("backend", "offered\n")
			b:must("limit", { box = "run/p2", knob = "memory", value = 120 * MB })
			b:spawn { id = "big", box = "run/p2/big", lua = take(300) .. "io.popen('sleep 1000'):read()" }
			local e = b:event("victim", "exited")
			assert.same({ "oom_limit", "run/p2" }, { e.cause, e.limit_owner })
			assert.is_truthy(e.victim_of and e.victim_of:find("^big %("), tostring(e.victim_of))
			b:ask("stop", { id = "big", cause = "user", text = "x", grace_ms = 0 })
			b:event("big", "exited")
		end)

		it("is limit_threads where forks were refused and the status is not 0", function ()
			local code = "for n = 1, 30 do io.popen('sleep 1000 2>/dev/null') end os.exit(1)"
			b:spawn { id = "forker", limit = "pids=8", lua = code }
			local e = b:event("forker", "exited")
			assert.equal("limit_threads", e.cause)
			assert.is_truthy(e.text:find("refused"), e.text)
			b:spawn { id = "not-forker", limit = "pids=64", sh = "exit 1" }
			assert.equal("crash", b:event("not-forker", "exited").cause)
		end)

		it("is not the doing of what was counted before the last mark", function ()
			b:spawn { id = "marked", limit = "pids=8", ready = "fd", sh = "trap 'exit 1' USR1; echo >&$DSS_READY_FD; while :; do sleep 0.01; done" }
			b:event("marked", "ready")
			b:must("usage", { id = "marked", on = 1 })
			b:must("signal", { id = "marked", signal = USR1, cause = "user", text = "x" })
			assert.same({ "crash", 1 }, { b:event("marked", "exited").cause, b:event("marked", "exited").code })
		end)
	end)
end
