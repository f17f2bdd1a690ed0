# SPDX-License-Identifier: Apache-2.0
"""What the detector works on next, given how far it has come with each service and the time.

Pure: nothing here reads a clock or the store. The order is: late facts of the last rounds, rounds
that are over, old late facts of one service.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from monitor.detection.lateness import deadline
from monitor.detection.policy import Policy
from monitor.detector.progress import ServiceProgress
from monitor.store.records import StoredRound

Services = Mapping[str, ServiceProgress]
"""By id."""
NEVER = 2**63


def due(services: Services, now: int, arrived: int) -> dict[str, ServiceProgress]:
    """The services whose rounds are to be looked at: something arrived, or a round is over.
    `arrived`: when anything arrived last."""
    return {
        service: progress
        for service, progress in sorted(services.items())
        if now >= progress.next_check
        or (progress.has_arrivals and not progress.rest.gathers(now, arrived))
    }


def split(
    rounds: Sequence[StoredRound], now: int, policy: Policy, delivered: Callable[[int], bool]
) -> tuple[Sequence[StoredRound], Sequence[StoredRound], int]:
    """Rounds (ascending) up to the first that is not over; those from there on; and when that one
    is over at the latest. `delivered` says whether a round is complete before its deadline."""
    for count, (round, interval, _) in enumerate(rounds):
        until = deadline(round, interval, policy)
        if now < until and not delivered(round):
            return rounds[:count], rounds[count:], until
    return rounds, (), NEVER


def recently_late(services: Services, now: int, arrived: int, policy: Policy) -> list[str]:
    """The services with late facts of their last rounds, which are folded before new rounds."""
    return [
        service
        for service, progress in sorted(services.items())
        if _is_recent(progress, policy) and not progress.rest.gathers(now, arrived)
    ]


def longest_late(services: Services, now: int, arrived: int, policy: Policy) -> str | None:
    """The service that has waited longest of those with old late facts: these are folded one at a
    time and after the new rounds, so that old facts never delay new ones."""
    waiting = (
        (progress.refolded_at, service)
        for service, progress in services.items()
        if progress.late is not None
        and not _is_recent(progress, policy)
        and not progress.refold_rest.gathers(now, arrived)
    )
    return min(waiting, default=(0, None))[1]


def _is_recent(progress: ServiceProgress, policy: Policy) -> bool:
    longest = 2 * policy.ms(policy.rounds.checkpoint_seconds)
    return progress.late is not None and progress.state.round - progress.late <= longest


def behind(services: Iterable[ServiceProgress], now: int) -> tuple[int, float]:
    """How many measurements of rounds that are over are not folded; and for how many seconds the
    oldest of them, or of late ones, has been waiting."""
    rounds = [stored for progress in services for stored in progress.waiting.values()]
    ends = [stored.round + stored.interval for stored in rounds]
    ends += [progress.late for progress in services if progress.late is not None]
    seconds = max(0, now - min(ends)) / 1000 if ends else 0.0
    return sum(stored.measurements for stored in rounds), seconds
