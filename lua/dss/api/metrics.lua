-- metrics: the node in numbers, for Prometheus (text format 0.0.4). No name of a user or task is in it, and no label that clients can
-- invent: pools come from policies, routes from routes.lua.
local fleet = require "bind.fleet"
local gate = require "bind.gate"
local json = require "bind.json"
local ledger = require "bind.ledger"
local sorted_keys = require("dss.model.schema").sorted_keys
local stats = require "bind.stats"

local TYPE = "text/plain; version=0.0.4; charset=utf-8"
local POOLS_MAX, KINDS_MAX = 200, 20
local OTHERS = "(others)"

local M = {}

local requests = {}      -- "METHOD route class" → { method, route, class, count }
local quick = {}         -- the same rows: method → route → first digit of the status

--- Counts an answer. route: the pattern, as routes.lua has it.
function M.count(method, route, status)
	local digit = status // 100
	local by_route = quick[method]
	local by_digit = by_route and by_route[route]
	local r = by_digit and by_digit[digit]
	if r then r[4] = r[4] + 1 return end
	local class = ("%dxx"):format(digit)
	r = { method, route, class, 1 }
	requests[method .. " " .. route .. " " .. class] = r
	quick[method] = by_route or {}
	quick[method][route] = by_digit or {}
	quick[method][route][digit] = r
end

local function escape(v) return (tostring(v):gsub('[\\"\n]', { ["\\"] = "\\\\", ['"'] = '\\"', ["\n"] = "\\n" })) end

