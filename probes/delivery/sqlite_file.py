# SPDX-License-Identifier: Apache-2.0
"""A SQLite file that outlives what disks do: full, failing, damaged, and processes killed.

WAL and `synchronous=FULL`, so a finished call is on disk. A damaged file is set aside and a new
one made; on a full disk a ballast file is given back and rows are freed, so that the file can
still be written to, and even emptied (SQLite's DELETE too needs room in the WAL). All SQL runs
in one worker thread, because a commit waits for the disk. The tables are the owner's business.
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
MAX_PAGES = 1_073_741_823
"""The most that every SQLite takes for max_page_count (the default before 3.45)."""
KEPT_CORRUPT = 2
_T = TypeVar("_T")


class DiskError(Exception):
    """The disk did not take it. The text is one line. The next call tries anew."""


class Durable:
    """One SQLite file with one writer.

    `prepare(db)` makes the tables, each time that the file is opened; `free(db)` deletes what
    can be spared and runs in a transaction of its own when the disk is full.
    """

    patience = 60.0
    """Seconds after which a full disk is believed to have room again."""

    def __init__(
        self,
        path: Path,
        prepare: Callable[[sqlite3.Connection], None],
        free: Callable[[sqlite3.Connection], object],
    ) -> None:
        self.path = path
        self.remarks: list[str] = []
        """Lines for the log; whoever logs empties it."""
        self._prepare, self._free = prepare, free
        self._db: sqlite3.Connection | None = None
        self._ballast = path.with_name(BALLAST)
        self._full_since = 0.0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=path.stem)

    async def run(self, work: Callable[..., _T], *arguments: Any) -> _T:
        """Call `work(db, *arguments)` in one transaction; it is durable on return.

        `work` may be called again after trouble, always in a new transaction. Raises DiskError.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: self._guarded(work, *arguments))

    async def close(self) -> None:
        """Close the file; all was durable before."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    @property
    def set_aside(self) -> int:
        """How many damaged files lie beside this one."""
        return len(list(self.path.parent.glob(f"{self.path.name}.corrupt-*")))

    def _guarded(self, work: Callable[..., _T], *arguments: Any) -> _T:
        for attempt in (1, 2, 3, 4):
            try:
                return self._in_transaction(self._opened(), work, *arguments)
            except sqlite3.DatabaseError as error:
                match getattr(error, "sqlite_errorcode", 0) & 0xFF:
                    case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB if attempt < 4:
                        self._set_aside(error)
                    case sqlite3.SQLITE_FULL if attempt < 4:
                        self._make_room(str(error), free=attempt > 1)
                    case sqlite3.SQLITE_IOERR if attempt < 3:
                        # SQLite's view of the file may be stale after an I/O error: open anew.
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

    def _opened(self) -> sqlite3.Connection:
        if self._db is None:
            db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
            try:
                os.chmod(self.path, 0o600)
                db.execute("PRAGMA journal_mode=WAL")
                db.execute("PRAGMA synchronous=FULL")
                # A small WAL is used again in place, and leaves room for the last checkpoint.
                db.execute("PRAGMA wal_autocheckpoint=128")
                # The pages that a transaction needs; two megabytes would be kept otherwise.
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

    def _set_aside(self, error: sqlite3.Error) -> None:
        self._close()
        stamp = f"corrupt-{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S%f}"
        name = self.path.name
        for suffix in ("-wal", "-shm", ""):
            source = self.path.with_name(name + suffix)
            if source.exists():
                source.rename(self.path.with_name(f"{name}{suffix}.{stamp}"))
        self.remarks.append(f"damaged file set aside as {name}.{stamp}: {error}")
        for old in sorted(self.path.parent.glob(f"{name}.corrupt-*"))[:-KEPT_CORRUPT]:
            for path in self.path.parent.glob(f"{name}*{old.name.removeprefix(name)}"):
                path.unlink(missing_ok=True)

    def _make_room(self, reason: str, *, free: bool) -> None:
        """The disk is full: live with the pages that the file has and, if need be, free some.

        The ballast pays for one last checkpoint. From then on the file must not grow: a page
        that only fits in the WAL could never be copied back, and the WAL would never end.
        """
        if not self._full_since:
            self.remarks.append(f"disk trouble, making room: {reason}")
        self._full_since = time.monotonic()
        self._ballast.unlink(missing_ok=True)
        with contextlib.suppress(sqlite3.Error, OSError):
            db = self._opened()
            db.execute("PRAGMA wal_checkpoint(PASSIVE)")
            if free or not self._roomy():
                _stop_growth(db)
            if free:
                self._in_transaction(db, self._free)

    def _roomy(self) -> bool:
        """Whether the disk has room for several ballasts, as far as it says. Raises OSError."""
        space = os.statvfs(self.path.parent)
        return space.f_bavail * space.f_frsize >= 4 * BALLAST_BYTES

    def _restore_ballast(self, db: sqlite3.Connection) -> None:
        if self._full_since:
            if time.monotonic() - self._full_since < self.patience:
                return
        elif self._ballast.exists():
            return
        try:
            if not self._roomy():
                return
            with self._ballast.open("wb") as file:
                file.write(bytes(BALLAST_BYTES))
        except OSError:
            return
        if self._full_since:
            db.execute(f"PRAGMA max_page_count={MAX_PAGES}")
            self._full_since = 0.0
            self.remarks.append("the disk has room again")


def _stop_growth(db: sqlite3.Connection) -> None:
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count={pages}")
