-- Java tasks on real JVMs of a pool java { … }, as whatever user the specs run as: as root the kernels are of dss-run.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local json = require "t_json"
local work = require "spec.daemon.work"

local MB = 1 << 20
local POLICIES = [[
pool "jvm" {
  kernel  = java { heap = "128m" },
  limits  = { memory = "256m", swap = "0", threads = 256 },
  warm    = { min = 1, max = 1 },
  max     = 2,
  recycle = { after_tasks = 0 },
}
pool "large" {
  kernel  = java { heap = "512m" },
  limits  = { memory = "768m", swap = "0", threads = 256 },
  warm    = { min = 0, max = 1 },
  max     = 1,
}
pool "py" {
  kernel  = python {},
  limits  = { memory = "256m", swap = "0", threads = 128 },
  warm    = { min = 1, max = 1 },
  max     = 1,
}
]]

local function has_jdk() return select(2, Instance.run { "sh", "-c", "command -v javac && test -x /usr/bin/java && test -e /usr/share/java/gson.jar" }) == 0 end

local function is_there(path) return helper.read(path) ~= nil end

local node, jar
local function body_of(class, state, more)
	local body = { type = "java", payload = { class = "com.example." .. class, state = state, classpath = json.array { jar } } }
	for name, value in pairs(more or {}) do body[name] = value end
	return body
end
local function start(class, state, more)
	local status, answer = node:http("POST", "/api/futures", body_of(class, state or json.decode "{}", more))
	assert.equal(200, status, type(answer) == "table" and json.encode(answer) or answer)
	return answer.jobId
end
--- 422 and the error, or 200 and the state.
local function run(class, state, more, seconds) return work.wait_end(node, start(class, state, more), seconds or 60) end
local function in_words(message, ...)
	for _, part in ipairs { ... } do assert.truthy(message:find(part), message) end
end

describe("a pool of JVMs", function()
	if not has_jdk() then
		pending "needs a JDK and Gson (default-jdk-headless, libgoogle-gson-java)"
		return
	end

	setup(function()
		local built = Instance.program "java"
		jar = (is_there(built .. "/dss-demo.jar") and built or Instance.program "../share/dssd/kernels/java") .. "/dss-demo.jar"
		assert(is_there(jar), jar .. " was not built")
		node = Instance.new { policies = { ["10-pools.lua"] = POLICIES } }
		node:start()
		work.full_pool(node, "jvm", 60)
	end)
	teardown(function() work.clean(node) end)

	it("runs a task and gives its result", function()
		local status, f = run("Echo", { value = { a = "ü" } })
		assert.equal(200, status, json.encode(f))
		assert.same({ a = "ü" }, f.result)
	end)

	it("takes tasks from dssctl submit java", function()
		local out, complaint, code = node:ctl("submit", "java", "com.example.Echo", "--classpath", jar, "--state", '{"value":{"b":1}}', "--wait")
		assert.equal(0, code, complaint)
		assert.same({ b = 1 }, json.decode(out))
	end)

	it("tells class, stack and cause of a task's exception", function()
		local status, e = run("Fail", { message = "no export today" })
		assert.equal(422, status)
		local text = json.encode(e)
		in_words(text, "java.lang.IllegalStateException", "no export today", "com.example.Fail.run", "Fail%.java:%d+", "java.nio.file.NoSuchFileException")
	end)

	it("ends a task that is aborted, and its JVM takes the next", function()
		local id = start("Sleep", { seconds = 600 })
		work.wait_state(node, id, "running")
		assert.equal(0, select(3, node:ctl("abort", id)))
		assert.equal(3, select(3, node:ctl("wait", id)))
		assert.equal(200, (run("Echo", { value = { c = 1 } })))
	end)

	it("ends a task at its timeout", function()
		local status, e = run("Sleep", { seconds = 600 }, { timeoutMs = 300 })
		assert.equal(422, status)
		in_words(json.encode(e), "Timeout", "300 ms")
	end)

	it("tells a full heap from a full box: oom_heap, the heap, and what the box had left", function()
		local status, e = run("EatHeap")
		assert.equal(422, status)
		assert.equal("oom_heap", e.cause, json.encode(e))
		assert.equal("DSS.OutOfMemory", e.errorType)
		in_words(e.message, '^Java heap full: 128 MB %(heap of pool "jvm"%); the box had %d+ MB left%. A higher limits%.memory alone will not help%.$')
		assert.equal(256 * MB, e.detail.limitBytes)
		assert.truthy(e.detail.peakBytes > 100 * MB and e.detail.peakBytes < 256 * MB, e.detail.peakBytes)
		local fact = work.wait_end_fact(node, "oom_heap", "heap was full")
		assert.equal(3, fact.detail.code)
	end)

	it("ends as oom_limit where memory outside of the heap passes the box, and others do not notice", function()
		local beside = start("Sleep", { seconds = 600 })
		work.wait_state(node, beside, "running")
		local status, e = run("EatBox")
		assert.equal(422, status)
		assert.equal("oom_limit", e.cause, json.encode(e))
		in_words(e.message, "your task used 256 MB, the limit of pool \"jvm\"", "policies/10%-pools%.lua:1")
		work.wait_state(node, beside, "running")
		assert.equal(0, select(3, node:ctl("abort", beside)))
	end)

	it("ends a JVM that only collects garbage as oom_heap, and says so", function()
		local status, e = run("Churn", { keep = 0.997 }, { pool = "large" }, 120)
		assert.equal(422, status)
		assert.equal("oom_heap", e.cause, json.encode(e))
		in_words(e.message, "^Java heap full: 512 MB", "The JVM of large%-%d+ spent %d+ %% of its time collecting garbage for %d+ s and got nowhere%.")
	end)
end)

describe("the output of a kernel's command task", function()
	setup(function()
		node = Instance.new { policies = { ["10-pools.lua"] = POLICIES:match "(pool \"py\".*)$" } }
		node:start()
	end)
	teardown(function() work.clean(node) end)

	it("can be opened anew by its name, and lands in the log: /dev/stderr, /dev/stdout, /proc/self/fd/2", function()
		local script = "id -un; echo to-stderr > /dev/stderr && echo to-stdout > /dev/stdout && echo to-fd > /proc/self/fd/2"
		local status, answer = node:http("POST", "/api/futures", { type = "command", payload = { argv = json.array { "sh", "-c", script } } })
		assert.equal(200, status, json.encode(answer))
		local ended, f = work.wait_end(node, answer.jobId)
		assert.equal(200, ended, json.encode(f))
		local seen = function() return table.concat({ node:read "run/backend.log", (node:ctl("logs", answer.jobId)) }, "\n") end
		helper.wait_for("the lines in the log", function()
			local log = seen()
			return log:find "to%-stderr" and log:find "to%-stdout" and log:find "to%-fd", log
		end)
		assert.equal(0, f.result.code, seen())
		if work.is_root then assert.truthy(seen():find "dss%-run", seen()) end
	end)
end)
