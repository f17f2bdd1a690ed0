from __future__ import annotations

from benchmarks.world.parts import WITH, WITHOUT, Parts, parted, table
from monitor.detection.policy import Policy
from tests.benchmarks.test_world import CALM


def test_a_part_of_a_network_is_found_by_the_split_and_not_confirmed_by_it() -> None:
    found = parted(6, 2, seed=7, tries=3, policy=Policy(), rates=CALM, horizon=40)
    split, quorum = found[WITH], found[WITHOUT]
    assert len(split.likely) == len(quorum.likely) == 3
    assert all(120 < each < 200 for each in split.likely)
    assert set(quorum.likely) == {float("inf")}
    assert split.confirmed == quorum.confirmed == 0
    text = "\n".join(table({(6, 2): found}))
    assert f"2 of 6, {WITH}" in text
    assert text.splitlines()[2].split()[-4:-2] == ["3", "3"]


def test_what_is_never_found_has_no_median() -> None:
    whole = Parts()
    whole.add(Parts([float("inf")], 0))
    lines = table({(10, 3): {WITH: whole}})
    assert lines[-1].split()[-4:] == ["1", "0", "-", "0"]
