-- dssctl diag: what leaves the house.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local json = require "t_json"

describe("dssctl diag", function()
	local node

	after_each(function()
		if node then node:remove() end
		node = nil
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

	it("knows every secret of config/, however many there are, longer ones first, also behind a link; rather than miss one it makes no archive", function()
		node = Instance.new { config = "" }
		local words = {}
		for i = 1, 3000 do words[i] = ("word-%d"):format(i) end
		helper.write(node.dir .. "/config/many.token", table.concat(words, "\n") .. "\n")
		helper.write(node.dir .. "/run/backend.log", "from word-700 to word-2999 to elsewhere-secret.\n")
		helper.write(node.root .. "/elsewhere", "elsewhere-secret\n")
		assert(os.execute(("ln -s %s/elsewhere %s/config/linked.token"):format(node.root, node.dir)))
		local archive = node.root .. "/d.tgz"
		local _, complaints, code = node:ctl("diag", "--out", archive)
		assert.are.same({ "", 0 }, { complaints, code })
		assert.are.equal("from **** to **** to ****.", Instance.run { "tar", "xzOf", archive, "run/backend.log" })
		assert(os.execute(("truncate -s 5M %s/config/large.token"):format(node.dir)))
		_, complaints, code = node:ctl("diag", "--out", archive .. "2")
		assert.are.equal(1, code)
		assert.truthy(complaints:find("config/large.token is larger than 4 MB", 1, true), complaints)
		assert.is_nil(helper.read(archive .. "2"))
	end)

	it("tells its file as JSON, whatever its name holds, and leaves none behind where it cannot be written", function()
		node = Instance.new { config = "" }
		local archive = node.root .. '/a "name"\n.tgz'
		local out, complaints, code = node:ctl("--json", "diag", "--out", archive)
		assert.are.same({ "", 0 }, { complaints, code })
		assert.are.equal(archive, json.decode(out).file)
		local small = node.root .. "/small.tgz"
		local _
		_, complaints, code = Instance.run_apart { "sh", "-c", [[trap '' XFSZ; ulimit -f 1; exec "$0" "$@"]], helper.build .. "/dssctl", "-C", node.dir, "diag", "--out", small }
		assert.are.equal(1, code, complaints)
		assert.is_nil(helper.read(small))
	end)
end)
