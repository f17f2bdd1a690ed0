"""Naming conventions of Prometheus, held over the list."""

from __future__ import annotations

import re

from monitor.metrics import families


def test_names_are_unique_prefixed_and_explained() -> None:
    assert len({metric.name for metric in families.ALL}) == len(families.ALL)
    for metric in families.ALL:
        assert re.fullmatch(r"reachwatch_[a-z_]+", metric.name)
        assert metric.help.endswith(".")
        assert (metric.kind == "counter") == metric.name.endswith("_total")


def test_every_metric_of_the_file_is_in_the_list() -> None:
    defined = {
        value for value in vars(families).values() if isinstance(value, families.MetricFamily)
    }
    assert defined == set(families.ALL)
