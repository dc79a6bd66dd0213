local helper = require "spec.helper"
local t = require "t_bind"
t.preload()
local json = require "bind.json"

local TIME, MEMORY = 2, 3

--- Runs a text in a state of ours. Result as text, or nil, message, why, trace.
local function run(text, o)
	o = o or {}
	local r = table.pack(t.run(o.use or "policy", ".", text, o.ms or 2000, o.memory or 0))
	assert.is_true(r[r.n], "the state is of use after the call")
	return table.unpack(r, 1, r.n - 1)
end

--- Runs a text as a user's file in the sandbox.
local function user(text, o)
	return run(([[
		local sandbox = require "dss.model.sandbox"
		local out
		local ok, why = sandbox.run(%q, "@user.lua", sandbox.environment { answer = function(v) out = v end })
		return ok and tostring(out) or error(why, 0)
	]]):format(text), o)
end

describe("a call into Lua", function()
	it("leaves one result and nothing else on the stack", function()
		local result, _, height = run "return 1 + 1"
		assert.equal("2", result)
		assert.equal(1, height)
	end)
	it("tells file, line and traceback of what was raised", function()
		local result, message, _, trace, height = run "local function deep() error 'no luck' end\nlocal x = deep() return x"
		assert.is_nil(result)
		assert.equal("spec.lua:1: no luck", message)
		assert.matches("in upvalue 'deep'", trace:gsub("local 'deep'", "upvalue 'deep'"))
		assert.equal(0, height)
	end)
	it("stops an endless loop when its time is over, and names the line", function()
		local result, message, why = run("\nwhile true do end", { ms = 20 })
		assert.is_nil(result)
		assert.equal(TIME, why)
		assert.equal("spec.lua:2: used up its time budget of 20 ms", message)
	end)
	it("stops a loop that catches errors", function()
		local _, message, why = run("while true do pcall(function() while true do end end) end", { ms = 20 })
		assert.equal(TIME, why)
		assert.matches("time budget of 20 ms", message)
	end)
	it("stops what takes more than its memory", function()
		local _, message, why = run("local t = {} for i = 1, 1e9 do t[i] = {} end", { memory = 4 << 20 })
		assert.equal(MEMORY, why)
		assert.equal("spec.lua:1: used up its memory of 4 MB", message)
	end)
	it("takes errors that are no texts", function()
		local _, message = run "error {}"
		assert.equal("(an error of type table)", message)
	end)
end)

describe("the sandbox", function()
	it("hides everything that reaches out of it", function()
		for name in ("io os require load dofile loadfile debug coroutine collectgarbage getmetatable setmetatable rawget rawset rawequal rawlen _G package next print xpcall"):gmatch "%S+" do
			local _, message = user("return " .. name)
			assert.equal(("user.lua:1: %s is not available here"):format(name), message)
		end
	end)
	it("has no random numbers, no clock and no way to dump code", function()
		assert.equal("nil", (user "answer(math.random)"))
		assert.equal("nil", (user "answer(math.randomseed)"))
		assert.equal("nil", (user "answer(string.dump)"))
		assert.equal("nil", (user "answer(('').dump)"))
	end)
	it("guesses the word that was meant", function()
		local _, message = user "anwser(1)"
		assert.equal('user.lua:1: unknown word "anwser", did you mean "answer"?', message)
	end)
	it("refuses assignments to globals and to libraries", function()
		assert.matches('user.lua:1: "x" is assigned without `local`', (select(2, user "x = 1")))
		assert.matches("user.lua:1: string is read%-only: upper cannot be set", (select(2, user "string.upper = nil")))
	end)
	it("refuses compiled code", function()
		assert.matches("compiled Lua is refused", (select(2, user(string.dump(function() end)))))
	end)
	it("walks a table in a fixed order", function()
		local text = "local s = '' for k in pairs { b = 1, a = 1, 7, [2.5] = 1, [true] = 1 } do s = s .. tostring(k) .. ' ' end answer(s)"
		assert.equal("1 2.5 a b true ", (user(text)))
	end)
	it("walks a library as well", function()
		assert.equal("true", (user "local n = 0 for _ in pairs(table) do n = n + 1 end answer(n > 3)"))
	end)
	it("shows no addresses", function() assert.equal("table", (user "answer(tostring({}))")) end)
end)

