local helper = require "spec.helper"
local Instance = require "spec.instance"

local dssctl, env = Instance.program "dssctl", Instance.environment()
local root
local is_root = Instance.run { "id", "-u" } == "0"

local function init(...) return Instance.run({ dssctl, "init", ... }, env) end
local function stat(format, path) return (Instance.run { "stat", "-c", format, path }) end
local function has_user(name) return select(2, Instance.run { "getent", "passwd", name }) == 0 end

describe("dssctl init", function()
	before_each(function() root = Instance.folder() end)
	after_each(function() Instance.remove_folder(root) end)

	it("makes every file and folder of an instance", function()
		local out, status = init(root .. "/a", "--port", "0")
		assert.equal(0, status, out)
		for _, name in ipairs { "bin/dss", "bin/dssctl", "config/dss.lua", "config/admin.key", "config/node.key", "config/instance.id",
			"config/instance.origin", "config/jupyter.token" } do
			assert.equal("regular file", stat("%F", root .. "/a/" .. name), name)
		end
		for _, name in ipairs { "policies", "projects", "jobs", "scenarios", "run", "db", "webapps" } do
			assert.equal("directory", stat("%F", root .. "/a/" .. name), name)
		end
		assert.truthy(out:find("bin/dss start", 1, true))
	end)

	it("keeps keys from everybody but the control user", function()
		init(root .. "/a", "--port", "0")
		for _, name in ipairs { "admin.key", "node.key", "jupyter.token" } do
			assert.equal("600", stat("%a", root .. "/a/config/" .. name), name)
		end
		assert.equal("700", stat("%a", root .. "/a/db"))
	end)

	it("makes keys of 256 bits that differ from each other and from instance to instance", function()
		init(root .. "/a", "--port", "0")
		init(root .. "/b", "--port", "0")
		local seen = {}
		for _, dir in ipairs { "a", "b" } do
			for _, name in ipairs { "admin.key", "node.key", "jupyter.token" } do
				local key = helper.read(root .. "/" .. dir .. "/config/" .. name)
				assert.truthy(key:find("^" .. ("%x"):rep(64) .. "\n$"), name)
				assert.is_nil(seen[key])
				seen[key] = true
			end
			local id = helper.read(root .. "/" .. dir .. "/config/instance.id")
			assert.truthy(id:find "^%x%x%x%x%x%x%x%x\n$", id)
			assert.is_nil(seen[id])
			seen[id] = true
		end
	end)

	it("lets the run user into projects/ only, as root", function()
		if not is_root then return pending "needs root" end
		init(root .. "/a", "--port", "0")
		assert.equal("0 755", stat("%u %a", root .. "/a"))
		for name, wanted in pairs {
			config = "root dss 750", policies = "dss dss 750", projects = "dss-run dss 750", jobs = "dss dss 750", run = "root dss 1770",
			db = "dss dss 700", scenarios = "dss dss 750", webapps = "dss-run dss 2770", bin = "root root 755",
			notebooks = "dss dss-run 710", ["notebooks/server"] = "dss-run dss 700",
		} do
			assert.equal(wanted, stat("%U %G %a", root .. "/a/" .. name), name)
		end
		local _, status = Instance.run { "setpriv", "--reuid", "dss-run", "--regid", "dss-run", "--clear-groups", "cat", root .. "/a/config/admin.key" }
		assert.not_equal(0, status)
		_, status = Instance.run { "setpriv", "--reuid", "dss-run", "--regid", "dss-run", "--clear-groups", "touch", root .. "/a/projects/x" }
		assert.equal(0, status)
		_, status = Instance.run { "setpriv", "--reuid", "dss", "--regid", "dss", "--clear-groups", "cat", root .. "/a/config/admin.key" }
		assert.equal(0, status)
	end)

	it("does not let the control user replace what root wrote into run/", function()
		if not is_root then return pending "needs root" end
		init(root .. "/a", "--port", "0")
		helper.write(root .. "/a/run/keeper.plan", "as root wrote it")
		local script = "cd " .. Instance.quote(root .. "/a/run") .. " && touch backend.log && echo x >mine && ! mv mine keeper.plan && ! rm -f keeper.plan"
		local out, status = Instance.run { "setpriv", "--reuid", "dss", "--regid", "dss", "--clear-groups", "sh", "-c", script }
		assert.equal(0, status, out)
		assert.equal("as root wrote it", helper.read(root .. "/a/run/keeper.plan"))
	end)

	it("makes the two system users, without home and shell", function()
		if not is_root then return pending "needs root" end
		init(root .. "/a", "--port", "0")
		assert.is_true(has_user "dss" and has_user "dss-run")
		assert.truthy(Instance.run({ "getent", "passwd", "dss-run" }):find "/usr/sbin/nologin$")
	end)

	it("refuses root, one user twice and names that are none", function()
		if not is_root then return pending "needs root" end
		for _, case in ipairs {
			{ { "--control-user", "root" }, "it is root" },
			{ { "--run-user", "root" }, "it is root" },
			{ { "--control-user", "dss", "--run-user", "dss" }, "must differ" },
			{ { "--run-user", "no;body" }, "is no user name" },
		} do
			local out, status = init(root .. "/a", table.unpack(case[1]))
			assert.not_equal(0, status)
			assert.truthy(out:find(case[2], 1, true), out)
			assert.equal("", (Instance.run { "ls", "-A", root }))
		end
	end)

	it("gives a one-user instance wholly to its user and says that there is no isolation", function()
		if not is_root then return pending "needs root" end
		local out = init(root .. "/a", "--one-user", "--port", "0")
		assert.truthy(out:find("isolation  none", 1, true), out)
		assert.equal("dss", stat("%U", root .. "/a"))
		assert.equal("dss", stat("%U", root .. "/a/run"))
		local said, status = Instance.run({ root .. "/a/bin/dss", "start" }, env)
		assert.equal(5, status)
		assert.truthy(said:find("runuser -u dss", 1, true), said)
	end)

	it("copies the shipped policies and does not let the run user write them", function()
		init(root .. "/a", "--port", "0")
		local names = Instance.run { "sh", "-c", "ls policies 2>/dev/null" }
		assert.equal(names, (Instance.run { "ls", root .. "/a/policies" }))
	end)

	it("refuses a folder that is an instance already", function()
		init(root .. "/a", "--port", "0")
		local id = helper.read(root .. "/a/config/instance.id")
		local out, status = init(root .. "/a")
		assert.equal(1, status)
		assert.truthy(out:find("is an instance already", 1, true), out)
		assert.equal(id, helper.read(root .. "/a/config/instance.id"))
	end)

	it("refuses a folder with something in it, names it and leaves it alone", function()
		assert(os.execute("mkdir " .. root .. "/a"))
		helper.write(root .. "/a/thesis.tex", "x")
		local out, status = init(root .. "/a")
		assert.equal(1, status)
		assert.truthy(out:find("thesis.tex", 1, true), out)
		assert.equal("thesis.tex", (Instance.run { "ls", "-A", root .. "/a" }))
	end)

	it("refuses a folder whose parent is not there", function()
		local out, status = init(root .. "/no/such/a")
		assert.equal(1, status)
		assert.truthy(out:find "No such file or directory", out)
	end)

	it("takes an empty folder, a relative one and one with a slash at its end", function()
		assert(os.execute("mkdir " .. root .. "/a"))
		assert.equal(0, select(2, init(root .. "/a/", "--port", "0")))
		local out, status = Instance.run({ "sh", "-c", 'cd "$1" && exec "$2" init b --port 0', "sh", root, dssctl }, env)
		assert.equal(0, status, out)
		assert.truthy(helper.read(root .. "/b/config/instance.origin"):find(root .. "/b\n", 1, true))
	end)

	it("leaves nothing behind when it fails half-way", function()
		local _, status = Instance.run({ dssctl, "init", root .. "/a" }, { DSS_SHARE = root })
		assert.equal(1, status)
		assert.equal("", (Instance.run { "ls", "-A", root }))
	end)

	it("warns about a taken port, names its holder and goes on", function()
		local script = [[
import socket, subprocess, sys
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen()
port = s.getsockname()[1]
sys.exit(subprocess.run([sys.argv[1], "init", sys.argv[2], "--port", str(port)]).returncode)]]
		local out, status = Instance.run({ "/usr/bin/python3", "-c", script, dssctl, root .. "/a" }, env)
		assert.equal(0, status, out)
		assert.truthy(out:find "warning: port %d+ is held by pid %d+ %(python", out)
	end)

	it("writes wrappers that survive blanks and quotes in the path", function()
		local dir = root .. "/it's a \"node\" $HOME `x`"
		assert.equal(0, select(2, init(dir, "--port", "0")))
		local out, status = Instance.run({ dir .. "/bin/dss", "status" }, env)
		assert.equal(6, status)
		assert.truthy(out:find(dir, 1, true), out)
		out, status = Instance.run({ dir .. "/bin/dssctl", "version" }, env)
		assert.equal(0, status)
		assert.truthy(out:find "^dssctl %d", out)
	end)

	it("refuses a path with control characters", function()
		assert.equal(1, select(2, init(root .. "/a\nb")))
	end)

	it("makes a demo of a hundred thousand rows, the same ones every time", function()
		local out = init(root .. "/a", "--demo", "--port", "0")
		init(root .. "/b", "--demo", "--port", "0")
		local csv = "/projects/DEMO/data/sales/sales.csv"
		local rows = select(2, helper.read(root .. "/a" .. csv):gsub("\n", ""))
		assert.equal(100001, rows)
		assert.equal(helper.read(root .. "/a" .. csv), helper.read(root .. "/b" .. csv))
		assert.truthy(out:find("submit python stats:summarise", 1, true), out)
	end)

	it("writes a configuration that `dssd plan` takes, with the port and the boxes asked for", function()
		local out, status = init(root .. "/a", "--port", "23450", "--cgroups", "none")
		assert.equal(0, status, out)
		out, status = Instance.run({ Instance.program "dssd", "plan", root .. "/a" }, env)
		assert.equal(0, status, out)
		assert.truthy(out:find("listen page 127.0.0.1 23450", 1, true), out)
		assert.truthy(out:find("cgroups none", 1, true), out)
	end)

	it("writes `observe = true` where that was asked for, and `dssd plan` takes it", function()
		init(root .. "/a", "--port", "0", "--observe")
		assert.truthy(helper.read(root .. "/a/config/dss.lua"):find "\n  observe += true,")
		local out, status = Instance.run({ Instance.program "dssd", "plan", root .. "/a" }, env)
		assert.equal(0, status, out)
	end)

	describe("--new-id", function()
		it("gives a copy its own id and wrappers, and keeps its keys", function()
			init(root .. "/a", "--port", "0")
			assert(os.execute(("cp -a %s/a %s/b"):format(root, root)))
			local out, status = Instance.run({ dssctl, "-C", root .. "/b", "dss", "start" }, env)
			assert.equal(1, status)
			assert.truthy(out:find("is a copy of the instance " .. root .. "/a", 1, true), out)
			out, status = init(root .. "/b", "--new-id")
			assert.equal(0, status, out)
			assert.not_equal(helper.read(root .. "/a/config/instance.id"), helper.read(root .. "/b/config/instance.id"))
			assert.equal(helper.read(root .. "/a/config/admin.key"), helper.read(root .. "/b/config/admin.key"))
			assert.truthy(helper.read(root .. "/b/bin/dss"):find(root .. "/b", 1, true))
			assert.equal(stat("%U %G %a", root .. "/a/config/instance.id"), stat("%U %G %a", root .. "/b/config/instance.id"))
		end)

		it("refuses what is no instance", function()
			assert.equal(1, select(2, init(root .. "/a", "--new-id")))
		end)
	end)

	it("takes a moved folder and one restored in its place for what they are", function()
		init(root .. "/a", "--port", "0")
		assert(os.execute(("mv %s/a %s/b"):format(root, root)))
		local out = Instance.run({ dssctl, "-C", root .. "/b", "dss", "restart" }, env)
		assert.is_nil(out:find "copy", out)
		assert(os.execute(("cp -a %s/b %s/a && rm -r %s/b"):format(root, root, root)))
		out = Instance.run({ dssctl, "-C", root .. "/a", "dss", "restart" }, env)
		assert.is_nil(out:find "copy", out)
	end)
end)
