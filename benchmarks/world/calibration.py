# SPDX-License-Identifier: Apache-2.0
"""Calibration of the confidence of events: fit, score, table."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.world.logistic import Case, fitted, sigmoid
from benchmarks.world.statements import Said, Story
from monitor.detection.events.confidence import DOUBTED_MOST, LEAST, TERMS, most_sure
from monitor.detection.model import Tier

RIDGE = 0.004
"""Of the weight of one statement a year and country."""
BINS = 10
Numbers = Mapping[tuple[Said, bool], float]
Weights = Mapping[Tier, tuple[int, ...]]
DOUBTS = ("nobody", "inhibited", "others_fail", "doubted", "new_vantages")
"""Terms that speak against a block; all others speak for one."""
SURE = 0.9
"""From this confidence on a confirmed event is a page."""
RATHER = 0.5
"""From here on the weights call it rather a block than none."""
ONE_SIDED_95 = 1.645
"""Standard deviations."""
LEAST_BOUND = 10
"""Per mille: fewer than a hundred worlds cannot tell less from never."""
_INHIBITED = TERMS.index("inhibited")


@dataclass(frozen=True)
class Bin:
    """Statements of about one confidence."""

    weight: float
    said: float
    """Mean confidence."""
    true: float
    """Share that was true."""


@dataclass(frozen=True)
class Score:
    """How good the confidence is, over all statements."""

    weight: float
    error: float
    """Expected calibration error: mean distance of said and true, over the bins."""
    brier: float
    """Mean squared distance of what was said from 0 or 1."""
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class Sure:
    """Events of which a page's confidence was said, each counted once, when it was first said."""

    true: float
    false: float
    """A year and country."""
    trues: int
    falses: int
    """So many were simulated."""
    causes: Mapping[str, tuple[float, int]]
    """Of the false ones: a year and country, and how many were simulated."""

    @property
    def share(self) -> float:
        """The share that was true."""
        return self.true / max(1e-9, self.true + self.false)


def counted(stories: Iterable[Story]) -> dict[tuple[Said, bool], float]:
    """For how many rounds a statement held, a year and country."""
    numbers: dict[tuple[Said, bool], float] = defaultdict(float)
    for story in stories:
        for what, true, rounds in story.said:
            numbers[what, true] += story.weight * rounds
    return dict(numbers)


def figures(stories: Iterable[Story], by: Weights) -> dict[tuple[Said, bool], float]:
    """How often an event came to say something else, a year and country: another tier, another
    figure, or what was true no longer is. Terms that leave the figure as it is say nothing new."""
    numbers: dict[tuple[Said, bool], float] = defaultdict(float)
    for story in stories:
        last = None
        for what, true, _ in story.said:
            figure = what[0], chance(what, by), true
            if figure != last:
                numbers[what, true] += story.weight
            last = figure
    return dict(numbers)


def sure(stories: Iterable[Story], by: Weights) -> Sure:
    """The events that were confirmed and sure enough for a page."""
    number, weight = [0, 0], [0.0, 0.0]
    causes: dict[str, tuple[float, int]] = {}
    for story in stories:
        for what, true, _ in story.said:
            tier, values, _ = what
            if tier is not Tier.CONFIRMED or values[_INHIBITED] or chance(what, by) < SURE:
                continue
            number[true] += 1
            weight[true] += story.weight
            if not true:
                had, n = causes.get(story.cause, (0.0, 0))
                causes[story.cause] = had + story.weight, n + 1
            break
    return Sure(weight[1], weight[0], number[1], number[0], causes)


def weights(numbers: Numbers) -> dict[Tier, tuple[int, ...]]:
    """Fit each tier by itself: intercept and terms, milli-logits."""
    cases: dict[Tier, dict[tuple[int, ...], list[float]]] = defaultdict(dict)
    for ((tier, values, _), true), n in numbers.items():
        cases[tier].setdefault(values, [0.0, 0.0])[not true] += n
    return {
        tier: tuple(
            round(1000 * each)
            for each in _signed([(v, t, f) for v, (t, f) in sorted(some.items())])
        )
        for tier, some in sorted(cases.items())
    }


def _signed(cases: Sequence[Case]) -> list[float]:
    """The fit in which more evidence never makes an event less sure: a term whose weight has the
    wrong sign, by chance of the few cases that have it, is left out."""
    left_out: set[int] = set()
    while True:
        kept = [
            (tuple(0 if n in left_out else v for n, v in enumerate(values)), true, false)
            for values, true, false in cases
        ]
        found = fitted(kept, RIDGE)
        wrong = {
            n
            for n, name in enumerate(TERMS)
            if (found[n + 1] > 0) is (name in DOUBTS) and found[n + 1]
        }
        if not wrong:
            return found
        left_out |= wrong


def chance(said: Said, by: Weights) -> float:
    """What these weights say of a statement, bounded as the product bounds it."""
    alone = max(LEAST, round(1000 * unbounded(said, by)))
    return min(most_sure(*said), alone) / 1000


