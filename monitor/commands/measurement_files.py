# SPDX-License-Identifier: Apache-2.0
"""Files of measurements that a command gets, ours or OONI's, plain or compressed.

OONI's are recognised by their keys (JSON) or their columns (CSV), and become what `import ooni`
would store.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import msgspec

from monitor.detection.model import OWN_SOURCE, Stored
from monitor.interop import files
from monitor.interop.ooni import reading
from monitor.interop.ooni.run import stored as imported
from monitor.interop.ooni.target_index import TargetIndex
from probes.catalogue.load import load
from probes.wire.codec import WireError, read_lines
from probes.wire.measurement import Measurement

MAX_ERRORS = 20
"""Malformed lines that are printed; the rest are counted."""
_HEAD = 1 << 16
_WRAPPED = {"test_keys", "raw_measurement", "body"}
"""Keys of a measurement of OONI's, and of what its API and Explorer wrap one in."""


class FilesError(Exception):
    """Files that are no measurements: one line for each error."""


@dataclass
class MeasurementFiles:
    """The measurements of some files. The same id twice counts once."""

    found: dict[str, Stored] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    unsupported: set[str] = field(default_factory=set)
    """OONI's tests that are not read: a line for each."""

    @property
    def stored(self) -> list[Stored]:
        """As if they had been stored."""
        return list(self.found.values())

    def add(self, place: str, one: Stored) -> None:
        """Add a measurement. One of ours with a known id must be the same; a run of OONI's may come
        in two formats, and the first is kept, as in a store."""
        known = self.found.setdefault(one.measurement.id, one)
        if known.measurement != one.measurement and one.source == OWN_SOURCE:
            text = f"id {one.measurement.id} occurs twice with different contents"
            self.errors.append(f"{place}: {text}")

    def check(self) -> None:
        """Raise FilesError when anything could not be read."""
        if self.errors:
            more = len(self.errors) - MAX_ERRORS
            rest = [f"and {more} more"] if more > 0 else []
            raise FilesError("\n".join(self.errors[:MAX_ERRORS] + rest))


def read_files(names: Sequence[str], labels: Sequence[str] | None = None) -> MeasurementFiles:
    """The measurements of files; `-` is standard input. `labels` are the names in errors. Raises
    FilesError.

    Without tokens the owner of a measurement of ours is the probe itself, the role is the claimed
    one, and every probe is old enough to vote.
    """
    read = MeasurementFiles()
    for name, label in zip(names, labels or names, strict=True):
        label = "standard input" if label == "-" else label
        try:
            with files.at_hand(name) as path:
                if is_ooni(path):
                    _read_ooni(read, label, path)
                else:
                    _read_own(read, label, path)
        except files.FileError as error:
            read.errors.append(str(error))
        except files.BROKEN as error:
            read.errors.append(f"{label}: cannot be read on: {error}")
    read.check()
    return read


def _read_own(read: MeasurementFiles, label: str, path: str) -> None:
    with files.opened(path) as stream:
        for number, one in read_lines(stream):
            if isinstance(one, WireError):
                read.errors.append(f"{label}:{number}: {one}")
            else:
                read.add(f"{label}:{number}", as_stored(one))


def as_stored(one: Measurement) -> Stored:
    """A measurement of a file as if it had been stored."""
    return Stored(measurement=one, owner=one.probe, role=one.vantage.role, enrolled=0)


def _read_ooni(read: MeasurementFiles, label: str, path: str) -> None:
    index = TargetIndex(load())
    for item in reading.read(partial(files.opened, path), index):
        match item:
            case reading.Refusal(line=line, reason=reason):
                read.errors.append(f"{label}:{line}: {reason}")
            case reading.Unsupported(reason=reason):
                read.unsupported.add(f"{label}: {reason}")
            case reading.ImportedRun(line=line, found=found):
                for one, _ in found:
                    read.add(f"{label}:{line}", imported(one))
            case _:
                pass  # progress


def is_ooni(path: str) -> bool:
    """Whether a file holds OONI's measurements or observations. Raises FileError and BROKEN."""
    with files.opened(path) as stream:
        head = stream.read(_HEAD).lstrip(b"\xef\xbb\xbf \t\r\n")
    first = next(_lines(head), b"")
    if head[:1] == b"[":
        return True
    if head[:1] != b"{":
        return b"report_id" in first and b"probe_cc" in first
    try:
        return not _WRAPPED.isdisjoint(msgspec.json.decode(first))
    except (msgspec.DecodeError, UnicodeError, RecursionError, TypeError):
        # A document over many lines, or a line that is longer than the head.
        return any(f'"{key}"'.encode() in head for key in (*_WRAPPED, "measurement_start_time"))


def _lines(head: bytes) -> Iterator[bytes]:
    yield from (line for line in head.splitlines() if line.strip())
