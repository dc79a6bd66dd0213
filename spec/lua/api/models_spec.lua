-- The routes of models: what a training is made of, what is told of those that were, who may what.
local world = require "spec.lua.api.world"
local training = require "dss.model.training"
local json = world.json

local PROJECT = {
	key = "P", name = "Churn", owner = "carol", rights = { read = { "dave" }, run = { "erin" } }, datasets = {}, recipes = {},
	models = {
		churn = { kind = "model", name = "Who leaves", input = "tidy", target = "left", task = "classification", algorithms = { "random_forest", "decision_tree" },
			bin = "/usr/bin/python3", params = { seed = 3 }, env = {}, limits = { memory_bytes = 256 << 20 }, timeout_ms = 60000, line = 7 },
		["a-b"] = { kind = "model", input = "tidy", task = "clustering", bin = "/opt/py", params = {}, env = { A = "b" }, limits = {}, line = 9 },
		threads = { kind = "model", input = "tidy", target = "left", task = "regression", params = {}, env = {}, limits = { threads = 4 }, line = 13 },
		wrong = { kind = "model", input = "tidy", target = "left", task = "regression", algorithms = { "rigde" }, params = {}, env = {}, limits = {}, line = 12 },
	},
}

local LAB = "/public/api/projects/P/models/lab/"
local fleet, models, submitted, refuse_at

local function row(model, session, algorithm, state, more)
	local r = { task = session .. algorithm, project = "P", owner = "carol", model = model, session = session, algorithm = algorithm, state = state,
		modelId = training.full_id("P", model, session, 1), createdMs = 5, startedMs = 10 }
	for k, v in pairs(more or {}) do r[k] = v end
	return r
end

local function ask(who, method, target, body)
	return world.ask(method, target, { body = body, fields = world.with(who == "admin" and world.KEY or "secret-of-" .. who) })
end

