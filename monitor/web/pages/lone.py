# SPDX-License-Identifier: Apache-2.0
"""What one machine alone can tell: a part of the overview while one vantage measures and no control
does. It calls nothing blocked; it separates what needs no control from what cannot be told without
one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from monitor.detection.all_rules import rule_named
from monitor.detection.events.present import PresentState, worst
from monitor.detection.model import State
from monitor.detection.policy import EvidencePolicy
from monitor.text import words
from monitor.text.language import _, n_
from probes.wire.measurement import function_of, service_of

MAX_ROWS = 200
_UNTOLD = {
    State.VANTAGE_OFFLINE: "This machine was offline.",
    State.INSUFFICIENT: "Not measured often enough yet.",
}
SIGNATURE = "A signature: ordinary faults do not look like this."
UNCLEAR = "Cannot be told: the service may be down, or the path to it may be broken."


class LoneRow(NamedTuple):
    """A function as this machine sees it."""

    service: str
    name: str
    function: str
    mark: tuple[str, str]
    seen: str
    told: str
    """What the failure says without a control; empty where there is none."""


class Lone(NamedTuple):
    """All of it."""

    sentence: str
    rows: Sequence[LoneRow]
    """Failures with a signature, other failures, the rest."""


def has_signature(row: PresentState, policy: EvidencePolicy) -> bool:
    """Whether the rule that decided has a signature (`monitor.detection.rule`)."""
    rule = rule_named(row.rule)
    return _fails(row) and rule is not None and rule.weight >= policy.signature_micronats


def _fails(row: PresentState) -> bool:
    return row.state is not State.OK and row.state not in _UNTOLD


def lone(
    states: Sequence[PresentState], names: Mapping[str, str], policy: EvidencePolicy
) -> Lone | None:
    """What the present states of a lone vantage tell; None while there are none."""
    if not states:
        return None
    signed = [row for row in states if has_signature(row, policy)]
    unclear = [row for row in states if _fails(row) and row not in signed]
    rest = [row for row in states if not _fails(row)]
    reached = sum(row.state is State.OK for row in rest)
    parts = [
        n_(
            "This machine reaches %(reached)s of %(n)s function.",
            "This machine reaches %(reached)s of %(n)s functions.",
            len(states),
            reached=reached,
        )
    ]
    if signed:
        parts.append(
            n_(
                "%(n)s failure has a signature that ordinary faults do not show.",
                "%(n)s failures have a signature that ordinary faults do not show.",
                len(signed),
            )
        )
    if unclear:
        parts.append(
            n_(
                "The cause of %(n)s failure cannot be told.",
                "The cause of %(n)s failures cannot be told.",
                len(unclear),
            )
        )
    ordered = worst([*signed, *unclear, *rest], MAX_ROWS)
    return Lone(" ".join(parts), [_row(row, names, row in signed) for row in ordered])


def _row(row: PresentState, names: Mapping[str, str], signed: bool) -> LoneRow:
    service, function = service_of(row.target), function_of(row.target)
    cause = f"{words.sentence(words.technique(row.technique))}. " if row.technique else ""
    told = _(_UNTOLD[row.state]) if row.state in _UNTOLD else ""
    if _fails(row):
        told = _(SIGNATURE) if signed else _(UNCLEAR)
    return LoneRow(
        service=service,
        name=names.get(service, service),
        function=function,
        mark=words.state_mark(row.state),
        seen=f"{cause}{words.rule_comment(row.rule, control=False)}".strip(),
        told=told,
    )
