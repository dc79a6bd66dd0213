-- world: the API with a fleet, keys and numbers that remember what they were asked and answer as they were told.
local helper = require "spec.helper"
require("t_bind").preload()
local json = require "bind.json"

local M = { json = json, KEY = "secret-of-the-admin", was = {}, policies = { false, "" } }

local dir = os.tmpname()
os.remove(dir)
os.execute("mkdir -p " .. dir .. "/config")
helper.write(dir .. "/config/admin.key", M.KEY .. "\n")

M.policy_set = { current = function() return { version = 1, is_last = false, text = "[]", errors = "[]" } end }
local fleet = { futures = {}, processes_json = nil }
M.fleet = fleet
function fleet.submit(r, fn)
	M.was.submit = r
	if fleet.refusal then return fleet.refusal, "no room" end
	fn("ok", "f1", true)
	return true
end
function fleet.get(id, with_result, fn)
	M.was.get = { id, with_result }
	local f = fleet.futures[id]
	fn(f and "ok" or "not_found", f, "no such")
end
function fleet.whose(id)
	local f = fleet.at_hand and fleet.futures[id]
	if f then return f.owner, f.ended end
end
function fleet.wait(id, seconds, fn)
	M.was.wait = { id, seconds }
	fn()
end
function fleet.list(owner, ended, fn)
	M.was.list = { owner or "all", ended }
	fn "[]"
end
function fleet.abort(id, by, is_admin)
	M.was.abort = { id, by, is_admin }
	return "ok", ""
end
function fleet.node() return fleet.node_json or '{"machineBytes":0,"reserveBytes":0,"budgetBytes":0,"promisedBytes":0,"servicesBytes":0,"pools":[]}' end
function fleet.slots() return fleet.slots_json or "[]" end
function fleet.pools() return fleet.pools_json or "[]" end
function fleet.health() return '{"instance":"x"}' end
function fleet.boxes(fn)
	if fleet.boxes_json then fn(fleet.boxes_json) else fn(nil, "the keeper does not answer") end
end
function fleet.processes(fn)
	if fleet.processes_json then fn(fleet.processes_json) else fn(nil, "the keeper does not answer") end
end

-- What projects say, and jobs: KEY → { state, json }.
M.jobs = { projects = {}, tickets = {}, look = function() return 1000 end, hash = function() return "h" end, datasets = function() return "{}" end,
	check = function() return true end, keys = function() return {} end }
function M.jobs.change(key, text, keeps_data, fn)
	M.was.change = { key, text, keeps_data }
	if M.jobs.change_why then return fn(nil, M.jobs.change_why, M.jobs.is_there) end
	fn(true)
end
function M.jobs.forget_logs(key) M.was.forget_logs = key end
function M.jobs.ticket(text) return M.jobs.tickets[text] end
function M.jobs.project(key, fn)
	local p = M.jobs.projects[key]
	if p then fn(p[1], p[2], p[3]) else fn("missing") end
end

-- What was set of projects: "KEY/what" → { json, by, at_ms }.
M.settings = { rows = {} }
function M.settings.get(key, what)
	local row = M.settings.rows[key .. "/" .. what]
	if row then return row.json, row.by, row.at_ms end
end
function M.settings.put(key, what, text, by, fn)
	if M.settings.refusal then return fn(nil, M.settings.refusal) end
	M.settings.rows[key .. "/" .. what] = text and { key = what, json = text, by = by, at_ms = 2000 } or nil
	fn(true)
