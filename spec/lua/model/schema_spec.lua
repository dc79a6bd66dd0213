require "spec.helper"
require("t_bind").preload()
local S = require "dss.model.schema"
local Source = require "dss.model.source"
local place = require "dss.model.place"

--- Reads `value`, written as `text` in a file, by the shape. The value and the errors.
local function read(shape, value, text)
	local errors = {}
	local source = Source.new("config/dss.lua", text or "", errors)
	return S.read(shape, value, { source = source, line = 1, lines = source:lines(1) }), errors
end

describe("the schema", function()
	local shape = function() return S.record {
		port = S.int { most = 65535, default = 11200 }, limits = S.record { memory = S.size {} }, stop = S.duration {},
		mode = S.choice { words = { "auto", "none" } }, names = S.list { of = S.text {} }, env = S.map { of = S.text {} }, must = S.id { required = true },
	} end

	it("converts units and fills in defaults", function()
		local v, errors = read(shape(), { must = "x", stop = "2s", limits = { memory = "1k" } })
		assert.same({}, errors)
		assert.same({ must = "x", port = 11200, stop = 2000, limits = { memory = 1024 } }, v)
	end)
	it("names an unknown key with its own line and the nearest valid one", function()
		local _, errors = read(shape(), { must = "x", prot = 1 }, 'node {\n  must = "x",\n\n  prot = 1 }')
		assert.same({ 'config/dss.lua:4: unknown key "prot", did you mean "port"?' }, errors)
	end)
	it("lists what there is where nothing is near", function()
		local _, errors = read(S.record { a = S.text {}, b = S.text {} }, { zzzzz = 1 })
		assert.same({ 'config/dss.lua:1: unknown key "zzzzz"; there are a, b' }, errors)
	end)
	it("tells every error of a table, not the first alone", function()
		local _, errors = read(shape(), { port = 1.5, limits = { memory = "3q" }, mode = "atuo", names = { 1 }, env = { A = true }, stop = "x" })
		assert.equal(7, #errors)
		assert.matches('mode: the text "atuo" is none of: auto, none, did you mean "auto"?', table.concat(errors, "\n"), 1, true)
		assert.matches('"must" is missing', table.concat(errors, "\n"), 1, true)
	end)
	it("bears a key called line, whose place hides that of its table", function()
		local _, errors = read(S.record { env = S.map { of = S.text {} } }, { env = { line = 5, other = 6 } }, "node {\n env = {\n  line = 5, other = 6 } }")
		assert.equal(2, #errors)
		assert.matches("^config/dss.lua:%d: env.line: a text is wanted, not the number 5$", errors[1])
		assert.equal("config/dss.lua:3: env.other: a text is wanted, not the number 6", errors[2])
	end)
	it("refuses sizes and durations with which nobody could reckon", function()
		for _, size in ipairs { "1025p", math.maxinteger, "9223372036854775807" } do
			local v, errors = read(shape(), { must = "x", limits = { memory = size } })
			assert.is_nil(v.limits.memory)
			assert.truthy(errors[1]:find("too much", 1, true), errors[1])
		end
		for _, time in ipairs { "40000d", "106751991167d" } do
			local v, errors = read(shape(), { must = "x", stop = time })
			assert.is_nil(v.stop)
			assert.truthy(errors[1]:find("too much", 1, true), errors[1])
		end
		local _, errors = read(shape(), { must = "x", stop = "36500d", limits = { memory = "1024p" } })
		assert.same({}, errors)
	end)
	it("refuses functions where a word takes none", function()
		local _, errors = read(shape(), { must = "x", port = print })
		assert.same({ "config/dss.lua:1: port: a plain value is wanted here, not a function" }, errors)
	end)
end)

describe("the place of a key", function()
	it("is found through comments, texts, functions and nested tables", function()
		local lines = place.lines([==[
-- node { a = 1 }
local x = { 1 }
node {
  port = 5, -- x = 1
  ["y z"] = [[ a
  b ]], f = function (k) if k then return { q = 1 } end end,
  limits = {
    memory = "}" },
  kernel = java {
    heap = 1 } ; last = 5,
  'one', { two = 2 }
}]==], 3)
		assert.equal(4, lines.port.line)
		assert.equal(5, lines["y z"].line)
		assert.equal(8, lines.limits.memory.line)
		assert.equal(10, lines.kernel.heap.line)
		assert.equal(10, lines.last.line)
		assert.equal(11, lines[2].two.line)
		assert.is_nil(lines.q)
	end)
	it("is the same in a long file that is asked word by word, in any order", function()
		local text, marks = {}, {}
		for i = 1, 400 do text[i] = ('pool "p%d" { -- }\n  a = [[ {\n ]], b = "{", f = function () return {} end,\n  c = 1 }'):format(i) end
		text = table.concat(text, "\n")
		for _, i in ipairs { 1, 2, 399, 3, 200, 400, 1, 17 } do
			local line = (i - 1) * 4 + 1
			local lines = place.lines(text, line, marks)
			assert.same({ line + 1, line + 2, line + 2, line + 3 }, { lines.a.line, lines.b.line, lines.f.line, lines.c.line })
			assert.same(place.lines(text, line), lines)
		end
		assert.same({}, place.lines(text, 1601, marks))
	end)
	it("takes any text without raising", function()
		for _, text in ipairs { "", "{", "{ a =", '{ a = "', "{ [", "[[", "{ a = { b }", "}}}}" } do assert.is_table(place.lines(text, 1)) end
	end)
end)
