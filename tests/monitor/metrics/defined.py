"""The metrics that the program has."""

from __future__ import annotations

from monitor.metrics import families, process
from monitor.metrics.families import MetricFamily

SERVED = [each for each in vars(families).values() if isinstance(each, MetricFamily)]
"""Of the web servers."""
OF_PROCESSES = [
    each for each in vars(process).values() if isinstance(each, MetricFamily) and each not in SERVED
]
"""Of collectors and detectors, besides."""
