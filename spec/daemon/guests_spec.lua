-- Places of recipes, with real processes: slots, the node's memory, datasets that are built by one at a time; who waits is told why.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local json = require "t_json"
local wait_for = helper.wait_for

local POOLS = [[
pool "jek" { kernel = java { main = "DSSJobKernelMain", heap = "64m" }, limits = { memory = "256m" }, warm = { min = 1, max = 1 }, max = 4,
  recycle = { after_tasks = 100 } }
]]

describe("recipes", function()
	if not os.execute "command -v java >/dev/null && command -v javac >/dev/null" then return pending("with places: there is no JDK") end

	local node

	local function project(key, text)
		local dir = node.dir .. "/projects/" .. key
		os.execute("mkdir -p " .. Instance.quote(dir .. "/data"))
		helper.write(dir .. "/project.lua", text)
		os.execute(("chown -R --reference=%s %s"):format(Instance.quote(node.dir .. "/projects"), Instance.quote(dir)))
	end

	--- n recipes that run until the file go-NAME is there, and one that needs them all.
	local function many(key, n, more)
		local out, names = { "project { tags = { 'team:x' }, recipes = {" }, {}
		for i = 1, n do
			names[i] = ("'out%d'"):format(i)
			out[#out + 1] = ("r%d = shell { command = [[echo begun; while [ ! -e go-r%d ]; do sleep 0.05; done; echo 1 > data/out%d/x]], outputs = { 'out%d' }, %s },")
				:format(i, i, i, i, more or "")
		end
		out[#out + 1] = ("all = shell { command = 'true', inputs = { %s }, outputs = { 'whole' } } } }"):format(table.concat(names, ", "))
		project(key, table.concat(out, "\n"))
	end

	local function let_go(key, name) helper.write(("%s/projects/%s/go-%s"):format(node.dir, key, name), "") end
	local function path(key, rest) return ("/public/api/projects/%s/jobs/%s"):format(key, rest or "") end

	local function start(key, output, options)
		local status, answer = node:http("POST", path(key), { type = "RECURSIVE_FORCED_BUILD", outputs = { { type = "DATASET", id = output } } }, options)
		assert.are.equal(200, status, type(answer) == "table" and answer.message or tostring(answer))
		return answer.id
	end

	local function status_of(key, job)
		local status, answer = node:http("GET", path(key, job .. "/"))
		return status == 200 and answer or { baseStatus = { activities = {} } }
	end

	--- Names of the recipes of a job in that state, sorted.
	local function in_state(s, state)
		local out = {}
		for _, a in pairs(s.baseStatus.activities) do
			if a.state == state then out[#out + 1] = a.recipeName end
		end
		table.sort(out)
		return out
	end

	local function until_status(what, key, job, fn)
		local s
		wait_for(what, function()
			s = status_of(key, job)
			return fn(s), json.encode(s)
		end, 60)
		return s
	end

	local function ended(key, job)
		return until_status("the end of " .. job, key, job, function(s)
			local state = s.baseStatus.state
			return state == "DONE" or state == "FAILED" or state == "ABORTED"
		end)
	end

	local function recipes_alive()
		local n = 0
		for _, row in ipairs(select(2, node:http("GET", "/api/processes"))) do
			n = n + (row.kind == "recipe" and row.state ~= "ended" and row.state ~= "dead" and 1 or 0)
		end
		return n
	end

	local function open(policies, memory)
		node = Instance.new { policies = { ["10-pools.lua"] = POOLS .. (policies or "") } }
		if memory then
			node:write("config/dss.lua", (node:read "config/dss.lua":gsub("node {\n", ("node {\n  memory = %q, reserve = \"200m\",\n"):format(memory), 1)))
		end
		node:start()
	end

	after_each(function()
		if node then node:remove() node = nil end
	end)

	local TWO = 'slots "recipes at once" { where = "kind = recipe", max = 2 }\n'

	it("run two of five at a time, and the others say why they wait and where in the line", function()
		open(TWO)
		many("FIVE", 5)
		local job = start("FIVE", "whole")
		local s = until_status("two at work, three in line", "FIVE", job, function(s) return #in_state(s, "RUNNING") == 2 and #in_state(s, "WAITING") == 3 end)
		local positions = {}
		for _, a in pairs(s.baseStatus.activities) do
			if a.state == "WAITING" then
				assert.truthy(a.reason:find('slots "recipes at once" (policies/10-pools.lua:3): 2 of 2 are at work', 1, true), a.reason)
				assert.are.equal(0, a.startTime)
				positions[#positions + 1] = a.position
			end
		end
		table.sort(positions)
		assert.are.same({ 1, 2, 3 }, positions)
		wait_for("two processes", function() return recipes_alive() == 2 end)
		local _, slots = node:http("GET", "/api/slots")
		assert.are.same({ { key = "", used = 2, memoryBytes = 2 * 64 << 20 } }, slots[1].keys)
		-- what the command line says of it
		local out = node:ctl("job", "status", "FIVE", job)
		assert.truthy(out:find("2 of 2 are at work", 1, true), out)
		-- a job of which nothing can go on waits, and why finds what was decided of it by its id
		many("SIX", 1)
		local second = start("SIX", "whole")
		until_status("the second job to stand in line", "SIX", second, function(now) return #in_state(now, "WAITING") == 1 end)
		out = node:ctl("jobs", "SIX")
		assert.matches(" waiting .*r1_NP waits, position %d+: slots \"recipes at once\"", out)
		assert.is_nil(node:ctl("jobs", "FIVE"):find("waiting", 1, true))
		for _, words in ipairs { { second }, { "job", "SIX/" .. second } } do
			local code
			wait_for("the decision to be in the ledger", function()
				out, _, code = node:ctl("why", table.unpack(words))
				return code == 0 and out:find("let wait recipe", 1, true), out
			end, 60)
			assert.truthy(out:find("job " .. second .. " of project SIX is RUNNING", 1, true), out)
			assert.matches("r1_NP waits, position", out)
			assert.matches(" task ", out)
		end
		assert.are.equal(4, select(3, node:ctl("why", "Build_nope_(NP)_2020-01-01T00-00-00.000")))
		assert.are.equal(4, select(3, node:ctl("why", "job", "SIX/nope")))
		assert.are.equal(200, (node:http("POST", path("SIX", second .. "/abort"))))
		ended("SIX", second)
		for i = 1, 5 do
			local s_now = until_status("two at work", "FIVE", job, function(now) return #in_state(now, "RUNNING") == math.min(2, 6 - i) end)
			assert.is_true(recipes_alive() <= 2)
			let_go("FIVE", in_state(s_now, "RUNNING")[1])
			until_status("one more done", "FIVE", job, function(now) return #in_state(now, "DONE") >= i end)
		end
		assert.are.equal("DONE", ended("FIVE", job).baseStatus.state)
		_, slots = node:http("GET", "/api/slots")
		assert.are.same({}, slots[1].keys)
		local log = node:read("jobs/FIVE/" .. job .. "/output.log")
		assert.truthy(log:find("2 of 2 are at work", 1, true))
	end)

	it("leave the line with their job, which is ended at once, and give others their turn", function()
		open(TWO)
		many("ONE", 3)
		many("TWO", 3)
		local one = start("ONE", "whole")
		until_status("two at work", "ONE", one, function(s) return #in_state(s, "RUNNING") == 2 and #in_state(s, "WAITING") == 1 end)
		local two = start("TWO", "whole")
		until_status("three in line", "TWO", two, function(s) return #in_state(s, "WAITING") == 3 end)
		local three = start("TWO", "out1")
		local s = until_status("one in line", "TWO", three, function(now) return #in_state(now, "WAITING") == 1 end)
		assert.are.equal(200, (node:http("POST", path("TWO", two .. "/abort"))))
		local over = ended("TWO", two)
		assert.are.same({ "ABORTED", { "all", "r1", "r2", "r3" } }, { over.baseStatus.state, in_state(over, "ABORTED") })
		assert.are.equal("RUNNING", s.baseStatus.state)
		s = until_status("its position", "TWO", three, function(now) return (now.baseStatus.activities.r1_NP or {}).position == 2 end)
		assert.truthy(s.baseStatus.activities.r1_NP.reason)
		node:http("POST", path("ONE", one .. "/abort"))
		assert.are.equal("ABORTED", ended("ONE", one).baseStatus.state)
		until_status("its turn", "TWO", three, function(now) return #in_state(now, "RUNNING") == 1 end)
		let_go("TWO", "r1")
		assert.are.equal("DONE", ended("TWO", three).baseStatus.state)
	end)

	it("stand in line again after a restart of the backend, and those at work still count", function()
		open(TWO)
		many("AGAIN", 4)
		local job = start("AGAIN", "whole")
		local s = until_status("two and two", "AGAIN", job, function(s) return #in_state(s, "RUNNING") == 2 and #in_state(s, "WAITING") == 2 end)
		local running = in_state(s, "RUNNING")
		local old = node:kill "backend"
		wait_for("another backend", function()
			local ok, pid = pcall(node.pid, node, "backend")
			return ok and pid and pid ~= old
		end, 30)
		s = until_status("two and two again", "AGAIN", job, function(now) return #in_state(now, "RUNNING") == 2 and #in_state(now, "WAITING") == 2 end)
		assert.are.same(running, in_state(s, "RUNNING"))
		local _, slots = node:http("GET", "/api/slots")
		assert.are.equal(2, slots[1].keys[1].used)
		assert.are.equal(2, recipes_alive())
		for i = 1, 4 do let_go("AGAIN", "r" .. i) end
		s = ended("AGAIN", job)
		assert.are.same({ "DONE", 5 }, { s.baseStatus.state, s.globalState.done }, json.encode(s))
	end)

	it("build a dataset one at a time: another job waits and hears who builds it", function()
		open()
		many("SAME", 1)
		local first = start("SAME", "out1")
		until_status("the first at work", "SAME", first, function(s) return #in_state(s, "RUNNING") == 1 end)
		local second = start("SAME", "out1")
		local s = until_status("the second in line", "SAME", second, function(now) return #in_state(now, "WAITING") == 1 end)
		assert.are.equal(("dataset SAME/out1 is being built by job %s, activity r1_NP"):format(first), s.baseStatus.activities.r1_NP.reason)
		local process = s.baseStatus.activities.r1_NP.processId
		wait_for("the ledger to have it", function()
			local out = node:ctl("why", process)
			return out:find("is being built by job " .. first, 1, true), out
		end)
		let_go("SAME", "r1")
		assert.are.equal("DONE", ended("SAME", first).baseStatus.state)
		assert.are.equal("DONE", ended("SAME", second).baseStatus.state)
	end)

	it("wait for the node's memory with the numbers, and are refused where they can never fit", function()
		open("", "2g")
		project("FAT", [[
project { recipes = {
  one = shell { command = "echo begun; while [ ! -e go-one ]; do sleep 0.05; done", outputs = { "a" }, limits = { memory = "900m" } },
  two = shell { command = "true", outputs = { "b" }, limits = { memory = "800m" } },
  never = shell { command = "true", outputs = { "c" }, limits = { memory = "5g" } },
} }]])
		local one = start("FAT", "a")
		until_status("one at work", "FAT", one, function(s) return #in_state(s, "RUNNING") == 1 end)
		local two = start("FAT", "b")
		local s = until_status("two in line", "FAT", two, function(now) return #in_state(now, "WAITING") == 1 end)
		local why = s.baseStatus.activities.two_NP.reason
		assert.truthy(why:find("^the node's memory is promised: .*recipes 900 MB.*; it needs 800 MB"), why)
		local _, budget = node:http("GET", "/api/node")
		assert.are.equal(900 << 20, (budget.budget or budget).recipesBytes)
		local never = ended("FAT", start("FAT", "c"))
		local message = never.baseStatus.activities.never_NP.messages.messages[1].message
		assert.are.equal("FAILED", never.baseStatus.state)
		assert.truthy(message:find('limits.memory of recipe "never" is 5.0 GB, more than the node\'s whole memory budget, 1.8 GB', 1, true), message)
		let_go("FAT", "one")
		assert.are.equal("DONE", ended("FAT", one).baseStatus.state)
		assert.are.equal("DONE", ended("FAT", two).baseStatus.state)
	end)

	it("in their kernel have a place as well, and share resources by name", function()
		open [[
slots "licences" { where = "kind = recipe", each = "resource", max = 1 }
slots "java" { where = "kind = recipe and recipe_type = java", max = 1 }
]]
		project("SCARCE", [[
project { recipes = {
  a = shell { command = "while [ ! -e go-a ]; do sleep 0.05; done", outputs = { "da" }, resources = { "licence:sas" } },
  b = java { class = "no.such.Class", outputs = { "db" }, resources = { "licence:sas" } },
  c = java { class = "no.such.Class", outputs = { "dc" } },
} }]])
		local a = start("SCARCE", "da")
		until_status("a at work", "SCARCE", a, function(s) return #in_state(s, "RUNNING") == 1 end)
		local b = start("SCARCE", "db")
		local s = until_status("b in line", "SCARCE", b, function(now) return #in_state(now, "WAITING") == 1 end)
		assert.truthy(s.baseStatus.activities.b_NP.reason:find("1 of 1 of resource licence:sas are at work", 1, true), json.encode(s))
		assert.is_nil(s.baseStatus.activities.b_NP.processId)
		local c = ended("SCARCE", start("SCARCE", "dc")) -- it runs, and fails as it should
		assert.truthy(c.baseStatus.activities.c_NP.messages.messages[1].message:find("no.such.Class", 1, true), json.encode(c))
		let_go("SCARCE", "a")
		assert.truthy(ended("SCARCE", b).baseStatus.activities.b_NP.messages.messages[1].message:find("no.such.Class", 1, true))
		local _, slots = node:http("GET", "/api/slots")
		assert.are.same({ {}, {} }, { slots[1].keys, slots[2].keys })
	end)

	it("asked for by a changed policy go on without another request", function()
		open(TWO)
		many("MORE", 4)
		local job = start("MORE", "whole")
		until_status("two and two", "MORE", job, function(s) return #in_state(s, "RUNNING") == 2 and #in_state(s, "WAITING") == 2 end)
		node:write("policies/10-pools.lua", POOLS .. TWO:gsub("max = 2", "max = 0"))
		until_status("four", "MORE", job, function(s) return #in_state(s, "RUNNING") == 4 end)
		for i = 1, 4 do let_go("MORE", "r" .. i) end
		assert.are.equal("DONE", ended("MORE", job).baseStatus.state)
	end)

	it("of webapps: the second waits, says why, and starts when the first is stopped; both count after a restart of the backend", function()
		open 'slots "pages" { where = "kind = webapp", each = "project", max = 1 }\n'
		project("PAGES", [[
project { webapps = {
  one = webapp { command = { "/bin/sh", "-c", "exec /usr/bin/python3 -m http.server --bind 127.0.0.1 $DSS_WEBAPP_PORT" }, limits = { memory = "200m" } },
  two = webapp { command = { "/bin/sh", "-c", "exec /usr/bin/python3 -m http.server --bind 127.0.0.1 $DSS_WEBAPP_PORT" } },
} }]])
		local function webapp(name, rest, method)
			local status, answer = node:http(method or "GET", ("/public/api/projects/PAGES/webapps/%s/backend/%s"):format(name, rest))
			assert.are.equal(200, status, json.encode(answer))
			return answer
		end
		local function until_state(name, state)
			local b
			wait_for(name .. " to be " .. state, function()
				b = webapp(name, "state").backend
				return b and b.state == state, b and json.encode(b)
			end, 30)
			return b
		end
		webapp("one", "actions/restart", "PUT")
		until_state("one", "running")
		local _, budget = node:http("GET", "/api/node")
		assert.are.equal(200 << 20, (budget.budget or budget).webappsBytes)
		webapp("two", "actions/restart", "PUT")
		local b
		wait_for("the reason", function()
			b = until_state("two", "starting")
			return b.reason, json.encode(b)
		end)
		assert.are.equal('Waits for a place, position 1: slots "pages" (policies/10-pools.lua:3): 1 of 1 of project PAGES are at work', b.reason)
		assert.is_nil(b.processId)
		local old = node:kill "backend"
		wait_for("another backend", function()
			local ok, pid = pcall(node.pid, node, "backend")
			return ok and pid and pid ~= old
		end, 30)
		until_state("one", "running")
		wait_for("the line again", function()
			b = until_state("two", "starting")
			return b.reason and b.reason:find("1 of 1 of project PAGES", 1, true)
		end)
		webapp("one", "actions/stop", "PUT")
		until_state("one", "stopped")
		b = until_state("two", "running")
		assert.is_nil(b.reason)
		-- one that waits is stopped at once
		webapp("one", "actions/restart", "PUT")
		wait_for("one in line", function() return (until_state("one", "starting").reason or ""):find "position 1" end)
		webapp("one", "actions/stop", "PUT")
		assert.are.equal("stopped", webapp("one", "state").backend.state)
		local _, slots = node:http("GET", "/api/slots")
		assert.are.same({ { key = "PAGES", used = 1, memoryBytes = 64 << 20 } }, slots[1].keys)
	end)
end)
