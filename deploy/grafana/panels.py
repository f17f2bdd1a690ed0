# SPDX-License-Identifier: Apache-2.0
"""The panels of Grafana's six dashboards, as tables. `make.py` writes the JSON around them.

Every web server exposes the same figures, so queries use `max` over instances, never `sum`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

OURS = 'job=~"$job", instance=~"$instance"'
PLACE = f'{OURS}, service=~"$service", country=~"$country"'


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
    link: str = ""
    """Path on the site that a value leads to; `${...}` as Grafana fills it in."""
    states: bool = False
    """The value is how sure an event is: shown as words and colours."""


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
        "What is blocked now, in which network, and how. A row leads to the event's page, which "
        "has the evidence.",
        {
            "": "max by (service, country, asn, technique, tier, event_id) "
            f"(reachwatch_block_event_confidence{{{PLACE}}})"
        },
        kind="table",
        width=24,
        hidden=("Time", "Value"),
        link="/e/${__data.fields.event_id}",
    ),
    Panel(
        "Where",
        "The surest open event in each country.",
        {"": f"max by (country) (reachwatch_block_event_confidence{{{PLACE}}})"},
        kind="geomap",
        height=10,
        link="/c/${__data.fields.country}",
        states=True,
    ),
    Panel(
        "Services by country",
        "How sure the surest open event of a service in a country was.",
        {
            "{{service}} {{country}}": "max by (service, country) "
            f"(reachwatch_block_event_confidence{{{PLACE}}})"
        },
        kind="state-timeline",
        height=10,
        states=True,
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

EVENT_PAGE = "/e/${__data.fields.event_id}"
SURE = "max by ({labels}) (reachwatch_block_event_confidence{{" + PLACE + "}})"
SERVICE = (
    Panel(
        "How sure, by country",
        "The surest open event of the service in each country. A gap means that none was open, "
        "not that the service was measured.",
        {"{{country}}": SURE.format(labels="country")},
        kind="state-timeline",
        width=24,
        link="/s/${service}",
        states=True,
    ),
    Panel(
        "Open events",
        "Where the service is blocked now, and how. A row leads to the event's page.",
        {"": SURE.format(labels="country, asn, technique, tier, event_id")},
        kind="table",
        width=24,
        hidden=("Time", "Value"),
        link=EVENT_PAGE,
    ),
    Panel(
        "Techniques over time",
        "Open events by how the service is blocked.",
        {"{{technique}}": f"count by (technique) ({SURE.format(labels='technique, event_id')})"},
    ),
    Panel(
        "Functions by state",
        "Functions in networks by state. Down: it fails from the control as well.",
        {
            "{{state}}": "sum by (state) (max by (service, state) "
            f'(reachwatch_service_targets{{{OURS}, service=~"$service"}}))'
        },
    ),
    Panel(
        "Networks that do not reach it",
        "Networks with a function in a state other than ok, by country.",
        {
            "{{country}}": "count by (country) (max by (country, asn) "
            f"(reachwatch_target_state{{{PLACE}}}))"
        },
    ),
    Panel(
        "Opened, closed, retracted",
        "Published transitions of its events over the time shown.",
        {
            "{{country}} {{transition}}": "max by (country, transition) "
            f"(increase(reachwatch_block_events_total{{{PLACE}}}[$__rate_interval]))"
        },
    ),
)

COUNTRY = (
    Panel(
        "How sure, by service",
        "The surest open event of each service in the country.",
        {"{{service}}": SURE.format(labels="service")},
        kind="state-timeline",
        width=24,
        link="/c/${country}",
        states=True,
    ),
    Panel(
        "Networks and services",
        "Functions in a state other than ok, by network.",
        {"": f"max by (asn, service, target, state) (reachwatch_target_state{{{PLACE}}})"},
        kind="table",
        hidden=("Time", "Value"),
        link="/as/${__data.fields.asn}",
    ),
    Panel(
        "Blocked services by network",
        "Services with an open event, by network.",
        {"AS{{asn}}": f"count by (asn) ({SURE.format(labels='asn, service')})"},
    ),
    Panel(
        "Vantages in the country",
        "Volunteers' probes by status. Fewer than two owners confirm nothing.",
        {
            "{{status}}": "sum by (status) (max by (country, status) "
            f'(reachwatch_vantages{{{OURS}, role="vantage", country=~"$country"}}))'
        },
    ),
    Panel(
        "Owners",
        "Owners of vantages in the country.",
        {
            "{{country}}": "max by (country) "
            f'(reachwatch_vantage_owners{{{OURS}, country=~"$country"}})'
        },
    ),
)

VANTAGES = (
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
        "Controls by status",
        "Without a control online nothing can be called blocked.",
        {
            "{{country}} {{status}}": "max by (country, status) "
            f'(reachwatch_vantages{{{OURS}, role="control", country=~"$country"}})'
        },
        link="/v",
    ),
    Panel(
        "Owners by country",
        "A confirmation needs vantages of two owners.",
        {
            "{{country}}": "max by (country) "
            f'(reachwatch_vantage_owners{{{OURS}, country=~"$country"}})'
        },
    ),
    Panel(
        "Not sure of themselves",
        "Share of vantages that are offline for their own reasons or have a wrong clock.",
        {
            "{{country}}": "sum by (country) (max by (country, status) "
            f'(reachwatch_vantages{{{OURS}, role="vantage", status="degraded", '
            'country=~"$country"})) / sum by (country) (max by (country, status) '
            f'(reachwatch_vantages{{{OURS}, role="vantage", country=~"$country"}}))'
        },
        unit="percentunit",
    ),
)

ALERTS = (
    Panel(
        "Opened",
        "Events that were opened in the time shown.",
        {
            "opened": "sum(max by (service, country) (increase(reachwatch_block_events_total"
            f'{{{PLACE}, transition="opened"}}[$__range])))'
        },
        kind="stat",
        width=6,
        height=4,
    ),
    Panel(
        "Confirmed",
        "Events that were confirmed in the time shown.",
        {
            "confirmed": "sum(max by (service, country) (increase(reachwatch_block_events_total"
            f'{{{PLACE}, transition="confirmed"}}[$__range])))'
        },
        kind="stat",
        width=6,
        height=4,
    ),
    Panel(
        "Closed",
        "Events that ended in the time shown.",
        {
            "closed": "sum(max by (service, country) (increase(reachwatch_block_events_total"
            f'{{{PLACE}, transition="closed"}}[$__range])))'
        },
        kind="stat",
        width=6,
        height=4,
    ),
    Panel(
        "Retracted",
        "Events that were wrong, in the time shown. Operators retract them on the event's page.",
        {
            "retracted": "sum(max by (service, country) (increase(reachwatch_block_events_total"
            f'{{{PLACE}, transition="retracted"}}[$__range])))'
        },
        kind="stat",
        width=6,
        height=4,
    ),
    Panel(
        "Share retracted",
        "Of the events that ended in the time shown, the share that was retracted: what the "
        "alerts said wrongly.",
        {
            "retracted": "sum(max by (service, country) (increase(reachwatch_block_events_total"
            f'{{{PLACE}, transition="retracted"}}[$__range]))) / sum(max by (service, country, '
            "transition) (increase(reachwatch_block_events_total"
            f'{{{PLACE}, transition=~"closed|retracted"}}[$__range])))'
        },
        unit="percentunit",
    ),
    Panel(
        "Recently ended",
        "Events whose end was published lately, and when they ended.",
        {
            "": "max by (service, country, event_id, transition, tier) "
            f"(reachwatch_block_event_ended_timestamp_seconds{{{PLACE}}}) * 1000"
        },
        kind="table",
        unit="dateTimeAsIso",
        hidden=("Time",),
        link=EVENT_PAGE,
    ),
    Panel(
        "Events that were sure enough to page",
        "Open confirmed events; from a confidence of 0.9 on they wake somebody.",
        {
            "{{service}} {{country}}": "max by (service, country) "
            f'(reachwatch_block_event_confidence{{{PLACE}, tier="confirmed"}})'
        },
        unit="percentunit",
    ),
    Panel(
        "Opened, confirmed, closed, retracted, by service",
        "Published transitions.",
        {
            "{{service}} {{transition}}": "sum by (service, transition) (max by (service, country, "
            f"transition) (increase(reachwatch_block_events_total{{{PLACE}}}[$__rate_interval])))"
        },
    ),
)

PIPELINE = (
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
        "Detector's backlog",
        "Stored measurements that are not judged yet.",
        {"measurements": f"max(reachwatch_detector_backlog_measurements{{{OURS}}}) or vector(0)"},
    ),
    Panel(
        "Retests asked for",
        "Targets that the detector asked vantages to measure again.",
        {
            "asked": "max(rate(reachwatch_retests_asked_total"
            f"{{{OURS}}}[$__rate_interval])) or vector(0)"
        },
        unit="ops",
    ),
    Panel(
        "Webhooks that wait",
        "How long the receivers at a host have not accepted a change.",
        {"{{host}}": f"max by (host) (reachwatch_webhook_waiting_seconds{{{OURS}}})"},
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