local function labels_text(labels)
	local parts = {}
	for _, name in ipairs(sorted_keys(labels)) do parts[#parts + 1] = ('%s="%s"'):format(name, escape(labels[name])) end
	return #parts > 0 and "{" .. table.concat(parts, ",") .. "}" or ""
end

local function number(v) return math.type(v) == "integer" and ("%d"):format(v) or ("%.9g"):format(v) end

--- Adds a family: samples is a list of { labels, value }.
local function family(out, name, kind, help, samples)
	if #samples == 0 then return end
	out[#out + 1] = ("# HELP dss_%s %s"):format(name, help)
	out[#out + 1] = ("# TYPE dss_%s %s"):format(name, kind)
	for _, s in ipairs(samples) do out[#out + 1] = ("dss_%s%s %s"):format(name, labels_text(s[1]), number(s[2])) end
end

local function one(value) return { { {}, value } } end

--- { name = value } → samples with the label.
local function by(label, values)
	local samples = {}
	for _, name in ipairs(sorted_keys(values)) do samples[#samples + 1] = { { [label] = name }, values[name] } end
	return samples
end

-- member of a pool's row → family; summed over the pools that have no label of their own
local pool_states = { "starting", "idle", "busy", "stopping" }
local pool_gauges = {
	{ "pool_waiting", "Futures that wait for a kernel of the pool.", function(p) return p.waiting end },
	{ "pool_warm_min", "warm.min in force.", function(p) return p.warm.min end },
	{ "pool_warm_max", "warm.max in force.", function(p) return p.warm.max end },
	{ "pool_max", "max in force.", function(p) return p.max end },
	{ "pool_memory_limit_bytes", "limits.memory in force; 0 = none.", function(p) return p.memoryLimitBytes or 0 end },
	{ "pool_target", "Warm kernels that the pool wants now: warm.min, or more by warm.ready_for.", function(p) return p.target or p.warm.min end },
	{ "pool_demand", "Uses of the warm stock a second, as it is sized by.", function(p) return p.demand or 0 end },
	{ "pool_failed_starts", "Failed starts in a row.", function(p) return p.failedStarts or 0 end },
}

local function add(samples, label, extra, value)
	local last = samples[#samples]
	if label == OTHERS and last and last[1].pool == OTHERS and last[1].state == extra then
		last[2] = last[2] + value
		return
	end
	samples[#samples + 1] = { { pool = label, state = extra }, value }
end

local function put_pools(out)
	local rows = json.decode(fleet.pools()) or {}
	local kernels = {}
	for _, state in ipairs(pool_states) do
		for i, p in ipairs(rows) do add(kernels, i <= POOLS_MAX and p.name or OTHERS, state, p[state] or 0) end
	end
	family(out, "pool_kernels", "gauge", "Kernels of the pool by state.", kernels)
	for _, g in ipairs(pool_gauges) do
		local samples = {}
		for i, p in ipairs(rows) do add(samples, i <= POOLS_MAX and p.name or OTHERS, nil, g[3](p)) end
		family(out, g[1], "gauge", g[2], samples)
	end
end

local function put_memory(out)
	local node = json.decode(fleet.node()) or {}
	if (node.budgetBytes or 0) == 0 then return end
	family(out, "memory_budget_bytes", "gauge", "What kernels and services may be promised: the machine less its reserve.", one(node.budgetBytes))
	family(out, "memory_reserve_bytes", "gauge", "Kept for people and the system.", one(node.reserveBytes))
	family(out, "memory_promised_bytes", "gauge", "Promised: services, each kernel alive with its limit, other processes with theirs.",
		one(node.promisedBytes))
	local samples = { { { pool = "(services)" }, node.servicesBytes }, { { pool = "(recipes)" }, node.recipesBytes or 0 },
		{ { pool = "(webapps)" }, node.webappsBytes or 0 }, { { pool = "(notebooks)" }, node.notebooksBytes or 0 } }
	for i, p in ipairs(node.pools or {}) do
		if p.promisedBytes > 0 then add(samples, i <= POOLS_MAX and p.name or OTHERS, nil, p.promisedBytes) end
	end
	family(out, "pool_memory_promised_bytes", "gauge", "Its part of what is promised.", samples)
end

local function put_processes(out, text)
	local counts, memory, kinds = {}, {}, 0
	family(out, "keeper_answers", "gauge", "1 if the keeper listed its processes.", one(text and 1 or 0))
	for _, row in ipairs(text and json.decode(text) or {}) do
		local kind = row.kind or "?"
		if not counts[kind] then
			kinds = kinds + 1
			if kinds > KINDS_MAX then kind = OTHERS end
		end
		counts[kind] = (counts[kind] or 0) + 1
		memory[kind] = (memory[kind] or 0) + (row.memoryBytes or 0)
	end
	family(out, "processes", "gauge", "Processes that the keeper lists, by kind.", by("kind", counts))
	family(out, "process_memory_bytes", "gauge", "Working set of the processes of a kind that have a box.", by("kind", memory))
end

local function put_requests(out)
	local samples = {}
	for _, key in ipairs(sorted_keys(requests)) do
		local r = requests[key]
		samples[#samples + 1] = { { method = r[1], route = r[2], class = r[3] }, r[4] }
	end
	family(out, "http_requests_total", "counter", "Answered requests by route and class of status.", samples)
end

local function put_numbers(out)
	local n, l = stats.read(), ledger.stats()
	family(out, "futures", "gauge", "Open futures by state.", by("state", n.open))
	family(out, "futures_submitted_total", "counter", "Futures accepted.", one(n.submitted))
	family(out, "futures_ended_total", "counter", "Futures that ended, by state.", by("state", n.ended))
	family(out, "kernels_started_total", "counter", "Kernels ordered to start.", one(n.kernels_started))
	family(out, "store_commits_total", "counter", "Commits of the store's writer.", one(n.store.commits))
	family(out, "store_failed_commits_total", "counter", "Commits that failed.", one(n.store.failed_commits))
	family(out, "store_operations_total", "counter", "Operations in those commits.", one(n.store.operations))
	family(out, "store_waiting", "gauge", "Operations under way.", one(n.store.waiting))
	family(out, "keeper_events_total", "counter", "Events told by the keeper.", one(n.keeper_events))
	family(out, "events_followers", "gauge", "Open streams of /api/events.", one(n.followers))
	family(out, "events_cut_total", "counter", "Streams that were cut because their reader was slow.", one(n.followers_cut))
	family(out, "http_connections", "gauge", "Open connections.", one(n.gate.connections))
	family(out, "http_accepted_total", "counter", "Connections accepted.", one(n.gate.accepted))
	family(out, "http_refused_total", "counter", "Connections refused for want of place.", one(n.gate.refused))
	family(out, "http_bad_total", "counter", "Requests that were no HTTP, too large or too slow.", one(n.gate.bad + n.gate.timed_out))
	family(out, "http_waiting", "gauge", "Requests that wait for their answer, long polls and streams among them.", one(n.gate.waiting))
	family(out, "http_buffer_bytes", "gauge", "Bytes held for bodies and unsent answers.", one(n.gate.memory_bytes))
	family(out, "ledger_decisions_total", "counter", "Decisions noted.", one(l.noted))
	family(out, "ledger_folded_total", "counter", "Of those, folded into a row that was there.", one(l.folded))
	family(out, "ledger_lost_total", "counter", "Decisions that could not be kept: a full disk, no memory.", one(l.lost))
	family(out, "ledger_rows", "gauge", "Rows of folded decisions.", one(l.rows))
	family(out, "ledger_segments", "gauge", "Files of exact decisions.", one(l.segments))
	family(out, "ledger_segment_bytes", "gauge", "Bytes of those files.", one(l.segment_bytes))
	family(out, "purged_total", "counter", "What retention let go, by kind.", by("kind", n.purged))
	family(out, "api_memory_bytes", "gauge", "Memory of the API's Lua state.", one(n.lua_bytes))
end

--- Asks for what takes time, then answers.
function M.get(req)
	fleet.processes(function(rows)
		stats.lag(function(lag_s)
			local out = {}
			family(out, "info", "gauge", "The program.", { { { version = gate.facts.version }, 1 } })
			family(out, "up_seconds", "gauge", "Since this backend's start.", one((gate.wall_ms() - gate.facts.started_ms) / 1000))
			local is_safe, trouble = gate.policies()
			family(out, "policies_ok", "gauge", "1 if policies/ is in force as it stands.", one(not is_safe and trouble == "" and 1 or 0))
			family(out, "loop_lag_seconds", "gauge", "How late a timer came, measured for this answer.", one(lag_s))
			put_numbers(out)
			put_pools(out)
			put_memory(out)
			put_processes(out, rows)
			put_requests(out)
			req.reply(200, TYPE, table.concat(out, "\n") .. "\n")
		end)
	end)
end

return M
