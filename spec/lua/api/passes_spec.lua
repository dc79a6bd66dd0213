local helper = require "spec.helper"
package.path = "lua/?.lua;" .. package.path
assert(helper)
local Passes = require "dss.api.passes"

describe("passes", function()
	local now, drawn, passes
	local ann = { login = "ann", is_admin = false, proof = "kabc123" }

	--- A signature that is another one for each key and text.
	local function sign(key)
		return function(text)
			local h = 5381
			for i = 1, #text do h = (h * 33 ~ text:byte(i)) & 0xffffffffffff end
			return ("%s%012x"):format(key, h)
		end
	end

	local function new(boot, key)
		return Passes.new { sign = sign(key or "a"), boot = boot or "1", now_s = function() return now end, random = function()
			drawn = drawn + 1
			return ("%08x"):format(drawn)
		end }
	end

	before_each(function()
		now, drawn = 1000, 0
		passes = new()
	end)

	it("a ticket names who it was made for, once", function()
		local ticket = passes:ticket(ann, "P", "page")
		assert.same({ login = "ann", proof = "kabc123", is_admin = false }, passes:redeem(ticket, "P", "page"))
		local who, why = passes:redeem(ticket, "P", "page")
		assert.is_nil(who)
		assert.equal("it was used before", why)
	end)
	it("an admin is one in it", function()
		assert.is_true(passes:redeem(passes:ticket({ login = "x", is_admin = true, proof = "s" }, "P", "page"), "P", "page").is_admin)
	end)
	it("it holds for a minute", function()
		local ticket = passes:ticket(ann, "P", "page")
		now = now + Passes.TICKET_S + 1
		local who, why = passes:redeem(ticket, "P", "page")
		assert.is_nil(who)
		assert.equal("its time is over", why)
	end)
	it("it holds for its webapp, this backend and this key alone, and is no cookie", function()
		local ticket = passes:ticket(ann, "P", "page")
		assert.is_nil((passes:redeem(ticket, "P", "other")))
		assert.is_nil((passes:redeem(ticket, "Q", "page")))
		assert.is_nil((new "2":redeem(ticket, "P", "page")))
		assert.is_nil((new("1", "b"):redeem(ticket, "P", "page")))
		assert.is_nil((passes:read(ticket, "P", "page")))
		assert.is_nil((passes:redeem(passes:cookie(ann, "P", "page"), "P", "page")))
		assert.is_truthy((passes:redeem(ticket, "P", "page")))
	end)
	it("no byte of it can be another, and nothing else is one", function()
		local ticket = passes:ticket(ann, "P", "page")
		for i = 1, #ticket do
			local c = ticket:sub(i, i)
			local other = c == "." and "0" or c == "1" and "2" or "1"
			assert.is_nil((passes:redeem(ticket:sub(1, i - 1) .. other .. ticket:sub(i + 1), "P", "page")), i)
		end
		for _, text in ipairs { "", ".", "a.b.c", ticket .. ".", ticket .. "0", "." .. ticket, ticket:rep(100), "1.1.1.1.1.1", "\0" } do
			assert.is_nil((passes:redeem(text, "P", "page")))
			assert.is_nil((passes:read(text, "P", "page")))
		end
		assert.is_truthy((passes:redeem(ticket, "P", "page")))
	end)
	it("what was used is remembered as long as it would hold, and no more are taken than can be remembered", function()
		local last
		for _ = 1, Passes.USED_MOST do
			last = passes:ticket(ann, "P", "page")
			assert.is_truthy((passes:redeem(last, "P", "page")))
		end
		local who, why = passes:redeem(passes:ticket(ann, "P", "page"), "P", "page")
		assert.is_nil(who)
		assert.matches("too many", why)
		assert.is_nil((passes:redeem(last, "P", "page")))
		now = now + Passes.TICKET_S + 1
		assert.is_truthy((passes:redeem(passes:ticket(ann, "P", "page"), "P", "page")))
		assert.equal(1, passes.count)
	end)
	it("a cookie is read as often as it is shown, until its time is over, also by the next backend", function()
		local cookie = passes:cookie(ann, "P", "page")
		assert.equal("ann", passes:read(cookie, "P", "page").login)
		assert.equal("ann", new "2":read(cookie, "P", "page").login)
		assert.is_nil((passes:read(cookie, "P", "other")))
		now = now + Passes.COOKIE_S + 1
		assert.is_nil((passes:read(cookie, "P", "page")))
	end)
end)
