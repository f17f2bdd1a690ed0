"""What losing facts may do to events: controls' words, liveness, and failures of vantages.

What is lost of one fact is what the judge would have said without it (test_judge_laws and
test_history_laws hold the judge to that). The laws come first, then the smallest worlds in which
more than they say does not hold: a detector that remembers forgets something with every end.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from monitor.detection.events.fold import initial, step
from monitor.detection.model import Event, State, Verdict
from tests.monitor.detection.events.test_fold_laws import RANK
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
    blocked,
    fact,
    ok,
    says,
    vantages,
)

UNKNOWN = says(State.INCONCLUSIVE, "no_control", "no_liveness")
WORDS: dict[str, Verdict] = {
    "ok": ok(),
    "reset": blocked(),
    "bare": blocked(weight=0),
    "blackhole": BLACKHOLE,
    "injected": INJECTED,
    "down": DOWN,
    "offline": OFFLINE,
    "uncontrolled": UNCONTROLLED,
    "unseen": UNSEEN,
    "down_unseen": says(State.DOWN, "no_liveness"),
    "unknown": UNKNOWN,
}
FAILS = ("reset", "bare")
WITHOUT_CONTROL = dict.fromkeys((*FAILS, "down"), "uncontrolled")
WITHOUT_LIVENESS = dict.fromkeys(FAILS, "unseen") | {"down": "down_unseen", "offline": "unseen"}
NEITHER = dict.fromkeys((*FAILS, "down", "offline"), "unknown")
"""What becomes of a word; what works needs neither."""
LOSSES = (WITHOUT_CONTROL, WITHOUT_LIVENESS, NEITHER)
GONE = dict.fromkeys(FAILS, "-")
HOME, ABROAD, WARM, LONGEST = 3, 3, 2, 10
PEOPLE = [*vantages(HOME), *vantages(ABROAD, "FR", 64503)]
Line = list[str]
Lost = dict[tuple[int, int], int]
"""Which loss befalls whose word, by round and vantage; past `LOSSES` none does."""


def lines(home: Sequence[str], abroad: Sequence[str]) -> st.SearchStrategy[list[Line]]:
    """Most vantages at home fail in one way each: with a signature or without."""
    columns = [[word for word in home if word != other] for other in ("bare", "reset", "")]
    chosen = st.lists(st.sampled_from(columns), min_size=HOME, max_size=HOME)
    return chosen.flatmap(
        lambda each: st.lists(
            st.tuples(*map(st.sampled_from, [*each, *[abroad] * ABROAD])).map(list),
            min_size=3,
            max_size=LONGEST,
        )
    )


LOST = st.lists(st.integers(0, 7), min_size=LONGEST * 6, max_size=LONGEST * 6)


def less(said: list[Line], lost: list[int], kinds: Sequence[dict[str, str]] = LOSSES) -> list[Line]:
    """The same with some words lost: by the n-th number, in what way; none from `kinds` on. Abroad
    no liveness is lost: what a vantage without it says closes no gate for others. No failure is
    lost of a vantage that fails with a signature and without: the others would be signed sooner.
    Nor is it lost that a vantage's failures began while the control failed too: that alone tells
    that they are the rest of an outage."""
    mixed = [all(word in column for word in FAILS) for column in zip(*said, strict=True)]
    return [
        [
            kinds[how].get(word, word)
            if (how := lost[6 * row + n]) < len(kinds)
            and (n < HOME or kinds[how] is WITHOUT_CONTROL)
            and not (mixed[n] and word in FAILS)
            and not (word == "down" and _goes_on_failing(said[row:], n))
            else word
            for n, word in enumerate(line)
        ]
        for row, line in enumerate(said)
    ]


def _goes_on_failing(said: list[Line], n: int) -> bool:
    """Whether a vantage fails beside a control that does not, before it reaches the service."""
    words = [line[n] for line in said]
    return any(word in FAILS for word in itertools.takewhile(lambda word: word != "ok", words))


def course(said: list[Line]) -> tuple[list[int], list[str]]:
    """Highest tier of any event at home by each round, and what the last event's history says."""
    state, reached, highest = initial("wechat"), 0, []
    events: dict[str, Event] = {}
    for number, line in enumerate([["ok"] * len(PEOPLE)] * WARM + said):
        at = START + number * INTERVAL
        told = [
            fact(who, at, WORDS[word], control="no_control" not in WORDS[word].evidence)
            for who, word in zip(PEOPLE, line, strict=True)
            if word != "-"
        ]
        state, touched = step(state, at, told, POLICY)
        here = {event.id: event for event in touched if event.country == "RU"}
        events |= here
        reached = max([reached, *(RANK[event.tier] for event in here.values())])
        highest.append(reached)
    return highest, [change.kind for event in events.values() for change in event.history]


def until_an_end(said: list[Line], other: list[Line]) -> list[tuple[int, int]]:
    """Tiers of both worlds up to the round in which the first one's event ended, if it did."""
    tiers, _ = course(said)
    for end in range(1, len(said) + 1):
        _, kinds = course(said[:end])
        if {"closed", "retracted"} & set(kinds):
            tiers = tiers[: WARM + end - 1]
            break
    return list(zip(tiers, course(other)[0], strict=False))


