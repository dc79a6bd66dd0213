-- Kernels written from the protocol page alone: an honest one in a third language serves a pool; and one for each lie of the
-- protocol: whoever asked is told clearly, a fact is kept, the pool is full again.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local work = require "spec.daemon.work"

if not os.execute "perl -MDigest::SHA -MJSON::PP -e1 2>/dev/null" then
	describe("a kernel in a third language", function() pending "is in Perl, which is not here" end)
	return
end

-- lie → what its task's error says, and the cause (default: policy, by the core itself)
local told = {
	garbage = { "no JSON" },
	noise = { "cannot be read" },
	half = { "cannot be read" },
	flood = { "cannot be read" },
	teapot = { "status 418" },
	denier = { "refused the backend's token" },
	impostor = { "did not prove to be it" },
	pointer = { "did not prove to be it" },
	mixer = { "another task" },
	dreamer = { "a state that does not exist" },
	forgetter = { "forgot task" },
	spoiler = { "its result is no JSON" },
	dying = { "signal 9", "signal" },
	silent = { "timeoutMs of 300 ms", "deadline" },
}

local node, tasks, script
local ids = {}

local function pool(name, lie, more)
	return ([[pool %q {
  kernel = command { "/usr/bin/perl", %q, %s types = { "command" } },
  limits = { memory = "256m", swap = "0", threads = 64 },
  warm = { min = 1, max = 1 }, max = 2, grace = "300ms", %s
}
]]):format(name, script, lie and ("%q,"):format(lie) or "", more or "")
end

local function submit(to, argv, more)
	local body = { type = "command", pool = to, payload = { argv = argv or { "/bin/sh", "-c", "exit 5" } } }
	for k, v in pairs(more or {}) do body[k] = v end
	local status, answer = node:http("POST", "/api/futures", body)
	assert.equal(200, status)
	return answer.jobId
end