def unbounded(said: Said, by: Weights) -> float:
    """What the weights alone say of it."""
    tier, values, _ = said
    return sigmoid(sum(w * v for w, v in zip(by[tier], (1, *values), strict=True)) / 1000)


def score(numbers: Numbers, by: Weights, tiers: tuple[Tier, ...] = tuple(Tier)) -> Score:
    """Hold what is said against what is true."""
    bins = [[0.0, 0.0, 0.0] for _ in range(BINS)]
    squared = 0.0
    for (said, true), n in numbers.items():
        if said[0] not in tiers:
            continue
        p = chance(said, by)
        into = bins[min(BINS - 1, int(p * BINS))]
        into[0] += n
        into[1] += n * p
        into[2] += n * true
        squared += n * (p - true) ** 2
    whole = sum(each[0] for each in bins)
    return Score(
        whole,
        sum(abs(said - true) for _, said, true in bins) / whole,
        squared / whole,
        tuple(Bin(n, said / n, true / n) for n, said, true in bins if n),
    )


@dataclass(frozen=True)
class Worth:
    """How true the statements are that an explanation other than a block fits, of those that the
    weights alone call rather a block than none."""

    true: float = 0.0
    false: float = 0.0
    """A year and country."""
    of_seed: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    """By seed: both together, and how many stories of one weight tell it. All worlds of a seed try
    their blocks at the same moments: they tell no more than the one of them that tells most."""

    def __add__(self, other: Worth) -> Worth:
        seeds = dict(self.of_seed)
        for seed, (weight, cases) in other.of_seed.items():
            had, of_these = seeds.get(seed, (0.0, 0.0))
            seeds[seed] = had + weight, max(of_these, cases)
        return Worth(self.true + other.true, self.false + other.false, seeds)

    def __mul__(self, factor: float) -> Worth:
        seeds = {seed: (weight * factor, cases) for seed, (weight, cases) in self.of_seed.items()}
        return Worth(self.true * factor, self.false * factor, seeds)

    @property
    def stories(self) -> float:
        """So many stories of one weight would tell the share as exactly (Kish)."""
        return self._as_exact(lambda cases: cases)

    @property
    def seeds(self) -> float:
        """So many seeds of one weight would. The rates of a world are drawn once from its seed, so
        that its stories tell of one world, however many they are."""
        return self._as_exact(lambda cases: 1.0)

    def _as_exact(self, cases_of: Callable[[float], float]) -> float:
        squares = sum(weight**2 / cases_of(cases) for weight, cases in self.of_seed.values())
        return (self.true + self.false) ** 2 / max(1e-12, squares)

    @property
    def share(self) -> float:
        """The share that was true."""
        return self.true / max(1e-12, self.true + self.false)

    @property
    def most(self) -> int:
        """What may be said at most, per mille: what 19 of 20 such draws of seeds support."""
        lower, _ = _wilson(self.share, self.seeds)
        return min(DOUBTED_MOST, max(LEAST_BOUND, int(1000 * lower)))

    @property
    def contradicts(self) -> int:
        """What is more than this, per mille, is more than these stories support, even if each of
        them told of another world."""
        _, upper = _wilson(self.share, self.stories)
        return max(LEAST_BOUND, round(1000 * upper))


def _wilson(share: float, number: float) -> tuple[float, float]:
    """Between what a share lies of which so many cases show this one, each end by itself with 95 %
    (Wilson, Probable inference, JASA 1927)."""
    if number <= 0:
        return 0.0, 1.0
    add = ONE_SIDED_95**2 / number
    middle = share + add / 2
    half = ONE_SIDED_95 * math.sqrt(share * (1 - share) / number + add / number / 4)
    return max(0.0, middle - half) / (1 + add), (middle + half) / (1 + add)


def worths(stories: Iterable[Story], by: Weights) -> dict[str, Worth]:
    """What each explanation is worth among these stories, of which each counts once: as true as
    the first statement that it fits."""
    told: dict[str, list[tuple[Story, bool]]] = defaultdict(list)
    for story in stories:
        first: dict[str, bool] = {}
        for what, true, _ in story.said:
            if what[0] is not Tier.UNCONFIRMED and unbounded(what, by) >= RATHER:
                first = dict.fromkeys(what[2], true) | first
        for doubt, true in first.items():
            told[doubt].append((story, true))
    return {doubt: _worth(some) for doubt, some in told.items()}


def _worth(told: Sequence[tuple[Story, bool]]) -> Worth:
    weights: dict[int, list[float]] = defaultdict(list)
    for story, _ in told:
        weights[story.seed].append(story.weight)
    true = sum(story.weight for story, is_true in told if is_true)
    false = sum(story.weight for story, is_true in told if not is_true)
    of_seed = {
        seed: (sum(some), sum(some) ** 2 / sum(weight**2 for weight in some))
        for seed, some in weights.items()
    }
    return Worth(true, false, of_seed)
