-- flow: the graph of a project: which recipe makes a dataset, what each one needs, in which order they can run.
--
--     local graph = flow.new(data)              data: what project.evaluate answers; only recipes, datasets and models are read
--     flow.order(graph)                         names of recipes, each behind those that make its inputs
--     flow.upstream(graph, "joined")            all that it is made of
--     flow.answer(graph)                        { nodes = { NAME = { ref, type, predecessors, successors } } }
--
-- Recipes, datasets and models share one space of names (project.lua sees to it), so a name is a node.
local json = require "bind.json"
local sorted_keys = require("dss.model.schema").sorted_keys

local M = {}

local types = { recipe = "RUNNABLE_RECIPE", dataset = "COMPUTABLE_DATASET", model = "COMPUTABLE_SAVED_MODEL" }

local function node(graph, name, kind)
	local n = graph.nodes[name]
	if not n then
		n = { name = name, kind = kind, before = {}, after = {} }
		graph.nodes[name] = n
	end
	return n
end

local function connect(a, b)
	table.insert(a.after, b.name)
	table.insert(b.before, a.name)
end

--- nodes: name → { name, kind, before, after }, lists of names in order. `maker`: dataset → its recipe. Where two recipes make one
-- dataset the first by name is its maker, and graph.twice has { dataset, recipe, recipe }.
function M.new(data)
	local graph = { nodes = {}, maker = {}, recipes = data.recipes or {}, twice = {} }
	for _, name in ipairs(sorted_keys(data.datasets or {})) do node(graph, name, "dataset") end
	for _, name in ipairs(sorted_keys(graph.recipes)) do
		local r, own = graph.recipes[name], node(graph, name, "recipe")
		for _, input in ipairs(r.inputs) do connect(node(graph, input, "dataset"), own) end
		for _, output in ipairs(r.outputs) do
			connect(own, node(graph, output, "dataset"))
			local first = graph.maker[output]
			if first then table.insert(graph.twice, { output, first, name }) else graph.maker[output] = name end
		end
	end
	for _, name in ipairs(sorted_keys(data.models or {})) do connect(node(graph, data.models[name].input, "dataset"), node(graph, name, "model")) end
	for _, n in pairs(graph.nodes) do
		table.sort(n.before)
		table.sort(n.after)
	end
	return graph
end

--- Kahn's: all names whose predecessors come before them, the smallest name first; and what is left: nodes in circles or behind them.
local function sorted(graph, left_out)
	local open, ready, out, left = {}, {}, {}, {}
	for _, name in ipairs(sorted_keys(graph.nodes)) do
		local n = 0
		for _, p in ipairs(graph.nodes[name].before) do n = n + (left_out[p] and 0 or 1) end
		if not left_out[name] then
			open[name], left[name] = n, true
			if n == 0 then ready[#ready + 1] = name end
		end
	end
	local at = 1
	while ready[at] do
		local name = ready[at]
		at = at + 1
		out[#out + 1] = name
		left[name] = nil
		for _, s in ipairs(graph.nodes[name].after) do
			if open[s] then
				open[s] = open[s] - 1
				if open[s] == 0 then ready[#ready + 1] = s end
			end
		end
	end
	return out, left
end

--- One circle among `left`, where each node has a predecessor that is left too: names in the order of the flow.
local function circle_in(graph, left)
	local seen, path, name = {}, {}, sorted_keys(left)[1]
	while not seen[name] do
		path[#path + 1] = name
		seen[name] = #path
		for _, p in ipairs(graph.nodes[name].before) do
			if left[p] then
				name = p
				break
			end
		end
	end
	local out = {}
	for i = #path, seen[name], -1 do out[#out + 1] = path[i] end
	return out
end

--- Circles that share no node, each a list of names that begins with a recipe.
function M.circles(graph, most)
	local out, left_out = {}, {}
	while #out < (most or 20) do
		local _, left = sorted(graph, left_out)
		if not next(left) then break end
		local circle = circle_in(graph, left)
		for _, name in ipairs(circle) do left_out[name] = true end
		if graph.nodes[circle[1]].kind ~= "recipe" then table.insert(circle, table.remove(circle, 1)) end
		out[#out + 1] = circle
	end
	return out
end

--- Recipes in an order in which they can run; raises where there is a circle.
function M.order(graph)
	local names, left = sorted(graph, {})
	assert(not next(left), "the flow has a circle")
	local out = {}
	for _, name in ipairs(names) do
		if graph.nodes[name].kind == "recipe" then out[#out + 1] = name end
	end
	return out
end

local function reach(graph, of, side)
	local seen, todo, out = { [of] = true }, { of }, {}
	while #todo > 0 do
		for _, name in ipairs(assert(graph.nodes[table.remove(todo)], "no such node")[side]) do
			if not seen[name] then
				seen[name] = true
				todo[#todo + 1] = name
				out[#out + 1] = name
			end
		end
	end
	table.sort(out)
	return out
end

--- Names of all nodes that `of` depends on, however far.
function M.upstream(graph, of) return reach(graph, of, "before") end
--- Names of all nodes that depend on `of`.
function M.downstream(graph, of) return reach(graph, of, "after") end

--- As GET /projects/P/flow/graph/ tells it.
function M.answer(graph)
	local nodes = json.object {}
	for name, n in pairs(graph.nodes) do
		nodes[name] = { ref = name, type = types[n.kind], predecessors = json.array { table.unpack(n.before) }, successors = json.array { table.unpack(n.after) } }
	end
	return { nodes = nodes }
end

return M
