-- loop and watch: timers, descriptors, signals, wake-ups from threads, and a directory that settles.
local helper = require "spec.helper"
local loop = require "t_loop"
local t = require "t_sys"
local p = require "t_spawn"

local READ, WRITE = 1, 2

describe("the loop", function()
	local guard, made

	local function keep(watcher)
		made[#made + 1] = watcher
		return watcher
	end

	before_each(function()
		assert.is_true(loop.open())
		made = {}
		guard = keep(loop.timer(function() error("the loop waited 10 s in vain") end))
		guard:start(10000)
	end)
	after_each(function()
		for _, watcher in ipairs(made) do watcher:free() end
		loop.close()
	end)

	it("fires timers in the order of their times, each once", function()
		local fired = {}
		for i, ms in ipairs { 30, 10, 20 } do
			keep(loop.timer(function() fired[#fired + 1] = i if #fired == 3 then loop.stop() end end)):start(ms)
		end
		loop.run()
		assert.same({ 2, 3, 1 }, fired)
		loop.run_once(false)
		assert.equal(3, #fired)
	end)

	it("lets a timer start itself again, be moved, and be stopped", function()
		local again, n, timer = 0, 0, nil
		timer = keep(loop.timer(function()
			again = again + 1
			assert.is_false(timer:is_running())
			if again < 3 then timer:start(1) else loop.stop() end
		end))
		local never = keep(loop.timer(function() n = n + 1 end))
		never:start(0)
		assert.is_true(never:is_running())
		never:stop()
		assert.is_false(never:is_running())
		timer:start(60000)
		timer:start(1)
		loop.run()
		assert.same({ 3, 0 }, { again, n })
	end)

	it("counts a delay from the moment of the start, not from when the turn began", function()
		local began, took
		local second = keep(loop.timer(function() took = select(2, t.clock()) - began loop.stop() end))
		keep(loop.timer(function()
			local busy_until = t.clock() + 40
			while t.clock() < busy_until do end -- a turn that takes longer than the delay below
			began = select(2, t.clock())
			second:start(30)
		end)):start(0)
		loop.run()
		assert.is_true(took >= 29000, took)
	end)

	it("tells when a descriptor can be read or written, and only what was asked for", function()
		local a, b = t.pair()
		local seen = {}
		local io
		io = keep(loop.io(a, WRITE, function(events)
			seen[#seen + 1] = events
			if #seen == 1 then
				io:set(READ)
				t.write(b, "x")
			else
				io:set(0)
				loop.stop()
			end
		end))
		loop.run()
		assert.same({ WRITE, READ }, seen)
		loop.run_once(false)
		assert.equal(2, #seen)
		t.close(a) t.close(b)
	end)

	it("allows each kind of watcher to be freed in its own callback", function()
		local a, b = t.pair()
		local calls = {}
		local function once(name, make)
			local watcher
			watcher = make(function()
				calls[name] = (calls[name] or 0) + 1
				watcher:free()
			end)
			return watcher
		end
		once("io", function(fn) return loop.io(a, WRITE, fn) end)
		once("timer", loop.timer):start(0)
		once("signal", function(fn) return loop.signal(10, fn) end)
		once("wake", loop.wake):send()
		once("prepare", loop.prepare)
		p.kill((t.ids()), 10)
		helper.wait_for("all five", function()
			loop.run_once(false)
			return calls.io and calls.timer and calls.signal and calls.wake and calls.prepare
		end)
		loop.run_once(false)
		assert.same({ io = 1, timer = 1, signal = 1, wake = 1, prepare = 1 }, calls)
		t.close(a) t.close(b)
	end)

	it("allows a callback to free another watcher that is due in the same turn", function()
		local a, b = t.pair()
		local calls, ios = 0, {}
		for i = 1, 2 do
			ios[i] = loop.io(i == 1 and a or b, WRITE, function()
				calls = calls + 1
				ios[1]:free()
				ios[2]:free()
			end)
		end
		loop.run_once(true)
		loop.run_once(false)
		assert.equal(1, calls)
		t.close(a) t.close(b)
	end)

	it("is woken from another thread, many sends folding into few calls", function()
		local calls = 0
		local wake = keep(loop.wake(function() calls = calls + 1 loop.stop() end))
		wake:send()
		loop.run()
		assert.equal(1, calls)
		wake:send()
		loop.run()
		assert.equal(2, calls)
	end)

	it("hears of a wake-up between two descriptors, not only once all of a turn were called", function()
		local a, b = t.pair()
		local order = {}
		local wake = keep(loop.wake(function() order[#order + 1] = "wake" end))
		for _, fd in ipairs { a, b } do
			keep(loop.io(fd, WRITE, function()
				order[#order + 1] = "io"
				if #order == 1 then wake:send() end
			end))
		end
		loop.run_once(true)
		assert.same({ "io", "wake", "io" }, order)
		t.close(a) t.close(b)
	end)

	it("calls what gathers a turn's work before it waits", function()
		local order = {}
		keep(loop.prepare(function() order[#order + 1] = "prepare" end))
		keep(loop.timer(function() order[#order + 1] = "timer" loop.stop() end)):start(5)
		loop.run()
		assert.same({ "prepare", "timer" }, { order[1], order[#order] })
	end)

	it("remembers a stop that came before the run, and runs again after it", function()
		loop.stop()
		loop.run()
		local ran = false
		keep(loop.timer(function() ran = true loop.stop() end)):start(1)
		loop.run()
		assert.is_true(ran)
	end)

	it("leaves children to their owner", function()
		local child = assert(p.spawn { argv = { "/bin/true" } })
		helper.wait_for("the child's end", function()
			loop.run_once(false)
			return t.proc(child.pid).state == "Z"
		end)
		loop.run_once(false)
		assert.same({ "exit", 0 }, { p.try_wait(child.pid) })
		t.close(child.pidfd)
	end)

	it("makes a write to a closed peer an error instead of a death", function()
		local a, b = t.pair()
		t.close(b)
		assert.equal(-1, t.write(a, "x"))
		t.close(a)
	end)

	describe("with a watched directory", function()
		local dir
		before_each(function()
			dir = os.tmpname()
			os.remove(dir)
			assert(t.make_dirs(dir))
		end)
		after_each(function()
			for _, name in ipairs { "a", "b", "c" } do os.remove(dir .. "/" .. name) end
			os.remove(dir)
		end)

		local function until_called(calls, n)
			helper.wait_for(n .. " calls", function()
				loop.run_once(false)
				return calls.n >= n
			end)
		end

		it("calls once after a burst, and again after the next", function()
			local calls = { n = 0 }
			keep(assert(loop.watch(dir, 50, function() calls.n = calls.n + 1 end)))
			for _, name in ipairs { "a", "b", "c" } do helper.write(dir .. "/" .. name, name) end
			until_called(calls, 1)
			assert.equal(1, calls.n)
			os.rename(dir .. "/a", dir .. "/b")
			until_called(calls, 2)
			assert.equal(2, calls.n)
		end)

		it("does not wait for ever for what never settles", function()
			local calls, writes = { n = 0 }, 0
			keep(assert(loop.watch(dir, 20, function() calls.n = calls.n + 1 end)))
			helper.wait_for("a call amid writes", function()
				writes = writes + 1
				helper.write(dir .. "/a", tostring(writes))
				loop.run_once(false)
				return calls.n > 0
			end)
			assert.is_true(writes > 1)
		end)

		it("calls a last time when the directory goes, and stays usable", function()
			local calls, watcher = { n = 0 }, nil
			watcher = keep(assert(loop.watch(dir, 5, function() calls.n = calls.n + 1 watcher:free() end)))
			os.remove(dir)
			until_called(calls, 1)
			loop.run_once(false)
			assert.equal(1, calls.n)
		end)

		it("refuses a directory that is not there, or a file", function()
			local watcher, why = loop.watch(dir .. "/none", 5, print)
			assert.same({ nil, "unable to watch " .. dir .. "/none: No such file or directory" }, { watcher, why })
			helper.write(dir .. "/a", "")
			watcher, why = loop.watch(dir .. "/a", 5, print)
			assert.same({ nil, "unable to watch " .. dir .. "/a: Not a directory" }, { watcher, why })
		end)
	end)
end)
