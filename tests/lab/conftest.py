"""The whole way and retests mostly wait, so they are played while the cases are."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests.lab.retesting import LIKELY, WITH, play_retesting
from tests.lab.whole import play_whole
from tests.world.mosquitto import PROGRAM

NEEDED = ("unshare", "ip", "nft", "iptables", "unbound", "nginx", "hostname", "mount")


def seed() -> int:
    """The one seed of a test run."""
    return int(os.environ.get("REACHWATCH_LAB_SEED", "1"))


@pytest.fixture(scope="session")
def whole_way(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Future[dict[str, Any]]]:
    """The whole way's record, in a while."""
    _need(*NEEDED, PROGRAM, "prometheus", "prometheus-alertmanager")
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(play_whole, seed(), tmp_path_factory.mktemp("whole") / "lab")


@pytest.fixture(scope="session")
def retested(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Future[dict[str, Any]]]:
    """The record of a block that is measured again at once, in a while."""
    _need(*NEEDED, PROGRAM)
    folder = tmp_path_factory.mktemp("retests") / "lab"
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(play_retesting, seed(), folder, WITH, LIKELY)


def _need(*tools: str) -> None:
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if os.geteuid() != 0 or missing:
        pytest.skip(f"needs root and {missing or 'nothing more'}")
