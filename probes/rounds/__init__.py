"""When and what is measured: rounds, retests, liveness, and the traffic budget."""
