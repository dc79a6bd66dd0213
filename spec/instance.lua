-- instance: a real instance in a folder of its own, for specs against running processes.
--
--     local node
--     after_each(function() if node then node:remove(); node = nil end end)
--     it("…", function()
--         node = Instance.new { config = 'service "x" { … }', policies = { ["10-pools.lua"] = "…" } }
--         node:start()
--
-- `remove` stops it, and fails if a process or a box of it is left.
local helper = require "spec.helper"

local Instance = {}
Instance.__index = Instance

--- One word of the shell.
local function quote(s) return "'" .. tostring(s):gsub("'", "'\\''") .. "'" end
Instance.quote = quote

--- Runs argv; standard output and error together, without the last newline. env: name → value.
-- @return output, exit status
function Instance.run(argv, env)
	local words = {}
	for name, value in pairs(env or {}) do words[#words + 1] = name .. "=" .. quote(value) end
	for _, word in ipairs(argv) do words[#words + 1] = quote(word) end
	local p = assert(io.popen((next(env or {}) and "env " or "") .. table.concat(words, " ") .. " 2>&1 </dev/null; s=$?; echo; echo $s", "r"))
	local all = p:read "a"
	p:close()
	local out, status = all:match "^(.*)\n(%d+)\n$"
	return (out:gsub("\n$", "")), tonumber(status)
end

--- Standard output alone, standard error alone, exit status.
function Instance.run_apart(argv, env)
	local file = os.tmpname()
	local words = { "sh", "-c", 'f=$1; shift; exec "$@" 2>"$f"', "sh", file, table.unpack(argv) }
	local out, status = Instance.run(words, env)
	local complaints = helper.read(file)
	os.remove(file)
	return out, complaints, status
end

local function line_of(command)
	local p = assert(io.popen(command, "r"))
	local s = p:read "l"
	p:close()
	return s
end

--- The build folder, absolute. As root the daemon's users must be able to run what is there: where they cannot (a clone below /root), it
-- is installed into a folder of its own first.
local place
local function find_place()
	local build = helper.build
	if build:sub(1, 1) ~= "/" then build = line_of "pwd" .. "/" .. build end
	local share = os.getenv "DSS_SHARE" or line_of "pwd"
	local is_reachable = os.execute(("[ $(id -u) != 0 ] || /usr/bin/setpriv --reuid 65534 --regid 65534 --clear-groups sh -c 'test -x \"$1\" && test -x \"$2\"' sh %s %s")
		:format(quote(build), quote(share)))
	if is_reachable then return { programs = build, environment = { DSS_SHARE = share } } end
	local prefix = line_of "mktemp -d /tmp/dss-spec-XXXXXX"
	assert(os.execute(("chmod 755 %s && sh etc/install.sh '' %s %s >/dev/null"):format(prefix, prefix, quote(build))))
	local removed_at_exit = setmetatable({}, { __gc = function() os.execute("rm -rf " .. prefix) end })
	return { programs = prefix .. "/bin", environment = {}, removed_at_exit = removed_at_exit }
end

local function get_place()
	place = place or find_place()
	return place
end

--- Absolute path of a built program.
function Instance.program(name) return get_place().programs .. "/" .. name end

--- What programs need to find their files.
function Instance.environment() return get_place().environment end

--- An empty folder that every user can enter; remove it with Instance.remove_folder.
function Instance.folder()
	local dir = line_of "mktemp -d /tmp/dss-spec-XXXXXX"
	assert(os.execute("chmod 755 " .. quote(dir)))
	return dir
end

function Instance.remove_folder(dir)
	assert(dir:find "^/tmp/dss%-spec%-%w+$", dir)
	os.execute("rm -rf " .. quote(dir))
end

--- what: port (default 0), init (further arguments of `dssctl init`), config (appended to config/dss.lua), policies (name → text; these
-- alone are there then), name (of the folder).
function Instance.new(what)
	what = what or {}
	local self = setmetatable({ root = Instance.folder() }, Instance)
	self.dir = self.root .. "/" .. (what.name or "node")
	local argv = { Instance.program "dssctl", "init", self.dir, "--port", tostring(what.port or 0) }
	for _, word in ipairs(what.init or {}) do argv[#argv + 1] = word end
	local out, status = Instance.run(argv, Instance.environment())
	if status ~= 0 then
		Instance.remove_folder(self.root)
		error("unable to make an instance: " .. out, 2)
	end
	self.id = helper.read(self.dir .. "/config/instance.id"):match "%x+"
	if what.config then self:write("config/dss.lua", self:read "config/dss.lua" .. "\n" .. what.config .. "\n") end
	if what.policies then
		os.execute("rm -rf " .. quote(self.dir) .. "/policies/*")
		for name, text in pairs(what.policies) do self:write("policies/" .. name, text) end
	end
	return self
end

function Instance:read(path) return helper.read(self.dir .. "/" .. path) end

--- Owner and mode of a file that is there stay; a new one in policies/ gets those of the folder's group.
function Instance:write(path, text)
	local full = self.dir .. "/" .. path
	local is_new = helper.read(full) == nil
	helper.write(full, text)
	if is_new then os.execute(("chgrp $(stat -c %%g %s) %s; chmod 640 %s"):format(quote(full:match "^(.*)/"), quote(full), quote(full))) end
end

--- bin/dss …; output, exit status.
function Instance:dss(...) return Instance.run({ self.dir .. "/bin/dss", ... }, Instance.environment()) end

--- bin/dssctl …; standard output, standard error, exit status.
function Instance:ctl(...) return Instance.run_apart({ self.dir .. "/bin/dssctl", ... }, Instance.environment()) end

--- Raises with what was said unless it came up.
function Instance:start()
	local out, status = self:dss "start"
	if status ~= 0 then error(("dss start ended with %d:\n%s\n%s"):format(status, out, self:logs()), 2) end
	return out
end

function Instance:stop(...)
	local out, status = self:dss("stop", ...)
	if status ~= 0 then error(("dss stop ended with %d:\n%s"):format(status, out), 2) end
	return out
end

--- `status --json`, parsed, with `by` = name → process; and the exit code.
function Instance:status()
	local out, _, code = Instance.run_apart({ self.dir .. "/bin/dss", "status", "--json" }, Instance.environment())
	local status = assert(require("t_json").decode(out))
	status.by = {}
	for _, p in ipairs(status.processes) do status.by[p.name] = p end
	return status, code
end

function Instance:port()
	return math.tointeger(assert(require("t_json").decode(assert(self:read "run/ports.json", "no run/ports.json"))).page)
end

--- One request to the page's port with the admin's key (or options.key; false = none). body: text, or a table for JSON.
-- @return status (0: no answer), parsed body (or text), headers (lower case)
function Instance:http(method, path, body, options)
	options = options or {}
	local json = require "t_json"
	local base = os.tmpname()
	local argv = { "curl", "-sS", "--max-time", tostring(options.seconds or 90), "--noproxy", "*", "-X", method, "-o", base .. ".body",
		"-D", base .. ".head", "-w", "%{http_code}" }
	local key = options.key
	if key == nil then key = self:read("config/admin.key"):match "%S+" end
	if key then
		helper.write(base, "Authorization: Bearer " .. key .. "\n")
		argv[#argv + 1] = "-H"
		argv[#argv + 1] = "@" .. base
	end
	if body ~= nil then
		helper.write(base .. ".sent", type(body) == "table" and json.encode(body) or body)
		for _, word in ipairs { "-H", "Content-Type: application/json", "--data-binary", "@" .. base .. ".sent" } do argv[#argv + 1] = word end
	end
	argv[#argv + 1] = ("http://127.0.0.1:%d%s"):format(self:port(), path)
	local out = Instance.run_apart(argv)
	local text, headers = helper.read(base .. ".body") or "", {}
	for name, value in (helper.read(base .. ".head") or ""):gmatch "([%w-]+): ([^\r\n]*)" do headers[name:lower()] = value end
	for _, suffix in ipairs { "", ".body", ".head", ".sent" } do os.remove(base .. suffix) end
	local parsed = json.decode(text)
	if parsed == nil then parsed = text end
	return tonumber(out:match "%d+") or 0, parsed, headers
end

--- The pid of a service, or of any process that /api/processes knows.
function Instance:pid(name)
	local p = self:status().by[name]
	if p then return math.tointeger(p.pid) end
	local status, rows = self:http("GET", "/api/processes")
	assert(status == 200, "no list of processes")
	for _, row in ipairs(rows) do
		if row.id == name then return math.tointeger(row.pid) end
	end
	error("no process " .. name, 2)
end

--- signal: "KILL", "TERM", …
function Instance:kill(name, signal)
	local pid = assert(self:pid(name), name .. " has no pid")
	assert(os.execute(("kill -%s %d"):format(signal or "KILL", pid)))
	return pid
end

--- All of run/*.log, for a failure's message.
function Instance:logs()
	local p = io.popen("tail -n 40 " .. quote(self.dir) .. "/run/*.log 2>/dev/null")
	local s = p:read "a"
	p:close()
	return s
end

--- Processes that carry the instance's mark in their environment, or run on its folder. pid → command line.
function Instance:processes()
	local found = {}
	local p = io.popen "ls /proc"
	for entry in p:lines() do
		local environ = entry:find "^%d+$" and helper.read("/proc/" .. entry .. "/environ")
		local line = environ and helper.read("/proc/" .. entry .. "/cmdline")
		local is_keeper = line and line:find("dss-keeper\0" .. self.dir .. "\0", 1, true)
		if is_keeper or (environ and ("\0" .. environ):find("\0DSS_INSTANCE=" .. self.id .. "\0", 1, true)) then
			found[tonumber(entry)] = (line or ""):gsub("%z", " ")
		end
	end
	p:close()
	return found
end

--- Paths of its boxes.
function Instance:boxes()
	local found = {}
	local p = io.popen(("find /sys/fs/cgroup -type d -name dss-%s 2>/dev/null"):format(self.id))
	for path in p:lines() do found[#found + 1] = path end
	p:close()
	return found
end

local function left_over(self)
	local lines = {}
	for pid, line in pairs(self:processes()) do lines[#lines + 1] = ("process %d: %s"):format(pid, line) end
	for _, box in ipairs(self:boxes()) do lines[#lines + 1] = "box " .. box end
	return lines
end

local function clean(self)
	for pid in pairs(self:processes()) do os.execute(("kill -KILL %d 2>/dev/null"):format(pid)) end
	pcall(helper.wait_for, "the end of what was left", function() return next(self:processes()) == nil end, 5)
	for _, box in ipairs(self:boxes()) do os.execute(("find %s -depth -type d -exec rmdir {} + 2>/dev/null"):format(quote(box))) end
end

--- Stops it at once, removes its folder; raises if anything of it was left.
function Instance:remove()
	local out, status = self:dss("stop", "--now")
	local gone, why = pcall(helper.wait_for, "the end of the instance", function()
		local lines = left_over(self)
		return #lines == 0, table.concat(lines, "; ")
	end, 5)
	if not gone then clean(self) end
	local logs = gone and "" or self:logs()
	Instance.remove_folder(self.root)
	if not gone then error(("%s (dss stop ended with %d: %s)\n%s"):format(why, status, out, logs), 2) end
end

return Instance