describe("string functions with bounds", function()
	it("give up on a pattern that takes too many steps", function()
		local _, message = user "local s = ('x'):rep(20000) s:find('.-.-.-.-b')"
		assert.equal("user.lua:1: pattern takes too many steps", message)
	end)
	it("refuse texts past 1 MB", function()
		assert.equal("user.lua:1: resulting string too large", (select(2, user "local s = ('x'):rep(1e9)")))
		assert.equal("", (user "answer((''):rep(1e15))"))
	end)
	it("agree with Lua's own", function()
		local cases = {
			{ "find", "hello world", "o w" }, { "find", "hello", "l+" }, { "find", "a.b", ".", 1, true }, { "find", "abc", "b", -1 },
			{ "find", "abc", "", 10 }, { "find", "abc", "", 4 }, { "match", "key = value", "^(%w+)%s*=%s*(%w+)$" }, { "match", "  trim  ", "^%s*(.-)%s*$" },
			{ "match", "x(a(b)c)y", "%b()" }, { "match", "THE (quick) fox", "%f[%a]%a+", 5 }, { "match", "abcabc", "(abc)%1" }, { "match", "2026-11-21", "()(%d+)-(%d+)()" },
			{ "match", "]x", "[]]x" }, { "match", "a-b", "[a%-]+" }, { "match", "0x1F", "%x+$" }, { "match", "é", "[^%w]+" }, { "match", "ab", "a?b?c?" },
			{ "gsub", "hello world", "o", "0" }, { "gsub", "hello", "", "-" }, { "gsub", "abc", "%w", "%0%0" }, { "gsub", "abc", "(a)(b)", "%2%1" }, { "gsub", "aaa", "a", "b", 2 },
			{ "gsub", "abc", "^a", "x" }, { "gsub", "a b", "%s*", "_" }, { "gsub", "$name", "%$(%w+)", { name = "x" } }, { "match", "aXb", "%u" }, { "match", "a]", "[^]]" },
			{ "rep", "ab", 3, "," }, { "match", "f(a)", "%((.-)%)" },
		}
		local function literal(v)
			if type(v) ~= "table" then return ("%q"):format(v) end
			return "{ name = 'x' }"
		end
		for _, c in ipairs(cases) do
			local args = {}
			for i = 2, #c do args[#args + 1] = literal(c[i]) end
			local expected = table.pack(string[c[1]](table.unpack(c, 2)))
			for i = 1, expected.n do expected[i] = tostring(expected[i]) end
			local text = ("local r = table.pack(string.%s(%s)) for i = 1, r.n do r[i] = tostring(r[i]) end return table.concat(r, '|')"):format(c[1], table.concat(args, ", "))
			assert.equal(table.concat(expected, "|"), (run(text)), text)
		end
	end)
	it("agree with Lua's own on iteration", function()
		assert.equal("k=v;a=b;", (run [[local s = "" for k, v in ("k = v, a = b"):gmatch "(%w+) = (%w+)" do s = s .. k .. "=" .. v .. ";" end return s]]))
		assert.equal("4", (run [[local n = 0 for _ in ("abc"):gmatch "" do n = n + 1 end return n]]))
	end)
	it("refuse malformed patterns as Lua does", function()
		for _, p in ipairs { "[a", "%", "(a", "a)", "%f", "%b(", "%1" } do
			local result, message = run(("return (('abc('):match(%q))"):format(p))
			assert.is_nil(result, p)
			assert.matches("pattern", message .. (message:find "capture" and " pattern" or ""))
			assert.is_false((pcall(string.match, "abc(", p)))
		end
	end)
end)

describe("JSON", function()
	local function again(text) return json.encode((assert(json.decode(text)))) end
	it("keeps empty arrays and empty objects apart", function()
		assert.equal('{"a":[],"b":{}}', again '{"a":[],"b":{}}')
		assert.equal("[]", json.encode(json.array {}))
		assert.equal("{}", json.encode {})
		assert.equal("{}", json.encode(json.object()))
	end)
	it("keeps null, whole numbers and fractions", function()
		assert.equal('{"a":null,"b":9223372036854775807,"c":1.5,"d":[null]}', again '{"a":null,"b":9223372036854775807,"c":1.5,"d":[null]}')
		assert.equal(json.null, json.decode "null")
	end)
	it("refuses duplicate keys, trailing bytes, numbers past 2^63 and depth", function()
		for _, text in ipairs { '{"a":1,"a":2}', "{} x", "9223372036854775808", ("["):rep(200) .. ("]"):rep(200), '"\\u0000"', "", '{"a":}', "\"\xff\"" } do
			local v, message = json.decode(text)
			assert.is_nil(v, text)
			assert.matches("^unable to read JSON: ", message)
		end
	end)
	it("raises on what JSON has not", function()
		local cycle = {}
		cycle.a = cycle
		for _, v in ipairs { print, 0 / 0, math.huge, { 1, a = 2 }, cycle, { [1.5] = 1 }, "\xff" } do
			assert.is_false((pcall(json.encode, v)))
		end
	end)
	it("hands out a member's bytes as they came", function()
		local text = ' { "x" : "pay\\"load" , "payload" : {"n": 1.50, "s":"}"} , "z":[1,{"payload":2}] }'
		assert.equal('{"n": 1.50, "s":"}"}', json.member(text, "payload"))
		assert.equal('[1,{"payload":2}]', json.member(text, "z"))
		assert.is_nil(json.member(text, "y"))
		assert.is_nil(json.member("[1]", "y"))
		assert.equal("7", json.member('{"pay\\u006coad":7}', "payload"))
	end)
end)

