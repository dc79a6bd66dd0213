-- work: what the daemon's specs share: tasks of their own, their ends, the pool's state, the store's facts.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local json = require "t_json"

local M = {}

M.is_root = Instance.run { "id", "-u" } == "0"

--- Tasks that leave a line for each time they run: "once" is counted by that.
local MODULE = [[
import os
import subprocess
import time
import dss

def mark(path, tag, seconds=0):
    with open(path, "a") as f:
        f.write(tag + "\n")
    time.sleep(seconds)
    return {"tag": tag}

def until(path, tag, gate):
    with open(path, "a") as f:
        f.write(tag + "\n")
    while not os.path.exists(gate):
        time.sleep(0.02)
    return {"tag": tag}

def end(path, tag):
    with open(path, "a") as f:
        f.write(tag + "\n")
    os._exit(9)

def who():
    with open("/proc/self/cgroup") as f:
        return {"pid": os.getpid(), "uid": os.getuid(), "cgroup": f.read()}

def eat(bytes_total, seconds=0):
    held = []
    for _ in range(bytes_total // 4194304):
        block = bytearray(4194304)
        block[::4096] = b"\1" * 1024
        held.append(block)
    time.sleep(seconds)
    return len(held)

def feed(bytes_total):
    # a child eats; whatever becomes of it, this task goes on
    code = "held = bytearray(%d); held[::4096] = b'1' * len(held[::4096])" % bytes_total
    return subprocess.run(["/usr/bin/python3", "-c", code]).returncode

def echo(x=None):
    return x

def refuse(text):
    raise ValueError(text)

def big(n):
    return "x" * n

def nonsense():
    return float("nan")

def fork(seconds):
    return subprocess.Popen(["/bin/sleep", str(seconds)], start_new_session=True).pid
]]

--- A policy of one pool of Python kernels; more: further text inside the pool.
function M.policy(name, tasks, more)
	return ([[pool %q {
  kernel = python { path = { %q } },
  limits = { memory = "512m", memory_max = "1g", swap = "0", threads = 128 },
  %s
}
]]):format(name, tasks, more or "warm = { min = 1, max = 2 }, max = 4,")
end

--- A folder with the module "marks" and the file `lines` that every user may write.
function M.tasks()
	local dir = Instance.folder()
	helper.write(dir .. "/marks.py", MODULE)
	helper.write(dir .. "/lines", "")
	assert(os.execute(("chmod 1777 %s && chmod 666 %s/lines"):format(dir, dir)))
	return dir
end

function M.count(tasks, tag)
	local n = 0
	for line in helper.read(tasks .. "/lines"):gmatch "[^\n]+" do
		if line == tag then n = n + 1 end
	end
	return n
end

--- POST /api/futures; status, answer.
function M.submit(node, callable, args, more)
	local body = { type = "python", payload = { callable = callable:find ":" and callable or "marks:" .. callable, args = json.array(args or {}) } }
	for k, v in pairs(more or {}) do body[k] = v end
	return node:http("POST", "/api/futures", body)
end

--- The id of a task that was accepted.
function M.start(node, ...)
	local status, answer = M.submit(node, ...)
	if status ~= 200 then error(("submit: status %d, %s"):format(status, type(answer) == "table" and json.encode(answer) or answer), 2) end
	return answer.jobId
end

--- Waits for the end as a client of the public API does. 200 and the state with the result, or 422 and the error.
function M.wait_end(node, id, seconds)
	return helper.wait_for("the end of " .. id, function()
		local status, f = node:http("GET", "/public/api/futures/" .. id .. "?peek=False&wait=5")
		if status == 422 then return status, f end
		return status == 200 and f.hasResult and status, status == 200 and f or status
	end, seconds or 30)
end

function M.wait_state(node, id, state)
	return helper.wait_for(id .. " to be " .. state, function()
		local status, f = node:http("GET", "/public/api/futures/" .. id .. "?peek=True")
		return status == 200 and f.state == state and f, type(f) == "table" and f.state
	end, 20)
end

--- Rows of kernels that live, as the keeper tells them.
function M.kernels(node)
	local status, rows = node:http("GET", "/api/processes")
	local out = {}
	if status ~= 200 then return nil, status end
	for _, row in ipairs(rows) do
		if row.kind == "kernel" then out[#out + 1] = row end
	end
	return out
end

function M.pool(node, name)
	local status, pools = node:http("GET", "/api/pools")
	for _, p in ipairs(status == 200 and pools or {}) do
		if not name or p.name == name then return p end
	end
end

--- Waits until the pool has its warm kernels, nothing runs, and no process is there that it does not know. The pool's row.
function M.full_pool(node, name, seconds)
	return helper.wait_for("a full pool " .. (name or ""), function()
		local p, rows = M.pool(node, name), M.kernels(node)
		if not p or not rows then return nil, "no answer" end
		local alive = 0
		for _, row in ipairs(rows) do
			if not name or row.pool == name then alive = alive + 1 end
		end
		return p.idle >= p.warm.min and p.busy == 0 and p.waiting == 0 and p.starting == 0 and p.stopping == 0 and alive == p.idle and p,
			json.encode(p) .. " " .. alive .. " processes"
	end, seconds or 20)
end

--- Facts of the store, oldest first: { what, subject, detail (parsed) }.
function M.facts(node, what)
	local script = [[
import json, sqlite3, sys
db = sqlite3.connect("file:%s?mode=ro" % sys.argv[1], uri=True, timeout=5)
rows = db.execute("SELECT what, subject, detail FROM fact WHERE what = ? ORDER BY epoch, seq", (sys.argv[2],)).fetchall()
print(json.dumps([{"what": w, "subject": s, "detail": json.loads(d) if d else None} for w, s, d in rows]))]]
	local out = Instance.run_apart { "/usr/bin/python3", "-c", script, node.dir .. "/db/dss.sqlite", what }
	return assert(json.decode(out))
end

--- A fact of the end of a process whose detail has the cause; waits for it.
function M.wait_end_fact(node, cause, pattern)
	return helper.wait_for("the fact of an end by " .. cause, function()
		local seen = {}
		for _, f in ipairs(M.facts(node, "process.exited")) do
			local text = f.detail.text ~= json.null and f.detail.text or ""
			if f.detail.cause == cause and (not pattern or text:find(pattern)) then return f end
			seen[#seen + 1] = f.detail.cause .. ": " .. text
		end
		return nil, table.concat(seen, "; ")
	end)
end

--- Removes the instance and the tasks' folder, where there are such.
function M.clean(node, tasks)
	if tasks then Instance.remove_folder(tasks) end
	if node then node:remove() end
end

return M
