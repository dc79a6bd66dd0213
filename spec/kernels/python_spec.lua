-- The Python kernel against the kernel protocol: the checks are in python_check.py, each is one line here.
local function run(script)
	local pipe = assert(io.popen("timeout -k 5 540 /usr/bin/python3 -B " .. script .. " 2>&1"))
	local planned, results, rest = nil, {}, {}
	for line in pipe:lines() do
		local word, title = line:match("^(n?o?t? ?ok) %d+ (.*)$")
		if word then
			local said, detail = title:match("^(.-)\t(.*)$")
			results[#results + 1] = { ok = word == "ok", title = said or title, detail = (detail or ""):gsub("\\n", "\n") }
		elseif line:match("^1%.%.%d+$") then
			planned = tonumber(line:match("%d+$"))
		else
			rest[#rest + 1] = line
		end
	end
	pipe:close()
	return planned, results, table.concat(rest, "\n")
end

describe("the Python kernel", function()
	local planned, results, rest = run("spec/kernels/python_check.py")
	for _, result in ipairs(results) do
		it(result.title, function() assert(result.ok, result.detail) end)
	end
	it("is checked to the last check", function() assert.equal(planned, #results, rest) end)
end)
