-- How kernels of a notebook ended, in words, from what was told of it then.
local world = require "spec.lua.api.world"
local json = world.json

local OOM = 'Killed: The kernel of notebook "P/a.ipynb" of ann used 8.0 GB; the limit of box "a kernel" is 8.0 GB.'

describe("ends of notebooks' kernels", function()
	local facts, was

	local function told(at, what, subject, detail) table.insert(facts, 1, { at = at, what = "notebook." .. what, subject = subject, owner = "ann", detail = detail }) end

	before_each(function()
		world.reset()
		facts, was = {}, nil
		world.notebooks.ends = function(word, login, fn)
			was = { word, login or "all" }
			fn(json.encode(json.array(facts)))
		end
	end)

	local function ask(query, who)
		local status, list = world.ask("GET", "/api/notebooks/ends" .. query, who)
		return status, list
	end

	it("are told newest first, with the order that ended one and its line; the order is told after the end, by the session", function()
		told(1000, "ended", "k1", { notebook = "P/a.ipynb", project = "P", process = "notebook-1-1", cause = "crash", message = "It ended by itself with status 3." })
		told(500000, "ended", "k2", { notebook = "P/a.ipynb", process = "notebook-1-2", cause = "user", message = "It was shut down.", session = "s2" })
		told(500900, "unloaded", "s2", { kernelId = "k2", notebook = "P/a.ipynb", user = "ann", cause = "policy", by = "",
			reason = 'rule "idle notebooks" (policies/35-notebooks.lua:4): quiet for 13 h' })
		local status, list = ask "?of=P/a"
		assert.equal(200, status)
		assert.same({ "P/a", "all" }, was)
		assert.equal(2, #list)
		assert.same({ "k2", "s2", "policy", 'Unloaded by rule "idle notebooks" (policies/35-notebooks.lua:4): quiet for 13 h', 500000 },
			{ list[1].kernelId, list[1].session, list[1].cause, list[1].text, list[1].at })
		assert.same({ "k1", "crash", "It ended by itself with status 3.", "notebook-1-1" }, { list[2].kernelId, list[2].cause, list[2].text, list[2].processId })
	end)

	it("name who unloaded one, and the limit of one that passed it while it was to go", function()
		told(1000, "ended", "k1", { notebook = "P/a.ipynb", cause = "user", message = "It was shut down." })
		told(1100, "unloaded", "s1", { kernelId = "k1", notebook = "P/a.ipynb", cause = "admin", by = "eve", reason = "unloaded by eve" })
		told(900000, "ended", "k1", { notebook = "P/a.ipynb", cause = "oom_limit", message = OOM, limitBytes = 8 << 30, peakBytes = 8 << 30 })
		told(900100, "unloaded", "s1", { kernelId = "k1", notebook = "P/a.ipynb", cause = "admin", by = "eve" })
		local _, list = ask "?of=k1-of-it"
		assert.same({ OOM, "oom_limit", 8 << 30 }, { list[1].text, list[1].cause, math.tointeger(list[1].limitBytes) })
		assert.same({ "Unloaded by eve.", "admin", "eve" }, { list[2].text, list[2].cause, list[2].by })
	end)

	it("are also told where only the order is known, and of a process that said nothing", function()
		told(1000, "unloaded", "s1", { kernelId = "k1", notebook = "P/a.ipynb", cause = "user", by = "ann" })
		told(2000, "ended", "k2", { notebook = "P/a.ipynb", cause = "signal", process = "notebook-1-1" })
		told(3000, "moved", "k2", { from = "P/a.ipynb", notebook = "P/b.ipynb" })
		local _, list = ask "?of=P/a.ipynb"
		assert.same({ "It ended (signal).", "Unloaded by ann." }, { list[1].text, list[2].text })
		assert.equal(2, #list)
	end)

	it("are asked for the viewer's own alone, admins for all; a question without a notebook is refused", function()
		table.insert(world.keys.rows, { id = "ann", user = "ann", label = "", is_admin = false, created_ms = 1 })
		local status, list = ask("?of=P/a", { fields = world.with "secret-of-ann" })
		assert.equal(200, status)
		assert.same({}, list)
		assert.same({ "P/a", "ann" }, was)
		assert.equal(400, (ask ""))
		assert.equal(401, (ask("?of=x", { fields = {} })))
		world.notebooks.ends = function(_, _, fn) fn(nil, "the store takes nothing now") end
		assert.equal(503, (ask "?of=x"))
	end)
end)
