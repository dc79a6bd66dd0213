-- What a policy file must not be able to do, whether by mistake or by trick: one case each, against the sandbox in a state as the backend
-- makes it, and against whole folders. What a running node does about it: spec/daemon/reload_spec.lua.
local helper = require "spec.helper"
local t = require "t_bind"
t.preload()

local TIME = 2 -- CALL_TIME

--- Runs a text as a user's file. The answer as text, or nil, message, why; the state has to be of use after it.
local function user(text, o)
	o = o or {}
	local r = table.pack(t.run("policy", ".", ([[
		local sandbox = require "dss.model.sandbox"
		local out
		local ok, why = sandbox.run(%q, "@policies/user.lua", sandbox.environment { answer = function(v) out = v end })
		return ok and tostring(out) or error(why, 0)
	]]):format(text), o.ms or 2000, o.memory or 0))
	assert.is_true(r[r.n], "the state is of use after the call")
	return table.unpack(r, 1, r.n - 1)
end

--- It is refused, and the text begins with the place.
local function refused(text, message, o)
	local result, said, why = user(text, o)
	assert.is_nil(result, text)
	assert.truthy(said:find("^policies/user%.lua:%d+: "), said)
	assert.truthy(said:find(message, 1, true), said)
	return why
end

local function stopped(text) assert.equal(TIME, refused(text, "used up its time budget of 250 ms", { ms = 250 })) end

describe("a policy file that runs too long", function()
	local cases = {
		["an endless loop"] = "while true do end",
		["a loop that catches what stops it"] = "while true do pcall(function() while true do end end) end",
		["catching in catching"] = "local function f() pcall(f) pcall(f) end while true do f() end",
		["a goto"] = "::again:: goto again",
		["many long texts"] = "local s = ('x'):rep(1e6) while true do local _ = s:upper() end",
		["many patterns that are just short enough"] = "local s = ('x'):rep(1400) while true do pcall(s.find, s, '.-.-b') end",
		["sorting with a slow comparator"] = "local t = {} for i = 1, 1e4 do t[i] = -i end while true do table.sort(t, function(a, b) return a < b end) end",
		["sorting long texts that are alike"] = "local s, t = ('x'):rep(1e6), {} for i = 1, 20 do t[i] = s .. i end while true do table.sort(t) end",
		["inserting in front of many"] = "local t = {} for i = 1, 1e5 do t[i] = i end while true do table.insert(t, 1, 0) table.remove(t, 1) end",
		["joining many"] = "local t = {} for i = 1, 1e5 do t[i] = 'x' end while true do table.concat(t) end",
		["a replacement that calls itself"] = "local function f() return (('x'):rep(10):gsub('x', f)) end while true do pcall(f) end",
		["walking a table in order again and again"] = "local t = {} for i = 1, 1e4 do t[i] = i end while true do for _ in pairs(t) do break end end",
		["a comparison chain"] = "local s = ('x'):rep(1e6) local u = s .. 'y' while true do local _ = s < u end",
	}
	for name, text in pairs(cases) do
		it(("is stopped and named with its line: %s"):format(name), function() stopped(text) end)
	end
	it("is stopped while it is compiled: chains that cost the square of their length", function()
		stopped("local a\nreturn " .. ("a and "):rep(150000) .. "a")
		stopped("local a\nif a then " .. ("elseif a then "):rep(60000) .. "end")
	end)
	it("is named by its own line where the time ends in a function of ours", function()
		local _, said = user("local t = {}\nfor i = 1, 3e4 do t['k' .. i] = i end\nwhile true do for k in pairs(t) do break end end", { ms = 100 })
		assert.matches("^policies/user%.lua:%d+: used up", said)
	end)
end)

