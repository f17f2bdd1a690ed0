"""Events over strips: in their own extent, never where nothing was measured."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from monitor.detection.model import Event, EventState, NetworkEvidence, Tier
from monitor.web.draw.event_marks import (
    Breadth,
    EventMark,
    event_marks,
    extents,
    in_network,
    is_drawn,
    joined,
)
from tests.monitor.web.pages.test_overview import EVENTS
from tests.world import site as world

MINUTE, HOUR = 60_000, 3_600_000
DAY = 24 * HOUR
WHOLE = [(0, DAY)]


def event(**more: object) -> Event:
    values = {
        "state": EventState.CLOSED,
        "onset": 2 * HOUR + 5 * MINUTE,
        "closed": 2 * HOUR + 12 * MINUTE,
        "ended_latest": 2 * HOUR + 7 * MINUTE,
        "networks_measured": 1,
        "targets_measured": 1,
    }
    return replace(EVENTS[world.CONFIRMED], **(values | more))


def marks(
    *events: Event, measured: list[tuple[int, int]] = WHOLE, breadth: Breadth = Breadth.COUNTRY
) -> list[EventMark]:
    return list(event_marks(events, 0, DAY, measured, breadth))


def test_a_block_of_two_minutes_ends_where_it_ended_and_not_where_it_was_closed() -> None:
    (mark,) = marks(event())
    assert (mark.begin, mark.end) == (2 * HOUR + 5 * MINUTE, 2 * HOUR + 7 * MINUTE)
    assert mark.x == pytest.approx(100 * mark.begin / DAY)
    assert mark.width == pytest.approx(100 * 2 * MINUTE / DAY)
    assert mark.kind == "blocked"


def test_a_range_of_another_time_has_no_mark() -> None:
    assert marks(event(), measured=[(3 * HOUR, DAY)]) == []


@pytest.mark.parametrize(
    ("more", "since", "until", "drawn"),
    [
        ({}, 0, DAY, True),
        ({}, 2 * HOUR + 6 * MINUTE, DAY, True),
        ({}, 0, 2 * HOUR + 5 * MINUTE, False),
        ({}, 3 * HOUR, DAY, False),
        ({"state": EventState.RETRACTED}, 0, DAY, False),
        ({"tier": Tier.UNCONFIRMED}, 0, DAY, False),
    ],
)
def test_an_event_is_drawn_over_the_time_that_it_lasted(
    more: dict[str, object], since: int, until: int, drawn: bool
) -> None:
    assert is_drawn(event(**more), since, until) == drawn


def test_a_mark_has_gaps_where_nothing_was_measured_and_ends_with_the_measurements() -> None:
    lasting = event(state=EventState.OPEN, closed=None, ended_latest=None, onset=HOUR)
    found = marks(lasting, measured=[(0, 3 * HOUR), (5 * HOUR, 7 * HOUR)])
    assert [(mark.begin // HOUR, mark.end // HOUR) for mark in found] == [(1, 3), (5, 7)]


def test_while_it_clears_the_mark_ends_with_the_last_failure() -> None:
    (network,) = EVENTS[world.CONFIRMED].networks
    clearing = event(
        state=EventState.CLEARING,
        closed=None,
        ended_latest=None,
        networks=(replace(network, seen=4 * HOUR),),
        updated=5 * HOUR,
    )
    assert [mark.end for mark in marks(clearing)] == [4 * HOUR]


@pytest.mark.parametrize(
    ("changes", "breadth", "kind"),
    [
        ({}, Breadth.COUNTRY, "blocked"),
        ({"networks_measured": 2}, Breadth.COUNTRY, "part"),
        ({"networks_measured": 2}, Breadth.NETWORK, "blocked"),
        ({"targets_measured": 2}, Breadth.NETWORK, "part"),
        ({"targets_measured": 2, "networks_measured": 2}, Breadth.EVENT, "blocked"),
        ({"extent": "partial"}, Breadth.EVENT, "part"),
        ({"tier": Tier.LIKELY}, Breadth.COUNTRY, "likely"),
        ({"tier": Tier.LIKELY, "networks_measured": 3}, Breadth.COUNTRY, "likely-part"),
        ({"tier": Tier.UNCONFIRMED}, Breadth.COUNTRY, None),
        ({"state": EventState.RETRACTED}, Breadth.COUNTRY, None),
    ],
)
def test_what_is_a_part_of_what_is_shown(
    changes: dict[str, object], breadth: Breadth, kind: str | None
) -> None:
    assert [mark.kind for mark in marks(event(**changes), breadth=breadth)] == (
        [kind] if kind else []
    )


def test_a_confirmed_event_is_drawn_above_a_likely_one() -> None:
    later = event(tier=Tier.LIKELY, onset=2 * HOUR + 6 * MINUTE)
    assert [mark.kind for mark in marks(event(), later)] == ["likely", "blocked"]


def test_an_import_is_drawn_whenever_it_failed() -> None:
    span = ((HOUR, 2 * HOUR, 3 * HOUR), (6 * HOUR, 8 * HOUR, 0))
    network = NetworkEvidence(
        asn=1,
        target="telegram/web",
        layer="whole",
        technique="tcp.timeout",
        tier=Tier.LIKELY,
        onset=HOUR,
        agreeing=1,
        voting=1,
        owners=1,
        spans=span,
    )
    imported = event(state=EventState.OPEN, networks=(network,), source="ooni")
    assert extents(imported, DAY) == [(HOUR, 3 * HOUR), (6 * HOUR, 8 * HOUR)]


def test_in_a_network_an_event_begins_when_it_began_there() -> None:
    (first,) = EVENTS[world.CONFIRMED].networks
    networks = tuple(
        replace(first, asn=asn, onset=hour * HOUR) for asn, hour in ((1, 2), (2, 5), (2, 4))
    )
    wide = event(asns=(1, 2, 3), networks=networks, onset=2 * HOUR, ended_latest=8 * HOUR)
    begins = {asn: marks(in_network(wide, asn))[0].begin // HOUR for asn in (1, 2, 3)}
    assert begins == {1: 2, 2: 4, 3: 2}, "of the third nothing of its own is known"


def test_an_import_that_shows_in_two_functions_at_once_is_drawn_once() -> None:
    (first,) = EVENTS[world.CONFIRMED].networks
    spans = [((HOUR, 2 * HOUR, 3 * HOUR),), ((2 * HOUR, 4 * HOUR, 0), (6 * HOUR, 7 * HOUR, 0))]
    networks = tuple(
        replace(first, target=f"wechat/{n}", spans=some) for n, some in enumerate(spans)
    )
    assert extents(event(networks=networks), DAY) == [(HOUR, 4 * HOUR), (6 * HOUR, 7 * HOUR)]


def test_times_that_overlap_or_touch_are_one() -> None:
    assert joined([(5, 6), (1, 2), (2, 3), (0, 1)]) == [(0, 3), (5, 6)]
    assert joined([(0, 9), (1, 2)]) == [(0, 9)]
    assert joined([]) == []
