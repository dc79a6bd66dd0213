-- Pools: kernels that wait warm, so that work which may blow its memory runs beside the backend and never in it.
--
-- This file is read again as soon as it is saved. A mistake changes nothing: `dssctl` and run/backend.log name the line, and
-- the set that was good stays in force.

pool "fek" {
  about   = "Future kernels: one task each, in a box of its own",
  kernel  = python {},                        -- or python { bin = "/opt/venv/bin/python", path = { "/srv/tasks" } }
  limits  = { memory = "1g",                  -- each kernel; one that passes it is killed alone, and its owner reads why
              memory_max = "4g",              -- up to what a task may ask for with limits.memory
              swap = "0", threads = 512 },
  warm    = { min = 2, max = 4 },             -- idle and waiting; a taken one is replaced at once
  max     = 8,                                -- alive at once, warm and busy
  recycle = { after_tasks = 1 },              -- a fresh kernel for every task; or { after_tasks = 50, age = "8h", memory = "800m" }
}
