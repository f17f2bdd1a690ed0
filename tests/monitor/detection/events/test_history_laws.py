"""What must hold of stored measurements on their way through judge and detector: what is lost
never speaks for a block, and in which order they come makes no difference.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from monitor.detection.events import gates
from monitor.detection.events import state as states
from monitor.detection.events.fold import initial
from monitor.detection.events.history import Folding
from monitor.detection.judge.round_facts import facts_of
from monitor.detection.model import Event, Fact, State, Stored, Tier
from monitor.detection.policy import Policy, RoundsPolicy
from probes.wire.measurement import LIVENESS_TARGETS, Role
from probes.wire.observation import TLSHandshake
from tests.monitor.detection.scenes import alive
from tests.monitor.fleet import INTERVAL, PEOPLE, START, TARGET, Person, one

POLICY = Policy(rounds=RoundsPolicy(checkpoint_seconds=300))
"""Checkpoints every five rounds, so that late facts find one within these short worlds."""
ACCUSING = (State.BLOCKED, State.IMPAIRED, State.THROTTLED)
RANK = {Tier.UNCONFIRMED: 1, Tier.LIKELY: 2, Tier.CONFIRMED: 3}
WARM, LONGEST = 3, 12
VICTIMS = [who for who in PEOPLE if who.asn == 64501]
SAID = st.lists(
    st.lists(st.sampled_from(("works", "blocked", "offline", "nothing")), min_size=3, max_size=3),
    min_size=6,
    max_size=LONGEST,
)
SEEDS = st.integers(0, 2**32)


def world(
    said: Sequence[Sequence[str]], retests: bool = False, down: Collection[int] = ()
) -> list[Stored]:
    """Some quiet rounds, then what each vantage of one network says; all else is well, but the
    control in the rounds of `down`."""
    rounds = [["works"] * len(VICTIMS)] * WARM + [list(words) for words in said]
    found = []
    for number, words in enumerate(rounds):
        saying = dict(zip(VICTIMS, words, strict=True))
        for who in PEOPLE:
            word = saying.get(who, "works")
            if who.role is Role.CONTROL and number in down:
                word = "blocked"
            if word != "nothing":
                made = one(who, number, word in ("blocked", "offline"))
                found += dead(who, number, made) if word == "offline" else made
            if retests and word == "blocked":
                found += again(who, number)
        if retests and "blocked" in words:
            (control,) = (who for who in PEOPLE if who.role is Role.CONTROL)
            found += again(control, number, fails=number + 1 in down)
    return found


def dead(who: Person, number: int, made: Sequence[Stored]) -> list[Stored]:
    """The same from a vantage that reaches no liveness host either."""
    network = made[0].measurement.vantage
    at = made[0].measurement.round
    (liveness,) = alive(
        international=(False,) * 3, probe=who.probe, round=at, vantage=network, interval_ms=INTERVAL
    )
    old = made[1].measurement
    new = replace(liveness, id=old.id, started=old.started)
    return [made[0], replace(made[1], measurement=new)]


def again(who: Person, number: int, target: str = TARGET, fails: bool = True) -> list[Stored]:
    """The same half a round later, because the detector asked."""
    made = one(who, 2 * number + 1, fails, target=target, interval=INTERVAL // 2)
    return [
        replace(
            each,
            measurement=replace(
                each.measurement,
                id=each.measurement.id[::-1],
                retest=each.measurement.target == target,
            ),
        )
        for each in made
    ]


def by_round(stored: Sequence[Stored]) -> list[int]:
    return sorted(
        {
            each.measurement.round
            for each in stored
            if each.measurement.target not in LIVENESS_TARGETS and each.role is not Role.CONTROL
        }
    )


def folded(stored: Sequence[Stored], rounds: Sequence[int] | None = None) -> Folding:
    folding = Folding(initial("wechat"), POLICY)
    folding.fold(by_round(stored) if rounds is None else rounds, stored)
    return folding


def ranks(stored: Sequence[Stored], rounds: Sequence[int]) -> list[int]:
    """The highest tier that any event has reached by each round."""
    folding, reached, found = Folding(initial("wechat"), POLICY, keep=False), 0, []
    for round in rounds:
        folding.events = {}
        folding.fold([round], stored)
        reached = max([reached, *(RANK[each.tier] for each in folding.events.values())])
        found.append(reached)
    return found


def fails(each: Stored) -> bool:
    """Whether a measurement saw its target fail."""
    return any(
        isinstance(seen, TLSHandshake) and seen.failure for seen in each.measurement.observations
    )


def speaks_for_others(each: Stored) -> bool:
    return each.role is Role.CONTROL or each.measurement.target in LIVENESS_TARGETS


def judged(stored: Sequence[Stored]) -> dict[str, Fact]:
    """All facts by id."""
    return {
        fact.id: fact for at in by_round(stored) for fact in facts_of(upto(stored, at), at, POLICY)
    }


def upto(stored: Sequence[Stored], round: int) -> list[Stored]:
    return [each for each in stored if round - 300_000 <= each.measurement.round <= round]


def controls(rng: random.Random) -> list[Stored]:
    """What two controls say, each at its own pace, of a service that comes and goes."""
    found = []
    for number in (7, 8):
        who = Person(number, 64990 + number, "DE", Role.CONTROL)
        pace = rng.choice((1, 2, 5))
        for turn in range((WARM + LONGEST) // pace):
            made = one(who, turn, rng.random() < 0.3, interval=pace * INTERVAL)
            found += dead(who, turn, made) if rng.random() < 0.1 else made
    return found


@pytest.mark.slow
@given(SAID, SEEDS, st.booleans())
def test_losing_controls_and_liveness_never_moves_a_verdict_towards_blocked(
    said: list[list[str]], seed: int, retests: bool
) -> None:
    """Passing or failing, in whatever number, of controls of another pace too; and what
    gates must think of a failure is never better, but that a failure of a vantage without liveness
    is none of the service."""
    rng = random.Random(seed)
    stored = world(said, retests, {rng.randrange(WARM + LONGEST)}) + controls(rng)
    share = rng.random()
    less = [each for each in stored if not speaks_for_others(each) or rng.random() > share]
    had, has = judged(stored), judged(less)
    assert had.keys() == has.keys()
    for id, fact in has.items():
        before = had[id]
        assert fact.verdict.state not in ACCUSING or before.verdict.state in ACCUSING
        assert fact.verdict.state is not State.BLOCKED or before.verdict.state is State.BLOCKED
        for words in (gates.FAILING, gates.CUT_OFF, gates.UNPROVEN):
            assert (
                gates.outcome(before) not in words
                or gates.outcome(fact) in words
                or (words is gates.FAILING and gates.outcome(fact) in gates.UNPROVEN)
            )


@given(
    SAID,
    SEEDS,
    st.sampled_from(("control and liveness", "failing")),
    st.booleans(),
    st.sets(st.integers(WARM, WARM + LONGEST), max_size=4),
)
def test_what_is_lost_never_opens_anything(
    said: list[list[str]], seed: int, what: str, retests: bool, down: set[int]
) -> None:
    """Of controls also what speaks against a block; a retest's control may fail before its usual
    round does."""
    if what == "failing":  # what somebody offline saw is no failure of the service
        said = [["works" if word == "offline" else word for word in words] for words in said]
        down = set()
    stored = world(said, retests, down)
    rounds, rng = by_round(stored), random.Random(seed)
    share = rng.random()
    wanted = fails if what == "failing" else speaks_for_others
    less = [each for each in stored if not wanted(each) or rng.random() > share]
    # Whether anything opens; of higher tiers see test_fold_losses.
    for had, has in zip(ranks(stored, rounds), ranks(less, rounds), strict=True):
        assert min(has, 1) <= min(had, 1)


def test_the_worlds_are_worth_asking() -> None:
    stored = world([["blocked"] * 3] * LONGEST)
    assert ranks(stored, by_round(stored))[-1] == 3


@given(SAID, SEEDS, st.booleans())
def test_late_facts_in_any_order_end_in_the_same_state(
    said: list[list[str]], seed: int, retests: bool
) -> None:
    """What arrives is folded; what arrives for a time that was folded is folded again from the
    newest kept state before it, as the live detector does it."""
    stored, rng = world(said, retests), random.Random(seed)
    expected = folded(stored)
    pieces, arrived = list(stored), list[Stored]()
    rng.shuffle(pieces)
    state = initial("wechat")
    kept: dict[int, bytes] = {}
    events: dict[str, Event] = {}
    while pieces:
        size = rng.randint(1, max(1, len(stored) // 3))
        arrived, fresh, pieces = arrived + pieces[:size], pieces[:size], pieces[size:]
        since = min(each.measurement.round for each in fresh)
        if since <= state.round:
            before = [round for round in kept if round < since]
            start = max(before, default=-1)
            kept = {round: raw for round, raw in kept.items() if round <= start}
            state = states.decode(kept[start]) if before else initial("wechat")
            events = {id: each for id, each in events.items() if each.opened <= state.round}
        folding = Folding(state, POLICY)
        folding.fold([round for round in by_round(arrived) if round > state.round], arrived)
        state = states.decode(states.encode(folding.state))
        kept |= dict(folding.checkpoints)
        events |= folding.events
    assert states.encode(state) == states.encode(expected.state)
    assert events == expected.events


@given(SAID, SEEDS)
def test_a_second_run_a_restart_and_another_order_give_the_same_bytes(
    said: list[list[str]], seed: int
) -> None:
    stored, rng = world(said, retests=True), random.Random(seed)
    one_run = folded(stored)
    rng.shuffle(stored)
    assert states.encode(folded(stored).state) == states.encode(one_run.state)
    rounds = by_round(stored)
    cut = rng.randrange(len(rounds))
    first = folded(stored, rounds[:cut])
    second = Folding(states.decode(states.encode(first.state)), POLICY)
    second.fold(rounds[cut:], stored)
    assert states.encode(second.state) == states.encode(one_run.state)
    assert first.events | second.events == one_run.events
    assert START + (WARM - 1) * INTERVAL in rounds
