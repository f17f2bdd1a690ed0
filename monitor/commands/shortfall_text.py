# SPDX-License-Identifier: Apache-2.0
"""What series lacked for an event, for people."""

from __future__ import annotations

from collections.abc import Sequence

from monitor.commands.terminal import nats, time_text
from monitor.detection.events.shortfalls import SeriesShortfall
from monitor.text import words

_CONDITIONS = {
    "": "nothing in that round, but it did not last",
    "density": "too few of the runs since then failed",
    "history": "it had not worked there often enough before",
    "span": "all failures were within an hour, perhaps of one volunteer",
    "certificate": "only certificates were refused, and no other network reached it",
}
"""By `AlarmEvidence.lacks`; that of the evidence is told in nats."""


def shortfall_lines(shortfalls: Sequence[SeriesShortfall], most: int) -> list[str]:
    """A line each, the nearest to an alarm first, and how many more there are."""
    lines = [_line(shortfall) for shortfall in shortfalls[:most]]
    if (more := len(shortfalls) - most) > 0:
        lines.append(f"and {more:,} more series that failed and opened nothing")
    return lines


def _line(shortfall: SeriesShortfall) -> str:
    holds, needs = nats(max(0, shortfall.holds)), nats(shortfall.needs)
    layer = "" if shortfall.layer == "whole" else f" {shortfall.layer}"
    gates = "".join(
        f"; {count:,} not counted: {words.GATES[gate]}"
        for gate, count in sorted(shortfall.not_counted.items())
    )
    return (
        f"AS{shortfall.asn}{layer}: failed in {shortfall.failed:,} "
        f"round{'s' if shortfall.failed > 1 else ''}; nearest to an alarm "
        f"{time_text(shortfall.round)}, {holds} of {needs} nats{_lacked(shortfall)}{gates}"
    )


def _lacked(shortfall: SeriesShortfall) -> str:
    lacked = shortfall.lacked
    if lacked == "evidence" or lacked in words.GATES:
        return ""  # the nats say it, or the gates after them
    return f", lacked: {_CONDITIONS.get(lacked) or words.NO_VOTES.get(lacked, lacked)}"
