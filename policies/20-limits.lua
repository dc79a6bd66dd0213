-- Limits: how much of the node one user, project or tag may use at once, so that there is room for the others.
--
-- A task that is over a limit waits, and `dssctl tasks` says for whom and for what. Keys and conditions are looked at once, when a task is
-- submitted: they may ask for kind, type, pool, user, project, tags, title, priority, memory (docs/filters.md).

slots "a user's tasks" {
  each = "user",                              -- or "project", "pool", "tag:team:", or a function of the task; without: one for all
  max  = math.max(6, machine.cores * 3),      -- at work at once, for each
}

-- Kernels are never moved, so a box keeps the sum of its kernels' limits: here, one user's.
box "a user's memory" {
  each   = "user",
  memory = math.max(bytes "2g", machine.total * 3 // 4),
}

-- More of the kind:
--
--   slots "nightly work" { where = "tags = nightly", max = 2 }
--   slots "licences"     { where = "tags = sas", each = "project", max = function (project) return project == "SALES" and 5 or 1 end }
