"""The files in deploy/ are what the code makes, and every alert has its runbook."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.alerts import routing, rules_file, scraping
from monitor.detection.policy import Policy

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
PLACEHOLDER = "http://127.0.0.1:9095/"
MADE = {
    "prometheus/rules.yml": rules_file.render(Policy(), "http://127.0.0.1:8080"),
    "prometheus/prometheus.yml": scraping.render(Policy()),
    "alertmanager/alertmanager.yml": routing.render(Policy(), PLACEHOLDER),
}


@pytest.mark.parametrize("name", MADE)
def test_files_are_as_generated(name: str) -> None:
    said = (
        f"deploy/{name} is old: make it again with `reachwatch rules` (deploy/runbooks/README.md)"
    )
    assert (DEPLOY / name).read_text(encoding="utf-8") == MADE[name], said


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    books = {path.stem for path in (DEPLOY / "runbooks").glob("*.md")} - {"README"}
    assert books == {alert.name for alert in rules_file.alerts(Policy())}


def test_runbooks_are_complete() -> None:
    for path in (DEPLOY / "runbooks").glob("*.md"):
        text = path.read_text(encoding="utf-8")
        if path.stem == "README":
            continue
        assert text.startswith(f"# {path.stem}\n")
        parts = ("What happened", "How bad it is", "Look at first", "What to do", "When it is over")
        for part in parts:
            body = text.partition(f"## {part}\n")[2].partition("\n## ")[0]
            assert body.strip(), f"{path.name}: {part}"
