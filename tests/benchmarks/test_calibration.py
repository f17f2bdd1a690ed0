"""The regression, the score and its picture."""

from __future__ import annotations

import math
import random

import pytest

from benchmarks.world.calibration import (
    LEAST_BOUND,
    Worth,
    chance,
    counted,
    figures,
    score,
    sure,
    weights,
    worths,
)
from benchmarks.world.logistic import fitted, sigmoid, solved
from benchmarks.world.statements import Said, Story
from monitor.detection.events.confidence import DOUBTED_MOST, LEAST, MOST, MOST_SURE, TERMS, WEIGHTS
from monitor.detection.model import Tier

NONE = (0,) * len(TERMS)
SHOWN = {"signatures": 1, "on_the_way": 1}
"""A signature, and a sign that the cause is on the way."""


def said(tier: Tier = Tier.CONFIRMED, doubts: tuple[str, ...] = (), **terms: int) -> Said:
    return tier, tuple(terms.get(name, 0) for name in TERMS), doubts


def test_equations_are_solved() -> None:
    assert solved([[0, 2], [3, 1]], [4, 5]) == pytest.approx([1, 2])


def test_the_regression_finds_the_odds_of_counted_cases() -> None:
    cases = [((0,), 10.0, 90.0), ((1,), 80.0, 20.0)]
    constant, slope = fitted(cases, 1e-6)
    assert sigmoid(constant) == pytest.approx(0.1, abs=1e-4)
    assert sigmoid(constant + slope) == pytest.approx(0.8, abs=1e-4)


def test_what_separates_wholly_stays_finite() -> None:
    _, slope = fitted([((0,), 0.0, 50.0), ((1,), 50.0, 0.0)], 0.02)
    assert 3 < slope < 30


def test_the_regression_is_calibrated_on_what_it_was_fitted_to() -> None:
    rng = random.Random(1)
    numbers: dict[tuple[Said, bool], float] = {}
    for _ in range(4000):
        what = said(three=rng.randrange(2), networks=rng.randrange(2))
        logit = -2 + 1.0 * what[1][TERMS.index("three")] + 1.5 * what[1][TERMS.index("networks")]
        key = what, rng.random() < 1 / (1 + math.exp(-logit))
        numbers[key] = numbers.get(key, 0) + 1
    found = score(numbers, weights(numbers))
    assert found.error < 0.02
    assert sum(each.weight for each in found.bins) == pytest.approx(found.weight) == 4000
    flat = {Tier.CONFIRMED: (0, *NONE)}
    assert score(numbers, flat).brier == pytest.approx(0.25)
    assert found.brier < 0.24


def test_what_is_said_is_what_the_product_says() -> None:
    assert chance(said(), {Tier.CONFIRMED: (-99_999, *NONE)}) == LEAST / 1000
    by = {Tier.CONFIRMED: (99_999, *NONE), Tier.LIKELY: (99_999, *NONE)}
    assert chance(said(**SHOWN), by) == MOST / 1000
    assert chance(said(signatures=1), by) == DOUBTED_MOST / 1000
    assert chance(said(), by) == DOUBTED_MOST / 1000
    assert chance(said(Tier.LIKELY, signatures=1), by) == DOUBTED_MOST / 1000
    doubted = said(doubts=("overloaded", "spares_some"), **SHOWN)
    assert chance(doubted, by) == min(MOST_SURE["overloaded"], MOST_SURE["spares_some"]) / 1000
    assert 0 < chance(said(signatures=1, signatures_all=1), WEIGHTS) < 1


CERTAIN, UNSURE = (dict.fromkeys(Tier, (logits, *NONE)) for logits in (9000, -9000))


def test_an_explanation_is_worth_what_is_true_where_it_fits_and_a_story_counts_once() -> None:
    some, other = said(doubts=("spares_some",)), said(doubts=("overloaded", "spares_some"))
    stories = [
        Story(0.5, "a fault", [(some, False, 3), (said(), False, 1), (other, False, 2)], seed=1),
        Story(0.25, "block", [(some, True, 1), (some, False, 9)], seed=2),
        Story(9.0, "a fault", [(said(Tier.UNCONFIRMED, ("spares_some",)), False, 1)]),
    ]
    found = worths(stories, CERTAIN)
    assert found == {
        "spares_some": Worth(0.25, 0.5, {1: (0.5, 1.0), 2: (0.25, 1.0)}),
        "overloaded": Worth(0.0, 0.5, {1: (0.5, 1.0)}),
    }
    assert found["spares_some"].share == pytest.approx(1 / 3)
    assert not worths(stories, UNSURE), "what the weights do not call a block needs no bound"


