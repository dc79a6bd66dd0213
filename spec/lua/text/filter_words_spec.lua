require "spec.helper"
local words = require "dss.text.filter_words"

local known = {
	memory = { type = "size" }, limit = { type = "size" }, idle = { type = "duration" }, age = { type = "duration" }, kind = { type = "text" },
	state = { type = "text", words = { "idle", "busy" } }, started = { type = "time" }, connected = { type = "flag" }, tags = { type = "list" },
}

local function at(before)
	local from, list = words.at(before, known)
	return list, from
end
local function same(expected, before, from)
	local list, n = at(before)
	assert.same(expected, list, before)
	if from then assert.equal(from, n, before) end
end
local all = { "age", "connected", "idle", "kind", "limit", "memory", "started", "state", "tags", "not", "during" }

describe("words at the cursor of a filter", function()
	it("are the facts where a fact may stand", function()
		for _, before in ipairs { "", " ", "not ", "(", "kind = x and ", "kind = x or (", "connected and not " } do same(all, before, #before) end
		same({ "memory" }, "mem", 0)
		same({ "memory" }, "kind = x and mem", 13)
		same({ "started", "state" }, "not (st", 5)
	end)

	it("are the operators of the fact's type behind it", function()
		same({ ">", "<", ">=", "<=", "=", "!=", "in" }, "memory ")
		same({ "=", "!=", "~", "in" }, "kind ")
		same({ "=", "!=", "~", "in" }, "tags ")
		same({ ">", "<", ">=", "<=", "during" }, "started ")
		same({ "and", "or" }, "connected ")
		same({ "during" }, "started du")
	end)

	it("are what may stand on the right: words of the fact, facts that compare, parts of them", function()
		same({ "idle", "busy" }, "state = ")
		same({ "busy" }, "state != b", 9)
		same({ "busy" }, 'state = "b', 9)
		same({ "idle", "busy" }, "state in (")
		same({ "busy" }, "state in (idle, b")
		same({ ",", ")" }, "state in (idle ")
		same({ "limit" }, "memory > ")
		same({ "age" }, "idle < ")
		same({ "of", "and", "or" }, "memory > 80% ")
		same({ "limit" }, "memory > 80% of ")
		same({}, "kind = ")
	end)

	it("join clauses behind a whole one", function()
		for _, before in ipairs { "kind = x ", "memory > 1g ", "(kind = x) ", 'during "weekends" ', "state in (idle) ", "memory > 80% of limit " } do same({ "and", "or" }, before) end
		same({ "and" }, "kind = x a", 9)
	end)

	it("are none where the filter is wrong already, and none in a text of the user's own", function()
		for _, before in ipairs { "nosuch ", "memory memory ", "kind = = ", "and ", "kind = 'abc", "state in x", "§" } do same({}, before) end
		same({}, ("a"):rep(5000))
	end)

	it("of an open quote behind during are none; before it there are examples that can be read", function()
		local when = require "dss.text.when"
		local list = at "during "
		assert.truthy(#list > 0)
		for _, w in ipairs(list) do assert(when.parse(w:sub(2, -2))) end
		same({}, 'during "week')
	end)
end)
