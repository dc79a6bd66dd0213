-- The first thread through it all: init, start, work in warm boxed kernels, a hog, a backend killed while a task runs.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local work = require "spec.daemon.work"

local node, tasks, lines

--- A CSV of n rows and what its summary has to say, computed here.
local function make_csv(path, n)
	local f = assert(io.open(path, "w"))
	local sum, least, most, nulls, squares = 0, math.huge, -math.huge, 0, 0
	f:write "order,amount,country,note\n"
	local x = 7
	for i = 1, n do
		x = (x * 1103515245 + 12345) % 2147483648
		local amount = (x % 100000) / 4            -- exact in binary: sums do not depend on the order
		local note = x % 10 == 0 and "" or "plain, \"quoted\""
		sum, squares = sum + amount, squares + amount * amount
		least, most = math.min(least, amount), math.max(most, amount)
		if note == "" then nulls = nulls + 1 end
		f:write(("%d,%.2f,C%d,%s\n"):format(i, amount, x % 50, note == "" and "" or '"plain, ""quoted"""'))
	end
	f:close()
	local mean = sum / n
	return { rows = n, mean = mean, least = least, most = most, nulls = nulls, stddev = math.sqrt((squares - n * mean * mean) / (n - 1)) }
end

local function column(summary, name)
	for _, c in ipairs(summary.columns) do
		if c.name == name then return c end
	end
end

local function is_near(a, b) return math.abs(a - b) <= 1e-9 * math.max(1, math.abs(a), math.abs(b)) end