def worth(true: float, false: float, *seeds: int) -> Worth:
    return Worth(true, false, {seed: ((true + false) / len(seeds), 1.0) for seed in seeds})


def test_a_bound_is_what_19_of_20_draws_of_as_many_seeds_support() -> None:
    many = worth(30.0, 70.0, *range(100))
    assert many.stories == many.seeds == pytest.approx(100)
    assert many.most == 230, "Wilson's lower end, by hand"
    assert many.contradicts == 380, "and the upper one"
    assert (many * 0.01).most == many.most, "the unit does not matter"
    assert many.most < (many + worth(30.0, 70.0, *range(100, 200))).most < 300
    assert worth(3.0, 7.0, *range(10)).most < many.most
    assert worth(900.0, 1.0, *range(901)).most == DOUBTED_MOST
    assert worth(0.0, 3.0, 1, 2, 3).most == Worth().most == LEAST_BOUND
    assert worth(3.0, 0.0, 1, 2, 3).most > LEAST_BOUND
    assert Worth().contradicts == 1000, "nothing contradicts where nothing was seen"


def test_a_bound_that_is_fitted_so_holds_for_other_seeds() -> None:
    """Where seeds differ, as much as they can: in each everything is true or nothing."""
    rng = random.Random(27)
    tries, too_high = 2000, 0
    for _ in range(tries):
        share, count = rng.uniform(0.1, 0.9), rng.randint(4, 20)
        true = [rng.random() < share for _ in range(count)]
        fitted = sum((worth(30.0 * t, 30.0 * (not t), n) for n, t in enumerate(true)), Worth())
        too_high += fitted.most > max(LEAST_BOUND, 1000 * share)
    assert too_high / tries < 0.07


def test_a_seed_tells_of_one_world_however_many_its_stories() -> None:
    one = Worth(30.0, 70.0, {1: (100.0, 50.0)})
    assert one.stories == pytest.approx(50)
    assert one.seeds == pytest.approx(1)
    assert one.most == worth(30.0, 70.0, 1).most < worth(30.0, 70.0, *range(50)).most
    assert one.contradicts < worth(30.0, 70.0, 1).contradicts


def test_one_block_that_many_worlds_of_a_seed_try_is_one_case() -> None:
    alone = worth(1.0, 0.0, 7201)
    everywhere = sum((alone for _ in range(18)), Worth())
    assert everywhere.stories == pytest.approx(1)
    assert everywhere.most == alone.most < worth(18.0, 0.0, *range(18)).most


def test_a_score_can_be_of_some_tiers() -> None:
    numbers = {(said(), True): 3.0, (said(Tier.UNCONFIRMED), False): 97.0}
    assert score(numbers, WEIGHTS, (Tier.CONFIRMED,)).weight == 3
    assert score(numbers, WEIGHTS).weight == 100


def test_an_event_counts_once_when_it_is_first_sure() -> None:
    by = {Tier.LIKELY: (9000, *NONE), Tier.CONFIRMED: (0, *NONE)}
    place = 1 + TERMS.index("signatures")
    by[Tier.CONFIRMED] = tuple(9000 if n == place else 0 for n in range(1 + len(TERMS)))
    likely, unsure, certain = said(Tier.LIKELY), said(), said(**SHOWN)
    stories = [
        Story(0.5, "block", [(likely, True, 3), (unsure, True, 1), (certain, True, 2)]),
        Story(0.5, "block", [(certain, True, 4), (certain, False, 1)]),
        Story(0.25, "peering", [(likely, False, 3), (unsure, False, 9)]),
        Story(0.25, "peering", [(certain, False, 1)]),
        Story(4.0, "path", [(said(**SHOWN, inhibited=1), False, 1)]),
    ]
    found = sure(stories, by)
    assert (found.true, found.trues, found.false, found.falses) == (1.0, 2, 0.25, 1)
    assert found.share == pytest.approx(0.8)
    assert found.causes == {"peering": (0.25, 1)}
    assert counted(stories)[likely, False] == 0.75


def test_a_statement_is_a_figure_and_not_the_terms_that_it_is_made_of() -> None:
    by = {Tier.CONFIRMED: (0, *(1000 * (name == "path") for name in TERMS))}
    bare, path, dense = said(), said(path=1), said(path=1, dense=1)
    story = Story(
        0.5, "block", [(bare, True, 3), (path, True, 1), (dense, True, 9), (dense, False, 2)]
    )
    assert figures([story, story], by) == {(bare, True): 1, (path, True): 1, (dense, False): 1}
