"""The servers for one region go silent: an outage there accuses nobody, a network that drops their
addresses is told from it, because the control tries the very addresses that failed.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from tests.lab.conftest import PACKAGES, need, seed
from tests.lab.path_or_server import NETWORK, SERVER, play
from tests.world.mosquitto import PROGRAM

pytestmark = [pytest.mark.lab, pytest.mark.rest, pytest.mark.needs(*PACKAGES, "mosquitto")]
SETTLED_SECONDS = 60
"""After the control was asked: its own next round, and the vantages' after that."""


def _last(record: dict[str, Any]) -> dict[int, set[str]]:
    """The last states by network."""
    states: dict[int, set[str]] = {}
    for row in record["judged"]:
        at = dt.datetime.fromisoformat(row["round"]).timestamp()
        if at >= record["asked"] + SETTLED_SECONDS:
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
    tmp_path_factory: pytest.TempPathFactory, where: str, states: dict[int, set[str]]
) -> None:
    need(PROGRAM)
    record = play(seed(), tmp_path_factory.mktemp("path") / "lab", where)
    assert record["quiet"] == []
    assert {line.split(" ", 1)[0] for line in record["retests"] if '"failed":[{' in line} == {
        "NL/64503"
    }, "the control alone is handed addresses"
    assert _last(record) == states
    if where == SERVER:
        assert record["events"] == []
