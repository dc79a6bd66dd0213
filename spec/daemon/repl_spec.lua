-- `dssctl repl` against a real instance: a prompt that sees all, changes what it is allowed to, and cannot hold up the node.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local json = require "t_json"
local work = require "spec.daemon.work"

describe("dssctl repl", function()
	local node, tasks

	--- Lines on standard input; output and complaints, each alone, and the exit status.
	local function type_in(...)
		local path = tasks .. "/typed"
		helper.write(path, table.concat({ ... }, "\n") .. "\n")
		return Instance.run_apart({ "sh", "-c", 'exec "$0" repl <"$1"', node.dir .. "/bin/dssctl", path }, Instance.environment())
	end
	local function one(line) return node:ctl("repl", "-e", line) end
	local function fresh(name) return work.full_pool(node, name) end

	setup(function()
		tasks = work.tasks()
		node = Instance.new { policies = { ["10-pools.lua"] = work.policy("fek", tasks, "warm = { min = 2, max = 3 }, max = 4,") } }
		node:start()
		fresh()
	end)
	teardown(function() work.clean(node, tasks) end)

	it("prints what an expression is, lists as tables with units, and finds by filters", function()
		assert.equal("42", (one "6 * 7"))
		local out = one "pools()"
		assert.truthy(out:find "NAME +KIND .* LIMIT\nfek +python .* 512 MB$", out)
		out = one 'kernels "idle > 0s and pool = fek"'
		assert.equal(2, select(2, out:gsub("\nfek%-%d+ +fek +idle", "")), out)
		assert.equal("no kernels", (one 'kernels "pool = other"'))
		assert.equal("4", (one 'pool("fek").max'))
	end)

	it("waits for what the store and the keeper have to tell", function()
		local id = work.start(node, "echo", { 1 })
		work.wait_end(node, id)
		local out = type_in("n = 0 for _, t in ipairs(tasks 'state = done') do n = n + 1 end", "n", ('task(%q).state'):format(id), "#processes 'kind = service' >= 3",
			"decisions { limit = 1 }")
		assert.truthy(out:find '^1\n"done"\ntrue\n', out)
	end)

	it("says what is wrong with the nearest that is right, and ends with 1", function()
		for line, text in pairs {
			["pols()"] = 'unknown word "pols", did you mean "pools"?', ['pool "fke"'] = 'there is no pool "fke", did you mean "fek"?',
			['pool("fek").mxa'] = 'did you mean "max"?', ['kernels "memroy > 1g"'] = 'did you mean "memory"?',
			[":wirte"] = 'did you mean ":write"?', ["for"] = "breaks off", ["1 +* 2"] = "unexpected symbol", ["io.open 'x'"] = "io is not available here",
			["os"] = "os is not available", ["load 'x'"] = "load is not available", ["debug"] = "debug is not available",
		} do
			local out, complaints, status = one(line)
			assert.equal("", out, line)
			assert.equal(1, status, line)
			assert.truthy(complaints:find(text, 1, true), line .. ": " .. complaints)
		end
	end)

	it("goes on over several lines while a chunk is not complete; an error ends the exit status only", function()
		local out, complaints, status = type_in("for i = 1, 2 do", "print(i)", "end", "nonsense(", ")", "x = 3", "x")
		assert.equal("1\n2\n3", out)
		assert.truthy(complaints:find('unknown word "nonsense"', 1, true), complaints)
		assert.equal(1, status)
	end)

	it("stops an endless loop, hidden in pcall too, and the node answers at once after", function()
		local pid = node:status().by.backend.pid
		for _, line in ipairs { "while true do end", "while true do pcall(function() while true do end end) end", 'kernels():x(("x"):rep(1e9):find(("x*"):rep(50) .. "y"))',
			"while true do pools() end", "while true do tasks() end" } do
			local _, complaints, status = one(line)
			assert.equal(1, status, line)
			assert.truthy(#complaints > 0, line)
			assert.equal("2", (one "1 + 1"))
		end
		assert.equal(pid, node:status().by.backend.pid)
		assert.equal(200, (node:http("GET", "/api/pools")))
	end)

	it("bounds memory and output", function()
		local _, complaints, status = one "local t = {} while true do t[#t + 1] = {} end"
		assert.equal(1, status)
		-- on a busy machine its time is over first
		assert.truthy(complaints:find("used up its memory of 64 MB", 1, true) or complaints:find("a line may compute for 200 ms", 1, true), complaints)
		local out = one 'print(("x"):rep(900000))'
		assert.truthy(#out <= 256 * 1024 and out:find("cut: a line may print 256 KB", 1, true), #out)
		assert.equal("2", (one "1 + 1"))
	end)

	it("keeps what a session sets to itself, and escapes what others wrote", function()
		local out, complaints = type_in("secret = 1", "secret", "print 'a\\27[31mb'")
		assert.equal("1\na\\x1b[31mb", out, complaints)
		assert.equal(1, select(3, one "secret"))
	end)

	it("changes nothing before :write, and says so", function()
		for _, line in ipairs { 'pool "fek":set { max = 2 }', 'kernels()[1]:stop "no"', 'kernels()[1]:retire "no"', "reload()", 'task "x":abort "no"' } do
			local _, complaints, status = one(line)
			assert.equal(1, status)
			assert.truthy(complaints:find("read-only: type :write first", 1, true) or complaints:find("there is no task", 1, true), line .. ": " .. complaints)
		end
		assert.equal(4, work.pool(node, "fek").max)
		assert.equal(0, #work.facts(node, "console.changed"))
	end)

	it("changes a pool after :write: in force at once, logged with who, told as a fact; :delta is a policy", function()
		local out, complaints, status = type_in(":write", 'pool "fek":set { max = 0 }', 'pool "fek":set { max = 6, warm = { min = 1 } }')
		assert.equal(1, status)
		assert.truthy(complaints:find("max: 0 is not between 1 and 100000", 1, true), complaints)
		assert.truthy(out:find("holds until policies are loaded", 1, true), out)
		local p = work.pool(node, "fek")
		assert.same({ 6, 1 }, { p.max, p.warm.min })
		assert.truthy(node:read "run/backend.log":find('console: [%w]+ %(uid %d+[^)]*%): set pool fek: {"max":4,"warm.min":2} %-> {"max":6,"warm.min":1}'))
		local fact = helper.wait_for("the fact of the change", function() return work.facts(node, "console.changed")[1] end)
		assert.equal("pool fek", fact.subject)
		assert.truthy(fact.detail.by:find "^admin %(uid %d+")
		assert.same({ max = 4, ["warm.min"] = 2 }, fact.detail.before)
		assert.same({ max = 6, ["warm.min"] = 1 }, fact.detail.after)

		local delta = one ":delta"
		assert.truthy(delta:find('max was 4, warm.min was 2; by admin', 1, true) and delta:find("warm = { min = 1, max = 3 }, max = 6,", 1, true), delta)
		node:write("policies/10-pools.lua", delta .. "\n")
		out, complaints, status = node:ctl("policy", "check")
		assert.equal(0, status, out .. complaints)
		helper.wait_for("the file to be in force", function()
			local text = one ":delta"
			return text:find("not in force any more", 1, true), text
		end)
		p = work.pool(node, "fek")
		assert.same({ 6, 1 }, { p.max, p.warm.min })
	end)

	it("stops kernels and tasks with who and why", function()
		local id = work.start(node, "mark", { tasks .. "/lines", "held", 60 })
		work.wait_state(node, id, "running")
		local _, complaints, status = type_in(":write", ('task(%q):abort "made by mistake"'):format(id))
		assert.equal(0, status, complaints)
		local code, f = work.wait_end(node, id)
		assert.equal(422, code)
		assert.truthy(json.encode(f):find("made by mistake", 1, true), json.encode(f))
	end)

	it("speaks over the socket with admins alone", function()
		local status, answer = node:http("POST", "/api/console", { line = "1" })
		assert.equal(403, status)
		assert.truthy(answer.message:find("dssctl repl", 1, true))
		if not work.is_root then return end
		local out = Instance.run { "/usr/bin/setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}",
			"--unix-socket", node.dir .. "/run/admin.sock", "http://x/api/console", "-d", '{"line":"1"}' }
		assert.truthy(out == "403" or out == "000", out) -- refused by us, or by the folder
	end)

	it("completes words, ids and facts", function()
		local session
		local function ask(path, body)
			body.session = session
			local out = Instance.run { "curl", "-s", "--unix-socket", node.dir .. "/run/admin.sock", "http://x/api/console" .. path, "-d", json.encode(body) }
			return assert(json.decode(out)), out
		end
		local function words(line)
			local a, out = ask("/complete", { line = line, cursor = #line })
			return table.concat(a.words or { out }, " ")
		end
		session = ask("", { line = "1" }).session
		assert.equal("policies pool pools", words "po")
		assert.equal("fek", words 'pool "f')
		assert.equal("id idle", words 'kernels "pool = fek and id')
		assert.equal("facts set", words 'pool "fek":')
		assert.equal("write", words ":w")
		assert.equal(json.null, ask("", { line = ":quit" }).session)
	end)

	it("has eight sessions at most, and says so", function()
		for i = 1, 8 do
			local out = Instance.run { "curl", "-s", "--unix-socket", node.dir .. "/run/admin.sock", "http://x/api/console", "-d", '{"line":"x = 1"}' }
			assert.is_string(json.decode(out).session, i .. out)
		end
		local _, complaints, status = one "1"
		assert.equal(1, status)
		assert.truthy(complaints:find("8 sessions are open", 1, true), complaints)
		assert.equal(200, (node:http("GET", "/api/pools")))
	end)

	it("has help from one line above each word", function()
		local code = helper.read "lua/dss/console/words.lua"
		for above, name in code:gmatch "([^\n]*)\nfunction words%.([%a_]+)" do
			assert.truthy(above:find "^%-%-%- [^:]+: .+", name .. " has no help")
		end
	end)
end)
