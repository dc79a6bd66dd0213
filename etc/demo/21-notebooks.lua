-- Notebooks: each kernel in a box of its own, all of a person's in one above it. Who eats all he finds ends alone, and reads by how much.
box "a kernel" {
  at     = "notebooks/${user}/${kernel}",
  memory = math.max(bytes "512m", machine.total // 8),
}

box "a person's notebooks" {
  at      = "notebooks/${user}",
  memory  = math.max(bytes "1g", machine.total // 4),
  cpu     = math.max(1, machine.cores // 2),
  threads = 4096,
}

-- The soft landing of policies/35-notebooks.lua is simulated as it comes; here its first step is taken: the cell is interrupted, the variables stay.
rule "demo: a notebook at its limit" {
  every = "5s", each = "notebook",
  where = "busy and memory > 85% of limit",
  act   = interrupt "it used {memory} of {limit}: its cell was interrupted before the limit would have ended the kernel; its variables are still there",
}
