-- keeping: how long what was is kept: retention { tasks = "30d", results = "7d", … }. Without the word the defaults hold.
local S = require "dss.model.schema"

local M = {}

local HOUR, DAY = 3600000, 86400000

local function age(default) return S.duration { least = HOUR, default = default } end

local shape = S.record {
	tasks = age(30 * DAY),              -- ended tasks, with payload and error
	results = age(7 * DAY),             -- their results
	facts = age(30 * DAY),
	decisions = age(90 * DAY),          -- folded ones
	ledger = age(DAY),                  -- each decision exactly as it was, for replay
	ledger_size = S.size { least = 1 << 20, default = 256 << 20 },
	job_logs = age(30 * DAY),           -- in jobs/: of jobs, tasks and webapps that have ended
	runs = age(30 * DAY),
	usage = age(90 * DAY),              -- what processes used, hour by hour
	versions = S.int { least = 1, most = 100000, default = 200 }, -- policy sets
}

function M.defaults() return M.flat(S.read(shape, {}, { source = { report = function(_, _, text) error(text) end }, line = 0 })) end

--- With the names of core/fleet/retention.h.
function M.flat(r)
	return {
		tasks_ms = r.tasks, results_ms = r.results, facts_ms = r.facts, decisions_ms = r.decisions, ledger_ms = r.ledger,
		ledger_most_bytes = r.ledger_size, job_logs_ms = r.job_logs, runs_ms = r.runs, usage_ms = r.usage, versions = r.versions,
	}
end

function M.words(source, model)
	return {
		retention = source:single("retention", model, function(t, line)
			local lines, before = source:lines(line), #source.errors
			local r = S.read(shape, t, { source = source, line = line, lines = lines })
			if #source.errors > before then return end
			if r.results > r.tasks and t.results ~= nil then
				source:report(lines.results and lines.results.line or line, "results: longer than tasks, and no result is kept longer than its task")
			end
			r.results = math.min(r.results, r.tasks)
			model.retention = M.flat(r)
		end),
	}
end

return M
