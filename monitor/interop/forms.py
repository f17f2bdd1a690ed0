# SPDX-License-Identifier: Apache-2.0
"""API objects as dictionaries for JSON, and as CSV.

The names are public. Times are RFC 3339, UTC.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from monitor.detection.events import confidence, contrasts, gates
from monitor.detection.events.present import PresentState
from monitor.detection.model import (
    Answer,
    Change,
    ChangeKind,
    Difference,
    Event,
    Votes,
    published_source,
)
from monitor.detection.network_condition import NetworkCondition
from monitor.interop.csv_text import csv_text
from monitor.interop.dictionary import API
from monitor.store.notes import Note, notes_of
from monitor.store.reading.measurements import JudgedMeasurement
from monitor.store.reading.timeline import TimelineCell
from monitor.store.reading.vantages import VantageRow
from probes.wire.measurement import Role, function_of

LICENCE, LICENCE_URL = "CC-BY-4.0", "https://creativecommons.org/licenses/by/4.0/"
"""Of all exported data."""


@functools.lru_cache(maxsize=4096)
def rfc3339(milliseconds: int | None) -> str | None:
    """`2026-05-04T08:10:00Z`, with milliseconds only when there are some. A list has the same hours
    and rounds again and again."""
    if milliseconds is None:
        return None
    when = dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)
    precision = "milliseconds" if milliseconds % 1000 else "seconds"
    return when.isoformat(timespec=precision).replace("+00:00", "Z")


def event_form(event: Event) -> dict[str, Any]:
    """One element of `GET /api/v1/events`."""
    sure = confidence.probability(event)
    return {
        "id": event.id,
        "service": event.service,
        "targets": list(event.targets),
        "country": event.country,
        "asns": list(event.asns),
        "technique": event.technique,
        "extent": event.extent,
        "state": event.state,
        "tier": event.tier,
        "onset": rfc3339(event.onset),
        "onset_earliest": rfc3339(event.onset_earliest),
        "onset_latest": rfc3339(event.onset_latest),
        "opened": rfc3339(event.opened),
        "confirmed": rfc3339(event.confirmed),
        "closed": rfc3339(event.closed),
        "ended_earliest": rfc3339(event.ended_earliest),
        "ended_latest": rfc3339(event.ended_latest),
        "confidence": None if sure is None else sure / 1000,
        "vantages": {"agreeing": event.agreeing, "total": event.total},
        "scope": {
            "functions": [function_of(target) for target in event.targets],
            "networks": {"blocked": len(event.asns), "watched": event.networks_measured},
            "vantages": {"peak": _votes(event.peak), "now": _votes(event.now)},
        },
        "control": event.control,
        "rule_counts": dict(event.rule_counts),
        "witnesses": list(event.witnesses),
        "path_proof": [answer_form(answer) for answer in contrasts.path_proof(event)],
        "inhibited_by": event.inhibited_by,
        "source": event.source,
        "sources": dict(event.sources),
        "same_block": [other.event for other in event.beside],
        "policy": {"name": event.policy_name, "pace": event.pace},
        "rules_version": event.rules_version,
        "catalogue_version": event.catalogue_version,
        "history": [
            {"round": rfc3339(change.round), "kind": change.kind, "note": change_note(change)}
            for change in event.history
        ],
        "notes": [note_form(note) for note in notes_of(event)],
    }


def answer_form(answer: Answer) -> dict[str, Any]:
    """Where an address that failed inside answered."""
    return {
        "address": answer.address,
        "country": answer.country,
        "asn": answer.asn,
        "role": Role.CONTROL if answer.control else Role.VANTAGE,
        "at": rfc3339(answer.at),
    }


def change_note(change: Change) -> str:
    """What a change consists of, in one line; empty when its kind says all."""
    match change.kind:
        case ChangeKind.OPENED:
            return change.technique
        case ChangeKind.LIKELY:
            return "network_divided" if change.divided else ""
        case ChangeKind.CHANGED if change.difference is not None:
            return ", ".join(_differences(change.difference))
        case ChangeKind.CLOSED:
            return "vantages that saw it reach the service"
        case _:
            return change.cause


def _differences(difference: Difference) -> Iterator[str]:
    if difference.technique is not None:
        before, now = difference.technique
        yield f"{before or 'unknown'} -> {now}"
    if difference.extent is not None:
        before, now = difference.extent
        yield f"{before} -> {now}"
    yield from (f"+{target}" for target in difference.targets_added)
    yield from (f"-{target}" for target in difference.targets_removed)
    yield from (f"+AS{asn}" for asn in difference.asns_added)
    yield from (f"-AS{asn}" for asn in difference.asns_removed)


def note_form(note: Note) -> dict[str, Any]:
    """What an operator said of an event."""
    return {
        "at": rfc3339(note.at),
        "kind": note.kind,
        "text": note.text,
        "link": note.link or None,
    }


def _votes(votes: Votes) -> str:
    return f"{votes.agreeing}/{votes.total}"


def judged_form(judged: JudgedMeasurement) -> dict[str, Any]:
    """One element of `GET /api/v1/measurements`."""
    reason = gates.not_counted(judged.verdict)
    return {
        "id": judged.id,
        "target": judged.target,
        "country": judged.country,
        "asn": judged.asn,
        "vantage": judged.probe,
        "round": rfc3339(judged.round),
        "started": rfc3339(judged.started),
        **judged.verdict.form(),
        "counted": not reason,
        "reason": reason or None,
        "source": published_source(judged.source),
    }


def present_form(present: PresentState) -> dict[str, Any]:
    """The present state of a target in a network."""
    return {
        "target": present.target,
        "country": present.country,
        "asn": present.asn,
        "state": present.state,
        "technique": present.technique,
        "rule": present.rule,
        "vantages": {"agreeing": present.agreeing, "total": present.vantages},
        "round": rfc3339(present.round),
    }


def bucket_form(bucket: TimelineCell) -> dict[str, Any]:
    """One element of `GET /api/v1/timeline`."""
    return {
        "hour": rfc3339(bucket.hour),
        "target": bucket.target,
        "country": bucket.country,
        "asn": bucket.asn,
        "state": bucket.state,
        "layer": bucket.layer,
        "technique": bucket.technique,
        "measurements": bucket.n,
        "vantages": bucket.vantages,
        "hours": bucket.hours,
    }


def vantage_form(row: VantageRow, status: str, watched: Iterable[str] = ()) -> dict[str, Any]:
    """One element of `GET /api/v1/vantages`; `watched`: targets that it is on watch for."""
    return {
        "id": row.id,
        "owner": row.owner,
        "role": row.role,
        "country": row.country,
        "asn": row.asn,
        "enrolled": rfc3339(row.enrolled),
        "last_seen": rfc3339(row.last_seen),
        "status": status,
        "watch": sorted(set(watched)),
    }


def condition_form(here: NetworkCondition) -> dict[str, Any]:
    """What one element of `GET /api/v1/networks` says of the network's condition."""
    return {
        "condition": here.condition.value,
        "onset": rfc3339(here.onset),
        "tier": here.tier.value,
        "delivered_afterwards": here.delivered_afterwards,
        "witnesses": {told.value: n for told, n in here.witnesses.items()},
    }


