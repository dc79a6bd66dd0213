require "spec.helper"
local when = require "dss.text.when"
local mark = require "dss.text.mark"

local function at(text)
	local weekday, hour, minute = text:match "(%l+) (%d+):(%d+)"
	return { weekday = weekday, hour = tonumber(hour), minute = tonumber(minute) }
end

local names = { "mon", "tue", "wed", "thu", "fri", "sat", "sun" }

describe("times of the week", function()
	it("are days, hours, or both", function()
		for text, cases in pairs {
			["weekdays 08:00-19:00"] = { ["mon 08:00"] = true, ["fri 18:59"] = true, ["fri 19:00"] = false, ["sat 12:00"] = false, ["mon 07:59"] = false },
			["sat-sun"] = { ["sat 00:00"] = true, ["sun 23:59"] = true, ["mon 00:00"] = false },
			["daily 07:30-20:00"] = { ["wed 07:30"] = true, ["sun 20:00"] = false },
			["08:00-12:00"] = { ["sun 08:00"] = true, ["sun 12:00"] = false },
			["weekends 10:00-24:00"] = { ["sat 23:59"] = true, ["sun 09:59"] = false },
			["mon"] = { ["mon 00:00"] = true, ["tue 00:00"] = false },
			["Monday 8:00-9:00"] = { ["mon 08:30"] = true },
			["fri-mon"] = { ["sun 12:00"] = true, ["mon 12:00"] = true, ["tue 12:00"] = false },
			["weekdays,sat 08:00-12:00"] = { ["mon 13:00"] = false, ["sat 08:00"] = true },
		} do
			local o = assert(when.parse(text))
			for now, wanted in pairs(cases) do assert.equal(wanted, when.is_in(o, at(now)), text .. " at " .. now) end
		end
	end)

	it("go on over midnight, also from Sunday into Monday", function()
		local o = assert(when.parse "mon,wed 22:00-06:00")
		for now, wanted in pairs { ["mon 22:00"] = true, ["tue 05:59"] = true, ["tue 06:00"] = false, ["mon 05:00"] = false, ["wed 21:59"] = false, ["thu 00:00"] = true } do
			assert.equal(wanted, when.is_in(o, at(now)), now)
		end
		o = assert(when.parse "sun 22:00-06:00")
		assert.is_true(when.is_in(o, at "mon 05:59"))
		assert.is_false(when.is_in(o, at "mon 06:00"))
		assert.is_false(when.is_in(o, at "sun 05:00"))
	end)

	it("add up, joined by ; or behind hours by a comma", function()
		for _, text in ipairs { "weekdays 08:00-12:00,13:00-17:00; sat", "weekdays 08:00-12:00, 13:00-17:00, sat", "weekdays 08:00-12:00; weekdays 13:00-17:00; sat" } do
			local o = assert(when.parse(text))
			assert.is_true(when.is_in(o, at "tue 13:00"), text)
			assert.is_false(when.is_in(o, at "tue 12:30"), text)
			assert.is_true(when.is_in(o, at "sat 03:00"), text)
			assert.is_false(when.is_in(o, at "sun 13:30"), text)
		end
	end)

	it("say at which character they stop being times, and which day was meant", function()
		for text, case in pairs {
			["weekdys 08:00-19:00"] = { 1, 'did you mean "weekdays"?' }, ["mon,teu"] = { 5, 'did you mean "tue"?' }, ["mon 08:00"] = { 10, '"-"' },
			["mon 8:70-9:00"] = { 5, "between 00:00 and 24:00" }, ["mon 25:00-26:00"] = { 5, "between 00:00 and 24:00" }, ["mon,"] = { 5, "a day" },
			["mon-"] = { 5, "a day" }, [""] = { 1, "a day or a time" }, ["08:00-08:00"] = { 1, "same time" }, ["24:00-08:00"] = { 1, "begins at 00:00" },
			["mon 08:00-09:00 x"] = { 17, '";"' }, ["mon 08:00-09:00;"] = { 17, "a day" }, ["\27[31m"] = { 1, "a day" }, ["m\xff"] = { 1, "unknown day" },
		} do
			local o, why, place = when.parse(text)
			assert.is_nil(o, text)
			assert.equal(case[1], place, why)
			assert.truthy(why:find(("character %d: "):format(case[1]), 1, true), why)
			assert.truthy(why:find(case[2], 1, true), why)
			assert.is_nil(why:find "%c")
			assert.truthy(utf8.len(why))
		end
		assert.is_nil((when.parse(("mon,"):rep(1000))))
		assert.is_nil((when.parse(5)))
		assert.is_nil((when.parse("mon," .. ("x"):rep(400))))
	end)

	it("are printed in one way, which reads as the same times", function()
		for text, printed in pairs {
			["sat-sun"] = "weekends", ["mon-fri 8:00-9:00"] = "weekdays 08:00-09:00", ["08:00-09:00"] = "daily 08:00-09:00", ["tue, mon"] = "mon,tue",
			["fri-mon 22:00-06:00 ; wed"] = "mon,fri-sun 22:00-06:00; wed", ["mon-sun"] = "daily",
		} do
			assert.equal(printed, when.print(assert(when.parse(text))))
		end
		math.randomseed(7)
		for _ = 1, 300 do
			local items = {}
			for i = 1, math.random(3) do
				local day = names[math.random(7)] .. (math.random(2) == 1 and "-" .. names[math.random(7)] or "")
				local from, to = math.random(0, 1439), math.random(1, 1440)
				local hours = from ~= to and math.random(3) > 1 and (" %02d:%02d-%02d:%02d"):format(from // 60, from % 60, to // 60, to % 60) or ""
				items[i] = day .. hours
			end
			local text = table.concat(items, "; ")
			local a = assert(when.parse(text))
			local b = assert(when.parse(when.print(a)))
			assert.equal(when.print(a), when.print(b))
			for _ = 1, 50 do
				local now = { weekday = names[math.random(7)], hour = math.random(0, 23), minute = math.random(0, 59) }
				assert.equal(when.is_in(a, now), when.is_in(b, now), text)
			end
		end
	end)
end)

describe("a mark", function()
	it("points below the character, whatever stands before it", function()
		assert.equal("memroy > 1g\n^", mark.point("memroy > 1g", 1))
		assert.equal("a = é and x\n          ^", mark.point("a = é and x", 12))
		assert.equal("a ?[31m? x\n         ^", (mark.point("a \xff[31m\xfe x", 10)))
		assert.is_nil(mark.point("a\27\n\0b", 5):sub(1, 5):find "[%c]")
	end)
	it("shows what is near in a long text", function()
		local shown = mark.point(("a"):rep(1000) .. "X" .. ("b"):rep(1000), 1001)
		local line, caret = shown:match "^(.*)\n(.*)$"
		assert.equal("X", line:sub(#caret, #caret))
		assert.truthy(#line < 200)
	end)
end)
