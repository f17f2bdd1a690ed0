# SPDX-License-Identifier: Apache-2.0
"""The daemon's status: the file that it saves and other commands read, and the message that it
sends to the monitor."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import msgspec

from probes import state_directory
from probes.contributions import Contribution
from probes.delivery.announced_ways import AnnouncedWays
from probes.delivery.spool import SpoolCounts
from probes.rounds.scheduler import MONTH_MS
from probes.wire import codec
from probes.words import say

FILE = "status.json"
STALE_SECONDS = 90
"""The daemon writes its status at least every 15 s."""
REVOKED = say("en", "revoked")
_REFUSALS = 2
"""A broker that refuses so often in a row means it."""
_ENROLMENT_SECONDS = 300
"""A broker may learn of a new probe this much later."""
_REVOKED_SECONDS = 600
"""A broker that refuses for so long means it: while an operator replaces the broker or its list of
users, measuring goes on."""
_CLOCK_MS = 120_000
"""A clock that is further off is worth a word; verdicts suffer from an hour on."""
_AWAY_SECONDS = 60
_UNACCEPTED_MS = 86_400_000
"""For so long measurements that were not accepted are worth a word."""

OF_DELIVERY = (
    "transport",
    "away_ms",
    "refused",
    "flooded_ms",
    "unaccepted",
    "unaccepted_ms",
    "unaccepted_reason",
    "failing_ways",
    "key",
    "unsigned",
    "unverified",
)
"""Fields that are the same in `probes.delivery.outbox.DeliveryStats`."""


class ProbeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the daemon saves. Times are Unix milliseconds, 0 for never."""

    probe: str
    version: str
    catalogue: str
    targets: int
    country: str
    asn: int
    role: str = ""
    """Of the enrolment; empty without one."""
    updated_ms: int
    started_ms: int
    stopped: bool = False
    interval_ms: int
    wanted_ms: int = 0
    """What it would be if the budget paid for it."""
    vantages: int = 0
    """How many vantages of this network take turns; 0 if that is unknown, or does not matter."""
    catalogue_serial: int = 0
    """Of the catalogue from the monitor that is measured; 0 for none."""
    new_services: tuple[str, ...] = ()
    """Services that came with it: the catalogue of this version of the probe has none of them."""
    refused_catalogue: str = ""
    """Why the last catalogue from the monitor was not taken; empty if it was."""
    transport: str = ""
    """How it is connected to the broker; empty when it is not."""
    failing_ways: tuple[codec.FailingWay, ...] = ()
    """The ways to the monitor that do not work in this network, the best first."""
    sent_status: str = ""
    """The last status message to the monitor, as it was sent."""
    announced_ways: AnnouncedWays = AnnouncedWays()
    """Addresses of the monitor that a catalogue named."""
    last_ack_ms: int = 0
    flooded_ms: int = 0
    """When a broker last sent so much that the probe left it; 0 for never."""
    unaccepted: int = 0
    """Measurements that the monitor did not accept when it last did not accept some."""
    unaccepted_ms: int = 0
    """When that was."""
    unaccepted_reason: str = ""
    """Why, as in the monitor's quarantine."""
    key: str = ""
    """Id of the key that measurements are signed with; empty if they are not."""
    unsigned: str = ""
    """Why they are not."""
    unverified: str = ""
    """Why the monitor stores none of them, as it cannot verify their signatures; empty if it can.
    """
    last_round_ms: int = 0
    """Its place among the rounds of all probes; it is measured up to an interval later."""
    measured_ms: int = 0
    """When the last round ended."""
    last_round_took_ms: int = 0
    last_round_failed: int = 0
    """Targets of the last round in which an observation of purpose `subject` failed."""
    next_round_ms: int = 0
    spool_rows: int = 0
    spool_bytes: int = 0
    spool_oldest_ms: int = 0
    taken: int = 0
    acked: int = 0
    dropped: int = 0
    quarantined: int = 0
    untaken: int = 0
    trouble: str = ""
    """The last error of the disk; empty when there is none."""
    day: str = ""
    """The UTC day of the next two counts."""
    sent_today: int = 0
    sent_bytes_today: int = 0
    month_bytes: int = 0
    """Estimated traffic of a whole month."""
    month: str = ""
    """The UTC month of the next number."""
    month_spent_bytes: int = 0
    budget_bytes: int = 0
    """Most traffic in a month, 0 for no limit."""
    away_ms: int = 0
    """Since when no broker is connected; 0 while one is."""
    refused: int = 0
    """How often in a row a broker refused this probe's credentials."""
    revoked: bool = False
    """They were refused for so long that measuring has stopped."""
    offline: bool = False
    """No liveness host was reached in the last round."""
    no_certificates: bool = False
    """No liveness host showed a valid certificate in the last round, and some an invalid one: a
    sign-in page, a wrong clock, or a proxy that reads TLS."""
    clock_offset_ms: int = 0
    """This machine's clock minus that of the liveness hosts."""
    contributions: tuple[Contribution, ...] = ()
    """Confirmed events that measurements of this probe support, the newest last."""
    paused: bool = False
    resumed_ms: int = 0
    metered: bool = False


