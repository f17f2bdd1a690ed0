"""What ends a block, and what does not."""

from __future__ import annotations

import random

import pytest

from monitor.detection.events.lifting import clear_alarms, drop_recovered, end_range, lifted
from monitor.detection.events.series import alarmed, suspected
from monitor.detection.model import EventState, Verdict
from tests.monitor.detection.events.test_series import network, rise, say
from tests.monitor.detection.worlds import (
    INTERVAL,
    POLICY,
    START,
    Vantage,
    World,
    blocked,
    in_network,
    ok,
    standard,
    vantages,
)


def test_lifted_by_most_of_those_who_saw_it_and_still_report() -> None:
    place = network()
    for n in range(4):
        say(place, n, *[blocked()] * 3)
        rise(place, n)
    at = START + 7 * INTERVAL
    for n in range(4, 8):
        say(place, n, ok(), blocked(), blocked())
    assert not lifted(place, "tls", at, POLICY)
    for n in range(8, 12):
        say(place, n, ok(), ok(), blocked())
    # Four successes of one of them may be chance, while another fails.
    assert not lifted(place, "tls", START + 11 * INTERVAL, POLICY)
    for n in range(12, 28):
        say(place, n, ok(), ok(), blocked())
    assert lifted(place, "tls", START + 27 * INTERVAL, POLICY)


def test_one_noisy_vantage_does_not_keep_open_what_its_only_companion_sees_no_more() -> None:
    place = network()
    for n in range(4):
        say(place, n, blocked(), blocked(), ok())
        rise(place, n)
    assert place.layers["tls"].rank >= 2
    for n in range(4, 24):
        say(place, n, ok(), blocked(), ok())
    assert lifted(place, "tls", START + 23 * INTERVAL, POLICY)


def test_of_two_vantages_one_alone_ends_no_block() -> None:
    """By chance or on purpose it reaches the service for hours, while the other does not. After a
    day it does end: a fault of one vantage must not keep an event open for ever."""
    place = network()
    for n in range(4):
        say(place, n, blocked(), blocked())
        rise(place, n)
    assert place.layers["tls"].rank >= 2
    day = POLICY.ms(POLICY.quorum.lone_seconds) // INTERVAL
    for n in range(4, 6 + day):
        say(place, n, ok(), blocked())
        assert lifted(place, "tls", START + n * INTERVAL, POLICY) is (n >= 4 + day)


def test_of_two_vantages_that_both_reach_it_each_is_not_sure_alone() -> None:
    """Six successes each are as many as chance gives where the block lets most connections pass."""
    place = network()
    for n in range(6):
        say(place, n, blocked(), blocked())
        rise(place, n)
    for n in range(6, 12):
        say(place, n, ok(), ok())
        assert not lifted(place, "tls", START + n * INTERVAL, POLICY)
    for n in range(12, 16):
        say(place, n, ok(), ok())
    assert lifted(place, "tls", START + 15 * INTERVAL, POLICY)


def test_beside_one_that_failed_alone_before_each_of_two_others_is_not_sure_alone() -> None:
    """A filter of its own goes on. Of six successes of each other the same is true as without."""
    place = network()
    for n in range(40):
        say(place, n, blocked(), ok(), ok())
        rise(place, n)
    for n in range(40, 46):
        say(place, n, blocked(), blocked(), blocked())
        rise(place, n)
    for n in range(46, 52):
        say(place, n, blocked(), ok(), ok())
        assert not lifted(place, "tls", START + n * INTERVAL, POLICY)
    for n in range(52, 56):
        say(place, n, blocked(), ok(), ok())
    assert lifted(place, "tls", START + 55 * INTERVAL, POLICY)


@pytest.mark.parametrize(
    ("after", "range_of_end"),
    [
        ([(ok(), ok())] * 3, (3, 4)),
        ([(ok(), blocked()), (ok(), ok()), (ok(), ok())], (4, 5)),
        ([(ok(), ok()), (blocked(), ok()), (ok(), ok())], (5, 6)),
        ([(ok(), blocked())] * 3, (3, 4)),
        ([(blocked(), blocked())] * 3, None),
    ],
    ids=["at once", "one later", "a relapse", "of those that reach it", "not at all"],
)
def test_the_end_of_a_block_has_a_range(
    after: list[tuple[Verdict, Verdict]], range_of_end: tuple[int, int] | None
) -> None:
    place = network()
    for n in range(4):
        say(place, n, blocked(), blocked())
        rise(place, n)
    for n, said in enumerate(after, 4):
        say(place, n, *said)
    expected = range_of_end and tuple(START + n * INTERVAL for n in range_of_end)
    assert end_range(place, "tls") == expected


