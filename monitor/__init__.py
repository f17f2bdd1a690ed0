"""What the research centre runs: collects facts, draws conclusions, shows them."""
