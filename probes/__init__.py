"""What a volunteer runs: measures, spools, publishes. Knows nothing of verdicts."""