describe("an instance", function()
	setup(function()
		tasks = work.tasks()
		lines = tasks .. "/lines"
		node = Instance.new { policies = { ["10-pools.lua"] = work.policy("fek", tasks, "warm = { min = 2, max = 3 }, max = 5,") } }
		node:start()
		work.full_pool(node)
	end)
	teardown(function() work.clean(node, tasks) end)

	it("summarises 100,000 rows in a warm kernel, rightly", function()
		local path = tasks .. "/sales.csv"
		local wanted = make_csv(path, 100000)
		local shipped = (Instance.environment().DSS_SHARE or Instance.program "../share/dssd") .. "/kernels/python/tasks"
		local out, complaint, code = node:ctl("submit", "python", "stats:summarise", "--path", shipped, "--arg", path, "--wait")
		assert.equal(0, code, complaint)
		local summary = assert(require("t_json").decode(out))
		assert.equal(wanted.rows, summary.rows)
		assert.equal(0, summary.raggedRows)
		local amount, order, country, note = column(summary, "amount"), column(summary, "order"), column(summary, "country"), column(summary, "note")
		assert.is_true(is_near(wanted.mean, amount.mean) and is_near(wanted.stddev, amount.stddev), out)
		assert.same({ wanted.least, wanted.most, wanted.rows }, { amount.min, amount.max, amount.count })
		assert.same({ 1, wanted.rows, (wanted.rows + 1) / 2 }, { order.min, order.max, order.mean })
		assert.same({ "text", 50, "text", 1, wanted.nulls }, { country.type, country.distinct, note.type, note.distinct, note.nulls })
		work.full_pool(node)
	end)

	it("shows what services use, too: keeper, logger and backend beside the kernels", function()
		local _, rows = node:http("GET", "/api/processes")
		local by_id = {}
		for _, row in ipairs(rows) do
			assert.is_nil(by_id[row.id], row.id)
			by_id[row.id] = row
		end
		for _, id in ipairs { "keeper", "logger", "backend" } do
			local row = assert(by_id[id], id)
			assert.equal("service", row.kind)
			assert.is_true(row.memoryBytes > 100 * 1024 and row.memoryBytes < 1024 * 1024 * 1024, id .. " uses " .. tostring(row.memoryBytes))
			assert.is_true(row.cpuSeconds >= 0 and row.pid > 1)
		end
		local kernels = 0
		for _, row in ipairs(rows) do
			if row.kind == "kernel" and not row.cause then
				kernels = kernels + 1
				assert.is_true(row.memoryBytes > 0, row.id)
				if node:status().cgroups ~= "none" then assert.is_true(row.limitBytes > row.memoryBytes, row.id) end
			end
		end
		assert.is_true(kernels > 0)
	end)

	it("runs each task in a process of the run user, in a box of its own below warm", function()
		local _, before = node:http("GET", "/api/processes")
		local known = {}
		for _, row in ipairs(before) do known[math.tointeger(row.pid)] = row end
		local code, f = work.wait_end(node, work.start(node, "who"))
		assert.equal(200, code)
		local row = known[math.tointeger(f.result.pid)]
		assert.truthy(row, "the task ran in a process that was not waiting before")
		assert.equal(f.kernel, row.id)
		assert.equal("kernel", row.kind)
		if work.is_root then assert.equal(Instance.run { "id", "-u", "dss-run" }, tostring(math.tointeger(f.result.uid))) end
		if node:status().cgroups ~= "none" then
			local box = ("/dss-%s/warm/%s"):format(node.id, f.kernel)
			assert.truthy(f.result.cgroup:find(box .. "\n", 1, true), f.result.cgroup)
		end
		work.full_pool(node)
	end)

	it("lets a hog die alone and tells its owner limit, peak and cause; the neighbour goes on", function()
		if node:status().cgroups == "none" then return pending "no cgroups here" end
		local gate = tasks .. "/gate"
		local neighbour = work.start(node, "until", { lines, "neighbour", gate })
		work.wait_state(node, neighbour, "running")
		local limit = 64 << 20
		local code, e = work.wait_end(node, work.start(node, "eat", { 4 << 30 }, { limits = { memory = "64m" }, title = "a hog" }))
		assert.equal(422, code)
		assert.equal("oom_limit", e.cause)
		assert.equal(limit, math.tointeger(e.detail.limitBytes))
		assert.is_true(e.detail.peakBytes > 0.8 * limit and e.detail.peakBytes <= limit + (4 << 20), "peak " .. tostring(e.detail.peakBytes))
		assert.truthy(e.message:find("64 MB", 1, true) and e.message:find("limits.memory", 1, true), e.message)
		assert.truthy(e.message:find("not affected", 1, true), e.message)
		assert.is_string(e.errorType)
		assert.is_string(e.detail.cgroup)
		work.wait_state(node, neighbour, "running")
		helper.write(gate, "")
		code, e = work.wait_end(node, neighbour)
		assert.same({ 200, "neighbour" }, { code, e.result and e.result.tag })
		assert.equal(1, work.count(tasks, "neighbour"))
		work.full_pool(node)
		work.wait_end_fact(node, "oom_limit")
	end)

	it("tells an overrun of a task's child as such, although the task itself could have gone on", function()
		if node:status().cgroups == "none" then return pending "no cgroups here" end
		local code, e = work.wait_end(node, work.start(node, "feed", { 600 << 20 }, { limits = { memory = "100m" } }))
		assert.same({ 422, "oom_limit", 100 << 20 }, { code, e.cause, e.detail and math.tointeger(e.detail.limitBytes) })
		work.full_pool(node)
	end)

	it("starts a kernel of its own for a task that asks for more than the warm ones have", function()
		local id = work.start(node, "mark", { lines, "large", 3 }, { limits = { memory = "900m" } })
		local kernel = work.wait_state(node, id, "running").kernel
		local limit
		for _, row in ipairs(work.kernels(node)) do limit = row.id == kernel and row.limitBytes or limit end
		assert.equal(900 << 20, math.tointeger(limit))
		assert.equal(200, (work.wait_end(node, id)))
		work.full_pool(node)
	end)

	it("brings the result of a task whose backend was killed meanwhile; who asks then waits, and is not refused", function()
		local gate = tasks .. "/gate-of-kill"
		local id = work.start(node, "until", { lines, "killed", gate })
		local kernel = work.wait_state(node, id, "running").kernel
		local kernel_pid, before = node:pid(kernel), node:kill "backend"
		-- The very next request: it meets no backend, or one that starts.
		local status, f = node:http("GET", "/public/api/futures/" .. id .. "?peek=True")
		assert.equal(200, status)
		assert.is_true(f.alive)
		assert.is_false(f.hasResult)
		assert.not_equal(before, node:pid "backend")
		assert.equal(kernel_pid, node:pid(kernel))
		helper.write(gate, "")
		local code
		code, f = work.wait_end(node, id)
		assert.same({ 200, "killed", kernel }, { code, f.result and f.result.tag, f.kernel })
		assert.equal(1, work.count(tasks, "killed"))
		work.full_pool(node)
	end)

	it("answers each of many who ask while the backend is replaced", function()
		local out = tasks .. "/codes"
		local asker = ("curl -s -o /dev/null --max-time 30 --noproxy '*' -w '%%{http_code}\\n' http://127.0.0.1:%d/health >>%s &"):format(node:port(), out)
		node:kill "backend"
		for _ = 1, 20 do os.execute(asker) end
		helper.wait_for("20 answers", function() return select(2, (helper.read(out) or ""):gsub("\n", "")) == 20, helper.read(out) end, 30)
		assert.equal(("200\n"):rep(20), helper.read(out))
	end)
end)
