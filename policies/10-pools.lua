-- Pools: kernels that wait warm, so that work which may blow its memory runs beside the backend and never in it.
--
-- This file is read again as soon as it is saved. A mistake changes nothing: `dssctl policy`, the alerts and run/backend.log name the line,
-- and the set that was good stays in force. `dssctl policy check` tells before you save. Every word stands in docs/policies.md.

-- Numbers may be reckoned: `machine` is this node. Two cores: 8 kernels at most; 64 cores: 256, or as many as 3/4 of the memory hold.
local most = math.max(2, math.min(machine.cores * 4, machine.total * 3 // 4 // bytes "1g"))

pool "fek" {
  about   = "Future kernels: one task each, in a box of its own",
  kernel  = python {},                        -- or python { bin = "/opt/venv/bin/python", path = { "/srv/tasks" } }
  limits  = { memory = "1g",                  -- each kernel; one that passes it is killed alone, and its owner reads why
              memory_max = "4g",              -- up to what a task may ask for with limits.memory
              swap = "0", threads = 512 },
  warm    = { min = 2,                        -- idle and waiting; a taken one is replaced at once
              max = math.max(4, machine.cores // 2) },
  max     = most,                             -- alive at once, warm and busy
  recycle = { after_tasks = 1 },              -- a fresh kernel for every task; or { after_tasks = 50, age = "8h", memory = "800m" }
}

-- Values may be functions, asked again as the node changes: few kernels at night, more as tasks come in, a fresh one for whoever has grown.
-- With ready_for the stock follows the measured demand by itself.
--
--   warm    = { min = function (pool) return pool.clock.hour >= 7 and math.min(4, 1 + math.ceil(pool.demand)) or 1 end, max = 4 },
--   warm    = { min = 1, max = 8, ready_for = "99%" },
--   recycle = function (k) if k.memory > bytes "700m" then return retire "it has grown to {memory}" end end,
--
-- Java tasks, once a JDK built kernels/java; the box needs 1.25 times the heap or more:
--
--   pool "jek" { kernel = java { heap = "512m" }, limits = { memory = "768m" }, warm = { min = 1, max = 2 }, max = 4 }
