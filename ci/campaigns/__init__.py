"""Long runs of generated cases and faults, each repeatable by its seed."""
