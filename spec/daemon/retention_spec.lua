-- What is older than `retention` of the policies says goes: tasks, results, facts, decisions, versions, logs of tasks; younger and open ones stay.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local work = require "spec.daemon.work"

local DAY = 86400000
local tasks, node, policy

local function sql(text)
	local out, status = Instance.run { "sqlite3", node.dir .. "/db/dss.sqlite", text }
	assert.equal(0, status, out)
	return out
end

--- Old things are made old: the node's clock cannot be moved.
local function age(days)
	local ms = days * DAY
	sql(("UPDATE task SET created_ms = created_ms - %d, started_ms = started_ms - %d, ended_ms = ended_ms - %d WHERE ended_ms IS NOT NULL;"
		.. "UPDATE fact SET wall_ms = wall_ms - %d; UPDATE decision SET first_ms = first_ms - %d, last_ms = last_ms - %d;"):format(ms, ms, ms, ms, ms, ms))
	assert(os.execute(("find %s/jobs -depth -mindepth 1 -exec touch -h -d '%d days ago' {} +"):format(node.dir, days)))
end

local function count(text) return tonumber(sql("SELECT count(*) FROM " .. text)) end

describe("retention", function()
	setup(function()
		tasks = work.tasks()
		policy = work.policy("fek", tasks)
		node = Instance.new { policies = { ["10-pools.lua"] = policy } }
		node:start()
	end)
	teardown(function()
		node:remove()
		Instance.remove_folder(tasks)
	end)

	it("takes old logs however many young ones come before them", function()
		work.full_pool(node)
		node:stop()
		-- more than one step looks at, in a folder of their own and in one with old ones between
		assert(os.execute(("mkdir -p %s/jobs/A %s/jobs/B && cd %s/jobs && seq -f 'A/young%%05g' 1 6000 | xargs mkdir && seq -f 'B/old%%05g' 1 120 | xargs mkdir "
			.. "&& seq -f 'A/old%%05g' 1 120 | xargs mkdir && touch -d '9 days ago' A/old* B/old* && chown -R --reference=. A B"):format(node.dir, node.dir, node.dir)))
		node:start()
		work.full_pool(node)
		node:write("policies/90-retention.lua", 'retention { runs = "5d" }\n')
		local function folders(name)
			return tonumber((Instance.run { "sh", "-c", ("find %s/jobs -name '%s*' | wc -l"):format(node.dir, name) }))
		end
		helper.wait_for("no old log", function() return folders "old" == 0 end, 20)
		assert.equal(6000, folders "young")
		assert(os.execute(("rm -rf %s/jobs/A %s/jobs/B %s/policies/90-retention.lua"):format(node.dir, node.dir, node.dir)))
	end)

	it("takes what is old and leaves the rest", function()
		work.full_pool(node)
		local old = work.start(node, "echo", { "old" })
		assert.equal(200, (work.wait_end(node, old)))
		assert.equal(0, select(3, node:ctl("run", "--", "echo", "hello")))
		local logs = helper.wait_for("a log of a task", function()
			local names = Instance.run { "find", node.dir .. "/jobs", "-name", "output.log" }
			return names ~= "" and names
		end)
		node:stop()
		age(10)
		node:start()
		work.full_pool(node)
		local young = work.start(node, "echo", { "young" })
		assert.equal(200, (work.wait_end(node, young)))
		local held = tasks .. "/gate-old"
		local open = work.start(node, "until", { tasks .. "/lines", "open", held })
		work.wait_state(node, open, "running")
		assert.truthy(count "fact WHERE wall_ms < strftime('%s', 'now', '-9 days') * 1000" > 0)

		-- results first: longer kept than nothing, shorter than their tasks
		node:write("policies/90-retention.lua", 'retention { tasks = "30d", results = "5d", facts = "30d" }\n')
		helper.wait_for("no old result", function() return count "task WHERE result IS NOT NULL AND ended_ms < strftime('%s', 'now', '-9 days') * 1000" == 0 end, 20)
		local status, answer = node:http("GET", ("/public/api/futures/%s?peek=False"):format(old))
		assert.equal(410, status)
		assert.truthy(answer.message:find("retention.results", 1, true), answer.message)
		local _, state = node:http("GET", ("/public/api/futures/%s?peek=True"):format(old))
		assert.same({ "done", false }, { state.state, state.hasResult })
		assert.same({ 200, "young" }, { (function(code, f) return code, f.result end)(work.wait_end(node, young)) })

		node:write("policies/90-retention.lua", 'retention { tasks = "5d", results = "5d", facts = "5d", decisions = "5d", runs = "5d", versions = 2 }\n')
		helper.wait_for("nothing old", function()
			return count "task WHERE ended_ms < strftime('%s', 'now', '-9 days') * 1000" == 0
				and count "fact WHERE wall_ms < strftime('%s', 'now', '-9 days') * 1000" == 0
				and count "decision WHERE last_ms < strftime('%s', 'now', '-9 days') * 1000" == 0
				and count "policy_version" == 2 and not helper.read(logs:match "[^\n]+")
		end, 20)
		assert.equal(404, (node:http("GET", "/public/api/futures/" .. old)))
		assert.equal(200, (node:http("GET", "/public/api/futures/" .. young)))
		helper.write(held, "")
		assert.equal(200, (work.wait_end(node, open)))
	end)
end)