describe("a policy file that takes too much", function()
	local cases = {
		["a table without end"] = "local t = {} for i = 1, 1e9 do t[i] = i end",
		["a text that doubles"] = "local s = 'x' while true do s = s .. s end",
		["tables in tables"] = "local t = {} while true do t = { t } end",
		["closures"] = "local f = function() end while true do local g = f f = function() return g end end",
		["a vararg of many"] = "local t = {} for i = 1, 9e5 do t[i] = i end local function f(...) return select('#', ...) end while true do f(table.unpack(t)) end",
	}
	for name, text in pairs(cases) do
		it(("is refused with its name, and the state goes on: %s"):format(name), function()
			local result, said = user(text, { memory = 6 << 20 })
			assert.is_nil(result)
			assert.truthy(said:find "^policies/user%.lua:%d+: ", said)
			assert.truthy(said:find("memory", 1, true) or said:find("too many results", 1, true), said)
		end)
	end
	it("cannot go on by catching the lack of memory for ever", function()
		local why = refused("while true do pcall(function() local t = {} for i = 1, 1e9 do t[i] = {} end end) end", "time budget", { ms = 300, memory = 6 << 20 })
		assert.equal(TIME, why)
	end)
	it("makes no text of more than 1 MB with a function", function()
		for _, text in ipairs {
			"local _ = ('x'):rep(2e6)", "local s = ('x'):rep(6e5) local _ = ('%s%s'):format(s, s)", "local s = ('x'):rep(6e5) local _ = table.concat { s, s }",
			"local s = ('x'):rep(1e5) local _ = s:gsub('x', '0123456789ab')", "local _ = ('x'):rep(10, ('y'):rep(2e5))",
		} do refused(text, "resulting string too large") end
	end)
	it("recurses to a clean end", function()
		refused("local function f()\nreturn 1 + f() end f()", "or end a recursion")
		assert.truthy(select(2, user("local function f()\nreturn 1 + f() end f()")):find("^policies/user.lua:2: "))
		refused("local function f() return (('x'):gsub('x', f)) end f()", "C stack overflow")
		refused("local t = { 2, 1 } local function f() table.sort(t, f) return true end f()", "C stack overflow")
		refused("local function f() local ok, why = pcall(f) error(why, 0) end f()", "C stack overflow")
	end)
	it("is refused where it nests deeper than the compiler goes", function()
		refused("local _ = " .. ("("):rep(1e5), "overflow")
		refused("local _ = " .. ("{"):rep(1e5), "overflow")
		refused(("do "):rep(1e5), "overflow")
		refused("local _ = " .. ("not "):rep(1e5) .. "1", "overflow")
		refused("local a local _ = a" .. ("..a"):rep(1e5), "overflow")
		refused("local _ = " .. ("function() return "):rep(1e5), "overflow")
	end)
end)

