-- tap: checks written in Python as busted specs: runs a script that prints TAP (fake_backend.run_checks), one `it` a line.
local M = {}

-- Not under a sanitizer's LD_PRELOAD: none of what they run is ours in C, and a JVM does not stand it.

--- Runs `script` and turns each of its checks into a spec of the surrounding `describe`.
-- It is ended below the limit that spec/run.sh has for a file; each check has a bound of its own (CHECK_S).
-- @param it      busted's own: it is known to spec files only
-- @param script  e.g. "spec/kernels/java_check.py"
function M.checks(it, script)
	local pipe = assert(io.popen("env -u LD_PRELOAD timeout -k 5 540 /usr/bin/python3 -B " .. script .. " 2>&1"))
	local planned, count, rest = nil, 0, {}
	for line in pipe:lines() do
		local word, title = line:match("^(n?o?t? ?ok) %d+ (.*)$")
		if word then
			local said, detail = title:match("^(.-)\t(.*)$")
			count = count + 1
			it(said or title, function() assert(word == "ok", ((detail or ""):gsub("\\n", "\n"))) end)
		elseif line:match("^1%.%.%d+$") then
			planned = tonumber(line:match("%d+$"))
		else
			rest[#rest + 1] = line
		end
	end
	pipe:close()
	it("is checked to the last check", function()
		assert(planned == count, ("%s of %s checks:\n%s"):format(count, planned, table.concat(rest, "\n")))
	end)
end

return M
