# SPDX-License-Identifier: Apache-2.0
"""Write Grafana's dashboards: what is blocked, and whether the pipeline works.

    python3 deploy/grafana/make.py

The tables below define the panels; the JSON around them is generated. Every web server exposes the
same figures, so queries use `max` over instances, never `sum`. Details and evidence are on the web
pages, which the dashboards link to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "dashboards"
OURS = 'job=~"$job", instance=~"$instance"'
PLACE = f'{OURS}, service=~"$service", country=~"$country"'
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24


@dataclass(frozen=True)
class Panel:
    """One panel. Several queries share one graph, each with its legend."""

    title: str
    description: str
    queries: Mapping[str, str]
    """Legend to PromQL."""
    kind: str = "timeseries"
    unit: str = "short"
    width: int = 12
    height: int = 8
    hidden: Sequence[str] = ()
    """Columns of a table that are not shown."""


OVERVIEW = (
    Panel(
        "Confirmed blocks",
        "Open events of the tier confirmed: vantages of two owners agree and the control reaches "
        "the service. From a confidence of 90 % on they wake somebody.",
        {
            "confirmed": "count(max by (event_id) (reachwatch_block_event_confidence"
            f'{{{PLACE}, tier="confirmed"}})) or vector(0)'
        },
        kind="stat",
        width=6,
        height=4,
    ),
    Panel(
        "Likely blocks",
        "Open events with a quorum of vantages that still lack a second owner or enough time.",
        {
            "likely": "count(max by (event_id) (reachwatch_block_event_confidence"
            f'{{{PLACE}, tier="likely"}})) or vector(0)'
        },
        kind="stat",
        width=6,
        height=4,
    ),
    Panel(
        "Vantages online",
        "Volunteers' probes that reported recently.",
        {
            "vantages": "sum(max by (country) (reachwatch_vantages"
            f'{{{OURS}, role="vantage", status="online"}})) or vector(0)'
        },
        kind="stat",
        width=6,
        height=4,
    ),
    Panel(
        "Controls online",
        "Without a control nothing can be called blocked.",
        {
            "controls": "sum(max by (country) (reachwatch_vantages"
            f'{{{OURS}, role="control", status="online"}})) or vector(0)'
        },
        kind="stat",
        width=6,
        height=4,
    ),
    Panel(
        "Open events",
        "What is blocked now, in which network, and how. The event's page has the evidence: "
        "/e/<event_id>.",
        {
            "": "max by (service, country, asn, technique, tier, event_id) "
            f"(reachwatch_block_event_confidence{{{PLACE}}})"
        },
        kind="table",
        width=24,
        hidden=("Time", "Value"),
    ),
    Panel(
        "Open events over time",
        "Events by tier. An unconfirmed event rests on a single vantage.",
        {
            "{{tier}}": "count by (tier) (max by (event_id, tier) "
            f"(reachwatch_block_event_confidence{{{PLACE}}}))"
        },
    ),
    Panel(
        "Opened, confirmed, closed, retracted",
        "Published transitions of events.",
        {
            "{{transition}}": "sum by (transition) (max by (service, country, transition) "
            f"(increase(reachwatch_block_events_total{{{PLACE}}}[$__rate_interval])))"
        },
    ),
    Panel(
        "Targets by state",
        "Functions of services, per network. Insufficient means not enough data, never ok.",
        {"{{state}}": f"max by (state) (reachwatch_targets{{{OURS}}})"},
    ),
    Panel(
        "Targets that do not work",
        "Targets in a state other than ok and insufficient, by network.",
        {"": f"max by (service, target, country, asn, state) (reachwatch_target_state{{{PLACE}}})"},
        kind="table",
        hidden=("Time", "Value"),
    ),
)

PIPELINE = (
    Panel(
        "Vantages by status",
        "Silent: no report for fifteen minutes. Degraded: reporting, but not measuring well.",
        {
            "{{country}} {{status}}": "max by (country, status) "
            f'(reachwatch_vantages{{{OURS}, role="vantage", country=~"$country"}})'
        },
    ),
    Panel(
        "Share of vantages online",
        "Near zero in one country: an outage there, or a blocked path to the broker.",
        {
            "{{country}}": "sum by (country) (max by (country, status) "
            f'(reachwatch_vantages{{{OURS}, role="vantage", status="online", '
            'country=~"$country"})) / sum by (country) (max by (country, status) '
            f'(reachwatch_vantages{{{OURS}, role="vantage", country=~"$country"}}))'
        },
        unit="percentunit",
    ),
    Panel(
        "Measurements stored",
        "New measurements, and duplicates that were sent again. If both are zero, nothing arrives.",
        {
            "new": "max without (instance) "
            f"(rate(reachwatch_measurements_ingested_total{{{OURS}}}[$__rate_interval]))",
            "again": "max without (instance) "
            f"(rate(reachwatch_measurements_duplicate_total{{{OURS}}}[$__rate_interval]))",
        },
        unit="ops",
    ),
    Panel(
        "Quarantined",
        "Lines and batches that were rejected, by reason. They are kept and acknowledged.",
        {
            "{{reason}}": "max by (reason) "
            f"(rate(reachwatch_measurements_quarantined_total{{{OURS}}}[$__rate_interval]))"
        },
        unit="ops",
    ),
    Panel(
        "From measurement to store",
        "Time from the end of a measurement to its commit. Probes that were offline increase it.",
        {
            f"p{share}": f"histogram_quantile(0.{share}, max by (le) "
            f"(rate(reachwatch_ingest_lag_seconds_bucket{{{OURS}}}[$__rate_interval])))"
            for share in (50, 95)
        },
        unit="s",
    ),
    Panel(
        "From round to conclusion",
        "Time from the end of a round to the commit of its verdicts.",
        {
            f"p{share}": f"histogram_quantile(0.{share}, max by (le) "
            f"(rate(reachwatch_detection_lag_seconds_bucket{{{OURS}}}[$__rate_interval])))"
            for share in (50, 95)
        },
        unit="s",
    ),
    Panel(
        "Age of the newest",
        "Time since the newest measurement arrived, and since the newest judged round ended.",
        {
            "measurement": f"time() - max(reachwatch_last_measurement_timestamp_seconds{{{OURS}}})",
            "judged round": "time() - max("
            f"reachwatch_last_concluded_round_timestamp_seconds{{{OURS}}})",
        },
        unit="s",
    ),
    Panel(
        "What runs",
        "Versions of the scraped servers.",
        {"": f"max by (instance, version, python) (reachwatch_build_info{{{OURS}}})"},
        kind="table",
        hidden=("Time", "Value"),
    ),
)


def dashboard(uid: str, title: str, panels: Sequence[Panel], labels: Sequence[str]) -> str:
    """Return a dashboard as Grafana's JSON; `labels` are offered as filters."""
    document = {
        "uid": uid,
        "title": title,
        "tags": ["reachwatch"],
        "editable": False,
        "graphTooltip": 1,
        "schemaVersion": 39,
        "refresh": "1m",
        "time": {"from": "now-24h", "to": "now"},
        "timezone": "utc",
        "links": [
            {
                "type": "dashboards",
                "tags": ["reachwatch"],
                "title": "Dashboards",
                "asDropdown": False,
            }
        ],
        "templating": {"list": [_source(), *(_filter(label) for label in labels)]},
        "panels": list(_placed(panels)),
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _placed(panels: Sequence[Panel]) -> Sequence[Mapping[str, Any]]:
    written, x, y, tallest = [], 0, 0, 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > WIDTH:
            x, y, tallest = 0, y + tallest, 0
        place = {"x": x, "y": y, "w": panel.width, "h": panel.height}
        written.append({"id": number, "gridPos": place, **_panel(panel)})
        x, tallest = x + panel.width, max(tallest, panel.height)
    return written


def _panel(panel: Panel) -> Mapping[str, Any]:
    table = panel.kind == "table"
    targets = [
        {
            "refId": "ABCDEF"[index],
            "datasource": SOURCE,
            "expr": expr,
            "legendFormat": legend or "__auto",
            "instant": panel.kind != "timeseries",
            "range": panel.kind == "timeseries",
            **({"format": "table"} if table else {}),
        }
        for index, (legend, expr) in enumerate(panel.queries.items())
    ]
    columns = {"excludeByName": dict.fromkeys(panel.hidden, True)}
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": SOURCE,
        "fieldConfig": {
            "defaults": {"unit": "string" if table else panel.unit, "min": 0},
            "overrides": [],
        },
        "targets": targets,
        **({"transformations": [{"id": "organize", "options": columns}]} if table else {}),
    }


def _source() -> Mapping[str, Any]:
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "current": {"text": "Prometheus", "value": "reachwatch-prometheus"},
    }


def _filter(label: str) -> Mapping[str, Any]:
    metric = {"service": "reachwatch_block_events_total", "country": "reachwatch_vantages"}.get(
        label, "reachwatch_build_info"
    )
    return {
        "name": label,
        "label": label.capitalize(),
        "type": "query",
        "datasource": SOURCE,
        "query": f"label_values({metric}, {label})",
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def files() -> Mapping[str, str]:
    """Return every dashboard by its file's name."""
    own = ("job", "instance")
    return {
        "overview.json": dashboard(
            "reachwatch-overview",
            "Reachwatch: what is blocked",
            OVERVIEW,
            (*own, "service", "country"),
        ),
        "pipeline.json": dashboard(
            "reachwatch-pipeline", "Reachwatch: vantages and pipeline", PIPELINE, (*own, "country")
        ),
    }


if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
