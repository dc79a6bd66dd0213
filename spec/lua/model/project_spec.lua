local helper = require "spec.helper"
require("t_bind").preload()
local json = require "bind.json"
local build = require "dss.model.build"
local flow = require "dss.model.flow"
local project = require "dss.model.project"

local NAME = "projects/DEMO/project.lua"
--- The data, or nil and "LINE: text" of each error.
local function read(text, where)
	local data, errors = project.evaluate(text, "DEMO", where)
	if data then return data end
	local out = {}
	for i, e in ipairs(errors) do
		assert.equal(NAME, e.file)
		out[i] = ("%d: %s"):format(e.line, e.text)
	end
	return nil, table.concat(out, "\n")
end
local function refused(text, where)
	local data, said = read(text, where)
	assert.is_nil(data, text)
	return said
end

describe("a project's file", function()
	it("becomes plain data with units in its names", function()
		local data = assert(read [[
project { name = "Demo", owner = "ann", tags = { "a" }, rights = { read = { "everybody" }, run = { "bob" } }, variables = { n = 1, list = { "x" }, deep = { a = true } },
  datasets = { raw = { about = "rows" } },
  recipes = {
    clean = python { script = "./recipes//clean.py", inputs = { "raw" }, outputs = { "tidy" }, env = { A = "1" }, limits = { memory = "1g", cpu = 0.5 }, timeout = "5min" },
  } }]])
		assert.same({ kind = "python", script = "recipes/clean.py", bin = "/usr/bin/python3", inputs = { "raw" }, outputs = { "tidy" }, env = { A = "1" }, params = {},
			limits = { memory_bytes = 1 << 30, cpu = 0.5 }, timeout_ms = 300000, without_outputs = false, line = 4 }, data.recipes.clean)
		assert.same({ raw = { about = "rows", made = false, params = {}, line = 2 }, tidy = { made = true, params = {} } }, data.datasets)
		assert.same({ "DEMO", "Demo", "ann", { "a" } }, { data.key, data.name, data.owner, data.tags })
		assert.same({ read = { "everybody" }, run = { "bob" } }, data.rights)
		assert.same({ n = 1, list = { "x" }, deep = { a = true } }, data.variables)
	end)
	it("keeps lists lists and objects objects, however empty", function()
		local text = json.encode(assert(read 'project { recipes = { a = shell { command = "x", inputs = {}, outputs = { "b" }, args = {} } } }'))
		for _, part in ipairs { '"inputs":[]', '"args":[]', '"params":{}', '"env":{}', '"limits":{}', '"variables":{}', '"tags":[]', '"rights":{}', '"webapps":{}', '"models":{}' } do
			assert.matches(part, text, 1, true)
		end
		assert.equal("DEMO", json.decode(text).name)
	end)
	it("tells every mistake at its own line", function()
		assert.equal([[
2: unknown key "ower", did you mean "owner"?
3: recipes.clean: "script" is missing
4: recipes.clean.limits.memory: unable to read size "3q": character 2: write it like 512m, 1.5g or 4096 (bytes)
6: unknown key "scirpt" in recipes.clean, did you mean "script"?
9: recipes.count.inputs[1]: "../x" is no valid name: letters, digits, _ and - are, up to 100, beginning with a letter, digit or _
11: recipes.tell: python { … }, r { … }, shell { … }, spark { … } or java { … } is wanted, not webapp { … }
13: webapps.page: one of these is missing: command, flask, shiny]], refused [[
project {
  ower = "ann",
  recipes = { clean = python {
    limits = { memory = "3q" },
    outputs = { "tidy" },
    scirpt = "x.py" },

  count = shell { command = "x",
    inputs = { "../x" },
    outputs = { "counts" } },
  tell = webapp { command = { "x" } },
  },
  webapps = { page = webapp {} },
}]])
	end)
	it("tells the line where a recipe was made, if that is elsewhere", function()
		assert.equal('2: recipes.a: "script" is missing', refused 'local x\nx = python { outputs = { "o" } }\nproject {\n  recipes = { a = x } }')
	end)
	it("bears any key, also one called line", function()
		local data = assert(read 'project { variables = { line = 1 }, datasets = { line = { about = "x" } },\n recipes = { a = shell { command = "x", inputs = { "line" }, outputs = { "o" }, env = { line = "1" } } } }')
		assert.equal("x", data.datasets.line.about)
		assert.matches("^1: datasets.line: a table is wanted", refused 'project { datasets = { line = 5 } }')
		assert.matches("unknown key", refused 'project {\n recipes = { line = shell { line = 5, command = "x", outputs = { "o" } } } }')
		assert.matches("variables: line: a function is no value", refused 'project { variables = {\n line = function() end } }')
	end)
	it("asks the one who evaluates whether files are there", function()
		local asked = {}
		local function look(path)
			asked[#asked + 1] = path
			if path == "a.py" then return true end
			return nil, "there is no such file", true
		end
		local data = assert(read([[
project { recipes = { a = python { script = "a.py", outputs = { "x" } }, b = shell {
  script = "b.sh", outputs = { "y" } } } }]], { look = look }))
		assert.same({ "a.py", "b.sh" }, asked)
		-- what may come yet stops only what needs it
		local text = "recipes.b: script: b.sh: there is no such file"
		assert.is_nil(data.recipes.a.missing)
		assert.equal(data.missing[1].file .. ":2: " .. text, data.recipes.b.missing)
		assert.same({ { file = data.missing[1].file, line = 2, text = text } }, data.missing)
		-- what will never do is a mistake, and then both are told
		local _, errors = project.evaluate([[
project { recipes = { a = shell { script = "b.sh", outputs = { "x" } }, b = shell { script = "out", outputs = { "y" } } } }]], "DEMO", { look = function(path)
			return nil, path == "out" and "it leads out" or "there is no such file", path ~= "out"
		end })
		assert.equal(2, #errors)
	end)
	it("may name absolute paths where its evaluator allows it", function()
		local text = 'project { recipes = { a = python { script = "/opt/a.py", outputs = { "x" } } } }'
		assert.matches("is absolute", refused(text))
		assert.equal("/opt/a.py", assert(read(text, { may_be_absolute = true })).recipes.a.script)
	end)
	it("has one circle named whole, each recipe with its line", function()
		assert.equal("3: a circle: b (line 3) → y → c (line 4) → z → a (line 2) → x → b", refused [[
project { recipes = {
  a = shell { command = "x", inputs = { "z", "in" }, outputs = { "x" } },
  b = shell { command = "x", inputs = { "x" }, outputs = { "y" } },
  c = shell { command = "x", inputs = { "y" }, outputs = { "z" } } } }]])
	end)
	it("says what it has to say in one word", function()
		assert.equal('1: it says nothing: write project { name = "…" }', refused "")
		assert.equal("2: project stands twice, first at projects/DEMO/project.lua:1", refused "project {}\nproject {}")
		assert.equal("1: project wants a table: project { … }", refused "project 'x'")
		assert.equal("1: project wants a table: project { … }", refused "project(python { script = 'x', outputs = { 'y' } })")
	end)
	it("gives its words handles that cannot be read, changed or forged", function()
		for _, text in ipairs { 'local p = python {}; p.kind = "java"; project {}', "local p = python {}; local k = p.kind; project {}" } do
			assert.matches("^1: what a word made ", refused(text))
		end
		assert.matches("is wanted, not a table", refused 'project { recipes = { a = { kind = "python", script = "x", outputs = { "x" } } } }')
		assert.matches("getmetatable is not available here", refused "getmetatable(python {}).x = 1 project {}")
	end)
end)

describe("a hostile project's file", function()
	it("reaches nothing but its words", function()
		for _, word in ipairs { "io", "os", "require", "load", "dofile", "debug", "package", "setmetatable", "collectgarbage", "_G", "rawget", "coroutine" } do
			assert.matches("^1: " .. word .. " is not available here", refused(word .. ".x()"))
		end
		for _, word in ipairs { "pool", "node", "service", "rule", "backend", "access", "machine" } do
			assert.matches('^1: unknown word "' .. word .. '"', refused(word .. " { }"))
		end
	end)
	it("is told in one line of its own for whatever it is", function()
		for text, why in pairs {
			["\27Lua"] = "1: compiled Lua is refused", ["project {\n \0 }"] = "2: it holds a NUL byte", ["project { name = '\xff' }"] = "1: it holds the byte 0xFF",
			["project {"] = "1: unexpected symbol near <eof>", ["error {}"] = "1: raised a table", ["error 'x\\ny'"] = "1: x y", ['local function f() return f() + 1 end\nf()'] = ": stack overflow",
			['project { about = "\\xff" }'] = "1: project: a text that is not UTF-8: ?", ['project { ["\\xff"] = 1 }'] = "1: project: a text that is not UTF-8: ?",
			["project { recipes = string }"] = false, ["project { variables = { 1, 2 } }"] = "1: variables: names with values are wanted, not a list",
			["project { variables = { [true] = 1 } }"] = "1: variables: a key is a text, not a boolean", ["project { variables = { a = 1/0 } }"] = "1: variables: a: JSON has no NaN",
			["project { variables = { a = { 1, b = 2 } } }"] = "1: variables: a: a list and names in one table", ["project { [1] = 2, recipes = { [1] = 2 } }"] = "a name is a text",
			["project { recipes = { ['a.b'] = 1 } }"] = "datasets of other projects cannot be named", ["project { recipes = python {} }"] = "recipes: a table of recipes is wanted",
			["local t = {} t.t = t project { variables = t }"] = "1: project: tables nested deeper than 30",
		} do
			local data, said = read(text)
			if why then
				assert.is_nil(data, text)
				assert.matches(why, said, 1, true)
				assert.is_nil(said:match "^[^\n]*\n[^%d]", "a text of many lines")
			end
		end
	end)
	it("cannot make much of little", function()
		local said = refused 'local s = string.rep("x", 400000) local t = {} for i = 1, 20 do t["k" .. i] = s end project { variables = t }'
		assert.equal("1: project: texts of more than 512 KB", said)
		said = refused 'local t = { 1 } for i = 1, 25 do t = { t, t } end project { variables = { a = t } }'
		assert.equal("1: project: more than 50000 values", said)
		said = refused 'local d = {} for i = 1, 1000 do d[i] = string.rep("x", 400) end project { recipes = { a = python { script = "x", outputs = d, inputs = d } } }'
		assert.equal("1: project: texts of more than 512 KB", said)
		local _, errors = project.evaluate('local t = {} for i = 1, 3000 do t["k" .. i] = 5 end project(t)', "DEMO")
		assert.equal(101, #errors)
		assert.equal("… and 2900 more", errors[101].text)
		_, errors = project.evaluate('project { owner = string.rep("x", 300000) }', "DEMO")
		assert.is_true(#errors[1].text < 600)
	end)
	it("that is any text at all raises nothing here", function()
		math.randomseed(7)
		local pieces = { "project", "{", "}", "recipes", "=", ",", "python", '"x"', "script", "inputs", "1", "\n", "local a", "function() end", "nil", "line", "[1]", "#", "..", "shell", "(", ")" }
		for _ = 1, 3000 do
			local words = {}
			for i = 1, math.random(1, 25) do words[i] = pieces[math.random(#pieces)] end
			local data, errors = project.evaluate(table.concat(words, " "), "DEMO")
			assert.is_true(data ~= nil or #errors > 0)
		end
	end)
end)

describe("docs/projects.md", function()
	local page = assert(helper.read "docs/projects.md")

	it("has examples that are right, whose flow can be ordered and planned", function()
		local n = 0
		for text in page:gmatch "\n```lua\n(.-)```" do
			n = n + 1
			local data = assert(read(text))
			assert.is_table(json.decode(json.encode(data)))
			local known, outputs = { datasets = {} }, {}
			for name, d in pairs(data.datasets) do
				if d.made then outputs[#outputs + 1] = name else known.datasets[name] = { exists = true, changed_at = 0 } end
			end
			table.sort(outputs)
			local p = assert(build.plan(data, { mode = "RECURSIVE_BUILD", outputs = outputs }, known))
			local with_outputs = 0
			for _, name in ipairs(flow.order(flow.new(data))) do with_outputs = with_outputs + (#data.recipes[name].outputs > 0 and 1 or 0) end
			assert.equal(with_outputs, #p.activities)
		end
		assert.equal(3, n)
	end)
	it("tells mistakes as they are told", function()
		local n = 0
		for text, said in page:gmatch "\n| `(project {.-})` | `(.-)` |" do
			n = n + 1
			assert.equal("1: " .. said, refused(text))
		end
		assert.equal(13, n)
	end)
	it("names every key there is", function()
		for words, text in pairs { project = "project { zzzzzzzz = 1 }", webapp = "project { webapps = { a = webapp { zzzzzzzz = 1 } } }", model = "project { models = { a = model { zzzzzzzz = 1 } } }",
			python = "project { recipes = { a = python { zzzzzzzz = 1 } } }", r = "project { recipes = { a = r { zzzzzzzz = 1 } } }", shell = "project { recipes = { a = shell { zzzzzzzz = 1 } } }",
			spark = "project { recipes = { a = spark { zzzzzzzz = 1 } } }", java = "project { recipes = { a = java { zzzzzzzz = 1 } } }", dataset = "project { datasets = { a = { zzzzzzzz = 1 } } }" } do
			local there = assert(refused(text):match "; there are ([^\n]*)", words)
			for key in there:gmatch "[%a_]+" do assert.truthy(page:find("[`,{ ]" .. key .. "[`,} ]"), words .. "." .. key) end
		end
	end)
end)

describe("dssd project", function()
	local dir
	--- Exit code, standard output.
	local function run(arguments)
		local _, _, code = os.execute(("DSS_SHARE=$PWD timeout 60 %s/dssd project %s >%s/out 2>%s/err"):format(helper.build, arguments, dir, dir))
		return code, helper.read(dir .. "/out")
	end
	local function put(text, key)
		key = key or "DEMO"
		assert(os.execute(("mkdir -p %s/projects/%s/recipes"):format(dir, key)))
		helper.write(("%s/projects/%s/project.lua"):format(dir, key), text)
	end
	--- The one error of DEMO as it stands.
	local function told(key)
		local code, out = run(dir .. " " .. (key or "DEMO"))
		assert.equal(1, code)
		local errors = assert(json.decode(out)).errors
		assert.equal(1, #errors, out)
		return errors[1].text, errors[1].line, errors[1].file
	end
	before_each(function()
		dir = os.tmpname()
		os.remove(dir)
		assert(os.execute("mkdir -p " .. dir .. "/projects"))
	end)
	after_each(function() os.execute("rm -rf " .. dir) end)

	it("prints the data as JSON, or the errors and exits 1", function()
		put 'project { recipes = { a = python { script = "recipes/a.py", outputs = { "x" } } } }'
		local before, said = run(dir .. " DEMO")
		assert.equal(0, before)
		assert.equal("recipes.a: script: recipes/a.py: there is no such file", json.decode(said).missing[1].text)
		put 'project { recipes = { a = python { script = "recipes/a.py", scirpt = "x", outputs = { "x" } } } }'
		assert.matches("scirpt", (told()))
		put 'project { recipes = { a = python { script = "recipes/a.py", outputs = { "x" } } } }'
		helper.write(dir .. "/projects/DEMO/recipes/a.py", "")
		local code, out = run(dir .. " DEMO")
		assert.equal(0, code)
		assert.equal("recipes/a.py", json.decode(out).recipes.a.script)
		assert.equal("", helper.read(dir .. "/err"))
	end)
	it("follows no link out of the project", function()
		assert(os.execute(("echo 'project { }' >%s/other.lua && mkdir %s/projects/A && ln -s %s/other.lua %s/projects/A/project.lua && mkdir %s/far && echo 'project {}' >%s/far/project.lua && ln -s %s/far %s/projects/B")
			:format(dir, dir, dir, dir, dir, dir, dir, dir)))
		assert.matches("unable to read it: ", (told "A"))
		assert.matches("unable to open projects/B", (told "B"))
		put 'project { recipes = { a = python { script = "recipes/a.py", outputs = { "x" } } } }'
		assert(os.execute(("ln -s /etc/passwd %s/projects/DEMO/recipes/a.py"):format(dir)))
		assert.equal("recipes.a: script: recipes/a.py: it leads out of the project's folder", (told()))
		assert(os.execute(("rm %s/projects/DEMO/recipes/a.py && mkdir %s/projects/DEMO/recipes/a.py"):format(dir, dir)))
		assert.equal("recipes.a: script: recipes/a.py: it is no plain file", (told()))
	end)
	it("lets scripts lie outside where it is told so", function()
		put 'project { recipes = { a = python { script = "/etc/passwd", outputs = { "x" } } } }'
		assert.matches("is absolute", (told()))
		assert.equal(0, (run(dir .. " DEMO --absolute")))
		put 'project { recipes = { a = python { script = "/etc/no-such-file", outputs = { "x" } } } }'
		local code, out = run(dir .. " DEMO --absolute")
		assert.equal(0, code)
		assert.matches("/etc/no%-such%-file: there is no such file", json.decode(out).recipes.a.missing)
	end)
	it("takes keys of projects alone", function()
		for _, key in ipairs { "demo", "../DEMO", "A/B", ("A"):rep(37), "''", "A.B" } do assert.matches("is no key of a project", (told(key))) end
		assert.matches("unable to open projects/NIX: No such file", (told "NIX"))
		assert(os.execute("mkdir " .. dir .. "/projects/EMPTY"))
		assert.matches("unable to read it: No such file", (told "EMPTY"))
		assert.equal(2, (run(dir)))
		assert.equal(2, (run(dir .. " A --nix")))
	end)
	it("reads no device, no pipe and no heap of text", function()
		assert(os.execute(("mkdir %s/projects/P && mkfifo %s/projects/P/project.lua"):format(dir, dir)))
		assert.matches("it is no plain file", (told "P"))
		put(("-"):rep(300000))
		assert.matches("it is longer than 256 KB", (told()))
	end)
	it("ends a file that loops, allocates, recurses or hides in pcall", function()
		for text, why in pairs {
			["\nwhile true do end"] = "used up its time budget of 5000 ms", ["\nwhile true do pcall(function() while true do end end) end"] = "used up its time budget of 5000 ms",
			["local t = {}\nfor i = 1, 1e9 do t[i] = {} end"] = "used up the memory of a project's file", ["local s = 'x'\nwhile true do s = s .. s end"] = "",
			["local t = {}\nfor i = 1, 1e9 do t[i] = string.rep('x', 1e6) .. i end"] = "", ["\n(('x'):rep(100000)):find(('.-'):rep(40) .. 'y')"] = "",
			["local n = 0\nfor i = 1, 1e12 do n = n + 1 end"] = "used up its time budget",
		} do
			put(text)
			local said, line, file = told()
			assert.matches(why, said, 1, true)
			assert.equal("projects/DEMO/project.lua", file)
			assert.equal(2, line, text .. ": " .. said)
		end
	end)
	it("reads a large flow within its budget, and refuses a larger one", function()
		put 'local r = {} for i = 1, 3000 do r["r" .. i] = shell { command = "x", inputs = { "d" .. i }, outputs = { "d" .. i + 1 } } end project { recipes = r }'
		local code, out = run(dir .. " DEMO")
		assert.equal(0, code, out:sub(1, 300))
		put 'local r = {} for i = 1, 20000 do r["r" .. i] = shell { command = "x", inputs = { "d" .. i }, outputs = { "d" .. i + 1 } } end project { recipes = r }'
		assert.equal("project: more than 50000 values", (told()))
		put 'local t = {} for i = 1, 200 do t["k" .. i] = string.rep("\\1", 2000) end project { variables = t }'
		assert.matches("what it says is 23%d%d KB of JSON, more than 1024", (told()))
	end)
end)
