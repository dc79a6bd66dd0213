-- job_work: what specs of jobs share: projects, jobs and their ends, processes at work, what must never be left.
--
--     local jobs = job_work.of(node)
--     jobs:project("P", 'project { recipes = { … } }')
--     local s = jobs:ended("P", jobs:start("P", "made"))
local helper = require "spec.helper"
local Instance = require "spec.instance"
local json = require "t_json"
local wait_for = helper.wait_for

local M = {}
M.__index = M

M.has_java = os.execute "command -v java >/dev/null && command -v javac >/dev/null"

--- A pool of job kernels; more: further text of the pool.
function M.pools(more)
	return ([[
pool "jek" { kernel = java { main = "DSSJobKernelMain", heap = "64m" }, limits = { memory = "256m" }, %s
  recycle = { after_tasks = 1000 } }
]]):format(more or "warm = { min = 1, max = 2 }, max = 4,")
end

function M.of(node) return setmetatable({ node = node }, M) end

--- Makes the project's folder, or other files in it; text nil: the file stays.
function M:project(key, text, files)
	local dir = self.node.dir .. "/projects/" .. key
	os.execute("mkdir -p " .. Instance.quote(dir .. "/data"))
	if text then helper.write(dir .. "/project.lua", text) end
	for path, body in pairs(files or {}) do
		os.execute("mkdir -p " .. Instance.quote((dir .. "/" .. path):match "^(.*)/"))
		helper.write(dir .. "/" .. path, body)
	end
	os.execute(("chown -R --reference=%s %s"):format(Instance.quote(self.node.dir .. "/projects"), Instance.quote(dir)))
	return dir
end

function M.path(key, rest) return ("/public/api/projects/%s/jobs/%s"):format(key, rest or "") end

--- The job's id. mode: RECURSIVE_BUILD where nothing is said.
function M:start(key, output, mode, more)
	local body = { type = mode or "RECURSIVE_BUILD", outputs = { { type = "DATASET", id = output } } }
	for k, v in pairs(more or {}) do body[k] = v end
	local status, answer = self.node:http("POST", M.path(key), body)
	if status ~= 200 then error(("start of %s: %s %s"):format(output, status, type(answer) == "table" and json.encode(answer) or answer), 2) end
	return answer.id
end

--- nil and why, where nobody answers now.
function M:status(key, job)
	local status, answer = self.node:http("GET", "/dip/publicapi/projects/" .. key .. "/jobs/" .. job .. "/")
	if status ~= 200 then return nil, ("%s %s"):format(status, type(answer) == "table" and json.encode(answer) or answer) end
	return answer
end

function M:activity(key, job, name)
	local s, why = self:status(key, job)
	return s and s.baseStatus.activities[name .. "_NP"], why
end

--- Waits until the activity is in that state; the activity.
function M:wait_activity(key, job, name, state, seconds)
	return wait_for(name .. " to be " .. state, function()
		local a, why = self:activity(key, job, name)
		return a and a.state == state and a, a and json.encode(a) or why
	end, seconds or 40)
end

local is_end = { DONE = true, FAILED = true, ABORTED = true }

--- Waits for the job's end; its status.
function M:ended(key, job, seconds)
	return wait_for("the end of " .. job, function()
		local s, why = self:status(key, job)
		return s and is_end[s.baseStatus.state] and s, s and json.encode(s) or why
	end, seconds or 40)
end

--- Status (0: no answer) of the order to abort.
function M:abort(key, job) return (self.node:http("POST", M.path(key, job .. "/abort"))) end

--- The state of the future behind the job, as the queue has it.
function M:future(key, job)
	local s, why = self:status(key, job)
	if not s then return nil, why end
	local status, f = self.node:http("GET", "/public/api/futures/" .. s.baseStatus.taskId .. "?peek=True")
	return status == 200 and f.state, status
end

function M:log(key, job) return self.node:read(("jobs/%s/%s/output.log"):format(key, job)) or "" end

--- Rows of the keeper's processes of that kind ("recipe", "kernel") that live; nil: no answer.
function M:processes(kind)
	local status, rows = self.node:http("GET", "/api/processes")
	if status ~= 200 then return nil, status end
	local found = {}
	for _, row in ipairs(rows) do
		if row.kind == kind and row.state ~= "ended" and row.state ~= "dead" then found[#found + 1] = row end
	end
	return found
end

--- Waits until the backend answers and knows its processes; old: the pid that it no longer has.
function M:wait_backend(old, seconds)
	wait_for("another backend", function()
		local pid = self.node:status().by.backend.pid
		return pid and pid ~= old and (self.node:http("GET", "/health")) == 200 and self:processes "kernel"
	end, seconds or 30)
end

--- Waits until a job kernel is idle and nothing is at work.
function M:wait_idle(seconds)
	return wait_for("an idle job kernel", function()
		local status, pools = self.node:http("GET", "/api/pools")
		local p = status == 200 and pools[1]
		return p and p.idle >= 1 and p.busy == 0 and p.starting == 0 and p.stopping == 0 and p.waiting == 0 and p, p and json.encode(p) or status
	end, seconds or 40)
end

--- Folders below the instance's boxes of running work: of recipes that have ended nothing may be left.
function M:boxes()
	local found = {}
	for _, box in ipairs(self.node:boxes()) do
		local p = io.popen("find " .. Instance.quote(box) .. " -path '*/run/*' -type d")
		for line in p:lines() do found[#found + 1] = line end
		p:close()
	end
	return found
end

--- Waits until no recipe, and no box of one, is left.
function M:nothing_left(seconds)
	wait_for("recipes and their boxes to be gone", function()
		local rows = self:processes "recipe"
		if not rows or #rows > 0 then return false, rows and json.encode(rows) end
		local boxes = self:boxes()
		return #boxes == 0, table.concat(boxes, " ")
	end, seconds or 20)
end

--- Names of activities that another build with what is out of date would run: built ones are not among them. It is run to its end.
function M:rebuilt(key, output)
	local s, names = self:ended(key, self:start(key, output)), {}
	for id in pairs(s.baseStatus.activities) do names[#names + 1] = (id:gsub("_NP$", "")) end
	table.sort(names)
	return table.concat(names, " "), s
end

--- Opens a gate that `wait_gate` of a recipe waits for.
function M:open_gate(key, name) self:project(key, nil, { ["gates/" .. name] = "" }) end

--- Text of a shell line that waits for the gate, 60 s at most: a spec that failed leaves nothing behind.
function M.wait_gate(name) return ("n=0; while ! [ -e gates/%s ] && [ $n -lt 3000 ]; do n=$((n+1)); sleep 0.02; done"):format(name) end

function M.signal(_, pid, name) return os.execute(("kill -%s %d 2>/dev/null"):format(name, math.tointeger(pid))) end

return M
