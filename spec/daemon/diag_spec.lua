-- dssctl diag: what leaves the house.
local helper = require "spec.helper"
local Instance = require "spec.instance"

describe("dssctl diag", function()
	local node

	teardown(function()
		if node then node:remove() end
	end)

	it("veils secrets also in options, in lists of arguments, and in JSON within JSON; what stands beside them stays", function()
		node = Instance.new { config = "" }
		local secret = "hunter2 plain"
		local word = "hunter2-word"
		helper.write(node.dir .. "/run/backend.log", table.concat({
			"one client --password " .. word .. " --host left1",
			'two client --password "' .. secret .. '" --host left2',
			'three ["client", "--password", "' .. secret .. '", "left3"]',
			'four ["client", "--token",',
			'  "' .. secret .. '", "left4"]',
			[[five {"payload": "{\"password\": \"]] .. secret .. [[\", \"host\": \"left5\"}"}]],
			"six DB_PASS=" .. word .. " left6",
			'seven password = "\\\"' .. secret .. '" left7',
			"eight bypass = left8, monkeys: left9",
			"nine --password",
			"left10 --password=" .. word,
			"PASSWORD=" .. word .. " left11 a=1&token=" .. word .. "&left12",
		}, "\n") .. "\n")
		local archive = node.root .. "/d.tgz"
		local _, complaints, code = node:ctl("diag", "--out", archive)
		assert.are.same({ "", 0 }, { complaints, code })
		local said = Instance.run { "tar", "xzOf", archive, "run/backend.log" }
		assert.is_nil(said:find("hunter2", 1, true), said)
		assert.is_nil(said:find(" plain", 1, true), said)
		for i = 1, 12 do assert.truthy(said:find("left" .. i, 1, true), ("left%d in %s"):format(i, said)) end
	end)
end)
