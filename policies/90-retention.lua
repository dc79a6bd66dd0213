-- Retention: how long what was is kept. What runs or waits is never touched. These are the defaults; without this file they hold too.

retention {
  tasks       = "30d",                        -- ended tasks, with payload and error
  results     = "7d",                         -- their results; no longer than tasks
  facts       = "30d",                        -- what happened: /api/events
  decisions   = "90d",                        -- what was decided and why, equal ones folded into one
  ledger      = "24h",                        -- each decision exactly as it was, for `dssctl policy replay`
  ledger_size = "256m",                       -- of those, at most
  job_logs    = "30d",                        -- jobs/PROJECT/ID, counted from the last line: of jobs, tasks and webapps that have ended
  runs        = "30d",                        -- runs of scenarios
  versions    = 200,                          -- sets of policies: `dssctl policy history`
}
