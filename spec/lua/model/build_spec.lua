require "spec.helper"
require("t_bind").preload()
local build = require "dss.model.build"
local flow = require "dss.model.flow"
local json = require "bind.json"
local job = require "dss.model.plan_job"

local NINE = 1577869200000 -- 2020-01-01T09:00:00Z
local function at(minute, second) return NINE + minute * 60000 + (second or 0) * 1000 end
local function r(inputs, outputs, more)
	local out = { kind = "shell", inputs = inputs, outputs = outputs, line = 1 }
	for k, v in pairs(more or {}) do out[k] = v end
	return out
end
local function built(from, to, more)
	local out = { exists = true, started_at = from, built_at = to, changed_at = to }
	for k, v in pairs(more or {}) do out[k] = v end
	return out
end

local data = { recipes = {
	clean = r({ "raw" }, { "tidy" }, { kind = "python", script = "recipes/clean.py", line = 4 }), count = r({ "tidy" }, { "counts" }, { line = 5 }),
	spread = r({ "tidy" }, { "spreads" }, { line = 6 }), tell = r({ "counts", "spreads" }, { "page" }, { line = 7 }) } }

--- Facts where all is built and nothing is stale; over: by name.
local function facts(over)
	local out = { datasets = {
		raw = { exists = true, changed_at = at(0) }, tidy = built(at(1), at(2)), counts = built(at(3), at(4)), spreads = built(at(3), at(5)),
		page = built(at(6), at(7)) }, recipes = {} }
	for k, v in pairs(over or {}) do out.datasets[k] = v or nil end
	return out
end

local function plan(outputs, known, mode, given) return build.plan(given or data, { mode = mode or "RECURSIVE_BUILD", outputs = outputs }, known, { zone = "!", now = at(30) }) end

