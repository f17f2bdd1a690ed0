"""From the facts of one measurement to a verdict per target."""
