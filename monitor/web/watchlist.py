# SPDX-License-Identifier: Apache-2.0
"""Who is on watch: vantages that have failed for long while others of their network see the
service. No event's tier and no alert: a filter at home looks the same as a block of one street.

Pure: open events in, lines out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from monitor.detection.model import Event, EventState


class Watched(msgspec.Struct, frozen=True, order=True):
    """One function that one vantage does not reach."""

    since: int
    """Round, Unix milliseconds."""
    target: str
    layer: str
    asn: int
    probe: str
    event: str


def watchlist(events: Iterable[Event]) -> Mapping[str, Sequence[Watched]]:
    """By vantage, the oldest first; from the open events among these."""
    found: dict[str, list[Watched]] = defaultdict(list)
    for event in events:
        for network in event.networks if event.state is EventState.OPEN else ():
            for probe, since in network.watch:
                found[probe].append(
                    Watched(since, network.target, network.layer, network.asn, probe, event.id)
                )
    return {probe: sorted(lines) for probe, lines in sorted(found.items())}


def of_network(events: Iterable[Event], asn: int) -> Sequence[Watched]:
    """Those in one network, the oldest first."""
    return sorted(line for lines in watchlist(events).values() for line in lines if line.asn == asn)
