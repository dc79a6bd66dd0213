-- What people read when their task was killed.
require "spec.helper"
local t_words = require "t_words"

local GB = 2 ^ 30 | 0
local fek = { name = "fek", memory = 3 * GB, memory_max = 6 * GB }

local function text(e, pool, case)
	e.id = e.id or "fek-1"
	return (t_words.judge(e, pool or fek, case or {}))
end

describe("the text of a killed task", function()
	it("names the pool's limit, its source, the peak, the others and what to do", function()
		assert.equal('Killed: your task used 3.0 GB, the limit of pool "fek" (policies/10-pools.lua:4). Peak 3.0 GB. Others were not affected. '
			.. "Submit with limits.memory up to 6g, or ask an admin.",
			text { cause = "oom_limit", limit = 3 * GB, peak = 3 * GB, limit_owner = "warm/fek-1" })
	end)

	it("names the task's own limit where it asked for one", function()
		assert.truthy(text({ cause = "oom_limit", limit = 1 * GB, peak = 1 * GB, limit_owner = "warm/fek-1" }, nil, { memory = 1 * GB })
			:find("used 1.0 GB, the limits.memory it was submitted with.", 1, true))
	end)

	it("does not promise more than the pool grants", function()
		local said = text({ cause = "oom_limit", limit = 6 * GB, peak = 6 * GB, limit_owner = "warm/fek-1" }, nil, { memory = 6 * GB })
		assert.truthy(said:find("That is the most this pool grants", 1, true))
		assert.is_nil(said:find("Submit with", 1, true))
	end)

	it("tells how fast it grew, where that was seen", function()
		local said = text({ cause = "oom_limit", limit = 3 * GB, peak = 3 * GB, limit_owner = "warm/fek-1", wall_ms = 1700000009000 }, nil,
			{ samples = { { 1700000000000, 4 * GB // 10 }, { 1700000008000, 2 * GB } } })
		assert.truthy(said:find("Peak 3.0 GB at %d%d:%d%d:%d%d %S+; 9 s before it grew from 0.4 GB%.") or said:find("9 s before it grew from 410 MB", 1, true), said)
	end)

	it("names who grew where the victim was another", function()
		local said = text { cause = "oom_limit", limit = 8 * GB, peak = GB, limit_owner = "run/P", victim_of = "job-7 (7.0 GB)" }
		assert.truthy(said:find("memory ran out at run/P (8.0 GB), and the system chose your task; what grew was job-7 (7.0 GB)", 1, true), said)
		assert.is_nil(said:find("Others were not affected", 1, true))
	end)

	it("takes status 3 of a JVM for a full heap, and of nothing else", function()
		assert.truthy(text({ cause = "crash", code = 3, limit = 3 * GB, peak = 2 * GB }, { name = "fek", kind = "java", heap = 2 * GB, memory = 3 * GB })
			:find "^Java heap full: 2.0 GB")
		assert.truthy(text({ cause = "crash", code = 1 }, { name = "fek", kind = "java", heap = 2 * GB, memory = 3 * GB }):find("with status 1", 1, true))
		assert.truthy(text({ cause = "crash", code = 3 }, { name = "fek", kind = "python", memory = 3 * GB }):find("with status 3", 1, true))
	end)

	it("says of a JVM that only collected garbage how much and how long", function()
		local said = text({ cause = "oom_heap", limit = 3 * GB, peak = 2 * GB, text = "The JVM of fek-1 spent 99 % of its time collecting garbage for 10 s and got nowhere" },
			{ name = "fek", kind = "java", heap = 2 * GB, memory = 3 * GB })
		assert.equal('Java heap full: 2.0 GB (heap of pool "fek"); the box had 1.0 GB left. The JVM of fek-1 spent 99 % of its time collecting garbage '
			.. "for 10 s and got nowhere. A higher limits.memory alone will not help.", said)
	end)

	it("says of a full Java heap that a larger box alone will not help", function()
		assert.equal('Java heap full: 2.0 GB (heap of pool "fek"); the box had 0.8 GB left. A higher limits.memory alone will not help.',
			(text({ cause = "oom_heap", limit = 3 * GB, peak = 22 * GB // 10 }, { name = "fek", heap = 2 * GB, memory = 3 * GB }):gsub("819 MB", "0.8 GB")))
	end)

	it("says for every cause of an end what happened", function()
		local words = {
			oom_host = "machine itself ran out of memory", limit_threads = "4096 threads and processes", deadline = "longer than its timeoutMs of 2",
			admin = "Killed by an admin: too much", user = "Aborted: too much", policy = "Killed by a policy: too much",
			shutdown = "the node was shut down", start_failed = "its kernel did not start", crash = "ended by itself with status 7",
			signal = "sent signal 9", lost = "whether the task ran is not known", unknown = "cause that is not known",
			exited = "ended by itself with status 0 before the task was done",
		}
		for cause, want in pairs(words) do
			local said = text({ cause = cause, text = "too much", code = cause == "crash" and 7 or nil, signal = cause == "signal" and 9 or nil }, nil,
				{ timeout_ms = 2000 })
			assert.truthy(said:find(want, 1, true), cause .. ": " .. said)
		end
	end)

	it("counts attempts where there were several", function()
		assert.truthy(text({ cause = "crash", code = 1 }, nil, { attempt = 3, retries = 2 }):find("This was attempt 3 of 3.", 1, true))
	end)
end)

describe("the error object of a killed task", function()
	local function object(e, case)
		e.id = "fek-1"
		local _, json = t_words.judge(e, fek, case or {})
		return assert(t_words.parse(json))
	end

	it("has the whole detail where memory ran out", function()
		local o = object({ cause = "oom_limit", limit = 3 * GB, peak = 3 * GB - 4096, peak_source = "cgroup", limit_owner = "warm/fek-1", cgroup = "/sys/fs/cgroup/x" },
			{ samples = { { 1700000000000, GB }, { 1700000001000, 2 * GB } } })
		assert.equal("oom_limit", o.cause)
		assert.equal("DSS.OutOfMemory", o.errorType)
		assert.same({ limitBytes = 3 * GB, peakBytes = 3 * GB - 4096, peakSource = "cgroup", limitOwner = "warm/fek-1", cgroup = "/sys/fs/cgroup/x",
			lastMinute = { { t = 1700000000000, memoryBytes = GB }, { t = 1700000001000, memoryBytes = 2 * GB } } }, o.detail)
	end)

	it("is valid whatever the reason holds", function()
		assert.equal('Killed by an admin: a "quote"\n\27[31m\\.', object { cause = "admin", text = 'a "quote"\n\27[31m\\' }.message)
	end)
end)
