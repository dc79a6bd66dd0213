-- Conversations with kernels: proof first, one task to its end, and what becomes of kernels that break the protocol.
local helper = require "spec.helper"
local t_fleet = require "t_fleet"
local t_words = require "t_words"

describe("the conversation with a kernel", function()
	local dir, f, seen, kernel, asked

	--- Answers the request as `kernel` says: kernel[METHOD path-without-query] = function(body, query) → status, body; or { status, body }.
	local function serve(method, target, body, authorization)
		local path, query = target:match("^([^?]*)%??(.*)$")
		asked[#asked + 1] = method .. " " .. target
		if path == "/health" then
			local nonce = query:match("nonce=(%x+)")
			return 200, ('{"state":"idle","proof":"%s"}'):format(kernel.proof or t_words.hmac(kernel.token, nonce))
		end
		if authorization ~= "Bearer " .. kernel.token then return 401, "{}" end
		local key = method .. " " .. path:gsub("^/task/%w+", "/task/ID")
		local answer = kernel[key]
		if answer == nil then return 404, '{"error":{"clazz":"NotFound","message":"?","stack":""}}' end
		if type(answer) == "function" then return answer(body, query) end
		return answer[1], answer[2]
	end

	before_each(function()
		dir = os.tmpname()
		os.remove(dir)
		assert(os.execute("mkdir -m 700 " .. dir))
		seen, asked, kernel = {}, {}, {}
		f = assert(t_fleet.open(dir .. "/dss.sqlite", 0, serve))
		kernel.token = t_fleet.task_token("fek-1")
	end)

	after_each(function()
		f:close()
		os.execute("rm -rf " .. dir)
	end)

	local function line(start)
		return helper.wait_for(start, function()
			f:turn()
			for _, l in ipairs(f:lines()) do seen[#seen + 1] = l end
			for i, l in ipairs(seen) do
				if l:sub(1, #start) == start then return table.remove(seen, i) end
			end
			return nil, table.concat(seen, "; ") .. " / " .. table.concat(asked, "; ")
		end, 10)
	end

	local function state_of(id) return assert(t_words.parse(assert(f:get(id, true)))) end

	local function wait_state(id, wanted)
		return helper.wait_for("task being " .. wanted, function()
			f:turn()
			local s = state_of(id)
			return s.state == wanted and s, s.state .. " / " .. table.concat(asked, "; ")
		end, 10)
	end

	local function submit(r)
		assert(f:set_pools { { name = "fek", max = 1 } })
		f:start()
		line("spawn fek-1")
		assert(f:ready("fek-1", f:url()))
		assert.equal("ok", (f:submit(r or { payload = '{"callable": "a:b",  "args": [1.0]}' })))
		local id = line("submitted "):match("^submitted (%S+)")
		line("send fek-1")
		return id
	end

	local function ended(id, version, more)
		return ('{"taskId":"%s","attempt":1,"version":%d,%s}'):format(id, version, more)
	end

	it("proves the kernel before anything that matters is sent, once for a connection", function()
		local sent
		kernel["POST /task"] = function(body) sent = body return 202, "{}" end
		kernel["GET /task/ID"] = function() return 200, ended(sent:match('"taskId":"(%w+)"'), 2, '"state":"done","resultBytes":4,"result":"ok"') end
		kernel["DELETE /task/ID"] = { 200, "{}" }
		local id = submit()
		assert.equal("ok", wait_state(id, "done").result)
		assert.truthy(asked[1]:find("^GET /health%?nonce=%x+$"))
		assert.equal("POST /task?wait=0", asked[2])
		assert.equal("GET /task/" .. id, asked[3])
		assert.truthy(sent:find('"payload":{"callable": "a:b",  "args": [1.0]}', 1, true), "re-encoded: " .. sent)
	end)

	it("follows a running task by its version and shows its progress", function()
		local id
		kernel["POST /task"] = { 202, "{}" }
		kernel["GET /task/ID"] = function(_, query)
			if query == "" then return 200, ended(id, 5, '"state":"running","progress":0.25,"message":"rows"') end
			assert(query == "wait=30&seen=5", query)
			if not kernel.may_end then return false end
			return 200, ended(id, 6, '"state":"done","result":1')
		end
		kernel["DELETE /task/ID"] = { 200, "{}" }
		id = submit()
		local s = helper.wait_for("progress", function()
			f:turn()
			local now = state_of(id)
			return now.progress and now
		end)
		assert.same({ fraction = 0.25, message = "rows" }, s.progress)
		assert.equal("running", s.state)
	end)

	it("takes a final state that comes with the answer to the task", function()
		kernel["POST /task"] = function(body) return 200, ended(body:match('"taskId":"(%w+)"'), 1, '"state":"failed","error":{"clazz":"E","message":"m","stack":""}') end
		local id = submit()
		wait_state(id, "failed")
		local _, err = f:get(id)
		assert.equal("E", t_words.parse(err).errorType)
	end)

	it("fetches a large result by itself, byte by byte", function()
		local id
		kernel["POST /task"] = { 202, "{}" }
		kernel["GET /task/ID"] = function() return 200, ended(id, 2, '"state":"done","resultBytes":70000') end
		local big = '[ "' .. ("x"):rep(70000) .. '" ]'
		kernel["GET /task/ID/result"] = { 200, big }
		id = submit()
		wait_state(id, "done")
		assert.truthy(f:get(id, true):find('"result":' .. big, 1, true))
	end)

	it("fails a task whose payload the kernel refuses, and keeps the kernel", function()
		kernel["POST /task"] = { 400, '{"error":{"clazz":"BadPayload","message":"a python task needs payload.callable","stack":""}}' }
		local id = submit()
		wait_state(id, "failed")
		local _, err = f:get(id)
		assert.equal("a python task needs payload.callable", t_words.parse(err).message)
		assert.truthy(line("stop fek-1"):find("policy: recycled", 1, true))
	end)

	it("puts a task back that a kernel thought idle did not take, and stops that kernel", function()
		kernel["POST /task"] = { 409, '{"error":{"clazz":"Busy","message":"busy","stack":""}}' }
		local id = submit()
		wait_state(id, "queued")
		assert.truthy(line("stop fek-1"):find("then took no task", 1, true))
	end)

	it("asks a kernel that was taken up, and sends the same attempt when it never arrived", function()
		local posted
		kernel["POST /task"] = function(body) posted = body return 202, "{}" end
		kernel["GET /task/ID"] = function() return 404, "{}" end
		assert(f:set_pools { { name = "fek", max = 1 } })
		f:start()
		line("spawn fek-1")
		f:ready("fek-1", f:url())
		kernel["POST /task"] = { 500, "{}" }
		f:close()
		-- a former backend assigned it and died before it was sent
		f = assert(t_fleet.open(dir .. "/dss.sqlite", 0, serve))
		assert(f:set_pools { { name = "fek", max = 1 } })
		f:submit { title = "left" }
		local id = line("submitted "):match("^submitted (%S+)")
		assert(t_words.sql(dir .. "/dss.sqlite", ("UPDATE task SET state = 'assigned', kernel = 'fek-1', attempt = 1 WHERE id = '%s'"):format(id)))
		f:close()
		f = assert(t_fleet.open(dir .. "/dss.sqlite", 0, serve))
		assert(f:set_pools { { name = "fek", max = 1 } })
		kernel["POST /task"] = function(body) posted = body return 202, "{}" end
		assert.equal("busy", (f:take_up("fek-1", 1, true, ('{"pool":"fek","url":"%s"}'):format(f:url()))))
		f:taken_up()
		f:start()
		f:follow("fek-1")
		helper.wait_for("the task being sent", function()
			f:turn()
			return posted
		end)
		assert.truthy(posted:find('"attempt":1', 1, true))
	end)

	for what, how in pairs {
		["a wrong proof"] = { proof = ("0"):rep(64), text = "did not prove to be it" },
		["401"] = { ["POST /task"] = { 401, "{}" }, text = "refused the backend's token" },
		["garbage instead of JSON"] = { ["POST /task"] = { 202, "{}" }, ["GET /task/ID"] = { 200, "<html>" }, text = "what is no JSON object" },
		["the state of another task"] = { ["POST /task"] = { 200, '{"taskId":"x","attempt":1,"version":1,"state":"done","result":1}' }, text = "another task or attempt" },
		["a state that does not exist"] = { ["POST /task"] = function(body)
			return 200, ('{"taskId":"%s","attempt":1,"version":1,"state":"asleep"}'):format(body:match('"taskId":"(%w+)"'))
		end, text = "a state that does not exist" },
		["an outcome it forgot"] = { ["POST /task"] = { 202, "{}" }, text = "it forgot task" },
		["a status that means nothing"] = { ["POST /task"] = { 418, "{}" }, text = "answered a task with status 418" },
		["a result that is no JSON"] = { ["POST /task"] = { 202, "{}" }, ["GET /task/ID"] = "DONE", ["GET /task/ID/result"] = { 200, "NaN" }, text = "its result is no JSON" },
	} do
		it("stops a kernel that answers with " .. what .. ", says why, and its task is judged when it has ended", function()
			for key, value in pairs(how) do kernel[key] = value end
			if how["GET /task/ID"] == "DONE" then
				local sent
				kernel["POST /task"] = function(body) sent = body:match('"taskId":"(%w+)"') return 202, "{}" end
				kernel["GET /task/ID"] = function() return 200, ended(sent, 2, '"state":"done","resultBytes":3') end
			end
			local id = submit()
			local stop = line("stop fek-1")
			assert.truthy(stop:find("stop fek-1 policy: kernel fek-1: ", 1, true) and stop:find(how.text, 1, true), stop)
			assert.is_true(state_of(id).alive)
			f:ended { id = "fek-1", cause = "policy", text = stop:gsub("^stop %S+ policy: ", "") }
			assert.equal("policy", wait_state(id, "killed").cause)
			local _, err = f:get(id)
			assert.truthy(t_words.parse(err).message:find(how.text, 1, true))
		end)
	end

	it("reads what a dead kernel has said to the end, and no longer than a second", function()
		kernel["POST /task"] = { 202, "{}" }
		kernel["GET /task/ID"] = function() return false end
		submit()
		helper.wait_for("the poll", function()
			f:turn()
			return #asked >= 3
		end)
		f:finish("fek-1")
		line("read to the end")
	end)

	it("asks nothing more of a kernel that is gone", function()
		kernel["POST /task"] = { 202, "{}" }
		kernel["GET /task/ID"] = function() return false end
		local id = submit()
		helper.wait_for("the poll", function()
			f:turn()
			return #asked >= 3
		end)
		f:ended { id = "fek-1", cause = "crash", code = 1 }
		line("drop fek-1")
		wait_state(id, "killed")
		f:finish("fek-1")
		line("read to the end")
	end)
end)
