-- X-Remote-User: whom nginx has found may be the user; everybody else who writes that name is not heard.
local helper = require "spec.helper"
local Instance = require "spec.instance"
local json = require "t_json"

local POOLS = [[ pool "fek" { kernel = python {}, limits = { memory = "256m" }, warm = { min = 0, max = 1 } } ]]
local has_nginx = os.execute "test -x /usr/sbin/nginx && test -x /usr/bin/openssl"
local is_root = Instance.run { "id", "-u" } == "0"

describe("a user that nginx names", function()
	local node
	if not has_nginx or not is_root then
		pending "needs nginx, openssl, and root for the two users"
		return
	end

	local function openssl(...)
		local out, status = Instance.run { "openssl", ... }
		assert.equal(0, status, out)
		return out
	end

	--- An instance of which bob has a key; inside: of nginx { … }.
	local function start(inside)
		node = Instance.new { policies = { ["10-pools.lua"] = POOLS } }
		if inside then node:write("config/dss.lua", node:read "config/dss.lua" .. "\nnginx {\n" .. inside() .. "\n}\n") end
		node:start()
		node.ports = json.decode(node:read "run/ports.json")
	end

	--- o: port, fields, user (NAME:PASSWORD), more
	local function ask(method, path, o)
		local file = os.tmpname()
		local argv = { "curl", "-sSk", "--max-time", "30", "--noproxy", "*", "-o", file, "-w", "%{http_code}", "-X", method }
		for _, field in ipairs(o.fields or {}) do for _, word in ipairs { "-H", field } do argv[#argv + 1] = word end end
		if o.user then for _, word in ipairs { "-u", o.user } do argv[#argv + 1] = word end end
		for _, word in ipairs(o.more or {}) do argv[#argv + 1] = word end
		argv[#argv + 1] = ("%s://127.0.0.1:%d%s"):format(o.scheme or "http", o.port or node.ports.page, path)
		local out = Instance.run_apart(argv)
		local text = helper.read(file)
		os.remove(file)
		return tonumber(out:match "%d+") or 0, json.decode(text) or text
	end

	local function admin() return "Authorization: Bearer " .. node:read("config/admin.key"):match "%S+" end

	local function make_key(login)
		local status, answer = ask("POST", "/api/keys", { port = node.ports["local"], fields = { admin(), "Content-Type: application/json" },
			more = { "-d", json.encode { user = login } } })
		assert.equal(200, status, json.encode(answer))
		return answer.key, answer.id
	end

	--- Who am I? One's own keys tell; an admin sees everybody's.
	local function who(o)
		local status, rows = ask("GET", "/api/keys", o)
		if status ~= 200 then return status, rows.message end
		local found = {}
		for _, row in ipairs(rows) do found[#found + 1] = row.user end
		table.sort(found)
		return table.concat(found, " ")
	end

	local function passwords(...)
		local lines = {}
		for _, name in ipairs { ... } do lines[#lines + 1] = name .. ":" .. openssl("passwd", "-apr1", name .. "-pw") end
		helper.write(node.root .. "/passwords", table.concat(lines, "\n") .. "\n")
		os.execute("chmod 644 " .. node.root .. "/passwords")
	end

	local function basic(more) return function()
		passwords("bob", "eve", "boss", "admin")
		return ('remote_user = { basic = "%s/passwords" }, %s'):format(node.root, more or "")
	end end

	after_each(function()
		if node then node:remove() node = nil end
	end)

	it("by a password is that user, with the rights of a user, and only while there is a key of that login", function()
		start(basic())
		local _, key_id = make_key "bob"
		make_key "ann"
		assert.equal("bob", who { user = "bob:bob-pw" })
		assert.equal(403, (ask("GET", "/api/policies", { user = "bob:bob-pw" })))
		assert.equal(403, (ask("GET", "/public/api/futures/?allUsers=true", { user = "bob:bob-pw" })))
		assert.equal(403, (ask("GET", "/api/keys", { user = "bob:bob-pw", fields = { "X-DKU-ProxyUser: ann" } })))
		-- who is no user here, though nginx let them in
		local status, text = who { user = "eve:eve-pw" }
		assert.equal(403, status)
		assert.matches("eve is no user here", text)
		assert.equal(403, (who { user = "admin:admin-pw" }))
		-- nginx itself refuses
		assert.equal(401, (ask("GET", "/api/keys", { user = "bob:wrong" })))
		assert.equal(401, (ask("GET", "/api/keys", {})))
		assert.equal(200, (ask("DELETE", "/api/keys/" .. key_id, { port = node.ports["local"], fields = { admin() } })))
		assert.equal(403, (who { user = "bob:bob-pw" }))
	end)

	it("is admin where config/dss.lua says so", function()
		start(basic 'remote_admins = { "boss" },')
		make_key "bob"
		make_key "ann"
		assert.equal("ann bob", who { user = "boss:boss-pw" })
		assert.equal(200, (ask("GET", "/api/policies", { user = "boss:boss-pw" })))
		assert.equal("bob", who { user = "bob:bob-pw" })
	end)

	it("cannot be written by a client: not with a password, a key, none, nor in another spelling", function()
		start(basic 'remote_admins = { "boss" },')
		local key = make_key "bob"
		make_key "ann"
		for _, name in ipairs { "X-Remote-User", "x-remote-user", "X_Remote_User", "X-REMOTE-USER" } do
			local forged = name .. ": boss"
			assert.equal("bob", who { user = "bob:bob-pw", fields = { forged } })
			assert.equal("bob", who { user = "bob:bob-pw", fields = { forged, forged } })
			assert.equal("bob", who { fields = { "Authorization: Bearer " .. key, forged } })
			assert.equal(401, (ask("GET", "/api/keys", { fields = { forged } })))
			-- with what nginx takes for a key nobody is named
			assert.equal(401, (ask("GET", "/api/keys", { fields = { forged, "Authorization: Bearer x" } })))
			assert.equal(401, (ask("GET", "/api/keys", { fields = { forged, "Authorization: bearer boss:" } })))
			assert.not_equal(200, (ask("GET", "/api/keys", { fields = { forged, "Authorization: Bearer x", "Authorization: Basic Ym9zczp4" } })))
		end
		assert.equal(401, (ask("GET", "/api/keys", { user = "boss:" })))
	end)

	it("is not heard anywhere else: not on this machine's port, the kernels', the sockets", function()
		start(basic 'remote_admins = { "boss" },')
		make_key "bob"
		for _, name in ipairs { "boss", "bob" } do
			local forged = { "X-Remote-User: " .. name }
			assert.equal(401, (ask("GET", "/api/keys", { port = node.ports["local"], fields = forged })))
			assert.not_equal(200, (ask("GET", "/api/keys", { port = node.ports.callback, fields = forged })))
			-- on the admin socket everybody is who they are
			local as_run = { "setpriv", "--reuid", "dss-run", "--regid", "dss-run", "--clear-groups" }
			for _, path in ipairs { "run/admin.sock", "run/backend.sock" } do
				local argv = { table.unpack(as_run) }
				for _, word in ipairs { "curl", "-sS", "-H", forged[1], "--unix-socket", node.dir .. "/" .. path, "http://localhost/api/keys" } do argv[#argv + 1] = word end
				local out, status = Instance.run(argv)
				assert.equal(7, status, out)
			end
		end
	end)

	it("is nobody where config/dss.lua says nothing of it, whatever a client writes", function()
		start(function() return "" end)
		local key = make_key "bob"
		assert.equal(401, (ask("GET", "/api/keys", { fields = { "X-Remote-User: bob" } })))
		assert.equal(401, (ask("GET", "/api/keys", { user = "bob:x" })))
		assert.equal("bob", who { user = key .. ":" })
		-- straight to the socket, as only root and nginx can
		local out = Instance.run { "curl", "-sS", "-H", "X-Remote-User: bob", "--unix-socket", node.dir .. "/run/backend.sock", "http://localhost/api/keys" }
		assert.matches("NotAuthenticatedException", out)
	end)

	it("is nobody without nginx", function()
		start()
		make_key "bob"
		assert.equal(401, (ask("GET", "/api/keys", { fields = { "X-Remote-User: bob" } })))
	end)

	it("is not made to act by a page of another site, nor by a webapp on the next port", function()
		start(basic())
		local function act(...) return (ask("DELETE", "/api/futures/none", { user = "bob:bob-pw", fields = { ... } })) end
		make_key "bob"
		assert.equal(404, act())
		assert.equal(404, act "Sec-Fetch-Site: same-origin")
		assert.equal(404, act("Origin: http://127.0.0.1:" .. node.ports.page))
		assert.equal(403, act "Sec-Fetch-Site: cross-site")
		assert.equal(403, act "Sec-Fetch-Site: same-site")
		assert.equal(403, act("Origin: http://127.0.0.1:" .. node.ports.webapps))
		assert.equal(403, act("Origin: https://127.0.0.1:" .. node.ports.page))
		assert.equal(403, act "Origin: null")
		-- what a page would write of us is ours
		assert.equal(403, act("Origin: http://evil.example", "X-Forwarded-Host: evil.example", "X-Forwarded-Proto: http"))
	end)

	it("by a certificate is its CN, of the authority that was named, alone", function()
		local function make(name, subject, by)
			local at = node.root .. "/" .. name
			openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", at .. ".key", "-out", at .. ".csr", "-subj", subject)
			if by then
				openssl("x509", "-req", "-in", at .. ".csr", "-CA", node.root .. "/" .. by .. ".pem", "-CAkey", node.root .. "/" .. by .. ".key", "-CAcreateserial",
					"-days", "2", "-out", at .. ".pem")
			else
				openssl("req", "-x509", "-key", at .. ".key", "-out", at .. ".pem", "-subj", subject, "-days", "2")
			end
			os.execute(("chmod 644 %s.*"):format(at))
		end
		start(function()
			make("ca", "/CN=our authority")
			make("other", "/CN=their authority")
			make("server", "/CN=localhost", "ca")
			make("bob", "/O=a, CN=boss/CN=bob", "ca")
			make("ann", "/O=x\\,CN=boss/OU=y", "ca")
			make("odd", "/CN=bob boss", "ca")
			make("thief", "/CN=bob", "other")
			return ('tls = { certificate = "%s/server.pem", key = "%s/server.key" },\nremote_user = { certificate = "%s/ca.pem" }, remote_admins = { "boss" },')
				:format(node.root, node.root, node.root)
		end)
		make_key "bob"
		local function as(name, fields)
			return { scheme = "https", fields = fields, more = name and { "--cert", node.root .. "/" .. name .. ".pem", "--key", node.root .. "/" .. name .. ".key" } }
		end
		assert.equal("bob", who(as "bob"))
		assert.equal("bob", who(as("bob", { "X-Remote-User: boss" })))
		assert.equal(401, (ask("GET", "/api/keys", as())))
		assert.equal(401, (ask("GET", "/api/keys", as(nil, { "X-Remote-User: bob" }))))
		assert.equal(401, (ask("GET", "/api/keys", as "ann")))
		assert.equal(401, (ask("GET", "/api/keys", as "odd")))
		assert.equal(400, (ask("GET", "/api/keys", as "thief")))
	end)

	it("by a variable of the admin's own configuration is what that says", function()
		start(function()
			node:write("config/nginx.extra.conf", 'map $http_x_badge $badge_user { default ""; "letmein" bob; }\n')
			os.execute(("chgrp dss %s/config/nginx.extra.conf; chmod 640 %s/config/nginx.extra.conf"):format(node.dir, node.dir))
			return 'extra = "config/nginx.extra.conf", remote_user = { variable = "$badge_user" },'
		end)
		make_key "bob"
		assert.equal("bob", who { fields = { "X-Badge: letmein" } })
		assert.equal(401, (ask("GET", "/api/keys", { fields = { "X-Badge: x", "X-Remote-User: bob" } })))
	end)
end)
