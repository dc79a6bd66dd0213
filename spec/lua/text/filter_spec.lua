require "spec.helper"
local filter = require "dss.text.filter"

local known = {
	memory = { type = "size" }, limit = { type = "size" }, idle = { type = "duration" }, age = { type = "duration" }, waiting = { type = "count" },
	load = { type = "number" }, kind = { type = "text" }, pool = { type = "text" }, tags = { type = "list" }, started = { type = "time" },
	connected = { type = "flag" }, a = { type = "flag" }, b = { type = "flag" }, state = { type = "text", words = { "idle", "busy" } },
}

local function test(text, facts)
	local f, why = filter.parse(text, known)
	assert(f, why)
	return f.test(facts)
end

local U = {} -- unknown
local function value(v)
	if v == U then return nil end
	return v
end
local all = { true, false, U }

describe("a filter", function()
	it("knows three values: the tables of and, or, not", function()
		local order = { [false] = 0, [U] = 1, [true] = 2 }
		local function is_and(x, y) if order[x] < order[y] then return x else return y end end
		local function is_or(x, y) if order[x] > order[y] then return x else return y end end
		for _, x in ipairs(all) do
			for _, y in ipairs(all) do
				local facts = { a = value(x), b = value(y) }
				assert.equal(value(is_and(x, y)), (test("a and b", facts)), "and")
				assert.equal(value(is_or(x, y)), (test("a or b", facts)), "or")
				assert.equal((test("not (a and b)", facts)), (test("not a or not b", facts)), "De Morgan")
			end
			local negated = x
			if x ~= U then negated = not x end
			assert.equal(value(negated), (test("not a", { a = value(x) })))
			assert.equal(value(x), (test("not not a", { a = value(x) })))
		end
	end)

	it("never takes what is unknown for zero", function()
		for _, text in ipairs { "memory < 1g", "memory <= 0", "memory = 0", "memory != 1g", "not memory > 1g", "memory in (0, 1g)", "memory < limit", "memory < 80% of limit",
			"idle < 1h", "waiting < 1", "load < 1", 'kind != "x"', 'kind = ""', 'kind ~ "*"', "tags != x", 'started < "2026-01-01"', 'during "daily"', "connected", "not connected" } do
			local v, clause = test(text, {})
			assert.is_nil(v, text)
			assert.is_string(clause)
		end
		assert.is_nil((test("memory < 80% of limit", { memory = 5 })))
		assert.is_nil((test("memory < 80% of limit", { limit = 5 })))
	end)

	it("binds not before and before or, and brackets before all", function()
		local facts = { a = true, b = false, connected = false }
		assert.is_true((test("a or b and connected", facts)))
		assert.is_false((test("(a or b) and connected", facts)))
		assert.is_true((test("not b and a", facts)))
		assert.is_false((test("not (b or a)", facts)))
	end)

	it("names the clause that decided, as it is written", function()
		local text = "kind = notebook and idle > 2h and memory > 1g"
		for _, case in ipairs {
			{ { kind = "job", idle = 9000, memory = 2 << 30 }, false, "kind = notebook" },
			{ { kind = "notebook", idle = 100, memory = 2 << 30 }, false, "idle > 2h" },
			{ { kind = "notebook", idle = 9000, memory = 2 << 30 }, true, "memory > 1g" },
			{ { kind = "notebook", memory = 2 << 30 }, nil, "idle > 2h" },
			{ { kind = "notebook", memory = 5 }, false, "memory > 1g" },
		} do
			local v, clause = test(text, case[1])
			assert.equal(case[2], v)
			assert.equal(case[3], clause)
		end
		assert.equal("b", (select(2, test("a or b", { b = true }))))
		assert.equal("a", (select(2, test("not a", { a = true }))))
	end)

	it("explains with the value that was found, for people", function()
		local function explain(text, facts) return filter.explain(assert(filter.parse(text, known)), facts) end
		local v, why = explain("memory > 1g", { memory = 3 << 30 })
		assert.is_true(v)
		assert.same({ clause = "memory > 1g", fact = "memory", value = 3 << 30, shown = "3.0 GB", is_known = true }, why)
		v, why = explain("memory > 80% of limit", { memory = 3 << 30, limit = 2 << 30 })
		assert.is_true(v)
		assert.equal("3.0 GB (limit: 2.0 GB)", why.shown)
		v, why = explain("memory > limit", { memory = 3 << 30 })
		assert.is_nil(v)
		assert.equal("3.0 GB (limit: unknown)", why.shown)
		assert.is_false(why.is_known)
		v, why = explain("not idle > 2h", {})
		assert.is_nil(v)
		assert.same({ "idle > 2h", "unknown", false }, { why.clause, why.shown, why.is_known })
		for text, shown in pairs { ["idle > 1h"] = "2 h 5 min", ["tags = x"] = "a, b", ["connected"] = "no", ["kind = x"] = '"y"', ["load > 1"] = "0.5", ["waiting > 1"] = "7",
			['during "mon"'] = "tue 08:05" } do
			assert.equal(shown, select(2, explain(text, { idle = 7500.2, tags = { "a", "b" }, connected = false, kind = "y", load = 0.5, waiting = 7,
				clock = { weekday = "tue", hour = 8, minute = 5 } })).shown, text)
		end
	end)

	it("tells which facts it reads, sorted", function()
		assert.same({ "clock", "idle", "kind", "limit", "memory" },
			assert(filter.parse('memory > 80% of limit or kind = x and (idle > 1h or not memory > 1g) and during "mon"', known)).reads)
	end)

	it("matches globs by anything and by one character", function()
		for glob, cases in pairs {
			["*"] = { [""] = true, x = true }, ["fek-*"] = { ["fek-1"] = true, fek = false, ["xfek-1"] = false }, ["*-1"] = { ["a-1"] = true, ["a-12"] = false, ["-1-1"] = true },
			["a*b*c"] = { abc = true, aXbYc = true, acb = false, abbc = true }, ["?"] = { x = true, [""] = false, xy = false, ["é"] = true }, ["a?c*"] = { abc = true, ac = false, abcd = true },
			["*ab"] = { ab = true, abab = true, a = false }, ["ab*b"] = { ab = false, abb = true }, ["a.c"] = { abc = false, ["a.c"] = true }, ["%d*"] = { ["5"] = false, ["%d5"] = true },
			["*?x"] = { x = false, ax = true, ["éx"] = true }, ["**"] = { [""] = true }, [""] = { [""] = true, a = false }, ["[a]"] = { a = false, ["[a]"] = true },
			["*?"] = { [""] = false, ab = true }, ["?*?"] = { a = false, ab = true, abc = true },
		} do
			local f = assert(filter.parse(('kind ~ "%s"'):format(glob), known))
			for text, wanted in pairs(cases) do assert.equal(wanted, (f.test { kind = text }), glob .. " of " .. text) end
		end
	end)

	it("does not know words of its language as texts, unless they are in quotes", function()
		for _, word in ipairs { "and", "or", "not", "in", "during", "of" } do
			assert.is_nil((filter.parse("kind = " .. word, known)))
			assert.is_true((test(('kind = "%s"'):format(word), { kind = word })))
		end
	end)

	it("points at the character of a mistake", function()
		for text, case in pairs {
			[""] = { 1, "a fact is wanted" }, ["memroy > 1g"] = { 1, 'did you mean "memory"?' }, ["kind = x and memroy > 1g"] = { 14, "memroy" },
			["memory > 2h"] = { 10, "is a size" }, ["idle > 1g"] = { 8, "is a duration" }, ["waiting > 1g"] = { 11, "a number is wanted" }, ["waiting > 50%"] = { 13, "no percentage" },
			["memory > 50%"] = { 12, "a size" }, ["memory > 1 g"] = { 12, 'write it without a blank: "1g"' }, ["idle > '5mins'"] = { 10, 'did you mean "5min"?' },
			["memory > idle"] = { 10, "cannot be compared" }, ["memory > 80% of idle"] = { 17, "cannot be compared" }, ["memory > limt"] = { 10, 'did you mean "limit"?' },
			["kind > x"] = { 6, "is a text" }, ["memory ~ 1g"] = { 8, "~ is for texts" }, ["connected = true"] = { 11, "is a flag" }, ["connected and"] = { 14, "a fact is wanted" },
			["kind"] = { 5, "a comparison is wanted" }, ["kind ="] = { 7, "a text is wanted" }, ["kind in x"] = { 9, "a list is wanted" }, ["kind in (a"] = { 11, '"," or ")"' }, ["kind in ()"] = { 10, "a text" },
			["memory in (limit)"] = { 12, "values, not facts" }, ["a)"] = { 2, "never opened" }, ["(a"] = { 3, "character 1 is open" }, ["a b"] = { 3, '"and", "or" or the end' },
			["a AND b"] = { 3, 'did you mean "and"?' }, ["a && b"] = { 3, 'write "and"' }, ["!a"] = { 1, 'write "not"' }, ["memory <> 1g"] = { 8, 'write "!="' }, ["NOT a"] = { 1, 'did you mean "not"?' },
			["kind = fek*"] = { 8, "is a pattern" }, ["state = bsy"] = { 9, 'did you mean "busy"?' }, ["state = other"] = { 9, "never" }, ["kind = 'x"] = { 8, "does not end" },
			["kind = é"] = { 8, "need quotes" }, ["kind = \27[31m"] = { 8, "control character" }, ["kind = a; b"] = { 9, 'unexpected ";"' }, ["started = '2026-01-01'"] = { 9, "is a time" },
			["started > '2026-13-01'"] = { 12, "no such day" }, ["started > 5h"] = { 11, "a time such as" }, ["kind during 'mon'"] = { 6, "during is for times" }, ["during mon"] = { 8, "in quotes" },
			["during 'mon-xyz'"] = { 13, "unknown day" }, ["kind = \xff"] = { 8, "need quotes" }, ["kind\0"] = { 5, "control character" }, ["tags < a"] = { 6, "is a list" },
			[('kind ~ "%s"'):format(("x"):rep(257))] = { 8, "up to 256" }, [('kind ~ "%s"'):format(("?"):rep(101))] = { 8, "up to 100 ?" },
		} do
			local f, why, at = filter.parse(text, known)
			assert.is_nil(f, text)
			assert.equal(case[1], at, text .. ": " .. why)
			assert.truthy(why:find(("^unable to read the filter: character %d: "):format(at)), why)
			assert.truthy(why:find(case[2], 1, true), text .. ": " .. why)
			assert.is_nil(why:find "%c", text)
			assert.truthy(utf8.len(why), text)
		end
	end)
end)

