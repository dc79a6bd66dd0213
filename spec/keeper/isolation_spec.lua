-- Started as root: what the run user's processes cannot do. Uses accounts that exist; makes none.
local helper = require "spec.helper"
local K = require "spec.keeper.instance"
local t = require "t_keeper"

local function account(...)
	for _, name in ipairs { ... } do
		local uid, gid = ("\n" .. helper.read("/etc/passwd")):match("\n" .. name:gsub("%-", "%%-") .. ":[^:]*:(%d+):(%d+):")
		if uid then return { name = name, uid = tonumber(uid), gid = tonumber(gid) } end
	end
end
local control, run = account("dss", "daemon"), account("dss-run", "nobody")

if K.is_root and control and run then
	describe("a process of the run user", function ()
		local i, b
		local EPERM, EACCES = 1, 13

		setup(function ()
			i = K.new { control_user = control.name, run_user = run.name, services = function (plan)
				plan.order[3] = "rooted"
				plan.services.rooted = { argv = { "/bin/sleep", "1000" }, user = "root", box = "core/rooted", sink = "null" }
				plan.order[4] = "served"
				plan.services.served = { argv = { "/bin/sh", "-c", "sleep 1000 & exec sleep 1001" }, user = run.name, box = "core/served", sink = "null" }
			end }
			for _, sub in ipairs { "run", "jobs", "db" } do
				t.chown(i.dir .. "/" .. sub, control.uid, control.gid)
				t.chmod(i.dir .. "/" .. sub, 488) -- 0750
			end
			helper.write(i.dir .. "/config/admin.key", "the admin's key")
			t.chown(i.dir .. "/config/admin.key", control.uid, control.gid)
			t.chmod(i.dir .. "/config/admin.key", 384) -- 0600
			helper.write(i.dir .. "/db/dss.sqlite", "the store")
			t.chown(i.dir .. "/db/dss.sqlite", control.uid, control.gid)
			t.mkdir(i.dir .. "/bin")
			os.execute(("cp /usr/bin/id %s/bin/id && chmod 4755 %s/bin/id"):format(i.dir, i.dir))
			t.mkdir(i.dir .. "/own")
			t.chown(i.dir .. "/own", run.uid, run.gid)
			i:start()
			b = i:backend()
		end)
		teardown(function () i:finish() end)

		local count = 0
		--- What Lua code of the run user leaves in a file: the results of its attempts.
		local function try(code)
			count = count + 1
			local id = "try-" .. count
			local out = i.dir .. "/own/" .. id
			b:spawn { id = id, lua = ("local function done(s) local f = io.open(%q, 'w') f:write(tostring(s)) f:close() end %s"):format(out, code) }
			local e = b:event(id, "exited")
			assert.same({ id, "exited", 0, run.name }, { id, e.cause, e.code, e.user })
			b:ack(e.seq)
			return helper.read(out)
		end

		it("is nobody but that user, without rights to gain any", function ()
			local text = try("done(io.open('/proc/self/status'):read('a'))")
			assert.equal(("%d\t%d\t%d\t%d"):format(run.uid, run.uid, run.uid, run.uid), text:match("Uid:\t([%d\t]+)"))
			assert.equal("1", text:match("NoNewPrivs:\t(%d)"))
			assert.equal("0000000000000000", text:match("CapEff:\t(%x+)"))
			assert.equal("users", b.welcome.isolation)
			local back = t.process(b.pid)
			assert.equal(control.uid, back.uid)
			assert.equal(control.uid, t.process(i:row("logger").pid).uid)
			assert.equal(0, t.process(i:row("rooted").pid).uid)
		end)

		it("gains nothing from a setuid program", function ()
			assert.equal(tostring(run.uid), (try(("done(io.popen('%s/bin/id -u'):read('a'))"):format(i.dir)):gsub("%s", "")))
		end)

		it("reads no key, no store, no log, and does not reach the keeper's door", function ()
			for _, path in ipairs { "config/admin.key", "db/dss.sqlite", "run/keeper.log", "run/keeper.lock" } do
				assert.is_truthy(io.open(i.dir .. "/" .. path), path .. " is there")
				assert.equal("13", try(("local f, text, code = io.open(%q) done(code)"):format(i.dir .. "/" .. path)), path)
			end
			assert.equal("13", try(("local fd, text, code = t.connect(%q) done(code)"):format(i.dir .. "/run/keeper.sock")))
		end)

		it("can neither signal nor trace keeper, backend and logger, nor read their environment", function ()
			for name, pid in pairs { keeper = i.pid, backend = b.pid, logger = i:row("logger").pid } do
				assert.equal(tostring(EPERM), try(("done(t.attempt('kill', %d))"):format(pid)), "signal to " .. name)
				assert.equal(tostring(EPERM), try(("done(t.attempt('ptrace', %d))"):format(pid)), "trace of " .. name)
				assert.equal(tostring(EACCES), try(("local f, text, code = io.open('/proc/%d/environ') if f then f, text, code = f:read(1) end done(code)"):format(pid)), name)
			end
		end)

		it("cannot change the limits of its own box, nor leave it", function ()
			if b.welcome.cgroups == "none" then return end
			b:spawn { id = "boxed", limit = { "memory=100000000", "pids=50" }, sh = "exec sleep 1000" }
			b:event("boxed", "ready")
			local files = 0
			for root in i:boxes():gmatch("[^\n]+") do
				for _, name in ipairs { "memory.limit_in_bytes", "memory.max", "pids.max", "cpu.max", "cgroup.procs", "cgroup.kill", "memory.oom_control", "tasks" } do
					local path = root .. "/warm/boxed/" .. name
					local f = io.open(path)
					if f or name == "cgroup.kill" then
						if f then f:close() end
						files = files + 1
						local code = try(("local f, text, code = io.open(%q, 'w') done(code)"):format(path))
						assert.is_true(code == "13" or code == "2", path .. ": " .. code)
					end
				end
				local code = try(("local f, text, code = io.open(%q, 'w') done(code)"):format(root .. "/cgroup.procs"))
				assert.is_true(code == "13", root .. ": " .. code)
			end
			assert.is_true(files >= 3)
			b:stop("boxed")
			b:event("boxed", "exited")
		end)

		it("is the only one an order may name: not root, not the control user, nobody else, and not nobody at all", function ()
			for _, user in ipairs { "root", control.name, "no-such-user", "" } do
				local answer = b:ask("spawn", { id = "as-other", kind = "k", argv = { "/bin/true" }, box = "warm/as-other", sink = "null", user = user })
				assert.equal("fail", answer.name, user)
				assert.is_truthy(answer.text:find(("user \"%s\""):format(user), 1, true), answer.text)
			end
			local answer = b:ask("spawn", { id = "as-other", kind = "k", argv = { "/bin/true" }, box = "warm/as-other", sink = "null" })
			assert.equal("fail", answer.name)
			assert.is_nil(b:rows()["as-other"])
		end)

		it("is nothing to adopt unless it is one: not the keeper, nor what runs for the node or as root", function ()
			for name, pid in pairs { keeper = i.pid, backend = b.pid, logger = i:row("logger").pid, rooted = i:row("rooted").pid } do
				local text = b:refused("box", { id = "thief", pid = pid, box = "warm/thief", kind = "notebook", limit = "memory=4096" })
				assert.is_truthy(text:find("adopted") or text:find("no user that orders may name"), name .. ": " .. text)
			end
			local main = i:row_where("served", "ready", function (r) return r.state == "ready" end).pid
			local pid = helper.wait_for("its child", function ()
				for _, other in ipairs(i:pids("served")) do
					if other ~= main and t.process(other).comm == "sleep" then return other end
				end
			end)
			b:must("box", { id = "nb", pid = pid, box = "run/nb", kind = "notebook" })
			assert.same({ pid, run.name }, { b:rows()["nb"].pid, b:rows()["nb"].user })
		end)

		it("keeps its user and its limits over an exec in place of the keeper", function ()
			assert.equal("done", i:order("restart", "keeper").name)
			i:logged("keeper", "took over")
			assert.is_truthy(try("done(io.open('/proc/self/status'):read('a'))"):find("NoNewPrivs:\t1"))
			assert.is_truthy(b:refused("spawn", { id = "as-root", kind = "k", argv = { "/bin/true" }, box = "warm/x", sink = "null", user = "root" }):find("root"))
		end)
	end)

	describe("the keeper's socket taken by a process of the run user while no keeper lives", function ()
		local PYTHON = "/usr/bin/python3"
		local function squat(id, before)
			return ([[
import ctypes, os, signal, socket, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
%s
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
while True:
    try:
        s.bind("\0dss-%s-notify")
        break
    except OSError:
        time.sleep(0.01)
ctypes.CDLL(None).prctl(15, b"squatter", 0, 0, 0)
time.sleep(1000)
]]):format(before, id)
		end
		local function is_squatting(pid)
			local p = t.process(pid)
			return p and p.comm == "squatter"
		end

		it("holds up no start where a dead keeper left that process, and is named otherwise", function ()
			local i = K.new { control_user = control.name, run_user = run.name }
			for _, sub in ipairs { "run", "jobs" } do t.chown(i.dir .. "/" .. sub, control.uid, control.gid) end
			i:start()
			local b = i:backend()
			b:spawn { id = "squatter", argv = { PYTHON, "-c", squat(i.id, "") } }
			local pid = b:event("squatter", "ready").pid
			i:kill_keeper()
			b:close()
			helper.wait_for("the squatter", function () return is_squatting(pid) end)
			i:start()
			i:backend()
			assert.same({}, i:pids("squatter"))
			i:finish()

			i = K.new { control_user = control.name, run_user = run.name }
			pid = t.run({ PYTHON, "-c", squat(i.id, ("os.setuid(%d)"):format(run.uid)) }, {})
			helper.wait_for("the stranger", function () return is_squatting(pid) end)
			i:launch()
			assert.same({ "exited", 1 }, { i:ended() })
			assert.is_truthy(i:stderr():find(("is held by pid %d %%(squatter, user %s%%), which is no keeper: stop it"):format(pid, (run.name:gsub("%-", "%%-")))), i:stderr())
			t.signal(pid, 9)
			helper.wait_for("its end", function () return t.ended(pid) end)
			i:finish()
		end)
	end)

	describe("a plan with users", function ()
		it("whose user does not exist, or that nobody may use, is refused", function ()
			local i = K.new { control_user = control.name, run_user = "dss-no-such-user" }
			i:launch()
			assert.same({ "exited", 1 }, { i:ended() })
			assert.is_truthy(i:stderr():find('unable to find user "dss%-no%-such%-user"'), i:stderr())
			i:finish()
			-- root on the list of allowed users stays out of the backend's reach
			i = K.new { control_user = control.name, run_user = "root" }
			for _, sub in ipairs { "run", "jobs" } do t.chown(i.dir .. "/" .. sub, control.uid, control.gid) end
			i:start()
			local b = i:backend()
			assert.is_truthy(b:refused("spawn", { id = "x", kind = "k", argv = { "/bin/true" }, box = "warm/x", sink = "null", user = "root" }):find("may not run processes by order"))
			i:finish()
		end)
	end)
end
