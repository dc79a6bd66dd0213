-- Projects against real processes: made, set, removed; what their files may try; many at once.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local json = require "t_json"
local wait_for = helper.wait_for

local POOLS = [[
pool "jek" { kernel = java { main = "DSSJobKernelMain", heap = "64m" }, limits = { memory = "256m" }, warm = { min = 1, max = 1 }, max = 2 }
]]
local NONE = [[ pool "fek" { kernel = python {}, limits = { memory = "256m" }, warm = { min = 0, max = 1 } } ]]

local has_java = os.execute "command -v java >/dev/null && command -v javac >/dev/null"
local is_root = Instance.run { "id", "-u" } == "0"

describe("projects", function()
	local node

	local function open(policies)
		node = Instance.new { policies = { ["10-pools.lua"] = policies or NONE } }
		node:start()
	end

	local function folder(key) return node.dir .. "/projects/" .. key end

	local function own(path) os.execute(("chown -hR --reference=%s %s"):format(Instance.quote(node.dir .. "/projects"), Instance.quote(path))) end

	local function put(key, text)
		os.execute("mkdir -p " .. Instance.quote(folder(key)))
		if text then helper.write(folder(key) .. "/project.lua", text) end
		own(folder(key))
	end

	local function ask(method, path, body, options) return node:http(method, "/public/api/projects/" .. path, body, options) end

	local function readers()
		local n = 0
		for _, row in ipairs(select(2, node:http("GET", "/api/processes"))) do
			if row.kind == "project" and row.state ~= "ended" and row.state ~= "dead" then n = n + 1 end
		end
		return n
	end

	local function exists(path) return os.execute(("test -e %s -o -L %s"):format(Instance.quote(path), Instance.quote(path))) == true end

	after_each(function()
		if node then node:remove() node = nil end
	end)

	it("are made with a file of their own, by the user whose folder it is, and once", function()
		open()
		local status, answer = ask("POST", "", { projectKey = "NEW", name = 'A "new" one\\', owner = "ann", description = "two\nlines", tags = { "x" },
			permissions = { { user = "bob", readProjectContent = true } } })
		assert.are.equal(200, status, type(answer) == "table" and answer.message or answer)
		local _, item = ask("GET", "NEW")
		assert.are.same({ 'A "new" one\\', "ann", { "x" } }, { item.name, item.ownerLogin, item.tags })
		assert.are.same({ "two\nlines", "two" }, { item.description, item.shortDesc })
		assert.are.same({ { user = "bob", readProjectContent = true } }, (select(2, ask("GET", "NEW/permissions"))).permissions)
		local owner = Instance.run { "stat", "-c", "%U", folder "NEW" .. "/project.lua" }
		assert.are.equal(Instance.run { "stat", "-c", "%U", node.dir .. "/projects" }, owner)
		status, answer = ask("POST", "", { projectKey = "NEW", name = "again" })
		assert.are.equal(409, status)
		assert.matches("already exists", answer.message)
		assert.are.equal('A "new" one\\', (select(2, ask("GET", "NEW"))).name)
		for _, key in ipairs { "new", "A/B", "..", "", ("K"):rep(37) } do assert.are.equal(400, (ask("POST", "", { projectKey = key, name = "x" })), key) end
		local _, k = node:http("POST", "/api/keys", { user = "ann" })
		assert.are.equal(403, (ask("POST", "", { projectKey = "MINE", name = "x" }, { key = k.key })))
	end)

	it("are removed with their data only where that was said, and nothing beyond a link is touched", function()
		open()
		local outside = Instance.folder()
		helper.write(outside .. "/precious", "x")
		os.execute("chmod 777 " .. outside .. "; chmod 666 " .. outside .. "/precious")
		for _, case in ipairs { { "KEEP", "" }, { "ALL", "?clearManagedDatasets=True&clearJobAndScenarioLogs=True&wait=True" } } do
			local key, query = case[1], case[2]
			put(key, "project { name = 'x' }")
			os.execute(("mkdir -p %s/data/d/deep; echo 1 > %s/data/d/deep/rows; ln -s %s %s/link; ln -s %s/precious %s/data/d/l"):format(folder(key), folder(key), outside,
				folder(key), outside, folder(key)))
			own(folder(key))
			assert.are.equal(200, (ask("PUT", key .. "/variables", { standard = { a = 1 }, ["local"] = {} })))
			local status, answer = ask("DELETE", key .. query)
			assert.are.equal(200, status, answer.message)
			assert.is_true(answer.hasResult)
			assert.are.equal(404, (ask("GET", key)))
		end
		assert.is_true(exists(folder "KEEP" .. "/data/d/deep/rows"))
		assert.is_false(exists(folder "KEEP" .. "/project.lua"))
		assert.is_false(exists(folder "ALL"))
		assert.are.equal("x", helper.read(outside .. "/precious"))
		assert.are.equal(200, (ask("POST", "", { projectKey = "KEEP", name = "back" })))
		assert.are.same({ standard = {}, ["local"] = {} }, (select(2, ask("GET", "KEEP/variables"))))
		assert.is_true(exists(folder "KEEP" .. "/data/d/deep/rows"))
		assert.are.equal("", Instance.run { "sh", "-c", "ls -A " .. Instance.quote(node.dir .. "/projects") .. " | grep trash || true" })
		Instance.remove_folder(outside)
	end)

	it("that hold what the run user cannot remove are refused whole, with the path, and removed once it is mended", function()
		if not is_root then return pending "another's folder: not root" end
		open()
		put("MIXED", "project { name = 'mixed' }")
		os.execute(("mkdir -p %s/data/d %s/lib/deep; echo 1 > %s/data/d/rows; echo 1 > %s/lib/deep/x"):format(folder "MIXED", folder "MIXED", folder "MIXED", folder "MIXED"))
		own(folder "MIXED")
		os.execute(("chown -R root:root %s/lib/deep; chmod 755 %s/lib/deep"):format(folder "MIXED", folder "MIXED"))
		assert.are.equal(200, (ask("PUT", "MIXED/variables", { standard = { a = 1 }, ["local"] = {} })))
		for _, query in ipairs { "", "?clearManagedDatasets=true" } do
			local status, answer = ask("DELETE", "MIXED" .. query)
			assert.are.equal(409, status)
			assert.truthy(answer.message:find("projects/MIXED/lib/deep/x: Permission denied", 1, true), answer.message)
			assert.truthy(answer.message:find("belongs to root", 1, true), answer.message)
			assert.are.equal(200, (ask("GET", "MIXED")))
			assert.is_true(exists(folder "MIXED" .. "/data/d/rows"))
		end
		own(folder "MIXED")
		local status, answer = ask("DELETE", "MIXED?clearManagedDatasets=true")
		assert.are.equal(200, status, answer.message)
		assert.are.equal("", Instance.run { "sh", "-c", "ls -A " .. Instance.quote(node.dir .. "/projects") .. " | grep MIXED || true" })
		assert.are.equal(200, (ask("POST", "", { projectKey = "MIXED", name = "new" })))
		assert.are.same({ standard = {}, ["local"] = {} }, (select(2, ask("GET", "MIXED/variables"))))
	end)

	it("that are links are none: not read, not listed, not removed", function()
		open()
		local outside = Instance.folder()
		os.execute("chmod 755 " .. outside)
		helper.write(outside .. "/project.lua", "project { name = 'outside' }")
		os.execute(("ln -s %s %s"):format(outside, folder "LINK"))
		put "FILELINK"
		os.execute(("ln -s %s/config/admin.key %s/project.lua"):format(node.dir, folder "FILELINK"))
		own(folder "FILELINK")
		for _, key in ipairs { "LINK", "FILELINK" } do
			local status, answer = ask("GET", key)
			assert.is_true(status == 404 or status == 503 or status == 400, status)
			assert.is_nil(json.encode(answer):find(helper.read(node.dir .. "/config/admin.key"):match "%S+", 1, true))
		end
		local status = ask("DELETE", "LINK?wait=true&clearManagedDatasets=true")
		assert.is_true(status == 404 or status == 409, status)
		assert.is_true(exists(outside .. "/project.lua"))
		Instance.remove_folder(outside)
	end)

	it("whose file is no file, too long, printed, torn or full of nothing are told as mistakes, and others go on", function()
		open()
		put "FIFO"
		os.execute("mkfifo " .. folder "FIFO" .. "/project.lua")
		put "DIR"
		os.execute("mkdir " .. folder "DIR" .. "/project.lua")
		put "HUGE"
		os.execute("truncate -s 1G " .. folder "HUGE" .. "/project.lua")
		for _, key in ipairs { "FIFO", "DIR", "HUGE" } do own(folder(key)) end
		put("NUL", "project { name = 'a\0b' }")
		put("PRINT", "print('{}') io.write('x') project { }")
		put("BOMB", "local t = {} for i = 1, 40 do t = { t, t } end project { variables = { a = t } }")
		put("MANY", "local r = {} for i = 1, 20000 do r['r' .. i] = shell { command = 'true', outputs = { 'o' .. i } } end project { recipes = r }")
		put("EMPTY", "")
		put("GOOD", "project { name = 'good' }")
		for key, text in pairs { FIFO = "no plain file", DIR = "no plain file", HUGE = "longer than 256 KB", PRINT = "print", BOMB = "nested deeper", MANY = "more than 50000 values|KB of JSON|texts of more than",
			EMPTY = "it says nothing" } do
			local status, answer = ask("GET", key)
			assert.are.equal(400, status, key .. json.encode(answer))
			assert.truthy(answer.message:find("projects/" .. key .. "/project.lua:", 1, true), answer.message)
			local found = false
			for one in text:gmatch "[^|]+" do found = found or answer.message:find(one, 1, true) ~= nil end
			assert.is_true(found, key .. ": " .. answer.message)
		end
		local status = ask("GET", "NUL")
		assert.is_true(status == 400 or status == 200, status)
		assert.are.equal(200, (ask("GET", "GOOD")))
		wait_for("readers to be gone", function() return readers() == 0 end)
	end)

	it("by the hundred are listed by a few readers at once, and not read again while they stay as they are", function()
		open()
		for i = 1, 120 do
			local key = ("P%03d"):format(i)
			os.execute("mkdir -p " .. folder(key))
			helper.write(folder(key) .. "/project.lua", ("project { name = 'p%d' }"):format(i))
		end
		own(node.dir .. "/projects")
		local done = os.tmpname()
		os.remove(done)
		local key = helper.read(node.dir .. "/config/admin.key"):match "%S+"
		os.execute(("(curl -s -H 'Authorization: Bearer %s' http://127.0.0.1:%d/public/api/projects/ > %s.part; mv %s.part %s) &"):format(key, node:port(), done, done, done))
		local most = 0
		wait_for("the list", function()
			most = math.max(most, readers())
			return helper.read(done)
		end, 60)
		assert.is_true(most <= 4, most .. " readers at once")
		assert.are.equal(120, #json.decode(helper.read(done)))
		os.remove(done)
		local before = select(2, node:http("GET", "/api/usage?by=kind"))
		assert.are.equal(120, #select(2, ask("GET", "")))
		local function count(rows) for _, r in ipairs(rows) do if r.key == "project" then return r.processes end end end
		assert.are.equal(count(before), count(select(2, node:http("GET", "/api/usage?by=kind"))))
	end)

	it("stand where a script is missing, and only what needs it is refused, until it comes", function()
		open()
		put("PART", [[project { recipes = { a = shell { command = "true", outputs = { "x" } }, b = shell { script = "late.sh", outputs = { "y" } } },
  webapps = { page = webapp { flask = "late.py" }, other = webapp { command = { "/bin/sleep", "1000" } } },
  models = { m = model { input = "x", script = "train.py" } } }]])
		assert.are.equal(200, (ask("GET", "PART")))
		local function refused(method, path, body)
			local status, answer = ask(method, "PART/" .. path, body)
			assert.are.equal(400, status, json.encode(answer))
			return answer.message
		end
		assert.are.equal("projects/PART/project.lua:1: recipes.b: script: late.sh: there is no such file",
			refused("POST", "jobs/", { type = "RECURSIVE_BUILD", outputs = { { id = "y" } } }))
		assert.are.equal("projects/PART/project.lua:2: webapps.page: flask: late.py: there is no such file", refused("PUT", "webapps/page/backend/actions/restart"))
		assert.are.equal("projects/PART/project.lua:3: models.m: script: train.py: there is no such file", refused("POST", "models/lab/m/m/train", {}))
		local status, answer = ask("POST", "PART/jobs/", { type = "RECURSIVE_BUILD", outputs = { { id = "x" } } })
		assert.is_nil((answer.message or ""):find("late", 1, true), json.encode(answer))
		assert.is_true(status == 200 or (answer.message or ""):find "pool" ~= nil, json.encode(answer))
		assert.are.equal(200, (ask("PUT", "PART/webapps/other/backend/actions/restart")))
		local out, said, code = node:ctl("project", "check", "PART")
		assert.are.equal(1, code)
		for _, line in ipairs { "1: recipes.b", "2: webapps.page", "3: models.m" } do assert.truthy((out .. said):find("project.lua:" .. line, 1, true), out .. said) end
		helper.write(folder "PART" .. "/late.py", "x")
		own(folder "PART")
		wait_for("the webapp's file to be seen", function() return ask("PUT", "PART/webapps/page/backend/actions/restart") == 200 end)
	end)

	it("show their recipes the variables that were set, and end what runs before they are removed", function()
		if not has_java then return pending "there is no JDK" end
		open(POOLS)
		put("VARS", [[project { variables = { year = 2025, region = "north" }, recipes = {
			show = shell { command = 'printf %s "$DKU_CUSTOM_VARIABLES" > data/seen/v', outputs = { "seen" } },
			stay = shell { command = 'sleep 300', outputs = { "never" } } } }]])
		assert.are.equal(200, (node:http("PUT", "/public/api/admin/variables/", { year = 1, site = "here" })))
		assert.are.equal(200, (ask("PUT", "VARS/variables/", { standard = { year = 2026, region = "north" }, ["local"] = { me = { 1 } } })))
		assert.are.same({ year = 2026, region = "north", site = "here", me = { 1 } }, (select(2, ask("GET", "VARS/variables-resolved?typed=true"))))
		assert.are.same({ year = "2026", region = "north", site = "here", me = "[1]" }, (select(2, ask("GET", "VARS/variables-resolved"))))
		local said, trouble, code = node:ctl("job", "run", "VARS", "seen")
		assert.are.equal(0, code, said .. trouble)
		assert.are.same({ year = "2026", region = "north", site = "here", me = "[1]" }, json.decode(helper.read(folder "VARS" .. "/data/seen/v")))
		local _, job = ask("POST", "VARS/jobs/", { type = "RECURSIVE_BUILD", outputs = { { id = "never" } } })
		wait_for("the recipe", function()
			for _, row in ipairs(select(2, node:http("GET", "/api/processes"))) do if row.kind == "recipe" then return true end end
		end, 40)
		local status, answer = ask("DELETE", "VARS")
		assert.are.equal(409, status)
		assert.truthy(answer.message:find(job.id, 1, true), answer.message)
		status, answer = ask("DELETE", "VARS?wait=True&clearManagedDatasets=True")
		assert.are.equal(200, status, answer.message)
		assert.is_false(exists(folder "VARS"))
		wait_for("the recipe to be gone", function()
			for _, row in ipairs(select(2, node:http("GET", "/api/processes"))) do if row.kind == "recipe" and row.state ~= "ended" and row.state ~= "dead" then return false end end
			return true
		end)
	end)

	it("are made, listed, checked, shown and removed from the command line", function()
		open()
		local _, said, code = node:ctl("project", "create", "CLI", "--name", "From here", "--owner", "ann")
		assert.are.equal(0, code, said)
		helper.write(folder "CLI" .. "/project.lua", [[project { name = "From here", owner = "ann",
  recipes = { clean = shell { command = "true", inputs = { "raw" }, outputs = { "tidy" } }, count = shell { command = "true", inputs = { "tidy" }, outputs = { "counts" } } } }]])
		local out
		out, said, code = node:ctl("project", "list")
		assert.are.equal(0, code, said)
		assert.matches("CLI +From here +ann", out)
		_, said, code = node:ctl("project", "check", "CLI")
		assert.are.equal(0, code, said)
		out, said, code = node:ctl("project", "show", "CLI")
		assert.are.equal(0, code, said)
		for _, name in ipairs { "raw", "clean", "tidy", "count", "counts" } do assert.truthy(out:find(name, 1, true), out) end
		helper.write(folder "CLI" .. "/project.lua", "project {\n  naem = 'x' }")
		out, said, code = node:ctl("project", "check", "CLI")
		assert.are.equal(1, code)
		assert.truthy((out .. said):find('projects/CLI/project.lua:2: unknown key "naem", did you mean "name"?', 1, true), out .. said)
		-- a script that comes later mends it, project.lua being the same
		helper.write(folder "CLI" .. "/project.lua", 'project { name = "From here", owner = "ann", recipes = { a = shell { script = "late.sh", outputs = { "b" } } } }')
		out, said, code = node:ctl("project", "check", "CLI")
		assert.are.equal(1, code)
		assert.truthy((out .. said):find("late.sh: there is no such file", 1, true), out .. said)
		assert.are.equal(200, (ask("GET", "CLI")))
		-- two mistakes are two lines
		local late = helper.read(folder "CLI" .. "/project.lua")
		helper.write(folder "CLI" .. "/project.lua", "project {\n  naem = 'x',\n  tgas = { 'y' } }")
		out, said, code = node:ctl("project", "check", "CLI")
		assert.are.equal(1, code)
		assert.matches("project.lua:2: unknown key \"naem\"[^\n]*\n[^\n]*project.lua:3: unknown key \"tgas\"", out .. said)
		helper.write(folder "CLI" .. "/project.lua", late)
		helper.write(folder "CLI" .. "/late.sh", "true\n")
		wait_for("the script to be seen", function() return select(3, node:ctl("project", "check", "CLI")) == 0 end)
		assert.are.equal(4, select(3, node:ctl("project", "check", "NOPE")))
		assert.are.equal(1, select(3, node:ctl("project", "create", "CLI")))
		_, said, code = node:ctl("project", "delete", "CLI", "--data")
		assert.are.equal(0, code, said)
		assert.is_false(exists(folder "CLI"))
		assert.are.equal(4, select(3, node:ctl("project", "delete", "CLI")))
		assert.are.equal(2, select(3, node:ctl("project", "crate", "X")))
	end)

	it("keep an owner's tree of processes to what is theirs, and draw it in plain letters where the locale knows no others", function()
		open()
		local _, k = node:http("POST", "/api/keys", { user = "ann" })
		local all = Instance.run({ "env", "LC_ALL=C", node.dir .. "/bin/dssctl", "ps", "--tree" }, Instance.environment())
		assert.matches("\n|%- logger +service", all)
		local fancy = Instance.run({ "env", "LC_ALL=C.UTF-8", node.dir .. "/bin/dssctl", "ps", "--tree" }, Instance.environment())
		assert.matches("\n├─ logger +service", fancy)
		assert.is_nil(all:find("\27", 1, true))
		local own_view = Instance.run({ "env", "DSS_KEY=" .. k.key, node.dir .. "/bin/dssctl", "ps", "--tree" }, Instance.environment())
		assert.is_nil(own_view:find("fek-", 1, true), own_view)
	end)

	it("that are more than lists show are told to the log, once", function()
		node = Instance.new { policies = { ["10-pools.lua"] = NONE } }
		os.execute(("cd %s && for i in $(seq 1001); do mkdir P$i && : >P$i/project.lua; done"):format(Instance.quote(node.dir .. "/projects")))
		own(node.dir .. "/projects")
		node:start()
		local words = "projects/ holds more than 1000 projects: lists show 1000 of them"
		for _ = 1, 2 do
			local status, list = ask("GET", "")
			assert.are.same({ 200, 1000 }, { status, #list })
		end
		wait_for("the log", function() return (node:read "run/backend.log" or ""):find(words, 1, true) end, 10)
		assert.are.equal(1, select(2, node:read "run/backend.log":gsub(words:gsub("%p", "%%%0"), "")))
	end)

	if not is_root then pending "the run user's folder: not root" end
end)
