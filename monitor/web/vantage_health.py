# SPDX-License-Identifier: Apache-2.0
"""In what condition a vantage is: how often it was online, what its clock and its software are.
Pure: its own lines about liveness, and its last status message, in; a condition out.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from monitor.detection.facts.liveness import vantage_status
from monitor.detection.model import State
from probes.wire import codec


class Lived(msgspec.Struct, frozen=True):
    """One round of liveness."""

    round: int
    interval: int
    online: bool


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a vantage's health; empty words and None where nothing is."""

    rounds: tuple[Lived, ...] = ()
    """Newest first."""
    offset: int | None = None
    """Clock error in milliseconds, as it last found it."""
    software: str = ""
    catalogue: str = ""
    waiting: int | None = None
    """Measurements in its spool when it last spoke."""
    dropped: int | None = None
    """Measurements that its full spool had to let go."""

    @property
    def online(self) -> int:
        """Rounds in which most liveness hosts were reached."""
        return sum(lived.online for lived in self.rounds)


def condition(lines: Sequence[bytes], status: bytes = b"") -> Condition:
    """Return the condition; `lines` are its measurements of liveness, newest first,
    and `status` its last message, both as the collector admitted them."""
    measured = [codec.decode(line) for line in lines]
    said = codec.decode_status(status) if status else None
    newest = measured[0] if measured else None
    offsets = (each.clock_offset_ms for each in measured)
    return Condition(
        rounds=tuple(
            Lived(each.round, each.interval_ms, vantage_status([each]).online) for each in measured
        ),
        offset=next((offset for offset in offsets if offset is not None), None),
        software=newest.software.version if newest else (said.version if said else ""),
        catalogue=newest.catalogue if newest else (said.catalogue if said else ""),
        waiting=said.spool_rows if said else None,
        dropped=said.dropped if said else None,
    )


def sights(condition: Condition) -> Sequence[tuple[int, State]]:
    """(round, state) as a strip takes them."""
    return [
        (lived.round, State.OK if lived.online else State.VANTAGE_OFFLINE)
        for lived in condition.rounds
    ]
