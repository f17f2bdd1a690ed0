"""How many files and types of the project a measurement passes from the probe's bytes to the page.

A limit here is lowered when the way becomes straighter. Whoever raises it says in the commit why
one concept more is on the way.
"""

from __future__ import annotations

import pytest

from tests.way_of_a_measurement import Way, way_of_a_measurement

FILES, TYPES = 106, 37
STATIONS = (
    "collector/unpack",
    "store/facts",
    "detection/judge/target",
    "detection/events/fold",
    "store/conclusions",
    "web/pages/measurement",
    "web/pages/event",
)
HOLDERS = (
    "collector.unpack.UnpackedBatch",
    "detection.observed.view.AddressView",
    "detection.model.Fact",
    "detection.model.Event",
)


@pytest.fixture(scope="module")
def way() -> Way:
    return way_of_a_measurement()


def test_it_enters_few_files(way: Way) -> None:
    files = way.files
    assert {f"monitor/{station}.py" for station in STATIONS} <= set(files)
    assert len(files) <= FILES, "\n".join(files)


def test_few_types_hold_it(way: Way) -> None:
    types = way.types
    assert {f"monitor.{holder}" for holder in HOLDERS} <= set(types)
    assert len(types) <= TYPES, "\n".join(types)


def test_what_is_not_of_it_is_not_counted(way: Way) -> None:
    assert not {"monitor.detection.policy.Policy", "monitor.store.records.Probe"} & set(way.types)
    assert "monitor/store/lease.py" not in way.files
