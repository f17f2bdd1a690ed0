# SPDX-License-Identifier: Apache-2.0
"""Paths and secrets of a monitor from its options: data directory, database URL, secret files."""

from __future__ import annotations

import argparse
import os
import re
import secrets
import stat
from pathlib import Path

from probes.runtime.options import OptionError

DEFAULT_DATA = Path("reachwatch-data")
ARCHIVE = "archive"
"""Directory of archived days in the data directory."""
PUBLIC_URL = "http://127.0.0.1:8080"
"""Base of links and tokens unless another is given."""


def data_directory(given: argparse.Namespace) -> Path:
    """The data directory, created with mode 0700 if missing. Raises OptionError."""
    path: Path = given.data or DEFAULT_DATA
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError:
        raise OptionError(f"--data: {path}: is not a directory") from None
    except OSError as error:
        raise OptionError(f"--data: {path}: {error.strerror or error}") from None
    return path


def database_url(given: argparse.Namespace) -> str:
    """The URL of `--database`, else SQLite in the data directory. Raises OptionError."""
    if given.database:
        return str(given.database)
    return f"sqlite+aiosqlite:///{(data_directory(given) / 'reachwatch.db').resolve()}"


def existing_database_url(given: argparse.Namespace) -> str:
    """The same for a command that creates no store: the file of SQLite must exist, because a new
    empty one would answer everything with "nothing". Raises OptionError."""
    if not given.database:
        path: Path = (given.data or DEFAULT_DATA) / "reachwatch.db"
        if not path.is_file():
            raise OptionError(f"{path}: no store there; set --data or --database")
    file = re.fullmatch(r"sqlite(?:\+aiosqlite)?:///([^?]+)(?:\?.*)?", given.database or "")
    if file is not None and not Path(file[1]).is_file():
        raise OptionError(f"--database: {file[1]}: no such file")
    return database_url(given)


def ensure_secret(path: Path) -> str:
    """The secret in a file of mode 0600, which is created if missing. Raises OptionError."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return read_secret(path)
    except OSError as error:
        raise OptionError(f"{path}: {error.strerror or error}") from None
    secret = secrets.token_urlsafe(32)
    with os.fdopen(descriptor, "w") as file:
        file.write(secret + "\n")
    return secret


def read_secret(path: Path) -> str:
    """The secret in a file that only its owner may read. Raises OptionError."""
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise OptionError(f"{path}: others may read it; chmod 600 {path}")
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise OptionError(f"{path}: {reason}") from None
    if not secret:
        raise OptionError(f"{path}: is empty")
    return secret
