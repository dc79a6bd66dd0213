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
