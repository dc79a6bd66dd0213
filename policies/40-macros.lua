-- Macros: what people run by hand, from a script (`dssctl macro run NAME`), or by a rule. Each decides about one thing after the other, as a rule does, and
-- answers a table of what it did and why. With `simulate` (the default) it only says what it would do: `--act` on the command line does it.

macro "kill-idle-notebooks" {
  label  = "Unload idle notebooks",
  about  = "Ends kernels of notebooks that nobody uses: without a client or a cell for max_idle, or alive for longer than max_age; clears "
    .. "sessions whose kernel is dead",
  who    = "project",
  each   = "notebook",
  params = {
    max_idle        = duration { default = "12h", about = "Unload what was idle for that long" },
    max_age         = duration { default = "100d", about = "Unload what is older, idle or not" },
    spare_busy      = flag { default = true, about = "Keep what runs a cell, or uses the processor" },
    spare_connected = flag { default = true, about = "Keep what a client is connected to" },
    spare_leased    = flag { default = true, about = "Keep what its user asked to keep (dssctl keep); false: unload it all the same" },
    simulate        = flag { default = true, about = "Only say what would be unloaded" },
  },
  columns = { "notebook", "project", "user", "state", "age", "quiet", "silent", "memory" },
  run = function (n, params)
    local is_busy = n.busy -- where nobody knows it, the notebook is skipped, whatever the params say
    local is_kept = n.leased -- only who looked at it may unload what is kept
    if n.state == "dead" then return unload "its kernel is dead: nothing is left to lose" end
    if params.spare_leased and is_kept then return keep "its user asked to keep it" end
    if params.spare_busy and is_busy then return keep "it runs a cell" end
    if params.spare_busy and n.silent < math.min(seconds "15s", params.max_idle) then return keep "it uses the processor" end
    if params.spare_busy and n.silent < math.min(seconds "1min", params.max_idle) then return keep "it was at work {silent} ago" end
    if params.spare_connected and n.connected then return keep "a client is connected" end
    local though = is_kept and ", though its user keeps it" or ""
    if n.age > params.max_age then return unload("it is {age} old" .. though) end
    -- silent: no cell and no processor time, so a computation that goes on after its cell is at work; quiet: no client either
    local idle = params.spare_connected and math.min(n.quiet, n.silent) or n.silent
    if idle > params.max_idle then return unload("idle: quiet for {quiet}, silent for {silent}, holding {memory}" .. though) end
    return keep "quiet for {quiet}, silent for {silent}"
  end,
}

macro "clear-job-logs" {
  label  = "Clear logs of jobs",
  about  = "Removes logs in jobs/ of jobs, tasks and webapps that have ended; `retention { job_logs = … }` does so by itself",
  who    = "project",
  each   = "job_log",
  params = {
    age      = duration { default = "30d", about = "Older ones go, counted from their last line" },
    least    = size { default = "0", about = "Only those that are larger" },
    simulate = flag { default = true, about = "Only say what would be removed" },
  },
  columns = { "project", "name", "size", "age" },
  run = function (log, params)
    if log.age <= params.age or log.size < params.least then return end
    if log.open then return keep "it is still written" end
    return delete "its last line is {age} old"
  end,
}

macro "clear-tmp" {
  label  = "Clear temporary files",
  about  = "Removes files that users' code left in folders for temporary files; they are the run user's own, and none that a process has open",
  who    = "admin",
  each   = "tmp_file",
  params = {
    age      = duration { default = "7d", about = "Those that nobody has read or written for so long go" },
    folders  = text { default = "/tmp:/var/tmp", about = "Where to look, absolute paths with colons between" },
    simulate = flag { default = true, about = "Only say what would be removed" },
  },
  columns = { "id", "size", "age" },
  run = function (file, params)
    if file.age <= params.age then return end
    if file.open then return keep "a process uses it" end
    return delete "untouched for {age}"
  end,
}

macro "diagnosis" {
  label  = "Diagnosis",
  about  = "One archive for whoever is to help: versions, configuration and policies without secrets, ends of logs, lists, what the machine is",
  who    = "admin",
  result = "file",
  makes  = "diagnosis",
}

-- By a rule, every night; its runs are in `dssctl macros`, what it decided in `dssctl why`:
--
--   rule "tidy" { every = "24h", each = "node", act = macro("clear-tmp", { age = "14d", simulate = false }) }
