-- Rules: what is looked at again and again, and what is done where a condition holds.
--
-- A fact that is not known skips whoever it is about; it never counts as zero. Each answer is kept with the facts it was made from, also
-- "not now": `dssctl why rule "idle and large"`, `dssctl why fek-12`. Change mode to "simulate" and a rule only says what it would do:
-- `dssctl why --would`. At most 20 acts at once; what is more waits for the next time.

rule "idle and large" {
  about = "A kernel that waits while it holds most of its box helps nobody: a fresh one takes its place",
  every = "1min", each = "kernel",
  where = "state = idle and idle > 5min and memory > 80% of limit",
  act   = retire "idle for {idle}, holding {memory} of {limit}",
}

rule "waits long" {
  every = "1min", each = "task",
  where = "state = queued and waiting > 10min",
  act   = notify "waits for {waiting}: {reason}",           -- an alert; its owner gets an event
}

rule "runs long" {
  every = "10min", each = "task",
  where = "running > 12h",
  act   = notify { reason = "of {user} runs for {running}", level = "note" },
}

-- What ends somebody's work is simulated as it comes: watch it for a week, then make it "act". The owner is told 12 h before.
rule "runs for days" {
  mode  = "simulate",
  every = "10min", each = "task",
  where = "running > 3d",
  warn  = "12h",
  act   = abort "it runs for {running}",
}

-- Not again and again, but once each time: when something happens.
on "process.exited" {
  where = "cause = oom_host",
  act   = notify { reason = "{subject} was killed because the machine itself ran out of memory", level = "error" },
}

-- Who may see or abort what is not theirs, beside admins:
--
--   access "operators" { users = { "olga" }, may = { "see", "abort" }, where = "project = SALES" }
