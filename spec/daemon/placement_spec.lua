-- Where processes are put, against real cgroups: templates, limits at several levels, what follows a changed set, ends for want of memory.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local json = require "t_json"
local wait_for = helper.wait_for

local POOLS = [[ pool "fek" { kernel = python {}, limits = { memory = "256m" }, warm = { min = 0, max = 1 } } ]]
local JOBS = [[
pool "jek" { kernel = java { main = "DSSJobKernelMain", heap = "64m" }, limits = { memory = "256m" }, warm = { min = 1, max = 1 }, max = 2,
  recycle = { after_tasks = 100 } }
]]

-- holds as many megabytes as the file "hold" of its folder says
local SERVER = [[
import http.server, os, threading, time
held = []
def hold():
    while True:
        try:
            want = int(open("hold").read())
        except (OSError, ValueError):
            want = 0
        while len(held) < want:
            held.append(bytearray(os.urandom(4096)) * 256)
        time.sleep(0.05)
threading.Thread(target=hold, daemon=True).start()
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(len(held)).encode())
    def log_message(self, *a):
        pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["DSS_WEBAPP_PORT"])), H).serve_forever()
]]

local has_java = os.execute "command -v java >/dev/null && command -v javac >/dev/null"
local MB = 1 << 20

describe("processes are put", function()
	local node

	after_each(function()
		if node then node:remove() node = nil end
	end)

	local function open(limits, pools)
		node = Instance.new { policies = { ["10-pools.lua"] = pools or POOLS, ["20-limits.lua"] = limits } }
		node:start()
		return (node:status())
	end

	local function has_cgroups(status) return status.cgroups ~= "none" end

	local function project(key, text, files)
		local dir = node.dir .. "/projects/" .. key
		os.execute("mkdir -p " .. Instance.quote(dir .. "/data"))
		helper.write(dir .. "/project.lua", text)
		for path, body in pairs(files or { ["app.py"] = SERVER }) do helper.write(dir .. "/" .. path, body) end
		os.execute(("chown -R $(stat -c %%u:%%g %s) %s"):format(Instance.quote(node.dir .. "/projects"), Instance.quote(dir)))
	end

	local function webapp(owner, more)
		return ('project { owner = %q, webapps = { page = webapp { command = { "/usr/bin/python3", "app.py" }, %s } } }'):format(owner, more or "")
	end

	local function state(key)
		local _, answer = node:http("GET", ("/public/api/projects/%s/webapps/page/backend/state"):format(key))
		return answer.backend or {}
	end

	local function start(key)
		local status, answer = node:http("PUT", ("/public/api/projects/%s/webapps/page/backend/actions/restart"):format(key))
		assert.are.equal(200, status, json.encode(answer))
	end

	local function await(key, wanted)
		local s
		wait_for(("webapp of %s to be %s"):format(key, wanted), function()
			s = state(key)
			return s.state == wanted, json.encode(s)
		end, 30)
		return s
	end

	local function up(key)
		start(key)
		return await(key, "running")
	end

	local function stop(key)
		node:http("PUT", ("/public/api/projects/%s/webapps/page/backend/actions/stop"):format(key))
		await(key, "stopped")
	end

	--- What the first of these files of a box says, whatever cgroups this machine has; nil: there is no such box.
	local function file(box, ...)
		for _, root in ipairs(node:boxes()) do
			for _, name in ipairs { ... } do
				local text = helper.read(root .. "/" .. box .. "/" .. name)
				if text then return (text:gsub("\n$", "")) end
			end
		end
	end

	local function memory_of(box)
		local n = math.tointeger(tonumber(file(box, "memory.limit_in_bytes", "memory.max") or ""))
		return n and n < 1 << 62 and n or nil
	end
	local function threads_of(box) return math.tointeger(tonumber(file(box, "pids.max") or "")) end
	local function cpu_of(box)
		local n = tonumber((file(box, "cpu.cfs_quota_us", "cpu.max") or ""):match "^%-?%d+")
		return n and n > 0 and n / 100000 or nil
	end

	local function is_there(box)
		for _, root in ipairs(node:boxes()) do
			if os.execute("test -d " .. Instance.quote(root .. "/" .. box)) then return true end
		end
		return false
	end

	local function boxes(options)
		local status, rows = node:http("GET", "/api/boxes", nil, options)
		assert.are.equal(200, status, json.encode(rows))
		local by = {}
		for _, row in ipairs(rows) do by[row.box] = row end
		return by, rows
	end

	local function alerts(key)
		local _, rows = node:http("GET", "/api/alerts")
		for _, row in ipairs(rows) do
			if row.key == key then return row end
		end
	end

	local function policy(text)
		node:write("policies/20-limits.lua", text)
	end

	it("by templates, limited at each level, as the cgroup files and dssctl boxes tell; the levels go with the last of them", function()
		local status = open [[
place "by person" { where = "kind = webapp", at = "users/${user}" }
box "a person's share" { at = "users/${user}", memory = "300m", cpu = 0.5, threads = 200 }
box "all people" { at = "users", memory = "1g", cpu = 2 }
box "ann" { at = "users/ann", memory = "200m" }]]
		if not has_cgroups(status) then return pending "there are no cgroups here" end
		project("ONE", webapp("ann", "limits = { memory = '100m', cpu = 4 }"))
		project("TWO", webapp "bob")
		up "ONE"
		up "TWO"
		assert.are.equal(1 << 30, memory_of "run/users")
		assert.are.equal(2.0, cpu_of "run/users")
		assert.are.equal(200 * MB, memory_of "run/users/ann")
		assert.are.equal(300 * MB, memory_of "run/users/bob")
		assert.are.equal(200, threads_of "run/users/ann")
		assert.are.equal(0.5, cpu_of "run/users/ann")
		assert.is_nil(memory_of "run/users/ann/ONE")
		assert.are.equal(100 * MB, memory_of "run/users/ann/ONE/page")
		assert.are.equal(0.5, cpu_of "run/users/ann/ONE/page")
		local by = boxes()
		local ann = by["run/users/ann"]
		assert.are.same({ "ann", "policies/20-limits.lua:4", 200 * MB, 200, 0.5, 1, "level" },
			{ ann.name, ann.source, ann.limitBytes, ann.threadsLimit, ann.cpuLimit, ann.processes, ann.kind })
		assert.truthy(ann.memoryBytes > MB and ann.peakBytes >= ann.memoryBytes and ann.oomKills == 0 and ann.threads >= 1)
		assert.are.same({ { "ann" }, { "ONE" } }, { ann.users, ann.projects })
		assert.are.equal(2, by["run/users"].processes)
		assert.are.equal("process", by["run/users/ann/ONE/page"].kind)
		local out = node:ctl "boxes"
		assert.truthy(out:find("run/users", 1, true) and out:find('"ann" (policies/20-limits.lua:4)', 1, true), out)
		assert.truthy((node:ctl("why", "place", "by person")):find("put into run/users/ann/ONE", 1, true))
		stop "ONE"
		wait_for("ann's level to be gone", function() return not is_there "run/users/ann" end)
		assert.is_true(is_there "run/users/bob")
		stop "TWO"
		wait_for("the last level to be gone", function() return not is_there "run/users" end)
		assert.are.equal("no recipe and no webapp runs now", (node:ctl "boxes"))
	end)

	it("and only their owners, those who may read the project, and admins see their levels", function()
		open ""
		project("ANNS", webapp "ann")
		project("OPEN", (webapp("bob"):gsub("owner", "rights = { read = { 'ann' } }, owner", 1)))
		project("BOBS", webapp "bob")
		for _, key in ipairs { "ANNS", "OPEN", "BOBS" } do up(key) end
		local key = json.decode((node:ctl("--json", "key", "add", "ann"))).key
		local by = boxes { key = key }
		assert.truthy(by["run/webapps/ANNS"] and by["run/webapps/OPEN/page"])
		assert.is_nil(by["run/webapps/BOBS"])
		assert.is_nil(by["run/webapps"])
		assert.truthy(boxes()["run/webapps"])
	end)

	it("and keep their place when the set changes, while limits change at once, are taken away, and are tried again where they cannot be had", function()
		local status = open [[box "pages" { at = "webapps/${project}", memory = "600m", threads = 100, cpu = 1 }]]
		if not has_cgroups(status) then return pending "there are no cgroups here" end
		project("WEB", webapp("ann", "limits = { cpu = 0.8 }"))
		local pid = node:http("GET", "/health") and up("WEB").processId
		local box, own = "run/webapps/WEB", "run/webapps/WEB/page"
		assert.are.same({ 600 * MB, 100, 1.0, 0.8 }, { memory_of(box), threads_of(box), cpu_of(box), cpu_of(own) })
		policy [[
box "pages" { at = "webapps/${project}", memory = "700m", cpu = 0.5 }
box "each" { at = "webapps/${project}/${webapp}", memory = "400m" }
place "elsewhere" { at = "users/${user}" }]]
		wait_for("the new limits", function()
			return memory_of(box) == 700 * MB and threads_of(box) == nil and cpu_of(box) == 0.5 and memory_of(own) == 400 * MB,
				json.encode { memory_of(box) or 0, threads_of(box) or 0, cpu_of(box) or 0, memory_of(own) or 0 }
		end)
		assert.truthy((cpu_of(own) or 0.5) <= 0.8)
		assert.are.equal(pid, state("WEB").processId)
		policy [[box "all" { at = "webapps", threads = 1000 }]]
		wait_for("no limits", function()
			return memory_of(box) == nil and cpu_of(box) == nil and memory_of(own) == nil and threads_of "run/webapps" == 1000 and cpu_of(own) == 0.8,
				json.encode { memory_of(box) or 0, cpu_of(box) or 0, memory_of(own) or 0, cpu_of(own) or 0 }
		end)
		-- more is in use than the new limit: nothing is killed for it
		helper.write(node.dir .. "/projects/WEB/hold", "80")
		wait_for("80 MB to be held", function() return (boxes()[box].memoryBytes or 0) > 80 * MB end)
		policy [[box "tight" { at = "webapps/${project}", memory = "40m" }]]
		local alert = wait_for("the alert", function() return alerts("box:" .. box) end)
		assert.truthy(alert.text:find('box "tight"', 1, true) and alert.text:find("in use", 1, true), alert.text)
		assert.are.equal("policies/20-limits.lua:1", alert.source)
		assert.are.equal(pid, state("WEB").processId)
		policy [[box "wide" { at = "webapps/${project}", memory = "400m" }]]
		wait_for("the alert to be over", function() return not alerts("box:" .. box) and memory_of(box) == 400 * MB end)
	end)

	it("and a backend that starts again gives the levels the limits of what was written meanwhile", function()
		local status = open [[box "pages" { at = "webapps/${project}", memory = "600m" }]]
		if not has_cgroups(status) then return pending "there are no cgroups here" end
		project("WEB", webapp "ann")
		local process = up("WEB").processId
		node:kill("backend", "STOP")
		policy [[box "pages" { at = "webapps/${project}", memory = "500m", cpu = 1 }]]
		node:kill("backend", "KILL")
		wait_for("the limits", function() return memory_of "run/webapps/WEB" == 500 * MB and cpu_of "run/webapps/WEB" == 1.0 end, 30)
		assert.are.equal(process, await("WEB", "running").processId)
		assert.are.equal("pages", boxes()["run/webapps/WEB"].name)
	end)

	it("and leave no level behind when they cannot be started", function()
		open [[box "pages" { at = "webapps/${project}", memory = "600m" }]]
		project("WEB", 'project { webapps = { page = webapp { command = { "/nonexistent/program" }, crashes = 1 } } }')
		start "WEB"
		await("WEB", "failed")
		wait_for("the level to be gone", function() return not is_there "run/webapps" end)
	end)

	it("without cgroups they run without limits, which an alert says", function()
		node = Instance.new { init = { "--cgroups", "none" }, policies = { ["10-pools.lua"] = POOLS,
			["20-limits.lua"] = 'box "pages" { at = "webapps/${project}", memory = "64m", threads = 2 }' } }
		node:start()
		project("WEB", webapp "ann")
		up "WEB"
		local alert = alerts "boxes"
		assert.truthy(alert and alert.text:find("limit nothing", 1, true), alert and alert.text)
		local row = boxes()["run/webapps/WEB"]
		assert.are.same({ 1, "pages" }, { row.processes, row.name })
		assert.is_nil(row.limitBytes)
		policy ""
		wait_for("the alert to be over", function() return not alerts "boxes" end)
	end)

	it("and dssctl policy check notes what the machine cannot limit", function()
		node = Instance.new { policies = { ["10-pools.lua"] = POOLS, ["20-limits.lua"] = 'box "pages" { at = "webapps", memory = "64m", cpu = 2 }' } }
		if Instance.run { "id", "-u" } ~= "0" or not os.execute "unshare -m true 2>/dev/null" then return pending "no mounts of our own here" end
		local hidden = "umount -a -l -t cgroup,cgroup2 2>/dev/null; exec %s %s policy check"
		local function check(more)
			local words = hidden:format(Instance.quote(node.dir .. "/bin/dssctl"), more or "")
			return Instance.run({ "unshare", "-m", "sh", "-c", words }, Instance.environment())
		end
		local out, status = check()
		assert.are.equal(0, status, out)
		assert.truthy(out:find('note: policies/20-limits.lua:1: box "pages" limits nothing here: this machine has no cgroup controller "memory"', 1, true), out)
		assert.are.equal(2, #json.decode((check "--json")).notes)
	end)

	it("and where a user's name is none that a box can have they stay where they belong, with an alert", function()
		open [[place "people" { at = "people/${user}" }]]
		project("WEB", webapp "memory.max")
		up "WEB"
		assert.truthy(boxes()["run/webapps/WEB/page"])
		local alert = alerts "policy:policies/20-limits.lua:1"
		assert.truthy(alert and alert.text:find("no name of a box", 1, true), alert and alert.text)
	end)

	if not has_java then return pending("recipes: there is no JDK") end

	it("together in a level of recipes: one ends for its limit, which its owner reads with the word and who grew; the job's other level holds, too", function()
		local status = open([[
box "a project's jobs" { at = "jobs/${project}", memory = "160m" }
box "one job" { at = "jobs/${project}/${job}", threads = 300 }]], JOBS)
		if not has_cgroups(status) then return pending "there are no cgroups here" end
		local recipes = [[
project { recipes = {
  large = python { script = "large.py", outputs = { "a" } },
  small = python { script = "small.py", outputs = { "b" } },
  both  = shell { command = "true", inputs = { "a", "b" }, outputs = { "c" } },
} }]]
		local hold = [[
import os, time
held = [bytearray(os.urandom(4096)) * 256 for _ in range(%d)]
t = time.monotonic()
while not os.path.exists("go") and time.monotonic() - t < 60:
    time.sleep(0.02)
more = [bytearray(os.urandom(4096)) * 256 for _ in range(%d)]
time.sleep(%d)
]]
		-- the kernel takes the larger one though the smaller one grows
		project("MEM", recipes, { ["large.py"] = hold:format(90, 0, 30), ["small.py"] = hold:format(12, 66, 1) })
		local _, answer = node:http("POST", "/public/api/projects/MEM/jobs/", { type = "RECURSIVE_BUILD", outputs = { { type = "DATASET", id = "c" } } })
		local job, s = answer.id, nil
		assert.truthy(job, json.encode(answer))
		wait_for("both to hold what they hold", function()
			local _, rows = node:http("GET", "/api/processes")
			local held = {}
			for _, row in ipairs(rows) do held[row.activityId or ""] = row.memoryBytes end
			return (held.large_NP or 0) > 90 * MB and (held.small_NP or 0) > 10 * MB, json.encode(held)
		end, 30)
		assert.are.same({ 300, 160 * MB }, { threads_of("run/jobs/MEM/" .. job), memory_of "run/jobs/MEM" })
		helper.write(node.dir .. "/projects/MEM/go", "")
		wait_for("the end", function()
			s = select(2, node:http("GET", "/public/api/projects/MEM/jobs/" .. job .. "/"))
			return s.baseStatus.state == "FAILED" or s.baseStatus.state == "DONE", json.encode(s)
		end, 60)
		assert.are.equal("FAILED", s.baseStatus.state)
		local activities = s.baseStatus.activities
		assert.are.equal("DONE", activities.small_NP.state, json.encode(s))
		assert.are.equal("oom_limit", activities.large_NP.cause)
		local said = activities.large_NP.firstFailure.message
		for _, text in ipairs { 'the limit of box "a project\'s jobs" (run/jobs/MEM, policies/20-limits.lua:1): 160 MB', 'what grew there: recipe "small" of job ' .. job } do
			assert.truthy(said:find(text, 1, true), said)
		end
		wait_for("the levels to be gone", function() return not is_there "run/jobs" end)
	end)
end)
