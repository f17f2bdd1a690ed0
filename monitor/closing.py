"""When a round may be folded: everybody who is due has delivered, or has had time enough."""

from __future__ import annotations

from collections.abc import Sequence

from monitor.detection.model import Stored
from monitor.detection.policy import Policy


def deadline(round: int, interval: int, policy: Policy) -> int:
    """When a round closes whatever is missing, Unix milliseconds.

    `interval` is the longest of the round's measurements. A probe with a very long one does not
    hold everybody else up: it is late by design, and late facts are folded in afterwards.
    """
    wait = min(interval, policy.ms(policy.round_wait_seconds))
    return round + wait + policy.ms(policy.round_close_seconds)


def delivered(round: int, stored: Sequence[Stored]) -> bool:
    """Whether all who were active before, and are due, have delivered this round.

    `stored` holds the measurements of the round and of some rounds before it. False when
    nothing is known of rounds before: then only time can tell.
    """
    due: set[tuple[str, str]] = set()
    here: set[tuple[str, str]] = set()
    for one in stored:
        measurement = one.measurement
        pair = measurement.probe, measurement.target
        if measurement.round == round:
            here.add(pair)
        elif measurement.round < round and measurement.round + measurement.interval_ms <= round:
            due.add(pair)
    return bool(due) and due <= here
