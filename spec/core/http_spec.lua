require "spec.helper"
local t = require "t_http"

local function request(lines, body)
	return table.concat(lines, "\r\n") .. "\r\n\r\n" .. (body or "")
end

local function get(target, ...)
	return request({ "GET " .. target .. " HTTP/1.1", "Host: localhost", ... })
end

local function names(pairs_)
	local out = {}
	for i, p in ipairs(pairs_) do out[i] = p[1] .. "=" .. p[2] end
	return table.concat(out, " ")
end

--- Refused in one piece and byte by byte, with the same status.
local function refused(bytes, status, words, body_max)
	for _, piece in ipairs { #bytes, 1 } do
		local r = t.parse(bytes, piece, body_max)
		assert.equal("bad", r.step)
		assert.equal(status, r.status)
		assert.truthy(r.text:find(words, 1, true), r.text)
	end
end

describe("a request", function()
	it("is read whole and byte by byte with the same outcome", function()
		local bytes = request({ "POST /public//api/a%20b/?peek=False&notebookName=N+b HTTP/1.1", "Host: localhost:11200",
			"Content-Length: 5", "X-Long:   two words \t", "Empty:" }, "hello")
		for _, piece in ipairs { #bytes, 7, 1 } do
			local r = t.parse(bytes .. "GET", piece)
			assert.equal("done", r.step)
			assert.equal(#bytes, r.used)
			assert.equal("POST", r.method)
			assert.same({ "public", "api", "a b" }, r.segments)
			assert.equal("/public//api/a%20b/", r.path)
			assert.equal("peek=False notebookName=N b", names(r.query))
			assert.equal("host=localhost:11200 content-length=5 x-long=two words empty=", names(r.fields))
			assert.equal("localhost:11200", r.host)
			assert.equal("hello", r.body)
			assert.is_true(r.keeps_alive)
		end
	end)

	it("waits for what is missing", function()
		assert.equal("more", t.parse("GET / HTTP/1.1\r\nHost: a\r\n").step)
		assert.equal("more", t.parse("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab").step)
		assert.equal("more", t.parse("").step)
	end)

	it("may come after empty lines", function()
		assert.equal("done", t.parse("\r\n\r\n" .. get("/")).step)
	end)

	it("keeps %2F inside a segment and + in the path", function()
		assert.same({ "a/b+c", "d" }, t.parse(get "/a%2Fb+c/d").segments)
		assert.same({}, t.parse(get "/").segments)
	end)

	it("decodes once only", function()
		assert.same({ "%2e%2e" }, t.parse(get "/%252e%252e").segments)
		assert.equal("a=%41", names(t.parse(get "/?a=%2541").query))
	end)

	it("takes every shape of a query", function()
		assert.equal("a= b= =c d=e=f x&y=1 a=2", names(t.parse(get "/?a&b=&=c&&d=e=f&x%26y=1&a=2").query))
	end)

	it("may name its own host before the path", function()
		assert.same({ "x" }, t.parse(get "http://localhost/x").segments)
		refused(get "http://other/x", 400, "target's host")
		refused(get "http://localhost?x", 400, "no path")
	end)

	it("may ask for options of all", function()
		assert.equal("*", t.parse("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").path)
		refused(get "*", 400, "begin with /")
	end)

	it("without a length has no body, GET included", function()
		local r = t.parse("POST / HTTP/1.1\r\nHost: a\r\n\r\nGET")
		assert.equal("", r.body)
		assert.equal(#"POST / HTTP/1.1\r\nHost: a\r\n\r\n", r.used)
		assert.equal("{}", t.parse("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}").body)
	end)

	it("keeps the connection by the rules of its version", function()
		local function keeps(version, ...) return t.parse(request { "GET / HTTP/" .. version, "Host: a", ... }).keeps_alive end
		assert.is_true(keeps("1.1"))
		assert.is_false(keeps("1.1", "Connection: close"))
		assert.is_false(keeps("1.1", "Connection: x, Close"))
		assert.is_false(keeps("1.0"))
		assert.is_true(keeps("1.0", "Connection: keep-alive"))
	end)

	it("with Upgrade is a request like others that keeps the field", function()
		local bytes = request({ "POST /ws HTTP/1.1", "Host: a", "Connection: Upgrade", "Upgrade: websocket", "Content-Length: 2" }, "ab")
		for _, piece in ipairs { #bytes, 1 } do
			local r = t.parse(bytes, piece)
			assert.equal("done", r.step)
			assert.equal("ab", r.body)
			assert.truthy(names(r.fields):find("upgrade=websocket", 1, true))
		end
		local bare = t.parse(get("/ws", "Connection: Upgrade", "Upgrade: h2c") .. "rest")
		assert.equal("done", bare.step)
	end)

	it("without Host is taken from HTTP/1.0 only", function()
		assert.equal("", t.parse("GET / HTTP/1.0\r\n\r\n").host)
		refused("GET / HTTP/1.1\r\n\r\n", 400, "Host is missing")
	end)
end)

describe("a leniency", function()
	local cases = {
		{ "Content-Length with Transfer-Encoding", request({ "POST / HTTP/1.1", "Host: a", "Content-Length: 5", "Transfer-Encoding: chunked" }, "0\r\n\r\n"), 400, "" },
		{ "Transfer-Encoding with Content-Length", request({ "POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "Content-Length: 5" }, "0\r\n\r\n"), 400, "" },
		{ "a second Content-Length", get("/", "Content-Length: 1", "Content-Length: 1"), 400, "" },
		{ "a list of lengths", get("/", "Content-Length: 1, 1"), 400, "" },
		{ "a signed length", get("/", "Content-Length: +1"), 400, "" },
		{ "an empty length", get("/", "Content-Length: "), 400, "" },
		{ "a length past 64 bits", get("/", "Content-Length: 18446744073709551617"), 400, "" },
		{ "a length with a blank in it", get("/", "Content-Length: 1 2"), 400, "" },
		{ "another transfer coding", get("/", "Transfer-Encoding: gzip, chunked"), 501, "chunked" },
		{ "chunked that is not last", get("/", "Transfer-Encoding: chunked, gzip"), 501, "chunked" },
		{ "two transfer codings", get("/", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), 400, "" },
		{ "chunks on HTTP/1.0", request({ "POST / HTTP/1.0", "Transfer-Encoding: chunked" }, "0\r\n\r\n"), 400, "" },
		{ "a blank before the colon", get("/", "Content-Length : 1"), 400, "before its colon" },
		{ "a tab before the colon", get("/", "X\t: 1"), 400, "before its colon" },
		{ "a folded line", get("/", "X: 1", " 2"), 400, "folded" },
		{ "a line folded with a tab", get("/", "X: 1", "\t2"), 400, "folded" },
		{ "a bare LF after a field", "GET / HTTP/1.1\r\nHost: a\n\r\n", 400, "LF alone" },
		{ "a bare LF after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400, "LF alone" },
		{ "a bare LF at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n", 400, "LF alone" },
		{ "a CR in a value", get("/", "X: a\rb"), 400, "without LF" },
		{ "two Host fields", get("/", "Host: localhost"), 400, "host came twice" },
		{ "two Authorization fields", get("/", "Authorization: Bearer a", "authorization: Bearer b"), 400, "authorization came twice" },
		{ "a Host with a path", request { "GET / HTTP/1.1", "Host: a/b" }, 400, "Host is not" },
		{ "a Host with a user", request { "GET / HTTP/1.1", "Host: a@b" }, 400, "Host is not" },
		{ "HTTP/0.9", "GET /\r\n\r\n", 400, "request line" },
		{ "HTTP/2", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, "HTTP/1.1" },
		{ "HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505, "HTTP/1.1" },
		{ "a version in lower case", "GET / http/1.1\r\nHost: a\r\n\r\n", 400, "request line" },
		{ "two blanks in the request line", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "request line" },
		{ "a blank after the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400, "request line" },
		{ "a blank in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "request line" },
		{ "CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 501, "CONNECT" },
		{ "an unknown method", "BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501, "method" },
		{ "a method in lower case", "get / HTTP/1.1\r\nHost: a\r\n\r\n", 501, "method" },
		{ "a NUL in a value", get("/", "X: a\0b"), 400, "control character" },
		{ "a NUL in the target", "GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "control character" },
		{ "a control byte in a value", get("/", "X: a\27[2J"), 400, "control character" },
		{ "a control byte in the target", "GET /\127 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "control character" },
		{ "a tab in the request line", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "control character" },
		{ "a field without a name", get("/", ": x"), 400, "no name" },
		{ "a field without a colon", get("/", "X"), 400, "no colon" },
		{ "a field's name with brackets", get("/", "X[]: a"), 400, "may not stand" },
		{ "a field's name that is not ASCII", get("/", "X\xc3\xa4: a"), 400, "may not stand" },
		{ "a segment ..", get "/a/../b", 400, '".."' },
		{ "an encoded segment ..", get "/a/%2e%2E/b", 400, '".."' },
		{ "a segment .", get "/./b", 400, '"."' },
		{ "an encoded NUL in the path", get "/a%00", 400, "NUL" },
		{ "an encoded NUL in the query", get "/?a=%00", 400, "NUL" },
		{ "a cut escape", get "/a%2", 400, "escape" },
		{ "an escape that is none", get "/a%zz", 400, "escape" },
		{ "a query's escape that is none", get "/?%=1", 400, "escape" },
		{ "a path that is not UTF-8", get "/%ff", 400, "UTF-8" },
		{ "an overlong slash", get "/..%c0%af", 400, "UTF-8" },
		{ "a fragment", get "/a#b", 400, "fragment" },
		{ "an expectation nobody knows", get("/", "Expect: the-unexpected"), 417, "100-continue" },
	}
	for _, case in ipairs(cases) do
		it("is refused: " .. case[1], function() refused(case[2], case[3], case[4]) end)
	end
end)

describe("a chunked body", function()
	local function chunked(body) return request({ "POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked" }, body) end

	it("is put together, whatever the pieces", function()
		local bytes = chunked "5\r\nhello\r\n00A;ext=\"1\"\r\n, my world\r\n0\r\nTrailer: x\r\n\r\n"
		for _, piece in ipairs { #bytes, 3, 1 } do
			local r = t.parse(bytes .. "GET", piece)
			assert.equal("done", r.step)
			assert.equal("hello, my world", r.body)
			assert.equal(#bytes, r.used)
		end
	end)

	local bad = {
		{ "a size that is no number", "x\r\n", "hexadecimal" },
		{ "an empty size", "\r\n", "hexadecimal" },
		{ "a signed size", "-5\r\nhello\r\n", "hexadecimal" },
		{ "a size with 0x", "0x5\r\nhello\r\n", "hexadecimal" },
		{ "a blank before an extension", "5 ;a\r\nhello\r\n", "hexadecimal" },
		{ "a bare LF after the size", "5\nhello\r\n0\r\n\r\n", "hexadecimal" },
		{ "a CR without LF after the size", "5\rXhello\r\n0\r\n\r\n", "CR without LF" },
		{ "a chunk longer than its size", "5\r\nhello!\r\n", "longer than its size" },
		{ "a bare LF after a chunk", "5\r\nhello\n0\r\n\r\n", "longer than its size" },
		{ "a CR without LF at the end", "0\r\n\rX", "CR without LF" },
		{ "a size with too many digits", "00000000000000005\r\n", "digits" },
		{ "a control byte in an extension", "5;\1\r\n", "control" },
		{ "a bare LF in a trailer", "0\r\nA: b\nC: d\r\n\r\n", "control" },
		{ "endless extensions", "5;" .. ("x"):rep(17000) .. "\r\n", "too long" },
		{ "endless trailers", "0\r\n" .. ("A: b\r\n"):rep(8000), "too long" },
	}
	for _, case in ipairs(bad) do
		it("is refused with " .. case[1], function() refused(chunked(case[2]), 400, case[3]) end)
	end

	it("may be as long as the limit and no longer", function()
		assert.equal("done", t.parse(chunked "5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n", nil, 10).step)
		refused(chunked "5\r\nhello\r\n6\r\nworld!\r\n0\r\n\r\n", 413, "10", 10)
		refused(chunked "fffffffffffffff\r\n", 413, "10", 10)
	end)
end)

describe("a limit", function()
	it("holds for the header's bytes", function()
		local fits = get("/", "X: " .. ("x"):rep(16 * 1024 - #get("/", "X: ")))
		assert.equal(16 * 1024, #fits)
		assert.equal("done", t.parse(fits).step)
		refused(get("/", "X: " .. ("x"):rep(16 * 1024)), 431, "16384")
		refused(get("/" .. ("x"):rep(20000)), 414, "16384")
		refused(("\r\n"):rep(9000), 431, "16384")
	end)

	it("holds for the number of fields", function()
		local fields = {}
		for i = 1, 99 do fields[i] = "X: " .. i end
		assert.equal("done", t.parse(get("/", table.unpack(fields))).step)
		fields[100] = "X: 100"
		refused(get("/", table.unpack(fields)), 431, "100 header fields")
	end)

	it("holds for segments and parameters", function()
		assert.equal("done", t.parse(get(("/x"):rep(32))).step)
		refused(get(("/x"):rep(33)), 400, "32 segments")
		assert.equal("done", t.parse(get("/?" .. ("x&"):rep(64))).step)
		refused(get("/?" .. ("x&"):rep(65)), 400, "64 parameters")
	end)

	it("holds for a body before its bytes come", function()
		assert.equal("done", t.parse(get("/", "Content-Length: 10") .. ("x"):rep(10), nil, 10).step)
		refused(get("/", "Content-Length: 11"), 413, "limit is 10", 10)
	end)
end)

describe("Expect: 100-continue", function()
	it("is told once, before the body", function()
		local bytes = request({ "POST / HTTP/1.1", "Host: a", "Content-Length: 2", "Expect: 100-Continue" }, "ab")
		for _, piece in ipairs { #bytes, 1 } do
			local r = t.parse(bytes, piece)
			assert.equal("done", r.step)
			assert.equal(1, r.continues)
			assert.equal("ab", r.body)
		end
	end)

	it("is not told without a body, nor to HTTP/1.0, nor for a body over the limit", function()
		assert.equal(0, t.parse(get("/", "Expect: 100-continue")).continues)
		assert.equal(0, t.parse(request({ "POST / HTTP/1.0", "Content-Length: 1", "Expect: 100-continue" }, "a")).continues)
		refused(request { "POST / HTTP/1.1", "Host: a", "Content-Length: 20", "Expect: 100-continue" }, 413, "20", 10)
	end)
end)

describe("an answer's head", function()
	it("says length and version's way of keeping the connection", function()
		assert.equal("HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\n", t.head(404, 1, true, 3))
		assert.truthy(t.head(200, 0, true, 3):find("Connection: keep-alive\r\n", 1, true))
		assert.truthy(t.head(200, 1, false, 3):find("Connection: close\r\n", 1, true))
	end)

	it("says chunked to 1.1 only, and no length with 204", function()
		assert.truthy(t.head(200, 1, true, "chunked"):find("Transfer-Encoding: chunked\r\n", 1, true))
		assert.falsy(t.head(200, 0, false, "chunked"):find("Transfer-Encoding", 1, true))
		assert.falsy(t.head(204, 1, true, 0):find("Content-Length", 1, true))
	end)

	it("refuses a field that would break it", function()
		for _, value in ipairs { "a\r\nX: y", "a\nb", "a\27b", "\127" } do
			local head, why = t.head(200, 1, true, 0, "X", value)
			assert.is_nil(head)
			assert.truthy(why:find('"X"', 1, true))
		end
		assert.is_nil(t.head(200, 1, true, 0, "X Y", "a"))
		assert.is_nil(t.head(200, 1, true, 0, "", "a"))
		assert.truthy(t.head(200, 1, true, 0, "X", "a\tb"))
	end)

	it("knows the reasons", function()
		assert.equal("Misdirected Request", t.reason(421))
		assert.equal("Unknown", t.reason(299))
	end)
end)

describe("percent encoding", function()
	it("comes back as it went", function()
		local all = {}
		for i = 1, 255 do all[i] = string.char(i) end
		for i = 1, 255, 40 do
			local s = table.concat(all, "", i, math.min(i + 39, 255))
			assert.equal(s, t.decode(t.encode(s)))
		end
		assert.equal("a b+c", t.decode("a+b%2bc", true))
		assert.equal("a+b", t.decode("a+b", false))
		assert.is_nil(t.decode("%00"))
		assert.is_nil(t.decode("%"))
	end)
end)

describe("digests", function()
	it("are those of the standards", function()
		assert.equal("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", t.sha256("abc"))
		assert.equal("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843", t.hmac("Jefe", "what do ya want for nothing?"))
	end)

	it("make random text of the length asked for, never the same", function()
		assert.equal(2 * 100, #t.random_hex(100))
		assert.truthy(t.random_hex(32):match("^%x+$"))
		assert.not_equal(t.random_hex(16), t.random_hex(16))
	end)

	it("read exactly the hexadecimal digits they are told", function()
		assert.equal("\x00\xffA", t.from_hex("00fF41", 3))
		assert.is_nil(t.from_hex("00ff", 3))
		assert.is_nil(t.from_hex("00f", 2))
		assert.is_nil(t.from_hex("0g", 1))
	end)
end)

describe("JSON", function()
	local function refuses(text, words)
		local value, why = t.json(text)
		assert.is_nil(value)
		assert.truthy(why:find(words, 1, true), why)
	end

	it("comes back as it was", function()
		for _, text in ipairs { '{"a":[],"b":{},"c":[1,-2,9223372036854775807,1.5,true,false,null,"\\u00e4\\n"]}', '"x"', "1", "null" } do
			local once = assert(t.json(text))
			assert.equal(once, t.json(once))
		end
		assert.equal('{"a":[],"b":{}}', t.json ' { "a" : [ ] ,\n"b": {} } ')
	end)

	it("is refused with line and column where it is none", function()
		refuses("{\n  \"a\": x}", "line 2, column")
		refuses("", "line 1, column")
		refuses('{"a":1} x', "line 1")
		refuses('{"a":1,"a":2}', "duplicate")
		refuses('"\xff"', "unable to decode byte 0xff")
		refuses("NaN", "line 1")
		refuses("18446744073709551616", "line 1")
	end)

	it("is refused when nested too deep, brackets in strings aside", function()
		assert.truthy(t.json(("["):rep(64) .. ("]"):rep(64)))
		refuses(("["):rep(65) .. ("]"):rep(65), "deeper than 64")
		refuses(("["):rep(1000000), "deeper than 64")
		assert.truthy(t.json('["\\"' .. ("["):rep(100) .. '"]'))
	end)

	it("gives members of the kind asked for", function()
		assert.equal("x", t.json_get("text", '{"k":"x"}', "k"))
		assert.equal(7, t.json_get("int", '{"k":7}', "k"))
		assert.equal(1.5, t.json_get("number", '{"k":1.5}', "k"))
		assert.equal(true, t.json_get("bool", '{"k":true}', "k"))
		assert.equal("an object", t.json_get("object", '{"k":{}}', "k"))
		assert.equal("a list", t.json_get("list", '{"k":[]}', "k"))
	end)

	it("keeps the default where a member may be absent or null", function()
		assert.is_false(t.json_get("text", "{}", "k"))
		assert.is_false(t.json_get("int", '{"k":null}', "k"))
		assert.is_false(t.json_get("list", '{"k":null}', "k"))
	end)

	it("names key, kind and limit in its errors", function()
		local function why(...) return select(2, t.json_get(...)) end
		assert.equal('"k" is missing', why("text", "{}", "k", true))
		assert.equal('"k" is missing', why("object", '{"k":null}', "k", true))
		assert.equal('"k" must be a string, not an integer', why("text", '{"k":1}', "k"))
		assert.equal('"k" must be an integer, not a number with a fraction', why("int", '{"k":1.0}', "k"))
		assert.equal('"k" must be true or false, not a string', why("bool", '{"k":"true"}', "k"))
		assert.equal('"k" must be an object, not a list', why("object", '{"k":[]}', "k"))
		assert.equal('"k" must be a list, not a boolean', why("list", '{"k":true}', "k"))
		assert.equal('"k" must be at least 1, not 0', why("int", '{"k":0}', "k", false, 1, 9))
		assert.equal('"k" must be at most 9, not 10', why("int", '{"k":10}', "k", false, 1, 9))
		assert.truthy(why("int", "[]", "k"):find("must be an object, not a list", 1, true))
	end)

	it("refuses unknown keys and offers the nearest", function()
		assert.is_true(t.only_keys('{"timeoutMs":1}', "timeoutMs", "pool"))
		local _, why = t.only_keys('{"timeoutMS":1}', "timeoutMs", "pool")
		assert.equal('unknown key "timeoutMS", did you mean "timeoutMs"?', why)
		_, why = t.only_keys('{"zzzzzzzz":1}', "timeoutMs", "pool")
		assert.equal('unknown key "zzzzzzzz"', why)
	end)

	it("quotes any bytes into valid text", function()
		assert.equal([["a\"\\\n\u0001\u007f]] .. 'ä"', t.json_quote('a"\\\n\1\127ä'))
		for _, s in ipairs { "\xff", "a\xc3", "\xed\xa0\x80", "\xc0\xaf", "\xf4\x90\x80\x80", "x\0y" } do
			local quoted = t.json_quote(s)
			assert.is_true(t.is_utf8(quoted))
			if not s:find("\0", 1, true) then assert.truthy(t.json(quoted), quoted) end
		end
	end)
end)
