"""Prometheus' own configuration, as its tool reads it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from monitor.alerts import rules_file, scraping
from monitor.detection.policy import Policy

pytestmark = pytest.mark.needs("promtool")


@pytest.mark.parametrize("pace", [1, 10, 600])
def test_prometheus_accepts_it(tmp_path: Path, pace: int) -> None:
    policy = Policy(pace=pace)
    (tmp_path / "rules.yml").write_text(rules_file.render(policy, "http://x"))
    path = tmp_path / "prometheus.yml"
    path.write_text(scraping.render(policy))
    run = subprocess.run(
        ["promtool", "check", "config", str(path)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "rules found" in run.stdout


def test_names_and_targets() -> None:
    made = scraping.document(Policy(), ["a:1", "b:2"], "c:3")
    jobs = {each["job_name"]: each["static_configs"] for each in made["scrape_configs"]}
    assert jobs == {"reachwatch": [{"targets": ["a:1", "b:2"]}]}
    made = scraping.document(Policy(), ["a:1"], "c:3", ["d:4"])
    jobs = {each["job_name"]: each["static_configs"] for each in made["scrape_configs"]}
    assert jobs == {
        "reachwatch": [{"targets": ["a:1"]}],
        "reachwatch-parts": [{"targets": ["d:4"]}],
    }
    assert "c:3" in str(made["alerting"])
