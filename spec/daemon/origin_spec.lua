-- The webapps' own port, with real webapps behind it: who is let in, what passes, what does not.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local json = require "t_json"
local wait_for = helper.wait_for

local POOLS = [[ pool "fek" { kernel = python {}, limits = { memory = "256m" }, warm = { min = 0, max = 1 } } ]]

local FLASK = [[
from flask import Flask, request, redirect, Response, jsonify
import time
app = Flask(__name__)

@app.route("/", defaults={"path": ""}, methods=["GET", "POST"])
@app.route("/<path:path>", methods=["GET", "POST"])
def echo(path):
    answer = jsonify(path=request.path, query=request.query_string.decode(), headers={k.lower(): v for k, v in request.headers.items()},
                     body=len(request.get_data()))
    answer.set_cookie("mine", "1")
    answer.headers.add("Set-Cookie", "dss-webapp=evil; Path=/")
    return answer

@app.route("/go")
def go():
    return redirect("/there")

@app.route("/events")
def events():
    def each():
        yield "data: first\n\n"
        time.sleep(600)
    return Response(each(), mimetype="text/event-stream")
]]

-- A WebSocket server by hand: it says of each text what it was, in one frame.
local SOCKETS = [[
import base64, hashlib, os, socket, struct, threading
def serve(c):
    head = b""
    while b"\r\n\r\n" not in head:
        head += c.recv(1)
    key = [l.split(b":", 1)[1].strip() for l in head.split(b"\r\n") if l.lower().startswith(b"sec-websocket-key:")][0]
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    c.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n")
    f = c.makefile("rb")
    while True:
        two = f.read(2)
        if len(two) < 2 or two[0] & 15 == 8:
            return c.close()
        n = two[1] & 127
        if n == 126:
            n = struct.unpack(">H", f.read(2))[0]
        mask, data = f.read(4), f.read(n)
        text = b"heard " + bytes(b ^ mask[i % 4] for i, b in enumerate(data))
        c.sendall(bytes([0x81, len(text)]) + text)
s = socket.create_server(("127.0.0.1", int(os.environ["DSS_WEBAPP_PORT"])))
while True:
    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
]]

-- Its client; the arguments: port, path, key | -, Origin | -
local SOCKETS_CLIENT = [[
import base64, os, socket, sys
port, path, key, origin = sys.argv[1:5]
c = socket.create_connection(("127.0.0.1", int(port)), 20)
fields = ("Authorization: Bearer %s\r\n" % key if key[:1] != "=" else "Cookie: dss-webapp%s\r\n" % key) + ("Origin: %s\r\n" % origin if origin != "-" else "")
c.sendall(("GET %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n" % (path, port, fields)).encode())
f = c.makefile("rb")
print(f.readline().decode().strip())
while True:
    line = f.readline().strip()
    if line.lower().startswith(b"sec-websocket-accept:"):
        print(line.decode())
    if not line:
        break
for word in (b"one", b"two"):
    mask = os.urandom(4)
    c.sendall(bytes([0x81, 0x80 | len(word)]) + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(word)))
    head = f.read(2)
    print(f.read(head[1] & 127).decode())
]]

local UNIX = [[
import http.server, os, socketserver
class S(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    def get_request(self):
        c, _ = super().get_request()
        return c, ("unix", 0)
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = ("over a socket, port " + os.environ.get("DSS_WEBAPP_PORT", "none")).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a):
        pass
S(os.environ["DSS_WEBAPP_SOCKET"], H).serve_forever()
]]

local SICK = [[
import http.server, os
well = {"is": True}
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/sick":
            well["is"] = False
        self.send_response(200 if well["is"] or self.path != "/health" else 500)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *a):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["DSS_WEBAPP_PORT"])), H).serve_forever()
]]

