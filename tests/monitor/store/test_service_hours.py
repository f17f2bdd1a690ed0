"""Hourly sums by service and place, on both databases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from operator import attrgetter
from types import ModuleType, SimpleNamespace
from unittest.mock import patch

import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from monitor.detection.model import State
from monitor.store import tables
from monitor.store.database import Database
from monitor.store.migrations.versions import v0009_last_days, v0012_older_days
from monitor.store.reading import breakdown
from monitor.store.reading.breakdown import Period
from monitor.store.reading.counts import (
    HourEverywhere,
    ServiceHour,
    count_states,
    networks_watched,
    service_days,
    service_everywhere,
    service_hours,
)
from monitor.store.service_hours import DAY_MS, EVERY_NETWORK, KEPT_HOURS, KINDS, WENT_DOWN
from monitor.store.service_hours import _sum_up_days as sum_up_days
from monitor.web.draw import strips
from tests.monitor.store.samples import HOUR, MINUTE, NOON, admitted, concluded, verdict

TARGETS = ("wechat/messaging", "wechat/web")
SAID = {
    ("RU", 64501): (State.BLOCKED, State.BLOCKED, State.BLOCKED, State.OK),
    ("RU", 64502): (State.OK, State.VANTAGE_OFFLINE, State.THROTTLED, State.IMPAIRED),
    ("FR", 64503): (State.INSUFFICIENT, State.DOWN, State.INCONCLUSIVE, State.OK),
}
"""By network, the verdicts of four rounds of the first target; the second is always reachable."""


MIDNIGHT = NOON - 12 * HOUR


async def judge(store: Database, at: int = NOON, refolded_after: int | None = None) -> None:
    rows, said = [], []
    for place, ((country, asn), states) in enumerate(SAID.items()):
        for round, state in enumerate(states):
            for target in TARGETS:
                number = len(rows) + at // HOUR % 1000 * 100
                when = at + round * 10 * MINUTE
                row = admitted(
                    number, probe=place, target=target, at=when, country=country, asn=asn
                )
                rows.append(row)
                said.append(verdict(row, state if target == TARGETS[0] else State.OK))
    await store.facts.add(rows, [])
    conclusions = concluded(facts=tuple(said), refolded_after=refolded_after)
    await store.conclusions.save([conclusions], len(rows))


def names(bits: int) -> set[str]:
    return {kind for bit, kind in enumerate(KINDS) if bits >> bit & 1}


def in_order(sums: Sequence[ServiceHour]) -> list[ServiceHour]:
    return sorted(sums, key=attrgetter("hour", "service", "country", "asn"))


async def test_networks_and_countries_are_summed_up(store: Database) -> None:
    await judge(store)
    async with store.reading() as connection:
        found = await service_hours(connection, ["wechat"], NOON, NOON + HOUR)
        mine = await service_hours(
            connection, ["wechat"], NOON, NOON + HOUR, country="RU", asns=(64501, 64502)
        )
        assert await service_hours(connection, ["signal"], NOON, NOON + HOUR) == []
        assert await service_hours(connection, ["wechat"], NOON + 1, NOON + HOUR) == []
    france, russia = found
    assert (russia.country, russia.asn, russia.hour) == ("RU", EVERY_NETWORK, NOON)
    assert names(russia.kinds) == {"blocked", "ok", "mixed"}
    assert [bool(each.kinds & WENT_DOWN) for each in found] == [True, False]
    assert (russia.n, russia.judged, russia.failing, russia.vantages) == (16, 15, 5, 2)
    assert names(france.kinds) == {"ok", "mixed"}
    assert (france.n, france.judged, france.failing, france.vantages) == (8, 7, 0, 1)
    assert [(each.asn, names(each.kinds)) for each in mine] == [
        (64501, {"blocked", "ok"}),
        (64502, {"mixed", "ok"}),
    ]


async def test_a_strip_of_sums_is_the_strip_of_the_cells(store: Database) -> None:
    for hour in (0, 1, 3):
        await judge(store, NOON + hour * HOUR)
    window = strips.Window(NOON - 20 * HOUR, NOON + 4 * HOUR, 24)
    async with store.reading() as connection:
        for country in ("RU", "FR"):
            hours = await service_hours(
                connection, ["wechat"], window.since, window.until, country=country
            )
            cells = await count_states(
                connection, TARGETS, window.since, window.until, HOUR, country
            )
            drawn = strips.strip(hours, window, 10 * MINUTE)
            assert drawn == strips.strip(cells, window, 10 * MINUTE)
            assert [run.kind for run in drawn.runs].count("none") == 2


async def test_an_hour_that_is_judged_again_is_summed_up_again(store: Database) -> None:
    await judge(store)
    await judge(store, refolded_after=NOON - MINUTE)
    async with store.reading() as connection:
        found = await service_hours(connection, ["wechat"], NOON, NOON + HOUR)
    assert [each.n for each in found] == [8, 16]
    await store.conclusions.save([concluded(refolded_after=NOON - MINUTE)], 99)
    async with store.reading() as connection:
        assert await service_hours(connection, ["wechat"], NOON, NOON + HOUR) == []


async def test_old_hours_are_dropped(store: Database) -> None:
    await judge(store)
    last = NOON + KEPT_HOURS * HOUR
    await judge(store, last)
    async with store.reading() as connection:
        found = await service_hours(connection, ["wechat"], NOON, last + HOUR)
        assert {each.hour for each in found} == {NOON, last}
    await judge(store, last + HOUR)
    async with store.reading() as connection:
        found = await service_hours(connection, ["wechat"], NOON, last + 2 * HOUR)
        assert {each.hour for each in found} == {last, last + HOUR}


async def kept_days(store: Database) -> dict[int, int]:
    """Verdicts on Russia by day, of days that are summed up."""
    async with store.reading() as connection:
        rows = await connection.execute(
            sa.select(tables.service_day.c.day, tables.service_day.c.n).where(
                tables.service_day.c.country == "RU", tables.service_day.c.asn == EVERY_NETWORK
            )
        )
        return {int(day): int(n) for day, n in rows}


async def test_a_day_is_summed_up_as_far_as_it_was_measured(store: Database) -> None:
    """Also the last one before nothing more is measured: pages of later months show it."""
    for hour in (0, 1, 5):
        await judge(store, NOON + hour * HOUR)
    assert await kept_days(store) == {MIDNIGHT: 48}
    much_later = MIDNIGHT + 60 * DAY_MS
    async with store.reading() as connection:
        (russia,) = await service_days(connection, ["wechat"], MIDNIGHT, much_later, country="RU")
        period = Period(MIDNIGHT, much_later, DAY_MS, daily=True)
        totals = await breakdown.services(connection, ["wechat"], period, "country")
        watched = await networks_watched(connection, ["wechat"], MIDNIGHT, much_later, "RU")
    assert (russia.n, totals["wechat", ("RU", EVERY_NETWORK)].judged) == (48, russia.judged)
    assert watched == {(MIDNIGHT, "wechat", "RU"): 2}
    await judge(store, much_later)
    assert await kept_days(store) == {MIDNIGHT: 48, much_later: 16}
    # A measurement that comes late changes a day that is over.
    await judge(store, much_later + 2 * DAY_MS)
    await judge(store, much_later + HOUR)
    assert (await kept_days(store))[much_later] == 32


async def test_what_comes_after_its_hours_are_dropped_is_summed_up(store: Database) -> None:
    """An import of older measurements, and a probe that was not heard for weeks."""
    for day in (0, 20):
        await judge(store, NOON + day * DAY_MS)
    await judge(store, NOON + HOUR)
    await judge(store, NOON + 10 * DAY_MS)
    assert await kept_days(store) == {
        MIDNIGHT: 32,
        MIDNIGHT + 10 * DAY_MS: 16,
        MIDNIGHT + 20 * DAY_MS: 16,
    }
    await judge(store, NOON + HOUR, refolded_after=NOON + HOUR - MINUTE)
    assert (await kept_days(store))[MIDNIGHT] == 32


async def test_hours_of_a_day_are_found_by_the_whole_key(store: Database) -> None:
    """Not those of the service everywhere, which SQLite chose without statistics."""
    async with store.reading() as connection:
        if connection.dialect.name != "sqlite":
            return
        given = {"country": "RU", "asn": 1, "service": "wechat", "day": 0, "next": DAY_MS}
        explain = sa.text(f"EXPLAIN QUERY PLAN {sum_up_days}")
        plan = [row[3] for row in await connection.execute(explain, given)]
    (read,) = (step for step in plan if step.startswith(("SEARCH service_hour", "SCAN")))
    assert "(country=? AND asn=? AND service=? AND hour>? AND hour<?)" in read


@pytest.mark.parametrize("migration", [v0009_last_days, v0012_older_days])
async def test_an_upgrade_sums_up_days_that_were_left(
    store: Database, migration: ModuleType
) -> None:
    await judge(store, NOON)
    await judge(store, NOON + HOUR)
    before = await kept_days(store)
    async with store.engines.write.begin() as connection:
        await connection.execute(sa.delete(tables.service_day))
        sql: list[str] = []
        with patch.object(migration, "op", SimpleNamespace(execute=sql.append)):
            migration.upgrade()
        await connection.execute(sa.text(sql[0]))
    assert await kept_days(store) == before == {MIDNIGHT: 32}


async def test_days_are_those_of_the_hours(store: Database) -> None:
    for hour in (0, 20, 40, 60, 80):
        await judge(store, MIDNIGHT + hour * HOUR)
    until = MIDNIGHT + 81 * HOUR
    async with store.reading() as connection:
        days = await service_days(connection, ["wechat"], MIDNIGHT, until, country="RU")
        hours = await service_hours(connection, ["wechat"], MIDNIGHT, until, country="RU")
        mine = await service_days(
            connection, ["wechat"], MIDNIGHT, until, country="RU", asns=(64501,)
        )
    assert [each.hour for each in days] == [MIDNIGHT + n * DAY_MS for n in range(4)]
    assert [each.n for each in days] == [32, 16, 16, 16]
    assert sum(each.failing for each in days) == sum(each.failing for each in hours) > 0
    assert {each.kinds for each in days} == {each.kinds for each in hours}
    assert [each.asn for each in mine] == [64501] * 4
    async with store.reading() as connection:
        for daily in (True, False):
            period = Period(MIDNIGHT, until, DAY_MS, daily)
            totals = await breakdown.services(connection, ["wechat"], period, "country")
            russia = totals["wechat", ("RU", EVERY_NETWORK)]
            assert russia.judged == sum(each.judged for each in hours)
            assert russia.failing == sum(each.failing for each in hours)
            assert russia.blocked
            assert not totals["wechat", ("FR", EVERY_NETWORK)].blocked


async def test_a_past_time_is_read_as_it_was_when_it_was_present(store: Database) -> None:
    """Its last two days were summed up long ago, and their hours are dropped."""
    for hour in (0, 20, 40, 60, 80):
        await judge(store, MIDNIGHT + hour * HOUR)
    until = MIDNIGHT + 4 * DAY_MS
    period = Period(MIDNIGHT, until, DAY_MS, daily=True)
    hourly = Period(MIDNIGHT, until, HOUR, daily=False)

    async def read(kept: bool) -> list[object]:
        async with store.reading() as connection:
            day = await service_days(connection, ["wechat"], MIDNIGHT, MIDNIGHT + DAY_MS)
            days = await service_days(connection, ["wechat"], MIDNIGHT, until)
            of_network = await service_days(connection, ["wechat"], MIDNIGHT, until, asns=(64502,))
            hours = await service_hours(connection, ["wechat"], MIDNIGHT, until, kept=kept)
            of_russia = await service_hours(
                connection, ["wechat"], MIDNIGHT, until, country="RU", asns=(64501,), kept=kept
            )
            return [
                *(in_order(sums) for sums in (day, days, of_network, hours, of_russia)),
                await networks_watched(connection, ["wechat"], MIDNIGHT, until, None),
                await breakdown.services(connection, ["wechat"], period, "network"),
                await breakdown.services(
                    connection, ["wechat"], replace(hourly, kept=kept), "time"
                ),
            ]

    present = await read(kept=True)
    assert all(present)
    for day in range(4, 20, 3):
        await judge(store, MIDNIGHT + day * DAY_MS)
    async with store.reading() as connection:
        assert not await service_hours(connection, ["wechat"], MIDNIGHT, until)
    assert await read(kept=False) == present


async def test_countries_together_are_those_of_each_together(store: Database) -> None:
    for hour in (0, 1, 20, 40, 60, 80):
        await judge(store, MIDNIGHT + hour * HOUR)
    until = MIDNIGHT + 4 * DAY_MS

    def told(
        sums: Sequence[ServiceHour | HourEverywhere],
    ) -> tuple[set[tuple[int, int]], object]:
        counts: Counter[int] = Counter()
        for each in sums:
            counts[each.hour] += each.judged
        assert {each.service for each in sums} == {"wechat"}
        return {(each.hour, each.kinds) for each in sums}, counts

    async with store.reading() as connection:
        for since in (MIDNIGHT, MIDNIGHT + DAY_MS + HOUR, until - DAY_MS):
            days = await service_days(connection, ["wechat"], since, until)
            hours = await service_hours(connection, ["wechat"], since, until)
            days_together = await service_everywhere(
                connection, "wechat", since, until, "RU", (), days=True
            )
            hours_together = await service_everywhere(
                connection, "wechat", since, until, "RU", (64501, EVERY_NETWORK)
            )
            assert not days_together[0]
            assert told(days_together[1]) == told(days)
            assert told(hours_together[1]) == told(hours)
            here = await service_hours(
                connection, ["wechat"], since, until, country="RU", asns=(64501, EVERY_NETWORK)
            )
            assert here
            assert set(hours_together[0]) == set(here)


async def test_networks_that_were_measured_are_counted_by_day(store: Database) -> None:
    for hour in (0, 20, 80):
        await judge(store, MIDNIGHT + hour * HOUR)
    async with store.reading() as connection:
        found = await networks_watched(connection, ["wechat"], MIDNIGHT, MIDNIGHT + 81 * HOUR, None)
    days = (MIDNIGHT, MIDNIGHT + 3 * DAY_MS)
    assert found == {
        **{(day, "wechat", "RU"): 2 for day in days},
        **{(day, "wechat", "FR"): 1 for day in days},
    }


async def test_clearing_forgets_days(store: Database) -> None:
    await judge(store)
    await judge(store, MIDNIGHT + DAY_MS)
    await store.conclusions.clear(["signal"])
    assert await kept_days(store) == {MIDNIGHT: 16, MIDNIGHT + DAY_MS: 16}
    await store.conclusions.clear()
    assert await kept_days(store) == {}
