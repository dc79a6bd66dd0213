-- Webapps against real processes: started, stopped, crashed, given up, taken up by the next backend.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local json = require "t_json"
local wait_for = helper.wait_for

local POOLS = [[ pool "fek" { kernel = python {}, limits = { memory = "256m" }, warm = { min = 0, max = 1 } } ]]

local SERVER = [[
import http.server, os, sys
print("serving", os.environ["DKU_CURRENT_PROJECT_KEY"], os.environ["DSS_WEBAPP"], "ticket", os.environ["DKU_API_TICKET"])
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/die":
            print("asked to die")
            os._exit(7)
        if self.path == "/grow":
            sys.stdout.flush()
            held = []
            while True:
                held.append(bytearray(4 << 20))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello from " + str(os.getpid()).encode())
    def log_message(self, *a):
        pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["DSS_WEBAPP_PORT"])), H).serve_forever()
]]

local FLASK = [[
from flask import Flask
app = Flask(__name__)
@app.route("/")
def front():
    return "flask here"
]]

local has_flask = os.execute "/usr/bin/python3 -c 'import flask' 2>/dev/null"

describe("webapps", function()
	local node

	local function project(key, text, files)
		local dir = node.dir .. "/projects/" .. key
		os.execute("mkdir -p " .. Instance.quote(dir))
		helper.write(dir .. "/project.lua", text)
		for path, body in pairs(files or { ["app.py"] = SERVER }) do helper.write(dir .. "/" .. path, body) end
		os.execute(("chown -R --reference=%s %s"):format(Instance.quote(node.dir .. "/projects"), Instance.quote(dir)))
	end

	local function webapp(more)
		return ('project { webapps = { page = webapp { command = { "/usr/bin/python3", "app.py" }, %s } } }'):format(more or "")
	end

	local function path(key, rest) return ("/public/api/projects/%s/webapps/%s"):format(key, rest or "") end

	local function state(key, name)
		local status, answer = node:http("GET", path(key, (name or "page") .. "/backend/state"))
		assert.are.equal(200, status, json.encode(answer))
		return answer
	end

	local function await(key, wanted, test, name)
		local s
		wait_for(("webapp of %s to be %s"):format(key, wanted), function()
			s = state(key, name)
			return s.backend and s.backend.state == wanted and (not test or test(s.backend, s)), json.encode(s)
		end, 30)
		return s
	end

	local function get(port, what)
		local p = assert(io.popen(("curl -s -m 20 http://127.0.0.1:%d/%s 2>/dev/null"):format(port, what or "")))
		local text = p:read "a"
		p:close()
		return text
	end

	local function restart(key, name, options)
		local status, answer = node:http("PUT", ("/dip/publicapi/projects/%s/webapps/%s/backend/actions/restart"):format(key, name or "page"), nil, options)
		return status, answer
	end

	local function start(key, name)
		local status, answer = restart(key, name)
		assert.are.equal(200, status, json.encode(answer))
		return answer
	end

	local function rows()
		local _, list = node:http("GET", "/api/processes")
		local found = {}
		for _, row in ipairs(list) do
			if row.kind == "webapp" and row.state ~= "ended" and row.state ~= "dead" then found[#found + 1] = row end
		end
		return found
	end

	local function open()
		node = Instance.new { policies = { ["10-pools.lua"] = POOLS } }
		node:start()
	end

	after_each(function()
		if node then node:remove() node = nil end
	end)

	it("start on demand as a future that ends when the port answers, show themselves, and stop for good", function()
		open()
		project("WEB", webapp 'name = "The page", env = { DSS_WEBAPP = "other" }')
		local _, list = node:http("GET", path "WEB")
		assert.are.same({ "page", "The page", "WEB", "STANDARD" }, { list[1].id, list[1].name, list[1].projectKey, list[1].type })
		assert.truthy(list[1].createdBy.login and list[1].lastModifiedOn)
		local s = state "WEB"
		assert.is_nil(s.futureInfo)
		assert.is_nil(s.currentLogTail)
		local f = start "WEB"
		assert.is_false(f.hasResult)
		wait_for("the future", function()
			local status, answer = node:http("GET", "/public/api/futures/" .. f.jobId .. "?peek=False")
			assert.are.equal(200, status, json.encode(answer))
			return answer.hasResult
		end, 30)
		s = await("WEB", "running")
		assert.is_true(s.futureInfo.alive)
		assert.truthy(get(s.backend.port):find "^hello from %d+$")
		local row = rows()[1]
		assert.are.same({ "page", "WEB", "ready", s.backend.port }, { row.webApp, row.project, row.state, row.port })
		assert.truthy((row.cgroup or ""):find("run/webapps/WEB/page", 1, true) or node:status().isolation == "none", row.cgroup)
		wait_for("its first line", function()
			s = state "WEB"
			return s.currentLogTail.totalLines > 0, json.encode(s)
		end)
		assert.truthy(s.currentLogTail.lines[1]:find("serving WEB page ticket", 1, true), s.currentLogTail.lines[1])
		assert.falsy(s.currentLogTail.lines[1]:find("webapp%-%d+%-%d+%.%x%x%x"), "the ticket stands in the log")
		local _, log = node:http("GET", "/api/webapps/WEB/page/log")
		assert.truthy(log:find("serving WEB page", 1, true))
		assert.are.equal(200, (node:http("PUT", path("WEB", "page/backend/actions/stop"))))
		s = await("WEB", "stopped")
		assert.is_false(s.futureInfo.alive)
		wait_for("its process to go", function() return #rows() == 0 end)
		assert.are.equal(422, (node:http("GET", "/public/api/futures/" .. f.jobId)))
	end)

	it("come back at once after a crash, with what was lost told, and are given up after the cap", function()
		open()
		project("CRASH", webapp "crashes = 2")
		start "CRASH"
		local first = await("CRASH", "running").backend
		get(first.port, "die")
		local s = await("CRASH", "running", function(b) return b.processId ~= first.processId end)
		assert.are.equal(1, s.backend.crashes)
		assert.are.same({ "crash", 7 }, { s.backend.lastCrash.cause, s.backend.lastCrash.code })
		assert.truthy(table.concat(s.backend.lastCrash.lines, "\n"):find("asked to die", 1, true), json.encode(s.backend.lastCrash))
		get(s.backend.port, "die")
		s = await("CRASH", "failed", function(b) return #b.lastCrash.lines > 0 end)
		assert.truthy(s.backend.reason:find("2 times within 10 minutes", 1, true), s.backend.reason)
		assert.is_false(s.futureInfo.alive)
		local status, answer = node:http("GET", "/public/api/futures/webapp:CRASH:page")
		assert.are.equal(422, status)
		assert.truthy(answer.message:find("status 7", 1, true), answer.message)
		start "CRASH"
		assert.are.equal(0, await("CRASH", "running").backend.crashes)
	end)

	it("are saved as they were read, and changed by project.lua alone", function()
		open()
		project("SAVE", webapp 'tags = { "a" }, params = { n = 1, list = { "x" } }')
		local status, now = node:http("GET", path("SAVE", "page"))
		assert.are.equal(200, status)
		local function save(body) return node:http("PUT", path("SAVE", "page"), body) end
		now.lastModifiedOn = 1
		assert.are.equal(200, (save(now)))
		now.params.n = 2
		local answer
		status, answer = save(now)
		assert.are.equal(409, status)
		assert.matches('projects/SAVE/project.lua:1 says, and that file is what changes it; other than there: "params"$', answer.message)
		assert.are.equal(409, (save { id = "page" }))
		assert.are.equal(400, (node:http("PUT", path("SAVE", "page"), { 1 })))
		assert.are.equal(404, (node:http("PUT", path("SAVE", "nope"), now)))
	end)

	it("that have failed are an alert with the reason until they are started anew, also for the next backend", function()
		open()
		local function alert()
			for _, one in ipairs(select(2, node:http("GET", "/api/alerts"))) do if one.key == "webapp:CRASH/page" then return one end end
		end
		project("CRASH", webapp "crashes = 1")
		start "CRASH"
		get(await("CRASH", "running").backend.port, "die")
		await("CRASH", "failed")
		local one = alert()
		assert.are.equal("warning", one and one.level)
		assert.matches("webapp page of project CRASH", one.text)
		assert.matches("status 7", one.text)
		assert.matches("webapp page of project CRASH", (node:ctl "alerts"))
		node:ctl("restart", "backend")
		wait_for("the next backend to tell it", function() return node:http("GET", "/api/alerts") == 200 and alert() end, 30)
		start "CRASH"
		await("CRASH", "running")
		assert.is_nil(alert())
		assert.matches(" CRASH/page +webapp ", (node:ctl("ps", "--tree")))
		get(state("CRASH").backend.port, "die")
		await("CRASH", "failed")
		assert.is_truthy(alert())
		assert.are.equal(200, (node:http("PUT", path("CRASH", "page/backend/actions/stop"))))
		assert.is_nil(alert())
	end)

	it("fail with the end of their output when they do not answer in time, and when project.lua is wrong", function()
		open()
		project("LATE", 'project { webapps = { page = webapp { command = { "/bin/sh", "-c", "echo warming up; exec sleep 1000" }, start_timeout = "1s" } } }')
		start "LATE"
		local s = await("LATE", "failed", function(b) return b.lastCrash and #b.lastCrash.lines > 0 end)
		assert.truthy(s.backend.reason:find("not ready within 1 s", 1, true), s.backend.reason)
		assert.truthy(s.backend.lastCrash.lines[1]:find("warming up", 1, true))
		wait_for("its process to go", function() return #rows() == 0 end)
		project("LATE", 'project { webapps = { page = webapp { comand = { "x" } } } }')
		local status, answer = restart "LATE"
		assert.are.equal(400, status)
		assert.truthy(answer.message:find("projects/LATE/project.lua:1", 1, true), answer.message)
		project("LATE", "project { }")
		assert.are.equal(404, (restart "LATE"))
		project("SOCK", 'project { webapps = { page = webapp { flask = "app.py", listen = "socket" } } }')
		start "SOCK"
		assert.truthy(await("SOCK", "failed").backend.reason:find("listen", 1, true))
	end)

	it("are told to have been killed by their memory limit, with the limit and the peak", function()
		open()
		if node:status().isolation == "none" then return pending("no cgroups here") end
		project("BIG", webapp 'limits = { memory = "64m" }')
		start "BIG"
		get(await("BIG", "running").backend.port, "grow")
		local s = await("BIG", "running", function(b) return b.crashes == 1 end)
		local last = s.backend.lastCrash
		assert.are.same({ "oom_limit", 64 << 20 }, { last.cause, last.limitBytes })
		assert.truthy(last.peakBytes > 32 << 20)
		assert.truthy(last.message:find("64", 1, true) and last.message:find("limits.memory", 1, true), last.message)
	end)

	it("start with the instance where that is wanted, and run on when the backend is killed", function()
		open()
		project("AUTO", webapp "autostart = true")
		project("HAND", webapp())
		node:kill "backend"
		local s
		wait_for("the next backend to start it", function()
			local ok, status, answer = pcall(node.http, node, "GET", path("AUTO", "page/backend/state"))
			s = ok and status == 200 and answer
			return s and s.backend and s.backend.state == "running"
		end, 40)
		assert.is_nil(state "HAND".backend)
		local before, answered = s.backend, get(s.backend.port)
		node:kill "backend"
		wait_for("the one after it to know it", function()
			local ok, status, answer = pcall(node.http, node, "GET", path("AUTO", "page/backend/state"))
			s = ok and status == 200 and answer
			return s and s.backend and s.backend.state == "running"
		end, 40)
		assert.are.same({ before.processId, before.port }, { s.backend.processId, s.backend.port })
		assert.are.equal(answered, get(s.backend.port))
		local found = rows()
		assert.are.equal(1, #found)
		node:http("PUT", path("AUTO", "page/backend/actions/stop"))
		await("AUTO", "stopped")
	end)

	it("are started again with the instance as they were wanted, and its stop is no crash", function()
		open()
		project("ON", webapp())
		project("OFF", webapp "autostart = true")
		start "ON"
		start "OFF"
		local before = await("ON", "running").backend.processId
		await("OFF", "running")
		node:http("PUT", path("OFF", "page/backend/actions/stop"))
		await("OFF", "stopped")
		node:stop()
		node:start()
		local s = await("ON", "running")
		assert.are_not.equal(before, s.backend.processId)
		assert.are.equal(0, s.backend.crashes)
		assert.is_nil(s.backend.lastCrash)
		assert.are.equal("stopped", state "OFF".backend.state)
	end)

	it("crash while no backend lives, and the next one starts them again", function()
		open()
		project("GONE", webapp())
		start "GONE"
		local first = await("GONE", "running").backend
		node:kill "backend"
		get(first.port, "die")
		local s
		wait_for("it to run again", function()
			local ok, status, answer = pcall(node.http, node, "GET", path("GONE", "page/backend/state"))
			s = ok and status == 200 and answer
			return s and s.backend and s.backend.state == "running" and s.backend.processId ~= first.processId
		end, 40)
		assert.are.equal(7, s.backend.lastCrash.code)
		assert.truthy(get(s.backend.port):find "^hello")
	end)

	it("belong to their project's people alone, and their ticket to their process", function()
		open()
		project("OWN", 'project { owner = "ann", rights = { read = { "bob" } }, webapps = { page = webapp { command = { "/usr/bin/python3", "app.py" } } } }',
			{ ["app.py"] = 'import os\nopen("ticket", "w").write(os.environ["DKU_API_TICKET"])\n' .. SERVER })
		local function key(user)
			local status, answer = node:http("POST", "/api/keys", { user = user })
			assert.are.equal(200, status)
			return { key = answer.key }
		end
		local ann, bob, eve = key "ann", key "bob", key "eve"
		assert.are.equal(404, (restart("OWN", "page", eve)))
		assert.are.equal(403, (restart("OWN", "page", bob)))
		assert.are.equal(200, (restart("OWN", "page", ann)))
		await("OWN", "running")
		assert.are.equal(200, (node:http("GET", path("OWN", "page/backend/state"), nil, bob)))
		assert.are.equal(404, (node:http("GET", path("OWN", "page/backend/state"), nil, eve)))
		assert.are.equal(404, (node:http("GET", "/public/api/futures/webapp:OWN:page", nil, eve)))
		assert.are.equal(404, (node:http("GET", "/api/webapps/OWN/page/log", nil, eve)))
		assert.are.equal(403, (node:http("DELETE", "/public/api/futures/webapp:OWN:page", nil, bob)))
		local _, all = node:http("GET", "/api/webapps", nil, eve)
		assert.are.same({}, all)
		local ticket = node:read "projects/OWN/ticket"
		local function as_ticket(wanted)
			local p = assert(io.popen(("curl -s -o /dev/null -w '%%{http_code}' -H 'X-DKU-APITicket: %s' http://127.0.0.1:%d/api/projects/%s")
				:format(ticket, node:port(), wanted or "OWN")))
			local code = p:read "a"
			p:close()
			return code
		end
		assert.are.equal("200", as_ticket())
		-- whose project it is, is what was set last
		project("ANNS", 'project { owner = "ann" }', {})
		assert.are.equal("200", as_ticket "ANNS")
		local function give_to(login) assert.are.equal(200, (node:http("PUT", "/public/api/projects/OWN/permissions", { owner = login }))) end
		give_to "eve"
		assert.are.same({ "404", "200" }, { as_ticket "ANNS", as_ticket() })
		give_to "ann"
		assert.are.equal("200", as_ticket "ANNS")
		node:http("PUT", path("OWN", "page/backend/actions/stop"), nil, ann)
		await("OWN", "stopped")
		assert.are.equal("401", as_ticket())
	end)

	it("follow the last wish when many come at once, with one process at most, and wait no longer when stopped in between", function()
		open()
		project("WISH", webapp())
		local function stop() assert.are.equal(200, (node:http("PUT", path("WISH", "page/backend/actions/stop")))) end
		for round = 1, 6 do
			start "WISH"
			if round % 3 > 0 then start "WISH" end
			if round % 2 == 0 then stop() end
			assert.truthy(#rows() <= 1)
		end
		stop()
		local first = start "WISH"
		assert.are.equal("webapp:WISH:page", first.jobId)
		local s = await("WISH", "running")
		assert.truthy(get(s.backend.port):find "^hello")
		local old = s.backend.processId
		start "WISH"
		s = await("WISH", "running", function(b) return b.processId ~= old end)
		assert.are.same({ 1, 0 }, { #rows(), s.backend.crashes })
		assert.is_nil(s.backend.lastCrash)
		assert.are.equal(200, (node:http("DELETE", "/public/api/futures/" .. first.jobId)))
		await("WISH", "stopped")
		wait_for("its process to go", function() return #rows() == 0 end)
		project("WISH", 'project { webapps = { page = webapp { command = { "/bin/false" }, crashes = 100 } } }')
		start "WISH"
		s = await("WISH", "backoff", function(b) return b.crashes >= 3 end)
		assert.is_true(s.futureInfo.alive)
		stop()
		assert.are.equal("stopped", state "WISH".backend.state)
	end)

	it("are listed, started, shown and stopped by dssctl, and found by filters", function()
		open()
		project("CTL", webapp())
		local out, complaint, status = node:ctl("webapps", "start", "CTL", "page")
		assert.are.equal(0, status, complaint)
		assert.truthy(out:find "^running on port %d+%s*$", out)
		assert.are.equal(out, (node:ctl("webapps", "start", "CTL", "page")))
		assert.truthy(node:ctl("webapps"):find("CTL%s+page%s+running%s+%d+"), (node:ctl "webapps"))
		assert.truthy(node:ctl("ps"):find("webapp", 1, true))
		local _, found = node:http("GET", "/api/webapps?where=state%20%3D%20running")
		assert.are.equal("page", found[1].id)
		_, found = node:http("GET", "/api/webapps?where=state%20%3D%20failed")
		assert.are.same({}, found)
		assert.are.equal(400, (node:http("GET", "/api/webapps?where=stat%20%3D%20failed")))
		_, found = node:http("GET", "/api/processes?where=kind%20%3D%20webapp%20and%20project%20%3D%20CTL")
		assert.are.equal(1, #found)
		assert.are.equal(0, select(3, node:ctl("webapps", "restart", "CTL", "page")))
		wait_for("its log", function() return select(2, node:ctl("webapps", "log", "CTL", "page"):gsub("serving CTL page", "")) == 2 end)
		assert.are.equal(0, select(3, node:ctl("webapps", "stop", "CTL", "page")))
		await("CTL", "stopped")
		project("CTL", 'project { webapps = { page = webapp { command = { "/bin/sh", "-c", "echo no such luck; exit 3" }, crashes = 1 } } }')
		out, complaint, status = node:ctl("webapps", "start", "CTL", "page")
		assert.are.same({ "", 1 }, { out, status })
		assert.truthy(complaint:find("status 3", 1, true), complaint)
		assert.are.equal(4, select(3, node:ctl("webapps", "start", "CTL", "none")))
	end)

	it("run Flask", function()
		if not has_flask then return pending("python3-flask is not installed") end
		open()
		project("FLASK", 'project { webapps = { page = webapp { flask = "app.py", health = "/" } } }', { ["app.py"] = FLASK })
		start "FLASK"
		assert.are.equal("flask here", get(await("FLASK", "running").backend.port))
	end)
end)
