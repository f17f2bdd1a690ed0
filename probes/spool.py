"""The outbox on disk: a measurement is taken once it is here, and forgotten only when told.

SQLite, WAL, `synchronous=FULL`; one row a measurement. The sequence is never reused, and
together with the spool's random epoch it makes the measurement's id, given inside the
transaction. Bounded: when it is full, the oldest successes go first and failures last, counted.
A damaged file is set aside and a new one made. All SQL runs in one worker thread, because a
commit waits for the disk. Knows nothing of MQTT; who calls decides what to send and forget.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import os
import secrets
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from probes.wire import codec
from probes.wire.measurement import LIVENESS_TARGETS, Measurement, measurement_id
from probes.wire.observation import Purpose

FILE = "spool.db"
BALLAST = "ballast"
BALLAST_BYTES = 1 << 20
MAX_PAGES = 1_073_741_823
"""SQLite's own default of max_page_count before 3.45."""
KEPT_SENT = 200
KEPT_CORRUPT = 2
PENDING, SENT, QUARANTINED = 0, 1, 2
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS row (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT, state INTEGER NOT NULL, keep INTEGER NOT NULL,
  round INTEGER NOT NULL, taken INTEGER NOT NULL, size INTEGER NOT NULL, crc INTEGER NOT NULL,
  line BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS row_state ON row (state, keep, sequence, size);
"""
_T = TypeVar("_T")


class SpoolError(Exception):
    """The disk did not take it. The text is one line. The next call tries anew."""


class Row(msgspec.Struct, frozen=True):
    """One measurement that waits for its acknowledgement."""

    sequence: int
    round: int
    line: bytes


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What the spool holds and did. taken = acked + pending + quarantined + dropped."""

    pending: int = 0
    pending_bytes: int = 0
    oldest_ms: int | None = None
    """Round of the oldest pending measurement, Unix time in milliseconds."""
    taken: int = 0
    acked: int = 0
    dropped: int = 0
    dropped_failures: int = 0
    """Of those dropped, the ones that had seen a failure."""
    refused: int = 0
    """Successes that found the spool full of failures: never taken."""
    quarantined: int = 0
    corrupt: int = 0
    """Damaged spool files that lie beside this one."""


class Spool:
    """The one writer of `spool.db` in a state directory."""

    patience = 60.0
    """Seconds after which a full disk is believed to have room again."""

    def __init__(
        self, directory: Path, probe: str, *, limit_bytes: int = 50_000_000, kept: int = KEPT_SENT
    ) -> None:
        self.directory = directory
        self.path = directory / FILE
        self.remarks: list[str] = []
        """Lines for the log (a corrupt file set aside, rows dropped); the caller empties it."""
        self._probe = probe
        self._limit = limit_bytes
        self._kept = kept
        self._db: sqlite3.Connection | None = None
        self._epoch = ""
        self._full_since = 0.0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="spool")

    async def put(self, draft: Measurement) -> Measurement | None:
        """Number and store a measurement; it is on disk when this returns.

        None: a success that found the spool full of failures (counted as refused, not taken).
        Raises SpoolError.
        """
        return await self._run(self._put, draft)

    async def pending(self, after: int = 0, rows: int = 512) -> list[Row]:
        """Unacknowledged rows with a sequence above `after`, in order. Raises SpoolError."""
        return await self._run(self._pending, after, rows)

    async def forget(self, sequences: Iterable[int]) -> int:
        """Acknowledged rows: delete them, but for a short history to show. Returns how many
        were still pending. Raises SpoolError."""
        return await self._run(self._move, tuple(sequences), SENT)

    async def quarantine(self, sequences: Iterable[int]) -> int:
        """Rows that can never be sent: keep them here. Raises SpoolError."""
        return await self._run(self._move, tuple(sequences), QUARANTINED)

    async def counts(self) -> Counts:
        """Raises SpoolError."""
        return await self._run(self._counts)

    async def close(self) -> None:
        """Close the file; all was durable before."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    async def _run(self, work: Callable[..., _T], *arguments: Any) -> _T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: self._guarded(work, *arguments))

    def _guarded(self, work: Callable[..., _T], *arguments: Any) -> _T:
        for attempt in (1, 2, 3):
            try:
                return self._in_transaction(self._opened(), work, *arguments)
            except sqlite3.DatabaseError as error:
                code = getattr(error, "sqlite_errorcode", 0) & 0xFF
                if attempt == 3:
                    self._close()
                    raise SpoolError(f"{self.path}: {error}") from None
                if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                    self._set_aside(error)
                elif code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and attempt == 2):
                    self._make_room(str(error))
                elif code == sqlite3.SQLITE_IOERR:
                    # SQLite's view of the file may be stale after an I/O error: open anew.
                    self._close()
                else:
                    self._close()
                    raise SpoolError(f"{self.path}: {error}") from None
            except OSError as error:
                self._close()
                raise SpoolError(f"{self.path}: {error.strerror or error}") from None
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
                self._prepare(db)
            except BaseException:
                db.close()
                raise
            self._db = db
        return self._db

    def _prepare(self, db: sqlite3.Connection) -> None:
        os.chmod(self.path, 0o600)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        # A small WAL is reused in place, which is what lets a full disk still be emptied.
        db.execute("PRAGMA wal_autocheckpoint=128")
        fault = db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if fault != "ok":
            damaged = sqlite3.DatabaseError(fault)
            damaged.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise damaged
        for statement in _SCHEMA.strip().split(";\n"):
            db.execute(statement)
        db.execute("INSERT OR IGNORE INTO meta VALUES ('epoch', ?)", (secrets.token_hex(8),))
        self._epoch = str(db.execute("SELECT value FROM meta WHERE key='epoch'").fetchone()[0])

    def _close(self) -> None:
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    def _set_aside(self, error: sqlite3.Error) -> None:
        self._close()
        stamp = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S%f")
        for suffix in ("-wal", "-shm", ""):
            source = self.path.with_name(FILE + suffix)
            if source.exists():
                source.rename(self.path.with_name(f"{FILE}{suffix}.corrupt-{stamp}"))
        self.remarks.append(f"damaged spool set aside as {FILE}.corrupt-{stamp}: {error}")
        for old in sorted(self.directory.glob(f"{FILE}.corrupt-*"))[:-KEPT_CORRUPT]:
            for path in self.directory.glob(f"*{old.name.removeprefix(FILE)}"):
                path.unlink(missing_ok=True)

    def _make_room(self, reason: str) -> None:
        """The disk is full: live with the pages that the file has, and free some of them.

        The ballast pays for one last checkpoint. From then on the file must not grow: a page
        that only fits in the WAL could never be copied back, and the WAL would never end.
        """
        if not self._full_since:
            self.remarks.append(f"disk trouble, the spool makes room: {reason}")
        self._full_since = time.monotonic()
        self.directory.joinpath(BALLAST).unlink(missing_ok=True)
        with contextlib.suppress(sqlite3.Error, OSError):
            db = self._opened()
            db.execute("PRAGMA wal_checkpoint(PASSIVE)")
            pages = db.execute("PRAGMA page_count").fetchone()[0]
            db.execute(f"PRAGMA max_page_count={pages}")
            held = db.execute("SELECT coalesce(sum(size), 0) FROM row").fetchone()[0]
            self._in_transaction(db, self._drop, min(max(held // 8, 1 << 16), 1 << 18))

    def _restore_ballast(self, db: sqlite3.Connection) -> None:
        if self._full_since and time.monotonic() - self._full_since < self.patience:
            return
        path = self.directory / BALLAST
        if path.exists() and not self._full_since:
            return
        try:
            space = os.statvfs(self.directory)
            if space.f_bavail * space.f_frsize < 4 * BALLAST_BYTES:
                return
            with path.open("wb") as file:
                file.write(bytes(BALLAST_BYTES))
        except OSError:
            return
        if self._full_since:
            db.execute(f"PRAGMA max_page_count={MAX_PAGES}")
            self._full_since = 0.0
            self.remarks.append("the disk has room again")

    def _drop(self, db: sqlite3.Connection, wanted: int, keep: int = 1) -> int:
        """Delete at least `wanted` bytes: what was sent, then the oldest successes, then, with
        `keep` 1, the oldest failures. Returns the bytes that were freed."""
        freed = 0
        order = [(SENT, 0), (SENT, 1), (PENDING, 0)]
        if keep:
            order += [(PENDING, 1), (QUARANTINED, 1)]
        for state, kept in order:
            victims = []
            for sequence, size in db.execute(
                "SELECT sequence, size FROM row WHERE state=? AND keep=? ORDER BY sequence",
                (state, kept),
            ):
                if freed >= wanted:
                    break
                victims.append((sequence,))
                freed += size
            db.executemany("DELETE FROM row WHERE sequence=?", victims)
            if state != SENT and victims:
                _add(db, "dropped", len(victims))
                _add(db, "dropped_failures", len(victims) if kept else 0)
                _add(db, "quarantined", -len(victims) if state == QUARANTINED else 0)
                self.remarks.append(f"spool full: dropped {len(victims)} measurements")
        return freed

    def _put(self, db: sqlite3.Connection, draft: Measurement) -> Measurement | None:
        last = db.execute("SELECT seq FROM sqlite_sequence WHERE name='row'").fetchone()
        sequence = (last[0] if last else 0) + 1
        measurement = msgspec.structs.replace(
            draft,
            probe=self._probe,
            epoch=self._epoch,
            sequence=sequence,
            id=measurement_id(self._probe, self._epoch, sequence),
        )
        line = codec.encode(measurement)
        keep = int(worth_keeping(measurement))
        held = db.execute("SELECT coalesce(sum(size), 0) FROM row").fetchone()[0]
        over = held + len(line) - self._limit
        if over > 0 and self._drop(db, max(over, self._limit // 50), keep) < over:
            _add(db, "refused", 1)
            return None
        db.execute(
            "INSERT INTO row VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                sequence, PENDING, keep, measurement.round, measurement.started,
                len(line), zlib.crc32(line), line,
            ),
        )  # fmt: skip
        _add(db, "taken", 1)
        return measurement

    def _pending(self, db: sqlite3.Connection, after: int, rows: int) -> list[Row]:
        found, damaged = [], []
        for sequence, round_ms, crc, line in db.execute(
            "SELECT sequence, round, crc, line FROM row WHERE state=? AND sequence>? "
            "ORDER BY sequence LIMIT ?",
            (PENDING, after, rows),
        ).fetchall():
            if zlib.crc32(line) == crc:
                found.append(Row(sequence, round_ms, line))
            else:
                damaged.append(sequence)
        if damaged:
            self.remarks.append(f"damaged on disk: quarantined {len(damaged)} measurements")
            self._move(db, damaged, QUARANTINED)
        return found

    def _move(self, db: sqlite3.Connection, sequences: Iterable[int], state: int) -> int:
        moved = 0
        for sequence in sequences:
            moved += db.execute(
                "UPDATE row SET state=?, keep=CASE ?1 WHEN 2 THEN 1 ELSE keep END "
                "WHERE sequence=? AND state=?",
                (state, sequence, PENDING),
            ).rowcount
        _add(db, "acked" if state == SENT else "quarantined", moved)
        # The history shows the last cycle whole, however many targets it has.
        db.execute(
            "DELETE FROM row WHERE state=? AND sequence <= ? - ? AND round < "
            "(SELECT max(round) FROM row)",
            (SENT, _last(db), self._kept),
        )
        return moved

    def _counts(self, db: sqlite3.Connection) -> Counts:
        rows, size, oldest = db.execute(
            "SELECT count(*), coalesce(sum(size), 0), min(sequence) FROM row WHERE state=?",
            (PENDING,),
        ).fetchone()
        meta = dict(db.execute("SELECT key, value FROM meta"))
        since = db.execute("SELECT round FROM row WHERE sequence=?", (oldest,)).fetchone()
        return Counts(
            pending=rows,
            pending_bytes=size,
            oldest_ms=since[0] if since else None,
            taken=meta.get("taken", 0),
            acked=meta.get("acked", 0),
            dropped=meta.get("dropped", 0),
            dropped_failures=meta.get("dropped_failures", 0),
            refused=meta.get("refused", 0),
            quarantined=meta.get("quarantined", 0),
            corrupt=len(list(self.directory.glob(f"{FILE}.corrupt-*"))),
        )


def _add(db: sqlite3.Connection, key: str, number: int) -> None:
    if number:
        db.execute(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value=value+?2",
            (key, number),
        )


def _last(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT coalesce(max(sequence), 0) FROM row").fetchone()[0])


def worth_keeping(measurement: Measurement) -> bool:
    """Whether it goes last when room is needed: it saw the subject fail, or it is liveness,
    without which no failure of its round counts."""
    return measurement.target in LIVENESS_TARGETS or any(
        getattr(o, "failure", None) is not None and getattr(o, "purpose", None) is Purpose.SUBJECT
        for o in measurement.observations
    )


def read_lines(directory: Path, *, last: int = 0) -> list[tuple[int, bytes]]:
    """For another process: state and line of the newest `last` rows, oldest first; with 0, of
    every row of the newest cycle. Raises SpoolError."""
    path = directory / FILE
    if not path.exists():
        return []
    choice = "round = (SELECT max(round) FROM row)" if last == 0 else "1"
    limit = last or -1
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=5)) as db:
            db.execute("PRAGMA query_only=1")
            rows = db.execute(
                f"SELECT state, line FROM row WHERE {choice} ORDER BY sequence DESC LIMIT ?",
                (limit,),
            ).fetchall()
    except sqlite3.Error as error:
        raise SpoolError(f"{path}: {error}") from None
    return [(state, bytes(line)) for state, line in reversed(rows)]
