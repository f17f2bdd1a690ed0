# SPDX-License-Identifier: Apache-2.0
"""The onset of a block: the round in which the CUSUM paths of the agreeing vantages last left zero.

The block began after the last success of the first of them, at the latest when the path of the last
of them left zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from monitor.detection.events import cusum
from monitor.detection.events.cusum import leading_member
from monitor.detection.events.hypotheses import AT_ONCE_MS
from monitor.detection.events.state import Suspicion, Track
from monitor.detection.policy import Policy


class Onset(msgspec.Struct, frozen=True):
    """An estimate and its range, rounds in Unix milliseconds."""

    at: int
    earliest: int
    latest: int
    half: int
    """When half of them had begun to fail: a failure of one vantage's own, a little earlier, does
    not move it."""


def onset(
    tracks: Iterable[tuple[Track, int]],
    round: int,
    choose: Callable[[Suspicion], int] = leading_member,
) -> Onset:
    """Return the onset that (track, interval in ms) pairs agree on; the present round when no
    track has one. `choose` selects the member of the bank."""
    seen: list[tuple[int, int]] = []
    for track, interval in tracks:
        if (held := track.suspicion) is None:
            continue
        member = choose(held)
        if (left := held.onsets[member]) == 0:
            continue
        seen.append((left, held.befores[member] or max(0, left - interval)))
    if not seen:
        return Onset(round, round, round, round)
    first = min(left for left, _ in seen)
    return Onset(
        at=first,
        # The latest success of those that failed first: the block cannot be older.
        earliest=min(first, max(before for left, before in seen if left == first)),
        latest=max(left for left, _ in seen),
        half=sorted(left for left, _ in seen)[len(seen) // 2],
    )


def together_between(tracks: Iterable[tuple[Track, int]], policy: Policy) -> tuple[int, int] | None:
    """The earliest and the latest round at which the vantages of a network, (track, interval in ms)
    pairs, may have begun to fail together; None when no track has an onset.

    One that fails for a reason of its own, long before the others, says nothing of when they began.
    Where no more than half of them began at one moment, no such moment is known: it is any between
    the first and the last."""
    ranges = (cusum.onset_between(track, interval, policy) for track, interval in tracks)
    bounds = sorted(filter(None, ranges), key=lambda between: between[1])
    if not bounds:
        return None
    moment = AT_ONCE_MS // policy.pace
    groups = [
        [between for between in bounds[n:] if between[0] <= latest + moment]
        for n, (_, latest) in enumerate(bounds)
    ]
    most = max(groups, key=len)
    if 2 * len(most) <= len(bounds):
        return min(earliest for earliest, _ in bounds), bounds[-1][1]
    earliest, latest = (sorted(ends)[len(most) // 2] for ends in zip(*most, strict=True))
    return earliest, latest
