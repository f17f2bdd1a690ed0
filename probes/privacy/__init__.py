"""Where this vantage is, and what must not leave the machine."""
