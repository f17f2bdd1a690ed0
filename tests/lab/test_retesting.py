"""A block that has just begun is likely before the next round; it is measured again when its quorum
must have held, and nobody is asked but the network concerned and the control.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from tests.lab.conftest import PACKAGES, need, seed
from tests.lab.retesting import CONFIRMED, INTERVAL, LIKELY, PACE, WITH, minutes, play_retesting
from tests.world.mosquitto import PROGRAM

pytestmark = [
    pytest.mark.lab,
    pytest.mark.long,
    pytest.mark.rest,
    pytest.mark.needs(*PACKAGES, "mosquitto"),
]


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """It is played once; the tests look at what was seen."""
    need(PROGRAM)
    return play_retesting(seed(), tmp_path_factory.mktemp("retests") / "lab", WITH, CONFIRMED)


def test_likely_before_the_next_round(record: dict[str, Any]) -> None:
    assert record["quiet"] == []
    (event,) = record["events"]
    assert (event["technique"], event["asns"]) == ("tls.reset.sni", [64501])
    rounds = {each["kind"]: dt.datetime.fromisoformat(each["round"]) for each in event["history"]}
    first = dt.datetime.fromtimestamp(record["first"], dt.UTC)
    assert dt.datetime.fromisoformat(event["onset"]) == first
    assert first <= rounds[LIKELY] < first + dt.timedelta(seconds=INTERVAL)
    # And said so at about that time: far from the end of the next round.
    assert record[LIKELY] < record["first"] + 1.5 * INTERVAL


def test_no_bystander_is_asked(record: dict[str, Any]) -> None:
    """The control is: its word must be as new as the vantages'."""
    assert {place for place, _ in record["asked"]} == {"RU/64501", "NL/64503"}
    for _, said in record["asked"]:
        assert said["targets"] == [record["victim"]]
        assert said["interval_ms"] == 60_000 // PACE


def test_retests_have_contrasts_and_name_the_technique(record: dict[str, Any]) -> None:
    (event,) = record["events"]
    assert set(event["rule_counts"]) == {"tls.reset.sni"}


def test_confirmed_within_ten_minutes(record: dict[str, Any]) -> None:
    assert minutes(record, LIKELY) <= 5
    assert minutes(record, CONFIRMED) <= 10
