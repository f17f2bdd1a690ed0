"""One file a protocol: what is measured at an endpoint that speaks it."""