@given(
    lines(["ok", "reset", "bare", "down", "offline", "-"], ["ok", "reset", "down", "offline", "-"]),
    LOST,
)
@example(  # a failure that a gate shuts out takes the ground; the same without liveness did not
    [
        ["-", "reset", "-", "down", "down", "down"],
        ["-", "reset", "-", "reset", "-", "-"],
        *[["-"] * 6] * 5,
        ["-", "reset", "-", "-", "-", "-"],
    ],
    [7] * 7 + [1] + [7] * 52,
)
def test_losing_control_and_liveness_never_opens(said: list[Line], lost: list[int]) -> None:
    had, has = course(said)[0], course(less(said, lost))[0]
    assert all(min(b, 1) <= min(a, 1) for a, b in zip(had, has, strict=True))


@given(lines(["reset", "down", "offline", "-"], ["ok", "reset", "down", "offline", "-"]), LOST)
def test_losing_control_and_liveness_never_raises_the_tier_of_a_first_event(
    said: list[Line], lost: list[int]
) -> None:
    """Of signed failures with no success between them, until it ends."""
    for had, has in until_an_end(said, less(said, lost)):
        assert has <= had


@given(lines(["ok", "reset", "bare", "down", "-"], ["ok"]), LOST)
def test_losing_failures_never_opens(said: list[Line], lost: list[int]) -> None:
    """Of vantages of that country that fail in one way each, while no gate is shut."""
    had, has = course(said)[0], course(less(said, lost, [GONE]))[0]
    assert all(min(b, 1) <= min(a, 1) for a, b in zip(had, has, strict=True))


def speak_often(said: list[Line]) -> bool:
    """Nobody is silent for more than fifteen minutes."""
    return not any(
        "----" in "".join(word[0] for word in column) for column in zip(*said, strict=True)
    )


@given(lines(["reset", "-"], ["ok"]).filter(speak_often), LOST)
def test_losing_failures_never_raises_the_tier_of_a_first_event(
    said: list[Line], lost: list[int]
) -> None:
    for had, has in until_an_end(said, less(said, lost, [GONE])):
        assert has <= had


def test_the_worlds_are_worth_asking() -> None:
    assert course([["reset"] * HOME + ["ok"] * ABROAD] * LONGEST)[0][-1] == 3


# What does not hold, with the smallest worlds that were found.


def told(*rows: str) -> list[Line]:
    """Lines of the vantages at home, those abroad silent but for what is given."""
    return [(row.split() + ["-"] * 6)[:6] for row in rows]


WAYS = ("-", "uncontrolled", "unseen")
"""How a failure is lost: itself, its control, its liveness."""


def lacking(said: list[Line], row: int, column: int, way: str) -> list[Line]:
    return [
        [way if (r, n) == (row, column) else word for n, word in enumerate(line)]
        for r, line in enumerate(said)
    ]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("rows", "lost", "had", "has"),
    [
        (("bare - -", "ok - -", "reset reset -"), (0, 0), 0, 2),
        (("- bare -", "reset reset -"), (0, 1), 1, 2),
        (("reset bare reset", "reset reset bare"), (0, 1), 2, 3),
        (("blackhole - -", "reset reset -"), (0, 0), 0, 2),
        (("injected - -", "reset reset -"), (0, 0), 0, 2),
    ],
)
def test_without_what_speaks_against_a_signature_the_others_are_signed(
    way: str, rows: Sequence[str], lost: tuple[int, int], had: int, has: int
) -> None:
    """Three in five failures must bear a signature: one in two is too few. Whatever the share, it
    rises when failures without one are lost. A lost one cannot be counted. One without its control
    could, but after five such rounds a block would need eight more until it bears a signature."""
    assert course(told(*rows))[0][-1] == had
    assert course(lacking(told(*rows), *lost, way))[0][-1] == has


def test_what_a_failing_control_would_withdraw_stays_open() -> None:
    had = told("- reset -", "- reset -", "- down -", "- down -")
    has = [*had[:2], *told("- uncontrolled -", "- uncontrolled -")]
    assert course(had)[1] == ["opened", "retracted"]
    assert course(has)[1] == ["opened"]
    assert course([*had[:2], *told("- down_unseen -", "- down_unseen -")])[1] == course(had)[1]


@pytest.mark.parametrize("way", ["-", "uncontrolled", "down_unseen", "unknown"])
def test_only_a_control_tells_that_failures_are_the_rest_of_an_outage(way: str) -> None:
    had = told("down - -", "reset - -", "ok - -", "reset - -")
    assert course(had)[0][-1] == 0
    assert course(lacking(had, 0, 0, way))[0][-1] == 1


def test_a_failure_behind_a_shut_gate_takes_the_ground_and_losing_it_does_not() -> None:
    again = ["- - - ok ok ok"] * 2
    had = told("reset - -", "reset - - down down down", *again, "reset - -")
    assert course(had)[0][-1] == 0
    assert course([had[0], ["-", *had[1][1:]], *had[2:]])[0][-1] == 1


def test_a_gap_in_which_nobody_speaks_does_not_end_a_quorum_and_one_alone_does() -> None:
    """The first vantage is silent for so long that the second alone is no quorum."""
    had = told("reset - -", "reset - -", "reset reset -", *["- reset -"] * 5, "reset reset -")
    assert course(had)[0][-1] == 2
    silent = told("- - -")[0]
    assert course([*had[:6], silent, silent, had[8]])[0][-1] == 3
