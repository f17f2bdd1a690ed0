"""The files in deploy/ are what the code makes, and every alert has its runbook."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.alerts import routing, rules_file, scraping
from monitor.detection.policy import Policy
from tests.world.site import client, opened

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
RUNBOOKS = DEPLOY.parent / "monitor/runbooks"
PLACEHOLDER = "http://127.0.0.1:9095/"
MADE = {
    "prometheus/rules.yml": rules_file.render(Policy(), "http://127.0.0.1:8080"),
    "prometheus/prometheus.yml": scraping.render(Policy()),
    "alertmanager/alertmanager.yml": routing.render(Policy(), PLACEHOLDER),
}


@pytest.mark.parametrize("name", MADE)
def test_files_are_as_generated(name: str) -> None:
    said = (
        f"deploy/{name} is old: make it again with `reachwatch rules` (monitor/runbooks/README.md)"
    )
    assert (DEPLOY / name).read_text(encoding="utf-8") == MADE[name], said


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    books = {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"}
    assert books == {alert.name for alert in rules_file.alerts(Policy())}


def test_runbooks_are_complete() -> None:
    for path in RUNBOOKS.glob("*.md"):
        text = path.read_text(encoding="utf-8")
        if path.stem == "README":
            continue
        assert text.startswith(f"# {path.stem}\n")
        parts = ("What happened", "How bad it is", "Look at first", "What to do", "When it is over")
        for part in parts:
            body = text.partition(f"## {part}\n")[2].partition("\n## ")[0]
            assert body.strip(), f"{path.name}: {part}"


async def test_the_address_of_a_runbook_opens(tmp_path: Path) -> None:
    async with opened(None, tmp_path) as site, client(site) as web:
        base = "https://reach.example"
        for rule in rules_file.document(Policy(), base)["groups"][0]["rules"]:
            if "alert" not in rule:
                continue
            answer = await web.get(rule["annotations"]["runbook_url"].removeprefix(base))
            assert answer.status == 200, rule["alert"]
            assert (await answer.text()).startswith(f"# {rule['alert']}\n")
        assert (await web.get("/runbooks/Nothing.md")).status == 404
