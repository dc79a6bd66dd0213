-- Rules, slots, events and grants of policies, against a real instance.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local work = require "spec.daemon.work"
local json = require "t_json"

local node, tasks

--- Puts the rules beside the pool and waits until a set with them is in force.
local function rules(text)
	local before = #work.facts(node, "policies.taken")
	helper.write(node.dir .. "/policies/30-rules.lua", text)
	helper.wait_for("the new rules", function() return #work.facts(node, "policies.taken") > before end, 20)
end

local function decisions(query)
	local status, rows = node:http("GET", "/api/decisions?" .. query)
	assert.equal(200, status)
	return rows
end

--- The newest decision of a query with that outcome.
local function wait_decision(query, outcome)
	return helper.wait_for(outcome .. " of " .. query, function()
		local seen = {}
		for _, d in ipairs(decisions(query)) do
			if d.outcome == outcome then return d end
			seen[#seen + 1] = d.answer .. "/" .. d.outcome .. "/" .. tostring(d.reason)
		end
		return nil, table.concat(seen, "; ")
	end, 20)
end

local function alert(key)
	local _, rows = node:http("GET", "/api/alerts")
	for _, a in ipairs(rows) do
		if a.key == key then return a end
	end
end

local function wait_alert(key, pattern)
	return helper.wait_for("the alert " .. key, function()
		local a = alert(key)
		return a and a.text:find(pattern or "") and a, a and a.text
	end, 20)
end

local function make(user) return select(2, node:http("POST", "/api/keys", { user = user })).key end
local function ask(key, method, path, body) return node:http(method, path, body, { key = key }) end
local function start(key, callable, args, more)
	local body = { type = "python", payload = { callable = "marks:" .. callable, args = json.array(args or {}) } }
	for k, v in pairs(more or {}) do body[k] = v end
	local status, answer = ask(key, "POST", "/api/futures", body)
	assert.equal(200, status, type(answer) == "table" and answer.message)
	return answer.jobId
end

describe("policies that decide", function()
	setup(function()
		tasks = work.tasks()
		node = Instance.new { policies = { ["10-pools.lua"] = work.policy("fek", tasks, "warm = { min = 1, max = 3 }, max = 4, recycle = { after_tasks = 50 },") } }
		node:start()
		work.full_pool(node, "fek")
	end)
	teardown(function() work.clean(node, tasks) end)
	after_each(function() os.remove(node.dir .. "/policies/30-rules.lua") end)

	it("kill a kernel whose task runs too long: its owner reads which rule, where, and why; it is never tried as an unknown death", function()
		rules 'rule "too long" { every = "1s", each = "kernel", where = "state = busy and tasks = 1", act = kill "at work for {user}" }'
		local bob = make "bob"
		local id = start(bob, "mark", { tasks .. "/lines", "long", 60 })
		local status, e = work.wait_end(node, id)
		assert.same({ 422, "policy" }, { status, e.cause })
		assert.matches('Killed by a policy: rule "too long" (policies/30-rules.lua:1): at work for bob.', e.message, 1, true)
		local d = wait_decision("word=rule&name=too%20long", "done")
		assert.same({ "kill", "at work for bob", "policies/30-rules.lua:1", "kernel", "act" }, { d.answer, d.reason, d.source, d.subjectKind, d.mode })
		assert.same({ state = "busy", tasks = 1, user = "bob" }, d.inputs)
		assert.equal(1, work.count(tasks, "long"))
	end)

	it("retire idle kernels, and note also those that are kept, with the clause that decided", function()
		local before = work.full_pool(node, "fek")
		assert.truthy(before)
		local row = work.kernels(node)[1]
		rules 'rule "fresh" { every = "1s", each = "kernel", where = "state = idle and age > 1s", act = retire "{age} old" }'
		wait_decision("word=rule&name=fresh&subject=" .. row.id, "done")
		local fact = helper.wait_for("its end", function()
			for _, f in ipairs(work.facts(node, "process.exited")) do
				if f.subject == row.id then return f end
			end
		end, 20)
		assert.equal("policy", fact.detail.cause)
		assert.matches('^rule "fresh" %(policies/30%-rules.lua:1%): .* old$', fact.detail.text)
		rules 'rule "never" { every = "1s", each = "kernel", where = "idle > 3d", act = retire "x" }'
		local kept = wait_decision("word=rule&name=never", "nothing")
		assert.same({ "keep", "idle > 3d" }, { kept.answer, kept.threshold })
	end)

	it("only say what they would do in mode simulate, and raise an alert that goes again in mode notify", function()
		work.full_pool(node, "fek")
		rules [[
rule "careful" { mode = "simulate", every = "1s", each = "kernel", where = "state = idle", act = kill "idle" }
rule "told" { mode = "notify", every = "1s", each = "pool", where = "idle > 0", act = notify { reason = "{name} has {idle} idle", level = "note" } }]]
		local d = wait_decision("word=rule&name=careful&would=true", "would")
		assert.same({ "kill", "simulate" }, { d.answer, d.mode })
		local a = wait_alert "rule:told"
		assert.same({ "note", "fek", "policies/30-rules.lua:2" }, { a.level, a.subject, a.source })
		assert.matches("^pool fek: fek has %d idle", a.text)
		rules 'rule "told" { every = "1s", each = "pool", where = "idle > 100", act = notify "never" }'
		helper.wait_for("the alert to be over", function() return not alert "rule:told" end, 20)
	end)

	it("warn the owner before they act, and act when it still holds", function()
		rules 'rule "warned" { every = "1s", warn = "2s", each = "task", where = "state = running", act = abort "it runs since {running}" }'
		local bob = make "bob2"
		local id = start(bob, "mark", { tasks .. "/lines", "warned", 60 })
		wait_decision("word=rule&name=warned&subject=" .. id, "warned")
		local fact = helper.wait_for("the warning", function() return work.facts(node, "policy.warned")[1] end, 20)
		assert.same({ id, "warned", "abort" }, { fact.subject, fact.detail.rule, fact.detail.verb })
		local status, e = work.wait_end(node, id, 40)
		assert.same({ 422, "policy" }, { status, e.cause })
		assert.matches('Aborted by rule "warned"', e.message, 1, true)
	end)

	it("hold back what is too much at once", function()
		local slots = 'slots "one" { where = "tags = many", max = 1 }'
		rules(slots)
		local ids, bob, gate = {}, make "bob3", tasks .. "/gate3"
		local first = start(bob, "until", { tasks .. "/lines", "held", gate }, { tags = { "many" } })
		work.wait_state(node, first, "running")
		for i = 1, 25 do ids[i] = start(bob, "echo", { i }, { tags = { "many" } }) end
		rules(slots .. '\nrule "many" { every = "3s", each = "task", where = "state = queued and tags = many", act = abort "too many" }')
		local a = wait_alert("rule:many", "held back")
		assert.equal("5 held back: more than 20 at once", a.text)
		for _, id in ipairs(ids) do
			local status, e = work.wait_end(node, id)
			assert.same({ 422, "policy" }, { status, e.cause })
		end
		helper.write(gate, "")
		work.wait_end(node, first)
	end)

	it("let only so many tasks of a key run at once, and say who waits for what", function()
		rules 'slots "one each" { where = "tags = slow", each = "user", max = 1 }'
		local bob, eve = make "bob4", make "eve4"
		local gate = tasks .. "/gate4"
		local args = { tasks .. "/lines", "slot", gate }
		local first = start(bob, "until", args, { tags = { "slow" } })
		work.wait_state(node, first, "running")
		local second = start(bob, "until", args, { tags = { "slow" } })
		local other = start(eve, "until", args, { tags = { "slow" } })
		work.wait_state(node, other, "running")
		local f = work.wait_state(node, second, "queued")
		assert.matches("one each", f.reason, 1, true)
		local d = wait_decision("word=slots&subject=" .. second, "done")
		assert.same({ "one each", "assign", "counted for bob4" }, { d.name, d.answer, d.reason })
		helper.write(gate, "")
		for _, id in ipairs { first, second, other } do assert.equal(200, (work.wait_end(node, id))) end
	end)

	it("keep a task within the other limits where a function hangs on its words, and where it has more tags than places", function()
		rules [[
slots "hangs" { max = 100, each = function (task) if task.title == "hang" then while true do end end return "k" end }
slots "labels" { each = "tag:t", max = 100 }
slots "one each" { where = "project = P7", each = "user", max = 1 }]]
		local bob = make "bob7"
		local gate, tags = tasks .. "/gate7", {}
		local args = { tasks .. "/lines", "slot", gate }
		local first = start(bob, "until", args, { project = "P7" })
		work.wait_state(node, first, "running")
		for i = 1, 20 do tags[i] = "t" .. i end
		local hanging, tagged = start(bob, "until", args, { project = "P7", title = "hang" }), start(bob, "until", args, { project = "P7", tags = json.array(tags) })
		for _, id in ipairs { hanging, tagged } do
			assert.matches('slots "one each"', work.wait_state(node, id, "queued").reason, 1, true)
		end
		local a = wait_alert("policy:policies/30-rules.lua:1")
		assert.equal("policies/30-rules.lua:1: used up its time budget of 50 ms", a.text)
		assert.equal("failed", wait_decision("word=slots&name=hangs&subject=" .. hanging, "failed").outcome)
		helper.write(gate, "")
		for _, id in ipairs { first, hanging, tagged } do assert.equal(200, (work.wait_end(node, id))) end
	end)

	it("answer events once each", function()
		rules 'on "task.ended" { where = "state = failed", act = notify "{subject} of {owner} failed" }'
		local bob = make "bob5"
		local id = start(bob, "refuse", { "no" })
		work.wait_end(node, id)
		local a = wait_alert("on:policies/30-rules.lua:1")
		assert.same({ id .. " of bob5 failed", id, "warning" }, { a.text, a.subject, a.level })
		local d = wait_decision("word=on&subject=" .. id, "done")
		assert.same({ "notify", "event", { state = "failed", subject = id, owner = "bob5" } }, { d.answer, d.subjectKind, d.inputs })
	end)

	it("grant what owners and admins may to others, and nothing where the grant fails", function()
		local bob, olga, eve = make "bob6", make "olga6", make "eve6"
		local gate = tasks .. "/gate6"
		local id = start(bob, "until", { tasks .. "/lines", "seen", gate }, { project = "SALES" })
		local function see(key) return (ask(key, "GET", "/public/api/futures/" .. id .. "?peek=True")) end
		local function abort(key) return (ask(key, "DELETE", "/public/api/futures/" .. id)) end
		assert.same({ 404, 404 }, { see(olga), abort(olga) })
		rules 'access "sales" { users = { "olga6", "eve6" }, may = { "see" }, where = "project = SALES" }'
		assert.same({ 200, 403, 200 }, { see(olga), abort(olga), see(eve) })
		rules 'access "broken" { users = { "olga6" }, may = { "see", "abort" }, where = function (t) error("no " .. t.user) end }'
		assert.same({ 404, 404 }, { see(olga), abort(olga) })
		assert.matches("no bob6", wait_alert("policy:policies/30-rules.lua:1").text, 1, true)
		rules 'access "sales" { users = { "olga6" }, may = { "see", "abort" }, where = "project = SALES" }'
		assert.same({ 404, 200 }, { see(eve), abort(olga) })
		local d = wait_decision("word=access&subject=" .. id, "done")
		assert.same({ "allow", "olga6 may abort it" }, { d.answer, d.reason })
		helper.wait_for("the trouble to be over", function() return not alert "policy:policies/30-rules.lua:1" end, 20)
	end)

	it("that fail change nothing, are told once with file and line, and again no more when they work", function()
		work.full_pool(node, "fek")
		local before = #work.facts(node, "policy.failed")
		rules 'rule "broken" { every = "1s", each = "kernel", act = function (k)\n error("at " .. k.pool) end }'
		local a = wait_alert "policy:policies/30-rules.lua:1"
		assert.equal("policies/30-rules.lua:2: at fek", a.text)
		wait_decision("word=rule&name=broken", "failed")
		assert.equal(before + 1, #work.facts(node, "policy.failed"))
		rules 'rule "broken" { every = "1s", each = "kernel", act = function (k) return nil end }'
		helper.wait_for("the alert to be over", function() return not alert "policy:policies/30-rules.lua:1" end, 20)
	end)

	it("with observe = true only say what they would do, recycling by a function included", function()
		local config = node:read "config/dss.lua"
		helper.write(node.dir .. "/config/dss.lua", (config:gsub("node%s*{", "node { observe = true,", 1)))
		node:stop()
		helper.write(node.dir .. "/policies/30-rules.lua", 'rule "all" { every = "1s", each = "kernel", act = kill "all of them" }')
		node:start()
		local d = wait_decision("word=rule&name=all&would=true", "would")
		assert.same({ "kill", "simulate" }, { d.answer, d.mode })
		node:write("policies/10-pools.lua", work.policy("fek", tasks, 'warm = { min = 1, max = 1 }, max = 1, recycle = function (k) if k.tasks > 0 then return retire "used" end end,'))
		local first = helper.wait_for("a task that ran", function()
			local status, f = work.wait_end(node, (work.start(node, "echo", { 1 })))
			return status == 200 and decisions("word=recycle&would=true")[1] and f
		end, 30)
		local would = wait_decision("word=recycle&would=true", "would")
		assert.same({ "retire", "used", first.kernel, "simulate" }, { would.answer, would.reason, would.subject, would.mode })
		local status, again = work.wait_end(node, (work.start(node, "echo", { 2 })))
		assert.same({ 200, first.kernel }, { status, again.kernel })
	end)
end)
