"""The dashboards by the rules of Grafana's dashboard linter, and their queries by promtool."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.monitor.metrics.defined import SERVED
from tests.monitor.web.browsing import served
from tests.world.ports import free_port
from tests.world.site import make_file
from tests.world.waiting import HANG_SECONDS, wait_until

pytestmark = pytest.mark.needs("promtool", "prometheus")

FOLDER = Path(__file__).resolve().parents[2] / "deploy/grafana"
DASHBOARDS = ("overview", "service", "country", "vantages", "pipeline", "alerts")


def dashboard(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"dashboards/{name}.json").read_text())  # type: ignore[no-any-return]


def queries(name: str) -> Iterator[tuple[str, str]]:
    for annotation in dashboard(name)["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]
    for panel in dashboard(name)["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def plain(expr: str) -> str:
    """The query with Grafana's variables filled in."""
    filled = expr.replace("$__rate_interval", "2m").replace("$__range", "10m")
    return re.sub(r"\$(\w+)", ".*", filled)


def test_files_are_generated(tmp_path: Path) -> None:
    for script in FOLDER.glob("*.py"):
        shutil.copy(script, tmp_path)
    (tmp_path / "dashboards").mkdir()
    subprocess.run([sys.executable, tmp_path / "make.py"], check=True)
    made = {each.name: each.read_text() for each in (tmp_path / "dashboards").iterdir()}
    assert made == {f.name: f.read_text() for f in (FOLDER / "dashboards").glob("*.json")}


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
    kinds = {metric.name: metric for metric in SERVED}
    for title, expr in queries(name):
        assert expr.count("(") == expr.count(")")
        asked = re.findall(r"(reachwatch_\w+)(\{[^}]*\})", expr)
        assert asked, title
        for metric, matchers in asked:
            known = kinds[metric.removesuffix("_bucket")]
            assert 'job=~"$job"' in matchers
            assert 'instance=~"$instance"' in matchers
            labels = set(re.findall(r"(\w+)=", matchers)) - {"job", "instance"}
            assert labels <= set(known.labels), title
            if known.kind in ("counter", "histogram"):
                wrapped = rf"(rate|increase)\({metric}\{{[^}}]*\}}\[\$__(rate_interval|range)\]\)"
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


def test_links_lead_to_pages() -> None:
    links = {
        link["url"]
        for name in DASHBOARDS
        for panel in dashboard(name)["panels"]
        for link in panel["fieldConfig"]["defaults"].get("links", ())
    }
    assert links == {
        "${site}/e/${__data.fields.event_id}",
        "${site}/c/${__data.fields.country}",
        "${site}/as/${__data.fields.asn}",
        "${site}/s/${service}",
        "${site}/c/${country}",
        "${site}/v",
    }


EMPTY = {"Webhooks that wait", "Recently ended", "Ends"}
"""In that world no webhook is configured, and the last event ended long ago."""


@pytest.mark.rest
def test_every_query_has_an_answer(tmp_path: Path) -> None:
    """A real Prometheus scrapes the web server over a filled store."""
    port = free_port()
    asked = [(name, title, plain(expr)) for name in DASHBOARDS for title, expr in queries(name)]

    def ask(expr: str) -> list[Any]:
        url = f"http://127.0.0.1:{port}/api/v1/query?{urllib.parse.urlencode({'query': expr})}"
        try:
            with urllib.request.urlopen(url, timeout=HANG_SECONDS) as answer:
                return list(json.load(answer)["data"]["result"])
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 503:
                    return []  # it reads its configuration
                raise AssertionError(f"{expr}: {error.read().decode()}") from None
        except OSError:
            return []  # it is not there yet

    with served(make_file(tmp_path / "world.sqlite"), tmp_path) as address:
        (tmp_path / "prometheus.yml").write_text(
            json.dumps(
                {
                    "global": {"scrape_interval": "1s"},
                    "scrape_configs": [
                        {
                            "job_name": "reachwatch",
                            "static_configs": [{"targets": [address.removeprefix("http://")]}],
                        }
                    ],
                }
            )
        )
        with (tmp_path / "prometheus.log").open("wb") as log:
            process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={tmp_path}/prometheus.yml",
                    f"--storage.tsdb.path={tmp_path}/tsdb",
                    f"--web.listen-address=127.0.0.1:{port}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            # Two scrapes, so that there are rates.
            wait_until(
                lambda: ask("count_over_time(reachwatch_build_info[10m]) > 2"),
                (tmp_path / "prometheus.log").read_text(),
            )
            empty = {title for _, title, expr in asked if not ask(expr)}
        finally:
            process.terminate()
            process.wait()
    assert empty == EMPTY