describe("models", function()
	local rows, records

	before_each(function()
		world.reset()
		for i, login in ipairs { "bob", "carol", "dave", "erin" } do
			world.keys.rows[i] = { id = login, user = login, is_admin = false, created_ms = 1 }
		end
		world.jobs.projects = { P = { "good", json.encode(PROJECT) } }
		world.jobs.keys = function() return { "P" } end
		rows, records, submitted, refuse_at = {}, {}, {}, nil
		fleet, models = world.fleet, world.models
		models.list = function(_, name, _, fn)
			local out = json.array {}
			for _, r in ipairs(rows) do
				if not name or r.model == name then out[#out + 1] = r end
			end
			fn(json.encode(out))
		end
		models.sessions = function(_, name)
			local out, had = {}, {}
			for _, r in ipairs(records[name] or {}) do
				if not had[r.session] then had[r.session], out[#out + 1] = true, r.session end
			end
			return out
		end
		models.kept = function(_, name, session)
			local out = {}
			for _, r in ipairs(records[name] or {}) do
				if r.session == session then out[#out + 1] = { session = r.session, algorithm = r.algorithm, path = r.path, changed_ms = 77 } end
			end
			return out
		end
		models.record = function(_, path) return records[path], 77 end
		fleet.submit_before = fleet.submit_before or fleet.submit
		fleet.abort_before = fleet.abort_before or fleet.abort
		world.was.aborted = {}
		fleet.submit = function(r, fn)
			if #submitted + 1 == refuse_at then return "bad", 'no pool takes tasks of type "train"' end
			submitted[#submitted + 1] = r
			fn("ok", "f" .. #submitted, true)
			return true
		end
		fleet.abort = function(id, by, is_admin)
			table.insert(world.was.aborted, { id, by, is_admin })
			return "ok", ""
		end
	end)

	after_each(function()
		fleet.submit, fleet.abort = fleet.submit_before, fleet.abort_before
		world.jobs.keys = function() return {} end
	end)

	it("that are unknown are named, with the nearest one there is", function()
		local status, answer = ask("erin", "POST", LAB .. "chrun/chrun/train", {})
		assert.same({ 404, "project P has no model chrun, did you mean churn?" }, { status, answer.message })
	end)

	it("are ML tasks with ids made of their names, which full ids can hold", function()
		local status, answer = ask("dave", "GET", LAB)
		assert.equal(200, status)
		local by = {}
		for _, t in ipairs(answer.mlTasks) do by[t.mlTaskName] = t end
		assert.same({ "churn", "churn", "Who leaves", "PREDICTION", "tidy", "left" },
			{ by.churn.analysisId, by.churn.mlTaskId, by.churn.analysisName, by.churn.taskType, by.churn.inputDataset, by.churn.targetVariable })
		assert.matches("^a_b_%x%x%x%x$", by["a-b"].analysisId)
		assert.equal("CLUSTERING", by["a-b"].taskType)
		for _, wanted in ipairs { by["a-b"].mlTaskId, "a-b" } do
			assert.equal(200, (ask("dave", "GET", LAB .. wanted .. "/" .. wanted .. "/status")))
		end
	end)

	it("train as one task for each algorithm, with all that it needs and nothing of the user's choosing beside", function()
		local status, answer = ask("erin", "POST", LAB .. "churn/churn/train", { sessionName = "first", sessionDescription = json.null, runQueue = false })
		assert.equal(200, status, answer.message)
		assert.same({ "s1", { "f1", "f2" } }, { answer.sessionId, answer.tasks })
		local r = submitted[2]
		assert.same({ "erin", "train", "P", 256 << 20, 60000, "Train churn s1: decision_tree" }, { r.owner, r.type, r.project, r.memory_bytes, r.timeout_ms, r.title })
		local p = json.decode(r.payload)
		assert.same({ "churn", "s1", "first", "decision_tree", "tidy", "left", "classification", "A-P-churn-churn-s1-pp1-m2", { seed = 3 } },
			{ p.model, p.sessionId, p.sessionName, p.algorithm, p.input, p.target, p.task, p.modelId, p.params })
		assert.matches("/projects/P$", p.dir)
		assert.is_nil(p.bin)
		local _, second = ask("carol", "POST", LAB .. "a-b/a-b/train", "")
		assert.equal("s1", second.sessionId)
		p = json.decode(submitted[3].payload)
		assert.same({ "kmeans", "/opt/py", { A = "b" }, true }, { p.algorithm, p.bin, p.env, submitted[3].payload:find('"params":{}', 1, true) ~= nil })
	end)

	it("number their sessions on, over what is in the store, what left a record, and what was given out a moment ago", function()
		PROJECT.models.numbered = PROJECT.models.churn
		world.jobs.projects.P[2] = json.encode(PROJECT)
		rows = { row("numbered", "s4", "random_forest", "done") }
		records.numbered = { { session = "s7", algorithm = "random_forest", path = "x" }, { session = "notes", algorithm = "x", path = "y" } }
		records.x = json.encode { modelId = "A-P-numbered-numbered-s7-pp1-m1", metrics = { accuracy = 0.5 } }
		for _, wanted in ipairs { "s8", "s9" } do
			local _, answer = ask("carol", "POST", LAB .. "numbered/numbered/train", {})
			assert.equal(wanted, answer.sessionId)
		end
		PROJECT.models.numbered = nil
	end)

	it("are aborted again where a later algorithm of the session is refused", function()
		refuse_at = 2
		local status, answer = ask("carol", "POST", LAB .. "churn/churn/train", {})
		assert.equal(400, status)
		assert.truthy(answer.message:find('python { module = "doctor.server" }', 1, true), answer.message)
		assert.same({ { "f1", "carol", false } }, world.was.aborted)
	end)

	it("answer the same clientKey with the session that it started", function()
		fleet.submit = function(_, fn)
			fn("ok", "mine", false)
			return true
		end
		fleet.futures.mine.json = '{"tags":["model:churn","session:s3"]}'
		local _, answer = ask("carol", "POST", LAB .. "churn/churn/train", { clientKey = "k" })
		assert.equal("s3", answer.sessionId)
	end)

	it("train until nothing waits or runs, strictly; only what is done can be used", function()
		rows = { row("churn", "s2", "decision_tree", "queued", { future = { reason = "no room", position = 1 } }), row("churn", "s1", "random_forest", "done",
			{ result = { metrics = { accuracy = 0.9 }, rows = 10, classCount = 3 }, endedMs = 30 }),
			row("churn", "s1", "decision_tree", "failed", { modelId = "A-P-churn-churn-s1-pp1-m2", error = { message = "no such column", stack = "secret stack" } }) }
		local _, answer = ask("dave", "GET", LAB .. "churn/churn/status")
		assert.same({ true, false, 1, "s1" }, { answer.training, answer.guessing, #answer.fullModelIds, answer.fullModelIds[1].fullModelId.sessionId })
		assert.same({ "no room", "no such column" }, { answer.sessions[1].reason, answer.sessions[3].message })
		assert.is_nil(json.encode(answer):find("secret stack", 1, true))
		rows[1].state = "aborted"
		_, answer = ask("dave", "GET", LAB .. "churn/churn/status")
		assert.is_false(answer.training)
		local id = "A-P-churn-churn-s1-pp1-m1"
		_, answer = ask("dave", "GET", LAB .. "churn/churn/models-snippets", { modelsIds = { id } })
		assert.same({ "MULTICLASS", 10 }, { answer[id].predictionType, answer[id].trainInfo.trainRecords })
		local status, missing = ask("dave", "GET", LAB .. "churn/churn/models-snippets", { modelsIds = { "A-P-churn-churn-s9-pp1-m1" } })
		assert.equal(404, status)
		assert.truthy(missing.message:find("s9", 1, true))
	end)

	it("are known by their records once the store has forgotten them; a record of another model counts for nothing", function()
		records.churn = { { session = "s1", algorithm = "random_forest", path = "r" }, { session = "s2", algorithm = "random_forest", path = "forged" },
			{ session = "s3", algorithm = "random_forest", path = "broken" } }
		records.r = json.encode { modelId = "A-P-churn-churn-s1-pp1-m1", metrics = { accuracy = 0.9, note = "text" }, seconds = 2, rows = 10 }
		records.forged = json.encode { modelId = "A-OTHER-x-x-s1-pp1-m1" }
		records.broken = "{"
		local _, answer = ask("dave", "GET", LAB .. "churn/churn/status")
		assert.same({ false, 1, { accuracy = 0.9 } }, { answer.training, #answer.fullModelIds, answer.sessions[1].metrics })
		local _, list = ask("dave", "GET", "/api/models?project=P")
		assert.equal(4, #list)
	end)

	it("are read a few sessions at a time, newest first, and not again while their files stay as they are", function()
		local slices, reads, soon = 0, 0, world.soon
		records.many = {}
		for i = 1, 90 do
			local path = "many" .. i
			records.many[i] = { session = "s" .. i, algorithm = "random_forest", path = path }
			records[path] = json.encode { modelId = ("A-P-many-many-s%d-pp1-m1"):format(i), metrics = {} }
		end
		local record = models.record
		models.record = function(...)
			reads = reads + 1
			return record(...)
		end
		world.soon = function(_, fn)
			slices = slices + 1
			assert.is_true(reads <= slices * 20, reads .. " were read at once")
			fn()
		end
		PROJECT.models.many = PROJECT.models.churn
		world.jobs.projects.P[2] = json.encode(PROJECT)
		for _ = 1, 2 do
			local _, answer = ask("dave", "GET", LAB .. "many/many/status")
			assert.same({ 90, "s90", "s1" }, { #answer.sessions, answer.sessions[1].session, answer.sessions[90].session })
		end
		assert.same({ 8, 90 }, { slices, reads })
		PROJECT.models.many, world.soon = nil, soon
	end)

	it("are for those whom the project lets in: reading sees, running starts and ends, ensembles are nobody's", function()
		rows = { row("churn", "s1", "random_forest", "running"), row("churn", "s1", "decision_tree", "done") }
		assert.equal(404, (ask("bob", "GET", LAB .. "churn/churn/status")))
		assert.equal(403, (ask("dave", "POST", LAB .. "churn/churn/train", {})))
		assert.equal(403, (ask("dave", "DELETE", LAB .. "churn/churn")))
		local status, answer = ask("erin", "DELETE", LAB .. "churn/churn/")
		assert.same({ 200, 1, { { "s1random_forest", "erin", true } } }, { status, answer.aborted, world.was.aborted })
		assert.equal(501, (ask("erin", "POST", LAB .. "churn/churn/ensemble", {})))
		assert.same({}, select(2, ask("bob", "GET", "/api/models")))
		-- Rights that were set over the API hold, not those of the file.
		assert.is_true(#select(2, ask("dave", "GET", "/api/models")) > 0)
		world.settings.rows["P/permissions"] = { key = "permissions", by = "admin", at_ms = 1,
			json = json.encode { set = { permissions = json.array { { user = "bob", readProjectContent = true } } } } }
		assert.is_true(#select(2, ask("bob", "GET", "/api/models")) > 0)
		assert.same({}, select(2, ask("dave", "GET", "/api/models")))
		world.settings.rows["P/permissions"] = nil
		local _, queues = ask("dave", "GET", "/public/api/projects/P/models/labs/mltask-queues")
		assert.same({ "churn", 1, 0 }, { queues.queues[1].mlTaskId, queues.queues[1].running, queues.queues[1].waiting })
		local _, next_one = ask("erin", "POST", LAB .. "churn/churn/actions/train-queue", "")
		assert.equal(json.null, next_one.sessionId)
	end)

	it("refuse what is wrong, by name", function()
		local status, answer = ask("carol", "POST", LAB .. "wrong/wrong/train", {})
		assert.equal(400, status)
		assert.truthy(answer.message:find("projects/P/project.lua:12: models.wrong: rigde is no algorithm of regression, did you mean ridge", 1, true), answer.message)
		status, answer = ask("carol", "POST", LAB .. "threads/threads/train", {})
		assert.equal(400, status)
		assert.truthy(answer.message:find("project.lua:13: models.threads: limits.threads is the pool's to say", 1, true), answer.message)
		status, answer = ask("carol", "GET", LAB .. "chrun/chrun/status")
		assert.equal(404, status)
		assert.truthy(answer.message:find("did you mean churn", 1, true), answer.message)
		assert.equal(404, (ask("carol", "GET", LAB .. "churn/wrong/status")))
		assert.equal(400, (ask("carol", "POST", LAB .. "churn/churn/train", "[]")))
		assert.equal(400, (ask("carol", "GET", LAB .. "churn/churn/models-snippets", '{"modelsIds":"x"}')))
		assert.same({}, submitted)
		status, answer = ask("carol", "POST", "/api/futures", { type = "train", payload = { project = "P" } })
		assert.equal(400, status)
		assert.truthy(answer.message:find("models/lab", 1, true))
	end)
end)
