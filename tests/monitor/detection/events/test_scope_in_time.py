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
from tests.monitor.detection.worlds import Script, World, blocked, fact, ok, vantages

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


MESSAGING, WEB = "wechat/messaging", "wechat/web"


def of_functions(*stays: tuple[int, tuple[str, ...]]) -> World:
    """Each stay: for how many rounds, and of which functions, in one network."""
    people = [*vantages(5), *vantages(3, "FR", 64503)]
    world = World(people, interval=60_000)
    for rounds, failing in ((10, ()), *stays, (30, ())):
        for _ in range(rounds):
            world.feed(
                fact(
                    who,
                    world.round,
                    blocked() if who.country == "RU" and target in failing else ok(),
                    target=target,
                    interval=world.interval,
                )
                for who in world.people
                for target in (WEB, MESSAGING)
            )
    return world


def test_an_event_names_the_functions_that_were_reached_again_before_its_end() -> None:
    event = of_functions((12, (WEB,)), (12, (MESSAGING,))).only
    assert (event.state, event.tier) == (EventState.CLOSED, Tier.CONFIRMED)
    assert event.targets == (MESSAGING, WEB)
    assert not at_once(event, event.targets)
    said = headline(event, "WeChat")
    assert "WeChat (messaging and web client) was blocked in AS64501" in said
    assert "not all functions at once, from" in said


def test_functions_that_end_one_after_the_other_were_blocked_at_once() -> None:
    event = of_functions((12, (WEB, MESSAGING)), (10, (WEB,))).only
    assert event.targets == (MESSAGING, WEB)
    assert at_once(event, event.targets)
    assert "at once" not in headline(event, "WeChat")


def test_an_event_names_each_network_and_when_it_was_blocked_there() -> None:
    world = moving((12, (64501,)), (12, (64502,)), (12, (64504,)))
    event = world.only
    assert (event.state, event.tier) == (EventState.CLOSED, Tier.CONFIRMED)
    assert event.asns == tuple(SIZES)
    assert not at_once(event, event.asns)
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
    assert at_once(event, event.asns)
    assert "at once" not in headline(event, "WeChat")


@pytest.mark.parametrize("code", list(language.LANGUAGES))
def test_what_moved_is_told_in_every_language(code: str) -> None:
    event = moving((12, (64501,)), (12, (64502,)), (12, (64504,))).only
    language.use(code)
    said = headline(event, "WeChat")
    language.use(language.SOURCE)
    assert not re.search(r",\s*,| ,|  ", said)
