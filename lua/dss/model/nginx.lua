-- nginx: the word `nginx` of config/dss.lua → the configuration that nginx runs, tested before it is put in force.
local files = require "bind.files"
local json = require "bind.json"

local M = {}

-- "_" stands for a request of HTTP/1.0 that names none: no browser sends one
local always = { "localhost", "127.0.0.1", "[::1]", "_" }

--- What of the words nginx needs, as it travels with the plan.
function M.settings(model, dir)
	local n = model.nginx
	local extra = n.extra
	if extra and extra:sub(1, 1) ~= "/" then extra = dir .. "/" .. extra end
	local kind, value = next(n.remote_user)
	return {
		command = n.command, workers = n.workers, certificate = n.tls.certificate, key = n.tls.key, hsts_s = n.hsts // 1000,
		http2 = n.http2 or nil,
		max_body = n.max_body, extra = extra, remote_kind = kind, remote = value, hosts = json.array(model.node.hosts or {}),
	}
end

--- "name", "name:port", "[v6]:port" and a bare IPv6 address, as $host has them; nil for what is none.
local function host_of(name)
	name = name:lower()
	local inner = name:match "^%[([%x:.]+)%]" or (select(2, name:gsub(":", "")) > 1 and name:match "^[%x:.]+$")
	if inner then return "[" .. inner .. "]" end
	return name:match "^([%w_.-]+):?%d*$"
end

