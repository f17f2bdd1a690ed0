"""Second measurements after a failure, which tell one cause from another."""
