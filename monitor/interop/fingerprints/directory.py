# SPDX-License-Identifier: Apache-2.0
"""A directory of imported fingerprints: what `import` writes and `--fingerprints` names."""

from __future__ import annotations

from pathlib import Path

from monitor.detection.fingerprints import OWN, Fingerprints
from monitor.detection.fingerprints.entry import Fingerprint
from monitor.interop.fingerprints import tables
from probes.runtime.files import replace_file
from probes.runtime.options import OptionError


def load(directory: Path | None) -> Fingerprints:
    """Return our own fingerprints and those in a directory; our own alone without one.

    Raises OptionError with the first fault's place and reason.
    """
    if directory is None:
        return OWN
    entries, faults = read(directory)
    if faults:
        raise OptionError(faults[0])
    return Fingerprints(entries)


def read(directory: Path) -> tuple[list[Fingerprint], list[str]]:
    """Return what a directory holds and all that is wrong with it. Raises OptionError when it
    cannot be read."""
    entries: list[Fingerprint] = []
    faults: list[str] = []
    try:
        files = sorted(path for path in directory.iterdir() if path.suffix == ".csv")
        for path in files:
            table = tables.read(str(path), path.read_bytes())
            entries += table.entries
            faults += table.faults + table.skipped
    except OSError as error:
        raise OptionError(
            f"--fingerprints: {error.filename or directory}: {error.strerror or error}"
        ) from None
    return entries, faults


def keep(directory: Path, name: str, entries: list[Fingerprint]) -> Path:
    """Write one list in place of what stood under its name; return its path. Raises OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    replace_file(path, tables.write(entries), 0o644)
    return path
