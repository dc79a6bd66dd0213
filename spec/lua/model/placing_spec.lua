require "spec.helper"
require("t_bind").preload()
local engine = require "dss.model.engine"
local load = require "dss.model.load"

local FILE = "policies/20-limits.lua"

local function evaluate(text) return load.evaluate({ { name = FILE, text = text } }, { share = "/usr/share/dssd" }) end

local function take(text)
	local model, errors = evaluate(text)
	assert(model, errors and table.concat(errors, "\n"))
end

local function refused(text)
	local model, errors = evaluate(text)
	assert.is_nil(model)
	return table.concat(errors, "\n")
end

local function recipe(more)
	local f = { kind = "recipe", id = "job-1", user = "ann", project = "SALES", job = "J1", activity = "clean_NP", recipe = "clean", recipe_type = "python", tags = {} }
	for k, v in pairs(more or {}) do f[k] = v end
	return f
end

local function webapp(more)
	local f = { kind = "webapp", id = "SALES/page", user = "ann", project = "SALES", webapp = "page" }
	for k, v in pairs(more or {}) do f[k] = v end
	return f
end

describe("place", function()
	it("leaves processes where they belong if no word says otherwise", function()
		take ""
		assert.equal("run/jobs/SALES/J1", engine.box_guest(recipe()).box)
		assert.equal("run/webapps/SALES", engine.box_guest(webapp()).box)
		assert.same({}, engine.box_guest(recipe()).levels)
	end)
	it("puts them where the first word that fits says, and names that word", function()
		take [[
place "night" { where = "kind = recipe and tags = night", at = "night/${project}" }
place "people" { where = "kind = recipe", at = "users/${user}" }
place "never" { where = "kind = recipe", at = "never" }]]
		local put = engine.box_guest(recipe { tags = { "night" } })
		assert.same({ "run/night/SALES/J1", "night", FILE .. ":1" }, { put.box, put.name, put.source })
		put = engine.box_guest(recipe())
		assert.same({ "run/users/ann/SALES/J1", "people", FILE .. ":2" }, { put.box, put.name, put.source })
		assert.equal("run/webapps/SALES", engine.box_guest(webapp()).box)
	end)
	it("adds the project where the template leaves it out, and the job unless it is named, so that no two processes share a box", function()
		take 'place "by job" { where = "kind = recipe", at = "by-${recipe_type}/${job}" }\nplace "apps" { where = "kind = webapp", at = "people/u-${user}" }'
		assert.equal("run/by-python/J1/SALES", engine.box_guest(recipe()).box)
		assert.equal("run/people/u-ann/SALES", engine.box_guest(webapp()).box)
	end)
	it("falls back, and says so, where a variable has no value that can be a box", function()
		take 'place "people" { at = "users/${user}" }'
		for _, user in ipairs { "a/b", "..", "tasks", "memory.max", ("x"):rep(129), "", "a b" } do
			local put = engine.box_guest(recipe { user = user })
			assert.equal("run/jobs/SALES/J1", put.box, user)
			assert.matches(FILE .. ":1: place \"people\": it", put.failure, 1, true)
			assert.equal(FILE .. ":1", put.failure_source)
			assert.is_nil(put.name)
		end
		local box, why = engine.box_guest(recipe { project = "a/b" })
		assert.is_nil(box)
		assert.matches('its project "a/b" is no name of a box', why, 1, true)
	end)
	it("keeps the whole path within its bound", function()
		local long = ("p"):rep(120)
		take 'place "deep" { where = "kind = recipe", at = "aaaaaaaaaaaaaaaaaaaaaaaaaaa/${project}" }'
		local put = engine.box_guest(recipe { project = long, job = ("j"):rep(107), activity = "a" })
		assert.equal("run/jobs/" .. long .. "/" .. ("j"):rep(107), put.box)
		assert.matches("longer than 255 bytes", put.failure, 1, true)
		assert.is_nil((engine.box_guest(recipe { project = long, job = ("j"):rep(120), activity = ("a"):rep(50) })))
	end)
	it("can be made again from what was read", function()
		take 'place "people" { where = "kind = recipe and user = ann", at = "users/${user}" }'
		local put = engine.box_guest(recipe())
		local answer, reason = engine.again { word = "place", name = "people", inputs = put.inputs }
		assert.same({ "assign", "put into run/users/ann/SALES/J1" }, { answer, reason })
	end)
	it("refuses templates that are none, with the line and the nearest word", function()
		assert.matches(FILE .. ":2: at: unknown variable ${usr}, did you mean ${user}?", refused 'place "a" {\n at = "users/${usr}" }', 1, true)
		assert.matches('at: "/users": a path below run/ is wanted', refused 'place "a" { at = "/users" }', 1, true)
		assert.matches('at: ".." is no name of a box', refused 'place "a" { at = "x/../${user}" }', 1, true)
		assert.matches('at: "" is no name of a box', refused 'place "a" { at = "x//y" }', 1, true)
		assert.matches('at: "cgroup.procs" is no name of a box', refused 'place "a" { at = "cgroup.procs" }', 1, true)
		assert.matches('"a/b/c/d/${project}" has 5 levels, more than 4', refused 'place "a" { at = "a/b/c/d/${project}" }', 1, true)
		assert.matches("has more than 4 levels: the project's, which is added, counts", refused 'place "a" { at = "a/b/c/${user}" }', 1, true)
		assert.matches('unknown key "art", did you mean "at"?', refused 'place "a" { art = "x" }', 1, true)
		assert.matches('"at" is missing', refused 'place "a" { }', 1, true)
		assert.matches('place "a" stands twice', refused 'place "a" { at = "x" }\nplace "a" { at = "y" }', 1, true)
		assert.matches("where: a plain value is wanted here, not a function", refused 'place "a" { where = function () return true end, at = "x" }', 1, true)
	end)
	it("refuses conditions that fit nothing, and variables that what they fit never has", function()
		assert.matches('did you mean "recipe"', refused 'place "a" { where = "kind = recipes", at = "x" }', 1, true)
		assert.matches("where: it fits no kind of process; there are notebook, recipe, webapp", refused 'place "a" { where = "kind = recipe and kind = webapp", at = "x" }', 1, true)
		assert.matches(FILE .. ":3: at: a webapp has no job, so ${job} says nothing", refused 'place "a" {\n where = "kind = webapp",\n at = "x/${job}" }', 1, true)
		assert.matches('did you mean "project"', refused 'place "a" { where = "projct = X", at = "x" }', 1, true)
	end)
	it("lets a variable stand that only some have: the others go where they belong", function()
		take 'place "a" { at = "all/${job}" }'
		assert.equal("run/all/J1/SALES", engine.box_guest(recipe()).box)
		assert.equal("run/webapps/SALES", engine.box_guest(webapp()).box)
	end)
end)

