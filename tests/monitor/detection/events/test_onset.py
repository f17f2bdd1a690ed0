from __future__ import annotations

import random

import pytest

from monitor.detection.events.cusum import CountedFailure, fail, succeed
from monitor.detection.events.onset import Onset, onset, together_between
from monitor.detection.events.state import Baseline, Suspicion, Track
from monitor.detection.policy import Policy


def track(left: int, before: int = 0, *, other: int = 0) -> Track:
    """A track whose strongest member left zero at `left`, and a weaker one at `other`."""
    return Track(Baseline(), 0, 0, Suspicion([5, 7], [other, left], [0, before]))


def test_nobody_knows() -> None:
    assert onset([], 900) == Onset(900, 900, 900, 900)
    assert onset([(Track(Baseline()), 60), (track(0), 60)], 900) == Onset(900, 900, 900, 900)


def test_first_to_fail_sets_it_and_the_last_bounds_it() -> None:
    seen = [(track(300, 240), 60), (track(360, 300), 60), (track(420, 360), 60)]
    assert onset(seen, 900) == Onset(300, 240, 420, 360)


def test_of_the_first_the_newest_success_counts() -> None:
    assert onset([(track(300, 180), 60), (track(300, 240), 60)], 900).earliest == 240


def test_without_a_success_one_interval_before() -> None:
    assert onset([(track(300), 60)], 900) == Onset(300, 240, 300, 300)


def test_the_strongest_member_is_asked_not_the_oldest() -> None:
    assert onset([(track(300, 240, other=60), 60)], 900).at == 300


def test_when_half_had_begun_is_not_moved_by_an_earlier_failure_of_one() -> None:
    seen = [(track(300), 60), (track(1500), 60), (track(1560), 60)]
    assert onset(seen, 2000).half == 1500
    assert onset(seen[:2], 2000).half == 1500, "of two the later one"


ROUND, POLICY = 300_000, Policy()


def heard(said: str) -> tuple[Track, int]:
    """A vantage of which `said` tells every round from round 1 on: F fails, a dot succeeds, and
    nothing is measured in a space."""
    track = Track(Baseline(total=2000, failed=4))
    for n, letter in enumerate(said, 1):
        if letter == "F":
            failure = CountedFailure(
                id=f"{n:032x}", started=n, rule="r", weight=0, technique="tcp.timeout", part=False
            )
            track = fail(track, n * ROUND, failure, POLICY)
        elif letter == ".":
            track = succeed(track, n * ROUND, POLICY)
    return track, ROUND


def rounds(*said: str) -> tuple[int, int] | None:
    """Between which rounds these vantages began together."""
    between = together_between(map(heard, said), POLICY)
    return between and (between[0] // ROUND, between[1] // ROUND)


@pytest.mark.parametrize(
    ("said", "between"),
    [
        (["....FFFFF"], (4, 5)),
        (["....F.........FFFFFF"], (14, 15)),
        (["....F.FF.F.FF..FF"], (4, 5)),
        (["....FF..........FFFFFF"], (4, 17)),
        (["....    FFFFF"], (4, 9)),
        (["....FFF", "....FFF", "....FFF"], (4, 5)),
        (["....FFF", "......F", "     FF"], (5, 6)),
    ],
    ids=[
        "at-once",
        "by-chance-before",
        "at-times",
        "either",
        "asleep",
        "together",
        "within-minutes",
    ],
)
def test_between_which_rounds_it_began(said: list[str], between: tuple[int, int]) -> None:
    assert rounds(*said) == between


def test_one_that_failed_long_before_does_not_say_when_the_others_began() -> None:
    sick, late = "..FF.FFFF.FFFFFFF.FFFFFFF", "." * 20 + "FFFFF"
    assert rounds(sick, late, late) == (20, 21)
    assert rounds(sick, sick, late, late, late) == (20, 21)


def test_where_no_more_than_half_began_together_the_moment_is_any_of_theirs() -> None:
    first, second, third = ("." * n + "F" * (24 - n) for n in (2, 8, 13))
    assert rounds(first, second, third) == (2, 14)
    assert rounds(first, third) == (2, 14)
    assert rounds(first, second, second) == (8, 9)
    assert rounds(first, second, second, third) == (2, 14)
    assert rounds(first, first, second, second) == (2, 9)


def test_nobody_has_an_onset() -> None:
    assert rounds("....", "") is None
    assert rounds() is None


def test_what_is_at_once_follows_the_pace_of_the_policy() -> None:
    tracks = [heard("....FFFFFF"), heard("......FFFF")]
    faster = Policy(pace=4)
    assert together_between(tracks, POLICY) == (6 * ROUND, 7 * ROUND)
    assert together_between(tracks, faster) == (4 * ROUND, 7 * ROUND), "two rounds are an hour"


@pytest.mark.parametrize("share", [1.0, 0.9, 0.7])
def test_in_random_histories_the_beginning_is_within_the_range(share: float) -> None:
    within = short = 0
    for seed in range(100):
        rng = random.Random(seed)
        began = rng.randrange(30, 60)
        said = [
            "".join(
                "F" if rng.random() < (share if n >= began else 0.015) else "."
                for n in range(began + 20)
            )
            for _ in range(3)
        ]
        found = rounds(*said)
        assert found is not None
        # What begins at a moment fails the first time within two rounds, or three.
        within += found[0] <= began + 1 <= found[1] + 1
        short += found[1] - found[0] <= 4
    assert within >= 97
    assert short >= 90, "so that two moments can be told apart"