local function hosts(s)
	local lines, known, other = {}, {}, 0
	for _, list in ipairs { always, s.hosts } do
		for _, name in ipairs(list) do
			local host = host_of(name)
			if name == "*" then other = 1 end
			if host and name ~= "*" and not known[host] then
				known[host] = true
				lines[#lines + 1] = ('\t\t"%s" 1;'):format(host)
			end
		end
	end
	return table.concat(lines, "\n"), other
end

-- How a user is known: maps of the whole, lines of the page's server, the field's value. What a client sent under that name is replaced.
local remote = {}

-- Basic, checked against a file. $remote_user is set as the client wrote it where nothing is checked; here all but Bearer is. A request
-- with a key goes on as it is: the backend checks keys itself.
function remote.basic(path)
	return {
		maps = [[
	map $http_authorization $dss_realm {
		default "dss";
		"~*^bearer " off;
	}
	map $http_authorization $dss_authorization {
		default "";
		"~*^bearer " $http_authorization;
	}
	map $dss_realm $dss_user {
		default $remote_user;
		off "";
	}]],
		checks = ('\t\tauth_basic $dss_realm;\n\t\tauth_basic_user_file "%s";'):format(path),
		authorization = "\t\tproxy_set_header Authorization $dss_authorization;",
	}
end

-- A client's certificate of that authority: its CN. Who has none goes on without a name.
function remote.certificate(path)
	return {
		maps = [[
	map "$ssl_client_verify $ssl_client_s_dn" $dss_user {
		default "";
		"~^SUCCESS (?:.*[^\\\\],)?CN=(?<dss_cn>[A-Za-z0-9_.-]+)(?:,|$)" $dss_cn;
	}]],
		checks = ('\t\tssl_client_certificate "%s";\n\t\tssl_verify_client optional;'):format(path),
	}
end

-- A variable that the admin's own configuration sets.
function remote.variable(name) return { maps = ('\tmap "%s" $dss_user {\n\t\tdefault "%s";\n\t}'):format(name, name) } end

local nobody = { maps = '\tmap "" $dss_user {\n\t\tdefault "";\n\t}' }

--- The text. where: page, webapps = what stands behind `listen`; extra: the file to take in, or nil.
function M.render(template, s, where, extra)
	local who = s.remote_kind and remote[s.remote_kind](s.remote) or nobody
	local names, other = hosts(s)
	local has_tls = s.key ~= nil
	local values = {
		WORKERS = s.workers, MAX_BODY = s.max_body, PAGE = where.page, WEBAPPS = where.webapps, HOSTS = names, OTHER_HOSTS = other,
		LISTEN_TLS = has_tls and (s.http2 and " ssl http2" or " ssl") or "", LISTEN_TLS_1 = has_tls and " ssl" or "",
		TLS = has_tls and ([[

	ssl_certificate "%s";
	ssl_certificate_key "%s";
	ssl_protocols TLSv1.2 TLSv1.3;
	ssl_prefer_server_ciphers off;
	ssl_session_cache shared:dss_tls:2m;
	ssl_session_tickets off;
]]):format(s.certificate, s.key) or "",
		REDIRECT = has_tls and "\t\terror_page 497 =308 https://$host:$server_port$request_uri;" or "",
		HSTS = s.hsts_s > 0 and ('\t\tadd_header Strict-Transport-Security "max-age=%d" always;'):format(s.hsts_s) or "",
		EXTRA = extra and ('\tinclude "%s";'):format(extra) or "",
		REMOTE_MAPS = who.maps, REMOTE_CHECKS = who.checks or "", AUTHORIZATION = who.authorization or "",
		REMOTE_USER = s.remote_kind and "$dss_user" or '""',
	}
	local text = template:gsub("@([A-Z_0-9]+)@", function(name) return tostring(assert(values[name], name)) end)
	return text
end

-- --- putting in force ---

local RUN = "run/nginx/"
-- A test must not ask for ports, which need not be ours to open: nginx inherits them.
local TEST = { page = "unix:run/nginx/test-page.sock", webapps = "unix:run/nginx/test-webapps.sock" }

local function write(dir, name, text) return files.replace(dir .. "/" .. RUN .. name, text, 384) end -- 0600

--- What says who may come in and what runs as the control user is nobody else's to write.
local function check_owners(t, extra)
	local s = t.settings
	for _, path in ipairs { extra or false, (s.remote_kind == "basic" or s.remote_kind == "certificate") and s.remote } do
		if path then
			local ok, why = files.check(path, t.dir)
			if not ok then return nil, ("%s was refused: %s"):format(path, why) end
		end
	end
	return true
end

--- Tests the settings with that extra file. true, or nil and what nginx said.
local function try(t, extra)
	local ok, why = check_owners(t, extra)
	if not ok then return nil, why end
	ok, why = write(t.dir, "test.conf", M.render(t.template, t.settings, TEST, extra))
	if not ok then return nil, why end
	return t.test(t.settings.command, t.dir .. "/" .. RUN .. "test.conf")
end

local function tell(dir, trouble) return write(dir, "trouble", trouble) end

local function read_settings(dir, taken)
	if taken ~= "" then return json.decode(taken) end
	local model, errors = require("dss.model.plan").read(dir)
	if not model then return nil, table.concat(errors, "\n") end
	return model.nginx and M.settings(model, dir) or nil
end

--- Where it listens, as its start found; a reload has no sockets to look at.
local function where_of(dir, page, webapps)
	if page == "" then return json.decode(files.read(dir .. "/" .. RUN .. "listen.json") or "null") end
	local where = { page = page, webapps = webapps }
	local ok, why = write(dir, "listen.json", json.encode(where))
	return ok and where, why
end

--- mode: "check" = test alone, "install" = put in force what passes, "start" = the same; where the file `extra` is what fails, the one that
-- passed last stays in force. page, webapps: addresses as `listen` takes them, "" = as at the last start. test(command, file) → true | nil, why.
-- Answers the command, or "" where nginx is off; or nil and why. A second text is a warning.
function M.prepare(dir, share, taken, mode, page, webapps, test)
	local settings, why = read_settings(dir, taken)
	if not settings then return not why and "" or nil, why end
	local t = { dir = dir, settings = settings, test = test }
	t.template, why = files.read(share .. "/etc/nginx.conf.in")
	if not t.template then return nil, why end
	local extra, warning = settings.extra, nil
	local ok, trouble = try(t, extra)
	if mode == "check" then return ok and settings.command or nil, trouble end
	if ok and extra then
		local text = files.read(extra)
		if text then write(dir, "extra.last", text) end
	elseif not ok then
		local last = dir .. "/" .. RUN .. "extra.last"
		if mode ~= "start" or not extra or not files.read(last) or not try(t, last) then
			tell(dir, trouble)
			return nil, trouble
		end
		extra, warning = last, trouble .. "; nginx runs with what passed last"
	end
	local where
	where, why = where_of(dir, page, webapps)
	if not where then return nil, why or "nginx was not started yet" end
	ok, why = write(dir, "nginx.conf", M.render(t.template, settings, where, extra))
	if not ok then return nil, why end
	tell(dir, warning or "")
	return settings.command, warning
end

return M
