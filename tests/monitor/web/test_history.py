"""Ranges that a visitor chooses, and what is drawn in them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from monitor.store.reading.counts import ServiceHour
from monitor.store.service_hours import DAY_MS, HOUR_MS, KINDS
from monitor.text import words
from monitor.web.draw import strips
from monitor.web.history import (
    MAX_SLICES,
    RANGES,
    TimeRange,
    chosen_range,
    series,
)
from monitor.web.params import BadParameterError
from monitor.web.site import SITE, Site
from tests.monitor.web.pages.test_overview import text_of
from tests.world import site as world
from tests.world.site import Client


def chosen(query: str) -> TimeRange | None:
    app = web.Application()
    kept = world.NOW - 191 * HOUR_MS
    app[SITE] = cast(Site, SimpleNamespace(clock=lambda: world.NOW, hours_kept_since=kept))
    return chosen_range(make_mocked_request("GET", f"/s/wechat?{query}", app=app))


@pytest.mark.parametrize("name", RANGES)
def test_a_named_range_is_of_whole_hours_or_days_and_ends_now(name: str) -> None:
    made = chosen(f"range={name}")
    assert made is not None
    window = made.window
    assert window.since < world.NOW - RANGES[name][0] + 2 * RANGES[name][1]
    assert world.NOW <= window.until < world.NOW + DAY_MS
    assert window.hourly or window.daily
    assert window.slices <= MAX_SLICES
    assert window.since + window.slices * window.width == window.until
    assert made.query == f"range={name}"
    again = chosen(made.fixed.replace("+", "%2B"))
    assert again is not None
    assert again.name == "free"


def test_a_free_range_is_of_hours_while_they_are_kept_and_of_days_before() -> None:
    near = chosen("since=2027-01-13&until=2027-01-14")
    far = chosen("since=2026-01-13&until=2026-01-14")
    long = chosen("since=2020-01-13&until=2026-01-14")
    assert near is not None
    assert far is not None
    assert long is not None
    assert near.window.width == HOUR_MS
    assert near.window.slices == 24
    assert far.window.width == DAY_MS
    assert long.window.daily
    assert long.window.slices <= MAX_SLICES
    assert chosen("") is None


@pytest.mark.parametrize(
    "query",
    [
        *("range=2d", "since=yesterday-ish", "since=2027-01-02&until=2027-01-01"),
        *("since=2099-01-01", "until=2027-01-01", "range=7d&since=2027-01-01"),
        "range=7d&until=2027-01-01",
    ],
)
def test_a_range_that_cannot_be_shown_is_refused(query: str) -> None:
    with pytest.raises(BadParameterError):
        chosen(query)


def hour(n: int, kinds: set[str], country: str = "RU", failing: int = 0) -> ServiceHour:
    bits = sum(1 << KINDS.index(kind) for kind in kinds)
    return ServiceHour("wechat", country, -1, n * HOUR_MS, bits, 10, 10, failing, 3)


def test_lines_of_a_chart_are_by_place_the_worst_first() -> None:
    window = strips.Window(0, 4 * HOUR_MS, 2)
    rows = [hour(0, {"ok"}), hour(1, {"blocked"}, failing=4), hour(3, {"ok"}, "FR")]
    russia, france = series(rows, window, "country", {"RU": "Russia"})
    assert (russia.name, russia.judged, russia.failing) == ("Russia", [20, 0], [4, 0])
    assert (france.name, france.judged) == ("FR", [0, 10])


@pytest.mark.parametrize(
    "path",
    [
        "/s/wechat?range=30d",
        "/c/RU?range=1y",
        "/as/64501?range=30d",
        f"/e/{world.CONFIRMED}?range=30d",
        "/compare?country=RU&range=30d",
        "/explore?range=30d",
        "/explore?by=rule&range=30d&service=wechat",
    ],
)
async def test_no_sentence_is_about_a_time_to_come(web: Client, path: str) -> None:
    """The last slice of a range of days ends at midnight."""
    said = text_of(await (await web.get(path)).text())
    today, tomorrow = (words.day(world.NOW + days * DAY_MS) for days in (0, 1))
    assert f"to {today}" in said
    assert tomorrow not in said