-- --- random filters ---

local function pick(list) return list[math.random(#list)] end

local clauses = {
	function() return "memory " .. pick { "=", "!=", "<", "<=", ">", ">=" } .. " " .. pick { "1g", "512m", "0", '"1.5g"', "limit", "80% of limit", "250% of limit" } end,
	function() return "idle " .. pick { "<", ">", ">=" } .. " " .. pick { "2h", "1h30min", "30", "age", "50% of age" } end,
	function() return "kind " .. pick { "=", "!=" } .. " " .. pick { "notebook", '"a b"', "'it\\'s'", '"and"', '"x*"', '"\\\\"', '""', '"é"' } end,
	function() return "kind ~ " .. pick { '"*"', '"n*k"', "no*", '"a?b"', '"\\""' } end,
	function() return "kind in (" .. pick { "a", "notebook, job", '"a b", "it\'s"' } .. ")" end,
	function() return "tags " .. pick { "= nightly", "!= nightly", '~ "n*"', "in (a, nightly)" } end,
	function() return "waiting " .. pick { "> 3", "= -2", "in (1, 2)", "< load" } end,
	function() return "load " .. pick { "> 50%", "< 0.25" } end,
	function() return pick { "connected", "a", "b", "state = idle" } end,
	function() return pick { 'during "weekdays 08:00-19:00"', 'during "sat-sun; 22:00-06:00"', 'started during "mon"', 'started > "2026-11-21 08:00"' } end,
}

local function random(depth)
	local n = math.random(10)
	if depth == 0 or n <= 4 then return pick(clauses)() end
	if n <= 6 then return "not " .. random(depth - 1) end
	local parts = {}
	for i = 1, math.random(2, 3) do parts[i] = "(" .. random(depth - 1) .. ")" end
	local text = table.concat(parts, n <= 8 and " and " or " or ")
	return math.random(3) == 1 and text:gsub("[()]", { ["("] = " ( ", [")"] = " ) " }) or text
end

local function maybe(v)
	if math.random(3) == 1 then return nil end
	return v
end

local function random_facts()
	return {
		memory = maybe(pick { 0, 1 << 29, 1 << 30, 3 << 29 }), limit = maybe(pick { 1 << 29, 1 << 30 }), idle = maybe(pick { 0, 30, 5400.0, 7201 }), age = maybe(pick { 30, 9000 }),
		waiting = maybe(pick { -2, 1, 4 }), load = maybe(pick { 0.1, 0.6, 4 }), kind = maybe(pick { "notebook", "a b", "it's", "and", "x*", "\\", "", "é", '"', "job" }),
		tags = maybe(pick { {}, { "nightly" }, { "a", "b" } }), started = maybe(pick { 1795298626, 1795000000.5 }), connected = maybe(pick { true, false }),
		a = maybe(pick { true, false }), b = maybe(pick { true, false }), state = maybe(pick { "idle", "busy" }),
		clock = maybe { weekday = pick { "mon", "sat", "sun" }, hour = pick { 3, 12, 23 }, minute = 0 },
	}
end

describe("a random filter", function()
	it("that is printed and read again answers the same, and prints the same", function()
		math.randomseed(4)
		local answers = { [true] = 0, [false] = 0, unknown = 0 }
		for _ = 1, 1500 do
			local text = random(3)
			local f, why = filter.parse(text, known)
			assert(f, why)
			local printed = filter.print(f)
			local g = assert(filter.parse(printed, known))
			assert.equal(printed, filter.print(g))
			assert.same(f.reads, g.reads)
			for _ = 1, 8 do
				local facts = random_facts()
				local v, clause = f.test(facts)
				local w, again = g.test(facts)
				assert.equal(v, w, text)
				assert.equal(clause, again)
				local said, explained = filter.explain(f, facts)
				assert.equal(v, said)
				assert.equal(clause, explained.clause)
				local key = v
				if v == nil then key = "unknown" end
				answers[key] = answers[key] + 1
			end
		end
		for answer, n in pairs(answers) do assert.truthy(n > 500, tostring(answer) .. ": " .. n) end
	end)

	it("that is known does not change its answer when more becomes known", function()
		math.randomseed(5)
		for _ = 1, 1000 do
			local f = assert(filter.parse(random(3), known))
			local less, more = random_facts(), random_facts()
			for k, v in pairs(less) do more[k] = v end
			local v = f.test(less)
			if v ~= nil then assert.equal(v, (f.test(more))) end
		end
	end)

	it("of broken words is refused with a place within it, or read, and never raises", function()
		math.randomseed(6)
		local words = { "memory", "kind", "and", "or", "not", "(", ")", ">", "=", "~", "in", "1g", "2h", '"', "'", ",", "\\", "\255", "\0", "80%", "of", "limit", "during", "-", "*", "é", "x", " ", "connected", "!" }
		for _ = 1, 5000 do
			local parts = {}
			for i = 1, math.random(12) do parts[i] = pick(words) end
			local text = table.concat(parts, pick { "", " " })
			local f, why, at = filter.parse(text, known)
			if not f then
				assert.truthy(at >= 1 and at <= #text + 1, text .. ": " .. why)
				assert.truthy(utf8.len(why), why)
			end
		end
	end)
end)

describe("a hostile filter", function()
	it("of brackets without end is refused at the first too many", function()
		assert.equal(33, select(3, filter.parse(("("):rep(4000), known)))
		assert.is_table((filter.parse(("("):rep(32) .. "a" .. (")"):rep(32), known)))
		assert.is_nil((filter.parse(("("):rep(33) .. "a" .. (")"):rep(33), known)))
		assert.is_nil((filter.parse(("not ("):rep(33) .. "a" .. (")"):rep(33), known)))
	end)
	it("of a hundred thousand nots is too long, and of a thousand is read", function()
		assert.truthy(select(2, filter.parse(("not "):rep(100000) .. "a", known)):find "up to 4096 characters")
		assert.equal("not a", filter.print(assert(filter.parse(("not "):rep(1001) .. "a", known))))
		assert.equal("a", filter.print(assert(filter.parse(("not "):rep(1000) .. "a", known))))
	end)
	it("of very many clauses is read, as long as it is short enough", function()
		local f = assert(filter.parse(("a or "):rep(800) .. "b", known))
		assert.is_true((f.test { a = false, b = true }))
		assert.is_nil((filter.parse(("a or "):rep(1000) .. "b", known)))
	end)
	it("that is no text is refused", function()
		for _, v in ipairs { 5, true, {}, print } do assert.is_nil((filter.parse(v, known))) end
		assert.is_nil((filter.parse(nil, known)))
	end)
	it("with the worst pattern for the worst text answers", function()
		local f = assert(filter.parse(('kind ~ "%s"'):format(("*a"):rep(127)), known))
		assert.is_false((f.test { kind = ("a"):rep(100) .. ("b"):rep(2000) }))
		f = assert(filter.parse(('kind ~ "*%sb*"'):format(("?"):rep(100)), known))
		assert.is_false((f.test { kind = ("\xc3" .. ("\x80"):rep(20)):rep(200) }))
		f = assert(filter.parse(('kind ~ "*%s"'):format(("?"):rep(100)), known))
		assert.is_true((f.test { kind = ("a"):rep(3000) }))
	end)
end)
