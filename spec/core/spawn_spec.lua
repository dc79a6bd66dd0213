-- spawn: a process from a full description, born by clone3 or by fork.
local helper = require "spec.helper"
local t = require "t_sys"
local p = require "t_spawn"

local JOIN, RLIMIT, CWD, FDS, EXEC = 0, 2, 3, 4, 6
local EPERM, ENOENT, EBADF, EACCES, EINVAL, ENOSYS = 1, 2, 9, 13, 22, 38
local RLIMIT_NOFILE, RLIMIT_CORE = 7, 4
local NOBODY = 65534
local SIGUSR1, SIGPIPE = 10, 13
local is_root = select(2, t.ids()) == 0

local function ended(child)
	local how, code = helper.wait_for("the end of pid " .. child.pid, function()
		local how, code = p.try_wait(child.pid)
		return how, code
	end)
	t.close(child.pidfd)
	return how, code
end

local function read_all(fd)
	local parts = {}
	t.nonblock(fd, true)
	helper.wait_for("end of output", function()
		local s = t.try_read(fd)
		if s then parts[#parts + 1] = s end
		return s == ""
	end)
	t.close(fd)
	return table.concat(parts)
end

--- Runs a shell script by the given description; its output, how it ended, its code.
local function run(script, spec)
	spec = spec or {}
	local out, into = t.pipe()
	spec.argv = spec.argv or { "/bin/sh", "-c", script }
	spec.env = spec.env or { "PATH=/usr/bin:/bin" }
	spec.stdout, spec.stderr = into, into
	local child, why, step, errnum = p.spawn(spec)
	t.close(into)
	if not child then
		t.close(out)
		return nil, why, step, errnum
	end
	local text = read_all(out)
	local how, code = ended(child)
	if child.status_fd >= 0 then
		local outcome, at, errno = p.status(child.status_fd)
		t.close(child.status_fd)
		if outcome == "failed" then return nil, "later", at, errno end
	end
	return text, how, code
end

--- A join file as of cgroup v1, which shows that it was written.
local function with_join(fn)
	local path = os.tmpname()
	local fd = t.open_append(path)
	local ok, why = pcall(fn, fd)
	t.close(fd)
	local written = helper.read(path)
	os.remove(path)
	assert(ok, why)
	return written
end

-- All of it holds for both ways of being born.
for _, way in ipairs { "by clone3", "by fork and join" } do
	describe("a process born " .. way, function()
		local join_path, join_fd
		local function described(spec)
			spec = spec or {}
			if way ~= "by clone3" then spec.join = { join_fd } end
			return spec
		end
		before_each(function()
			join_path = os.tmpname()
			join_fd = t.open_append(join_path)
		end)
		after_each(function()
			t.close(join_fd)
			os.remove(join_path)
		end)

		it("runs with the words, the environment and the directory it was given, and no others", function()
			local text, how, code = run("pwd; env | sort; echo $0 $1; exit 7", described {
				argv = { "/bin/sh", "-c", "pwd; /usr/bin/env | /usr/bin/sort; echo $0 $1; exit 7", "zero", "one two" },
				env = { "A=1", "B=x y" }, cwd = "/usr" })
			assert.equal("/usr\nA=1\nB=x y\nPWD=/usr\nzero one two\n", text)
			assert.same({ "exit", 7 }, { how, code })
		end)

		it("starts in / with an empty environment where none is named", function()
			assert.equal("/\n", (run("pwd", described { argv = { "/bin/pwd" }, env = {} })))
		end)

		it("is known by pid, pidfd and start time, and leads a session", function()
			local stdin, keep = t.pipe()
			local child = assert(p.spawn(described { argv = { "/bin/cat" }, stdin = stdin }))
			t.close(stdin)
			helper.wait_for("cat", function() return t.proc(child.pid).comm == "cat" end)
			local seen = t.proc(child.pid)
			assert.equal(child.start_ticks, seen.start_ticks)
			assert.same({ child.pid, child.pid, (t.ids()) }, { seen.session, seen.pgid, seen.ppid })
			assert.is_true(t.is_same(child.pid, child.start_ticks))
			assert.is_false(t.is_same(child.pid, child.start_ticks + 1))
			assert.is_true((t.flags(child.pidfd)))
			t.close(keep)
			helper.wait_for("a zombie", function() return t.proc(child.pid).state == "Z" end)
			assert.is_false(t.is_same(child.pid, child.start_ticks))
			assert.same({ "exit", 0 }, { ended(child) })
			t.close(child.status_fd)
		end)

		it("has only the descriptors it was given", function()
			local leak = io.open("/dev/null") -- not close-on-exec
			local high = t.dup_to(0, 300)
			local low = t.dup_to(0, 5)
			local text = run(nil, described { argv = { "/bin/ls", "/proc/self/fd" }, fds = { 1, 4, 1, 7 } })
			leak:close()
			t.close(high)
			t.close(low)
			assert.equal("0\n1\n2\n3\n4\n7\n", text) -- 3 is ls's own
		end)

		it("gets each descriptor where it belongs, also where sources and targets cross", function()
			local r1, w1 = t.pipe()
			local r2, w2 = t.pipe()
			local text, how, code = run(nil, described {
				argv = { "/bin/sh", "-c", ("echo one >&%d; echo two >&%d"):format(w2, w1) },
				fds = { w1, w2, w2, w1 } })
			t.close(w1) t.close(w2)
			assert.same({ "", "exit", 0 }, { text, how, code })
			assert.equal("one\n", read_all(r1))
			assert.equal("two\n", read_all(r2))
		end)

		it("reads from and writes to /dev/null where nothing is named", function()
			local r, w = t.pipe()
			local list = { "/bin/sh", "-c", "/bin/ls -l /proc/self/fd >&3" }
			local child = assert(p.spawn(described { argv = list, fds = { w, 3 } }))
			t.close(w)
			local text = read_all(r)
			ended(child)
			t.close(child.status_fd)
			for fd = 0, 2 do
				if fd ~= 1 then assert.matches(" " .. fd .. " %-> /dev/null\n", text) end
			end
			assert.equal("", (run("cat", described())))
		end)

		it("inherits no signal mask, no ignored signal and no umask", function()
			p.block_signal(SIGUSR1, true)
			p.ignore_signal(SIGPIPE, true)
			local text = run("umask; grep -E '^Sig(Blk|Ign)' /proc/self/status", described())
			p.block_signal(SIGUSR1, false)
			local strict = run("umask", described { umask = tonumber("077", 8) })
			assert.equal("0022\nSigBlk:\t" .. ("0"):rep(16) .. "\nSigIgn:\t" .. ("0"):rep(16) .. "\n", text)
			assert.equal("0077\n", strict)
		end)

		it("leaves its parent's signal mask as it was", function()
			p.block_signal(SIGUSR1, true)
			assert(run("true", described()))
			local mask = helper.read("/proc/self/status"):match("SigBlk:%s*(%x+)")
			p.block_signal(SIGUSR1, false)
			assert.equal(1 << (SIGUSR1 - 1), tonumber(mask, 16))
		end)

		it("has the limits, the OOM score and no_new_privs it was given", function()
			local text = run("ulimit -n; ulimit -Hn; ulimit -c; cat /proc/self/oom_score_adj; grep NoNewPrivs /proc/self/status",
				described { rlimits = { RLIMIT_NOFILE, 50, 60, RLIMIT_CORE, 0, 0 }, oom_score_adj = 321, no_new_privs = true })
			assert.equal("50\n60\n0\n321\nNoNewPrivs:\t1\n", text)
			assert.equal("NoNewPrivs:\t0\n", (run("grep NoNewPrivs /proc/self/status", described())))
		end)

		it("can be kept from signalling and looking into whom it did not start, where the kernel can", function()
			if not os.execute [[/usr/bin/python3 -c 'import ctypes,sys; sys.exit(ctypes.CDLL(None).syscall(444, None, 0, 1) < 6)']] then
				return pending "this kernel has no Landlock scope of signals (Linux 6.12)"
			end
			local other = assert(p.spawn(described { argv = { "/bin/sleep", "3333" }, uid = is_root and NOBODY or nil, gid = is_root and NOBODY or nil }))
			finally(function()
				os.execute("kill -9 " .. other.pid)
				ended(other)
			end)
			helper.wait_for("it to be another's", function() return t.proc(other.pid).comm == "sleep" end)
			local script = ("kill -0 %d 2>/dev/null && echo signals; cat /proc/%d/environ >/dev/null 2>&1 && echo looks; sleep 3333 & kill $! && echo own"):format(other.pid, other.pid)
			local function said(is_apart)
				return (run(script, described { no_new_privs = true, is_apart = is_apart, uid = is_root and NOBODY or nil, gid = is_root and NOBODY or nil }))
			end
			assert.equal("signals\nlooks\nown\n", said(false))
			assert.equal("own\n", said(true))
		end)

		it("can have fewer descriptors than its parent holds", function()
			local held = {}
			for i = 1, 100 do held[i] = io.open("/dev/null") end
			local text, how, code = run("ulimit -n", described { rlimits = { RLIMIT_NOFILE, 20, 20 } })
			for _, f in ipairs(held) do f:close() end
			assert.same({ "20\n", "exit", 0 }, { text, how, code })
		end)

		it("becomes another user with exactly the groups it was given, in all ids", function()
			if not is_root then return pending("needs root") end
			local text = run("grep -E '^(Uid|Gid|Groups|CapPrm|CapEff)' /proc/self/status",
				described { uid = NOBODY, gid = NOBODY, groups = { 4, NOBODY } })
			assert.equal("Uid:\t65534\t65534\t65534\t65534\nGid:\t65534\t65534\t65534\t65534\nGroups:\t4 65534 \n" ..
				"CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n", text)
			text = run("grep -E '^Groups' /proc/self/status", described { uid = NOBODY, gid = NOBODY })
			assert.equal("Groups:\t \n", text)
		end)

		it("enters its directory with that user's rights", function()
			if not is_root then return pending("needs root") end
			local text, why, step, errnum = run("pwd", described { uid = NOBODY, gid = NOBODY, cwd = "/root" })
			assert.is_nil(text)
			assert.same({ CWD, EACCES }, { step, errnum })
			if way == "by clone3" then
				assert.equal("unable to start /bin/sh: unable to change to its directory /root: Permission denied", why)
			end
		end)

		it("leaves its parent as debuggable as it was", function()
			if not is_root then return pending("needs root") end
			local before = p.dumpable()
			assert.equal(1, before)
			assert.equal("", (run("true", described { uid = NOBODY, gid = NOBODY })))
			assert.equal(before, p.dumpable())
		end)

		it("tells which step failed, and with which errno", function()
			local dir = os.tmpname() -- a file
			local cases = {
				{ { argv = { "/none/such" } }, EXEC, ENOENT },
				{ { argv = { dir } }, EXEC, EACCES },
				{ { cwd = "/none" }, CWD, ENOENT },
				{ { fds = { 999, 3 } }, FDS, EBADF },
				{ { rlimits = { 99, 1, 1 } }, RLIMIT, EINVAL },
			}
			for _, case in ipairs(cases) do
				local text, _, step, errnum = run("true", described(case[1]))
				assert.is_nil(text)
				assert.same({ case[2], case[3] }, { step, errnum })
			end
			os.remove(dir)
		end)
	end)
end

describe("spawning", function()
	it("leaves no zombie and no descriptor behind a failed exec, and says why in words", function()
		local function count()
			local n = 0
			for fd = 0, 1000 do
				if t.flags(fd) ~= nil then n = n + 1 end
			end
			return n
		end
		local before = count()
		for _ = 1, 20 do
			local child, why = p.spawn { argv = { "/none/such" } }
			assert.is_nil(child)
			assert.equal("unable to start /none/such: unable to exec: No such file or directory", why)
		end
		assert.equal(before, count())
		assert.equal("none", (p.try_wait(-1)))
	end)

	it("says that an interpreter is missing rather than the file", function()
		local path = os.tmpname()
		helper.write(path, "#!/none/such\n")
		assert(t.replace_file(path, "#!/none/such\n", tonumber("755", 8)))
		local _, why, step = p.spawn { argv = { path } }
		os.remove(path)
		assert.equal(EXEC, step)
		assert.equal("unable to start " .. path
			.. ": unable to exec (the file is there: its interpreter is missing): No such file or directory", why)
	end)

	it("refuses a description that makes no sense", function()
		for _, spec in ipairs {
			{ argv = { "true" } }, { argv = {} , path = "/bin/true" }, { argv = { "/bin/true" }, fds = { 0, 2 } },
			{ argv = { "/bin/true" }, fds = { -1, 3 } }, { argv = { "/bin/true" }, fds = { 0, 3, 1, 3 } },
			{ argv = { "/bin/true" }, fds = { 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8, 0, 9, 0, 10, 0, 11, 0, 12, 0, 13 } },
		} do
			local child, why, step, errnum = p.spawn(spec)
			assert.is_nil(child)
			assert.same({ -1, EINVAL }, { step, errnum })
			assert.matches("^unable to start .*: unable to make a process: Invalid argument$", why)
		end
	end)

	it("names every step", function()
		local seen = {}
		for step = -1, EXEC do
			local name = p.step_name(step)
			assert.is_nil(seen[name])
			seen[name] = true
		end
		assert.equal("make a process", p.step_name(99))
	end)

	it("has the child itself write 0 to each join file, and fails where it cannot", function()
		local written = with_join(function(one)
			assert.equal("0", with_join(function(two) assert(run("true", { join = { one, two } })) end))
		end)
		assert.equal("0", written)
		local text, _, step, errnum = run("true", { join = { 998 } })
		assert.same({ nil, JOIN, EBADF }, { text, step, errnum })
	end)

	it("does not wait for a child that joins; its status pipe tells later and is closed by exec alone", function()
		with_join(function(fd)
			local stdin, keep = t.pipe()
			local child = assert(p.spawn { argv = { "/bin/cat" }, stdin = stdin, join = { fd } })
			t.close(stdin)
			assert.is_true(child.status_fd >= 0)
			assert.same({ true, true }, { t.flags(child.status_fd) })
			assert.equal("exec", helper.wait_for("exec", function() return (p.status(child.status_fd)) end))
			t.close(child.status_fd)
			t.close(keep)
			assert.same({ "exit", 0 }, { ended(child) })
		end)
	end)

	it("is born inside a v2 cgroup", function()
		local mount
		for line in io.lines("/proc/self/mountinfo") do
			mount = line:match("^%d+ %d+ %S+ %S+ (%S+) .* %- cgroup2 ") or mount
		end
		local name = ("spec-spawn-%d"):format(t.ids())
		local dir = mount and mount .. "/" .. name
		if not dir or not t.make_dirs(dir) then return pending("needs a writable cgroup v2 mount") end
		local fd = t.open_dir(dir)
		local both = {}
		both[1] = run("grep '^0::' /proc/self/cgroup", { into = fd })
		with_join(function(join) both[2] = run("grep '^0::' /proc/self/cgroup", { into = fd, join = { join } }) end)
		t.close(fd)
		helper.wait_for("removal", function() return os.remove(dir) end)
		for i = 1, 2 do assert.equal(name, both[i]:match("^0::.*/([^/\n]+)\n$")) end
	end)

	for name, errnum in pairs { ENOSYS = ENOSYS, EPERM = EPERM } do
		it("falls back to fork where clone3 answers " .. name, function()
			local script = ([[
				package.cpath = %q
				local p, t = require "t_spawn", require "t_sys"
				assert(p.deny_clone3(%d))
				local child = assert(p.spawn { argv = { "/bin/sh", "-c", "echo born; exit 5" }, stdout = 1 })
				assert(child.status_fd >= 0 and child.pidfd >= 0 and t.is_same(child.pid, child.start_ticks) ~= nil)
				local how, code
				repeat how, code = p.try_wait(child.pid) until how
				print(how, code, (p.status(child.status_fd)))
			]]):format(package.cpath, errnum)
			local text = run(nil, { argv = { "/usr/bin/lua5.4", "-e", script }, cwd = os.getenv("PWD"),
				env = { "PATH=/usr/bin:/bin", "ASAN_OPTIONS=detect_leaks=0", "LD_PRELOAD=" .. (os.getenv("DSS_SAN_PRELOAD") or "") } })
			assert.equal("born\nexit\t5\texec\n", text)
		end)
	end

	it("finds programs along a list, never by a relative entry", function()
		assert.equal("/bin/sh", p.find("sh", "/none:/bin:/usr/bin"))
		assert.equal("/bin/sh", p.find("/bin/sh", ""))
		for _, case in ipairs { { "sh", "", ENOENT }, { "sh", "bin:.:", ENOENT }, { "bin/sh", "/", ENOENT },
			{ "", "/bin", ENOENT }, { "/bin", "", EACCES }, { "/none", "/bin", ENOENT }, { "passwd", "/etc", EACCES } } do
			local path, why, code = p.find(case[1], case[2])
			assert.same({ nil, case[3] }, { path, code })
			assert.matches("^unable to find program ", why)
		end
	end)
end)
