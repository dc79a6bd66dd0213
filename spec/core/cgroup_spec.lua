-- Boxes: the same specs in every mode that this machine offers (v2 for real in the virtual machine of `make test-vm`).
local helper = require "spec.helper"
local cgroup = require "t_cgroup"

local MB = 1 << 20
local SIGKILL = 9
local E = { SRCH = 3, BUSY = 16, INVAL = 22, NOTSUP = 95 }
local LUA = "/usr/bin/lua5.4"

local count = 0
local function new_name()
	count = count + 1
	return ("dss-spec-%d-%d"):format(cgroup.pid(), count)
end

--- Lua that fills `mb` megabytes and then keeps them.
local function hold(mb) return ("local t = {} for i = 1, %d do t[i] = ('x'):rep(1 << 20) .. i end io.popen('sleep 1000'):read()"):format(mb) end

--- A child that runs a Lua text from the repository's root, as a process of its own; its output.
local function in_child(text)
	local p = assert(io.popen(('DSS_BUILD=%s LD_PRELOAD="$DSS_SAN_PRELOAD" %s - 2>&1 <<"END"\n%s\nEND\n'):format(helper.build, LUA, text)))
	local out = p:read("a")
	p:close()
	return out
end

local offered = {}
for _, mode in ipairs { "v2", "hybrid", "v1", "none" } do
	local name = new_name()
	local cg = cgroup.open(name, mode)
	if cg then
		offered[#offered + 1] = mode
		assert(cg:remove(""))
		cg:close()
	end
end

for _, mode in ipairs(offered) do
	describe("boxes (" .. mode .. ")", function()
		local name, cg, pids

		before_each(function()
			name, pids = new_name(), {}
			cg = assert(cgroup.open(name, mode))
		end)

		local function ended(pid)
			local how, what = helper.wait_for("the end of pid " .. pid, function() return cgroup.ended(pid) end, 60)
			pids[pid] = nil
			return how, what
		end

		local function remove(path)
			helper.wait_for("removal of box " .. path, function()
				local ok, text, code = cg:remove(path)
				assert(ok or code == E.BUSY, text)
				return ok, text
			end)
		end

		after_each(function()
			assert(cg:kill(""))
			for pid in pairs(pids) do
				cgroup.signal(pid, SIGKILL)
				ended(pid)
			end
			helper.wait_for("all boxes to be empty", function() return cg:is_empty("") end)
			remove("")
			cg:close()
		end)

		local function spawn(path, ...)
			local pid = assert(cg:spawn(path, ...))
			pids[pid] = true
			return pid
		end

		local function sh(path, text) return spawn(path, "/bin/sh", "-c", text) end
		local function lua(path, text) return spawn(path, LUA, "-e", text) end
		local function used(path) return assert(cg:usage(path)) end
		local function holds(path, mb)
			helper.wait_for(("box %s to hold %d MB"):format(path, mb), function() return used(path).memory_bytes > mb * MB end, 60)
		end

		it("are made with their parents and listed children first", function()
			assert(cg:make("run/p1/job-1"))
			assert(cg:make("run/p1/job-2"))
			assert(cg:make("run/p1/job-2"), "an existing one is fine")
			local at = {}
			for i, path in ipairs(assert(cg:each())) do at[path] = i end
			assert.is_true(at["run/p1/job-1"] < at["run/p1"])
			assert.is_true(at["run/p1/job-2"] < at["run/p1"])
			assert.is_true(at["run/p1"] < at["run"])
			remove("run")
			assert.same({}, cg:each())
		end)

		it("hold the process that is born into them", function()
			assert(cg:make("warm/k1"))
			assert.is_true(cg:is_empty("warm/k1"))
			local pid = spawn("warm/k1", "/bin/sleep", "1000")
			assert.same({ pid }, (cg:members("warm/k1")))
			assert.is_false(cg:is_empty("warm/k1"))
			assert.is_false(cg:is_empty("warm"), "members below count")
			assert(cg:kill("warm/k1"))
			assert.same({ "killed", SIGKILL }, { ended(pid) })
			assert.is_true(cg:is_empty("warm/k1"))
		end)

		it("count members beyond the room that is given", function()
			assert(cg:make("a/b"))
			for _ = 1, 3 do spawn("a/b", "/bin/sleep", "1000") end
			local some, n = cg:members("a", 2)
			assert.equal(2, #some)
			assert.equal(3, n)
			some, n = cg:members("a/none")
			assert.same({}, some)
			assert.equal(0, n)
		end)

		it("tell what they use", function()
			assert(cg:make("warm/k1"))
			lua("warm/k1", hold(50))
			holds("warm/k1", 50)
			local u = used("warm/k1")
			assert.is_true(u.memory_bytes < 150 * MB, "memory " .. u.memory_bytes)
			assert.is_true(u.memory_bytes <= u.current_bytes)
			assert.is_true(u.peak_bytes == -1 or u.peak_bytes >= 50 * MB)
			-- v1 brings memory.stat up to date in batches
			helper.wait_for("resident memory", function() return used("warm/k1").rss_bytes >= 50 * MB end)
			assert.is_true(u.pids >= 1 and u.pids < 10)
			helper.wait_for("some CPU time", function() return used("warm/k1").cpu_ms > 0 end)
			assert.equal(-1, u.limit_bytes)
			assert.is_true(used("warm").memory_bytes >= 50 * MB, "boxes below are summed")
		end)

		it("are empty and can go while a member is a zombie", function()
			assert(cg:make("warm/k1"))
			local pid = spawn("warm/k1", "/bin/true")
			helper.wait_for("the box to be empty", function() return cg:is_empty("warm/k1") end)
			remove("warm/k1")
			assert.is_true(cg:is_empty("warm/k1"))
			assert.same({ "exited", 0 }, { ended(pid) })
		end)

		it("stay whole when their removal is refused", function()
			assert(cg:make("warm/k1"))
			local pid = spawn("warm/k1", "/bin/sleep", "1000")
			local ok, text, code = cg:remove("warm")
			assert.is_nil(ok)
			assert.equal(E.BUSY, code)
			assert.matches("warm", text)
			assert.same({ pid }, (cg:members("warm/k1")))
			spawn("warm/k1", "/bin/sleep", "1000")
			assert(cg:kill("warm"))
			remove("warm")
			assert.same({}, cg:each())
			assert(cg:remove("warm"), "a missing one is fine")
		end)

		it("are killed as a whole, also while members fork", function()
			assert(cg:make("run/bomb"))
			if cg:has("pids") then assert(cg:set("run/bomb", "pids", 300)) end
			local daemon = mode == "none" and "" or "setsid "
			sh("run/bomb", ("i=0; while [ $i -lt 50 ]; do (%ssleep 1000 &); i=$((i+1)); done; while :; do (exit 0); done"):format(daemon))
			helper.wait_for("twenty members", function() return select(2, cg:members("run/bomb")) >= 20 end, 30)
			helper.wait_for("an empty box", function()
				assert(cg:kill("run/bomb"))
				return cg:is_empty("run/bomb")
			end)
			assert.equal(0, select(2, cg:members("run/bomb")))
		end)

		it("stand still while frozen and go on after", function()
			local file = helper.build .. "/" .. name .. ".count"
			assert(cg:make("a"))
			local here = assert(io.popen("pwd")):read("l")
			local path = file:sub(1, 1) == "/" and file or here .. "/" .. file
			sh("a", ("i=0; while :; do echo $i > %s; i=$((i+1)); done"):format(path))
			local t = require "t_wait"
			helper.wait_for("counting", function() return tonumber(helper.read(file) or "") end)
			assert(cg:freeze("a", true))
			local stood
			helper.wait_for("the box to stand still", function()
				stood = helper.read(file)
				t.pause(0.2)
				return stood == helper.read(file)
			end)
			assert(cg:freeze("a", false))
			helper.wait_for("the box to go on", function() return helper.read(file) ~= stood end)
			assert(cg:freeze("a", true))
			assert(cg:kill("a"), "a frozen box dies too")
			helper.wait_for("an empty box", function() return cg:is_empty("a") end)
			os.remove(file)
		end)

		it("refuse paths that are no ids", function()
			for _, bad in ipairs { "/", "a/", "/a", "a//b", "..", "a/../b", "a/./b", ".", "-a", "a b", "a\nb", "ä", "../" .. name, "a/b/c/d/e/f/g/h",
				("x"):rep(129), ("y/"):rep(600) .. "y" } do
				for _, call in ipairs { "make", "usage", "kill", "is_empty", "members", "remove", "mark", "attach", "spawn", "oom_fd" } do
					local ok, text, code = cg[call](cg, bad, call == "spawn" and "/bin/true" or nil)
					assert.is_nil(ok, call .. " took " .. bad)
					assert.matches("unable to use", text)
					assert.equal(E.INVAL, code)
				end
				assert.is_nil((cg:set(bad, "memory", MB)))
				assert.equal("", cg:where(bad))
			end
			assert.same({}, cg:each())
		end)

		it("never kill the one who asks", function()
			local out = in_child(([[
				require "spec.helper"
				local c = require "t_cgroup"
				local cg = assert(c.open("%s-in", "%s"))
				assert(cg:make("core/keeper"))
				assert(cg:attach("core/keeper"))
				for _, path in ipairs { "core/keeper", "core", "" } do
					local ok, text, code = cg:kill(path)
					print(ok, code, text)
				end
			]]):format(name, mode))
			local n = select(2, out:gsub("nil\t22\tunable to kill box \"[^\n]-\": the caller lives in it", ""))
			assert.equal(3, n, out)
			local other = assert(cgroup.open(name .. "-in", mode))
			helper.wait_for("the child's tree to go", function() return other:remove("") end)
			other:close()
		end)

		it("refuse limits out of range", function()
			assert(cg:make("a"))
			for _, case in ipairs { { "memory", -2 }, { "pids", -5 }, { "cpu", 9 }, { "cpu_weight", 0 }, { "cpu_weight", 10001 }, { "cpu_weight", -1 } } do
				local ok, text, code = cg:set("a", case[1], case[2])
				assert.is_nil(ok)
				assert.equal(E.INVAL, code, text)
			end
		end)

		if mode == "none" then
			it("say that they limit nothing and see no memory events", function()
				assert(cg:make("a"))
				for _, knob in ipairs { "memory", "swap", "pids", "cpu", "cpu_weight" } do
					assert.is_false(cg:has(knob))
					assert.equal(E.NOTSUP, (select(3, cg:set("a", knob, 100))))
				end
				assert.equal(E.NOTSUP, (select(3, cg:oom_fd("a"))))
				assert.equal("", cg:where("a"))
				local u = used("a")
				assert.equal(-1, u.oom_kills)
				assert.equal(-1, u.limit_bytes)
				assert.same({ kills = 0, owner = "", owner_limit_bytes = -1 }, cg:since("a", assert(cg:mark("a"))))
			end)

			it("hold what their members started, also after a leader is gone", function()
				assert(cg:make("a"))
				local pid = sh("a", "sleep 1000 & exit 0")
				assert.same({ "exited", 0 }, { ended(pid) })
				local members = cg:members("a")
				assert.equal(1, #members)
				assert.not_equal(pid, members[1])
			end)
			return
		end

		it("are directories that an admin can look at", function()
			assert(cg:make("warm/k1"))
			assert.matches("/" .. name:gsub("%-", "%%-") .. "/warm/k1$", cg:where("warm/k1"))
			assert.is_truthy(helper.read(cg:where("warm/k1") .. "/cgroup.procs"))
			assert.is_true(cg:has("memory"))
		end)

		it("are found by another handle of the same name", function()
			assert(cg:make("warm/k1"))
			local other = assert(cgroup.open(name, mode))
			assert.same({ "warm/k1", "warm" }, other:each())
			other:close()
		end)

		it("kill for memory what grows beyond its own limit, and name it", function()
			assert(cg:make("run/p1/job-1"))
			assert(cg:set("run/p1", "memory", 400 * MB))
			assert(cg:set("run/p1/job-1", "memory", 40 * MB))
			assert.equal(40 * MB, used("run/p1/job-1").limit_bytes)
			local mark = assert(cg:mark("run/p1/job-1"))
			local pid = lua("run/p1/job-1", hold(100))
			assert.same({ "killed", SIGKILL }, { ended(pid) })
			local oom = assert(cg:since("run/p1/job-1", mark))
			assert.is_true(oom.kills >= 1)
			assert.equal("run/p1/job-1", oom.owner)
			assert.equal(40 * MB, oom.owner_limit_bytes)
			local u = used("run/p1/job-1")
			assert.is_true(u.oom_kills >= 1)
			assert.is_true(u.peak_bytes == -1 or u.peak_bytes >= 39 * MB)
			assert.equal(0, assert(cg:since("run/p1/job-1", assert(cg:mark("run/p1/job-1")))).kills)
		end)

		it("name the level above whose limit was hit", function()
			assert(cg:make("run/p1/job-1"))
			assert(cg:set("run", "memory", 400 * MB))
			assert(cg:set("run/p1", "memory", 40 * MB))
			assert(cg:set("run/p1/job-1", "memory", 200 * MB))
			local mark = assert(cg:mark("run/p1/job-1"))
			local pid = lua("run/p1/job-1", hold(100))
			assert.same({ "killed", SIGKILL }, { ended(pid) })
			local oom = assert(cg:since("run/p1/job-1", mark))
			assert.is_true(oom.kills >= 1)
			assert.equal("run/p1", oom.owner)
			assert.equal(40 * MB, oom.owner_limit_bytes)
		end)

		it("let their maker leave, so that the whole tree can go", function()
			local out = in_child(([[
				require "spec.helper"
				local c = require "t_cgroup"
				local cg = assert(c.open("%s-in", "%s"))
				assert(cg:make("core/keeper"))
				assert(cg:attach("core/keeper"))
				print("inside", select(3, cg:remove("")))
				assert(cg:leave())
				require("spec.helper").wait_for("the tree to go", function() return cg:remove("") end)
				print("gone", io.open(cg:where("") .. "/cgroup.procs") == nil)
			]]):format(name, mode))
			assert.equal("inside\t16\ngone\ttrue\n", out)
		end)

		it("name the tree's root by a dot", function()
			assert(cg:make("a"))
			assert(cg:set("", "memory", 40 * MB))
			local mark = assert(cg:mark("a"))
			ended(lua("a", hold(100)))
			assert.equal(".", assert(cg:since("a", mark)).owner)
		end)

		it("tell the leaf that grew from the neighbour that died", function()
			assert(cg:make("run/p1/big"))
			assert(cg:make("run/p1/growing"))
			assert(cg:set("run/p1", "memory", 100 * MB))
			local big = lua("run/p1/big", hold(60))
			holds("run/p1/big", 60)
			local mark_big, mark_growing = assert(cg:mark("run/p1/big")), assert(cg:mark("run/p1/growing"))
			lua("run/p1/growing", hold(55))
			assert.same({ "killed", SIGKILL }, { ended(big) })
			local oom = assert(cg:since("run/p1/big", mark_big))
			assert.is_true(oom.kills >= 1)
			assert.equal("run/p1", oom.owner)
			holds("run/p1/growing", 55)
			oom = assert(cg:since("run/p1/growing", mark_growing))
			assert.equal(0, oom.kills)
			assert.equal("", oom.owner)
		end)

		it("do not blame a leaf later for what happened above it before", function()
			assert(cg:make("run/p1/a"))
			assert(cg:make("run/p1/b"))
			assert(cg:set("run/p1", "memory", 60 * MB))
			local mark = assert(cg:mark("run/p1/b"))
			ended(lua("run/p1/a", hold(100)))
			assert(cg:set("run/p1/b", "memory", 30 * MB))
			ended(lua("run/p1/b", hold(100)))
			assert.equal("run/p1/b", assert(cg:since("run/p1/b", mark)).owner)
		end)

		it("compare with a mark that another handle wrote down", function()
			assert(cg:make("run/p1/job-1"))
			assert(cg:set("run/p1", "memory", 40 * MB))
			local before = assert(cgroup.open(name, mode))
			local mark = assert(before:mark("run/p1/job-1"))
			before:close()
			ended(lua("run/p1/job-1", hold(100)))
			assert.equal("run/p1", assert(cg:since("run/p1/job-1", mark)).owner)
			local ok, _, code = cg:since("run", mark)
			assert.is_nil(ok)
			assert.equal(E.INVAL, code)
		end)

		it("change their memory limit while running, both ways", function()
			assert(cg:make("a"))
			for _, limit in ipairs { 100, 50, 200, -1, 64, 32, 300 } do
				local bytes = limit < 0 and -1 or limit * MB
				assert(cg:set("a", "memory", bytes))
				assert.equal(bytes, used("a").limit_bytes)
			end
			assert(cg:set("a", "swap", 10 * MB))
			assert(cg:set("a", "memory", 50 * MB))
			assert(cg:set("a", "memory", 400 * MB))
			assert(cg:set("a", "swap", 0))
			assert(cg:set("a", "swap", -1))
			assert(cg:set("a", "memory", 20 * MB))
			assert.equal(20 * MB, used("a").limit_bytes)
		end)

		it("refuse a memory limit below what is in use, and kill nobody for it", function()
			assert(cg:make("a"))
			assert(cg:set("a", "memory", 200 * MB))
			local pid = lua("a", hold(50))
			holds("a", 50)
			local ok, text, code = cg:set("a", "memory", 20 * MB)
			assert.is_nil(ok)
			assert.equal(E.BUSY, code)
			assert.matches("in use and cannot be reclaimed", text)
			assert.equal(200 * MB, used("a").limit_bytes)
			assert.is_false(cgroup.ended(pid))
			assert.equal(0, used("a").oom_kills)
		end)

		it("refuse forks beyond their limit of processes and count them", function()
			if not cg:has("pids") then return pending("no pids controller here") end
			assert(cg:make("a"))
			assert(cg:set("a", "pids", 5))
			sh("a", "i=0; while [ $i -lt 20 ]; do sleep 1000 & i=$((i+1)); done; wait")
			helper.wait_for("refused forks", function() return used("a").pids_refused >= 1 end)
			assert.is_true(used("a").pids <= 5)
			assert(cg:set("a", "pids", -1))
		end)

		it("limit and weigh CPU", function()
			if not cg:has("cpu") then return pending("no cpu controller here") end
			assert(cg:make("a/b"))
			assert(cg:set("a", "cpu", 1500))
			assert(cg:set("a/b", "cpu", 500))
			assert(cg:set("a/b", "cpu_weight", 300))
			local where = cg:where("a/b"):gsub("/memory/", "/cpu/")
			local quota = helper.read(where .. "/cpu.max") or helper.read(where .. "/cpu.cfs_quota_us")
			assert.matches("^50000%s", quota)
			local weight = helper.read(where .. "/cpu.weight") or helper.read(where .. "/cpu.shares")
			assert.is_true(weight == "300\n" or weight == "3072\n", weight)
			assert(cg:set("a/b", "cpu", -1))
		end)

		it("take no more CPU than the levels above have, whatever was asked for them", function()
			if not cg:has("cpu") then return pending("no cpu controller here") end
			assert(cg:make("a/b/c"))
			assert(cg:set("a", "cpu", 1000))
			assert(cg:set("a/b", "cpu", 4000))
			assert(cg:set("a/b/c", "cpu", 800))
			assert(cg:set("a", "cpu", 500))
			local function least(path)
				local n
				for _, at in ipairs { "a", "a/b", "a/b/c" } do
					local where = cg:where(at):gsub("/memory/", "/cpu/")
					local quota = tonumber((helper.read(where .. "/cpu.max") or helper.read(where .. "/cpu.cfs_quota_us")):match "^%-?%d+")
					if quota and quota > 0 then n = math.min(n or quota, quota) end
					if at == path then return n end
				end
			end
			assert.same({ 50000, 50000, 50000 }, { least "a", least "a/b", least "a/b/c" })
			assert(cg:set("a", "cpu", -1))
			assert(cg:set("a/b", "cpu", 3000))
			assert(cg:set("a/b/c", "cpu", 2000))
			assert.same({ 300000, 200000 }, { least "a/b", least "a/b/c" })
		end)

		if mode == "v2" then
			it("die as a group where one of them ran out of memory", function()
				assert(cg:make("a"))
				assert(cg:set("a", "memory", 40 * MB))
				assert.equal("0\n", helper.read(cg:where("a") .. "/memory.swap.max"))
				local sleeper = spawn("a", "/bin/sleep", "1000")
				local pid = lua("a", hold(100))
				assert.same({ "killed", SIGKILL }, { ended(pid) })
				assert.same({ "killed", SIGKILL }, { ended(sleeper) })
				assert.equal(E.NOTSUP, (select(3, cg:oom_fd("a"))))
			end)

			it("do not die as a group across boxes that once were leaves", function()
				assert(cg:make("a"))
				assert.equal("1\n", helper.read(cg:where("a") .. "/memory.oom.group"))
				assert(cg:make("a/b"))
				assert.equal("0\n", helper.read(cg:where("a") .. "/memory.oom.group"))
				assert.equal("1\n", helper.read(cg:where("a/b") .. "/memory.oom.group"))
			end)

			it("live below a delegated cgroup once their maker has moved to a leaf", function()
				local above = cg:where(""):match("^(.*)/") .. "/" .. name .. "-deleg"
				assert.is_true(cgroup.mkdir(above))
				assert(cg:make("a"), "which hands the controllers on to all of the root")
				local out = in_child(([[
					require "spec.helper"
					local c = require "t_cgroup"
					local f = io.open("%s/cgroup.procs", "w")
					f:write(c.pid()) f:close()
					-- popen's shell stays outside; this process is alone here
					local cg, note = assert(c.open("dss-in", "v2"))
					print("note", note == "", note)
					print("where", cg:where("a"))
					assert(cg:make("core/keeper"))
					assert(cg:make("warm/k1"))
					local ok, text, code = cg:set("warm/k1", "memory", 1 << 26)
					print("early", ok, code)
					assert(cg:attach("core/keeper"))
					assert(cg:make("warm/k1"))
					assert(cg:set("warm/k1", "memory", 1 << 26))
					assert(cg:set("core/keeper", "memory", 1 << 28))
					print("limit", cg:usage("warm/k1").limit_bytes)
					local again = assert(c.open("dss-in", "v2"))
					print("again", again:where("a"), select(3, again:kill("")))
				]]):format(above))
				assert.matches("note\ttrue", out)
				assert.matches("early\tnil\t95", out)
				assert.matches("limit\t67108864", out)
				local where = out:match("where\t([^\n]*)")
				assert.equal(above .. "/dss-in/a", where)
				assert.matches("again\t" .. where:gsub("%p", "%%%0") .. "\t22", out)
				for _, sub in ipairs { "/dss-in/core/keeper", "/dss-in/core", "/dss-in/warm/k1", "/dss-in/warm", "/dss-in", "" } do
					helper.wait_for("removal of " .. above .. sub, function() return cgroup.rmdir(above .. sub) end)
				end
			end)
			return
		end

		it("wake an eventfd when memory ran out in them or above", function()
			assert(cg:make("a/b"))
			assert(cg:make("a/c"))
			assert(cg:set("a", "memory", 60 * MB))
			local fd_b, fd_c = assert(cg:oom_fd("a/b")), assert(cg:oom_fd("a/c"))
			assert(cg:set("a/b", "memory", 30 * MB))
			assert.is_false(cgroup.is_readable(fd_b))
			ended(lua("a/b", hold(100)))
			assert.is_true(cgroup.is_readable(fd_b))
			assert.is_false(cgroup.is_readable(fd_c), "not a neighbour's")
			ended(lua("a/c", hold(100)))
			assert.is_true(cgroup.is_readable(fd_c), "the limit was that of the level above")
			cgroup.close_fd(fd_b)
			cgroup.close_fd(fd_c)
		end)

		it("stay out of swap, also below one that may swap", function()
			assert(cg:make("a/b"))
			assert.equal("0\n", helper.read(cg:where("a/b") .. "/memory.swappiness"))
			assert(cg:set("a", "memory", 60 * MB))
			assert(cg:set("a", "swap", 10 * MB))
			assert(cg:make("a/c"))
			assert.equal("0\n", helper.read(cg:where("a/c") .. "/memory.swappiness"))
		end)

		it("name the level that ran out also where its limit was set by hand", function()
			assert(cg:make("a/b"))
			local mark = assert(cg:mark("a/b"))
			local f = assert(io.open(cg:where("a") .. "/memory.limit_in_bytes", "w"))
			f:write(tostring(30 * MB))
			f:close()
			ended(lua("a/b", hold(100)))
			local oom = assert(cg:since("a/b", mark))
			assert.same({ 1, "a" }, { oom.kills, oom.owner })
		end)

		it("do not take a full page cache for the cause of a death", function()
			local file = helper.build .. "/" .. name .. ".sparse"
			local f = assert(io.open(file, "wb"))
			f:seek("set", 200 * MB)
			f:write("x")
			f:close()
			assert(cg:make("a/b"))
			assert(cg:set("a", "memory", 60 * MB))
			assert(cg:set("a/b", "memory", 20 * MB))
			local mark = assert(cg:mark("a/b"))
			local here = assert(io.popen("pwd")):read("l")
			ended(sh("a/b", ("cat %s > /dev/null"):format(file:sub(1, 1) == "/" and file or here .. "/" .. file)))
			os.remove(file)
			assert.equal(0, assert(cg:since("a/b", mark)).kills)
			assert(cg:set("a/b", "memory", 200 * MB))
			ended(lua("a/b", hold(100)))
			assert.equal("a", assert(cg:since("a/b", mark)).owner)
		end)
	end)
end

describe("opening boxes", function()
	it("takes the best mode that the machine offers by itself", function()
		local cg, note = assert(cgroup.open(new_name(), "auto"))
		assert.equal(offered[1], cg:mode())
		if offered[1] == "none" then assert.is_true(#note > 0, "no word on why nothing is limited") end
		assert(cg:remove(""))
		cg:close()
	end)

	it("refuses names and modes that it does not know", function()
		for _, bad in ipairs { "", "..", "a/b", ".a", "a b" } do
			local cg, text = cgroup.open(bad, "auto")
			assert.is_nil(cg)
			assert.matches("is no id", text)
		end
		local cg, text = cgroup.open(new_name(), "v3")
		assert.is_nil(cg)
		assert.matches('unknown mode "v3"', text)
	end)

	it("says why a mode that was asked for by name cannot be had", function()
		local has = {}
		for _, mode in ipairs(offered) do has[mode] = true end
		for _, mode in ipairs { "v2", "hybrid", "v1" } do
			local cg, text = cgroup.open(new_name(), mode)
			assert.equal(has[mode] or false, cg ~= nil)
			if cg then
				assert(cg:remove(""))
				cg:close()
			else
				assert.matches("^unable to .*: .+", text)
			end
		end
	end)
end)
