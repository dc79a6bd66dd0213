-- node: the words of config/dss.lua: node, backend, web, nginx, jupyter, service, log.
local S = require "dss.model.schema"
local id = require "dss.text.id"

local M = {}

local ENVIRONMENT_MAX = 32 * 1024
local reserved = { keeper = true, logger = true, backend = true }

local function user() return S.text { check = function(v)
	if not v:find "^[%a_][%w_.-]*$" or #v > 32 then return nil, ("%q is no user name"):format(v) end
	if v == "root" then return nil, "a process of ours never runs as root" end
	return v
end } end

local function limits()
	return S.record {
		memory = S.size { least = 1 << 20 },
		swap = S.size {},
		threads = S.int { least = 1 },
		cpu = S.number { least = 0.001, most = 10000 },
	}
end

local function environment()
	return S.map { of = S.text { may_be_empty = true, check = function(v)
		if #v > ENVIRONMENT_MAX then return nil, "longer than 32 KB" end
		return v
	end } }
end

local function absolute() return S.text { check = function(v)
	if v:sub(1, 1) ~= "/" then return nil, ("%q is no absolute path"):format(v) end
	return v
end } end

--- A file that stands in nginx's configuration: there "$" begins a variable, and nothing can be escaped everywhere.
local function file(is_absolute) return S.text { check = function(v)
	if is_absolute and v:sub(1, 1) ~= "/" then return nil, ("%q is no absolute path"):format(v) end
	if v:find '[%c"$\\;{}]' then return nil, ("%q: nginx takes no path with one of \" $ \\ ; { }"):format(v) end
	return v
end } end

local function port_of(text)
	local n = text:find "^%d+$" and math.tointeger(tonumber(text))
	return n and n >= 1 and n <= 65535 and n
end

local ready_hint = 'write "exec", "fd", "notify", "port 127.0.0.1 80" or "http 127.0.0.1 80 /path"'
local function check_ready(v)
	if v == "exec" or v == "fd" or v == "notify" then return v end
	local word, port, path = v:match "^(%l+) [%w.:]+ (%d+) ?(.*)$"
	if not word or not port_of(port) or (word ~= "port" and word ~= "http") then return nil, ("%q: %s"):format(v, ready_hint) end
	if (word == "port") ~= (path == "") or (word == "http" and not path:find "^/%S*$") then return nil, ("%q: %s"):format(v, ready_hint) end
	return v
end

M.signals = { HUP = 1, INT = 2, QUIT = 3, KILL = 9, USR1 = 10, USR2 = 12, TERM = 15, WINCH = 28 }

local function check_command(v)
	if v[1] and v[1]:sub(1, 1) ~= "/" then return nil, ("the program %q is no absolute path"):format(v[1]) end
	return v
end

local function check_address(v)
	if v:find "^%d+%.%d+%.%d+%.%d+$" or v:find "^[%x:]*:[%x:.]*$" then return v end
	return nil, ("%q is no numeric address such as 127.0.0.1, 0.0.0.0 or ::1"):format(v)
end

--- A name that a client could choose by itself is none that nginx has found.
local function check_variable(v)
	if not v:find "^%$[%a_][%w_]*$" then return nil, ("%q is no variable such as \"$my_user\""):format(v) end
	if v == "$remote_user" then
		return nil, '"$remote_user" holds what the client wrote, checked or not; write basic = "/file", which checks it'
	end
	if v:find "^%$http_" or v:find "^%$arg_" or v:find "^%$cookie_" then return nil, ("%q holds what the client wrote"):format(v) end
	return v
end

