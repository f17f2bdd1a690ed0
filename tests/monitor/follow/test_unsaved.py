"""An hour is stored whole, unless it is very large; what is packed is what was read."""

from __future__ import annotations

import pytest

from monitor.follow import unsaved
from monitor.follow.layout import HOUR_MS
from monitor.follow.unsaved import Unsaved
from monitor.store.batches import lines_of
from monitor.store.followed import FollowedFile
from tests.monitor.store.samples import admitted

FILE = FollowedFile(
    source="ooni", name="a.n0.0", hour=HOUR_MS, version="e1", lines=1, runs=1, ended=True
)
READ = [(one.stored.measurement, one.line) for one in map(admitted, range(1, 8))]


def test_an_hour_waits_for_its_rest_but_not_for_long() -> None:
    held = Unsaved()
    assert not held.is_old(10**12)
    held.note(FILE, 1000)
    held.add([READ[0]], FILE, 30_000)
    assert [held.is_old(1000 + ms) for ms in (0, 59_999, 60_000)] == [False, False, True]


def test_what_is_packed_is_what_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unsaved, "PACKED", 3)
    monkeypatch.setattr(unsaved, "MOST", 6)
    held = Unsaved()
    fullness = []
    for now, measured in enumerate(READ, 100):
        held.add([measured], FILE, now)
        fullness.append(held.is_full)
    assert fullness == [False] * 5 + [True] * 2
    assert held.files == [FILE] * len(READ)
    batches = held.batches()
    assert [batch.lines for batch in batches] == [3, 3, 1]
    # One time for all that is packed together.
    assert [batch.received for batch in batches] == [100, 103, 106]
    assert {batch.source for batch in batches} == {"ooni"}
    lines = [line for batch in batches for line in lines_of(batch.payload, 1)]
    assert lines == [line for _, line in READ]
    ids = [envelope.id for batch in batches for _, envelope in batch.entries]
    assert ids == [measurement.id for measurement, _ in READ]
