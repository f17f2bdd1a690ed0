# SPDX-License-Identifier: Apache-2.0
"""What the volunteer can ask: does it work, what did it see, exactly what leaves this machine.

Another process than the daemon: it reads the status file that the daemon writes and, read
only, the spool. It prints and decides nothing.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TextIO

import msgspec

from probes import state_directory as state
from probes.cli import consent
from probes.cli.once import rows
from probes.delivery.spool import PENDING, QUARANTINED, Counts, read_lines
from probes.wire import codec

FILE = "status.json"
STALE_SECONDS = 90
"""The daemon writes its status at least every 15 s."""
_WORDS = {PENDING: "waiting", QUARANTINED: "quarantined"}


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What the daemon says of itself. Times are Unix milliseconds, 0 for never."""

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
    """Targets of the last round with a failure of the app's own way."""
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
    """What the disk said last, empty when it is well."""
    day: str = ""
    """The UTC day that the next two count."""
    sent_today: int = 0
    sent_bytes_today: int = 0
    month_bytes: int = 0
    """Estimated traffic of a month."""


def message(
    standing: Standing,
    counts: Counts,
    *,
    state: str,
    boot: str,
    consent: str,
    oldest_seconds: int,
    untaken: int,
    transport: str,
) -> codec.Status:
    """What the daemon tells the monitor: hello, heartbeat, goodbye."""
    return codec.Status(
        state=state,
        boot=boot,
        version=standing.version,
        catalogue=standing.catalogue,
        consent=consent,
        spool_rows=counts.pending,
        spool_oldest_seconds=oldest_seconds,
        dropped=counts.dropped + counts.refused + untaken,
        taken=counts.taken,
        transport=transport,
    )


def save(directory: Path, standing: Standing) -> None:
    """Write the status file. Raises StateError."""
    state.write(directory / FILE, msgspec.json.encode(standing) + b"\n")


def load(directory: Path) -> Standing | None:
    """The last status; None when there is none that can be read."""
    try:
        return msgspec.json.decode((directory / FILE).read_bytes(), type=Standing)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def illness(standing: Standing | None, now_ms: int) -> str:
    """Why the probe does not work, in one line; empty when it does.

    A broker that is away is no illness: measuring goes on, and a restart would not help.
    """
    if standing is None:
        return "never ran here"
    if standing.stopped:
        return "stopped"
    # A time to come is as bad: written before the clock was set back, and by nobody since.
    if abs(now_ms - standing.updated_ms) > STALE_SECONDS * 1000:
        return "does not run"
    if standing.trouble:
        return standing.trouble
    patience = 2 * standing.interval_ms + 900_000
    since = max(standing.last_round_ms, standing.started_ms)
    if now_ms - since > patience:
        return "no round for a long time"
    return ""


def show_status(directory: Path, now_ms: int, *, as_json: bool, out: TextIO) -> str:
    """Print the status; returns the illness."""
    standing = load(directory)
    ill = illness(standing, now_ms)
    if as_json:
        fields = {} if standing is None else msgspec.to_builtins(standing)
        out.write(msgspec.json.encode({"working": not ill, "illness": ill, **fields}).decode())
        out.write("\n")
        return ill
    out.write(f"working        {'yes' if not ill else f'no: {ill}'}\n")
    if standing is None:
        return ill
    s = standing
    agreed = consent.recorded(directory)
    online = f"yes ({s.transport})" if s.transport else "no, measurements wait on disk"
    lines = {
        "probe": s.probe,
        "network": f"{s.country} AS{s.asn}",
        "broker": online if not s.stopped else "stopped",
        "last round": f"{_ago(s.last_round_ms, now_ms)}, {s.targets} targets, "
        f"{s.last_round_failed} with failures, took {s.last_round_took_ms / 1000:.1f} s",
        "next round": _ago(s.next_round_ms, now_ms) if not s.stopped else "-",
        "last stored": f"{_ago(s.last_ack_ms, now_ms)} (acknowledged by the collector)",
        "waiting": f"{s.spool_rows} measurements, {s.spool_bytes / 1000:.0f} kB",
        "sent today": f"{s.sent_today} measurements, {s.sent_bytes_today / 1000:.0f} kB",
        "lost": f"{s.dropped} dropped, {s.untaken} not stored, {s.quarantined} quarantined",
        "traffic": f"about {s.month_bytes / 1e6:.0f} MB a month",
        "consent": f"{agreed.hash} on {agreed.agreed:%Y-%m-%d}" if agreed else "none",
    }
    for key, words in lines.items():
        out.write(f"{key:<14} {words}\n")
    return ill


def _ago(then_ms: int, now_ms: int) -> str:
    if not then_ms:
        return "never"
    seconds = (now_ms - then_ms) // 1000
    span = f"{abs(seconds)} s" if abs(seconds) < 120 else f"{abs(seconds) // 60} min"
    return f"{span} ago" if seconds >= 0 else f"in {span}"


def show_last(directory: Path, last: int, *, as_json: bool, out: TextIO) -> None:
    """Print the last measurements: JSON Lines, or a line of words for each endpoint.

    Raises DiskError.
    """
    for row_state, line in read_lines(directory, last=last):
        if as_json:
            out.write(line.decode() + "\n")
            continue
        try:
            measurement = codec.decode(line)
        except codec.WireError as error:
            out.write(f"damaged: {error}\n")
            continue
        at = dt.datetime.fromtimestamp(measurement.started / 1000, dt.UTC)
        for cells in rows(measurement):
            words = "  ".join(f"{cell:<12}" for cell in cells[2:])
            out.write(
                f"{at:%Y-%m-%d %H:%M:%S}Z  {cells[0]:<28}  {cells[1]:<40}  {words}  "
                f"{_WORDS.get(row_state, 'stored')}{', retest' if measurement.retest else ''}\n"
            )


def show_payload(directory: Path, *, out: TextIO) -> None:
    """Print the lines of the last cycle as they leave this machine, byte for byte; a batch is
    these lines after a header line, compressed. Raises DiskError."""
    for row_state, line in read_lines(directory):
        if row_state != QUARANTINED:
            out.write(line.decode() + "\n")
