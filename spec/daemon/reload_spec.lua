-- Policies that change under a running node: what is saved is live or refused while the set before stays; a policy that ends or stops the
-- backend is not called again, and everything else goes on.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local work = require "spec.daemon.work"

local FOR_SPECS = 'backend { env = { DSS_SPECS = "1" } }'

local tasks, node, nodes

local function new(policies)
	local n = Instance.new { config = FOR_SPECS, policies = policies }
	nodes[#nodes + 1] = n
	n:start()
	return n
end

local function health(n) return select(2, (n or node):http("GET", "/health")) end

local function refused(n, pattern, seconds)
	return helper.wait_for("the refusal: " .. pattern, function()
		local h = health(n)
		local said = type(h) == "table" and h.policies and h.policies.error
		return said and said:find(pattern) and said, said
	end, seconds or 20)
end

local function taken(n)
	helper.wait_for("a set that is taken", function()
		local h = health(n)
		return type(h) == "table" and h.policies and h.policies.taken and not h.policies.lastGood, type(h) == "table" and h.policies and h.policies.error
	end, 20)
end

local function alert(n, pattern)
	return helper.wait_for("the alert " .. pattern, function()
		local status, rows = n:http("GET", "/api/alerts")
		for _, row in ipairs(status == 200 and rows or {}) do
			if row.key:find(pattern) then return row end
		end
	end, 20)
end

local function no_alert(n, pattern)
	helper.wait_for("the end of the alert " .. pattern, function()
		local status, rows = n:http("GET", "/api/alerts")
		for _, row in ipairs(status == 200 and rows or {}) do
			if row.key:find(pattern) then return false end
		end
		return status == 200
	end, 20)
end

local function run(n, pool) assert.equal(200, (work.wait_end(n, work.start(n, "echo", { 1 }, { pool = pool }), 60))) end

--- A pool whose function does `body` once a kernel is busy.
local function when_busy(name, body, more)
	return work.policy(name, tasks, ("warm = {\n    min = function (p)\n      if p.busy > 0 then %s end\n      return 1\n    end,\n    max = 2 }, max = 3, recycle = { after_tasks = 0 },%s"):format(body, more or ""))
end

--- A task that runs until the returned function is called: a function is asked once a second at most, so a short one may pass unseen.
local function hold(n, tag, pool)
	local gate = ("%s/gate-%s"):format(tasks, tag)
	local id = work.start(n, "until", { tasks .. "/lines", tag, gate }, { pool = pool })
	return id, function() helper.write(gate, "") end
end

local function count_starts(n)
	local _, count = n:read("run/backend.log"):gsub("ready: dssd", "")
	return count
end

--- Of the backend: a load is one of its own.
local function count_threads(n)
	n.backend_pid = n.backend_pid or n:pid "backend"
	return tonumber(helper.read(("/proc/%d/status"):format(n.backend_pid)):match "Threads:%s*(%d+)")
end

describe("policies of a running node", function()
	setup(function() nodes, tasks = {}, work.tasks() end)
	after_each(function()
		for i = #nodes, 1, -1 do table.remove(nodes, i):remove() end
		node = nil
	end)
	teardown(function() Instance.remove_folder(tasks) end)

	local good

	it("are refused with file and line while the set before stays, whatever was saved, and taken again once mended", function()
		good = work.policy("fek", tasks)
		node = new { ["10-pools.lua"] = good }
		local cases = {
			{ "pool \"fek\" {", "policies/10%-pools.lua:%d+: .*expected" },
			{ good .. "-- f\xfcr", "policies/10%-pools.lua:%d+: it holds the byte 0xFC, which is no UTF%-8; save the file as UTF%-8" },
			{ good .. "\nwhile true do pcall(function() while true do end end) end", "policies/10%-pools.lua:%d+: used up its time budget of 2000 ms" },
			{ good .. "\nlocal t = {}\nwhile true do t = { t, t } end", "policies/10%-pools.lua:%d+: used up the memory" },
			{ good .. "\nlocal s = ('x'):rep(1e5) s:find('.-.-.-.-b')", "policies/10%-pools.lua:%d+: pattern takes too many steps" },
			{ good:gsub("threads", "treads"), 'policies/10%-pools.lua:%d+: unknown key "treads"' },
			{ string.dump(function() end), "policies/10%-pools.lua:1: compiled Lua is refused" },
			{ good .. good, 'policies/10%-pools.lua:%d+: pool "fek" stands twice' },
		}
		for _, case in ipairs(cases) do
			node:write("policies/10-pools.lua", case[1])
			refused(node, case[2])
			assert.equal("fek", work.pool(node).name)
			assert.truthy(alert(node, "^policies$"))
		end
		run(node)
		node:write("policies/10-pools.lua", good)
		taken(node)
		no_alert(node, "^policies$")
		assert.equal(1, count_starts(node))
	end)

	it("survive links that lead nowhere, a folder that is taken away and one that takes its place", function()
		node = new { ["10-pools.lua"] = work.policy("fek", tasks) }
		local folder = node.dir .. "/policies"
		assert(os.execute(("ln -s 20-more.lua %s/20-more.lua"):format(folder)))
		refused(node, "policies/20%-more.lua:1: .*symbolic links")
		assert(os.execute(("rm %s/20-more.lua"):format(folder)))
		taken(node)
		assert(os.execute(("mv %s %s.away"):format(folder, folder)))
		refused(node, "policies:1: unable to list")
		run(node)
		assert(os.execute(("cp -a %s.away %s.new && mv %s.new %s"):format(folder, folder, folder, folder)))
		taken(node)
		node:write("policies/20-more.lua", work.policy("second", tasks))
		helper.wait_for("the second pool", function() return work.pool(node, "second") end)
	end)

	it("are not lost where an editor empties a file before it writes it", function()
		node = new { ["10-pools.lua"] = work.policy("fek", tasks) }
		local before = work.full_pool(node)
		local kernels = {}
		for _, row in ipairs(work.kernels(node)) do kernels[row.id] = true end
		node:write("policies/10-pools.lua", "")
		node:write("policies/20-more.lua", work.policy("second", tasks))
		node:write("policies/10-pools.lua", work.policy("fek", tasks))
		helper.wait_for("the second pool", function() return work.pool(node, "second") end)
		assert.equal(before.name, work.pool(node, "fek").name)
		for _, row in ipairs(work.kernels(node)) do kernels[row.id] = nil end
		assert.is_nil(next(kernels), "every kernel lived on")
		-- one that stays empty is meant so
		node:write("policies/20-more.lua", "")
		helper.wait_for("the end of the second pool", function() return not work.pool(node, "second") end, 20)
	end)

	it("that end the backend while a function runs are taken up without that function, and all else goes on; an edit frees it", function()
		node = new { ["10-good.lua"] = work.policy("good", tasks), ["20-bad.lua"] = when_busy("bad", "specs_crash()") }
		work.full_pool(node, "bad")
		local id, open = hold(node, "crash", "bad")
		local row = alert(node, "^quarantine:policies/20%-bad.lua:")
		assert.truthy(row.text:find("warm.min of bad", 1, true), row.text)
		assert.truthy(row.source:find "^policies/20%-bad.lua:%d+$", row.source)
		local starts = count_starts(node)
		assert.equal(2, starts)
		assert.is_true(health().policies.taken and not health().policies.lastGood, "the set itself is in force")
		open()
		assert.equal(200, (work.wait_end(node, id)))
		run(node, "good")
		run(node, "bad")
		-- a later backend knows it, too
		node:kill "backend"
		helper.wait_for("the next backend", function() return count_starts(node) == starts + 1 end, 30)
		alert(node, "^quarantine:policies/20%-bad.lua:")
		run(node, "bad")
		assert.equal(starts + 1, count_starts(node))
		local last, let_go = hold(node, "late", "bad")
		node:write("policies/20-bad.lua", when_busy("bad", "return 2"))
		no_alert(node, "^quarantine:")
		assert.equal("[]", node:read "db/quarantine")
		helper.wait_for("the function's answer", function() return work.pool(node, "bad").warm.min == 2 end)
		let_go()
		assert.equal(200, (work.wait_end(node, last)))
		assert.equal(starts + 1, count_starts(node))
	end)

	it("that end the backend while a file is evaluated are refused by the next one, which takes the last good set", function()
		node = new { ["10-good.lua"] = work.policy("good", tasks) }
		run(node)
		node:write("policies/20-bad.lua", "-- second line\nspecs_crash()")
		alert(node, "^quarantine:policies/20%-bad.lua load$")
		refused(node, "policies/20%-bad.lua:1: refused: the backend ended while it evaluated this text")
		assert.equal(2, count_starts(node))
		run(node)
		node:write("policies/20-bad.lua", work.policy("second", tasks))
		helper.wait_for("the second pool", function() return work.pool(node, "second") end, 20)
		taken(node)
		no_alert(node, "^quarantine:")
	end)

	it("are not held to have ended a backend that was killed once while it read them; after twice the last good set does without the file", function()
		node = new { ["10-good.lua"] = work.policy("good", tasks), ["20-bad.lua"] = work.policy("bad", tasks) }
		local hash = Instance.run({ "sha256sum", node.dir .. "/policies/20-bad.lua" }):match "^%x+"
		local row = '[{"source":"policies/20-bad.lua","word":"load","hash":"%s","why":"policies/20-bad.lua:1: it ended the backend","since":1,"strikes":%d}]'
		node:stop()
		node:write("db/quarantine", row:format(hash, 1))
		node:start()
		taken(node)
		no_alert(node, "^quarantine:")
		assert.equal("[]", node:read "db/quarantine")
		node:stop()
		node:write("db/quarantine", row:format(hash, 2))
		node:start()
		refused(node, "policies/20%-bad.lua:1: refused: the backend ended while it evaluated this text")
		alert(node, "^quarantine:policies/20%-bad.lua load$")
		assert.is_nil(work.pool(node, "bad"))
		run(node, "good")
	end)

	it("that end the backend when they are first asked are taken by the next one with the word's default", function()
		node = new { ["10-good.lua"] = work.policy("good", tasks) }
		node:write("policies/20-bad.lua", work.policy("bad", tasks, "warm = { min = function () return specs_crash() end, max = 2 }, max = 3,"))
		alert(node, "^quarantine:policies/20%-bad.lua:")
		taken(node)
		assert.equal(2, count_starts(node))
		assert.equal(1, work.pool(node, "bad").warm.min)
		run(node, "bad")
	end)

	it("that hang in a load are given up while the node works on", function()
		node = new { ["10-good.lua"] = work.policy("good", tasks) }
		work.full_pool(node)
		local before = count_threads(node)
		node:write("policies/20-bad.lua", "specs_hang()")
		helper.wait_for("the load", function() return count_threads(node) > before end)
		run(node)
		assert.is_true(health().policies.taken, "the load is still under way")
		refused(node, "policies:1: the load did not end within 10 s and was given up", 30)
		run(node)
		node:write("policies/20-bad.lua", "")
		taken(node)
		assert.equal(1, count_starts(node))
	end)

	it("that hang in a check are given up, and who asked is told so", function()
		node = new { ["10-good.lua"] = work.policy("good", tasks) }
		local status, answer = node:http("POST", "/api/policies/check", { files = { { name = "20-bad.lua", text = "specs_hang()" } } })
		assert.same({ 200, false }, { status, answer.ok })
		assert.equal("the check did not end within 10 s and was given up", answer.errors[1].text)
		run(node, "good")
	end)

	it("that hang the backend are left out once the keeper has ended it", function()
		node = new { ["10-bad.lua"] = when_busy("bad", "specs_hang()") }
		work.full_pool(node)
		local id, open = hold(node, "hang")
		helper.wait_for("the next backend", function() return count_starts(node) == 2 end, 90)
		open()
		assert.equal(200, (work.wait_end(node, id, 60)))
		alert(node, "^quarantine:policies/10%-bad.lua:")
		run(node)
		assert.equal(2, count_starts(node))
	end)

	it("whose function fails five times in a row are left alone for a while, and said so", function()
		node = new { ["10-bad.lua"] = work.policy("bad", tasks, [[warm = { min = 1, max = 2 }, max = 3,
			recycle = function (k) error "no luck" end,]]) }
		work.full_pool(node)
		for _ = 1, 8 do run(node) end
		local row = alert(node, "^quarantine:policies/10%-bad.lua:%d+ recycle$")
		assert.truthy(row.text:find "failed 5 times in a row: policies/10%-bad.lua:%d+: no luck; it is asked again in 10 min", row.text)
		assert.equal("bad", work.pool(node).name)
	end)

	it("that keep what they make until no memory is left are loaded anew", function()
		node = new { ["10-bad.lua"] = [[local kept, s = {}, ("x"):rep(1e6)
]] .. work.policy("bad", tasks, [[warm = { min = 1, max = function (p)
	if p.alive > 0 then for i = 1, 100 do kept[#kept + 1] = s .. #kept end end
	return 2
end }, max = 3,]]), ["20-good.lua"] = work.policy("good", tasks) }
		helper.wait_for("the new state", function()
			run(node, "good")                                -- something changes: functions are asked
			return node:read("run/backend.log"):find("10%-bad%.lua:%d+: the policies' memory is used up by what they keep; the set is loaded anew")
		end, 20)
		run(node, "good")
		assert.equal(1, count_starts(node))
	end)

	it("that change while they are loaded are loaded once more, and what was seen in between is not taken", function()
		node = new { ["10-pools.lua"] = work.policy("fek", tasks) }
		local before = #work.facts(node, "policies.taken")
		local threads = count_threads(node)
		node:write("policies/20-more.lua", "for i = 1, 1e8 do local _ = i end\n" .. work.policy("second", tasks))
		helper.wait_for("the load", function() return count_threads(node) > threads end)
		node:write("policies/20-more.lua", work.policy("third", tasks))
		helper.wait_for("the third pool", function() return work.pool(node, "third") end, 20)
		assert.is_nil(work.pool(node, "second"))
		assert.is_true(#work.facts(node, "policies.taken") >= before)
	end)
end)
