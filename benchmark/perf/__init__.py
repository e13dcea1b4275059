"""How fast coterie is on this machine: the parts of `coterie perf`, and scripts that measure loading and tracking."""
