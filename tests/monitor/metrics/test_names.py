"""Naming conventions of Prometheus, held over the list."""

from __future__ import annotations

import re

from monitor.metrics import names


def test_names_are_unique_prefixed_and_explained() -> None:
    assert len({metric.name for metric in names.ALL}) == len(names.ALL)
    for metric in names.ALL:
        assert re.fullmatch(r"reachwatch_[a-z_]+", metric.name)
        assert metric.help.endswith(".")
        assert (metric.kind == "counter") == metric.name.endswith("_total")


def test_every_metric_of_the_file_is_in_the_list() -> None:
    defined = {value for value in vars(names).values() if isinstance(value, names.Metric)}
    assert defined == set(names.ALL)