describe("a policy file that tricks functions of ours", function()
	it("sorts with any comparator, and by the same order in every run", function()
		assert.equal("3", (user "local t = { 3, 1, 2 } table.sort(t, function() return true end) answer(#t)"))
		assert.equal("3", (user "local t, n = { 3, 1, 2 }, 0 table.sort(t, function() n = n + 1 return n % 2 == 0 end) answer(#t)"))
		assert.equal("1 2 3", (user "local t = { 3, 1, 2 } table.sort(t) answer(table.concat(t, ' '))"))
		assert.equal("3 2 1", (user "local t = { 3, 1, 2 } table.sort(t, function(a, b) return a > b end) answer(table.concat(t, ' '))"))
		local stable = [[local t, s = {}, {} for i = 1, 300 do t[i] = { i % 3, i } end table.sort(t, function(a, b) return a[1] < b[1] end)
			for i = 2, 300 do if t[i - 1][1] == t[i][1] and t[i - 1][2] > t[i][2] then s[#s + 1] = i end end answer(#s)]]
		assert.equal("0", (user(stable)))
	end)
	it("sorts while the comparator changes the table", function()
		assert.equal("true", (user "local t = { 3, 1, 2 } table.sort(t, function(a, b) t[1] = nil t[7] = 7 return a < b end) answer(t[1] == 1)"))
		refused("table.sort({ 1, 2 }, function() error 'no' end)", "no")
		refused("table.sort { 1, 'a' }", "attempt to compare")
		refused("table.sort({ 2, 1 }, 7)", "function expected")
	end)
	it("cannot lie about a table's length", function()
		refused("local t = {} for i = 0, 61 do t[1 << i] = 1 end table.concat(t)", "")
		refused("table.unpack({}, 1, 1e8)", "more than 1000000 elements")
		refused("table.unpack({}, math.mininteger, math.maxinteger)", "more than 1000000 elements")
		refused("table.concat({}, '', 1, 1e9)", "more than 1000000 elements")
		refused("table.concat({}, '', math.mininteger, math.maxinteger)", "more than 1000000 elements")
		refused("table.insert({}, 5, 1)", "position out of bounds")
		refused("table.insert({}, 1, 2, 3)", "wrong number of arguments")
		refused("table.remove({}, 5)", "position out of bounds")
	end)
	it("inserts and removes as Lua does", function()
		assert.equal("a b c", (user "local t = { 'a', 'c' } table.insert(t, 2, 'b') answer(table.concat(t, ' '))"))
		assert.equal("c", (user "local t = { 'a', 'b', 'c' } answer(table.remove(t))"))
		assert.equal("a", (user "local t = { 'a', 'b', 'c' } answer(table.remove(t, 1))"))
		assert.equal("nil", (user "answer(table.remove {})"))
		assert.equal("1-2.5-x", (user "answer(table.concat({ 1, 2.5, 'x' }, '-'))"))
	end)
	it("sees no address", function()
		for _, text in ipairs { "answer(('%s'):format({}))", "answer(('%s'):format(pairs))", "answer(('%10s|%s'):format(1, {}))", "answer(tostring(tostring))",
			"local _, e = pcall(error, {}) answer(tostring(e))", "local _, e = pcall(function() return {} .. 'x' end) answer(e)",
			"local _, e = pcall(function() return {} < {} end) answer(e)", "answer(('%s'):format(python))" } do
			local said = user(text) or select(2, user(text))
			assert.is_nil(said:find "0x", text .. ": " .. said)
		end
		refused("local _ = ('%p'):format({})", "%p is not available here")
	end)
	it("formats as Lua does", function()
		assert.equal("7|  1.50|x|%|\"a\"", (user [[answer(("%d|%6.2f|%s|%%|%q"):format(7, 1.5, "x", "a"))]]))
		refused("local _ = ('%d'):format('x')", "number expected")
		refused("local _ = ('%y'):format(1)", "invalid conversion")
		refused("local _ = ('%'):format(1)", "invalid conversion")
	end)
	it("reaches neither the libraries' tables nor what all texts share", function()
		refused("string.find = nil", "string is read-only")
		refused("table.sort = nil", "table is read-only")
		refused("math.pi = 3", "math is read-only")
		refused("local s = '' s.find = 1", "index")
		for name in ("pack unpack dump packsize"):gmatch "%S+" do assert.equal("nil", (user(("answer((''):len() and (''). %s)"):format(name))), name) end
		assert.equal("nil", (user "answer((''). __index)"))
		refused("table.insert(string, 1)", "string is read-only")
		refused("table.sort(string)  table.remove(math)", "read-only")
	end)
	it("has neither coroutines, metatables, finalisers nor code from texts", function()
		for _, name in ipairs { "coroutine", "getmetatable", "setmetatable", "load", "require", "debug", "collectgarbage", "xpcall", "rawset", "rawget", "next", "_G", "os", "io" } do
			refused("local _ = " .. name, name .. " is not available here")
		end
		refused("local x <close> = {}", "non-closable value")
		refused("local t = { __gc = function() while true do end end } t = nil answer.x = 1", "index")
		assert.equal("nil", (user "local _ENV = { answer = answer } answer(string)"))
		assert.equal("nil", (user "local a = answer _ENV = {} a(string)"))
	end)
	it("cannot change what another file sees", function()
		local r = t.run("policy", ".", [[
			local sandbox = require "dss.model.sandbox"
			local shared = { word = function() end }
			local a, b = sandbox.environment(shared), sandbox.environment(shared)
			local said = {}
			for _, text in ipairs { "word = nil", "string.x = 1", "pairs = nil", "local _ENV = {} x = 1", "for k in pairs(string) do string[k] = nil end" } do
				local _, why = sandbox.run(text, "@policies/a.lua", a)
				said[#said + 1] = why or "ran"
			end
			local ok, why = sandbox.run("assert(word) assert(('x'):upper() == 'X') assert(string.find and pairs and not pcall(function() return x end))", "@policies/b.lua", b)
			return (why or "b is whole") .. " " .. #said
		]], 2000, 0)
		assert.equal("b is whole 5", r)
	end)
	it("is told of errors that are no texts", function()
		refused("error {}", "raised a table")
		refused("error(nil)", "raised a nil")
		refused("error(function() end)", "raised a function")
		refused("error('x', 0)", "x")
	end)
end)

describe("a file of policies", function()
	local dir
	local GOOD = 'pool "a" { kernel = python {} }\n'
	local function write(name, text) helper.write(dir .. "/policies/" .. name, text) end
	local function load() return t.policies(dir, ".", "") end
	local function errors_of(name, text)
		write(name, text)
		local specs, errors = load()
		assert.is_nil(specs, name)
		return errors
	end
	before_each(function()
		dir = os.tmpname()
		os.remove(dir)
		assert(os.execute(("mkdir -p %s/policies %s/db && chmod 755 %s %s/policies"):format(dir, dir, dir, dir)))
	end)
	after_each(function() os.execute("rm -rf " .. dir) end)

	it("that is not UTF-8 is refused with line and byte, and what to do", function()
		assert.equal("policies/10-a.lua:2: it holds the byte 0xFC, which is no UTF-8; save the file as UTF-8", errors_of("10-a.lua", GOOD .. "-- f\xfcr"))
		assert.equal("policies/10-a.lua:1: the file is UTF-16; save it as UTF-8", errors_of("10-a.lua", "\xff\xfep\0o\0o\0l\0"))
	end)
	it("with NUL bytes is refused", function()
		assert.equal("policies/10-a.lua:2: it holds a NUL byte: this is no text file", errors_of("10-a.lua", GOOD .. "--\0"))
	end)
	it("of compiled code is refused", function()
		assert.equal("policies/10-a.lua:1: compiled Lua is refused", errors_of("10-a.lua", string.dump(function() end)))
	end)
	it("from other editors is read: a mark before UTF-8, CRLF, no newline at the end", function()
		write("10-a.lua", "\xef\xbb\xbf-- a\r\npool \"a\" {\r\n  kernel = python {},\r\n}")
		assert.equal("policies/10-a.lua:2", assert(load())[1].source)
		assert.truthy(errors_of("10-a.lua", "-- a\r\n\r\npool \"a\" { kernel = python {}, mx = 1 }"):find("policies/10-a.lua:3: unknown key \"mx\"", 1, true))
	end)
	it("of almost 1 MB is read, also as the last good set; a larger one is refused", function()
		write("10-a.lua", GOOD .. ("-- %s\n"):format(("x"):rep(1000)):rep(1000))
		assert(t.policies(dir, ".", "", false, true))
		assert.equal("a", assert(t.policies(dir, ".", "", true))[1].name)
		assert.truthy(errors_of("10-a.lua", GOOD .. ("-"):rep(1 << 20)):find("not a plain file of less than 1 MB", 1, true))
	end)
	it("with a hundred thousand wrong keys is refused in time, and says some of them", function()
		local text = {}
		for i = 1, 1e5 do text[i] = ("k%d=1,"):format(i) end
		local errors = errors_of("10-a.lua", 'pool "a" {\nkernel = python {},\n' .. table.concat(text) .. "}")
		assert.truthy(errors:find "^policies/10%-a%.lua:%d+: ", errors:sub(1, 200))
		assert.is_true(#errors < 65536)
	end)
	it("with a hundred thousand values in a list is read", function()
		write("10-a.lua", "local t = {}\nfor i = 1, 1e5 do t[i] = i end\nlocal n = 0\nfor _, v in pairs(t) do n = n + v end\n" .. GOOD)
		assert(load())
	end)
	it("names what has control characters so that a log keeps its lines", function()
		for _, name in ipairs { "a\nb", "a\27[2J", "a\0b", "" } do
			local errors = errors_of("10-a.lua", ("pool %q { kernel = python {} }"):format(name))
			assert.is_nil(errors:find "%c", errors)
			assert.truthy(errors:find "^policies/10%-a%.lua:%d+: ", errors)
		end
		local errors = errors_of("10-a.lua", 'pool "a" { kernel = python {}, ["a\\nb\\27"] = 1 }')
		assert.is_nil(errors:find "%c", errors)
	end)
	it("whose own name would break a message is refused", function()
		write("10-a.lua", GOOD)
		for _, name in ipairs { "20-\n.lua", "20 b.lua", "20:3.lua", ("x"):rep(60) .. ".lua", "\xff.lua" } do
			local errors = errors_of(name, "")
			assert.truthy(errors:find("its name", 1, true), errors)
			assert.is_nil(errors:find "%c", errors)
			os.remove(dir .. "/policies/" .. name)
		end
		assert(load())
	end)
	it("that is a link to itself, to nothing or to a folder is refused with the reason", function()
		write("10-a.lua", GOOD)
		for _, command in ipairs { "ln -s 20-b.lua 20-b.lua", "ln -s 21-c.lua 20-b.lua; ln -s 20-b.lua 21-c.lua", "ln -s /nowhere 20-b.lua", "mkdir 20-b.lua", "mkfifo 20-b.lua" } do
			assert(os.execute(("cd %s/policies && %s"):format(dir, command)))
			local specs, errors = load()
			assert.is_nil(specs, command)
			assert.truthy(errors:find "^policies/20%-b%.lua:1: ", errors)
			os.execute(("cd %s/policies && rm -rf 20-b.lua 21-c.lua"):format(dir))
		end
	end)
	it("that is replaced between the listing and the reading is looked for again", function()
		write("10-a.lua", GOOD)
		local files = require "bind.files"
		local list, listed = files.list, 0
		finally(function() files.list = list end)
		files.list = function(folder, suffix)
			local names, why = list(folder, suffix)
			if suffix == ".lua" and folder:find "policies$" then
				listed = listed + 1
				if listed == 1 then table.insert(names, "20-gone.lua") end
			end
			return names, why
		end
		local specs, errors = require("dss.model.load").folder(dir, ".", nil, nil)
		assert.truthy(specs, errors)
		assert.equal(2, listed)
	end)
	it("that editors leave beside others is not read", function()
		write("10-a.lua", GOOD)
		for _, name in ipairs { ".10-a.lua.swp", "10-a.lua~", "#10-a.lua#", "4913", ".hidden.lua", "10-a.lua.bak" } do write(name, "broken(") end
		assert(os.execute(("ln -s nobody@nowhere.1:2 %s/policies/.#10-a.lua"):format(dir)))
		assert.equal("a", assert(load())[1].name)
	end)
	it("in a folder that is gone or that others may write is refused", function()
		write("10-a.lua", GOOD)
		assert(os.execute(("chmod 777 %s/policies"):format(dir)))
		assert.truthy(select(2, load()):find("policies:1: refused: others may write it", 1, true))
		os.execute(("rm -rf %s/policies"):format(dir))
		assert.truthy(select(2, load()):find("policies:1: unable to list", 1, true))
	end)
	it("that is two hundred and one is refused", function()
		for i = 1, 201 do write(("%03d.lua"):format(i), "") end
		assert.truthy(select(2, load()):find("policies:1: 201 files, more than 200", 1, true))
	end)
	it("with a function that does something else than answer is refused, with the function's line", function()
		local cases = {
			["while true do end"] = "used up its time budget",
			["return 'many'"] = "a whole number is wanted",
			["return -1"] = "is not between",
			["return 0 / 0"] = "a whole number is wanted",
			["return {}"] = "not a table",
			["return"] = "answered nothing",
			["error {}"] = "raised a table",
			["return p.nonsense"] = 'pool has no "nonsense"',
			["p.idle = 3"] = "read-only",
			["return p:idle()"] = "call",
			["local function f() return 1 + f() end return f()"] = "memory",
			["return ('x'):rep(1e9)"] = "too large",
		}
		for body, message in pairs(cases) do
			local errors = errors_of("10-a.lua", ('pool "a" {\n  kernel = python {},\n  warm = { min = function (p) %s end, max = 9 },\n}'):format(body))
			assert.truthy(errors:find "^policies/10%-a%.lua:3: ", body .. ": " .. errors)
			assert.truthy(errors:find(message, 1, true), body .. ": " .. errors)
		end
	end)
	it("that takes the memory of a whole set is refused with its name", function()
		local errors = errors_of("20-b.lua", "local t = {}\nwhile true do t = { t, ('x'):rep(1000) .. #t } end")
		assert.truthy(errors:find "^policies/20%-b%.lua:%d+: used up", errors)
	end)
end)
