-- The board's events: what a follower is told of rows and their numbers, in pieces and whole.
require "spec.helper"
local t_board = require "t_board"
local json = require "t_json"

--- One event as data; nil: there was none.
local function event(text) return text ~= "" and assert(json.decode(assert(text:match "^event: board\ndata: ([^\n]*)\n\n$", text))) or nil end

--- All that is new to that place, in pieces of about so many bytes: rows' texts, numbers, how many pieces, ids that went.
local function tell(b, place, most)
	local rows, numbers, gone, pieces, is_more = {}, {}, {}, 0, true
	while is_more do
		local text
		text, is_more = b:put(place, most or 1 << 20)
		local e = event(text)
		pieces = pieces + (e and 1 or 0)
		for _, row in ipairs(e and e.rows or {}) do rows[row.id] = row.what end
		for _, n in ipairs(e and e.numbers or {}) do numbers[n[1]] = n[2] end
		for _, id in ipairs(e and e.gone or {}) do gone[#gone + 1] = id end
	end
	return rows, numbers, pieces, gone
end

describe("the board", function()
	local b
	before_each(function() b = t_board.new() end)

	it("tells rows and numbers once, then what changed", function()
		local place = b:place()
		b:look { { "a", "one", 100 }, { "b", "two", 200 } }
		local rows, numbers = tell(b, place)
		assert.same({ { a = "one", b = "two" }, { a = 100, b = 200 } }, { rows, numbers })
		b:look { { "a", "one", 100 }, { "b", "two", 300 } }
		rows, numbers = tell(b, place)
		assert.same({ {}, { b = 300 } }, { rows, numbers })
		b:look { { "a", "one", 100 }, { "b", "two", 300 } }
		assert.equal("", (b:put(place, 1 << 20)))
	end)

	it("loses no number of a row that stays while what else is new takes several pieces", function()
		local place, many = b:place(), { { "a", "one", 100 } }
		b:look(many)
		tell(b, place)
		many[1][3] = 900
		b:look(many)
		for i = 1, 50 do many[#many + 1] = { "x" .. i, "new", i } end
		b:look(many)
		local rows, numbers, pieces = tell(b, place, 500)
		assert.is_true(pieces > 3)
		assert.equal("new", rows.x50)
		assert.equal(900, numbers.a)
		assert.equal("", (b:put(place, 500)))
	end)

	it("tells who begins of what is there, not of what went before", function()
		b:look { { "a", "one", 100 }, { "b", "two", 200 } }
		b:look { { "b", "two", 200 } }
		local place = b:place()
		local rows, _, _, gone = tell(b, place)
		assert.same({ { b = "two" }, {} }, { rows, gone })
		b:look {}
		_, _, _, gone = tell(b, place)
		assert.same({ "b" }, gone)
	end)

	it("tells what went between two pieces of the first", function()
		local many = {}
		for i = 1, 50 do many[i] = { "x" .. i, "new", i } end
		b:look(many)
		local place = b:place()
		local first, is_more = b:put(place, 500)
		assert.is_true(is_more)
		assert.equal("x1", event(first).rows[1].id)
		table.remove(many, 1)
		b:look(many)
		local rows, _, _, gone = tell(b, place, 500)
		assert.same({ "x1" }, gone)
		assert.equal("new", rows.x50)
	end)

	it("has rows whose tags are too long, without them", function()
		local place = b:place()
		b:look { { "a", "one", 100, ("t"):rep(200000) }, { "b", "two", 200, "short" } }
		local e = event((b:put(place, 1 << 20)))
		assert.same({ "one", "two" }, { e.rows[1].what, e.rows[2].what })
		assert.is_nil(e.rows[1].tags)
		assert.same({ "short" }, e.rows[2].tags)
	end)

	local JOBS, MACROS, ALERTS = 1, 8, 16

	it("tells the end of what began and ended between two looks: to whose it is, and to admins", function()
		local bobs, eves, admins = b:place(), b:place(), b:place()
		b:look { { "a", "one", 100 } }
		for place, login in pairs { [bobs] = "bob", [eves] = "eve" } do b:put(place, 1 << 20, login) end
		b:put(admins, 1 << 20)
		b:topics()
		b:ended("bob", "SALES", "quick")
		assert.equal(JOBS, b:topics())
		assert.same({ "job:SALES/quick" }, event((b:put(bobs, 1 << 20, "bob"))).gone)
		assert.same({ "job:SALES/quick" }, event((b:put(admins, 1 << 20))).gone)
		assert.equal("", (b:put(eves, 1 << 20, "eve")))
		b:look { { "a", "one", 100 } }
		assert.equal("", (b:put(bobs, 1 << 20, "bob")))
		-- once more where what can be asked of it changed after it had gone; the same name may be somebody else's next
		b:ended("bob", "SALES", "quick")
		assert.same({ "job:SALES/quick" }, event((b:put(bobs, 1 << 20, "bob"))).gone)
		b:ended("eve", "SALES", "quick")
		assert.same({ "job:SALES/quick" }, event((b:put(eves, 1 << 20, "eve"))).gone)
		assert.equal("", (b:put(bobs, 1 << 20, "bob")))
	end)

	it("tells such an end to who comes back, and nothing of it to who begins", function()
		local place = b:place()
		b:look { { "a", "one", 100 } }
		local rev = event((b:put(place, 1 << 20))).rev:match "%-(%d+)$"
		b:ended("bob", "SALES", "quick")
		assert.same({ "job:SALES/quick" }, event((b:put(assert(b:find(math.tointeger(tonumber(rev)))), 1 << 20))).gone)
		assert.is_nil(event((b:put(b:place(), 1 << 20))).gone)
	end)

	it("keeps a bounded number of ends while nobody looks; who comes back after more begins anew", function()
		b:ended("bob", "SALES", "nobody ever looked")
		b:look { { "a", "one", 100 } }
		local rev = math.tointeger(tonumber((event((b:put(b:place(), 1 << 20))).rev:match "%-(%d+)$")))
		for i = 1, 4096 do b:ended("bob", "SALES", "job" .. i) end
		assert.equal(4096, #event((b:put(assert(b:find(rev)), 1 << 30))).gone)
		b:ended("bob", "SALES", "one more")
		assert.is_nil(b:find(rev))
	end)

	it("knows which topics changed since a rev, for who was away meanwhile", function()
		b:look { { "a", "one", 100 } }
		local function rev() return math.tointeger(tonumber((event((b:put(b:place(), 1 << 20))).rev:match "%-(%d+)$"))) end
		local first = rev()
		assert.equal(0, b:topics_since(first))
		b:note(ALERTS)
		local second = rev()
		b:note(MACROS)
		b:ended("bob", "SALES", "quick")
		assert.equal(ALERTS | MACROS | JOBS, b:topics())
		assert.equal(0, b:topics())
		assert.equal(ALERTS | MACROS | JOBS, b:topics_since(first))
		assert.equal(MACROS | JOBS, b:topics_since(second))
		assert.equal(0, b:topics_since(rev()))
	end)
end)
