-- What the policies beside this folder are meant to do, held against what they do: `dssctl policy test`, before and after you change them.
-- No backend is needed, and nothing of this is read by one: only policies/*.lua are policies.
--
-- Each `it` is a sentence and its proof. `policy.load()` reads the folder as the backend would; a mistake in it fails here with file and line.
-- What a set can be asked stands in docs/policy-testing.md: numbers, recycle, judge, place, may, on.
local policy = require "dss.test"

describe("our pools", function()
	-- As another machine would load them: their numbers are reckoned from `machine`.
	local set = policy.load { machine = { cores = 2, total = "8g" } }

	it("keep kernels warm for the next task, also when nobody is there", function()
		local fek = set:pool("fek"):numbers { waiting = 0, clock = "sun 03:00" }
		assert.equal(2, fek.warm.min)
		assert.is_true(fek.max >= fek.warm.max)
	end)

	it("take a fresh kernel for every task", function()
		assert.equal("retire", (set:recycle("fek", { tasks = 1 })))
	end)
end)

describe("our limits", function()
	it("count each user's tasks apart, and leave room for others", function()
		local set = policy.load { machine = { cores = 2, total = "8g" } }
		local place = set:place({ user = "ann", project = "SALES" })["a user's tasks"]
		assert.same({ "ann", 6 }, { place.key, place.max })
	end)
end)

describe("our rules", function()
	local set = policy.load()

	it("let an idle kernel go that holds most of its box, and say why", function()
		local verb, reason, clause = set:judge("idle and large", { state = "idle", idle = "10min", memory = "900m", limit = "1g" })
		assert.same({ "retire", "idle for 10 min, holding 900 MB of 1.0 GB", "memory > 80% of limit" }, { verb, reason, clause })
	end)

	it("do nothing where a fact is not known: unknown is not zero", function()
		local verb, reason = set:judge("idle and large", { state = "idle", idle = "10min", limit = "1g" })
		assert.same({ "keep", "skipped: memory is unknown" }, { verb, reason })
	end)

	it("tell before they end somebody's work", function()
		assert.equal("simulate", set:rule("runs for days").mode)
		assert.equal(12 * 3600, set:rule("runs for days").warn)
	end)

	it("tell an admin when the machine ran out of memory", function()
		local doing = set:on("process.exited", { subject = "fek-3", cause = "oom_host" })
		assert.equal("notify", doing[1].verb)
		assert.same({}, (set:on("process.exited", { subject = "fek-3", cause = "exit" })))
	end)
end)
