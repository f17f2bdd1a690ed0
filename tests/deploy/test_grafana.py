"""The dashboards by the rules of Grafana's dashboard linter, and their queries by promtool."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from monitor.metrics import families

pytestmark = pytest.mark.needs("promtool")

FOLDER = Path(__file__).resolve().parents[2] / "deploy/grafana"
DASHBOARDS = ("overview", "pipeline")


def _make() -> ModuleType:
    spec = importlib.util.spec_from_file_location("grafana_make", FOLDER / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def dashboard(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"dashboards/{name}.json").read_text())  # type: ignore[no-any-return]


def queries(name: str) -> Iterator[tuple[str, str]]:
    for panel in dashboard(name)["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def plain(expr: str) -> str:
    """The query with Grafana's variables filled in."""
    return re.sub(r"\$(\w+)", ".*", expr.replace("$__rate_interval", "2m"))


def test_files_are_generated() -> None:
    for name, text in _make().files().items():
        assert (FOLDER / "dashboards" / name).read_text() == text


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_follows_the_rules(name: str) -> None:
    board = dashboard(name)
    assert board["editable"] is False
    variables = {each["name"]: each for each in board["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    for label in ("job", "instance"):
        assert variables[label]["multi"] is True
        assert variables[label]["allValue"] == ".*"
        assert variables[label]["datasource"]["uid"] == "${datasource}"
    titles = [panel["title"] for panel in board["panels"]]
    assert len(titles) == len(set(titles))
    for panel in board["panels"]:
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["targets"], panel["title"]
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_do_not_overlap(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard(name)["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells


@pytest.mark.parametrize("name", DASHBOARDS)
def test_queries_ask_for_metrics_that_there_are(name: str) -> None:
    kinds = {metric.name: metric for metric in families.ALL}
    for title, expr in queries(name):
        asked = re.findall(r"(reachwatch_\w+)(\{[^}]*\})", expr)
        assert asked, title
        for metric, matchers in asked:
            known = kinds[metric.removesuffix("_bucket")]
            assert 'job=~"$job"' in matchers
            assert 'instance=~"$instance"' in matchers
            labels = set(re.findall(r"(\w+)=", matchers)) - {"job", "instance"}
            assert labels <= set(known.labels), title
            if known.kind in ("counter", "histogram"):
                wrapped = rf"(rate|increase)\({metric}\{{[^}}]*\}}\[\$__rate_interval\]\)"
                assert re.search(wrapped, expr), title


def test_queries_are_promql(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": plain(expr)}
        for number, (_, expr) in enumerate(q for name in DASHBOARDS for q in queries(name))
    ]
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    answer = subprocess.run(
        ["promtool", "check", "rules", str(path)], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
