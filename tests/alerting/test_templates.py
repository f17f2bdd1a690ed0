"""What people read, rendered by Alertmanager's own tool."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from monitor.alerts.blocking import NOT_UNBLOCKED

pytestmark = pytest.mark.needs("prometheus-alertmanager")

TEMPLATES = Path(__file__).resolve().parents[2] / "deploy/alertmanager/templates/*.tmpl"
HOSTILE = "<script>alert(1)</script>"
FACTS = {
    "summary": "wechat is blocked in RU (AS64501): tls.reset.sni",
    "description": "Seen by 3 of 4 vantages in AS64501 since 2026-05-04 08:10 UTC.",
    "evidence_url": "https://reach.example/e/aa",
    "runbook_url": "https://reach.example/books/ServiceBlockConfirmed.md",
    "networks": "AS64501",
    "technique": "tls.reset.sni",
    "since": "2026-05-04 08:10 UTC",
    "vantages": "3 of 4",
    "first": "Open the event's page.",
    "when_resolved": NOT_UNBLOCKED,
}


def alert(name: str, status: str, annotations: dict[str, str]) -> dict[str, Any]:
    return {
        "status": status,
        "labels": {"alertname": name, "service": "wechat", "country": "RU", "severity": "page"},
        "annotations": annotations,
        "startsAt": "2026-05-04T08:20:00Z",
        "endsAt": "2026-05-04T09:20:00Z",
        "generatorURL": "",
        "fingerprint": "1",
    }


def render(folder: Path, template: str, *alerts: dict[str, Any], kind: str = "text") -> str:
    over = all(each["status"] == "resolved" for each in alerts)
    first = alerts[0]["labels"]
    common = {k: v for k, v in first.items() if all(a["labels"].get(k) == v for a in alerts)}
    path = folder / "data.json"
    path.write_text(
        json.dumps(
            {
                "receiver": "page",
                "status": "resolved" if over else "firing",
                "alerts": alerts,
                "groupLabels": common,
                "commonLabels": common,
                "commonAnnotations": {},
                "externalURL": "http://am.example",
            }
        )
    )
    run = subprocess.run(
        [
            "amtool",
            "template",
            "render",
            f"--template.glob={TEMPLATES}",
            f'--template.text={{{{ template "reachwatch.{template}" . }}}}',
            f"--template.type={kind}",
            f"--template.data={path}",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout.strip()


def test_a_page_says_every_fact(tmp_path: Path) -> None:
    page = alert("ServiceBlockConfirmed", "firing", FACTS)
    assert render(tmp_path, "subject", page) == FACTS["summary"]
    assert render(tmp_path, "text", page).splitlines() == [
        FACTS["summary"],
        FACTS["description"],
        "Service: wechat",
        "Country: RU",
        "Networks: AS64501",
        "Technique: tls.reset.sni",
        "Since: 2026-05-04 08:10 UTC",
        "Vantages: 3 of 4",
        "Do first: Open the event's page.",
        "Evidence: https://reach.example/e/aa",
        "Runbook: https://reach.example/books/ServiceBlockConfirmed.md",
    ]


@pytest.mark.parametrize("name", ["ServiceBlockConfirmed", "ServiceBlockLikely"])
def test_one_that_resolves_is_no_longer_firing_and_nothing_else(tmp_path: Path, name: str) -> None:
    over = alert(name, "resolved", FACTS)
    assert render(tmp_path, "subject", over) == f"No longer firing: {name} wechat RU"
    text = render(tmp_path, "text", over)
    assert text.splitlines() == [
        f"No longer firing: {name} wechat RU",
        NOT_UNBLOCKED,
        "Evidence: https://reach.example/e/aa",
    ]
    before = text.partition(NOT_UNBLOCKED)[0]
    assert "reachable" not in before
    assert "blocked in" not in text


def test_news_of_an_end(tmp_path: Path) -> None:
    said = {"summary": "wechat is reachable again in RU", "until": "2026-05-04 09:10 UTC"}
    text = render(tmp_path, "text", alert("ServiceUnblocked", "firing", said))
    assert text.splitlines() == [
        "wechat is reachable again in RU",
        "Service: wechat",
        "Country: RU",
        "Until: 2026-05-04 09:10 UTC",
    ]


def test_several_in_one_message(tmp_path: Path) -> None:
    first, second = alert("X", "firing", FACTS), alert("X", "firing", {"summary": "another"})
    over = alert("X", "resolved", FACTS)
    assert render(tmp_path, "subject", first, second) == "2 x X wechat RU"
    text = render(tmp_path, "text", first, second, over)
    assert text.count("\n\n") == 2
    assert text.index("another") < text.index("No longer firing")


def test_mail_is_inert(tmp_path: Path) -> None:
    page = alert("ServiceBlockConfirmed", "firing", FACTS | {"technique": HOSTILE})
    html = render(tmp_path, "html", page, kind="html")
    assert HOSTILE not in html
    assert "&lt;script&gt;" in html
    assert "<h1>wechat is blocked in RU" in html


def test_the_recipes_of_the_configuration_work(tmp_path: Path) -> None:
    """E-mail and Slack as the head of alertmanager.yml shows them."""
    (tmp_path / "templates").symlink_to(TEMPLATES.parent)
    path = tmp_path / "alertmanager.yml"
    path.write_text("""
templates: [templates/*.tmpl]
global: {smtp_smarthost: "127.0.0.1:25", smtp_from: "reach@example.org"}
route: {receiver: page}
receivers:
  - name: page
    email_configs:
      - to: "a@example.org"
        headers: {Subject: '{{ template "reachwatch.subject" . }}'}
        html: '{{ template "reachwatch.html" . }}'
        text: '{{ template "reachwatch.text" . }}'
    slack_configs:
      - api_url_file: "/nowhere"
        title: '{{ template "reachwatch.subject" . }}'
        text: '{{ template "reachwatch.text" . }}'
""")
    run = subprocess.run(
        ["amtool", "check-config", str(path)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "1 templates" in run.stdout
