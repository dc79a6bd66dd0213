-- Work under way while parts of the node are killed and replaced: each accepted task runs once and has its end told.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local json = require "t_json"
local work = require "spec.daemon.work"

-- Eight clients, each with its own client keys; whoever loses a connection asks again.
local CLIENTS = [[
import json, sys, threading, time, urllib.error, urllib.request
port, key, lines, total = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
ends, lock, todo, trouble = {}, threading.Lock(), list(range(total)), []

def ask(method, path, body=None):
    until = time.monotonic() + 60
    while True:
        request = urllib.request.Request("http://127.0.0.1:%s%s" % (port, path), method=method, data=body and json.dumps(body).encode(),
                                         headers={"Authorization": "Bearer " + key})
        try:
            with opener.open(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as e:
            text = e.read()
            if e.code != 503:
                return e.code, json.loads(text)
        except ConnectionRefusedError:
            trouble.append("refused")
            raise
        except OSError:
            pass                    # the connection broke with its backend
        except Exception:
            pass
        if time.monotonic() > until:
            raise TimeoutError(path)
        time.sleep(0.05)

def client():
    while True:
        with lock:
            if not todo:
                return
            n = todo.pop()
        tag = "chaos-%d" % n
        body = {"type": "python", "clientKey": tag, "payload": {"callable": "marks:mark", "args": [lines, tag, 0.05 + n % 5 / 20]}}
        status, answer = ask("POST", "/api/futures", body)
        if status != 200:
            trouble.append("%s: %s %s" % (tag, status, answer))
            continue
        while True:
            status, f = ask("GET", "/public/api/futures/%s?peek=False&wait=10" % answer["jobId"])
            if status != 200 or f["hasResult"]:
                break
        with lock:
            ends[tag] = {"status": status, "id": answer["jobId"], "cause": f.get("cause"), "tag": f.get("result", {}).get("tag"), "attempt": f.get("attempt")}

threads = [threading.Thread(target=client) for _ in range(8)]
for t in threads: t.start()
for t in threads: t.join()
print(json.dumps({"ends": ends, "trouble": trouble}))
]]

local TOTAL = 150
local node, tasks

describe("a node at work whose parts are killed", function()
	setup(function()
		tasks = work.tasks()
		node = Instance.new { policies = { ["10-pools.lua"] = work.policy("fek", tasks, "warm = { min = 3, max = 4 }, max = 6, recycle = { after_tasks = 3 },") } }
		node:start()
		work.full_pool(node)
	end)
	teardown(function() work.clean(node, tasks) end)

	local function count_ended(n)
		helper.wait_for(n .. " tasks", function() return select(2, helper.read(tasks .. "/lines"):gsub("\n", "")) >= n end, 60)
	end

	it("runs every accepted task once, refuses nobody, and tells each end", function()
		local script, out = tasks .. "/clients.py", tasks .. "/ends"
		helper.write(script, CLIENTS)
		assert(os.execute(("/usr/bin/python3 %s %d %s %s/lines %d >%s 2>%s.err &"):format(script, node:port(), node:read("config/admin.key"):match "%S+",
			tasks, TOTAL, out, out)))
		count_ended(10)
		node:kill "backend"
		count_ended(25)
		node:kill "logger"
		count_ended(40)
		assert.equal(0, select(2, node:dss("restart", "keeper")))
		count_ended(55)
		local victim = helper.wait_for("a busy kernel", function()
			for _, row in ipairs(work.kernels(node) or {}) do
				if row.state == "busy" and row.pid then return row end
			end
		end)
		os.execute(("kill -KILL %d"):format(math.tointeger(victim.pid)))
		count_ended(70)
		node:kill "backend"
		assert.equal(0, select(2, node:dss("restart", "keeper")))
		count_ended(100)
		assert.equal(0, select(2, node:dss("restart", "backend")))
		helper.wait_for("the clients' end", function() return (helper.read(out) or ""):find "}\n$", helper.read(out .. ".err") end, 90)
		local told = json.decode(helper.read(out))
		assert.same({}, told.trouble)
		local runs, ids, killed = {}, {}, 0
		for line in helper.read(tasks .. "/lines"):gmatch "[^\n]+" do runs[line] = (runs[line] or 0) + 1 end
		for n = 0, TOTAL - 1 do
			local tag = "chaos-" .. n
			local e = assert(told.ends[tag], tag .. " has no end")
			assert.is_nil(ids[e.id])
			ids[e.id] = true
			if e.status == 422 then
				killed = killed + 1
				assert.equal("signal", e.cause)
				assert.is_true((runs[tag] or 0) <= 1)
			else
				assert.same({ 200, tag, 1, 1 }, { e.status, e.tag, runs[tag], e.attempt })
			end
		end
		assert.is_true(killed <= 1, killed .. " tasks were killed, one kernel was")
		local _, rows = node:http("GET", "/api/tasks?ended=1000")
		assert.equal(TOTAL, #rows)
		work.full_pool(node)
	end)
end)
