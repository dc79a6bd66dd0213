-- ML training: a Python process for each algorithm of a model, started for it and gone after it. It needs Debian's python3-sklearn; where that is
-- not installed the training says so.
pool "training" {
  about   = "ML training: a process per model, by scikit-learn",
  kernel  = python { module = "doctor.server" },  -- env = { OMP_NUM_THREADS = "4" } lets one take four cores
  limits  = { memory = "1g",                      -- of those whose model says none
              memory_max = "4g",                  -- the most that limits.memory of a model may say
              swap = "0", threads = 256 },
  warm    = { min = 0, max = 0 },                 -- started when one is wanted: an hour's work does not wait for half a second
  max     = math.max(2, machine.cores // 2),      -- at once; more wait, and say why
  recycle = { after_tasks = 1 },
}
