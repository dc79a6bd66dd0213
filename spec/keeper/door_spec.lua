-- The door of bin/dss: what an admin asks for while everything runs.
local helper = require "spec.helper"
local K = require "spec.keeper.instance"
local t = require "t_keeper"

local KILL = 9

local function with_sleeper(plan)
	plan.order[#plan.order + 1] = "sleeper"
	plan.services.sleeper = { argv = { "/bin/sleep", "1000" }, box = "core/sleeper", sink = "service:sleeper" }
end

local function notes_of(all)
	local out = {}
	for _, m in ipairs(all) do if m.name == "note" then out[#out + 1] = m.text end end
	return out
end

describe("the door", function ()
	after_each(K.finish_all)

	it("shows a row for the keeper and each service, with what an admin wants to know", function ()
		local i = K.new { services = with_sleeper }
		i:start()
		local b = i:backend()
		b:spawn { id = "k", sh = "exec sleep 1000" }
		b:event("k", "ready")
		local done, all = helper.wait_for("the sleeper to be ready", function ()
			local d, rows = i:order("status")
			return rows[4] and rows[4].state == "ready" and d, rows
		end)
		assert.same({ "done", 4 }, { done.name, done.count })
		local names = {}
		for n = 1, 4 do names[n] = all[n].id end
		assert.same({ "keeper", "logger", "backend", "sleeper" }, names)
		assert.same({ "ready", i.pid, 4 }, { all[1].state, all[1].pid, all[1].count })
		local row = all[4]
		assert.same({ "sleeper", "service", "ready", "up", "core/sleeper", 0, 0 }, { row.service, row.kind, row.state, row.wanted, row.box, row.crashes, row.count })
		assert.is_true(row.started_ms > 0 and row.ready_ms >= row.started_ms)
	end)

	it("starts, stops and restarts one service; a stopped one stays down", function ()
		local i = K.new { services = with_sleeper }
		i:start()
		local first = i:row_where("sleeper", "ready", function (r) return r.state == "ready" end)
		assert.equal("done", i:order("stop", "sleeper").name)
		local row = i:row_where("sleeper", "down", function (r) return r.state == "down" end)
		assert.same({ 0, "down", "admin" }, { row.pid, row.wanted, row.cause })
		assert.is_truthy(row.text:find("stopped %(by uid %d+, "), row.text)
		i:order("start", "sleeper")
		local second = i:row_where("sleeper", "ready", function (r) return r.state == "ready" end)
		assert.are_not.equal(first.pid, second.pid)
		i:order("restart", "sleeper")
		local third = i:row_where("sleeper", "restarted", function (r) return r.state == "ready" and r.pid ~= second.pid end)
		assert.equal(0, third.crashes)
		-- also the backend; whose processes live on
		local b = i:backend()
		b:spawn { id = "k", sh = "exec sleep 1000" }
		local pid = b:event("k", "ready").pid
		i:order("restart", "backend")
		b:closed()
		assert.equal(pid, i:backend():rows()["k"].pid)
	end)

	it("refuses what does not exist, what cannot be, and what is said before hello", function ()
		local i = K.new()
		i:start()
		for _, verb in ipairs { "start", "stop", "restart" } do
			local answer = i:order(verb, "nothing")
			assert.equal("fail", answer.name)
			assert.is_truthy(answer.text:find('service "nothing" does not exist'), answer.text)
		end
		assert.is_truthy(i:order("dance").text:find('unknown verb "dance"'))
		assert.is_truthy(i:order("stop", "logger").text:find("the logger stops last"))
		local d = i:door()
		local text = d:refused("spawn", { id = "x", kind = "k", argv = { "/bin/true" }, box = "warm/x", sink = "null" })
		assert.is_truthy(text:find("may come from B, not from D"), text)
		d:close()
		local stranger = i:door("silent")
		assert.is_truthy(stranger:refused("door", { verb = "stop" }):find("say hello first"))
		stranger:send("hello", { version = 99 })
		assert.is_truthy(stranger:wait("the answer", function () return stranger.answers[0] end)[1].text:find("another version"))
		stranger:close()
		assert.equal("ready", i:row("keeper").state)
	end)

	if K.is_root then
		it("is closed to other users, even where the file system lets them in", function ()
			local i = K.new()
			i:start()
			local path = i.dir .. "/run/keeper.sock"
			local fd, _, code = t.connect_as(65534, path)
			assert.same({ nil, 13 }, { fd, code })
			t.chmod(path, 511)
			fd = assert(t.connect_as(65534, path))
			assert.equal("", helper.wait_for("the end of the connection", function () return t.read(fd, 20) end))
			t.close(fd)
			i:logged("keeper", "door: refused uid 65534")
		end)
	end

	it("stops everything in order, tells each step and answers when all is done", function ()
		local i = K.new { services = with_sleeper }
		i:start()
		local b = i:backend()
		b:spawn { id = "slow", ready = "fd", sh = "trap 'sleep 0.1; exit 0' TERM; echo >&$DSS_READY_FD; while :; do sleep 0.01; done" }
		b:event("slow", "ready")
		local d = i:door()
		d:send("door", { req = 1, verb = "stop" })
		local e = b:event("slow", "exited")
		assert.same({ "shutdown", 0 }, { e.cause, e.code })
		-- the backend hears of every end before it has to go
		assert.is_truthy(b.fd)
		assert.is_truthy(b:refused("spawn", { id = "late", kind = "k", argv = { "/bin/true" }, box = "warm/x", sink = "null" }):find("stopping"))
		b:ack(e.seq)
		b:closed()
		d:wait("done", function () local list = d.answers[1] return list and list[#list].name == "done" end)
		assert.same({ "stopped sleeper", "stopping backend", "stopped backend", "stopping logger", "stopped logger" }, notes_of(d.answers[1]))
		d:close()
		assert.same({ "exited", 0 }, { i:ended() })
		assert.is_nil(io.open(i.dir .. "/run/keeper.sock"))
	end)

	it("with --now kills what does not want to end", function ()
		local i = K.new { services = with_sleeper }
		i:start()
		local b = i:backend()
		b:spawn { id = "deaf", ready = "fd", grace_ms = 60000, sh = "trap '' TERM; echo >&$DSS_READY_FD; while :; do sleep 0.05; done" }
		b:event("deaf", "ready")
		local polite = i:door()
		polite:send("door", { req = 1, verb = "stop" })
		i:row_where("keeper", "stopping", function (r) return r.state == "stopping" end)
		local d = i:door()
		d:send("door", { req = 1, verb = "stop", on = 1 })
		local e = b:event("deaf", "exited")
		assert.same({ "shutdown", KILL }, { e.cause, e.signal })
		b:ack(e.seq)
		for _, client in ipairs { d, polite } do
			client:wait("done", function () local list = client.answers[1] return list and list[#list].name == "done" end)
			client:close()
		end
		assert.same({ "exited", 0 }, { i:ended() })
	end)

	it("drains: waits until the backend says that no kernel is at work, then stops", function ()
		local i = K.new()
		i:start()
		local b = i:backend()
		b:spawn { id = "busy", sh = "exec sleep 1000" }
		b:event("busy", "ready")
		b:send("heartbeat", { seq = 1, count = 0 })
		local d = i:door()
		d:send("door", { req = 1, verb = "drain" })
		b:message("drain")
		b:send("heartbeat", { seq = 2, count = 0 })      -- said before it heard of the drain: not counted
		b:send("heartbeat", { seq = 3, count = 1, on = 1 })
		assert.equal("ready", b:rows()["busy"].state)
		assert.equal("draining", i:row("keeper").state)
		-- a backend that dies meanwhile ends no drain: the next one hears of it
		t.signal(b.pid, KILL)
		b:closed()
		b = i:backend()
		b:message("drain")
		b:send("heartbeat", { seq = 1, count = 2, on = 1 })
		assert.equal("ready", b:rows()["busy"].state)
		assert.equal("draining", i:row("keeper").state)
		b:send("heartbeat", { seq = 2, count = 0, on = 1 })
		b:ack(b:event("busy", "exited").seq)
		d:wait("done", function () local list = d.answers[1] return list and list[#list].name == "done" end)
		assert.equal("no kernel is at work any more", notes_of(d.answers[1])[1])
		d:close()
		assert.same({ "exited", 0 }, { i:ended() })
	end)

	it("has the logs opened anew after they were moved away", function ()
		local i = K.new()
		i:start()
		i:backend()
		i:logged("keeper", "says hello")
		os.rename(i.dir .. "/run/keeper.log", i.dir .. "/run/keeper.log.old")
		assert.equal("done", i:order("reopen").name)
		helper.wait_for("a new file", function ()
			i:order("dance")
			return i:log():find("dance")
		end)
	end)
end)
