"""Topic names there and back."""

from __future__ import annotations

import pytest

from probes.wire import topics


def test_names_are_those_of_the_interface() -> None:
    assert topics.measurements("p-1") == "reachwatch/v1/m/p-1"
    assert topics.ack("p-1") == "reachwatch/v1/ack/p-1"
    assert topics.status("p-1") == "reachwatch/v1/status/p-1"
    assert topics.retest("RU", 64501) == "reachwatch/v1/retest/RU/64501"
    assert topics.events("wechat", "RU") == "reachwatch/v1/events/wechat/RU"


@pytest.mark.parametrize(
    ("topic", "probe"),
    [
        ("reachwatch/v1/m/p-1", "p-1"),
        ("reachwatch/v1/status/p-1", "p-1"),
        ("reachwatch/v1/ack/p-1", "p-1"),
        ("reachwatch/v1/m/", None),
        ("reachwatch/v1/m/a/b", None),
        ("reachwatch/v2/m/p-1", None),
        ("", None),
    ],
)
def test_probe_of_a_topic(topic: str, probe: str | None) -> None:
    assert topics.probe_of(topic) == probe
