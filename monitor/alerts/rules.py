"""The Prometheus rules: who is woken, by what, and what the message says.

They key on the event's `tier`, which the detector decides; Prometheus adds no judgement of its
own. A page about blocking comes from a confirmed event only. "Unblocked" is said by a positive
transition (`closed`), never by a series that ended, because a series also ends when the
monitor dies. All durations come from the Policy, divided by its pace.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from monitor.detection.policy import Policy
from monitor.metrics import names


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One alert rule."""

    name: str
    expr: str
    severity: str
    """`page` wakes somebody, `ticket` waits for the morning, `info` is only kept."""
    summary: str
    kind: str = "system"
    """`block` for what is about a service's reachability."""
    seconds: int = 0
    """How long the expression must hold (`for`)."""
    keep_seconds: int = 0
    """How long it goes on firing over gaps (`keep_firing_for`)."""
    link: str = ""
    """Path on the site where the evidence is."""


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """One recording rule."""

    name: str
    expr: str


_CONFIDENCE = names.EVENT_CONFIDENCE.name
_BY = "service, country, asn, technique, tier, event_id"


def recordings(policy: Policy) -> Sequence[Recording]:
    """Series that several alerts and dashboards share."""
    return (
        Recording(
            name="country:reachwatch_vantages:online_ratio",
            expr=f'sum by (country) ({names.VANTAGES.name}{{role="vantage", status="online"}}) '
            f'/ sum by (country) ({names.VANTAGES.name}{{role="vantage"}})',
        ),
        Recording(
            name="service_country:reachwatch_block_event_networks:count",
            expr=f"count by (service, country) (count by (service, country, asn) "
            f'({_CONFIDENCE}{{tier=~"likely|confirmed"}}))',
        ),
    )


def alerts(policy: Policy) -> Sequence[Alert]:
    """Every alert, those that wake people first."""
    silent = policy.silent_seconds
    return (
        Alert(
            name="ServiceBlockConfirmed",
            kind="block",
            expr=f'max by ({_BY}) ({_CONFIDENCE}{{tier="confirmed"}}) > 0',
            severity="page",
            keep_seconds=silent,
            summary="{{ $labels.service }} is blocked in {{ $labels.country }} "
            "(AS{{ $labels.asn }}): {{ $labels.technique }}",
            link="/e/{{ $labels.event_id }}",
        ),
        Alert(
            name="ServiceBlockLikely",
            kind="block",
            expr=f'max by ({_BY}) ({_CONFIDENCE}{{tier="likely"}}) > 0',
            severity="ticket",
            seconds=600,
            summary="{{ $labels.service }} is likely blocked in {{ $labels.country }} "
            "(AS{{ $labels.asn }}): {{ $labels.technique }}",
            link="/e/{{ $labels.event_id }}",
        ),
        Alert(
            name="ServiceUnblocked",
            kind="closing",
            expr=f'increase({names.EVENTS.name}{{transition="closed"}}'
            f"[{span(policy, silent)}]) > 0",
            severity="info",
            summary="{{ $labels.service }} is reachable again in {{ $labels.country }}",
            link="/s/{{ $labels.service }}",
        ),
        Alert(
            name="BlockRetracted",
            kind="closing",
            expr=f'increase({names.EVENTS.name}{{transition="retracted"}}'
            f"[{span(policy, silent)}]) > 0",
            severity="info",
            summary="A block of {{ $labels.service }} in {{ $labels.country }} was called "
            "by mistake and is withdrawn",
            link="/s/{{ $labels.service }}",
        ),
        Alert(
            name="CountryDark",
            expr=f"country:reachwatch_vantages:online_ratio <= {1 - policy.dark_per_mille / 1000:g}"
            f' and sum by (country) ({names.VANTAGES.name}{{role="vantage"}}) '
            f">= {policy.country_min_vantages}",
            severity="page",
            seconds=600,
            summary="Nearly all vantages in {{ $labels.country }} are silent: an outage, or the "
            "way to the broker is blocked",
            link="/",
        ),
        Alert(
            name="ControlSilent",
            expr=f'sum({names.VANTAGES.name}{{role="control", status="online"}}) == 0 '
            f'or absent({names.VANTAGES.name}{{role="control", status="online"}})',
            severity="ticket",
            seconds=900,
            summary="No control is online: nothing can be called blocked",
            link="/",
        ),
        Alert(
            name="CollectorIngestStalled",
            expr=f"rate({names.INGESTED.name}[{span(policy, 300)}]) == 0 "
            f"and on() sum({names.VANTAGES.name}) > 0",
            severity="page",
            seconds=300,
            summary="Measurements have stopped arriving",
            link="/",
        ),
        Alert(
            name="DeadMansSwitch",
            expr="vector(1)",
            severity="none",
            summary="Always firing: its silence means that alerting itself is broken",
        ),
    )


def span(policy: Policy, seconds: int) -> str:
    """A duration as Prometheus writes it, at the policy's pace, at least one second."""
    milliseconds = max(1000, policy.ms(seconds))
    return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"


def document(policy: Policy, public_url: str) -> Mapping[str, Any]:
    """The rules as Prometheus' file format, in Python values."""
    base = public_url.rstrip("/")
    written: list[dict[str, Any]] = []
    for alert in alerts(policy):
        rule: dict[str, Any] = {"alert": alert.name, "expr": alert.expr}
        if alert.seconds:
            rule["for"] = span(policy, alert.seconds)
        if alert.keep_seconds:
            rule["keep_firing_for"] = span(policy, alert.keep_seconds)
        rule["labels"] = {"severity": alert.severity, "kind": alert.kind}
        rule["annotations"] = {
            "summary": alert.summary,
            **({"evidence_url": base + alert.link} if alert.link else {}),
            "runbook": f"deploy/runbooks/{alert.name}.md",
        }
        written.append(rule)
    return {
        "groups": [
            {
                "name": "reachwatch-recording",
                "rules": [{"record": r.name, "expr": r.expr} for r in recordings(policy)],
            },
            {"name": "reachwatch", "rules": written},
        ]
    }


def as_yaml(value: Any, indent: int = 0) -> str:
    """Values as YAML. Every string is written as JSON does, which YAML reads alike, so no text
    can break out of its place."""
    pad = "  " * indent
    if isinstance(value, Mapping):
        return "".join(_entry(f"{pad}{key}:", inner, indent) for key, inner in value.items())
    if isinstance(value, list):
        lines = []
        for inner in value:
            if isinstance(inner, Mapping | list):
                block = as_yaml(inner, indent + 1)
                lines.append(f"{pad}- {block[len(pad) + 2 :]}")
            else:
                lines.append(f"{pad}- {json.dumps(inner, ensure_ascii=False)}\n")
        return "".join(lines)
    return f"{pad}{json.dumps(value, ensure_ascii=False)}\n"


def _entry(head: str, inner: Any, indent: int) -> str:
    if isinstance(inner, Mapping | list) and inner:
        return f"{head}\n{as_yaml(inner, indent + 1)}"
    return f"{head} {json.dumps(inner, ensure_ascii=False)}\n"


def render(policy: Policy, public_url: str) -> str:
    """The rules file, ready for `rule_files` of Prometheus."""
    head = (
        "# Generated by `reachwatch rules`; change monitor/alerts/rules.py instead.\n"
        f"# Policy {policy.name}, pace {policy.pace}.\n"
    )
    return head + as_yaml(document(policy, public_url))