COLUMNS: Mapping[str, Sequence[str]] = {table.id: tuple(table.columns) for table in API}
"""CSV columns of each list."""


def as_csv(name: str, rows: Sequence[Mapping[str, Any]], *, heading: bool = True) -> str:
    """Rows of a list as CSV; nested values become `a.b` columns, lists are joined by spaces. A
    service has a row for each of its present states, and at least one."""
    if name == "services":
        rows = [{**row, "states": state} for row in rows for state in row["states"] or [{}]]
    flat = (dict(_flattened(row)) for row in rows)
    columns = COLUMNS[name]
    cells = [[row.get(column) for column in columns] for row in flat]
    return csv_text([columns, *cells] if heading else cells)


def _flattened(row: Mapping[str, Any], prefix: str = "") -> Sequence[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for name, value in row.items():
        if name in ("rule_counts", "sources"):
            counts = " ".join(f"{counted}={n}" for counted, n in value.items())
            found.append((prefix + name, counts))
        elif isinstance(value, Mapping):
            found.extend(_flattened(value, f"{prefix}{name}."))
        elif isinstance(value, list):
            mixed = any(isinstance(each, Mapping) for each in value)
            words = [
                " ".join(str(part) for part in each.values()) if isinstance(each, Mapping) else each
                for each in value
            ]
            found.append((prefix + name, ("; " if mixed else " ").join(map(str, words))))
        else:
            found.append((prefix + name, value))
    return found
