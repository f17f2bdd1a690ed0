"""Alert rules, written in code and generated for Prometheus."""
