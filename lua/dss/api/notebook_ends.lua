-- notebook_ends: how kernels of a notebook ended, newest first, from what was told of it then: so also of one that is closed, whose kernel is gone, or
-- that was renamed. Each sees what is his and what is everybody's, admins all.
local errors = require "dss.api.errors"
local json = require "bind.json"
local notebooks = require "bind.notebooks"

local PAIR_MS = 60000 -- the order to unload is told that long after its kernel's end at most, or before it
local WORD_MAX = 2000

local M = {}

--- The order that ended the kernel; it is told apart, by the session that it was about. Taken out of the list.
local function order_of(ended, orders)
	for i, o in ipairs(orders) do
		if o.detail.kernelId == ended.subject and math.abs(o.at - ended.at) <= PAIR_MS then return table.remove(orders, i) end
	end
end

local function in_words(cause, message, order)
	if message and (cause:find "^oom_" or not order) then return message end
	if not order then return ("It ended (%s)."):format(cause) end
	local d = order.detail
	if d.cause == "policy" then return ("Unloaded by %s"):format(d.reason or "a policy") end
	return ("Unloaded by %s."):format(d.by ~= "" and d.by or d.cause or "somebody")
end

local function of_end(row, order)
	local d, o = row.detail, order and order.detail or {}
	local cause = d.cause or "unknown"
	return {
		at = row.at, notebook = d.notebook, project = d.project, user = row.owner or o.user, kernelId = row.subject, session = order and order.subject or d.session,
		processId = d.process, cause = order and not cause:find "^oom_" and o.cause or cause, by = o.by, text = in_words(cause, d.message, order),
		peakBytes = d.peakBytes, limitBytes = d.limitBytes,
	}
end

--- Of a server that is only attached to: no process of ours ended.
local function of_order(row)
	local d = row.detail
	return { at = row.at, notebook = d.notebook, project = d.project, user = d.user, kernelId = d.kernelId, session = row.subject, cause = d.cause, by = d.by,
		text = in_words("", nil, row) }
end

--- Facts as bind.notebooks has them, newest first → ends, newest first.
function M.ends(facts)
	local orders, out = {}, {}
	for _, f in ipairs(facts) do
		if f.what == "notebook.unloaded" then orders[#orders + 1] = f end
	end
	for _, f in ipairs(facts) do
		if f.what == "notebook.ended" then out[#out + 1] = of_end(f, order_of(f, orders)) end
	end
	for _, o in ipairs(orders) do out[#out + 1] = of_order(o) end
	table.sort(out, function(a, b)
		if a.at ~= b.at then return a.at > b.at end
		return a.kernelId < b.kernelId
	end)
	return out
end

--- ?of=: a notebook's path, also an earlier one; or the id of a session, a kernel, a process.
function M.list(req)
	local word = req.query.of
	if not word or word == "" then return errors.reply(req, 400, "of is missing: a notebook's path, or the id of a session, a kernel or a process") end
	if #word > WORD_MAX then return errors.reply(req, 400, ("of is longer than %d bytes"):format(WORD_MAX)) end
	notebooks.ends(word, not req.who.is_admin and req.who.login or nil, function(text, why)
		if not text then return errors.reply_answer(req, "unavailable", why) end
		req.reply(200, "application/json;charset=utf-8", json.encode(json.array(M.ends(json.decode(text)))))
	end)
end

return M
