local world = require "spec.lua.api.world"
local keys, ask, with = world.keys, world.ask, world.with

local function make(body, o)
	o = o or {}
	o.body = body
	return ask("POST", "/api/keys", o)
end

describe("a key", function()
	before_each(world.reset)

	it("is told once, in the answer that makes it, and works as its user from then on", function()
		local status, k, more = make { user = "bob", label = "laptop" }
		assert.equal(200, status)
		assert.same({ id = "k1", user = "bob", label = "laptop", admin = false, createdAt = 5, key = "secret-of-k1" }, k)
		assert.equal("no-store", more["Cache-Control"])
		assert.equal(200, (ask("GET", "/api/futures/bobs", { fields = with(k.key) })))
		assert.equal(404, (ask("GET", "/api/futures/mine", { fields = with(k.key) })))
		assert.same({ "key.made", "k1", "bob", '{"admin":false,"by":"admin","user":"bob"}' }, world.was.tell)
	end)
	it("of an admin sees and may all", function()
		local _, k = make { user = "ann", admin = true }
		assert.equal(200, (ask("GET", "/api/futures/bobs", { fields = with(k.key) })))
		assert.equal(200, (make({ user = "eve" }, { fields = with(k.key) })))
	end)
	it("is made by admins alone", function()
		local _, k = make { user = "bob" }
		local status, body = make({ user = "bob" }, { fields = with(k.key) })
		assert.equal(403, status)
		assert.equal("dss.exceptions.UnauthorizedException", body.errorType)
		assert.equal(403, (make({ user = "bob" }, { fields = with(world.KEY, { ["x-dku-proxyuser"] = "bob" }) })))
	end)
	it("is refused for what is no login, and with what is no key of its body", function()
		for _, c in ipairs {
			{ {}, '"user" is missing' }, { { user = "a b" }, "no valid login" }, { { user = "all" }, "no valid login" }, { { user = "Run" }, "no valid login" },
			{ { user = "a(b)" }, "no valid login" }, { { user = ("x"):rep(65) }, "no valid login" }, { { user = "bob", admin = "yes" }, '"admin" has to be true or false' },
			{ { user = "bob", lable = "x" }, 'did you mean "label"?' }, { { user = "bob", label = ("x"):rep(201) }, "more than 200 bytes" },
			{ { user = "admin" }, 'say "admin": true' },
		} do
			local status, body = make(c[1])
			assert.equal(400, status)
			assert.matches(c[2], body.message, 1, true)
		end
		assert.same({}, keys.rows)
	end)
	it("that could not be saved is 503, and no secret is told", function()
		keys.is_slow = true
		local said
		local serve = require "dss.api.serve"
		serve.take { method = "POST", path = "/api/keys", segments = { "api", "keys" }, query = {}, fields = with(world.KEY), body = '{"user":"bob"}', peer = "x",
			reply = function(status, _, body) said = { status, body } end }
		assert.is_nil(said, "answered before it was on disk")
		keys.finish "the disk is full"
		assert.equal(503, said[1])
		assert.is_nil(said[2]:find("secret", 1, true))
	end)
	it("is listed without its secret: own ones to users, all to admins", function()
		local _, k = make { user = "bob" }
		make { user = "eve" }
		local _, all, _, raw = ask("GET", "/api/keys")
		assert.equal(2, #all)
		assert.is_nil(raw:find("secret", 1, true))
		local _, own = ask("GET", "/api/keys", { fields = with(k.key) })
		assert.equal(1, #own)
		assert.equal("bob", own[1].user)
	end)
	it("is revoked by its user and by admins; a foreign one does not exist", function()
		local _, bobs = make { user = "bob" }
		local _, eves = make { user = "eve" }
		local status, body = ask("DELETE", "/api/keys/" .. eves.id, { fields = with(bobs.key) })
		assert.equal(404, status)
		assert.equal("Key k2 does not exist", body.message)
		assert.equal(404, (ask("DELETE", "/api/keys/nix")))
		assert.equal(200, (ask("DELETE", "/api/keys/" .. bobs.id, { fields = with(bobs.key) })))
		assert.equal(401, (ask("GET", "/api/keys", { fields = with(bobs.key) })))
		assert.equal(200, (ask("DELETE", "/api/keys/" .. eves.id)))
		assert.same({}, (select(2, ask("GET", "/api/keys"))))
		local _, over = ask("GET", "/api/keys?revoked=true")
		assert.equal(9, over[1].revokedAt)
	end)
	it("that cannot be revoked now is said to be valid still", function()
		local _, k = make { user = "bob" }
		keys.refusal = "the store takes nothing now"
		assert.equal(503, (ask("DELETE", "/api/keys/" .. k.id)))
	end)
end)
