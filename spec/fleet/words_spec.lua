-- Small words between backend and kernels: addresses, tokens, raw members.
require "spec.helper"
local t_words = require "t_words"

describe("a kernel's address", function()
	it("is plain http on this machine with an unprivileged port", function()
		assert.equal("http://127.0.0.1:4711", t_words.read_url("http://127.0.0.1:4711"))
		assert.equal("http://127.0.0.1:65535", t_words.read_url("http://127.0.0.1:65535/"))
	end)

	it("is nothing else", function()
		for _, url in ipairs { "https://127.0.0.1:4711", "http://127.0.0.1:1023", "http://127.0.0.1:65536", "http://127.0.0.1", "http://127.0.0.1:", "http://10.0.0.1:4711",
			"http://localhost:4711", "http://127.0.0.1:4711/x", "http://127.0.0.1:4711@evil:80", "http://127.0.0.1:04711", "http://127.0.0.1:-4711",
			"http://127.0.0.1:4711?x", "http://127.0.0.1:4711#", "http://u@127.0.0.1:4711", " http://127.0.0.1:4711", "" } do
			assert.is_nil(t_words.read_url(url), url)
		end
	end)
end)

describe("a kernel's tokens", function()
	it("differ by kernel, by purpose and by key, and are the same for every backend", function()
		local k1, t1 = t_words.token("key", "fek-1")
		local k2, t2 = t_words.token("key", "fek-2")
		local all = { [k1] = true, [t1] = true, [k2] = true, [t2] = true, [(t_words.token("other", "fek-1"))] = true }
		local n = 0
		for token in pairs(all) do
			n = n + 1
			assert.equal(64, #token)
		end
		assert.equal(5, n)
		assert.equal(k1, (t_words.token("key", "fek-1")))
	end)

	it("are the HMAC-SHA256 of the purpose and the id", function()
		-- printf 'kernel:fek-1' | openssl dgst -sha256 -hmac key
		assert.equal("8a5536d9ff661578b70da6380e828c0d3382accc23efbd1d60e35665dc59f276", (t_words.token("key", "fek-1")))
	end)
end)

describe("a raw member", function()
	it("is given byte by byte as it was written", function()
		for _, value in ipairs { "1", "1.50", "-0.0e+10", "true", "null", '"a\\"b\\\\"', "[1, {\"x\": \"]}\"} ]", "{ }", '{"result": 1}', '""' } do
			for _, frame in ipairs { '{"result":%s}', '{"a":{"result":0},"result" : %s , "z":[2]}', ' {"b":"\\"result\\":7","result":%s}' } do
				assert.equal(value, t_words.raw_member(frame:gsub("%%s", function() return value end), "result"))
			end
		end
	end)

	it("is not found in what only looks like it", function()
		for _, json in ipairs { "{}", "[]", '"result"', '{"results":1}', '{"a":{"result":1}}', '{"a":"result"}' } do
			assert.is_nil(t_words.raw_member(json, "result"), json)
		end
	end)
end)

describe("an order to make or remove a project", function()
	local K36 = ("K"):rep(36)
	local there = "there is no keeper to order it"

	it("takes a key of 36 bytes, and cuts none that is longer", function()
		assert.equal(("unable to remove project %s: %s"):format(K36, there), t_words.change(K36))
		assert.equal(("unable to remove project %sK: its key is longer than 36 bytes"):format(K36), t_words.change(K36 .. "K"))
		assert.matches("^unable to make project K+: its key is longer", t_words.change(("K"):rep(60), "project { }"))
		for _, key in ipairs { "", "..", "A/B", "../A" } do assert.equal("unable to remove the project: its key is no name", t_words.change(key)) end
	end)

	it("takes a file of 100 KB, and makes no project of a longer one", function()
		assert.equal("unable to make project P: " .. there, t_words.change("P", ("x"):rep(100 << 10)))
		assert.equal("unable to make project P: its project.lua is longer than 100 KB", t_words.change("P", ("x"):rep((100 << 10) + 1)))
	end)
end)
