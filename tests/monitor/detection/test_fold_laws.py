"""What must hold of every small world, whatever its vantages say."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from monitor.detection import state as states
from monitor.detection.fold import initial, step
from monitor.detection.model import Fact, State, Tier, Verdict
from tests.monitor.detection.worlds import (
    BLACKHOLE,
    DOWN,
    INJECTED,
    INTERVAL,
    OFFLINE,
    POLICY,
    START,
    UNCONTROLLED,
    Vantage,
    blocked,
    fact,
    ok,
    vantages,
)

RANK = {None: 0, Tier.UNCONFIRMED: 1, Tier.LIKELY: 2, Tier.CONFIRMED: 3}
FAILING = [blocked(), BLACKHOLE, INJECTED, blocked(state=State.IMPAIRED)]
ANYTHING = [ok(), *FAILING, DOWN, OFFLINE, UNCONTROLLED, None]
WARM = 3
Worlds = list[list[Fact]]


def world(people: list[Vantage], said: list[list[Verdict | None]]) -> Worlds:
    """Rounds of facts: some quiet ones, then what each vantage says."""
    rounds: list[list[Verdict | None]] = [[ok()] * len(people)] * WARM
    return [
        [
            fact(who, START + number * INTERVAL, verdict)
            for who, verdict in zip(people, saying, strict=True)
            if verdict is not None
        ]
        for number, saying in enumerate([*rounds, *said])
    ]


def scripts(n: int, words: list[Verdict | None], longest: int) -> st.SearchStrategy[Worlds]:
    """Worlds of a network of `n` vantages, and a French one where all is well."""
    abroad = vantages(3, "FR", 64503)
    line = st.lists(st.sampled_from(words), min_size=n, max_size=n).map(lambda s: [*s, *[ok()] * 3])
    return st.lists(line, min_size=1, max_size=longest).map(
        lambda said: world([*vantages(n), *abroad], said)
    )


def ranks(rounds: Iterable[list[Fact]], country: str = "RU") -> list[int]:
    """The highest tier that any event of a country has reached by each round."""
    state, reached, highest = initial("wechat"), 0, []
    for number, facts in enumerate(rounds):
        state, touched = step(state, START + number * INTERVAL, facts, POLICY)
        reached = max([reached, *(RANK[e.tier] for e in touched if e.country == country)])
        highest.append(reached)
    return highest


def not_above(lower: list[int], upper: list[int]) -> bool:
    return all(a <= b for a, b in zip(lower, upper, strict=True))


def uncontrolled(one: Fact) -> Fact:
    """The fact as it would be judged had there been no control."""
    if one.verdict.state is State.OK:
        return replace(one, control=False)
    return replace(one, control=False, verdict=UNCONTROLLED)


@given(st.lists(st.sampled_from(ANYTHING), min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_one_vantage_never_pages(said: list[Verdict | None]) -> None:
    people = [*vantages(4), *vantages(3, "FR", 64503)]
    rounds = world(people, [[word, *[ok()] * 6] for word in said])
    assert ranks(rounds)[-1] <= 1


@given(scripts(3, ANYTHING, 12))
@settings(max_examples=40, deadline=None)
def test_one_owner_never_pages(rounds: Worlds) -> None:
    same = [[replace(f, owner="one") for f in facts] for facts in rounds]
    assert ranks(same)[-1] <= 2


@given(scripts(3, [ok(), DOWN, OFFLINE, UNCONTROLLED, None], 12))
@settings(max_examples=40, deadline=None)
def test_nothing_is_opened_without_a_controlled_failure(rounds: Worlds) -> None:
    assert ranks(rounds)[-1] == 0


@given(scripts(4, ANYTHING, 8), st.data())
@settings(max_examples=80, deadline=None)
def test_removing_failing_facts_never_opens(rounds: Worlds, data: st.DataObject) -> None:
    failing = [f.id for facts in rounds for f in facts if f.verdict in FAILING]
    gone = data.draw(st.sets(st.sampled_from(failing))) if failing else set()
    less = [[f for f in facts if f.id not in gone] for facts in rounds]
    opened = [min(rank, 1) for rank in ranks(rounds)]
    assert not_above([min(rank, 1) for rank in ranks(less)], opened)


@given(scripts(4, [*FAILING, None], 10), st.data())
@settings(max_examples=80, deadline=None)
def test_removing_failing_facts_never_confirms(rounds: Worlds, data: st.DataObject) -> None:
    failing = [f.id for facts in rounds for f in facts if f.verdict in FAILING]
    gone = data.draw(st.sets(st.sampled_from(failing))) if failing else set()
    less = [[f for f in facts if f.id not in gone] for facts in rounds]
    assert not_above(ranks(less), ranks(rounds))


@given(scripts(4, ANYTHING, 8), st.data())
@settings(max_examples=80, deadline=None)
def test_removing_control_never_opens(rounds: Worlds, data: st.DataObject) -> None:
    ids = [f.id for facts in rounds for f in facts]
    lost = data.draw(st.sets(st.sampled_from(ids)))
    less = [[uncontrolled(f) if f.id in lost else f for f in facts] for facts in rounds]
    opened = [min(rank, 1) for rank in ranks(rounds)]
    assert not_above([min(rank, 1) for rank in ranks(less)], opened)


@given(scripts(4, [*FAILING, None], 10), st.data())
@settings(max_examples=80, deadline=None)
def test_removing_control_never_confirms(rounds: Worlds, data: st.DataObject) -> None:
    ids = [f.id for facts in rounds for f in facts]
    lost = data.draw(st.sets(st.sampled_from(ids)))
    less = [[uncontrolled(f) if f.id in lost else f for f in facts] for facts in rounds]
    assert not_above(ranks(less), ranks(rounds))


@given(scripts(3, ANYTHING, 12), st.randoms())
@settings(max_examples=60, deadline=None)
def test_order_restart_and_purity(rounds: Worlds, random: object) -> None:
    """Facts of a round in any order, a restart after every round, and the old state untouched."""
    one = other = initial("wechat")
    for number, facts in enumerate(rounds):
        at = START + number * INTERVAL
        mixed = list(facts)
        random.shuffle(mixed)  # type: ignore[attr-defined]
        before = states.encode(one)
        later, touched = step(one, at, facts, POLICY)
        assert states.encode(one) == before
        one = later
        other, same = step(states.decode(states.encode(other)), at, mixed, POLICY)
        assert touched == same
        assert states.encode(one) == states.encode(other)


@given(scripts(3, ANYTHING, 12))
@settings(max_examples=40, deadline=None)
def test_events_keep_their_shape(rounds: Worlds) -> None:
    state = initial("wechat")
    seen: dict[str, list[str]] = {}
    for number, facts in enumerate(rounds):
        at = START + number * INTERVAL
        state, touched = step(state, at, facts, POLICY)
        for event in touched:
            assert event.updated == at
            assert event.onset_earliest <= event.onset <= event.onset_latest <= at
            assert event.opened <= at
            assert event.agreeing <= event.total
            assert len(event.witnesses) <= 20
            assert (event.closed is not None) == (event.state == "closed")
            assert (event.confirmed is not None) == (event.tier is Tier.CONFIRMED)
            kinds = [change.kind for change in event.history]
            assert kinds[: len(seen.get(event.id, []))] == seen.get(event.id, [])
            seen[event.id] = kinds
        assert {case.event.id for case in state.cases.values()} <= seen.keys()
