-- activity: what a recipe of a project becomes when a job runs it: the command, the folder, the environment. Pure.
local json = require "bind.json"

local M = {}

local function append(argv, list)
	for _, word in ipairs(list or {}) do argv[#argv + 1] = word end
	return argv
end

--- Tags of recipe and project, each once.
local function both(own, of_project)
	local out, seen = json.array {}, {}
	for _, list in ipairs { own or {}, of_project or {} } do
		for _, tag in ipairs(list) do
			if not seen[tag] then out[#out + 1], seen[tag] = tag, true end
		end
	end
	return out
end

local argv_of = {
	python = function(r) return append({ r.bin, r.script }, r.args) end,
	r = function(r) return append({ r.bin, r.script }, r.args) end,
	shell = function(r)
		if r.command then return append({ r.bin, "-c", r.command, "sh" }, r.args) end
		return append({ r.bin, r.script }, r.args)
	end,
	spark = function(r)
		local argv = { r.bin }
		for _, option in ipairs { { "--master", r.master }, { "--class", r.class } } do
			if option[2] then append(argv, option) end
		end
		if r.jars and #r.jars > 0 then append(argv, { "--jars", table.concat(r.jars, ",") }) end
		for _, setting in ipairs(r.conf or {}) do append(argv, { "--conf", setting }) end
		argv[#argv + 1] = r.script
		return append(argv, r.args)
	end,
}

--- What the program is told beside what every recipe is. What the project says itself stands.
local function env_of(r)
	local env = json.object {}
	if r.python then env.PYSPARK_PYTHON, env.PYSPARK_DRIVER_PYTHON = r.python, r.python end
	for name, value in pairs(r.env or {}) do env[name] = value end
	return env
end

--- The activity of a plan's step, as core/fleet/job.h has it. step: of build.plan; recipe: the project's; dir: the project's folder;
-- hashes: { definition, script }; tags: the project's.
function M.new(step, recipe, dir, hashes, tags)
	local a = {
		activityId = step.id, kind = recipe.kind, recipe = step.recipe, after = step.after, why = step.why, cwd = dir,
		inputs = recipe.inputs, outputs = recipe.outputs, env = env_of(recipe), limits = recipe.limits, params = recipe.params,
		timeoutMs = recipe.timeout_ms, definition = hashes.definition, scriptHash = hashes.script,
	}
	a.tags, a.resources = both(recipe.tags, tags), recipe.resources
	if recipe.kind == "java" then
		local classpath = json.array {}
		for i, path in ipairs(recipe.classpath or {}) do classpath[i] = path:sub(1, 1) == "/" and path or dir .. "/" .. path end
		a.class, a.classpath, a.state = recipe.class, classpath, recipe.params
	else
		a.argv, a.script = json.array(argv_of[recipe.kind](recipe)), recipe.script
	end
	return a
end

return M
