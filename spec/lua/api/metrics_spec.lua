local world = require "spec.lua.api.world"
local fleet, ask, with = world.fleet, world.ask, world.with

local function metrics(o) return select(4, ask("GET", "/metrics", o)) end

describe("/metrics", function()
	before_each(function()
		world.reset()
		fleet.pools_json = '[{"name":"fek","starting":1,"idle":2,"busy":3,"stopping":0,"waiting":4,"warm":{"min":1,"max":2},"max":9}]'
		fleet.processes_json = '[{"id":"a","kind":"kernel","memoryBytes":5},{"id":"b","kind":"kernel","memoryBytes":6},{"id":"c","kind":"service"}]'
	end)

	it("is open on this machine, elsewhere and through a proxy it needs a key", function()
		for _, peer in ipairs { "127.0.0.1", "::1", "unix" } do assert.equal(200, (ask("GET", "/metrics", { fields = {}, peer = peer })), peer) end
		assert.equal(401, (ask("GET", "/metrics", { fields = {}, peer = "10.0.0.7" })))
		for _, field in ipairs { "x-forwarded-for", "forwarded", "x-real-ip", "via" } do
			assert.equal(401, (ask("GET", "/metrics", { fields = { [field] = "10.0.0.7" }, peer = "127.0.0.1" })), field)
		end
		assert.equal(200, (ask("GET", "/metrics")))
	end)
	it("has futures by state, pools, processes by kind, the store, the keeper and the loop", function()
		local text = metrics()
		for _, line in ipairs {
			'dss_futures{state="running"} 2', 'dss_futures_ended_total{state="killed"} 2', "dss_futures_submitted_total 7", 'dss_pool_kernels{pool="fek",state="busy"} 3',
			'dss_pool_waiting{pool="fek"} 4', 'dss_processes{kind="kernel"} 2', 'dss_process_memory_bytes{kind="kernel"} 11', "dss_store_commits_total 5",
			"dss_keeper_events_total 11", "dss_ledger_decisions_total 12", "dss_ledger_lost_total 1", "dss_ledger_segment_bytes 900",
			'dss_purged_total{kind="tasks"} 6', "dss_loop_lag_seconds 0.25", "dss_policies_ok 1", "dss_keeper_answers 1", "# TYPE dss_futures_ended_total counter",
		} do assert.matches("\n" .. line .. "\n", text, 1, true) end
	end)
	it("is text that Prometheus reads: each family once, with help and type, each line a name, labels and a number", function()
		local seen = {}
		for line in metrics():gmatch "[^\n]+" do
			local name, kind = line:match "^# TYPE (dss_[%l_]+) (%l+)$"
			if name then
				assert.is_nil(seen[name], name)
				seen[name] = true
				assert.is_truthy(kind == "gauge" or (kind == "counter" and name:find "_total$"), name)
			elseif not line:find "^# HELP dss_[%l_]+ %S" then
				local base = line:match "^(dss_[%l_]+) [%d.e+-]+$" or line:match '^(dss_[%l_]+){[%l_]+="[^\n]*"} [%d.e+-]+$'
				assert.is_true(seen[base] or false, line)
			end
		end
	end)
	it("counts requests by route and class, never by what clients invent", function()
		ask("GET", "/api/futures/mine")
		ask("GET", "/api/futures/bobs")
		ask("GET", "/api/futures/none")
		ask("GET", "/nix/" .. ("x"):rep(50))
		ask("BREW", "/nix")
		local text = metrics()
		assert.matches('dss_http_requests_total{class="2xx",method="GET",route="/api/futures/{id}"} 2', text, 1, true)
		assert.matches('dss_http_requests_total{class="4xx",method="GET",route="/api/futures/{id}"} 1', text, 1, true)
		assert.matches('dss_http_requests_total{class="4xx",method="OTHER",route="(none)"} 1', text, 1, true)
		assert.is_nil(text:find("xxxxx", 1, true))
		assert.is_nil(text:find("BREW", 1, true))
	end)
	it("escapes labels and folds what is too many", function()
		local rows = {}
		for i = 1, 300 do rows[i] = { name = i == 1 and 'a"b\\c\nd' or "p" .. i, idle = 1, waiting = 2, warm = { min = 0, max = 1 }, max = 1 } end
		fleet.pools_json = world.json.encode(world.json.array(rows))
		local kinds = {}
		for i = 1, 50 do kinds[i] = { id = "x" .. i, kind = "kind" .. i } end
		fleet.processes_json = world.json.encode(world.json.array(kinds))
		local text = metrics()
		assert.matches([[dss_pool_waiting{pool="a\"b\\c\nd"} 2]], text, 1, true)
		assert.matches('dss_pool_kernels{pool="(others)",state="idle"} 100\n', text, 1, true)
		assert.matches('dss_pool_waiting{pool="(others)"} 200\n', text, 1, true)
		assert.matches('dss_processes{kind="(others)"} 30\n', text, 1, true)
	end)
	it("names no user and no task", function()
		ask("GET", "/api/futures/bobs", { fields = with(world.KEY, { ["x-dku-proxyuser"] = "bob" }) })
		assert.is_nil(metrics():find("bob", 1, true))
	end)
	it("says so where the keeper does not answer, and has the rest", function()
		fleet.processes_json = nil
		local text = metrics()
		assert.matches("dss_keeper_answers 0\n", text, 1, true)
		assert.is_nil(text:find("dss_processes", 1, true))
		assert.matches("dss_futures", text, 1, true)
	end)
end)

describe("/api/events", function()
	before_each(world.reset)

	it("shows all to admins, to others what they may see", function()
		ask("GET", "/api/events")
		assert.same({ "all" }, world.was.follow)
		ask("GET", "/api/events", { fields = with(world.KEY, { ["x-dku-proxyuser"] = "bob" }) })
		assert.same({ "bob" }, world.was.follow)
		assert.equal(401, (ask("GET", "/api/events", { fields = {}, peer = "127.0.0.1" })))
	end)
	it("goes on after Last-Event-ID or ?since=, and refuses what is none", function()
		ask("GET", "/api/events", { fields = with(world.KEY, { ["last-event-id"] = "3-17" }) })
		assert.same({ "all", 3, 17 }, world.was.follow)
		ask("GET", "/api/events?since=4-0")
		assert.same({ "all", 4, 0 }, world.was.follow)
		for _, since in ipairs { "x", "3", "3-", "-1-2", "1-2-3", "99999999999999999999-1" } do assert.equal(400, (ask("GET", "/api/events?since=" .. since)), since) end
	end)
	it("says 503 where too many follow", function()
		world.follow_refusal = "200 others follow already"
		local status, body, more = ask("GET", "/api/events")
		world.follow_refusal = nil
		assert.equal(503, status)
		assert.equal("200 others follow already", body.message)
		assert.equal("2", more["Retry-After"])
	end)
end)
