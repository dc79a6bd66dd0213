-- events: on "task.ended" { where = "cause = oom_limit", act = notify "…" }: what is looked at when something happens, once each time. The
-- facts of an event are whom it is about, whose it is, and what it tells.
local S = require "dss.model.schema"
local nearest = require "dss.text.nearest"
local verbs = require "dss.model.verbs"
local where = require "dss.model.where"

local M = {}

local text, size, count, duration = { type = "text" }, { type = "size" }, { type = "count" }, { type = "duration" }
local process = { pool = text, pid = count }
local policies = { error = text, by = text }
local alert = { key = text, level = { type = "text", words = { "note", "warning", "error" } }, text = text, source = text }
local key = { user = text, admin = { type = "flag" }, by = text }

-- event → what it tells, beside subject and owner. As core/fleet and core/node tell them, in words of the policies: see `renamed`.
local all = {
	["task.submitted"] = { pool = text, type = text, title = text },
	["task.started"] = { kernel = text, attempt = count },
	["task.ended"] = { state = { type = "text", words = { "done", "failed", "aborted", "killed" } }, attempt = count, kernel = text, cause = text },
	["process.started"] = process,
	["process.ready"] = process,
	["process.exited"] = {
		pool = text, cause = text, text = text, by = text, code = count, signal = count, cpu = duration, peak = size, limit = size,
		limit_owner = text, victim_of = text,
	},
	["policies.taken"] = policies, ["policies.refused"] = policies,
	["policy.failed"] = { text = text, source = text },
	["policy.warned"] = { rule = text, verb = text, reason = text, source = text },
	["policy.notified"] = { rule = text, verb = text, reason = text, source = text },
	["alert.raised"] = alert, ["alert.cleared"] = alert,
	["key.made"] = key, ["key.revoked"] = key,
}
-- name in a fact's detail → name in a policy, and by what it is multiplied
local renamed = { cpuMs = { "cpu", 0.001 }, peakBytes = { "peak" }, limitBytes = { "limit" }, limitOwner = { "limit_owner" }, victimOf = { "victim_of" } }

for _, fields in pairs(all) do
	fields.subject, fields.owner, fields.clock = text, text, { type = "clock" }
end
local names = S.sorted_keys(all)
M.names = names

--- The facts that an event of that name tells; nil: there is no such event.
function M.facts(name) return all[name] end

--- Facts of an event: detail: its decoded JSON or nil; taken.
function M.read(name, subject, owner, detail, unix_s)
	local out = { subject = subject, owner = owner ~= "" and owner or nil, unix_s = unix_s }
	-- kernels are called by their pool's name and a number
	if name:find "^process%." then out.pool = subject:match "^(.+)%-%d+$" end
	for k, v in pairs(detail or {}) do
		local as = renamed[k] or { k }
		if all[name][as[1]] and type(v) ~= "table" then out[as[1]] = as[2] and v * as[2] or v end
	end
	return out
end

local shape = S.record {
	about = S.text { may_be_empty = true },
	mode = S.choice { words = { "simulate", "act" }, default = "act" },
	where = S.filter { live = true },
	act = S.tagged { tag = verbs.tag, live = true, required = true, wanted = "a verb with a reason (notify, keep) or a function" },
}

function M.words(source, model)
	return {
		on = source:named("on", function(name, t, line)
			local lines, functions, before = source:lines(line), {}, #source.errors
			local e = S.read(shape, t, { source = source, line = line, lines = lines, functions = functions })
			local fields = all[name]
			if not fields then
				local guess = nearest(name, names)
				source:report(line, ("on: there is no event %q%s"):format(name, guess and (", did you mean %q?"):format(guess)
					or "; there are " .. table.concat(names, ", ")))
			end
			if #source.errors > before then return end
			e.name, e.source, e.functions = name, source:at(line), functions
			e.where = where.compile(source, e.where, fields)
			if e.act then
				local trouble = verbs.trouble(e.act, "event", where.types(fields))
				if trouble then source:report(lines.act and lines.act.line or line, "act: " .. trouble) end
			end
			if functions.where then where.try(source, functions.where, fields, lines.where and lines.where.line or line) end
			if #source.errors == before then table.insert(model.events, e) end
		end),
	}
end

return M
