"""What failed while an event without a control lasted is in each strip as the event says."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence

import pytest
from msgspec.structs import replace

from monitor.detection.model import EventState, State, Tier
from monitor.store.reading.breakdown import Period, Place
from monitor.store.reading.cell_sums import Across
from monitor.store.reading.counts import StateCount
from monitor.store.records import Conclusions
from monitor.store.service_hours import EVERY_NETWORK
from monitor.text import words
from monitor.web.event_failures import as_failures
from monitor.web.pages import explore
from monitor.web.pages.explore import Selection
from monitor.web.site import Site
from tests.monitor.store.samples import admitted, event, verdict
from tests.monitor.web.pages.test_overview import text_of
from tests.world import site as world
from tests.world.site import client

HOUR = 3_600_000
FIRST = world.NOW - world.NOW % HOUR - 30 * HOUR
EVENT = event(
    "0000000000000009",
    service="telegram",
    country="KE",
    targets=("telegram/dc",),
    asns=(64511,),
    source="ooni",
    tier=Tier.LIKELY,
    control="none",
    onset=FIRST + 2 * HOUR,
    state=EventState.CLOSED,
    closed=FIRST + 4 * HOUR,
)
"""Lasted from the third hour to the fifth."""
FAILS = {
    ("telegram/dc", 64511): (1, 2, 3, 4, 6),
    ("telegram/web", 64511): (3,),
    ("telegram/dc", 64512): (3,),
}
"""Hours in which a series failed for an unclear cause; of the rest it was reached."""


async def fill(
    site: Site,
    fails: Mapping[tuple[str, int], Sequence[int]] = FAILS,
    **changes: object,
) -> None:
    rows = [
        admitted(
            100 * hour + number,
            probe=number,
            at=FIRST + hour * HOUR,
            target=target,
            country="KE",
            asn=asn,
        )
        for hour in range(8)
        for number, (target, asn) in enumerate(fails)
    ]
    await site.database.facts.add(rows, ())
    said = []
    for row in rows:
        seen = row.stored.measurement
        hour = (seen.round - FIRST) // HOUR
        failed = hour in fails[seen.target, seen.vantage.asn]
        said.append(verdict(row, State.INCONCLUSIVE if failed else State.OK))
    told = Conclusions(
        service="telegram",
        round=FIRST + 8 * HOUR,
        state=b"",
        events=(replace(EVENT, **changes),),
        facts=tuple(said),
    )
    await site.database.conclusions.save([told], 10**6)


PATHS = ("/s/telegram", "/c/KE", "/as/64511", "/compare?service=telegram&country=KE")
COUNTED = {"/as/64511": "%s of 16", "/s/telegram": "%s of 24"}


@pytest.mark.parametrize(
    ("changes", "failing"),
    [
        pytest.param({}, 3, id="while-it-lasted"),
        pytest.param({"asns": (64511, 64512)}, 4, id="two-networks"),
        pytest.param({"targets": ("telegram/dc", "telegram/web")}, 4, id="two-functions"),
        pytest.param({"state": EventState.OPEN, "closed": None}, 4, id="still-open"),
        pytest.param({"state": EventState.RETRACTED}, 0, id="retracted"),
        pytest.param({"tier": Tier.UNCONFIRMED}, 0, id="seen-once"),
        pytest.param({"source": "probe"}, 0, id="ours-beside-a-control"),
        pytest.param(
            {"source": "probe", "against": ("control_by_runs_of_others",)}, 3, id="stand-in"
        ),
    ],
)
async def test_hours_and_days_count_what_an_event_tells(
    site: Site, changes: dict[str, object], failing: int
) -> None:
    await fill(site, **changes)
    async with client(site) as web:
        for path in PATHS:
            here = failing - (path == "/as/64511" and changes.get("asns") is not None)
            for length in ("7d", "30d"):
                page = await web.get(f"{path}{'&' if '?' in path else '?'}range={length}")
                said = text_of(await page.text())
                counted = COUNTED.get(path, "%s of 24") % here
                assert f"{counted} measurements failed as blocked" in said, (path, length)
        lines = await (await web.get("/history.csv?country=KE&range=7d")).text()
        drawn = await (await web.get("/picture.svg?country=KE&range=7d")).text()
    assert _failing(lines) == failing
    assert f"{failing} of 24 measurements failed" in drawn


def _failing(text: str) -> int:
    return sum(int(row["failing"]) for row in csv.DictReader(text.splitlines()))


ALL_FAIL = dict.fromkeys((("telegram/dc", 64511), ("telegram/web", 64511)), (2, 3))
WHOLE = replace(EVENT, targets=("telegram/dc", "telegram/web"), closed=FIRST + 4 * HOUR - 1)


async def test_a_block_that_an_event_tells_is_drawn_whole_and_shows_no_working_service(
    site: Site,
) -> None:
    await fill(site, ALL_FAIL, targets=WHOLE.targets, closed=WHOLE.closed)
    since, until = (words.machine(at) for at in (FIRST, FIRST + 24 * HOUR))
    async with client(site) as web:
        page = await (await web.get(f"/as/64511?since={since}&until={until}")).text()
    drawn = page.split('id="strips"')[1]
    control, mine = drawn.split("<article")[1:3]
    assert "worked as far as can be told; at times nothing tells" in text_of(control).lower()
    assert re.findall(r'class="t-([a-z-]+)[" ]', mine)[:3] == ["ok", "likely", "ok"]
    assert 'class="t-unclear' not in mine


def rows_of(places: Sequence[tuple[str, str, int]]) -> list[StateCount]:
    return [
        StateCount(FIRST + 3 * HOUR, target, country, asn, State.INCONCLUSIVE, 1)
        for target, country, asn in places
    ]


def test_an_event_tells_of_its_own_series_alone() -> None:
    mine = ("telegram/dc", "KE", 64511)
    others = [("telegram/web", "KE", 64511), ("telegram/dc", "UG", 64511), ("telegram/dc", "KE", 1)]
    told = as_failures(EVENT, rows_of([mine, *others]), FIRST + 9 * HOUR)
    assert [row.state for row in told] == [State.BLOCKED, *[State.INCONCLUSIVE] * 3]


SLICE = FIRST + 2 * HOUR
DC, KENYA = "telegram/dc", ("KE", EVERY_NETWORK)


@pytest.mark.parametrize(
    ("by", "per", "place", "failing"),
    [
        pytest.param("service", "country", Place(), {("telegram", KENYA): 4}, id="country"),
        pytest.param(
            "service", "country", Place(("KE",), (64512,)), {("telegram", KENYA): 1}, id="a-network"
        ),
        pytest.param("service", "country", Place(("UG",)), {}, id="another-country"),
        pytest.param(
            "function",
            "network",
            Place(),
            {(DC, ("KE", 64511)): 3, (DC, ("KE", 64512)): 1},
            id="function-by-network",
        ),
        pytest.param(
            "service",
            "time",
            Place(),
            {("telegram", ("", SLICE)): 3, ("telegram", ("", SLICE + 2 * HOUR)): 1},
            id="time",
        ),
    ],
)
async def test_explore_counts_what_an_event_tells(
    site: Site, by: str, per: Across, place: Place, failing: Mapping[object, int]
) -> None:
    await fill(site, asns=(64511, 64512))
    choice = Selection(by, per, ("telegram",), DC if by == "function" else None, place)
    period = Period(FIRST, FIRST + 8 * HOUR, 2 * HOUR, daily=False)
    async with site.database.reading() as connection:
        table = await explore.read(site, connection, choice, period)
    counted = {key: cell.n for key, cell in table.cells.items()}
    nothing = dict.fromkeys(counted.keys() - failing.keys(), 0)
    assert counted == {**nothing, **failing}
    assert all(cell.n <= cell.total for cell in table.cells.values())
    assert any(cell.kind == "blocked" for cell in table.cells.values()) is bool(failing)


@pytest.mark.parametrize("by", ["service", "function"])
async def test_explore_counts_only_what_events_of_the_time_tell(
    site: Site, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    await fill(site)
    choice = Selection(by, "country", ("telegram",), DC if by == "function" else None, Place())
    before = Period(FIRST, FIRST + 2 * HOUR, HOUR, daily=False)
    day = FIRST - FIRST % (24 * HOUR)
    whole = Period(day, day + 48 * HOUR, 24 * HOUR, daily=True)
    async with site.database.reading() as connection:
        early = await explore.read(site, connection, choice, before)
        all_of_it = await explore.read(site, connection, choice, whole)
        monkeypatch.setattr(explore, "MOST_EVENTS", 0)
        some = await explore.read(site, connection, choice, whole)
    assert [cell.n for cell in early.cells.values() if cell.n] == []
    assert [cell.n for cell in all_of_it.cells.values() if cell.n] == [3]
    assert (all_of_it.all_events, some.all_events) == (True, False)
