"""One case the whole way: three vantages in each of two networks, mosquitto, collector, detector,
event, page; then the lift.
"""

from __future__ import annotations

import os
import re
import shutil
from typing import Any

import pytest

from tests.lab.test_lab import TOOLS
from tests.lab.whole import play_whole
from tests.world.mosquitto import PROGRAM

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Play it once; the tests look at what was seen."""
    missing = [tool for tool in (*TOOLS, PROGRAM) if shutil.which(tool) is None]
    if os.geteuid() != 0 or missing:
        pytest.skip(f"needs root and {missing or 'nothing more'}")
    seed = int(os.environ.get("REACHWATCH_LAB_SEED", "1"))
    return play_whole(seed, tmp_path_factory.mktemp("whole") / "lab")


def test_quiet_rounds_accuse_nobody(record: dict[str, Any]) -> None:
    assert record["quiet"] == []


def test_the_block_is_confirmed_in_its_network_alone(record: dict[str, Any]) -> None:
    (event,) = record["blocked"]
    assert event["service"] == record["victim"]
    assert (event["country"], event["asns"]) == ("RU", [64501])
    assert (event["technique"], event["tier"], event["state"]) == (
        "tls.reset.sni",
        "confirmed",
        "open",
    )
    assert event["vantages"] == {"agreeing": 3, "total": 3}
    assert event["control"] == "ok"
    assert set(event["rule_counts"]) == {"tls.reset.sni"}
    assert event["policy"]["pace"] > 1


def test_pages_and_metrics_show_it(record: dict[str, Any]) -> None:
    (event,) = record["blocked"]
    for page in ("page", "overview"):
        assert record["victim"].title() in record[page]
        assert "64501" in record[page]
    assert "tls.reset.sni" in record["page"]
    assert event["witnesses"][0] in record["page"]
    assert event["witnesses"][0] in record["witness"]
    shown = re.findall(r"^reachwatch_block_event_confidence\{(.+)\} 1\.0$", record["metrics"], re.M)
    assert len(shown) == 1
    assert f'event_id="{event["id"]}"' in shown[0]
    assert 'tier="confirmed"' in shown[0]


def test_after_the_lift_it_closes(record: dict[str, Any]) -> None:
    (event,) = record["lifted"]
    (before,) = record["blocked"]
    assert (event["id"], event["state"]) == (before["id"], "closed")
    assert event["closed"] > event["confirmed"] > event["onset"]
    assert [c["kind"] for c in event["history"]][-1] == "closed"
