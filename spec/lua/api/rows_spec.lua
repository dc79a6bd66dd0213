require "spec.helper"
require("t_bind").preload()
local json = require "bind.json"
local rows = require "dss.api.rows"

local function all(list)
	local out, texts = {}, {}
	for row, text in rows.each(list) do
		out[#out + 1] = row
		texts[#texts + 1] = text
	end
	return out, texts
end

describe("rows of a list", function()
	local list = '[{"id":"a","n":5,"f":1.5,"big":9007199254740993,"yes":true,"no":false,"none":null,"t":"x\\"}\\u00e9","o":{"id":"inner","l":[1,{"id":2}]},"l":[],"neg":-3},{"id":"b"},{}]'

	it("are the texts that they were, and join to the same list", function()
		local _, texts = all(list)
		assert.equal(3, #texts)
		assert.equal('{"id":"b"}', texts[2])
		assert.equal(list, rows.join(texts))
		assert.same({}, (all "[]"))
		assert.equal("[]", rows.join {})
	end)

	it("read members as decoding does", function()
		local want = json.decode(list)
		local got = all(list)
		for _, key in ipairs { "id", "n", "f", "big", "yes", "no", "t", "o", "l", "neg", "nosuch" } do assert.same(want[1][key], got[1][key], key) end
		assert.equal("integer", math.type(got[1].big))
		assert.is_nil(got[1].none)
		assert.equal("b", got[2].id)
		assert.is_nil(got[3].id)
	end)

	it("may have blanks between their words", function()
		local got, texts = all ' [ { "a" : 1 , "b" : "x" , "c" : [ 1 , 2 ] } ,\n\t{"b":2}\n] '
		assert.same({ 1, "x", { 1, 2 }, 2 }, { got[1].a, got[1].b, { got[1].c[1], got[1].c[2] }, got[2].b })
		assert.equal(2, #texts)
	end)

	it("may be written", function()
		local got = all(list)
		got[2].n = 7
		assert.equal(7, got[2].n)
	end)

	it("are read however deep one of them is, and a list that breaks off raises", function()
		local deep = ("["):rep(2000) .. ("]"):rep(2000)
		local got = all('[{"error":' .. deep .. ',"id":"a"},{"id":"b"}]')
		assert.same({ "a", "b" }, { got[1].id, got[2].id })
		assert.has_error(function() all '[{"id":"a"},{"id":' end)
		assert.has_error(function() all '[{"id":"a"},5]' end)
		assert.has_error(function() all "x" end)
	end)
end)
