"""A state restored from its parts is the state itself, to the byte: whatever the rounds between
them held, and wherever it was saved."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from monitor.detection.events import state as states
from monitor.detection.events.fold import initial, step
from monitor.detection.events.state import DetectorStateError, ServiceState
from monitor.detection.events.state_change import change_between, members, new_members, restored
from monitor.detection.policy import Policy
from tests.monitor.detection.events.test_fold_laws import ANYTHING, ODD, WARM, Said, scene, scripts
from tests.monitor.detection.worlds import (
    INTERVAL,
    START,
    World,
    blocked,
    in_network,
    ok,
    standard,
)

POLICY = Policy()
FORGOTTEN_MS = 400 * 86_400_000
"""After this time nothing is left of a vantage that was not heard."""


def order(state: ServiceState) -> list[object]:
    """Every key of a state, as its dictionaries have them."""
    return [
        list(state.networks),
        list(state.open_events),
        *(
            [list(network.members), [(name, list(s.tracks)) for name, s in network.layers.items()]]
            for network in state.networks.values()
        ),
    ]


@given(
    scripts(3, ANYTHING, 12),
    st.integers(0, 2**32),
    st.lists(st.integers(0, 2 * len(ODD)), min_size=12, max_size=12),
)
def test_a_state_in_parts_is_the_state(said: Said, seed: int, odd: list[int]) -> None:
    """Some vantages are missing, some are in two networks, and long silences make others go."""
    rng = random.Random(seed)
    state = initial("wechat")
    parts, saved = [states.encode(state)], state
    at = START
    for number, facts in enumerate(scene(said)):
        at += INTERVAL + FORGOTTEN_MS * (rng.random() < 0.1)
        later = [replace(fact, round=at, started=at + 1, received=at + 2) for fact in facts]
        if later and number >= WARM and odd[number - WARM] < len(ODD):
            strange = replace(later[0], id=later[0].id[::-1], **ODD[odd[number - WARM]])
            later.append(strange)
        kept = [fact for fact in later if rng.random() < 0.6]
        state, _ = step(state, at, kept, POLICY)
        if rng.random() < 0.5:
            parts.append(states.packed(change_between(saved, state)))
            saved = state
            again = restored(parts)
            assert states.encode(again) == states.encode(state)
            assert order(again) == order(states.decode(states.encode(state)))
            if rng.random() < 0.3:  # another process goes on from what is stored
                state = saved = again


def test_a_change_holds_what_reported_and_nothing_else() -> None:
    state = initial("wechat")
    rounds = scene([["ok"] * 3])
    for number, facts in enumerate(rounds):
        state, _ = step(state, START + number * INTERVAL, facts, POLICY)
    at = START + len(rounds) * INTERVAL
    fact = replace(rounds[-1][0], round=at, started=at + 1, received=at + 2)
    change = change_between(state, step(state, at, [fact], POLICY)[0])
    (network,) = change.state.networks.values()
    assert list(network.members) == [fact.probe]
    later = step(state, at, [fact], POLICY)[0]
    assert new_members(state, later) == members(change.state) == 1
    assert new_members(initial("wechat"), later) == members(later) == members(state)
    assert (change.replaced, change.gone, change.ended) == ((), (), ())
    quiet = change_between(state, step(state, at, [], POLICY)[0])
    assert (quiet.state.round, quiet.state.networks, quiet.state.open_events) == (at, {}, {})


def test_an_event_is_in_the_parts_from_its_beginning_to_its_end() -> None:
    world = World(standard()).quiet(30)
    parts, saved, seen = [states.encode(world.state)], world.state, set[int]()
    for n in range(90):
        world.run(1, in_network(64501, blocked() if n < 20 else ok()))
        parts.append(states.packed(change_between(saved, world.state)))
        saved = world.state
        assert restored(parts).open_events == world.state.open_events
        seen.add(len(world.state.open_events))
    assert world.only.state == "closed"
    assert seen == {0, 1}


@pytest.mark.parametrize("parts", ["first", "later"])
def test_a_part_is_missing(parts: str) -> None:
    state = initial("wechat")
    chain = [states.encode(state)]
    for number, facts in enumerate(scene([["ok"] * 3])):
        at = START + number * INTERVAL
        later, _ = step(state, at, facts, POLICY)
        chain.append(states.packed(change_between(state, later)))
        state = later
    broken = chain[1:] if parts == "first" else [chain[0], *chain[2:]]
    with pytest.raises(DetectorStateError):
        restored(broken)
