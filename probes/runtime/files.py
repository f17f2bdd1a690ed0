# SPDX-License-Identifier: Apache-2.0
"""Files that are replaced atomically: whenever a program is killed, a file is old or new."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def replace_file(
    path: Path, content: bytes, mode: int = 0o600, *, keep_owner: bool = False
) -> None:
    """Write a file beside `path`, fsync, rename, and fsync the directory. With `keep_owner` mode,
    owner and group of an existing file are kept where this user may set them: another program
    reads it. Raises OSError."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(content)
            file.flush()
            if keep_owner:
                with contextlib.suppress(OSError):
                    old = path.stat()
                    os.fchmod(descriptor, old.st_mode & 0o777)
                    os.fchown(descriptor, old.st_uid, old.st_gid)
            os.fsync(descriptor)
        beside.replace(path)
        sync_directory(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise


def sync_directory(directory: Path) -> None:
    """Make renames and removals in a directory durable. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
