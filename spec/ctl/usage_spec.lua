local helper = require "spec.helper"
local Instance = require "spec.instance"

local dssctl, env = Instance.program "dssctl", Instance.environment()
local root

local function run(...) return Instance.run_apart({ dssctl, ... }, env) end

describe("dssctl", function()
	setup(function()
		root = Instance.folder()
		assert.equal(0, select(2, Instance.run({ dssctl, "init", root .. "/a", "--port", "0" }, env)))
	end)
	teardown(function() Instance.remove_folder(root) end)

	it("names the nearest word for an unknown command, verb, option or kind", function()
		for _, case in ipairs {
			{ { "sumbit" }, 'unknown command "sumbit", did you mean "submit"?' },
			{ { "dss", "satrt" }, 'unknown verb "satrt", did you mean "start"?' },
			{ { "dss", "stop", "--nwo" }, 'unknown option "--nwo", did you mean "--now"?' },
			{ { "init", "x", "--prot", "1" }, 'unknown option "--prot", did you mean "--port"?' },
			{ { "submit", "pyhton", "a:b" }, 'unknown kind of task "pyhton", did you mean "python"?' },
			{ { "--jsno", "tasks" }, 'unknown option "--jsno", did you mean "--json"?' },
			{ { "help", "sttaus" }, 'did you mean "status"?' },
		} do
			local out, complaint, status = run(table.unpack(case[1]))
			assert.equal(2, status, complaint)
			assert.equal("", out)
			assert.truthy(complaint:find(case[2], 1, true), complaint)
		end
	end)

	it("invents no hint where no word is near", function()
		local _, complaint, status = run "frobnicate"
		assert.equal(2, status)
		assert.is_nil(complaint:find "did you mean")
	end)

	it("ends with 2 on wrong usage and says how it is right", function()
		for _, words in ipairs {
			{}, { "init" }, { "init", "a", "b" }, { "wait" }, { "result" }, { "abort", "a", "b" }, { "submit" }, { "submit", "python" }, { "submit", "python", "nocolon" },
			{ "submit", "command" }, { "submit", "python", "a:b", "--", "c" }, { "tasks", "x" }, { "status", "x" }, { "dss" },
			{ "init", "a", "--port" }, { "init", "a", "--port", "x" }, { "init", "a", "--port", "70000" }, { "init", "a", "--demo=1" },
			{ "init", "a", "--cgroups", "v3" }, { "submit", "python", "a:b", "--memory", "much" },
			{ "submit", "python", "a:b", "--timeout", "soon" }, { "submit", "python", "a:b", "--kwarg", "novalue" }, { "-C" },
			{ "wait", "no such id!" }, { "run" }, { "run", "x" }, { "run", "a", "b", "--", "c" }, { "run", "--memory", "much", "--", "c" },
			{ "key" }, { "key", "add" }, { "key", "revoke" }, { "top", "--by", "size" }, { "logs", "../x" }, { "logs", "-n", "0" },
			{ "submit", "java" }, { "submit", "java", "A", "--state", "[1]" }, { "submit", "java", "A", "--classpath", "/no/such" },
		} do
			local out, complaint, status = run("-C", root .. "/a", table.unpack(words))
			if words[1] == "-C" then out, complaint, status = run "-C" end
			if words[1] == "wait" and words[2] then out, complaint, status = run("-C", root .. "/a", "abort", words[2]) end
			assert.equal(2, status, table.concat(words, " ") .. ": " .. complaint)
			assert.equal("", out)
			assert.truthy(#complaint > 10)
		end
	end)

	it("prints help on standard output for every command it lists", function()
		local help, _, status = run "--help"
		assert.equal(0, status)
		local count = 0
		for name in help:gmatch "\n  (%l+) +%l" do
			local out, complaint, code = run(name, "--help")
			assert.equal(0, code, name .. ": " .. complaint)
			assert.truthy(out:find "^usage: " or name == "version", name .. ": " .. out)
			count = count + 1
		end
		assert.truthy(count >= 10, help)
		for _, verb in ipairs { "start", "stop", "drain", "restart", "status", "run", "reopenlogs" } do
			local out, _, code = run("dss", verb, "--help")
			assert.equal(0, code)
			assert.truthy(out:find "usage: dssctl", out)
		end
	end)

	it("says its version", function()
		local text = run "version"
		assert.truthy(text:find "^dssctl %d+%.%d+%.%d+$", text)
		assert.truthy(run("version", "--json"):find '^{"version": "%d')
	end)

	it("ends with 6 where no daemon runs, and says how to start it", function()
		for _, words in ipairs { { "tasks" }, { "ps" }, { "wait", "x" }, { "result", "x" }, { "abort", "x" }, { "status" },
			{ "submit", "python", "a:b" }, { "dss", "drain" }, { "dss", "restart" }, { "dss", "reopenlogs" }, { "dss", "status" } } do
			local _, complaint, status = run("-C", root .. "/a", table.unpack(words))
			assert.equal(6, status, table.concat(words, " ") .. ": " .. complaint)
			assert.truthy(complaint:find("/bin/dss start", 1, true), complaint)
		end
	end)

	it("answers status --json with an empty list where no daemon runs", function()
		local out, _, status = run("-C", root .. "/a", "status", "--json")
		assert.equal(6, status)
		local parsed = assert(require("t_json").decode(out))
		assert.equal(helper.read(root .. "/a/config/instance.id"):match "%x+", parsed.instance)
		assert.equal(0, #parsed.processes)
	end)

	it("takes stopping what does not run for done", function()
		assert.equal(0, select(3, run("-C", root .. "/a", "dss", "stop")))
	end)

	it("ends with 4 where there is no instance", function()
		local _, complaint, status = run("-C", root, "status")
		assert.equal(4, status)
		assert.truthy(complaint:find("config/instance.id", 1, true), complaint)
		assert.equal(4, select(3, run("-C", root .. "/nowhere", "status")))
	end)

	it("finds the instance by -C, then DSS_HOME, then the current folder", function()
		local function found(script)
			local out = Instance.run({ "sh", "-c", script, "sh", dssctl, root .. "/a" }, env)
			return out:find(root .. "/a is not running", 1, true) ~= nil
		end
		assert.is_true(found 'exec "$1" -C "$2" status')
		assert.is_true(found 'DSS_HOME=/nowhere exec "$1" -C "$2" status')
		assert.is_true(found 'DSS_HOME="$2" exec "$1" status')
		assert.is_true(found 'cd "$2" && exec "$1" status')
		assert.is_true(found 'exec "$1" status -C "$2"')
		assert.is_false(found 'cd / && exec "$1" status')
	end)

	it("shows what users wrote without its control characters", function()
		local _, complaint = run "\27[31mred"
		assert.is_nil(complaint:find "\27")
		assert.truthy(complaint:find("\\x1b", 1, true), complaint)
	end)
end)
