-- The routes of projects and jobs: what they take, what they refuse, what goes to the fleet.
local world = require "spec.lua.api.world"
local json = world.json

local PROJECT = {
	key = "P", name = "Sales", owner = "carol", rights = { read = { "dave" }, run = { "erin" } }, variables = { year = 2025 }, tags = { "demo" },
	datasets = { raw = { made = false }, tidy = { made = true }, out = { made = true } },
	recipes = {
		clean = { kind = "python", script = "clean.py", bin = "/usr/bin/python3", args = { "-v" }, inputs = { "raw" }, outputs = { "tidy" }, env = { A = "b" },
			limits = { memory_bytes = 64 << 20 }, params = {}, line = 3, timeout_ms = 5000 },
		sum = { kind = "shell", command = "wc", bin = "/bin/sh", inputs = { "tidy" }, outputs = { "out" }, env = {}, limits = {}, params = {}, line = 4 },
	},
}

local jobs, logs = world.jobs, require "bind.logs"

local function ask(who, method, target, body)
	return world.ask(method, target, { body = body, fields = world.with(who == "admin" and world.KEY or "secret-of-" .. who) })
end

describe("jobs", function()
	before_each(function()
		world.reset()
		for i, login in ipairs { "bob", "carol", "dave", "erin" } do
			world.keys.rows[i] = { id = login, user = login, is_admin = false, created_ms = 1 }
		end
		jobs.projects = { P = { "good", json.encode(PROJECT) }, BAD = { "bad", '{"errors":[{"file":"projects/BAD/project.lua","line":7,"text":"no word"}]}' },
			SLOW = { "failed", nil, "it took longer than 10 s" } }
		jobs.datasets = function() return "{}" end
		jobs.check = function() return true end
		jobs.rows = { j1 = { '{"baseStatus":{"stableState":false}}', "carol", "f1" } }
		jobs.status = function(key, id, fn)
			local r = key == "P" and jobs.rows[id]
			if r then fn(r[1], r[2], r[3]) else fn(nil) end
		end
		jobs.list = function(key, owner, limit, fn)
			world.was.jobs = { key or "all", owner or "all", limit }
			fn "[]"
		end
		jobs.log = function(key, id, offset, _, activity)
			world.was.log = { key, id, offset, activity }
			return ("[x] [act.a]  - ä\n"):sub(math.max(offset, 0) + 1), 18, 18
		end
	end)

	it("become a task of type job with the plan as its payload", function()
		local status, answer = ask("carol", "POST", "/dip/publicapi/projects/P/jobs/", { type = "RECURSIVE_BUILD", outputs = { { type = json.null, id = "out",
			projectKey = json.null, partition = json.null } }, refreshHiveMetastore = false })
		assert.equal(200, status, answer.message)
		local r = world.was.submit
		assert.same({ "carol", "job", "P", answer.id }, { r.owner, r.type, r.project, r.job })
		assert.truthy(answer.id:find "^Build_out_%(NP%)_%d+%-%d+%-%d+T%d+%-%d+%-%d+%.%d%d%d$", answer.id)
		local plan = json.decode(r.payload)
		assert.same({ answer.id, "P" }, { plan.jobId, plan.projectKey })
		assert.same({ "clean_NP", "sum_NP" }, { plan.activities[1].activityId, plan.activities[2].activityId })
		local clean, sum = plan.activities[1], plan.activities[2]
		assert.same({ "/usr/bin/python3", "clean.py", "-v" }, clean.argv)
		assert.same({ "/bin/sh", "-c", "wc", "sh" }, sum.argv)
		assert.same({ "clean_NP" }, sum.after)
		assert.same({ 5000, 64 << 20, "b", "there is no record of a build of tidy" }, { clean.timeoutMs, clean.limits.memory_bytes, clean.env.A, clean.why })
		assert.truthy(clean.cwd:find "/projects/P$")
		assert.same({ "RECURSIVE_BUILD", "carol", "API", "out" },
			{ plan.def.type, plan.def.initiator, plan.def.triggeredFrom, plan.def.outputs[1].targetDataset })
	end)

	it("take outputs in the old form, each once, and forced builds where no type is said", function()
		local status = ask("carol", "POST", "/public/api/projects/P/jobs", { outputs = {
			{ targetDataset = "tidy", targetDatasetProjectKey = "P", targetPartition = "NP" }, { id = "tidy" } } })
		assert.equal(200, status)
		local plan = json.decode(world.was.submit.payload)
		assert.same({ "NON_RECURSIVE_FORCED_BUILD", 1 }, { plan.def.type, #plan.activities })
	end)

	it("have ids that differ, however many come in one millisecond", function()
		local seen = {}
		for _ = 1, 20 do
			local _, answer = ask("carol", "POST", "/public/api/projects/P/jobs", { outputs = { { id = "tidy" } } })
			assert.is_nil(seen[answer.id])
			seen[answer.id] = true
		end
	end)

	it("refuse what cannot be built, by name", function()
		for body, words in pairs {
			[ '{}' ] = '"outputs" is missing', ['{"outputs":[]}'] = '"outputs" is missing', ['[]'] = "JSON object", ['{"outputs":[{}]}'] = 'needs "id"',
			['{"outputs":[{"id":"tidi"}]}'] = 'did you mean "tidy"', ['{"outputs":[{"id":"m","type":"SAVED_MODEL"}]}'] = "SAVED_MODEL",
			['{"outputs":[{"id":"x","projectKey":"OTHER"}]}'] = "of project OTHER", ['{"outputs":[{"id":"tidy","partition":"2024"}]}'] = "no partitions",
			['{"type":"RECURSIVE_BULD","outputs":[{"id":"tidy"}]}'] = "did you mean RECURSIVE_BUILD",
		} do
			local status, answer = ask("carol", "POST", "/public/api/projects/P/jobs", body)
			assert.equal(400, status, body)
			assert.truthy(answer.message:find(words, 1, true), answer.message)
			assert.is_nil(world.was.submit)
		end
	end)

	it("tell the lines of a project.lua that is wrong, and that one could not be read", function()
		local status, answer = ask("admin", "POST", "/public/api/projects/BAD/jobs", { outputs = { { id = "x" } } })
		assert.same({ 400, "projects/BAD/project.lua:7: no word" }, { status, answer.message })
		local fields
		status, answer, fields = ask("admin", "GET", "/public/api/projects/SLOW")
		assert.same({ 503, "it took longer than 10 s", "2" }, { status, answer.message, fields["Retry-After"] })
	end)

	it("are for those whom the project lets in: 404 for strangers, 403 for readers", function()
		local body = { outputs = { { id = "tidy" } } }
		for login, wanted in pairs { admin = 200, carol = 200, erin = 200, dave = 403, bob = 404 } do
			assert.equal(wanted, (ask(login, "POST", "/public/api/projects/P/jobs", body)), login)
		end
		for login, wanted in pairs { admin = 200, carol = 200, erin = 200, dave = 200, bob = 404 } do
			assert.equal(wanted, (ask(login, "GET", "/public/api/projects/P/jobs/j1/")), login)
			assert.equal(wanted, (ask(login, "GET", "/public/api/projects/P/jobs/j1/log")), login)
			assert.equal(wanted, (ask(login, "GET", "/public/api/projects/P")), login)
		end
		for login, wanted in pairs { admin = 200, carol = 200, erin = 200, dave = 403, bob = 404 } do
			assert.equal(wanted, (ask(login, "POST", "/public/api/projects/P/jobs/j1/abort")), login)
		end
		assert.equal(404, (ask("admin", "GET", "/public/api/projects/P/jobs/j2")))
		assert.equal(404, (ask("admin", "GET", "/public/api/projects/P/jobs/..%2Fx")))
	end)

	it("are aborted as the user who asks, admins' acts on others' jobs as such", function()
		ask("carol", "POST", "/public/api/projects/P/jobs/j1/abort")
		assert.same({ "f1", "carol", false }, world.was.abort)
		ask("admin", "POST", "/public/api/projects/P/jobs/j1/abort")
		assert.same({ "f1", "admin", true }, world.was.abort)
	end)

	it("have a log that is text in UTF-8, whole or of one activity", function()
		local status, _, fields, raw = ask("carol", "GET", "/public/api/projects/P/jobs/j1/log?activity=a_NP")
		assert.same({ 200, "[x] [act.a]  - ä\n", "a_NP", "18" }, { status, raw, world.was.log[4], fields["Log-Next"] })
		assert.equal(400, (ask("carol", "GET", "/public/api/projects/P/jobs/j1/log?activity=../x")))
		status, _, fields = ask("carol", "GET", "/api/jobs/P/j1/log?offset=0")
		assert.same({ 200, "0", "18", "false" }, { status, fields["Log-Offset"], fields["Log-Size"], fields["Log-Whole"] })
	end)

	it("have a log that is waited for where nothing more is there yet, a minute at most", function()
		local status, _, fields = ask("carol", "GET", "/api/jobs/P/j1/log?offset=18&wait=20")
		assert.same({ 200, "18", "18" }, { status, fields["Log-Offset"], fields["Log-Size"] })
		assert.same({ "P", "j1", "f1", 18, 20 }, world.was.log_wait)
		ask("carol", "GET", "/api/jobs/P/j1/log?offset=18&wait=100000")
		assert.equal(60, world.was.log_wait[5])
		world.was.log_wait = nil
		ask("carol", "GET", "/api/jobs/P/j1/log?offset=0&wait=20")
		ask("carol", "GET", "/api/jobs/P/j1/log?offset=18")
		assert.is_nil(world.was.log_wait)
		assert.equal(400, (ask("carol", "GET", "/api/jobs/P/j1/log?wait=soon")))
		assert.equal(404, (ask("bob", "GET", "/api/jobs/P/j1/log?offset=18&wait=20")))
	end)

	it("have an activity whose lines are followed in one request: what others write meanwhile is no answer", function()
		local waits, place = {}, true
		jobs.log = function(_, _, offset, _, activity, is_whole)
			assert.same({ "a_NP", true }, { activity, is_whole })
			-- others write 100 bytes before each wait is over; the third time it has a line
			local size = 1000 + 100 * #waits
			return #waits == 3 and offset < size and "a line\n" or "", size, size
		end
		local wait = logs.wait
		finally(function() logs.wait = wait end)
		logs.wait = function(folder, job, task, size, seconds, fn, login)
			waits[#waits + 1] = { folder, job, task, size, seconds, login }
			fn(place and seconds - 1.5 or 0)
		end
		local status, _, fields, raw = ask("carol", "GET", "/api/jobs/P/j1/log?activity=a_NP&offset=1000&wait=20")
		assert.same({ 200, "a line\n", "1300", "1300", "false" }, { status, raw, fields["Log-Next"], fields["Log-Size"], fields["Log-Whole"] })
		assert.same({ { "P", "j1", "f1", 1000, 20, "carol" }, { "P", "j1", "f1", 1100, 18.5, "carol" }, { "P", "j1", "f1", 1200, 17.0, "carol" } }, waits)
		-- without wait, and once it has ended, it is answered as it stands
		status, _, fields, raw = ask("carol", "GET", "/api/jobs/P/j1/log?activity=a_NP&offset=1300")
		assert.same({ 200, "", "1300", 3 }, { status, raw, fields["Log-Next"], #waits })
		jobs.rows.j1[1] = '{"baseStatus":{"stableState":true}}'
		status, _, fields = ask("carol", "GET", "/api/jobs/P/j1/log?activity=a_NP&offset=1300&wait=20")
		assert.same({ 200, "true", 3 }, { status, fields["Log-Whole"], #waits })
		-- one that was cut in its middle is told at once
		jobs.rows.j1[1] = '{"baseStatus":{"stableState":false}}'
		status, _, fields = ask("carol", "GET", "/api/jobs/P/j1/log?activity=a_NP&offset=5000&wait=20")
		assert.same({ 200, "1300", 3 }, { status, fields["Log-Size"], #waits })
		-- where there is no place to wait it is answered, too, and not asked for again and again
		place = false
		status = ask("carol", "GET", "/api/jobs/P/j1/log?activity=a_NP&offset=1300&wait=20")
		assert.same({ 200, 4 }, { status, #waits })
		assert.equal(404, (ask("bob", "GET", "/api/jobs/P/j1/log?activity=a_NP")))
		assert.equal(400, (ask("carol", "GET", "/api/jobs/P/j1/log?activity=../x")))
	end)

	it("are looked through piece by piece for the lines of an activity", function()
		local log, asked = ("x\n"):rep(1 << 20) .. "[act.a_NP] a\n[act.a_NP] no end", {}
		jobs.log = function(_, _, offset, most, _, is_whole)
			local piece = log:sub(offset + 1, offset + most)
			if is_whole then piece = piece:match "^(.*\n)" or "" end
			asked[#asked + 1] = offset
			local kept = {}
			for line in piece:gmatch "[^\n]+\n?" do kept[#kept + 1] = line:find("[act.", 1, true) and line or nil end
			return table.concat(kept), #log, offset + #piece
		end
		local status, _, fields, raw = ask("carol", "GET", "/api/jobs/P/j1/log?activity=a_NP&offset=0")
		assert.same({ 200, "[act.a_NP] a\n", { 0, 1 << 20, 2 << 20 }, "false" }, { status, raw, asked, fields["Log-Whole"] })
		-- its last line has no end: it is told once nothing more can come
		local rest = fields["Log-Next"]
		status, _, fields, raw = ask("carol", "GET", "/api/jobs/P/j1/log?activity=a_NP&offset=" .. rest)
		assert.same({ 200, "", rest }, { status, raw, fields["Log-Next"] })
		jobs.rows.j1[1] = '{"baseStatus":{"stableState":true}}'
		status, _, fields, raw = ask("carol", "GET", "/api/jobs/P/j1/log?activity=a_NP&offset=" .. rest)
		assert.same({ 200, "[act.a_NP] no end", ("%d"):format(#log), "true" }, { status, raw, fields["Log-Next"], fields["Log-Whole"] })
	end)

	it("are listed by project, and one's own of all", function()
		ask("dave", "GET", "/public/api/projects/P/jobs/?limit=3")
		assert.same({ "P", "all", 3 }, world.was.jobs)
		ask("dave", "GET", "/api/jobs")
		assert.same({ "all", "dave", 100 }, world.was.jobs)
		ask("admin", "GET", "/api/jobs?limit=7")
		assert.same({ "all", "all", 7 }, world.was.jobs)
		assert.equal(400, (ask("dave", "GET", "/api/jobs?limit=x")))
	end)

	it("take a process's ticket as its user, while it lives", function()
		jobs.tickets = { ["job-1.aa"] = "dave" }
		local status = world.ask("GET", "/public/api/projects/P", { fields = { ["x-dku-apiticket"] = "job-1.aa" } })
		assert.equal(200, status)
		local answer
		status, answer = world.ask("GET", "/public/api/projects/P", { fields = { ["x-dku-apiticket"] = "job-1.bb" } })
		assert.equal(401, status)
		assert.truthy(answer.message:find "ticket")
		jobs.tickets = {}
	end)
end)

describe("projects", function()
	before_each(function()
		world.reset()
		jobs.projects = { P = { "good", json.encode(PROJECT) }, BAD = { "bad", '{"errors":[]}' } }
		jobs.keys = function() return { "BAD", "P" } end
		world.keys.rows[1] = { id = "dave", user = "dave", is_admin = false, created_ms = 1 }
		world.keys.rows[2] = { id = "bob", user = "bob", is_admin = false, created_ms = 1 }
	end)

	it("are listed for those who may read them; admins see those that cannot be read, too", function()
		local _, list = ask("dave", "GET", "/dip/publicapi/projects/")
		assert.same({ 1, "P", "Sales", "carol" }, { #list, list[1].projectKey, list[1].name, list[1].ownerLogin })
		assert.equal(1000, list[1].versionTag.lastModifiedOn)
		assert.equal(0, #select(2, ask("bob", "GET", "/dip/publicapi/projects/")))
		assert.equal(2, #select(2, ask("admin", "GET", "/dip/publicapi/projects/")))
	end)

	it("with a mistake in the file go on being what they were for those who see to jobs; who may not read them reads none of it", function()
		jobs.list = function(_, _, _, fn) fn "[]" end
		assert.equal(200, (ask("dave", "GET", "/public/api/projects/P/jobs")))
		jobs.projects.P = { "bad", '{"errors":[{"file":"projects/P/project.lua","line":7,"text":"no word"}]}' }
		assert.equal(200, (ask("dave", "GET", "/public/api/projects/P/jobs")))
		assert.equal(404, (ask("bob", "GET", "/public/api/projects/P/jobs")))
		local status, answer = ask("bob", "GET", "/public/api/projects/P")
		assert.equal(404, status)
		assert.is_nil(answer.message:find "no word")
		status, answer = ask("dave", "GET", "/public/api/projects/P")
		assert.same({ 400, "projects/P/project.lua:7: no word" }, { status, answer.message })
		-- one that was never good: admins alone
		assert.equal(200, (ask("admin", "GET", "/public/api/projects/BAD/jobs")))
		assert.equal(400, (ask("dave", "GET", "/public/api/projects/BAD/jobs")))
	end)

	it("tell their flow, variables and rights", function()
		local _, graph = ask("dave", "GET", "/public/api/projects/P/flow/graph/")
		assert.same({ "clean" }, graph.nodes.tidy.predecessors)
		assert.same({ "sum" }, graph.nodes.tidy.successors)
		assert.same({ standard = { year = 2025 }, ["local"] = {} }, (select(2, ask("dave", "GET", "/public/api/projects/P/variables"))))
		local _, rights = ask("dave", "GET", "/public/api/projects/P/permissions")
		assert.same({ "carol", "dave", "erin" }, { rights.owner, rights.permissions[1].user, rights.permissions[2].user })
	end)
end)
