from __future__ import annotations

import numpy as np

from monitor.detection.calm import plane
from monitor.detection.calm.plane import Calm
from monitor.detection.model import Fact
from monitor.detection.sequence.fold import initial, step
from monitor.detection.sequence.state import ServiceState
from tests.monitor.detection import worlds
from tests.monitor.detection.worlds import INTERVAL, POLICY, START, Vantage, fact, ok, vantages

PEOPLE = [*vantages(2), *vantages(2, asn=64502), *vantages(2, "FR", 64503)]
LATER = START + 9 * INTERVAL


def settled(people: list[Vantage] = PEOPLE) -> ServiceState:
    state = initial("wechat")
    for n in range(3):
        at = START + n * INTERVAL
        state, _ = step(state, at, [fact(who, at, ok()) for who in people], POLICY, calm_from=0)
    return state


def told(calm: Calm, *facts: Fact) -> tuple[int, set[str], list[Fact]]:
    """How many facts the columns take, which networks wake, what the objects get."""
    said, which, rest = plane.told(calm, facts)
    _, awake = plane.woken(calm, which)
    return sum(len(each.row) for each in said.values()), set(awake), rest


def test_facts_of_calm_networks_are_taken() -> None:
    calm = settled().calm
    assert len(calm) == 3
    said = [fact(who, LATER, ok()) for who in PEOPLE]
    assert told(calm, *said) == (6, set(), [])
    assert plane.heard(calm, plane.told(calm, said)[0]) == {("RU", "probe"), ("FR", "probe")}


def test_a_new_vantage_wakes_its_network() -> None:
    calm = settled().calm
    stranger = fact(Vantage("p-new", "o"), LATER, ok())
    mine = fact(PEOPLE[0], LATER, ok())
    taken, awake, rest = told(calm, stranger, mine, fact(PEOPLE[2], LATER, ok()))
    assert (taken, len(awake), {each.id for each in rest}) == (1, 1, {stranger.id, mine.id})


def test_who_moves_wakes_where_it_was_and_where_it_is() -> None:
    calm = settled().calm
    moved = Vantage(PEOPLE[0].probe, PEOPLE[0].owner, asn=64502)
    taken, awake, rest = told(calm, fact(moved, LATER, ok()))
    assert (taken, {key.split()[2] for key in awake}, len(rest)) == (0, {"64501", "64502"}, 1)


def test_who_is_in_two_networks_stays_with_the_objects() -> None:
    twin = Vantage(PEOPLE[0].probe, PEOPLE[0].owner, asn=64502)
    state = settled([*PEOPLE, twin])
    assert {network.asn for network in state.networks.values()} == {64501, 64502}
    assert len(state.calm) == 1


def test_imports_and_unknown_targets_are_left_to_the_objects() -> None:
    calm = settled().calm
    other = fact(PEOPLE[0], LATER, ok(), target="wechat/web")
    imported = fact(Vantage("x", "o", source="ooni"), LATER, ok())
    assert told(calm, other, imported) == (0, set(), [other, imported])


def test_waking_changes_only_the_new_one_and_forgotten_vantages_are_named() -> None:
    calm = settled().calm
    assert plane.forgotten(calm, START) == {}
    which = plane.forgotten(calm, LATER)
    later, awake = plane.woken(calm, which)
    assert (len(calm), len(later), len(awake)) == (3, 0, 3)
    assert awake == dict(calm.networks()) == dict(calm.networks(worlds.TARGET))
    assert list(calm.networks("wechat/web")) == []


def test_some_networks_and_their_intervals() -> None:
    calm = settled().calm
    assert dict(calm.some("RU", (64502, 64503))) == {
        key: network for key, network in calm.networks() if network.asn == 64502
    }
    assert calm.intervals("RU", (64501, 64503)) == [INTERVAL] * 2
    assert calm.intervals("DE", (64501,)) == []


def test_blocks_stay_few() -> None:
    state, people = initial("wechat"), []
    for n in range(40):
        people += vantages(1, asn=64600 + n)
        at = START + n * INTERVAL
        state, _ = step(state, at, [fact(who, at, ok()) for who in people], POLICY, calm_from=0)
    blocks = state.calm.blocks[worlds.TARGET]
    assert len(state.calm) == 40
    assert len(blocks) <= 6
    assert sum(int(np.sum(block.live)) for block in blocks) == 40
    assert len(state.calm.members(worlds.TARGET, "RU")) == 40
