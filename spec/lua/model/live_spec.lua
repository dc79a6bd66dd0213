require "spec.helper"
require("t_bind").preload()
local load = require "dss.model.load"
local live = require "dss.model.live"
local pools = require "dss.model.pools"

local FILE = "policies/10-pools.lua"
local function take(text) return load.evaluate({ { name = FILE, text = text } }, { share = "/usr/share/dssd" }) end
local function pool(words) return assert(take('pool "fek" { kernel = python {},\n' .. words .. " }")) end
local function refusal(words)
	local model, errors = take('pool "fek" { kernel = python {},\n' .. words .. " }")
	assert.is_nil(model, words)
	return table.concat(errors, "\n")
end

--- What the pool's functions say of these facts: warm.min, warm.max, max, memory, whether time matters, complaints.
local function ask(facts)
	local f = { idle = 0, busy = 0, starting = 0, waiting = 0, alive = 0, demand = 0.0, unix_s = 1700000000 }
	for k, v in pairs(facts or {}) do f[k] = v end
	local a, b, c, d, e, said = live.pool("fek", f)
	return a, b, c, d, e, said
end
local function recycle(facts)
	local f = { id = "fek-1", user = "bob", age = 10.0, tasks = 1, memory = 1 << 20, peak = 2 << 20, unix_s = 1700000000 }
	for k, v in pairs(facts or {}) do f[k] = v end
	local why, is_time, said = live.recycle("fek", f)
	return why, is_time, said
end

describe("a function in the place of a pool's number", function()
	it("is asked once at the load, for a pool without kernels; the rest of the specs are as ever", function()
		local spec = pools.specs(pool "warm = { min = function (p) return 1 + p.waiting end, max = 6 }")[1]
		assert.same({ 1, 6, true }, { spec.warm_min, spec.warm_max, spec.is_live })
		assert.is_nil(pools.specs(pool "warm = { min = 1 }")[1].is_live)
	end)
	it("is asked with the pool's facts, and answers in the words' units", function()
		pool [[warm = { min = function (p) return p.busy > 3 and 4 or 1 end, max = function (p) return p.busy + 5 end },
			max = function (p) return 20 end, limits = { memory = function (p) return p.busy > 3 and "2g" or "1g" end }]]
		assert.same({ 1, 5, 20, 1 << 30, false, "" }, { ask() })
		assert.same({ 4, 9, 20, 2 << 30, false, "" }, { ask { busy = 4 } })
	end)
	it("sees demand, its pool's name and the clock it is handed, and that time matters is noticed", function()
		pool 'warm = { min = function (p) assert(p.name == "fek") return math.ceil(p.demand * 3) end, max = 50 }'
		assert.same({ 7, false }, { (ask { demand = 2.2 }), (select(5, ask())) })
		pool 'warm = { min = function (p) return p.clock.weekday == "tue" and p.clock.year - 2020 or 0 end }'
		assert.same({ 3, 8, 16, 0, true, "" }, { ask { unix_s = 1700000000 + 12 * 3600 - 43200 } })
	end)
	it("refuses the set at the load where it fails then, with file and line", function()
		assert.equal(FILE .. ":2: attempt to compare nil with number", (refusal "max = function (p) return p.busy > nil end"):match "^[^\n]+")
		assert.matches('^policies/10%-pools.lua:2: pool has no "bsuy", did you mean "busy"%?', refusal "max = function (p) return p.bsuy end")
		assert.matches("^policies/10%-pools.lua:3: max: a whole number is wanted, not the text \"x\"", refusal "\nmax = function (p) return 'x' end")
		assert.matches("^policies/10%-pools.lua:2: max: it answered nothing", refusal "max = function (p) end")
		assert.matches("^policies/10%-pools.lua:1: warm.min is 9, more than warm.max, 3", refusal "warm = { min = function (p) return 9 end, max = 3 }")
		assert.matches("limits.memory: unable to read size", refusal 'limits = { memory = function (p) return "1x" end }')
	end)
	it("that fails later leaves the last number in force; that is said once, and again after it worked between", function()
		pool "warm = { min = function (p) if p.waiting > 5 then error 'too many' end return p.waiting end }"
		assert.same({ 2, "" }, { (ask { waiting = 2 }), (select(6, ask { waiting = 2 })) })
		local min, _, _, _, _, said = ask { waiting = 6 }
		assert.same({ 2, FILE .. ":2: too many; the last number, 2, stays in force" }, { min, said })
		assert.same({ 2, "" }, { (ask { waiting = 6 }), (select(6, ask { waiting = 6 })) })
		assert.equal(3, (ask { waiting = 3 }))
		assert.matches("the last number, 3, stays in force", select(6, ask { waiting = 6 }), 1, true)
	end)
	it("that contradicts the others leaves all of the last ones in force", function()
		pool "warm = { min = function (p) return p.busy end, max = 4 }, max = function (p) return 10 + p.busy end"
		assert.same({ 3, 4, 13, 0, false, "" }, { ask { busy = 3 } })
		local min, max, all, _, _, said = ask { busy = 5 }
		assert.same({ 3, 4, 13 }, { min, max, all })
		assert.equal(FILE .. ":1: warm.min is 5, more than warm.max, 4; the last numbers stay in force", said)
	end)
	it("cannot change what it is handed, nor reach what is not", function()
		pool "max = function (p) local ok = pcall(function () p.busy = 9 end) return ok and 2 or 1 end"
		assert.equal(1, (select(3, ask())))
		for _, word in ipairs { "os.time()", "io", "require", "getmetatable(p)", "setmetatable" } do
			assert.matches("is not available here", refusal("max = function (p) local x = " .. word .. " return 1 end"), 1, true)
		end
	end)
	it("keeps to its own word where others fail", function()
		pool "warm = { min = function (p) return p.busy end, max = 9 }, max = function (p) if p.busy > 0 then error() end return 20 end"
		local min, _, max, _, _, said = ask { busy = 2 }
		assert.same({ 2, 20 }, { min, max })
		assert.matches(FILE .. ":2: raised a nil; the last number, 20, stays in force", said, 1, true)
	end)
end)

