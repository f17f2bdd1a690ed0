"""What must hold of every small world, whatever its vantages say; with calm networks kept as
columns (from one network on) as well as without.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from monitor.detection.events import state as states
from monitor.detection.events.fold import initial, step
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
    UNSEEN,
    Vantage,
    blocked,
    fact,
    ok,
    vantages,
)

RANK = {None: 0, Tier.UNCONFIRMED: 1, Tier.LIKELY: 2, Tier.CONFIRMED: 3}
WORDS: dict[str, Verdict | None] = {
    "ok": ok(),
    "reset": blocked(),
    "bare": blocked(weight=0),
    "partly": blocked(state=State.IMPAIRED),
    "blackhole": BLACKHOLE,
    "injected": INJECTED,
    "down": DOWN,
    "offline": OFFLINE,
    "uncontrolled": UNCONTROLLED,
    "unseen": UNSEEN,
    "nothing": None,
}
ONE_LAYER = ("reset", "bare", "partly")
"""Failures of TLS only. A failure of a deeper layer also shows that those above it work, so
removing it from a mixture takes good news away too."""
WITH_SIGNATURE = ("reset", "partly")
KINDS = (WITH_SIGNATURE, ("bare", "blackhole"), ("injected",))
"""What a vantage may lose without its share of failures with a signature rising: those of one step
all with one, or all without."""
FAILED = (State.BLOCKED, State.IMPAIRED)
ANYTHING = tuple(WORDS)
WARM = 3
Said = list[list[str]]
Worlds = list[list[Fact]]


def world(people: list[Vantage], said: Said) -> Worlds:
    """Rounds of facts: some quiet ones, then what each vantage says; who is not named is well."""
    rounds = [["ok"] * len(people)] * WARM + said
    return [
        [
            fact(who, START + number * INTERVAL, verdict)
            for n, who in enumerate(people)
            if (verdict := WORDS[saying[n] if n < len(saying) else "ok"]) is not None
        ]
        for number, saying in enumerate(rounds)
    ]


def scene(said: Said) -> Worlds:
    """A world of one network that speaks so, and a French one where all is well."""
    return world([*vantages(len(said[0])), *vantages(3, "FR", 64503)], said)


def scripts(n: int, words: Sequence[str], longest: int) -> st.SearchStrategy[Said]:
    """What `n` vantages say, round after round."""
    line = st.lists(st.sampled_from(words), min_size=n, max_size=n)
    return st.lists(line, min_size=1, max_size=longest)


def kind_of(one: Fact) -> tuple[str, ...]:
    """The kind of a failure; empty of what does not accuse."""
    if one.verdict.state not in FAILED:
        return ()
    return next(kind for kind in KINDS for word in kind if WORDS[word] == one.verdict)


def of_one_kind(rounds: Worlds) -> set[str]:
    """Ids of the facts of vantages whose failures are all of one kind. A failure without a
    signature is evidence of a block, and evidence that no name is read. So is one at an earlier
    step. Where one of them is lost beside failures with a signature, a detector cannot know it,
    and the others have a signature sooner: test_fold_losses has the smallest such worlds."""
    kinds: dict[str, set[tuple[str, ...]]] = {}
    for facts in rounds:
        for each in facts:
            kinds.setdefault(each.probe, set()).add(kind_of(each))
    single = {probe for probe, some in kinds.items() if len(some - {()}) < 2}
    return {f.id for facts in rounds for f in facts if f.probe in single}


def scripts_by_kind(n: int, words: Sequence[str], longest: int) -> st.SearchStrategy[Said]:
    """The same where most of the vantages fail in one way each."""
    rest = [word for word in words if word not in itertools.chain(*KINDS)]
    kinds = [[word for word in words if word in kind] for kind in KINDS]
    columns = [[*kind, *rest] for kind in kinds if kind] + [list(words)]
    chosen = st.lists(st.sampled_from(columns), min_size=n, max_size=n)
    return chosen.flatmap(
        lambda each: st.lists(
            st.tuples(*(st.sampled_from(column) for column in each)).map(list),
            min_size=1,
            max_size=longest,
        )
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


MASKS = st.integers(0, 2**100 - 1)


def chosen(ids: list[str], mask: int) -> set[str]:
    """Some of the ids, by the bits of a number."""
    return {id for n, id in enumerate(ids) if mask >> n & 1}


def unseen(one: Fact) -> Fact:
    """The fact as it would be judged had liveness not been measured beside it."""
    if one.verdict.state in (State.OK, State.INSUFFICIENT):
        return one
    return replace(one, verdict=UNSEEN if one.control else UNCONTROLLED)


def uncontrolled(one: Fact) -> Fact:
    """The fact as it would be judged had there been no control."""
    if one.verdict.state is State.OK:
        return replace(one, control=False)
    return replace(one, control=False, verdict=UNCONTROLLED)


@given(scripts(1, ANYTHING, 40))
def test_one_vantage_never_pages(said: Said) -> None:
    people = [*vantages(4), *vantages(3, "FR", 64503)]
    assert ranks(world(people, said))[-1] <= 1


@given(scripts(3, ANYTHING, 12))
def test_one_owner_never_pages(said: Said) -> None:
    rounds = scene(said)
    same = [[replace(f, owner="one") for f in facts] for facts in rounds]
    assert ranks(same)[-1] <= 2


@given(scripts(3, ["ok", "down", "offline", "uncontrolled", "nothing"], 12))
def test_nothing_is_opened_without_a_controlled_failure(said: Said) -> None:
    rounds = scene(said)
    assert ranks(rounds)[-1] == 0


def losing(rounds: Worlds, mask: int, kinds: Iterable[tuple[str, ...]] = ()) -> set[str]:
    """Some of the failing facts of vantages that fail in one way, or of these kinds."""
    single = of_one_kind(rounds)
    failing = [f for facts in rounds for f in facts if f.verdict.state in FAILED]
    return chosen([f.id for f in failing if f.id in single or kind_of(f) in kinds], mask)


def without(rounds: Worlds, gone: set[str]) -> Worlds:
    return [[f for f in facts if f.id not in gone] for facts in rounds]


def changed(rounds: Worlds, mask: int, loss: Callable[[Fact], Fact]) -> Worlds:
    """Some of the facts of vantages that fail in one way, changed."""
    single = of_one_kind(rounds)
    lost = chosen([f.id for facts in rounds for f in facts if f.id in single], mask)
    return [[loss(f) if f.id in lost else f for f in facts] for facts in rounds]


def opens(rounds: Worlds) -> list[int]:
    return [min(rank, 1) for rank in ranks(rounds)]


SOME = [*ONE_LAYER, "ok", "down", "offline", "uncontrolled", "nothing"]


@given(scripts_by_kind(4, SOME, 8), MASKS)
def test_removing_failing_facts_never_opens(said: Said, mask: int) -> None:
    rounds = scene(said)
    less = without(rounds, losing(rounds, mask, [WITH_SIGNATURE]))
    assert not_above(opens(less), opens(rounds))


@given(scripts_by_kind(4, [*ONE_LAYER, "nothing"], 10), MASKS)
def test_removing_failing_facts_never_confirms(said: Said, mask: int) -> None:
    rounds = scene(said)
    less = without(rounds, losing(rounds, mask, [WITH_SIGNATURE]))
    assert not_above(ranks(less), ranks(rounds))


@given(scripts_by_kind(4, ANYTHING, 8), MASKS)
def test_removing_control_never_opens(said: Said, mask: int) -> None:
    rounds = scene(said)
    assert not_above(opens(changed(rounds, mask, uncontrolled)), opens(rounds))


@given(scripts_by_kind(4, [*ONE_LAYER, "blackhole", "injected", "nothing"], 10), MASKS)
def test_removing_control_never_confirms(said: Said, mask: int) -> None:
    rounds = scene(said)
    assert not_above(ranks(changed(rounds, mask, uncontrolled)), ranks(rounds))


@given(scripts_by_kind(4, [*ONE_LAYER, "offline", "down", "ok", "nothing"], 10), MASKS)
def test_removing_liveness_never_moves_towards_blocked(said: Said, mask: int) -> None:
    rounds = scene(said)
    assert not_above(opens(changed(rounds, mask, unseen)), opens(rounds))


@given(scripts_by_kind(4, [*ONE_LAYER, "offline", "nothing"], 10), MASKS)
def test_removing_liveness_never_confirms(said: Said, mask: int) -> None:
    rounds = scene(said)
    assert not_above(ranks(changed(rounds, mask, unseen)), ranks(rounds))


def test_a_dark_network_without_liveness_is_still_dark() -> None:
    """Five of six are offline; without their liveness nobody would know, and the sixth is alone."""
    people = [*vantages(6), *vantages(3, "FR", 64503)]
    said = [["reset", *["offline"] * 5]] * 12
    dark = world(people, said)
    assert ranks(dark)[-1] == 0
    assert ranks([[unseen(f) for f in facts] for facts in dark])[-1] == 0
    unknown = [[unseen(f) if f.verdict is OFFLINE else f for f in facts] for facts in dark]
    assert ranks(unknown)[-1] == 0


ODD = (
    {"asn": 64502},
    {"country": "FR"},
    {"target": "wechat/web"},
    {"interval": 60_000},
    {"interval": 3_600_000},
    {"retest": True, "interval": 60_000},
    {"source": "ooni"},
)
"""How one vantage's fact may be otherwise: it moves, measures something else, or at once."""


