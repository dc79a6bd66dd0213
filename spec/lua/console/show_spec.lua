-- What the prompt answers.
require "spec.helper"
local show = require "dss.console.show"

describe("a value at the prompt", function()
	it("is written as Lua would, with keys in order and control characters escaped", function()
		assert.equal('{ 1, "a\\x1b[31m\\n", b = true, ["x y"] = nil_ }', (show.value { 1, "a\27[31m\n", b = true, ["x y"] = 0 }:gsub("= 0", "= nil_")))
		assert.equal("nil", show.value(nil))
		assert.equal("function", show.value(print))
	end)

	it("ends: cycles, depth, length", function()
		local t = {}
		t.t = t
		assert.equal("{ t = { … itself } }", show.value(t))
		local deep = {}
		for _ = 1, 50 do deep = { deep } end
		assert.truthy(show.value(deep):find("{ … }", 1, true))
		local long = {}
		for i = 1, 100000 do long[i] = i end
		assert.truthy(#show.value(long) < 5000)
		assert.truthy(#show.value(("x"):rep(1000000)) < 5000)
	end)

	it("of a list is a table with units; what is unknown is -, and no text forges a row", function()
		local rows = show.as({ { id = "a\nb", memory = 1 << 30, idle = 90 }, { id = "c" } },
			{ columns = { { key = "id" }, { key = "memory", type = "size" }, { key = "idle", type = "duration" } } })
		assert.equal("ID    MEMORY  IDLE\na\\nb  1.0 GB  1 min 30 s\nc     -       -", show.value(rows))
	end)
end)
