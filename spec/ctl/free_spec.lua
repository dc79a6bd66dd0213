-- dssctl free against a node that changes while it is looked at: order, the second look, what is told.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local json = require "t_json"

local SERVER = [[
import http.server, json, sys, time, urllib.parse
NOW = int(time.time() * 1000)
H = 3600 * 1000
kernels = [{"id": "fek-1", "kind": "kernel", "pool": "fek", "state": "idle", "memoryBytes": 100 << 20, "idleSince": NOW - H, "tasksRun": 1},
    {"id": "fek-2", "kind": "kernel", "pool": "fek", "state": "idle", "memoryBytes": 200 << 20, "idleSince": NOW - 9 * H, "tasksRun": 1},
    {"id": "fek-3", "kind": "kernel", "pool": "fek", "state": "idle", "memoryBytes": 50 << 20, "idleSince": NOW - 2 * H, "tasksRun": 4, "user": "ann"},
    {"id": "wait-1", "kind": "kernel", "pool": "wait", "state": "idle", "memoryBytes": 50 << 20, "idleSince": NOW - 99 * H, "tasksRun": 4, "user": "ann"}]
pools = [{"name": "fek", "target": 1, "leadSeconds": 1.5, "waiting": 0, "retired": False}, {"name": "wait", "target": 0, "waiting": 2, "retired": False}]
def notebook(id, kernel, hours, mb):
    return {"id": id, "kernelId": kernel, "notebook": "P/%s.ipynb" % id, "user": "ann", "state": "idle", "quietTime": hours * H, "lastActivity": NOW - hours * H,
        "connections": 0, "memoryBytes": mb << 20}
books = [notebook("short123456", "k1", 2, 300), notebook("longest12345", "k2", 50, 400), notebook("again1234567", "k2", 50, 400), notebook("used12345678", "k3", 40, 500)]
looks, log = {}, open(sys.argv[1], "a")
class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, value, status=200):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if isinstance(value, list):
            self.send_header("Where-Matched", str(len(value)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        url = urllib.parse.urlparse(self.path)
        where = urllib.parse.parse_qs(url.query).get("where", [""])[0]
        rows = {"/api/me": {"isAdmin": True}, "/api/pools": pools, "/api/processes": kernels, "/api/notebooks": books}[url.path]
        if where.startswith("id = "):
            id = where.split('"')[1]
            if id.startswith("used"):
                books[-1]["lastActivity"] += 1
            for row in kernels:
                if row["id"] == id == "fek-3":
                    row["memoryBytes"] = 60 << 20
            rows = [row for row in rows if row["id"] == id]
        self.answer(rows)
    def do_DELETE(self):
        id = self.path.split("/")[-1]
        log.write(id + "\n")
        log.flush()
        kernels[:] = [row for row in kernels if row["id"] != id]
        self.answer({})
    def log_message(self, *a):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
]]

describe("dssctl free", function()
	local root, pid, url
	before_each(function()
		root = os.tmpname()
		os.remove(root)
		assert(os.execute("mkdir " .. root))
		helper.write(root .. "/server.py", SERVER)
		local p = assert(io.popen(("python3 -B %s/server.py %s/log >%s/port 2>%s/err & echo $!"):format(root, root, root, root)))
		pid = p:read "l"
		p:close()
		helper.wait_for("the server", function() return (helper.read(root .. "/port") or ""):match "%d+\n", helper.read(root .. "/err") end, 20)
		url = "http://127.0.0.1:" .. helper.read(root .. "/port"):match "%d+"
	end)
	after_each(function() os.execute(("kill %s; rm -rf %s"):format(pid, root)) end)

	local function ctl(...) return Instance.run_apart({ "env", "DSS_URL=" .. url, "DSS_KEY=x", helper.build .. "/dssctl", ... }) end
	local function ended() return ((helper.read(root .. "/log") or ""):gsub("\n", " ")) end

	it("takes kernels first, as nothing is lost with them, then the longest idle; neither those kept warm, nor those that tasks wait for; a kernel once", function()
		local out, note, code = ctl("--json", "free", "100g")
		assert.are.equal(0, code, note)
		local names = {}
		for i, row in ipairs(json.decode(out).owners) do names[i] = row.id end
		assert.are.same({ "fek-2", "fek-3", "longest12345", "used12345678", "short123456" }, names)
		assert.are.same({ "a cold start of 1.5 s", "dssctl free fek-2", "its variables", "dssctl unload longest1" },
			{ json.decode(out).owners[1].lost, json.decode(out).owners[1].command, json.decode(out).owners[3].lost, json.decode(out).owners[3].command })
		out, note, code = ctl("free", "220m")
		assert.are.equal(0, code, note)
		assert.truthy(out:find("fek-3", 1, true), out)
		assert.is_nil(out:find("longest", 1, true), out)
		assert.are.equal("", ended())
	end)

	it("keeps who was used meanwhile and names them, counts what the boxes held at the second look, and fails where less came back", function()
		local out, note, code = ctl("free", "1g", "--yes")
		assert.are.equal(1, code, out .. note)
		assert.truthy(note:find("kept P/used12345678.ipynb: it was used meanwhile", 1, true), note)
		assert.are.equal("fek-2 fek-3 longest12345 ", ended())
		assert.truthy(out:find("ended fek-3, which held 60 MB", 1, true), out)
		assert.truthy(out:find("gave back 660 MB of 1.0 GB", 1, true), out)
	end)

	it("ends a kernel by its name, and says what SIZE is", function()
		assert.are.same({ "ended fek-1", "", 0 }, { ctl("free", "fek-1") })
		local _, note, code = ctl("free", "0")
		assert.are.equal(2, code)
		assert.truthy(note:find("SIZE has to be more than 0", 1, true), note)
		_, note, code = ctl("free", "1g", "2g")
		assert.are.equal(2, code)
		assert.truthy(note:find("one SIZE is wanted", 1, true), note)
		assert.are.equal(2, (select(3, ctl "free")))
	end)
end)
