"""Which parts of which worlds are played, and what they weigh."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import pytest

from benchmarks.world import worlds
from benchmarks.world.statements import Story
from benchmarks.world.worlds import BLOCKS, HAZARDS, QUIET, Found, Job
from monitor.detection.events.confidence import WEIGHTS

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
        ("owners of several vantages", {HAZARDS: 2, BLOCKS: 2, QUIET: 2}),
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


def test_no_false_page_in_more_years_is_a_lower_bound() -> None:
    quiet = [Story(0.5, QUIET), Story(0.1, HAZARDS)]
    assert Found("mixture", quiet, 3.0).false_pages(WEIGHTS)[1] == pytest.approx(0.5, abs=0.01)
    fewer = [Story(0.05, QUIET), Story(0.1, HAZARDS)]
    assert Found("mixture", fewer, 3.0).false_pages(WEIGHTS)[1] == pytest.approx(0.1, abs=0.01)
