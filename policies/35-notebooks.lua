-- Notebooks: kernels that nobody needs give their memory back; one that nears its limit is told, interrupted, and only then ended.
--
-- quiet: nothing happened at all, nobody is connected. silent: no cell and no processor time, whoever is connected. Both are unknown, and the rule
-- skips the notebook, while the server cannot be asked, the kernel starts, or its box was not measured: nobody is idle on missing knowledge.
-- What a rule ends is looked at once more right before. `dssctl keep SESSION 8h` keeps one; docs/notebooks.md tells the rest.

-- What ends somebody's kernel is simulated as it comes: `dssctl why --would` after a week, then make it "act".
rule "idle notebooks" {
  about = "Left alone, kernels of forgotten notebooks hold most of a node's memory",
  mode  = "simulate",
  every = "10min", each = "notebook",
  where = "not leased and not busy and (quiet > 12h or (silent > 3d and connected))",
  warn  = "30min",                                            -- its user gets an event, and may keep it
  act   = unload "nobody used it for {silent}; it held {memory}",
}

rule "dead notebooks" {
  about = "The process is gone, the server still shows it",
  mode  = "simulate",
  every = "10min", each = "notebook",
  where = "state = dead",
  act   = unload "its process is gone",
}

-- A soft landing: its box's limit ends a kernel and all its variables; before that there is time for less. Each step is in `dssctl why`, and an event
-- to its user.
rule "notebook near its limit" {
  every = "5s", each = "notebook",
  where = "memory > 80% of limit",
  act   = notify { reason = "{notebook} of {user} uses {memory} of {limit}: at the limit its kernel ends, with all variables", level = "note" },
}

rule "notebook at its limit: interrupt" {
  mode  = "simulate",
  every = "5s", each = "notebook",
  where = "busy and memory > 90% of limit",
  act   = interrupt "it used {memory} of {limit}: its cell was interrupted before the limit would have ended the kernel; its variables are still there",
}

rule "notebook at its limit: unload" {
  mode  = "simulate",
  every = "5s", each = "notebook",
  where = "memory > 97% of limit and not leased",
  act   = unload "it used {memory} of {limit}, and interrupting its cell did not help",
}
