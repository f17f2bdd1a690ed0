# SPDX-License-Identifier: Apache-2.0
"""The outbox on disk: a measurement is stored here before it counts as taken, and kept until the
collector has acknowledged it.

One row per measurement in a `probes.delivery.sqlite_file` database. The sequence is never reused;
together with the spool's random epoch it makes the measurement's id, which is assigned inside the
transaction. The size is limited: when the spool is full, the oldest successes are dropped first and
failures last, and all are counted."""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from probes.delivery.sqlite_file import DiskError, SQLiteFile
from probes.wire import codec
from probes.wire.measurement import LIVENESS_TARGETS, Measurement, measurement_id
from probes.wire.observation import Purpose

FILE = "spool.db"
KEPT_SENT = 200
REWRITE_BATCH = 50
PENDING, SENT, QUARANTINED = 0, 1, 2
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS row (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT, state INTEGER NOT NULL, keep INTEGER NOT NULL,
  round INTEGER NOT NULL, taken INTEGER NOT NULL, size INTEGER NOT NULL, crc INTEGER NOT NULL,
  line BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS row_state ON row (state, keep, sequence, size);
"""


class SpoolRow(msgspec.Struct, frozen=True):
    """One measurement that waits for its acknowledgement."""

    sequence: int
    round: int
    line: bytes


class SpoolCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of the spool. taken = acked + pending + quarantined + dropped."""

    pending: int = 0
    pending_bytes: int = 0
    oldest_ms: int | None = None
    """Round of the oldest pending measurement, Unix time in milliseconds."""
    taken: int = 0
    acked: int = 0
    dropped: int = 0
    dropped_failures: int = 0
    """Dropped measurements that contained a failure."""
    refused: int = 0
    """Successes that were not stored because the spool was full of failures."""
    quarantined: int = 0
    epoch: str = ""
    """Random name of the spool."""
    sequence: int = 0
    """Number of the newest measurement; in a spool that replaced a damaged one the first has a
    number above those of the old one."""


class Spool:
    """The only writer of `spool.db` in a state directory."""

    def __init__(
        self, directory: Path, probe: str, *, limit_bytes: int = 50_000_000, kept: int = KEPT_SENT
    ) -> None:
        self._probe = probe
        self._limit = limit_bytes
        self._kept = kept
        self._epoch = ""
        self._highest = self._latest_bytes = 0
        self._file = SQLiteFile(directory / FILE, self._prepare, self._free_space)
        self.messages = self._file.messages
        """Lines for the log (a damaged file, rows dropped); whoever logs them empties the list."""

    async def put(self, draft: Measurement) -> Measurement | None:
        """Number and store a measurement; it is on disk when this returns.

        Return None for a success when the spool is full of failures (counted as refused).
        Raises DiskError.
        """
        taken = await self._file.run(self._put, draft)
        if taken is not None:
            self._highest = taken.sequence
        return taken

    async def pending(self, after: int = 0, rows: int = 512) -> list[SpoolRow]:
        """Unacknowledged rows with a sequence above `after`, in order. Raises DiskError."""
        return await self._file.run(self._pending, after, rows)

    async def acknowledge(self, sequences: Iterable[int]) -> int:
        """Mark rows as sent and delete all but the latest. Return how many were still pending.
        Raises DiskError."""
        return await self._file.run(self._set_state, tuple(sequences), SENT)

    async def rewrite(self, change: Callable[[Measurement], Measurement], after: int) -> int | None:
        """Apply a change to the next few pending measurements after a sequence; it must keep their
        ids and sequences. Return the last sequence, None when none is left. Raises DiskError."""
        return await self._file.run(self._rewrite, change, after)

    async def quarantine(self, sequences: Iterable[int]) -> int:
        """Keep rows that can never be sent. Return how many were pending. Raises DiskError."""
        return await self._file.run(self._set_state, tuple(sequences), QUARANTINED)

    async def counts(self) -> SpoolCounts:
        """Return the present counts. Raises DiskError."""
        return await self._file.run(self._counts)

    async def last_round(self) -> int | None:
        """Return the round of the newest measurement in the spool, sent ones included; None when
        it is empty. Raises DiskError."""
        return await self._file.run(_last_round)

    async def close(self) -> None:
        """Close the file; everything was on disk before."""
        await self._file.close()

    def _prepare(self, db: sqlite3.Connection) -> None:
        for statement in _SCHEMA.strip().split(";\n"):
            db.execute(statement)
        db.execute("INSERT OR IGNORE INTO meta VALUES ('epoch', ?)", (secrets.token_hex(8),))
        # Sequences of a damaged spool may still be in a batch in flight.
        if self._highest > _last(db):
            db.execute("DELETE FROM sqlite_sequence")
            db.execute("INSERT INTO sqlite_sequence VALUES ('row', ?)", (self._highest,))
        self._epoch = str(db.execute("SELECT value FROM meta WHERE key='epoch'").fetchone()[0])

    def _free_space(self, db: sqlite3.Connection) -> None:
        """Free space on a full disk: for a few measurements as large as the latest."""
        self._drop(db, 4 * max(self._latest_bytes, 4096))

    def _drop(self, db: sqlite3.Connection, wanted: int, keep: int = 1) -> int:
        """Delete at least `wanted` bytes: sent rows, then the oldest successes, then, with `keep`
        1, the oldest failures. Return the bytes freed."""
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
                self.messages.append(f"spool full: dropped {len(victims)} measurements")
        return freed

    def _put(self, db: sqlite3.Connection, draft: Measurement) -> Measurement | None:
        sequence = _last(db) + 1
        measurement = msgspec.structs.replace(
            draft,
            probe=self._probe,
            epoch=self._epoch,
            sequence=sequence,
            id=measurement_id(self._probe, self._epoch, sequence),
        )
        line = codec.encode(measurement)
        self._latest_bytes = len(line)
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

    def _pending(self, db: sqlite3.Connection, after: int, rows: int) -> list[SpoolRow]:
        found, damaged = [], []
        for sequence, round_ms, crc, line in db.execute(
            "SELECT sequence, round, crc, line FROM row WHERE state=? AND sequence>? "
            "ORDER BY sequence LIMIT ?",
            (PENDING, after, rows),
        ).fetchall():
            if zlib.crc32(line) == crc:
                found.append(SpoolRow(sequence, round_ms, line))
            else:
                damaged.append(sequence)
        if damaged:
            self.messages.append(f"quarantined {len(damaged)} measurements damaged on disk")
            self._set_state(db, damaged, QUARANTINED)
        return found

    def _rewrite(
        self, db: sqlite3.Connection, change: Callable[[Measurement], Measurement], after: int
    ) -> int | None:
        rows = self._pending(db, after, REWRITE_BATCH)
        for row in rows:
            try:
                line = codec.encode(change(codec.decode(row.line)))
            except codec.WireError:
                continue
            if line != row.line:
                db.execute(
                    "UPDATE row SET line=?, size=?, crc=? WHERE sequence=?",
                    (line, len(line), zlib.crc32(line), row.sequence),
                )
        return rows[-1].sequence if rows else None

    def _set_state(self, db: sqlite3.Connection, sequences: Iterable[int], state: int) -> int:
        changed = 0
        for sequence in sequences:
            changed += db.execute(
                "UPDATE row SET state=?, keep=CASE ?1 WHEN 2 THEN 1 ELSE keep END "
                "WHERE sequence=? AND state=?",
                (state, sequence, PENDING),
            ).rowcount
        _add(db, "acked" if state == SENT else "quarantined", changed)
        # `reachprobe payload` shows the last round in full, however many targets it has.
        db.execute(
            "DELETE FROM row WHERE state=? AND sequence <= ? - ? AND round < "
            "(SELECT max(round) FROM row)",
            (SENT, _last(db), self._kept),
        )
        return changed

    def _counts(self, db: sqlite3.Connection) -> SpoolCounts:
        rows, size, oldest = db.execute(
            "SELECT count(*), coalesce(sum(size), 0), min(sequence) FROM row WHERE state=?",
            (PENDING,),
        ).fetchone()
        meta = dict(db.execute("SELECT key, value FROM meta"))
        since = db.execute("SELECT round FROM row WHERE sequence=?", (oldest,)).fetchone()
        return SpoolCounts(
            pending=rows,
            pending_bytes=size,
            oldest_ms=since[0] if since else None,
            taken=meta.get("taken", 0),
            acked=meta.get("acked", 0),
            dropped=meta.get("dropped", 0),
            dropped_failures=meta.get("dropped_failures", 0),
            refused=meta.get("refused", 0),
            quarantined=meta.get("quarantined", 0),
            epoch=self._epoch,
            sequence=_last(db),
        )


def _add(db: sqlite3.Connection, key: str, number: int) -> None:
    if number:
        db.execute(
            "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value=value+?2",
            (key, number),
        )


def _last(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence").fetchone()[0])


def _last_round(db: sqlite3.Connection) -> int | None:
    found = db.execute("SELECT round FROM row ORDER BY sequence DESC LIMIT 1").fetchone()
    return int(found[0]) if found else None


def worth_keeping(measurement: Measurement) -> bool:
    """Whether a measurement is dropped last: the subject failed in it, or it is liveness, without
    which no failure of its round counts."""
    return measurement.target in LIVENESS_TARGETS or any(
        getattr(o, "failure", None) is not None and getattr(o, "purpose", None) is Purpose.SUBJECT
        for o in measurement.observations
    )


def read_lines(directory: Path, *, last: int = 0) -> list[tuple[int, bytes]]:
    """Return state and line of the newest `last` rows, oldest first; with 0, of every row of the
    newest round. For another process than the daemon. Raises DiskError."""
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
        raise DiskError(f"{path}: {error}") from None
    return [(state, bytes(line)) for state, line in reversed(rows)]
