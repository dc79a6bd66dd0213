-- The tables of docs/architecture.md are the design; those in the code must be the same, row by row.
local helper = require "spec.helper"
local t_tables = require "t_tables"

--- The rows of the table whose first header cells are `header`, in the section below `heading`.
local function documented(heading, header)
	local text = assert(helper.read("docs/architecture.md"))
	local rows, at_heading, in_table = {}, false, false
	for line in (text .. "\n"):gmatch("(.-)\n") do
		if line:match("^#+ ") then
			at_heading = line:gsub("^#+ ", ""):sub(1, #heading) == heading
			in_table = false
		elseif at_heading and line:sub(1, #header) == header then
			in_table = true
		elseif in_table and line:match("^|") then
			local cells = {}
			for cell in line:sub(2):gmatch("%s*(.-)%s*|") do cells[#cells + 1] = cell end
			if not line:match("^|%-") then rows[#rows + 1] = cells end
		elseif in_table then
			return rows
		end
	end
	return rows
end

local function in_code(name)
	local rows = {}
	for i, r in ipairs(t_tables.machine(name)) do rows[i] = { r.state, r.event, r.next, r.action } end
	return rows
end

describe("the state tables of docs/architecture.md", function()
	for name, heading in pairs { process = "process (keeper)", service = "service (keeper)", kernel = "kernel (backend)", future = "future (backend)" } do
		it("say of a " .. name .. " what its code does", function()
			local rows = documented(heading, "| state | event | next | action |")
			assert.is_true(#rows > 5, "the page has no table of a " .. name)
			assert.same(rows, in_code(name))
		end)

		it("have one row at most for each state and event of a " .. name, function()
			local seen = {}
			for _, r in ipairs(in_code(name)) do
				local key = r[1] .. " x " .. r[2]
				assert.is_nil(seen[key], key)
				seen[key] = true
			end
		end)
	end
end)

describe("the wire's message table of docs/architecture.md", function()
	it("names each message with number, sides and required fields as the code does", function()
		local rows, code = documented("The wire", "| n | message | from | to | required fields |"), {}
		for i, m in ipairs(t_tables.messages()) do code[i] = { tostring(m.number), m.name, m.from, m.to, m.required } end
		assert.is_true(#rows > 20)
		assert.same(rows, code)
	end)
end)
