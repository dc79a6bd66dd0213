-- dssctl policy test: users' specs of their policies, run as a user runs them: by the programs, in a folder, without a backend.
local helper = require "spec.helper"
local Instance = require "spec.instance"

local dssctl, env = Instance.program "dssctl", Instance.environment()
local is_root = Instance.run { "id", "-u" } == "0"
local root

local function with(more)
	local out = {}
	for name, value in pairs(env) do out[name] = value end
	for name, value in pairs(more or {}) do out[name] = value end
	return out
end

--- Standard output, standard error, exit code.
local function test(...) return Instance.run_apart({ dssctl, "policy", "test", ... }, env) end

local function folder(files)
	assert(os.execute("mkdir -p " .. root .. "/p/spec"))
	for name, text in pairs(files) do helper.write(root .. "/p/" .. name, text) end
	return root .. "/p"
end

local POOL = 'pool "fek" {\n  kernel = python {},\n  limits = { memory = "1g" },\n  max = 4, warm = { max = 4 },\n}\n'

--- A spec of one `it` with this body.
local function spec_of(body)
	return 'local policy = require "dss.test"\ndescribe("the set", function()\n  it("is asked", function()\n' .. body .. "\n  end)\nend)\n"
end

--- Runs a body against policies; the output and the exit code.
local function try(body, policies)
	local out, complaint, status = test(folder { ["10.lua"] = policies or POOL, ["spec/a_spec.lua"] = spec_of(body) })
	return out .. complaint, status
end

local function says(body, text, policies)
	local out, status = try(body, policies)
	assert.equal(1, status, out)
	assert.truthy(out:find(text, 1, true), out)
end