end
function M.settings.list(key)
	local out = {}
	for name, row in pairs(M.settings.rows) do
		if name:sub(1, #key + 1) == key .. "/" then out[#out + 1] = row end
	end
	return out
end
function M.settings.variables(key, is_typed)
	M.was.variables = { key, is_typed }
	return "{}"
end

-- Keys in a list; a secret is "secret-of-ID".
local keys = { rows = {} }
M.keys = keys
function keys.fix(user, is_admin, secret)
	keys.fixed = { id = "", user = user, is_admin = is_admin, secret = secret }
	return true
end
function keys.find(secret)
	if secret == keys.fixed.secret then return keys.fixed end
	for _, k in ipairs(keys.rows) do
		if not k.revoked_ms and secret == "secret-of-" .. k.id then return k end
	end
end
function keys.make(user, label, is_admin, fn)
	if keys.refusal then return nil, keys.refusal end
	local k = { id = "k" .. #keys.rows + 1, user = user, label = label, is_admin = is_admin, created_ms = 5 }
	keys.finish = function(why)
		if not why then table.insert(keys.rows, k) end
		fn(not why and k or nil, why)
	end
	if not keys.is_slow then keys.later = keys.finish end
	return "secret-of-" .. k.id
end
function keys.get(id)
	for _, k in ipairs(keys.rows) do
		if k.id == id then return k end
	end
end
function keys.revoke(id, fn)
	local k = keys.get(id)
	if keys.refusal then return nil, keys.refusal end
	k.revoked_ms = k.revoked_ms or 9
	fn(k)
	return true
end
function keys.list(user)
	local out = {}
	for _, k in ipairs(keys.rows) do
		if not user or k.user == user then out[#out + 1] = k end
	end
	return out
end

local stats = {}
M.stats = stats
function stats.read()
	return {
		submitted = 7, kernels_started = 3, keeper_events = 11, followers = 1, followers_cut = 0, lua_bytes = 1000,
		purged = { tasks = 6, results = 0, facts = 0, decisions = 0, versions = 0, logs = 0 },
		ended = { done = 4, failed = 1, aborted = 0, killed = 2 }, open = { queued = 1, assigned = 0, running = 2 },
		store = { commits = 5, failed_commits = 0, operations = 9, waiting = 0 },
		gate = { accepted = 1, requests = 1, refused = 0, bad = 0, timed_out = 0, cut_slow = 0, connections = 1, waiting = 1, memory_bytes = 0 },
	}
end
function stats.lag(fn) fn(0.25) end
function stats.tell(...) M.was.tell = { ... } end

package.preload["bind.fleet"] = function() return fleet end
package.preload["bind.members"] = function() return { of = function(cgroup, pid, most) return M.members(cgroup, pid, most) end } end
package.preload["bind.rights"] = function() return { may = function(login, verb, facts) return M.may ~= nil and M.may(login, verb, facts) end } end
package.preload["bind.keys"] = function() return keys end
package.preload["bind.policies"] = function() return M.policy_set end
package.preload["bind.alerts"] = function() return { list = function() return M.alerts_json or "[]" end } end
package.preload["bind.ledger"] = function() return {
	stats = function() return { noted = 12, lost = 1, folded = 8, rows = 4, segments = 1, segment_bytes = 900 } end,
	read = function(query, fn)
		M.was.decisions = query
		fn(M.decisions_json, not M.decisions_json and "the store takes nothing now" or nil)
	end,
} end
package.preload["bind.console"] = function() return {
	line = function(ask, fn)
		M.was.console = ask
		if M.console_refusal then return M.console_refusal, "no room" end
		fn { session = "s1", output = "42", prompt = "dss> ", is_error = false, is_incomplete = false }
		return "taken"
	end,
	complete = function(ask, cursor)
		M.was.console = { ask.session, ask.line, cursor }
		return 2, "pool\npools"
	end,
} end
-- What the store holds of tasks, and pools' curves.
M.tasks = { rows = {}, curves = {} }
package.preload["bind.tasks"] = function() return {
	read = function(id, fn)
		local t = M.tasks.rows[id]
		fn(t and "ok" or "not_found", t)
	end,
	pool_curve = function(name) return M.tasks.curves[name] end,
} end
package.preload["bind.stats"] = function() return stats end
package.preload["bind.logs"] = package.preload["bind.logs"] or function() return {
	wait = function(folder, id, task, offset, seconds, fn)
		M.was.log_wait = { folder, id, task or "none", offset, seconds }
		fn()
	end,
} end
-- "PROJECT/WEBAPP" → what webapps.address tells; signatures that can be read.
M.webapps = { state = function() end, start = function() return true end, stop = function() end, addresses = {} }
function M.webapps.address(key, name) return M.webapps.addresses[key .. "/" .. name] or {} end
function M.webapps.sign(text) return (("%x"):rep(8)):format(text:byte(1, 8)) .. ("%08x"):format(#text) end
local drawn = 0
function M.webapps.random()
	drawn = drawn + 1
	return ("%032x"):format(drawn)
end
package.preload["bind.webapps"] = function() return M.webapps end
-- Sessions of notebooks, and what the notebook server answers to "METHOD PATH".
M.notebooks = { rows = {}, answers = {} }
function M.notebooks.list(fn)
	if M.notebooks.failure then return fn(nil, M.notebooks.failure) end
	fn(json.encode(json.array(M.notebooks.rows)), M.notebooks.why)
end
function M.notebooks.unload(session, cause, by, _, fn)
	M.was.unload = M.was.unload or {}
	table.insert(M.was.unload, { session, cause, by })
	fn(M.notebooks.unload_why)
end
function M.notebooks.interrupt(session, cause, by, _, fn)
	M.was.interrupt = { session, cause, by }
	fn(M.notebooks.unload_why)
end
function M.notebooks.keep(session, until_ms, by)
	M.was.keep = { session, until_ms, by }
	return true
end
function M.notebooks.has_server() return M.notebooks.has end
function M.notebooks.link() return "http://127.0.0.1:9", "tok" end
function M.notebooks.leases() return M.notebooks.nleases or 0 end
function M.notebooks.quota() return table.unpack(M.notebooks.allowed or { 3 * 86400000, 10 }) end
function M.notebooks.ask(method, path, body, fn)
	M.was.asked = M.was.asked or {}
	table.insert(M.was.asked, { method, path, body and json.decode(body) })
	local a = M.notebooks.answers[method .. " " .. path]
	if M.notebooks.why then return fn(nil, M.notebooks.why) end
	if not a then return fn(404, '{"message":"no such"}') end
	fn(a[1], type(a[2]) == "table" and json.encode(a[2]) or a[2] or "")
end
package.preload["bind.notebooks"] = function() return M.notebooks end
M.models = { list = function(_, _, _, fn) fn "[]" end, sessions = function() return {} end, kept = function() return {} end, record = function() end }
package.preload["bind.models"] = function() return M.models end
-- Macros: the policies are asked for real; what is carried out is remembered. Turns of the loop come with M.turn().
local engine = require "dss.model.engine"
M.soon_list = {}
function M.soon(_, fn) table.insert(M.soon_list, fn) end
M.macros = { saved = {}, notes = {}, removed = {}, job_logs = "[]" }
local function answered(fn) return function(...)
	local ok, out, why = pcall(fn, ...)
	if not ok then return nil, out end
	return out, why
end end
function M.turn()
	while #M.soon_list > 0 do table.remove(M.soon_list, 1)() end
end
package.preload["bind.macros"] = function() return {
	list = answered(engine.macro_list), params = answered(engine.macro_params), judge = answered(engine.macro_judge), whole = answered(engine.macro_whole),
	note = function(d) table.insert(M.macros.notes, d) end, rows = function(kind) return M.macros[kind] or {}, M.macros.is_cut end,
	order = function(_, verb, id) table.insert(M.macros.removed, verb .. " " .. id) return true end,
	logs = function(project, from, fn) M.macros.asked = { project, from } fn(M.macros.job_logs) end,
	remove_log = function(project, name, _, fn) table.insert(M.macros.removed, project .. "/" .. name) fn(M.macros.refusal) end,
	save = function(row, is_new, fn) M.macros.saved[#M.macros.saved + 1] = { row = row, is_new = is_new } fn(M.macros.unsaved) end,
	make_id = function() M.macros.last = (M.macros.last or 0) + 1 return "run" .. M.macros.last end,
	on_rule = function(fn) M.macros.on_rule = fn end, share = function() return "/share" end,
} end
package.preload["bind.macro_files"] = function() return {
	diagnose = function(id, fn) M.macros.diagnosing = { id, fn } return true end, stop = function() end,
	open = function() return M.macros.file_bytes, M.macros.file_bytes and #M.macros.file_bytes end, tidy = function() end,
	drop = function() M.macros.file_bytes = nil end, ours = function() return { "/instance" } end,
} end
package.preload["bind.soon"] = function() return function(...) return M.soon(...) end end
package.preload["bind.board"] = function() return {
	rows = function(login) M.was.rows = login or "all" return M.board_json or "[]" end,
	macro = function(id, row) M.was.macro = { id, row } end,
	curves = function(login, ids, points) M.was.curves = { login or "all", ids, points } return "[]" end,
	curve = function(login, process) if process == "py-1" then return '{"id":"py-1"}' end M.was.curve = { login or "all", process } end,
} end
package.preload["bind.usage"] = function() return {
	read = function(query, fn)
		M.was.usage = query
		fn(M.usage_json, not M.usage_json and "the store takes nothing now" or nil)
	end,
} end
package.preload["bind.settings"] = function() return M.settings end
package.preload["bind.jobs"] = function() return M.jobs end
package.preload["bind.gate"] = function() return {
	facts = { dir = dir, version = "9.9", control_uid = 1234, is_one_user = true, started_ms = 1000, takes_remote_user = true, remote_admins = { boss = true } },
	wall_ms = function() return 3000 end,
	policies = function() return M.policies[1], M.policies[2] end,
	nginx = function() return M.nginx or "" end,
	webapps_port = function() return M.webapps_port end,
} end
local serve = require "dss.api.serve"
os.execute("rm -rf " .. dir)

--- As new, before each case.
function M.reset()
	M.was = {}
	fleet.refusal, fleet.processes_json, fleet.pools_json = nil, nil, nil
	M.settings.rows, M.settings.refusal = {}, nil
	local n = M.notebooks
	n.rows, n.answers, n.why, n.failure, n.unload_why, n.nleases, n.allowed = {}, {}, nil, nil, nil, nil, nil
	keys.rows, keys.refusal, keys.later, keys.is_slow = {}, nil, nil, nil
	M.policies = { false, "" }
	fleet.futures = {
		mine = { id = "mine", owner = "admin", state = "running", ended = false, json = '{"jobId":"mine","alive":true}' },
		bobs = { id = "bobs", owner = "bob", state = "running", ended = false, json = '{"jobId":"bobs","alive":true}' },
		dead = { id = "dead", owner = "bob", state = "killed", ended = true, json = '{"jobId":"dead","alive":false}', error_json = '{"errorType":"X","message":"gone"}' },
	}
end

--- The fields of a request with a key.
function M.with(secret, more)
	local fields = { authorization = "Bearer " .. secret }
	for k, v in pairs(more or {}) do fields[k] = v end
	return fields
end

--- One request; status, decoded body, header fields, raw body. o: body, fields, peer, uid, is_boxed, login.
function M.ask(method, target, o)
	o = o or {}
	local path, query, segments, answer = target:match "^[^?]*", {}, {}, nil
	for k, v in (target:match "%?(.*)" or ""):gmatch "([^&=]+)=([^&]*)" do query[k] = v end
	for s in path:gmatch "[^/]+" do segments[#segments + 1] = s end
	local fields = o.fields or M.with(M.KEY)
	serve.take {
		method = method, path = path, segments = segments, query = query, fields = fields, body = type(o.body) == "table" and json.encode(o.body) or o.body or "",
		peer = o.peer or "10.0.0.1", uid = o.uid, is_boxed = o.is_boxed, is_passed = o.is_passed, login = o.login,
		reply = function(status, content_type, body, more)
			if answer then error "answered twice" end
			answer = { status, content_type, body, more or {} }
		end,
		send_file = function(status, content_type, file, more)
			if answer then error "answered twice" end
			answer = { status, content_type, file, more or {} }
		end,
		follow = function(order)
			M.was.follow = { order.login or "all", order.epoch, order.seq }
			M.was.board = order.board and { order.user, order.is_admin, order.board_epoch, order.board_rev } or nil
			if M.follow_refusal then return nil, M.follow_refusal end
			answer = { 200, "text/event-stream", "", {} }
			return true
		end,
	}
	-- what is written is told later than make() returns
	if keys.later then keys.later = keys.later(nil) end
	if o.turns then M.turn() end
	assert(answer, "not answered")
	return answer[1], json.decode(answer[3]) or answer[3], answer[4], answer[3]
end

return M
