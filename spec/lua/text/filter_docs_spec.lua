-- docs/filters.md is run: every example of it, every mistake, every fact.
local helper = require "spec.helper"
local facts = require "dss.model.facts"
local filter = require "dss.text.filter"
local size = require "dss.text.size"

local page = assert(helper.read "docs/filters.md")

-- what the page says of the facts it uses
local known = {
	memory = { type = "size" }, limit = { type = "size" }, idle = { type = "duration" }, age = { type = "duration" }, waiting = { type = "count" },
	progress = { type = "number" }, kind = { type = "text" }, user = { type = "text" }, pool = { type = "text" }, title = { type = "text" },
	tags = { type = "list" }, started = { type = "time" }, connected = { type = "flag" },
}

local function list(v)
	local out = {}
	for s in v:gmatch "[^,]+" do out[#out + 1] = s end
	return out
end

local read = {
	size = function(v) return assert(size.parse(v)) end,
	duration = function(v) return assert(tonumber(v)) end,
	count = function(v) return assert(math.tointeger(tonumber(v))) end,
	number = function(v) return assert(tonumber(v)) end,
	text = function(v) return v end,
	list = list,
	flag = function(v) return v == "yes" end,
	time = function(v)
		local year, month, day, hour, min = v:match "^(%d+)-(%d+)-(%d+) (%d+):(%d+)$"
		return os.time { year = year, month = month, day = day, hour = hour, min = min }
	end,
}

local function facts_of(text)
	local out, at = {}, 1
	while at <= #text do
		local name, value, stop
		for _, form in ipairs { '^%s*([%l_]+)="([^"]*)"()', "^%s*([%l_]+)='([^']*)'()", "^%s*([%l_]+)=(%S+)()" } do
			if not name then name, value, stop = text:match(form, at) end
		end
		assert(name, text)
		if name == "clock" then
			local weekday, hour, minute = value:match "^(%l+) (%d+):(%d+)$"
			out.clock = { weekday = weekday, hour = tonumber(hour), minute = tonumber(minute) }
		else
			out[name] = read[known[name].type](value)
		end
		at = stop
	end
	return out
end

local answers = { ["true"] = { true }, ["false"] = { false }, unknown = {} }
local wrongs, examples, n = {}, {}, 0
for line in page:gmatch "[^\n]+" do
	local text, of, answer = line:match "^| `(.-)` | (.-) ?| (%l+) |$"
	local mistake, said = line:match "^| `(.-)` | (character .*) |$"
	if mistake then wrongs[#wrongs + 1] = { mistake, said }
	elseif text and answers[answer] then examples[#examples + 1] = { text, of, answer } end
end

describe("docs/filters.md", function()
	for _, e in ipairs(examples) do
		n = n + 1
		it(("says rightly what %s is of %s (%d)"):format(e[1], e[2] == "" and "nothing" or e[2], n), function()
			local f = assert(filter.parse(e[1], known))
			local v = f.test(facts_of(e[2]))
			assert.equal(answers[e[3]][1], v)
			local again = assert(filter.parse(filter.print(f), known))
			assert.equal(answers[e[3]][1], (again.test(facts_of(e[2]))))
		end)
	end
	for _, w in ipairs(wrongs) do
		it(("tells rightly what is wrong in %s"):format(w[1]), function()
			local f, why = filter.parse(w[1], known)
			assert.is_nil(f)
			assert.equal("unable to read the filter: " .. w[2], why)
		end)
	end

	it("has an example of every operator and of every type", function()
		assert.truthy(#examples >= 40, #examples)
		assert.truthy(#wrongs >= 10, #wrongs)
		local seen, types = {}, {}
		for _, e in ipairs(examples) do
			local f = assert(filter.parse(e[1], known))
			for _, c in pairs(f.clauses) do
				seen[c.op] = true
				types[c.type or "time"] = true
			end
		end
		for _, op in ipairs { "=", "!=", "<", "<=", ">", ">=", "in", "~", "flag", "during" } do assert.is_true(seen[op], op) end
		for _, t in ipairs { "size", "duration", "count", "number", "text", "list", "flag", "time" } do assert.is_true(types[t], t) end
	end)

	it("shows filters in its first lines that are right for the lists they are used on", function()
		local count = 0
		for verb, text in page:gmatch "dssctl (%l+)[^\n']*'([^'\n]*)'" do
			assert(filter.parse(text, facts.of(verb == "ps" and "process" or "task")))
			count = count + 1
		end
		assert.equal(3, count)
		assert(filter.parse(page:match "'where=([^']*)'", facts.of "task"))
	end)

	it("names every fact of every kind, with its type and meaning, and no other", function()
		for kind, title in pairs { process = "Processes", task = "Tasks", pool = "Pools", recipe = "Recipes", webapp = "Webapps", user = "Users", node = "The node", board = "The board" } do
			local part = assert(page:match("\n### " .. title .. "[^\n]*\n(.*)"), title):gsub("\n###.*", "")
			local want, got = {}, {}
			for i, d in ipairs(facts.docs(kind)) do want[i] = ("| `%s` | %s | %s |"):format(d.name, d.type, d.doc) end
			for line in part:gmatch "| `[^\n]*" do got[#got + 1] = line end
			assert.same(want, got, kind)
		end
	end)
end)
