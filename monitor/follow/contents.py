# SPDX-License-Identifier: Apache-2.0
"""What a file of the bucket holds, some runs at a time, from a line on.

A file that is cut or damaged gives what is before the damage, and says so at its end.
"""

from __future__ import annotations

import gzip
import re
import tarfile
import zlib
from collections.abc import Iterator
from typing import IO

import msgspec

from monitor.follow.layout import SourceFile
from monitor.interop import files
from monitor.interop.ooni import reading
from monitor.interop.ooni.run import WEB
from monitor.interop.ooni.target_index import TargetIndex
from probes.wire.measurement import Measurement

AT_ONCE = 100
"""Lines of a portion: a few megabytes, and a tenth of a second."""
MOST_UNREADABLE = 200
"""Runs in a row without anything that is read. Those of a network in which nothing works have at
least a failed lookup."""
LONGEST_POST = 32 << 20
_WEB = WEB.replace("_", "")
_INPUT = re.compile(rb'"input": ?"([^"]*)"')
"""Stands before the test's own keys: OONI's programs write keys in the order of their format."""


class Portion(msgspec.Struct, kw_only=True):
    """Some lines of a file."""

    measurements: list[tuple[Measurement, bytes]] = []
    lines: int = 0
    """Read so far, since the beginning of the file."""
    runs: int = 0
    """Of these lines, as are the next."""
    refused: list[str] = []
    broken: str = ""
    """Why the file cannot be read any further: `truncated` or `damaged`."""
    ended: bool = False


class KnownForm:
    """Whether runs have the form that is read. Those of another one are refused, or have no step
    that is known: each would be passed over, and never be asked for again."""

    def __init__(self) -> None:
        self._unreadable, self._reason = 0, ""

    def complaint(self, portion: Portion) -> str:
        """What is wrong, once there were too many runs in a row that give no measurement; empty
        before."""
        if portion.measurements:
            self._unreadable, self._reason = 0, ""
        else:
            self._unreadable += portion.runs + len(portion.refused)
            self._reason = self._reason or "".join(portion.refused[:1])
        if self._unreadable < MOST_UNREADABLE:
            return ""
        reason = self._reason.partition(": ")[2] or "no step at an endpoint of the catalogue"
        return (
            f"{self._unreadable} runs in a row hold nothing that is read ({reason}): OONI's "
            "measurements may have a new form, which a newer version of Reachwatch may know"
        )


def portions(
    file: SourceFile, stream: IO[bytes], targets_by_name: TargetIndex, skipped: int = 0
) -> Iterator[Portion]:
    """The contents of a file after so many lines."""
    portion = Portion(lines=skipped)
    lines = _posts(stream) if file.posts else _lines(stream)
    numbered = enumerate(lines, 1)
    wanted = _Wanted(targets_by_name) if file.test == _WEB else None
    while True:
        try:
            number, line = next(numbered)
        except StopIteration:
            break
        except (EOFError, tarfile.ReadError):
            portion.broken = "truncated"
            break
        except (OSError, zlib.error, tarfile.TarError):
            portion.broken = "damaged"
            break
        if number <= skipped:
            continue
        portion.lines = number
        _read(line, number, targets_by_name, wanted, portion)
        if number % AT_ONCE == 0:
            yield portion
            portion = Portion(lines=number)
    portion.ended = True
    yield portion


def _read(
    line: bytes | None,
    number: int,
    targets_by_name: TargetIndex,
    wanted: _Wanted | None,
    portion: Portion,
) -> None:
    if line is None:
        portion.refused.append(f"{number}: too long")
        return
    if not line.strip() or (wanted is not None and not wanted(line)):
        return
    for item in reading.line_items(line, number, targets_by_name):
        match item:
            case reading.ImportedRun():
                portion.runs += 1
                portion.measurements += item.found
            case reading.Refusal(reason=reason):
                portion.refused.append(f"{number}: {reason}")
            case _:
                pass  # another test, which a folder of this one does not hold


class _Wanted:
    """Which runs of web_connectivity are decoded: those that an import would keep. Most of a day's
    bytes are other sites."""

    def __init__(self, targets_by_name: TargetIndex) -> None:
        self._targets_by_name = targets_by_name

    def __call__(self, line: bytes) -> bool:
        named = _INPUT.search(line)
        if named is None:
            return True
        url = named[1].decode("utf-8", "replace").replace("\\/", "/")
        return self._targets_by_name.has_site(url)


def _lines(stream: IO[bytes]) -> Iterator[bytes | None]:
    with gzip.open(stream) as packed:
        yield from reading.lines_of(files.unpacked(packed))


def _posts(stream: IO[bytes]) -> Iterator[bytes | None]:
    # `r|gz` takes a file that is cut between two members for a whole one.
    with gzip.open(stream) as unpacked, tarfile.open(fileobj=unpacked, mode="r|") as posts:
        for post in posts:
            if not post.isfile():
                continue
            held = posts.extractfile(post)
            yield None if held is None or post.size > LONGEST_POST else held.read()
