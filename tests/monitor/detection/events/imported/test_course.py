"""How the runs of a network have gone."""

from __future__ import annotations

from monitor.detection.events.imported.course import RunCourse, course, failing_tests
from monitor.detection.events.state import ImportedRuns, TargetNetwork


def network(**methods: tuple[int, int, int]) -> TargetNetwork:
    since = {name: bad for name, (good, bad, _) in methods.items() if bad > good}
    runs = ImportedRuns(methods=methods, since=since)
    return TargetNetwork("telegram/dc", "KE", 64500, "ooni", runs=runs)


def test_one_test_or_all_together() -> None:
    both = network(old=(10, 50, 0), new=(40, 0, 0))
    assert course(both, "old") == RunCourse(10, 50)
    assert course(both, "new") == RunCourse(40, 0)
    assert course(both, None) == RunCourse(40, 50)
    assert course(both, "other") is None


def test_both_began_together_if_each_may_have_begun_between_two_runs_of_the_other() -> None:
    often, seldom, later = RunCourse(95, 100), RunCourse(20, 130), RunCourse(120, 130)
    assert often.began_with(seldom, 0)
    assert seldom.began_with(often, 0)
    assert not often.began_with(later, 0)
    assert often.began_with(later, 20)


def test_what_fails_or_has_failed_is_what_others_are_compared_by() -> None:
    assert failing_tests(network(old=(10, 50, 0), new=(40, 30, 0)).runs) == {"old"}
    assert failing_tests(network(old=(60, 50, 0), new=(40, 0, 0)).runs) == {"old"}
    assert failing_tests(network(new=(40, 0, 0)).runs) == failing_tests(None) == set()
