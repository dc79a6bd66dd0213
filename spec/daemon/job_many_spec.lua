-- Many jobs: 200 at once, and a run in which parts of the node are killed at random.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local json = require "t_json"
local job_work = require "spec.daemon.job_work"
local wait_for = helper.wait_for

local node, jobs

local function open(pool)
	node = Instance.new { policies = { ["10-pools.lua"] = job_work.pools(pool) } }
	jobs = job_work.of(node)
	node:start()
end

--- Starts n jobs of the project, 16 requests at a time. Their ids.
local function start_many(key, output, n)
	local body = json.encode { type = "NON_RECURSIVE_FORCED_BUILD", outputs = { { type = "DATASET", id = output } } }
	local out, status = Instance.run { "sh", "-c",
		'seq "$1" | xargs -P 16 -I{} curl -sS --max-time 60 --noproxy "*" -H "Authorization: Bearer $2" -H "Content-Type: application/json" -d "$3" -w "\\n" "$4"', "sh",
		tostring(n), node:read("config/admin.key"):match "%S+", body, ("http://127.0.0.1:%d%s"):format(node:port(), jobs.path(key)) }
	assert(status == 0, out)
	local ids = {}
	for id in out:gmatch '"id":"([^"]+)"' do ids[#ids + 1] = id end -- lines of two at a time may be one
	assert(#ids == n, out)
	return ids
end

--- Items of the project's jobs by id.
local function list(key)
	local status, items = node:http("GET", jobs.path(key) .. "?limit=1000")
	if status ~= 200 then return nil, status end
	local by = {}
	for _, item in ipairs(items) do by[item.def.id] = item end
	return by, #items
end

local function wait_all(key, ids, seconds)
	return wait_for("the end of all", function()
		local by, n = list(key)
		if not by then return false, n end
		for _, id in ipairs(ids) do
			if not by[id] or not by[id].stableState then return false, id .. " " .. (by[id] and by[id].state or "is not there") end
		end
		return by
	end, seconds)
end

local function pss_kb(pid)
	return tonumber((helper.read(("/proc/%d/smaps_rollup"):format(pid)) or ""):match "\nPss:%s+(%d+) kB")
end

--- How often each line stands in the file.
local function tally(path)
	local seen = {}
	for line in (helper.read(path) or ""):gmatch "[^\n]+" do seen[line] = (seen[line] or 0) + 1 end
	return seen
end

describe("many jobs", function()
	if not job_work.has_java then return pending("with job kernels: there is no JDK") end
	after_each(function()
		if node then node:remove() node = nil end
	end)

	it("200 at once: each waits with its reason and place, no more kernels than max, each runs once, all are done", function()
		open "warm = { min = 1, max = 2 }, max = 2,"
		local dir = jobs:project("MANY")
		jobs:project("MANY", ([[project { recipes = {
  left = shell { command = "echo begun; %s", outputs = { "l" } },
  right = shell { command = "echo begun; %s", outputs = { "r" } },
  one = shell { command = "echo $DSS_JOB_ID; echo $DSS_JOB_ID >> marks", outputs = { "x" } },
} }]]):format(job_work.wait_gate "go", job_work.wait_gate "go"))
		local function run_twenty()
			local ids = start_many("MANY", "x", 20)
			wait_all("MANY", ids, 60)
			return pss_kb(node:pid "backend")
		end
		run_twenty()
		local few = run_twenty()
		-- both kernels stand at a gate
		local holders = { left = jobs:start("MANY", "l"), right = jobs:start("MANY", "r") }
		for name, id in pairs(holders) do jobs:wait_activity("MANY", id, name, "RUNNING") end
		local ids = start_many("MANY", "x", 200)
		local places = {}
		for _, id in ipairs(ids) do
			local base = jobs:status("MANY", id).baseStatus
			assert.equal("WAITING", base.state)
			local _, f = node:http("GET", "/public/api/futures/" .. base.taskId .. "?peek=True")
			assert.truthy(base.reason and base.reason ~= "", json.encode(base))
			assert.truthy(math.type(f.position) == "integer" or f.position % 1 == 0, json.encode(f))
			places[#places + 1] = math.tointeger(f.position)
		end
		table.sort(places)
		for i, place in ipairs(places) do assert.equal(i, place) end
		jobs:open_gate("MANY", "go")
		local most = 0
		local by = wait_for("the end of all", function()
			local kernels, now = jobs:processes "kernel", list "MANY"
			most = math.max(most, kernels and #kernels or 0)
			for _, id in ipairs(ids) do
				if not now or not now[id].stableState then return false, id end
			end
			return now
		end, 150)
		assert.truthy(most <= 2, most .. " kernels")
		local seen = tally(dir .. "/marks")
		for _, id in ipairs(ids) do
			assert.equal("DONE", by[id].state)
			assert.equal(1, seen[id], id)
			assert.truthy(jobs:log("MANY", id):find("- " .. id, 1, true))
			assert.truthy(by[id].endTime >= by[id].startTime and by[id].startTime > 0)
		end
		for _, id in pairs(holders) do assert.equal("DONE", jobs:ended("MANY", id).baseStatus.state) end
		jobs:nothing_left()
		-- what is over is the store's: the backend does not grow with it
		local many = pss_kb(node:pid "backend")
		assert.truthy(many <= few + 16 * 1024, ("PSS %d KB after 40 jobs, %d KB after 240"):format(few, many))
	end)

	it("under random kills of backend, logger, kernels and recipes come to one clear end each; nothing runs twice, nothing is left", function()
		local seed = tonumber(os.getenv "DSS_SEED") or os.time()
		math.randomseed(seed)
		open "warm = { min = 2, max = 2 }, max = 3,"
		local dir = jobs:project("CHAOS")
		-- each job has its own datasets
		local JOBS, KILLS = 12, 14
		local text = { "local recipes = {}\n" }
		for n = 1, JOBS do
			text[#text + 1] = ([[
recipes["a%d"] = shell { command = "echo a >> marks-%d; sleep 0.2; echo 1 > data/a_%d/x", outputs = { "a_%d" } }
recipes["b%d"] = shell { command = "echo b >> marks-%d; sleep 0.3; echo 1 > data/b_%d/x", outputs = { "b_%d" } }
recipes["c%d"] = shell { command = "echo c >> marks-%d; cat data/a_%d/x data/b_%d/x > data/c_%d/x", inputs = { "a_%d", "b_%d" }, outputs = { "c_%d" } }
]]):gsub("%%d", tostring(n))
		end
		text[#text + 1] = "project { recipes = recipes }\n"
		jobs:project("CHAOS", table.concat(text))
		local ids, told = {}, {}
		local function random_row(kind)
			local rows = jobs:processes(kind) or {}
			local with_pid = {}
			for _, row in ipairs(rows) do with_pid[#with_pid + 1] = math.type(row.pid) and row.pid > 0 and row or nil end
			return #with_pid > 0 and with_pid[math.random(#with_pid)] or nil
		end
		local deeds = {
			backend = function()
				local ok, old = pcall(node.kill, node, "backend")
				node:dss("restart", "backend")
				jobs:wait_backend(ok and old or nil, 40)
			end,
			logger = function() pcall(node.kill, node, "logger") end,
			kernel = function()
				local row = random_row "kernel"
				if row then jobs:signal(row.pid, "KILL") end
			end,
			recipe = function()
				local row = random_row "recipe"
				if row then jobs:signal(row.pid, "KILL") end
			end,
		}
		local names = { "backend", "logger", "kernel", "recipe", "recipe", "kernel" }
		local kinds = 0
		for step = 1, JOBS + KILLS do
			-- as many steps of each kind as there are, in any order
			if #ids < JOBS and (kinds >= KILLS or math.random(JOBS + KILLS) <= JOBS) then
				local n = #ids + 1
				ids[n] = jobs:start("CHAOS", "c_" .. n, "RECURSIVE_FORCED_BUILD")
			else
				kinds = kinds + 1
				local name = names[math.random(#names)]
				told[#told + 1] = step .. " " .. name
				deeds[name]()
			end
		end
		local story = ("DSS_SEED=%d: %s"):format(seed, table.concat(told, ", "))
		assert.equal(JOBS, #ids, story)
		for n, id in ipairs(ids) do
			local s = jobs:ended("CHAOS", id, 90)
			local state, seen = s.baseStatus.state, tally(dir .. "/marks-" .. n)
			assert.truthy(state == "DONE" or state == "FAILED", state .. story)
			for _, step in ipairs { "a", "b", "c" } do
				local a = s.baseStatus.activities[step .. n .. "_NP"]
				assert.truthy((seen[step] or 0) <= 1, ("%s of job %d ran %d times: %s"):format(step, n, seen[step] or 0, story))
				assert.truthy(({ DONE = 1, FAILED = 1, ABORTED = 1, SKIPPED = 1 })[a.state], a.state .. story)
				if a.state == "DONE" then assert.equal(1, seen[step], story) end
				if a.state == "SKIPPED" then assert.is_nil(seen[step], story) end
				if state == "DONE" then assert.equal("DONE", a.state, story) end
			end
			if state == "FAILED" then
				local why = s.baseStatus.unexpectedFailure
				assert.truthy(why.message ~= "" and why.message ~= "The job failed.", json.encode(why) .. story)
			end
			told[n] = s
		end
		jobs:nothing_left()
		-- what is told as built is built; the rest is built anew, by one job each
		for n = 1, JOBS do
			local before = tally(dir .. "/marks-" .. n)
			local ran = " " .. jobs:rebuilt("CHAOS", "c_" .. n) .. " "
			local after = tally(dir .. "/marks-" .. n)
			for _, step in ipairs { "a", "b", "c" } do
				local was_done = told[n].baseStatus.activities[step .. n .. "_NP"].state == "DONE"
				if not was_done then assert.truthy(ran:find(" " .. step .. n .. " ", 1, true), step .. n .. ran .. story) end
				assert.equal((before[step] or 0) + (ran:find(" " .. step .. n .. " ", 1, true) and 1 or 0), after[step], story)
				assert.equal("1\n", (helper.read(("%s/data/%s_%d/x"):format(dir, step, n)) or ""):sub(1, 2), story)
			end
		end
		jobs:nothing_left()
	end)
end)
