"""Who is told of what, as Alertmanager's own tool reads the configuration."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from monitor.alerts.routing import document, render
from monitor.alerts.rules_file import alerts
from monitor.detection.policy import Policy

pytestmark = pytest.mark.needs("prometheus-alertmanager")

URL = "http://127.0.0.1:9/x"


def amtool(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["amtool", *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("pace", [1, 7, 600])
@pytest.mark.parametrize("urls", [("", ""), (URL, URL)])
def test_alertmanager_accepts_it(tmp_path: Path, pace: int, urls: tuple[str, str]) -> None:
    path = tmp_path / "alertmanager.yml"
    path.write_text(render(Policy(pace=pace), *urls))
    run = amtool("check-config", str(path))
    assert run.returncode == 0, run.stdout + run.stderr


EXPECTED = {
    "ServiceBlockConfirmed": "page",
    "ServiceBlockLikely": "ticket",
    "BlockSpreading": "ticket",
    "ServiceUnblocked": "news",
    "BlockRetracted": "news",
    "ServiceDownGlobally": "kept",
    "CountryDark": "page",
    "VantageSilent": "kept",
    "ControlSilent": "ticket",
    "EnrolmentSpike": "ticket",
    "CollectorIngestStalled": "page",
    "DetectorLagging": "page",
    "ReachwatchDown": "page",
    "ReachwatchInstanceDown": "ticket",
    "ReachwatchPartDown": "ticket",
    "CollectorDisconnected": "ticket",
    "CollectorLeavesBatches": "ticket",
    "CollectorOverloaded": "ticket",
    "MeasurementsQuarantined": "ticket",
    "DetectorBacklog": "ticket",
    "DetectorDamagedBatches": "ticket",
    "WebhookFailing": "ticket",
    "FollowBehind": "ticket",
    "DetectorWithoutLeader": "page",
    "DeadMansSwitch": "heartbeat",
    "SomethingNobodyThoughtOf": "ticket",
}


def test_routes(tmp_path: Path) -> None:
    path = tmp_path / "alertmanager.yml"
    path.write_text(render(Policy(), URL))
    known = {alert.name: alert for alert in alerts(Policy())}
    assert set(EXPECTED) - {"SomethingNobodyThoughtOf"} == set(known)
    for name, receiver in EXPECTED.items():
        labels = [f"alertname={name}"]
        if name in known:
            labels += [f"severity={known[name].severity}", f"kind={known[name].kind}"]
        run = amtool(
            "config",
            "routes",
            "test",
            f"--config.file={path}",
            f"--verify.receivers={receiver}",
            *labels,
        )
        assert run.returncode == 0, name + run.stdout + run.stderr


def matched(matcher: str, labels: Mapping[str, str]) -> bool:
    name, _, value = matcher.replace("=~", "=").partition("=")
    return labels.get(name, "") in value.strip('"').split("|")


def silenced_by(name: str) -> set[str]:
    """Names of alerts whose firing keeps this one silent."""
    known = {
        alert.name: {"alertname": alert.name, "kind": alert.kind} for alert in alerts(Policy())
    }
    return {
        other
        for rule in document(Policy())["inhibit_rules"]
        for other, labels in known.items()
        if all(matched(each, known[name]) for each in rule["target_matchers"])
        and all(matched(each, labels) for each in rule["source_matchers"])
    }


def test_what_explains_what() -> None:
    assert silenced_by("ServiceBlockConfirmed") == {"ServiceDownGlobally", "CountryDark"}
    assert silenced_by("ServiceBlockLikely") == {
        "ServiceBlockConfirmed",
        "BlockSpreading",
        "ServiceDownGlobally",
        "CountryDark",
        "ControlSilent",
        "CollectorIngestStalled",
        "ReachwatchDown",
    }
    assert silenced_by("CountryDark") == {"CollectorIngestStalled", "ReachwatchDown"}
    assert "CountryDark" in silenced_by("VantageSilent")


def test_nothing_silences_what_ends_or_what_wakes_for_the_monitor() -> None:
    for name in ("ServiceUnblocked", "BlockRetracted", "ReachwatchDown", "DeadMansSwitch"):
        assert silenced_by(name) == set()


def test_only_a_service_that_is_down_inhibits_a_page_silently() -> None:
    severities = {alert.name: alert.severity for alert in alerts(Policy())}
    for name, severity in severities.items():
        if severity == "page":
            weak = {other for other in silenced_by(name) if severities[other] != "page"}
            assert weak <= {"ServiceDownGlobally"}


def test_durations_follow_the_pace() -> None:
    slow, fast = document(Policy())["route"], document(Policy(pace=60))["route"]
    assert (slow["group_wait"], slow["group_interval"]) == ("60s", "600s")
    assert (fast["group_wait"], fast["group_interval"]) == ("1s", "10s")


def test_only_pages_and_tickets_send_resolved_messages() -> None:
    said = {
        receiver["name"]: hook["send_resolved"]
        for receiver in document(Policy(), URL, URL)["receivers"]
        for hook in receiver.get("webhook_configs", ())
    }
    assert said == {"page": True, "ticket": True, "news": False, "heartbeat": False}
