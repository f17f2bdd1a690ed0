# SPDX-License-Identifier: Apache-2.0
"""How the runs of an imported network have gone: when the target last worked, and since when it
fails."""

from __future__ import annotations

from typing import NamedTuple

from monitor.detection.events.state import ImportedRuns, TargetNetwork


class RunCourse(NamedTuple):
    """How the runs of one test, or of all tests, have gone in one network. Times are rounds."""

    worked: int
    """The last success; 0 when there is none."""
    failing: int
    """The first failure since; 0 when the latest run worked."""

    def began_with(self, other: RunCourse, slack: int) -> bool:
        """Whether both may have begun to fail at the same time: each between two of its runs."""
        return self.failing >= other.worked - slack and other.failing >= self.worked - slack


def failing_tests(runs: ImportedRuns | None) -> set[str]:
    """The tests that fail; where all work again, those that have failed."""
    tests = runs.methods if runs is not None else {}
    failing = {name for name, (good, bad, _) in tests.items() if bad > good}
    return failing or {name for name, (_, bad, _) in tests.items() if bad}


def course(network: TargetNetwork, method: str | None) -> RunCourse | None:
    """The course of one test, or of all together (`None`); None when it has not run. A failure
    that a gate did not let count stays until that test works again."""
    if network.runs is None:
        return None
    methods, since = network.runs.methods, network.runs.since
    names = methods if method is None else {method} & set(methods)
    if not names:
        return None
    worked = max(methods[name][0] for name in names)
    failing = (
        max(worked, since.get(name, methods[name][1]))
        for name in names
        if methods[name][1] > worked
    )
    return RunCourse(worked, min(failing, default=0))
