"""The servers for one region go silent: an outage there accuses nobody, a network that drops their
addresses is told from it, because the control tries the very addresses that failed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests.lab.conftest import PACKAGES, need, seed
from tests.lab.path_or_server import NETWORK, SERVER, play
from tests.world.mosquitto import PROGRAM

pytestmark = [
    pytest.mark.lab,
    pytest.mark.long,
    pytest.mark.rest,
    pytest.mark.needs(*PACKAGES, "mosquitto"),
]
SETTLED_SECONDS = 60
"""After the control was asked: its own next round, and the vantages' after that."""
COMPLETE_SECONDS = 45
"""A round and what it sends last: until then a vantage may be judged without its control."""


@pytest.fixture(scope="module")
def records(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Future[dict[str, Any]]]]:
    """Both are played side by side, as they mostly wait; the tests look at what was seen."""
    need(PROGRAM)
    folder = tmp_path_factory.mktemp("path")
    with ThreadPoolExecutor(2) as pool:
        yield {
            where: pool.submit(play, seed(), folder / where, where) for where in (NETWORK, SERVER)
        }


def _last(record: dict[str, Any]) -> dict[int, set[str]]:
    """The last states by network."""
    states: dict[int, set[str]] = {}
    for row in record["judged"]:
        at = dt.datetime.fromisoformat(row["round"]).timestamp()
        if record["asked"] + SETTLED_SECONDS <= at <= record["read"] - COMPLETE_SECONDS:
            states.setdefault(row["asn"], set()).add(row["state"])
    return states


@pytest.mark.parametrize(
    ("where", "states"),
    [
        pytest.param(NETWORK, {64501: {"blocked"}, 64502: {"ok"}}, id="network"),
        pytest.param(SERVER, {64501: {"down"}, 64502: {"down"}}, id="server"),
    ],
)
def test_path_and_server_are_told_apart(
    records: dict[str, Future[dict[str, Any]]], where: str, states: dict[int, set[str]]
) -> None:
    record = records[where].result()
    assert record["quiet"] == []
    assert {line.split(" ", 1)[0] for line in record["retests"] if '"failed":[{' in line} == {
        "NL/64503"
    }, "the control alone is handed addresses"
    assert _last(record) == states
    if where == SERVER:
        assert record["events"] == []
