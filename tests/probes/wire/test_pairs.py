"""The test by ranks against counting every order of some transfers."""

from __future__ import annotations

from itertools import combinations
from math import comb

import pytest

from probes.wire.pairs import LEAST_PAIRS, MOST_PAIRS, ONE_IN, allowed, differ, undecided
from tests.monitor.detection.scenes import transfer


def of(*rates: int) -> list:
    return [transfer(rate=1_000 * rate) for rate in rates]


@pytest.mark.parametrize(("slower", "faster"), [(1, 1), (2, 2), (3, 3), (4, 3), (4, 4), (5, 5)])
def test_chance_makes_an_allowed_order_once_in_so_many(slower: int, faster: int) -> None:
    """Every way to give the ranks 0, 1, ... to the two kinds, and how many pairs are wrong."""
    ranks = range(slower + faster)
    wrong = [
        sum(mine > theirs for mine in chosen for theirs in ranks if theirs not in chosen)
        for chosen in combinations(ranks, slower)
    ]
    most = allowed(slower, faster)
    rare = sum(n <= most for n in wrong)
    next_rare = sum(n <= most + 1 for n in wrong)
    assert rare * ONE_IN <= comb(slower + faster, slower) < next_rare * ONE_IN


def test_few_transfers_show_nothing() -> None:
    assert not differ(of(1, 1, 1), of(100, 100, 100))
    assert not differ([], [])
    assert differ(of(*[1] * LEAST_PAIRS), of(*[100] * LEAST_PAIRS))


def test_twice_as_fast_is_the_least() -> None:
    assert not differ(of(60, 61, 62, 63), of(100, 101, 102, 103))
    assert differ(of(40, 41, 42, 43), of(100, 101, 102, 103))


@pytest.mark.parametrize(
    ("slower", "faster", "more"),
    [
        ((1,), (100,), True),
        ((1, 1, 1), (100, 100, 100), True),
        ((1, 1, 1, 1), (100, 100, 100, 100), False),
        ((1, 90), (100, 1), True),
        ((1, 90, 90), (100, 1, 100), False),
        ((1, 1, 1, 1), (100, 100, 100, 1), False),
        ((1, 1, 1, 60), (100, 100, 100, 200), True),
        ((1,) * MOST_PAIRS, (100,) * MOST_PAIRS, False),
    ],
)
def test_the_series_ends_once_it_is_decided(
    slower: tuple[int, ...], faster: tuple[int, ...], more: bool
) -> None:
    assert undecided(of(*slower), of(*faster)) is more
