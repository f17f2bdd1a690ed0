# SPDX-License-Identifier: Apache-2.0
"""The history of an event in sentences, made of the values of its changes.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterator

from monitor.detection.model import OWN_SOURCE, Change, ChangeKind, Difference, Event
from monitor.text.event_state import gate
from monitor.text.event_subject import extent, function
from monitor.text.language import _
from monitor.text.words import sentence, technique


def history(event: Event) -> list[tuple[int, str]]:
    """(round, sentence) of each entry, oldest first."""
    own = event.source == OWN_SOURCE
    return [
        (change.round, _change(change) if own else _imported(change) or _change(change))
        for change in event.history
    ]


def _imported(change: Change) -> str:
    """What is said otherwise of an event that rests on an import: it knows no vantages."""
    match change.kind:
        case ChangeKind.LIKELY:
            return _("Likely: enough measurements fail, and no outage of the service explains it.")
        case ChangeKind.CLOSED:
            return _("Ended: no measurement has failed for days.")
    return ""


def phases(event: Event) -> list[tuple[int, int]]:
    """(first failure, last failure) of each time that an import failed somewhere, oldest first:
    in between it was reached wherever it was tried. Empty where it never was."""
    merged: list[tuple[int, int]] = []
    spans = sorted(span for network in event.networks for span in network.spans)
    for first, last, again in spans:
        end = max(last, again)
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((first, end))
    return merged if len(merged) > 1 else []


def _change(change: Change) -> str:
    match change.kind:
        case ChangeKind.OPENED if change.technique:
            return _("First alarm: %(how)s.", how=technique(change.technique))
        case ChangeKind.OPENED:
            return _("First alarm.")
        case ChangeKind.LIKELY if change.divided:
            return _("Likely in a part of the network: vantages of several owners agree for long.")
        case ChangeKind.LIKELY:
            return _("Likely: enough vantages agree.")
        case ChangeKind.CONFIRMED:
            return _("Confirmed: it lasted.")
        case ChangeKind.CHANGED:
            return sentence("; ".join(_differences(change.difference or Difference()))) + "."
        case ChangeKind.CLEARING:
            return _("Clearing: most of affected vantages can reach it again.")
        case ChangeKind.AGAIN:
            return _("It goes on: they fail again.")
        case ChangeKind.CLOSED:
            return _("Ended: affected vantages can reach it again.")
        case ChangeKind.RETRACTED if change.cause:
            return _("Retracted: %(why)s.", why=gate(change.cause))
        case ChangeKind.RETRACTED:
            return _("Retracted.")


def _differences(difference: Difference) -> Iterator[str]:
    if difference.technique is not None:
        before, now = difference.technique
        yield _(
            "the technique changed: %(after)s (before: %(before)s)",
            after=technique(now),
            before=technique(before or "unknown"),
        )
    if difference.extent is not None:
        yield _("now %(extent)s is affected", extent=extent(difference.extent[1]))
    for target in difference.targets_added:
        yield _("%(what)s is affected too", what=function(target))
    for target in difference.targets_removed:
        yield _("%(what)s is no longer affected", what=function(target))
    for asn in difference.asns_added:
        yield _("%(what)s is affected too", what=_network(asn))
    for asn in difference.asns_removed:
        yield _("%(what)s is no longer affected", what=_network(asn))


def _network(asn: int) -> str:
    return _("the network %(name)s", name=f"AS{asn}")
