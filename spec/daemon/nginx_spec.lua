-- nginx before the backend, the real one: TLS, reloads, bad configurations, crashes, and who may say who asks.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local json = require "t_json"
local wait_for = helper.wait_for

local POOLS = [[ pool "fek" { kernel = python {}, limits = { memory = "256m" }, warm = { min = 0, max = 1 } } ]]
-- A webapp that tells what reached it, and after an upgrade sends back each line that it gets.
local SERVER = [[
import http.server, json, os
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.headers.get("Upgrade"):
            self.send_response(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            self.end_headers()
            self.close_connection = True
            while True:
                line = self.rfile.readline()
                if not line:
                    return
                self.wfile.write(b"echo " + line)
                self.wfile.flush()
        body = json.dumps({"path": self.path, "fields": {k.lower(): v for k, v in self.headers.items()}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        if self.path == "/elsewhere":
            self.send_header("X-Accel-Redirect", "/web-apps-backends/WEB/page/sent")
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["DSS_WEBAPP_PORT"])), H).serve_forever()
]]

local SPEAKER = [[
import socket, ssl, sys
port, path, key = int(sys.argv[1]), sys.argv[2], sys.argv[3]
context = ssl._create_unverified_context()
s = context.wrap_socket(socket.create_connection(("127.0.0.1", port), 20))
s.settimeout(20)
f = s.makefile("rwb")
f.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
f.flush()
print(f.readline().decode().split()[1])
while f.readline().strip():
    pass
for word in (b"one", b"two"):
    f.write(word + b"\n")
    f.flush()
    print(f.readline().decode().strip())
]]

local has_nginx = os.execute "test -x /usr/sbin/nginx && test -x /usr/bin/openssl"
local is_root = Instance.run { "id", "-u" } == "0"

