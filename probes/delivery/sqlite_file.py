# SPDX-License-Identifier: Apache-2.0
"""A SQLite file that survives full, failing and damaged disks, and killed processes.

With WAL and `synchronous=FULL`, a call that has returned is on disk. A damaged file is renamed and
replaced by a new one. On a full disk a ballast file is deleted and rows are removed, so that the
file can still be written to and even emptied (in SQLite, DELETE needs room in the WAL too). All SQL
runs in one worker thread, because a commit waits for the disk. The caller defines the tables.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import os
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

BALLAST = "ballast"
BALLAST_BYTES = 1 << 20
MAX_PAGE_COUNT = 1_073_741_823
"""The largest max_page_count that every SQLite accepts (the default before 3.45)."""
KEPT_CORRUPT = 2
_T = TypeVar("_T")


class DiskError(Exception):
    """The disk failed. The text is one line. The next call tries again."""


class SQLiteFile:
    """One SQLite file with one writer.

    `prepare(db)` creates the tables each time the file is opened. `free(db)` deletes what can be
    lost; it runs in a transaction of its own when the disk is full.
    """

    retry_full_seconds = 60.0
    """Seconds after which a full disk is tried again."""

    def __init__(
        self,
        path: Path,
        prepare: Callable[[sqlite3.Connection], None],
        free: Callable[[sqlite3.Connection], object],
    ) -> None:
        self.path = path
        self.messages: list[str] = []
        """Lines for the log; whoever logs them empties the list."""
        self._prepare, self._free = prepare, free
        self._db: sqlite3.Connection | None = None
        self._ballast = path.with_name(BALLAST)
        self._full_since = 0.0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=path.stem)

    async def run(self, work: Callable[..., _T], *arguments: Any) -> _T:
        """Call `work(db, *arguments)` in one transaction; it is durable on return.

        `work` may be called again after an error, always in a new transaction. Raises DiskError.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._thread, lambda: self._run_with_recovery(work, *arguments)
        )

    async def close(self) -> None:
        """Close the file; everything was on disk before."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    def _run_with_recovery(self, work: Callable[..., _T], *arguments: Any) -> _T:
        for attempt in (1, 2, 3, 4):
            try:
                return self._in_transaction(self._open(), work, *arguments)
            except sqlite3.DatabaseError as error:
                match getattr(error, "sqlite_errorcode", 0) & 0xFF:
                    case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB if attempt < 4:
                        self._move_damaged(error)
                    case sqlite3.SQLITE_FULL if attempt < 4:
                        self._make_room(str(error), free=attempt > 1)
                    case sqlite3.SQLITE_IOERR if attempt < 3:
                        # SQLite's view of the file may be stale after an I/O error: open it again.
                        self._close()
                        self._ballast.unlink(missing_ok=True)
                    case _:
                        self._close()
                        raise DiskError(f"{self.path}: {error}") from None
            except OSError as error:
                self._close()
                raise DiskError(f"{self.path}: {error.strerror or error}") from None
        raise AssertionError("the last attempt returns or raises")

    def _in_transaction(
        self, db: sqlite3.Connection, work: Callable[..., _T], *arguments: Any
    ) -> _T:
        db.execute("BEGIN IMMEDIATE")
        try:
            outcome = work(db, *arguments)
            db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            raise
        self._restore_ballast(db)
        return outcome

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
            try:
                os.chmod(self.path, 0o600)
                db.execute("PRAGMA journal_mode=WAL")
                db.execute("PRAGMA synchronous=FULL")
                # A small WAL is reused in place and leaves room for the last checkpoint.
                db.execute("PRAGMA wal_autocheckpoint=128")
                # Enough pages for a transaction; by default SQLite keeps two megabytes.
                db.execute("PRAGMA cache_size=-128")
                fault = db.execute("PRAGMA quick_check(1)").fetchone()[0]
                if fault != "ok":
                    damaged = sqlite3.DatabaseError(fault)
                    damaged.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
                    raise damaged
                self._prepare(db)
                if self._full_since:
                    _stop_growth(db)
            except BaseException:
                db.close()
                raise
            self._db = db
        return self._db

    def _close(self) -> None:
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    def _move_damaged(self, error: sqlite3.Error) -> None:
        self._close()
        stamp = f"corrupt-{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S%f}"
        name = self.path.name
        for suffix in ("-wal", "-shm", ""):
            source = self.path.with_name(name + suffix)
            if source.exists():
                source.rename(self.path.with_name(f"{name}{suffix}.{stamp}"))
        self.messages.append(f"damaged file renamed to {name}.{stamp}: {error}")
        for old in sorted(self.path.parent.glob(f"{name}.corrupt-*"))[:-KEPT_CORRUPT]:
            for path in self.path.parent.glob(f"{name}*{old.name.removeprefix(name)}"):
                path.unlink(missing_ok=True)

    def _make_room(self, reason: str, *, free: bool) -> None:
        """The disk is full: use only the pages that the file has, and free some if necessary.

        Deleting the ballast makes room for one last checkpoint. After that the file must not grow:
        a page that only fits into the WAL could never be copied back, and the WAL would only grow.
        """
        if not self._full_since:
            self.messages.append(f"disk full, freeing space: {reason}")
        self._full_since = time.monotonic()
        self._ballast.unlink(missing_ok=True)
        with contextlib.suppress(sqlite3.Error, OSError):
            db = self._open()
            db.execute("PRAGMA wal_checkpoint(PASSIVE)")
            if free or not self._has_room():
                _stop_growth(db)
            if free:
                self._in_transaction(db, self._free)

    def _has_room(self) -> bool:
        """Whether the disk reports room for several ballast files. Raises OSError."""
        space = os.statvfs(self.path.parent)
        return space.f_bavail * space.f_frsize >= 4 * BALLAST_BYTES

    def _restore_ballast(self, db: sqlite3.Connection) -> None:
        if self._full_since:
            if time.monotonic() - self._full_since < self.retry_full_seconds:
                return
        elif self._ballast.exists():
            return
        try:
            if not self._has_room():
                return
            with self._ballast.open("wb") as file:
                file.write(bytes(BALLAST_BYTES))
        except OSError:
            return
        if self._full_since:
            db.execute(f"PRAGMA max_page_count={MAX_PAGE_COUNT}")
            self._full_since = 0.0
            self.messages.append("the disk has free space again")


def _stop_growth(db: sqlite3.Connection) -> None:
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count={pages}")