@given(scripts(1, ANYTHING, 50), st.lists(st.integers(0, 3 * len(ODD)), min_size=50, max_size=50))
def test_one_vantage_never_pages_wherever_it_says_it_is(said: Said, odd: list[int]) -> None:
    people = [*vantages(4), *vantages(3, "FR", 64503)]
    rounds = world(people, said)
    for number, facts in enumerate(rounds[WARM:]):
        liar = next((n for n, f in enumerate(facts) if f.probe == people[0].probe), None)
        if liar is not None and odd[number] < len(ODD):
            facts.append(replace(facts[liar], id=facts[liar].id[::-1], **ODD[odd[number]]))
    for country in ("RU", "FR"):
        own = [[f for f in facts if f.source == "probe"] for facts in rounds]
        assert ranks(own, country)[-1] <= 1
        assert ranks(rounds, country)[-1] <= 2, "imports are likely at most"


@given(
    scripts(3, ANYTHING, 12),
    st.randoms(use_true_random=False),
    st.lists(st.integers(0, 2 * len(ODD)), min_size=12, max_size=12),
)
def test_order_restart_and_purity(said: Said, random: object, odd: list[int]) -> None:
    """Facts of a round in any order, those of retests and of imports too, a restart after every
    round, and the old state untouched."""
    rounds = scene(said)
    for number, facts in enumerate(rounds[WARM:]):
        if facts and odd[number] < len(ODD):
            facts.append(replace(facts[0], id=facts[0].id[::-1], **ODD[odd[number]]))
    one = other = initial("wechat")
    for number, facts in enumerate(rounds):
        at = START + number * INTERVAL
        mixed = list(facts)
        random.shuffle(mixed)  # type: ignore[attr-defined]
        before = states.encode(one)
        later, touched = step(one, at, facts, POLICY)
        assert states.encode(one) == before
        one = later
        again = states.decode(states.encode(other))
        other, same = step(again, at, mixed, POLICY)
        assert touched == same
        assert one.networks == other.networks
        assert states.encode(one) == states.encode(other)


@given(scripts(3, ANYTHING, 12))
def test_events_keep_their_shape(said: Said) -> None:
    rounds = scene(said)
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
        assert {case.event.id for case in state.open_events.values()} <= seen.keys()
