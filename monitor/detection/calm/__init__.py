"""Networks in which nobody is alarmed, as columns: most of a large fleet, most of the time."""
