"""Naming conventions of Prometheus, held over all metrics."""

from __future__ import annotations

import re

from tests.monitor.metrics.defined import SERVED


def test_names_are_unique_prefixed_and_explained() -> None:
    assert len({metric.name for metric in SERVED}) == len(SERVED)
    for metric in SERVED:
        assert re.fullmatch(r"reachwatch_[a-z_]+", metric.name)
        assert metric.help.endswith(".")
        assert (metric.kind == "counter") == metric.name.endswith("_total")
