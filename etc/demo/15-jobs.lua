-- Job kernels: JVMs that wait warm, take a job, and ask for a process of its own for each recipe.
pool "jek" {
  about   = "Job kernels: a job each; recipes run in boxes of their own",
  kernel  = java { main = "DSSJobKernelMain", heap = "128m" },
  limits  = { memory = "384m", swap = "0", threads = 512 },
  warm    = { min = 1, max = 2 },
  max     = 8,
  recycle = { after_tasks = 50, age = "8h" },
}

-- Recipes are processes beside their kernel: how many jobs run at once is said here.
slots "jobs of a project" { where = "kind = job", each = "project", max = 5 }
