"""Prometheus' own tool over the generated rules: series in, firing alerts out."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monitor.alerts.rules_file import document
from monitor.detection.policy import Policy

STEP = 30
"""Seconds between two samples, as in prometheus.yml at pace 1."""
EVALUATED = 60
"""Seconds between two evaluations: what promtool takes is in proportion to their number."""
ENVIRONMENT = {**os.environ, "GOGC": "off", "GOMAXPROCS": "1"}
"""A short run needs no garbage collector, which takes a third of the processor's time."""
Series = Mapping[str, str]
Labels = Mapping[str, str]


def minutes(value: float, begin: float, end: float | None = None) -> str:
    """Sample values: nothing until minute `begin`, `value` until `end`, then a stale marker as
    after a scrape that no longer shows the series. Without an end it goes on for ever."""
    before = int(begin * 60 / STEP)
    last = 700 if end is None else int((end - begin) * 60 / STEP) - 1
    lead = f"_x{before} " if before else ""
    return f"{lead}{value:g}x{last}" + ("" if end is None else " stale")


def steps(*changes: tuple[float, float]) -> str:
    """Sample values that never pause: (minute, value from then on)."""
    parts = []
    for (begin, value), (end, _) in zip(changes, [*changes[1:], (350.0, 0.0)], strict=True):
        parts.append(f"{value:g}x{int((end - begin) * 60 / STEP) - 1}")
    return " ".join(parts)


def event(
    tier: str,
    begin: float,
    end: float | None = None,
    *,
    id: str = "00000000000000aa",
    service: str = "wechat",
    country: str = "RU",
    asns: Sequence[int] = (64501,),
    technique: str = "tls.reset.sni",
) -> dict[str, str]:
    """The series of an open event."""
    common = f'service="{service}",country="{country}",technique="{technique}",tier="{tier}"'
    made = {
        f'reachwatch_block_event_confidence{{{common},asn="{asn}",event_id="{id}"}}': minutes(
            1, begin, end
        )
        for asn in asns
    }
    made[f'reachwatch_block_event_onset_timestamp_seconds{{event_id="{id}"}}'] = minutes(
        1_790_000_000, begin, end
    )
    for kind, n in (("agreeing", 3), ("total", 4)):
        made[f'reachwatch_block_event_vantages{{event_id="{id}",kind="{kind}"}}'] = minutes(
            n, begin, end
        )
    return made


def ended(
    transition: str,
    begin: float,
    end: float | None = None,
    *,
    id: str = "00000000000000aa",
    tier: str = "confirmed",
) -> dict[str, str]:
    """The series of an event whose end was published."""
    labels = f'service="wechat",country="RU",event_id="{id}",transition="{transition}"'
    name = f'reachwatch_block_event_ended_timestamp_seconds{{{labels},tier="{tier}"}}'
    return {name: minutes(1_790_003_600, begin, end)}


def counter(transition: str, *changes: tuple[float, float]) -> dict[str, str]:
    labels = f'service="wechat",country="RU",transition="{transition}"'
    return {f"reachwatch_block_events_total{{{labels}}}": steps(*changes)}


def up(begin: float = 0, end: float | None = None) -> dict[str, str]:
    """A monitor that answers."""
    return {'reachwatch_build_info{version="1",python="3"}': minutes(1, begin, end)}


def vantages(country: str, role: str, status: str, values: str) -> dict[str, str]:
    labels = f'country="{country}",role="{role}",status="{status}"'
    return {f"reachwatch_vantages{{{labels}}}": values}


def unit(
    folder: Path, case: Mapping[str, Any], policy: Policy, url: str = "https://reach.example"
) -> None:
    """Run one case of promtool's over the rules that it names and what they read: to evaluate all
    of them takes twice the time. Fail with promtool's words."""
    (group,) = document(policy, url)["groups"]
    text, rules = json.dumps(case), []
    for rule in reversed(group["rules"]):  # each reads only what was recorded before it
        if rule.get("alert", rule.get("record")) in text:
            rules.insert(0, rule)
            text += json.dumps(rule)
    (folder / "rules.yml").write_text(json.dumps({"groups": [{**group, "rules": rules}]}))
    (folder / "unit.yml").write_text(
        json.dumps(
            {
                "rule_files": ["rules.yml"],
                "evaluation_interval": f"{EVALUATED}s",
                "tests": [{"interval": f"{STEP}s", **case}],
            }
        )
    )
    run = subprocess.run(
        ["promtool", "test", "rules", str(folder / "unit.yml")],
        capture_output=True,
        text=True,
        check=False,
        env=ENVIRONMENT,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def firing(
    folder: Path,
    series: Series,
    expected: Mapping[float, Mapping[str, Sequence[Labels]]],
    policy: Policy = Policy(),  # noqa: B008 - frozen
) -> None:
    """Assert which alerts fire: minute -> name -> labels other than severity and kind."""
    tests = [
        {
            "eval_time": f"{int(at * 60)}s",
            "expr": "sum without (severity, kind, alertstate) "
            f'(ALERTS{{alertstate="firing", alertname="{name}"}})',
            "exp_samples": [
                {"labels": _written({"alertname": name, **labels}), "value": 1} for labels in rows
            ],
        }
        for at, alerts in expected.items()
        for name, rows in alerts.items()
    ]
    inputs = [{"series": name, "values": values} for name, values in series.items()]
    unit(folder, {"input_series": inputs, "promql_expr_test": tests}, policy)


def _written(labels: Labels) -> str:
    return "{" + ", ".join(f'{name}="{value}"' for name, value in labels.items()) + "}"
