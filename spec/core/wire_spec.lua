local helper = require "spec.helper"
local wire = require "t_wire"

-- One valid message of each kind: every required field, and some that may repeat.
local fields = wire.fields()
local function sample(m)
	local list = {}
	for name in m.required:gmatch("%S+") do
		list[#list + 1] = name
		if fields[name].type == "I" then list[#list + 1] = #list * 1000003 - 7 else list[#list + 1] = "a " .. name end
	end
	list[#list + 1], list[#list + 2] = "env", "A=1"
	list[#list + 1], list[#list + 2] = "env", "B=\xff\n"
	list[#list + 1], list[#list + 2] = "secrets", "x\0y\0"
	return list, wire.encode(m.name, list)
end

-- A frame by hand, so that it may lie.
local function frame(type, body, nfds)
	return string.pack("<I4I2I2", #body + 4, type, nfds or 0) .. body
end
local function field(number, bytes, len)
	return string.pack("<I2I4", number, len or #bytes) .. bytes
end

describe("the wire's tables", function ()
	it("are the ones docs/architecture.md shows", function ()
		local doc = {}
		local text = helper.read("docs/architecture.md"):match("## The wire\n(.-)\n## ")
		for n, name, from, to, required in text:gmatch("\n| (%d+) | ([%w_]+) | (%a+) | (%a+) | ([%w_ ]*)|") do
			doc[#doc + 1] = { number = tonumber(n), name = name, from = from, to = to, required = (required:gsub("%s+$", "")) }
		end
		assert.is_true(#doc > 0)
		assert.same(doc, wire.messages())
	end)

	it("name only fields that exist, and give no number twice", function ()
		local seen = {}
		for _, m in ipairs(wire.messages()) do
			assert.is_nil(seen[m.number])
			seen[m.number] = true
			for name in m.required:gmatch("%S+") do assert.is_table(fields[name], m.name .. " needs " .. name) end
		end
		seen = {}
		for name, f in pairs(fields) do
			assert.is_nil(seen[f.number], name)
			assert.is_true(f.number < 128)
			seen[f.number] = true
		end
	end)
end)

describe("a frame", function ()
	it("comes back as it was written, for every message", function ()
		for _, m in ipairs(wire.messages()) do
			local list, bytes = sample(m)
			local used, got = wire.parse(bytes)
			assert.equal(#bytes, used)
			assert.equal(m.name, got.name)
			for i = 1, #list - 6, 2 do assert.equal(list[i + 1], got[list[i]], m.name .. "." .. list[i]) end
			assert.same({ "A=1", "B=\xff\n" }, got.env)
			assert.equal("x\0y\0", got.secrets)
			assert.is_true(wire.check(bytes, m.from:sub(1, 1)))
		end
	end)

	it("carries the extremes of numbers and empty texts", function ()
		local _, got = wire.parse(wire.encode("spawn", { "req", math.mininteger, "value", math.maxinteger, "id", "", "secrets", "" }))
		assert.equal(math.mininteger, got.req)
		assert.equal(math.maxinteger, got.value)
		assert.equal("", got.id)
		assert.equal("", got.secrets)
	end)

	it("is not whole at any shorter length", function ()
		for _, m in ipairs(wire.messages()) do
			local _, bytes = sample(m)
			for n = 0, #bytes - 1 do assert.equal(0, (wire.parse(bytes:sub(1, n)))) end
			local used = wire.parse(bytes .. "next")
			assert.equal(#bytes, used)
		end
	end)

	it("is refused by its writer when it is too large, and what stood before it stays", function ()
		local bytes, left = wire.encode("note", { "req", 1, "text", ("x"):rep(wire.FRAME_MAX) })
		assert.is_nil(bytes)
		assert.equal(0, left)
		assert.is_string((wire.encode("note", { "req", 1, "text", ("x"):rep(wire.FRAME_MAX - 40) })))
	end)

	it("with an impossible length or too many descriptors is none", function ()
		for _, bytes in ipairs { "\0\0\0\0", "\3\0\0\0", "\xff\xff\xff\xff", string.pack("<I4", wire.FRAME_MAX + 1) } do
			local used, why = wire.parse(bytes)
			assert.is_nil(used)
			assert.matches("^unable to read frame: its length %d+", why)
		end
		local used, why = wire.parse(frame(2, "", 5))
		assert.is_nil(used)
		assert.matches("5 descriptors", why)
	end)
end)

describe("the check of a message", function ()
	local function refused(bytes, from, why)
		local ok, text = wire.check(bytes, from)
		assert.is_nil(ok)
		assert.matches(why, text, 1, true)
	end

	it("names the message and the field that lacks", function ()
		for _, m in ipairs(wire.messages()) do
			for skip in m.required:gmatch("%S+") do
				local list = {}
				for name in m.required:gmatch("%S+") do
					if name ~= skip then
						list[#list + 1] = name
						list[#list + 1] = fields[name].type == "I" and 1 or "x"
					end
				end
				refused(wire.encode(m.name, list), m.from:sub(1, 1), ("unable to read message %s: field %s is missing"):format(m.name, skip))
			end
		end
	end)

	it("refuses an unknown message and a sender that may not send it", function ()
		refused(frame(99, ""), "B", "its type 99 is unknown")
		refused(wire.encode("ok", { "req", 1 }), "B", "message ok: it may come from K, not from B")
	end)

	it("refuses numbers that are not 8 bytes or stand there twice", function ()
		refused(frame(2, field(4, "1234567")), "B", "field seq has 7 bytes")
		refused(frame(2, field(4, ("x"):rep(9))), "B", "field seq has 9 bytes")
		refused(wire.encode("heartbeat", { "seq", 1, "seq", 2 }), "B", "field seq stands there twice")
	end)

	it("refuses texts without their NUL, with two, or of no bytes", function ()
		local seq = field(4, ("\0"):rep(8))
		for _, text in ipairs { "", "abc", "a\0b\0", "\0\0" } do
			refused(frame(2, seq .. field(5, text)), "B", "field id is not one text")
		end
		assert.is_true(wire.check(frame(2, seq .. field(5, "\0")), "B"))
	end)

	it("refuses fields that pass the frame's end, whatever their length claims", function ()
		local seq = field(4, ("\0"):rep(8))
		for _, tail in ipairs { "\5", "\5\0\1\0\0", field(5, "", 1), field(5, "x\0", 3), field(5, "", 0xffffffff), field(5, "x\0", 0xfffffffa) } do
			refused(frame(2, seq .. tail), "B", "passes the end of the frame")
		end
	end)

	it("refuses a frame of endless tiny fields", function ()
		refused(frame(2, field(4, ("\0"):rep(8)) .. field(9, "\0"):rep(20000)), "B", "more than 8192 fields")
	end)

	it("skips fields nobody knows", function ()
		assert.is_true(wire.check(frame(2, field(120, "???") .. field(4, ("\0"):rep(8)) .. field(65535, "")), "B"))
	end)

	it("is not needed to read safely: getters stop at nonsense", function ()
		local bytes = frame(2, field(4, "short") .. field(5, "no end") .. field(6, "x", 0xffffffff))
		assert.equal(-1, (wire.get(bytes, "seq")))
		local _, text, count = wire.get(bytes, "id")
		assert.is_nil(text)
		assert.equal(1, count)
		_, text, count = wire.get(bytes, "kind")
		assert.is_nil(text)
		assert.equal(0, count)
	end)
end)

describe("ten thousand damaged frames", function ()
	it("are each read, refused or waited for, and never read past their end", function ()
		local seed = 20261121
		local function random(n)
			seed = (seed * 6364136223846793005 + 1442695040888963407)
			return ((seed >> 33) % n) + 1
		end
		local samples = {}
		for _, m in ipairs(wire.messages()) do
			local _, bytes = sample(m)
			samples[#samples + 1] = bytes
		end
		local edges = { 0, 1, 3, 4, 7, 8, 0x7f, 0x80, 0xff }
		local outcomes = { read = 0, refused = 0, waiting = 0, none = 0 }
		for _ = 1, 12000 do
			local bytes = { samples[random(#samples)]:byte(1, -1) }
			for _ = 1, random(4) do
				local what = random(4)
				if what == 1 then
					bytes[random(#bytes)] = edges[random(#edges)]
				elseif what == 2 then
					bytes[random(#bytes)] = random(256) - 1
				elseif what == 3 and #bytes > 9 then
					table.remove(bytes, random(#bytes))
				else
					table.insert(bytes, random(#bytes), random(256) - 1)
				end
			end
			-- Half of them frame again, so that the damage reaches the fields.
			local body = string.char(table.unpack(bytes))
			if random(2) == 1 and #body > 8 then body = string.pack("<I4", #body - 4) .. body:sub(5) end
			local used, got = wire.parse(body)
			if not used then
				outcomes.none = outcomes.none + 1
				assert.is_string(got)
			elseif used == 0 then
				outcomes.waiting = outcomes.waiting + 1
			else
				assert.is_true(used <= #body)
				local ok = wire.check(body, "B") or wire.check(body, "K") or wire.check(body, "L") or wire.check(body, "D")
				outcomes[ok and "read" or "refused"] = outcomes[ok and "read" or "refused"] + 1
			end
		end
		for what, n in pairs(outcomes) do assert.is_true(n > 0, "no frame was " .. what) end
	end)
end)

describe("a link", function ()
	local link
	after_each(function ()
		if link then link:free() end
		link = nil
	end)

	local function turn_until(what, fact)
		return helper.wait_for(what, function ()
			link:turn()
			return fact()
		end)
	end

	it("hands out frames however the bytes are cut", function ()
		link = wire.link()
		local bytes = wire.encode("ack", { "seq", 1 }) .. wire.encode("label", { "req", 2, "id", "x", "label", "{}" })
		for i = 1, #bytes do
			link:raw(bytes:sub(i, i))
			link:turn()
		end
		turn_until("both messages", function () return #link:log() == 2 end)
		assert.equal("ack", link:log()[1].name)
		assert.equal("{}", link:log()[2].label)
		assert.is_nil(link:gone())
	end)

	it("hands out a thousand frames a few at a time, in order", function ()
		link = wire.link()
		local all = {}
		for i = 1, 1000 do all[i] = wire.encode("ack", { "seq", i }) end
		local bytes = table.concat(all)
		local most, before = 0, 0
		while #bytes > 0 do
			local n = link:raw(bytes)
			if n then bytes = bytes:sub(n + 1) end
			link:turn()
			most, before = math.max(most, #link:log() - before), #link:log()
		end
		turn_until("all messages", function ()
			most, before = math.max(most, #link:log() - before), #link:log()
			return #link:log() == 1000
		end)
		for i, m in ipairs(link:log()) do assert.equal(i, m.seq) end
		assert.is_true(most <= 128, "one turn handed out " .. most)
	end)

	it("takes a frame of the largest size", function ()
		link = wire.link()
		local bytes = wire.encode("note", { "req", 1, "text", ("x"):rep(wire.FRAME_MAX - 25) })
		assert.equal(wire.FRAME_MAX + 4, #bytes)
		turn_until("the message", function ()
			if #bytes > 0 then bytes = bytes:sub((link:raw(bytes) or 0) + 1) end
			return #link:log() == 1
		end)
		assert.equal(wire.FRAME_MAX - 25, #link:log()[1].text)
	end)

	it("gives each message the descriptors that came with it", function ()
		link = wire.link()
		local before = wire.count_fds()
		local r1, w1 = wire.pipe()
		local r2, w2 = wire.pipe()
		link:raw(wire.encode("pipe", { "id", "a", "sink", "null" }, 1), w1)
		link:raw(wire.encode("ack", { "seq", 1 }))
		link:raw(wire.encode("pipe", { "id", "b", "sink", "null" }, 2), w2, w2)
		wire.close(w1)
		wire.close(w2)
		turn_until("three messages", function () return #link:log() == 3 end)
		local got = {}
		for i, m in ipairs(link:log()) do got[i] = m.received end
		assert.same({ 1, 0, 2 }, got)
		assert.equal(1, wire.drain(r1))
		assert.equal(2, wire.drain(r2))
		wire.close(r1)
		wire.close(r2)
		assert.equal(before, wire.count_fds())
	end)

	for _, case in ipairs {
		{ "announces descriptors and brings none", 1, 0, "announces 1 descriptors and brings 0" },
		{ "brings more descriptors than it announces", 1, 3, "brings 2 descriptors and announces 0" },
		{ "brings descriptors it does not announce", 0, 2, "brings 2 descriptors and announces 0" },
	} do
		it("is cut off when its peer " .. case[1] .. ", and keeps none of them", function ()
			link = wire.link()
			local r, w = wire.pipe()
			local fds = {}
			for i = 1, case[3] do fds[i] = w end
			link:raw(wire.encode("ack", { "seq", 1 }, case[2]), table.unpack(fds))
			wire.close(w)
			turn_until("the end", function () return link:gone() end)
			assert.matches(case[4], link:gone(), 1, true)
			-- Messages that came may have written to theirs; then all writers are gone.
			wire.drain(r)
			assert.equal(-1, wire.drain(r))
			wire.close(r)
		end)
	end

	it("is cut off when the bytes are no frame", function ()
		link = wire.link()
		link:raw(wire.encode("ack", { "seq", 1 }) .. "GET / HTTP/1.1\r\n")
		turn_until("the end", function () return link:gone() end)
		assert.equal(1, #link:log())
		assert.matches("unable to read frame: its length", link:gone())
	end)

	it("says when the peer leaves, and whether in the middle of a message", function ()
		link = wire.link()
		link:raw("\20\0\0")
		link:close()
		turn_until("the end", function () return link:gone() end)
		assert.matches("closed the connection in the middle of a message", link:gone())
	end)

	it("may be freed inside its callback, and the message stays readable there", function ()
		link = wire.link(nil, "f")
		link:raw(wire.encode("note", { "req", 1, "text", "last words" }) .. wire.encode("ack", { "seq", 2 }))
		turn_until("the message", function () return #link:log() == 1 end)
		link:turn()
		assert.equal("last words", link:log()[1].text)
		assert.equal(1, #link:log())
	end)

	it("queues what the peer does not take, up to its bound, and sends it in order", function ()
		link = wire.link(600 * 1024)
		local text = ("x"):rep(50000)
		local sent = 0
		while link:send(wire.encode("note", { "req", sent, "text", text })) do sent = sent + 1 end
		assert.is_true(link:waiting() > 500 * 1024)
		assert.is_true(link:waiting() <= 600 * 1024)
		local bytes, seen = "", 0
		turn_until("all that was taken", function ()
			bytes = bytes .. (link:read() or "")
			while true do
				local used, got = wire.parse(bytes)
				if not used or used == 0 then break end
				assert.equal(seen, got.req)
				seen = seen + 1
				bytes = bytes:sub(used + 1)
			end
			return seen == sent
		end)
		assert.equal(0, link:waiting())
		assert.is_true(link:send(wire.encode("ack", { "seq", 1 })))
	end)

	it("sends descriptors with their message also from the queue", function ()
		link = wire.link()
		local r, w = wire.pipe()
		local order = {}
		for i = 1, 6 do
			assert.is_true(link:send(wire.encode("note", { "req", i, "text", ("x"):rep(60000) })))
			assert.is_true(link:send(wire.encode("pipe", { "id", "p" .. i, "sink", "null" }), w))
		end
		wire.close(w)
		local bytes, fds = "", 0
		turn_until("all messages", function ()
			local more, n = link:read()
			bytes, fds = bytes .. (more or ""), fds + (more and n or 0)
			while true do
				local used, got = wire.parse(bytes)
				if not used or used == 0 then break end
				if got.name == "pipe" then order[#order + 1] = ("%s %d"):format(got.id, got.nfds) end
				-- A descriptor is never there later than its message.
				assert.is_true(fds >= #order)
				bytes = bytes:sub(used + 1)
			end
			return #order == 6
		end)
		assert.same({ "p1 1", "p2 1", "p3 1", "p4 1", "p5 1", "p6 1" }, order)
		assert.equal(6, fds)
		assert.equal(-1, wire.drain(r))
		wire.close(r)
	end)

	it("flushes within its time, and says when it cannot", function ()
		link = wire.link(600 * 1024)
		while link:send(wire.encode("note", { "req", 1, "text", ("x"):rep(50000) })) do end
		assert.is_false(link:flush(20))
		while link:read() do end
		assert.is_true(link:waiting() > 0)
		helper.wait_for("an empty queue", function ()
			while link:read() do end
			return link:flush(20)
		end)
		assert.equal(0, link:waiting())
	end)

	it("reports a peer that reads no more, after what that peer had said", function ()
		link = wire.link()
		link:raw(wire.encode("ack", { "seq", 1 }) .. wire.encode("ack", { "seq", 2 }))
		link:close()
		link:send(wire.encode("done", { "req", 1, "count", 0 }))
		turn_until("the end", function () return link:gone() end)
		assert.equal(2, #link:log())
		assert.is_false(link:send(wire.encode("done", { "req", 1, "count", 0 })))
	end)

	it("gives half a message on to its successor", function ()
		link = wire.link()
		local bytes = wire.encode("ack", { "seq", 7 })
		link:raw(wire.encode("ack", { "seq", 6 }) .. bytes:sub(1, 11))
		turn_until("the first message", function () return #link:log() == 1 end)
		local half = link:pending()
		assert.equal(bytes:sub(1, 11), half)
		link:free()
		link = wire.link()
		assert.is_true(link:preload(half))
		link:raw(bytes:sub(12))
		turn_until("the second message", function () return #link:log() == 1 end)
		assert.equal(7, link:log()[1].seq)
	end)
end)
