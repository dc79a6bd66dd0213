require "spec.helper"
require("t_bind").preload()
local flow = require "dss.model.flow"
local json = require "bind.json"

local function r(inputs, outputs) return { kind = "shell", inputs = inputs, outputs = outputs, line = 1 } end

--- 40 recipes at most over numbered datasets; a recipe reads only datasets of smaller numbers.
local function random_flow(seed)
	math.randomseed(seed)
	local recipes, next_dataset = {}, math.random(1, 4)
	for i = 1, math.random(1, 40) do
		local inputs, outputs, seen = {}, {}, {}
		for _ = 1, math.random(0, 4) do
			local name = "d" .. math.random(1, next_dataset)
			if not seen[name] then
				seen[name] = true
				inputs[#inputs + 1] = name
			end
		end
		for _ = 1, math.random(1, 3) do
			next_dataset = next_dataset + 1
			outputs[#outputs + 1] = "d" .. next_dataset
		end
		recipes["r" .. math.random(100, 999) .. "_" .. i] = r(inputs, outputs)
	end
	return { recipes = recipes }
end

describe("the flow", function()
	local data = {
		datasets = { alone = {} },
		recipes = { clean = r({ "raw" }, { "tidy", "bad" }), count = r({ "tidy", "codes" }, { "counts" }), tell = r({ "counts", "bad" }, { "page" }) },
		models = { churn = { input = "tidy" } },
	}

	it("answers the nodes as clients read them", function()
		local nodes = json.decode(json.encode(flow.answer(flow.new(data)))).nodes
		assert.same({ ref = "tidy", type = "COMPUTABLE_DATASET", predecessors = { "clean" }, successors = { "churn", "count" } }, nodes.tidy)
		assert.same({ ref = "count", type = "RUNNABLE_RECIPE", predecessors = { "codes", "tidy" }, successors = { "counts" } }, nodes.count)
		assert.same({ ref = "alone", type = "COMPUTABLE_DATASET", predecessors = {}, successors = {} }, nodes.alone)
		assert.same("COMPUTABLE_SAVED_MODEL", nodes.churn.type)
		assert.matches('"alone":{"predecessors":[],', json.encode(flow.answer(flow.new(data))), 1, true)
		assert.equal("{\"nodes\":{}}", json.encode(flow.answer(flow.new {})))
	end)
	it("knows what a dataset is made of and what is made of it", function()
		local graph = flow.new(data)
		assert.same({ "clean", "codes", "count", "raw", "tidy" }, flow.upstream(graph, "counts"))
		assert.same({ "page", "tell" }, flow.downstream(graph, "bad"))
		assert.same({}, flow.upstream(graph, "raw"))
		assert.has_error(function() flow.upstream(graph, "nix") end)
	end)
	it("orders recipes behind what makes their inputs", function() assert.same({ "clean", "count", "tell" }, flow.order(flow.new(data))) end)
	it("finds a circle of any length, and each of two", function()
		assert.same({ { "a", "x" } }, flow.circles(flow.new { recipes = { a = r({ "x" }, { "x" }) } }))
		local circles = flow.circles(flow.new { recipes = {
			a = r({ "z", "in" }, { "x" }), b = r({ "x" }, { "y" }), c = r({ "y" }, { "z", "out" }), behind = r({ "out" }, { "end" }),
			p = r({ "q2" }, { "q1" }), q = r({ "q1" }, { "q2" }) } })
		table.sort(circles, function(one, other) return #one > #other end)
		assert.equal(2, #circles)
		assert.equal("ax by cz", ("%s%s %s%s %s%s"):format(table.unpack((function(c)
			while c[1] ~= "a" do table.insert(c, table.remove(c, 1)) end
			return c
		end)(circles[1]))))
		assert.equal(4, #circles[2])
		assert.has_error(function() flow.order(flow.new { recipes = { a = r({ "x" }, { "x" }) } }) end)
	end)
	it("names both recipes that make one dataset", function()
		assert.same({ { "x", "a", "b" } }, flow.new { recipes = { b = r({}, { "x" }), a = r({}, { "x" }) } }.twice)
	end)
	it("of any shape is ordered so that each recipe comes after all it depends on, and all of them come", function()
		for seed = 1, 200 do
			local some = random_flow(seed)
			local graph = flow.new(some)
			local order, place = flow.order(graph), {}
			for i, name in ipairs(order) do place[name] = i end
			for name, recipe in pairs(some.recipes) do
				assert.is_number(place[name])
				for _, input in ipairs(recipe.inputs) do
					local maker = graph.maker[input]
					assert.is_true(not maker or place[maker] < place[name], ("seed %d: %s before %s"):format(seed, name, tostring(maker)))
				end
			end
			assert.equal(0, #flow.circles(graph))
			-- and closed into a ring it has one
			local first, last = order[1], order[#order]
			table.insert(some.recipes[first].inputs, some.recipes[last].outputs[1])
			local is_ring = first == last
			for _, up in ipairs(flow.upstream(graph, last)) do is_ring = is_ring or up == first end
			assert.equal(is_ring, #flow.circles(flow.new(some)) > 0)
		end
	end)
	it("bears chains of thousands", function()
		local recipes = {}
		for i = 1, 5000 do recipes["r" .. i] = r({ "d" .. i }, { "d" .. i + 1 }) end
		assert.equal(5000, #flow.order(flow.new { recipes = recipes }))
		recipes.back = r({ "d5001" }, { "d1" })
		assert.equal(10002, #flow.circles(flow.new { recipes = recipes })[1])
	end)
end)
