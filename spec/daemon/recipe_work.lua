-- recipe_work: an instance with a job kernel, projects made of texts, and jobs waited for; for specs of what recipes do.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local json = require "t_json"
local assert = require "luassert"
local wait_for = helper.wait_for

local Work = {}
Work.__index = Work

local POOLS = [[
pool "jek" { kernel = java { main = "DSSJobKernelMain", heap = "64m" }, limits = { memory = "256m" }, warm = { min = 1, max = 2 }, max = 4,
  recycle = { after_tasks = 100 } }
]]

Work.has_java = os.execute "command -v java >/dev/null && command -v javac >/dev/null"

--- what: as Instance.new has it; edit: config/dss.lua's text → its text.
function Work.new(what)
	what = what or {}
	if what.policies == nil then what.policies = { ["10-pools.lua"] = POOLS } end -- false: as init wrote them
	local self = setmetatable({ node = Instance.new(what) }, Work)
	if what.edit then self.node:write("config/dss.lua", what.edit(self.node:read "config/dss.lua")) end
	self.node:start()
	return self
end

function Work:remove() self.node:remove() end

function Work:path(key, rest) return self.node.dir .. "/projects/" .. key .. (rest and "/" .. rest or "") end

--- files: path → text, written with mode 644.
function Work:project(key, text, files)
	os.execute("mkdir -p " .. Instance.quote(self:path(key, "data")))
	helper.write(self:path(key, "project.lua"), text)
	for path, body in pairs(files or {}) do
		os.execute("mkdir -p " .. Instance.quote(self:path(key, path):match "^(.*)/"))
		helper.write(self:path(key, path), body)
	end
	os.execute(("chown -R --reference=%s %s"):format(Instance.quote(self.node.dir .. "/projects"), Instance.quote(self:path(key))))
end

function Work:start(key, output, mode)
	local status, answer = self.node:http("POST", ("/public/api/projects/%s/jobs/"):format(key),
		{ type = mode or "RECURSIVE_FORCED_BUILD", outputs = { { type = "DATASET", id = output } } })
	assert.are.equal(200, status, type(answer) == "table" and answer.message or tostring(answer))
	return answer.id
end

function Work:status(key, job)
	local status, answer = self.node:http("GET", ("/public/api/projects/%s/jobs/%s/"):format(key, job))
	assert.are.equal(200, status)
	return answer
end

--- The job's status at its end.
function Work:ended(key, job, seconds)
	local s
	wait_for("the end of " .. job, function()
		s = self:status(key, job)
		local state = s.baseStatus.state
		return state == "DONE" or state == "FAILED" or state == "ABORTED", json.encode(s)
	end, seconds or 60)
	return s
end

--- Builds it: the activity, the log, the job's state, the job.
function Work:build(key, output, seconds)
	local job = self:start(key, output)
	local s = self:ended(key, job, seconds)
	local recipe = next(s.baseStatus.activities)
	return s.baseStatus.activities[recipe], self:log(key, job), s.baseStatus.state, job
end

function Work:log(key, job)
	return helper.read(("%s/jobs/%s/%s/output.log"):format(self.node.dir, key, job)) or ""
end

function Work:abort(key, job) return (self.node:http("POST", ("/public/api/projects/%s/jobs/%s/abort"):format(key, job))) end

function Work:begun(key, job)
	wait_for("the recipe to say that it has begun", function() return self:log(key, job):find("begun", 1, true), self:log(key, job) end, 60)
end

function Work.message(_, activity) return activity.firstFailure and activity.firstFailure.message or "" end

--- Rows of the recipes that run, with who lives in their boxes.
function Work:recipes()
	local found = {}
	local _, rows = self.node:http("GET", "/api/processes?members=true")
	for _, row in ipairs(rows) do
		if row.kind == "recipe" and not row.exitedAt then found[#found + 1] = row end
	end
	return found
end

--- Nothing of any recipe is left: no process, no box.
function Work:is_quiet()
	wait_for("the end of all recipes", function()
		local n, boxes = #self:recipes(), 0
		for _, box in ipairs(self.node:boxes()) do
			for _ in io.popen("find " .. Instance.quote(box) .. " -path '*/run/*' -type d 2>/dev/null"):lines() do boxes = boxes + 1 end
		end
		return n == 0 and boxes == 0, ("%d processes, %d boxes"):format(n, boxes)
	end, 30)
end

return Work
