-- A starter: argv[0] is ours and starts another program; what became of that one is told on DSS_START_FD.
local helper = require "spec.helper"
local K = require "spec.keeper.instance"

local ENOENT, TERM = 2, 15

describe("a process whose first program starts another", function ()
	local i, b
	after_each(K.finish_all)
	before_each(function ()
		i = K.new {}
		i:start()
		b = i:backend()
	end)

	local function file(name) return i.dir .. "/" .. name end

	--- Waits for that file, then tells what `say` writes.
	local function waiting(name, say) return ("while [ ! -e %s ]; do sleep 0.01; done; %s"):format(file(name), say) end

	it("has started once the starter closes its descriptor, not before", function ()
		b:spawn { id = "good", starter = 1, ready = "exec", sh = waiting("go", "exec sleep 1000") }
		b:wait("its row", function () return b:rows()["good"] end)
		assert.equal("starting", b:rows()["good"].state)
		helper.write(file "go", "")
		-- sleep has inherited it: who passes it on has not told yet
		assert.equal("starting", b:rows()["good"].state)
		b:stop("good", { grace_ms = 0 })
		b:event("good", "exited")
		b:spawn { id = "told", starter = 1, ready = "exec", sh = "eval \"exec $DSS_START_FD>&-\"; exec sleep 1000" }
		b:event("told", "started")
		b:event("told", "ready")
		b:stop("told", { grace_ms = 0 })
		b:event("told", "exited")
	end)

	it("ends as start_failed with the errno and the reason that the starter tells, across an exec in place", function ()
		for _, id in ipairs { "at-once", "later" } do
			b:spawn { id = id, starter = 1, sh = waiting(id, "printf '\\002\\000\\000\\000unable to run /opt/x: no\\033 such' >&$DSS_START_FD; exit 127") }
			b:wait("its row", function () return b:rows()[id] end)
			if id == "later" then
				assert.equal("done", i:order("restart", "keeper").name)
				helper.wait_for("the take-over", function () return i:log():find("took over %d+ processes") end)
				assert.equal("starting", b:rows()[id].state)
			end
			helper.write(file(id), "")
			local e = b:event(id, "exited")
			assert.same({ "start_failed", ENOENT, "unable to run /opt/x: no? such" }, { e.cause, e.code, e.text })
		end
	end)

	it("is judged as any other where the starter tells nothing", function ()
		b:spawn { id = "status", starter = 1, sh = "exit 127" }
		local e = b:event("status", "exited")
		assert.same({ "crash", 127 }, { e.cause, e.code })
		b:spawn { id = "killed", starter = 1, sh = "sleep 1000" }
		b:wait("its row", function () return b:rows()["killed"] end)
		b:stop("killed", { grace_ms = 5000 })
		e = b:event("killed", "exited")
		assert.same({ "user", TERM }, { e.cause, e.signal })
	end)
end)
