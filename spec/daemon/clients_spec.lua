-- The client libraries against a real instance: what a user's own program does, in Python and in Java.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local work = require "spec.daemon.work"

local POLICIES = [[
pool "py" { kernel = python {}, limits = { memory = "256m", threads = 128 }, warm = { min = 2, max = 2 }, max = 4 }
pool "jvm" { kernel = java { heap = "64m" }, limits = { memory = "256m", threads = 256 }, warm = { min = 1, max = 1 }, max = 2, recycle = { after_tasks = 0 } }
]]
local PYTHON_ONLY = POLICIES:match "[^\n]+\n"

local PROGRAM = [[
import sys
sys.path.insert(0, sys.argv[1])
import dss, sums

def told(future):
    try:
        return repr(future.result(60))
    except BaseException as e:
        return "%s %s" % (type(e).__name__, (str(e) + "\n").splitlines()[0])

print(dss.submit(sums.double, 21).result(60))
with dss.DssExecutor() as node:
    print(list(node.map(sums.double, range(6))))
    print(told(node.submit(sums.fail)))
    slow = node.submit(sums.wait_for, sys.argv[2])
    print(slow.cancel(), told(slow))
with dss.DssExecutor(limits={"memory": "64m"}) as node:
    print(told(node.submit(sums.hog)))
]]
local SUMS = [[
import os, time
def double(x): return 2 * x
def fail(): raise ValueError("no such luck")
def wait_for(path):
    while not os.path.exists(path): time.sleep(0.05)
def hog():
    held = bytearray()
    while True: held.extend(bytes(1 << 20))
]]

local has_jdk = os.execute "command -v javac >/dev/null && test -e /usr/share/java/gson.jar" == true

describe("a user's program", function()
	local node, dir
	setup(function()
		node = Instance.new { policies = { ["10-pools.lua"] = has_jdk and POLICIES or PYTHON_ONLY } }
		node:start()
		work.full_pool(node, "py")
		dir = node.root .. "/program"
		assert(os.execute(("mkdir %s && chmod 755 %s"):format(dir, dir)))
	end)
	teardown(function() work.clean(node) end)

	it("in Python submits its functions, gets results, errors, and the reason of a death by memory", function()
		helper.write(dir .. "/main.py", PROGRAM)
		helper.write(dir .. "/sums.py", SUMS)
		local out, complaint, code = Instance.run_apart({ "/usr/bin/python3", dir .. "/main.py", "kernels/python/client", dir .. "/never" }, { DSS_HOME = node.dir })
		assert.equal(0, code, complaint)
		local lines = {}
		for line in out:gmatch "[^\n]+" do lines[#lines + 1] = line end
		assert.same({ "42", "[0, 2, 4, 6, 8, 10]", "TaskFailed ValueError: no such luck", "True CancelledError " }, { table.unpack(lines, 1, 4) })
		assert.truthy(lines[5]:find("TaskFailed DSS.OutOfMemory: Killed: your task used 64 MB", 1, true), out)
	end)

	it("in Java submits objects and gets them back typed", function()
		if not has_jdk then return pending "needs a JDK and Gson (default-jdk-headless, libgoogle-gson-java)" end
		work.full_pool(node, "jvm", 60)
		local jars = ("%s/java/dss-client.jar:%s/java/dss-demo.jar:/usr/share/java/gson.jar"):format(helper.build, helper.build)
		local said, code = Instance.run { "javac", "-encoding", "UTF-8", "-cp", jars, "-d", dir, "spec/kernels/java_work/sample/Submit.java" }
		assert.equal(0, code, said)
		local key = node:read("config/admin.key"):match "%S+"
		local env = { DSS_URL = "http://127.0.0.1:" .. node:port(), DSS_KEY = key }
		local out, complaint, status = Instance.run_apart({ "java", "-cp", jars .. ":" .. dir, "sample.Submit", "many" }, env)
		assert.equal(0, status, complaint)
		assert.truthy(out:find("1275", 1, true), out) -- (0 + 1) + … + (49 + 1)
		assert.falsy(out:find(key, 1, true))
	end)
end)
