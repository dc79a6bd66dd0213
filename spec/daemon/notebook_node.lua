-- notebook_node: an instance with a notebook server, for the specs of notebooks: its projects, sessions, cells and rows.
--
--     local notebooks = Notebooks.new { config = "jupyter {}", policies = { … } }      -- as Instance.new
--     local kernel = notebooks:start "SALES/report.ipynb"
--     notebooks:cell(kernel, "1 + 1")                                                  → "2"
--
-- or, of a server that is there already: Notebooks.of { url = …, token = FILE }, whose node is set once there is one.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local json = require "t_json"
local wait_for = helper.wait_for

local M = {}
M.__index = M

M.PYTHON = "/usr/bin/python3"
M.has_jupyter = os.execute(M.PYTHON .. " -s -c 'import jupyter_server, ipykernel' 2>/dev/null")
M.is_root = Instance.run { "id", "-u" } == "0"
M.MACRO = "kill-idle-notebooks"
M.THREAD = [[
import threading
def work():
    n = 0
    while True:
        n = (n * 7 + 1) % 1000003
threading.Thread(target=work, daemon=True).start()]] -- goes on after its cell
M.POOLS = [[ pool "fek" { kernel = python {}, limits = { memory = "256m" }, warm = { min = 0, max = 1 } }
]]

function M.new(what)
	what.config = what.config or "jupyter {}"
	local self = setmetatable({ node = Instance.new(what) }, M)
	self.node:start()
	return self
end

function M.of(server) return setmetatable(server, M) end

function M:remove() self.node:remove() end

--- A file of the projects' user.
function M:write(path, text)
	local full, top = self.node.dir .. "/projects/" .. path, self.node.dir .. "/projects"
	os.execute("mkdir -p " .. Instance.quote(full:match "^(.*)/"))
	helper.write(full, text)
	os.execute(("chown -R --reference=%s %s/*"):format(Instance.quote(top), Instance.quote(top)))
end

function M:project(key, text) self:write(key .. "/project.lua", text or 'project { owner = "ann" }') end

function M:address() return self.url or ("http://127.0.0.1:%d"):format(math.tointeger(json.decode(self.node:read "run/ports.json").jupyter)) end

--- The words of a call of spec/daemon/SCRIPT.
function M:words(script, ...)
	return { M.PYTHON, "-s", "spec/daemon/" .. script, self:address(), self.token or self.node.dir .. "/config/jupyter.token", ... }
end

--- What spec/daemon/notebook_client.py answers.
function M:jupyter(verb, ...)
	local out, why = Instance.run_apart(self:words("notebook_client.py", verb, ...))
	return json.decode(out) or error(verb .. ": " .. out .. why, 2)
end

--- Kernel and session.
function M:start(path, spec)
	local s = self:jupyter("start", path, spec)
	if not s.kernel then error(("%s: %s\n%s"):format(path, json.encode(s), self.node:logs()), 2) end
	return s.kernel, s.session
end

--- Its whole answer: text, and error if there was one.
function M:try(kernel, code, seconds) return self:jupyter("cell", kernel, code, tostring(seconds or 30)) end

function M:cell(kernel, code, seconds)
	local answer = self:try(kernel, code, seconds)
	if answer.error then error(("%s: %s"):format(code, json.encode(answer)), 2) end
	return (answer.text:gsub("\n$", ""))
end

function M:send(kernel, code) return self:jupyter("send", kernel, code) end

--- Of /api/processes: by the kernel's id.
function M:rows()
	local status, list = self.node:http("GET", "/api/processes")
	local out = {}
	for _, p in ipairs(status == 200 and list or {}) do
		if p.kind == "notebook" then out[p.kernelId or p.id] = p end
	end
	return out
end

function M:pid(kernel) return math.tointeger(assert(self:rows()[kernel], "no process of " .. kernel).pid) end

--- Of /api/notebooks.
function M:session(kernel)
	local status, list = self.node:http("GET", "/api/notebooks")
	assert(status == 200, json.encode(list))
	for _, r in ipairs(list) do
		if r.kernelId == kernel then return r end
	end
end

--- Until its session's row passes the test, which answers a value; that value and the row.
function M:await(kernel, what, test, seconds)
	local r, v
	wait_for(what, function()
		r = self:session(kernel)
		v = r and test(r)
		return v, r and json.encode(r)
	end, seconds or 40)
	return v, r
end

--- Rows of /api/notebooks by the notebook's name, without folder and ending.
function M:named(where)
	local query = where and "?where=" .. where:gsub("[^%w]", function(c) return ("%%%02X"):format(c:byte()) end) or ""
	local status, list = self.node:http("GET", "/api/notebooks" .. query)
	assert(status == 200, json.encode(list))
	local out = {}
	for _, r in ipairs(list) do out[r.notebook:match "([^/]*)%.ipynb$"] = r end
	return out
end

--- Until these rows pass the test; the rows. A backend that is not there yet, and a row that the test misses, are waited for.
function M:await_named(what, test, seconds)
	local found
	wait_for(what, function()
		local ok, rows = pcall(self.named, self)
		found = ok and rows or {}
		local is_told, passes = pcall(test, found)
		return is_told and passes, ok and json.encode(found) or rows
	end, seconds or 60)
	return found
end

--- Runs the cell, and returns once the row of its notebook tells of it: what is asked before may still be of the look before it.
function M:work(name, kernel, code)
	local before = self:named()[name].lastActivity
	local text = self:cell(kernel, code)
	self:await_named("the cell to count", function(r) return r[name] and r[name].lastActivity > before end)
	return text
end

--- Runs the macro that unloads; by the notebook's name what it did and why, its result and the run.
function M:unload(params)
	local status, answer = self.node:http("POST", "/api/macros/" .. M.MACRO, { params = params })
	assert(status == 200, json.encode(answer))
	local run
	wait_for("the end of the run", function()
		run = select(2, self.node:http("GET", "/api/macro-runs/" .. answer.runId))
		return run.running == false, json.encode(run)
	end, 90)
	local _, result = self.node:http("GET", ("/api/macro-runs/%s/result"):format(answer.runId))
	local what, why = {}, {}
	for _, record in ipairs(result.records or {}) do
		local name = record[1]:match "([^/]*)%.ipynb$"
		what[name], why[name] = record[#record - 1], record[#record]
	end
	return what, why, result, run
end

--- Jupyter does not make sure of a client's connections to a kernel that it holds to be at work: what it says first may be missed.
function M:await_idle(kernel)
	wait_for("the kernel to be idle", function()
		for _, k in ipairs(self:jupyter("get", "/api/kernels").answer or {}) do
			if k.id == kernel then return k.execution_state == "idle", k.execution_state end
		end
	end, 30)
end

--- What it held is given back.
function M:delete(kernel)
	self:jupyter("delete", "/api/kernels/" .. kernel)
	wait_for("the kernel's end", function() return self:rows()[kernel] == nil end, 20)
end

--- name: "jupyter", "backend".
function M:kill(name)
	local before = self.node:pid(name)
	self.node:kill(name)
	wait_for("the next " .. name, function()
		local p = self.node:status().by[name]
		return p and p.state == "ready" and p.pid ~= before
	end, 40)
end

function M.is_alive(pid) return os.execute(("kill -0 %d 2>/dev/null"):format(pid)) == true end

return M
