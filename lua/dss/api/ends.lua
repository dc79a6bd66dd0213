-- ends: what exactly would end if rows of the board were ended: their processes and who lives in their boxes, what ends with them, what is lost. Nothing is
-- ended here.
local board = require "bind.board"
local body = require "dss.api.body"
local errors = require "dss.api.errors"
local fleet = require "bind.fleet"
local json = require "bind.json"
local members = require "bind.members"
local rows = require "dss.api.rows"

local JSON = "application/json;charset=utf-8"
local IDS_MOST, ID_MAX = 200, 400
local MEMBERS_EACH, MEMBERS_ALL = 64, 400

local M = {}

local function count(n, one, many) return n == 1 and "1 " .. one or ("%d %s"):format(n, many) end

local function waits(row) return row.state == "waiting" end

local function of_task(row)
	if waits(row) then return { "It waits and has not run: nothing but its place in the line." } end
	return { "What it has done so far, unless it saved that itself.",
		"Its kernel is asked to stop it, and thrown away where it does not; a new one starts warm where the pool wants one." }
end

-- kind → (row, rows below it) → sentences: what is lost
local losses = {
	future = of_task,
	training = function(row)
		if waits(row) then return of_task(row) end
		return { "The model that it trains; the other models of its session go on." }
	end,
	job = function(row, below)
		local at_work, waiting = 0, 0
		for _, b in ipairs(below) do
			if waits(b) then waiting = waiting + 1 else at_work = at_work + 1 end
		end
		if waits(row) and at_work == 0 then return { "It has not begun: nothing is built." } end
		return { count(at_work, "activity at work ends", "activities at work end")
				.. (waiting > 0 and ", " .. count(waiting, "that waits is not begun", "that wait are not begun") or "") .. ".",
			"What they have written half; what is built already stays." }
	end,
	webapp = function(row)
		if waits(row) then return { "It waits for a place: nothing is lost; it stays stopped until somebody starts it." } end
		return { "What its process holds in memory; who has it open loses the connection.", "It stays stopped until somebody starts it again." }
	end,
	notebook = function(row)
		local out = { ("The variables of notebook \"%s\"; unsaved work is lost."):format(row.what or "?") }
		if row.state == "running" then out[#out + 1] = "A cell runs: it ends." end
		if (row.connections or 0) > 0 then out[#out + 1] = ("%s connected to it."):format(count(row.connections, "client is", "clients are")) end
		if row.leasedUntil then out[#out + 1] = "Its user asked to keep it: that ends with it." end
		return out
	end,
	macro = function() return { "Its result; what it has done so far stays done." } end,
	kernel = function(row)
		return { ("Nothing but a warm start: it does nothing now, and the next task that needs it waits for a cold one of pool %s."):format(row.pool or "?"),
			"It is refused where a task waits for it, or its pool would start another in its place." }
	end,
}

local function why_not(row)
	if row.state == "stopping" then return "It is ending already." end
	if row.kind == "service" then return "It belongs to the instance: bin/dss stops and restarts it." end
	if row.kind == "kernel" then return "It is of its pool's stock: policies say how many are warm, and when one goes." end
	return "It cannot be ended by hand."
end

-- --- processes ---

local function processes_by_id(list)
	local out = {}
	for p in rows.each(list or "[]") do out[p.id] = p end
	return out
end

--- One process with those in its box; room.left: how many more may be told.
local function told(p, row, room)
	local out = { id = p.id, pid = p.pid, memoryBytes = p.memoryBytes, what = p.kind == "kernel" and p.pool and ("kernel of pool %s"):format(p.pool) or row.what }
	if p.pid and not p.exitedAt then
		local list, total = members.of(p.cgroup or "", p.pid, math.max(1, math.min(room.left, MEMBERS_EACH)))
		if room.left < 1 then list = {} end -- only how many
		room.left = room.left - #list
		out.members, out.membersCount = json.array(list), total
	end
	return out
end

-- --- one row ---

local function below_of(all, id)
	local out = {}
	for _, row in ipairs(all) do
		if row.parent == id then out[#out + 1] = row end
	end
	return out
end

--- all: rows that the asker may see, by: the same by id.
local function consequence(id, all, by, processes, room, sum)
	local asked = by[id]
	if not asked then return { id = id, may = false, reason = "It is not there any more, or it is somebody else's." } end
	-- an activity ends with its job alone
	local row = asked.kind == "recipe" and asked.parent and by[asked.parent] or asked
	local below = below_of(all, row.id)
	local out = { id = id, kind = asked.kind, what = asked.what, user = asked.user, may = asked.ends[1] ~= nil, loses = json.array {}, also = json.array {},
		processes = json.array {}, memoryBytes = 0 }
	if not out.may then
		out.reason = why_not(asked)
		return out
	end
	out.verb = asked.ends[1]
	if row ~= asked then
		table.insert(out.loses, ("An activity ends with its job alone: %s."):format(row.what or row.id))
		table.insert(out.also, { id = row.id, kind = row.kind, what = row.what })
	end
	for _, text in ipairs(losses[row.kind] and losses[row.kind](row, below) or {}) do table.insert(out.loses, text) end
	local seen = {}
	local function add(r)
		local p = r.processId and processes[r.processId]
		if not p or seen[p.id] then return end
		seen[p.id] = true
		table.insert(out.processes, told(p, r, room))
		out.memoryBytes = out.memoryBytes + (p.memoryBytes or 0)
		if not sum.seen[p.id] then
			sum.seen[p.id] = true
			sum.bytes = sum.bytes + (p.memoryBytes or 0)
		end
	end
	add(row)
	for _, b in ipairs(below) do
		if b.id ~= id then table.insert(out.also, { id = b.id, kind = b.kind, what = b.what, state = b.state }) end
		add(b)
	end
	return out
end

local shape = { ids = { kind = "ids", required = true, most = IDS_MOST, bytes = ID_MAX } }

--- {"ids":["job:SALES/x", …]}: ids of rows of the board → {"rows":[…],"memoryBytes"}.
function M.preview(req)
	local b, why = body.read(req, shape)
	if not b then return errors.reply(req, 400, why) end
	fleet.processes(function(list)
		local all, by = json.decode(board.rows(not req.who.is_admin and req.who.login or nil)), {}
		for _, row in ipairs(all) do by[row.id] = row end
		local processes, room, sum, out = processes_by_id(list), { left = MEMBERS_ALL }, { bytes = 0, seen = {} }, {}
		for i, id in ipairs(b.ids) do out[i] = consequence(id, all, by, processes, room, sum) end
		req.reply(200, JSON, json.encode { rows = json.array(out), memoryBytes = sum.bytes })
	end)
end

return M