describe("the tables of C", function()
	it("are there for the uses that need them, and for no other", function()
		for use, words in pairs { plan = "json files log", policy = "json files log", console = "json log crypt fleet" } do
			for name in ("json files log crypt fleet gate"):gmatch "%S+" do
				local result = run(("return (pcall(require, 'bind.%s'))"):format(name), { use = use })
				local is_there = (" " .. words .. " "):find(" " .. name .. " ", 1, true) ~= nil
				assert.equal(tostring(is_there), result, use .. " " .. name)
			end
		end
	end)
	it("let no code come from the working directory", function()
		assert.equal("nil", (run "return package.cpath:find('./', 1, true) == 1 and 'x' or nil"))
	end)
end)

describe("policies", function()
	local dir
	local function write(name, text) helper.write(dir .. "/policies/" .. name, text) end
	before_each(function()
		dir = os.tmpname()
		os.remove(dir)
		assert(os.execute(("mkdir -p %s/policies %s/db && chmod 755 %s %s/policies"):format(dir, dir, dir, dir)))
	end)
	after_each(function() os.execute("rm -rf " .. dir) end)

	it("are read in the order of their names", function()
		write("20-b.lua", 'pool "b" { kernel = command { "/bin/true" } }')
		write("10-a.lua", '-- first\npool "a" { kernel = python {}, limits = { memory = "64m" }, warm = { min = 3 } }')
		write("notes.txt", "no Lua")
		local specs = assert(t.policies(dir, ".", "dss-run"))
		assert.equal("a b", specs[1].name .. " " .. specs[2].name)
		assert.same({ name = "a", argv0 = "/usr/bin/python3", run_as = "dss-run", source = "policies/10-a.lua:2", warm_min = 3, memory_bytes = 64 << 20 }, specs[1])
	end)
	it("are taken all or not at all, with every error told", function()
		write("10-a.lua", 'pool "a" { kernel = python {} }\npool "z" {\n  kernel = python {}, mx = 3 }')
		write("20-b.lua", 'pool "a" { kernel = python {} }')
		write("30-c.lua", "while")
		local specs, errors = t.policies(dir, ".", "")
		assert.is_nil(specs)
		assert.equal('policies/10-a.lua:3: unknown key "mx", did you mean "max"?\n'
			.. 'policies/20-b.lua:1: pool "a" stands twice, first at policies/10-a.lua:1\n'
			.. "policies/30-c.lua:1: unexpected symbol near <eof>", errors)
	end)
	it("are refused where others may write them", function()
		write("10-a.lua", 'pool "a" { kernel = python {} }')
		assert(os.execute(("chmod 666 %s/policies/10-a.lua"):format(dir)))
		local _, errors = t.policies(dir, ".", "")
		assert.equal("policies/10-a.lua:1: refused: others may write it (mode 0666); chmod go-w", errors)
	end)
	it("that run too long are stopped, with the line", function()
		write("10-a.lua", "\n\nlocal n = 0 while true do n = n + 1 end")
		local _, errors = t.policies(dir, ".", "")
		assert.matches("^policies/10%-a.lua:3: used up its time budget of 2000 ms", errors)
	end)
	it("can be taken up again from the last good set", function()
		write("10-a.lua", 'pool "a" { kernel = python {} }')
		assert(t.policies(dir, ".", "", false, true))
		write("10-a.lua", "broken(")
		assert.is_nil((t.policies(dir, ".", "")))
		assert.equal("a", assert(t.policies(dir, ".", "", true))[1].name)
	end)
end)
