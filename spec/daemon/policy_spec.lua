-- dssctl policy and alerts against a real instance: a check before saving, what differs, the versions before, and back to one of them.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local work = require "spec.daemon.work"

local NAME = "10-pools.lua"
local good = [[
pool "fek" {
  kernel = python {},
  limits = { memory = "256m" },
  warm = { min = 1, max = 1 }, max = %d,
}
]]
local wrong = good:gsub("max = %%d", "mxa = 3")

local node

local function ctl(...)
	local out, err, code = node:ctl(...)
	return code, out, err
end

local function version() return tonumber(select(2, ctl "policy"):match "^version (%d+)") end

local function save(name, text) node:write("policies/" .. name, text) end

local function take(name, text)
	local before = version()
	save(name, text)
	helper.wait_for("the new set", function() return version() ~= before end)
end

describe("policy", function()
	setup(function()
		node = Instance.new { policies = { [NAME] = good:format(2) } }
		node:start()
	end)
	teardown(function() node:remove() end)
	before_each(function()
		if node:read("policies/" .. NAME) ~= good:format(2) then take(NAME, good:format(2)) end
	end)

	it("shows the version in force and its files", function()
		local code, out = ctl "policy"
		assert.equal(0, code)
		assert.matches("^version %d+ is in force: 1 file, 10%-pools.lua$", out)
	end)

	it("is checked before it is saved, with file, line and the nearest word; nothing is taken", function()
		local folder = Instance.folder()
		local path = folder .. "/" .. NAME
		helper.write(path, wrong)
		local before = version()
		local code, _, err = ctl("policy", "check", path)
		assert.equal(1, code)
		assert.equal('policies/10-pools.lua:4: unknown key "mxa", did you mean "max"?\n', err)
		local _, out = ctl("policy", "check", "--json", path)
		assert.same({ ok = false, errors = { { file = "policies/10-pools.lua", line = 4, text = 'unknown key "mxa", did you mean "max"?' } } }, require("t_json").decode(out))
		helper.write(path, good:format(7))
		code, out = ctl("policy", "check", path)
		assert.same({ 0, "1 file, 1 pool: no mistakes" }, { code, out })
		assert.equal(before, version())
		Instance.remove_folder(folder)
	end)

	it("with a mistake stays out of force, and the board of alerts and `policy` say where it is, until it is gone", function()
		local before = version()
		save(NAME, wrong)
		local text = 'policies/10-pools.lua:4: unknown key "mxa", did you mean "max"?'
		local code, out, err
		helper.wait_for("the mistake", function()
			code, out, err = ctl "policy"
			return code == 1, out
		end)
		assert.truthy(out:find(text, 1, true), out)
		assert.truthy(err:find("The set before stays in force", 1, true), err)
		assert.equal(before, version())
		code, out = ctl("alerts", "--fail")
		assert.equal(1, code)
		assert.truthy(out:find("error", 1, true) and out:find(text, 1, true), out)
		code, out = ctl("policy", "diff")
		assert.equal(0, code)
		assert.truthy(out:find("+  warm = { min = 1, max = 1 }, mxa = 3,", 1, true), out)
		save(NAME, good:format(2))
		helper.wait_for("no alert", function()
			code, out = ctl("alerts", "--fail")
			return code == 0, out
		end)
		assert.equal(before, version())
	end)

	it("is rolled back to a version of the history, keeping what was there", function()
		local first = version()
		take(NAME, good:format(3))
		take("20-more.lua", '-- nothing yet\n')
		local code, out = ctl("policy", "history")
		assert.equal(0, code)
		assert.truthy(out:find(tostring(first + 2), 1, true), out)
		local err, _
		code, _, err = ctl("policy", "rollback", tostring(first))
		assert.equal(3, code)
		assert.truthy(err:find("--yes", 1, true), err)
		assert.equal(good:format(3), node:read("policies/" .. NAME))
		code, out, err = ctl("policy", "rollback", tostring(first), "--yes")
		assert.equal(0, code, err)
		assert.truthy(out:find(("version %d is in force"):format(first + 3), 1, true), out)
		assert.equal(good:format(2), node:read("policies/" .. NAME))
		assert.is_nil(node:read "policies/20-more.lua")
		local kept = err:match "kept in (%S+)"
		assert.same({ good:format(3), "-- nothing yet\n" }, { helper.read(kept .. "/" .. NAME), helper.read(kept .. "/20-more.lua") })
		code, out = ctl("policy", "diff", tostring(first + 2), tostring(first + 3))
		assert.equal(0, code)
		assert.truthy(out:find("-  warm = { min = 1, max = 1 }, max = 3,", 1, true), out)
	end)

	it("that never was is not found", function()
		local code, _, err = ctl("policy", "rollback", "9999", "--yes")
		assert.equal(4, code)
		assert.truthy(err:find("Version 9999 does not exist", 1, true), err)
		assert.equal(2, (ctl("policy", "rollback", "latest")))
	end)

	it("is written by root as whoever owns the folder, or a link in its place, and so to nowhere else", function()
		if not work.is_root then return pending "needs root" end
		local first, other = version(), Instance.folder()
		save(NAME, good:format(3))
		helper.wait_for("the next version", function() return version() > first end)
		local policies = node.dir .. "/policies"
		assert(os.execute(("cd %s && mv policies policies.own && cp policies.own/%s %s/ && ln -s %s policies && chown -h 65534 policies && chmod 755 %s")
			:format(node.dir, NAME, other, other, other)))
		local code, _, err = ctl("policy", "rollback", tostring(first), "--yes")
		local files = Instance.run { "ls", "-A", other }
		assert(os.execute(("cd %s && rm policies && mv policies.own policies"):format(node.dir)))
		local text = helper.read(other .. "/" .. NAME)
		Instance.remove_folder(other)
		assert.equal(1, code, err)
		assert.same({ NAME, good:format(3) }, { files:match "%S+", text })
		assert.truthy(err:find(policies, 1, true), err)
	end)

	it("is for admins", function()
		assert.equal(403, (node:http("GET", "/api/policies", nil, { key = node:ctl("key", "add", "bob"):match "%S+" })))
	end)
end)
