# SPDX-License-Identifier: Apache-2.0
"""How likely it is that the failures of a target are chance, given the background of the round.

Each attempt dies by chance with a rate that its vantage, address family and step share in a round.
What is known of the rate is the background, by Bayes' rule over a grid of rates: before anything is
seen, 19 of 20 rounds lose next to nothing, and the others anything up to most. Averaged over what
the rate may be is the probability that so many addresses of a target fare as badly as the one that
is judged, or worse.

How small that has to be depends on the background, because a round is a draw of its own: dozens of
targets are measured in a round and hundreds of rounds in a day, so where anything dies one in a
hundred thousand is asked for. A background in which nothing died is itself rare where the rate is
high, and the two rarely come together; there one in a thousand is asked for, and only of failures
that something else of the same endpoint contradicts. `tests/monitor/detection/observed/
test_chance.py` counts false accusations and what is found, by rate.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import comb, exp, log

QUIET = 1e-3
"""Where nothing of the background died."""
NOISY = 1e-5
"""Where something did."""
_CLEAN, _CLEAN_SHARE = 0.002, 0.95
_RATES = (0.01, 0.02, 0.04, 0.08, 0.16, 0.24, 0.32, 0.48, 0.64)
"""Rates of the other rounds, all as likely."""
_UNEASY_SHARE = 0.5
"""Of clean rounds where connections of the other address family die."""


def _prior(clean: float) -> tuple[tuple[float, float], ...]:
    return ((_CLEAN, clean), *((rate, (1 - clean) / len(_RATES)) for rate in _RATES))


_PRIOR, _UNEASY = _prior(_CLEAN_SHARE), _prior(_UNEASY_SHARE)


@dataclass(frozen=True, slots=True)
class Fared:
    """How the attempts at one address ended: how many of how many died in one way."""

    tries: int
    died: int


@dataclass(frozen=True, slots=True)
class Others:
    """How attempts of the background ended."""

    tries: int
    died: int
    sends: int = 1
    """More than 1: counted are packets, and an attempt dies when so many in a row are lost."""
    uneasy: bool = False
    """Some connections of the other address family die: often whatever kills them has just spared
    these few."""


@lru_cache(maxsize=10_000)
def tail(died: int, tries: int, rate: float) -> float:
    """The probability that of so many attempts at least so many die."""
    if died <= 0:
        return 1.0
    return sum(comb(tries, n) * rate**n * (1 - rate) ** (tries - n) for n in range(died, tries + 1))


@lru_cache(maxsize=10_000)
def rates(others: Others) -> tuple[tuple[float, float], ...]:
    """Rates at which attempts die, with their probabilities, after how others fared."""
    died, passed = others.died, others.tries - others.died
    prior = _UNEASY if others.uneasy else _PRIOR
    logs = [log(share) + died * log(rate) + passed * log(1 - rate) for rate, share in prior]
    most = max(logs)
    weights = [exp(log_ - most) for log_ in logs]
    return tuple(
        (rate**others.sends, weight / sum(weights))
        for (rate, _), weight in zip(prior, weights, strict=True)
    )


def chance(others: Others, judged: Fared, all_of_them: Sequence[Fared]) -> float:
    """The probability that as many addresses as `all_of_them` shows, or more, fare as badly as the
    one that is judged; 1 when none fares so."""
    as_bad = sum(_badness(fared) <= _badness(judged) for fared in all_of_them)
    return sum(
        weight * tail(as_bad, len(all_of_them), tail(judged.died, judged.tries, rate))
        for rate, weight in rates(others)
    )


Way = tuple[Sequence[Others], Sequence[Fared]]
"""What may explain failures over an address family, and how every address of the target fared
there."""


def explains(judged: Fared, own: Way, others: Iterable[Way], whole: bool) -> bool:
    """Whether chance explains how the address that is judged fared. `own`: over its family;
    `others`: over other families. `whole`: nothing of the endpoint passed this step over its
    family."""
    noisy = _noisy(own)
    if whole and not noisy:
        return False
    likely = _likeliest(judged, own)
    if likely <= (NOISY if noisy else QUIET):
        return False
    for other in others:
        if any(_badness(fared) <= _badness(judged) for fared in other[1]):
            likely *= _likeliest(judged, other)
            noisy = noisy or _noisy(other)
    return likely > (NOISY if noisy else QUIET)


def one_may_die(background: Sequence[Others]) -> bool:
    """Whether one attempt proves little: some of the background died, and so many that one attempt
    dies more often than in a thousand."""
    attempt = Fared(1, 1)
    return any(
        (others.died or others.uneasy) and chance(others, attempt, [attempt]) > QUIET
        for others in background
    )


def _likeliest(judged: Fared, way: Way) -> float:
    background, every = way
    return max(chance(others, judged, every) for others in background)


def _noisy(way: Way) -> bool:
    return any(others.died or others.uneasy for others in way[0])


_REFERENCE = 0.1


def _badness(fared: Fared) -> float:
    return tail(fared.died, fared.tries, _REFERENCE)


def nearly_as_long(answered_us: Iterable[int], waited_us: Iterable[int]) -> bool:
    """Whether some answer to another name took more than half of the longest time that ours was
    waited for. On so slow a path or machine an answer to ours may have been on its way."""
    return 2 * max(answered_us, default=0) > max(waited_us, default=0)
