-- How a keeper starts: what it refuses, and what it does with what a dead one left.
local helper = require "spec.helper"
local K = require "spec.keeper.instance"
local t = require "t_keeper"

local KILL = 9

describe("a keeper's start", function ()
	after_each(K.finish_all)

	local function refused(i)
		i:launch()
		local how, code = i:ended()
		assert.same({ "exited", 1 }, { how, code })
		return i:stderr()
	end

	it("names who holds a taken port", function ()
		local fd, port = t.listen_tcp()
		local i = K.new { lines = { "listen page 127.0.0.1 " .. port } }
		local text = refused(i)
		assert.is_truthy(text:find(("port %d is held by pid %d "):format(port, (t.own_ids()))), text)
		assert.equal("", i:boxes(), "a refused start leaves no box")
		t.close(fd)
		i:start()
		i:backend()
	end)

	it("is refused while another keeper of the instance runs, whose pid it names", function ()
		local i = K.new()
		i:start()
		i:backend()
		local first = i.pid
		local second = assert(t.run({ K.keeper, i.dir }, { out = i.dir .. "/second" }))
		local how, code = helper.wait_for("the end of the second", function () return t.ended(second) end)
		assert.same({ "exited", 1 }, { how, code })
		assert.is_truthy(helper.read(i.dir .. "/second"):find(("runs already %%(pid %d%%)"):format(first)))
		assert.equal(first, i:row("keeper").pid)
	end)

	it("is refused in a copy of an instance, also in one that says it is no copy while the first runs", function ()
		local i = K.new()
		i:start()
		i:backend()
		local copy = K.new()
		helper.write(copy.dir .. "/config/instance.origin", helper.read(i.dir .. "/config/instance.origin"))
		assert.is_truthy(refused(copy):find("is a copy of the instance"))
		t.mark_origin(copy.dir)
		copy:write_plan(function (plan) plan.instance = i.id end)
		assert.is_truthy(refused(copy):find("from another folder"))
		assert.equal("ready", i:row("keeper").state)
	end)

	it("is refused without a plan, with a broken one and without a folder, with line and word", function ()
		local i = K.new()
		helper.write(i.dir .. "/run/keeper.plan", "dss-plan 1\ninstance x\ngravity on\n")
		assert.is_truthy(refused(i):find('keeper.plan:3: unknown word "gravity"'))
		os.remove(i.dir .. "/run/keeper.plan")
		assert.is_truthy(refused(i):find("keeper.plan"))
		local pid = t.run({ K.keeper, "/nonexistent" }, {})
		assert.same({ "exited", 1 }, { helper.wait_for("its end", function () return t.ended(pid) end) })
		for _, argv in ipairs { { K.keeper }, { K.keeper, i.dir, "--tick-ms", "soon" }, { K.keeper, "--nonsense" } } do
			pid = t.run(argv, {})
			assert.same({ "exited", 2 }, { helper.wait_for("its end", function () return t.ended(pid) end) })
		end
	end)

	it("is refused with a plan that somebody else wrote or may write, and with what is none of its own under the lock's name", function ()
		local i = K.new()
		local plan, lock = i.dir .. "/run/keeper.plan", i.dir .. "/run/keeper.lock"
		t.chmod(plan, 438) -- 0666
		assert.is_truthy(refused(i):find("others than its owner may write it %(mode 0666%)"), i:stderr())
		t.chmod(plan, 420) -- 0644
		os.rename(plan, plan .. ".real")
		assert.is_true(os.execute(("ln -s keeper.plan.real %s"):format(plan)))
		assert.is_truthy(refused(i):find("unable to open .*keeper%.plan"), i:stderr())
		os.remove(plan)
		assert.is_true(os.execute(("mkfifo %s"):format(plan)))
		assert.is_truthy(refused(i):find("it is no regular file"), i:stderr())
		os.remove(plan)
		os.rename(plan .. ".real", plan)
		if K.is_root then
			t.chown(plan, 65534, 65534)
			assert.is_truthy(refused(i):find("it belongs to uid 65534"), i:stderr())
			t.chown(plan, 0, 0)
			helper.write(lock, "1\n")
			t.chown(lock, 65534, 65534)
			assert.is_truthy(refused(i):find("keeper.lock is not a file of the keeper's own %(uid 65534 made it%)"), i:stderr())
			os.remove(lock)
		end
		helper.write(i.dir .. "/precious", "what must stay")
		assert.is_true(os.execute(("ln %s/precious %s"):format(i.dir, lock)))
		assert.is_truthy(refused(i):find("is not a file of the keeper's own"), i:stderr())
		assert.equal("what must stay", helper.read(i.dir .. "/precious"))
		os.remove(lock)
		i:start()
		i:backend()
	end)

	for _, mode in ipairs { "auto", "none" } do
		it("ends what a killed keeper left, by identity, says so, and leaves strangers alone (cgroups " .. mode .. ")", function ()
			local i = K.new { cgroups = mode }
			i:start()
			local b = i:backend()
			b:spawn { id = "left", ready = "fd", sh = "trap '' TERM HUP; (setsid sleep 1000 &); echo >&$DSS_READY_FD; while :; do sleep 0.05; done" }
			b:spawn { id = "meek", sh = "exec sleep 1000" }
			b:event("left", "ready")
			b:event("meek", "ready")
			local old = helper.wait_for("five processes", function ()
				local now = i:pids()
				return #now >= 5 and now, #now .. " processes"
			end)
			local stranger = t.run({ "/bin/sleep", "1000" }, {})
			i:kill_keeper()
			b:close()
			i:start()
			b = i:backend()
			for _, pid in ipairs(old) do
				local p = t.process(pid)
				assert.is_true(not p or p.state == "Z" or p.cmdline:find("dss%-logger") ~= nil or p.cmdline:find("relay") ~= nil, "still there: " .. (p and p.cmdline or ""))
			end
			assert.same({}, i:pids("left"))
			assert.same({}, i:pids("meek"))
			assert.is_truthy(t.process(stranger))
			t.signal(stranger, KILL)
			helper.wait_for("its end", function () return t.ended(stranger) end)
			assert.is_truthy(i:logged("keeper", "a dead keeper left left %(pid %d+"))
			-- a new life, new numbers, nothing of the old
			assert.same({}, b:rows())
			b:spawn { id = "left", sh = "exit 0" }
			assert.equal("exited", b:event("left", "exited").cause)
		end)
	end

	it("after kill -9 of keeper, logger and backend together is clean too", function ()
		local i = K.new()
		i:start()
		local b = i:backend()
		b:spawn { id = "x", sh = "exec sleep 1000" }
		b:event("x", "ready")
		local logger = i:row("logger").pid
		for _, pid in ipairs { logger, b.pid } do t.signal(pid, KILL) end
		i:kill_keeper()
		b:close()
		i:start()
		helper.wait_for("a backend that lives", function () return (pcall(i.backend, i)) end)     -- the killed keeper may have started one
		assert.same({}, i:pids("x"))
		assert.equal("ready", i:row("logger").state)
	end)
end)
