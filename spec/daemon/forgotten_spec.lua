-- The backend beside a keeper that the spec plays: ends of processes that the fleet does not know (any more).
local helper = require "spec.helper"
local Instance = require "spec.instance"
local t = require "t_keeper"
local wire = require "t_wire"

local TERM = 15
-- connects to the spec and becomes the backend, as a keeper would start it
local BECOME = [[use IO::Socket::UNIX; use IO::Socket::INET; use Fcntl; my $share = shift @ARGV; $ENV{DSS_SHARE} = $share if $share; my %s = (
  KEEPER => IO::Socket::UNIX->new(Peer => shift @ARGV), LISTEN_PAGE => IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 8),
  LISTEN_CALLBACK => IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 8));
for (keys %s) { fcntl($s{$_}, F_SETFD, 0) or die; $ENV{"DSS_${_}_FD"} = fileno $s{$_}; } exec @ARGV or die]]

local names = {}
for _, m in ipairs(wire.messages()) do names[m.number] = m.name end

describe("an end that is told of a kernel nobody knows any more", function ()
	local node, listener, fd, pid, inbox

	local function send(name, fields)
		local list = {}
		for k, v in pairs(fields) do list[#list + 1], list[#list + 2] = k, v end
		t.write(fd, assert(wire.encode(name, list)))
	end
	local buffer
	-- The next message of that name; what the backend asks meanwhile is answered as by a keeper that runs nothing.
	local function message(name)
		return helper.wait_for("message " .. name, function ()
			buffer = buffer .. (t.read(fd, 20) or "")
			while true do
				local used, msg = wire.parse(buffer)
				if not used or used == 0 then break end
				buffer = buffer:sub(used + 1)
				msg.name = names[msg.type]
				if msg.name == "list" then send("done", { req = msg.req, count = 0 })
				elseif msg.req then send("ok", { req = msg.req }) end
				inbox[#inbox + 1] = msg
			end
			for i, msg in ipairs(inbox) do if msg.name == name then return table.remove(inbox, i) end end
		end)
	end

	before_each(function ()
		inbox, buffer = {}, ""
		node = Instance.new { policies = { ["10-pools.lua"] =
			'pool "jvm" { kernel = java { heap = "128m", classpath = { "/nonexistent.jar" } }, limits = { memory = "256m", swap = "0" }, warm = { min = 0, max = 0 }, max = 1 }\n'
			.. 'pool "own" { kernel = command { "/bin/sleep", "1000" }, limits = { memory = "64m", swap = "0" }, warm = { min = 0, max = 0 }, max = 1 }\n' } }
		-- this backend runs as whoever runs the spec: policies of the control user would be another's to it
		os.execute(("chown -R %s %s/policies"):format(Instance.run { "id", "-u" }, Instance.quote(node.dir)))
		local socket = node.dir .. "/run/spec.sock"
		listener = t.listen_unix(socket)
		pid = assert(t.run({ "/usr/bin/perl", "-e", BECOME, Instance.environment().DSS_SHARE or "", socket, Instance.program "dssd", "run", node.dir }, { out = node.dir .. "/run/backend.out" }))
		fd = helper.wait_for("the backend", function () return t.accept(listener) end)
		local ok, why = pcall(message, "hello")
		if not ok then error(why .. (helper.read(node.dir .. "/run/backend.out") or "")) end
		send("welcome", { version = 1, instance = node.id, boot = "b", pid = 1, seq = 0, isolation = "none", cgroups = "none" })
	end)
	after_each(function ()
		if fd then t.close(fd) end
		t.signal(pid, TERM)
		helper.wait_for("its end", function () return t.ended(pid) end)
		t.close(listener)
		node:remove()
	end)

	it("is read by its pool: exit code 3 of a java pool's kernel is a full heap, of another's a crash", function ()
		local seq = 0
		for id, pool in pairs { ["gone-1"] = "jvm", ["gone-2"] = "own", ["gone-3"] = "no-such-pool" } do
			seq = seq + 1
			send("event", { seq = seq, id = id, what = "exited", wall_ms = 1000, mono_ms = 1000, kind = "kernel", cause = "crash", text = id .. " exited with status 3",
				code = 3, signal = -1, label = ('{"pool":"%s"}'):format(pool) })
		end
		helper.wait_for("the acknowledgement", function () return message("ack").seq == 3 end)
		local facts = Instance.run { "/usr/bin/python3", "-c",
			"import sqlite3,sys,json\nfor r in sqlite3.connect(sys.argv[1]).execute('select subject, detail from fact'): print(r)", node.dir .. "/db/dss.sqlite" }
		local causes = {}
		for line in facts:gmatch("[^\n]+") do
			local id, cause = line:match("gone%-%d"), line:match('"cause":"([%w_]+)"')
			if id and cause then causes[id] = cause end
		end
		assert.same({ ["gone-1"] = "oom_heap", ["gone-2"] = "crash", ["gone-3"] = "crash" }, causes, facts)
	end)
end)
