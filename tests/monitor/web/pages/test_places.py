"""One sentence for a country or a network, and the strips of both."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from monitor.detection.model import Event
from monitor.store.reading.vantages import VantageRow
from monitor.web.pages import places as place_page
from monitor.web.pages.places import Locality
from monitor.web.site import Site
from tests.world import site as world

EVENTS = {event.id: event for event in world.events()}
RUSSIA = Locality(name="Russia", country="RU")
NETWORK = Locality(name="AS64501 in Russia", asns=(64501,))
NAMES = {"wechat": "WeChat", "signal": "Signal", "telegram": "Telegram"}
VANTAGE = VantageRow(
    id="p", owner="o", role="vantage", country="RU", asn=64501, enrolled=0, revoked=None,
    last_seen=1,
)  # fmt: skip
CONTROL = replace(VANTAGE, role="control")


def say(
    here: Locality,
    events: list[Event],
    *statuses: str,
    judged: bool = True,
    probe: VantageRow = VANTAGE,
) -> str:
    members = [(probe, status) for status in statuses]
    return place_page.headline(here, events, NAMES, members, judged)


def test_what_is_blocked_comes_first() -> None:
    confirmed, likely = EVENTS[world.CONFIRMED], EVENTS[world.LIKELY]
    assert say(RUSSIA, [likely, confirmed]) == "WeChat is blocked in one network in Russia."
    assert say(NETWORK, [confirmed]) == "WeChat is blocked in AS64501 in Russia."
    part = replace(confirmed, extent="partial", asns=(1, 2))
    assert say(RUSSIA, [part]) == "A part of WeChat is blocked in two networks in Russia."
    second = replace(confirmed, service="signal")
    assert (
        say(NETWORK, [confirmed, second]) == "Signal and WeChat are blocked in AS64501 in Russia."
    )
    third = replace(confirmed, service="telegram")
    assert say(RUSSIA, [confirmed, second, third]).startswith("Three services are blocked")


def test_what_is_not_confirmed_is_said_so() -> None:
    likely = EVENTS[world.LIKELY]
    assert say(RUSSIA, [likely]) == "Signal is likely blocked in one network in Russia."
    assert say(RUSSIA, [likely, replace(likely, service="wechat")]) == (
        "Two services may be blocked in Russia; none of it is confirmed."
    )


@pytest.mark.parametrize(
    ("said", "statuses", "judged", "probe"),
    [
        ("Nothing measured here yet: no vantage stands in Russia.", (), False, VANTAGE),
        ("No vantage stands in Russia: what stands there is a control, the yardstick for "
         "vantages elsewhere.", ("online",), False, CONTROL),
        ("No vantage in Russia can be relied on now: what is blocked is not known.",
         ("silent", "degraded"), True, VANTAGE),
        ("No vantage in Russia can be relied on now: what is blocked is not known.",
         (), True, VANTAGE),
        ("Nothing has been judged in Russia yet.", ("online",), False, VANTAGE),
        ("No service is known to be blocked in Russia. Two vantages are watching.",
         ("online", "online", "silent"), True, VANTAGE),
        ("No service is known to be blocked in Russia. One vantage is watching.",
         ("online",), True, VANTAGE),
    ],
)  # fmt: skip
def test_silence_is_never_called_fine(
    said: str, statuses: tuple[str, ...], judged: bool, probe: VantageRow
) -> None:
    assert say(RUSSIA, [], *statuses, judged=judged, probe=probe) == said
    inhibited = replace(EVENTS[world.INHIBITED], country="RU")
    assert say(RUSSIA, [inhibited], *statuses, judged=judged, probe=probe) == said


async def test_strips_of_a_place(site: Site) -> None:
    opened = [EVENTS[world.CONFIRMED]]
    async with site.database.reading() as connection:
        window = await place_page.stretch(site, connection)
        assert window.length == "3 h"
        rows = await place_page.service_strips(site, connection, window, NETWORK, opened)
        watched = await place_page.watched(site, connection, window, NETWORK)
        nothing = Locality(name="Japan", country="JP")
        assert await place_page.service_strips(site, connection, window, nothing, []) == []
        nobody = await place_page.watched(site, connection, window, nothing)
    assert [row["name"] for row in rows] == ["WeChat", "Signal"]
    assert [run.kind for run in rows[0]["strip"].runs] == ["none", "ok", "part"]
    assert [(step.n, step.width) for step in watched.steps] == [(0, 12), (3, 24)]
    assert watched.summary.startswith("3 vantages measured; for 60 min nobody did")
    assert nobody.most == 0


async def test_an_empty_store_has_a_window_too(empty: Site) -> None:
    async with empty.database.reading() as connection:
        assert (await place_page.stretch(empty, connection)).length == "30 min"


def test_open_events_come_first_and_who_left_is_left_out() -> None:
    found = place_page.sorted_events(world.events())
    assert [event.state == "open" for event in found] == [True] * 4 + [False] * 2
    assert place_page.living([(VANTAGE, "revoked"), (VANTAGE, "silent")]) == [(VANTAGE, "silent")]
    assert RUSSIA.holds("RU", 1)
    assert not RUSSIA.holds("FR", 1)
    assert not NETWORK.holds("RU", 1)
