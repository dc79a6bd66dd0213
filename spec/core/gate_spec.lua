require "spec.helper"
local clock = require "t_wait"
local t = require "t_gate"

local server, open

--- Turns the loop until fact() is true.
local function wait(what, fact)
	local deadline = clock.now() + 10
	while true do
		t.turn(5)
		local is_so, state = fact()
		if is_so then return end
		if clock.now() > deadline then error(("waited 10 s in vain for %s (%s)"):format(what, tostring(state)), 2) end
	end
end

local function connect(...)
	local s = assert(t.connect(...))
	open[#open + 1] = s
	return s
end

local function send(s, bytes)
	wait("bytes to be taken", function()
		local n = assert(s:send(bytes))
		bytes = bytes:sub(n + 1)
		return bytes == ""
	end)
end

--- Reads until the bytes so far satisfy done(bytes), or the peer closes. Returns bytes, and why it was closed.
local function read(s, done)
	local got, why = "", nil
	wait("an answer", function()
		while true do
			local piece, ended = s:recv()
			if not piece then
				why = ended
				return true
			end
			got = got .. piece
			if done and done(got) then return true end
			if piece == "" then return false, #got .. " bytes so far: " .. got:sub(1, 200) end
		end
	end)
	return got, why
end

--- One answer with a length: status, body, head; what follows it is kept in s_rest.
local function parse(bytes)
	local head, rest = bytes:match("^(.-\r\n\r\n)(.*)$")
	local length = head and tonumber(head:match("\r\nContent%-Length: (%d+)\r\n"))
	if not length or #rest < length then return nil end
	return tonumber(head:match("^HTTP/1.1 (%d+)")), rest:sub(1, length), head, rest:sub(length + 1)
end

local function answer(s)
	local bytes, why = read(s, parse)
	local status, body, head, rest = parse(bytes)
	assert(status, "closed without an answer: " .. tostring(why))
	return status, body, head, rest
end

local function request(target, fields, body, method)
	return ("%s %s HTTP/1.1\r\nHost: localhost\r\n%s%s\r\n%s"):format(method or (body and "POST" or "GET"), target, fields or "",
		body and ("Content-Length: %d\r\n"):format(#body) or "", body or "")
end

local function start(settings)
	server = assert(t.server(settings or {}))
	return server
end

local function call(target, ...)
	local s = connect(server:port())
	send(s, request(target, ...))
	return answer(s)
end

local function closes(s)
	local _, why = read(s)
	return why
end

local function stat(name) return server:stats()[name] end

describe("the HTTP server", function()
	before_each(function() open = {} end)
	after_each(function()
		t.release()
		for _, s in ipairs(open) do s:close() end
		if server then server:free() end
		server = nil
	end)

	it("answers a request with its versions and protective fields", function()
		start()
		local status, body, head = call("/info/a%20b/?q=1+2")
		assert.equal(200, status)
		assert.equal('{"method":"GET","peer":"127.0.0.1","uid":-1,"pid":0,"path":"/info/a%20b/","segments":["info","a b"],"q":"1 2"}', body)
		for _, field in ipairs { "DSS-Version: 1.2.3", "DSS-API-Version: 14", "Content-Type: application/json;charset=utf-8",
			"X-Content-Type-Options: nosniff", "Cache-Control: no-store", "Date: " } do
			assert.truthy(head:find("\r\n" .. field, 1, true), head)
		end
	end)

	it("tells errors as an object with class and message", function()
		start()
		local status, body = call("/no%22such")
		assert.equal(404, status)
		assert.equal('{"errorType":"dss.exceptions.NotFoundException","message":"/no%22such does not exist"}', body)
	end)

	it("keeps the connection for the next request", function()
		start()
		local s = connect(server:port())
		for i = 1, 5 do
			send(s, request("/echo", nil, "body " .. i))
			local status, body = answer(s)
			assert.equal(200, status)
			assert.equal("body " .. i, body)
		end
		assert.equal(1, stat("accepted"))
	end)

	it("understands a request that comes byte by byte", function()
		start()
		local s = connect(server:port())
		for byte in request("/echo", nil, "hello"):gmatch(".") do
			send(s, byte)
			t.turn(0)
		end
		assert.equal("hello", select(2, answer(s)))
	end)

	it("answers pipelined requests in order, also while one of them waits", function()
		start()
		local s = connect(server:port())
		send(s, request("/echo", nil, "1") .. request("/later") .. request("/echo", nil, "3") .. request("/echo", nil, "4") .. "GET /in")
		local status, body, _, rest = answer(s)
		assert.equal(200, status)
		assert.equal("1", body)
		wait("the second request", function() return stat("deferred") == 1 end)
		assert.equal("", rest)
		assert.equal(2, stat("requests"))
		server:answer(1, "two")
		local got = read(s, function(b) return b:find("\r\n\r\n4$") end)
		assert.truthy(got:find("two.*\r\n\r\n3.*\r\n\r\n4$"))
		send(s, "fo HTTP/1.1\r\nHost: localhost\r\n\r\n")
		assert.equal(200, (answer(s)))
	end)

	it("answers everything a client sent before it shut its side", function()
		start()
		local s = connect(server:port())
		send(s, request("/later") .. request("/echo", nil, "2") .. request("/echo", nil, "3"))
		s:shut()
		wait("the request", function() return stat("deferred") == 1 end)
		t.turn(5)
		server:answer(1, "one")
		local got, why = read(s)
		assert.equal("closed", why)
		assert.truthy(got:find("one.*\r\n\r\n2.*\r\n\r\n3$"))
	end)

	it("takes a thousand pipelined requests without losing one", function()
		start()
		local s = connect(server:port())
		local all, got = {}, ""
		for i = 1, 1000 do all[i] = request("/echo", nil, "<" .. i .. ">") end
		local bytes = table.concat(all)
		wait("all answers", function()
			local n = assert(s:send(bytes))
			bytes = bytes:sub(n + 1)
			got = got .. assert(s:recv())
			return got:sub(-6) == "<1000>"
		end)
		local i = 0
		for n in got:gmatch("<(%d+)>") do
			i = i + 1
			assert.equal(i, tonumber(n))
		end
		assert.equal(1000, i)
	end)

	it("closes after the answer where the client asks for it", function()
		start()
		local s = connect(server:port())
		send(s, request("/echo", "Connection: close\r\n", "x"))
		local got, why = read(s)
		assert.equal("closed", why)
		assert.truthy(got:find("\r\nConnection: close\r\n", 1, true))
		assert.equal("closed", (function()
			local old = connect(server:port())
			send(old, "GET /info HTTP/1.0\r\n\r\n")
			return closes(old)
		end)())
		local kept = connect(server:port())
		send(kept, "GET /info HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
		assert.truthy(select(3, answer(kept)):find("Connection: keep-alive", 1, true))
		send(kept, request("/info"))
		assert.equal(200, (answer(kept)))
	end)

	it("answers HEAD with the length and no body, 204 with neither", function()
		start()
		local s = connect(server:port())
		send(s, request("/bytes/1000", nil, nil, "HEAD"))
		local got = read(s, function(b) return b:find("\r\n\r\n", 1, true) end)
		assert.truthy(got:find("Content%-Length: 1000\r\n\r\n$"))
		send(s, request("/empty"))
		got = read(s, function(b) return b:find("\r\n\r\n", 1, true) end)
		assert.truthy(got:find("^HTTP/1.1 204 No Content.*\r\n\r\n$"))
		assert.falsy(got:find("Content-Length", 1, true))
		send(s, request("/echo", nil, "after"))
		assert.equal("after", select(2, answer(s)))
	end)

	it("sends large answers whole, to a slow reader too", function()
		start()
		local s = connect(server:port(), 65536)
		send(s, request("/bytes/3000000") .. request("/file/2000000"))
		local got = read(s, function(b) return #b > 5000000 and b:sub(-1) == string.char(97 + 1999999 % 26) end)
		local _, body, _, rest = parse(got)
		assert.equal(("x"):rep(3000000), body)
		_, body = parse(rest)
		assert.equal(2000000, #body)
		assert.equal("abcdefghijklmnopqrstuvwxyzab", body:sub(1, 28))
		send(s, request("/info"))
		assert.equal(200, (answer(s)))
	end)

	it("ends the connection where a file is shorter than was promised", function()
		start()
		local s = connect(server:port())
		send(s, request("/file/1000/5"))
		local got, why = read(s)
		assert.truthy(why)
		assert.truthy(got:find("Content-Length: 1005", 1, true))
		assert.truthy(#got < 1500)
	end)

	it("refuses an answer over the limit and says so", function()
		start { answer_max = 1000 }
		assert.equal(200, (call("/bytes/1000")))
		local status, body = call("/bytes/1001")
		assert.equal(500, status)
		assert.truthy(body:find("1001 bytes, the limit is 1000", 1, true))
	end)

	it("puts a handler's fields into the answer, but none that would break it", function()
		start()
		assert.truthy(select(3, call("/field?n=Retry-After&v=7")):find("\r\nRetry-After: 7\r\n", 1, true))
		local head = select(3, call("/field?n=Cache-Control&v=max-age=60"))
		assert.truthy(head:find("\r\nCache-Control: max-age=60\r\n", 1, true))
		assert.falsy(head:find("no-store", 1, true))
		local status, _, safe = call("/field?n=X&v=a%0d%0aEvil:+1")
		assert.equal(200, status)
		assert.falsy(safe:find("Evil", 1, true))
	end)

	describe("with bad input", function()
		it("answers with the error as JSON and closes", function()
			start()
			for bytes, expected in pairs {
				["GET / HTTP/1.1\r\n\r\n"] = 400,
				["nonsense\r\n\r\n"] = 400,
				["\22\3\1\2\0\1\0\1\252\3\3"] = 400,
				["POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"] = 400,
				["CONNECT a:1 HTTP/1.1\r\nHost: localhost\r\n\r\n"] = 501,
				["GET / HTTP/3.0\r\nHost: localhost\r\n\r\n"] = 505,
				["GET /" .. ("x"):rep(17000) .. " HTTP/1.1\r\n"] = 414,
			} do
				local s = connect(server:port())
				send(s, bytes)
				local got, why = read(s)
				local status, body, head = parse(got)
				assert.equal(expected, status)
				assert.equal("closed", why)
				assert.truthy(body:find('^{"errorType":"dss%.exceptions%.%w+","message":".+"}$'), body)
				assert.truthy(head:find("Connection: close", 1, true))
			end
			assert.equal(5, stat("bad"))
			assert.equal(0, stat("requests"))
		end)

		it("answers 413 so that the client sees it, though it still sends", function()
			start { body_max = 1000 }
			local s = connect(server:port())
			send(s, "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 400000\r\n\r\n" .. ("x"):rep(200000))
			local status, body = answer(s)
			assert.equal(413, status)
			assert.truthy(body:find("the limit is 1000", 1, true))
		end)

		it("never dispatches half a body", function()
			start()
			local s = connect(server:port())
			send(s, "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf")
			wait("the connection", function() return stat("connections") == 1 end)
			s:shut()
			assert.equal("closed", closes(s))
			local r = connect(server:port())
			send(r, "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf")
			r:reset()
			wait("both to be gone", function() return stat("accepted") == 2 and stat("connections") == 0 end)
			assert.equal(0, stat("requests"))
			assert.equal(0, stat("memory"))
		end)

		it("takes a big chunked body, after a 100 Continue", function()
			start()
			local s = connect(server:port())
			send(s, "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n")
			assert.equal("HTTP/1.1 100 Continue\r\n\r\n", (read(s, function(b) return b:find("\r\n\r\n", 1, true) end)))
			local body = ("0123456789abcdef"):rep(4096)
			for _ = 1, 40 do send(s, "10000\r\n" .. body .. "\r\n") end
			send(s, "0\r\n\r\n")
			local status, got = answer(s)
			assert.equal(200, status)
			assert.truthy(got == body:rep(40))
		end)
	end)

	describe("asked for a Host", function()
		local function status_of(host)
			local s = connect(server:port())
			send(s, "GET /info HTTP/1.1\r\nHost: " .. host .. "\r\n\r\n")
			return answer(s)
		end

		it("takes its own names with any port, and those of the setting", function()
			start { host = "node.example.com" }
			for _, host in ipairs { "localhost", "LOCALHOST:8080", "127.0.0.1:1", "[::1]", "[::1]:11200", "node.example.com", "Node.Example.com:443" } do
				assert.equal(200, (status_of(host)), host)
			end
		end)

		it("refuses every other", function()
			start { host = "node.example.com" }
			for _, host in ipairs { "evil.com", "localhost.evil.com", "localhost:x", "localhost:99999", "127.0.0.2", "[::1", "", ":80", "localhost:" } do
				local status, body = status_of(host)
				assert.equal(421, status, host)
				assert.truthy(body:find("MisdirectedRequestException", 1, true))
			end
		end)

		it("takes the address it was reached by, and any where the setting says so", function()
			start { address = "0.0.0.0" }
			local s = connect(server:port(), 0, "127.0.0.7")
			send(s, "GET /info HTTP/1.1\r\nHost: 127.0.0.7\r\n\r\n")
			assert.equal(200, (answer(s)))
			assert.equal(421, (status_of("127.0.0.8")))
			server:free()
			start { host = "*" }
			assert.equal(200, (status_of("anything.at.all")))
		end)
	end)

	describe("with a deferred answer", function()
		it("answers when the handler does", function()
			start()
			local s = connect(server:port())
			send(s, request("/later"))
			wait("the request", function() return stat("deferred") == 1 end)
			assert.equal(1, stat("waiting"))
			server:answer(1, "at last")
			assert.equal("at last", select(2, answer(s)))
			assert.equal(0, stat("waiting"))
		end)

		for _, way in ipairs { "close", "reset", "shut" } do
			it("tells the handler that the client has gone (" .. way .. ")", function()
				start()
				local s = connect(server:port())
				send(s, request("/later-gone"))
				wait("the request", function() return stat("deferred") == 1 end)
				s[way](s)
				wait("on_gone", function() return stat("gone") == 1 end)
				assert.is_true(server:is_gone(1))
				assert.equal(0, stat("connections"))
				server:answer(1, "into the void")
				assert.equal(0, stat("waiting"))
				assert.equal(0, stat("memory"))
			end)
		end

		it("drops an answer whose client has gone unnoticed", function()
			start()
			local s = connect(server:port())
			send(s, request("/later"))
			wait("the request", function() return stat("deferred") == 1 end)
			s:reset()
			wait("the reset", function() return stat("connections") == 0 end)
			server:answer(1, "into the void")
			assert.equal(0, stat("waiting"))
		end)

		it("bears being freed first", function()
			start()
			for _ = 1, 3 do send(connect(server:port()), request("/later-gone")) end
			wait("the requests", function() return stat("deferred") == 3 end)
			local s = server
			s:free()
			server = nil
			for i = 1, 3 do
				assert.is_true(s:is_gone(i))
				s:answer(i, "too late")
			end
		end)
	end)

	describe("streaming", function()
		local function begin(bytes, rcvbuf)
			local s = connect(server:port(), rcvbuf)
			send(s, bytes or request("/later-gone"))
			wait("the request", function() return stat("deferred") == 1 end)
			assert.is_true(server:begin(1))
			return s
		end

		it("sends chunks as they come, and goes on with the connection after the end", function()
			start()
			local s = begin()
			local head = read(s, function(b) return b:find("\r\n\r\n", 1, true) end)
			assert.truthy(head:find("Transfer-Encoding: chunked", 1, true))
			assert.truthy(head:find("Content-Type: text/event-stream", 1, true))
			assert.is_true(server:write(1, "data: 1\n\n"))
			assert.equal("9\r\ndata: 1\n\n\r\n", (read(s, function(b) return #b >= 14 end)))
			assert.is_true(server:write(1, ""))
			server:finish(1)
			assert.equal("0\r\n\r\n", (read(s, function(b) return #b >= 5 end)))
			send(s, request("/info"))
			assert.equal(200, (answer(s)))
		end)

		it("speaks to HTTP/1.0 without chunks and closes at the end", function()
			start()
			local s = begin("GET /later HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
			assert.is_true(server:write(1, "plain"))
			server:finish(1)
			local got, why = read(s)
			assert.equal("closed", why)
			assert.truthy(got:find("Connection: close\r\n\r\nplain$"))
		end)

		it("tells the handler when the client goes, and takes no more", function()
			start()
			local s = begin()
			s:close()
			wait("on_gone", function() return stat("gone") == 1 end)
			assert.is_false(server:write(1, "x"))
			server:finish(1)
			assert.equal(0, stat("waiting"))
		end)

		it("cuts off a reader who falls too far behind", function()
			start { unsent_max = 100000 }
			begin(nil, 4096)
			local piece, n = ("x"):rep(50000), 0
			while server:write(1, piece) do
				n = n + 1
				assert(n < 1000, "never cut off")
				assert.truthy(server:unsent(1) <= 100100)
			end
			assert.equal(1, stat("cut_slow"))
			wait("on_gone", function() return stat("gone") == 1 end)
			server:finish(1)
			assert.equal(0, stat("memory"))
		end)
	end)

	describe("keeping time", function()
		it("refuses a header that does not come to its end", function()
			start { header_ms = 100 }
			local s = connect(server:port())
			send(s, "GET / HTTP/1.1\r\nHost: local")
			local got, why = read(s)
			assert.equal(408, (parse(got)))
			assert.equal("closed", why)
			assert.equal(1, stat("timed_out"))
		end)

		it("is not deceived by a header that comes drop by drop", function()
			start { header_ms = 300 }
			local s = connect(server:port())
			local bytes, sent = request("/info", "X: " .. ("x"):rep(10000) .. "\r\n"), 0
			wait("the refusal", function()
				if s:send(bytes:sub(sent + 1, sent + 1)) then sent = sent + 1 end
				t.turn(5)      -- takes the byte; the next turn has nothing to do for 5 ms
				return stat("timed_out") == 1
			end)
			assert.equal(0, stat("requests"))
		end)

		it("refuses a body that does not come to its end", function()
			start { body_ms = 100 }
			local s = connect(server:port())
			send(s, "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf")
			assert.equal(408, (answer(s)))
		end)

		it("closes an idle connection, before and between requests", function()
			start { idle_ms = 100 }
			local fresh, used = connect(server:port()), connect(server:port())
			send(used, request("/info"))
			assert.equal(200, (answer(used)))
			assert.equal("closed", closes(fresh))
			assert.equal("closed", closes(used))
		end)

		it("gives the handler all the time it needs", function()
			start { idle_ms = 60, header_ms = 60, body_ms = 60, write_ms = 60 }
			local s = connect(server:port())
			send(s, request("/later"))
			wait("the request", function() return stat("deferred") == 1 end)
			-- An idle neighbour that came later is closed: so the limits have been looked at meanwhile.
			assert.equal("closed", closes(connect(server:port())))
			server:answer(1, "still here")
			assert.equal("still here", select(2, answer(s)))
		end)

		it("cuts off a reader who takes nothing", function()
			start { write_ms = 100 }
			local s = connect(server:port(), 4096)
			send(s, request("/bytes/20000000"))
			wait("the cut", function() return stat("cut_slow") == 1 end)
			assert.equal(0, stat("memory"))
			assert.equal(0, stat("connections"))
		end)
	end)

	describe("with many clients", function()
		it("gives the place of the longest idle one to the next", function()
			start { connections_max = 3 }
			local s = {}
			for i = 1, 4 do
				s[i] = connect(server:port())
				send(s[i], request("/info"))
				assert.equal(200, (answer(s[i])))
			end
			assert.equal("closed", closes(s[1]))
			send(s[2], request("/info"))
			assert.equal(200, (answer(s[2])))
		end)

		it("refuses the next when all are at work", function()
			start { connections_max = 2 }
			for _ = 1, 2 do send(connect(server:port()), request("/later")) end
			wait("both requests", function() return stat("deferred") == 2 end)
			local s = connect(server:port())
			local status, body, head = answer(s)
			assert.equal(503, status)
			assert.truthy(body:find("all of its 2 connections", 1, true))
			assert.truthy(head:find("Retry-After: 1", 1, true))
			assert.equal(1, stat("refused_full"))
			server:answer(1, "done")
			wait("the first to be idle", function() return stat("waiting") == 1 end)
			assert.equal(200, (call("/info")))
		end)

		it("gives the place of an address's longest idle one to its next", function()
			start { per_peer_max = 2 }
			local s = {}
			for i = 1, 3 do
				s[i] = connect(server:port())
				send(s[i], request("/info"))
				assert.equal(200, (answer(s[i])))
			end
			assert.equal("closed", closes(s[1]))
			assert.equal(0, stat("refused_peer"))
			send(s[2], request("/info"))
			assert.equal(200, (answer(s[2])))
		end)

		it("refuses more than its share to one address where all of it is at work", function()
			start { per_peer_max = 2, address = "0.0.0.0" }
			for _ = 1, 2 do send(connect(server:port()), request("/later")) end
			wait("both requests", function() return stat("deferred") == 2 end)
			local status, body = answer(connect(server:port()))
			assert.equal(503, status)
			assert.truthy(body:find("127.0.0.1 has all of its 2 connections", 1, true))
			assert.equal(1, stat("refused_peer"))
			server:answer(1, "done")
			wait("the first to be idle", function() return stat("waiting") == 1 end)
			assert.equal(200, (call("/info")))
		end)

		it("refuses bodies when it holds as many bytes as it may", function()
			start { memory_max = 300000, body_max = 1000000 }
			local s = connect(server:port())
			send(s, "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200000\r\n\r\n" .. ("x"):rep(130000))
			wait("the bytes", function() return stat("memory") > 130000 end)
			local status, body = call("/echo", nil, ("x"):rep(200000))
			assert.equal(503, status)
			assert.truthy(body:find("as many bytes", 1, true))
			assert.equal(200, (call("/info")))
		end)

		it("closes the longest idle one when descriptors run out", function()
			start()
			local idle, s = connect(server:port()), connect(server:port())
			send(idle, request("/info"))
			assert.equal(200, (answer(idle)))
			wait("both", function() return stat("accepted") == 2 end)
			local waiting = connect(server:port())
			t.exhaust()
			wait("the third", function() return stat("accepted") == 3 end)
			send(waiting, request("/info"))
			assert.equal(200, (answer(waiting)))
			assert(s)
		end)

		it("tells one client when descriptors run out and nothing is idle, lets the others wait, and goes on", function()
			start()
			send(connect(server:port()), request("/later"))
			wait("the request", function() return stat("deferred") == 1 end)
			local first, second = connect(server:port()), connect(server:port())
			t.exhaust()
			local status, body = answer(first)
			assert.equal(503, status)
			assert.truthy(body:find("no file descriptors", 1, true))
			send(second, request("/info"))
			t.release()
			assert.equal(200, (answer(second)))
		end)
	end)

	it("drains: takes no more connections, closes idle ones, finishes the rest", function()
		start()
		local idle, busy = connect(server:port()), connect(server:port())
		send(idle, request("/info"))
		assert.equal(200, (answer(idle)))
		send(busy, request("/later"))
		wait("the request", function() return stat("deferred") == 1 end)
		server:drain()
		assert.equal("closed", closes(idle))
		server:answer(1, "last")
		local got, why = read(busy)
		assert.equal("closed", why)
		assert.truthy(got:find("Connection: close.*last$"))
		assert.equal("Connection refused", closes(connect(server:port())))
	end)

	it("tells who speaks on a unix socket, and does not ask for a Host there", function()
		local path = os.tmpname()
		os.remove(path)
		start { path = path }
		local s = connect(path)
		send(s, "GET /info HTTP/1.1\r\nHost: whatever\r\n\r\n")
		local status, body = answer(s)
		os.remove(path)
		assert.equal(200, status)
		assert.truthy(body:find('"peer":"unix","uid":0', 1, true))
		assert.truthy(tonumber(body:match('"pid":(%d+)')) > 1)
	end)
end)
