-- plan_job: a job's definition as clients send it, in both styles, its id, and what its kernel is told.
local json = require "bind.json"
local build = require "dss.model.build"
local recipes = require "dss.model.recipes"
local nearest = require "dss.text.nearest"

local M = {}

local DEFAULT_MODE = "NON_RECURSIVE_FORCED_BUILD"
local OUTPUTS_MAX = 1000
local ID_MAX = 128
-- A folder of a project is a dataset here, by whichever name it is asked for. The others are known to clients, and nothing here builds them.
local builds = {
	DATASET = true, MANAGED_FOLDER = true, SAVED_MODEL = false, STREAMING_ENDPOINT = false, KNOWLEDGE_BANK = false, MODEL_EVALUATION_STORE = false,
	RETRIEVABLE_KNOWLEDGE = false,
}
local type_names = { "DATASET", "MANAGED_FOLDER", "SAVED_MODEL", "STREAMING_ENDPOINT", "KNOWLEDGE_BANK", "MODEL_EVALUATION_STORE", "RETRIEVABLE_KNOWLEDGE" }

local function known(v, words, what)
	for _, word in ipairs(words) do
		if v == word then return true end
	end
	local guess = nearest(v, words)
	return nil, ("%s: %s is none of: %s%s"):format(what, type(v) == "string" and ("%q"):format(v:sub(1, 60)) or "a " .. type(v), table.concat(words, ", "),
		guess and (', did you mean "%s"?'):format(guess) or "")
end

--- Only the whole of a dataset can be built.
local function is_whole(partition)
	if type(partition) == "table" then return #partition == 0 or (#partition == 1 and partition[1] == "NP") end
	return partition == nil or partition == "" or partition == "NP"
end

local function value(o, key)
	local v = o[key]
	if v == json.null then return nil end
	return v
end

--- One output in either style: its name, or nil and why.
local function output(o, project)
	if type(o) ~= "table" or json.is_array(o) then return nil, "an object with an id is wanted" end
	local kind, name, key, partition = value(o, "type"), value(o, "id"), value(o, "projectKey"), value(o, "partition")
	if not name then
		local old = value(o, "targetManagedFolder") and "targetManagedFolder" or "targetDataset"
		name, key, partition = value(o, old), value(o, old .. "ProjectKey"), value(o, "targetPartition")
	end
	local ok, why = known(kind or "DATASET", type_names, "type")
	if not ok then return nil, why end
	if not builds[kind or "DATASET"] then return nil, ("a %s cannot be built here; datasets and managed folders can"):format(kind) end
	if not name then return nil, '"id" is missing' end
	if type(name) == "string" then
		local of, rest = name:match "^([A-Z0-9_]+)%.(.*)$"
		if of == project then name = rest end
	end
	why = recipes.bad_name(name)
	if why then return nil, why end
	if key and key ~= project then return nil, ("it is of another project, %s"):format(tostring(key):sub(1, 60)) end
	if not is_whole(partition) then return nil, ("%s is not partitioned"):format(name) end
	return name
end

--- The body of POST …/jobs/ as { mode, outputs = { names } }, or nil and why.
function M.read(body, project)
	if type(body) ~= "table" or json.is_array(body) then return nil, "a job's definition is an object" end
	local mode = value(body, "type") or DEFAULT_MODE
	local ok, why = known(mode, build.modes, "type")
	if not ok then return nil, why end
	local list = value(body, "outputs")
	if type(list) ~= "table" or not (json.is_array(list) or #list > 0) then return nil, "outputs: a list is wanted" end
	if #list == 0 then return nil, "outputs: the list is empty: name what is to be built" end
	if #list > OUTPUTS_MAX then return nil, ("outputs: %d, more than %d"):format(#list, OUTPUTS_MAX) end
	local outputs, seen = json.array {}, {}
	for i, o in ipairs(list) do
		local name
		name, why = output(o, project)
		if not name then return nil, ("outputs[%d]: %s"):format(i, why) end
		if not seen[name] then
			seen[name] = true
			outputs[#outputs + 1] = name
		end
	end
	return { mode = mode, outputs = outputs }
end

--- Outputs as a job's status and lists tell them.
function M.outputs(names, project)
	local out = json.array {}
	for i, name in ipairs(names) do out[i] = { type = "DATASET", targetDataset = name, targetDatasetProjectKey = project, targetPartition = "NP" } end
	return out
end

--- "Build_x_(NP)_2020-01-01T00-00-00.000" of the first output's name and a time (ms, told in UTC). Two jobs of one name in one millisecond
-- share it: who makes jobs takes the next millisecond.
function M.id(name, at_ms)
	local tail = ("_(NP)_%s.%03d"):format(os.date("!%Y-%m-%dT%H-%M-%S", at_ms // 1000), at_ms % 1000)
	return "Build_" .. name:sub(1, ID_MAX - #"Build_" - #tail) .. tail
end

--- What a job kernel is given (docs/kernel-protocol.md, `job`). Recipes that run inside of the kernel bring what a `java` task has.
function M.payload(job_id, plan, data)
	local activities = json.array {}
	for i, a in ipairs(plan.activities) do
		local r = data.recipes[a.recipe]
		activities[i] = { activityId = a.id, kind = a.kind, after = json.array { table.unpack(a.after) } }
		if a.kind == "java" then activities[i].class, activities[i].classpath, activities[i].state = r.class, json.array(r.classpath or {}), r.params end
	end
	return { jobId = job_id, activities = activities }
end

return M
