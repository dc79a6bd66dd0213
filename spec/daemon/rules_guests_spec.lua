-- Rules over recipes and webapps, with real processes: what a rule ends, what its owner reads of it, and what goes on beside it.
local helper = require "spec.helper"
local json = require "t_json"
local RecipeWork = require "spec.daemon.recipe_work"
local work = require "spec.daemon.work"
local wait_for = helper.wait_for

local SERVER = [[
import http.server, os
held = bytearray(int(os.environ.get("HOLDS", "1")) << 20)
for i in range(0, len(held), 4096):
    held[i] = 1
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(os.getpid()).encode())
    def log_message(self, *a):
        pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["DSS_WEBAPP_PORT"])), H).serve_forever()
]]

local w

--- Puts the rules in force; "" takes them away.
local function rules(text)
	helper.write(w.node.dir .. "/policies/30-rules.lua", "-- rules\n" .. text)
	local before = #work.facts(w.node, "policies.taken")
	wait_for("the new rules", function() return #work.facts(w.node, "policies.taken") > before end, 20)
end

local function decision(name, outcome, subject)
	return wait_for(("%s of rule %s"):format(outcome, name), function()
		local status, rows = w.node:http("GET", ("/api/decisions?word=rule&name=%s%s"):format(name, subject and "&subject=" .. subject or ""))
		assert.equal(200, status)
		local seen = {}
		for _, d in ipairs(rows) do
			if d.outcome == outcome then return d end
			seen[#seen + 1] = ("%s/%s/%s"):format(d.answer, d.outcome, d.reason)
		end
		return nil, table.concat(seen, "; ")
	end, 30)
end

local function let_go(key, name) helper.write(w:path(key, "go-" .. name), "") end

--- A recipe of shell that runs until the file go-NAME is there, holding some megabytes.
local function until_go(name, more)
	return ([[%s = shell { command = [=[echo begun; while [ ! -e go-%s ]; do sleep 0.05; done; echo 1 > data/%s/x]=], outputs = { '%s' }, %s },]])
		:format(name, name, name .. "_out", name .. "_out", more or "")
end

local function activity(key, job, name)
	for id, a in pairs(w:status(key, job).baseStatus.activities) do
		if id:find(name, 1, true) then return a end
	end
end

local function wait_running(key, job, name)
	return wait_for(name .. " at work", function()
		local a = activity(key, job, name)
		return a and a.state == "RUNNING" and a
	end, 60)
end

describe("rules of recipes", function()
	if not RecipeWork.has_java then return pending("end them: there is no JDK") end

	setup(function() w = RecipeWork.new() end)
	teardown(function() w:remove() end)
	after_each(function() rules "" end)

	it("end the one that runs too long: its activity has failed with the rule's text, job and log tell it, and another goes on", function()
		w:project("LONG", "project { recipes = {" .. until_go("old", "tags = { 'short' }") .. "} }")
		w:project("FREE", "project { recipes = {" .. until_go "other" .. "} }")
		local old, other = w:start("LONG", "old_out"), w:start("FREE", "other_out")
		wait_running("LONG", old, "old")
		wait_running("FREE", other, "other")
		rules 'rule "long" { every = "1s", each = "recipe", where = "tags = short and age > 1s", act = kill "{recipe} of {user} runs for {age:text} s" }'
		local s = w:ended("LONG", old)
		assert.equal("FAILED", s.baseStatus.state)
		local _, a = next(s.baseStatus.activities)
		assert.equal("FAILED", a.state)
		local text = 'Killed by a policy: rule "long" (policies/30-rules.lua:2): old of admin runs for '
		assert.matches(text, json.encode(a):gsub('\\"', '"'), 1, true)
		assert.matches(text, w:log("LONG", old), 1, true)
		local d = decision("long", "done")
		assert.same({ "kill", "recipe", "policies/30-rules.lua:2", "act", "admin" }, { d.answer, d.subjectKind, d.source, d.mode, d.owner })
		assert.matches("^job%-", d.subject)
		assert.same({ "short" }, d.inputs.tags)
		-- of the other it is noted that it was kept, by which clause
		local kept = wait_for("the other one's decision", function()
			local _, rows = w.node:http("GET", "/api/decisions?word=rule&name=long")
			for _, one in ipairs(rows) do
				if one.subject ~= d.subject then return one end
			end
		end, 20)
		assert.same({ "keep", "nothing", "tags = short" }, { kept.answer, kept.outcome, kept.threshold })
		assert.equal("RUNNING", activity("FREE", other, "other").state)
		let_go("FREE", "other")
		assert.equal("DONE", w:ended("FREE", other).baseStatus.state)
		-- and dssctl why tells it of the process
		local out = w.node:ctl("why", d.subject)
		assert.matches("kill", out, 1, true)
		assert.matches("policies/30-rules.lua:2", out, 1, true)
	end)

	it("end one by the memory that it uses, asked of its box", function()
		w:project("BIG", [[project { recipes = { big = python { script = 'big.py', outputs = { 'o' } },
			]] .. until_go "small" .. "} }",
			{ ["big.py"] = "import time\nheld = bytearray(150 << 20)\nfor i in range(0, len(held), 4096):\n    held[i] = 1\nprint('held', flush=True)\ntime.sleep(600)\n" })
		local big, small = w:start("BIG", "o"), w:start("BIG", "small_out")
		wait_running("BIG", small, "small")
		rules 'rule "big" { every = "1s", each = "recipe", where = "memory > 100m", act = kill "holds {memory:size}" }'
		local s = w:ended("BIG", big)
		assert.equal("FAILED", s.baseStatus.state)
		assert.matches('rule "big"', json.encode(s):gsub('\\"', '"'), 1, true)
		local d = decision("big", "done")
		assert.is_true(d.inputs.memory > 100 << 20)
		assert.equal("RUNNING", activity("BIG", small, "small").state)
		let_go("BIG", "small")
		assert.equal("DONE", w:ended("BIG", small).baseStatus.state)
	end)

	it("take one that waits for a place out of the line", function()
		w:project("LINE", "project { recipes = {" .. until_go "first" .. until_go "second" .. "} }")
		rules 'slots "one recipe" { where = "kind = recipe and project = LINE", max = 1 }'
		local first = w:start("LINE", "first_out")
		wait_running("LINE", first, "first")
		local second = w:start("LINE", "second_out")
		wait_for("its wait", function()
			local a = activity("LINE", second, "second")
			return a and a.state == "WAITING"
		end, 60)
		rules [[slots "one recipe" { where = "kind = recipe and project = LINE", max = 1 }
rule "waits" { every = "1s", each = "recipe", where = "state = waiting and waiting > 1s", act = kill "it waits: {reason}" }]]
		local s = w:ended("LINE", second)
		assert.equal("FAILED", s.baseStatus.state)
		assert.matches('Taken out of the line by a policy: rule "waits" (policies/30-rules.lua:3): it waits: slots "one recipe"',
			json.encode(s):gsub('\\"', '"'), 1, true)
		assert.equal("RUNNING", activity("LINE", first, "first").state)
		let_go("LINE", "first")
		assert.equal("DONE", w:ended("LINE", first).baseStatus.state)
	end)

	it("end one that the backend before this one started, once and though it ignores TERM; a replay decides nothing otherwise", function()
		w:project("TAKEN", "project { recipes = { deaf = shell { command = [=[trap '' TERM; echo begun; while [ ! -e go ]; do sleep 0.05; done]=], outputs = { 'o' }, tags = { 'deaf' } } } }")
		local job = w:start("TAKEN", "o")
		wait_running("TAKEN", job, "deaf")
		local old = w.node:kill("backend", "KILL")
		wait_for("the next backend", function()
			local ok, pid = pcall(w.node.pid, w.node, "backend")
			return ok and pid and pid ~= old
		end, 30)
		wait_running("TAKEN", job, "deaf")
		rules 'rule "deaf" { every = "1s", each = "recipe", where = "tags = deaf and age > 1s", act = kill "it is deaf" }'
		local s = w:ended("TAKEN", job)
		assert.equal("FAILED", s.baseStatus.state)
		assert.matches('Killed by a policy: rule "deaf"', json.encode(s):gsub('\\"', '"'), 1, true)
		-- ordered once: while it ends it is no subject
		local _, rows = w.node:http("GET", "/api/decisions?word=rule&name=deaf")
		local acts = 0
		for _, d in ipairs(rows) do acts = acts + (d.answer == "kill" and d.count or 0) end
		assert.equal(1, acts)
		local out, complaints, status = w.node:ctl("--json", "policy", "replay")
		local r = assert(json.decode(out), out .. complaints)
		assert.same({ {}, 0 }, { r.differences, status })
		assert.truthy(r.replayed > 0, out)
	end)

	it("only say what they would do in mode simulate, and warn the job's user before they act", function()
		w:project("WARN", "project { recipes = {" .. until_go "patient" .. "} }")
		local job = w:start("WARN", "patient_out")
		wait_running("WARN", job, "patient")
		rules 'rule "would" { mode = "simulate", every = "1s", each = "recipe", where = "project = WARN", act = kill "simulated" }'
		local d = decision("would", "would")
		assert.same({ "kill", "simulate" }, { d.answer, d.mode })
		assert.equal("RUNNING", activity("WARN", job, "patient").state)
		rules 'rule "warned" { every = "1s", warn = "2s", each = "recipe", where = "project = WARN", act = kill "it was told before" }'
		decision("warned", "warned")
		local fact = wait_for("the warning", function()
			for _, f in ipairs(work.facts(w.node, "policy.warned")) do
				if f.subject == d.subject then return f end
			end
		end, 20)
		assert.same({ "warned", "kill" }, { fact.detail.rule, fact.detail.verb })
		assert.matches("it was told before", json.encode(w:ended("WARN", job)), 1, true)
	end)
end)

describe("rules of webapps", function()
	setup(function() w = RecipeWork.new { policies = { ["10-pools.lua"] = 'pool "fek" { kernel = python {}, limits = { memory = "256m" }, warm = { min = 0, max = 1 } }' } } end)
	teardown(function() w:remove() end)
	after_each(function() rules "" end)

	local function path(key, rest) return ("/dip/publicapi/projects/%s/webapps/page/%s"):format(key, rest) end

	local function state(key)
		local status, answer = w.node:http("GET", path(key, "backend/state"))
		assert.equal(200, status)
		return answer.backend or {}
	end

	local function wait_state(key, wanted)
		return wait_for(("webapp of %s %s"):format(key, wanted), function()
			local s = state(key)
			return s.state == wanted and s, json.encode(s)
		end, 60)
	end

	local function up(key, more)
		w:project(key, ('project { webapps = { page = webapp { command = { "/usr/bin/python3", "app.py" }, %s } } }'):format(more or ""), { ["app.py"] = SERVER })
		assert.equal(200, (w.node:http("PUT", path(key, "backend/actions/restart"))))
		return wait_state(key, "running")
	end

	it("stop one for its memory: it is not started again by itself, its reason names the rule, and another goes on", function()
		up("BIG", 'env = { HOLDS = "120" }, autostart = true')
		local small = up "SMALL"
		rules 'rule "fat pages" { every = "1s", each = "webapp", where = "memory > 100m", act = kill "{project}/{id} holds {memory}" }'
		local s = wait_state("BIG", "stopped")
		assert.matches('^Stopped by a policy: rule "fat pages" %(policies/30%-rules.lua:2%): BIG/page holds 1%d%d MB', s.reason)
		assert.equal("stopped", s.wanted)
		local d = decision("fat%20pages", "done")
		assert.same({ "BIG/page", "webapp", "kill", "admin" }, { d.subject, d.subjectKind, d.answer, d.owner })
		local now = state "SMALL"
		assert.same({ "running", small.processId }, { now.state, now.processId })
		assert.equal(0, now.crashes)
		local status, rows = w.node:http("GET", "/api/webapps?where=" .. "memory%20%3C%20100m")
		assert.equal(200, status)
		assert.same({ "SMALL" }, { #rows == 1 and rows[1].project or json.encode(rows) })
		-- its owner starts it again: a person's word is newer
		rules ""
		assert.equal(200, (w.node:http("PUT", path("BIG", "backend/actions/restart"))))
		assert.is_nil(wait_state("BIG", "running").reason)
	end)

	it("have one started anew that grew old, and leave it alone in mode simulate", function()
		local before = up "OLD"
		rules 'rule "aged" { mode = "simulate", every = "1s", each = "webapp", where = "project = OLD and age > 1s", act = retire "old" }'
		assert.equal("OLD/page", decision("aged", "would").subject)
		assert.equal(before.processId, state("OLD").processId)
		rules(('rule "anew" { every = "1s", each = "webapp", where = "process = %s", act = retire "old" }'):format(before.processId))
		assert.equal("OLD/page", decision("anew", "done").subject)
		local after = wait_for("its next process", function()
			local s = state "OLD"
			return s.state == "running" and s.processId ~= before.processId and s
		end, 60)
		assert.same({ "running", 0 }, { after.wanted, after.crashes })
	end)
end)
