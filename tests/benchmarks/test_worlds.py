"""Which parts of which worlds are played, and what they weigh."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest

from benchmarks.world import worlds
from benchmarks.world.report import Goals
from benchmarks.world.statements import Story
from benchmarks.world.worlds import BLOCK, BLOCKS, HAZARDS, QUIET, QUIET_SEEDS, Found, Job
from monitor.detection.events.confidence import MOST_SURE, TERMS, WEIGHTS
from monitor.detection.model import Tier

SEEDS, MORE = (1, 2), (1, 2, 3, 4, 5)
"""Of blocks, and of what shows that few false pages are made."""


def played(counts: Counter[str]) -> Callable[..., Iterator[list[Story]]]:
    """Plays nothing: one story of each job, whose cause is its part."""

    def every(play: object, jobs: Sequence[Job]) -> Iterator[list[Story]]:
        counts.update(part for _, _, part, _ in jobs)
        return ([Story(1.0, part)] for _, _, part, _ in jobs)

    return every


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("mixture", {HAZARDS: 5, BLOCKS: 2, QUIET: 5}),
        ("evening overload", {HAZARDS: 2, BLOCKS: 2, QUIET: 5}),
        ("owners of several vantages", {HAZARDS: 2, BLOCKS: 2, QUIET: 5}),
    ],
)
def test_the_mixture_has_more_worlds_where_false_pages_are_counted(
    name: str, parts: dict[str, int]
) -> None:
    counts = Counter[str]()
    (found,) = worlds.gathered(played(counts), [name], SEEDS, 20, MORE)
    assert counts == parts
    weights = Counter[str]()
    for story in found.stories:
        weights[story.cause] += story.weight
    assert weights == pytest.approx(dict.fromkeys(parts, 1.0)), "each part is a whole year"


def test_days_that_worlds_share_are_played_once_and_years_are_counted() -> None:
    counts = Counter[str]()
    found = worlds.gathered(played(counts), ["mixture", "evening overload"], SEEDS, 20, MORE)
    assert counts[QUIET] == 5
    assert [each.years[0] for each in found] == pytest.approx(2 * [5 * 61 * 3 * 3 / 365])
    longer = worlds.gathered(played(counts), ["mixture"], SEEDS, 40, MORE)[0]
    assert found[0].years[1] > 0
    assert longer.years[1] == pytest.approx(2 * found[0].years[1])


def test_worlds_in_which_an_explanation_may_mislead_weigh_as_much_as_all_others() -> None:
    what = Tier.CONFIRMED, tuple(1 for _ in TERMS), ("spares_some",)
    true, false = Story(1.0, BLOCK, [(what, True, 1)]), Story(2.0, "a fault", [(what, False, 1)])
    by = {Tier.CONFIRMED: (9000, *(0 for _ in TERMS))}
    found = [Found(f"honest {n}", [true], 1.0) for n in range(3)]
    assert worlds.bounds(found, by)["spares_some"].worth.share == 1.0
    misled = Found("a filter on some machines", [false], 1.0)
    pooled = worlds.bounds([*found, misled], by)
    worth = pooled["spares_some"].worth
    assert (worth.true, worth.false) == pytest.approx((1.0, 2.0))
    assert pooled["overloaded"].worth.stories == 0, "nothing was seen of it"
    assert set(pooled) == set(MOST_SURE)
    elsewhere = worlds.bounds([*found, replace(misled, name="another")], by)["spares_some"]
    assert elsewhere.worth.share == pytest.approx(3 / 5)


def test_a_bound_holds_when_any_one_kind_of_world_is_left_out() -> None:
    what = Tier.CONFIRMED, tuple(1 for _ in TERMS), ("spares_some",)
    by = {Tier.CONFIRMED: (9000, *(0 for _ in TERMS))}

    def kind(name: str, is_true: bool) -> Found:
        stories = [Story(1.0, BLOCK, [(what, is_true, 1)], seed=seed) for seed in range(8)]
        return Found(name, stories, 1.0)

    false = [kind(f"false {n}", False) for n in range(2)]
    bound = worlds.bounds([kind("true", True), *false], by)["spares_some"]
    assert bound.worth.share == pytest.approx(1 / 3)
    assert bound.most == worlds.bounds(false, by)["spares_some"].worth.most < bound.worth.most


@pytest.mark.parametrize(("seeds", "judged"), [(QUIET_SEEDS - 1, False), (QUIET_SEEDS, True)])
def test_an_error_is_judged_by_the_quiet_days_of_many_seeds(seeds: int, judged: bool) -> None:
    what = Tier.CONFIRMED, tuple(0 for _ in TERMS), ()
    stories = [Story(1.0, BLOCK, [(what, True, 1)])]
    goals = Goals()
    worlds.told([Found("calm", stories, 1.0, quiet_seeds=seeds)], goals)
    assert len([line for line in goals.lines if "calibration error" in line]) == 2 * judged


def test_no_false_page_in_more_years_is_a_lower_bound() -> None:
    quiet = [Story(0.5, QUIET), Story(0.1, HAZARDS)]
    assert Found("mixture", quiet, 3.0).false_pages(WEIGHTS)[1] == pytest.approx(0.5, abs=0.01)
    fewer = [Story(0.05, QUIET), Story(0.1, HAZARDS)]
    assert Found("mixture", fewer, 3.0).false_pages(WEIGHTS)[1] == pytest.approx(0.1, abs=0.01)
