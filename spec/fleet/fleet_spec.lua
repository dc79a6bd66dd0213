-- The fleet's rules: what is on disk before what is said or sent, who gets which kernel, and how futures end.
local helper = require "spec.helper"
local told = require "spec.fleet.told"
local t_fleet = require "t_fleet"
local t_words = require "t_words"

local GB = 2 ^ 30 | 0

describe("the fleet", function()
	local dir, path, f, seen

	before_each(function()
		dir = told.folder()
		path = dir .. "/dss.sqlite"
		seen = told.new()
	end)

	after_each(function()
		if f then f:close() end
		f = nil
		os.execute("rm -rf " .. dir)
	end)

	local function open(grace_ms)
		f = assert(t_fleet.open(path, grace_ms))
		return f
	end

	local function line(start) return seen:wait(f, start) end
	local function has_seen(start) return seen:has(f, start) end

	local function pool(more)
		local p = { name = "fek", memory = 3 * GB, memory_max = 6 * GB, warm_min = 1, max = 2 }
		for k, v in pairs(more or {}) do p[k] = v end
		assert(f:set_pools { p })
		f:start()
	end

	local function ready_kernel()
		local id = line("spawn ")[2]
		assert(f:ready(id))
		return id
	end

	--- Submits and returns the id once it is acknowledged.
	local function submit(r)
		local answer, why = f:submit(r or {})
		assert.equal("ok", answer, why)
		return line("submitted ")[2]
	end

	local function state(id, with_result)
		local text = assert(f:get(id, with_result))
		return assert(t_words.parse(text))
	end

	local function wait_state(id, wanted)
		return helper.wait_for(id .. " being " .. wanted, function()
			f:turn()
			local s = state(id)
			return s.state == wanted and s, s.state
		end, 5)
	end

	describe("keeps what it says", function()
		it("acknowledges a submit only when it is on disk", function()
			open()
			pool()
			assert.equal("ok", (f:submit {}))
			assert.equal("on-disk=queued", line("submitted ")[4])
		end)

		it("puts submit and assignment into one transaction where a kernel is idle", function()
			open()
			pool()
			ready_kernel()
			has_seen("-")
			assert.equal("ok", (f:submit {}))
			assert.equal("on-disk=assigned", line("submitted ")[4])
		end)

		it("sends a task only when its assignment is on disk", function()
			open()
			pool()
			submit()
			local k = ready_kernel()
			local sent = line("send " .. k)
			assert.equal("on-disk=assigned", sent[5])
			assert.equal("1", sent[4])
		end)

		it("gives a kernel its next task in the commit that ends the one before", function()
			open()
			pool { warm_max = 1, max = 1, after_tasks = 3 }
			local k = ready_kernel()
			local first = submit()
			line("send " .. k)
			local second, third = submit(), submit()
			f:accepted(k, first, 1)
			f:tell("done", k, first, 1, "1")
			local sent = line("send " .. k)
			assert.equal(second, sent[3])
			assert.equal("on-disk=assigned", sent[5])
			assert.equal("done", state(first).state)
			assert.is_false(has_seen("release " .. k .. " " .. first))
			f:tell("failed", k, second, 1, "{}")
			assert.equal(third, line("send " .. k)[3])
			assert.equal("failed", state(second).state)
			f:tell("done", k, third, 1, "3")
			line("release " .. k .. " " .. third)
			assert.equal("done", state(third).state)
		end)

		it("puts the next task back into the queue when the kernel dies before it was sent", function()
			open()
			pool { warm_max = 1, max = 1, after_tasks = 3 }
			local k = ready_kernel()
			local first = submit()
			line("send " .. k)
			local second = submit()
			f:accepted(k, first, 1)
			f:tell("done", k, first, 1, "1")
			f:ended { id = k, cause = "crash", code = 1 }
			assert.equal("done", wait_state(first, "done").state)
			assert.equal("queued", wait_state(second, "queued").state)
			local other = ready_kernel()
			local sent = line("send " .. other)
			assert.equal(second, sent[3])
			assert.equal("1", sent[4])
		end)

		it("lets a kernel go only when the result is on disk, and shows the result only then", function()
			open()
			pool()
			local k = ready_kernel()
			local id = submit()
			line("send " .. k)
			f:accepted(k, id, 1)
			assert.equal("running", state(id).state)
			f:tell("done", k, id, 1, '{"a": [1,2.50]}')
			assert.is_false(state(id).hasResult)
			assert.equal("on-disk=done", line("release " .. k)[4])
			assert.truthy(line("stop " .. k).text:find("recycle.after_tasks", 1, true))
			local text = assert(f:get(id, true))
			assert.truthy(text:find('"result":{"a": [1,2.50]}', 1, true), "not the raw bytes: " .. text)
		end)

		it("acknowledges a kernel's end only when its task's end is on disk", function()
			open()
			pool()
			local k = ready_kernel()
			local id = submit()
			line("send " .. k)
			f:ended { id = k, cause = "crash", code = 7 }
			line("acknowledge " .. k)
			assert.same({ "killed" }, t_words.sql(path, "SELECT state FROM task WHERE id = '" .. id .. "'"))
			assert.same({ "process.exited" }, t_words.sql(path, "SELECT what FROM fact WHERE subject = '" .. k .. "'"))
		end)
	end)

	describe("submit", function()
		it("answers the first id when the same user gives the same client key again", function()
			open()
			pool()
			local first = submit { client_key = "nightly" }
			assert.equal("ok", (f:submit { client_key = "nightly" }))
			local again = line("submitted ")
			assert.equal(first, again[2])
			assert.equal("known", again[3])
			assert.not_equal(first, submit { client_key = "nightly", owner = "ben" })
			assert.same({ "2" }, t_words.sql(path, "SELECT count(*) FROM task"))
		end)

		it("answers the first id also after that task has ended, and gives the idle kernel back", function()
			open()
			pool { after_tasks = 0 }
			local k = ready_kernel()
			local id = submit { client_key = "x" }
			line("send " .. k)
			f:tell("done", k, id, 1, "1")
			line("release " .. k)
			assert.equal("ok", (f:submit { client_key = "x" }))
			assert.equal(id, line("submitted ")[2])
			local other = submit()
			assert.equal(other, line("send " .. k)[3])
		end)

		it("refuses what cannot run, and says what can", function()
			open()
			pool()
			for want, r in pairs {
				["payload: "] = { payload = "[1]" },
				['pool "nope" does not exist'] = { pool = "nope" },
				['no pool takes tasks of type "java"'] = { type = "java" },
				['limits.memory of 7.0 GB is over the most that pool "fek" grants, 6.0 GB (policies/10-pools.lua:4)'] = { memory = 7 * GB },
				["retries must be"] = { retries = 101 },
			} do
				local answer, why = f:submit(r)
				assert.equal("bad", answer)
				assert.equal(want, why:sub(1, #want))
			end
		end)
	end)

	describe("kernels", function()
		it("are replaced at once when one is taken", function()
			open()
			pool()
			local k = ready_kernel()
			submit()
			line("send " .. k)
			assert.equal("fek-2", line("spawn ")[2])
		end)

		it("never get a number twice, also after a new start", function()
			open()
			pool { warm_min = 2 }
			assert.equal("fek-1", line("spawn ")[2])
			assert.equal("fek-2", line("spawn ")[2])
			f:close()
			open()
			pool()
			assert.equal("fek-3", line("spawn ")[2])
		end)

		it("that ran one user's task never run another's", function()
			open()
			pool { after_tasks = 0, max = 1 }
			local k = ready_kernel()
			local id = submit { owner = "ann" }
			line("send " .. k)
			f:tell("done", k, id, 1, "1")
			line("release " .. k)
			submit { owner = "ben" }
			assert.truthy(line("stop " .. k).text:find("a waiting task needs its place", 1, true))
			assert.is_false(has_seen("send " .. k))
			f:ended { id = k, cause = "policy" }
			local fresh = ready_kernel()
			assert.equal("send", line("send " .. fresh)[1])
		end)

		it("wait longer and longer after failed starts, and waiting tasks say why", function()
			assert.equal(0, t_words.backoff_ms(1))
			assert.equal(1000, t_words.backoff_ms(2))
			assert.equal(2000, t_words.backoff_ms(3))
			assert.equal(60000, t_words.backoff_ms(40))
			open()
			f:fail_spawns(true)
			pool()
			local id = submit()
			line("spawn ")
			line("spawn ")
			assert.truthy(state(id).reason:find('^Waiting, 1st of 1: kernels of pool "fek" do not start: unable to start fek%-%d+: no such file; next try in'))
			assert.is_false(has_seen("spawn "))
			assert.equal("[]", f:alerts(), "one that is over in a moment is none")
			local raised = helper.wait_for("an alert", function()
				f:turn()
				return f:alerts() ~= "[]" and f:alerts()
			end, 10)
			local alert = t_words.parse(raised)[1]
			assert.same({ "pool.start:fek", "error", "fek" }, { alert.key, alert.level, alert.subject })
			assert.truthy(alert.text:find "^pool fek: no kernel starts, 3 times in a row: unable to start fek%-%d+: no such file$", alert.text)
			f:fail_spawns(false)
			pool()
			helper.wait_for("one that starts", function() return f:ready(line("spawn ")[2]) end, 10)
			for _ = 1, 20 do f:turn() end
			assert.equal("[]", f:alerts())
		end)

		it("that were never ready count as failed starts and are stopped", function()
			open()
			pool { ready_within_ms = 30 }
			local k = line("spawn ")[2]
			local stop = line("stop " .. k)
			assert.equal("start_failed:", stop[3])
			assert.truthy(t_words.parse(f:pools())[1].failure:find(k .. " was not ready", 1, true))
		end)

		it("that end right after they were ready count as failed starts, those that were ended on purpose do not", function()
			open()
			pool()
			f:ended { id = ready_kernel(), cause = "shutdown" }
			local k = ready_kernel()
			assert.is_nil(t_words.parse(f:pools())[1].failure)
			f:ended { id = k, cause = "crash", code = 1, text = k .. " exited with status 1" }
			assert.equal("crash: " .. k .. " exited with status 1", t_words.parse(f:pools())[1].failure)
		end)

		it("are started cold for a task that wants more memory than the pool's, with that limit", function()
			open()
			pool()
			ready_kernel()
			has_seen("-")
			local id = submit { memory = 5 * GB }
			local cold = line("spawn ")
			assert.equal(tostring(5 * GB), cold[3])
			assert.truthy(state(id).reason:find('no warm kernel of pool "fek" has 5.0 GB, one is started for it', 1, true))
			f:ready(cold[2], "http://127.0.0.1:4712")
			assert.equal(id, line("send " .. cold[2])[3])
			f:tell("done", cold[2], id, 1, "1")
			assert.truthy(line("stop " .. cold[2]).text:find("started for one task", 1, true))
		end)

		it("get the smaller limit of a task before they get the task", function()
			open()
			pool()
			local k = ready_kernel()
			has_seen("-")
			submit { memory = 1 * GB }
			assert.equal(tostring(1 * GB), line("limit " .. k)[3])
			line("send " .. k)
		end)

		it("of a pool that no policy names any more finish their task and then go", function()
			open()
			pool()
			local k = ready_kernel()
			local id = submit()
			line("send " .. k)
			assert(f:set_pools {})
			line("stop fek-2")
			assert.is_false(has_seen("stop " .. k))
			f:tell("done", k, id, 1, "1")
			line("release " .. k)
			line("stop " .. k)
			f:ended { id = k, cause = "policy" }
			f:ended { id = "fek-2", cause = "policy" }
			line("acknowledge fek-2")
			has_seen("-")
			assert.equal("[]", f:pools())
		end)
	end)

	describe("a set of pools", function()
		it("is taken as a whole or not at all", function()
			open()
			pool()
			local ok, why = f:set_pools { { name = "a" }, { name = "b", heap = 4 * GB, memory = 4 * GB } }
			assert.is_nil(ok)
			assert.equal('policies/10-pools.lua:4: pool "b": limits.memory must be 1.25 times the heap or more', why)
			local now = t_words.parse(f:pools())
			assert.equal(1, #now)
			assert.equal("fek", now[1].name)
		end)
	end)

	describe("waiting tasks", function()
		it("are served first come first served, and say their place and why", function()
			open()
			pool { max = 1 }
			local k = ready_kernel()
			local ids = {}
			for i = 1, 4 do ids[i] = submit() end
			line("send " .. k)
			assert.equal('Waiting, 1st of 3: the only kernel of pool "fek" is busy', state(ids[2]).reason)
			assert.equal('Waiting, 3rd of 3: the only kernel of pool "fek" is busy', state(ids[4]).reason)
			assert.equal(3, state(ids[4]).position)
			f:tell("done", k, ids[1], 1, "1")
			line("stop " .. k)
			f:ended { id = k, cause = "policy" }
			local k2 = ready_kernel()
			assert.equal(ids[2], line("send " .. k2)[3])
		end)

		it("have ordinals as people write them", function()
			for n, word in pairs { "1st", "2nd", "3rd", "4th", [11] = "11th", [12] = "12th", [13] = "13th", [21] = "21st", [102] = "102nd", [111] = "111th" } do
				assert.equal(word, t_words.ordinal(n))
			end
		end)
	end)

	describe("an end", function()
		local function running(r, grace_ms)
			open(grace_ms)
			pool()
			local k = ready_kernel()
			local id = submit(r)
			line("send " .. k)
			f:accepted(k, id, 1)
			return k, id
		end

		it("by an exception is failed, with class, message and stack of the task", function()
			local k, id = running()
			f:tell("failed", k, id, 1, '{"clazz":"ValueError","message":"no \\"x\\"","stack":"Traceback"}')
			wait_state(id, "failed")
			local _, err = f:get(id)
			err = t_words.parse(err)
			assert.equal("ValueError", err.errorType)
			assert.equal('no "x"', err.message)
			assert.equal("Traceback", err.stackTraceStr)
			local s = state(id)
			assert.is_false(s.alive)
			assert.is_false(s.hasResult)
		end)

		it("by the death of its kernel is killed with the keeper's cause", function()
			local k, id = running()
			f:usage(k, 2 * GB)
			f:ended { id = k, cause = "oom_limit", peak = 3 * GB, limit = 3 * GB, limit_owner = "warm/" .. k, cgroup = "/sys/x" }
			local s = wait_state(id, "killed")
			assert.equal("oom_limit", s.cause)
			assert.is_true(s.aborted)
			local _, err = f:get(id)
			err = t_words.parse(err)
			assert.equal(3 * GB, err.detail.limitBytes)
			assert.equal(3 * GB, err.detail.peakBytes)
			assert.equal(2 * GB, err.detail.lastMinute[1].memoryBytes)
		end)

		it("has what its kernel uses asked for, and again while it runs", function()
			local k, id = running()
			assert.equal(k, line("usage " .. k)[2])
			f:usage(k, 1 * GB)
			line("usage " .. k)
			f:usage(k, 2 * GB)
			f:ended { id = k, cause = "oom_limit", peak = 3 * GB, limit = 3 * GB, limit_owner = "warm/" .. k, cgroup = "/sys/x" }
			wait_state(id, "killed")
			local _, err = f:get(id)
			local minute = t_words.parse(err).detail.lastMinute
			assert.same({ 1 * GB, 2 * GB }, { minute[1].memoryBytes, minute[2].memoryBytes })
		end)

		it("by the death of its kernel is tried again only as often as its submitter allowed", function()
			local k, id = running { retries = 1 }
			f:ended { id = k, cause = "signal", signal = 9 }
			line("acknowledge " .. k)
			local k2 = ready_kernel()
			assert.equal("2", line("send " .. k2)[4])
			f:ended { id = k2, cause = "signal", signal = 9 }
			assert.equal(2, wait_state(id, "killed").attempt)
			assert.is_false(has_seen("send "))
		end)

		it("of a former attempt changes nothing", function()
			local k, id = running { retries = 1 }
			f:ended { id = k, cause = "signal", signal = 9 }
			line("acknowledge " .. k)
			local k2 = ready_kernel()
			line("send " .. k2)
			f:tell("done", k, id, 1, '"old"')
			f:tell("done", k2, id, 1, '"old"')
			assert.equal("assigned", state(id).state)
			f:tell("done", k2, id, 2, '"new"')
			wait_state(id, "done")
			assert.truthy(f:get(id, true):find('"result":"new"', 1, true))
		end)

		it("that a full memory limit brought is not tried again", function()
			local k, id = running { retries = 3 }
			f:ended { id = k, cause = "oom_limit", peak = GB, limit = GB }
			wait_state(id, "killed")
		end)

		it("that a rule ordered is not tried again: it was decided", function()
			local k, id = running { retries = 3 }
			f:ended { id = k, cause = "policy", text = 'rule "too long" (policies/30-rules.lua:4): it runs for 3 h' }
			wait_state(id, "killed")
			assert.is_false(has_seen("send "))
		end)

		it("of a kernel that broke the protocol is tried again where its submitter allowed", function()
			local k = running { retries = 1 }
			f:ended { id = k, cause = "policy", text = "kernel " .. k .. ": it answered garbage" }
			line("acknowledge " .. k)
			assert.equal("2", line("send " .. ready_kernel())[4])
		end)

		it("by an abort tells a long reason whole", function()
			local k, id = running()
			local why = 'rule "' .. ("long "):rep(30) .. '" (policies/30-rules.lua:4): ' .. ("word "):rep(80) .. "end"
			f:abort(id, why)
			line("abort " .. k)
			f:tell("aborted", k, id, 1)
			wait_state(id, "aborted")
			local _, err = f:get(id)
			assert.equal("Aborted by " .. why .. ".", t_words.parse(err).message)
		end)

		it("stays a result when the kernel dies right after telling it", function()
			local k, id = running()
			f:tell("done", k, id, 1, "42")
			f:ended { id = k, cause = "crash", code = 1 }
			line("acknowledge " .. k)
			assert.equal("done", state(id).state)
		end)

		it("by an abort while it waits comes at once", function()
			open()
			pool { warm_min = 0, warm_max = 0, max = 1 }
			f:fail_spawns(true)
			local id = submit()
			assert.equal(0, f:abort(id, "ann"))
			local s = wait_state(id, "aborted")
			assert.equal("user", s.cause)
		end)

		it("by an abort asks the kernel first", function()
			local k, id = running()
			assert.equal(0, f:abort(id, "root", true))
			line("abort " .. k)
			f:tell("aborted", k, id, 1)
			assert.equal("admin", wait_state(id, "aborted").cause)
			assert.is_false(has_seen("stop " .. k .. " admin"))
		end)

		it("by an abort that the kernel ignores ends the kernel after the grace", function()
			local k, id = running(nil, 50)
			f:abort(id, "ann")
			line("abort " .. k)
			assert.truthy(line("stop " .. k).text:find("user: task " .. id .. " did not stop when asked by ann", 1, true))
			f:ended { id = k, cause = "user" }
			assert.equal("user", wait_state(id, "aborted").cause)
		end)

		it("by its timeout is killed with cause deadline", function()
			local k, id = running { timeout_ms = 1 }
			line("abort " .. k)
			f:tell("aborted", k, id, 1)
			assert.equal("deadline", wait_state(id, "killed").cause)
		end)

		it("is not shown for a task that nobody knows", function()
			open()
			pool()
			local none, code = f:get("nothingofthekind")
			assert.is_nil(none)
			assert.equal(2, code)
		end)
	end)

	describe("a task whose kernel died before it was sent", function()
		it("goes back to the front of the queue as the same attempt", function()
			open()
			pool { max = 1 }
			local k = ready_kernel()
			local id = submit()
			line("send " .. k)
			f:tell("unplaced", k, id, 1, "busy")
			f:ended { id = k, cause = "policy" }
			local k2 = ready_kernel()
			assert.equal("1", line("send " .. k2)[4])
			assert.is_true(state(id).alive)
		end)
	end)

	describe("taking up", function()
		local function left_behind(r)
			open()
			pool { after_tasks = 2 }
			local k = ready_kernel()
			local id = submit(r)
			local label = line("label " .. k).text:gsub("^label %S+ ", "")
			helper.wait_for("the label with the task", function()
				if label:find(id, 1, true) then return true end
				label = line("label " .. k).text:gsub("^label %S+ ", "")
			end)
			line("send " .. k)
			f:close()
			seen = told.new()
			open()
			assert(f:set_pools { { name = "fek", after_tasks = 2, memory = 3 * GB, memory_max = 6 * GB } })
			return k, id, label
		end

		it("finds the task of a living kernel again, by the store", function()
			local k, id, label = left_behind()
			local now, task = f:take_up(k, 4711, true, label)
			assert.equal("busy", now)
			assert.equal(id, task)
			f:taken_up()
			f:start()
			assert.equal("assigned", state(id).state)
			f:tell("done", k, id, 1, "1")
			wait_state(id, "done")
		end)

		it("judges the task of a dead kernel by the keeper's cause", function()
			local k, id, label = left_behind()
			assert.equal("stopping", (f:take_up(k, 4711, false, label)))
			f:taken_up()
			f:start()
			assert.equal("assigned", state(id).state)
			f:ended { id = k, cause = "oom_host", peak = GB }
			assert.equal("oom_host", wait_state(id, "killed").cause)
		end)

		it("calls a task lost whose kernel the keeper does not know", function()
			local _, id = left_behind()
			f:taken_up()
			f:start()
			assert.equal("lost", wait_state(id, "killed").cause)
		end)

		it("tries a lost task again where its submitter allowed that", function()
			local _, id = left_behind { retries = 1 }
			f:taken_up()
			f:start()
			local k = ready_kernel()
			local sent = line("send " .. k)
			assert.equal(id, sent[3])
			assert.equal("2", sent[4])
		end)

		it("keeps a kernel bound to the user whose task it ran", function()
			local k, id, label = left_behind()
			f:take_up(k, 4711, true, label)
			f:taken_up()
			f:start()
			f:tell("done", k, id, 1, "1")
			line("release " .. k)
			local other = submit { owner = "ben" }
			assert.is_false(has_seen("send " .. k .. " " .. other))
		end)

		it("retires idle kernels of pools that are gone", function()
			open()
			assert(f:set_pools { { name = "fek" } })
			assert.equal("idle", (f:take_up("old-7", 4711, true, '{"pool":"old","url":"http://127.0.0.1:4711"}')))
			f:taken_up()
			f:start()
			assert.truthy(line("stop old-7").text:find("no policy names its pool", 1, true))
		end)

		it("stops what has no label of ours", function()
			open()
			local none, why = f:take_up("x-1", 4711, true, "junk")
			assert.is_nil(none)
			assert.equal("unable to take up x-1: its label names no pool", why)
		end)
	end)
end)
