-- plan: config/dss.lua → the text that the keeper reads (core/keeper/plan.h tells the format).
local files = require "bind.files"
local front = require "dss.model.nginx"
local jupyter = require "dss.model.jupyter"
local json = require "bind.json"
local node = require "dss.model.node"
local sandbox = require "dss.model.sandbox"
local Source = require "dss.model.source"
local sorted_keys = require("dss.model.schema").sorted_keys

local CONFIG = "config/dss.lua"
local PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
local TERM = 15

local M = {}

--- Bytes up to the blank, "%" and DEL as %XX.
local function escape(s)
	return (tostring(s):gsub("[%z\1-\32%%\127]", function(c) return ("%%%02X"):format(c:byte()) end))
end

local function environment(base, own)
	local all = {}
	for k, v in pairs(base) do all[k] = v end
	for k, v in pairs(own or {}) do all[k] = v end
	return all
end

local function writer()
	local out = {}
	return {
		put = function(...)
			local words = table.pack(...)
			for i = 2, words.n do words[i] = escape(words[i]) end
			out[#out + 1] = table.concat(words, " ")
		end,
		text = function() return table.concat(out, "\n") .. "\n" end,
	}
end

local function put_limits(put, limits)
	for _, pair in ipairs { { "memory", "memory" }, { "swap", "swap" }, { "pids", "threads" } } do
		local v = limits and limits[pair[2]]
		if v then put("limit", pair[1] .. "=" .. v) end
	end
	if limits and limits.cpu then put("limit", ("cpu=%d"):format(math.max(1, math.floor(limits.cpu * 1000 + 0.5)))) end
end

--- s: name, argv, env, and the rest with the plan's own units.
local function put_service(put, s)
	put("service", s.name)
	for _, arg in ipairs(s.argv) do put("argv", arg) end
	for _, name in ipairs(sorted_keys(s.env)) do put("env", name .. "=" .. s.env[name]) end
	put("cwd", s.cwd)
	if s.user then put("user", s.user) end
	put("box", "core/" .. s.name)
	put_limits(put, s.limits)
	if s.files then put("rlimit", ("nofile=%d:%d"):format(s.files, s.files)) end
	put("sink", s.sink or "service:" .. s.name)
	local rule = {}
	for word in s.ready:gmatch "%S+" do rule[#rule + 1] = word end
	put("ready", table.unpack(rule))
	put("ready_within_ms", s.ready_within_ms)
	put("stop_signal", s.stop_signal or TERM)
	put("grace_ms", s.grace_ms)
	put("restart_most_ms", s.restart_most_ms or 60000)
	put("healthy_ms", s.healthy_ms or 60000)
	put("give_up_ms", s.give_up_ms)
	if s.reload_signal then put("reload_signal", s.reload_signal) end
	for _, name in ipairs(s.after or {}) do put("after", name) end
	for _, name in ipairs(s.inherit or {}) do put("inherit", name) end
	if s.secret then put("secret", s.secret) end
	if s.is_starter then put("starter", 1) end
	put "end"
end

local function logger(model, where)
	local log = model.log
	return {
		name = "logger",
		argv = {
			where.bin .. "/dss-logger", "--dir", where.dir, "--file-bytes", log.file, "--files", log.files, "--job-bytes", log.job,
			"--total-bytes", log.total, "--floor-bytes", log.floor,
		},
		env = { PATH = PATH, LANG = "C.UTF-8", HOME = where.dir },
		cwd = where.dir, user = model.node.control_user, ready = "exec", ready_within_ms = 30000, grace_ms = 10000, give_up_ms = 0,
	}
end

--- What the backend itself needs of config/dss.lua travels with the plan: one that is restarted while the file is being edited starts with
-- what was taken.
local function given(model)
	local n, nginx = model.node, model.nginx
	return { web_dir = model.web.dir, control_user = n.control_user, run_user = n.run_user, port = n.port, hosts = json.array(n.hosts or {}),
		memory = n.memory, reserve = n.reserve, observe = n.observe or nil, jupyter = jupyter.given(model),
		front = nginx and true, front_tls = nginx and nginx.tls.key and true, remote_user = nginx and next(nginx.remote_user) and true,
		remote_admins = nginx and next(nginx.remote_admins) and json.array(nginx.remote_admins) }
end

local function backend(model, where)
	local inherit = { "page", "callback", "webapps" }
	if model.nginx then table.move({ "backend", "front", "front_webapps" }, 1, 3, #inherit + 1, inherit) end
	if model.jupyter then inherit[#inherit + 1] = "jupyter" end
	return {
		name = "backend",
		argv = { where.bin .. "/dssd", "run", where.dir },
		env = environment({ PATH = PATH, LANG = "C.UTF-8", HOME = where.dir, DSS_SHARE = where.share, DSS_NODE = json.encode(given(model)) },
			model.backend.env),
		cwd = where.dir, user = model.node.control_user, limits = model.backend.limits,
		ready = "notify", ready_within_ms = 60000, grace_ms = 10000, give_up_ms = 0,
		after = { "logger" },
		inherit = inherit,
	}
end

--- `dssd nginx` renders the configuration, tests it and becomes nginx, on the sockets that it inherits.
local function nginx(model, where)
	local settings = front.settings(model, where.dir)
	return {
		name = "nginx", argv = { where.bin .. "/dssd", "nginx", where.dir },
		env = { PATH = PATH, LANG = "C.UTF-8", HOME = where.dir, DSS_SHARE = where.share, DSS_NGINX = json.encode(settings) },
		cwd = where.dir, user = model.node.control_user, limits = model.nginx.limits, files = model.nginx.files,
		ready = "fd", ready_within_ms = 30000, stop_signal = node.signals.QUIT, grace_ms = model.nginx.grace, give_up_ms = 0,
		reload_signal = node.signals.HUP, after = { "logger" }, inherit = { "front", "front_webapps" },
	}
end

--- Which sockets there are. Behind nginx the backend has one more for this machine's own requests, which need no TLS, and Unix sockets for what
-- nginx passes on.
local function put_listens(put, model)
	local n = model.node
	local function port(i) return n.port == 0 and 0 or n.port + i end
	if model.nginx then
		put("listen", "front", n.address, port(0))
		put("listen", "page", "127.0.0.1", port(4))
	else
		put("listen", "page", n.address, port(0))
	end
	put("listen", "callback", "127.0.0.1", port(1))
	put("listen", model.nginx and "front_webapps" or "webapps", n.address, port(3))
	if model.jupyter then put("listen", "jupyter", n.address, model.jupyter.port or port(2)) end
	if model.nginx then
		put("listen_unix", "backend")
		put("listen_unix", "webapps")
	end
end

local function declared(s, model, where)
	local after = { "logger" }
	for _, name in ipairs(s.after) do
		if name ~= "logger" then after[#after + 1] = name end
	end
	return {
		name = s.name, argv = s.command,
		env = environment({ PATH = PATH, LANG = "C.UTF-8", HOME = where.dir }, s.env),
		cwd = s.cwd or where.dir, user = s.user or model.node.run_user, limits = s.limits, files = s.files, sink = s.log,
		ready = s.ready, ready_within_ms = s.ready_within, stop_signal = node.signals[s.stop.signal], grace_ms = s.stop.grace,
		reload_signal = node.signals[s.reload],
		restart_most_ms = s.restart.most, healthy_ms = s.restart.healthy, give_up_ms = s.restart.give_up, after = after,
	}
end

--- The plan's text. where: dir (absolute), instance (its id), share, bin.
function M.text(model, where)
	local w = writer()
	local put, n, log = w.put, model.node, model.log
	put "dss-plan 1"
	put "# made by `dssd plan` from config/dss.lua; edit that file"
	put("instance", where.instance)
	put("dir", where.dir)
	put("cgroups", n.cgroups)
	if n.control_user then
		put("control_user", n.control_user)
		put("allow_user", n.run_user)
	end
	put_listens(put, model)
	put("log_file", log.file, log.files)
	put("log_job", log.job)
	put("log_total", log.total)
	put("log_floor", log.floor)
	put_service(put, logger(model, where))
	put_service(put, backend(model, where))
	if model.nginx then put_service(put, nginx(model, where)) end
	if model.jupyter then put_service(put, jupyter.service(model, where, PATH)) end
	for _, name in ipairs(model.order) do put_service(put, declared(model.services[name], model, where)) end
	return w.text()
end

--- Evaluates DIR/config/dss.lua. The model, or nil and a list of "config/dss.lua:LINE: …".
function M.read(dir)
	local errors, path = {}, dir .. "/" .. CONFIG
	local text, why = files.read(path)
	if not text then return nil, { why } end
	local is_safe, unsafe = files.check(path, dir)
	if not is_safe then return nil, { CONFIG .. ":1: refused: " .. unsafe } end
	local source, model = Source.new(CONFIG, text, errors), node.new()
	local ok, raised = sandbox.run(text, "@" .. CONFIG, sandbox.environment(node.words(source, model)))
	if not ok then errors[#errors + 1] = raised end
	source:close()
	if #errors == 0 then node.finish(source, model) end
	if #errors > 0 then return nil, errors end
	return model
end

--- For `dssd plan`: the text, or nil and the errors, one a line.
--- web_dir: where the page comes from instead of what the file says, or nil.
function M.make(dir, instance, share, bin, web_dir)
	local model, errors = M.read(dir)
	if not model then return nil, table.concat(errors, "\n") end
	if web_dir then model.web = { dir = web_dir } end
	return M.text(model, { dir = dir, instance = instance, share = share, bin = bin })
end

--- For the backend itself: the table of the word `node`, or nil and the first error. taken: DSS_NODE of the plan; "" = started by hand.
function M.node(dir, taken)
	if taken ~= "" then return json.decode(taken) end
	local model, errors = M.read(dir)
	if not model then return nil, errors[1] end
	return given(model)
end

return M
