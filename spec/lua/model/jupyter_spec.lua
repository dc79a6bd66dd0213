-- The word `jupyter` of config/dss.lua: what it refuses, and what the keeper's plan and the backend get of it.
local helper = require "spec.helper"
require("t_bind").preload()
local json = require "bind.json"
local plan = require "dss.model.plan"

local dir

local function make(text)
	helper.write(dir .. "/config/dss.lua", text)
	return plan.make(dir, "7f3a09c2", "/usr/share/dssd", "/usr/bin")
end

local function block(text, name) return text:match("\n(service " .. name .. "\n.-\nend)\n") end

local function node(text) return json.decode(block(text, "backend"):match "env DSS_NODE=([^\n]*)") end

describe("jupyter", function()
	before_each(function()
		dir = os.tmpname()
		os.remove(dir)
		assert(os.execute(("mkdir -p %s/config && chmod 755 %s"):format(dir, dir)))
	end)
	after_each(function() os.execute("rm -rf " .. dir) end)

	it("is off unless it is said, and by enabled = false", function()
		assert.equal(make "", make "jupyter { enabled = false }")
		assert.is_nil(block(make "", "jupyter"))
		assert.is_nil(node(make "").jupyter)
	end)

	it("is a service as the run user, with its port held by the keeper and its token in no environment", function()
		local text = assert(make [[
node { port = 12000, control_user = "dss", run_user = "dss-run", hosts = { "node.example" } }
jupyter { kernelspecs = { "python3", "ir" }, limits = { memory = "2g" }, env = { HTTP_PROXY = "x", HOME = "/root", DSS_JUPYTER = "y" } }]])
		assert.truthy(text:find("\nlisten jupyter 127.0.0.1 12002\n", 1, true))
		local b = block(text, "jupyter")
		assert.matches("\nargv /usr/bin/python3\nargv %-s\nargv /usr/share/dssd/kernels/jupyter/serve.py\n", b)
		assert.matches("\nuser dss%-run\nbox core/jupyter\nlimit memory=2147483648\nsink service:jupyter\nready fd\n", b)
		assert.matches("\nafter logger\ninherit jupyter\nsecret " .. dir:gsub("%p", "%%%0") .. "/config/jupyter.token\nstarter 1\nend", b)
		assert.truthy(b:find("env HTTP_PROXY=x\n", 1, true) and b:find("env HOME=" .. dir .. "/notebooks/server\n", 1, true))
		local settings = json.decode(b:match "env DSS_JUPYTER=([^\n]*)")
		assert.same({ { "python3", "ir" }, { "node.example" }, "/usr/bin/dss-logger" }, { settings.kernelspecs, settings.hosts, settings.launcher })
		assert.matches("inherit webapps\ninherit jupyter\nend", block(text, "backend"))
		assert.same({ is_ours = true, host = "127.0.0.1", leases = { longest = 259200000, each_user = 10 } }, node(text).jupyter)
	end)

	it("is another program with a port of its own where that is said", function()
		local text = assert(make 'node { address = "0.0.0.0" } jupyter { command = { "/opt/bin/jupyter-lab", "--x" }, port = 9999 }')
		assert.matches("\nargv /opt/bin/jupyter%-lab\nargv %-%-x\nenv ", block(text, "jupyter"))
		assert.truthy(text:find("\nlisten jupyter 0.0.0.0 9999\n", 1, true))
		assert.is_nil(text:find("starter", 1, true))
		assert.equal("127.0.0.1", node(text).jupyter.host)
		assert.equal("[fd00::1]", node(assert(make 'node { address = "fd00::1" } jupyter {}')).jupyter.host)
	end)

	it("is watched alone where it is somebody else's", function()
		local text = assert(make 'jupyter { attach = "http://127.0.0.1:8888/base/", token_file = "/etc/j.token" }')
		assert.is_nil(block(text, "jupyter"))
		assert.is_nil(text:find("listen jupyter", 1, true))
		assert.same({ attach = "http://127.0.0.1:8888/base", token_file = "/etc/j.token", leases = { longest = 259200000, each_user = 10 } }, node(text).jupyter)
	end)

	it("says how long and how many notebooks users may keep, and whether another's server is believed", function()
		local text = assert(make 'jupyter { attach = "http://h:1", token_file = "/t", trust = "activity", leases = { longest = "8h", each_user = 2 } }')
		assert.same({ "activity", { longest = 28800000, each_user = 2 } }, { node(text).jupyter.trust, node(text).jupyter.leases })
		text = assert(make "jupyter { leases = { each_user = 0 } }")
		assert.same({ longest = 259200000, each_user = 0 }, node(text).jupyter.leases)
	end)

	it("refuses what says nothing or is wrong, with its line", function()
		for text, wanted in pairs {
			['jupyter { attach = "http://h:1" }'] = "config/dss.lua:1: attach wants token_file, which the control user can read and users' code cannot",
			['jupyter { attach = "ftp://h", token_file = "/t" }'] = 'is no address such as "http://127.0.0.1:8888"',
			['jupyter { attach = "http://h:1", token_file = "/t", port = 3 }'] = "that server is not ours to start; port says nothing",
			['jupyter { token_file = "/t" }'] = "token_file stands beside attach; our own server's is config/jupyter.token",
			['jupyter { python = "/p", command = { "/x" } }'] = "command names its program: python says nothing beside it",
			['jupyter {}\nservice "jupyter" { command = { "/x" } }'] = 'config/dss.lua:2: service "jupyter" stands beside jupyter { … }: write one of them',
			["jupyter { port = 11203 }"] = "port 11203 is another of ours; Jupyter's own is 11202",
			['jupyter { trust = "activity" }'] = "trust stands beside attach; kernels of our own server are measured",
			['jupyter { attach = "http://h:1", token_file = "/t", trust = "all" }'] = 'trust',
			['jupyter { leases = { longest = "0s" } }'] = "longest",
			["jupyter { leases = { each_user = -1 } }"] = "each_user",
			["jupyter { leases = { each = 1 } }"] = "each_user",
			["jupyter { pyton = 1 }"] = 'did you mean "python"?',
		} do
			local got, errors = make(text)
			assert.is_nil(got, text)
			assert.truthy(errors:find(wanted, 1, true), errors)
		end
	end)

	it("may be what another service waits for", function()
		assert.truthy(make 'jupyter {}\nservice "after" { command = { "/x" }, after = { "jupyter" } }')
	end)
end)
