"""What pages share: who is online, what is present, one snapshot for the metrics."""

from __future__ import annotations

import dataclasses
import itertools
from unittest.mock import patch

from msgspec.structs import replace

from monitor.detection.model import EventState
from monitor.metrics.exposition import Snapshot
from monitor.store.notes import RETRACTION
from monitor.store.records import Conclusions, Filter
from monitor.web import views
from monitor.web.draw import strips
from monitor.web.history import TimeRange
from monitor.web.present import Present
from monitor.web.site import Site
from tests.world import site as world
from tests.world.scenery import HOUR


async def snapshot(site: Site) -> Snapshot:
    async with site.present.reading() as (connection, present):
        return await views.snapshot(site, connection, present)


async def test_a_snapshot_leaves_out_who_was_revoked(site: Site) -> None:
    made = await snapshot(site)
    assert len(made.vantages) == 9
    assert made.countries == ["DE", "FR", "RU"]
    assert {event.state for event in made.open_events} == {"open"}
    assert ("wechat", "RU", "opened", 2) in made.transitions
    assert made.owners == {"DE": 1, "FR": 1, "RU": 4}
    assert made.last_concluded == world.START + world.ROUNDS * world.INTERVAL
    assert made.newest_round == made.last_concluded - world.INTERVAL
    assert made.ended == []


async def test_strips_of_an_event(site: Site) -> None:
    event = world.events()[0]
    async with site.database.reading() as connection:
        chosen = await views.window(site, connection, "wechat")
        assert chosen.length == "3 h"
        (drawn,) = (await views.event_strips(site, connection, [event], chosen)).values()
        assert [run.kind for run in drawn.runs] == ["none", "ok", "blocked"]
        assert (drawn.failing, drawn.total) == (36, 72)
        nowhere = await views.window(site, connection, "zulip")
        assert nowhere.length == "30 min"


def test_a_range_is_headed_by_what_is_open() -> None:
    confirmed = next(event for event in world.events() if event.id == world.CONFIRMED)
    later = confirmed.onset + HOUR
    over = replace(
        confirmed,
        id="0" * 16,
        state=EventState.CLOSED,
        onset=later,
        onset_earliest=later,
        closed=later + HOUR,
    )
    window = strips.Window(confirmed.onset - HOUR, later + 9 * HOUR)
    assert views.overlapping([over, confirmed], window) == [confirmed, over]


async def test_known_events_of_a_window_are_those_that_the_store_finds(site: Site) -> None:
    await site.database.notes.add(world.CONFIRMED, RETRACTION, "our filter", "", token="operator")
    times = sorted(
        {at for each in world.events() for at in (each.onset, each.closed, each.updated) if at}
    )
    ends = [at + more for at in times for more in (-1, 0, 1)]
    async with site.database.reading() as connection:
        known = await views.known_events(site, connection, Filter())
        numbers = set()
        for since, until in itertools.combinations(ends, 2):
            window = strips.Window(since, until)
            found = await views.known_between(site, connection, Filter(), window, known)
            within = Filter(since=since, until=until)
            assert found == await views.known_events(site, connection, within)
            with patch.object(views, "NEWEST", len(known)):
                many = await views.known_between(site, connection, Filter(), window, known)
            assert many == found
            numbers.add(len(found))
    assert len(numbers) > 2


async def test_where_what_was_measured_ends_is_the_same_from_the_present_and_from_the_store(
    site: Site,
) -> None:
    lasts = set()
    async with site.present.reading() as (connection, present):
        newest = present.newest_rounds[None]
        for end, service in itertools.product(range(-HOUR, HOUR, HOUR // 4), (None, "wechat")):
            chosen = strips.Window(newest + end - 2 * HOUR, newest + end + 1, 3)
            for window in (chosen, replace(chosen, since=newest + 1, until=newest + HOUR)):
                span = TimeRange("free", window)
                one, other = [
                    await views.drawn_window(site, connection, known, span, service)
                    for known in (present, Present(revision=0))
                ]
                assert one == other
                lasts.add(one.last)
    assert len(lasts) > 5


async def test_metrics_name_only_targets_of_our_catalogue(site: Site) -> None:
    named = {row.target for row in (await snapshot(site)).present}
    assert "wechat/web" in named
    fewer = tuple(each for each in site.catalogue.services if each.id != "wechat")
    other = dataclasses.replace(site, catalogue=replace(site.catalogue, services=fewer))
    left = {row.target for row in (await snapshot(other)).present}
    assert left == {target for target in named if not target.startswith("wechat/")}


async def test_the_end_of_a_block_is_shown_for_longer_than_alertmanager_is_away(site: Site) -> None:
    ended = Conclusions(
        service="wechat",
        round=world.NOW,
        state=b"state",
        events=(),
        facts=(),
        journal=((world.CLOSED, "closed"),),
    )
    await site.database.conclusions.save([ended], 0)
    for hours, shown in ((0.4, 1), (1, 1), (5.9, 1), (6.1, 0)):
        later = site.clock() + round(hours * 3_600_000)
        made = await snapshot(dataclasses.replace(site, clock=lambda at=later: at))  # type: ignore[misc]
        assert len(made.ended) == shown, hours


def test_measurements_of_an_import_end_with_its_data() -> None:
    """What vantages of ours reach long after is no measurement of the event."""
    own = next(event for event in world.events() if event.id == world.CONFIRMED)
    onset, end, now = own.onset, own.onset + 6 * HOUR, own.onset + 90 * 24 * HOUR
    network = replace(own.networks[0], spans=((onset, end, 0),))
    imported = replace(own, source="ooni", networks=(network,))
    assert views.measurements_of(imported, now).until == end + 1
    assert views.measurements_of(own, now).until == now + 1
