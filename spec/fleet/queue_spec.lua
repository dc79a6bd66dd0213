-- The order of those that wait: priorities, fair between users, nobody starves; what they are told of it.
local helper = require "spec.helper"
local told = require "spec.fleet.told"
local t_fleet = require "t_fleet"
local t_words = require "t_words"

local GB = 2 ^ 30 | 0

describe("the queue", function()
	local dir, f, seen, known

	before_each(function()
		dir = told.folder()
		seen, known = told.new(), {}
		f = assert(t_fleet.open(dir .. "/dss.sqlite"))
	end)

	after_each(function()
		if f then f:close() end
		f = nil
		os.execute("rm -rf " .. dir)
	end)

	local function restart()
		f:close()
		seen = told.new()
		f = assert(t_fleet.open(dir .. "/dss.sqlite"))
	end

	local function line(start) return seen:wait(f, start) end

	local function pool(more)
		local p = { name = "fek", memory = GB, memory_max = 6 * GB, warm_min = 1, warm_max = 1, max = 1, after_tasks = 1 }
		for k, v in pairs(more or {}) do p[k] = v end
		assert(f:set_pools { p })
		f:start()
	end

	--- Submits; the task is known by its title from then on.
	local function submit(owner, title, more)
		local id = seen:submit(f, owner, title, more)
		known[id] = title
		return id
	end

	--- A kernel gets ready, runs one task and is gone; returns the task's title.
	local function serve()
		local k = line("spawn ")[2]
		assert(f:ready(k))
		local sent = line("send " .. k)
		f:accepted(k, sent[3], tonumber(sent[4]))
		f:tell("done", k, sent[3], tonumber(sent[4]), "1")
		line("stop " .. k)
		f:ended { id = k, cause = "policy", code = 0 }
		line("acknowledge " .. k)
		return known[sent[3]]
	end

	local function order(n)
		local out = {}
		for i = 1, n do out[i] = serve() end
		return table.concat(out, " ")
	end

	local function state(id) return t_words.parse((assert(f:get(id)))) end
	local function decisions(id) return t_words.parse(f:decided(id)) end

	it("serves higher priorities first, and within one in the order of submit", function()
		pool()
		submit("ann", "a")
		submit("ann", "b", { priority = 5 })
		submit("ann", "c", { priority = -1 })
		submit("ann", "d", { priority = 5 })
		assert.equal("b d a c", order(4))
	end)

	it("serves in the order of submit alone where the pool is first come, first served", function()
		pool { fifo = 1 }
		submit("ann", "a")
		submit("ann", "b", { priority = 5 })
		submit("bob", "c")
		submit("ann", "d", { priority = 5 })
		assert.equal("a b c d", order(4))
	end)

	it("lets a late user with little to do overtake one who queued much", function()
		pool()
		for i = 1, 30 do submit("ann", "a" .. i) end
		assert.equal("a1", serve())
		submit("bob", "b")
		assert.equal("b", serve())
		assert.equal("a2", serve())
	end)

	it("serves who used least lately first", function()
		pool()
		local a, b, c = submit("ann", "a"), submit("bob", "b"), submit("cem", "c")
		f:used(a, GB, 60000)
		f:used(b, GB, 1000)
		f:used(c, 8 * GB, 90000)
		assert.equal("b a c", order(3))
	end)

	it("serves who used least lately first, however many kinds of tasks another waits with", function()
		pool()
		local a = submit("ann", "a1")
		submit("ann", "a2", { memory = GB / 2 | 0 })
		submit("ann", "a3", { memory = GB / 4 | 0 })
		local b = submit("bob", "b1")
		submit("bob", "b2")
		f:used(a, GB, 60000)
		f:used(b, GB, 1000)
		assert.equal("b1 b2 a1 a2 a3", order(5))
	end)

	it("counts what is at work while it runs", function()
		pool { warm_min = 1, warm_max = 2, max = 2 }
		local k = line("spawn ")[2]
		f:ready(k)
		local a = submit("ann", "a1")
		line("send " .. k)
		local before = f:use_of(a)
		helper.wait_for("use", function() return f:use_of(a) > before end)
		local _, gb = f:use_of(a)
		assert.is_true(gb > 0)
	end)

	it("starts the longest waiting one at least once in 16 starts, whatever comes", function()
		pool()
		submit("ann", "low", { priority = -10 })
		submit("ann", "low2", { priority = -10 })
		local at, served = {}, 0
		for i = 1, 3 do submit("bob", "h" .. i) end
		while not at.low2 do
			submit("bob", "h") -- there is always more of the higher priority
			served = served + 1
			at[serve()] = served
			assert.is_true(served <= 32, "it starves")
		end
		assert.is_true(at.low <= 16)
	end)

	it("does not keep a kernel for its user's thousand tasks while another waits first", function()
		pool { after_tasks = 1000 }
		local k = line("spawn ")[2]
		f:ready(k)
		local a = submit("ann", "a1")
		line("send " .. k)
		for i = 2, 20 do submit("ann", "a" .. i) end
		f:used(a, GB, 1000)
		local b = submit("bob", "b")
		local n, current = 0, a
		helper.wait_for("the kernel to give way", function()
			f:accepted(k, current, 1)
			f:tell("done", k, current, 1, "1")
			return pcall(helper.wait_for, "next", function()
				seen:collect(f)
				for i, l in ipairs(seen) do
					local id = l:match("^send " .. k:gsub("%-", "%%-") .. " (%S+)")
					if id then
						table.remove(seen, i)
						current, n = id, n + 1
						submit("ann", "more") -- and she always has more
						error "another of hers"
					end
					if l:match("^stop " .. k:gsub("%-", "%%-")) then return true end
				end
			end, 5)
		end, 20)
		f:ended { id = k, cause = "policy", code = 0 }
		k = line("spawn ")[2]
		f:ready(k)
		assert.equal(b, line("send " .. k)[3])
		assert.is_true(n > 0, "a kernel that is just bound goes on for a slice")
	end)

	it("gives way at once to a higher priority", function()
		pool { after_tasks = 1000 }
		local k = line("spawn ")[2]
		f:ready(k)
		local a = submit("ann", "a1")
		line("send " .. k)
		submit("ann", "a2")
		submit("bob", "b", { priority = 1 })
		f:accepted(k, a, 1)
		f:tell("done", k, a, 1, "1")
		line("stop " .. k)
		f:ended { id = k, cause = "policy", code = 0 }
		assert.equal("b", serve())
	end)

	it("tells position and reason in that order", function()
		pool()
		local k = line("spawn ")[2]
		f:ready(k)
		submit("ann", "a0")
		line("send " .. k)
		local a1, a2 = submit("ann", "a1"), submit("ann", "a2")
		local b = submit("bob", "b")
		local urgent = submit("ann", "urgent", { priority = 3 })
		assert.equal(1, state(urgent).position)
		assert.equal(2, state(b).position)
		assert.equal(3, state(a1).position)
		assert.equal(4, state(a2).position)
		assert.equal('Waiting, 2nd of 4: the only kernel of pool "fek" is busy', state(b).reason)
	end)

	it("says when it expects a start once it has seen runs, and not before", function()
		pool()
		local first = submit("ann", "a")
		assert.is_nil(state(first).expectedStartAt)
		for i = 1, 4 do submit("ann", "t" .. i) end
		order(5)
		local k = line("spawn ")[2]
		f:ready(k)
		submit("ann", "runs")
		line("send " .. k)
		local one, two = submit("ann", "w1"), submit("ann", "w2")
		local now = os.time() * 1000
		local s1, s2 = state(one).expectedStartAt, state(two).expectedStartAt
		-- the five ran for about the same time, or their times differ too much to say anything
		if s1 then
			assert.is_true(s1 >= now - 2000)
			assert.is_true(s2 >= s1)
		else
			assert.is_nil(s2)
		end
	end)

	it("says nothing of a start where kernels do not start", function()
		pool()
		for i = 1, 4 do submit("ann", "t" .. i) end
		order(4)
		f:fail_spawns(true)
		local k = line("spawn ")[2]
		f:ended { id = k, cause = "crash", code = 1 }
		local id = submit("ann", "w")
		helper.wait_for("a failure", function() f:turn(); return state(id).reason:find("do not start", 1, true) end)
		assert.is_nil(state(id).expectedStartAt)
	end)

	it("writes down why a wait begins and why one was first", function()
		pool()
		local k = line("spawn ")[2]
		f:ready(k)
		local a = submit("ann", "a0")
		line("send " .. k)
		local a1, b = submit("ann", "a1"), submit("bob", "b")
		submit("ann", "a2")
		local waits = helper.wait_for("a decision", function()
			f:turn()
			local d = decisions(b)
			return #d > 0 and d
		end)
		assert.equal(1, #waits)
		assert.equal("wait", waits[1].answer)
		assert.equal('the only kernel of pool "fek" is busy', waits[1].reason)
		assert.equal("policies/10-pools.lua:4", waits[1].source)
		f:tell("done", k, a, 1, "1")
		line("stop " .. k)
		f:ended { id = k, cause = "policy", code = 0 }
		k = line("spawn ")[2]
		f:ready(k)
		assert.equal(b, line("send " .. k)[3])
		local assigned = decisions(b)[1]
		assert.equal("assign", assigned.answer)
		assert.equal("first of 3: bob used least lately", assigned.reason)
		local inputs = type(assigned.inputs) == "string" and t_words.parse(assigned.inputs) or assigned.inputs
		assert.equal("bob", inputs.user)
		assert.equal(0, inputs.priority)
		assert.equal(1, inputs.position)
		assert.equal("wait", decisions(a1)[1].answer)
		assert.equal(0, #decisions(a), "who got a free kernel at once needs no reason")
	end)

	it("keeps order and remembers roughly who used what over a restart of the backend", function()
		pool()
		local k = line("spawn ")[2]
		f:ready(k)
		local long = submit("ann", "long")
		line("send " .. k)
		local t = require "t_wait"
		local begun = t.now()
		helper.wait_for("some use", function() f:turn(); return t.now() - begun > 0.3 end)
		f:tell("done", k, long, 1, "1")
		line("stop " .. k)
		submit("ann", "a")
		submit("bob", "b")
		submit("bob", "urgent", { priority = 1 })
		restart()
		f:taken_up()
		pool()
		for id, title in pairs(known) do known[id] = title end
		helper.wait_for("the recall", function()
			f:turn()
			for id, title in pairs(known) do
				if title == "a" then return f:use_of(id) > 0.2 end
			end
		end)
		assert.equal("urgent b a", order(3))
	end)
end)