local shapes = {
	node = S.record {
		port = S.int { least = 0, most = 65532, default = 11200 },
		address = S.text { default = "127.0.0.1", check = check_address },
		cgroups = S.choice { words = { "auto", "v2", "v1", "none" }, default = "auto" },
		control_user = user(),
		run_user = user(),
		hosts = S.list { of = S.text {}, default = {} },
		observe = S.bool { default = false },          -- read by the policy engine
		memory = S.size { least = 64 << 20 },          -- of this machine, ours to use; else all of it
		reserve = S.size { least = 1 },                -- of that, kept from kernels for people and the system
	},
	backend = S.record { limits = limits(), env = environment() },
	web = S.record { dir = absolute() },              -- the page from a folder instead of the binary, for who works on it
	nginx = S.record {
		enabled = S.bool { default = true },
		command = absolute(),
		workers = S.int { least = 1, most = 64, default = 1 },
		tls = S.record { certificate = file(true), key = file(true) },
		hsts = S.duration { default = 0 },
		http2 = S.bool { default = false },
		max_body = S.size { least = 1024, default = 64 << 20 },
		extra = file(false),
		remote_user = S.record {
			basic = file(true), certificate = file(true),
			variable = S.text { check = check_variable },
		},
		remote_admins = S.list { default = {}, of = S.text { check = function(v)
			if not id.is_login(v) then return nil, ("%q is no valid login"):format(v) end
			return v
		end } },
		grace = S.duration { default = 5000 },
		limits = limits(),
		files = S.int { least = 64, most = 10000000 },
	},
	jupyter = S.record {
		enabled = S.bool { default = true },
		command = S.list { of = S.text { may_be_empty = true }, least = 1, check = check_command },
		python = absolute(),
		kernelspecs = S.list { of = S.id {} },         -- those that may be started; else all that are installed
		port = S.int { least = 1, most = 65535 },
		env = environment(),
		limits = limits(),
		files = S.int { least = 64, most = 10000000 },
		grace = S.duration { default = 10000 },
		attach = S.text { check = function(v)
			if v:find "^https?://[%w.:%[%]_-]+/?[^%s?#]*$" then return (v:gsub("/+$", "")) end
			return nil, ("%q is no address such as \"http://127.0.0.1:8888\""):format(v)
		end },
		token_file = absolute(),
		trust = S.choice { words = { "activity" } },
		leases = S.record {
			longest = S.duration { least = 1000, default = 3 * 86400000 },
			each_user = S.int { least = 0, most = 100000, default = 10 },
		},
	},
	log = S.record {
		file = S.size { least = 4096, default = 100 << 20 },
		files = S.int { least = 1, most = 1000, default = 10 },
		job = S.size { least = 4096, default = 50 << 20 },
		total = S.size { least = 4096, default = 10 << 30 },
		floor = S.size { default = 1 << 30 },
	},
	service = S.record {
		command = S.list { of = S.text { may_be_empty = true }, least = 1, required = true, check = check_command },
		env = environment(),
		cwd = absolute(),
		user = user(),
		limits = limits(),
		files = S.int { least = 16, most = 10000000 },
		ready = S.text { default = "exec", check = check_ready },
		ready_within = S.duration { least = 1, default = 30000 },
		stop = S.record {
			signal = S.choice { words = { "TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "WINCH", "KILL" }, default = "TERM" },
			grace = S.duration { default = 10000 },
		},
		restart = S.record {
			most = S.duration { least = 1, default = 60000 },
			healthy = S.duration { least = 1, default = 60000 },
			give_up = S.duration { default = 3600000 },
		},
		reload = S.choice { words = { "HUP", "USR1", "USR2" } },
		after = S.list { of = S.id {}, default = {} },
		log = S.text { check = function(v)
			if v == "null" then return v end
			if not id.is_id(v:match "^service:(.+)$") then return nil, ("%q: write \"service:NAME\" or \"null\""):format(v) end
			return v
		end },
	},
}

--- A model with every default, before any word was read.
function M.new() return { first = {}, services = {}, order = {} } end

local function count(t)
	local n = 0
	for _ in pairs(type(t) == "table" and t or {}) do n = n + 1 end
	return n
end

local function read(shape, t, source, line) return S.read(shapes[shape], t, { source = source, line = line, lines = source:lines(line) }) end

--- The words for one file; what they say lands in `model`.
function M.words(source, model)
	local words = {}
	for _, word in ipairs { "node", "backend", "web", "nginx", "jupyter", "log" } do
		words[word] = source:single(word, model, function(t, line)
			model[word] = read(word, t, source, line)
			model[word].line = line
			-- as it was written: what was wrong with a key has been told by now
			if word == "nginx" then model.nginx.said = { tls = count(t.tls), remote = count(t.remote_user) } end
		end)
	end
	words.service = source:named("service", function(name, t, line)
		local s = read("service", t, source, line)
		s.name, s.line = name, line
		if not id.is_id(name) or name:find "[:()]" then return source:report(line, ("%q is no name for a service"):format(name)) end
		if reserved[name] then return source:report(line, ('the service "%s" is built in; the word `backend { … }` sets its limits'):format(name)) end
		if model.services[name] then
			return source:report(line, ('service "%s" stands twice, first at %s'):format(name, source:at(model.services[name].line)))
		end
		model.services[name] = s
		table.insert(model.order, name)
	end)
	return words
end

local function check_after(model, source)
	local nearest = require "dss.text.nearest"
	local known = { "logger", "backend", table.unpack(model.order) }
	if model.nginx then known[#known + 1] = "nginx" end
	if model.jupyter then known[#known + 1] = "jupyter" end
	local is_known = {}
	for _, name in ipairs(known) do is_known[name] = true end
	local state = {}
	local function visit(name, path)
		local s = model.services[name]
		if not s or state[name] == "done" then return end
		if state[name] == "open" then
			state[name] = "done"
			return source:report(s.line, ("services wait for each other: %s"):format(table.concat(path, " → ") .. " → " .. name))
		end
		state[name] = "open"
		path[#path + 1] = name
		for _, other in ipairs(s.after or {}) do
			if is_known[other] then visit(other, path) end
		end
		path[#path] = nil
		state[name] = "done"
	end
	for _, name in ipairs(model.order) do
		local s = model.services[name]
		for _, other in ipairs(s.after or {}) do
			if not is_known[other] then
				local guess = nearest(other, known)
				source:report(s.line, ('service "%s" is after "%s", which is not there%s'):format(name, other,
					guess and (', did you mean "%s"?'):format(guess) or ""))
			end
		end
		visit(name, {})
	end
end

local PORT_MOST = 65535

--- nil where it is not to run.
local function check_nginx(source, model)
	local nginx, node = model.nginx, model.node
	if not nginx or not nginx.enabled then
		model.nginx = nil
		return
	end
	if nginx.said.tls == 1 then source:report(nginx.line, "tls: certificate and key stand together") end
	if nginx.said.remote > 1 then source:report(nginx.line, "remote_user: one of basic, certificate and variable") end
	nginx.command = nginx.command or "/usr/sbin/nginx"
	if model.services.nginx then source:report(model.services.nginx.line, 'service "nginx" stands beside nginx { … }: write one of them') end
	if node.port + 4 > PORT_MOST then source:report(nginx.line, ("port %d + 4, for this machine's own requests, is no port"):format(node.port)) end
	if next(nginx.remote_user) and not node.control_user then
		source:report(nginx.line, "remote_user wants control_user and run_user: where all is one user, code in any kernel could name anybody")
	end
	if next(nginx.remote_admins) and not next(nginx.remote_user) then source:report(nginx.line, "remote_admins stands beside remote_user") end
	if nginx.remote_user.certificate and not nginx.tls.key then
		source:report(nginx.line, "remote_user.certificate wants tls: without it nobody shows a certificate")
	end
	if nginx.http2 and not nginx.tls.key then source:report(nginx.line, "http2 wants tls: browsers speak it with TLS alone") end
	if nginx.hsts > 0 and not nginx.tls.key then source:report(nginx.line, "hsts wants tls") end
end

local own_words = { "command", "python", "kernelspecs", "port", "env", "limits", "files" }

--- nil where there is none. One with `attach` is somebody else's: it is watched, and that is all.
local function check_jupyter(source, model)
	local jupyter, node = model.jupyter, model.node
	if not jupyter or not jupyter.enabled then
		model.jupyter, model.attached = nil, nil
		return
	end
	if jupyter.attach then
		for _, word in ipairs(own_words) do
			local v = jupyter[word]
			if v ~= nil and (type(v) ~= "table" or next(v) ~= nil) then
				source:report(jupyter.line, ("attach: that server is not ours to start; %s says nothing"):format(word))
			end
		end
		if not jupyter.token_file then source:report(jupyter.line, "attach wants token_file, which the control user can read and users' code cannot") end
		model.attached, model.jupyter = jupyter, nil
		return
	end
	if jupyter.trust then source:report(jupyter.line, "trust stands beside attach; kernels of our own server are measured") end
	if jupyter.token_file then source:report(jupyter.line, "token_file stands beside attach; our own server's is config/jupyter.token") end
	if jupyter.command and jupyter.python then source:report(jupyter.line, "command names its program: python says nothing beside it") end
	jupyter.python = jupyter.python or "/usr/bin/python3"
	if model.services.jupyter then
		source:report(model.services.jupyter.line, 'service "jupyter" stands beside jupyter { … }: write one of them')
	end
	local first = node.port
	if jupyter.port and first > 0 and jupyter.port >= first and jupyter.port <= first + 4 and jupyter.port ~= first + 2 then
		source:report(jupyter.line, ("port %d is another of ours; Jupyter's own is %d"):format(jupyter.port, first + 2))
	end
end

--- What only the whole can tell; fills in what no word said.
function M.finish(source, model)
	for _, word in ipairs { "node", "backend", "web", "log" } do
		model[word] = model[word] or read(word, {}, source, 1)
	end
	local node = model.node
	if (node.control_user == nil) ~= (node.run_user == nil) then
		source:report(node.line or 1, "control_user and run_user stand together or not at all (one-user mode)")
	elseif node.control_user and node.control_user == node.run_user then
		source:report(node.line or 1, "control_user and run_user must differ: users' code could read the instance's keys")
	end
	if node.memory and node.reserve and node.reserve >= node.memory then
		source:report(node.line or 1, "reserve is not less than memory: nothing would be left for kernels")
	end
	check_nginx(source, model)
	check_jupyter(source, model)
	check_after(model, source)
end

return M
