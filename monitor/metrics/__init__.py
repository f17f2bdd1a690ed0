"""Prometheus metrics: names in one file, values computed at scrape."""
