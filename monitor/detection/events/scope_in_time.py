# SPDX-License-Identifier: Apache-2.0
"""In which networks an event was, of which functions, and when, as its history tells. A block may
move from one to the next: what is true of the event is then not true of each. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from monitor.detection.model import Change, ChangeKind, Difference, Event, Tier

_ANNOUNCES = {
    Tier.UNCONFIRMED: ChangeKind.OPENED,
    Tier.LIKELY: ChangeKind.LIKELY,
    Tier.CONFIRMED: ChangeKind.CONFIRMED,
}


def _differences(event: Event) -> Iterator[tuple[int, Difference]]:
    """(round, what changed) since the event reached its tier: what it lost when it rose had never
    been as sure."""
    rose = [n for n, each in enumerate(event.history) if each.kind is _ANNOUNCES[event.tier]]
    since: tuple[Change, ...] = event.history[max(rose, default=-1) + 1 :]
    for change in since:
        if change.difference is not None:
            yield change.round, change.difference


Part = int | str
"""A network by its number, or a function by the id of its target."""


def _joined(change: Difference) -> tuple[Part, ...]:
    return (*change.asns_added, *change.targets_added)


def _gone(change: Difference) -> tuple[Part, ...]:
    return (*change.asns_removed, *change.targets_removed)


def left(event: Event) -> set[int]:
    """The networks in which it was reached again while the event went on elsewhere."""
    return {asn for _, change in _differences(event) for asn in change.asns_removed}


def functions_left(event: Event) -> set[str]:
    """The targets that were reached again while the event went on with others."""
    return {target for _, change in _differences(event) for target in change.targets_removed}


def spell(event: Event, part: Part) -> tuple[int | None, int | None]:
    """When a part joined the event, and when it had left it for good, Unix milliseconds; None where
    it was in it from the beginning, or until the end."""
    changes = list(_differences(event))
    joined = [at for at, change in changes if part in _joined(change)]
    gone = [at for at, change in changes if part in _gone(change)]
    first = joined[0] if joined and not (gone and gone[0] < joined[0]) else None
    over = gone[-1] if gone and not (joined and joined[-1] > gone[-1]) else None
    return first, over if over is None else _reached(event, first or event.onset, over)


def _reached(event: Event, begin: int, over: int) -> int:
    """When a part that had left by `over` was reached: where the event was clearing before it went
    on in one that joined, it was then."""
    joins = {at for at, change in _differences(event) if _joined(change)}
    turns = [change for change in event.history if begin < change.round < over]
    cleared = [change.round for change in turns if change.kind is ChangeKind.CLEARING]
    again = {change.round for change in turns if change.kind is ChangeKind.AGAIN} - joins
    return cleared[-1] if cleared and not any(at > cleared[-1] for at in again) else over


def at_once(event: Event, parts: Collection[Part]) -> bool:
    """Whether all of these were blocked at one time."""
    known = [spell(event, part) for part in parts]
    begins = [first for first, _ in known if first is not None]
    ends = [over for _, over in known if over is not None]
    return not begins or not ends or max(begins) <= min(ends)
