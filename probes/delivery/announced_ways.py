# SPDX-License-Identifier: Apache-2.0
"""Addresses of the monitor that its signed catalogue names: when they replace those that are known.
Pure.

| stage | what is tried | ends when |
|---|---|---|
| none | the earlier ones | a catalogue names others: on trial |
| on trial | the named ones, then the earlier ones | something is acknowledged over a named one: |
| | | in use; all of them failed for long, and an earlier one works: set aside |
| in use | the named ones alone | a catalogue names others: on trial |
| set aside | the earlier ones | a catalogue names others: on trial |

The earlier ones are those in use before, at first those of the enrolment. What is set aside is not
tried again: the operator publishes a catalogue with other addresses.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec

TRIAL_MS, TRIAL_ATTEMPTS = 86_400_000, 5
"""How long and how often the named addresses are tried while an earlier one works: the ladder tries
a better way five times in three hours, and a network that lets nothing pass may last for a day."""


class WayStage(StrEnum):
    """What became of the addresses that were named."""

    NONE = "none"
    ON_TRIAL = "on_trial"
    IN_USE = "in_use"
    SET_ASIDE = "set_aside"


class AnnouncedWays(msgspec.Struct, frozen=True, kw_only=True):
    """The newest addresses that were named, and those before them. URLs."""

    stage: WayStage = WayStage.NONE
    serial: int = 0
    """Of the catalogue that named them."""
    since_ms: int = 0
    """When the stage began, Unix milliseconds."""
    named: tuple[str, ...] = ()
    earlier: tuple[str, ...] = ()
    """Empty for those of the enrolment."""

    def groups(self) -> tuple[tuple[str, ...], ...]:
        """What is tried, the first ones first; an empty group stands for those of the enrolment."""
        match self.stage:
            case WayStage.NONE | WayStage.SET_ASIDE:
                return (self.earlier,)
            case WayStage.ON_TRIAL:
                return (self.named, self.earlier)
            case WayStage.IN_USE:
                return (self.named,)


def announced(known: AnnouncedWays, serial: int, urls: tuple[str, ...], now: int) -> AnnouncedWays:
    """What follows when a catalogue names these addresses; none leaves everything as it is."""
    if not urls or serial <= known.serial:
        return known
    in_use = known.named if known.stage is WayStage.IN_USE else known.earlier
    if urls == in_use:
        return AnnouncedWays(stage=WayStage.IN_USE, serial=serial, since_ms=now, named=urls)
    return AnnouncedWays(
        stage=WayStage.ON_TRIAL, serial=serial, since_ms=now, named=urls, earlier=in_use
    )


def acknowledged(
    known: AnnouncedWays, *, by_named: bool, failures: Iterable[int], now: int
) -> AnnouncedWays:
    """What follows when something was acknowledged, over one of the named addresses or an earlier
    one. `failures`: how often in a row each of the named ones failed."""
    if known.stage is not WayStage.ON_TRIAL:
        return known
    if by_named:
        return msgspec.structs.replace(known, stage=WayStage.IN_USE, since_ms=now, earlier=())
    failed = all(times >= TRIAL_ATTEMPTS for times in failures)
    if failed and now - known.since_ms >= TRIAL_MS:
        return msgspec.structs.replace(known, stage=WayStage.SET_ASIDE, since_ms=now)
    return known
