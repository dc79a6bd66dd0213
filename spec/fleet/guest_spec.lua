-- Guests: recipes and webapps wait in line for a place under slots, in the node's memory, and for names that one has alone.
local helper = require "spec.helper"
local told = require "spec.fleet.told"
local t_fleet = require "t_fleet"
local t_words = require "t_words"

local GB = 2 ^ 30 | 0

describe("a guest", function()
	local dir, f, seen

	before_each(function()
		dir = told.folder()
		seen = told.new()
	end)
	after_each(function()
		if f then f:close() end
		f = nil
		os.execute("rm -rf " .. dir)
	end)

	local function open(machine, reserve, pools)
		f = assert(t_fleet.open(dir .. "/dss.sqlite", 0, nil, machine or 0, reserve or 0))
		assert(f:set_pools(pools or {}))
		f:start()
	end

	--- Some turns: what was to come by itself has come.
	local function settle()
		for _ = 1, 30 do seen:collect(f) end
	end
	local function ask(id, more)
		local t = { id = id, user = "ann", project = "SALES", job = "J-" .. id, activity = id .. "_NP", recipe = id }
		for k, v in pairs(more or {}) do t[k] = v end
		assert(f:ask(t))
	end
	local function placed()
		settle()
		local out = {}
		for _, l in ipairs(seen:all "placed ") do out[#out + 1] = l:match "^placed (%S+)" end
		return table.concat(out, " ")
	end
	local function by_kind(t) return t.kind == "recipe" and { { 1, "" } } or {} end
	local function all_recipes(n) assert(f:set_slots({ { name = "recipes at once", max = n } }, by_kind)) end

	it("that nothing holds back has its place before the loop waits, and is told once, later", function()
		open()
		ask "a"
		assert.same({}, seen:all "placed")
		assert.equal("a", placed())
		assert.is_nil(f:why "a")
		f:leave "a"
		settle()
		assert.equal(1, #seen:all "placed")
	end)

	it("waits for a slot, with reason and position, and gets it when one leaves", function()
		open()
		all_recipes(2)
		for _, id in ipairs { "a", "b", "c", "d" } do ask(id) end
		assert.equal("a b", placed())
		assert.same({ 'slots "recipes at once" (policies/20.lua:7): 2 of 2 are at work', 1 }, { f:why "c" })
		assert.equal(2, select(2, f:why "d"))
		f:leave "a"
		assert.equal("a b c", placed())
		assert.equal(1, select(2, f:why "d"))
		f:leave "d" -- it no longer waits
		f:leave "b"
		assert.equal("a b c", placed())
		assert.same({ { key = "", used = 1, memoryBytes = 0 } }, t_words.parse(f:slots())[1].keys)
		f:leave "c"
		assert.same({}, t_words.parse(f:slots())[1].keys)
	end)

	it("of a higher priority comes first, then one whose user used less, then who asked first", function()
		open()
		all_recipes(1)
		ask("first", { user = "ann", memory = GB })
		assert.equal("first", placed())
		ask("second", { user = "ann" })
		ask("third", { user = "ann" })
		ask("bob's", { user = "bob" })
		ask("urgent", { user = "ann", priority = 5 })
		assert.equal("first", placed())
		local order = { "first" }
		for _ = 1, 4 do
			-- the user of the first one has used something, whatever the clock says
			f:leave(order[#order])
			order = {}
			for id in placed():gmatch "%S+" do order[#order + 1] = id end
		end
		assert.same({ "first", "urgent", "bob's", "second", "third" }, order)
	end)

	it("counts for each key of its own, beside tasks", function()
		open()
		assert(f:set_slots({ { name = "of a job", each = "job", max = 1 }, { name = "of a project", each = "project", max = 2 } },
			function(t) return { { 1, t.job }, { 2, t.project } } end))
		ask("a", { job = "J1" })
		ask("b", { job = "J1" })
		ask("c", { job = "J2" })
		ask("d", { job = "J3" })
		ask("e", { job = "J1", project = "OTHER" })
		assert.equal("a c", placed())
		assert.equal('slots "of a job" (policies/20.lua:7): 1 of 1 of job J1 are at work', (f:why "b"))
		assert.equal('slots "of a project" (policies/20.lua:7): 2 of 2 of project SALES are at work', (f:why "d"))
		f:leave "a"
		assert.equal("a c b", placed())
		f:leave "b"
		assert.equal("a c b d e", placed())
	end)

	it("counts in the memory of a rule, and one that is too large for it is refused", function()
		open()
		assert(f:set_slots({ { name = "memory", max = -1, memory = 4 * GB } }, by_kind))
		ask("a", { memory = 3 * GB })
		ask("b", { memory = 2 * GB })
		ask("c", { memory = 5 * GB })
		ask("d", { memory = GB })
		assert.equal("a d", placed())
		assert.truthy(seen:all("refused c")[1]:find("limits.memory of 5.0 GB is over 4.0 GB", 1, true), seen:all("refused c")[1])
		assert.truthy(f:why("b"):find("4.0 GB of 4.0 GB are in use, this one needs 2.0 GB", 1, true), (f:why "b"))
		f:leave "a"
		assert.equal("a d b", placed())
	end)

	it("waits for the node's memory, lets a smaller one pass, and says to whom it is promised", function()
		open(10 * GB, 2 * GB)
		f:services(GB)
		ask("a", { memory = 5 * GB })
		ask("b", { memory = 4 * GB })
		ask("c", { memory = GB, kind = "webapp" })
		ask("j", { memory = -1 }) -- in its kernel
		assert.equal("a c j", placed())
		local why = f:why "b"
		assert.equal("the node's memory is promised: 7.0 of 8.0 GB (recipes 5.0 GB, services 1.0 GB, webapps 1.0 GB); it needs 4.0 GB, 1.0 GB are left", why)
		local b = t_words.parse(f:budget())
		assert.same({ 7 * GB, 6 * GB, 5 * GB, GB }, { b.promisedBytes, b.guestsBytes, b.recipesBytes, b.webappsBytes })
		f:leave "a"
		assert.equal("a c j b", placed())
	end)

	it("of each kind counts in what is promised for as long as it has its place", function()
		open(10 * GB, 2 * GB)
		ask("r", { memory = GB })
		ask("w", { memory = 2 * GB, kind = "webapp" })
		ask("n", { memory = 3 * GB, kind = "notebook" })
		assert.equal("r w n", placed())
		ask("big", { memory = 4 * GB, kind = "notebook" })
		settle()
		assert.equal("the node's memory is promised: 6.0 of 8.0 GB (notebooks 3.0 GB, webapps 2.0 GB, recipes 1.0 GB); it needs 4.0 GB, 2.0 GB are left", (f:why "big"))
		local function sums()
			local b = t_words.parse(f:budget())
			return { b.guestsBytes // GB, b.recipesBytes // GB, b.webappsBytes // GB, b.notebooksBytes // GB, b.promisedBytes // GB }
		end
		assert.same({ 6, 1, 2, 3, 6 }, sums())
		f:leave "n"
		assert.equal("r w n big", placed())
		assert.same({ 7, 1, 2, 4, 7 }, sums())
		for _, id in ipairs { "r", "w", "big" } do f:leave(id) end
		assert.same({ 0, 0, 0, 0, 0 }, sums())
	end)

	it("has the same position in the list of all as alone", function()
		open(10 * GB, 2 * GB)
		assert(f:set_slots({ { name = "recipes at once", max = 1 } }, function(t)
			return t.kind == "recipe" and { { 1, t.project or "" } } or {}
		end))
		for i = 1, 12 do ask("g" .. i, { project = "P" .. i % 3, kind = i % 4 == 0 and "webapp" or "recipe", memory = i % 4 == 0 and 4 * GB or GB / 8 | 0 }) end
		settle()
		local waiting = 0
		for _, row in ipairs(t_words.parse(f:guests())) do
			local why, position = f:why(row.id)
			assert.same({ why, position }, { row.reason, row.position })
			waiting = waiting + (why and 1 or 0)
		end
		assert.is_true(waiting >= 6, waiting)
	end)

	it("that can never fit into the node's memory is refused with the numbers", function()
		open(10 * GB, 2 * GB)
		ask("a", { memory = 9 * GB })
		settle()
		assert.equal('refused a limits.memory of recipe "a" is 9.0 GB, more than the node\'s whole memory budget, 8.0 GB: 10.0 GB less 2.0 GB for people and the system',
			seen:all("refused")[1])
		assert.equal("[]", f:guests())
	end)

	it("makes idle kernels beyond warm.min give way, and only as many as it needs", function()
		local function pool(min) return { name = "fek", memory = GB, warm_min = min, warm_max = 4, max = 4 } end
		open(6 * GB, GB, { pool(4) })
		local kernels = helper.wait_for("4 kernels", function()
			seen:collect(f)
			return #seen:all "spawn" == 4 and seen:all "spawn"
		end)
		for _, l in ipairs(kernels) do assert(f:ready((l:match "^spawn (%S+)"))) end
		assert(f:set_pools { pool(1) })
		settle()
		ask("a", { memory = 3 * GB })
		settle()
		local stops = seen:all "stop "
		assert.equal(2, #stops, table.concat(seen, "; "))
		assert.truthy(stops[1]:find("a waiting recipe or webapp needs its place in the node's memory", 1, true), stops[1])
		assert.equal("", placed())
		for _, l in ipairs(stops) do f:ended { id = l:match "^stop (%S+)", cause = "policy", text = "ended" } end
		helper.wait_for("its place", function() return placed() == "a" end)
		-- its place is its own until it leaves
		assert(f:set_pools { pool(4) })
		settle()
		assert.equal(4, #seen:all "spawn")
		f:leave "a"
		helper.wait_for("the stock", function() settle() return #seen:all "spawn" == 6 end)
	end)

	it("has the names that it holds alone; who waits for one hears who has it", function()
		open()
		ask("a", { job = "J1", activity = "clean_NP", holds = { "DEMO/revenue", "DEMO/other" } })
		ask("b", { job = "J2", holds = { "DEMO/third", "DEMO/other" } })
		ask("c", { job = "J3", holds = { "DEMO/third" } })
		assert.equal("a c", placed())
		assert.equal("dataset DEMO/other is being built by job J1, activity clean_NP", (f:why "b"))
		f:leave "a"
		assert.equal("a c", placed())
		assert.equal("dataset DEMO/third is being built by job J3, activity c_NP", (f:why "b"))
		f:leave "c"
		assert.equal("a c b", placed())
	end)

	it("that is taken up counts at once, whatever the rules say; a name that two have is free after both", function()
		open()
		all_recipes(1)
		assert(f:adopt { id = "a", user = "ann", holds = { "X/y" }, memory = GB })
		assert(f:adopt { id = "b", user = "ann", holds = { "X/y" } })
		ask("c", { holds = { "X/y" } })
		assert.equal("", placed())
		f:leave "a"
		all_recipes(9)
		assert.equal("", placed())
		assert.truthy(f:why("c"):find("X/y", 1, true))
		f:leave "b"
		assert.equal("c", placed())
	end)

	it("is placed anew by new rules: those at work count under them, and those that wait go on", function()
		open()
		all_recipes(1)
		ask "a"
		ask "b"
		assert.equal("a", placed())
		all_recipes(2)
		assert.equal("a b", placed())
		ask "c"
		all_recipes(1)
		assert.equal("a b", placed())
		assert.truthy(f:why("c"):find("2 of 1 are at work", 1, true), (f:why "c"))
		f:leave "a"
		assert.equal("a b", placed())
		f:leave "b"
		assert.equal("a b c", placed())
		assert(f:set_slots({}, by_kind))
		ask "d"
		assert.equal("a b c d", placed())
	end)

	it("that waits stands in the ledger with its reason, and its turn when it came", function()
		open()
		all_recipes(1)
		ask "a"
		ask "b"
		local function decisions()
			local out = {}
			for _, d in ipairs(t_words.parse(f:decisions "queue")) do out[#out + 1] = d end
			return out
		end
		helper.wait_for("a decision", function()
			settle()
			local d = decisions()[1]
			return d and d.answer == "wait" and d.subject == "b" and d.reason:find "1 of 1 are at work"
		end)
		f:leave "a"
		helper.wait_for("its turn", function()
			settle()
			local d = decisions()[1]
			return d.answer == "assign" and d.subject == "b" and d.reason:find "^its turn came after "
		end)
		assert.equal(2, #decisions())
	end)

	it("is listed with what it is, whether it waits and why", function()
		open()
		all_recipes(1)
		ask("a", { memory = GB })
		ask "b"
		settle()
		local rows = t_words.parse(f:guests())
		assert.same({ "a", "placed", GB, "recipe", "J-a", "a_NP" },
			{ rows[1].id, rows[1].state, rows[1].limitBytes, rows[1].kind, rows[1].job, rows[1].activity })
		assert.same({ "b", "waiting", 1 }, { rows[2].id, rows[2].state, rows[2].position })
		assert.truthy(rows[2].reason:find("1 of 1", 1, true))
		assert.is_nil(rows[1].reason)
	end)

	it("of hundreds that wait is served in turn", function()
		open()
		all_recipes(3)
		local names = {}
		for i = 1, 200 do
			names[i] = ("g%03d"):format(i)
			ask(names[i], { user = "u" .. i % 7 })
		end
		local left = {}
		for _ = 1, 400 do
			local now = placed()
			local any = false
			for id in now:gmatch "%S+" do
				if not left[id] then
					left[id], any = true, true
					f:leave(id)
				end
			end
			if not any then break end
		end
		for _, name in ipairs(names) do assert.is_true(left[name], name) end
		assert.equal("[]", f:guests())
	end)
end)
