"""Rules of every run: under scripts/test a skipped test is a failure."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# Deadlines measure the machine, not the code. On CI the examples are the same every time, so
# that a red run is about the change; elsewhere each run looks in new places.
settings.register_profile("reachwatch", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("reachwatch")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Turn a run with skips into a failed one where all that tests need is installed."""
    if not os.environ.get("REACHWATCH_NO_SKIPS"):
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = len(reporter.stats.get("skipped", [])) if reporter else 0
    if skipped and exitstatus == 0:
        print(f"\n{skipped} skipped: a skip counts as a failure here")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
