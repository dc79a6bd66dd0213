-- Macros with a real node: files that go and files that stay, aborts, restarts, an archive without secrets.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local json = require "t_json"

local quote = Instance.quote
local POOL = 'pool "fek" { kernel = python {}, limits = { memory = "256m" }, warm = { min = 1, max = 2 }, max = 4 }\n'
-- many pieces, each with little to do
local MANY = 'macro "count" { about = "x", each = "node", run = function () return keep "x" end }\n'

local function sh(command)
	local p = assert(io.popen(command))
	local out = p:read "a"
	p:close()
	return (out:gsub("\n$", ""))
end

describe("macros", function()
	local node, shipped
	local is_root = sh "id -u" == "0"
	setup(function() shipped = assert(helper.read "policies/40-macros.lua") end)
	after_each(function()
		if node then node:remove() end
		node = nil
	end)

	local function start(more, init)
		node = Instance.new { policies = { ["10-pools.lua"] = POOL, ["40-macros.lua"] = shipped .. (more or "") }, init = init }
		node:start()
	end

	local function ended(run, want)
		local state
		helper.wait_for("the end of the run", function()
			local _, answer = node:http("GET", "/api/macro-runs/" .. run)
			state = answer
			return answer.running == false, json.encode(answer)
		end, 60)
		assert.equal(want or "done", state.state, json.encode(state))
		return state
	end

	local function run(name, params, want)
		local status, answer = node:http("POST", "/api/macros/" .. name, { params = params or {} })
		assert.equal(200, status, json.encode(answer))
		ended(answer.runId, want)
		local _, result = node:http("GET", ("/api/macro-runs/%s/result"):format(answer.runId))
		return result, answer.runId
	end

	local function by_first(result)
		local out = {}
		for _, record in ipairs(result.records) do out[record[1]] = record[#record - 1] end
		return out
	end

	-- As the run user, where there is one. What a process holds open is held until release().
	local function as_run_user(script)
		return sh((is_root and "setpriv --reuid dss-run --regid dss-run --clear-groups " or "") .. "sh -c " .. quote(script))
	end

	it("clear-tmp removes old files of the run user, never through a link, none that is open, none of others", function()
		start()
		local tmp, out = node.root .. "/tmp", node.root .. "/out"
		sh(("mkdir -m 1777 %s && mkdir -m 777 %s"):format(tmp, out))
		as_run_user(([[cd %s && mkdir own && echo x >own/a && echo x >'b c' && echo x >open && echo x >%s/kept && ln -s %s linked && ln -s %s/kept link && mkfifo pipe && mkdir %s/deep && ln %s/kept hard]])
			:format(tmp, out, out, out, out, out))
		if is_root then sh(("echo x >%s/roots; mkdir %s/theirs; echo x >%s/theirs/x; chown dss-run %s/theirs/x"):format(tmp, tmp, tmp, tmp)) end
		local holder = assert(io.popen((is_root and "setpriv --reuid dss-run --regid dss-run --clear-groups " or "")
			.. ("sh -c %s"):format(quote(("exec 7<%s/open; cat"):format(tmp))) .. " >/dev/null", "w"))
		-- the shell of popen has opened it once its own descriptor is there
		helper.wait_for("the open file", function() return sh(("find /proc/[0-9]*/fd -lname '%s/open' 2>/dev/null | head -1"):format(tmp)) ~= "" end, 10)
		local params = { folders = tmp, age = "1ms" }
		local would = by_first(run("clear-tmp", params))
		assert.same({ "would be deleted", "would be deleted", "kept" }, { would[tmp .. "/own/a"], would[tmp .. "/b c"], would[tmp .. "/open"] })
		assert.equal("x", sh(("cat %s/own/a"):format(tmp)))
		params.simulate = false
		local result = run("clear-tmp", params)
		local did = by_first(result)
		holder:close()
		assert.same({ "deleted", "deleted", "kept", "deleted" }, { did[tmp .. "/own/a"], did[tmp .. "/b c"], did[tmp .. "/open"], did[tmp .. "/hard"] }, json.encode(result))
		assert.is_nil(did[tmp .. "/link"] or did[tmp .. "/linked"] or did[tmp .. "/pipe"] or did[tmp .. "/roots"] or did[tmp .. "/theirs/x"])
		assert.equal("kept deep", sh(("ls %s | sort -r | tr '\\n' ' '"):format(out)):gsub(" $", ""))
		local left = sh(("ls %s | tr '\\n' ' '"):format(tmp))
		for name in ("link linked open pipe" .. (is_root and " roots theirs" or "")):gmatch "%S+" do assert.truthy((" " .. left):find(" " .. name .. " ", 1, true), left) end
		assert.is_nil(left:find "b c")
	end)

	it("clear-tmp tells why where a folder is none", function()
		start()
		local _, id = run("clear-tmp", { folders = "etc" }, "failed")
		local _, state = node:http("GET", "/api/macro-runs/" .. id)
		assert.matches("etc is no absolute path", state.resultError.message, 1, true)
	end)

	it("clear-tmp refuses folders of the instance and the system, however they are written, and does not go into the instance from above", function()
		start()
		sh(("mkdir -m 1777 %s/tmp && ln -s %s %s/tmp/way"):format(node.root, node.dir, node.root))
		local function why(folders)
			local _, id = run("clear-tmp", { folders = folders, age = "1ms", simulate = false }, "failed")
			local _, state = node:http("GET", "/api/macro-runs/" .. id)
			assert.truthy(state.resultError.message:find('param "folders": ' .. folders:match "[^:]*$", 1, true), state.resultError.message)
			return state.resultError.message
		end
		for _, folders in ipairs { node.dir, node.dir .. "/projects", node.dir .. "/db/", node.root .. "/tmp/way/run", node.dir .. "/config/../policies", node.root .. "/tmp:" .. node.dir .. "/jobs" } do
			assert.matches("is part of this instance", why(folders), 1, true)
		end
		assert.matches("is a link", why(node.root .. "/tmp/way"), 1, true)
		assert.matches("is the system's", why "/tmp/../etc", 1, true)
		assert.matches("belongs to others", why "/", 1, true)
		as_run_user(("mkdir -p %s/projects/P; echo x >%s/projects/P/data; echo x >%s/tmp/a"):format(node.dir, node.dir, node.root))
		local mine = helper.read(node.dir .. "/projects/P/data")
		local result = run("clear-tmp", { folders = node.root .. ":" .. node.root .. "/nowhere", age = "1ms", simulate = false })
		local said = by_first(result)
		assert.is_nil(said[node.dir .. "/projects/P/data"], json.encode(result))
		assert.equal(mine, helper.read(node.dir .. "/projects/P/data"))
		assert.truthy(result.summary.note:find(node.root .. "/nowhere: No such file", 1, true), result.summary.note)
	end)

	it("clear-job-logs removes logs of what has ended, never what a link points to, and what it decided can be asked", function()
		start()
		local out = node:ctl("submit", "--wait", "command", "--", "echo", "hello")
		assert.truthy(out)
		local log = sh(("ls -d %s/jobs/RUN/*"):format(quote(node.dir)))
		assert.truthy(log:find "RUN/%w+$", log)
		local victim = node.root .. "/victim"
		sh(("mkdir %s; echo x >%s/output.log; ln -s %s %s/jobs/RUN/linked; touch -h -d '40 days ago' %s/jobs/RUN/linked"):format(victim, victim, victim, node.dir, node.dir))
		-- one that is old enough: the folder's own time counts as well
		sh(("touch -d '40 days ago' %s/* %s"):format(log, log))
		local would = run("clear-job-logs")
		assert.same({ 1, 0 }, { would.summary.would, would.summary.done })
		assert.truthy(helper.read(log .. "/output.log"))
		local did = run("clear-job-logs", { simulate = false })
		assert.same({ 1, 0 }, { did.summary.done, did.summary.failed }, json.encode(did))
		assert.is_nil(helper.read(log .. "/output.log"))
		assert.equal("x\n", helper.read(victim .. "/output.log"))
		helper.wait_for("the ledger", function()
			local _, rows = node:http("GET", "/api/decisions?word=macro&name=clear-job-logs")
			for _, row in ipairs(rows) do
				if row.outcome == "done" and row.answer == "delete" and row.source:find("policies/40-macros.lua", 1, true) then return true end
			end
			return false, json.encode(rows)
		end, 10)
	end)

	it("can be aborted, and end as failed with a cause where the backend dies", function()
		-- a look that a kernel does not come to: its task waits, as no kernel may start
		node = Instance.new { policies = { ["10-pools.lua"] = POOL:gsub("max = 4", "max = 1"):gsub("max = 2", "max = 1"), ["40-macros.lua"] = shipped } }
		node:start()
		local _, busy = node:http("POST", "/api/futures", { type = "command", payload = { argv = { "/bin/sleep", "600" } } })
		helper.wait_for("the busy kernel", function()
			local _, f = node:http("GET", "/api/futures/" .. busy.jobId .. "?peek=true")
			return f.state == "running", json.encode(f)
		end, 20)
		local _, answer = node:http("POST", "/api/macros/clear-tmp", { params = { folders = "/nowhere" } })
		local _, state = node:http("GET", "/api/macro-runs/" .. answer.runId)
		assert.is_true(state.running)
		assert.equal(200, (node:http("DELETE", "/api/macro-runs/" .. answer.runId)))
		state = ended(answer.runId, "aborted")
		assert.equal("Aborted by admin", state.resultError.message)
		_, answer = node:http("POST", "/api/macros/clear-tmp", { params = { folders = "/nowhere" } })
		node:kill("backend", "KILL")
		helper.wait_for("the next backend", function()
			local status, s = node:http("GET", "/api/macro-runs/" .. answer.runId)
			state = s
			return status == 200
		end, 30)
		assert.same({ false, "failed" }, { state.running, state.state })
		assert.matches("The backend ended while the macro ran", state.resultError.message, 1, true)
		local _, f = node:http("GET", "/api/futures/" .. answer.runId .. "?peek=true")
		assert.equal("failed", f.state)
	end)

	it("keep a result over a restart, until it is fetched", function()
		start(MANY)
		local _, answer = node:http("POST", "/api/macros/count", {})
		ended(answer.runId)
		node:dss("restart", "backend")
		local status, result
		helper.wait_for("the next backend", function()
			status, result = node:http("GET", ("/api/macro-runs/%s/result"):format(answer.runId))
			return status == 200, json.encode(result)
		end, 30)
		assert.same({ "id", "what", "why" }, result.columns)
		helper.wait_for("its end", function()
			local _, state = node:http("GET", "/api/macro-runs/" .. answer.runId)
			return state.exists == false, json.encode(state)
		end, 10)
	end)

	it("run by a rule", function()
		start(MANY .. 'rule "often" { every = "1s", each = "node", act = macro("count", { simulate = false }) }\n')
		helper.wait_for("a run of the rule", function()
			local _, rows = node:http("GET", "/api/macro-runs")
			for _, row in ipairs(rows) do
				if row.owner == "policy" and row.state == "done" then return true end
			end
			return false, json.encode(rows)
		end, 30)
	end)

	it("diagnosis makes an archive in which no secret of the instance stands", function()
		start()
		local secret = "hunter2-plain"
		local config = node:read "config/dss.lua"
		node:write("config/dss.lua", config .. ("\n-- password = %q\n-- https://ann:%s@example.org/ Authorization: Bearer %s\n"):format(secret, secret, secret))
		sh(("echo extra-%s >%s/config/other.token; ln -s /etc/passwd %s/policies/zz.lua.lnk; ln -s /etc/shadow %s/run/evil.log"):format(secret, node.dir, node.dir, node.dir))
		local key = node:read("config/admin.key"):match "%S+"
		sh(("echo 'key %s and extra-%s' >>%s/run/backend.log"):format(key, secret, node.dir))
		local _, user_key = node:http("POST", "/api/keys", { user = "bob" })
		local archive = node.root .. "/d.tgz"
		local out, complaints, code = node:ctl("macro", "run", "diagnosis", "--out", archive)
		assert.same({ archive, "", 0 }, { out, complaints, code })
		sh(("mkdir %s/x && tar xzf %s -C %s/x"):format(node.root, archive, node.root))
		local all = sh(("cd %s/x && find . -type f -exec cat {} +"):format(node.root))
		for name in ("versions.txt machine.txt config/dss.lua policies/10-pools.lua run/backend.log lists/processes.json lists/tasks.json lists/boxes.json lists/alerts.json"):gmatch "%S+" do
			assert.truthy(helper.read(node.root .. "/x/" .. name), name)
		end
		assert.truthy(all:find('"fek-', 1, true))
		assert.truthy(all:find("key **** and ****", 1, true))
		local secrets = { secret, key, user_key.key, (node:read "config/node.key"):match "%S+" }
		for _, file in ipairs { "config/jupyter.token" } do secrets[#secrets + 1] = (node:read(file) or ""):match "%S+" end
		for _, one in ipairs(secrets) do assert.is_nil(all:find(one, 1, true), one) end
		assert.is_nil(all:find("root:", 1, true) and all:match "root:[%*!x]:?%d*:")
		assert.equal("600", sh("stat -c %a " .. archive))
		-- without a backend, too; never over what is there
		node:stop()
		local again = node.root .. "/e.tgz"
		assert.equal(0, select(3, node:ctl("diag", "--out", again)))
		assert.equal(1, select(3, node:ctl("diag", "--out", again)))
		assert.truthy(sh(("tar xzOf %s README.txt"):format(again)):find("the backend does not answer", 1, true))
		node:start()
	end)

	it("a large archive is sent from its file: the backend does not hold it, it can be fetched once, and its head as often as one likes", function()
		start()
		local status, answer = node:http("POST", "/api/macros/diagnosis", { params = {} })
		assert.equal(200, status, json.encode(answer))
		ended(answer.runId)
		local made = ("%s/run/macros/%s.tar.gz"):format(node.dir, answer.runId)
		sh("truncate -s 50M " .. quote(made))
		local function most_kb() return tonumber(helper.read(("/proc/%s/status"):format(node:pid "backend")):match "VmHWM:%s*(%d+)") end
		local before = most_kb()
		local result = ("/api/macro-runs/%s/result"):format(answer.runId)
		local head = sh(("curl -sSI --noproxy '*' -H 'Authorization: Bearer %s' http://127.0.0.1:%d%s"):format(node:read("config/admin.key"):match "%S+", node:port(), result))
		assert.truthy(head:find("Content-Length: " .. (50 << 20), 1, true), head)
		assert.truthy(helper.read(made))
		local out = node.root .. "/d.tgz"
		local _, complaints, code = node:ctl("macro", "result", answer.runId, "--out", out)
		assert.same({ "", 0 }, { complaints, code })
		assert.equal(tostring(50 << 20), sh("stat -c %s " .. quote(out)))
		assert.is_true(most_kb() < before + (20 << 10), ("%d kB, then %d kB"):format(before, most_kb()))
		assert.is_nil(helper.read(made))
		assert.equal(410, (node:http("GET", result)))
	end)

	it("dssctl macro result: a file is there whole or not at all; what cannot be made is not fetched", function()
		start(MANY)
		local function once(name)
			local status, answer = node:http("POST", "/api/macros/" .. name, {})
			assert.equal(200, status, json.encode(answer))
			ended(answer.runId)
			return answer.runId
		end
		local id, folder = once "count", node.root .. "/kept"
		local _, complaints, code = node:ctl("macro", "result", id, "--out", folder .. "/result.json")
		assert.equal(1, code)
		assert.truthy(complaints:find("No such file or directory; the result is kept for a day", 1, true), complaints)
		sh(("mkdir %s; echo x >%s/there; ln -s nowhere %s/link"):format(folder, folder, folder))
		for _, name in ipairs { "there", "link" } do
			_, complaints, code = node:ctl("macro", "result", id, "--out", folder .. "/" .. name)
			assert.equal(1, code)
			assert.truthy(complaints:find("it is there already; the result is kept", 1, true), complaints)
		end
		local out
		out, complaints, code = node:ctl("--json", "macro", "result", id, "--out", folder .. '/a"b')
		assert.same({ folder .. '/a"b', "", 0 }, { json.decode(out).file, complaints, code })
		assert.same({ "id", "what", "why" }, json.decode(helper.read(folder .. '/a"b')).columns)
		_, complaints, code = Instance.run_apart { "sh", "-c", [[trap '' XFSZ; ulimit -f 1; exec "$0" "$@"]], helper.build .. "/dssctl", "-C", node.dir, "macro", "result", once "diagnosis",
			"--out", folder .. "/small" }
		assert.equal(1, code, complaints)
		assert.truthy(complaints:find("File too large; the result was fetched and is gone", 1, true), complaints)
		assert.equal('a"b link there', sh(("ls %s | tr '\n' ' '"):format(folder)):gsub(" $", ""))
	end)

	it("dssctl macro: lists, shows, runs, tells what is wrong", function()
		start(MANY)
		assert.truthy((node:ctl "macros"):find("clear%-tmp"))
		assert.truthy((node:ctl("macro", "show", "clear-tmp")):find "folders")
		local out, complaints, code = node:ctl "macro"
		assert.same({ "", 2 }, { out, code })
		assert.truthy(complaints:find("usage: dssctl macro show | run", 1, true), complaints)
		out, complaints, code = node:ctl("macro", "run", "count", "--act")
		assert.equal(0, code, complaints)
		assert.truthy(out:find "kept")
		assert.truthy(complaints:find("looked at 1: 1 kept", 1, true), complaints)
		out, complaints, code = node:ctl("--json", "macro", "run", "count")
		assert.same({ 0, true }, { code, json.decode(out).simulated }, complaints)
		out, complaints, code = node:ctl("macro", "run", "clear-tmp", "--param", "aeg=3d")
		assert.same({ "", 2 }, { out, code })
		assert.truthy(complaints:find('did you mean "age"?', 1, true), complaints)
		assert.equal(4, select(3, node:ctl("macro", "run", "nothing")))
		out, complaints, code = node:ctl("macro", "run", "kill-idle")
		assert.same({ "", 4 }, { out, code })
		assert.truthy(complaints:find('Macro kill-idle does not exist, did you mean "kill-idle-', 1, true), complaints)
		out, complaints, code = node:ctl("macro", "run", "clear-job-logs", "--project", "NONE")
		assert.same({ "", 4 }, { out, code }, complaints)
		local run_id = node:ctl("macro", "run", "count", "--detach")
		assert.equal(0, select(3, node:ctl("macro", "result", run_id)))
		assert.equal(1, select(3, node:ctl("macro", "result", run_id)))
	end)
end)
