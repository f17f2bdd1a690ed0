# SPDX-License-Identifier: Apache-2.0
"""Write Grafana's six dashboards: what is blocked, a service, a country, the vantages, the
pipeline, and the alerts.

    python3 deploy/grafana/make.py

`panels.py` defines the panels; the JSON around them is generated. Details and evidence are on the
web pages, which the dashboards link to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from panels import ALERTS, COUNTRY, OURS, OVERVIEW, PIPELINE, PLACE, SERVICE, VANTAGES, Panel

FOLDER = Path(__file__).parent / "dashboards"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24
OVER_TIME = ("timeseries", "state-timeline")
MAPPINGS = [
    {
        "type": "range",
        "options": {"from": low, "to": high, "result": {"text": text, "color": colour}},
    }
    for low, high, text, colour in (
        (0, 0.2, "seen from one vantage only", "#e2a400"),
        (0.2, 0.9, "likely or confirmed", "#e8743b"),
        (0.9, 1, "confirmed, paged", "#b3001b"),
    )
]
"""How sure an event is, in words."""
GEOMAP = {
    "view": {"id": "zero", "lat": 20, "lon": 20, "zoom": 1},
    "layers": [
        {
            "type": "markers",
            "name": "Events",
            "config": {"style": {"color": {"field": "Value"}, "size": {"fixed": 8}}},
            "location": {
                "mode": "lookup",
                "lookup": "country",
                "gazetteer": "public/gazetteer/countries.json",
            },
        }
    ],
}


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
            },
            {"type": "link", "title": "Pages", "url": "${site}", "targetBlank": True},
        ],
        "templating": {"list": [_source(), _site(), *(_filter(label) for label in labels)]},
        "annotations": {"list": _annotations({"service", "country"} <= set(labels))},
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
            "instant": panel.kind not in OVER_TIME,
            "range": panel.kind in OVER_TIME,
            **({"format": "table"} if table or panel.kind == "geomap" else {}),
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
            "defaults": {
                "unit": "string" if table and panel.unit == "short" else panel.unit,
                "min": 0,
                **({"mappings": MAPPINGS, "color": {"mode": "thresholds"}} if panel.states else {}),
                **({"links": [_link(panel.link)]} if panel.link else {}),
            },
            "overrides": [],
        },
        "targets": targets,
        **({"options": GEOMAP} if panel.kind == "geomap" else {}),
        **({"transformations": [{"id": "organize", "options": columns}]} if table else {}),
    }


def _link(path: str) -> Mapping[str, Any]:
    return {"title": "Page", "url": "${site}" + path, "targetBlank": True}


def _site() -> Mapping[str, Any]:
    """Where the pages are; the operator sets it once and saves the dashboard's address."""
    return {
        "name": "site",
        "label": "Pages",
        "type": "textbox",
        "query": "http://127.0.0.1:8080",
        "current": {"text": "http://127.0.0.1:8080", "value": "http://127.0.0.1:8080"},
    }


def _annotations(by_place: bool) -> Sequence[Mapping[str, Any]]:
    """Onsets and ends of events, at their own times, with the address of their page."""
    of = PLACE if by_place else OURS
    onset = (
        "1000 * max by (event_id) (reachwatch_block_event_onset_timestamp_seconds"
        f"{{{OURS}}}) * on (event_id) group_left (service, country, tier) "
        "(0 * max by (event_id, service, country, tier) "
        f"(reachwatch_block_event_confidence{{{of}}}) + 1)"
    )
    ended = (
        "1000 * max by (event_id, service, country, transition) "
        f"(reachwatch_block_event_ended_timestamp_seconds{{{of}}})"
    )
    return [
        {
            "name": name,
            "datasource": SOURCE,
            "enable": True,
            "iconColor": colour,
            "expr": expr,
            "useValueForTime": True,
            "titleFormat": title,
            "textFormat": "${site}/e/{{event_id}}",
            "step": "60s",
        }
        for name, colour, expr, title in (
            ("Onsets", "#b3001b", onset, "{{service}} {{country}}: {{tier}}"),
            ("Ends", "#2f5f7d", ended, "{{service}} {{country}}: {{transition}}"),
        )
    ]


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
        "service.json": dashboard(
            "reachwatch-service", "Reachwatch: a service", SERVICE, (*own, "service", "country")
        ),
        "country.json": dashboard(
            "reachwatch-country", "Reachwatch: a country", COUNTRY, (*own, "country", "service")
        ),
        "vantages.json": dashboard(
            "reachwatch-vantages", "Reachwatch: vantages", VANTAGES, (*own, "country")
        ),
        "pipeline.json": dashboard("reachwatch-pipeline", "Reachwatch: pipeline", PIPELINE, own),
        "alerts.json": dashboard(
            "reachwatch-alerts", "Reachwatch: alert review", ALERTS, (*own, "service", "country")
        ),
    }


if __name__ == "__main__":
    for name, text in files().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
