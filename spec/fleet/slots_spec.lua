-- Slots: how many tasks and how much memory of a user, project or tag are at work at once.
local helper = require "spec.helper"
local told = require "spec.fleet.told"
local t_fleet = require "t_fleet"
local t_words = require "t_words"

local GB = 2 ^ 30 | 0

describe("slots", function()
	local dir, f, seen, known, attempts

	before_each(function()
		dir = told.folder()
		seen, known, attempts = told.new(), {}, {}
		f = assert(t_fleet.open(dir .. "/dss.sqlite"))
	end)

	after_each(function()
		if f then f:close() end
		f = nil
		os.execute("rm -rf " .. dir)
	end)

	local function collect() seen:collect(f) end
	local function line(start) return seen:wait(f, start) end
	local function has_seen(start) return seen:has(f, start) end

	local function pool(more)
		local p = { name = "fek", memory = GB, memory_max = 6 * GB, warm_min = 3, warm_max = 3, max = 3, after_tasks = 1000 }
		for k, v in pairs(more or {}) do p[k] = v end
		assert(f:set_pools { p })
		f:start()
	end

	local function kernels(n)
		local out = {}
		for i = 1, n do
			out[i] = line("spawn ")[2]
			assert(f:ready(out[i]))
		end
		return out
	end

	local function submit(owner, title, more)
		local id = seen:submit(f, owner, title, more)
		known[id] = title
		return id
	end

	--- The next that is sent: title, kernel, id.
	local function sent()
		local w = line("send ")
		attempts[w[3]] = tonumber(w[4])
		f:accepted(w[2], w[3], tonumber(w[4]))
		return known[w[3]], w[2], w[3]
	end

	local function done(kernel, id) f:tell("done", kernel, id, attempts[id], "1") end
	local function state(id) return t_words.parse((assert(f:get(id)))) end
	local function rule(n) return t_words.parse(f:slots())[n or 1] end
	local function key(name, n)
		for _, k in ipairs(rule(n).keys) do
			if k.key == name then return k end
		end
	end

	local function by_owner(t) return { { 1, t.owner } } end

	it("hold back a task whose user has as many at work as may be, and say by which line", function()
		pool()
		f:set_slots({ { name = "tasks of a user", each = "user", max = 2 } }, by_owner)
		kernels(3)
		submit("ann", "a1")
		local _, k1, id1 = sent()
		submit("ann", "a2")
		sent()
		local third = submit("ann", "a3")
		assert.is_false(has_seen("send "))
		assert.equal('Waiting, 1st of 1: slots "tasks of a user" (policies/20.lua:7): 2 of 2 of user ann are at work', state(third).reason)
		assert.is_nil(state(third).expectedStartAt)
		helper.wait_for("a decision", function()
			collect()
			local d = t_words.parse(f:decided(third))[1]
			return d and d.answer == "wait" and d.reason:find("2 of 2 of user ann", 1, true)
		end)
		submit("bob", "b1")
		assert.equal("b1", (sent()))
		done(k1, id1)
		assert.equal("a3", (sent()))
	end)

	it("are counted for each key and shown with who uses them", function()
		pool()
		f:set_slots({ { name = "of a project", each = "project", max = 5, memory = 4 * GB } },
			function(t) return t.project and { { 1, t.project } } or {} end)
		kernels(2)
		submit("ann", "a1", { project = "SALES" })
		local _, k, id = sent()
		submit("ann", "free")
		sent()
		assert.same({ key = "SALES", used = 1, memoryBytes = GB }, key "SALES")
		assert.equal(5, rule().max)
		assert.equal(4 * GB, rule().memoryMaxBytes)
		assert.equal("project", rule().each)
		assert.equal("policies/20.lua:7", rule().source)
		done(k, id)
		helper.wait_for("its leave", function() collect() return not key "SALES" end)
	end)

	it("leave one another's tasks alone: who has room passes who has none", function()
		pool()
		f:set_slots({ { name = "one each", each = "user", max = 1 } }, by_owner)
		kernels(3)
		for i = 1, 5 do submit("ann", "a" .. i) end
		submit("bob", "b1")
		submit("bob", "b2")
		submit("cem", "c1")
		local got = { (sent()), (sent()), (sent()) }
		table.sort(got)
		assert.same({ "a1", "b1", "c1" }, got)
		assert.is_false(has_seen("send "))
		assert.is_false(has_seen("stop "), "no kernel goes for a task that waits for its slots")
	end)

	it("let a kernel go on with its user's next in the place of the one that ended", function()
		pool { warm_min = 1, warm_max = 1, max = 1 }
		f:set_slots({ { name = "one each", each = "user", max = 1 } }, by_owner)
		kernels(1)
		submit("ann", "a1")
		local _, k, id = sent()
		submit("ann", "a2")
		done(k, id)
		local title, k2 = sent()
		assert.equal("a2", title)
		assert.equal(k, k2)
		assert.equal(1, key("ann").used)
		assert.is_false(has_seen("release "), "it did so in one transaction")
	end)

	it("hold back by memory, the size of the kernel that runs it", function()
		pool { memory = 2 * GB }
		f:set_slots({ { name = "memory of a user", each = "user", memory = 3 * GB } }, by_owner)
		kernels(3)
		submit("ann", "a1")
		sent()
		local big = submit("ann", "a2")
		assert.is_false(has_seen("send "))
		assert.matches("2.0 GB of 3.0 GB of user ann are in use, this one needs 2.0 GB", state(big).reason, 1, true)
		submit("ann", "small", { memory = GB })
		assert.equal("small", (sent()))
		assert.equal(3 * GB, key("ann").memoryBytes)
	end)

	it("refuse a task that no room will ever be enough for, with the rule", function()
		pool()
		f:set_slots({ { name = "memory of a user", each = "user", memory = 3 * GB } }, by_owner)
		local answer, why = f:submit { owner = "ann", memory = 4 * GB }
		assert.equal("bad", answer)
		assert.matches('limits.memory of 4.0 GB is over 3.0 GB, which is all that slots "memory of a user" (policies/20.lua:7) has for user ann',
			why, 1, true)
	end)

	it("keep memory free for a large task that small ones have passed for long", function()
		pool { memory = 3 * GB, warm_min = 2, warm_max = 2, max = 2 }
		f:set_slots({ { name = "memory of all", memory = 3 * GB } }, function() return { { 1, "" } } end)
		local ks = kernels(2)
		submit("ann", "s", { memory = GB })
		local _, k, id = sent()
		submit("ann", "s", { memory = GB })
		local _, k2, id2 = sent()
		submit("ann", "large")
		local n = 0
		while true do
			submit("ann", "s", { memory = GB })
			submit("ann", "s", { memory = GB })
			done(k, id)
			if n > 60 then break end
			n = n + 1
			local ok, title, nk, nid = pcall(sent)
			if not ok then -- nobody starts: room is being kept
				done(k2, id2)
				title = sent()
			end
			if title == "large" then break end
			k, id, k2, id2 = k2, id2, nk, nid
		end
		assert.equal(2, #ks)
		assert.is_true(n <= 60, "the large one starves")
	end)

	it("are never kept free by two large tasks for each other", function()
		pool { memory = 4 * GB, warm_min = 5, warm_max = 5, max = 8 }
		f:set_slots({ { name = "one", memory = 4 * GB }, { name = "other", memory = 4 * GB }, { name = "free", max = 100 } }, function(t)
			if t.title == "large" then return { { 1, "" }, { 2, "" } } end
			return { { t.title == "in one" and 1 or t.title == "in other" and 2 or 3, "" } }
		end)
		kernels(5)
		--- Somebody leaves the third rule, so that all look whether there is room for them now.
		local function look(n)
			for _ = 1, n do
				submit("zoe", "goes by")
				local title, k, id = sent()
				assert.equal("goes by", title)
				done(k, id)
				line("release")
			end
		end
		submit("cem", "in one", { memory = GB })
		local _, k1, id1 = sent()
		submit("ann", "large")
		look(20)
		submit("dan", "in other", { memory = GB })
		local _, k2, id2 = sent()
		submit("bob", "large")
		look(20)
		done(k1, id1)
		done(k2, id2)
		local title, k, id = sent()
		assert.equal("large", title)
		done(k, id)
		assert.equal("large", (sent()))
	end)

	it("know a maximum that a function said for one task", function()
		pool()
		f:set_slots({ { name = "by function", each = "user", max = 9 } }, function(t) return { { 1, t.owner, t.title == "night" and 1 or nil } } end)
		kernels(2)
		submit("ann", "day")
		sent()
		local night = submit("ann", "night")
		assert.is_false(has_seen("send "))
		assert.matches("1 of 1 of user ann", state(night).reason, 1, true)
		submit("ann", "day2")
		assert.equal("day2", (sent()))
	end)

	it("are looked up anew for every open task when the rules change; who is at work over a lowered number goes on", function()
		pool()
		f:set_slots({ { name = "old", each = "user", max = 3 } }, by_owner)
		kernels(3)
		submit("ann", "a1")
		local _, k1, id1 = sent()
		submit("ann", "a2")
		local _, k2, id2 = sent()
		f:set_slots({ { name = "new", each = "user", max = 1 } }, by_owner)
		assert.equal(2, key("ann").used)
		assert.is_false(has_seen("stop "))
		local waits = submit("ann", "a3")
		assert.matches('slots "new" (policies/20.lua:7): 2 of 1 of user ann are at work', state(waits).reason, 1, true)
		done(k1, id1)
		assert.is_false(has_seen("send "), "one of one is still at work")
		done(k2, id2)
		assert.equal("a3", (sent()))
	end)

	it("that are no more hold nobody back", function()
		pool()
		f:set_slots({ { name = "none", each = "user", max = 0 } }, by_owner)
		kernels(1)
		submit("ann", "a1")
		assert.is_false(has_seen("send "))
		f:set_slots({})
		assert.equal("a1", (sent()))
		assert.same({}, t_words.parse(f:slots()))
	end)

	it("count tasks at work over a restart of the backend", function()
		pool()
		f:set_slots({ { name = "one each", each = "user", max = 1 } }, by_owner)
		local ks = kernels(1)
		submit("ann", "a1")
		local _, k, id = sent()
		local waits = submit("ann", "a2")
		f:close()
		seen = told.new()
		f = assert(t_fleet.open(dir .. "/dss.sqlite"))
		assert(f:set_pools { { name = "fek", memory = GB, warm_min = 2, warm_max = 2, max = 3, after_tasks = 1000 } })
		f:set_slots({ { name = "one each", each = "user", max = 1 } }, by_owner)
		assert.equal("busy", (f:take_up(ks[1], 4711, true, '{"pool":"fek","url":"http://127.0.0.1:1","task":"' .. id .. '","attempt":1,"owner":"ann","memoryBytes":' .. GB .. "}")))
		f:taken_up()
		f:start()
		kernels(1)
		assert.equal(1, key("ann").used)
		assert.is_false(has_seen("send "))
		assert.matches("1 of 1 of user ann", state(waits).reason, 1, true)
		done(k, id)
		assert.equal("a2", (sent()))
	end)

	it("are given back by a task that is aborted, dies or goes back to the queue", function()
		pool()
		f:set_slots({ { name = "one each", each = "user", max = 1 } }, by_owner)
		kernels(2)
		submit("ann", "a1")
		local _, k, id = sent()
		local second = submit("ann", "a2")
		f:ended { id = k, cause = "crash", code = 1 }
		local title, k2, id2 = sent()
		assert.equal("a2", title)
		assert.equal(second, id2)
		submit("ann", "a3")
		f:abort(id2, "ann")
		f:tell("aborted", k2, id2, 1)
		helper.wait_for("room", function() collect() return state(id2).state == "aborted" end)
		assert.equal("killed", state(id).state)
		assert.equal("a3", (sent()))
		assert.equal(1, key("ann").used)
	end)
end)
