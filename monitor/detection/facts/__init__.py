"""What the observations of one measurement say, before any rule is asked."""
