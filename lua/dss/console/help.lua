-- help: one line above each word in the code is its help: `--- pools [FILTER]: the pools of kernels`. Read from our own files when somebody
-- asks, so that it cannot be out of date.
local above = require("bind.change").above

local M = {}

--- How a function of ours is used, and what it does; nil: nothing stands above it.
function M.of(fn) return above(fn):match "^%s*%-%-%- (.-): (.*)$" end

--- A list of { name, usage, text } of the functions in a table, in the order of their names.
function M.all(functions)
	local out = {}
	for name, fn in pairs(functions) do
		local usage, text = M.of(fn)
		out[#out + 1] = { name = name, usage = usage or name, text = text or "" }
	end
	table.sort(out, function(a, b) return a.name < b.name end)
	return out
end

return M
