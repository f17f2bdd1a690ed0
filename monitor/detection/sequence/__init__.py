"""From verdicts over time to events: sequential tests, gates, quorum."""