def test_alarms_that_nobody_shares_end_one_by_one() -> None:
    place = network()
    for n in range(4):
        say(place, n, blocked(), *[ok()] * 7)
        rise(place, n)
    for n in range(4, 8):
        say(place, n, blocked(), blocked(), *[ok()] * 6)
        rise(place, n)
    assert place.layers["tls"].rank == 1
    assert len(alarmed(place.layers["tls"])) == 2
    for n in range(8, 14):
        say(place, n, blocked(), *[ok()] * 7)
        rise(place, n)
    drop_recovered(place, "tls", START + 13 * INTERVAL, POLICY)
    assert alarmed(place.layers["tls"]) == ("p-ru64501-0",)
    for n in range(14, 16):
        say(place, n, *[blocked()] * 8)
        rise(place, n)
    assert place.layers["tls"].rank > 1
    for n in range(16, 22):
        say(place, n, blocked(), *[ok()] * 7)
    drop_recovered(place, "tls", START + 21 * INTERVAL, POLICY)
    assert len(alarmed(place.layers["tls"])) == 8


def test_settling_ends_alarms_and_only_wholly_all_suspicion() -> None:
    place = network()
    say(place, 0, blocked(), *[ok()] * 4)
    say(place, 1, blocked(), blocked(), *[ok()] * 3)
    rise(place, 1)
    each = place.layers["tls"]
    clear_alarms(place, "tls")
    each = place.layers["tls"]
    assert (alarmed(each), each.rank, suspected(each)) == ((), 0, True)
    clear_alarms(place, "tls", wholly=True)
    assert not suspected(place.layers["tls"])


def test_a_block_that_pauses_for_ten_minutes_is_not_over() -> None:
    """Minute by minute, as retests would see it, three times."""
    world = World(standard(), interval=60_000).quiet(10).run(12, in_network(64501, blocked()))
    for _ in range(3):
        world.run(10, lambda n, who: ok())
        assert world.only.state is EventState.CLEARING
        world.run(20, in_network(64501, blocked()))
        assert world.only.state is EventState.OPEN
    assert len(world.events) == 1
    world.run(15, lambda n, who: ok())
    assert world.only.state is EventState.CLOSED


def test_a_block_that_is_lifted_network_by_network_ends_with_the_last() -> None:
    people = [*vantages(3), *vantages(3, asn=64502), *vantages(3, "DE", 64504)]
    world = World(people).quiet().run(12, lambda n, who: blocked() if who.country == "RU" else ok())
    assert world.only.asns == (64501, 64502)
    world.run(6, in_network(64502, blocked()))
    assert (world.only.state, world.only.asns) == (EventState.OPEN, (64502,))
    world.run(6, lambda n, who: ok())
    assert world.only.state is EventState.CLOSED
    assert world.only.asns == (64501, 64502)


@pytest.mark.parametrize(("share", "seed"), [(0.4, 1), (0.4, 2), (0.55, 3), (0.75, 4)])
def test_a_block_of_a_share_of_the_flows_lasts_until_it_ends(share: float, seed: int) -> None:
    rng = random.Random(seed)

    def partly(n: int, who: Vantage) -> Verdict:
        return blocked() if who.asn == 64501 and rng.random() < share else ok()

    world = World(standard()).quiet().run(120, partly)
    assert [event.state for event in world.events.values() if event.confirmed] == [EventState.OPEN]
    world.run(12, lambda n, who: ok())
    assert not any(event.ongoing for event in world.events.values())


@pytest.mark.parametrize("liars", [0, 1])
@pytest.mark.parametrize("seed", range(4))
def test_a_block_that_weakens_to_half_of_the_flows_goes_on(seed: int, liars: int) -> None:
    """Two of three reach the service five times in a row by chance, and the third fails now and
    then; or one says at all times that it reaches it, of five."""
    rng, size = random.Random(seed), 5 if liars else 3

    def weaker(n: int, who: Vantage) -> Verdict:
        lies = who.probe in [f"p-ru64501-{number}" for number in range(liars)]
        return blocked() if who.asn == 64501 and not lies and rng.random() < 0.5 else ok()

    people = [*vantages(size), *vantages(3, "DE", 64504)]
    world = World(people, interval=180_000).quiet(10).run(14, in_network(64501, blocked()))
    first = world.only
    assert [each.present_per_mille for each in first.networks] == [None]
    world.run(120, weaker)
    now = world.events[first.id]
    assert now.ongoing
    assert all(250 <= (each.present_per_mille or 0) <= 600 for each in now.networks)
