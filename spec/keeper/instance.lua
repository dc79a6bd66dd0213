-- instance: one temporary instance folder with a real keeper and logger, where the spec itself plays the backend (through the
-- little program `relay` of t_keeper, which the keeper starts as service `backend`) and the door's client.
local helper = require "spec.helper"
local t = require "t_keeper"
local wire = require "t_wire"
local clock = require "t_wait"

local LUA = "/usr/bin/lua5.4"
local TERM, KILL = 15, 9
local BEAT_S = 2
local M = { LUA = LUA }

local own_pid, own_uid = t.own_ids()
M.is_root = own_uid == 0

local function command_output(line)
	local p = assert(io.popen(line))
	local out = p:read("a")
	p:close()
	return out
end
M.command_output = command_output

local here = (command_output("pwd"):gsub("\n", ""))
local build = helper.build:sub(1, 1) == "/" and helper.build or here .. "/" .. helper.build
M.keeper, M.logger = build .. "/dss-keeper", build .. "/dss-logger"
local count = 0
local open = {}

-- What a sanitizer needs in every process that loads our modules or programs.
local function sanitizer_env()
	local env = {}
	for _, name in ipairs { "LD_PRELOAD", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS" } do
		local value = os.getenv(name == "LD_PRELOAD" and "DSS_SAN_PRELOAD" or name)
		if value then env[#env + 1] = name .. "=" .. value end
	end
	return env
end

--- The text of Lua code for a process under test; with t_keeper at hand as `t` where it uses it.
local function uses_module(code) return code:find("%f[%w_]t%.") ~= nil end
function M.lua_code(code)
	if not uses_module(code) then return code end
	return ("package.cpath = %q local t = require 't_keeper' %s"):format(build .. "/spec/?.so", code)
end

-- --- fields: { id = "x", argv = { … } } becomes the list that t_wire takes ---

local function flat(fields)
	local list, names = {}, {}
	for name in pairs(fields) do names[#names + 1] = name end
	table.sort(names)
	for _, name in ipairs(names) do
		local value = fields[name]
		for _, v in ipairs(type(value) == "table" and value or { value }) do
			list[#list + 1], list[#list + 2] = name, v
		end
	end
	return list
end

-- --- a connection that speaks frames ---

local message_names = {}
for _, m in ipairs(wire.messages()) do message_names[m.number] = m.name end

local Link = {}
Link.__index = Link

local function new_link(fd) return setmetatable({ fd = fd, buffer = "", inbox = {}, events = {}, answers = {}, req = 0 }, Link) end

function Link:send(type, fields) return self.fd ~= nil and t.write(self.fd, assert(wire.encode(type, flat(fields or {})))) end
function Link:raw(bytes) return t.write(self.fd, bytes) end

function Link:take(msg)
	-- a row has a field `name` too, which t_wire lets stand over the message's
	msg.service, msg.name = msg.name, message_names[msg.type]
	if msg.name == "event" then
		self.events[#self.events + 1] = msg
	elseif msg.req then
		local list = self.answers[msg.req] or {}
		self.answers[msg.req] = list
		list[#list + 1] = msg
	else
		self.inbox[#self.inbox + 1] = msg
	end
end

--- Reads what is there, waiting at most ms for the first byte.
function Link:pump(ms)
	if not self.fd then return end
	local bytes = t.read(self.fd, ms)
	if not bytes then return end
	if bytes == "" then
		self:close()
		return
	end
	-- frame by frame, not by cutting the whole buffer each time: an answer may have thousands
	local buffer, at = self.buffer .. bytes, 1
	while #buffer - at >= 3 do
		local past = at + 4 + string.unpack("<I4", buffer, at)
		if past > #buffer + 1 then break end
		local used, msg = wire.parse(buffer:sub(at, past - 1))
		if not used then error("the keeper sent what is no frame: " .. tostring(msg)) end
		at = past
		self:take(msg)
	end
	self.buffer = buffer:sub(at)
end

function Link:close()
	if self.fd then t.close(self.fd) end
	self.fd = nil
end

--- Pumps until fact() is true; raises after `seconds` with what was waited for.
function Link:wait(what, fact, seconds)
	local deadline = clock.now() + (seconds or 15)
	while true do
		local now = clock.now()
		if self.beat_at and now > self.beat_at then -- a slow machine must not make us look lost
			self:send("heartbeat", { seq = math.floor(now) })
			self.beat_at = now + BEAT_S
		end
		local r = table.pack(fact())
		if r[1] then return table.unpack(r, 1, r.n) end
		if now > deadline then error("waited in vain for: " .. what, 2) end
		if self.fd then self:pump(20) else clock.pause(0.01) end
	end
end

function Link:closed(seconds) return self:wait("the end of the connection", function () return not self.fd end, seconds) end

function Link:message(name)
	return self:wait("message " .. name, function ()
		for i, msg in ipairs(self.inbox) do
			if msg.name == name then return table.remove(self.inbox, i) end
		end
		if not self.fd then error("the connection ended while waiting for message " .. name) end
	end)
end

local last = { ok = true, fail = true, done = true, samples = true }
--- Sends an order and returns its last answer and all answers.
function Link:ask(type, fields, seconds)
	self.req = self.req + 1
	local req = self.req
	fields = fields or {}
	fields.req = req
	self:send(type, fields)
	return self:wait("the answer to " .. type, function ()
		local list = self.answers[req]
		local msg = list and list[#list]
		if msg and (last[msg.name] or (type == "usage" and msg.name == "row")) then
			self.answers[req] = nil
			return msg, list
		end
		if not self.fd then error("the connection ended before the answer to " .. type .. (self.instance and "; keeper.log ends:\n" .. self.instance:log():sub(-1500) or "")) end
	end, seconds)
end

function Link:must(type, fields)
	local msg = self:ask(type, fields)
	if msg.name == "fail" then error(("%s was refused: %s"):format(type, msg.text), 2) end
	return msg
end

function Link:refused(type, fields)
	local msg = self:ask(type, fields)
	if msg.name ~= "fail" then error(("%s was not refused but answered %s"):format(type, msg.name), 2) end
	return msg.text, msg.code
end

--- The event `what` of process `id` (the first not before event number `after`).
function Link:event(id, what, seconds, after)
	return self:wait(("event %s of %s"):format(what, id), function ()
		for _, e in ipairs(self.events) do
			if e.id == id and e.what == what and e.seq > (after or 0) then return e end
		end
	end, seconds)
end

--- What `list` shows, by id, without the services.
function Link:rows()
	local _, answers = self:ask("list")
	local rows = {}
	for _, row in ipairs(answers) do
		if row.name == "row" and row.kind ~= "service" then rows[row.id] = row end
	end
	return rows
end

-- --- shorthands of a backend ---

--- spawn{ id, sh = "text" | lua = "code" | argv = {…}, box, sink, … }
function Link:spawn(d)
	local fields = { kind = "kernel", box = "warm/" .. d.id, sink = "null", env = d.lua and uses_module(d.lua) and sanitizer_env() or {} }
	if self.run_user then fields.user = self.run_user end
	for k, v in pairs(d) do fields[k] = v end
	if d.sh then fields.argv = { "/bin/sh", "-c", d.sh } end
	if d.lua then fields.argv = { LUA, "-e", M.lua_code(d.lua) } end
	fields.sh, fields.lua = nil, nil
	return self:must("spawn", fields)
end

function Link:stop(id, more)
	local fields = { id = id, cause = "user", text = "the spec asks" }
	for k, v in pairs(more or {}) do fields[k] = v end
	return self:must("stop", fields)
end

function Link:ack(seq) self:send("ack", { seq = seq or self.events[#self.events].seq }) end

-- --- the instance ---

local Instance = {}
Instance.__index = Instance

local function escape(s) return (s:gsub("[%c %%\x7f]", function (c) return ("%%%02X"):format(c:byte()) end)) end

local function service_text(name, s)
	local out = { "service " .. name }
	local words = {}
	for word in pairs(s) do words[#words + 1] = word end
	table.sort(words)
	for _, word in ipairs(words) do
		for _, value in ipairs(type(s[word]) == "table" and s[word] or { s[word] }) do
			-- the blanks of a ready rule are its own
			out[#out + 1] = ("  %s %s"):format(word, word == "ready" and value or escape(tostring(value)))
		end
	end
	out[#out + 1] = "end"
	return table.concat(out, "\n")
end

function Instance:write_plan(change)
	local p = self.plan
	if change then change(p) end
	local out = { "dss-plan 1", "instance " .. p.instance, "dir " .. self.dir, "cgroups " .. p.cgroups }
	for _, line in ipairs(p.lines) do out[#out + 1] = line end
	for _, name in ipairs(p.order) do
		if p.services[name] then out[#out + 1] = service_text(name, p.services[name]) end
	end
	helper.write(self.dir .. "/run/keeper.plan", table.concat(out, "\n") .. "\n")
end

--- Makes the folder and the plan; nothing runs yet. o: cgroups, lines (statements at the plan's top), services (added or changed:
-- a function that gets the plan), control_user, run_user, relay ("leaves" | "stays"), nofile, tick_ms.
function M.new(o)
	o = o or {}
	count = count + 1
	local self = setmetatable({ o = o, dir = t.make_temp(), starts = 0 }, Instance)
	self.id = ("%04x%04x"):format(own_pid % 65536, (os.time() * 37 + count) % 65536)
	for _, sub in ipairs { "config", "run", "jobs", "db" } do t.mkdir(self.dir .. "/" .. sub) end
	helper.write(self.dir .. "/config/instance.id", self.id .. "\n")
	t.mark_origin(self.dir)
	self.socket = self.dir .. "/backend.sock"
	self.listener = t.listen_unix(self.socket)
	self.plan = { instance = self.id, cgroups = o.cgroups or "auto", lines = {}, order = { "logger", "backend" }, services = {
		logger = { argv = { M.logger, "--dir", self.dir, "--floor-bytes", "0" }, box = "core/logger", sink = "service:logger", env = sanitizer_env() },
		backend = { argv = { LUA, "-e", M.lua_code(("t.relay(%q, %q)"):format(self.socket, o.relay or "leaves")) }, box = "core/backend",
			sink = "service:backend", after = "logger", env = sanitizer_env(), give_up_ms = 0, grace_ms = 3000 },
	} }
	for _, line in ipairs(o.lines or {}) do self.plan.lines[#self.plan.lines + 1] = line end
	if o.control_user then
		self.plan.lines[#self.plan.lines + 1] = "control_user " .. o.control_user
		self.plan.lines[#self.plan.lines + 1] = "allow_user " .. o.run_user
	end
	self:write_plan(o.services)
	open[self] = true
	return self
end

--- For after_each: what a failed spec left running.
function M.finish_all()
	for i in pairs(open) do i:finish() end
end

function Instance:service(name, s)
	self.plan.services[name] = s
	self.plan.order[#self.plan.order + 1] = name
	self:write_plan()
end

--- Starts the keeper; returns at once.
function Instance:launch()
	local argv = { M.keeper, self.dir }
	if self.o.tick_ms then argv[3], argv[4] = "--tick-ms", tostring(self.o.tick_ms) end
	self.starts = self.starts + 1
	self.err_file = ("%s/stderr.%d"):format(self.dir, self.starts)
	self.pid = assert(t.run(argv, { out = self.err_file, nofile = self.o.nofile }))
	return self.pid
end

function Instance:stderr() return helper.read(self.err_file) or "" end

--- The keeper's end: how, code.
function Instance:ended(seconds)
	local how, code = helper.wait_for("the end of the keeper", function () return t.ended(self.pid) end, seconds or 20)
	self.pid = nil
	return how, code
end

function Instance:start()
	self:launch()
	helper.wait_for("the keeper's door", function ()
		local how, code = t.ended(self.pid)
		if how then
			self.pid = nil
			error(("the keeper %s with %d: %s"):format(how, code, self:stderr()))
		end
		-- a child that a killed keeper had just made holds the old door open until its exec
		local is_open, row = pcall(self.row, self, "keeper")
		return is_open and row and row.pid == self.pid, row
	end)
	return self
end

--- Waits for the next backend to come; says hello unless told not to.
function Instance:backend(silent, seconds)
	local fd = helper.wait_for("a backend", function () return t.accept(self.listener) end, seconds or 20)
	local b = new_link(fd)
	b.run_user, b.instance = self.o.run_user, self
	b:wait("the relay's first line", function () b.raw_in = (b.raw_in or "") .. (t.read(fd, 20) or "") return b.raw_in:find("\n") end)
	local pid, safe, listen_fd, rest = b.raw_in:match("^(%d+) (%S+) (%S+)\n(.*)$")
	b.pid, b.safe, b.listen_fd, b.buffer = tonumber(pid), safe == "1", tonumber(listen_fd), rest
	if not silent then
		b:send("hello", { version = 1, epoch = self.starts })
		b.welcome = b:message("welcome")
		b.beat_at = clock.now() + BEAT_S
	end
	self.last_backend = b
	return b
end

--- A client of the door, greeted unless silent.
function Instance:door(silent)
	local fd = helper.wait_for("the door", function () return t.connect(self.dir .. "/run/keeper.sock") end)
	local d = new_link(fd)
	if silent then return d end
	d:send("hello", { version = 1 })
	d.welcome = d:message("welcome")
	return d
end

--- One verb on a connection of its own: the last answer, all answers.
function Instance:order(verb, name, on, seconds)
	local d = self:door()
	local answer, all = d:ask("door", { verb = verb, name = name, on = on }, seconds)
	d:close()
	return answer, all
end

function Instance:row(name)
	local _, all = self:order("status")
	for _, row in ipairs(all) do
		if row.name == "row" and row.id == name then return row end
	end
end

--- Waits until the row of `name` at the door satisfies fact(row).
function Instance:row_where(name, what, fact, seconds)
	return helper.wait_for(("%s %s"):format(name, what), function ()
		local row = self:row(name)
		if row and fact(row) then return row end
		return nil, row and ("state %s, pid %s, crashes %s"):format(row.state, row.pid, row.crashes)
	end, seconds or 15)
end

function Instance:log(name) return helper.read(("%s/run/%s.log"):format(self.dir, name or "keeper")) or "" end
function Instance:logged(name, pattern, seconds)
	return helper.wait_for(("%s.log to say: %s"):format(name, pattern), function () return self:log(name):match(pattern) end, seconds)
end
function Instance:pids(id) return t.of_instance(self.id, id) end

function Instance:boxes() return command_output(("find /sys/fs/cgroup -maxdepth 8 -type d -name 'dss-%s' 2>/dev/null"):format(self.id)) end

--- Where a box lies in the hierarchy of one controller, or nil.
function Instance:box(path, file)
	for root in self:boxes():gmatch("[^\n]+") do
		local at = ("%s/%s%s"):format(root, path, file and "/" .. file or "")
		local f = io.open(at)
		if f then
			f:close()
			return at
		end
	end
end

--- Stops the keeper if it runs, whatever state it is in, and fails where anything is left: a process, a box.
function Instance:finish()
	open[self] = nil
	if self.last_backend then self.last_backend:close() end
	if self.pid then
		if not t.ended(self.pid) then
			t.signal(self.pid, TERM)
			t.signal(self.pid, TERM)
			self:ended(40)
		end
	end
	t.close(self.listener)
	local left
	local ok = pcall(helper.wait_for, "no process of the instance", function ()
		left = self:pids()
		return #left == 0
	end, 5)
	local names = {}
	for _, pid in ipairs(left) do
		names[#names + 1] = (t.process(pid) or { cmdline = "?" }).cmdline
		t.signal(pid, KILL)
	end
	local boxes = self:boxes()
	local keeper_log = (not ok or boxes ~= "") and self:log() or ""
	if not self.keep then os.execute("rm -rf " .. self.dir) end
	if boxes ~= "" then command_output(("find /sys/fs/cgroup -maxdepth 12 -depth -type d -path '*/dss-%s*' -exec rmdir {} + 2>/dev/null"):format(self.id)) end
	assert(ok, "processes were left: " .. table.concat(names, ", ") .. "\n" .. keeper_log)
	assert(boxes == "", "boxes were left: " .. boxes .. "\n" .. keeper_log)
end

--- Kills the keeper alone, as kill -9 by somebody.
function Instance:kill_keeper()
	t.signal(self.pid, KILL)
	self:ended()
end

return M
