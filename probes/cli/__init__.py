"""Commands of `reachprobe`, and how their options are given."""
