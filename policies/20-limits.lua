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

-- Recipes and webapps run in a tree of real boxes, run/jobs/PROJECT/JOB/… and run/webapps/PROJECT/…, and each level may be limited (`dssctl boxes`
-- shows them). Nothing is by default but what project.lua says of its own processes. Good to have on a node that people share:
--
--   box "all jobs"         { at = "jobs", memory = machine.total // 2 }
--   box "a project's jobs" { at = "jobs/${project}", memory = machine.total // 4, cpu = math.max(1, machine.cores // 2), threads = 4096 }
--   box "a project's apps" { at = "webapps/${project}", memory = "4g", cpu = 1 }
--
-- Kernels of notebooks live in run/notebooks/PERSON/KERNEL. One that eats all it finds takes only itself along:
--
--   box "a kernel"             { at = "notebooks/${user}/${kernel}", memory = machine.total // 8 }
--   box "a person's notebooks" { at = "notebooks/${user}", memory = machine.total // 4, cpu = math.max(1, machine.cores // 2) }
--   place "R apart"            { where = "kind = notebook and kernel_spec = ir", at = "notebooks-r/${user}" }
--
-- or by person, whatever the project:
--
--   place "by person"      { at = "users/${user}" }
--   box "a person's share" { at = "users/${user}", memory = "16g", cpu = 4 }
