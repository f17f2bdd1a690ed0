"""The generated rules, as Prometheus' own tool reads them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from monitor.alerts.rules import alerts, as_yaml, render
from monitor.detection.policy import Policy

SERIES = (
    'reachwatch_block_event_confidence{service="wechat",country="RU",asn="64501",'
    'technique="tls.reset.sni",tier="%s",event_id="00112233aabbccdd"}'
)


def promtool(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("pace", [1, 7, 60])
def test_prometheus_accepts_the_rules(tmp_path: Path, pace: int) -> None:
    path = tmp_path / "rules.yml"
    path.write_text(render(Policy(pace=pace), "https://reach.example/"))
    run = promtool("check", "rules", str(path))
    assert run.returncode == 0, run.stdout + run.stderr


def fired(tmp_path: Path, series: str, values: str, alert: str, expected: str, at: str) -> None:
    """Run one of promtool's own rule tests."""
    (tmp_path / "rules.yml").write_text(render(Policy(), "https://reach.example"))
    unit = f"""
rule_files: [rules.yml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - series: '{series}'
        values: '{values}'
    alert_rule_test:
      - eval_time: {at}
        alertname: {alert}
        exp_alerts: {expected}
"""
    (tmp_path / "unit.yml").write_text(unit)
    run = promtool("test", "rules", str(tmp_path / "unit.yml"))
    assert run.returncode == 0, run.stdout + run.stderr


LABELS = (
    "{severity: page, kind: block, service: wechat, country: RU, asn: '64501', "
    "technique: tls.reset.sni, tier: confirmed, event_id: 00112233aabbccdd}"
)
ANNOTATIONS = (
    "{summary: 'wechat is blocked in RU (AS64501): tls.reset.sni', "
    "evidence_url: 'https://reach.example/e/00112233aabbccdd', "
    "runbook: 'deploy/runbooks/ServiceBlockConfirmed.md'}"
)


def test_a_confirmed_event_pages_at_once_with_its_evidence(tmp_path: Path) -> None:
    expected = f"[{{exp_labels: {LABELS}, exp_annotations: {ANNOTATIONS}}}]"
    fired(tmp_path, SERIES % "confirmed", "1x5", "ServiceBlockConfirmed", expected, "1m")


@pytest.mark.parametrize("tier", ["likely", "unconfirmed"])
def test_nothing_less_than_confirmed_pages(tmp_path: Path, tier: str) -> None:
    fired(tmp_path, SERIES % tier, "0.5x60", "ServiceBlockConfirmed", "[]", "50m")


def test_a_series_that_ends_does_not_say_unblocked(tmp_path: Path) -> None:
    fired(tmp_path, SERIES % "confirmed", "1x5 _x60", "ServiceUnblocked", "[]", "40m")


def test_durations_follow_the_pace() -> None:
    assert 'for: "5s"' in render(Policy(pace=60), "http://x")
    assert 'for: "300s"' in render(Policy(), "http://x")


def test_only_one_alert_about_blocking_wakes_anyone() -> None:
    paging = [a.name for a in alerts(Policy()) if a.severity == "page" and a.kind == "block"]
    assert paging == ["ServiceBlockConfirmed"]


def test_text_cannot_break_out_of_the_yaml() -> None:
    assert as_yaml({"a": 'x"\n- evil: 1'}) == 'a: "x\\"\\n- evil: 1"\n'
