# SPDX-License-Identifier: Apache-2.0
"""Whether transfers with one name are slower than those with another by more than chance: an exact
test by ranks, of transfers that alternate in time.

If the name makes no difference, each order of the transfers by their speed is as likely as any
other, whatever loses packets or fills a queue. So the chance that those with the service's name are
the slowest ones is known without knowing the line: 1 in 70 for four pairs. The probe goes on until
the test decides and the judge makes the same test, so that both mean the same. Integers only.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import comb

from probes.wire.observation import Transfer
from probes.wire.speed import times_faster

PAIRED = "paired"
"""Evidence of a transfer: it belongs to a series that goes on until this test decides."""
LEAST_PAIRS = 4
MOST_PAIRS = 5
ONE_IN = 30
"""Orders that chance makes at most once in so many series count as a difference. The test looks
twice (after four pairs and after five), so all of them together come once in 18."""
_TWICE = 2


def differ(slower: Sequence[Transfer], faster: Sequence[Transfer]) -> bool:
    """Whether the `slower` ones are slower by more than chance."""
    return misplaced(slower, faster) <= allowed(len(slower), len(faster))


def undecided(slower: Sequence[Transfer], faster: Sequence[Transfer]) -> bool:
    """Whether more pairs may show a difference that these do not show yet."""
    fewest = min(len(slower), len(faster))
    if fewest >= MOST_PAIRS or (fewest >= LEAST_PAIRS and differ(slower, faster)):
        return False
    return misplaced(slower, faster) <= allowed(MOST_PAIRS, MOST_PAIRS)


def misplaced(slower: Sequence[Transfer], faster: Sequence[Transfer]) -> int:
    """How many transfers, one of either kind, are in the wrong order: less than twice as fast."""
    return sum(not times_faster(fast, slow, _TWICE) for fast in faster for slow in slower)


@cache
def allowed(slower: int, faster: int) -> int:
    """The most misplaced ones at which chance makes such an order at most once in ONE_IN; -1 where
    so few transfers show nothing."""
    orders, most = 0, -1
    while most < slower * faster:
        orders += _orders(slower, faster, most + 1)
        if orders * ONE_IN > comb(slower + faster, slower):
            break
        most += 1
    return most


@cache
def _orders(slower: int, faster: int, wrong: int) -> int:
    """How many orders of so many transfers have so many pairs in the wrong order."""
    if wrong < 0:
        return 0
    if not slower or not faster:
        return int(wrong == 0)
    # The fastest of all is one of the faster ones, or it is wrong beside each of them.
    return _orders(slower, faster - 1, wrong) + _orders(slower - 1, faster, wrong - faster)
