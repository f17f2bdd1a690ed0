"""From the wire to the webhook and back to closed, for a DNS, a TCP and a TLS technique at once:
three vantages in each of two networks, mosquitto, collector, detector, pages, Prometheus,
Alertmanager; then the lift.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.lab.conftest import PACKAGES, need, seed
from tests.lab.whole import play_whole, told
from tests.world.mosquitto import PROGRAM

TECHNIQUES = ("dns.nxdomain", "tcp.reset", "tls.reset.sni")
pytestmark = [
    pytest.mark.lab,
    pytest.mark.long,
    pytest.mark.rest,
    pytest.mark.timeout(1600),
    pytest.mark.needs(*PACKAGES, "mosquitto", "prometheus", "prometheus-alertmanager"),
]


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """It is played once; the tests look at what was seen."""
    need(PROGRAM, "prometheus", "prometheus-alertmanager")
    return play_whole(seed(), tmp_path_factory.mktemp("whole") / "lab")


def event_of(record: dict[str, Any], technique: str, when: str = "blocked") -> dict[str, Any]:
    """The only event of the service that is hit by a technique."""
    (event,) = (e for e in record[when] if e["service"] == record["victims"][technique])
    return dict(event)


def test_quiet_rounds_accuse_nobody(record: dict[str, Any]) -> None:
    assert record["quiet"] == []


def test_nothing_else_is_accused(record: dict[str, Any]) -> None:
    assert len(record["blocked"]) == len(record["lifted"]) == len(TECHNIQUES)
    services = {
        alert["labels"].get("service")
        for message in record["inbox"]
        for alert in message["alerts"]
        if alert["labels"].get("kind") in ("block", "closing")
    }
    assert services == set(record["victims"].values())


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_the_block_is_confirmed_in_its_network_alone(
    record: dict[str, Any], technique: str
) -> None:
    event = event_of(record, technique)
    assert (event["country"], event["asns"]) == ("RU", [64501])
    assert (event["technique"], event["tier"], event["state"]) == (technique, "confirmed", "open")
    assert event["vantages"] == {"agreeing": 3, "total": 3}
    assert event["control"] == "ok"
    counts = dict(event["rule_counts"])
    # A retest shows the service's name alone, and tells no more than how it died. Between two
    # rounds there is at most one.
    untold = counts.pop(f"{technique.rpartition('.')[0]}.untold", 0)
    assert set(counts) == {technique}
    assert untold <= counts[technique]
    assert event["policy"]["pace"] > 1


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_pages_and_metrics_show_it(record: dict[str, Any], technique: str) -> None:
    event = event_of(record, technique)
    page, witness = record["pages"][event["id"]], record["witnesses"][event["id"]]
    for shown in (page, record["overview"]):
        assert event["service"].title() in shown
        assert "64501" in shown
    assert technique in page
    assert event["witnesses"][0] in page
    assert event["witnesses"][0] in witness
    of_events = re.findall(
        r"^reachwatch_block_event_confidence\{(.+)\} 0\.\d+$", record["metrics"], re.M
    )
    (labels,) = (each for each in of_events if f'event_id="{event["id"]}"' in each)
    assert 'tier="confirmed"' in labels


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_somebody_is_paged_once_with_the_facts(record: dict[str, Any], technique: str) -> None:
    event = event_of(record, technique)
    pages, _ = told(record, event["service"])
    if not pages:  # one network alone, and the service may reset what it does not want
        assert technique == "tcp.reset"
        assert event_of(record, technique, "lifted")["confidence"] < 0.9
        return
    (page,) = pages
    assert (page["labels"]["severity"], page["labels"]["country"]) == ("page", "RU")
    said = page["annotations"]
    assert (said["networks"], said["technique"]) == ("AS64501", technique)
    assert said["evidence_url"].endswith(f"/e/{event['id']}")
    assert re.fullmatch(r"[23] of 3", said["vantages"])
    assert said["since"].startswith("20")


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_after_the_lift_it_closes_and_that_is_told(record: dict[str, Any], technique: str) -> None:
    before, event = event_of(record, technique), event_of(record, technique, "lifted")
    assert (event["id"], event["state"]) == (before["id"], "closed")
    assert event["closed"] > event["confirmed"] > event["onset"]
    assert [c["kind"] for c in event["history"]][-1] == "closed"
    pages, closings = told(record, event["service"])
    if not pages:
        return
    (closing,) = closings
    assert closing["annotations"]["evidence_url"].endswith(f"/e/{event['id']}")
    assert closing["startsAt"] > told(record, event["service"])[0][0]["startsAt"]