describe("a box with at", function()
	it("limits its level for each value, with all levels above", function()
		take [[
box "all jobs" { at = "jobs", cpu = 16, threads = 9000 }
box "a project's jobs" { at = "jobs/${project}", memory = "24g", cpu = 8 }
box "one job" { at = "jobs/${project}/${job}", memory = "4g", swap = "1g" }
box "SALES" { at = "jobs/SALES", memory = "12g" }]]
		assert.same({
			{ box = "run/jobs", cpu_milli = 16000, threads = 9000, name = "all jobs", source = FILE .. ":1" },
			{ box = "run/jobs/SALES", memory = 12 << 30, swap = 0, cpu_milli = 8000, name = "SALES", source = FILE .. ":4" },
			{ box = "run/jobs/SALES/J1", memory = 4 << 30, swap = 1 << 30, name = "one job", source = FILE .. ":3" },
		}, engine.box_guest(recipe()).levels)
		assert.equal(24 << 30, engine.box_guest(recipe { project = "OTHER" }).levels[2].memory)
		assert.same({}, engine.box_guest(webapp()).levels)
	end)
	it("may name the process's own level", function()
		take 'box "each page" { at = "webapps/${project}/${webapp}", memory = "1g" }'
		assert.same({ { box = "run/webapps/SALES/page", memory = 1 << 30, swap = 0, name = "each page", source = FILE .. ":1" } },
			engine.box_guest(webapp()).levels)
	end)
	it("gives no level more processor than one above has", function()
		take 'box "a" { at = "jobs", cpu = 2 }\nbox "b" { at = "jobs/${project}", cpu = 0.5 }\nbox "c" { at = "jobs/${project}/${job}", cpu = 8 }'
		local levels = engine.box_guest(recipe()).levels
		assert.same({ 2000, 500, 500 }, { levels[1].cpu_milli, levels[2].cpu_milli, levels[3].cpu_milli })
	end)
	it("limits processes where they are, whatever the set in force would do with new ones", function()
		take 'box "a project\'s jobs" { at = "jobs/${project}", memory = "2g" }\nplace "p" { where = "kind = recipe", at = "users/${user}" }'
		assert.equal("run/users/ann/SALES/J1", engine.box_guest(recipe()).box)
		assert.same({ { box = "run/jobs/SALES", memory = 2 << 30, swap = 0, name = "a project's jobs", source = FILE .. ":1" } },
			engine.box_limits(recipe(), "run/jobs/SALES/J1/clean_NP"))
		assert.same({}, engine.box_limits(recipe(), "run/users/ann/SALES/J1/clean_NP"))
	end)
	it("is refused where nothing is ever put, with the nearest place", function()
		assert.matches(FILE .. ':2: at: no process is put into "job/${project}", did you mean "jobs/${project}"?',
			refused 'box "a" {\n at = "job/${project}", memory = "1g" }', 1, true)
		assert.matches('no process is put into "users/${user}"', refused 'box "a" { at = "users/${user}", memory = "1g" }', 1, true)
		take 'box "a" { at = "users/${user}", memory = "1g" }\nplace "p" { at = "users/${user}" }'
		take 'place "p" { where = "kind = webapp", at = "pages" }\nbox "a" { at = "pages/${project}/${webapp}", memory = "1g" }'
	end)
	it("is refused where it limits nothing, or says what other boxes say", function()
		assert.matches("it limits nothing", refused 'box "a" { at = "jobs" }', 1, true)
		assert.matches("`each` is for boxes without `at`", refused 'box "a" { at = "jobs", each = "user", memory = "1g" }', 1, true)
		assert.matches("`where` is for `place`", refused 'box "a" { at = "jobs", where = "pool = x", memory = "1g" }', 1, true)
		assert.matches("swap: it counts beyond memory, which is not said", refused 'box "a" { at = "jobs", swap = "1g", cpu = 1 }', 1, true)
		assert.matches('did you mean "memory"', refused 'box "a" { at = "jobs", memry = "1g" }', 1, true)
	end)
	it("leaves boxes without at what they are", function()
		take 'box "a user\'s memory" { each = "user", memory = "24g", swap = "0", cpu = 8 }'
		assert.equal(1, #engine.describe().slots)
		assert.same({}, engine.box_guest(recipe()).levels)
	end)
end)
