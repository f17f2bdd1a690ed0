"""A block that moves from one network to the next."""

from __future__ import annotations

import itertools
import re

import pytest

from monitor.detection.events.scope_in_time import at_once, spell
from monitor.detection.model import EventState, Tier
from monitor.text import event_evidence, language
from monitor.text.event_headlines import headline
from monitor.web.draw.event_marks import extents, in_network
from tests.monitor.detection.worlds import Script, World, blocked, ok, vantages

SIZES = {64501: 5, 64502: 3, 64504: 3}


def fails_in(asns: tuple[int, ...]) -> Script:
    return lambda n, who: blocked() if who.asn in asns else ok()


def moving(*stays: tuple[int, tuple[int, ...]]) -> World:
    """Each stay: for how many rounds, and in which networks."""
    people = [who for asn, size in SIZES.items() for who in vantages(size, "RU", asn)]
    world = World([*people, *vantages(3, "FR", 64503)], interval=60_000).quiet(10)
    for rounds, asns in stays:
        for _ in range(rounds):
            world.run(1, fails_in(asns))
    return world.run(30, lambda n, who: ok())


def test_an_event_names_each_network_and_when_it_was_blocked_there() -> None:
    world = moving((12, (64501,)), (12, (64502,)), (12, (64504,)))
    event = world.only
    assert (event.state, event.tier) == (EventState.CLOSED, Tier.CONFIRMED)
    assert event.asns == tuple(SIZES)
    assert not at_once(event)
    assert "one_network" not in event.against
    # Five of five are those of the first network.
    assert event_evidence.reasons(event)[0] == "5 of 5 vantages in one network saw it."
    assert "in three networks in Russia, not in all at once, from" in headline(event, "WeChat")
    drawn = [extents(in_network(event, asn), event.updated)[0] for asn in event.asns]
    for (begin, end), (after, _) in itertools.pairwise(drawn):
        assert begin < end
        # The next one joins when it is as sure.
        assert end <= after
    assert spell(event, 64501)[0] is None
    assert spell(event, 64504)[1] is None


@pytest.mark.parametrize("stays", [((12, (64501, 64502)),), ((12, (64501, 64502)), (6, (64501,)))])
def test_what_was_blocked_at_one_time_is_said_without_more(
    stays: tuple[tuple[int, tuple[int, ...]], ...],
) -> None:
    event = moving(*stays).only
    assert event.asns == (64501, 64502)
    assert at_once(event)
    assert "at once" not in headline(event, "WeChat")


@pytest.mark.parametrize("code", list(language.LANGUAGES))
def test_what_moved_is_told_in_every_language(code: str) -> None:
    event = moving((12, (64501,)), (12, (64502,)), (12, (64504,))).only
    language.use(code)
    said = headline(event, "WeChat")
    language.use(language.SOURCE)
    assert not re.search(r",\s*,| ,|  ", said)
