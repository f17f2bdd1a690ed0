# SPDX-License-Identifier: Apache-2.0
"""How old what pages and badges show is, and whether what arrived since is not judged."""

from __future__ import annotations

import msgspec

from monitor.store.engines import ReadTransaction
from monitor.store.reading.progress import (
    count_unread,
    folded_rounds,
    newest_of_last_arrived,
    received_and_folded,
)
from monitor.store.records import StoreUnavailableError
from monitor.store.shard import ALL, Shard
from monitor.text import words
from monitor.text.language import _
from monitor.web.detector_health import DetectorCourse, DetectorHealth, detector_health
from monitor.web.site import Site

STALLED_MS = 240_000
"""Pages say so when no measurement has arrived for this long (and for three rounds)."""


class Delay(msgspec.Struct, frozen=True):
    """That conclusions do not follow what arrives."""

    text: str
    """A sentence."""
    judged: int | None
    """What began before this time is judged, Unix ms; None when nothing is."""
    part: Shard = ALL
    """The part of the services of which this is known."""


class Freshness(msgspec.Struct, frozen=True):
    """How old what the pages show is."""

    line: str
    stalled: bool = False
    """Measurements have stopped arriving."""
    behind: str = ""
    """A sentence when conclusions lag behind measurements by more than a round, or none are
    drawn."""
    until: int | None = None
    """What is shown is of this time, Unix ms, where that is not the present."""
    part: Shard = ALL
    """The part of the services of which `behind` and `until` tell."""


async def freshness(site: Site) -> Freshness:
    """The age of the newest measurement, and whether it is too old or not judged yet."""
    try:
        async with site.database.reading() as connection:
            last, concluded, leases = await received_and_folded(connection)
            detector = detector_health(leases, site.clock())
            delay = (
                None if last is None else await _delay(site, connection, last, concluded, detector)
            )
    except StoreUnavailableError:
        return Freshness(_("The store cannot be read at the moment."), True)
    if last is None:
        return Freshness(_("No measurements yet."))
    delay = delay or Delay("", None)
    age = site.clock() - last
    if age > max(STALLED_MS // site.policy.pace, 3000 * site.interval_seconds):
        line = _(
            "The monitor has received nothing for %(length)s; what you see is from %(time)s.",
            length=words.duration_text(age),
            time=words.when(last),
        )
        return Freshness(line, True, delay.text, delay.judged or last)
    line = _("Last measurement %(time)s ago.", time=words.duration_text(age))
    return Freshness(line, False, delay.text, delay.judged, delay.part)


async def _delay(
    site: Site,
    connection: ReadTransaction,
    last: int,
    concluded: int | None,
    detector: DetectorHealth,
) -> Delay | None:
    """What is not judged of what arrived: no detector runs, or it lags."""
    if detector.course is DetectorCourse.NEVER and concluded is None:
        return Delay(_("No detector has ever run: nothing that was measured is judged."), None)
    if detector.course is DetectorCourse.ENDED and await count_unread(connection):
        rounds = await folded_rounds(connection)
        newest = max((round for name, round in rounds if detector.part.has(name)), default=None)
        if newest is None:
            return None  # of its services nothing was ever judged, and nothing is shown
        judged = newest + site.interval_ms
        text = _(
            "No detector has run for %(length)s: blocks that began or ended after %(time)s are "
            "not shown.",
            length=words.duration_text(detector.without_ms or 0),
            time=words.when(judged),
        )
        return Delay(text, judged, detector.part)
    if concluded is None:
        return None  # the first round is still open
    delay = conclusions_lag(site, last, concluded)
    if delay is not None:
        # Measurements that were imported today may be years old: nothing waits for them.
        newest = await newest_of_last_arrived(connection) or 0
        delay = conclusions_lag(site, min(last, newest + site.interval_ms), concluded)
    return delay


def conclusions_lag(site: Site, last: int, concluded: int) -> Delay | None:
    """Whether the newest measurement (its round ended at `last`) is more than a round newer than
    what is concluded; `concluded` is the newest judged round (Unix ms)."""
    interval = site.interval_ms
    # A round is concluded when it has ended and round_close_seconds have passed.
    due = concluded + 2 * interval + site.policy.ms(site.policy.rounds.round_close_seconds)
    if last - due <= interval:
        return None
    judged = concluded + interval
    text = _(
        "Conclusions lag behind measurements by %(length)s: blocks that began or ended after "
        "%(time)s are not shown yet.",
        length=words.duration_text(last - judged),
        time=words.when(judged),
    )
    return Delay(text, judged)
