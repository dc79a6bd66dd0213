require "spec.helper"
local size = require "dss.text.size"
local duration = require "dss.text.duration"
local nearest = require "dss.text.nearest"
local id = require "dss.text.id"

describe("a size", function()
	it("is bytes, with or without a unit", function()
		for text, bytes in pairs { ["0"] = 0, ["4096"] = 4096, ["17b"] = 17, ["64k"] = 65536, ["1.5g"] = 3 << 29, ["3GiB"] = 3 << 30, ["1tb"] = 1 << 40, ["1P"] = 1 << 50 } do
			assert.equal(bytes, size.parse(text), text)
		end
		assert.equal(5, size.parse(5))
	end)
	it("points at the character where it stops being one", function()
		for text, at in pairs { ["3gx"] = 3, ["x"] = 1, [""] = 1, ["-1"] = 1, ["1 g"] = 2, ["1."] = 2, ["1.5"] = 2, ["1ig"] = 2, ["1g "] = 3 } do
			local n, message, place = size.parse(text)
			assert.is_nil(n, text)
			assert.equal(at, place, text)
			assert.matches(("character %d: "):format(at), message, 1, true)
		end
	end)
	it("that is nearly right is told with what was meant", function()
		for text, meant in pairs { ["1.5gg"] = "1.5g", ["1 g"] = "1g", ["5gigs"] = "5g", ["64kbit"] = false, ["7bytes"] = "7b", ["3x"] = false, ["9999999999 g"] = false } do
			local _, message = size.parse(text)
			assert.equal(meant, message:match 'did you mean "(.-)"%?' or false, text)
		end
	end)
	it("that is hostile is quoted harmlessly", function()
		local _, message = size.parse("\27[31m\xff" .. ("x"):rep(10000))
		assert.truthy(#message < 300 and utf8.len(message) and not message:find "%c", message)
	end)
	it("past 2^63 is refused", function()
		assert.is_nil((size.parse "9999999999g"))
		assert.is_nil((size.parse "8388608t"))
		assert.equal(8388607 << 40, size.parse "8388607t")
	end)
	it("is no table and no negative number", function()
		assert.is_nil((size.parse {}))
		assert.is_nil((size.parse(-1)))
	end)
	it("is printed for people", function()
		assert.equal("3.0 GB", size.print(3 << 30))
		assert.equal("512 MB", size.print(512 << 20))
		assert.equal("17 B", size.print(17))
	end)
end)

describe("a duration", function()
	it("is milliseconds, of one unit or a sum from large to small", function()
		for text, ms in pairs { ["250ms"] = 250, ["30s"] = 30000, ["30"] = 30000, ["1.5h"] = 5400000, ["1h30min"] = 5400000, ["1w"] = 604800000, ["0s"] = 0 } do
			assert.equal(ms, duration.parse(text), text)
		end
	end)
	it("points at the character where it stops being one", function()
		for text, at in pairs { ["1h1h"] = 3, ["1min1h"] = 5, ["5 min"] = 2, x = 1, [""] = 1, ["1h30"] = 5, ["3dd"] = 2 } do
			local n, message, place = duration.parse(text)
			assert.is_nil(n, text)
			assert.equal(at, place, text)
			assert.matches(("character %d: "):format(at), message, 1, true)
		end
	end)
	it("that is nearly right is told with what was meant", function()
		for text, meant in pairs { ["10 min"] = "10min", ["5m"] = "5min", ["3hours"] = "3h", ["2dd"] = "2d", ["1Day"] = "1d", ["5x"] = false, ["90 secs"] = "90s" } do
			local _, message = duration.parse(text)
			assert.equal(meant, message:match 'did you mean "(.-)"%?' or false, text)
		end
	end)
	it("is printed for people, as C does it", function()
		local base = require "t_base"
		for _, ms in ipairs { 0, 250, 999, 1000, 2500, 59999, 60000, 61000, 3600000, 4320000, 86400000, 273600000, -2500 } do
			local text = duration.print(ms)
			if base.print_duration then assert.equal(base.print_duration(ms), text) end
			assert.truthy(text:find "^%-?%d")
		end
		assert.same({ "250 ms", "2.5 s", "1 h 12 min", "3 d 4 h", "1 min", "2 s" },
			{ duration.print(250), duration.print(2500), duration.print(4320000), duration.print(273600000), duration.print(60000), duration.print(2000.7) })
	end)
	it("past 2^63 is refused", function() assert.is_nil((duration.parse "99999999999999w")) end)
end)

describe("the nearest word", function()
	it("is within two edits, a swap being one", function()
		assert.equal("port", nearest("prot", { "address", "port" }))
		assert.equal("every", nearest("evry", { "each", "every" }))
		assert.equal("memory", nearest("memroy", { "memory_max", "memory" }))
	end)
	it("is none where nothing is near", function()
		assert.is_nil(nearest("xyz", { "port", "ab" }))
		assert.is_nil(nearest("ab", { "cd" }))
		assert.is_nil(nearest(("x"):rep(100), { "x" }))
	end)
end)

describe("an id", function()
	it("is letters, digits and _.:()- and neither too long nor a way up", function()
		for _, good in ipairs { "a", "_x", "Build_x_(NP)_2020-01-01T00-00-00.000", ("x"):rep(128) } do assert.is_true(id.is_id(good), good) end
		for _, bad in ipairs { "", "-a", ".a", "a..b", "a/b", "a b", "é", ("x"):rep(129), "a\n" } do assert.is_false(id.is_id(bad), bad) end
		assert.is_false(id.is_id(nil))
	end)
end)
