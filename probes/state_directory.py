# SPDX-License-Identifier: Apache-2.0
"""The state directory: small files written atomically, and the lock of the one daemon.

What the files mean is known to the modules that write them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from probes.runtime.files import replace_file, sync_directory


class StateError(Exception):
    """The state directory cannot be used. The text is one line: path and reason."""


def prepare(directory: Path) -> None:
    """Create the directory (mode 0700) if missing, and check that it is writable. Raises
    StateError."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError:
        raise StateError(f"{directory}: not a directory: choose another by --state") from None
    except OSError as error:
        reason = error.strerror or error
        raise StateError(f"{directory}: {reason}: choose another by --state") from None
    if os.statvfs(directory).f_flag & os.ST_RDONLY:
        raise StateError(f"{directory}: the file system is read-only: choose another by --state")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise StateError(
            f"{directory}: this user cannot write there: change its owner, or choose another by "
            "--state"
        )


def write(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace a file atomically and durably. Raises StateError."""
    try:
        replace_file(path, content, mode)
    except OSError as error:
        raise StateError(f"{path}: {error.strerror or error}") from None


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the daemon's lock: two daemons on one spool would use the same sequences.

    The kernel releases the lock when the process ends, however it ends. Raises StateError.
    """
    path = directory / "lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateError(f"{path}: {error.strerror or error}") from None
    if not _locks(descriptor, fcntl.LOCK_EX):
        time.sleep(0.1)  # `is_locked` of another process holds it for a moment
        if not _locks(descriptor, fcntl.LOCK_EX):
            os.close(descriptor)
            raise StateError(
                f"{directory}: another reachprobe is running with this directory: stop it first"
            )
    try:
        yield
    finally:
        os.close(descriptor)


def is_locked(directory: Path) -> bool:
    """Whether a daemon is running with this directory. Raises OSError."""
    try:
        descriptor = os.open(directory / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _locks(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _locks(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


PAUSED = "paused"
"""While this file exists the daemon measures nothing."""
EXCERPTS = "excerpts"
"""While this file exists the volunteer agrees to send the beginnings of unexpected pages."""


def is_marked(directory: Path, mark: str) -> bool:
    """Whether the file of one of the volunteer's choices exists: PAUSED or EXCERPTS."""
    return (directory / mark).exists()


def set_mark(directory: Path, mark: str, wanted: bool) -> None:
    """Make or remove the file of a choice. Raises StateError."""
    if wanted:
        write(directory / mark, b"")
        return
    try:
        (directory / mark).unlink(missing_ok=True)
    except OSError as error:
        raise StateError(f"{directory / mark}: {error.strerror or error}") from None


def paused(directory: Path) -> bool:
    """Whether the volunteer has paused the probe."""
    return is_marked(directory, PAUSED)


def set_paused(directory: Path, wanted: bool) -> None:
    """Pause the probe, or let it go on. Raises StateError."""
    set_mark(directory, PAUSED, wanted)


def wipe(directory: Path, keep: str = "") -> None:
    """Remove everything that a probe wrote here except the file `keep`, and nothing else. Raises
    StateError."""
    names = ("enrolment.json", "identity.json", "consent.json", "status.json", "ballast", "lock",
            "catalogue.signed", "ways.json", "signing.key",
            "reflector.pem", "reflector.key", PAUSED, EXCERPTS)  # fmt: skip
    try:
        for path in [*directory.iterdir()]:
            ours = path.name.lstrip(".").startswith((*names, "spool.db", "geo.table"))
            if ours and path.is_file() and path.name != keep:
                path.unlink()
        sync_directory(directory)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StateError(f"{directory}: {error.strerror or error}") from None