describe("recycle as a function", function()
	it("replaces recycling after each task, and ends a kernel by retire and its reason alone", function()
		local spec = pools.specs(pool 'recycle = function (k) if k.memory > bytes "100m" then return retire("uses " .. k.memory) end end')[1]
		assert.same({ 0, true }, { spec.recycle_after_tasks, spec.has_recycle })
		assert.same({ n = 3, nil, false, "" }, table.pack(recycle()))
		assert.equal("uses 209715200", (recycle { memory = 200 << 20 }))
	end)
	it("sees age in seconds, tasks, peak, user and clock", function()
		pool [[recycle = function (k)
			if k.age > seconds "8h" then return retire "old" end
			if k.tasks >= 50 then return retire("many for " .. k.user) end
			if k.clock.hour > 99 then return retire "never" end
		end]]
		assert.same({ "old", true, "" }, { recycle { age = 28801.0 } })
		assert.equal("many for bob", (recycle { tasks = 50 }))
		assert.is_nil((recycle()))
	end)
	it("that fails or answers something else keeps the kernel, and is said once", function()
		pool "\nrecycle = function (k) if k.tasks == 1 then error 'x' elseif k.tasks == 2 then return true elseif k.tasks == 3 then return retire() end end"
		local why, _, said = recycle { tasks = 1 }
		assert.is_nil(why)
		assert.equal(FILE .. ":3: x; the kernel is kept", said)
		assert.equal("", (select(3, recycle { tasks = 1 })))
		assert.equal(FILE .. ':3: recycle: answer retire "why", or nothing to keep the kernel, not a boolean; the kernel is kept', (select(3, recycle { tasks = 2 })))
		assert.matches("retire wants a reason", select(3, recycle { tasks = 3 }), 1, true)
		assert.same({ n = 3, nil, false, "" }, table.pack(recycle { tasks = 4 }))
	end)
end)

describe("each answer of a pool's function is a decision", function()
	it("with the facts that were read, and no others", function()
		pool "warm = { min = function (p) return 1 + p.waiting end, max = function (p) return p.busy + 8 end }"
		local decisions = select(7, live.pool("fek", { idle = 0, busy = 2, starting = 0, waiting = 3, alive = 2, demand = 0.5, unix_s = 1700000000 }))
		assert.same({
			{ source = FILE .. ":2", threshold = "warm.max", inputs = '{"busy":2}', answer = "set", reason = "warm.max = 10", outcome = "done" },
			{ source = FILE .. ":2", threshold = "warm.min", inputs = '{"waiting":3}', answer = "set", reason = "warm.min = 4", outcome = "done" },
		}, decisions)
	end)
	it("also where nothing changes, and where it fails", function()
		pool "max = function (p) if p.busy > 5 then error 'no' end return 16 end"
		local function decide(busy) return select(7, live.pool("fek", { busy = busy, unix_s = 1700000000 }))[1] end
		assert.same({ "keep", "max = 16", "nothing" }, { decide(1).answer, decide(1).reason, decide(1).outcome })
		assert.same({ "keep", FILE .. ":2: no", "failed" }, { decide(6).answer, decide(6).reason, decide(6).outcome })
	end)
	it("of a recycle function skips a fact that is not known, and keeps the kernel", function()
		pool 'recycle = function (k) if k.memory > bytes "1g" then return retire "big at {memory:size}" end end'
		local why, _, said, d = live.recycle("fek", { id = "fek-1", tasks = 1, age = 1.0, unix_s = 1700000000 })
		assert.same({ n = 2, nil, "" }, table.pack(why, said))
		assert.same({ "keep", "skipped: memory is unknown", '{"memory":null}' }, { d.answer, d.reason, d.inputs })
		assert.equal("big at 2.0 GB", (live.recycle("fek", { id = "fek-1", memory = 2 << 30, unix_s = 1700000000 })))
	end)
end)