def message(
    status: ProbeStatus,
    counts: SpoolCounts,
    *,
    state: str,
    boot: str,
    consent: str,
    oldest_seconds: int,
    untaken: int,
    transport: str,
    clock_ms: int,
) -> codec.Status:
    """The status message to the monitor: hello, heartbeat or goodbye; `clock_ms` is 0 in the one
    that the broker sends later."""
    return codec.Status(
        state=state,
        boot=boot,
        version=status.version,
        catalogue=status.catalogue,
        consent=consent,
        spool_rows=counts.pending,
        spool_oldest_seconds=oldest_seconds,
        dropped=counts.dropped + counts.refused + untaken,
        taken=counts.taken,
        transport=transport,
        epoch=counts.epoch,
        sequence=counts.sequence,
        acked=counts.acked,
        failing_ways=status.failing_ways,
        clock_ms=clock_ms,
    )


def after_restart(earlier: ProbeStatus | None) -> dict[str, Any]:
    """What a restart does not change, as fields of the new status."""
    names = ("measured_ms", "last_round_took_ms", "last_round_failed", "last_ack_ms", "revoked",
             "month", "month_spent_bytes", "contributions", "sent_status")  # fmt: skip
    return {} if earlier is None else {name: getattr(earlier, name) for name in names}


def save(directory: Path, status: ProbeStatus) -> None:
    """Write the status file. Raises StateError."""
    state_directory.write(directory / FILE, msgspec.json.encode(status) + b"\n")


def load(directory: Path) -> ProbeStatus | None:
    """The last status; None when there is none that can be read."""
    try:
        return msgspec.json.decode((directory / FILE).read_bytes(), type=ProbeStatus)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def problem(
    status: ProbeStatus | None, now_ms: int, *, running: bool = False, language: str = "en"
) -> str:
    """Why the probe does not work, in one line; empty when it does. `running`: a daemon is known to
    run, whatever the status says.

    A broker that is away is no problem: measuring goes on, and a restart would not help.
    """
    if status is None:
        return say(language, "unsaved" if running else "has_never_run")
    if status.revoked or is_refused(status, now_ms):
        return say(language, "revoked")
    if status.stopped:
        return say(language, "unsaved" if running else "stopped_start")
    # A time in the future is stale too: written before the clock was set back.
    if abs(now_ms - status.updated_ms) > STALE_SECONDS * 1000:
        return say(language, "unsaved" if running else "not_running")
    if status.trouble:
        return status.trouble
    longest = 2 * status.interval_ms + 900_000
    since = max(status.measured_ms, status.started_ms, status.resumed_ms)
    if now_ms - since > longest and not status.paused and not status.metered:
        return say(language, "no_round_for_long")
    return ""


def is_refused(status: ProbeStatus, now_ms: int) -> bool:
    """Whether brokers refuse this probe's credentials, and not because they are too new."""
    recent = now_ms - status.started_ms < _ENROLMENT_SECONDS * 1000
    return status.refused >= _REFUSALS and bool(status.last_ack_ms or not recent)


def is_revoked(status: ProbeStatus, now_ms: int) -> bool:
    """Whether the probe must not measure any more, because its credentials have been refused for
    long; once it is so, it stays so until a broker accepts them."""
    if status.transport:
        return False
    lasted = bool(status.away_ms) and now_ms - status.away_ms >= _REVOKED_SECONDS * 1000
    return status.revoked or (lasted and is_refused(status, now_ms))


def notices(
    status: ProbeStatus, now_ms: int, *, route: bool = True, language: str = "en"
) -> list[str]:
    """What the volunteer should know although the probe runs, a line each with what to do. `route`
    is whether this machine has a route to the internet."""
    lines = []
    if status.paused:
        lines.append(say(language, "is_paused"))
    if status.metered:
        lines.append(say(language, "is_metered"))
    if status.role != "control" and (status.country == "ZZ" or not status.asn):
        lines.append(say(language, "is_nowhere"))
    if status.offline or not (route or status.transport):
        lines.append(say(language, "is_offline"))
    elif status.away_ms and now_ms - status.away_ms > _AWAY_SECONDS * 1000:
        lines.append(say(language, "is_away", minutes=(now_ms - status.away_ms) // 60_000))
    if status.unaccepted and now_ms - status.unaccepted_ms < _UNACCEPTED_MS:
        values = {"count": status.unaccepted, "reason": status.unaccepted_reason}
        lines.append(say(language, "is_unaccepted", **values))
    if status.unverified:
        lines.append(say(language, "is_unverified", reason=status.unverified))
    if status.flooded_ms and now_ms - status.flooded_ms < _UNACCEPTED_MS:
        lines.append(say(language, "is_flooded"))
    if status.no_certificates:
        lines.append(say(language, "no_certificates"))
    if abs(status.clock_offset_ms) > _CLOCK_MS:
        key = "is_fast" if status.clock_offset_ms > 0 else "is_slow"
        lines.append(say(language, key, minutes=round(abs(status.clock_offset_ms) / 60_000)))
    return lines


def month_end_bytes(status: ProbeStatus) -> int:
    """The traffic of this month when it is over: what was spent, and the estimate for the rest."""
    now = dt.datetime.fromtimestamp(status.updated_ms / 1000, dt.UTC)
    start = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    end = (start + dt.timedelta(days=32)).replace(day=1)
    left_ms = (end - now).total_seconds() * 1000
    return status.month_spent_bytes + int(status.month_bytes * left_ms / MONTH_MS)
