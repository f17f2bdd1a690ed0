"""How many files and types of the project a measurement passes from the probe's bytes to the page.

A limit here is lowered when the way becomes straighter. Whoever raises it says in the commit why
one concept more is on the way.
"""

from __future__ import annotations

import pytest

from tests.way_of_a_measurement import Way, way_of_a_measurement

FILES, TYPES = 75, 26
"""Which its own values enter, and which hold it alone."""
ALL_FILES, ALL_TYPES = 119, 46
"""With those that have it among others."""
STATIONS = (
    "collector/unpack",
    "store/facts",
    "detection/judge/target",
    "detection/events/fold",
    "store/cells",
    "web/pages/measurement",
)
HOLDERS = (
    "collector.message_queue.Received",
    "detection.observed.view.AddressView",
    "detection.model.Fact",
)
SUMMARIES = {"monitor/detection/events/life.py", "monitor/text/event_headlines.py"}
SUMMARY_TYPES = {"monitor.detection.events.state.ServiceState", "monitor.detection.model.Event"}


@pytest.fixture(scope="module")
def way() -> Way:
    return way_of_a_measurement()


def test_its_values_enter_few_files(way: Way) -> None:
    files = way.files
    assert {f"monitor/{station}.py" for station in STATIONS} <= set(files)
    assert len(files) <= FILES, "\n".join(files)


def test_few_types_hold_it(way: Way) -> None:
    types = way.types
    assert {f"monitor.{holder}" for holder in HOLDERS} <= set(types)
    assert len(types) <= TYPES, "\n".join(types)


def test_what_has_it_among_others_is_told_apart(way: Way) -> None:
    assert set(way.summary_files) >= SUMMARIES
    assert set(way.summary_types) >= SUMMARY_TYPES
    files, types = way.files + way.summary_files, way.types + way.summary_types
    assert len(files) <= ALL_FILES, "\n".join(files)
    assert len(types) <= ALL_TYPES, "\n".join(types)


def test_what_is_not_of_it_is_not_counted(way: Way) -> None:
    types, files = way.types + way.summary_types, way.files + way.summary_files
    assert not {"monitor.detection.policy.Policy", "monitor.store.records.Probe"} & set(types)
    assert not {"monitor/store/lease.py", "monitor/detection/events/baseline.py"} & set(files)
