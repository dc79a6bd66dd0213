-- The web page's files as they are served: from a table in the binary, from a folder, and where there is no page at all.
local helper = require "spec.helper"
local clock = require "t_wait"
local t = require "t_gate"

local server, folder

local function read_whole(s)
	local got, deadline = "", clock.now() + 10
	while true do
		t.turn(5)
		local piece = s:recv()
		while piece and piece ~= "" do
			got = got .. piece
			piece = s:recv()
		end
		if not piece then return got end
		if clock.now() > deadline then error("waited 10 s in vain for the end of an answer: " .. got:sub(1, 200), 3) end
	end
end

--- Status, body, fields (names in lower case) of one answer.
local function get(target, fields, method)
	local s = assert(t.connect(server:port()))
	local head = ("%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"):format(method or "GET", target)
	for name, value in pairs(fields or {}) do head = head .. name .. ": " .. value .. "\r\n" end
	assert.equal(#head + 2, s:send(head .. "\r\n"))
	local all = read_whole(s)
	s:close()
	local status, lines, body = all:match "^HTTP/1.1 (%d+) [^\r]*\r\n(.-\r\n)\r\n(.*)$"
	assert.truthy(status, all)
	local said = {}
	for name, value in lines:gmatch "([^:\r\n]+): ([^\r]*)\r\n" do said[name:lower()] = value end
	return tonumber(status), body, said
end

local function start(pages) server = assert(t.server { pages = pages }) end

local function quote(s) return "'" .. s .. "'" end

describe("the page's files", function()
	after_each(function()
		if server then server:free() end
		server = nil
		if folder then os.execute("rm -rf " .. quote(folder)) end
		folder = nil
	end)

	--- name → text, beneath a new folder.
	local function make_folder(files)
		local p = assert(io.popen "mktemp -d /tmp/dss-spec-XXXXXX")
		folder = p:read "l"
		p:close()
		os.execute("mkdir " .. quote(folder .. "/web"))
		for name, text in pairs(files) do helper.write(folder .. "/" .. name, text) end
		return folder
	end

	describe("in the binary", function()
		it("have their type, and say what the page may do on every answer, also where there is nothing", function()
			start "some"
			local types = {
				["/"] = { 200, "text/html; charset=utf-8" }, ["/web/main-4F2A9C1B.js"] = { 200, "text/javascript; charset=utf-8" },
				["/web/licences.txt"] = { 200, "text/plain; charset=utf-8" }, ["/web/nothing.js"] = { 404, "text/plain; charset=utf-8" },
			}
			for target, wanted in pairs(types) do
				local status, _, said = get(target)
				assert.same(wanted, { status, said["content-type"] }, target)
				local csp = said["content-security-policy"]
				assert.truthy(csp:find("default-src 'none'; script-src 'self'; style-src 'self';", 1, true), csp)
				for _, rule in ipairs { "connect-src 'self'", "worker-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'" } do
					assert.truthy(csp:find(rule, 1, true), rule)
				end
				assert.falsy(csp:find "unsafe%-" or csp:find "%*" or csp:find "http", csp)
				assert.equal("nosniff", said["x-content-type-options"])
				assert.equal("no-referrer", said["referrer-policy"])
				assert.equal("same-origin", said["cross-origin-opener-policy"])
				assert.equal("same-origin", said["cross-origin-resource-policy"])
			end
		end)

		it("go out compressed to who takes that, and plain to others", function()
			start "some"
			for asked, wanted in pairs { ["gzip, deflate, br"] = "GZIP", ["br;q=1.0, GZIP ;q=0.5"] = "GZIP", ["*"] = "GZIP", ["identity"] = "let plain",
				["gzip;q=0"] = "let plain", ["gzip; q=0.000, *"] = "let plain", ["*;q=0"] = "let plain", ["gzipped"] = "let plain" } do
				local status, body, said = get("/web/main-4F2A9C1B.js", { ["Accept-Encoding"] = asked })
				assert.same({ 200, wanted, wanted == "GZIP" and "gzip" or nil }, { status, body, said["content-encoding"] }, asked)
				assert.equal("Accept-Encoding", said.vary)
			end
			assert.equal("let plain", (select(2, get("/web/main-4F2A9C1B.js"))))
			local _, body, said = get("/web/licences.txt", { ["Accept-Encoding"] = "gzip" })
			assert.same({ "small" }, { body, said["content-encoding"] })
		end)

		it("are kept for ever where their name has a hash, and asked for again where it has none", function()
			start "some"
			assert.equal("public, max-age=31536000, immutable", select(3, get "/web/main-4F2A9C1B.js")["cache-control"])
			for _, target in ipairs { "/", "/web/licences.txt" } do assert.equal("no-cache", select(3, get(target))["cache-control"]) end
			assert.equal("no-store", select(3, get "/web/nothing.js")["cache-control"])
			assert.equal("Accept, Accept-Encoding", select(3, get "/").vary)
		end)

		it("are not sent again to who has them", function()
			start "some"
			local _, _, first = get "/"
			assert.equal('W/"e1"', first.etag)
			for _, had in ipairs { 'W/"e1"', '"e1"', '"other", W/"e1"', "*" } do
				local status, body, said = get("/", { ["If-None-Match"] = had, ["Accept-Encoding"] = "gzip" })
				assert.same({ 304, "", 'W/"e1"', "no-cache" }, { status, body, said.etag, said["cache-control"] }, had)
				assert.truthy(said["content-security-policy"])
				assert.is_nil(said["content-encoding"])
			end
			for _, had in ipairs { '"e2"', "e1", '"e1', 'W/"e11"', "" } do
				local status, body = get("/", { ["If-None-Match"] = had })
				assert.same({ 200, "<plain>" }, { status, body }, had)
			end
		end)

		it("have a head without a body", function()
			start "some"
			local status, body, said = get("/web/main-4F2A9C1B.js", nil, "HEAD")
			assert.same({ 200, "", "9" }, { status, body, said["content-length"] })
			status, body, said = get("/web/main-4F2A9C1B.js", { ["Accept-Encoding"] = "gzip" }, "HEAD")
			assert.same({ 200, "", "4", "gzip" }, { status, body, said["content-length"], said["content-encoding"] })
		end)

		it("say in words that there is no page where it was built without one", function()
			start "none"
			local status, body, said = get "/"
			assert.equal(200, status)
			assert.equal("text/html; charset=utf-8", said["content-type"])
			assert.truthy(body:find("make WEB=no", 1, true) and body:find("</html>", 1, true), body)
			assert.truthy(said["content-security-policy"])
			assert.same({ 404 }, { (get "/web/main-4F2A9C1B.js") })
			assert.equal("", server:pages_version())
		end)

		it("are those of this build, and all that the page names is there", function()
			start "built"
			local version = server:pages_version()
			if version == "" then return pending "built with WEB=no" end
			local _, page = get "/"
			assert.truthy(page:find(('<meta name="dss-version" content="%s">'):format(version), 1, true), page)
			local n = 0
			for target in page:gmatch '[hs][re][ec]f?="(/web/[^"]+)"' do
				local status, body, said = get(target)
				assert.equal(200, status, target)
				assert.truthy(#body > 0 and said["cache-control"]:find "immutable", target)
				n = n + 1
			end
			assert.truthy(n >= 2, page)
			assert.falsy(page:find "<script>" or page:find "<style" or page:find " style=" or page:find " on%l+=", page)
			assert.truthy(select(2, get "/web/licences.txt"):find("preact", 1, true))
		end)
	end)

	describe("in a folder", function()
		it("are as they are now, and never kept", function()
			start(make_folder { ["index.html"] = '<meta name="dss-version" content="aa11">', ["web/x.js"] = "one" })
			local status, body, said = get("/web/x.js", { ["Accept-Encoding"] = "gzip" })
			assert.same({ 200, "one", "text/javascript; charset=utf-8", "no-store" }, { status, body, said["content-type"], said["cache-control"] })
			assert.is_nil(said["content-encoding"])
			assert.truthy(said["content-security-policy"]:find("default-src 'none'", 1, true))
			helper.write(folder .. "/web/x.js", "another")
			assert.equal("another", (select(2, get "/web/x.js")))
			assert.equal("aa11", server:pages_version())
			status, body, said = get("/web/x.js", nil, "HEAD")
			assert.same({ 200, "", "7" }, { status, body, said["content-length"] })
		end)

		it("are those beneath it alone: no steps up, no links, no hidden files, no pipes, none of an unknown type", function()
			make_folder { ["index.html"] = "page", ["web/x.js"] = "one", ["web/.hidden.js"] = "no", ["secret.txt"] = "secret", ["web/key.pem"] = "no",
				["web/README"] = "no" }
			os.execute(("cd %s/web && ln -s x.js link.js && ln -s /etc/passwd out.txt && mkfifo pipe.js && mkdir d.js && cd .. && ln -s web linked && mkdir .git && echo no >.git/x.txt")
				:format(quote(folder)))
			helper.write(folder .. "/web/d.js/deep.js", "no")
			start(folder)
			for _, target in ipairs { "/web/link.js", "/web/out.txt", "/web/pipe.js", "/web/d.js", "/web/d.js/deep.js", "/web/.hidden.js", "/web/key.pem",
				"/web/README", "/web/..%2Fsecret.txt", "/web/%2e%2e/secret.txt", "/web/..%2f..%2fetc%2fpasswd", "/etc/passwd", "/linked/x.js", "/.git/x.txt",
				"/web/%2Fetc%2Fpasswd", "/web/x.js%2F", "/web/" .. ("a"):rep(300) .. ".js" } do
				local status, body = get(target)
				assert.truthy(status == 404 or status == 400, target .. ": " .. status .. " " .. body)
				assert.falsy(body:find "secret" or body:find "root:" or body == "no", target)
			end
			assert.equal("one", (select(2, get "/web/x.js")))
		end)

		it("say in words that the page is not there", function()
			start(make_folder {})
			local status, body = get "/"
			assert.equal(200, status)
			assert.truthy(body:find("--web-dir", 1, true) and body:find("no index.html", 1, true), body)
			assert.equal("", server:pages_version())
			os.execute("rm -rf " .. quote(folder))
			assert.same({ 200 }, { (get "/") })
		end)
	end)
end)
