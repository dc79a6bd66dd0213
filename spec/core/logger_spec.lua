-- The real dss-logger; the spec is its keeper.
local helper = require "spec.helper"
local wire = require "t_wire"
local sys = require "t_logger"

local BINARY = helper.build .. "/dss-logger"
local is_asan = helper.build:find("asan", 1, true) ~= nil

local dir, root, log                  -- the instance's folder; as the logger's namespace sees it; its stderr
local loggers, fds
local barriers = 0

local Logger = {}
Logger.__index = Logger

--- Starts a logger on `dir`. options: args, tmpfs (mount options), binary and before (a command that execs it).
local function start(options)
	options = options or {}
	local args = table.move(options.before or {}, 1, #(options.before or {}), 1, {})
	for _, a in ipairs { "--dir", dir, "--floor-bytes", "0" } do args[#args + 1] = a end
	for _, a in ipairs(options.args or {}) do args[#args + 1] = tostring(a) end
	local self = setmetatable({ bytes = "", drained = {}, trouble = {}, said = {}, routed = {} }, Logger)
	self.process = sys.start(options.binary or BINARY, args, log, options.tmpfs and dir, options.tmpfs)
	loggers[#loggers + 1] = self
	self:expect("its hello", function () return self.said.hello end)
	if options.tmpfs or options.before then root = ("/proc/%d/root%s"):format(self.process:pid(), dir) end
	return self
end

--- Reads what the logger says.
function Logger:listen()
	while true do
		local more = self.process:receive()
		if not more or more == "" then break end
		self.bytes = self.bytes .. more
	end
	while true do
		local used, m = wire.parse(self.bytes)
		assert(used, m)
		if used == 0 then return end
		assert(wire.check(self.bytes:sub(1, used), "L"))
		self.said[m.name] = m
		if m.name == "drained" then self.drained[m.id] = m end
		if m.name == "routed" then self.routed[m.req] = m end
		if m.name == "trouble" then self.trouble[#self.trouble + 1] = m.text end
		self.bytes = self.bytes:sub(used + 1)
	end
end

function Logger:expect(what, fact, seconds)
	return helper.wait_for(what, function ()
		self:listen()
		local r = table.pack(fact())
		if not r[1] and self.process:ended() then error("the logger has ended, waiting for " .. what .. "; it said: " .. (helper.read(log) or "")) end
		return table.unpack(r, 1, r.n)
	end, seconds)
end

function Logger:send(name, fields, ...)
	assert(self.process:send(wire.encode(name, fields, select("#", ...)), ...))
end

--- All that was sent before is obeyed.
function Logger:barrier()
	barriers = barriers + 1
	local id = "barrier-" .. barriers
	self:send("finish", { "id", id })
	self:expect("the answer to " .. id, function () return self.drained[id] end)
end

local Pipe = {}
Pipe.__index = Pipe

local function new_pipe(bytes)
	local r, w = sys.pipe(bytes)
	fds[r], fds[w] = true, true
	return setmetatable({ r = r, w = w }, Pipe)
end

local function close(fd)
	if fds[fd] then sys.close(fd) end
	fds[fd] = nil
end

function Pipe:close() close(self.w) end

--- A pipe of that id to that sink. more: further fields.
function Logger:pipe(id, sink, more, bytes)
	local p = new_pipe(bytes)
	p.logger, p.id = self, id
	self:give(p, sink, more)
	return p
end

function Logger:give(p, sink, more)
	local fields = { "id", p.id, "sink", sink }
	table.move(more or {}, 1, #(more or {}), #fields + 1, fields)
	self:send("pipe", fields, p.r)
end

--- Writes all of it, as fast as the logger reads.
function Pipe:write(text)
	local at = 1
	helper.wait_for("room in the pipe of " .. (self.id or "?"), function ()
		while at <= #text do
			local n = sys.write(self.w, text:sub(at, at + 262143))
			if n == 0 then return false, ("%d of %d bytes"):format(at - 1, #text) end
			at = at + n
		end
		return true
	end, 60)
	return self
end

--- Ends it and waits until everything is written.
function Pipe:finish()
	self:close()
	self.logger:send("finish", { "id", self.id })
	return self.logger:expect(self.id .. " to be drained", function () return self.logger.drained[self.id] end, 60)
end

local function file(path) return helper.read(root .. "/" .. path) end

local function wait_file(logger, path, what, fact)
	return logger:expect(path .. ": " .. what, function ()
		local text = file(path)
		return text and fact(text), text and #text < 500 and text
	end)
end

local function lines_of(text)
	local list = {}
	for line in text:gmatch("([^\n]*)\n") do list[#list + 1] = line end
	return list
end

describe("the logger", function ()
	before_each(function ()
		loggers, fds = {}, {}
		dir = sys.make_folder()
		root = dir
		log = dir .. ".stderr"
		sys.make_dirs(dir .. "/run")
		sys.make_dirs(dir .. "/jobs")
	end)

	after_each(function ()
		for _, l in ipairs(loggers) do l.process:free() end
		for fd in pairs(fds) do sys.close(fd) end
		sys.remove_tree(dir)
		local said = helper.read(log) or ""
		os.remove(log)
		assert.is_nil(said:match("%a+Sanitizer") or said:match("runtime error"), said)
	end)

	describe("at its start", function ()
		local function exit_of(args)
			local p = sys.start(BINARY, args, log)
			loggers[1] = { process = p }
			return helper.wait_for("its end", function () return p:ended() end), helper.read(log)
		end

		it("says hello with the wire's version", function ()
			local l = start()
			assert.equal(1, l.said.hello.version)
		end)

		it("refuses a command line it does not understand, and says which word", function ()
			local code, said = exit_of { "--dir", dir, "--files", "many" }
			assert.equal(2, code)
			assert.matches('unable to take %-%-files: unable to read number "many"', said)
			code, said = exit_of { "--dri", dir }
			assert.equal(2, code)
			assert.matches("%-%-dri", said)
			code, said = exit_of {}
			assert.equal(2, code)
			assert.matches("%-%-dir is missing", said)
		end)

		it("refuses a folder that is not there", function ()
			local code, said = exit_of { "--dir", dir .. "/none" }
			assert.equal(1, code)
			assert.matches("unable to open folder " .. dir:gsub("%p", "%%%0") .. "/none: No such file", said)
		end)
	end)

	describe("finds the file of each sink:", function ()
		for sink, path in pairs {
			["service:keeper"] = "run/keeper.log", ["service:nginx"] = "run/nginx.log", ["service:jupyter"] = "run/ipython.log",
			["job:SALES:build_orders.2026-11-21(2):x"] = "jobs/SALES/build_orders.2026-11-21(2):x/output.log",
		} do
			it(sink, function ()
				local l = start()
				l:pipe("p", sink):write("a line\n"):finish()
				assert.equal("a line\n", file(path))
			end)
		end

		it("kernel:ID, in the backend's log with the kernel's name before each line", function ()
			local l = start()
			l:pipe("b", "service:backend"):write("from the backend\n"):finish()
			l:pipe("k", "kernel:fek-1"):write("one\n\ntwo\n"):finish()
			l:pipe("k2", "kernel:fek-2", { "prefix", "second " }):write("three\n"):finish()
			assert.equal("from the backend\nfek-1: one\nfek-1: \nfek-1: two\nsecond three\n", file("run/backend.log"))
		end)

		it("null, nowhere", function ()
			local l = start()
			local drained = l:pipe("n", "null"):write(("x\n"):rep(100000)):finish()
			assert.equal(200000, drained.bytes)
			assert.equal(0, drained.lost)
		end)

		it("anything else is refused, touches nothing, and the logger goes on", function ()
			local l = start()
			local bad = { "", "file:x", "service:", "service:../../etc/x", "service:a/b", "job:P", "job:P:", "job:../x:y", "job:P:..", "job:P:a/b",
				"kernel:a\nb", "job:" .. ("p"):rep(129) .. ":j", "NULL" }
			for i, sink in ipairs(bad) do
				l:pipe("bad" .. i, sink)
				l:expect("the refusal of " .. sink, function () return #l.trouble == i end)
				assert.matches("unable to obey message pipe: unable to use sink", l.trouble[i])
			end
			l:pipe("good", "service:good"):write("x\n"):finish()
			assert.equal("x\n", file("run/good.log"))
		end)
	end)

	describe("keeps lines whole:", function ()
		it("two processes that write half lines in turn do not mix", function ()
			local l = start()
			local a = l:pipe("a", "service:both", { "prefix", "a|" })
			local b = l:pipe("b", "service:both", { "prefix", "b|" })
			for i = 1, 50 do
				a:write("first half " .. i)
				b:write("1st " .. i)
				l:barrier()
				a:write(" second half\n")
				b:write(" 2nd\n")
			end
			a:finish()
			b:finish()
			local n = { a = 0, b = 0 }
			for _, line in ipairs(lines_of(file("run/both.log"))) do
				local who = line:match("^a| first half %d+ second half$") and "a" or line:match("^b| 1st %d+ 2nd$") and "b"
				assert(who, line)
				n[who] = n[who] + 1
			end
			assert.same({ a = 50, b = 50 }, n)
		end)

		it("a hundred processes with a thousand lines each", function ()
			local l = start()
			local pipes, text = {}, {}
			for i = 1, 100 do
				pipes[i] = l:pipe("p" .. i, "kernel:k" .. i)
				local t = {}
				for j = 1, 1000 do t[j] = ("line %d of process %d"):format(j, i) end
				text[i] = table.concat(t, "\n") .. "\n"
			end
			local at, open = {}, 100
			helper.wait_for("room for all", function ()
				for i = 1, 100 do
					at[i] = at[i] or 1
					if at[i] <= #text[i] then
						at[i] = at[i] + sys.write(pipes[i].w, text[i]:sub(at[i], at[i] + 777))
						if at[i] > #text[i] then open = open - 1 end
					end
				end
				return open == 0
			end, 60)
			for _, p in ipairs(pipes) do assert.equal(0, p:finish().lost) end
			local seen = {}
			for _, line in ipairs(lines_of(file("run/backend.log"))) do
				local k, j, i = line:match("^k(%d+): line (%d+) of process (%d+)$")
				assert(k and k == i, line)
				assert.equal((seen[i] or 0) + 1, tonumber(j))
				seen[i] = tonumber(j)
			end
			for i = 1, 100 do assert.equal(1000, seen[tostring(i)]) end
		end)

		it("a last line without its newline gets one", function ()
			local l = start()
			l:pipe("a", "service:x"):write("no end"):finish()
			l:pipe("b", "service:x"):write("next\n"):finish()
			assert.equal("no end\nnext\n", file("run/x.log"))
		end)

		it("a line over 64 KB in a shared log goes in pieces that say so", function ()
			local l = start()
			local long = ("0123456789"):rep(1000000)
			l:pipe("k", "kernel:k", nil, 1024 * 1024):write(long .. "\nshort\n"):finish()
			local lines = lines_of(file("run/backend.log"))
			assert.equal("k: short", table.remove(lines))
			local whole = {}
			for i, line in ipairs(lines) do
				whole[i] = assert(line:match(i == 1 and "^k: (%d+)$" or "^k: %.%.%. (%d+)$"), line:sub(1, 80))
				assert.is_true(#line < 140 * 1024)
			end
			assert.is_true(#lines > 50)
			assert.is_true(table.concat(whole) == long)
		end)

		it("a job's own log takes a 10 MB line and binary bytes as they are", function ()
			local l = start()
			local bytes = {}
			for i = 0, 65535 do bytes[#bytes + 1] = string.char((i * 7919) & 255) end
			local text = ("x"):rep(10 * 1024 * 1024) .. "\n" .. table.concat(bytes) .. "\n"
			local drained = l:pipe("j", "job:P:J", nil, 1024 * 1024):write(text):finish()
			assert.is_true(text == file("jobs/P/J/output.log"))
			assert.equal(#text, drained.bytes)
		end)

		it("half a line of a job shows before it is whole, and breaks when another process of the job writes", function ()
			local l = start()
			local a = l:pipe("a", "job:P:J"):write("before\nworking 10%")
			wait_file(l, "jobs/P/J/output.log", "the half line", function (t) return t == "before\nworking 10%" end)
			a:write(" 20%")
			wait_file(l, "jobs/P/J/output.log", "more of it", function (t) return t == "before\nworking 10% 20%" end)
			l:pipe("b", "job:P:J"):write("from b\n"):finish()
			a:write(" 30%\nend\n"):finish()
			assert.equal("before\nworking 10% 20%\nfrom b\n...  30%\nend\n", file("jobs/P/J/output.log"))
		end)
	end)

	describe("masks issued secrets:", function ()
		it("in the output of every process, in all places of a line", function ()
			local l = start()
			local a = l:pipe("a", "service:a", { "mask", "s3cret-token", "mask", "s3cret" })
			local b = l:pipe("b", "service:b")
			l:barrier()
			a:write("s3cret-token at start, at end s3cret-token\ns3crets3cret-tokenx s3cre s3cret\n"):finish()
			b:write("it has s3cret\n"):finish()
			assert.equal("**** at start, at end ****\n********x s3cre ****\n", file("run/a.log"))
			-- The word went with the process that brought it, unless b was read before: either is true to the contract.
			assert.is_true(file("run/b.log") == "it has s3cret\n" or file("run/b.log") == "it has ****\n")
		end)

		it("of others, while the process they were issued to lives", function ()
			local l = start()
			l:pipe("a", "service:a", { "mask", "s3cret" })
			l:pipe("b", "service:b"):write("it has s3cret\n"):finish()
			assert.equal("it has ****\n", file("run/b.log"))
		end)

		it("that come in pieces, at every cut", function ()
			local l = start()
			local secret, pipes = "tOkEn-12345", {}
			local function path(cut) return ("jobs/P/J%d/output.log"):format(cut) end
			for cut = 1, #secret - 1 do
				pipes[cut] = l:pipe("p" .. cut, "job:P:J" .. cut, { "mask", secret }):write("x " .. secret:sub(1, cut))
			end
			for cut, p in ipairs(pipes) do
				-- Shown so far without what may be a secret's beginning.
				wait_file(l, path(cut), "the harmless part", function (t) return t == "x " end)
				p:write(secret:sub(cut + 1) .. " y " .. secret:sub(1, cut) .. "\n"):finish()
				assert.equal(("x **** y %s\n"):format(secret:sub(1, cut)), file(path(cut)))
			end
		end)

		it("across the borders of a line too long to hold", function ()
			local l = start()
			local secret = ("S"):rep(30) .. "ecret"
			local text, want = {}, {}
			for i = 1, 40000 do
				text[i] = ("x"):rep(i % 13) .. secret
				want[i] = ("x"):rep(i % 13) .. "****"
			end
			l:pipe("j", "job:P:J", { "mask", secret }):write(table.concat(text)):finish()
			assert.is_true(file("jobs/P/J/output.log") == table.concat(want) .. "\n")
		end)

		it("all of them and nothing else, whatever their lengths, however alike they are, while some come and go", function ()
			-- few letters, so that most of a word stands in many places
			local seed = 20260131
			local function random(n)
				seed = (seed * 1103515245 + 12345) % 2147483648
				return seed // 65536 % n + 1
			end
			local function text_of(n)
				local t = {}
				for i = 1, n do t[i] = ("abAB"):sub(random(4), -1):sub(1, 1) end
				return table.concat(t)
			end
			local function masked(line, words)
				local out, i = {}, 1
				while i <= #line do
					local longest = 0
					for _, w in ipairs(words) do
						if #w > longest and line:sub(i, i + #w - 1) == w then longest = #w end
					end
					out[#out + 1] = longest > 0 and "****" or line:sub(i, i)
					i = i + math.max(longest, 1)
				end
				return table.concat(out)
			end
			for round, shape in ipairs { { 4 }, { 40 }, { 6, 9, 33 }, { 31, 32, 33, 70 }, { 5, 4, 200 }, { 36, 5 } } do
				local l, words = start(), {}
				-- held by others for a while: they go before the text comes
				for i = 1, 120 do l:pipe("gone" .. i, "null", { "mask", text_of(20 + i) }):finish() end
				local fields = {}
				for i, n in ipairs(shape) do
					words[i] = text_of(n)
					fields[#fields + 1], fields[#fields + 2] = "mask", words[i]
				end
				local name = "J" .. round
				local p, want = l:pipe(name, "job:P:" .. name, fields), {}
				for _ = 1, 150 do
					local line = {}
					for i = 1, random(8) do
						local w = words[random(#words)]
						line[i] = random(3) == 1 and text_of(random(50)) or random(3) == 1 and w:sub(1, random(#w)) or random(4) == 1 and w:sub(random(#w)) or w
					end
					line = table.concat(line)
					want[#want + 1] = masked(line, words)
					p:write(line .. "\n")
				end
				p:finish()
				assert.equal(table.concat(want, "\n") .. "\n", file("jobs/P/" .. name .. "/output.log"))
			end
		end)

		it("of several lines, line by line", function ()
			local l = start()
			l:pipe("j", "job:P:J", { "mask", "-----BEGIN\nMIIEpAIB\nab\n-----END" }):write("key:\n-----BEGIN\nMIIEpAIB\nab\n-----END\n"):finish()
			assert.equal("key:\n****\n****\nab\n****\n", file("jobs/P/J/output.log"))
		end)

		it("longer than any limit, in parts; and refuses a word too short, aloud", function ()
			local l = start()
			local long = {}
			for i = 1, 2000 do long[i] = ("%05d"):format(i) end
			long = table.concat(long)
			l:pipe("j", "job:P:J", { "mask", long, "mask", "abc" }):write("<" .. long .. "> abc\n"):finish()
			assert.matches("^<%*+> abc\n$", file("jobs/P/J/output.log"))
			assert.same({ "output of j: unable to mask a word of 3 bytes: it needs at least 4" }, l.trouble)
		end)

		it("never more than 64 words of one process, and says so", function ()
			local l = start()
			local fields = {}
			for i = 1, 70 do fields[#fields + 1], fields[#fields + 2] = "mask", "word" .. (100 + i) end
			l:pipe("j", "job:P:J", fields):write("word101 word164 word165\n"):finish()
			assert.equal("**** **** word165\n", file("jobs/P/J/output.log"))
			assert.equal(6, #l.trouble)
		end)
	end)

	describe("switches a process's output to another sink", function ()
		it("at the byte where the order found the pipe", function ()
			local l = start()
			local p = l:pipe("k", "kernel:k")
			p:write("old 1\nold 2")
			l:send("route", { "id", "k", "sink", "job:P:J" })
			l:barrier()
			p:write("new 1\n")
			l:send("route", { "id", "k", "sink", "kernel:k", "prefix", "again" })
			l:barrier()
			p:write("old 3\n"):finish()
			assert.equal("k: old 1\nk: old 2\nagain old 3\n", file("run/backend.log"))
			assert.equal("new 1\n", file("jobs/P/J/output.log"))
		end)

		it("exactly, also when much waits in the pipe and several switches come at once", function ()
			local l = start()
			local p = l:pipe("k", "job:P:J0", nil, 1024 * 1024)
			l:barrier()
			local want = {}
			for round = 1, 5 do
				local part = {}
				for i = 1, 9000 do part[i] = ("%d:%d"):format(round, i) end
				want[round] = table.concat(part, "\n")
				p:write(want[round])
				l:send("route", { "id", "k", "sink", "job:P:J" .. round })
				l:barrier()
			end
			p:write("rest\n"):finish()
			for round = 1, 5 do assert.is_true(file(("jobs/P/J%d/output.log"):format(round - 1)) == want[round] .. "\n", "round " .. round) end
			assert.equal("rest\n", file("jobs/P/J5/output.log"))
		end)

		it("and says so, to whom asked, once all before it stands in the old file", function ()
			local l = start()
			local p = l:pipe("k", "job:P:J")
			p:write("the whole of it, without a newline")
			l:send("route", { "id", "k", "sink", "kernel:k", "req", 7, "epoch", 3 })
			local said = l:expect("the answer to the switch", function () return l.routed[7] end)
			assert.equal("the whole of it, without a newline\n", file("jobs/P/J/output.log"))
			assert.same({ "k", 3 }, { said.id, said.epoch })
			p:write("later\n"):finish()
			assert.equal("k: later\n", file("run/backend.log"))
			l:send("route", { "id", "k", "sink", "null" })
			assert.is_nil(next(l.routed, 7))
		end)

		it("but not one it does not know", function ()
			local l = start()
			l:send("route", { "id", "ghost", "sink", "null" })
			l:expect("the complaint", function () return l.trouble[1] end)
			assert.equal("unable to obey message route: ghost is not known", l.trouble[1])
		end)
	end)

	describe("ends a pipe", function ()
		it("when the process has ended, though a child of it holds the other end", function ()
			local l = start()
			local p = l:pipe("p", "service:p"):write("last words\n")
			l:send("finish", { "id", "p" })
			local drained = l:expect("drained", function () return l.drained.p end)
			assert.equal(11, drained.bytes)
			assert.equal(0, drained.lost)
			assert.equal("last words\n", file("run/p.log"))
			p:close()
		end)

		it("when it ends by itself, after all of it is written", function ()
			local l = start()
			local text = ("some line of text\n"):rep(100000)
			local p = l:pipe("p", "service:p"):write(text)
			p:close()
			assert.equal(#text, l:expect("drained", function () return l.drained.p end).bytes)
			assert.is_true(file("run/p.log") == text)
		end)

		it("although somebody writes into it for ever", function ()
			local l = start()
			local p = l:pipe("p", "job:P:J", nil, 1024 * 1024)
			local flood = ("x"):rep(4095) .. "\n"
			l:barrier()
			l:send("finish", { "id", "p" })
			l:expect("drained", function ()
				for _ = 1, 200 do pcall(sys.write, p.w, flood) end
				return l.drained.p
			end)
			assert.is_true(l.drained.p.bytes <= 3 * 1024 * 1024)
		end)

		it("it does not know with an answer, so that nobody waits", function ()
			local l = start()
			l:send("finish", { "id", "never seen" })
			local drained = l:expect("drained", function () return l.drained["never seen"] end)
			assert.equal(0, drained.bytes)
		end)

		it("only once: a second pipe of a known name is closed unread", function ()
			local l = start()
			local p = l:pipe("p", "service:p"):write("one\n")
			local q = new_pipe()
			q.id, q.logger = "p", l
			q:write("never\n")
			l:give(q, "service:q")
			l:barrier()
			p:write("two\n"):finish()
			assert.equal("one\ntwo\n", file("run/p.log"))
			assert.is_nil(file("run/q.log"))
			assert.equal(6, sys.waiting(q.r))
		end)
	end)

	describe("bounds its files:", function ()
		it("a service's log is rotated by whole lines, and only so many are kept", function ()
			local l = start { args = { "--file-bytes", 10000, "--files", 3 } }
			local p = l:pipe("s", "service:s")
			for i = 1, 8000 do p:write(("line %06d\n"):format(i)) end
			p:finish()
			local all = (file("run/s.log.3") .. file("run/s.log.2") .. file("run/s.log.1") .. file("run/s.log"))
			assert.is_nil(file("run/s.log.4"))
			local lines = lines_of(all)
			assert.equal("line 008000", lines[#lines])
			for i = #lines, 1, -1 do assert.equal(("line %06d"):format(8000 - #lines + i), lines[i]) end
			for i = 1, 3 do
				local size = sys.size(root .. "/run/s.log." .. i)
				assert.is_true(size > 9000 and size <= 10000, tostring(size))
			end
		end)

		it("a job's log keeps beginning and end, and says how much is left out; also after a new logger", function ()
			local args = { "--job-bytes", 40000 }
			local l = start { args = args }
			local number, total = 0, 0
			local function more(logger, id, n)
				local p = logger:pipe(id, "job:P:J")
				local t = {}
				for i = 1, n do
					number = number + 1
					t[i] = ("line %07d"):format(number)
				end
				t = table.concat(t, "\n") .. "\n"
				total = total + #t
				p:write(t):finish()
			end
			local function check()
				local text = file("jobs/P/J/output.log")
				assert.is_true(#text <= 40000, tostring(#text))
				local head, left_out, tail = text:match("^(.-\n)%-%-%- (%d+) bytes left out here: of a log of at most 39 KB its beginning and end are kept %-%-%-\n(.*)$")
				assert(head, text:sub(1, 12000))
				assert.equal(total, #head + math.tointeger(left_out) + #tail)
				local h, t = lines_of(head), lines_of(tail)
				for i, line in ipairs(h) do assert.equal(("line %07d"):format(i), line) end
				for i, line in ipairs(t) do assert.equal(("line %07d"):format(number - #t + i), line) end
				assert.is_true(#head > 9000 and #tail > 9000)
			end
			more(l, "a", 20000)
			check()
			l.process:close()
			helper.wait_for("its end", function () return l.process:ended() end)
			l = start { args = args }
			more(l, "b", 10)
			check()
			more(l, "c", 20000)
			check()
		end)

		it("an order's own cap goes before the setting", function ()
			local l = start()
			l:pipe("j", "job:P:J", { "cap", 8192 }):write(("line\n"):rep(10000)):finish()
			assert.is_true(sys.size(root .. "/jobs/P/J/output.log") <= 8192)
		end)

		it("a job's log without any newline still ends", function ()
			local l = start()
			l:pipe("j", "job:P:J", { "cap", 8192 }):write(("x"):rep(1000000)):finish()
			assert.is_true(sys.size(root .. "/jobs/P/J/output.log") <= 8192)
			assert.matches("x\n%-%-%- %d+ bytes left out here", file("jobs/P/J/output.log"))
		end)

		it("jobs together leave a tenth of all to services, which go on when jobs have used up theirs", function ()
			local l = start { args = { "--total-bytes", 100000 } }
			local job = l:pipe("j", "job:P:J")
			for _ = 1, 100 do
				job:write(("j"):rep(999) .. "\n")
				l:barrier()
			end
			assert.is_true(job:finish().lost >= 10000)
			local used = #file("jobs/P/J/output.log")
			assert.is_true(used < 91000, used .. " bytes of a job, the marker of what was lost among them")
			assert.equal(0, l:pipe("s", "service:s"):write(("s"):rep(99) .. "\n"):write(("line\n"):rep(1000)):finish().lost)
			assert.equal(5100, #file("run/s.log"))
		end)

		it("all logs together: the oldest rotated go first, then lines are dropped, aloud", function ()
			helper.write(dir .. "/run/old.log.7", ("o"):rep(30000))
			helper.write(dir .. "/run/old.log", ("o"):rep(5000))
			sys.make_dirs(dir .. "/jobs/P/Q")
			helper.write(dir .. "/jobs/P/Q/output.log", ("q"):rep(5000))
			local l = start { args = { "--file-bytes", 20000, "--files", 10, "--total-bytes", 100000 } }
			local p = l:pipe("s", "service:s")
			for i = 1, 20000 do p:write(("line %06d\n"):format(i)) end
			assert.equal(0, p:finish().lost)
			assert.is_nil(file("run/old.log.7"))
			assert.is_string(file("run/old.log"))
			assert.is_string(file("jobs/P/Q/output.log"))
			assert.matches("line 020000\n$", file("run/s.log"))
			-- A job removes nobody's log: neither other jobs' nor what services have rotated.
			local drained = l:pipe("j", "job:P:J"):write(("j"):rep(100) .. "\n"):write(("line of text\n"):rep(20000)):finish()
			assert.is_true(drained.lost > 0)
			l:expect("trouble", function () return l.trouble[1] end)
			assert.matches("^jobs/P/J/output.log: all logs together have reached 88 KB %(log.total in config/dss.lua, less a tenth for services%); its lines are dropped and counted", l.trouble[1])
			assert.is_string(file("run/s.log.1"))
		end)
	end)

	describe("on a full disk", function ()
		local function fill(path)
			local f = assert(io.open(path, "wb"))
			f:setvbuf("no")
			local block = ("b"):rep(4096)
			while f:write(block) do end
			f:close()
		end

		it("drops, counts, tells, and writes a marker in the gap once there is space again", function ()
			if not sys.is_root() then return pending("needs root to mount a small file system") end
			local l = start { tmpfs = "size=1m" }
			local p = l:pipe("s", "service:s"):write("before\n")
			wait_file(l, "run/s.log", "the first line", function (t) return t == "before\n" end)
			fill(root .. "/ballast")
			for i = 1, 100 do p:write(("%04d "):format(i) .. ("x"):rep(994) .. "\n") end
			l:expect("trouble", function () return l.trouble[1] end)
			assert.equal("run/s.log: disk full; its lines are dropped and counted, next try in 1 s", l.trouble[1])
			l:barrier()
			os.remove(root .. "/ballast")
			wait_file(l, "run/s.log", "the marker", function (t) return t:match("bytes lost") end)
			p:write("after\n")
			local drained = p:finish()
			assert.is_true(drained.lost > 0)
			local text = file("run/s.log")
			local head, lost, from, to, tail = text:match("^(.-)%-%-%- (%d+) bytes lost: disk full from (%S+Z) to (%S+Z) %-%-%-\n(.*)$")
			assert(head, text:sub(-300))
			assert.is_true(from <= to)
			assert.matches("after\n$", tail)
			assert.equal("\n", head:sub(-1))
			-- What was broken off in the middle of a line is ended by a newline that was not in the output.
			local kept = #head + #tail
			assert.is_true(drained.bytes - math.tointeger(lost) == kept or drained.bytes - math.tointeger(lost) == kept - 1,
				("%d in, %s lost, %d kept"):format(drained.bytes, lost, kept))
			l:expect("the good news", function () return l.trouble[2] end)
			assert.matches("^run/s.log: written again; %d+ bytes were lost: disk full$", l.trouble[2])
		end)

		it("writes the marker also when the process has ended long before", function ()
			if not sys.is_root() then return pending("needs root to mount a small file system") end
			local l = start { tmpfs = "size=1m" }
			sys.make_dirs(root .. "/jobs/P/J")
			helper.write(root .. "/jobs/P/J/output.log", "")
			fill(root .. "/ballast")
			local drained = l:pipe("j", "job:P:J"):write(("y"):rep(20000) .. "\n"):finish()
			assert.equal(20001, drained.lost)
			os.remove(root .. "/ballast")
			wait_file(l, "jobs/P/J/output.log", "the marker", function (t) return t:match("^%-%-%- 20001 bytes lost: disk full from") end)
		end)

		it("leaves so much of it free as the floor says", function ()
			if not sys.is_root() then return pending("needs root to mount a small file system") end
			local l = start { tmpfs = "size=4m", args = { "--floor-bytes", 2 * 1024 * 1024 } }
			helper.write(root .. "/ballast", ("b"):rep(3 * 1024 * 1024))
			local p = l:pipe("s", "service:s"):write("dropped\n")
			l:expect("trouble", function () return l.trouble[1] end)
			assert.equal("run/s.log: less than 2.0 MB free on the disk (log.floor in config/dss.lua); its lines are dropped and counted, next try in 1 s", l.trouble[1])
			assert.equal("", file("run/s.log"))
			os.remove(root .. "/ballast")
			wait_file(l, "run/s.log", "the marker", function (t) return t:match("^%-%-%- 8 bytes lost: less than 2.0 MB free on the disk %(log.floor in config/dss.lua%) from") end)
			assert.equal(8, p:finish().lost)
		end)
	end)

	it("keeps answering while the disk is frozen, and lets those who write wait", function ()
		local image, mounted = dir .. "/image", dir .. "/mnt"
		if not sys.is_root() or not os.execute("exec 2>/dev/null >&2; truncate -s 32M " .. image .. " && /sbin/mkfs.ext4 -q " .. image) then
			return pending("needs root and mkfs.ext4")
		end
		sys.make_dirs(mounted)
		local instance = dir
		dir = mounted
		finally(function () dir = instance end)
		local ok, l = pcall(start, {
			binary = "/usr/bin/unshare",
			before = { "-m", "/bin/sh", "-c", 'mount -o loop "$0" "$1" && mkdir -p "$1/run" && shift && exec "$@"', image, mounted,
				BINARY:sub(1, 1) == "/" and BINARY or "./" .. BINARY },
		})
		if not ok then return pending("no loop devices here") end
		local p = l:pipe("s", "service:s"):write("before\n")
		wait_file(l, "run/s.log", "the first line", function (t) return t == "before\n" end)
		assert(sys.freeze(root, true))
		finally(function () dir = instance; sys.freeze(root, false) end)
		-- The pipe fills: the process would wait.
		local line = ("z"):rep(1023) .. "\n"
		local sent = 0
		l:expect("a pipe that takes no more", function ()
			l:barrier()
			local n = sys.write(p.w, line)
			sent = sent + (n > 0 and 1 or 0)
			return n == 0 and sys.waiting(p.r) > 60000
		end)
		assert.is_true(sent * 1024 < 1024 * 1024)
		l:barrier()
		assert(sys.freeze(root, false))
		local drained = p:finish()
		assert.equal(0, drained.lost)
		assert.equal(7 + sent * 1024, #file("run/s.log"))
	end)

	describe("when files are not what they were:", function ()
		it("opens them by name again, by order and by HUP", function ()
			local l = start()
			local p = l:pipe("s", "service:s"):write("one\n")
			wait_file(l, "run/s.log", "one", function (t) return t == "one\n" end)
			os.rename(dir .. "/run/s.log", dir .. "/run/moved")
			l:send("reopen", {})
			wait_file(l, "run/s.log", "the new file", function (t) return t == "" end)
			p:write("two\n")
			wait_file(l, "run/s.log", "two", function (t) return t == "two\n" end)
			os.rename(dir .. "/run/s.log", dir .. "/run/moved2")
			l.process:signal(1)
			wait_file(l, "run/s.log", "the next file", function (t) return t == "" end)
			p:write("three\n"):finish()
			assert.equal("three\n", file("run/s.log"))
			assert.equal("one\n", file("run/moved"))
			assert.equal("two\n", file("run/moved2"))
		end)

		for what, make in pairs {
			["a symbolic link"] = function (path, target) return sys.link(target, path) end,
			["a second name of another file"] = function (path, target) return sys.link(target, path, true) end,
			["a folder"] = function (path) sys.make_dirs(path) return true end,
		} do
			it("refuses " .. what .. ", tells, and marks the gap when it is gone", function ()
				local target = dir .. "/precious"
				helper.write(target, "precious\n")
				assert.is_true(make(dir .. "/run/s.log", target))
				local l = start()
				local p = l:pipe("s", "service:s"):write("lost\n")
				l:expect("trouble", function () return l.trouble[1] end)
				assert.matches("^run/s.log: unable to open s.log: .+; its lines are dropped and counted", l.trouble[1])
				assert.equal("precious\n", helper.read(target))
				assert(os.remove(dir .. "/run/s.log"))
				wait_file(l, "run/s.log", "the marker", function (t) return t:match("^%-%-%- 5 bytes lost: unable to open s.log: ") end)
				assert.equal(5, p:finish().lost)
			end)
		end

		it("refuses a job's folder that is a symbolic link", function ()
			sys.make_dirs(dir .. "/elsewhere")
			sys.make_dirs(dir .. "/jobs/P")
			assert.is_true(sys.link("../../elsewhere", dir .. "/jobs/P/J"))
			local l = start()
			assert.equal(2, l:pipe("j", "job:P:J"):write("x\n"):finish().lost)
			assert.is_nil(helper.read(dir .. "/elsewhere/output.log"))
			assert.matches("unable to open folder jobs/P/J", l.trouble[1])
		end)

		it("makes a folder again that was removed under it", function ()
			local l = start()
			local p = l:pipe("j", "job:P:J"):write("one\n")
			wait_file(l, "jobs/P/J/output.log", "one", function (t) return t == "one\n" end)
			sys.remove_tree(dir .. "/jobs/P")
			p:write("two\n"):finish()
			assert.equal("two\n", file("jobs/P/J/output.log"))
		end)
	end)

	describe("dies well:", function ()
		for what, how in pairs {
			["the keeper's leaving"] = function (l) l.process:close() end,
			["TERM"] = function (l) l.process:signal(15) end,
		} do
			it(what .. " lets it write what is in the pipes, then it ends", function ()
				local l = start()
				local want, pipes = {}, {}
				l.process:signal(19)
				helper.wait_for("it to stop", function () return l.process:state() == "T" end)
				for i = 1, 20 do
					pipes[i] = l:pipe("p" .. i, "job:P:J" .. i, nil, 1024 * 1024)
					want[i] = ("line of %d\n"):format(i):rep(20000) .. "half"
					pipes[i]:write(want[i])
				end
				how(l)
				l.process:signal(18)
				assert.equal(0, helper.wait_for("its end", function () return l.process:ended() end, 30))
				for i = 1, 20 do assert.is_true(file(("jobs/P/J%d/output.log"):format(i)) == want[i] .. "\n", "p" .. i) end
			end)
		end

		it("kill -9 costs at most the chunk it held: the next one goes on with the same pipe", function ()
			local p
			for round = 1, 5 do
				local l = start()
				if not p then
					p = l:pipe("p", "job:P:J", nil, 1024 * 1024)
				else
					l:give(p, "job:P:J")
				end
				p.logger = l
				p.number = p.number or 0
				local until_number = p.number + 30000
				while p.number < until_number do
					local line = ("%07d\n"):format(p.number + 1)
					local n = sys.write(p.w, line)
					if n > 0 then p.number = p.number + 1 end
				end
				if round < 5 then
					l.process:signal(9)
					helper.wait_for("its end", function () return l.process:ended() end)
				end
			end
			p:finish()
			local before, missing = 0, {}
			for _, line in ipairs(lines_of(file("jobs/P/J/output.log"))) do
				-- Cut in the middle where the old one stopped: at most the line at the border.
				local n = line:match("^%d%d%d%d%d%d%d$") and tonumber(line)
				if n then
					assert.is_true(n > before)
					if n > before + 1 then missing[#missing + 1] = n - before - 1 end
					before = n
				end
			end
			assert.equal(150000, before)
			assert.is_true(#missing <= 4)
			for _, n in ipairs(missing) do assert.is_true(n * 8 <= 64 * 1024 + 16, n .. " lines") end
		end)
	end)

	it("takes any message for what it is, and tells what is wrong with it", function ()
		local l = start()
		local r = new_pipe().r
		local cases = {
			{ "\4\0\0\0\99\0\0\0", nil, "its type 99 is unknown" },
			{ wire.encode("pipe", { "id", "x" }, 1), r, "field sink is missing" },
			{ wire.encode("pipe", { "id", "x", "sink", "null" }), nil, "it brings no descriptor" },
			{ wire.encode("pipe", { "id", "", "sink", "null" }, 1), r, "its id has 0 bytes" },
			{ wire.encode("pipe", { "id", ("x"):rep(5000), "sink", "null" }, 1), r, "its id has 5000 bytes" },
			{ wire.encode("heartbeat", { "seq", 1 }), nil, "it may come from B, not from K" },
			{ wire.encode("ok", { "req", 1 }, 1), r, "the logger does not take it" },
		}
		for i, case in ipairs(cases) do
			if case[2] then assert(l.process:send(case[1], case[2])) else assert(l.process:send(case[1])) end
			l:expect("the complaint " .. i, function () return l.trouble[i] end)
			assert.matches(case[3], l.trouble[i], 1, true)
		end
		l:pipe("good", "service:good"):write("x\n"):finish()
		assert.equal("x\n", file("run/good.log"))
	end)

	it("holds 500 sources in at most 6 MB", function ()
		if is_asan then return pending("a sanitizer's memory is not ours") end
		local l = start()
		local pipes = {}
		for i = 1, 500 do pipes[i] = l:pipe("p" .. i, ("job:P:J%d"):format(i), { "mask", "token-" .. i .. ("x"):rep(40) }) end
		for round = 1, 3 do
			for _, p in ipairs(pipes) do p:write(("line of round %d\n"):format(round):rep(200)) end
		end
		l:expect("all lines", function ()
			for i = 1, 500 do
				if (sys.size(("%s/jobs/P/J%d/output.log"):format(root, i)) or 0) < 3 * 200 * 16 then return false end
			end
			return true
		end)
		local pss = l.process:pss()
		assert.is_true(pss > 0 and pss <= 6 * 1024 * 1024, ("%d bytes"):format(pss))
	end)
end)