local function log_of(name)
	local lines = {}
	for line in (node:read "run/backend.log" or ""):gmatch "[^\n]+" do
		local said = line:match("%[" .. name .. "%-%d+%] said: (.*)")
		if said then lines[#lines + 1] = said end
	end
	return table.concat(lines, "\n")
end

local function wait_log(name, pattern)
	return helper.wait_for(("%q of %s in the log"):format(pattern, name), function()
		local text = log_of(name)
		return text:find(pattern) and text, text
	end)
end

describe("a kernel in a third language", function()
	setup(function()
		tasks = work.tasks()
		script = tasks .. "/kernel.pl"
		helper.write(script, assert(helper.read "spec/daemon/kernel.pl"))
		local text = { pool "honest", pool("twice", "twice"), pool("stranger", "stranger"), pool("mover", "mover"), pool("deaf", "deaf"),
			pool("busy", "busy"), pool("picky", "picky"), pool("mute", "mute", 'ready_within = "400ms"'), pool("leaver", "leaver") }
		for lie in pairs(told) do text[#text + 1] = pool(lie, lie) end
		node = Instance.new { policies = { ["10-pools.lua"] = table.concat(text) } }
		node:start()
		-- All lies at once: the slowest takes ten seconds.
		for lie in pairs(told) do ids[lie] = submit(lie, nil, lie == "silent" and { timeoutMs = 300 } or nil) end
	end)
	teardown(function() work.clean(node, tasks) end)

	it("serves a pool: runs commands, tells code and signal, obeys an abort and a deadline", function()
		local code, f = work.wait_end(node, submit "honest")
		assert.same({ 200, 5, 0 }, { code, f.result and f.result.code, f.result and f.result.signal })
		code, f = work.wait_end(node, submit("honest", { "/bin/sh", "-c", "kill -USR1 $$" }))
		assert.same({ 200, 10 }, { code, f.result and f.result.signal })
		local id = submit("honest", { "/bin/sleep", "60" })
		work.wait_state(node, id, "running")
		assert.equal(200, (node:http("DELETE", "/public/api/futures/" .. id)))
		code, f = work.wait_end(node, id)
		assert.same({ 422, "user" }, { code, f.cause })
		code, f = work.wait_end(node, submit("honest", { "/bin/sleep", "60" }, { timeoutMs = 200 }))
		assert.same({ 422, "deadline" }, { code, f.cause })
		work.full_pool(node, "honest")
	end)

	it("keeps its task over a backend that is killed", function()
		local id = submit("honest", { "/bin/sh", "-c", ("echo ran >>%s/lines; sleep 1; exit 3"):format(tasks) })
		work.wait_state(node, id, "running")
		node:kill "backend"
		local code, f = work.wait_end(node, id)
		assert.same({ 200, 3 }, { code, f.result and f.result.code })
		assert.equal(1, work.count(tasks, "ran"))
		work.full_pool(node, "honest")
	end)

	it("that says ready twice is one kernel, and cannot move to another address", function()
		assert.equal("again 200\nelsewhere 409", wait_log("twice", "elsewhere"):match "again 200\nelsewhere 409")
		assert.equal(200, (work.wait_end(node, submit "twice")))
		work.full_pool(node, "twice")
	end)

	it("that speaks as another, or with a false token, is not believed", function()
		local text = wait_log("stranger", "an event")
		assert.truthy(text:find "as another 404\nwith a false token 404\nan event of a task it has not 404", text)
		assert.equal(200, (work.wait_end(node, submit "stranger")))
		work.full_pool(node, "stranger")
	end)

	it("that names an address elsewhere, a low port, a path or another protocol is refused until it names its own", function()
		local text = wait_log("mover", "protocol 2")
		local refused = select(2, text:match "^.-protocol 2 %d+":gsub(" 400", ""))
		assert.equal(8, refused, text)
		assert.equal(200, (work.wait_end(node, submit "mover")))
		work.full_pool(node, "mover")
	end)

	it("that refuses a payload tells its owner why, and is used again or replaced", function()
		local code, e = work.wait_end(node, submit "picky")
		assert.same({ 422, "BadPayload", "argv[0] is no program I like" }, { code, e.errorType, e.message })
		work.full_pool(node, "picky")
	end)

	it("that ignores TERM is killed after its grace; its task's result stands", function()
		local code, f = work.wait_end(node, submit "deaf")
		assert.same({ 200, 5 }, { code, f.result and f.result.code })
		work.full_pool(node, "deaf")
	end)

	it("leaves nothing behind that its task forked away", function()
		local file = tasks .. "/pid"
		local code = work.wait_end(node, submit("honest", { "/bin/sh", "-c", ("setsid sleep 1000 >/dev/null 2>&1 & echo $! >%s"):format(file) }))
		assert.equal(200, code)
		local pid = tonumber(helper.read(file))
		helper.wait_for("its end", function() return not helper.read(("/proc/%d/cmdline"):format(pid)) end)
		work.full_pool(node, "honest")
	end)

	it("that is never ready is ended, and its pool says so; mended, it takes the task that waited", function()
		for _, case in ipairs { { "mute", "start_failed", "was not ready within 400 ms" }, { "leaver", "crash", "7" } } do
			local name, cause, text = table.unpack(case)
			local id = submit(name)
			local p = helper.wait_for("the failure of " .. name, function() local p = work.pool(node, name) return p and p.failure and p end)
			assert.is_true(p.failedStarts >= 1)
			assert.truthy(p.failure:find(text, 1, true), p.failure)
			local _, f = node:http("GET", "/public/api/futures/" .. id .. "?peek=True")
			assert.equal("queued", f.state)
			assert.truthy(f.reason:find(name, 1, true), f.reason)
			ids[name] = id
			helper.wait_for("the fact", function()
				for _, fact in ipairs(work.facts(node, "process.exited")) do
					if fact.subject:find("^" .. name .. "%-") and fact.detail.cause == cause then return true end
				end
			end)
		end
		local text = node:read "policies/10-pools.lua"
		node:write("policies/10-pools.lua", (text:gsub('"mute", types', "types"):gsub('"leaver", types', "types")))
		for _, name in ipairs { "mute", "leaver" } do
			assert.equal(200, (work.wait_end(node, ids[name])))
			assert.is_nil(work.full_pool(node, name).failure)
		end
	end)

	it("that is idle and then takes no task gives it back; the task waits for an honest one", function()
		local id = submit "busy"
		work.wait_end_fact(node, "policy", "took no task")
		assert.is_true(select(2, node:http("GET", "/public/api/futures/" .. id .. "?peek=True")).alive)
		local text = node:read "policies/10-pools.lua"
		node:write("policies/10-pools.lua", (text:gsub('"busy", types', "types")))
		local code, f = work.wait_end(node, id)
		assert.same({ 200, 1 }, { code, f.attempt })
		work.full_pool(node, "busy")
	end)

	for lie, wanted in pairs(told) do
		it(("that is %s: its task's owner reads why, and it is replaced"):format(lie), function()
			local text, cause = wanted[1], wanted[2] or "policy"
			local code, e = work.wait_end(node, ids[lie])
			assert.same({ 422, cause }, { code, e.cause }, e.message)
			assert.truthy(e.message:find(text, 1, true), e.message)
			helper.wait_for("the fact", function()
				for _, fact in ipairs(work.facts(node, "process.exited")) do
					if fact.subject:find("^" .. lie .. "%-") and fact.detail.cause == cause then return true end
				end
			end)
			work.full_pool(node, lie)
		end)
	end
end)