--- "clean: why | count after clean_NP: why"
local function told(p)
	local out = {}
	for i, a in ipairs(p.activities) do
		out[i] = a.recipe .. (#a.after > 0 and " after " .. table.concat(a.after, ",") or "") .. ": " .. a.why
	end
	return table.concat(out, " | ")
end
local function skipped(p)
	local out = {}
	for i, s in ipairs(p.skipped) do out[i] = (s.recipe or s.dataset) .. ": " .. s.why end
	return table.concat(out, " | ")
end

describe("a recursive build", function()
	it("builds all that was never built, what is independent side by side", function()
		local p = assert(plan({ "page" }, facts { tidy = false, counts = false, spreads = false, page = false }))
		assert.equal("clean: never built | count after clean_NP: never built | spread after clean_NP: never built | tell after count_NP,spread_NP: never built", told(p))
		assert.same({ id = "clean_NP", recipe = "clean", kind = "python", outputs = { "tidy" }, after = {}, why = "never built" }, p.activities[1])
	end)
	it("does nothing where all is up to date, and says since when", function()
		local p = assert(plan({ "page", "raw" }, facts()))
		assert.equal("", told(p))
		assert.equal("raw: a source: no recipe makes it | clean: up to date: built 09:02:00 after all inputs | count: up to date: built 09:04:00 after all inputs | "
			.. "spread: up to date: built 09:05:00 after all inputs | tell: up to date: built 09:07:00 after all inputs", skipped(p))
	end)
	it("leaves what nobody asked for", function()
		local p = assert(plan({ "counts" }, facts { spreads = false, page = false, counts = false }))
		assert.equal("count: never built", told(p))
		assert.equal("clean: up to date: built 09:02:00 after all inputs", skipped(p))
	end)
	it("tells which input is newer, and what follows from that", function()
		assert.equal("clean: input raw is newer (09:12:03 > 09:01:00) | count after clean_NP: input tidy is built first",
			told(assert(plan({ "counts" }, facts { raw = { exists = true, changed_at = at(12, 3) } }))))
		assert.equal("clean: input raw is newer (2020-01-02 09:00:00 > 2020-01-01 09:01:00)",
			told(assert(plan({ "tidy" }, facts { raw = { exists = true, changed_at = NINE + 86400000 } }))))
		assert.equal("clean: input raw is newer (09:01:00.001 > 09:01:00.000)", told(assert(plan({ "tidy" }, facts { raw = { exists = true, changed_at = at(1) + 1 } }))))
	end)
	it("notices an input that changed while the recipe ran", function()
		assert.equal("clean: input raw is newer (09:01:30 > 09:01:00)", told(assert(plan({ "tidy" }, facts { raw = { exists = true, changed_at = at(1, 30) } }))))
	end)
	it("notices a changed recipe and a changed script", function()
		local known = facts { tidy = built(at(1), at(2), { definition = "a", script = "b" }) }
		known.recipes.clean = { definition = "a", script = "b" }
		assert.equal("", told(assert(plan({ "tidy" }, known))))
		known.recipes.clean = { definition = "x", script = "y" }
		assert.equal("clean: recipe changed; recipes/clean.py changed", told(assert(plan({ "tidy" }, known))))
	end)
	it("builds anew what is gone, half built, or of unknown making", function()
		assert.equal("clean: tidy is gone", told(assert(plan({ "tidy" }, facts { tidy = built(at(1), at(2), { exists = false }) }))))
		assert.equal("clean: the last build of tidy did not end well", told(assert(plan({ "tidy" }, facts { tidy = built(at(1), at(2), { is_partial = true }) }))))
		assert.equal("clean: there is no record of a build of tidy", told(assert(plan({ "tidy" }, facts { tidy = { exists = true, changed_at = at(2) } }))))
	end)
	it("tells the first of many reasons", function()
		local inputs, known = {}, { datasets = { out = built(at(1), at(2)) } }
		for i = 1, 9 do
			inputs[i] = "in" .. i
			known.datasets["in" .. i] = { exists = true, changed_at = at(5) }
		end
		local text = told(assert(plan({ "out" }, known, nil, { recipes = { join = r(inputs, { "out" }) } })))
		assert.matches("input in3 is newer (09:05:00 > 09:01:00); and 6 more", text, 1, true)
	end)
	it("looks at no output that nobody needs", function()
		local two = { recipes = { split = r({ "raw" }, { "left", "right" }) } }
		local known = { datasets = { raw = { exists = true, changed_at = at(0) }, left = built(at(1), at(2)) } }
		assert.equal("", told(assert(plan({ "left" }, known, nil, two))))
		assert.equal("split: never built", told(assert(plan({ "left", "right" }, known, nil, two))))
	end)
end)

describe("the other modes", function()
	it("forced: run what was asked for alone, and order it", function()
		assert.equal("count: was asked for | tell after count_NP: was asked for", told(assert(plan({ "page", "counts" }, facts(), "NON_RECURSIVE_FORCED_BUILD"))))
	end)
	it("recursive and forced: run all of it", function()
		assert.equal("clean: forced | count after clean_NP: was asked for", told(assert(plan({ "counts" }, facts(), "RECURSIVE_FORCED_BUILD"))))
	end)
	it("missing only: run what was asked for and what is not there, however old the rest", function()
		local known = facts { raw = { exists = true, changed_at = at(20) }, counts = false }
		assert.equal("count: never built | tell after count_NP: was asked for", told(assert(plan({ "page" }, known, "RECURSIVE_MISSING_ONLY_BUILD"))))
	end)
	it("are the four of the API, and no other", function()
		for _, mode in ipairs(build.modes) do assert.is_table(plan({ "page" }, facts(), mode)) end
		assert.has_error(function() plan({ "page" }, facts(), "BUILD") end)
	end)
end)

describe("a build that cannot be", function()
	local function errors(...)
		local p, why = plan(...)
		assert.is_nil(p)
		local out = {}
		for i, e in ipairs(why) do out[i] = e.text end
		return table.concat(out, "\n"), why
	end

	it("names the source that is missing, who needs it and its line", function()
		local text, list = errors({ "page" }, facts { raw = false })
		assert.equal("raw does not exist and no recipe makes it; recipe clean (line 4) needs it", text)
		assert.same({ text = text, dataset = "raw", recipe = "clean", line = 4 }, list[1])
		assert.equal("raw does not exist and no recipe makes it; it was asked for", (errors({ "raw" }, facts { raw = false })))
	end)
	it("tells the dataset that was meant", function()
		assert.equal('there is no dataset pgae in this project, did you mean "page"?', (errors({ "pgae" }, facts())))
		assert.equal("there is no dataset clean in this project: clean is a recipe; ask for tidy", (errors({ "clean" }, facts())))
		local slip = { recipes = { clean = r({ "rwa" }, { "tidy" }) } }
		assert.matches('rwa does not exist and no recipe makes it; recipe clean (line 1) needs it, did you mean "raw"?', (errors({ "tidy" }, { datasets = { raw = { exists = true } } }, nil, slip)), 1, true)
	end)
	it("tells that an input has to be built first where the mode does not do that", function()
		assert.equal("tidy does not exist; recipe count (line 5) needs it; build it first, or ask for RECURSIVE_BUILD", (errors({ "counts" }, facts { tidy = false }, "NON_RECURSIVE_FORCED_BUILD")))
		assert.matches("^tidy is not finished: its last build did not end well", (errors({ "counts" }, facts { tidy = built(at(1), at(2), { is_partial = true }) }, "NON_RECURSIVE_FORCED_BUILD")))
	end)
	it("has no circle", function()
		assert.matches("^a circle: a → x → a$", (errors({ "x" }, facts(), nil, { recipes = { a = r({ "x" }, { "x" }) } })))
	end)
end)

describe("a recipe's definition", function()
	it("changes with what makes the result, and not with limits, tags or words", function()
		local one = r({ "a" }, { "b" }, { command = "x", params = json.object { p = 1 }, limits = { memory_bytes = 1 }, line = 3 })
		local same = r({ "a" }, { "b" }, { command = "x", params = json.object { p = 1 }, limits = {}, about = "hm", tags = { "t" }, timeout_ms = 5, line = 9 })
		assert.equal(build.definition(one), build.definition(same))
		for key, v in pairs { command = "y", params = json.object { p = 2 }, inputs = { "c" }, env = { A = "1" }, kind = "python" } do
			local other = r({ "a" }, { "b" }, { command = "x", params = json.object { p = 1 } })
			other[key] = v
			assert.not_equal(build.definition(one), build.definition(other), key)
		end
	end)
end)

-- --- any flow ---

local function random_project(seed)
	math.randomseed(seed)
	local recipes, n, known = {}, math.random(1, 4), { datasets = {}, recipes = {} }
	for i = 1, n do known.datasets["d" .. i] = { exists = true, changed_at = at(0) + math.random(0, 3600000) } end
	for i = 1, math.random(1, 30) do
		local inputs, outputs, seen = {}, {}, {}
		for _ = 1, math.random(1, 4) do
			local name = "d" .. math.random(1, n)
			if not seen[name] then
				seen[name] = true
				inputs[#inputs + 1] = name
			end
		end
		for k = 1, math.random(1, 2) do outputs[k] = "d" .. n + k end
		n = n + #outputs
		recipes["r" .. math.random(100, 999) .. "_" .. i] = r(inputs, outputs)
	end
	for i = 1, n do
		local name = "d" .. i
		if not known.datasets[name] and math.random() < 0.7 then
			local from = at(0) + math.random(0, 3600000)
			known.datasets[name] = built(from, from + math.random(0, 60000), { definition = math.random() < 0.8 and "1" or "0", is_partial = math.random() < 0.1 })
		end
	end
	for name in pairs(recipes) do known.recipes[name] = { definition = "1" } end
	local outputs = {}
	for i = 1, math.random(1, 3) do outputs[i] = "d" .. math.random(1, n) end
	return { recipes = recipes }, outputs, known, n
end

--- What a run of the plan leaves behind, each activity in its turn, a clock that never stands.
local function run(p, given, known, clock)
	local done = {}
	for _, a in ipairs(p.activities) do
		for _, before in ipairs(a.after) do assert.is_true(done[before], a.id .. " before " .. before) end
		local from = clock
		clock = clock + math.random(1, 5000)
		for _, output in ipairs(given.recipes[a.recipe].outputs) do known.datasets[output] = built(from, clock, { definition = known.recipes[a.recipe].definition }) end
		done[a.id] = true
		clock = clock + math.random(0, 1)
	end
end

--- By the words of the definition alone: must this recipe run for these outputs? `runs`: what runs before it.
local function is_stale(given, name, wanted, known, graph, runs)
	for _, output in ipairs(given.recipes[name].outputs) do
		local f = known.datasets[output]
		if wanted[output] then
			if not f or f.is_partial or f.definition ~= known.recipes[name].definition then return true end
			for _, input in ipairs(given.recipes[name].inputs) do
				local i = known.datasets[input]
				if runs[graph.maker[input]] or (i and math.max(i.built_at or 0, i.changed_at or 0) > f.started_at) then return true end
			end
		end
	end
	return false
end

describe("a recursive build of any flow", function()
	it("runs what is stale and nothing else, in a possible order; after it nothing is stale", function()
		local total, kept = 0, 0
		for seed = 1, 300 do
			local given, outputs, known = random_project(seed)
			local graph = flow.new(given)
			local p
			for i = #outputs, 1, -1 do
				if not graph.nodes[outputs[i]] then table.remove(outputs, i) end
			end
			p = #outputs > 0 and assert(plan(outputs, known, nil, given)) or nil
			if p then
				local wanted, runs, planned = {}, {}, {}
				for _, output in ipairs(outputs) do
					wanted[output] = true
					for _, up in ipairs(flow.upstream(graph, output)) do wanted[up] = true end
				end
				for _, a in ipairs(p.activities) do planned[a.recipe] = true end
				for _, name in ipairs(flow.order(graph)) do
					local is_needed = false
					for _, output in ipairs(given.recipes[name].outputs) do is_needed = is_needed or wanted[output] end
					runs[name] = is_needed and is_stale(given, name, wanted, known, graph, runs) or nil
					assert.equal(runs[name], planned[name], ("seed %d: %s"):format(seed, name))
					total, kept = total + 1, kept + (runs[name] and 0 or 1)
				end
				run(p, given, known, at(120))
				assert.equal("", told(assert(plan(outputs, known, nil, given))), "seed " .. seed)
			end
		end
		assert.is_true(total > 1000 and kept > 100 and kept < total, ("%d recipes, %d kept"):format(total, kept))
	end)
	it("after any other mode that ended well, finds nothing of what was asked for missing", function()
		for seed = 1, 100 do
			local given, outputs, known = random_project(seed)
			for i = #outputs, 1, -1 do
				if not flow.new(given).nodes[outputs[i]] then table.remove(outputs, i) end
			end
			for _, mode in ipairs { "RECURSIVE_FORCED_BUILD", "RECURSIVE_MISSING_ONLY_BUILD" } do
				if #outputs > 0 then
					run(assert(plan(outputs, known, mode, given)), given, known, at(120))
					for _, output in ipairs(outputs) do assert.is_true(known.datasets[output].exists) end
				end
			end
		end
	end)
end)

describe("a job's definition", function()
	local function read(text) return job.read(assert(json.decode(text)), "SALES") end

	it("is read in the new style, with nulls, and with the builder's default mode", function()
		assert.same({ mode = "NON_RECURSIVE_FORCED_BUILD", outputs = { "x" } },
			read '{"outputs":[{"type":null,"id":"x","projectKey":null,"partition":null}],"refreshHiveMetastore":false}')
		assert.same({ mode = "RECURSIVE_BUILD", outputs = { "x", "y" } },
			read '{"type":"RECURSIVE_BUILD","outputs":[{"type":"DATASET","id":"x","projectKey":"SALES","partition":"NP"},{"id":"SALES.y","partition":[]},{"id":"x"}]}')
	end)
	it("is read in the old style", function()
		assert.same({ mode = "RECURSIVE_FORCED_BUILD", outputs = { "x", "f" } }, read [[{"type":"RECURSIVE_FORCED_BUILD","outputs":[
			{"targetDataset":"x","targetDatasetProjectKey":"SALES","targetPartition":"NP"},{"targetManagedFolder":"f","targetManagedFolderProjectKey":"SALES","targetPartition":"NP"}]}]])
	end)
	it("that is wrong says why", function()
		for text, why in pairs {
			["[]"] = "a job's definition is an object", ["1"] = "a job's definition is an object", ["{}"] = "outputs: a list is wanted",
			['{"outputs":{}}'] = "outputs: a list is wanted", ['{"outputs":[]}'] = "outputs: the list is empty: name what is to be built",
			['{"outputs":["x"]}'] = "outputs[1]: an object with an id is wanted", ['{"outputs":[{}]}'] = 'outputs[1]: "id" is missing',
			['{"outputs":[{"id":"x"},{"id":"../x"}]}'] = 'outputs[2]: "../x" is no valid name: letters, digits, _ and - are, up to 100, beginning with a letter, digit or _',
			['{"outputs":[{"id":5}]}'] = "outputs[1]: a name is a text", ['{"outputs":[{"id":"x","projectKey":"OTHER"}]}'] = "outputs[1]: it is of another project, OTHER",
			['{"outputs":[{"id":"x","partition":"2020|a"}]}'] = "outputs[1]: x is not partitioned", ['{"outputs":[{"id":"x","partition":["a","b"]}]}'] = "outputs[1]: x is not partitioned",
			['{"outputs":[{"id":"m","type":"SAVED_MODEL"}]}'] = "outputs[1]: a SAVED_MODEL cannot be built here; datasets and managed folders can",
		} do
			local got, said = read(text)
			assert.is_nil(got, text)
			assert.equal(why, said)
		end
		assert.matches('type: "RECURSIVE_BIULD" is none of: .*, did you mean "RECURSIVE_BUILD"%?', select(2, read '{"type":"RECURSIVE_BIULD","outputs":[{"id":"x"}]}'))
		assert.matches('outputs%[1%]: type: "DATASTE" .* did you mean "DATASET"%?', select(2, read '{"outputs":[{"id":"x","type":"DATASTE"}]}'))
	end)
	it("is told back as clients read it", function()
		assert.same({ { type = "DATASET", targetDataset = "x", targetDatasetProjectKey = "SALES", targetPartition = "NP" } }, job.outputs({ "x" }, "SALES"))
	end)
	it("has an id of a name and a time, which is an id of ours", function()
		local id = require "dss.text.id"
		assert.equal("Build_x_(NP)_2020-01-01T00-00-00.000", job.id("x", 1577836800000))
		assert.equal("Build_x_(NP)_2020-01-01T00-00-01.007", job.id("x", 1577836801007))
		assert.is_true(id.is_id(job.id(("n"):rep(100), 1577836800000)))
		assert.is_true(id.is_id(build.activity_id(("n"):rep(100))))
	end)
	it("becomes what a job kernel is told", function()
		local given = { recipes = { a = r({}, { "x" }), b = r({ "x" }, { "y" }, { kind = "java", class = "my.Task", classpath = { "lib/a.jar" }, params = json.object { n = 1 } }) } }
		local p = assert(plan({ "y" }, { datasets = {} }, nil, given))
		assert.equal('{"activities":[{"activityId":"a_NP","after":[],"kind":"shell"},{"activityId":"b_NP","after":["a_NP"],"class":"my.Task","classpath":["lib/a.jar"],'
			.. '"kind":"java","state":{"n":1}}],"jobId":"J"}', json.encode(job.payload("J", p, given)))
	end)
end)
