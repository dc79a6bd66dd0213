local helper = require "spec.helper"
require("t_bind").preload()
local plan = require "dss.model.plan"

local dir

--- The plan of a configuration as a list of lines, or nil and the errors.
local function make(text)
	helper.write(dir .. "/config/dss.lua", text)
	return plan.make(dir, "7f3a09c2", "/usr/share/dssd", "/usr/bin")
end

--- The lines of a service's block.
local function block(text, name) return text:match("\n(service " .. name .. "\n.-\nend)\n") end

describe("the plan", function()
	before_each(function()
		dir = os.tmpname()
		os.remove(dir)
		assert(os.execute(("mkdir -p %s/config && chmod 755 %s"):format(dir, dir)))
	end)
	after_each(function() os.execute("rm -rf " .. dir) end)

	it("tells the backend how much memory is ours and what is kept from kernels, and refuses a reserve that leaves nothing", function()
		local text = assert(make 'node { memory = "60g", reserve = "4g" }')
		assert.truthy(block(text, "backend"):find('"memory":64424509440', 1, true))
		assert.truthy(block(text, "backend"):find('"reserve":4294967296', 1, true))
		local got, errors = make 'node {\n memory = "4g", reserve = "4g" }'
		assert.is_nil(got)
		assert.equal("config/dss.lua:1: reserve is not less than memory: nothing would be left for kernels", errors)
	end)

	it("of an empty configuration has logger and backend with every default", function()
		local text = assert(make "")
		assert.equal(([[
dss-plan 1
# made by `dssd plan` from config/dss.lua; edit that file
instance 7f3a09c2
dir DIR
cgroups auto
listen page 127.0.0.1 11200
listen callback 127.0.0.1 11201
listen webapps 127.0.0.1 11203
log_file 104857600 10
log_job 52428800
log_total 10737418240
log_floor 1073741824
]]):gsub("DIR", dir), text:match "^(.-)service ")
		assert.equal(([[
service backend
argv /usr/bin/dssd
argv run
argv DIR
env DSS_NODE={"hosts":[],"port":11200}
env DSS_SHARE=/usr/share/dssd
env HOME=DIR
env LANG=C.UTF-8
env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
cwd DIR
box core/backend
sink service:backend
ready notify
ready_within_ms 60000
stop_signal 15
grace_ms 10000
restart_most_ms 60000
healthy_ms 60000
give_up_ms 0
after logger
inherit page
inherit callback
inherit webapps
end]]):gsub("DIR", dir), block(text, "backend"))
		assert.matches("argv /usr/bin/dss%-logger\nargv %-%-dir\n", block(text, "logger"))
	end)
	it("puts nginx before the backend: it inherits the page's and the webapps' ports, the backend has sockets behind it", function()
		local text = assert(make [[
node { hosts = { "node.example" }, control_user = "dss", run_user = "dss-run" }
nginx { tls = { certificate = "/c.pem", key = "/k.pem" }, extra = "config/x.conf", remote_user = { basic = "/p" }, remote_admins = { "boss" }, grace = "1s" }]])
		assert.equal([[
listen front 127.0.0.1 11200
listen page 127.0.0.1 11204
listen callback 127.0.0.1 11201
listen front_webapps 127.0.0.1 11203
listen_unix backend
listen_unix webapps]], text:match "\n(listen.-)\nlog_file")
		local nginx = block(text, "nginx")
		assert.matches("argv /usr/bin/dssd\nargv nginx\nargv " .. dir:gsub("%p", "%%%0"), nginx)
		assert.matches("\nuser dss\n.*\nready fd\n.*\nstop_signal 3\ngrace_ms 1000\n.*\ngive_up_ms 0\nreload_signal 1\nafter logger\ninherit front\ninherit front_webapps\n", nginx)
		local settings = require("bind.json").decode(nginx:match "env DSS_NGINX=([^\n]*)")
		assert.same({ command = "/usr/sbin/nginx", workers = 1, certificate = "/c.pem", key = "/k.pem", hsts_s = 0, max_body = 64 << 20, extra = dir .. "/config/x.conf",
			remote_kind = "basic", remote = "/p", hosts = { "node.example" } }, settings)
		local backend = block(text, "backend")
		assert.matches("inherit page\ninherit callback\ninherit webapps\ninherit backend\ninherit front\ninherit front_webapps\n", backend)
		assert.same({ control_user = "dss", run_user = "dss-run", port = 11200, hosts = { "node.example" }, front = true, front_tls = true, remote_user = true,
			remote_admins = { "boss" } }, require("bind.json").decode(backend:match "env DSS_NODE=([^\n]*)"))
		assert.equal(make "", make "nginx { enabled = false }")
	end)
	it("tells the backend where the page comes from: what was said at the start, else the file, else the binary", function()
		local function web_dir(text) return require("bind.json").decode(block(text, "backend"):match "env DSS_NODE=([^\n]*)").web_dir end
		assert.is_nil(web_dir(assert(make "")))
		assert.equal("/srv/page", web_dir(assert(make 'web { dir = "/srv/page" }')))
		assert.equal("/tmp/mine", web_dir(assert(plan.make(dir, "7f3a09c2", "/usr/share/dssd", "/usr/bin", "/tmp/mine"))))
		local got, errors = make '\nweb { dir = "page" }'
		assert.is_nil(got)
		assert.equal('config/dss.lua:2: dir: "page" is no absolute path', errors)
		assert.matches('unknown key "dri", did you mean "dir"', (select(2, make 'web { dri = "/x" }')))
	end)
	it("says what a service is declared with", function()
		local text = assert(make [[
node { port = 0, control_user = "dss", run_user = "dss-run", cgroups = "v1" }
service "web" {
  command = { "/usr/bin/web", "a b", "100%", "" }, env = { X = "1\2" }, cwd = "/srv", files = 64,
  limits = { memory = "64m", swap = 0, threads = 9, cpu = 0.5 }, ready = "http 127.0.0.1 80 /a%20b", ready_within = "1min",
  stop = { signal = "INT", grace = "0s" }, reload = "USR1", restart = { most = "5s", healthy = "2s", give_up = "10min" }, after = { "backend" }, log = "null",
}]])
		assert.matches("\ncontrol_user dss\nallow_user dss%-run\nlisten page 127.0.0.1 0\nlisten callback 127.0.0.1 0\n", text)
		assert.equal([[
service web
argv /usr/bin/web
argv a%20b
argv 100%25
argv ]] .. "\n" .. [[
env HOME=]] .. dir .. "\n" .. [[
env LANG=C.UTF-8
env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
env X=1%02
cwd /srv
user dss-run
box core/web
limit memory=67108864
limit swap=0
limit pids=9
limit cpu=500
rlimit nofile=64:64
sink null
ready http 127.0.0.1 80 /a%2520b
ready_within_ms 60000
stop_signal 2
grace_ms 0
restart_most_ms 5000
healthy_ms 2000
give_up_ms 600000
reload_signal 10
after logger
after backend
end]], block(text, "web"))
	end)
	it("names each mistake with file and line", function()
		local cases = {
			{ "node {\n\n  prot = 1 }", 'config/dss.lua:3: unknown key "prot", did you mean "port"?' },
			{ "nod { }", 'config/dss.lua:1: unknown word "nod", did you mean "node"?' },
			{ "node { port = 70000 }", "config/dss.lua:1: port: 70000 is not between 0 and 65532" },
			{ "node { }\nnode { }", "config/dss.lua:2: node stands twice, first at config/dss.lua:1" },
			{ 'service "a"', 'config/dss.lua:1: service "a" has no table: write service "a" { … }' },
			{ 'service "a" { }', 'config/dss.lua:1: "command" is missing' },
			{ 'service "a" { command = { "x" } }', 'config/dss.lua:1: command: the program "x" is no absolute path' },
			{ 'service "logger" { command = { "/x" } }', 'config/dss.lua:1: the service "logger" is built in; the word `backend { … }` sets its limits' },
			{ 'service "a" { command = { "/x" } }\nservice "a" { command = { "/x" } }', 'config/dss.lua:2: service "a" stands twice, first at config/dss.lua:1' },
			{ 'service "a" { command = { "/x" }, after = { "bckend" } }', 'config/dss.lua:1: service "a" is after "bckend", which is not there, did you mean "backend"?' },
			{ 'service "a" { command = { "/x" }, after = { "a" } }', "config/dss.lua:1: services wait for each other: a → a" },
			{ 'service "a" {\n command = { "/x" },\n user = "root" }', "config/dss.lua:3: user: a process of ours never runs as root" },
			{ 'node { run_user = "x" }', "config/dss.lua:1: control_user and run_user stand together or not at all (one-user mode)" },
			{ 'service "a" { command = { "/x" }, ready = "port 80" }', 'config/dss.lua:1: ready: "port 80": write "exec", "fd", "notify", "port 127.0.0.1 80" or "http 127.0.0.1 80 /path"' },
			{ 'nginx { tls = { certificate = "/c" } }', "config/dss.lua:1: tls: certificate and key stand together" },
			{ 'nginx { tls = { certificate = "/a$b", key = "/k" } }', 'config/dss.lua:1: tls.certificate: "/a$b": nginx takes no path with one of " $ \\ ; { }' },
			{ 'nginx { tls = { certificate = "c", key = "/k" } }', 'config/dss.lua:1: tls.certificate: "c" is no absolute path' },
			{ 'nginx { extra = "a\\"; }" }', [[config/dss.lua:1: extra: "a\"; }": nginx takes no path with one of " $ \ ; { }]] },
			{ 'nginx {\n workers = 0 }', "config/dss.lua:2: workers: 0 is not between 1 and 64" },
			{ 'nginx { hsts = "1d" }', "config/dss.lua:1: hsts wants tls" },
			{ 'nginx { http2 = true }', "config/dss.lua:1: http2 wants tls: browsers speak it with TLS alone" },
			{ 'nginx { }\nservice "nginx" { command = { "/x" } }', 'config/dss.lua:2: service "nginx" stands beside nginx { … }: write one of them' },
			{ 'node { port = 65532 } nginx { }', "config/dss.lua:1: port 65532 + 4, for this machine's own requests, is no port" },
			{ 'nginx { remote_user = { basic = "/p" } }',
				"config/dss.lua:1: remote_user wants control_user and run_user: where all is one user, code in any kernel could name anybody" },
			{ 'node { control_user = "a", run_user = "b" } nginx { tls = { certificate = "/c", key = "/k" }, remote_user = { basic = "/p", certificate = "/c" } }',
				"config/dss.lua:1: remote_user: one of basic, certificate and variable" },
			{ 'nginx { remote_user = { variable = "$remote_user" } }',
				'config/dss.lua:1: remote_user.variable: "$remote_user" holds what the client wrote, checked or not; write basic = "/file", which checks it' },
			{ 'nginx { remote_user = { variable = "$http_x_user" } }', 'config/dss.lua:1: remote_user.variable: "$http_x_user" holds what the client wrote' },
			{ 'nginx { remote_user = { variable = "x; return 200" } }', 'config/dss.lua:1: remote_user.variable: "x; return 200" is no variable such as "$my_user"' },
			{ 'nginx { remote_admins = { "boss" } }', "config/dss.lua:1: remote_admins stands beside remote_user" },
			{ 'node { control_user = "a", run_user = "b" }\nnginx { remote_user = { certificate = "/c" } }',
				"config/dss.lua:2: remote_user.certificate wants tls: without it nobody shows a certificate" },
			{ 'nginx { remote_admins = { "all" } }', 'config/dss.lua:1: remote_admins[1]: "all" is no valid login' },
			{ "log { file = 'x' }", 'config/dss.lua:1: file: unable to read size "x": character 1: write it like 512m, 1.5g or 4096 (bytes)' },
			{ "node { port = }", "config/dss.lua:1: unexpected symbol near '}'" },
			{ "local t = nil\nt.x = 1", "config/dss.lua:2: attempt to index a nil value (local 't')" },
		}
		for _, c in ipairs(cases) do
			local text, errors = make(c[1])
			assert.is_nil(text, c[1])
			assert.equal(c[2], errors)
		end
	end)
	it("is not made from a file that others may write", function()
		make ""
		os.execute(("chmod 666 %s/config/dss.lua"):format(dir))
		local text, errors = plan.make(dir, "x", "/s", "/b")
		assert.is_nil(text)
		assert.equal("config/dss.lua:1: refused: others may write it (mode 0666); chmod go-w", errors)
	end)
	it("is not made without a configuration", function()
		assert.matches("^unable to read .*/config/dss.lua: No such file", (select(2, plan.make(dir, "x", "/s", "/b"))))
	end)
end)
