require "spec.helper"
local clock = require "t_wait"
local t = require "t_gate"

local client, server, open

--- Turns the loop until fact() is true.
local function wait(what, fact)
	local deadline = clock.now() + 10
	while true do
		t.turn(5)
		local is_so, state = fact()
		if is_so then return is_so end
		if clock.now() > deadline then error(("waited 10 s in vain for %s (%s)"):format(what, tostring(state)), 2) end
	end
end

local function keep(s)
	open[#open + 1] = s
	return s
end

--- A server that says what the spec says: listens, takes one connection at a time.
local function scripted()
	local listener = keep(assert(t.listen()))
	return listener, "http://127.0.0.1:" .. listener:port()
end

local function accept(listener)
	local s = wait("a connection", function() return (listener:accept()) end)
	return keep(s)
end

--- Reads a request up to what `pattern` finds.
local function hear(s, pattern)
	local got = ""
	wait("a request", function()
		got = got .. assert(s:recv())
		return got:find(pattern or "\r\n\r\n"), got
	end)
	return got
end

local function answer_of(n)
	return wait("the answer", function() return client:answer(n) end)
end

local function call(order)
	return answer_of(assert(client:request(order)))
end

local function start(settings)
	server = assert(t.server(settings or {}))
	return "http://127.0.0.1:" .. server:port()
end

describe("the HTTP client", function()
	before_each(function()
		open = {}
		client = assert(t.client(100))
	end)
	after_each(function()
		client:free()
		for _, s in ipairs(open) do s:close() end
		if server then server:free() end
		server = nil
	end)

	it("sends what was ordered, nothing else", function()
		local listener, url = scripted()
		local n = client:request { method = "POST", url = url .. "/task?wait=1", body = '{"a":1}', bearer = "s3cret", field = "X-A: b" }
		local s = accept(listener)
		local got = hear(s, '{"a":1}$')
		assert.truthy(got:find("^POST /task%?wait=1 HTTP/1.1\r\n"))
		for _, field in ipairs { "Host: 127.0.0.1:" .. listener:port(), "Authorization: Bearer s3cret", "Content-Type: application/json", "Content-Length: 7", "X-A: b" } do
			assert.truthy(got:find("\r\n" .. field .. "\r\n", 1, true), got)
		end
		assert.falsy(got:find("Accept-Encoding", 1, true))
		assert.falsy(got:find("Expect", 1, true))
		s:send("HTTP/1.1 202 Accepted\r\nContent-Type: text/x\r\nContent-Length: 2\r\n\r\n{}")
		local a = answer_of(n)
		assert.same({ "ok", 202, "{}", "text/x", true }, { a.outcome, a.status, a.body, a.content_type, a.was_new })
		assert.is_nil(a.error)
		assert.equal(0, client:count())
	end)

	it("sends an empty POST with its length, a DELETE without one", function()
		local listener, url = scripted()
		client:request { method = "POST", url = url .. "/shutdown", last = 1 }
		local s = accept(listener)
		assert.truthy(hear(s):find("\r\nContent-Length: 0\r\n", 1, true))
		s:send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		client:request { method = "DELETE", url = url .. "/task/1" }
		local got = hear(accept(listener))
		assert.truthy(got:find("^DELETE /task/1 HTTP/1.1\r\n"))
		assert.falsy(got:find("Content-Length", 1, true))
	end)

	it("uses a connection again", function()
		local url = start()
		assert.is_true(call({ url = url .. "/info" }).was_new)
		for i = 1, 5 do
			local a = call { method = "POST", url = url .. "/echo", body = "body " .. i }
			assert.equal("body " .. i, a.body)
			assert.is_false(a.was_new)
		end
		assert.equal(1, server:stats().accepted)
	end)

	it("closes it after the answer when told so", function()
		local url = start()
		call { url = url .. "/info", last = 1 }
		assert.is_true(call({ url = url .. "/info" }).was_new)
	end)

	it("never shares a connection between peers, though the address is the same", function()
		local url = start()
		assert.is_true(call({ url = url .. "/info", peer = "fek-1" }).was_new)
		assert.is_false(call({ url = url .. "/info", peer = "fek-1" }).was_new)
		for _, peer in ipairs { "fek-2", "FEK-1", "fek_1", "a.b:c(d)" } do
			local a = call { url = url .. "/info", peer = peer }
			assert.equal(200, a.status)
			assert.is_true(a.was_new, peer)
			assert.is_false(call({ url = url .. "/info", peer = peer }).was_new)
		end
		assert.is_true(call({ url = url .. "/info" }).was_new)
	end)

	it("goes over a kept connection or not at all when told so", function()
		local url = start()
		local a = call { url = url .. "/info", peer = "fek-1", known_only = 1 }
		assert.equal("unknown", a.outcome)
		assert.equal(0, server:stats().accepted)
		assert.equal("unable to GET " .. url .. "/info: no connection to it is kept", a.error)
		call { url = url .. "/info", peer = "fek-1" }
		assert.equal(200, call({ url = url .. "/info", peer = "fek-1", known_only = 1 }).status)
		assert.equal("unknown", call({ url = url .. "/info", peer = "fek-2", known_only = 1 }).outcome)
	end)

	it("does not take a connection for kept whose other end has gone", function()
		local listener, url = scripted()
		local n = client:request { url = url .. "/health", peer = "fek-1" }
		local s = accept(listener)
		hear(s)
		s:send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
		answer_of(n)
		s:close()
		assert.equal("unknown", call({ url = url .. "/task", peer = "fek-1", known_only = 1 }).outcome)
	end)

	it("does not take bytes that came unasked for the next answer", function()
		local listener, url = scripted()
		local n = client:request { url = url .. "/health", peer = "fek-1" }
		local s = accept(listener)
		hear(s)
		s:send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
		answer_of(n)
		s:send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nlies!")
		assert.equal("unknown", call({ url = url .. "/task", peer = "fek-1", known_only = 1 }).outcome)
	end)

	it("takes what follows 100 Continue for the answer, and one without a length to its end", function()
		local listener, url = scripted()
		local n = client:request { method = "POST", url = url .. "/task", body = "{}" }
		local s = accept(listener)
		hear(s, "{}$")
		s:send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[1,")
		s:send("2]")
		s:close()
		local a = answer_of(n)
		assert.same({ "ok", 200, "[1,2]", "application/json" }, { a.outcome, a.status, a.body, a.content_type })
		assert.is_true(call({ url = start() .. "/info" }).was_new)
	end)

	it("asks again over a new connection when the kept one closes before an answer, unless told not to", function()
		local listener, url = scripted()
		local n = client:request { url = url .. "/a" }
		local s = accept(listener)
		hear(s)
		s:send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		answer_of(n)
		n = client:request { url = url .. "/b" }
		hear(s)
		s:close()
		local other = accept(listener)
		assert.truthy(hear(other):find("^GET /b "))
		other:send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		assert.is_true(answer_of(n).was_new)
		n = client:request { url = url .. "/c", known_only = 1 }
		hear(other)
		other:close()
		assert.equal("unknown", answer_of(n).outcome)
	end)

	it("keeps peers apart behind a name, too", function()
		local url = start():gsub("127.0.0.1", "localhost")
		assert.is_true(call({ url = url .. "/info", peer = "fek-1" }).was_new)
		assert.is_false(call({ url = url .. "/info", peer = "fek-1" }).was_new)
		assert.is_true(call({ url = url .. "/info", peer = "FEK_1" }).was_new)
	end)

	it("does not follow, decode, or take another protocol", function()
		local listener, url = scripted()
		local n = client:request { url = url .. "/a" }
		local s = accept(listener)
		hear(s)
		s:send("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nraw")
		local a = answer_of(n)
		assert.equal(302, a.status)
		assert.equal("raw", a.body)
		for _, bad in ipairs { "https://127.0.0.1/", "file:///etc/passwd", "ftp://127.0.0.1/", "127.0.0.1:80", "http://user@127.0.0.1:80/", "http:///x",
			"http://127.0.0.1:80/a b", "http://127.0.0.1:80\r\nX: y/", "http://127.0.0.1:80/\27" } do
			local none, why = client:request { url = bad }
			assert.is_nil(none)
			assert.truthy(why:find("unable to call", 1, true), why)
		end
	end)

	it("asks no proxy", function()
		-- libcurl reads this variable itself; setting it needs a process of its own.
		local script = ([[package.cpath = %q
			local t = require "t_gate"
			local server, client = t.server {}, t.client(1)
			local n = client:request { url = "http://127.0.0.1:" .. server:port() .. "/info" }
			for _ = 1, 1000 do
				t.turn(5)
				if client:answer(n) then print(client:answer(n).outcome) os.exit(0) end
			end]]):format(package.cpath)
		local name = os.tmpname()
		require("spec.helper").write(name, script)
		local pipe = io.popen("http_proxy=http://127.0.0.1:1 all_proxy=http://127.0.0.1:1 no_proxy= LD_PRELOAD=\"$DSS_SAN_PRELOAD\" lua5.4 " .. name)
		assert.equal("ok", pipe:read("l"))
		pipe:close()
		os.remove(name)
	end)

	it("says when nothing listens", function()
		local listener, url = scripted()
		listener:close()
		local a = call { url = url .. "/x?token=s3cret" }
		assert.equal("not connected", a.outcome)
		assert.equal("unable to GET " .. url .. "/x: no connection: Connection refused", a.error)
	end)

	it("says when no answer comes in time", function()
		local listener, url = scripted()
		local n = client:request { url = url .. "/x", timeout_ms = 100, bearer = "s3cret" }
		hear(accept(listener))
		local a = answer_of(n)
		assert.equal("timed out", a.outcome)
		assert.equal("unable to GET " .. url .. "/x: no whole answer within 100 ms", a.error)
	end)

	it("takes half an answer, garbage, and silence for broken", function()
		local listener, url = scripted()
		for _, bytes in ipairs { "", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "garbage\r\n\r\n", "HTTP/1.1 200", "\0\0\0\0",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" } do
			local n = client:request { url = url .. "/x?s3cret", bearer = "s3cret", peer = "fek-1", timeout_ms = 5000 }
			local s = accept(listener)
			hear(s)
			s:send(bytes)
			s:close()
			local a = answer_of(n)
			assert.equal("broken", a.outcome, bytes)
			assert.equal(0, a.status)
			assert.equal("", a.body)
			assert.truthy(a.error:find("unable to GET " .. url .. "/x: ", 1, true), a.error)
			assert.falsy(a.error:find("s3cret", 1, true))
			assert.falsy(a.error:find("fek", 1, true), a.error)
		end
	end)

	it("stops at an answer over the limit, announced or not", function()
		local url = start()
		assert.equal(1000, #call({ url = url .. "/bytes/1000", answer_max = 1000 }).body)
		local a = call { url = url .. "/bytes/1001", answer_max = 1000 }
		assert.equal("too large", a.outcome)
		assert.truthy(a.error:find("larger than the limit of 1000 B", 1, true), a.error)
		local listener, raw = scripted()
		local n = client:request { url = raw, answer_max = 1000 }
		local s = accept(listener)
		hear(s)
		s:send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n" .. ("x"):rep(1024) .. "\r\n")
		assert.equal("too large", answer_of(n).outcome)
	end)

	it("stops at a header without end", function()
		local listener, url = scripted()
		local n = client:request { url = url }
		local s = accept(listener)
		hear(s)
		s:send("HTTP/1.1 200 OK\r\n")
		wait("the end", function()
			s:send(("X: " .. ("x"):rep(1000) .. "\r\n"):rep(10))
			return client:answer(n)
		end)
		assert.equal("broken", client:answer(n).outcome)
		assert.truthy(client:answer(n).error:find("header is larger than the limit of 65536", 1, true))
	end)

	it("cancels a call: no answer comes, and the server sees the connection close", function()
		local listener, url = scripted()
		local n = client:request { url = url }
		local s = accept(listener)
		hear(s)
		assert.equal(1, client:count())
		client:cancel(n)
		assert.equal(0, client:count())
		wait("the close", function() return s:recv() == nil end)
		assert.is_nil(client:answer(n))
	end)

	it("refuses tokens and fields that would break the header", function()
		local none, why = client:request { url = "http://127.0.0.1:1/", bearer = "s3cret\r\nX: y" }
		assert.is_nil(none)
		assert.falsy(why:find("s3cret", 1, true))
		assert.is_nil((client:request { url = "http://127.0.0.1:1/", field = "X: y\r\nZ: s3cret" }))
		assert.equal(0, client:count())
	end)

	it("speaks over a unix socket", function()
		local dir = os.tmpname()
		os.remove(dir)
		assert(os.execute("mkdir " .. dir))
		finally(function() os.execute("rm -r " .. dir) end)
		server = assert(t.server { path = dir .. "/s" })
		local a = call { url = "http://localhost/info", unix_path = dir .. "/s" }
		assert.equal(200, a.status)
		assert.truthy(a.body:find('"peer":"unix"', 1, true))
		-- A socket that a link leads to, of somebody else than the folder's owner.
		if os.execute("mkdir " .. dir .. "/d && ln -s ../s " .. dir .. "/d/s && chown 65534 " .. dir .. "/d 2>/dev/null") then
			a = call { url = "http://localhost/info", unix_path = dir .. "/d/s" }
			assert.same({ 0, "not connected" }, { a.status, a.outcome })
			assert.matches("is not the owner of the socket's folder$", a.error)
		end
	end)

	it("holds a thousand calls at once", function()
		local url = start { connections_max = 2000, per_peer_max = 2000 }
		local n = {}
		for i = 1, 60 do n[i] = assert(client:request { url = url .. "/later" }) end
		wait("all to wait", function() return server:stats().deferred == 60 end)
		for i = 1, 1000 do n[60 + i] = assert(client:request { url = url .. "/info", peer = "fek-" .. i }) end
		wait("a thousand answers", function() return client:count() == 60 end)
		for i = 1, 1000 do assert.equal(200, client:answer(n[60 + i]).status) end
		for i = 1, 60 do server:answer(i, tostring(i)) end
		wait("the rest", function() return client:count() == 0 end)
		local seen = {}
		for i = 1, 60 do seen[client:answer(n[i]).body] = true end
		for i = 1, 60 do assert.is_true(seen[tostring(i)]) end
	end)
end)
