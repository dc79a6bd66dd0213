-- The web page of a real daemon: who gets it, from where, through nginx too; and what it asks first.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local json = require "t_json"

local POOLS = [[ pool "fek" { kernel = python {}, limits = { memory = "256m" }, warm = { min = 0, max = 1 } } ]]
local BROWSER = "Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"
local has_nginx = os.execute "test -x /usr/sbin/nginx"
local has_page = helper.read(helper.build .. "/web/files/index.html") ~= nil

describe("the page of a daemon", function()
	local node

	local function open(what)
		node = Instance.new { policies = { ["10-pools.lua"] = POOLS }, config = what }
		return node
	end

	after_each(function()
		if node then node:remove() end
		node = nil
	end)

	--- Status, body, fields. args: of curl; port: the page's where none is said.
	local function ask(path, args, port)
		local base = os.tmpname()
		local argv = { "curl", "-sS", "--max-time", "30", "--noproxy", "*", "--path-as-is", "-o", base, "-D", base .. ".head", "-w", "%{http_code}" }
		table.move(args or { "-H", "Accept:" }, 1, #(args or { 1, 2 }), #argv + 1, argv)
		argv[#argv + 1] = ("http://127.0.0.1:%d%s"):format(port or node:port(), path)
		local out = Instance.run_apart(argv)
		local body, said = helper.read(base) or "", {}
		for name, value in (helper.read(base .. ".head") or ""):gmatch "([%w-]+): ([^\r\n]*)" do said[name:lower()] = value end
		os.remove(base)
		os.remove(base .. ".head")
		return tonumber(out:match "%d+"), body, said
	end

	it("comes to browsers without a key, and to others as a few words", function()
		open():start()
		local status, body, said = ask("/", { "-H", BROWSER })
		assert.same({ 200, "text/html; charset=utf-8" }, { status, said["content-type"] })
		assert.truthy(body:find("<!doctype html>", 1, true))
		assert.truthy(said["content-security-policy"]:find("default-src 'none'", 1, true))
		for _, accept in ipairs { "*/*", "application/json", "text/html;q=0", "application/xhtml+xml" } do
			status, body, said = ask("/", { "-H", "Accept: " .. accept })
			assert.same({ 200, "text/plain; charset=utf-8" }, { status, said["content-type"] }, accept)
			assert.truthy(body:find("dssctl help", 1, true))
		end
		status, body, said = ask("/", { "-I", "-H", BROWSER })
		assert.same({ 200, "text/html; charset=utf-8" }, { status, said["content-type"] })
		assert.truthy(tonumber(said["content-length"]) > 100, body)
		assert.same({ 405 }, { (ask("/", { "-X", "POST" })) })
		for _, target in ipairs { "/web/../config/admin.key", "/web/..%2f..%2fconfig%2fadmin.key", "/web/%2e%2e/config/admin.key", "/web//etc/passwd", "/web/" } do
			status, body = ask(target)
			assert.truthy(status == 404 or status == 400, target .. ": " .. status)
			assert.falsy(body:find(node:read("config/admin.key"):match "%S+", 1, true))
		end
		if not has_page then return pending "built with WEB=no" end
		local script = select(2, ask("/", { "-H", BROWSER })):match '<script type="module" src="([^"]+)"'
		status, body, said = ask(script)
		assert.same({ 200, "public, max-age=31536000, immutable" }, { status, said["cache-control"] })
		local _, packed, packed_said = ask(script, { "-H", "Accept-Encoding: gzip" })
		assert.equal("gzip", packed_said["content-encoding"])
		assert.truthy(#packed < #body and packed:sub(1, 2) == "\31\139")
	end)

	it("asks who asks: GET /api/me", function()
		open():start()
		local status, me = node:http("GET", "/api/me")
		assert.equal(200, status)
		assert.same({ "admin", true, node.id }, { me.user, me.isAdmin, me.instance })
		assert.is_nil(me.keyId)
		assert.truthy(me.version and me.isolation and me.cgroups)
		assert.same({ false, "boolean", "number" }, { me.notebooks, type(me.oneUser), type(me.webappsPort) })
		local _, key = node:http("POST", "/api/keys", { user = "anna", label = "laptop" })
		status, me = node:http("GET", "/api/me", nil, { key = key.key })
		assert.same({ 200, "anna", false, key.id, "laptop" }, { status, me.user, me.isAdmin, me.keyId, me.label })
		assert.same({ 401, 401 }, { (node:http("GET", "/api/me", nil, { key = false })), (node:http("GET", "/api/me", nil, { key = "wrong" })) })
	end)

	it("comes from a folder where that is said, over restarts, until it is not said any more", function()
		open()
		local folder = node.root .. "/page"
		assert(os.execute(("mkdir -p %s/web && chmod 755 %s %s/web"):format(folder, folder, folder)))
		helper.write(folder .. "/index.html", "mine\n")
		helper.write(folder .. "/web/x.js", "one\n")
		local function page() return (select(2, ask("/", { "-H", BROWSER }))) end
		local out, status = node:dss("start", "--web-dir", folder .. "/nothing")
		assert.equal(1, status, out)
		assert.truthy(out:find("unable to serve the page from " .. folder .. "/nothing: No such file", 1, true), out)
		assert.equal(0, select(2, node:dss("start", "--web-dir", folder)))
		assert.equal("mine\n", page())
		helper.write(folder .. "/web/x.js", "two\n")
		local _, body, said = ask "/web/x.js"
		assert.same({ "two\n", "no-store" }, { body, said["cache-control"] })
		out, status = node:dss("restart", "backend")
		assert.equal(0, status, out)
		assert.equal("mine\n", page())
		node:stop()
		node:start()
		assert.truthy(page():find("<!doctype html>", 1, true))
		-- run/ is also the backend's: what it says there is nothing that root takes up
		node:write("run/web.dir", folder)
		if os.execute(("chown dss %s/run/web.dir 2>/dev/null"):format(Instance.quote(node.dir))) then
			assert.equal(0, select(2, node:dss("restart", "backend")))
			assert.truthy(page():find("<!doctype html>", 1, true))
		end
		os.execute(("rm %s/run/web.dir"):format(Instance.quote(node.dir)))
		node:stop()
		node:write("config/dss.lua", node:read "config/dss.lua" .. ('\nweb { dir = "%s" }\n'):format(folder))
		node:start()
		assert.equal("mine\n", page())
	end)

	it("passes nginx as it is: policy, encodings, what browsers keep", function()
		if not has_nginx then return pending "there is no nginx" end
		open("nginx {}"):start()
		local ports = json.decode(node:read "run/ports.json")
		assert.truthy(ports["local"] ~= ports.page)
		-- What each request says for itself.
		local own = { date = true, server = true, connection = true, ["dss-version"] = true }
		local function same(path, args)
			local status, body, said = ask(path, args)
			local plain_status, plain_body, plain = ask(path, args, ports["local"])
			assert.equal(plain_status, status, path)
			if not args or args[1] ~= "-I" then assert.equal(plain_body, body, path) end -- with -I it is curl's print of the head
			for name, value in pairs(plain) do
				if not own[name] then assert.equal(value, said[name], path .. ": " .. name) end
			end
			return status, body, said
		end
		local status, body, said = same("/", { "-H", BROWSER })
		assert.equal(200, status)
		assert.truthy(said["content-security-policy"] and said.server:find "nginx")
		same("/", { "-I", "-H", BROWSER })
		same("/web/nothing.js")
		if not has_page then return end
		assert.equal(304, (same("/", { "-H", BROWSER, "-H", "If-None-Match: " .. said.etag })))
		for target in body:gmatch '"(/web/[^"]+)"' do
			assert.equal(200, (same(target)))
			assert.equal("gzip", select(3, same(target, { "-H", "Accept-Encoding: gzip" }))["content-encoding"])
		end
	end)
end)
