# SPDX-License-Identifier: Apache-2.0
"""When a round closes, and what comes too late for it.

Late adds, never takes away: what arrives after its round was decided is judged, counted and shown,
with a remark. It is no evidence: it opens, confirms, ends and retracts no event, closes no gate,
and stands beside no measurement that arrived in time. Else whoever sees an event could deliver a
past that denies it. Decided from stored facts alone, so that every replay decides the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from monitor.detection.model import OWN_SOURCE, Fact, Stored
from monitor.detection.policy import Policy

LATE = "late"
"""The remark on a verdict."""
_LEAST_MS = 30_000
"""The least margin, whatever the pace: what networks and machines take is not divided by it."""
_Given = TypeVar("_Given", Fact, Stored)


def deadline(round: int, interval: int, policy: Policy) -> int:
    """When a round closes even with measurements missing, Unix milliseconds.

    `interval` is the longest interval of the round's measurements. A very long one does not delay
    the others: such a probe is late by design, and its facts are folded afterwards.
    """
    wait = min(interval, policy.ms(policy.rounds.round_wait_seconds))
    return round + wait + policy.ms(policy.rounds.round_close_seconds)


def arrived_late(source: str, round: int, interval: int, received: int, policy: Policy) -> bool:
    """Whether a measurement arrived too late for its round. Files and imports never do: nobody
    waited for them."""
    if not received or source != OWN_SOURCE:
        return False
    margin = max(_LEAST_MS, policy.ms(policy.rounds.late_seconds))
    return received > deadline(round, interval, policy) + margin


def is_late(given: Fact | Stored, policy: Policy) -> bool:
    """`arrived_late` of a fact or a stored measurement."""
    if isinstance(given, Fact):
        round, interval = given.round, given.interval
    else:
        round, interval = given.measurement.round, given.measurement.interval_ms
    return arrived_late(given.source, round, interval, given.received, policy)


def timely(some: Iterable[_Given], policy: Policy) -> list[_Given]:
    """Those of some facts or measurements that arrived in time."""
    return [given for given in some if not is_late(given, policy)]
