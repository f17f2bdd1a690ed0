"""Explore: every direction is in the address, and a cell leads to the measurements it counts."""

from __future__ import annotations

import html
import re

import pytest
from msgspec.structs import replace

from monitor.detection.lateness import LATE
from monitor.detection.model import State
from monitor.store.reading import breakdown
from monitor.store.reading.breakdown import Period
from monitor.store.records import Conclusions
from monitor.web.draw.strips import Window
from monitor.web.history import TimeRange
from monitor.web.pages.explore import DOWN, Cell, order, period_of
from monitor.web.site import Site
from tests.monitor.store.samples import admitted, verdict
from tests.monitor.web.pages.test_compare import get
from tests.monitor.web.pages.test_overview import text_of
from tests.world import site as world
from tests.world.site import Client, client

DAY, HOUR = 86_400_000, 3_600_000
CELL = re.compile(r'<td><a href="(/m\?[^"]*)">(.*?)</a> <small>of (\d+)</small>')


def cells_of(page: str) -> list[tuple[str, str, int]]:
    """(address, what the cell says, of how many)."""
    return [
        (html.unescape(address), text_of(said).strip(), int(total))
        for address, said, total in CELL.findall(page)
    ]


async def listed(web: Client, address: str) -> int:
    """How many measurements a list has, all its parts together."""
    count = 0
    while address:
        page = await get(web, address)
        count += page.count('<tr><td><a href="/m/')
        older = re.search(r'href="(/m\?[^"]*)">Older', page)
        address = html.unescape(older[1]) if older else ""
    return count


@pytest.mark.parametrize("per", ["country", "network", "time"])
@pytest.mark.parametrize("by", DOWN)
async def test_a_cell_leads_to_exactly_what_it_counts(web: Client, by: str, per: str) -> None:
    page = await get(web, f"/explore?by={by}&per={per}&service=wechat&range=24h")
    cells = cells_of(page)
    assert cells
    address, said, total = cells[0]
    assert ("counted=no" in address) == (by == "rule")  # a rule may decide what counts as well
    count = await listed(web, address)
    if by in ("service", "function"):
        # What was judged; a vantage that was offline is in the list as well.
        off = await listed(web, f"{address}&state=vantage_offline")
        assert count - off == total
    else:
        assert count == int(said)


@pytest.mark.parametrize("state", [State.INCONCLUSIVE, State.VANTAGE_OFFLINE], ids=str)
async def test_a_reason_leads_to_what_it_kept_from_counting(site: Site, state: State) -> None:
    """The same rule decided a block, and one that counts but for having arrived late."""
    rule, at = "tls.timeout.sni", world.NOW - world.NOW % HOUR - 5 * HOUR
    states = [State.BLOCKED, State.BLOCKED, state, state, State.OK]
    rows = [
        admitted(n, probe=n, at=at, target="telegram/web", country="KE", asn=64511)
        for n in range(len(states))
    ]
    facts = [verdict(row, said, rule) for row, said in zip(rows, states, strict=True)]
    for n in (1, 3):
        facts[n] = replace(facts[n], verdict=replace(facts[n].verdict, evidence=(LATE,)))
    await site.database.facts.add(rows, ())
    told = Conclusions(service="telegram", round=at, state=b"", events=(), facts=tuple(facts))
    await site.database.conclusions.save([told], 10**6)
    async with client(site) as web:
        query = "/explore?by=rule&per=country&service=telegram&country=KE&range=24h"
        ((address, said, total),) = cells_of(await get(web, query))
        assert (said, total) == ("2", len(states))
        assert await listed(web, address) == 2


async def test_a_service_is_taken_apart_by_function_technique_and_reason(web: Client) -> None:
    functions = await get(web, "/explore?by=function&service=wechat&country=RU&range=24h")
    assert "WeChat, web client how · why not counted 30 % of 120" in text_of(functions)
    how = re.search(r'href="(/explore\?by=technique&amp;target=wechat/web[^"]*)"', functions)
    assert how is not None
    techniques = text_of(await get(web, html.unescape(how[1])))
    assert "connections are cut when the service’s name appears tls.reset.sni" in techniques
    why = text_of(await get(web, "/explore?by=rule&target=wechat/web&per=network&range=24h"))
    assert "vantage.offline" in why
    one = text_of(await get(web, "/explore?by=service&per=time&asn=AS64501&range=24h"))
    assert "WeChat functions" in one


async def test_everything_at_once_is_not_read(web: Client) -> None:
    for query in ("by=technique", "by=function&per=time", "per=network"):
        page = await get(web, f"/explore?{query}")
        assert "Choose a service, a country or a network" in text_of(page)
        assert 'href="/explore?service=wechat&amp;by=' in page
    assert "Choose a service" not in text_of(await get(web, "/explore?per=time"))


async def test_a_shorter_time_is_said(web: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breakdown, "MOST_SUMS", 10)
    said = text_of(await get(web, "/explore?by=function&service=wechat"))
    assert "only the last part of this time is counted" in said


@pytest.mark.parametrize(
    "query",
    ["by=layer", "per=vantage", "asn=x", "by=function&target=wechat/nothing", "bi=function",
     "target=wechat/web", "by=rule&by=function"],
)  # fmt: skip
async def test_what_cannot_be_shown_is_refused(web: Client, query: str) -> None:
    assert (await web.get(f"/explore?{query}")).status == 400


async def test_several_services_at_once_have_cells_without_a_list(web: Client) -> None:
    page = await get(web, "/explore?by=technique&service=wechat&service=signal&range=24h")
    assert "tls.reset.sni" in page
    assert cells_of(page) == []


@pytest.mark.parametrize(
    ("length", "daily", "width"),
    [(DAY, False, 2 * HOUR), (7 * DAY, False, DAY), (30 * DAY, True, 3 * DAY), (HOUR, False, HOUR)],
)
def test_columns_of_time_are_whole_hours_or_days(length: int, daily: bool, width: int) -> None:
    window = Window(0, length, length // (DAY if daily else HOUR))
    for now in (length - 1, length, length + 1):
        expected = Period(0, length, width, daily, to_now=now <= length)
        assert period_of(TimeRange("free", window), 0, now) == expected


@pytest.mark.parametrize(("daily", "unit"), [(False, HOUR), (True, DAY)])
def test_no_column_holds_what_was_measured_after_a_moment(daily: bool, unit: int) -> None:
    window = Window(0, 5 * unit, 5)
    past = period_of(TimeRange("free", window), unit, 3 * unit, as_of=3 * unit + 1)
    assert (past.until, past.kept, past.to_now) == (3 * unit, False, False)


def test_the_largest_share_is_first() -> None:
    cells = {
        ("a", ("RU", -1)): Cell(1, 10),
        ("b", ("RU", -1)): Cell(9, 10),
        ("b", ("FR", -1)): Cell(0, 0),
    }
    assert order(cells, 0, 9) == ["b", "a"]
    assert order(cells, 1, 1) == [("RU", -1)]
