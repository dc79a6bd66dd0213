-- filter_tree: a parsed filter as plain data, for who evaluates it elsewhere: docs/filters.md, *As data*, says what each member means.
--
--     filter_tree.of(assert(filter.parse("memory > 80% of limit", …)))
--     → { op = ">", fact = "memory", type = "size", right = "limit", factor = 0.8, text = "memory > 80% of limit", at = 1 }
local M = {}

local function values(list)
	local out = {}
	for i, v in ipairs(list) do out[i] = v.value end
	return out
end

local function spans(times)
	local out = {}
	for i, s in ipairs(times.spans) do out[i] = { s[1], s[2] } end
	return out
end

local function clause(n)
	local out = { op = n.op, fact = n.fact, type = n.op == "during" and (n.is_clock and "clock" or "time") or n.type, text = n.text, at = n.at }
	if n.op == "during" then
		out.spans = spans(n.times)
	elseif n.op == "in" then
		out.values = values(n.list)
	elseif n.right and n.right.fact then
		out.right, out.factor = n.right.fact, n.right.factor or 1
	elseif n.right then
		out.value = n.right.value
	end
	return out
end

local function node(n)
	if n.op ~= "and" and n.op ~= "or" and n.op ~= "not" then return clause(n) end
	local of = {}
	for i, child in ipairs(n) do of[i] = node(child) end
	return { op = n.op, of = of }
end

--- The tree of what filter.parse made: { op = "and" | "or" | "not", of = { … } }, or a clause with `at`, its first character (from 1).
function M.of(o) return node(o.tree) end

return M
