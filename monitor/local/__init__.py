"""Child processes of `reachwatch up`: the local probe."""
