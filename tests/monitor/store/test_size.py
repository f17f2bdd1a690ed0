from __future__ import annotations

from monitor.store.database import Database
from monitor.store.days import DAY_MS, day_of
from monitor.store.size import StoreSize, TableSize, forecast, size
from tests.monitor.store.samples import NOON, admitted

TODAY = day_of(NOON)


async def test_size_counts_rows_and_bytes(store: Database, url: str) -> None:
    # Of a database that other tests have used, the partitions of their days are there still.
    before = {each.table: each.bytes or 0 for each in (await size(url)).tables}
    await store.facts.add([admitted(n, at=NOON - n // 150 * DAY_MS) for n in range(300)], [])
    found = await size(url)
    sizes = {each.table: each for each in found.tables}
    assert sizes["measurement"].rows == 300
    assert sizes["event"].rows == 0
    weight = sizes["measurement"].bytes
    # None only where this build of SQLite has no dbstat. The partitions of days that are made ahead
    # take their pages as well.
    assert weight is None or 300 * 100 < weight - before["measurement"] < 300 * 2500
    assert found.days == ((TODAY - 1, 150), (TODAY, 150))
    assert found.bytes >= sum(each.bytes or 0 for each in found.tables)
    expected = forecast(found, 90)
    assert expected is not None
    assert (expected.per_day, expected.days) == (150, 1)


def test_a_forecast_is_what_the_last_days_say() -> None:
    """A thousand measurements a day, 300 bytes each, of which 30 stay."""
    tables = (TableSize("batch", 10, 2_700_000), TableSize("cell", 5, 300_000))
    days = tuple((TODAY - n, 1000) for n in reversed(range(10)))
    found = StoreSize(tables, 3_500_000, 500_000, days)
    expected = forecast(found, 90)
    assert expected is not None
    assert (expected.per_day, expected.days) == (1000, 7)
    assert (round(expected.bytes_each), round(expected.kept_each)) == (300, 30)
    assert expected.steady == 90 * 1000 * 300
    assert expected.steady_after_a_year == expected.steady + 275 * 1000 * 30
    assert expected.unpruned == 3_000_000 + 365 * 1000 * 300
    # Days without a measurement count: a fleet that measures every other day grows half as much.
    half = StoreSize(tables, 3_000_000, 0, days[::2])
    expected = forecast(half, 90)
    assert expected is not None
    assert expected.per_day == 429


def test_nothing_is_foretold_before_a_day_is_over() -> None:
    assert forecast(StoreSize((), 0, 0, ()), 90) is None
    assert forecast(StoreSize((), 99, 0, ((TODAY, 5),)), 90) is None
