-- base: errors, buffers, maps, strict reading of numbers, sizes and durations, and log records.
require "spec.helper"
local t = require "t_base"

describe("an error", function()
	it("carries the errno and its text", function()
		local code, text, r = t.err(2, "unable to open /x")
		assert.same({ 2, "unable to open /x: No such file or directory", -1 }, { code, text, r })
	end)
	it("keeps the code when a caller says what it was doing", function()
		local code, text, r = t.err(13, "unable to open /x", "unable to start web")
		assert.same({ 13, "unable to start web: unable to open /x: Permission denied", -2 }, { code, text, r })
	end)
	it("without an errno has code 0", function()
		assert.same({ 0, "unable to read it: too odd", -1 }, { t.err(0, "unable to read it: too odd") })
	end)
	it("is cut where it would not fit, never overrun", function()
		local _, text = t.err(2, ("x"):rep(600), ("y"):rep(600))
		assert.equal(("y"):rep(511), text)
	end)
	it("may go unheard", function()
		assert.same({ -1, -1, -1 }, { t.err_null() })
	end)
end)

describe("a buffer", function()
	it("grows, keeps a NUL behind its bytes and is binary safe", function()
		local b = t.buf(100000)
		for i = 1, 1000 do assert.equal(0, b:put(("%04d\0"):format(i))) end
		local bytes, failed, is_terminated = b:look()
		assert.equal(5000, #bytes)
		assert.equal("0001\0000002\0", bytes:sub(1, 10))
		assert.is_false(failed)
		assert.is_true(is_terminated)
	end)
	it("refuses what passes its ceiling and changes nothing, also for later puts", function()
		local b = t.buf(8)
		assert.equal(0, b:put("12345678"))
		assert.equal(-1, b:put("9"))
		assert.equal(-1, b:put(""))
		local bytes, failed = b:look()
		assert.same({ "12345678", true }, { bytes, failed })
		b:clear()
		assert.equal(0, b:print("abcdef"))
		assert.equal("<abcdef>", (b:look()))
		assert.equal(-1, b:print(""))
		assert.equal("<abcdef>", (b:look()))
	end)
	it("drops from the front, at most what it has", function()
		local b = t.buf(100)
		b:drop(5)
		b:put("hello world")
		b:drop(6)
		assert.equal("world", (b:look()))
		b:drop(60)
		assert.equal("", (b:look()))
	end)
	it("gives its bytes away and is empty after", function()
		local b = t.buf(100)
		assert.equal("", b:steal())
		b:put("mine")
		assert.equal("mine", b:steal())
		assert.equal("", (b:look()))
		b:put("again")
		assert.equal("again", (b:look()))
	end)
end)

describe("a map", function()
	it("finds what was set, replaces, and forgets what was removed", function()
		local m = t.map()
		assert.is_nil(m:get("a"))
		assert.equal(0, m:set("a", 1))
		assert.equal(0, m:set("b", 2))
		assert.equal(0, m:set("a", 3))
		assert.same({ 3, 2, 2 }, { m:get("a"), m:get("b"), m:count() })
		assert.equal(3, m:remove("a"))
		assert.is_nil(m:remove("a"))
		assert.is_nil(m:get("a"))
		assert.equal(1, m:count())
	end)
	it("agrees with a plain table over many random steps", function()
		for _, key_of in ipairs { function(n) return "key" .. n end, function(n) return n * 0x100000001 - 5 end } do
			local m, model, count = t.map(), {}, 0
			math.randomseed(42)
			for step = 1, 50000 do
				local n = math.random(1, 700)
				local key = key_of(n)
				if math.random() < 0.5 then
					if not model[n] then count = count + 1 end
					model[n] = step
					m:set(key, step)
				else
					assert.equal(model[n], m:remove(key))
					if model[n] then count = count - 1 end
					model[n] = nil
				end
				assert.equal(count, m:count())
			end
			for n = 1, 700 do assert.equal(model[n], m:get(key_of(n))) end
		end
	end)
	it("is walked once over each entry, also while the walker removes what it stands on", function()
		local m, seen, n = t.map(), {}, 0
		for i = 1, 1000 do m:set("k" .. i, i) end
		local value, cursor = m:next(0)
		while value do
			assert.is_nil(seen[value])
			seen[value] = true
			n = n + 1
			if value % 3 > 0 then assert.equal(value, m:remove("k" .. value)) end
			value, cursor = m:next(cursor)
		end
		assert.equal(1000, n)
		assert.equal(333, m:count())
		for i = 1, 1000 do assert.equal(i % 3 == 0 and i or nil, m:get("k" .. i)) end
	end)
	it("takes every number as a key", function()
		local m = t.map()
		for i, key in ipairs { 0, -1, math.mininteger, math.maxinteger } do m:set(key, i) end
		assert.same({ 1, 2, 3, 4 }, { m:get(0), m:get(-1), m:get(math.mininteger), m:get(math.maxinteger) })
	end)
end)

local function each(cases, fn)
	for given, wanted in pairs(cases) do assert.equal(wanted, (fn(given)), given) end
end
local function refuses(fn, list)
	for _, given in ipairs(list) do
		local value, why = fn(given)
		assert.is_nil(value, given)
		assert.matches("^unable to read %a+ \".*\": .+", why)
	end
end

describe("a number", function()
	it("is read up to the ends of 64 bits", function()
		each({ ["0"] = 0, ["-1"] = -1, ["007"] = 7, ["9223372036854775807"] = math.maxinteger,
			["-9223372036854775808"] = math.mininteger }, t.int)
	end)
	it("is nothing else than a number", function()
		refuses(t.int, { "", "-", "+1", " 1", "1 ", "1x", "0x10", "1.0", "1e3", "--1", "9223372036854775808",
			"-9223372036854775809", "99999999999999999999999", "١" })
	end)
	it("outside its limits is refused with the limits", function()
		local _, why = t.int("70000", 1, 65535)
		assert.equal('unable to read number "70000": not in 1 to 65535', why)
		assert.equal(65535, t.int("65535", 1, 65535))
		assert.is_nil((t.int("0", 1, 65535)))
	end)
	it("is quoted harmlessly when refused", function()
		local _, why = t.int("1\n\27[2J")
		assert.equal('unable to read number "1\\n\\x1b[2J": not a whole number', why)
	end)
end)

describe("a size", function()
	it("has binary units in either case", function()
		each({ ["0"] = 0, ["123"] = 123, ["64k"] = 65536, ["512m"] = 512 << 20, ["3g"] = 3 << 30, ["3G"] = 3 << 30,
			["3gb"] = 3 << 30, ["3GiB"] = 3 << 30, ["1.5g"] = 3 << 29, ["0.25k"] = 256, ["2t"] = 2 << 40, ["1p"] = 1 << 50,
			["17b"] = 17, ["17B"] = 17 }, t.size)
	end)
	it("is refused where it is not one, has no fraction of a byte and does not overflow", function()
		refuses(t.size, { "", "g", "-1g", "1.g", ".5g", "1.5", "1 g", "1gg", "1gi", "1ib", "1bb", "1kk", "1.0000000001g",
			"8192p", "9223372036854775808", "1e3", "1g " })
	end)
end)

describe("a duration", function()
	it("has units, sums of units, and seconds when bare", function()
		each({ ["0"] = 0, ["250ms"] = 250, ["30s"] = 30000, ["30"] = 30000, ["10min"] = 600000, ["12h"] = 43200000,
			["3d"] = 259200000, ["1w"] = 604800000, ["1h30min"] = 5400000, ["1w2d3h4min5s6ms"] = 788645006,
			["1.5h"] = 5400000, ["0.5"] = 500 }, t.duration)
	end)
	it("is refused where it is ambiguous, repeated, out of order or not one", function()
		refuses(t.duration, { "", "s", "5m", "-1s", "1 s", "1s ", "1h30", "30min1h", "1h1h", "1x", "1S", "1.s",
			"99999999999w", "9223372036854775807" })
	end)
end)

describe("an id", function()
	it("follows the one grammar", function()
		for _, id in ipairs { "a", "_", "0", "fek-12", "A.b:c(d)-e", ("x"):rep(128) } do assert.is_true(t.is_id(id), id) end
	end)
	it("is no path, no blank, no control, not empty and not too long", function()
		for _, id in ipairs { "", ".", "-a", ":a", "a..b", "a/b", "a b", "a\0", "\0", "a\n", "é", ("x"):rep(129), "a..",
			"a%2f" } do
			assert.is_false(t.is_id(id), id)
		end
	end)
end)

describe("printing", function()
	it("shows sizes with one decimal where it matters", function()
		each({ [0] = "0 B", [17] = "17 B", [1023] = "1023 B", [1024] = "1.0 KB", [10240] = "10 KB", [512 << 20] = "512 MB",
			[3 << 30] = "3.0 GB", [(1 << 30) - 1] = "1.0 GB", [(1 << 20) - 1] = "1.0 MB", [429496730] = "410 MB",
			[1 << 40] = "1.0 TB", [-(3 << 30)] = "-3.0 GB", [math.maxinteger] = "8.0 EB", [math.mininteger] = "-8.0 EB",
			[9 << 20] = "9.0 MB" }, t.print_size)
	end)
	it("shows durations in their two largest units", function()
		each({ [0] = "0 ms", [250] = "250 ms", [999] = "999 ms", [1000] = "1 s", [2500] = "2.5 s", [59999] = "59.9 s",
			[60000] = "1 min", [90000] = "1 min 30 s", [4320000] = "1 h 12 min", [3600000] = "1 h",
			[273600000] = "3 d 4 h", [-4320000] = "-1 h 12 min" }, t.print_duration)
		assert.matches("^%-%d+ d", t.print_duration(math.mininteger))
	end)
	it("escapes controls, bytes that are not UTF-8, and marks that turn text around", function()
		each({ ["a\nb\r\t"] = "a\\nb\\r\\t", ["\27[2J"] = "\\x1b[2J", ["\0"] = "\\x00", ["\127"] = "\\x7f", ["é€😀"] = "é€😀",
			["\xff\xc3"] = "\\xff\\xc3", ["\xc0\xaf"] = "\\xc0\\xaf", ["\xed\xa0\x80"] = "\\xed\\xa0\\x80",
			["\u{9b}2J"] = "\\xc2\\x9b2J", ["\u{202e}"] = "\\xe2\\x80\\xae" }, t.escape)
	end)
	it("cuts an escaped text between pieces", function()
		assert.equal("ab\\n", t.escape("ab\ncd", 5))
		assert.equal("ab", t.escape("ab\ncd", 4))
		assert.equal("", t.escape("é", 2))
		assert.equal("", t.escape("abc", 1))
	end)
end)

describe("a secret", function()
	it("is the same only when every byte is", function()
		assert.is_true(t.is_same_secret("abc\0d", "abc\0d"))
		assert.is_false(t.is_same_secret("abc\0d", "abc\0e"))
		assert.is_false(t.is_same_secret("Xbc", "abc"))
		assert.is_true(t.is_same_secret("", ""))
	end)
end)

describe("did you mean", function()
	it("finds the nearest word within two edits, a swap being one", function()
		assert.equal("every", t.nearest("evry", "each", "every", "very-far"))
		assert.equal("where", t.nearest("whree", "when", "where"))
		assert.equal("memory", t.nearest("memroy", "memory", "threads"))
		assert.equal("threads", t.nearest("treadz", "memory", "threads"))
	end)
	it("is silent where nothing is near or the word is too short to tell", function()
		assert.is_nil(t.nearest("colour", "every", "where"))
		assert.is_nil(t.nearest("ab", "ac", "bb"))
		assert.is_nil(t.nearest("", "a"))
		assert.is_nil(t.nearest("abcd", "efcd"))
		assert.is_nil(t.nearest(("x"):rep(500), ("x"):rep(499)))
		assert.is_nil(t.nearest("word"))
	end)
end)

describe("a log record", function()
	local out, into
	before_each(function() out, into = t.pipe() end)
	after_each(function() t.close(out) t.close(into) end)

	it("is one line with time, level and program, whatever the text holds", function()
		t.log_into(into, 1, "started\n2026-01-01T00:00:00.000Z ERROR forged: \27[31mx")
		local line = t.drain(out)
		assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ INFO spec: started\\n2026", line)
		assert.matches("\\x1b%[31mx\n$", line)
		assert.equal(1, select(2, line:gsub("\n", "")))
	end)
	it("below the least level is not written", function()
		t.log_into(into, 0, "chatter")
		assert.equal("", t.drain(out))
	end)
	it("that is far too long is cut and still ends its line", function()
		t.log_into(into, 3, ("\1"):rep(9000))
		local line = t.drain(out)
		assert.is_true(#line <= 4096 and #line > 3000)
		assert.matches(" ERROR spec: \\x01.*\n$", line)
	end)
	it("that would block is dropped, and the next that fits says how many were", function()
		local text = ("x"):rep(1500)
		for _ = 1, 9 do t.log_into(into, 1, text) end
		local _, written = t.drain(out):gsub("\n", "")
		assert.is_true(written >= 1 and written < 9)
		t.log_into(into, 1, "again")
		local lines = t.drain(out)
		local lost, told = lines:match("WARN spec: lost (%d+) log records.-\n.-INFO spec: (%a+)\n$")
		assert.equal("again", told)
		assert.equal(9 - written, tonumber(lost))
	end)
end)
