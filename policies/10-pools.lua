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

-- Values may be functions (docs/policies.md): few kernels at night, more as tasks come in, and a fresh one for whoever has grown.
--
--   warm    = { min = function (pool) return pool.clock.hour >= 7 and math.min(4, 1 + math.ceil(pool.demand)) or 1 end, max = 4 },
--   recycle = function (k) if k.memory > bytes "700m" then return retire "it has grown over 700 MB" end end,
--
-- Java tasks, once a JDK built kernels/java; the box needs 1.25 times the heap or more:
--
--   pool "jek" { kernel = java { heap = "512m" }, limits = { memory = "768m" }, warm = { min = 1, max = 2 }, max = 4 }
