-- The store's log: written in pieces of many pages, whole all the same.
local helper = require "spec.helper"
local t_fleet = require "t_fleet"
local t_words = require "t_words"

describe("the store's log", function()
	local dir, path, f

	before_each(function()
		dir = os.tmpname()
		os.remove(dir)
		assert(os.execute("mkdir -m 700 " .. dir))
		path = dir .. "/dss.sqlite"
		f = assert(t_fleet.open(path))
		assert(f:set_pools { { name = "fek" } })
	end)

	after_each(function()
		f:close()
		os.execute("rm -rf " .. dir)
	end)

	local function await(start, n)
		local seen = 0
		helper.wait_for(n .. " times " .. start, function()
			f:turn()
			for _, l in ipairs(f:lines()) do
				assert.falsy(l:find("full", 1, true), l)
				if l:sub(1, #start) == start then seen = seen + 1 end
			end
			return seen >= n
		end, 20)
	end

	it("takes commits of one page to a thousand, each of which is there for another reader", function()
		local sizes = { 10, 4000, 30000, 90000, 98304, 120000, 131072, 262144, 400000, 1500000, 3000000 }
		for _, size in ipairs(sizes) do
			assert.equal("ok", (f:submit { payload = '{"x":"' .. ("y"):rep(size) .. '"}' }))
			await("submitted ", 1)
			local found = t_words.sql(path, "SELECT count(*) FROM task WHERE length(payload) = " .. size + 8)
			assert.same({ "1" }, found, size .. " bytes")
		end
		assert.same({ "ok" }, t_words.sql(path, "PRAGMA integrity_check"))
	end)

	it("takes many small writes in one commit", function()
		for _ = 1, 600 do assert.equal("ok", (f:submit { payload = '{"x":"' .. ("y"):rep(1500) .. '"}' })) end
		await("submitted ", 600)
		assert.same({ "600" }, t_words.sql(path, "SELECT count(*) FROM task"))
		assert.same({ "ok" }, t_words.sql(path, "PRAGMA integrity_check"))
	end)
end)
