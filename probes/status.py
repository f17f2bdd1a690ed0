# SPDX-License-Identifier: Apache-2.0
"""The daemon's status: the file that it saves and other commands read, and the message that it
sends to the monitor."""

from __future__ import annotations

from pathlib import Path

import msgspec

from probes import state_directory
from probes.delivery.spool import SpoolCounts
from probes.wire import codec

FILE = "status.json"
STALE_SECONDS = 90
"""The daemon writes its status at least every 15 s."""


class ProbeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the daemon saves. Times are Unix milliseconds, 0 for never."""

    probe: str
    version: str
    catalogue: str
    targets: int
    country: str
    asn: int
    updated_ms: int
    started_ms: int
    stopped: bool = False
    interval_ms: int
    transport: str = ""
    """How it is connected to the broker; empty when it is not."""
    last_ack_ms: int = 0
    last_round_ms: int = 0
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
    """Estimated traffic of a month."""


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
) -> codec.Status:
    """The status message to the monitor: hello, heartbeat or goodbye."""
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
    )


def save(directory: Path, status: ProbeStatus) -> None:
    """Write the status file. Raises StateError."""
    state_directory.write(directory / FILE, msgspec.json.encode(status) + b"\n")


def load(directory: Path) -> ProbeStatus | None:
    """The last status; None when there is none that can be read."""
    try:
        return msgspec.json.decode((directory / FILE).read_bytes(), type=ProbeStatus)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def problem(status: ProbeStatus | None, now_ms: int) -> str:
    """Why the probe does not work, in one line; empty when it does.

    A broker that is away is no problem: measuring goes on, and a restart would not help.
    """
    if status is None:
        return "has never run in this state directory"
    if status.stopped:
        return "stopped"
    # A time in the future is stale too: written before the clock was set back.
    if abs(now_ms - status.updated_ms) > STALE_SECONDS * 1000:
        return "not running"
    if status.trouble:
        return status.trouble
    longest = 2 * status.interval_ms + 900_000
    since = max(status.last_round_ms, status.started_ms)
    if now_ms - since > longest:
        return "no round for a long time"
    return ""
