# SPDX-License-Identifier: Apache-2.0
"""`reachprobe status`, `show` and `payload`: does the probe work, what did it measure, exactly what
leaves this machine.

Another process than the daemon: it reads the status file that the daemon writes and, read only,
the spool.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
from pathlib import Path
from typing import TextIO

import msgspec

from probes import contributions
from probes.catalogue.load import load
from probes.cli import consent
from probes.cli.once import table_rows
from probes.delivery.spool import PENDING, QUARANTINED, read_lines
from probes.metered import default_device, routes
from probes.rounds.scheduler import ENOUGH_VANTAGES
from probes.state_directory import is_locked, paused
from probes.status import ProbeStatus, month_end_bytes, notices, problem
from probes.status import load as load_status
from probes.wire import codec
from probes.words import language_of_terminal, say

_STATES = {PENDING: "waiting", QUARANTINED: "damaged or too large"}


def present(directory: Path) -> ProbeStatus | None:
    """The daemon's last status, paused or not as of now. Raises OSError when this user may not
    read the directory."""
    with contextlib.suppress(FileNotFoundError):
        os.scandir(directory).close()
    status = load_status(directory)
    if status is None:
        return None
    return msgspec.structs.replace(status, paused=status.paused or paused(directory))


def find_problem(directory: Path, now_ms: int) -> str:
    """Why the probe of this directory does not work, in one line; empty when it does."""
    return problem(present(directory), now_ms, running=is_locked(directory))


def show_status(directory: Path, now_ms: int, *, as_json: bool, out: TextIO) -> str:
    """Print the status; return the problem, empty when there is none."""
    status = present(directory)
    why = problem(status, now_ms, running=is_locked(directory))
    language = language_of_terminal(os.environ)
    told = []
    if status is not None and not why:
        route = bool(default_device(*routes()))
        told = notices(status, now_ms, route=route, language="en" if as_json else language)
    if as_json:
        fields = {} if status is None else msgspec.to_builtins(status)
        answer = {"working": not why, "problem": why, "illness": why, "notices": told, **fields}
        out.write(msgspec.json.encode(answer).decode() + "\n")
        return why
    out.write(f"working        {'yes' if not why else f'no: {why}'}\n")
    for line in told:
        out.write(f"note           {line}\n")
    if status is None:
        return why
    s = status
    agreed = consent.recorded(directory)
    online = f"yes ({s.transport})" if s.transport else "no, measurements wait on disk"
    lines = {
        "probe": s.probe,
        "network": f"{s.country} AS{s.asn}",
        "broker": online if not s.stopped else "stopped",
        "catalogue": _catalogue(s),
        "last round": f"{_ago(s.measured_ms, now_ms)}, {s.targets} targets, "
        f"{s.last_round_failed} with failures, took {s.last_round_took_ms / 1000:.1f} s"
        if s.measured_ms
        else f"none yet of the {s.targets} targets",
        "interval": _interval(s),
        "next round": _next_round(s, now_ms),
        "last sent": f"{_ago(s.last_ack_ms, now_ms)} (acknowledged by the collector)"
        if s.last_ack_ms
        else "never",
        "waiting": f"{s.spool_rows} measurements, {s.spool_bytes / 1000:.0f} kB",
        "sent today": f"{s.sent_today} measurements, {s.sent_bytes_today / 1000:.0f} kB",
        "lost": f"{s.dropped} dropped, {s.untaken} not stored, "
        f"{s.quarantined} damaged or too large",
        "traffic": f"{s.month_spent_bytes / 1e6:.0f} MB this month so far, "
        f"about {month_end_bytes(s) / 1e6:.0f} MB by its end"
        + (f" (budget {s.budget_bytes / 1e6:.0f} MB)" if s.budget_bytes else ""),
        "consent": f"{agreed.hash} on {agreed.agreed:%Y-%m-%d}" if agreed else "none",
    }
    for key, words in lines.items():
        out.write(f"{key:<14} {words}\n")
    if s.contributions:
        out.write(f"\n{say(language, 'for_others')}\n")
        names = {service.id: service.name for service in load(None).services}
        for line in contributions.lines(s.contributions, names, language):
            out.write(f"  {line}\n")
    return why


def _catalogue(status: ProbeStatus) -> str:
    """Where what is measured comes from, and which services the volunteer may not know of."""
    if not status.catalogue_serial:
        text = status.catalogue
    else:
        text = f"{status.catalogue}, number {status.catalogue_serial} from the monitor"
    if status.new_services:
        names = ", ".join(status.new_services)
        text += f"; new services: {names} (leave out with --except {','.join(status.new_services)})"
    if status.refused_catalogue:
        text += f"; another was not taken: {status.refused_catalogue}"
    return text


def _interval(status: ProbeStatus) -> str:
    """The time between rounds, and why it is that."""
    wanted = status.wanted_ms or status.interval_ms
    text = _minutes(status.interval_ms)
    if 0 < status.vantages < ENOUGH_VANTAGES:
        text += f"; {_minutes(wanted)} is wanted, as only {status.vantages} measure in this network"
    if status.interval_ms > wanted:
        text += f"; the budget pays for no more (--budget {status.budget_bytes / 1e6:.0f})"
    return text


def _next_round(status: ProbeStatus, now_ms: int) -> str:
    if status.stopped or status.paused or not status.next_round_ms:
        return "-"
    return _ago(status.next_round_ms, now_ms) if status.next_round_ms > now_ms else "now"


def _minutes(milliseconds: int) -> str:
    return f"{milliseconds / 60_000:.4g} min"


def _ago(then_ms: int, now_ms: int) -> str:
    if not then_ms:
        return "never"
    seconds = (now_ms - then_ms) // 1000
    span = f"{abs(seconds)} s" if abs(seconds) < 120 else f"{abs(seconds) // 60} min"
    return f"{span} ago" if seconds >= 0 else f"in {span}"


def show_last(directory: Path, last: int, *, as_json: bool, out: TextIO) -> bool:
    """Print the last measurements: JSON Lines, or a line of text for each endpoint; False if there
    are none.

    Raises DiskError.
    """
    found = read_lines(directory, last=last)
    for row_state, line in found:
        if as_json:
            out.write(line.decode() + "\n")
            continue
        try:
            measurement = codec.decode(line)
        except codec.WireError as error:
            out.write(f"damaged: {error}\n")
            continue
        at = dt.datetime.fromtimestamp(measurement.started / 1000, dt.UTC)
        for cells in table_rows(measurement):
            words = "  ".join(f"{cell:<12}" for cell in cells[2:])
            out.write(
                f"{at:%Y-%m-%d %H:%M:%S}Z  {cells[0]:<28}  {cells[1]:<40}  {words}  "
                f"{_STATES.get(row_state, 'stored')}{', retest' if measurement.retest else ''}\n"
            )
    return bool(found)


def show_payload(directory: Path, *, out: TextIO) -> bool:
    """Print the lines of the last cycle as they leave this machine, byte for byte; a batch is
    these lines after a header line, compressed. False if there are none. Raises DiskError."""
    found = [line for row_state, line in read_lines(directory) if row_state != QUARANTINED]
    for line in found:
        out.write(line.decode() + "\n")
    return bool(found)
