-- Limits of the levels above a box, as a spawn order brings them: there before the process, gone with the last of them.
local helper = require "spec.helper"
local K = require "spec.keeper.instance"

describe("levels of boxes", function()
	local i, b

	setup(function()
		i = K.new {}
		i:start()
		b = i:backend()
	end)
	teardown(function() i:finish() end)

	local function limit(box, ...)
		for _, name in ipairs { ... } do
			local at = i:box(box, name)
			if at then return math.tointeger(tonumber((helper.read(at):gsub("%s.*$", "")))) end
		end
	end
	local function memory(box) return limit(box, "memory.limit_in_bytes", "memory.max") end
	local has_limits

	local function sleeper(id, box, levels)
		return b:spawn { id = id, box = box, level = levels, argv = { "/bin/sleep", "1000" } }
	end
	local function refusal(id, box, levels)
		local fields = { id = id, kind = "kernel", sink = "null", box = box, level = levels, argv = { "/bin/sleep", "1000" }, user = b.run_user }
		local answer = b:ask("spawn", fields)
		return answer.name == "fail" and answer.text
	end
	local function is_gone(box) return not i:box(box) end

	it("have the limits that a process brings, and go with the last process below", function()
		has_limits = b.welcome.cgroups ~= "none"
		if not has_limits then return pending "there are no cgroups here" end
		sleeper("s-1", "run/a/b/s-1", { "run/a memory=104857600", "run/a pids=50", "run/a/b memory=52428800", "run/a/b swap=0" })
		b:event("s-1", "started")
		assert.same({ 104857600, 52428800, 50 }, { memory "run/a", memory "run/a/b", limit("run/a", "pids.max") })
		sleeper("s-2", "run/a/c/s-2", { "run/a memory=209715200" })
		b:event("s-2", "started")
		assert.equal(209715200, memory "run/a")
		for _, id in ipairs { "s-1", "s-2" } do
			b:ask("stop", { id = id, cause = "user", text = "enough", grace_ms = 0 })
			b:ack(b:event(id, "exited").seq)
			if id == "s-1" then helper.wait_for("its level to be gone", function() return is_gone "run/a/b" end) end
		end
		helper.wait_for("the level to be gone", function() return is_gone "run/a" end)
	end)

	it("go as well with a process that could not be started", function()
		if not has_limits then return pending "there are no cgroups here" end
		b:spawn { id = "s-3", box = "run/d/s-3", level = { "run/d memory=104857600" }, argv = { "/nonexistent/program" } }
		local e = b:event("s-3", "exited")
		assert.equal("start_failed", e.cause)
		b:ack(e.seq)
		helper.wait_for("the level to be gone", function() return is_gone "run/d" end)
	end)

	it("are refused where they lie elsewhere than above the box, or say no limit", function()
		for _, level in ipairs { "run/x memory=1", "run/e/s-4 memory=1", "core memory=1", "warm/k memory=1", "run/e memory", "run/e", "run/e memry=1", " memory=1", "run/ memory=1" } do
			assert.matches("level", refusal("s-4", "run/e/s-4", { level }), 1, true)
		end
		assert.is_true(is_gone "run/e")
	end)

	it("hold no process themselves, and no process's box holds another's", function()
		sleeper("s-5", "run/f/g")
		assert.matches('"run/f/g" of s-5', refusal("s-6", "run/f/g/s-6"), 1, true)
		assert.matches('"run/f/g" of s-5', refusal("s-7", "run/f"), 1, true)
		sleeper("s-8", "run/f/gg")
		for _, id in ipairs { "s-5", "s-8" } do
			b:ask("stop", { id = id, cause = "user", text = "enough", grace_ms = 0 })
			b:ack(b:event(id, "exited").seq)
		end
	end)
end)
