-- /api/events and /metrics of a real instance: order, who sees what, coming back, slow readers; and functions that stand in a pool.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local work = require "spec.daemon.work"
local json = require "t_json"

local POLICY = [[
pool "live" {
  kernel  = python { path = { %q } },
  limits  = { memory = "256m", swap = "0", threads = 128 },
  warm    = { min = function (p) if p.waiting >= 3 then error "three wait" end return p.busy > 0 and 2 or 1 end, max = 3 },
  max     = 3,
  recycle = function (k) if k.tasks >= 2 then return retire("ran " .. k.tasks .. " for " .. k.user) end end,
}
]]

local node, tasks, bob, eve
local streams = {}

local function make(user) return select(2, node:http("POST", "/api/keys", { user = user })).key end

--- Follows with curl into a file. last: Last-Event-ID.
local function follow(key, last)
	local file = os.tmpname()
	local argv = { "curl", "-sN", "--noproxy", "*", "-H", "Authorization: Bearer " .. key }
	if last then
		argv[#argv + 1] = "-H"
		argv[#argv + 1] = "Last-Event-ID: " .. last
	end
	argv[#argv + 1] = ("http://127.0.0.1:%d/api/events"):format(node:port())
	for i, word in ipairs(argv) do argv[i] = Instance.quote(word) end
	local p = io.popen(("exec 3>&1; %s >%s 2>/dev/null & echo $!"):format(table.concat(argv, " "), Instance.quote(file)))
	local pid = p:read "l"
	p:close()
	local s = { file = file, pid = pid }
	streams[#streams + 1] = s
	helper.wait_for("the first event", function() return (helper.read(file) or ""):find("event: hello", 1, true) end)
	return s
end

--- The events of a stream so far, but hello: { id, what, subject, owner, detail }.
local function events(s)
	local out = {}
	for data in helper.read(s.file):gmatch "data: ([^\n]*)\n\n" do
		local e = assert(json.decode(data), data)
		if e.what then out[#out + 1] = e end
	end
	return out
end

--- Those about a subject, as a list of words.
local function life(s, subject)
	local out = {}
	for _, e in ipairs(events(s)) do
		if e.subject == subject then out[#out + 1] = e.what end
	end
	return out
end

local function wait_event(s, what, subject)
	return helper.wait_for(what .. " of " .. subject, function()
		for _, e in ipairs(events(s)) do
			if e.what == what and e.subject == subject then return e end
		end
	end, 20)
end

local function start(key, callable, args, more)
	local body = { type = "python", payload = { callable = "marks:" .. callable, args = json.array(args or {}) } }
	for k, v in pairs(more or {}) do body[k] = v end
	local status, answer = node:http("POST", "/api/futures", body, { key = key })
	assert.equal(200, status)
	return answer.jobId
end
local function metric(name)
	local _, text = node:http("GET", "/metrics", nil, { key = false })
	return tonumber(("\n" .. text):match("\n" .. name:gsub("%p", "%%%0") .. " ([%d.e+-]+)\n"))
end
local function admin_key() return node:read("config/admin.key"):match "%S+" end

describe("events", function()
	local steady
	setup(function()
		tasks = work.tasks()
		node = Instance.new { policies = { ["10-pools.lua"] = POLICY:format(tasks) } }
		node:start()
		bob, eve = make "bob", make "eve"
		steady = follow(eve)
	end)
	teardown(function()
		for _, s in ipairs(streams) do
			os.execute("kill " .. s.pid .. " 2>/dev/null")
			os.remove(s.file)
		end
		node:remove()
		Instance.remove_folder(tasks)
	end)

	it("tell the life of a task in order, to its owner and to admins alone", function()
		local bobs, eves, admins = follow(bob), follow(eve), follow(admin_key())
		local id = start(bob, "echo", { 1 }, { title = "a title" })
		wait_event(bobs, "task.ended", id)
		wait_event(admins, "task.ended", id)
		assert.same({ "task.submitted", "task.started", "task.ended" }, life(bobs, id))
		assert.same({ "task.submitted", "task.started", "task.ended" }, life(admins, id))
		local submitted = wait_event(bobs, "task.submitted", id)
		assert.same({ "bob", "live", "a title" }, { submitted.owner, submitted.detail.pool, submitted.detail.title })
		-- eve's own task comes after: what she has not seen by then was kept from her
		local own = start(eve, "echo", { 2 })
		wait_event(eves, "task.ended", own)
		assert.same({}, life(eves, id))
		for _, e in ipairs(events(eves)) do assert.is_true(e.owner == nil or e.owner == "eve", json.encode(e)) end
	end)

	it("show a task's end once it is on disk: whoever hears of it can read it", function()
		local s = follow(bob)
		for i = 1, 5 do
			local id = start(bob, "echo", { i })
			wait_event(s, "task.ended", id)
			local _, f = node:http("GET", "/public/api/futures/" .. id, nil, { key = bob })
			assert.is_true(f.hasResult)
		end
	end)

	it("have ids that count up, and go on after the last one seen without a gap or a double", function()
		local whole = follow(admin_key())
		local first = start(bob, "echo", { 1 })
		local place = wait_event(whole, "task.started", first).id
		wait_event(whole, "task.ended", first)
		local again = follow(admin_key(), place)
		local second = start(bob, "echo", { 2 })
		wait_event(whole, "task.ended", second)
		wait_event(again, "task.ended", second)
		local ids, is_after = {}, false
		for _, e in ipairs(events(whole)) do
			if is_after then ids[#ids + 1] = e.id end
			is_after = is_after or e.id == place
			if e.what == "task.ended" and e.subject == second then break end
		end
		local got = {}
		for _, e in ipairs(events(again)) do
			got[#got + 1] = e.id
			if e.what == "task.ended" and e.subject == second then break end
		end
		assert.same(ids, got)
		local before = 0
		for _, id in ipairs(got) do
			local n = tonumber(id:match "^%d+%-(%d+)$")
			assert.is_true(n > before)
			before = n
		end
	end)

	it("of a former backend come from the store, still only to whom they belong", function()
		local s = follow(bob)
		local id = start(bob, "echo", { 1 })
		local theirs = start(eve, "echo", { 1 })
		local place = wait_event(s, "task.submitted", id).id
		wait_event(s, "task.ended", id)
		helper.wait_for("eve's end", function()
			return select(2, node:http("GET", "/public/api/futures/" .. theirs .. "?peek=True", nil, { key = eve })).hasResult
		end)
		node:kill("backend", "KILL")
		helper.wait_for("the next backend", function() return (node:http("GET", "/health")) == 200 end, 20)
		local again = follow(bob, place)
		wait_event(again, "task.ended", id)
		assert.same({}, life(again, theirs))
		local new = start(bob, "echo", { 2 })
		wait_event(again, "task.ended", new)
		assert.same({ "task.submitted", "task.started", "task.ended" }, life(again, new))
	end)

	it("refuse an id that is none, and nobody without a key", function()
		assert.equal(400, (node:http("GET", "/api/events?since=x")))
		assert.equal(401, (node:http("GET", "/api/events", nil, { key = false })))
	end)

	it("hold up no end of the backend, and show a gap only where there is one", function()
		local s = follow(bob)
		local pid = node:kill("backend", "TERM")
		helper.wait_for("the end of the stream", function() return not helper.read("/proc/" .. s.pid .. "/cmdline") or helper.read("/proc/" .. s.pid .. "/cmdline") == "" end, 10)
		helper.wait_for("the next backend", function()
			return not helper.read("/proc/" .. pid .. "/stat") and (node:http("GET", "/health")) == 200
		end, 20)
		assert.is_nil(helper.read(s.file):find("event: gap", 1, true))
	end)

	it("are cut for a reader that takes none, while others and the node go on", function()
		local gate = tasks .. "/open"
		local running = start(bob, "until", { tasks .. "/lines", "cut", gate })
		work.wait_state(node, running, "running")
		helper.wait_for("warm.min of a busy pool", function() return work.pool(node, "live").warm.min == 2 end)
		local cut_before = metric "dss_events_cut_total"
		local script = [[
import http.client, json, socket, sys, time
port, key = int(sys.argv[1]), sys.argv[2]
slow = socket.socket()
slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
slow.connect(("127.0.0.1", port))
slow.sendall(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n" % key.encode())
slow.recv(64)
c = http.client.HTTPConnection("127.0.0.1", port)
body = json.dumps({"type": "python", "payload": {"callable": "marks:echo"}, "title": "t" * 490})
def cut():
    c.request("GET", "/metrics")
    text = c.getresponse().read().decode()
    return float(text.split("\ndss_events_cut_total ")[1].split("\n")[0])
before, deadline, n = cut(), time.monotonic() + 60, 0
while time.monotonic() < deadline and n < 9000:
    for _ in range(100):
        c.request("POST", "/api/futures", body, {"Authorization": "Bearer " + key})
        r = c.getresponse()
        r.read()
        if r.status != 200: sys.exit("status %d" % r.status)
        n += 1
    if cut() > before:
        print("cut", n)
        break
]]
		local out = Instance.run { "/usr/bin/python3", "-c", script, tostring(node:port()), bob }
		assert.truthy(out:find "^cut %d+$", out)
		assert.equal(cut_before + 1, metric "dss_events_cut_total")
		assert.equal(200, (node:http("GET", "/health")))
		-- the function of warm.min raised meanwhile: said once, the last number in force
		local p = work.pool(node, "live")
		assert.equal(2, p.warm.min)
		local _, said = node:read("run/backend.log"):gsub('three wait; the last number, 2, stays in force', "")
		assert.equal(1, said)
		node:stop "--now"
		node:start()
	end)

	it("cannot be kept from others by who follows with all streams that there are: he gives one up", function()
		local script = [[
import socket, sys
port, bob, eve = int(sys.argv[1]), sys.argv[2], sys.argv[3]
def follow(key):
    s = socket.create_connection(("127.0.0.1", port), 30)
    s.sendall(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n" % key.encode())
    return s, s.recv(12).decode()[9:]
streams = []
while True:
    s, status = follow(bob)
    if status != "200":
        break
    streams.append(s)
print(len(streams) <= 200, status, end=" ")
others = [follow(eve) for _ in range(3)]
print(*[status for _, status in others], end=" ")
first = b""
while not first.endswith(b"\r\n0\r\n\r\n"):
    first += streams[0].recv(65536)
print(follow(bob)[1])
]]
		local out = Instance.run { "/usr/bin/python3", "-c", script, tostring(node:port()), bob, eve }
		assert.equal("True 503 200 200 200 503", (out:gsub("%s+$", "")))
	end)

	it("keep a connection alive by a comment each 15 s while somebody follows", function()
		local quiet = follow(eve)
		helper.wait_for("a heartbeat", function() return helper.read(quiet.file):find("\n: still here\n\n", 1, true) end, 25)
		assert.is_true(metric "dss_events_followers" >= 1)
	end)

	it("of another backend are not heard on a stream of the former: it has ended", function()
		assert.equal("", helper.read("/proc/" .. steady.pid .. "/cmdline") or "")
	end)
end)

describe("functions in a pool", function()
	setup(function()
		tasks = work.tasks()
		node = Instance.new { policies = { ["10-pools.lua"] = POLICY:format(tasks) } }
		node:start()
		bob = make "bob"
	end)
	teardown(function()
		node:remove()
		Instance.remove_folder(tasks)
	end)

	it("set its numbers as it gets busy and idle again", function()
		assert.equal(1, work.pool(node, "live").warm.min)
		local gate = tasks .. "/go"
		local id = start(bob, "until", { tasks .. "/lines", "n", gate })
		helper.wait_for("warm.min of a busy pool", function() return work.pool(node, "live").warm.min == 2 end, 10)
		helper.write(gate, "")
		assert.equal(200, (work.wait_end(node, id)))
		helper.wait_for("warm.min of an idle pool", function() return work.pool(node, "live").warm.min == 1 end, 10)
	end)

	it("recycle a kernel with the reason they gave", function()
		local kernels = {}
		for i = 1, 4 do
			local _, f = work.wait_end(node, start(bob, "echo", { i }))
			kernels[f.kernel] = (kernels[f.kernel] or 0) + 1
		end
		for kernel, n in pairs(kernels) do assert.is_true(n <= 2, kernel) end
		helper.wait_for("the reason", function()
			for _, f in ipairs(work.facts(node, "process.exited")) do
				if (f.detail.text or ""):find("recycled: ran 2 for bob", 1, true) then return true end
			end
		end)
	end)

	it("are those of the new set after a reload, and the old ones where the new set is refused", function()
		node:write("policies/10-pools.lua", (POLICY:format(tasks):gsub("and 2 or 1 end", "and 2 or 0 end")))
		helper.wait_for("the new function", function() return work.pool(node, "live").warm.min == 0 end, 10)
		node:write("policies/10-pools.lua", (POLICY:format(tasks):gsub("p.busy > 0", "p.bussy > 0")))
		local health = helper.wait_for("the refusal", function()
			local _, h = node:http("GET", "/health")
			return not h.policies.taken and h
		end, 10)
		assert.truthy(health.policies.error:find('policies/10-pools.lua:4: pool has no "bussy", did you mean "busy"?', 1, true), health.policies.error)
		assert.equal(0, work.pool(node, "live").warm.min)
	end)
end)
