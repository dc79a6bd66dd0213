-- Notebooks over the API: who sees and ends what, the shapes that clients of the public API read, and documents through the notebook server.
local world = require "spec.lua.api.world"
local json = world.json

local NAME = "N b%20é" -- as it comes decoded: anything but a slash may stand in one segment

describe("notebooks over the API", function()
	local ann, bob, eve

	local function row(id, notebook, more)
		local r = { id = id, kernelId = "k-" .. id, notebook = notebook, project = notebook:match "^([^/]+)/" or "", user = "", kernelSpec = "python3",
			state = "idle", connections = 0, sessions = 1, leased = false, pid = 42, startedAt = 1000, lastActivity = 2000, quietTime = 700, silentTime = 900 }
		for k, v in pairs(more or {}) do r[k] = v end
		return r
	end

	local function key_of(login)
		table.insert(world.keys.rows, { id = login, user = login, label = "", is_admin = false, created_ms = 1 })
		return { fields = world.with("secret-of-" .. login) }
	end

	before_each(function()
		world.reset()
		ann, bob, eve = key_of "ann", key_of "bob", key_of "eve"
		world.jobs.projects = {
			P = { "good", json.encode { key = "P", owner = "ann", rights = { read = { "bob" } } } },
			Q = { "good", json.encode { key = "Q", owner = "eve" } },
		}
		world.notebooks.rows = { row("s1", "P/a.ipynb"), row("s2", "P/deep/b c.ipynb", { user = "bob", state = "busy", connections = 2 }), row("s3", "Q/q.ipynb") }
	end)

	local function names(list)
		local out = {}
		for i, r in ipairs(list) do out[i] = r.id or r.name end
		return table.concat(out, " ")
	end

	local function with_body(who, body)
		return { fields = who and who.fields, body = body }
	end

	it("are listed to those who may read the project, with the project's owner for who is not known", function()
		local _, all = world.ask("GET", "/api/notebooks")
		assert.equal("s1 s2 s3", names(all))
		assert.equal("ann", all[1].user)
		assert.equal("deep/b c", all[2].name)
		local _, own = world.ask("GET", "/api/notebooks", eve)
		assert.equal("s3", names(own))
		local _, read = world.ask("GET", "/api/notebooks", bob)
		assert.equal("s1 s2", names(read))
	end)

	it("are filtered by the facts that rules know, and say that the filter was understood", function()
		world.notebooks.rows[1].quietTime = 13 * 3600 * 1000
		local status, list, fields = world.ask("GET", "/api/notebooks?where=quiet > 12h and not connected")
		assert.equal(200, status)
		assert.equal("s1", names(list))
		assert.equal("1", fields["Where-Matched"])
		local bad, why = world.ask("GET", "/api/notebooks?where=quite > 12h")
		assert.equal(400, bad)
		assert.matches("quiet", why.message)
	end)

	it("are never idle to a filter while nobody knows", function()
		world.notebooks.why = "unable to connect"
		for _, r in ipairs(world.notebooks.rows) do r.state, r.quietTime, r.silentTime, r.connections = "unknown", nil, nil, nil end
		local status, list, fields = world.ask("GET", "/api/notebooks?where=quiet > 0s or silent > 0s or not busy or not connected")
		assert.equal(200, status)
		assert.same({}, list)
		assert.equal("unable to connect", fields["Notebooks-Unknown"])
		local _, admin = world.ask("GET", "/public/api/admin/notebooks/")
		assert.equal(3000, admin[1].activeSessions[1].kernelLastActivityTime)
		assert.equal("unknown", admin[1].activeSessions[1].kernelExecutionState)
	end)

	it("have the fields that scripts which kill idle ones read", function()
		local status, list = world.ask("GET", "/dip/publicapi/admin/notebooks/")
		assert.equal(200, status)
		assert.equal("a deep/b c q", names(list))
		assert.equal("P", list[1].projectKey)
		assert.equal("python", list[1].language)
		assert.same({
			projectKey = "P", notebookName = "deep/b c", sessionId = "s2", kernelId = "k-s2", kernelPid = 42, kernelConnections = 2,
			kernelExecutionState = "busy", kernelLastActivityTime = 2000, sessionStartTime = 1000, sessionCreator = "bob",
			sessionCreatorDisplayName = "bob", sessionUnixOwner = "bob",
		}, list[2].activeSessions[1])
		assert.equal(403, (world.ask("GET", "/public/api/admin/notebooks", ann)))
	end)

	it("of one project: those that run, one by its name, or null", function()
		local _, list = world.ask("GET", "/public/api/projects/P/notebooks/active", bob)
		assert.equal("a deep/b c", names(list))
		local _, one = world.ask("GET", "/public/api/projects/P/notebooks/?notebookName=deep/b c", bob)
		assert.equal("s2", one.activeSessions[1].sessionId)
		local status, _, _, raw = world.ask("GET", "/public/api/projects/P/notebooks?notebookName=none", bob)
		assert.equal(200, status)
		assert.equal("null", raw)
		assert.equal(404, (world.ask("GET", "/public/api/projects/P/notebooks/active", eve)))
	end)

	it("are two sessions where two notebooks share a kernel, which ends once", function()
		world.notebooks.rows = { row("s1", "P/a.ipynb"), row("s4", "P/a.ipynb", { kernelId = "k-s1", sessions = 2 }) }
		local _, list = world.ask("GET", "/public/api/projects/P/jupyter-notebooks/a/sessions", ann)
		assert.equal(2, #list)
		world.notebooks.answers["GET /api/contents/P/a.ipynb?content=0"] = { 200, { type = "notebook" } }
		world.notebooks.answers["DELETE /api/contents/P/a.ipynb"] = { 204 }
		assert.equal(200, (world.ask("DELETE", "/public/api/projects/P/jupyter-notebooks/a", ann)))
		assert.same({ { "s1", "user", "ann" } }, world.was.unload)
	end)

	it("are unloaded by their user, by who may run in the project, and by admins, each told apart", function()
		assert.equal(403, (world.ask("DELETE", "/api/notebooks/s1", bob)))
		assert.is_nil(world.was.unload)
		assert.equal(200, (world.ask("DELETE", "/api/notebooks/s2", bob)))
		assert.equal(200, (world.ask("POST", "/api/notebooks/k-s1/unload", ann)))
		assert.equal(200, (world.ask("DELETE", "/public/api/projects/P/notebooks/?notebookName=a&sessionId=s1")))
		assert.same({ { "s2", "user", "bob" }, { "s1", "user", "ann" }, { "s1", "admin", "admin" } }, world.was.unload)
		local status, why = world.ask("DELETE", "/api/notebooks/nosuch", ann)
		assert.equal(404, status)
		assert.matches("does not exist", why.message)
		assert.equal(404, (world.ask("DELETE", "/api/notebooks/s3", ann)))
	end)

	it("that did not end are 503 with the reason", function()
		world.notebooks.unload_why = "its kernel did not end"
		local status, why = world.ask("DELETE", "/api/notebooks/s1", ann)
		assert.equal(503, status)
		assert.matches("its kernel did not end", why.message)
	end)

	it("have a server whose address and token are told to admins alone", function()
		local status, answer = world.ask("GET", "/api/notebooks/link")
		assert.equal(200, status)
		assert.equal("http://127.0.0.1:9/?token=tok", answer.url)
		assert.equal(403, (world.ask("GET", "/api/notebooks/link", ann)))
	end)

	it("are kept for a while, within a quota", function()
		local status, answer = world.ask("POST", "/api/notebooks/s1/keep", with_body(ann, { ["for"] = "8h" }))
		assert.equal(200, status)
		assert.same({ "s1", 3000 + 8 * 3600000, "ann" }, world.was.keep)
		assert.equal(3000 + 8 * 3600000, answer.leasedUntil)
		assert.equal(400, (world.ask("POST", "/api/notebooks/s1/keep", with_body(ann, { ["for"] = "4d" }))))
		assert.equal(200, (world.ask("POST", "/api/notebooks/s1/keep", with_body(nil, { ["for"] = "4d" }))))
		assert.equal(400, (world.ask("POST", "/api/notebooks/s1/keep", with_body(ann, { ["for"] = "soon" }))))
		assert.equal(403, (world.ask("POST", "/api/notebooks/s1/keep", with_body(bob, { ["for"] = "1h" }))))
		world.notebooks.nleases = 10
		assert.equal(409, (world.ask("POST", "/api/notebooks/s1/keep", with_body(ann, { ["for"] = "1h" }))))
		world.notebooks.rows[1].leased, world.notebooks.rows[1].leasedBy = true, "ann"
		assert.equal(200, (world.ask("POST", "/api/notebooks/s1/keep", with_body(ann, { ["for"] = "1h" }))))
		assert.equal(200, (world.ask("POST", "/api/notebooks/s1/keep", with_body(ann, { ["for"] = "0s" }))))
		assert.equal(0, world.was.keep[2])
	end)

	it("are kept for as long and as many as the admin says", function()
		world.notebooks.allowed, world.notebooks.nleases = { 8 * 3600000, 2 }, 1
		local status, why = world.ask("POST", "/api/notebooks/s1/keep", with_body(ann, { ["for"] = "9h" }))
		assert.equal(400, status)
		assert.matches("more than 8 h at once", why.message, 1, true)
		assert.equal(200, (world.ask("POST", "/api/notebooks/s1/keep", with_body(ann, { ["for"] = "8h" }))))
		world.notebooks.nleases = 2
		status, why = world.ask("POST", "/api/notebooks/s1/keep", with_body(ann, { ["for"] = "1h" }))
		assert.equal(409, status)
		assert.matches("ann keeps 2 notebooks already", why.message, 1, true)
		world.notebooks.allowed, world.notebooks.nleases = { 8 * 3600000, 0 }, 0
		status, why = world.ask("POST", "/api/notebooks/s1/keep", with_body(ann, { ["for"] = "1h" }))
		assert.equal(409, status)
		assert.matches("ask an admin", why.message, 1, true)
		assert.equal(200, (world.ask("POST", "/api/notebooks/s1/keep", with_body(nil, { ["for"] = "1h" }))))
	end)

	it("as documents are no folders of such a name: those are neither written nor removed, and none of their kernels ends", function()
		local path = "/public/api/projects/P/jupyter-notebooks/a"
		world.notebooks.answers["GET /api/contents/P/a.ipynb?content=0"] = { 200, { type = "directory" } }
		for method, body in pairs { DELETE = false, PUT = { cells = json.array {} }, POST = { cells = json.array {} } } do
			local status, why = world.ask(method, path, with_body(ann, body or nil))
			assert.equal(409, status, method)
			assert.matches("a.ipynb is no notebook, but a folder", why.message, 1, true)
		end
		for _, asked in ipairs(world.was.asked) do assert.equal("GET", asked[1]) end
		assert.is_nil(world.was.unload)
	end)

	it("as documents are not saved over what somebody else saved meanwhile", function()
		local path, a = "/public/api/projects/P/jupyter-notebooks/n", world.notebooks.answers
		local function is_of(at) a["GET /api/contents/P/n.ipynb?content=0"] = { 200, { type = "notebook", last_modified = at } } end
		local function saves_as(at) a["PUT /api/contents/P/n.ipynb"] = { 200, { last_modified = at } } end
		a["GET /api/contents/P/n.ipynb?type=notebook&content=1"] = { 200, { last_modified = "T1", content = { cells = json.array {}, nbformat = 4, metadata = {} } } }
		local _, document = world.ask("GET", path, ann)
		is_of "T2"
		local status, why = world.ask("PUT", path, with_body(ann, document))
		assert.equal(409, status)
		assert.matches("was changed at T2, after it was read", why.message, 1, true)
		is_of "T1"
		saves_as "T3"
		assert.equal(200, (world.ask("PUT", path, with_body(ann, document))))
		local put = world.was.asked[#world.was.asked]
		assert.equal("PUT", put[1])
		assert.is_nil(put[3].content.metadata.dss_last_modified)
		-- who saves once more what he has read once overwrites his own change alone
		is_of "T3"
		saves_as "T4"
		assert.equal(200, (world.ask("PUT", path, with_body(ann, document))))
		assert.equal(409, (world.ask("PUT", path, with_body(nil, document))))
		is_of "T5"
		assert.equal(409, (world.ask("PUT", path, with_body(ann, document))))
		-- who does not say what he has read is not asked
		document.metadata.dss_last_modified = nil
		assert.equal(200, (world.ask("PUT", path, with_body(ann, document))))
		-- outputs are not cleared of what was changed between
		a["GET /api/contents/P/n.ipynb?type=notebook&content=1"][2].last_modified = "T4"
		assert.equal(409, (world.ask("DELETE", path .. "/outputs", ann)))
	end)

	it("as documents are read through the server, whatever their names hold", function()
		world.notebooks.answers["GET /api/contents/P/N%20b%2520%C3%A9.ipynb?type=notebook&content=1"] = { 200, { type = "notebook", content = { cells = json.array {}, nbformat = 4, metadata = {} } } }
		local status, document = world.ask("GET", "/public/api/projects/P/jupyter-notebooks/" .. NAME, bob)
		assert.equal(200, status)
		assert.equal(4, document.nbformat)
		assert.equal(404, (world.ask("GET", "/public/api/projects/P/jupyter-notebooks/none", bob)))
		for _, bad in ipairs { "..", ".hidden" } do
			assert.equal(400, (world.ask("GET", "/public/api/projects/P/jupyter-notebooks/" .. bad, bob)), bad)
		end
	end)

	it("are made once, with their creator, saved where they are, and cleared of outputs", function()
		local path = "/public/api/projects/P/jupyter-notebooks/n"
		world.notebooks.answers["PUT /api/contents/P/n.ipynb"] = { 201, {} }
		assert.equal(404, (world.ask("PUT", path, with_body(ann, { cells = json.array {}, nbformat = 4 }))))
		assert.equal(403, (world.ask("POST", path, with_body(bob, { cells = json.array {}, nbformat = 4 }))))
		assert.equal(200, (world.ask("POST", path, with_body(ann, { cells = json.array {}, nbformat = 4 }))))
		local put = world.was.asked[#world.was.asked]
		assert.equal("PUT", put[1])
		assert.equal("ann", put[3].content.metadata.creator)
		assert.equal(3000, put[3].content.metadata.createdOn)
		world.notebooks.answers["GET /api/contents/P/n.ipynb?content=0"] = { 200, { type = "notebook" } }
		assert.equal(409, (world.ask("POST", path, with_body(ann, { cells = json.array {} }))))
		assert.equal(400, (world.ask("PUT", path, with_body(ann, "[]"))))
		world.notebooks.answers["GET /api/contents/P/n.ipynb?type=notebook&content=1"] = { 200, { content = {
			cells = json.array { { cell_type = "code", outputs = json.array { { text = "x" } }, execution_count = 3 }, { cell_type = "markdown", source = "m" } }, nbformat = 4, metadata = {},
		} } }
		assert.equal(200, (world.ask("DELETE", path .. "/outputs", ann)))
		local cleared = world.was.asked[#world.was.asked][3].content.cells
		assert.same({}, cleared[1].outputs)
		assert.equal(json.null, cleared[1].execution_count)
		assert.equal("m", cleared[2].source)
	end)

	it("of a project are listed from all of its folders but its data, with their kernelspecs", function()
		local function entry(t, path, at) return { type = t, path = path, last_modified = at or "2026-11-21T20:35:06.123456Z" } end
		local a = world.notebooks.answers
		a["GET /api/contents/P?type=directory&content=1"] = { 200, { content = json.array { entry("notebook", "P/a.ipynb"), entry("directory", "P/deep"), entry("directory", "P/data"), entry("file", "P/x.py") } } }
		a["GET /api/contents/P/deep?type=directory&content=1"] = { 200, { content = json.array { entry("notebook", "P/deep/r.ipynb") } } }
		a["GET /api/contents/P/a.ipynb?type=notebook&content=1"] = { 200, { content = { cells = json.array {}, metadata = { kernelspec = { name = "python3", display_name = "Python 3" } } } } }
		a["GET /api/contents/P/deep/r.ipynb?type=notebook&content=1"] = { 200, { content = { cells = json.array {}, metadata = { kernelspec = { name = "ir", display_name = "R", language = "R" } } } } }
		local status, list = world.ask("GET", "/public/api/projects/P/jupyter-notebooks/", bob)
		assert.equal(200, status)
		assert.equal("a deep/r", names(list))
		assert.same({ name = "python3", display_name = "Python 3", language = "python" }, list[1].kernelSpec)
		assert.equal("R", list[2].language)
		assert.equal(1795293306000, list[1].lastModifiedOn)
		-- a large one is listed, and not read for its kernelspec
		local large = entry("notebook", "P/deep/r.ipynb", "2026-11-22T00:00:00Z")
		large.size = 5 << 20
		a["GET /api/contents/P/deep?type=directory&content=1"] = { 200, { content = json.array { large } } }
		local asked = #world.was.asked
		list = select(2, world.ask("GET", "/public/api/projects/P/jupyter-notebooks/", bob))
		assert.equal("a deep/r", names(list))
		for i = asked + 1, #world.was.asked do assert.is_nil(world.was.asked[i][2]:find("r.ipynb", 1, true)) end
		local _, active = world.ask("GET", "/public/api/projects/P/jupyter-notebooks/?active=True", bob)
		assert.equal("a", names(active))
	end)

	it("as documents are 503 with the reason while the server cannot be asked", function()
		world.notebooks.why = "nothing listens"
		for _, path in ipairs { "", "/a", "/a/sessions" } do
			local status, answer = world.ask("GET", "/public/api/projects/P/jupyter-notebooks" .. path, bob)
			assert.equal(path == "/a/sessions" and 200 or 503, status, path)
			if status == 503 then assert.matches("nothing listens", answer.message) end
		end
	end)
end)
