local helper = require "spec.helper"
require("t_bind").preload()
local engine = require "dss.model.engine"
local load = require "dss.model.load"
local pools = require "dss.model.pools"

local FILES = { "10-pools", "20-limits", "30-rules", "90-retention" }
local LAPTOP, NODE = { cores = 2, total = 8 << 30 }, { cores = 64, total = 256 << 30 }

local function read(name) return { name = "policies/" .. name .. ".lua", text = assert(helper.read("policies/" .. name .. ".lua")) } end

--- Files as a set, on a machine.
local function evaluate(names, machine)
	local texts = {}
	for i, name in ipairs(names) do texts[i] = read(name) end
	local model, errors = load.evaluate(texts, { share = "/usr/share/dssd", machine = machine })
	return assert(model, errors and table.concat(errors, "\n"))
end

local function judge(i, facts)
	facts.unix_s = 1700000000
	local answer, reason, threshold = engine.judge(i, facts)
	return { answer, reason, threshold }
end

describe("policies as shipped", function()
	it("are readable alone, and say first what they are for", function()
		for _, name in ipairs(FILES) do
			evaluate({ name }, LAPTOP)
			assert.matches("^%-%- %u%l+: ", read(name).text)
		end
	end)
	it("keep kernels warm, each in a box of 1 GB, as many as the machine is for, and give every task a fresh one", function()
		local function numbers(machine)
			local specs = pools.specs(evaluate(FILES, machine))
			assert.equal(1, #specs)
			local fek = specs[1]
			assert.same({ "fek", "python", 1 << 30, 4 << 30, 0, 1 }, { fek.name, fek.kind, fek.memory_bytes, fek.memory_max_bytes, fek.swap_bytes, fek.recycle_after_tasks })
			return { fek.warm_min, fek.warm_max, fek.max }
		end
		assert.same({ 2, 4, 6 }, numbers(LAPTOP))
		assert.same({ 2, 4, 8 }, numbers { cores = 2, total = 16 << 30 })
		assert.same({ 2, 32, 192 }, numbers(NODE))
		assert.same({ 2, 4, 2 }, numbers { cores = 2, total = 4000 << 20 }, "what is left of 4 GB has room for two")
		assert.same({ 2, 4, 2 }, numbers { cores = 1, total = 1 << 30 })
	end)
	it("leave room for others beside each user, on any machine", function()
		local function limits(machine)
			evaluate(FILES, machine)
			local slots, box = table.unpack(engine.describe().slots)
			return { slots.max, box.memory_bytes >> 30 }
		end
		assert.same({ 6, 6 }, limits(LAPTOP))
		assert.same({ 192, 192 }, limits(NODE))
		assert.same({ 6, 2 }, limits { cores = 1, total = 1 << 30 })
	end)
	it("let idle kernels go that hold much, and no others", function()
		evaluate(FILES, LAPTOP)
		local large = { state = "idle", idle = 600.0, memory = 900 << 20, limit = 1 << 30 }
		assert.same({ "retire", "idle for 10 min, holding 900 MB of 1.0 GB", "memory > 80% of limit" }, judge(1, large))
		assert.equal("keep", judge(1, { state = "busy", idle = 0.0, memory = 900 << 20, limit = 1 << 30 })[1])
		assert.equal("keep", judge(1, { state = "idle", idle = 600.0, memory = 100 << 20, limit = 1 << 30 })[1])
		assert.same({ "keep", "skipped: memory is unknown" }, { table.unpack(judge(1, { state = "idle", idle = 600.0, limit = 1 << 30 }), 1, 2) })
	end)
	it("tell of tasks that wait or run for long, and end none of them", function()
		evaluate(FILES, LAPTOP)
		assert.same({ "notify", "waits for 11 min: all are busy" }, { table.unpack(judge(2, { state = "queued", waiting = 660.0, reason = "all are busy" }), 1, 2) })
		assert.same({ "notify", "of bob runs for 13 h" }, { table.unpack(judge(3, { user = "bob", running = 46800.0 }), 1, 2) })
		assert.same({ "abort", "it runs for 4 d" }, { table.unpack(judge(4, { running = 345600.0 }), 1, 2) })
		for _, r in ipairs(engine.describe().rules) do
			if r.name == "runs for days" then assert.equal("simulate", r.mode) else assert.equal("act", r.mode) end
		end
	end)
	it("keep what the defaults keep", function()
		evaluate({ "10-pools" }, LAPTOP)
		local defaults = engine.describe().retention
		evaluate({ "90-retention" }, LAPTOP)
		assert.same(defaults, engine.describe().retention)
	end)
end)