local LIAR = [[
import os, socket
s = socket.create_server(("127.0.0.1", int(os.environ["DSS_WEBAPP_PORT"])))
print("about to <lie>", flush=True)
while True:
    c = s.accept()[0]
    try:
        if c.recv(65536):
            c.sendall(b"no HTTP\r\n\r\n")
    except OSError:
        pass
    c.close()
]]

local SHINY = [[
library(shiny)
shinyApp(ui = fluidPage("shiny is here", textOutput("t")), server = function(input, output) output$t <- renderText("drawn by the server"))
]]

local has_flask = os.execute "/usr/bin/python3 -c 'import flask' 2>/dev/null"
local has_shiny = os.execute "Rscript -e 'quit(status = !requireNamespace(\"shiny\", quietly = TRUE))' >/dev/null 2>&1"

local function webapp(command, more) return ('webapp { command = { "/usr/bin/python3", %q }, %s }'):format(command, more or "") end

describe("the webapps' own port", function()
	local node, ann, bob, home

	local function project(key, text, files)
		local dir = node.dir .. "/projects/" .. key
		os.execute("mkdir -p " .. Instance.quote(dir))
		helper.write(dir .. "/project.lua", text)
		for path, body in pairs(files) do helper.write(dir .. "/" .. path, body) end
		os.execute(("chown -R --reference=%s %s"):format(Instance.quote(node.dir .. "/projects"), Instance.quote(dir)))
	end

	local function start(key, name)
		local out, complaints, status = node:ctl("webapps", "start", key, name)
		assert.are.equal(0, status, out .. complaints .. (node:read("jobs/" .. key .. "/webapp-" .. name .. "/output.log") or ""))
	end

	local function port() return math.tointeger(json.decode(node:read "run/ports.json").webapps) end

	--- One request to the webapps' port by curl. what: { key, cookie, fields = { … }, method, data, jar }. status, body, head.
	local function get(path, what)
		what = what or {}
		local head = home .. "/head"
		local argv = { "curl", "-sS", "--max-time", "20", "--noproxy", "*", "-D", head, "-X", what.method or "GET" }
		local function add(...) for _, word in ipairs { ... } do argv[#argv + 1] = word end end
		if what.key then add("-H", "Authorization: Bearer " .. what.key) end
		if what.cookie then add("-H", "Cookie: " .. what.cookie) end
		if what.data then add("--data-binary", what.data) end
		for _, field in ipairs(what.fields or {}) do add("-H", field) end
		add(path:find "^http" and path or ("http://127.0.0.1:%d%s"):format(port(), path))
		local body = Instance.run(argv)
		local text = (helper.read(head) or ""):gsub("^HTTP/1.1 100 Continue\r\n\r\n", "")
		return tonumber(text:match "^HTTP/1.1 (%d+)"), body, text
	end

	local function field(head, name) return head:match("\r\n" .. name:gsub("%-", "%%-") .. ": ([^\r]*)") end

	local function key_of(login)
		local status, answer = node:http("POST", "/api/keys", { user = login })
		assert.are.equal(200, status, json.encode(answer))
		return answer.key, answer.id
	end

	--- A cookie of ours by a ticket, as a browser gets it: "dss-webapp=…".
	local function come_in(key, path)
		local status, _, head = get(("http://127.0.0.1:%d%s"):format(node:port(), path), { key = key })
		assert.are.equal(302, status)
		local link = field(head, "Location")
		assert.matches(("^http://127.0.0.1:%d/web%%-apps%%-backends/"):format(port()), link)
		status, _, head = get(link)
		assert.are.equal(302, status)
		return field(head, "Set-Cookie"):match "^[^;]+", link, head
	end

	setup(function()
		home = Instance.folder()
		node = Instance.new { policies = { ["10-pools.lua"] = POOLS } }
		node:start()
		ann, bob = key_of "ann", key_of "bob"
		project("OWN", ([[project { owner = "ann", webapps = {
			%s
			ws = %s, unix = %s, sick = %s, liar = %s,
			%s
		} }]]):format(has_flask and 'page = webapp { flask = "page.py" }, other = webapp { flask = "page.py" },' or "", webapp "ws.py",
			webapp("unix.py", 'listen = "socket"'), webapp("sick.py", 'health = "/health", health_every = "1s", health_failures = 2'), webapp "liar.py",
			has_shiny and 'shiny = webapp { shiny = "app.R", start_timeout = "60s" },' or ""),
			{ ["page.py"] = FLASK, ["ws.py"] = SOCKETS, ["unix.py"] = UNIX, ["sick.py"] = SICK, ["liar.py"] = LIAR, ["app.R"] = SHINY })
		helper.write(home .. "/ws.py", SOCKETS_CLIENT)
		if has_flask then start("OWN", "page") end
	end)

	teardown(function()
		if node then node:remove() end
		if home then Instance.remove_folder(home) end
	end)

	local function with_flask(title, fn)
		it(title, function()
			if not has_flask then return pending "Flask is not installed (python3-flask)" end
			fn()
		end)
	end

	local PAGE = "/web-apps-backends/OWN/page"

	it("serves nothing but webapps, whatever is asked", function()
		for _, path in ipairs { "/", "/api/webapps", "/public/api/projects/", "/health", "/metrics", "/web-apps-backends/OWN", "/web-apps-backends" } do
			local status = get(path, { key = ann })
			assert.are.equal(404, status, path)
		end
	end)

	with_flask("lets a browser in with a ticket, and from then on with a cookie that no script reads", function()
		local cookie, link, head = come_in(ann, PAGE .. "/x?y=1")
		local said = field(head, "Set-Cookie")
		assert.matches("; Path=/web%-apps%-backends/OWN/page/; Max%-Age=%d+; HttpOnly; SameSite=Lax$", said)
		assert.are.equal(PAGE .. "/x?y=1", field(head, "Location"))
		assert.is_truthy(link:find("/x?y=1&dss-ticket=", 1, true))
		local status, body = get(PAGE .. "/x?y=1", { cookie = "a=1; " .. cookie .. "; b=2" })
		assert.are.equal(200, status)
		local seen = json.decode(body)
		assert.are.equal("/x", seen.path)
		assert.are.equal("y=1", seen.query)
		assert.are.equal("a=1; b=2", seen.headers.cookie)
		assert.are.equal("ann", seen.headers["x-forwarded-user"])
		assert.are.equal(PAGE, seen.headers["x-forwarded-prefix"])
	end)

	with_flask("takes a ticket once", function()
		local _, link = come_in(ann, PAGE .. "/")
		local status, body = get(link, { fields = { "Accept: text/html" } })
		assert.are.equal(401, status)
		assert.matches("it was used before", body)
		assert.matches("dssctl webapps open OWN page", body)
	end)

	with_flask("takes a ticket and a cookie for their webapp alone, and none that was changed", function()
		start("OWN", "other")
		local cookie = come_in(ann, PAGE .. "/")
		assert.are.equal(401, (get("/web-apps-backends/OWN/other/", { cookie = cookie })))
		local _, _, head = get(("http://127.0.0.1:%d%s/"):format(node:port(), PAGE), { key = ann })
		local ticket = field(head, "Location"):match "dss%-ticket=(.+)$"
		assert.are.equal(401, (get("/web-apps-backends/OWN/other/?dss-ticket=" .. ticket)))
		local changed = ticket:gsub("^%d+", function(s) return ("%d"):format(tonumber(s) + 3600) end)
		assert.are.equal(401, (get(PAGE .. "/?dss-ticket=" .. changed)))
		assert.are.equal(302, (get(PAGE .. "/?dss-ticket=" .. ticket)))
	end)

	with_flask("does not let in who may not read the project, by no way", function()
		assert.are.equal(404, (get(("http://127.0.0.1:%d%s/"):format(node:port(), PAGE), { key = bob })))
		assert.are.equal(404, (get(PAGE .. "/", { key = bob })))
		assert.are.equal(404, (node:http("POST", "/api/webapps/OWN/page/ticket", nil, { key = bob })))
		assert.are.equal(401, (get(PAGE .. "/", { key = ("0"):rep(64) })))
		local status, body = get(PAGE .. "/", { fields = { "Accept: text/html" } })
		assert.are.equal(401, status)
		assert.matches("^<!doctype html>.*You are not let in here yet", body)
	end)

	with_flask("goes by the rights that were set over the API, at each request", function()
		local function set(permissions)
			local code, why = node:http("PUT", "/public/api/projects/OWN/permissions", { permissions = json.array(permissions) }, { key = ann })
			assert.are.equal(200, code, json.encode(why))
		end
		set { { user = "bob", readProjectContent = true } }
		local cookie = come_in(bob, PAGE .. "/")
		assert.are.equal(200, (get(PAGE .. "/", { cookie = cookie })))
		assert.are.equal(200, (get(PAGE .. "/", { key = bob })))
		set {}
		assert.are.equal(404, (get(PAGE .. "/", { cookie = cookie })))
		assert.are.equal(404, (get(PAGE .. "/", { key = bob })))
		assert.are.equal(404, (node:http("POST", "/api/webapps/OWN/page/ticket", nil, { key = bob })))
	end)

	with_flask("asks a browser for the key on the instance's own port", function()
		local status, _, head = get(("http://127.0.0.1:%d%s/"):format(node:port(), PAGE))
		assert.are.equal(401, status)
		assert.matches("^Basic ", field(head, "WWW-Authenticate"))
	end)

	with_flask("is entered by who goes there, not by a frame or script of another's page", function()
		local function enter(site, dest)
			return (get(("http://127.0.0.1:%d%s/"):format(node:port(), PAGE), { key = ann, fields = { "Sec-Fetch-Site: " .. site, "Sec-Fetch-Dest: " .. dest } }))
		end
		assert.are.equal(302, enter("none", "document"))
		assert.are.equal(302, enter("cross-site", "document"))
		assert.are.equal(302, enter("same-origin", "iframe"))
		for _, dest in ipairs { "iframe", "empty", "image" } do assert.are.equal(403, enter("same-site", dest), dest) end
	end)

	with_flask("a script sends its key, which the app does not see", function()
		assert.are.equal(401, (get(PAGE .. "/", { key = ann, fields = { "X-DKU-ProxyUser: x" } }))) -- only an admin speaks for others
		local status, body = get(PAGE .. "/", { key = ann })
		assert.are.equal(200, status)
		local seen = json.decode(body).headers
		assert.is_nil(seen.authorization)
		assert.is_nil(seen["x-dku-proxyuser"])
	end)

	with_flask("an Authorization of the app's own passes beside the cookie", function()
		local cookie = come_in(ann, PAGE .. "/")
		local _, body = get(PAGE .. "/", { cookie = cookie, fields = { "Authorization: Basic YTpi" } })
		assert.are.equal("Basic YTpi", json.decode(body).headers.authorization)
		_, body = get(PAGE .. "/", { cookie = cookie, fields = { "Authorization: Bearer " .. ("ab"):rep(32) } })
		assert.is_nil(json.decode(body).headers.authorization)
	end)

	with_flask("a cookie is over when its key is revoked, or the project is another's", function()
		local key, id = key_of "ann"
		local cookie = come_in(key, PAGE .. "/")
		assert.are.equal(200, (get(PAGE .. "/", { cookie = cookie })))
		assert.are.equal(200, (node:http("DELETE", "/api/keys/" .. id)))
		assert.are.equal(401, (get(PAGE .. "/", { cookie = cookie })))
	end)

	with_flask("a page of another origin does not act with the cookie", function()
		local cookie = come_in(ann, PAGE .. "/")
		local function post(origin) return (get(PAGE .. "/", { cookie = cookie, method = "POST", data = "abc", fields = { "Origin: " .. origin } })) end
		assert.are.equal(403, post("http://127.0.0.1:" .. node:port()))
		assert.are.equal(403, post "null")
		assert.are.equal(200, post("http://127.0.0.1:" .. port()))
	end)

	with_flask("cookies and redirects of the app stay beneath its path", function()
		local _, _, head = get(PAGE .. "/", { key = ann })
		assert.matches("\r\nSet%-Cookie: mine=1; Path=/web%-apps%-backends/OWN/page/\r\n", head)
		assert.is_nil(head:find("evil", 1, true))
		local status, _, gone = get(PAGE .. "/go", { key = ann })
		assert.are.equal(302, status)
		assert.are.equal(PAGE .. "/there", field(gone, "Location"))
		status, _, gone = get(PAGE, { key = ann })
		assert.are.equal(302, status)
		assert.are.equal(PAGE .. "/", field(gone, "Location"))
	end)

	with_flask("passes a body of some MB", function()
		local big = home .. "/big"
		os.execute("head -c 20000000 /dev/zero > " .. big)
		local status, body = get(PAGE .. "/", { key = ann, method = "POST", data = "@" .. big })
		assert.are.equal(200, status)
		assert.are.equal(20000000, json.decode(body).body)
	end)

	with_flask("passes events as they are sent", function()
		local out = Instance.run { "sh", "-c", [=[
mkfifo "$1/events"
curl -sN --max-time 30 --noproxy "*" -H "Authorization: Bearer $2" "$3" > "$1/events" &
head -n 1 "$1/events"
kill $!
]=], "sh", home, ann, ("http://127.0.0.1:%d%s/events"):format(port(), PAGE) }
		assert.are.equal("data: first", out)
	end)

	it("prints a link by dssctl", function()
		start("OWN", "unix")
		local out, complaints, status = node:ctl("webapps", "open", "OWN", "unix")
		assert.are.equal(0, status, complaints)
		local code = get((out:gsub("%s+$", ""):gsub("//[^:/]+", "//127.0.0.1")))
		assert.are.equal(302, code)
	end)

	it("passes a WebSocket, whoever came by key or cookie, from its own origin alone", function()
		start("OWN", "ws")
		local path = "/web-apps-backends/OWN/ws/socket"
		local function talk(key, origin) return (Instance.run { "/usr/bin/python3", home .. "/ws.py", tostring(port()), path, key, origin or "-" }) end
		local wanted = "HTTP/1.1 101 Switching Protocols\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\nheard one\nheard two"
		assert.are.equal(wanted, talk(ann))
		local cookie = come_in(ann, "/web-apps-backends/OWN/ws/"):match "=(.*)$"
		assert.are.equal(wanted, talk("=" .. cookie, "http://127.0.0.1:" .. port()))
		assert.matches("^HTTP/1.1 403 ", talk("=" .. cookie, "http://127.0.0.1:" .. node:port()))
		assert.matches("^HTTP/1.1 401 ", talk(("0"):rep(64)))
	end)

	it("reaches a webapp on a Unix socket, which other users of the machine do not", function()
		start("OWN", "unix")
		local status, body = get("/web-apps-backends/OWN/unix/", { key = ann })
		assert.are.equal(200, status, body)
		assert.are.equal("over a socket, port none", body)
		local _, answer = node:http("GET", "/public/api/projects/OWN/webapps/unix/backend/state")
		local socket = answer.backend.socket
		assert.is_truthy(socket:find(node.dir .. "/webapps/", 1, true))
		assert.is_nil(answer.backend.port)
		if Instance.run { "id", "-u" } == "0" then
			local out = Instance.run { "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "curl", "-sS", "--unix-socket", socket, "http://x/" }
			assert.is_nil(out:find("over a socket", 1, true))
		end
		node:http("PUT", "/public/api/projects/OWN/webapps/unix/backend/actions/stop")
		wait_for("the socket to be gone", function() return helper.read(socket) == nil and not os.execute("test -e " .. Instance.quote(socket)) end, 15)
	end)

	it("says what a webapp is that does not run, and shows the end of its log to who may read it", function()
		local status, body, head = get("/web-apps-backends/OWN/sick/", { key = ann })
		assert.are.equal(503, status)
		assert.matches("Webapp sick of project OWN is stopped", body)
		assert.is_truthy(field(head, "Retry-After"))
		start("OWN", "liar")
		wait_for("its log", function() return (node:read "jobs/OWN/webapp-liar/output.log" or ""):find "about to" end, 10)
		status, body = get("/web-apps-backends/OWN/liar/", { key = ann, fields = { "Accept: text/html" } })
		assert.are.equal(502, status)
		assert.matches("what it says is not HTTP", body)
		assert.matches("about to &lt;lie&gt;", body)
	end)

	it("one that answers ill is shown as such, and started again as after a crash", function()
		start("OWN", "sick")
		assert.are.equal(200, (get("/web-apps-backends/OWN/sick/sick", { key = ann })))
		local function state() return select(2, node:http("GET", "/public/api/projects/OWN/webapps/sick/backend/state")).backend end
		local was_seen, was_told
		wait_for("its restart", function()
			local s = state()
			for _, one in ipairs(select(2, node:http("GET", "/api/alerts"))) do was_told = was_told or one.key == "webapp:OWN/sick" and one.text end
			was_seen = was_seen or s.unhealthySince ~= nil
			return s.lastCrash and s.state == "running", json.encode(s)
		end, 30)
		local s = state()
		assert.are.equal("unhealthy", s.lastCrash.cause)
		assert.matches("did not answer GET /health well 2 times in a row, for .*: status 500", s.lastCrash.message)
		assert.is_true(was_seen)
		assert.matches("webapp sick of project OWN.*unhealthy: GET /health", was_told)
		assert.is_nil(s.unhealthySince)
		for _, one in ipairs(select(2, node:http("GET", "/api/alerts"))) do assert.are_not.equal("webapp:OWN/sick", one.key) end
	end)

	it("runs Shiny, over its WebSocket", function()
		if not has_shiny then return pending "Shiny is not installed (r-cran-shiny)" end
		start("OWN", "shiny")
		local status, body = get("/web-apps-backends/OWN/shiny/", { key = ann })
		assert.are.equal(200, status)
		assert.matches("shiny is here", body)
		-- What its page loads lies beneath the prefix, by relative links.
		local script = assert(body:match 'src="([^"]*shiny[^"]*%.js)"', body)
		assert.is_nil(script:find "^/")
		assert.are.equal(200, (get("/web-apps-backends/OWN/shiny/" .. script, { key = ann })))
		local first = Instance.run { "/usr/bin/python3", "-c", [=[
import os, socket, sys
port, key = sys.argv[1:3]
c = socket.create_connection(("127.0.0.1", int(port)), 30)
c.sendall(("GET /web-apps-backends/OWN/shiny/websocket/ HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer %s\r\n\r\n" % (port, key)).encode())
f = c.makefile("rb")
print(f.readline().decode().strip())
while f.readline().strip():
    pass
word = b'{"method":"init","data":{".clientdata_output_t_hidden":false,".clientdata_pixelratio":1,".clientdata_url_search":""}}'
mask = os.urandom(4)
c.sendall(bytes([0x81, 0x80 | len(word)] if len(word) < 126 else [0x81, 0xfe, len(word) >> 8, len(word) & 255]) + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(word)))
got = b""
while b"drawn by the server" not in got:
    more = c.recv(65536)
    if not more:
        break
    got += more
print("drawn" if b"drawn by the server" in got else got)
]=], tostring(port()), ann }
		assert.are.equal("HTTP/1.1 101 Switching Protocols\ndrawn", first)
	end)
end)
