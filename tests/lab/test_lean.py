"""The cases at most risk where a probe measures as it does by default: one address of an endpoint
in each round, families in turn, everything once something fails. `./scripts/bench lab --lean` plays
all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests.lab.cases import BY_NAME
from tests.lab.conftest import PACKAGES, need, seed
from tests.lab.plan import draw
from tests.lab.run import play
from tests.lab.verdicts import faults

CASES = (
    "dns.dead",
    "dns.nxdomain",
    "dns.on_path",
    "geographic_dns",
    "http.block_page",
    "partial.address",
    "partial.v4",
    "quic.family",
    "tcp.drop",
    "throttle.sni",
    "tls.reset",
    "trap.second_round",
    "trap.twice",
    "v6_broken",
)
AT_ONCE = 6
"""Laboratories side by side: they mostly wait."""
pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.rest, pytest.mark.needs(*PACKAGES)]


@pytest.fixture(scope="module")
def records(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Any]]]:
    """By case; only those that were selected are played."""
    need()
    chosen = {
        item.callspec.params["case"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.path == request.path
    }
    root, order = tmp_path_factory.mktemp("lean"), draw(seed()).order
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            case: pool.submit(play, seed(), order.index(case), root / case, lean=True)
            for case in CASES
            if case in chosen
        }


@pytest.mark.parametrize("case", CASES)
def test_the_default_profile_judges_as_well(records: dict[str, Future[Any]], case: str) -> None:
    record = records[case].result()
    assert record["codes"] == {"probe": 0, "control": 0}
    assert faults(BY_NAME[case], record) == []
