require "spec.helper"
local clock = require "t_wait"
local t = require "t_gate"

-- A gate that passes everything on to an app, which the spec plays itself, byte by byte.
local PREFIX = "/web-apps-backends/SALES/page"

describe("a tunnel", function()
	local server, listener, open

	before_each(function() open = {} end)
	after_each(function()
		for _, s in ipairs(open) do s:close() end
		if server then server:free() end
		server, listener = nil, nil
	end)

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

	local function keep(s)
		open[#open + 1] = s
		return s
	end

	local function start(settings)
		settings = settings or {}
		listener = keep(assert(t.listen()))
		settings.prefix, settings.depth = settings.prefix or PREFIX, settings.depth or 3
		settings.port = settings.port or (not settings.socket and listener:port() or nil)
		server = assert(t.tunnel(settings))
	end

	local function client() return keep(assert(t.connect(server:port()))) end

	--- The app's end of the next request's connection.
	local function app()
		local s
		wait("a connection to the app", function()
			s = listener:accept()
			return s ~= nil
		end)
		return keep(s)
	end

	local function send(s, bytes)
		wait("bytes to be taken", function()
			local n = assert(s:send(bytes))
			bytes = bytes:sub(n + 1)
			return bytes == ""
		end)
	end

	--- Reads until done(bytes), or the peer closes; bytes, and why it was closed.
	local function read(s, done)
		local got, why = {}, nil
		wait("bytes", function()
			local piece, ended = s:recv()
			if not piece then
				why = ended
				return true
			end
			if piece ~= "" then got[#got + 1] = piece end
			return done ~= nil and piece ~= "" and done(table.concat(got)), #got
		end)
		return table.concat(got), why
	end

	local function has_head(bytes) return bytes:find("\r\n\r\n", 1, true) ~= nil end
	local function has(text) return function(bytes) return bytes:find(text, 1, true) ~= nil end end

	local function ask(s, target, fields, body, method)
		send(s, ("%s %s HTTP/1.1\r\nHost: localhost:7\r\n%s%s\r\n%s"):format(method or (body and "POST" or "GET"), target, fields or "",
			body and ("Content-Length: %d\r\n"):format(#body) or "", body or ""))
	end

	--- One request that the app answers with `text`; what each side got.
	local function exchange(text, target, fields)
		local c = client()
		ask(c, target or PREFIX .. "/", fields)
		local a = app()
		local asked = read(a, has_head)
		send(a, text)
		a:shut()
		local said = read(c, function(bytes)
			local head, body = bytes:match "^(.-\r\n\r\n)(.*)$"
			return head and #body >= (tonumber(head:match "\r\nContent%-Length: (%d+)\r\n") or math.huge)
		end)
		return said, asked
	end

	local OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

	describe("changes a request's head:", function()
		local function asked(target, fields, settings)
			start(settings)
			local _, head = exchange(OK, target, fields)
			return head
		end

		it("the app sees the path without its prefix, query and escapes as they came", function()
			assert.matches("^GET /a%%2Fb/c%?x=1&y=%%20 HTTP/1.1\r\n", asked(PREFIX .. "/a%2Fb/c?x=1&y=%20"))
		end)
		it("the prefix itself is its front page, however many slashes there are", function()
			assert.matches("^GET / HTTP/1.1\r\n", asked("//web-apps-backends///SALES/page"))
		end)
		it("two slashes behind the prefix do not name another host", function()
			assert.matches("^GET /evil/x HTTP/1.1\r\n", asked(PREFIX .. "//evil/x"))
		end)
		it("a query without a path stays one", function()
			assert.matches("^GET /%?a=1 HTTP/1.1\r\n", asked(PREFIX .. "?a=1"))
		end)
		it("our cookies are taken out, the app's own stay", function()
			local head = asked(PREFIX .. "/", "Cookie: a=1; dss-webapp=secret; b=2; DSS-x=3; =dss-webapp=4; dss-y\r\n")
			assert.matches("\r\nCookie: a=1; b=2\r\n", head)
			assert.is_nil(head:lower():find("dss-", 1, true))
		end)
		it("a Cookie field that held ours alone is left out", function()
			assert.is_nil(asked(PREFIX .. "/", "Cookie: dss-webapp=secret\r\n"):find "Cookie")
		end)
		it("a ticket never passes, an Authorization only where it was not for us", function()
			local fields = "Authorization: Bearer k\r\nX-DKU-APITicket: t\r\nX-DKU-ProxyUser: u\r\n"
			local head = asked(PREFIX .. "/", fields)
			assert.matches("\r\nauthorization: Bearer k\r\n", head)
			assert.is_nil(head:lower():find("x-dku", 1, true))
			server:free()
			head = asked(PREFIX .. "/", fields, { strips = 1 })
			assert.is_nil(head:lower():find("authorization", 1, true))
		end)
		it("the app is told who asks for what, whatever the client says of that", function()
			local head = asked(PREFIX .. "/", "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-User: root\r\nX_Forwarded_User: root\r\nX-Forwarded-Prefix: /x\r\n", { user = "ann" })
			assert.matches("\r\nX%-Forwarded%-For: 127.0.0.1\r\n", head)
			assert.matches("\r\nX%-Forwarded%-Proto: http\r\n", head)
			assert.matches("\r\nX%-Forwarded%-Host: localhost:7\r\n", head)
			assert.matches("\r\nX%-Forwarded%-Prefix: /web%-apps%-backends/SALES/page\r\nX%-Script%-Name: /web%-apps%-backends/SALES/page\r\n", head)
			assert.matches("\r\nX%-Forwarded%-User: ann\r\n", head)
			assert.is_nil(head:find "root")
			assert.is_nil(head:find "9.9.9.9")
			assert.matches("\r\nHost: localhost:7\r\n", head)
		end)
		it("what a proxy of ours says is passed on", function()
			local head = asked(PREFIX .. "/", "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: dss.example\r\n", { is_proxied = 1 })
			assert.matches("\r\nX%-Forwarded%-For: 9.9.9.9\r\n", head)
			assert.matches("\r\nX%-Forwarded%-Proto: https\r\n", head)
			assert.matches("\r\nX%-Forwarded%-Host: dss.example\r\n", head)
		end)
		it("hop-by-hop fields end here, with those that Connection names", function()
			local head = asked(PREFIX .. "/", "Connection: keep-alive, X-Mine\r\nX-Mine: 1\r\nTE: trailers\r\nKeep-Alive: 5\r\nUpgrade: h2c\r\nX-Other: 2\r\n")
			assert.matches("\r\nConnection: close\r\n\r\n$", head)
			assert.matches("\r\nx%-other: 2\r\n", head)
			for _, name in ipairs { "x%-mine", "\nte:", "keep%-alive", "upgrade" } do assert.is_nil(head:lower():find(name), name) end
		end)
	end)

	describe("changes an answer's head:", function()
		local function said(fields)
			start()
			return (exchange("HTTP/1.1 302 Found\r\n" .. fields .. "Content-Length: 0\r\n\r\n"))
		end

		it("a Location that is a path gets the prefix, one that has it already does not", function()
			assert.matches("\r\nLocation: /web%-apps%-backends/SALES/page/login%?a=1\r\n", said "Location: /login?a=1\r\n")
			server:free()
			assert.matches("\r\nLocation: /web%-apps%-backends/SALES/page/x\r\n", said "Location: /web-apps-backends/SALES/page/x\r\n")
		end)
		it("so does one that names our host; what lies elsewhere, and what is relative, stays", function()
			for from, to in pairs {
				["http://localhost:7/in"] = PREFIX .. "/in", ["http://localhost:70/in"] = "http://localhost:70/in", ["//other/x"] = "//other/x",
				["https://example.org/"] = "https://example.org/", ["next?x=1"] = "next?x=1", ["http://localhost:7"] = PREFIX .. "/",
			} do
				local head = said("Location: " .. from .. "\r\n")
				assert.is_truthy(head:find("\r\nLocation: " .. to .. "\r\n", 1, true), from .. " became " .. head)
				server:free()
			end
		end)
		it("a cookie holds beneath the prefix, on this host alone, and cannot have our names", function()
			local head = said("Set-Cookie: a=1; Path=/; Domain=example.org; HttpOnly\r\nSet-Cookie: b=2; path=/x ;Secure\r\nSet-Cookie: c=3\r\n"
				.. "Set-Cookie: dss-webapp=evil; Path=/\r\nSet-Cookie: =dss-webapp=evil\r\nSet-Cookie: DSS-webapp\r\nSet-Cookie: d=4; Path=" .. PREFIX .. "/y\r\nSet-Cookie: e=5; Path=x\r\n")
			assert.is_truthy(head:find("\r\nSet-Cookie: a=1; Path=" .. PREFIX .. "/; HttpOnly\r\n", 1, true), head)
			assert.is_truthy(head:find("\r\nSet-Cookie: b=2; Path=" .. PREFIX .. "/x; Secure\r\n", 1, true), head)
			assert.is_truthy(head:find("\r\nSet-Cookie: c=3\r\n", 1, true), head)
			assert.is_truthy(head:find("\r\nSet-Cookie: d=4; Path=" .. PREFIX .. "/y\r\n", 1, true), head)
			assert.is_truthy(head:find("\r\nSet-Cookie: e=5; Path=" .. PREFIX .. "/\r\n", 1, true), head)
			assert.is_nil(head:find "evil")
			assert.is_nil(head:find "DSS%-webapp")
		end)
		it("its length stays, also where Connection names it: the body would have no end", function()
			assert.matches("\r\nContent%-Length: 0\r\n", said "Connection: Content-Length\r\n")
		end)
		it("what holds for the whole origin or host does not pass", function()
			local head = said 'Clear-Site-Data: "*"\r\nService-Worker-Allowed: /\r\nStrict-Transport-Security: max-age=1\r\nX-Mine: 1\r\n'
			assert.matches("\r\nX%-Mine: 1\r\n", head)
			for _, name in ipairs { "Clear", "Worker", "Transport%-Security" } do assert.is_nil(head:find(name), name) end
			head = said 'NEL: {}\r\nReport-To: {}\r\nX-Mine: 1\r\n'
			assert.matches("\r\nX%-Mine: 1\r\n", head)
			for _, name in ipairs { "NEL", "Report" } do assert.is_nil(head:find(name), name) end
		end)
		it("what a server before us would take for an order does not pass", function()
			local head = said "X-Accel-Redirect: /x\r\nX-ACCEL-Limit-Rate: 1\r\nX-Sendfile: /etc/passwd\r\nX-LIGHTTPD-send-file: /x\r\nX-Accel-Buffering: no\r\n"
			assert.matches("\r\nX%-Accel%-Buffering: no\r\n", head)
			for _, name in ipairs { "Redirect", "Limit", "Sendfile", "send%-file" } do assert.is_nil(head:find(name), name) end
		end)
	end)

	it("passes a head that comes byte by byte, on both sides", function()
		start()
		local c = client()
		for byte in ("GET " .. PREFIX .. "/ HTTP/1.1\r\nHost: localhost\r\n\r\n"):gmatch "." do
			send(c, byte)
			t.turn(0)
		end
		local a = app()
		assert.matches("^GET / ", (read(a, has_head)))
		for byte in OK:gmatch "." do
			send(a, byte)
			t.turn(0)
		end
		assert.matches("^HTTP/1.1 200 OK\r\n.*\r\n\r\nok$", (read(c, has "\r\n\r\nok")))
	end)

	it("keeps the client's connection, with a connection of its own to the app for each request", function()
		start()
		local c = client()
		for i = 1, 3 do
			ask(c, PREFIX .. "/" .. i)
			local a = app()
			assert.matches("^GET /" .. i, (read(a, has_head)))
			send(a, ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n%d\r\n0\r\n\r\n"):format(i))
			local said = read(c, has "\r\n0\r\n\r\n")
			assert.matches("\r\nConnection: keep%-alive\r\n", said)
		end
		ask(c, "/x", nil, nil, "DELETE")
		assert.matches("ours$", (read(c, has "ours")))
		assert.equal(1, server:stats().accepted)
		assert.equal(3, server:tunnel().passed)
	end)

	it("answers requests that came at once one after the other", function()
		start()
		local c = client()
		local one = ("GET %s/%%d HTTP/1.1\r\nHost: localhost\r\n\r\n"):format(PREFIX)
		send(c, one:format(1) .. one:format(2))
		for i = 1, 2 do
			local a = app()
			assert.matches("^GET /" .. i, (read(a, has_head)))
			send(a, ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n<%d"):format(i))
			assert.matches("<" .. i .. "$", (read(c, has("<" .. i))))
		end
	end)

	it("does not take what follows a body for part of it", function()
		start()
		local c = client()
		send(c, ("POST %s/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabcGET %s/b HTTP/1.1\r\nHost: localhost\r\n\r\n"):format(PREFIX, PREFIX))
		local a = app()
		assert.matches("\r\n\r\nabc$", (read(a, has "abc")))
		send(a, OK)
		read(c, has "ok")
		assert.matches("^GET /b ", (read(app(), has_head)))
	end)

	it("refuses a request that two servers could read differently", function()
		start()
		for _, fields in ipairs { "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "Content-Length: 3\r\nContent-Length: 4\r\n", "Transfer-Encoding : chunked\r\n" } do
			local c = client()
			send(c, ("POST %s/ HTTP/1.1\r\nHost: localhost\r\n%s\r\nabc"):format(PREFIX, fields))
			assert.matches("^HTTP/1.1 400 ", (read(c)))
		end
		assert.equal(0, server:tunnel().passed)
	end)

	it("answers 400 to a chunked body that is none", function()
		start()
		local c = client()
		send(c, ("POST %s/ HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"):format(PREFIX))
		app()
		send(c, "xyz\r\n")
		assert.matches("^HTTP/1.1 400 ", (read(c)))
	end)

	it("says 100 to a client that waits for it, and nothing of that to the app", function()
		start()
		local c = client()
		send(c, ("POST %s/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"):format(PREFIX))
		assert.equal("HTTP/1.1 100 Continue\r\n\r\n", (read(c, has_head)))
		send(c, "abc")
		local a = app()
		local asked = read(a, has "\r\n\r\nabc")
		assert.is_nil(asked:lower():find "expect")
		send(a, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" .. OK)
		local said = read(c, has "ok")
		assert.matches("^HTTP/1.1 200 ", said)
	end)

	it("moves 50 MB each way at once, neither side faster than the other takes it", function()
		start()
		local total, c = 50 << 20, client()
		local piece = ("0123456789abcdef"):rep(4096)
		send(c, ("POST %s/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"):format(PREFIX, total))
		local a = app()
		local rest = read(a, has_head):match "\r\n\r\n(.*)$"
		send(a, ("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"):format(total))
		local up, down = { sent = 0, got = #rest }, { sent = 0, got = 0 }
		local function push(s, way)
			if way.sent == total then return end
			local at = way.sent % #piece
			way.sent = way.sent + assert(s:send(piece:sub(at + 1, at + math.min(#piece - at, total - way.sent))))
		end
		local is_same = true
		local function take(s, way)
			local bytes = assert(s:recv())
			if #bytes == 0 then return end
			local at = way.got % #piece
			is_same = is_same and (piece .. piece):sub(at + 1, at + #bytes) == bytes
			way.got = way.got + #bytes
		end
		local head = read(c, has_head)
		local body = head:match "\r\n\r\n(.*)$"
		down.got = #body
		assert.equal(piece:sub(1, #body), body)
		local deadline = clock.now() + 120
		while up.got < total or down.got < total do
			push(c, up)
			push(a, down)
			t.turn(0)
			take(a, up)
			take(c, down)
			assert.is_true(clock.now() < deadline, "it stands still")
		end
		assert.is_true(is_same)
		wait("its end", function() return server:tunnel().ended == 1 end)
		assert.is_true(server:stats().memory < 1 << 20)
	end)

	it("does not read an app whose client takes nothing", function()
		start()
		local c = keep(assert(t.connect(server:port(), 65536)))
		ask(c, PREFIX .. "/")
		local a = app()
		read(a, has_head)
		send(a, "HTTP/1.1 200 OK\r\n\r\n")
		local sent, still = 0, 0
		wait("the app to be held up", function()
			local n = assert(a:send(("x"):rep(65536)))
			sent, still = sent + n, n == 0 and still + 1 or 0
			return still > 50, sent
		end)
		assert.is_true(sent < 32 << 20, sent .. " bytes were taken")
		local got = 0
		wait("the rest to come", function()
			repeat
				local piece = assert(c:recv())
				got = got + #piece
			until piece == ""
			a:send "y"
			return got > sent, got
		end)
	end)

	it("streams an answer without an end before that end", function()
		start()
		local c = client()
		ask(c, PREFIX .. "/")
		local a = app()
		read(a, has_head)
		send(a, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
		local said = read(c, has "data: 1\n\n")
		assert.matches("\r\nConnection: close\r\n", said)
		send(a, "data: 2\n\n")
		read(c, has "data: 2\n\n")
		a:close()
		assert.equal("closed", select(2, read(c)))
	end)

	it("tells the app that a client has gone in the middle of a stream", function()
		start()
		local c = client()
		ask(c, PREFIX .. "/")
		local a = app()
		read(a, has_head)
		send(a, "HTTP/1.1 200 OK\r\n\r\nx")
		read(c, has "x")
		c:reset()
		local _, why = read(a)
		assert.is_truthy(why)
		wait("its end", function() return server:tunnel().open == 0 end)
	end)

	it("answers a client that has shut its sending side", function()
		start()
		local c = client()
		ask(c, PREFIX .. "/")
		c:shut()
		local a = app()
		read(a, has_head)
		assert.equal("closed", select(2, read(a)))
		send(a, OK)
		assert.matches("ok$", (read(c)))
	end)

	--- A request that waits until it is known where to, whose client has shut its sending side by then.
	local function shut_early(fields, body)
		local c = client()
		send(c, ("PATCH %s/ HTTP/1.1\r\nHost: localhost\r\n%s\r\n%s"):format(PREFIX, fields, body))
		wait("the request", function() return server:stats().deferred == 1 end)
		c:shut()
		for _ = 1, 3 do t.turn(5) end
		server:pass(1)
		return c
	end

	it("answers one that had shut it before it was known where to", function()
		start()
		local c = shut_early("Content-Length: 3\r\n", "abc")
		local a = app()
		assert.matches("\r\n\r\nabc$", (read(a, has "abc")))
		assert.equal("closed", select(2, read(a)))
		send(a, OK)
		assert.matches("ok$", (read(c)))
	end)

	it("a body that is none is answered when its client has shut its sending side, however late", function()
		start { answers_later = 1 }
		local c = shut_early("Transfer-Encoding: chunked\r\n", "xyz\r\n")
		wait("its end", function() return server:tunnel().ended == 1 end)
		for _ = 1, 3 do t.turn(5) end
		server:answer(2, "late")
		assert.matches("late$", (read(c)))
	end)

	it("gives a client of HTTP/1.0 an answer without chunks", function()
		start()
		local c = client()
		send(c, ("GET %s/ HTTP/1.0\r\n\r\n"):format(PREFIX))
		local a = app()
		assert.matches("^GET / HTTP/1.0\r\nHost: localhost\r\n", (read(a, has_head)))
		send(a, "HTTP/1.0 200 OK\r\n\r\nold")
		a:close()
		assert.matches("old$", (read(c)))
	end)

	it("an answer to HEAD has no body, whatever its length says", function()
		start()
		local c = client()
		ask(c, PREFIX .. "/", nil, nil, "HEAD")
		local a = app()
		read(a, has_head)
		send(a, "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
		assert.matches("\r\nContent%-Length: 5000\r\n", (read(c, has_head)))
		ask(c, PREFIX .. "/next")
		assert.matches("^GET /next ", (read(app(), has_head)))
	end)

	it("does not ask a socket of anybody else that a link in the app's folder leads to", function()
		local dir = os.tmpname()
		os.remove(dir)
		assert(os.execute(("mkdir -p %s/app && ln -s ../other %s/app/s"):format(dir, dir)))
		local other = assert(t.server { path = dir .. "/other" })
		finally(function()
			other:free()
			os.execute("rm -r " .. dir)
		end)
		local function status()
			start { socket = dir .. "/app/s" }
			local c = client()
			ask(c, PREFIX .. "/info", "Connection: close\r\n")
			local said = read(c)
			server:free()
			server = nil
			return said:match "^HTTP/1.1 (%d+)", said
		end
		assert.equal("200", (status()))
		if not os.execute("chown 65534 " .. dir .. "/app 2>/dev/null") then return end
		local code, said = status()
		assert.equal("502", code)
		assert.matches("is not the owner of its folder", said)
	end)

	describe("after an upgrade to websocket", function()
		local UPGRADE = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\nCookie: dss-webapp=s\r\n"
		local SWITCH = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: a\r\n\r\n"

		local function upgraded(early)
			start()
			local c = client()
			ask(c, PREFIX .. "/ws", UPGRADE)
			if early then send(c, early) end
			local a = app()
			local head = read(a, has_head)
			assert.matches("\r\nsec%-websocket%-key: k\r\n", head)
			assert.matches("\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n$", head)
			assert.is_nil(head:find "dss%-webapp")
			return c, a
		end

		it("passes bytes, whatever they are, both ways", function()
			local c, a = upgraded()
			send(a, SWITCH .. "\0\255first")
			local said = read(c, has "first")
			assert.matches("^HTTP/1.1 101 Switching Protocols\r\n", said)
			assert.matches("\r\nSec%-WebSocket%-Accept: a\r\n", said)
			assert.is_truthy(said:find("\r\n\r\n\0\255first", 1, true))
			send(c, "GET / HTTP/1.1\r\n\r\n\0")
			assert.equal("GET / HTTP/1.1\r\n\r\n\0", (read(a, has "\0")))
			assert.equal(1, server:tunnel().upgraded)
		end)
		it("does not lose what the client sent too early", function()
			local c, a = upgraded "early"
			send(a, SWITCH)
			read(c, has_head)
			assert.equal("early", (read(a, has "early")))
		end)
		it("ends each side when the other has ended", function()
			local c, a = upgraded()
			send(a, SWITCH)
			read(c, has_head)
			c:shut()
			assert.equal("closed", select(2, read(a)))
			send(a, "bye")
			a:close()
			local last, why = read(c)
			assert.equal("bye", last)
			assert.equal("closed", why)
			wait("its end", function() return server:tunnel().open == 0 and server:tunnel().upgraded == 0 end)
		end)
		it("is ended when the server is about to end", function()
			local c, a = upgraded()
			send(a, SWITCH)
			read(c, has_head)
			server:end_upgraded()
			assert.equal("closed", select(2, read(c)))
			assert.is_truthy(select(2, read(a)))
		end)
		it("an app that declines answers as any other", function()
			local c, a = upgraded()
			send(a, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
			assert.matches("^HTTP/1.1 403 .*no$", (read(c, has "no")))
			assert.equal(0, server:tunnel().upgraded)
		end)
		it("which nobody asked for, it is an error of the app", function()
			start()
			assert.matches("^HTTP/1.1 502 .*changes the protocol", (exchange(SWITCH)))
		end)
	end)

	describe("with an app that lies", function()
		local cases = {
			["speaks no HTTP"] = { "hello\r\n\r\n", "not HTTP" },
			["closes at once"] = { "", "without an answer" },
			["closes within its header"] = { "HTTP/1.1 200 OK\r\nA: b", "within its answer's header" },
			["has a length and chunks"] = { "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok", "both Content%-Length" },
			["has two lengths"] = { "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", "came twice" },
			["has a length that is none"] = { "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok", "no number" },
			["has another coding"] = { "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "other than chunked" },
			["folds a line"] = { "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", "no field" },
			["ends lines with LF alone"] = { "HTTP/1.1 200 OK\nA: b\n\r\n\r\n", "LF alone" },
			["has a NUL in its header"] = { "HTTP/1.1 200 OK\r\nA: \0\r\n\r\n", "NUL" },
			["has a header of 1 MB"] = { "HTTP/1.1 200 OK\r\n" .. ("A: " .. ("b"):rep(1000) .. "\r\n"):rep(1000) .. "\r\n", "longer than 64 KB" },
			["has a thousand fields"] = { "HTTP/1.1 200 OK\r\n" .. ("A: b\r\n"):rep(1000) .. "\r\n", "more than 200" },
			["has a status that is none"] = { "HTTP/1.1 20 OK\r\n\r\n", "not HTTP" },
		}
		for what, case in pairs(cases) do
			it("that " .. what .. ", the client gets 502 with the reason", function()
				start()
				local c = client()
				ask(c, PREFIX .. "/")
				local a = app()
				read(a, has_head)
				a:send(case[1])
				a:shut()
				local said = read(c, function(bytes) return bytes:find '"message":".-"}$' ~= nil end)
				assert.matches("^HTTP/1.1 502 ", said)
				assert.matches(case[2], said)
				ask(c, "/x", nil, nil, "DELETE")
				assert.matches("ours$", (read(c, has "ours")))
			end)
		end

		it("that ends before its length, the client sees the answer cut off", function()
			start()
			local said = exchange "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nonly this"
			assert.matches("only this$", said)
		end)
		it("that breaks off between chunks, the last chunk never comes", function()
			start()
			local said = exchange "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
			assert.matches("abc\r\n$", said)
		end)
		it("that sends more than its length, the client gets no byte of it", function()
			start()
			local c = client()
			ask(c, PREFIX .. "/")
			local a = app()
			read(a, has_head)
			send(a, OK .. "HTTP/1.1 200 OK\r\n\r\nevil")
			read(c, has "ok")
			ask(c, "/x", nil, nil, "DELETE")
			local said = read(c, has "ours")
			assert.is_nil(said:find "evil")
		end)
		it("that answers before it took the body, the answer comes, and the connection ends", function()
			start()
			local c = client()
			send(c, ("POST %s/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nabc"):format(PREFIX))
			local a = app()
			read(a, has_head)
			send(a, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
			local said, why = read(c)
			assert.matches("^HTTP/1.1 413 .*\r\nConnection: close\r\n\r\nno$", said)
			assert.equal("closed", why)
		end)
		it("that does not listen, the client gets 502", function()
			start()
			listener:close()
			local c = client()
			ask(c, PREFIX .. "/")
			assert.matches("^HTTP/1.1 502 .*takes no connection", (read(c, has "takes no connection")))
		end)
		it("that never answers, the client gets 504", function()
			start { answer_ms = 100, tick_ms = 20 }
			local c = client()
			ask(c, PREFIX .. "/")
			app()
			assert.matches("^HTTP/1.1 504 .*does not answer", (read(c, has "does not answer")))
		end)
	end)

	it("answers 408 to a client whose body does not come", function()
		start { body_ms = 100, tick_ms = 20 }
		local c = client()
		send(c, ("POST %s/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc"):format(PREFIX))
		app()
		assert.matches("^HTTP/1.1 408 ", (read(c)))
	end)

	it("ends an answer that stands still for too long", function()
		start { idle_ms = 100, tick_ms = 20 }
		local c = client()
		ask(c, PREFIX .. "/")
		local a = app()
		read(a, has_head)
		send(a, "HTTP/1.1 200 OK\r\n\r\nx")
		assert.matches("x$", (read(c)))
	end)

	it("answers 503 past its most requests at a time", function()
		start { most = 1 }
		local first = client()
		ask(first, PREFIX .. "/")
		app()
		local second = client()
		ask(second, PREFIX .. "/")
		assert.matches("^HTTP/1.1 503 ", (read(second, has "try again")))
	end)

	it("counts what it holds for clients that take nothing, and answers 503 to others meanwhile", function()
		start { memory_max = 1 }
		local before, slow = server:stats().memory, client()
		ask(slow, PREFIX .. "/slow")
		local a = app()
		read(a, has_head)
		a:send "HTTP/1.1 200 OK\r\n\r\n"
		wait("the head to come", function() return slow:recv():find "OK" end)
		local idle = server:tunnel().memory
		wait("the app to be held up", function()
			a:send(("x"):rep(65536))
			return server:tunnel().memory > idle
		end)
		assert.equal(server:tunnel().memory, server:stats().memory - before)
		local other = client()
		ask(other, PREFIX .. "/other")
		assert.matches("^HTTP/1.1 503 ", (read(other, has "as many bytes")))
		slow:close()
		wait("its end", function() return server:tunnel().open == 0 end)
		assert.equal(0, server:tunnel().memory)
		local third = client()
		ask(third, PREFIX .. "/third")
		keep(app())
	end)

	it("that is freed answers what waits, and frees what it holds", function()
		start()
		local c = client()
		ask(c, PREFIX .. "/")
		local a = app()
		read(a, has_head)
		server:free()
		assert.matches("^HTTP/1.1 503 ", (read(c)))
		assert.equal("closed", select(2, read(a)))
		server = nil
	end)
end)
