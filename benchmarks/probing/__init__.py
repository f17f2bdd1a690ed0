"""What a probe costs, beside a peer that does the same work."""
