require "spec.helper"
local facts = require "dss.model.facts"
local filter = require "dss.text.filter"

local NOW = 1795298626 -- seconds

local process = {
	id = "fek-1", kind = "kernel", pool = "fek", variant = "ab12", pid = 812, parentId = "keeper", node = "local", state = "busy", user = "bob", unixUser = "dss-run", taskId = "t1",
	project = "SALES", memoryBytes = 1 << 30, rssBytes = 5, peakBytes = 2 << 30, cpuSeconds = 12.5, limitBytes = 3 << 30, startedAt = (NOW - 3600) * 1000, readyAt = (NOW - 3590) * 1000,
}

local function with(row, more)
	local out = {}
	for k, v in pairs(row) do out[k] = v end
	for k, v in pairs(more) do out[k] = v end
	return out
end

describe("the facts", function()
	it("of every kind have a type that filters know, one line of meaning, and a name that filters can say", function()
		assert.same({ "board", "kernel", "node", "notebook", "pool", "process", "project", "recipe", "task", "user", "webapp" }, facts.kinds)
		local types = { size = "> 1g", duration = "> 2h", count = "> 1", number = "> 50%", text = "= x", list = "= x", flag = "", time = '> "2026-01-01"' }
		for _, kind in ipairs(facts.kinds) do
			local names = {}
			for _, d in ipairs(facts.docs(kind)) do
				names[#names + 1] = d.name
				assert.truthy(types[d.type], kind .. "." .. d.name)
				assert.truthy(#d.doc > 3 and not d.doc:find "[\n|]", kind .. "." .. d.name)
				local words = facts.of(kind)[d.name].words
				assert(filter.parse(d.name .. " " .. (words and "= " .. words[1] or types[d.type]), facts.of(kind)))
			end
			assert.truthy(#names >= 8, kind)
			local sorted = table.move(names, 1, #names, 1, {})
			table.sort(sorted)
			assert.same(sorted, names)
		end
		assert.is_nil(facts.of "banana")
	end)

	it("of a process come from its row: sizes in bytes, durations and times in seconds", function()
		local f = facts.from_row("process", process, NOW)
		assert.same({ "fek-1", "kernel", "fek", "busy", "bob", "t1", "SALES", "", "dss-run" }, { f.id, f.kind, f.pool, f.state, f.user, f.task, f.project, f.cause, f.unix_user })
		assert.same({ 1 << 30, 2 << 30, 3 << 30, 12.5, 812 }, { f.memory, f.peak, f.limit, f.cpu, f.pid })
		assert.equal(3600, f.age)
		assert.equal(0, f.idle)
		assert.equal(NOW - 3590, f.ready)
		assert.is_true((filter.parse("memory > 30% of limit and age >= 1h and user = bob", facts.of "process").test(f)))
	end)

	it("that are not measured are unknown, and what is known to be none is empty", function()
		local f = facts.from_row("process", { id = "x", kind = "kernel", state = "starting" }, NOW)
		for _, name in ipairs { "memory", "limit", "cpu", "age", "idle", "pid", "peak", "started" } do assert.is_nil(f[name], name) end
		for _, name in ipairs { "user", "task", "cause", "project" } do assert.equal("", f[name], name) end
	end)

	it("say how long a kernel is idle only where that is known", function()
		local function idle(more) return facts.from_row("process", with(process, more), NOW).idle end
		assert.equal(0, idle { state = "busy" })
		assert.equal(60, idle { state = "idle", idleSince = (NOW - 60) * 1000 })
		assert.is_nil(idle { state = "idle" })
		local fresh = with(process, { state = "idle" })
		fresh.user = nil
		assert.equal(3590, facts.from_row("process", fresh, NOW).idle)
	end)

	it("of a task tell its waiting and running, its kernel's memory if the row has it", function()
		local row = { jobId = "t1", owner = "bob", state = "queued", type = "python", pool = "fek", submitTime = (NOW - 90) * 1000, startTime = (NOW - 90) * 1000, runningTime = 0,
			payload = { displayName = "Sales" }, attempt = 0, kind = "future", priority = -3, position = 3, reason = "3rd of 7", tags = { "nightly", "x" }, alive = true }
		local f = facts.from_row("task", row, NOW)
		assert.same({ "t1", "bob", "Sales", 90, 0, 3, "" }, { f.id, f.user, f.title, f.waiting, f.running, f.position, f.kernel })
		assert.same({ "future", -3 }, { f.kind, f.priority })
		assert.is_nil(f.memory)
		assert.is_nil(f.progress)
		assert.is_true((filter.parse("tags = nightly and waiting > 1min and alive", facts.of "task").test(f)))
		f = facts.from_row("task", with(row, { state = "running", startTime = (NOW - 30) * 1000, runningTime = 30000, kernel = "fek-1", progress = { fraction = 0.5 }, memoryBytes = 7 }), NOW)
		assert.same({ 60, 30, 0.5, 7 }, { f.waiting, f.running, f.progress, f.memory })
	end)

	it("of a pool are its counts", function()
		local f = facts.from_row("pool", { name = "fek", kind = "python", warm = { min = 1, max = 4 }, max = 8, alive = 3, idle = 2, busy = 1, starting = 0, stopping = 0, waiting = 5,
			memoryLimitBytes = 1 << 30, retired = false }, NOW)
		assert.same({ "fek", 1, 4, 8, 2, 1, 5, 1 << 30, false, 0 }, { f.id, f.warm_min, f.warm_max, f.max, f.idle, f.running, f.waiting, f.limit, f.retired, f.failed_starts })
	end)

	it("of a webapp are its state and what its process uses; well and not waiting are 0", function()
		local row = { id = "page", project = "SALES", owner = "ann", state = "running", wanted = "running", processId = "webapp-1-1", crashes = 0, startedAt = (NOW - 60) * 1000,
			memoryBytes = 1 << 20, peakBytes = 2 << 20, cpuSeconds = 1.5, tags = { "x" } }
		local f = facts.from_row("webapp", row, NOW)
		assert.same({ "page", "ann", 1 << 20, 2 << 20, 1.5, 60, 0, 0, "" }, { f.id, f.user, f.memory, f.peak, f.cpu, f.age, f.unhealthy, f.waiting, f.reason })
		assert.is_nil(f.limit)
		f = facts.from_row("webapp", with(row, { unhealthySince = (NOW - 9) * 1000, waitingSince = (NOW - 5) * 1000, limitBytes = 7 }), NOW)
		assert.same({ 9, 5, 7 }, { f.unhealthy, f.waiting, f.limit })
	end)

	it("are unknown where a row has nonsense", function()
		local f = facts.from_row("process", { id = 5, memoryBytes = "much", startedAt = {}, limitBytes = 0 / 0, user = false, state = "idle", idleSince = "x" }, NOW)
		for _, name in ipairs { "id", "memory", "age", "limit", "started", "idle" } do assert.is_nil(f[name], name) end
		f = facts.from_row("task", { payload = 5, progress = "x", tags = "x", submitTime = "x", state = "queued" }, NOW)
		assert.same({}, f.tags)
		for _, name in ipairs { "title", "progress", "age", "waiting", "running" } do assert.is_nil(f[name], name) end
		for _, kind in ipairs(facts.kinds) do facts.from_row(kind, {}, NOW) end
	end)

	it("are told as data, too: every one by a way that needs no Lua", function()
		local cases = { member = true, ms = true, from = true, left = true, above = true, same = true, value = true }
		for _, kind in ipairs(facts.kinds) do
			for _, told in ipairs(facts.told(kind)) do
				local name = kind .. "." .. told.name
				assert.truthy(#told.way > 0, name)
				assert.is_truthy(facts.of(kind)[told.name].get == nil or facts.of(kind)[told.name].way, name .. " is read by a function that nobody else has")
				for _, case in ipairs(told.way) do
					local n = 0
					for key in pairs(case) do n = n + (cases[key] and 1 or 0) end
					assert.equal(1, n, name)
				end
			end
		end
	end)

	it("can be asked for by name, with the clock of that moment", function()
		local f = facts.from_row("process", process, NOW + 0.5, { "memory", "nosuch", "clock" })
		assert.equal(1 << 30, f.memory)
		assert.is_nil(f.age)
		local d = os.date("*t", NOW)
		assert.same({ d.hour, d.min, NOW }, { f.clock.hour, f.clock.minute, f.clock.seconds })
		assert.equal(os.date("%a", NOW):lower(), f.clock.weekday)
	end)
end)
