"""Recorded series: how they are named, that they hold, that two servers count once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from monitor.alerts import promql
from monitor.detection.policy import Policy
from monitor.metrics import families
from monitor.metrics.families import MetricFamily
from tests.alerting.promtool import event, minutes, unit, up, vantages

pytestmark = pytest.mark.needs("promtool")


def test_names_follow_the_convention() -> None:
    for recording in promql.recordings(Policy().alerting):
        assert re.fullmatch(r"[a-z_]+:reachwatch_[a-z_]+:[a-z_]+", recording.name)


def test_only_metrics_that_exist_are_asked_for() -> None:
    known = {each.name for each in vars(families).values() if isinstance(each, MetricFamily)}
    recorded = {recording.name for recording in promql.recordings(Policy().alerting)}
    texts = [recording.expr for recording in promql.recordings(Policy().alerting)]
    texts += [promql.transition(Policy(), "closed"), promql.VANTAGES_TEXT, promql.SINCE_TEXT]
    for text in texts:
        for word in re.findall(r"[a-z_]*:?reachwatch_[a-z_]+:?[a-z_]*", text):
            assert word in known | recorded, word


def test_the_window_holds_several_scrapes_at_any_pace() -> None:
    assert promql.window(Policy()) == "900s"
    assert promql.window(Policy(pace=3600)) == "4s"


def ask(folder: Path, series: dict[str, str], at: str, expr: str, value: float | None) -> None:
    samples = [] if value is None else [{"labels": "{}", "value": value}]
    unit(
        folder,
        {
            "input_series": [{"series": name, "values": v} for name, v in series.items()],
            "promql_expr_test": [{"expr": expr, "eval_time": at, "exp_samples": samples}],
        },
        Policy(),
    )


def test_two_servers_over_one_store_count_once(tmp_path: Path) -> None:
    one = vantages("RU", "vantage", "online", "3x50") | vantages("DE", "control", "online", "1x50")
    one |= vantages("RU", "vantage", "silent", "1x50")
    both = one | {name.replace("}", ',instance="b"}'): values for name, values in one.items()}
    ask(tmp_path, up() | both, "5m", f"sum({promql.ONLINE_BY_COUNTRY})", 3)
    ask(tmp_path, up() | both, "5m", f"sum({promql.ONLINE_RATIO})", 0.75)
    ask(tmp_path, up() | both, "5m", f"sum({promql.ONLINE})", 4)


def test_an_event_is_held_while_no_monitor_answers_and_no_longer(tmp_path: Path) -> None:
    alive = minutes(1, 0, 10) + " _x40 1x100"
    series = event("likely", 0, 10) | dict.fromkeys(up(), alive)
    keep_while_down = f"count({promql.CONFIDENCE})"
    ask(tmp_path, series, "9m", keep_while_down, 1)
    ask(tmp_path, series, "29m", keep_while_down, 1)
    ask(tmp_path, series, "31m", keep_while_down, None)
    ask(tmp_path, series, "29m", f'sum({promql.VOTES}{{kind="total"}})', 4)
