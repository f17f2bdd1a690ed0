# SPDX-License-Identifier: Apache-2.0
"""The suspicion of an imported network: whether it is an alarm, and since when it fails."""

from __future__ import annotations

from monitor.detection.events.state import Suspicion, TargetNetwork, Track


def alarmed(network: TargetNetwork) -> list[tuple[Track, Suspicion]]:
    """The tracks of a network that are alarmed, with their suspicions."""
    return [
        (track, track.suspicion)
        for series in network.layers.values()
        for track in series.tracks.values()
        if track.suspicion is not None and track.suspicion.alarmed
    ]


def densest(held: Suspicion) -> int:
    """The member of the bank with the largest share that explains nearly as much as the best: an
    isolated failure days before is no part of the block."""
    best = max(held.sums)
    return max(member for member, nats in enumerate(held.sums) if 4 * nats >= 3 * best)


def dense(held: Suspicion) -> bool:
    """Whether nearly every run fails: only then is the beginning of the path precise."""
    return densest(held) == len(held.sums) - 1
