"""The detector as a process: closes rounds, folds them, publishes events and retests."""