describe("dssctl policy test", function()
	before_each(function() root = Instance.folder() end)
	after_each(function() Instance.remove_folder(root) end)

	it("runs the spec that dssctl init ships, which passes with the shipped policies, and nobody else may write it", function()
		assert.equal(0, select(2, Instance.run({ dssctl, "init", root .. "/a", "--port", "0" }, env)))
		for _, words in ipairs { { "-C", root .. "/a" }, { root .. "/a" }, { root .. "/a/policies" }, { root .. "/a/policies/spec" } } do
			local out, complaint, status = test(table.unpack(words))
			assert.equal(0, status, out .. complaint)
			assert.truthy(out:find("7 successes / 0 failures / 0 errors", 1, true), out)
		end
		local modes = is_root and { "dss dss 750", "dss dss 640" } or { Instance.run { "id", "-un" } .. " .* 750", ".* 640" }
		assert.matches(modes[1], (Instance.run { "stat", "-c", "%U %G %a", root .. "/a/policies/spec" }))
		assert.matches(modes[2], (Instance.run { "stat", "-c", "%U %G %a", root .. "/a/policies/spec/pools_spec.lua" }))
		-- the backend's own way to read the folder takes no notice of it
		if is_root then os.execute("chown root " .. root .. "/a/policies " .. root .. "/a/policies/*.lua") end -- it is root who reads here
		local policies = assert(require("t_bind").policies(root .. "/a", env.DSS_SHARE or ".", ""))
		assert.equal("fek", policies[1].name)
	end)

	it("runs every example of docs/policy-testing.md", function()
		local page, count, files = assert(helper.read "docs/policy-testing.md"), 0, {}
		for block in page:gmatch "```lua\n(.-)```" do
			local name = block:match "^%-%- (%S+%.lua)\n"
			assert.truthy(name, "a block without its file's name: " .. block)
			files[name:gsub("^policies/", "")] = block
			for _ in block:gmatch "%f[%w]it%(" do count = count + 1 end
		end
		assert.is_true(count >= 10)
		local out, complaint, status = test(folder(files))
		assert.equal(0, status, out .. complaint)
		assert.truthy(out:find(("%d successes / 0 failures / 0 errors"):format(count), 1, true), out)
	end)

	it("names the spec's line, what was expected and what came, and ends with 1", function()
		local out, status = try 'assert.equal(5, policy.load():pool("fek"):numbers().max)'
		assert.equal(1, status)
		for _, text in ipairs { "0 successes / 1 failure / 0 errors", "spec/a_spec.lua:4", "Passed in:\n(number) 4", "Expected:\n(number) 5" } do
			assert.truthy(out:find(text, 1, true), out)
		end
	end)

	it("says what is wrong with policies by their own line, all of it at once", function()
		says("policy.load()", 'policies/10.lua:3: unknown key "memry" in limits, did you mean "memory"?', (POOL:gsub("memory", "memry")))
		says("policy.load()", "policies/10.lua:5: ", 'pool "a" {\n  kernel = python {},\n\n\n')
		says('policy.load { ["x.lua"] = [[pool "a" {}]], ["y.lua"] = "polo = 1" }', 'policies/y.lua:1: "polo" is assigned without `local`')
		says("policy.load()", "policies/10.lua:1: os is not available here", "os.exit()")
	end)

	it("asks rules of recipes and webapps with their facts", function()
		local out, status = try([[
    local set = policy.load()
    local function first_two(...) return { (...), (select(2, ...)) } end
    assert.same({ "kill", "clean runs for 7 h" }, first_two(set:judge("long", { recipe = "clean", age = "7h", memory = "21g" })))
    assert.same({ "keep", "skipped: memory is unknown" }, first_two(set:judge("long", { recipe = "clean", age = "7h" })))
    assert.same({ "retire", "3 crashes" }, first_two(set:judge("sick", { crashes = 3 })))
    assert.equal("webapp", set:rule "sick".each)]],
			POOL .. 'rule "long" { each = "recipe", where = "kind = recipe and age > 6h and memory > 20g", act = kill "{recipe} runs for {age}" }\n'
				.. 'rule "sick" { each = "webapp", where = "crashes > 2", act = retire "{crashes} crashes" }')
		assert.equal(0, status, out)
	end)

	it("names the nearest for a rule, pool, event, fact, unit, word or day that is none, with the spec's line", function()
		local policies = POOL .. 'rule "idle ones" { each = "kernel", where = "idle > 1h", act = retire "x" }'
		for body, text in pairs {
			['policy.load():judge("idle one", {})'] = 'spec/a_spec.lua:4: there is no rule "idle one", did you mean "idle ones"?',
			['policy.load():pool "fke"'] = 'there is no pool "fke", did you mean "fek"?',
			['policy.load():on("task.endet", {})'] = 'there is no event "task.endet", did you mean "task.ended"?',
			['policy.load():judge("idle ones", { idel = 3 })'] = 'there is no fact of a kernel "idel", did you mean "idle"?',
			['policy.load():judge("idle ones", { idle = "3hh" })'] = 'idle: unable to read duration "3hh": character 2: did you mean "3h"?',
			['policy.load():judge("idle ones", { state = "idel" })'] = 'did you mean "idle"?',
			['policy.load():recycle("fek", { memory = "1.5gg" })'] = 'did you mean "1.5g"?',
			['policy.load():pool("fek"):numbers { wating = 3 }'] = 'there is no fact of a pool "wating", did you mean "waiting"?',
			['policy.load():place { usr = "ann" }'] = 'there is no fact of a task that is submitted "usr", did you mean "user"?',
			['policy.load():may("ann", "abrt", {})'] = 'there is no right "abrt", did you mean "abort"?',
			['policy.clock "tue 2026-03-02 09:00"'] = "2026-03-02 is a Monday, not a Tuesday",
			['policy.clock "2026-02-30 09:00"'] = "there is no 2026-02-30 09:00",
			['policy.clock "nine"'] = "write a time like",
			["policy.load { machine = { core = 2 } }"] = 'there is no fact of a machine "core", did you mean "cores"?',
			["policy.load { 5 }"] = "spec/a_spec.lua:4: 1 is no name of a file",
		} do
			says(body, text, policies)
		end
	end)

	it("asks each set in a state of its own, with the bounds of the backend", function()
		local out, status = try([[
local a, b = policy.load(), policy.load { ["x.lua"] = 'pool "fek" { kernel = python {}, max = 7, warm = { max = 5 } }' }
assert.same({ 4, 7 }, { a:pool("fek"):numbers().max, b:pool("fek"):numbers().max })
assert.same({ 4, 7 }, { a:pool("fek").spec.max, b:pool("fek").spec.max })
local c = policy.load { ["x.lua"] = 'pool "c" { kernel = python {}, recycle = function () while true do end end }' }
local ok, why = pcall(c.recycle, c, "c", {})
assert.is_false(ok)
assert.matches("policies/x.lua:1: used up its time budget of 50 ms", why, 1, true)
assert.equal(4, a:pool("fek"):numbers().max)]])
		assert.equal(0, status, out)
	end)

	it("raises where a function of a policy fails, each time", function()
		local out, status = try([[
local set = policy.load { ["x.lua"] = 'pool "a" { kernel = python {}, warm = { max = 8,\n min = function (p) return p.waiting end }, recycle = function (k) return k.nme end }\n'
	.. 'rule "r" { each = "node", act = function (n) return 5 end }\nslots "s" { max = 1, each = function (t) error "no key" end }' }
for _ = 1, 2 do
	for text, fn in pairs {
		["policies/x.lua:1: warm.min is 9, more than warm.max, 8; the last numbers stay in force"] = function() set:pool("a"):numbers { waiting = 9 } end,
		['policies/x.lua:2: k has no "nme", did you mean'] = function() set:recycle("a", {}) end,
		["policies/x.lua:3: act: answer a verb with a reason"] = function() set:judge("r", {}) end,
		["policies/x.lua:4: no key"] = function() set:place {} end,
	} do
		local ok, why = pcall(fn)
		assert.is_false(ok, text)
		if _ == 1 then assert.equal(text, tostring(why):sub(1, #text)) end
	end
end]])
		assert.equal(0, status, out)
	end)

	it("knows of a subject what the backend would know, and no more", function()
		local out, status = try([[
local set = policy.load { ["x.lua"] = 'rule "r" { each = "kernel", where = [=[user = "" and kind = kernel]=], act = retire "nobody\'s" }\n'
	.. 'rule "t" { each = "task", where = "tags = a", act = notify "x" }\n'
	.. 'slots "s" { where = "priority = 0 and kind = future", each = "project", max = 2 }\nslots "m" { where = "memory = 1g", max = 3 }\n'
	.. 'pool "fek" { kernel = python {}, limits = { memory = "1g" } }' }
assert.equal("retire", (set:judge("r", {})))
local verb, reason = set:judge("r", { user = policy.unknown })
assert.same({ "keep", "skipped: user is unknown" }, { verb, reason })
assert.equal("keep", (set:judge("t", {})))
assert.equal("notify", (set:judge("t", { tags = "a" })))
assert.equal(0, #set:place {})
assert.same({ "P", 2 }, { set:place({ project = "P" }).s.key, set:place({ project = "P" })[1].max })
assert.equal("", set:place({ pool = "fek" }).m.key)
assert.is_nil(set:place({ pool = "fek", memory = policy.unknown }).m)
assert.is_true((set:may("ann", "abort", { user = "ann" })))]])
		assert.equal(0, status, out)
	end)

	it("says which package is missing where busted is not installed", function()
		local dir = folder { ["10.lua"] = POOL, ["spec/a_spec.lua"] = spec_of "" }
		local out, complaint, status = Instance.run_apart({ dssctl, "policy", "test", dir }, with { LUA_PATH_5_4 = "/nonexistent/?.lua" })
		assert.same({ "", 1 }, { out, status })
		assert.truthy(complaint:find("apt-get install lua-busted", 1, true), complaint)
	end)

	it("ends with 2 where there is nothing to run, and says where it looked", function()
		for _, case in ipairs {
			{ { root .. "/none" }, "unable to find the folder " .. root .. "/none" },
			{ { root }, "there are no specs in " },
			{ { root, root }, "unexpected" },
			{ { root, "--frob" }, "unknown option" },
		} do
			local out, complaint, status = test(table.unpack(case[1]))
			assert.same({ "", 2 }, { out, status }, complaint)
			assert.truthy(complaint:find(case[2], 1, true), complaint)
		end
	end)

	it("refuses specs that others may write, and as root those of others", function()
		local dir = folder { ["10.lua"] = POOL, ["spec/a_spec.lua"] = spec_of "os.remove 'ran'" }
		for _, path in ipairs { "", "/spec", "/spec/a_spec.lua" } do
			local before = Instance.run { "stat", "-c", "%a", dir .. path }
			assert(os.execute("chmod g+w " .. dir .. path))
			local _, complaint, status = test(dir)
			assert.equal(1, status)
			assert.truthy(complaint:find(dir .. path .. ": refused: others may write it", 1, true), complaint)
			assert(os.execute("chmod " .. before .. " " .. dir .. path))
		end
		if not is_root then return end
		assert(os.execute("chown 65534 " .. dir .. "/spec/a_spec.lua"))
		local _, complaint, status = test(dir)
		assert.equal(1, status)
		assert.truthy(complaint:find("it belongs to uid 65534", 1, true), complaint)
	end)

	it("takes specs beside the policies of a folder, modules in spec/, and options of busted", function()
		local dir = folder {
			["10.lua"] = POOL, ["one_spec.lua"] = spec_of 'assert.equal(3, require("helpers").three)', ["spec/two_spec.lua"] = spec_of "policy.load()",
			["spec/helpers.lua"] = "return { three = 3 }",
		}
		local out, complaint, status = test(dir, "--", "-o", "TAP")
		assert.equal(0, status, out .. complaint)
		assert.truthy(out:find("1..2", 1, true), out)
		out = test(dir, "--json")
		local n = select(2, out:gsub('"name":"is asked"', ""))
		assert.is_true(n >= 2, out)
	end)
end)
