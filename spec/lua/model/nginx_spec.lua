local helper = require "spec.helper"
require("t_bind").preload()
local nginx = require "dss.model.nginx"

local template = assert(helper.read "etc/nginx.conf.in")
local where = { page = "127.0.0.1:1", webapps = "[::1]:4" }

local function settings(more)
	local s = { command = "/x", workers = 3, hsts_s = 0, max_body = 1024, hosts = {} }
	for k, v in pairs(more or {}) do s[k] = v end
	return s
end

local function render(more, extra) return nginx.render(template, settings(more), where, extra) end

describe("nginx's configuration", function()
	it("has every place of the template filled, with TLS and without", function()
		for _, more in ipairs { {}, { certificate = "/c", key = "/k", hsts_s = 60 }, { remote_kind = "basic", remote = "/p" } } do
			local text = render(more)
			assert.is_nil(text:match "@[A-Z_0-9]+@")
			local _, opened = text:gsub("{\n", "")
			local _, closed = text:gsub("\n%s*}", "")
			assert.equal(opened, closed)
		end
		assert.matches("listen 127.0.0.1:1;", render(), 1, true)
		assert.is_nil(render():find "ssl_certificate")
		local text = render { certificate = "/c", key = "/k", hsts_s = 60, http2 = true }
		assert.is_nil(render({ certificate = "/c", key = "/k" }):find "http2")
		assert.truthy(text:find("listen 127.0.0.1:1 ssl http2;", 1, true) and text:find("listen [::1]:4 ssl;", 1, true))
		assert.truthy(text:find('ssl_certificate_key "/k";', 1, true) and text:find("max-age=60", 1, true) and text:find("497 =308", 1, true))
	end)
	it("names nobody unless it is told how, and replaces what a client wrote at both ports", function()
		local function fields(text)
			local found = {}
			for value in text:gmatch "proxy_set_header X%-Remote%-User ([^\n]*);" do found[#found + 1] = value end
			return found
		end
		assert.same({ '""', '""' }, fields(render()))
		for _, kind in ipairs { "basic", "certificate", "variable" } do
			assert.same({ "$dss_user", '""' }, fields(render { remote_kind = kind, remote = "$x" }))
		end
		-- what the client wrote reaches the backend only where it is a key
		assert.truthy(render({ remote_kind = "basic", remote = "/p" }):find("proxy_set_header Authorization $dss_authorization;", 1, true))
		assert.is_nil(render():find("proxy_set_header Authorization", 1, true))
	end)
	it("answers to its own names, without ports, and to any where \"*\" says so", function()
		local text = render { hosts = { "Node.Example:11200", "fe80::1", "[::2]:5", 'x" 1; } evil', "node.example" } }
		local names = {}
		for name in text:match "map %$host.-\n\t}":gmatch '"([^"]*)" 1;' do names[#names + 1] = name end
		assert.same({ "localhost", "127.0.0.1", "[::1]", "_", "node.example", "[fe80::1]", "[::2]" }, names)
		assert.truthy(text:find("default 0;", 1, true))
		assert.truthy(render({ hosts = { "*" } }):match "map %$host.-\n\t}":find("default 1;", 1, true))
	end)
	it("is put in force only where nginx takes it; an extra file that it refuses gives way to the one that passed last", function()
		local dir = os.tmpname()
		os.remove(dir)
		os.execute(("mkdir -p %s/run/nginx %s/share/etc && cp etc/nginx.conf.in %s/share/etc/"):format(dir, dir, dir))
		finally(function() os.execute("rm -rf " .. dir) end)
		local extra = dir .. "/extra"
		local taken = require("bind.json").encode(settings { extra = extra })
		local function prepare(mode, verdict)
			return nginx.prepare(dir, dir .. "/share", taken, mode, "127.0.0.1:1", "127.0.0.1:4", function(command, file)
				assert.equal("/x", command)
				return verdict(helper.read(file))
			end)
		end
		local function refuse() return nil, "no good" end
		local function conf() return helper.read(dir .. "/run/nginx/nginx.conf") end
		helper.write(extra, "one")
		assert.same({ nil, "no good" }, { prepare("start", refuse) })
		assert.is_nil(conf())
		assert.equal("no good", helper.read(dir .. "/run/nginx/trouble"))
		assert.equal("/x", (prepare("start", function() return true end)))
		assert.equal("", helper.read(dir .. "/run/nginx/trouble"))
		assert.truthy(conf():find(('include "%s";'):format(extra), 1, true))
		local before = conf()
		-- a check changes nothing, an install neither
		assert.same({ nil, "no good" }, { prepare("check", refuse) })
		assert.equal("", helper.read(dir .. "/run/nginx/trouble"))
		assert.same({ nil, "no good" }, { prepare("install", refuse) })
		assert.equal(before, conf())
		helper.write(extra, "two")
		local function without(text) if text:find('include "' .. extra, 1, true) then return refuse() end return true end
		assert.same({ "/x", "no good; nginx runs with what passed last" }, { prepare("start", without) })
		assert.truthy(conf():find "run/nginx/extra.last")
		assert.equal("one", helper.read(dir .. "/run/nginx/extra.last"))
		assert.same({ nil, "no good" }, { prepare("start", refuse) })
		os.execute("chmod 666 " .. extra)
		assert.same({ nil, extra .. " was refused: others may write it (mode 0666); chmod go-w" }, { prepare("check", function() return true end) })
	end)
end)
