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
from probes.cli.excerpts import ExcerptChoice, choice
from probes.cli.layout import aligned
from probes.cli.once import table_rows
from probes.cli.status_lines import facts
from probes.cli.terminal import volunteers_language
from probes.delivery.spool import PENDING, QUARANTINED, read_lines
from probes.metered import default_device, routes
from probes.state_directory import is_locked, paused
from probes.status import ProbeStatus, notices, problem
from probes.status import load as load_status
from probes.wire import codec
from probes.words import say

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
    language = "en" if as_json else volunteers_language()
    why = problem(status, now_ms, running=is_locked(directory), language=language)
    told = []
    if status is not None and not why:
        route = bool(default_device(*routes()))
        told = notices(status, now_ms, route=route, language=language)
    if as_json:
        fields = {} if status is None else msgspec.to_builtins(status)
        answer = {"working": not why, "problem": why, "illness": why, "notices": told, **fields}
        answer["excerpts"] = choice(directory) is ExcerptChoice.SENT
        out.write(msgspec.json.encode(answer).decode() + "\n")
        return why
    head = say(language, "no_because", why=why) if why else say(language, "yes")
    labelled = [("working", head), *(("note", line) for line in told)]
    if status is not None:
        labelled += facts(
            status, now_ms, consent.recorded(directory), language, choice(directory)
        ).items()
    texts = ((say(language, f"label_{key}"), text) for key, text in labelled)
    out.writelines(f"{line}\n" for line in aligned(texts))
    if status is not None and status.contributions:
        out.write(f"\n{say(language, 'for_others')}\n")
        names = {service.id: service.name for service in load(None).services}
        for line in contributions.lines(status.contributions, names, language):
            out.write(f"  {line}\n")
    return why


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
    """Print the lines of the last cycle as they leave this machine, byte for byte, and then the
    last status message; a batch is these lines after a header line, compressed. False if there is
    nothing. Raises DiskError."""
    lines = [line.decode() for row_state, line in read_lines(directory) if row_state != QUARANTINED]
    if (saved := load_status(directory)) is not None and saved.sent_status:
        lines.append(saved.sent_status)
    for line in lines:
        out.write(line + "\n")
    return bool(lines)
