"""Rules of every run: lanes, packages, and under scripts/test a skipped test is a failure."""

from __future__ import annotations

import fcntl
import logging
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent

# Deadlines measure the machine, not the code. Both runs take the same examples every time, so that
# a red run is about the change; `--hypothesis-profile=search` looks in new places.
settings.register_profile("quick", deadline=None, max_examples=15, derandomize=True)
settings.register_profile("long", deadline=None, max_examples=100, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=1000)
settings.load_profile("quick")

for _name in ("LC_ALL", "LC_MESSAGES", "LANG"):  # English, whatever the terminal speaks
    os.environ.pop(_name, None)


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """Commands that a test runs in this process configure the log for the whole process."""
    level, handlers = logging.root.level, logging.root.handlers[:]
    yield
    logging.root.setLevel(level)
    logging.root.handlers[:] = handlers


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with tests marked `long` begin first, then those marked `slow`: the run is over when
    the last of them is."""
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    turns = ("long", "slow")
    return next((n for n, mark in enumerate(turns) if item.get_closest_marker(mark)), len(turns))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Under scripts/test, install the Debian packages that the selected tests need."""
    marks = [mark for item in session.items for mark in item.iter_markers("needs")]
    packages = sorted({package for mark in marks for package in mark.args})
    listed = (ROOT / "tests/packages.txt").read_text().split()
    if unlisted := [package for package in packages if package not in listed]:
        raise pytest.UsageError(f"not in tests/packages.txt: {', '.join(unlisted)}")
    if not packages or not os.environ.get("REACHWATCH_INSTALL"):
        return
    with (ROOT / "scripts/packages").open() as lock:  # one run at a time
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run(
            [ROOT / "scripts/packages", "-", "the selected tests"],
            input="\n".join(packages),
            text=True,
            check=True,
        )


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Turn a run with skips into a failed one where all that tests need is installed."""
    if not os.environ.get("REACHWATCH_NO_SKIPS"):
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = len(reporter.stats.get("skipped", [])) if reporter else 0
    if skipped and exitstatus == 0:
        print(f"\n{skipped} skipped: a skip counts as a failure here")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