describe("nginx", function()
	local node
	if not has_nginx then
		pending "needs nginx and openssl"
		return
	end

	local function certificate(name, subject)
		local at = node.root .. "/" .. name
		local out, status = Instance.run { "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
			"-subj", subject or "/CN=localhost", "-keyout", at .. ".key", "-out", at .. ".pem" }
		assert.equal(0, status, out)
		os.execute(("chmod 644 %s.key %s.pem"):format(at, at))
		return at
	end

	local function tls() return ('tls = { certificate = "%s/tls.pem", key = "%s/tls.key" },'):format(node.root, node.root) end

	--- what: the inside of nginx { … }, or a function that answers it once the folder is there.
	local function make(what, o)
		o = o or {}
		node = Instance.new { policies = { ["10-pools.lua"] = POOLS }, port = o.port, init = o.init }
		local text = type(what) == "function" and what() or what or ""
		node.config = node:read "config/dss.lua"
		node.configure = function(inside, more)
			node:write("config/dss.lua", ("%s\nnginx {\n%s }\n%s"):format(node.config, inside, more or ""))
		end
		node.configure(text, o.more)
	end

	local function ports() return json.decode(node:read "run/ports.json") end

	--- One request; o: key (default the admin's; false = none), fields, port, scheme, more (arguments of curl), body, method.
	local function ask(path, o)
		o = o or {}
		local base = os.tmpname()
		local key = o.key
		if key == nil then key = node:read("config/admin.key"):match "%S+" end
		local argv = { "curl", "-sS", "-k", "--max-time", "30", "--noproxy", "*", "-o", base .. ".body", "-D", base .. ".head", "-w", "%{http_code}",
			"-X", o.method or "GET" }
		local function put(...) for _, word in ipairs { ... } do argv[#argv + 1] = word end end
		if key then put("-H", "Authorization: Bearer " .. key) end
		for _, field in ipairs(o.fields or {}) do put("-H", field) end
		if o.body then put("-H", "Content-Type: application/json", "--data-binary", o.body) end
		put(table.unpack(o.more or {}))
		put(("%s://127.0.0.1:%d%s"):format(o.scheme or (not o.port and ports().tls and "https") or "http", o.port or ports().page, path))
		local out, complaint = Instance.run_apart(argv)
		local text, headers = helper.read(base .. ".body") or "", {}
		for name, value in (helper.read(base .. ".head") or ""):gmatch "([%w-]+): ([^\r\n]*)" do headers[name:lower()] = value end
		for _, suffix in ipairs { "", ".body", ".head" } do os.remove(base .. suffix) end
		return tonumber(out:match "%d+") or 0, json.decode(text) or text, headers, complaint
	end

	local function status_of(...) return (ask(...)) end

	local function pid() return math.tointeger(node:status().by.nginx.pid or 0) end

	local function log() return node:read "run/nginx.log" or "" end

	local function health(o)
		local status, h = ask("/health", o)
		assert.equal(200, status)
		return h
	end

	--- The API's own answer to what is wrong with nginx, looked for where it is about to change.
	local function await_trouble(pattern)
		wait_for("/health to tell", function()
			local h = health { port = ports()["local"] }
			return h.nginx and h.nginx.error:find(pattern) and h.status == "warning", json.encode(h)
		end, 10)
	end

	local function await_no_trouble()
		wait_for("/health to be content", function()
			local h = health { port = ports()["local"] }
			return not h.nginx and h.status == "ok", json.encode(h)
		end, 10)
	end

	--- A request that goes on: what came so far is in node.root/NAME.
	local function follow(name)
		local file = node.root .. "/" .. name
		local p = assert(io.popen(("curl -sSkN --max-time 120 --noproxy '*' -H 'Authorization: Bearer %s' -o %s %s://127.0.0.1:%d/api/events >%s.err 2>&1 & echo $!")
			:format(node:read("config/admin.key"):match "%S+", file, ports().tls and "https" or "http", ports().page, file)))
		local number = tonumber(p:read "l")
		p:close()
		wait_for("the stream to begin", function() return (helper.read(file) or ""):find "event: hello" ~= nil end, 15)
		return {
			text = function() return helper.read(file) or "" end,
			is_open = function() return os.execute(("kill -0 %d 2>/dev/null"):format(number)) == true end,
			stop = function() os.execute(("kill %d 2>/dev/null"):format(number)) end,
		}
	end

	local function make_key(login, is_admin)
		local status, answer = ask("/api/keys", { method = "POST", port = ports()["local"], body = json.encode { user = login, admin = is_admin or nil } })
		assert.equal(200, status, json.encode(answer))
		return answer.key
	end

	--- A fact that streams tell of.
	local function happen(stream, login)
		make_key(login)
		wait_for("the stream to tell of " .. login, function() return stream.text():find(login, 1, true) ~= nil, stream.text() end, 15)
	end

	--- The first of five that nobody has, below those that the kernel gives away.
	local function free_ports()
		local p = assert(io.popen [[/usr/bin/python3 -c '
import os, socket
def is_free(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
base = 20000 + os.getpid() % 1000 * 10
while not all(is_free(base + i) for i in range(5)):
    base += 10
print(base)']])
		local port = math.tointeger(tonumber(p:read "l"))
		p:close()
		return port
	end

	after_each(function()
		if node then node:remove() node = nil end
	end)

	it("takes the page's port: page, API and events go through it, this machine's own requests need it not", function()
		make()
		local out = node:start()
		assert.matches("nginx +ready", out)
		local p = ports()
		assert.matches("the API answers at http://127.0.0.1:" .. p.page, out)
		local row = node:status().by.nginx
		assert.same({ "ready", "up" }, { row.state, row.wanted })
		local status, _, headers = ask "/api/pools"
		assert.same({ 200, "nginx" }, { status, headers.server })
		assert.is_nil(select(3, ask("/health", { port = p["local"] })).server)
		assert.equal(401, status_of("/api/pools", { key = false }))
		assert.matches("fek", (node:ctl "pools"))
		local stream = follow "events"
		happen(stream, "ann")
		assert.is_true(stream.is_open())
		stream.stop()
		-- what stands behind "?" is no reader's of a log
		status_of "/api/pools?ticket=SECRET1&key=SECRET2"
		wait_for("the log", function() return log():find('"GET /api/pools?... HTTP/1.1" 200', 1, true) ~= nil, log() end)
		assert.is_nil(log():find "SECRET")
	end)

	it("opens nothing that is open on this machine alone, and answers to its own names only", function()
		make "max_body = \"4k\","
		node:start()
		for _, fields in ipairs { {}, { "X-Forwarded-For: 127.0.0.1" }, { "Forwarded;" }, { "X-Real-IP;", "X-Forwarded-For;" } } do
			assert.equal(401, status_of("/metrics", { key = false, fields = fields }))
		end
		assert.equal(200, status_of "/metrics")
		assert.equal(200, status_of("/metrics", { key = false, port = ports()["local"] }))
		local status, answer = ask("/health", { fields = { "Host: evil.example" } })
		assert.equal(421, status)
		assert.matches("node.hosts", answer.message)
		assert.equal(200, status_of("/health", { fields = { "Host: localhost:1" } }))
		status, answer = ask("/api/futures", { method = "POST", body = '{"payload":{"x":"' .. ("x"):rep(5000) .. '"}}' })
		assert.same({ 413, "RequestTooLargeException" }, { status, answer.errorType })
		if is_root then -- users' code reaches neither the socket nor what nginx is configured by
			for _, path in ipairs { "run/backend.sock", "run/webapps.sock" } do
				local out, code = Instance.run { "setpriv", "--reuid", "dss-run", "--regid", "dss-run", "--clear-groups", "curl", "-sS", "--unix-socket",
					node.dir .. "/" .. path, "http://localhost/health" }
				assert.equal(7, code, out)
				assert.matches("dss 600", (Instance.run { "stat", "-c", "%U %a", node.dir .. "/" .. path }))
			end
			assert.matches("dss 700", (Instance.run { "stat", "-c", "%U %a", node.dir .. "/run/nginx" }))
		end
	end)

	it("speaks TLS 1.2 and later, and leads there who comes without", function()
		make(function()
			certificate "tls"
			return tls() .. ' hsts = "1d",'
		end)
		assert.matches("answers at https://", (node:start()))
		local status, _, headers = ask "/api/pools"
		assert.same({ 200, "max-age=86400" }, { status, headers["strict-transport-security"] })
		status, _, headers = ask("/health?x=1", { scheme = "http" })
		assert.same({ 308, ("https://127.0.0.1:%d/health?x=1"):format(ports().page) }, { status, headers.location })
		assert.equal(200, status_of("/health", { more = { "--tls-max", "1.2" } }))
		assert.equal(0, status_of("/health", { more = { "--tls-max", "1.1" } }))
		assert.matches("fek", (node:ctl "pools"))
		-- from elsewhere, with a key alone
		local _, complaint, code = Instance.run_apart({ Instance.program "dssctl", "pools" }, { DSS_URL = "https://localhost:" .. ports().page, DSS_KEY = "x" })
		assert.not_equal(0, code)
		assert.matches("certificate", complaint)
		-- the second origin
		assert.matches("serial=", (Instance.run { "sh", "-c", ("openssl s_client -connect 127.0.0.1:%d </dev/null 2>/dev/null | openssl x509 -noout -serial")
			:format(ports().webapps) }))
	end)

	it("serves webapps on their own port, with TLS, streams both ways; tells them and the way in whence a request came", function()
		make(function()
			certificate "tls"
			return tls()
		end)
		node:start()
		local dir = node.dir .. "/projects/WEB"
		os.execute("mkdir -p " .. Instance.quote(dir))
		helper.write(dir .. "/project.lua", 'project { webapps = { page = webapp { command = { "/usr/bin/python3", "app.py" } } } }')
		helper.write(dir .. "/app.py", SERVER)
		os.execute(("chown -R --reference=%s %s"):format(Instance.quote(node.dir .. "/projects"), Instance.quote(dir)))
		assert.equal(200, status_of("/public/api/projects/WEB/webapps/page/backend/actions/restart", { method = "PUT" }))
		wait_for("the webapp", function()
			local _, answer = ask "/public/api/projects/WEB/webapps/page/backend/state"
			return answer.backend and answer.backend.state == "running", json.encode(answer)
		end, 30)
		local path, port = "/web-apps-backends/WEB/page/", ports().webapps
		local status, app = ask(path .. "x", { port = port, scheme = "https" })
		assert.equal(200, status, json.encode(app))
		assert.same({ "https", "127.0.0.1" }, { app.fields["x-forwarded-proto"], app.fields["x-forwarded-for"] }, json.encode(app))
		assert.is_nil(app.fields.authorization)
		assert.is_nil(app.fields["x-remote-user"])
		-- What a webapp says to nginx is not heard: it could send who asks, with his key, to another webapp.
		status, app = ask(path .. "elsewhere", { port = port, scheme = "https" })
		assert.same({ 200, "/elsewhere" }, { status, app.path })
		-- from the page's port, with a ticket and then a cookie
		local _, _, headers = ask(path)
		assert.matches(("^https://127%%.0%%.0%%.1:%d/web%%-apps%%-backends/WEB/page/"):format(port), headers.location)
		local jar = node.root .. "/jar"
		status, app = ask(path, { more = { "-L", "-c", jar, "-b", jar } })
		assert.equal(200, status, json.encode(app))
		assert.is_table(app.fields)
		assert.matches("TRUE", helper.read(jar)) -- the cookie is for TLS alone
		assert.equal(401, status_of(path, { port = port, scheme = "https", key = false }))
		local out, code = Instance.run { "/usr/bin/python3", "-c", SPEAKER, tostring(port), path .. "ws", (node:read("config/admin.key"):match "%S+") }
		assert.same({ "101\necho one\necho two", 0 }, { out, code })
	end)

	it("reloads: new certificate, new configuration, the same process, no stream cut and no request refused", function()
		make(function()
			certificate "tls"
			return tls()
		end)
		node:start()
		local stream, was = follow "events", pid()
		happen(stream, "before")
		local function serial()
			return (Instance.run { "sh", "-c", ("openssl s_client -connect 127.0.0.1:%d </dev/null 2>/dev/null | openssl x509 -noout -serial"):format(ports().page) })
		end
		local first = serial()
		certificate "tls"
		assert.equal(first, serial())
		local codes = node.root .. "/codes"
		os.execute(("(i=0; while [ ! -e %s/enough ] && [ $i -lt 5000 ]; do i=$((i+1)); curl -sk --noproxy '*' -o /dev/null -w '%%{http_code}\\n' https://127.0.0.1:%d/health; done >%s; touch %s/ended) &")
			:format(node.root, ports().page, codes, node.root))
		wait_for("requests", function() return helper.read(codes) ~= "" and helper.read(codes) ~= nil end)
		node.configure(tls() .. ' max_body = "2m", workers = 2,')
		local out, status = node:dss("reload", "nginx")
		assert.equal(0, status, out)
		assert.matches("nginx +reloaded", out)
		wait_for("the new certificate", function() return serial() ~= first end)
		local seen = #helper.read(codes)
		wait_for("requests after it", function() return #helper.read(codes) > seen + 20 end)
		helper.write(node.root .. "/enough", "")
		wait_for("the end of requests", function() return helper.read(node.root .. "/ended") ~= nil end)
		assert.equal("", (helper.read(codes):gsub("200\n", "")))
		assert.equal(was, pid())
		assert.equal(413, status_of("/api/futures", { method = "POST", body = "@" .. Instance.program "dssd" }))
		happen(stream, "after")
		assert.is_true(stream.is_open())
		stream.stop()
	end)

	it("is never given a configuration that it refuses, says the line, and goes on with what passed last", function()
		make 'extra = "config/nginx.extra.conf",'
		node:write("config/nginx.extra.conf", "# nothing yet\n")
		node:start()
		local was = pid()
		node:write("config/nginx.extra.conf", "# one\nmax_bdy 3;\n")
		for _, verb in ipairs { "reload", "restart" } do
			local out, status = node:dss(verb, "nginx")
			assert.equal(1, status, out)
			assert.matches('unknown directive "max_bdy" in [^\n]*config/nginx.extra.conf:2', out)
			assert.equal(was, pid())
			assert.equal(200, status_of "/health")
		end
		local out, status = node:dss "restart"
		assert.equal(1, status, out)
		assert.matches("nothing was restarted", out)
		local function crash()
			local before = pid()
			node:kill "nginx"
			wait_for("another nginx", function()
				local row = node:status().by.nginx
				return row.state == "ready" and row.pid ~= before
			end, 15)
		end
		-- even a crash brings what passed last
		crash()
		assert.equal(200, status_of "/health")
		await_trouble "extra.conf:2"
		assert.is_nil(health({ key = false }).nginx.error:find "max_bdy")
		local alerts = select(2, ask "/api/alerts")
		assert.matches("extra.conf:2", json.encode(alerts))
		out = node:dss "status"
		assert.matches("nginx: [^\n]*extra.conf:2[^\n]*; nginx runs with what passed last", out)
		assert.matches("extra.conf:2", node:status().by.nginx.trouble)
		-- however much it has to say
		node:write("config/nginx.extra.conf", "max_bdy" .. ("y"):rep(1500) .. " 3;\n")
		crash()
		await_trouble "max_bdyyy"
		node:write("config/nginx.extra.conf", "client_header_timeout 5s;\n")
		out, status = node:dss("reload", "nginx")
		assert.equal(1, status, out) -- it stands in our own part, too
		assert.matches("duplicate", out)
		node:write("config/nginx.extra.conf", "map $uri $mine { default 1; }\n")
		out, status = node:dss("reload", "nginx")
		assert.equal(0, status, out)
		await_no_trouble()
		assert.is_nil(node:status().by.nginx.trouble)
	end)

	it("says at the start what is wrong where nothing passed before, and the rest of the node runs", function()
		make(function() return tls() end)
		local out, status = node:dss "start"
		assert.equal(1, status, out)
		assert.matches('cannot load certificate "[^"]*/tls.pem"', out)
		wait_for("the backend", function() return node:status().by.backend.state == "ready" end, 30)
		assert.matches("tls.pem", node:status().by.nginx.trouble)
		await_trouble "tls.pem"
		certificate "tls"
		out, status = node:dss("restart", "nginx")
		assert.equal(0, status, out)
		assert.equal(200, status_of "/health")
		await_no_trouble()
	end)

	it("starts again after a crash, and a backend that dies behind it is a delay", function()
		make()
		node:start()
		local was = node:kill "nginx"
		-- the keeper holds the port: nobody is refused
		assert.equal(200, status_of "/health")
		assert.not_equal(was, pid())
		wait_for("nginx to be ready", function() return node:status().by.nginx.state == "ready" end)
		for _ = 1, 3 do
			local backend = node:kill "backend"
			local status, answer = ask "/health"
			assert.same({ 200, true }, { status, answer.pid ~= backend }, json.encode(answer))
			wait_for("the backend to be ready", function() return node:status().by.backend.state == "ready" end)
		end
		local out, status = node:dss("restart", "nginx")
		assert.equal(0, status, out)
		assert.equal(200, status_of "/health")
	end)

	it("comes and goes by a restart, and the keeper's own restart changes nothing", function()
		make "enabled = false,"
		node:start()
		assert.is_nil(node:status().by.nginx)
		local port = ports().page
		node.configure ""
		local out, status
		for _, verb in ipairs { "reload", "restart" } do -- alone it would stand where the backend does
			out, status = node:dss(verb, "nginx")
			assert.equal(4, status, out)
			assert.is_nil(node:status().by.nginx)
		end
		assert.equal(200, status_of "/health")
		out, status = node:dss "restart"
		assert.equal(0, status, out)
		local row = node:status().by.nginx
		assert.equal("ready", row.state)
		assert.equal("nginx", select(3, ask "/health").server)
		out, status = node:dss("restart", "keeper")
		assert.equal(0, status, out)
		assert.equal(row.pid, node:status().by.nginx.pid)
		assert.equal(200, status_of "/health")
		node.configure "enabled = false,"
		out, status = node:dss "restart"
		assert.equal(0, status, out)
		wait_for("its end", function() return node:status().by.nginx == nil end)
		assert.is_nil(select(3, ask "/health").server)
		assert.is_number(port)
		out, status = node:dss("reload", "nginx")
		assert.equal(4, status, out)
		out, status = node:dss("reload", "logger")
		assert.equal(1, status, out)
		assert.matches("logger cannot be reloaded", out)
	end)

	it("takes a fixed port over from the backend and gives it back, and refuses one that is taken", function()
		local port = free_ports()
		make("enabled = false,", { port = port })
		node:start()
		assert.equal(port, ports().page)
		node.configure ""
		local out, status = node:dss "restart"
		assert.equal(0, status, out)
		assert.same({ port, port + 3, port + 4 }, { ports().page, ports().webapps, ports()["local"] })
		for _ = 1, 10 do assert.equal("nginx", select(3, ask "/health").server) end
		node.configure "enabled = false,"
		out, status = node:dss "restart"
		assert.equal(0, status, out)
		assert.is_nil(select(3, ask "/health").server)
		node:stop()
		node.configure ""
		local holder = assert(io.popen(("exec 2>&1; /usr/bin/python3 -c 'import socket, time; s = socket.socket(); s.bind((\"127.0.0.1\", %d)); s.listen(); print(\"bound\", flush=True); time.sleep(100)' & echo $!")
			:format(port)))
		local lines = { holder:read "l", holder:read "l" }
		out, status = node:dss "start"
		os.execute("kill " .. (lines[1]:match "%d+" or lines[2]))
		holder:close()
		assert.equal(1, status, out)
		assert.matches(("port %d is held by pid %%d+ %%(python3"):format(port), out)
	end)
end)
