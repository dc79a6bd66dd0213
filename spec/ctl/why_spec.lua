-- dssctl why of notebooks against a node that answers what is written here: open, closed, young and misspelled ones; words of kinds bind.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local json = require "t_json"

local SERVER = [[
import http.server, json, time, urllib.parse
NOW = int(time.time() * 1000)
def notebook(id, path):
    return {"id": id, "kernelId": "k-" + id, "processId": "notebook-" + id, "notebook": path, "user": "ann", "state": "idle", "startedAt": NOW}
def decision(seq, kind, subject, answer, outcome, reason):
    return {"seq": seq, "at": NOW, "firstAt": NOW, "count": 1, "word": "rule", "name": "r", "source": "policies/30-rules.lua:4", "subjectKind": kind,
        "subject": subject, "answer": answer, "outcome": outcome, "mode": "act", "reason": reason}
books = [notebook("11112222", "DEMO/report.ipynb"), notebook("33334444", "DEMO/judged.ipynb"), notebook("55556666", "DEMO/again.ipynb"),
    notebook("77778888", "DEMO/my own.ipynb")]
ends = {name: [{"at": NOW, "notebook": "DEMO/%s.ipynb" % name, "kernelId": "old-" + name, "session": "s-" + name, "cause": "exit", "text": "It ended."}]
    for name in ("again", "closed", "judged")}
decisions = [decision(9, "notebook", "33334444", "unload", "would", "quiet for 13 h"), decision(8, "webapp", "DEMO/judged", "retire", "done", "of the webapp"),
    decision(7, "tmp_file", "/tmp/x", "delete", "would", "9 d old"), decision(6, "tmp_file", "/tmp/y", "delete", "failed", "10 d old"),
    decision(5, "notebook", "33334444", "interrupt", "done", "near its limit")]
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        url = urllib.parse.urlparse(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        if url.path == "/api/notebooks":
            rows = books
        elif url.path == "/api/notebooks/ends":
            rows = ends.get(query["of"].replace("DEMO/", "").replace(".ipynb", ""), [])
        else:
            rows = [d for d in decisions if query.get("kind", d["subjectKind"]) == d["subjectKind"] and query.get("subject", d["subject"]) == d["subject"]
                and query.get("word", d["word"]) == d["word"] and query.get("name", d["name"]) == d["name"] and (query.get("before", "0") == "0" or d["seq"] < int(query["before"]))]
        body = json.dumps(rows, separators=(",", ":")).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
]]

describe("dssctl why, of notebooks", function()
	local root, pid, environment
	setup(function()
		root = os.tmpname()
		os.remove(root)
		assert(os.execute("mkdir " .. root))
		helper.write(root .. "/server.py", SERVER)
		local p = assert(io.popen(("python3 -B %s/server.py >%s/port 2>%s/err & echo $!"):format(root, root, root)))
		pid = p:read "l"
		p:close()
		helper.wait_for("the server", function() return (helper.read(root .. "/port") or ""):match "%d+\n", helper.read(root .. "/err") end, 20)
		environment = { DSS_URL = "http://127.0.0.1:" .. helper.read(root .. "/port"):match "%d+", DSS_KEY = "x" }
	end)
	teardown(function() os.execute(("kill %s; rm -rf %s"):format(pid, root)) end)

	local function ctl(...) return Instance.run_apart({ helper.build .. "/dssctl", ... }, environment) end
	local function says(status, text, ...)
		local out, complaints, code = ctl("why", ...)
		assert.equal(status, code, out .. complaints)
		assert.truthy((out .. complaints):find(text, 1, true), out .. complaints)
		return out .. complaints
	end

	it("says of one that is open and too young for decisions since when it is open", function()
		for _, word in ipairs { "DEMO/report", "DEMO/report.ipynb", "11112222", "notebook-11112222" } do
			local text = says(0, "(dssctl notebooks); nothing has been decided about it yet.", word)
			assert.truthy(text:find "^DEMO/report is open since %d", text)
		end
		says(0, "DEMO/report is open since", "notebook", "DEMO/report")
		says(0, "Nothing would have been done about DEMO/report so far", "--would", "DEMO/report")
		local out, _, code = ctl("--json", "why", "DEMO/report")
		assert.same({ "[]", 0 }, { out, code })
		says(0, "; it is open again", "DEMO/again")
	end)

	it("tells who misspelled one the nearest that is open, or how they are named", function()
		for _, word in ipairs { "DEMO/reprot", "demo/report", "report", "Report.ipynb", "DEMO/repor.ipynb" } do
			says(4, 'Did you mean notebook "DEMO/report"?', word)
		end
		says(4, 'Did you mean notebook "DEMO/my own"?', "notebook", "my own")
		for _, word in ipairs { "DEMO/nothing like it", "nothing.ipynb" } do
			says(4, "Notebooks are named PROJECT/NAME; dssctl notebooks lists those that are open.", word)
		end
		says(4, "Notebooks are named PROJECT/NAME", "notebook", "nothing")
		assert.is_nil(says(4, "no decision about fek-4711", "fek-4711"):find("otebooks are named", 1, true))
	end)

	it("has the ends for programs, too: rows of kind end before the decisions, with whole numbers", function()
		local out = ctl("--json", "why", "DEMO/judged")
		local rows = json.decode(out)
		assert.same({ "end", "s-judged" }, { rows[1].kind, rows[1].session })
		assert.truthy(out:find '"at":%d+,', out)
		assert.same({ nil, 9, 8, 5 }, { rows[2].kind, math.tointeger(rows[2].seq), math.tointeger(rows[3].seq), math.tointeger(rows[4].seq) })
		rows = json.decode((ctl("--json", "why", "DEMO/closed")))
		assert.same({ 1, "end", "It ended." }, { #rows, rows[1].kind, rows[1].text })
		assert.equal("DEMO/closed.ipynb", rows[1].notebook)
	end)

	it("keeps to the kind that was given", function()
		local text = says(0, "retired webapp DEMO/judged", "webapp", "DEMO/judged")
		assert.is_nil(text:find("notebook", 1, true), text)
		for _, words in ipairs { { "webapp", "DEMO/report" }, { "kernel", "k-33334444" }, { "process", "notebook-33334444" }, { "user", "33334444" } } do
			local told = says(4, "no decision about " .. words[1], table.unpack(words))
			assert.is_nil(told:find("otebook ", 1, true), told)
		end
		assert.is_nil(says(0, "its kernel ended", "notebook", "DEMO/judged"):find("of the webapp", 1, true))
	end)

	it("has words for what macros and policies do", function()
		says(0, "would have deleted tmp_file /tmp/x", "/tmp/x")
		says(0, "was unable to delete", "/tmp/y") -- as outcome failed
		says(0, "interrupted notebook 33334444 (DEMO/judged.ipynb)", "DEMO/judged")
	end)

	it("names a notebook's path in its help", function()
		assert.truthy((ctl("why", "--help")):find("SALES/report: a notebook by its path, also one that is closed", 1, true))
	end)
end)

local BACKEND = [=[#!/bin/sh
case "$*" in
"macros") printf 'NAME WHO\nclear-tmp admin\nkill-idle-notebooks admin\n' ;;
"--json notebooks") printf '[{"id":"1","notebook":"DEMO/report.ipynb","user":"ann"},{"id":"2","notebook":"DEMO/my own.ipynb","user":"ann"}]\n' ;;
esac
]=]

describe("completion", function()
	local program
	setup(function()
		program = os.tmpname()
		helper.write(program, BACKEND)
		assert(os.execute("chmod 755 " .. program))
	end)
	teardown(function() os.remove(program) end)

	local function complete(...)
		local words = { Instance.quote(program) }
		for _, w in ipairs { ... } do words[#words + 1] = Instance.quote(w) end
		local script = ("source etc/completion.bash; COMP_WORDS=(%s); COMP_CWORD=%d; _dssctl; printf '%%s\\n' \"${COMPREPLY[@]}\""):format(table.concat(words, " "), #words - 1)
		local set = {}
		for line in Instance.run({ "bash", "-c", script }):gmatch "[^\n]+" do set[#set + 1] = line end
		return set
	end

	it("knows names of macros behind why macro as behind macro run", function()
		assert.same({ "clear-tmp", "kill-idle-notebooks" }, complete("why", "macro", ""))
		assert.same({ "kill-idle-notebooks" }, complete("macro", "run", "k"))
	end)

	it("knows open notebooks where one is ended, interrupted, kept or asked for", function()
		for _, words in ipairs { { "unload" }, { "keep" }, { "why", "notebook" }, { "notebooks", "interrupt" }, { "notebooks", "unload" } } do
			words[#words + 1] = "DEMO/"
			assert.same({ "DEMO/my\\ own", "DEMO/report" }, complete(table.unpack(words)))
		end
		assert.same({ "DEMO/my\\ own" }, complete("unload", "DEMO/my\\ o"))
		assert.same({}, complete("keep", "DEMO/report", "D"))
	end)

	it("knows every kind of processes, and the notebooks' server as a service", function()
		assert.same({ "notebook" }, complete("ps", "--kind", "no"))
		assert.same({ "webapp" }, complete("ps", "--kind", "we"))
		assert.same({ "jupyter" }, complete("restart", "ju"))
		assert.same({ "jupyter" }, complete("dss", "restart", "ju"))
	end)
end)
