-- logs: what a task printed. A task of type `command` has a log of its own, in which standard output and error stand as they came.
--
-- The answer is raw bytes. Log-Offset: where they begin; Log-Size: how long the log is now; Log-Whole: true once the task has ended and
-- these bytes reach the log's end. A log over its cap keeps its head and its tail: it may become shorter while it is followed.
local auth = require "dss.api.auth"
local errors = require "dss.api.errors"
local fleet = require "bind.fleet"
local json = require "bind.json"
local logs = require "bind.logs"
local id = require "dss.text.id"

local CHUNK = 256 * 1024
local WAIT_MAX_S = 60
local OFFSET_MAX = 1 << 53

local M = {}

local function does_not_exist(req, task) errors.reply(req, 404, ("Future %s does not exist"):format(task)) end

local function read_int(text, otherwise, least, most)
	local n = math.tointeger(tonumber(text or otherwise))
	return n and n >= least and n <= most and n or nil
end

--- A task whose output is not its own: where it is instead.
local function has_none(req, task, f)
	local state = json.decode(f.json) or {}
	if state.type == "command" or state.type == "train" then return false end
	local kernel = type(state.kernel) == "string" and (", lines of [%s]"):format(state.kernel) or ""
	errors.reply(req, 404, ("Task %s has no log of its own: what a %s task prints stands in run/backend.log%s"):format(task, state.type or "?", kernel))
	return true
end

local function show(req, task, offset, wait)
	-- the state first: what an ended task printed is all there
	fleet.get(task, false, function(answer, f, why)
		if answer == "not_found" or (f and not auth.may(req.who, f.owner, "see", f.facts)) then return does_not_exist(req, task) end
		if not f then return errors.reply_answer(req, answer, why) end
		if has_none(req, task, f) then return end
		M.reply(req, offset, wait, function(...) return logs.read(task, ...) end, f.ended == true, function(start, seconds)
			logs.wait("RUN", task, task, start, seconds, function() show(req, task, start, 0) end, req.who.login)
		end)
	end)
end

--- offset and seconds of a request for a piece, or nil and why.
function M.asked(req)
	local offset = read_int(req.query.offset, 0, -OFFSET_MAX, OFFSET_MAX)
	if not offset then return nil, "offset has to be a whole number" end
	local wait = read_int(req.query.wait, 0, 0, 1 << 31)
	if not wait then return nil, "wait has to be a whole number of seconds" end
	return offset, math.min(wait, WAIT_MAX_S)
end

--- Replies with a piece. read(offset, most) → bytes, size | nil, why; has_ended: nothing more will come (nil: that is never known);
-- await(start, seconds): waits for more and asks once more, where that is to be.
function M.reply(req, offset, wait, read, has_ended, await)
	local bytes, size = read(offset, CHUNK)
	if not bytes then return errors.reply(req, 500, size) end
	local start = offset >= 0 and math.min(offset, size) or math.max(0, size + offset)
	if bytes == "" and offset <= size and not has_ended and wait > 0 then return await(start, wait) end
	req.reply(200, "application/octet-stream", bytes, {
		["Log-Offset"] = ("%d"):format(start), ["Log-Size"] = ("%d"):format(size),
		["Log-Whole"] = has_ended ~= nil and tostring(has_ended and start + #bytes >= size) or nil,
	})
end

function M.get(req, task)
	if not id.is_id(task) or #task > 31 then return does_not_exist(req, task) end
	local offset, wait = M.asked(req)
	if not offset then return errors.reply(req, 400, wait) end
	show(req, task, offset, wait)
end

return M
