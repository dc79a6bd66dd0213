-- helper: what every spec shares: where the build is, the C modules, waiting for facts.
local M = {}

M.build = os.getenv("DSS_BUILD") or "build"
package.cpath = M.build .. "/spec/?.so;" .. package.cpath
pcall(require, "t_wait") -- before any program is started, see there
package.path = "lua/?.lua;lua/?/init.lua;" .. package.path

--- Calls `fact` until it returns something true; raises after `seconds` (default 10) with what was waited for.
-- @return what `fact` returned
function M.wait_for(what, fact, seconds)
	local t = require "t_wait"
	local deadline = t.now() + (seconds or 10)
	while true do
		local r = table.pack(fact())
		if r[1] then return table.unpack(r, 1, r.n) end
		if t.now() > deadline then
			error(("waited %s s in vain for: %s%s"):format(seconds or 10, what, r[2] and (" (" .. tostring(r[2]) .. ")") or ""), 2)
		end
		t.pause(0.01)
	end
end

--- The whole of a file, or nil.
function M.read(path)
	local f = io.open(path, "rb")
	if not f then return nil end
	local s = f:read("a")
	f:close()
	return s
end

function M.write(path, text)
	local f = assert(io.open(path, "wb"))
	f:write(text)
	f:close()
end

return M
