-- helper: what every spec shares: where the build is, the C modules, waiting for facts.
local M = {}

M.build = os.getenv("DSS_BUILD") or "build"
package.cpath = M.build .. "/spec/?.so;" .. package.cpath
pcall(require, "t_wait") -- before any program is started, see there
package.path = "lua/?.lua;lua/?/init.lua;" .. package.path

-- A bound ends what hangs, and says nothing about speed: on a loaded machine all takes longer.
local PATIENCE = tonumber(os.getenv "DSS_SPEC_PATIENCE") or 3

--- Calls `fact` until it returns something true; raises after `seconds` (default 10; PATIENCE times that) with what was waited for.
-- @return what `fact` returned
function M.wait_for(what, fact, seconds)
	local t = require "t_wait"
	seconds = (seconds or 10) * PATIENCE
	local deadline, pause = t.now() + seconds, 0.01
	while true do
		local r = table.pack(fact())
		if r[1] then return table.unpack(r, 1, r.n) end
		if t.now() > deadline then
			error(("waited %s s in vain for: %s%s"):format(seconds, what, r[2] and (" (" .. tostring(r[2]) .. ")") or ""), 2)
		end
		t.pause(pause)
		pause = math.min(pause * 1.1, 0.05) -- asking costs the machine something, too
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
