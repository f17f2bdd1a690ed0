"""The rules file as a whole, as Prometheus' own tool reads it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from monitor.alerts import routing, rules_file, scraping
from monitor.alerts.rules_file import alerts, document, render
from monitor.commands.main import main
from monitor.detection.policy import Policy

pytestmark = pytest.mark.needs("promtool")

NUMBER_WITH_UNIT = re.compile(r"(?<![\w.])(\d+)(ms|s|m|h|d)\b")


@pytest.mark.parametrize("pace", [1, 7, 60, 600])
def test_prometheus_accepts_the_rules(tmp_path: Path, pace: int) -> None:
    path = tmp_path / "rules.yml"
    path.write_text(render(Policy(pace=pace), "https://reach.example/"))
    run = subprocess.run(
        ["promtool", "check", "rules", "--lint-fatal", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_alert_has_a_summary_links_and_a_first_step() -> None:
    names = [alert.name for alert in alerts(Policy())]
    assert len(set(names)) == len(names)
    for rule in document(Policy(), "https://reach.example/")["groups"][0]["rules"]:
        if "alert" not in rule:
            continue
        said = rule["annotations"]
        assert {"summary", "description", "first", "evidence_url", "runbook_url"} <= said.keys()
        assert all(said.values())
        assert said["evidence_url"].startswith("https://reach.example/")
        assert "//" not in said["evidence_url"].removeprefix("https://")
        assert rule["labels"]["severity"] in ("page", "ticket", "info", "none")
        assert "pace" not in said
        # Read on a phone at night: one sentence, without a query that may fail.
        assert said["first"].endswith(".")
        assert len(said["first"]) <= 150
        assert "{{" not in said["first"]


def test_runbooks_can_be_published_anywhere() -> None:
    text = render(Policy(), "http://x", "https://docs.example/runbooks/")
    assert "runbook_url: https://docs.example/runbooks/CountryDark.md" in text


def spans(text: str) -> list[int]:
    """Every duration in milliseconds."""
    return [int(n) * {"ms": 1, "s": 1000}[u] for n, u in NUMBER_WITH_UNIT.findall(text)]


def test_every_duration_comes_from_the_policy() -> None:
    """Another pace divides each of them, and nothing else changes."""
    slow, fast = render(Policy(), "http://x"), render(Policy(pace=60), "http://x")
    cut = slow.index("groups:")
    slow_rules, fast_rules = slow[cut:], fast[fast.index("groups:") :]
    fast_rules = re.sub(r"\n *pace: .*", "", fast_rules)
    assert len(spans(slow_rules)) == len(spans(fast_rules)) > 20
    for long, short in zip(spans(slow_rules), spans(fast_rules), strict=True):
        assert short == max(1000, long // 60)


def test_another_pace_is_in_every_message() -> None:
    rules = document(Policy(pace=60), "http://x")["groups"][0]["rules"]
    said = [rule["annotations"]["pace"] for rule in rules if "alert" in rule]
    assert set(said) == {"No real time: every duration is divided by 60."}


def test_only_a_transition_reports_reachable_again() -> None:
    for alert in alerts(Policy()):
        texts = " ".join((alert.summary, alert.description)).lower()
        if alert.kind != "closing":
            assert "reachable again" not in texts
            assert "unblocked" not in texts
        else:
            assert "reachwatch_block_events_total" in alert.expr


def test_alerts_about_blocking_key_on_the_tier() -> None:
    for name in ("ServiceBlockConfirmed", "ServiceBlockLikely"):
        (alert,) = [each for each in alerts(Policy()) if each.name == name]
        assert re.search('tier=~?"', alert.expr)


def test_labels_are_the_event_and_nothing_that_changes() -> None:
    for alert in alerts(Policy()):
        if alert.kind == "block":
            assert "technique" not in alert.expr
            assert not re.search(r"^max by \([^)]*(asn|tier)", alert.expr)


URL = "https://hook.example/x?token=1"


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = main(["rules", *words])
    out, err = capsys.readouterr()
    return status, out, err


def test_each_file(capsys: pytest.CaptureFixture[str]) -> None:
    policy = Policy(pace=5)
    pace = ("--pace", "5")
    site = ("--public-url", "https://r.example", "--runbooks", "https://r.example/books")
    assert printed(capsys, *pace, *site)[:2] == (
        0,
        rules_file.render(policy, "https://r.example", "https://r.example/books"),
    )
    assert printed(capsys, *pace, "--prometheus")[:2] == (0, scraping.render(policy))
    given = ("--alertmanager", "--webhook", URL, "--heartbeat", URL)
    assert printed(capsys, *pace, *given)[:2] == (0, routing.render(policy, URL, URL))


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--alertmanager", "--prometheus"], "give only one of them"),
        (["--webhook", URL], "only with --alertmanager"),
        (["--alertmanager", "--webhook", "ftp://x"], "must be an http:// or https:// URL"),
        (["--alertmanager", "--webhook", 'http://x"\n'], "must be an http:// or https:// URL"),
        (["--public-url", "http://{{ .X }}"], "must be an http:// or https:// URL"),
    ],
)
def test_bad_input_is_one_line(
    capsys: pytest.CaptureFixture[str], words: list[str], reason: str
) -> None:
    status, out, err = printed(capsys, *words)
    assert (status, out) == (2, "")
    assert reason in err
    assert err.count("\n") == 1
