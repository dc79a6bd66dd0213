-- Macros over the API: who may, what runs, how a run ends.
local world = require "spec.lua.api.world"
local json = world.json
local load = require "dss.model.load"

local TEXT = [[
macro "logs" { about = "x", label = "Logs", who = "project", each = "job_log", params = { age = duration { default = "1d" } }, admin_params = { force = flag { default = false } },
  columns = { "name", "age" }, run = function (log, p) if log.age > p.age then return delete "{age} old" end return keep "young" end }
macro "users" { about = "x", reads = { "user" }, run = function (p, ctx) return { columns = { "n" }, records = { { #ctx.user } } } end }
macro "page" { about = "x", who = "project", result = "html", run = function (p, ctx) return "<p>" .. ctx.project .. "</p>" end }
macro "archive" { about = "x", result = "file", makes = "diagnosis" }
macro "broken" { about = "x", run = function () error "no" end }]]
local RUNNABLES = "/public/api/projects/P/runnables"

describe("macros over the API", function()
	before_each(function()
		world.reset()
		local m = world.macros
		m.saved, m.notes, m.removed, world.soon_list, m.refusal, m.unsaved = {}, {}, {}, {}, nil, nil
		m.job_logs = '[{"id":"P/a","project":"P","name":"a","size":10,"age":200000,"changed":1,"open":false},{"id":"P/b","project":"P","name":"b","size":1,"age":5,"changed":1,"open":false}]'
		world.keys.rows = { { id = "bob", user = "bob" }, { id = "eve", user = "eve" } }
		world.jobs.projects = { P = { "good", '{"owner":"ann","rights":{"run":["bob"],"read":["eve"]}}' } }
		assert(load.evaluate({ { name = "policies/40-macros.lua", text = TEXT } }, { share = "/usr/share/dssd" }))
	end)
	after_each(function() world.jobs.projects = {} end)

	local bob = function() return world.with "secret-of-bob" end
	local function ask(method, path, body, fields) return world.ask(method, path, { body = body and json.encode(body) or nil, fields = fields }) end
	local function begin(name, body, fields)
		local status, answer = ask("POST", RUNNABLES .. "/" .. name, body or json.object {}, fields)
		assert.equal(200, status)
		return RUNNABLES .. "/" .. name, answer.runId
	end

	it("are listed to who may run them in the project, with the params of admins for admins alone", function()
		local _, rows = ask("GET", RUNNABLES .. "/", nil, bob())
		local names = {}
		for i, row in ipairs(rows) do names[i] = row.runnableType end
		assert.same({ "pyrunnable_dss_logs", "pyrunnable_dss_page" }, names)
		assert.same({ {}, "RESULT_TABLE", "dss", "Logs" }, { rows[1].adminParams, rows[1].resultType, rows[1].ownerPluginId, rows[1].meta.label })
		local _, def = ask("GET", RUNNABLES .. "/pyrunnable_dss_logs")
		assert.equal("force", def.adminParams[1].name)
		assert.equal(403, (ask("GET", RUNNABLES .. "/", nil, world.with "secret-of-eve")))
		assert.equal(404, (ask("GET", RUNNABLES .. "/nothing")))
		assert.equal('Macro lgos does not exist, did you mean "logs"?', select(2, ask("POST", RUNNABLES .. "/lgos", json.object {}, bob())).message)
		assert.equal("Macro usres does not exist", select(2, ask("POST", RUNNABLES .. "/usres", json.object {}, bob())).message)
		assert.equal(403, (ask("GET", RUNNABLES .. "/users", nil, bob())))
	end)
	it("simulate: a table of what would be done, and nothing is", function()
		local path, run = begin("logs", { params = { age = "1h" } }, bob())
		local _, state = ask("GET", path .. "/state/" .. run, nil, bob())
		assert.same({ true, true }, { state.running, state.exists })
		assert.equal(409, (ask("GET", path .. "/result/" .. run, nil, bob())))
		world.turn()
		_, state = ask("GET", path .. "/state/" .. run, nil, bob())
		assert.same({ false, true, false }, { state.running, state.exists, state.empty })
		local _, result = ask("GET", path .. "/result/" .. run, nil, bob())
		assert.same({ "name", "age", "what", "why" }, result.columns)
		assert.same({ { "a", 200000, "would be deleted", "2 d 7 h old" }, { "b", 5, "kept", "young" } }, result.records)
		assert.same({ {}, "P" }, { world.macros.removed, world.macros.asked[1] })
		assert.same({ "would", "kept" }, { world.macros.notes[1].outcome, world.macros.notes[2].outcome })
	end)
	it("act where simulate is off, and tell of each what became of it", function()
		local path, run = begin("logs", { params = { simulate = false } })
		world.turn()
		local _, result = ask("GET", path .. "/result/" .. run)
		assert.same({ "P/a" }, world.macros.removed)
		assert.same({ 1, 1, 0, 10 }, { result.summary.done, result.summary.kept, result.summary.failed, result.summary.bytes })
		world.macros.refusal = "it is written again"
		path, run = begin("logs", { params = { simulate = false } })
		world.turn()
		_, result = ask("GET", path .. "/result/" .. run)
		assert.matches("not deleted: it is written again", json.encode(result.records), 1, true)
		assert.equal(1, result.summary.failed)
	end)
	it("end with their result: fetched once, it is gone", function()
		local path, run = begin("logs", {})
		world.turn()
		assert.equal(200, (ask("GET", path .. "/result/" .. run)))
		local _, state = ask("GET", path .. "/state/" .. run)
		assert.is_false(state.exists)
		local last = world.macros.saved[#world.macros.saved].row
		assert.same({ "done", nil }, { last.state, last.result })
	end)
	it("stay where only the head of their result was asked for, also as a file; a fetched file is gone", function()
		local path, run = begin("logs", {})
		world.turn()
		assert.equal(200, (ask("HEAD", path .. "/result/" .. run)))
		assert.equal(200, (ask("GET", path .. "/result/" .. run)))
		local _, answer = ask("POST", "/api/macros/archive", json.object {})
		world.turn()
		world.macros.file_bytes = "bytes"
		world.macros.diagnosing[2](nil)
		local result = "/api/macro-runs/" .. answer.runId .. "/result"
		assert.equal(200, (ask("HEAD", result)))
		local status, bytes, head = ask("GET", result)
		assert.same({ 200, "bytes" }, { status, bytes })
		assert.matches("archive%-" .. answer.runId .. "%.tar%.gz", head["Content-Disposition"])
		assert.is_nil(world.macros.file_bytes)
		local _, state = ask("GET", "/api/macro-runs/" .. answer.runId)
		assert.is_false(state.exists)
	end)
	it("wait for the end where that is asked for", function()
		local status, answer = world.ask("POST", RUNNABLES .. "/page?wait=True", { body = "{}", turns = true })
		assert.equal(200, status)
		local _, page, head = world.ask("GET", RUNNABLES .. "/page/result/" .. answer.runId)
		assert.equal("<p>P</p>", page)
		assert.matches("no%-transform", head["Cache-Control"])
		assert.matches("^sandbox; default%-src 'none';", head["Content-Security-Policy"])
	end)
	it("name the param that is wrong, and keep those of admins from others", function()
		local status, answer = ask("POST", RUNNABLES .. "/logs", { params = { age = "x" } })
		assert.equal(400, status)
		assert.matches('param "age"', answer.message, 1, true)
		status, answer = ask("POST", RUNNABLES .. "/logs", { adminParams = { force = true } }, bob())
		assert.equal(403, status)
		assert.matches('"force" is for admins', answer.message, 1, true)
		assert.equal(400, (ask("POST", RUNNABLES .. "/logs", { params = { force = true } }, bob())))
		assert.equal(400, (world.ask("POST", RUNNABLES .. "/logs", { body = "[1]" })))
	end)
	it("over the whole instance are for admins, and show a run to its owner alone", function()
		assert.equal(403, (ask("POST", "/api/macros/logs", json.object {}, bob())))
		local _, answer = ask("POST", "/api/macros/users", json.object {})
		local _, state = ask("GET", "/api/macro-runs/" .. answer.runId, nil, bob())
		assert.is_false(state.exists)
		assert.equal(404, (ask("DELETE", "/api/macro-runs/" .. answer.runId, nil, bob())))
		world.turn()
		local _, result = ask("GET", "/api/macro-runs/" .. answer.runId .. "/result")
		assert.same({ columns = { "n" }, records = { { 0 } } }, result)
	end)
	it("can be aborted between two pieces of work", function()
		local path, run = begin("logs", { params = { simulate = false } }, bob())
		assert.equal(200, (ask("POST", path .. "/abort/" .. run, nil, bob())))
		world.turn()
		local _, state = ask("GET", path .. "/state/" .. run, nil, bob())
		assert.same({ false, "aborted", "Aborted by bob" }, { state.running, state.state, state.resultError.message })
		assert.same({}, world.macros.removed)
		assert.equal(422, (ask("GET", path .. "/result/" .. run, nil, bob())))
	end)
	it("fail with what their function raised", function()
		local _, answer = ask("POST", "/api/macros/broken", json.object {})
		world.turn()
		local status, why = ask("GET", "/api/macro-runs/" .. answer.runId .. "/result")
		assert.equal(422, status)
		assert.matches("policies/40-macros.lua:6: no", why.message, 1, true)
	end)
	it("run by a rule, one at a time", function()
		world.macros.on_rule("tidy", 'logs {"simulate":false}')
		world.macros.on_rule("tidy", 'logs {"simulate":false}')
		local _, runs = ask("GET", "/api/macro-runs")
		local mine = {}
		for _, run in ipairs(runs) do
			if run.owner == "policy" and run.running then mine[#mine + 1] = run end
		end
		assert.equal(1, #mine)
		world.turn()
		assert.same({ "P/a" }, world.macros.removed)
	end)
	describe("over notebooks", function()
		local row = { id = "s1", kernel = "k1", notebook = "P/a.ipynb", project = "P", user = "ann", quiet = 9.0, memory = 5 }
		local function run_over(rows, verb)
			local text = ('macro "n" { about = "x", each = "notebook", columns = { "notebook" }, run = function (n) if n.quiet > 5 then return %s "x" end end }'):format(verb or "unload")
			assert(load.evaluate({ { name = "policies/40-macros.lua", text = text } }, { share = "/usr/share/dssd" }))
			world.macros.notebook = rows
			local _, answer = ask("POST", "/api/macros/n", { params = { simulate = false } })
			world.turn()
			local _, result = ask("GET", "/api/macro-runs/" .. answer.runId .. "/result")
			return result
		end
		before_each(function() world.notebooks.has = true end)
		after_each(function() world.notebooks.has, world.notebooks.why, world.notebooks.unload_why, world.macros.notebook = nil, nil, nil, nil end)

		it("say that there is no notebook server", function()
			world.notebooks.has = false
			assert.matches("there is no notebook server", run_over({ row }).message, 1, true)
			assert.is_nil(world.was.unload)
		end)
		it("unload a kernel once, and tell what became of each of its sessions", function()
			local result = run_over { row, { id = "s2", kernel = "k1", notebook = "P/b.ipynb", project = "P", user = "ann", quiet = 9.0 } }
			assert.same({ { "P/a.ipynb", "unloaded", "x" }, { "P/b.ipynb", "unloaded", "x" } }, result.records)
			assert.same({ { "s1", "policy", "" } }, world.was.unload)
			world.notebooks.unload_why = "kept: a client has come"
			result = run_over { row }
			assert.same({ { "P/a.ipynb", "not unloaded: kept: a client has come", "x" } }, result.records)
			assert.equal(1, result.summary.failed)
		end)
		it("interrupt where that is what they answer", function()
			assert.same({ { "P/a.ipynb", "interrupted", "x" } }, run_over({ row }, "interrupt").records)
			assert.same({ "s1", "policy", "" }, world.was.interrupt)
		end)
		it("skip who is not known, and say why", function()
			world.notebooks.why = "no answer"
			local result = run_over { { id = "s1", kernel = "k1", notebook = "P/a.ipynb", project = "P", user = "ann" } }
			assert.same({ { "P/a.ipynb", "skipped", "quiet is unknown" } }, result.records)
			assert.matches("cannot be asked: no answer", result.summary.note, 1, true)
			assert.is_nil(world.was.unload)
		end)
	end)
end)
