-- told: what the specs of the fleet do with what their t_fleet tells, line by line: "spawn fek-1 …", "send fek-1 …".
local helper = require "spec.helper"

local M = {}
M.__index = M

--- A private folder for a store; the caller removes it.
function M.folder()
	local dir = os.tmpname()
	os.remove(dir)
	assert(os.execute("mkdir -m 700 " .. dir))
	return dir
end

function M.new() return setmetatable({}, M) end

--- One turn of f's loop; what it told is kept.
function M:collect(f)
	f:turn()
	for _, l in ipairs(f:lines()) do self[#self + 1] = l end
end

--- Those that begin with `start`, as they are.
function M:all(start)
	local out = {}
	for _, l in ipairs(self) do
		if l:sub(1, #start) == start then out[#out + 1] = l end
	end
	return out
end

--- Waits for one that begins with `start`; returns its words, and all of it as `text`. It does not come again.
function M:wait(f, start)
	return helper.wait_for(start, function()
		self:collect(f)
		for i, l in ipairs(self) do
			if l:sub(1, #start) == start then
				local words = { text = l }
				for word in l:gmatch("%S+") do words[#words + 1] = word end
				table.remove(self, i)
				return words
			end
		end
		return nil, "saw: " .. table.concat(self, "; ")
	end, 5)
end

--- Submits; returns the id.
function M:submit(f, owner, title, more)
	local r = { owner = owner, title = title }
	for k, v in pairs(more or {}) do r[k] = v end
	local answer, why = f:submit(r)
	assert(answer == "ok", why)
	return self:wait(f, "submitted ")[2]
end

--- Some turns on: what was to come by itself has come. Was one of these told?
function M:has(f, start)
	for _ = 1, 30 do self:collect(f) end
	return #self:all(start) > 0
end

return M
