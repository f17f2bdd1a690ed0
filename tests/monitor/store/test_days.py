from __future__ import annotations

import datetime as dt

from monitor.store.database import Database
from monitor.store.days import DAY_MS, date_of, day_from, day_of
from monitor.store.records import Added
from tests.monitor.store.samples import NOON, admitted, id_of


def test_days_and_dates() -> None:
    assert day_of(0) == day_of(DAY_MS - 1) == 0
    assert date_of(day_of(1_790_000_000_000)) == dt.date(2026, 9, 21)
    assert day_from(date_of(20_000)) == 20_000


async def test_an_id_is_known_within_its_day(store: Database) -> None:
    """The same bytes have the same round; a probe that gives one id to two rounds has two
    measurements, and whoever asks for the id gets the first."""
    first, other = admitted(1), admitted(1, at=NOON + DAY_MS)
    assert await store.facts.add([first], []) == Added(1, 0, 0)
    assert await store.facts.add([other], []) == Added(1, 0, 0)
    assert await store.facts.add([first, other], []) == Added(0, 1, 1)
    found = await store.facts.measurement(id_of(first))
    assert found is not None
    assert found[1] == first.line
