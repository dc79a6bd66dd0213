-- The node's memory: what is admitted, what waits and says so, what gives way, and what the load warns of. The machine's size is made up.
local helper = require "spec.helper"
local told = require "spec.fleet.told"
local t_fleet = require "t_fleet"
local t_json = require "t_json"

local GB = 2 ^ 30 | 0

describe("the memory budget", function()
	local dir, f, log

	before_each(function()
		dir = told.folder()
		log = told.new()
	end)
	after_each(function()
		if f then f:close() end
		f = nil
		os.execute("rm -rf " .. dir)
	end)

	--- machine, reserve: bytes. The budget is their difference.
	local function open(machine, reserve, pools, is_held)
		f = assert(t_fleet.open(dir .. "/dss.sqlite", 0, nil, machine, reserve))
		assert(f:set_pools(pools))
		if not is_held then f:start() end
	end

	local function turn() log:collect(f) end
	local function rows(start) return log:all(start) end

	local function wait_rows(start, n)
		return helper.wait_for(n .. " x " .. start, function()
			turn()
			local out = rows(start)
			return #out >= n and out or nil, "saw: " .. table.concat(log, "; ")
		end, 5)
	end

	--- Some turns: what was to come by itself has come.
	local function settle()
		for _ = 1, 30 do turn() end
	end

	local function kernel_of(row) return (row:match "^%S+ (%S+)") end

	local function submit(t)
		local answer, why = f:submit(t)
		assert.equal("ok", answer, why)
		local before = #rows "submitted"
		return wait_rows("submitted", before + 1)[before + 1]:match "^submitted (%S+)"
	end

	local function reason(id) return t_json.decode((f:get(id))).reason end
	local function pool(name)
		for _, p in ipairs(t_json.decode(f:pools())) do
			if p.name == name then return p end
		end
	end
	local function exited(id) f:ended { id = id, cause = "policy", text = "ended" } end

	local function finish(kernel, task)
		f:tell("done", kernel, task, 1, "1")
		wait_rows("release " .. kernel .. " " .. task, 1)
	end

	it("is the machine less a tenth of it, 1 GB at least, and less than half of a small one", function()
		for _, c in ipairs { { 100 * GB, 10 * GB }, { 4 * GB, GB }, { GB, GB // 2 } } do
			open(c[1], 0, {})
			local b = t_json.decode(f:budget())
			assert.same({ c[1], c[2], c[1] - c[2] }, { b.machineBytes, b.reserveBytes, b.budgetBytes })
			f:close()
			os.remove(dir .. "/dss.sqlite")
		end
	end)

	it("starts no kernel whose limit does not fit beside what is promised", function()
		open(5 * GB, GB, { { name = "a", memory = GB, warm_min = 10, warm_max = 10, max = 10 } })
		wait_rows("spawn", 4)
		settle()
		assert.equal(4, #rows "spawn")
		local b = t_json.decode(f:budget())
		assert.equal(4 * GB, b.promisedBytes)
		assert.same({ 4, GB, 4 * GB, 10 * GB, GB }, { b.pools[1].kernels, b.pools[1].kernelBytes, b.pools[1].promisedBytes, b.pools[1].mostBytes,
			b.pools[1].waitsForBytes })
	end)

	it("counts the services, and starts again when they take less", function()
		f = assert(t_fleet.open(dir .. "/dss.sqlite", 0, nil, 5 * GB, GB))
		f:services(3 * GB)
		assert(f:set_pools { { name = "a", memory = GB, warm_min = 3, max = 3 } })
		f:start()
		wait_rows("spawn", 1)
		settle()
		assert.equal(1, #rows "spawn")
		f:services(GB)
		wait_rows("spawn", 3)
	end)

	it("starts kernels without a limit one at a time where the services alone are over it", function()
		f = assert(t_fleet.open(dir .. "/dss.sqlite", 0, nil, 5 * GB, GB))
		f:services(6 * GB)
		assert(f:set_pools { { name = "a", warm_min = 3, warm_max = 3, max = 40 } })
		f:start()
		f:ready(kernel_of(wait_rows("spawn", 1)[1]), "http://127.0.0.1:1")
		settle()
		assert.equal(1, #rows "spawn")
	end)

	it("lets a kernel go on with its user's tasks where nobody could start in its place", function()
		open(3 * GB, GB, { { name = "a", memory = GB, warm_min = 0, warm_max = 1, max = 2, after_tasks = 100 } })
		submit { pool = "a", owner = "ann" }
		f:ready(kernel_of(wait_rows("spawn", 1)[1]), "http://127.0.0.1:1")
		local k, id = wait_rows("send", 1)[1]:match "^send (%S+) (%S+)"
		f:services(GB + GB // 2)
		submit { pool = "a", owner = "ann" }
		submit { pool = "a", owner = "bob", priority = 5 }
		settle()
		f:tell("done", k, id, 1, "1")
		wait_rows("send", 2)
		assert.equal(0, #rows "stop")
		assert.equal(1, #rows "spawn")
	end)

	it("counts pools of absurd sizes without running over", function()
		open(4 * GB, GB, {
			{ name = "a", memory = 2 ^ 50 | 0, warm_min = 2 ^ 30 | 0, warm_max = 2 ^ 30 | 0, max = 2 ^ 30 | 0 },
			{ name = "b", memory = 2 ^ 50 | 0, warm_min = 2 ^ 30 | 0, warm_max = 2 ^ 30 | 0, max = 2 ^ 30 | 0 },
		})
		settle()
		assert.equal(0, #rows "spawn")
		assert.equal(1, #t_json.decode(f:alerts()))
		for _, p in ipairs(t_json.decode(f:budget()).pools) do assert.is_true(p.mostBytes > 0) end
	end)

	it("gives warm.min of each pool its place first, in the order of the file, then waiting tasks, then further stock", function()
		open(7 * GB, GB, {
			{ name = "b", memory = GB, warm_min = 1, warm_max = 8, ready_for_10000 = 9900 },
			{ name = "a", memory = 2 * GB, warm_min = 1, warm_max = 8 },
			{ name = "c", memory = GB, warm_min = 0, warm_max = 8 },
		}, true)
		f:expect("b", 0, 5)
		submit { pool = "c" }
		f:start()
		wait_rows("spawn", 5)
		settle()
		local names = {}
		for i, l in ipairs(rows "spawn") do names[i] = l:match "spawn (%a)" end
		assert.same({ "b", "a", "c", "b", "b" }, names)
		assert.equal(5, pool "b".target)
	end)

	it("lets a task wait with the numbers, whose memory it is, and what it needs", function()
		open(5 * GB, GB, {
			{ name = "fek", memory = GB, warm_min = 1, warm_max = 4, max = 8 },
			{ name = "jek", memory = 2 * GB, warm_min = 1, warm_max = 4, max = 8 },
		})
		f:services(512 << 20)
		wait_rows("spawn", 2)
		f:ready(kernel_of(rows "spawn"[1]), "http://127.0.0.1:1")
		f:ready(kernel_of(rows "spawn"[2]), "http://127.0.0.1:2")
		submit { pool = "jek" }
		wait_rows("send", 1)
		settle()
		assert.equal(2, #rows "spawn")
		local id = submit { pool = "jek" }
		settle()
		assert.equal("Waiting, 1st of 1: the node's memory is promised: 3.5 of 4.0 GB (jek 2.0 GB, fek 1.0 GB, services 512 MB); it needs 2.0 GB, 512 MB are left", reason(id))
		local wait
		for _, d in ipairs(t_json.decode(f:decisions "budget")) do
			if d.answer == "wait" then wait = d end
		end
		assert.same({ "jek", "pool", "policies/10-pools.lua:4", "the node's memory is promised: 3.5 of 4.0 GB; it needs 2.0 GB, 512 MB are left" },
			{ wait.name, wait.subjectKind, wait.source, wait.reason })
	end)

	it("refuses a task that is larger than all of it, and takes one that fits", function()
		open(5 * GB, GB, { { name = "a", memory = GB, memory_max = 100 * GB, warm_min = 0, warm_max = 1 } })
		local answer, why = f:submit { pool = "a", memory = 5 * GB }
		assert.equal("bad", answer)
		assert.equal('limits.memory of pool "a" (policies/10-pools.lua:4) needs 5.0 GB, more than the node\'s whole memory budget, 4.0 GB: ' ..
			"5.0 GB less 1.0 GB for people and the system", why)
		submit { pool = "a", memory = 4 * GB }
		assert.truthy(wait_rows("spawn", 1)[1]:find(tostring(4 * GB), 1, true))
	end)

	it("makes an idle kernel beyond warm.min give way to a waiting task, and says why; the task gets the place when it is gone", function()
		open(4 * GB, GB, {
			{ name = "a", memory = GB, warm_min = 1, warm_max = 3, ready_for_10000 = 9900 },
			{ name = "b", memory = GB, warm_min = 0, warm_max = 2 },
		})
		f:expect("a", 1000, 3)
		local spawned = wait_rows("spawn", 3)
		for i, l in ipairs(spawned) do f:ready(kernel_of(l), "http://127.0.0.1:" .. i) end
		settle()
		local id = submit { pool = "b" }
		local stopped = wait_rows("stop", 1)
		settle()
		assert.equal(1, #rows "stop")
		assert.truthy(stopped[1]:find("a waiting task needs its place in the node's memory, and it was worth least", 1, true), stopped[1])
		assert.truthy(reason(id):find("it needs 1.0 GB", 1, true), reason(id))
		assert.equal(3, #rows "spawn")
		exited(kernel_of(stopped[1]))
		local fourth = wait_rows("spawn", 4)[4]
		assert.truthy(fourth:find "spawn b%-")
		settle()
		assert.equal(4, #rows "spawn") -- the place that b got is not fought for
		local answers = {}
		for _, d in ipairs(t_json.decode(f:decisions "budget")) do answers[d.answer] = d end
		assert.equal(kernel_of(stopped[1]), answers.retire.subject)
		assert.equal("b", answers.wait.subject)
		assert.equal("b", answers.admit.subject)
		assert.equal(3 * GB, answers.retire.inputs.budgetBytes)
		assert.equal(GB, answers.retire.inputs.kernelBytes)
	end)

	it("takes the idle kernel that is least worth its memory: by use, by what a start costs, by size", function()
		open(7 * GB, GB, {
			{ name = "used", memory = GB, warm_min = 0, warm_max = 2, ready_for_10000 = 9900, after_tasks = 1 },
			{ name = "rare", memory = GB, warm_min = 0, warm_max = 2, ready_for_10000 = 9900, after_tasks = 1 },
			{ name = "big", memory = 4 * GB, warm_min = 0, warm_max = 1 },
			{ name = "c", memory = GB, warm_min = 0, warm_max = 1 },
		})
		-- two tasks of "used", one of "rare": each pool then keeps stock
		for i, name in ipairs { "used", "used", "rare" } do
			local id = submit { pool = name }
			helper.wait_for("its kernel", function()
				turn()
				for _, l in ipairs(rows("spawn " .. name)) do f:ready(kernel_of(l), "http://127.0.0.1:" .. (100 * i + #l)) end
				for _, l in ipairs(rows "send") do
					if l:find(id, 1, true) then return l end
				end
			end, 5)
			local k = kernel_of(rows("send")[#rows "send"])
			finish(k, id)
			exited(k)
			settle()
		end
		helper.wait_for("stock", function()
			turn()
			for _, l in ipairs(rows "spawn") do f:ready(kernel_of(l), "http://127.0.0.1:77") end
			return pool "used".idle == 2 and pool "rare".idle == 2
		end, 5)
		local before = #rows "stop"
		submit { pool = "big" }
		local stopped = wait_rows("stop", before + 2)
		settle()
		for i = before + 1, #stopped do assert.truthy(stopped[i]:find "stop rare%-", stopped[i]) end
		assert.equal(before + 2, #rows "stop")
	end)

	it("never ends a busy kernel, and no idle one where that would not be enough", function()
		open(4 * GB, GB, {
			{ name = "a", memory = GB, warm_min = 0, warm_max = 3, after_tasks = 5 },
			{ name = "b", memory = 2 * GB, warm_min = 0, warm_max = 2 },
		})
		for i = 1, 3 do submit { pool = "a", owner = "ann" .. i } end
		for i, l in ipairs(wait_rows("spawn", 3)) do f:ready(kernel_of(l), "http://127.0.0.1:" .. i) end
		wait_rows("send", 3)
		local id = submit { pool = "b" }
		settle()
		assert.equal(0, #rows "stop")
		local first = rows "send"[1]
		finish(first:match "^send (%S+) (%S+)")
		settle()
		assert.equal(0, #rows "stop") -- 1 GB is idle now, 2 are needed
		local second = rows "send"[2]
		finish(second:match "^send (%S+) (%S+)")
		local stopped = wait_rows("stop", 2)
		local idle = { [first:match "^send (%S+)"] = true, [second:match "^send (%S+)"] = true }
		for _, l in ipairs(stopped) do
			assert.is_true(idle[kernel_of(l)], l)
			exited(kernel_of(l))
		end
		assert.truthy(wait_rows("spawn", 4)[4]:find "spawn b%-")
		assert.is_nil(reason(id):find "promised")
	end)

	it("keeps the room of a warm.min that is not there yet from others' tasks", function()
		open(4 * GB, GB, {
			{ name = "a", memory = GB, warm_min = 0, warm_max = 3, max = 3 },
			{ name = "b", memory = GB, warm_min = 1, warm_max = 1, max = 2 },
		})
		f:ready(kernel_of(wait_rows("spawn b", 1)[1]), "http://127.0.0.1:9")
		for i = 1, 2 do submit { pool = "a", owner = "ann" .. i } end
		for i, l in ipairs(wait_rows("spawn a", 2)) do f:ready(kernel_of(l), "http://127.0.0.1:" .. i) end
		wait_rows("send a", 2)
		submit { pool = "b" }
		wait_rows("send b", 1)
		local waiting = submit { pool = "a", owner = "ann3" }
		settle()
		assert.equal(2, #rows "spawn a")
		local k, id = rows "send a"[1]:match "^send (%S+) (%S+)"
		finish(k, id)
		exited(k)
		wait_rows("spawn b", 2)
		settle()
		assert.equal(2, #rows "spawn a")
		assert.truthy(reason(waiting):find "the node's memory is promised: 3.0 of 3.0 GB", reason(waiting))
	end)

	it("counts kernels without a limit with 64 MB at least, and with what they took", function()
		open(3 * GB, GB, { { name = "a", warm_min = 2, warm_max = 2, max = 40 } })
		local l = wait_rows("spawn", 2)
		assert.equal(128 << 20, t_json.decode(f:budget()).promisedBytes)
		f:usage(kernel_of(l[1]), 700 << 20)
		assert.equal(1400 << 20, t_json.decode(f:budget()).promisedBytes)
	end)

	it("warns of pools that together could take more, names their parts, and takes that back when they fit", function()
		open(11 * GB, GB, {
			{ name = "fek", memory = GB, warm_min = 0, max = 8 },
			{ name = "jek", memory = 2 * GB, warm_min = 0, max = 4 },
		})
		local a = t_json.decode(f:alerts())
		assert.equal(1, #a)
		assert.same({ "budget.overcommit", "warning", "policies/10-pools.lua:4" }, { a[1].key, a[1].level, a[1].source })
		assert.equal("the pools could take 16.0 GB, the node's memory budget is 10.0 GB: fek 8 x 1.0 GB = 8.0 GB, jek 4 x 2.0 GB = 8.0 GB; " ..
			"tasks wait when it is used up, lower max or limits.memory", a[1].text)
		assert(f:set_pools { { name = "fek", memory = GB, warm_min = 0, max = 6 }, { name = "jek", memory = 2 * GB, warm_min = 0, max = 2 } })
		assert.same({}, t_json.decode(f:alerts()))
	end)

	it("of an unknown machine holds nothing back", function()
		open(0, 0, { { name = "a", memory = 100 * GB, warm_min = 3, max = 4 } })
		wait_rows("spawn", 3)
		assert.equal(0, t_json.decode(f:budget()).budgetBytes)
	end)

	it("keeps a sized stock that a former backend left, until it was too much for long enough", function()
		local pools = { { name = "a", warm_min = 1, warm_max = 20, max = 30, ready_for_10000 = 9900 } }
		open(0, 0, pools, true)
		f:expect("a", 0, 4)
		f:start()
		for i, l in ipairs(wait_rows("spawn", 4)) do f:ready(kernel_of(l), "http://127.0.0.1:" .. i) end
		local labels = wait_rows("label", 4)
		f:close()
		log = told.new()
		open(0, 0, pools, true)
		for _, l in ipairs(labels) do assert(f:take_up(kernel_of(l), 1, true, l:match "^%S+ %S+ (.*)$")) end
		f:taken_up()
		f:start()
		settle()
		assert.equal(0, #rows "stop")
		assert.equal(4, pool "a".idle)
		assert.equal(4, pool "a".target)
	end)

	it("writes down each change of a sized stock, with what it was made of", function()
		open(0, 0, { { name = "a", warm_min = 1, warm_max = 20, max = 30, ready_for_10000 = 9900 } })
		wait_rows("spawn", 1)
		f:expect("a", 0, 6)
		submit { pool = "a" }
		wait_rows("spawn", 4)
		local d = t_json.decode(f:decisions "sizing")
		local last = d[1]
		assert.same({ "pool", "a", "policies/10-pools.lua:4" }, { last.subjectKind, last.subject, last.source })
		assert.equal("set", last.answer)
		assert.truthy(last.reason:find "^warm %d+ %-> %d+: more kernels", last.reason)
		local inputs = last.inputs
		assert.same({ 0.99, 1, 20 }, { inputs.readyFor, inputs.min, inputs.max })
		assert.is_number(inputs.demand)
		assert.is_number(inputs.leadSeconds)
		local p = pool "a"
		assert.equal(tonumber(last.reason:match "%-> (%d+)"), p.target)
		assert.equal(0.99, p.readyFor)
	end)

	it("lets pools that were started at one time go for their age one after the other while tasks wait", function()
		open(0, 0, { { name = "a", warm_min = 4, warm_max = 4, max = 4, after_tasks = 0, age_ms = 1000 } })
		local l = wait_rows("spawn", 4)
		for i, s in ipairs(l) do
			f:ready(kernel_of(s), "http://127.0.0.1:" .. i)
			submit { pool = "a", owner = "ann" .. i }
		end
		wait_rows("send", 4)
		submit { pool = "a", owner = "else" }
		local sent = rows "send"
		helper.wait_for("their age", function() turn(); return t_json.decode(f:kernels())[1].startedAt + 1050 < os.time() * 1000 end, 5)
		for i = 1, 4 do f:tell("done", (sent[i]:match "^send (%S+)"), (sent[i]:match "^send %S+ (%S+)"), 1, "1") end
		wait_rows("release", 4)
		settle()
		local aged = 0
		for _, s in ipairs(rows "stop") do aged = aged + (s:find "older than recycle.age" and 1 or 0) end
		assert.equal(1, aged)
	end)
end)
