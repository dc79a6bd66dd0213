-- What is older than `retention` of the policies says goes: tasks, results, facts, decisions, versions, logs of tasks; younger and open ones stay.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local job_work = require "spec.daemon.job_work"
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
		node:write("policies/90-retention.lua", 'retention { job_logs = "5d" }\n')
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

		node:write("policies/90-retention.lua", 'retention { tasks = "5d", results = "5d", facts = "5d", decisions = "5d", job_logs = "5d", versions = 2 }\n')
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

	it("takes logs of old jobs, never of one that is open, of a webapp that is to run, nor what is not ours", function()
		if not job_work.has_java then return pending "there is no JDK for job kernels" end
		local jobs = job_work.of(node)
		node:write("policies/20-jobs.lua", job_work.pools "warm = { min = 1, max = 1 }, max = 1,")
		jobs:project("KEEP", ([[project {
  recipes = {
    quick = shell { command = "echo made", outputs = { "made" } },
    held = shell { command = "echo begun; %s; echo ended", outputs = { "late" } },
  },
  webapps = {
    page = webapp { command = { "/usr/bin/python3", "-u", "app.py" } },
    gone = webapp { command = { "/usr/bin/python3", "-u", "app.py" } },
  },
}]]):format(job_work.wait_gate "go"), { ["app.py"] = [[
import http.server, os
print("serving")
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *a):
        pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["DSS_WEBAPP_PORT"])), H).serve_forever()
]] })
		local old = helper.wait_for("a job", function()
			local ok, id = pcall(jobs.start, jobs, "KEEP", "made")
			return ok and id, id
		end, 20)
		assert.equal("DONE", jobs:ended("KEEP", old).baseStatus.state)
		local function webapp(name, verb)
			local status, answer = node:http(verb and "PUT" or "GET", ("/public/api/projects/KEEP/webapps/%s/backend/%s"):format(name, verb and "actions/" .. verb or "state"))
			assert.equal(200, status, name)
			return answer
		end
		for _, name in ipairs { "page", "gone" } do
			webapp(name, "restart")
			helper.wait_for(name .. " to serve", function() return (node:read("jobs/KEEP/webapp-" .. name .. "/output.log") or ""):find "serving" end, 20)
		end
		webapp("gone", "stop")
		helper.wait_for("its end", function() return count "webapp WHERE name = 'gone' AND wanted = 'stopped' AND coalesce(process, '') = ''" == 1 end, 20)
		local open = jobs:start("KEEP", "late")
		helper.wait_for("it to run", function() return jobs:log("KEEP", open):find "begun" end, 40)
		-- what an old log may have been replaced by
		local jobs_dir, victim = node.dir .. "/jobs/KEEP", tasks .. "/victim"
		assert(os.execute(([[mkdir -p %s/inner %s/foreign %s/linked %s/open && echo kept >%s/inner/output.log && echo kept >%s/outer &&
			ln -s %s/inner %s/link && ln -s %s/outer %s/linked/output.log && echo x >%s/foreign/output.log && echo x >%s/open/output.log &&
			chown -R --reference=%s %s/linked %s/open && chown -R 65534 %s/foreign && chmod 777 %s/open]]):gsub("%%s", (function()
			local values, i = { victim, jobs_dir, jobs_dir, jobs_dir, victim, victim, victim, jobs_dir, victim, jobs_dir, jobs_dir, jobs_dir,
				jobs_dir, jobs_dir, jobs_dir, jobs_dir, jobs_dir }, 0
			return function() i = i + 1 return values[i] end
		end)())))
		assert(os.execute(("find %s %s -depth -exec touch -h -d '10 days ago' {} +"):format(jobs_dir, victim)))
		node:write("policies/90-retention.lua", 'retention { job_logs = "6d" }\n')
		helper.wait_for("no old log", function()
			return not node:read("jobs/KEEP/" .. old .. "/output.log") and not node:read "jobs/KEEP/webapp-gone/output.log"
		end, 20)
		-- the second of two further rounds takes something: then the first one has looked at all
		for days = 7, 8 do
			local path = ("%s/round%d"):format(jobs_dir, days)
			assert(os.execute(("mkdir %s && chown --reference=%s %s && touch -d '10 days ago' %s"):format(path, jobs_dir, path, path)))
			node:write("policies/90-retention.lua", ('retention { job_logs = "%dd" }\n'):format(days))
			helper.wait_for("round " .. days, function() return not os.execute(("test -d %s"):format(path)) end, 20)
		end
		assert.truthy(jobs:log("KEEP", open):find "begun")
		assert.truthy(node:read "jobs/KEEP/webapp-page/output.log")
		for _, path in ipairs { "/link/output.log", "/linked/output.log", "/open/output.log" } do assert.truthy(helper.read(jobs_dir .. path), path) end
		if work.is_root then assert.truthy(helper.read(jobs_dir .. "/foreign/output.log")) end
		assert.same({ "kept\n", "kept\n" }, { helper.read(victim .. "/inner/output.log"), helper.read(victim .. "/outer") })
		-- the job whose log is gone is still told, and says so of its log
		assert.equal("DONE", jobs:status("KEEP", old).baseStatus.state)
		local status, answer = node:http("GET", job_work.path("KEEP", old .. "/log"))
		assert.truthy(status == 200 and answer == "" or status == 404 or status == 410, status)
		jobs:open_gate("KEEP", "go")
		assert.equal("DONE", jobs:ended("KEEP", open).baseStatus.state)
		assert.truthy(jobs:log("KEEP", open):find "begun" and jobs:log("KEEP", open):find "ended")
		webapp("page", "stop")
		os.execute(("rm -rf %s/link %s/linked %s/open %s/foreign"):format(jobs_dir, jobs_dir, jobs_dir, jobs_dir))
	end)
end)
